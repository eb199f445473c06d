// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "metrics.h"

#include <errno.h>

#include "metrics_page.h"
#include "names.h"

static int render_info(struct exposition *e, const struct metrics_snapshot *s, const struct subjects *subjects)
{
	static const struct family info = {"headgate_info", FAMILY_GAUGE,
					   "Always 1. adopted: the data path is older than this daemon."};
	static const struct family service_info = {"headgate_service_info", FAMILY_GAUGE,
						   "Always 1. What the service is."};
	_cleanup_free_ char *daemon_labels = NULL;
	char abi[16];
	const struct label daemon[] = {
		{"version", s->version}, {"abi", abi}, {"adopted", s->adopted ? "true" : "false"}};

	snprintf(abi, sizeof(abi), "%u", s->abi);
	daemon_labels = exposition_labels(daemon, ARRAY_SIZE(daemon));
	if (!daemon_labels)
		return -ENOMEM;
	exposition_family(e, &info);
	exposition_integer(e, "", daemon_labels, NULL, 1);
	exposition_family(e, &service_info);
	for (size_t i = 0; i < subjects->service_count; i++) {
		const struct metrics_service *service = subjects->services[i].service;
		const struct label labels[] = {{"address", service->vip},
					       {"protocol", name_of_protocol(service->protocol)},
					       {"forward", name_of_forward(service->forward)}};
		_cleanup_free_ char *text = exposition_labels(labels, ARRAY_SIZE(labels));

		if (!text)
			return -ENOMEM;
		exposition_integer(e, "", subjects->services[i].labels, text, 1);
	}
	return 0;
}

static void render_daemon(struct exposition *e, const struct metrics_snapshot *s)
{
	static const struct family uptime = {"headgate_uptime_seconds", FAMILY_GAUGE, "How long the daemon runs."};
	static const struct family entries = {"headgate_flow_table_entries", FAMILY_GAUGE,
					      "Entries of a flow table, by the last sweep."};
	static const struct family size = {"headgate_flow_table_size", FAMILY_GAUGE,
					   "Entries that a flow table can hold."};
	static const struct family early = {"headgate_early_fragments_total", FAMILY_COUNTER,
					    "Fragments that came before their first one, by what the daemon did."};
	char labels[METRICS_TABLES_MAX][64];

	exposition_family(e, &uptime);
	exposition_real(e, "", "", NULL, s->uptime_s);
	exposition_family(e, &entries);
	for (size_t i = 0; i < s->table_count; i++) {
		snprintf(labels[i], sizeof(labels[i]), "table=\"%s\"", s->tables[i].name);
		exposition_integer(e, "", "", labels[i], s->tables[i].entries);
	}
	exposition_family(e, &size);
	for (size_t i = 0; i < s->table_count; i++)
		exposition_integer(e, "", "", labels[i], s->tables[i].size);
	exposition_family(e, &early);
	exposition_integer(e, "", "", "outcome=\"resent\"", s->early_resent);
	exposition_integer(e, "", "", "outcome=\"dropped\"", s->early_dropped);
}

static void render_ratio(struct exposition *e, const struct subjects *subjects)
{
	static const struct family family = {"headgate_measured_ratio", FAMILY_GAUGE,
					     "Share of TCP connections that are measured; the others are estimated."};

	exposition_family(e, &family);
	for (size_t i = 0; i < subjects->service_count; i++)
		if (subjects->services[i].figures & FIGURE_CONNECTIONS)
			exposition_real(e, "", subjects->services[i].labels, NULL,
					1.0 / (1ULL << subjects->services[i].shift));
}

static void render_shares(struct exposition *e, const struct subjects *subjects)
{
	static const struct family weight = {"headgate_variant_weight", FAMILY_GAUGE,
					     "Weight, relative to the service's other variants."};
	static const struct family share = {"headgate_variant_share", FAMILY_GAUGE,
					    "Share of the service's slots, which new connections fall in."};

	exposition_family(e, &weight);
	for (size_t i = 0; i < subjects->variant_count; i++)
		exposition_integer(e, "", subjects->variants[i].labels, NULL, subjects->variants[i].variant->weight);
	exposition_family(e, &share);
	for (size_t i = 0; i < subjects->variant_count; i++)
		exposition_real(e, "", subjects->variants[i].labels, NULL, subjects->variants[i].variant->share);
}

static void render_rotation(struct exposition *e, const struct subjects *subjects)
{
	static const struct family up = {
		"headgate_backend_up", FAMILY_GAUGE,
		"1 while the backend is healthy, 0 while it is not; absent while nothing has judged it."};
	static const struct family in_rotation = {"headgate_backend_in_rotation", FAMILY_GAUGE,
						  "1 while new connections may go to the backend."};
	static const struct family drained = {"headgate_backend_drained", FAMILY_GAUGE,
					      "1 while a command keeps new connections from the backend."};

	exposition_family(e, &up);
	for (size_t i = 0; i < subjects->backend_count; i++)
		if (subjects->backends[i].backend->health != HEALTH_UNKNOWN)
			exposition_integer(e, "", subjects->backends[i].labels, NULL,
					   subjects->backends[i].backend->health == HEALTH_UP);
	exposition_family(e, &in_rotation);
	for (size_t i = 0; i < subjects->backend_count; i++)
		exposition_integer(e, "", subjects->backends[i].labels, NULL,
				   subjects->backends[i].backend->in_rotation);
	exposition_family(e, &drained);
	for (size_t i = 0; i < subjects->backend_count; i++)
		exposition_integer(e, "", subjects->backends[i].labels, NULL, subjects->backends[i].backend->drained);
}

void metrics_release(struct metrics_snapshot *s)
{
	for (size_t i = 0; i < s->service_count; i++) {
		for (size_t v = 0; v < s->services[i].variant_count; v++)
			free(s->services[i].variants[v].backends);
		free(s->services[i].variants);
		free(s->services[i].shadow);
		free(s->services[i].rollout);
	}
	free(s->services);
	s->services = NULL;
	s->service_count = 0;
}

int metrics_render(const struct metrics_snapshot *s, char **ret_text, size_t *ret_length)
{
	_cleanup_(subjects_destroyp) struct subjects *subjects = NULL;
	struct exposition e = {};
	int error = subjects_create(s, &subjects);

	if (!error)
		error = render_info(&e, s, subjects);
	if (!error) {
		render_daemon(&e, s);
		render_ratio(&e, subjects);
		render_shares(&e, subjects);
		metrics_render_counted(&e, subjects);
		metrics_render_histograms(&e, subjects);
		render_rotation(&e, subjects);
		metrics_render_shadows(&e, subjects);
		metrics_render_rollouts(&e, subjects);
		error = exposition_finish(&e);
	}
	if (error) {
		free(e.text);
		return error;
	}
	*ret_text = e.text;
	*ret_length = e.length;
	return 0;
}
