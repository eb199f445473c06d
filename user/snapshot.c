// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Fills the metrics' snapshot from the splitter: what the model says, then what was counted of each backend id. */
#include "snapshot.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backends.h"
#include "figures.h"
#include "remembered.h"
#include "shadow_figures.h"

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

static int fill_shadow(struct daemon *d, const struct shadow_model *model, uint32_t service,
		       struct metrics_shadow **ret)
{
	struct metrics_shadow *shadow = calloc(1, sizeof(*shadow));

	if (!shadow)
		return -ENOMEM;
	*ret = shadow; /* released with the snapshot, whatever happens */
	shadow->state = model->state;
	shadow->engine = model->engine;
	shadow->sample = (double)model->sample / SHADOW_SAMPLE_ALL;
	shadow->mirroring = shadow_sweep_mirroring(d->shadow_sweep, service);
	return shadow_figures(d->splitter, service, &shadow->counters);
}

static int fill_service(struct daemon *d, const struct service_model *model, struct metrics_service *s)
{
	uint32_t id = splitter_service_id(d->splitter, model);
	int error = datapath_service_counters(d->datapath, id, &s->counters);

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
	if (!error && model->shadow.present)
		error = fill_shadow(d, &model->shadow, id, &s->shadow);
	if (!error)
		error = conductor_metrics(d->conductor, model->name, &s->rollout);
	return error;
}

/* --- what was counted --- */

/* Where the counts of an id go: to its variant's total, and to its own line if it is in the configuration. */
struct destination {
	struct metrics_variant *variant; /* NULL: nowhere */
	struct metrics_backend *backend; /* or NULL */
};

/* All arrays are by id, up to the highest one in use. */
struct reading {
	uint32_t count;
	struct destination *destinations;
	bool *measured; /* there may be more than packets and bytes */
	struct backend_counters *traffic;
	struct silent_counters *silent;
};

static void reading_release(struct reading *r)
{
	free(r->destinations);
	free(r->measured);
	free(r->traffic);
	free(r->silent);
}

static int reading_prepare(struct splitter *sp, struct reading *r)
{
	int error;

	r->count = backends_end(sp);
	r->destinations = calloc(r->count, sizeof(*r->destinations));
	r->measured = calloc(r->count, sizeof(*r->measured));
	if (!r->destinations || !r->measured)
		return -ENOMEM;
	error = datapath_all_backend_counters(sp->datapath, r->count, &r->traffic);
	return error ? error : datapath_all_silent_counters(sp->datapath, r->count, &r->silent);
}

static void describe_backend(struct daemon *d, uint32_t id, struct metrics_backend *b)
{
	const struct backend_state *state = &d->splitter->backends[id];
	const char *why;
	const struct health *health = patrol_health(d->patrol, id, &why);

	b->active = state->active;
	b->health = health ? health->state : HEALTH_UNKNOWN;
	b->in_rotation = state->use == ID_USED && state->in_rotation;
}

/* All of an id but its measurements, which are read last. */
static void add_id(struct daemon *d, struct reading *r, uint32_t id, struct metrics_variant *v)
{
	const struct backend_state *state = &d->splitter->backends[id];
	struct metrics_backend *b = state->place ? &v->backends[state->place - 1] : NULL;

	r->destinations[id] = (struct destination){v, b};
	/* Who was never sent a packet has no connection that could have been measured. */
	r->measured[id] = r->traffic[id].client_packets;
	measured_add_traffic(&v->total, &r->traffic[id], &r->silent[id], state->active);
	v->share += (double)state->slots / SLOTS;
	if (!b)
		return;
	describe_backend(d, id, b);
	b->traffic = r->traffic[id];
	b->failed = r->silent[id].failed;
}

static void add_measurements(void *context, uint32_t id, const struct measurements *sum)
{
	const struct reading *r = context;
	const struct destination *to = &r->destinations[id];

	measured_add_sampled(&to->variant->total, sum);
	to->variant->total.silent.failed += sum->given_up;
	if (!to->backend)
		return;
	to->backend->failed += sum->given_up;
	to->backend->refused = sum->refused;
}

static int add_counts(struct daemon *d, struct metrics_snapshot *s)
{
	const struct model *model = d->splitter->model;
	_cleanup_(reading_release) struct reading r = {};
	int error = reading_prepare(d->splitter, &r);

	if (error)
		return error;
	for (size_t i = 0; i < model->service_count; i++)
		for (size_t v = 0; v < model->services[i].variant_count; v++) {
			struct id_list ids =
				backends_of(d->splitter, model->services[i].name, model->services[i].variants[v].name);

			for (uint32_t n = 0; n < ids.count; n++)
				add_id(d, &r, ids.id[n], &s->services[i].variants[v]);
		}
	return datapath_each_measurements(d->datapath, r.measured, r.count, add_measurements, &r);
}

static void fill_tables(const struct daemon *d, struct metrics_snapshot *s)
{
	const struct flow_totals *use = &d->splitter->totals;
	const struct flow_tables *flows = datapath_flow_tables(d->datapath);
	const struct limits *size = datapath_limits(d->datapath);
	const struct metrics_flow_table tables[] = {
		{"half_open", use->half_open, flow_table_entries(flows, FLOW_TABLE_FLOWS)},
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
	struct metrics_snapshot s = {
		.version = HEADGATE_VERSION,
		.abi = HEADGATE_ABI,
		.uptime_s = (now_ns() - d->started_ns) / 1e9,
		.adopted = datapath_adopted(d->datapath),
		.early_resent = early_counts(d->early).resent,
		.early_dropped = early_counts(d->early).dropped,
		.services = calloc(model->service_count + 1, sizeof(*s.services)),
	};
	int error = s.services ? 0 : -ENOMEM;

	for (size_t i = 0; i < model->service_count && !error; i++)
		error = fill_service(d, &model->services[i], &s.services[s.service_count++]);
	if (!error)
		error = add_counts(d, &s);
	if (!error) {
		fill_tables(d, &s);
		error = metrics_render(&s, ret_text, ret_length);
	}
	metrics_release(&s);
	return error;
}
