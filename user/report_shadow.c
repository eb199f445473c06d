// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How a shadow is set, and the explanation of one connection. */
#include <arpa/inet.h>
#include <string.h>

#include "backends.h"
#include "hash.h"
#include "names.h"
#include "report.h"
#include "shadow_choice.h"
#include "shadows.h"

static uint32_t id_of(const struct splitter *sp, const struct service_model *s, size_t i)
{
	struct backend_identity who = backends_identity(s, SHADOW_VARIANT, &s->shadow.backends[i]);

	return backends_find(sp, &who);
}

static json_t *report_backends(struct splitter *sp, const struct service_model *s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < s->shadow.backend_count; i++) {
		const struct endpoint *e = &s->shadow.backends[i];
		const struct backend *b = datapath_backend(sp->datapath, id_of(sp, s, i));
		bool reachable = b->hop[b->hop_active & 1].ifindex;
		char text[ADDRESS_TEXT_SIZE];

		json_array_append_new(array,
				      json_pack("{s:s, s:s}", "address", endpoint_format(&e->address, e->port, text),
						"hop", reachable ? "reachable" : "unresolved"));
	}
	return array;
}

json_t *report_shadow(struct splitter *sp, const struct service_model *s)
{
	const struct shadow_model *shadow = &s->shadow;

	if (!shadow->present)
		return json_null();
	return json_pack("{s:s, s:s, s:s, s:s, s:f, s:o}", "service", s->name, "state",
			 name_of_shadow_state(shadow->state), "reason", shadow->reason, "engine",
			 name_of_engine(shadow->engine), "sample", shadow->sample / 100.0, "backends",
			 report_backends(sp, s));
}

/* --- explain --- */

/* Why nothing of a service is mirrored; NULL: something may be. */
static json_t *why_nothing(struct splitter *sp, const struct service_model *s)
{
	const struct shadow_model *shadow = &s->shadow;

	if (shadow->state == SHADOW_OFF)
		return json_sprintf("it is not mirrored: the shadow is off (`headgate shadow %s on`)", s->name);
	if (shadow->state == SHADOW_PAUSED)
		return json_sprintf("it is not mirrored: the shadow is paused: %s (`headgate shadow %s on`)",
				    shadow->reason, s->name);
	for (size_t i = 0; i < shadow->backend_count; i++)
		if (shadows_waits(sp, id_of(sp, s, i)))
			return json_string("it is not mirrored: a shadow was a backend until now, and waits for its "
					   "connections to be over");
	return NULL;
}

/* A new connection of the client: the same choice as the programs', for people. */
static bool would_mirror(const struct shadow_model *shadow, uint32_t seed, const struct flow_key *client,
			 json_t **ret_why)
{
	const struct shadow_rule_model *rule = shadow_rule_of(shadow, &client->client);
	uint32_t part = hash_sample(hash_client(seed, &client->client, client->port));
	bool mirrors = rule ? rule->rule == SHADOW_ALWAYS : part < shadow->sample;
	char prefix[ADDRESS_TEXT_SIZE];

	if (rule)
		*ret_why = json_sprintf("it is %smirrored: connections of %s %s are", mirrors ? "" : "not ",
					prefix_format(&rule->source, prefix), mirrors ? "always" : "never");
	else
		*ret_why = json_sprintf("it is %smirrored: its hash is in part %u of %u, and those below %u (%g%%) are",
					mirrors ? "" : "not ", part, SHADOW_SAMPLE_ALL, shadow->sample,
					shadow->sample / 100.0);
	return mirrors;
}

static bool find_mirrored(struct splitter *sp, const struct flow_key *client, struct shadow_flow *ret)
{
	return datapath_lookup(sp->datapath, MAP_SHADOW_FLOWS, client, ret) == 0 && !(ret->flags & SHADOW_FLOW_OVER);
}

json_t *report_explain_shadow(struct splitter *sp, const struct service_model *s, const struct flow_key *client)
{
	const struct shadow *entry = datapath_shadow(sp->datapath, client->service);
	uint32_t seed = datapath_service(sp->datapath, client->service)->seed;
	json_t *backend = NULL, *why;
	struct shadow_flow flow;
	bool mirrors = false;

	if (!s->shadow.present)
		return json_null();
	if (find_mirrored(sp, client, &flow)) {
		mirrors = true;
		backend = report_backend_endpoint(sp, flow.backend);
		why = json_string("this very connection is being mirrored");
	} else {
		why = why_nothing(sp, s);
		if (!why)
			mirrors = would_mirror(&s->shadow, seed, client, &why);
		if (mirrors)
			backend = report_backend_endpoint(
				sp, entry->backend[hash_shadow(&client->client, client->port, entry->backend_count)]);
	}
	return json_pack("{s:b, s:o?, s:o}", "mirrored", mirrors, "backend", backend, "why", why);
}
