// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "figures.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "backends.h"
#include "remembered.h"

int figures_of_backend(struct splitter *sp, uint32_t id, struct measured *ret)
{
	struct measured m = {.active = sp->backends[id].active};
	int error = datapath_backend_counters(sp->datapath, id, &m.traffic);

	if (!error)
		error = datapath_measurements(sp->datapath, id, &m.sampled);
	if (!error)
		error = datapath_lookup(sp->datapath, MAP_SILENT_COUNTERS, &id, &m.silent);
	if (error)
		return error;
	m.silent.failed += m.sampled.given_up;
	*ret = m;
	return 0;
}

int figures_of_variant(struct splitter *sp, const struct service_model *s, const char *variant, struct measured *ret)
{
	struct id_list ids = backends_of(sp, s->name, variant);
	struct measured sum, one;
	int error = remembered_read(sp, s->name, variant, &sum);

	if (error)
		return error;
	for (uint32_t i = 0; i < ids.count; i++) {
		error = figures_of_backend(sp, ids.id[i], &one);
		if (error)
			return error;
		measured_add(&sum, &one);
	}
	*ret = sum;
	return 0;
}

uint32_t figures_scale(const struct service_model *s)
{
	return s->forward == FORWARD_NAT ? 1 : 1U << s->measure_shift;
}

static json_t *quantile(const struct histogram *h, double q)
{
	uint64_t ns;

	return histogram_quantile(h, q, &ns) ? json_null() : json_real(ns / 1e9);
}

static json_t *times(const struct histogram *h, uint32_t scale)
{
	return json_pack("{s:I, s:o, s:o, s:o}", "count", (json_int_t)(h->count * scale), "p50", quantile(h, 0.5),
			 "p95", quantile(h, 0.95), "p99", quantile(h, 0.99));
}

static json_t *statuses(const struct measurements *m, uint32_t scale)
{
	static const char *const names[STATUS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
	json_t *object = json_object();

	for (size_t i = 0; i < STATUS_CLASSES; i++)
		json_object_set_new(object, names[i], json_integer(m->status[i] * scale));
	return object;
}

json_t *figures_report(const struct service_model *s, const struct measured *m)
{
	struct available has = available_for(s->forward, s->protocol);
	uint32_t scale = figures_scale(s);
	const struct {
		const char *name;
		uint64_t count;
	} counts[] = {
		{"connections", m->sampled.measured},
		{"established", m->sampled.established},
		{"failed", m->silent.failed},
		{"refused", m->sampled.refused},
		{"closed", m->sampled.closed},
		{"reset_by_client", m->sampled.reset_by_client},
		{"reset_by_server", m->sampled.reset_by_server},
		{"reset_by_drain", m->sampled.reset_by_drain},
		{"expired", m->silent.expired},
		{"requests", m->sampled.requests},
		{"responses", m->sampled.responses},
		{"client_retransmissions", m->sampled.client_retransmissions},
		{"server_retransmissions", m->sampled.server_retransmissions},
	};
	json_t *object;
	double rate;

	if (!has.connections)
		return NULL;
	object = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		json_object_set_new(object, counts[i].name, json_integer(counts[i].count * scale));
	json_object_set_new(object, "status", statuses(&m->sampled, scale));
	json_object_set_new(object, "error_rate", measured_error_rate(m, &rate) ? json_null() : json_real(rate));
	json_object_set_new(object, "handshake_s", times(&m->sampled.handshake, scale));
	json_object_set_new(object, "first_byte_s", times(&m->sampled.first_byte, scale));
	json_object_set_new(object, "duration_s", times(&m->sampled.duration, scale));
	return object;
}
