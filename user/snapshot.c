// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Fills the metrics' snapshot from the splitter, in one walk over the backend ids. */
#include "snapshot.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backends.h"
#include "figures.h"
#include "remembered.h"

/* All that the walk reads, by backend id. */
struct counted {
	struct backend_counters *traffic;
	struct measurements *sampled;
	struct silent_counters *silent;
};

static void counted_release(struct counted *c)
{
	free(c->traffic);
	free(c->sampled);
	free(c->silent);
}

static int read_counted(struct splitter *sp, struct counted *ret)
{
	int error = datapath_all_backend_counters(sp->datapath, &ret->traffic);

	if (!error)
		error = datapath_all_measurements(sp->datapath, &ret->sampled);
	if (!error)
		error = datapath_all_silent_counters(sp->datapath, &ret->silent);
	if (error)
		return error;
	return 0;
}

/* --- what the model says --- */

static int fill_variant(struct splitter *sp, const char *service, const struct variant_model *model,
			struct metrics_variant *v)
{
	v->name = model->name;
	v->weight = model->weight;
	v->backends = calloc(model->backend_count + 1, sizeof(*v->backends));
	if (!v->backends)
		return -ENOMEM;
	v->backend_count = model->backend_count;
	for (size_t b = 0; b < model->backend_count; b++) {
		const struct endpoint *endpoint = &model->backends[b].endpoint;

		endpoint_format(&endpoint->address, endpoint->port, v->backends[b].address);
		v->backends[b].drained = model->backends[b].drained;
	}
	return remembered_read(sp, service, model->name, &v->total);
}

static int fill_service(struct daemon *d, const struct service_model *model, struct metrics_service *s)
{
	int error = datapath_service_counters(d->datapath, splitter_service_id(d->splitter, model), &s->counters);

	s->name = model->name;
	endpoint_format(&model->vip.address, model->vip.port, s->vip);
	s->protocol = model->protocol;
	s->forward = model->forward;
	s->sampled = figures_scale(model) > 1;
	s->measure_shift = model->measure_shift;
	s->variants = calloc(model->variant_count + 1, sizeof(*s->variants));
	if (!s->variants)
		return -ENOMEM;
	for (size_t v = 0; v < model->variant_count && !error; v++)
		error = fill_variant(d->splitter, model->name, &model->variants[v], &s->variants[s->variant_count++]);
	return error;
}

/* --- what was counted --- */

static struct metrics_backend *find_backend(const struct variant_model *model, struct metrics_variant *v,
					    const struct backend_identity *identity)
{
	for (size_t b = 0; b < model->backend_count; b++)
		if (address_equal(&model->backends[b].endpoint.address, &identity->address) &&
		    htons(model->backends[b].endpoint.port) == identity->port)
			return &v->backends[b];
	return NULL;
}

/* One id's counts: to its variant's total, and to its own line if it is in the configuration. */
static void add_id(struct daemon *d, const struct counted *c, uint32_t id, const struct variant_model *model,
		   struct metrics_variant *v)
{
	const struct backend_state *state = &d->splitter->backends[id];
	struct metrics_backend *b = find_backend(model, v, &state->identity);
	struct measured one = {c->traffic[id], c->sampled[id], c->silent[id], state->active};
	const struct health *health;
	const char *why;

	one.silent.failed += one.sampled.given_up;
	measured_add(&v->total, &one);
	v->share += (double)state->slots / SLOTS;
	if (!b)
		return;
	health = patrol_health(d->patrol, id, &why);
	b->traffic = one.traffic;
	b->active = one.active;
	b->failed = one.silent.failed;
	b->refused = one.sampled.refused;
	b->health = health ? health->state : HEALTH_UNKNOWN;
	b->in_rotation = state->use == ID_USED && state->in_rotation;
}

static void add_ids(struct daemon *d, const struct counted *c, const struct service_model *model,
		    struct metrics_service *s)
{
	for (size_t v = 0; v < model->variant_count; v++) {
		struct id_list ids = backends_of(d->splitter, model->name, model->variants[v].name);

		for (uint32_t i = 0; i < ids.count; i++)
			add_id(d, c, ids.id[i], &model->variants[v], &s->variants[v]);
	}
}

static void fill_tables(const struct daemon *d, struct metrics_snapshot *s)
{
	const struct flow_totals *use = &d->splitter->totals;
	const struct limits *size = datapath_limits(d->datapath);
	const struct metrics_flow_table tables[] = {
		{"half_open", use->half_open, size->half_open},
		{"established", use->established, size->established},
		{"source_ports", use->source_ports, size->half_open + size->established},
		{"sampled", use->sampled, size->established},
	};

	memcpy(s->tables, tables, sizeof(tables));
	s->table_count = ARRAY_SIZE(tables);
}

int snapshot_render(struct daemon *d, char **ret_text, size_t *ret_length)
{
	const struct model *model = d->splitter->model;
	_cleanup_(counted_release) struct counted counted = {};
	struct metrics_snapshot s = {
		.version = HEADGATE_VERSION,
		.abi = HEADGATE_ABI,
		.uptime_s = (now_ns() - d->started_ns) / 1e9,
		.adopted = datapath_adopted(d->datapath),
		.services = calloc(model->service_count + 1, sizeof(*s.services)),
	};
	int error = s.services ? read_counted(d->splitter, &counted) : -ENOMEM;

	for (size_t i = 0; i < model->service_count && !error; i++)
		error = fill_service(d, &model->services[i], &s.services[s.service_count++]);
	if (!error) {
		fill_tables(d, &s);
		for (size_t i = 0; i < model->service_count; i++)
			add_ids(d, &counted, &model->services[i], &s.services[i]);
		error = metrics_render(&s, ret_text, ret_length);
	}
	metrics_release(&s);
	return error;
}
