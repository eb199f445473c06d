/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REPORT_H
#define HEADGATE_REPORT_H

/* What is in force and what was counted, as JSON: docs/api.md has the shapes. NULL when memory runs out. */
#include <jansson.h>

#include "patrol.h"
#include "rates.h"
#include "shadow_sweep.h"
#include "splitter.h"

struct report_view {
	struct splitter *splitter;
	const struct routes *routes;
	const struct patrol *patrol;
	const struct rates *rates;
	const struct shadow_sweep *shadow_sweep;
	uint32_t now_s;
};

json_t *report_service(const struct report_view *view, const struct service_model *s);
json_t *report_services(const struct report_view *view);

/* Flow tables' use, by the last sweep. */
json_t *report_flow_totals(const struct splitter *sp);

struct flow_filter {
	const char *variant;            /* NULL: all */
	const char *state;              /* NULL: all */
	const struct endpoint *backend; /* NULL: all */
	const char *service;            /* NULL: all */
	const struct address *client;   /* NULL: all */
	size_t limit;
};
json_t *report_flows(struct splitter *sp, const struct flow_filter *filter, uint32_t now_tick);

/* Where a client's connection goes, and why. */
json_t *report_explain(struct splitter *sp, const struct routes *routes, const struct service_model *s,
		       const struct endpoint *client, uint32_t now_tick);

/* How a service's shadow is set, and whether it can be reached; JSON null where there is none. */
json_t *report_shadow(struct splitter *sp, const struct service_model *s);

/* The same with what was mirrored, how it ended, what the shadow answered, and how that compares. */
json_t *report_mirrored(const struct report_view *view, const struct service_model *s);

/* Whether a client's connection is mirrored, and to whom: {"mirrored", "backend", "why"}, or JSON null as above. */
json_t *report_explain_shadow(struct splitter *sp, const struct service_model *s, const struct flow_key *client);

/* One flow, as in flows and explain. */
json_t *report_flow(struct splitter *sp, const struct flow_key *key, const struct flow *f, bool half_open,
		    uint32_t now_tick);

/* "10.0.1.11:8000" of a backend id, or JSON null for 0 and ids that are nobody's. */
json_t *report_backend_endpoint(const struct splitter *sp, uint32_t backend);
json_t *report_backend_variant(const struct splitter *sp, uint32_t backend);

/* {"next_hop": MAC or null, "interface": name or null} put into @object. */
void report_hop(struct splitter *sp, const struct routes *routes, uint32_t backend, json_t *object);

#endif
