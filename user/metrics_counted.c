// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "metrics_page.h"

#include <string.h>

#include "names.h"

#define SERIES_MAX STATUS_CLASSES

/* One number of a subject, and the label that tells it from the family's others. */
struct series {
	const char *label; /* or NULL */
	size_t offset;     /* of a __u64 in what the family's walk counts */
	uint32_t needs;    /* enum figure; 0 ends the list */
};

struct counted_family {
	struct family family;
	bool sampled; /* of measured connections: to be scaled */
	struct series series[SERIES_MAX + 1];
};

/* --- what is counted of variants ------------------------------------------------------------------------------------
 */

#define MEASURED(field) offsetof(struct measured, field)
#define COUNTER(name_, help_) .family = {"headgate_" name_, FAMILY_COUNTER, help_}
#define CONNECTIONS(field) .series = {{NULL, MEASURED(field), FIGURE_CONNECTIONS}}

static const struct counted_family variant_families[] = {
	{COUNTER("variant_connections_opened_total", "Connections opened: first SYNs; UDP: new flows."),
	 .series = {{NULL, MEASURED(traffic.opened), FIGURE_OPENED}}},
	{COUNTER("variant_connections_established_total", "Connections whose handshake was completed." ESTIMATE),
	 .sampled = true, CONNECTIONS(sampled.established)},
	{COUNTER("variant_connections_failed_total", "Connections whose SYN was never answered." ESTIMATE),
	 .sampled = true, CONNECTIONS(silent.failed)},
	{COUNTER("variant_connections_refused_total", "Connections whose SYN was answered with a RST." ESTIMATE),
	 .sampled = true, CONNECTIONS(sampled.refused)},
	{COUNTER("variant_connections_closed_total", "Connections that both sides have ended with FIN." ESTIMATE),
	 .sampled = true, CONNECTIONS(sampled.closed)},
	{COUNTER("variant_connections_reset_total", "Connections ended by a RST, by who sent it." ESTIMATE),
	 .sampled = true,
	 .series = {{"by=\"client\"", MEASURED(sampled.reset_by_client), FIGURE_CONNECTIONS},
		    {"by=\"server\"", MEASURED(sampled.reset_by_server), FIGURE_CONNECTIONS},
		    {"by=\"drain\"", MEASURED(sampled.reset_by_drain), FIGURE_CONNECTIONS}}},
	{COUNTER("variant_connections_expired_total",
		 "Established connections that were forgotten after silence, without an end." ESTIMATE),
	 .sampled = true, CONNECTIONS(silent.expired)},
	{.family = {"headgate_variant_connections_active", FAMILY_GAUGE,
		    "Connections now, by the last sweep." ESTIMATE},
	 .series = {{NULL, MEASURED(active), FIGURE_ACTIVE}}}, /* comes scaled */
	{COUNTER("variant_connections_measured_total", "Connections that were measured, not scaled."),
	 CONNECTIONS(sampled.measured)},
	{COUNTER("variant_connections_unmeasured_total",
		 "Connections that were to be measured and found no room, not scaled."),
	 CONNECTIONS(sampled.unmeasured)},
	{COUNTER("variant_requests_total", "Requests: client data after server data." ESTIMATE), .sampled = true,
	 .series = {{NULL, MEASURED(sampled.requests), FIGURE_REQUESTS}}},
	{COUNTER("variant_responses_total",
		 "Responses, by HTTP/1 status class; none: does not begin with an HTTP/1 status line." ESTIMATE),
	 .sampled = true,
	 .series = {{"class=\"none\"", MEASURED(sampled.status[0]), FIGURE_REQUESTS},
		    {"class=\"1xx\"", MEASURED(sampled.status[1]), FIGURE_REQUESTS},
		    {"class=\"2xx\"", MEASURED(sampled.status[2]), FIGURE_REQUESTS},
		    {"class=\"3xx\"", MEASURED(sampled.status[3]), FIGURE_REQUESTS},
		    {"class=\"4xx\"", MEASURED(sampled.status[4]), FIGURE_REQUESTS},
		    {"class=\"5xx\"", MEASURED(sampled.status[5]), FIGURE_REQUESTS}}},
	{COUNTER("variant_retransmissions_total", "Data segments that hold nothing new, by who sent them." ESTIMATE),
	 .sampled = true,
	 .series = {{"direction=\"client\"", MEASURED(sampled.client_retransmissions), FIGURE_CONNECTIONS},
		    {"direction=\"server\"", MEASURED(sampled.server_retransmissions), FIGURE_CONNECTIONS}}},
	{COUNTER("variant_bytes_total", "Bytes of IP packets forwarded, headers included, by who sent them."),
	 .series = {{"direction=\"client\"", MEASURED(traffic.client_bytes), FIGURE_ANY},
		    {"direction=\"server\"", MEASURED(traffic.server_bytes), FIGURE_REPLIES}}},
	{COUNTER("variant_packets_total", "IP packets forwarded, by who sent them."),
	 .series = {{"direction=\"client\"", MEASURED(traffic.client_packets), FIGURE_ANY},
		    {"direction=\"server\"", MEASURED(traffic.server_packets), FIGURE_REPLIES}}},
};

/* --- of backends ----------------------------------------------------------------------------------------------------
 */

#define BACKEND(field) offsetof(struct metrics_backend, field)

static const struct counted_family backend_families[] = {
	{COUNTER("backend_connections_opened_total", "Connections opened: first SYNs; UDP: new flows."),
	 .series = {{NULL, BACKEND(traffic.opened), FIGURE_OPENED}}},
	{COUNTER("backend_connections_failed_total", "Connections whose SYN was never answered." ESTIMATE),
	 .sampled = true, .series = {{NULL, BACKEND(failed), FIGURE_CONNECTIONS}}},
	{COUNTER("backend_connections_refused_total", "Connections whose SYN was answered with a RST." ESTIMATE),
	 .sampled = true, .series = {{NULL, BACKEND(refused), FIGURE_CONNECTIONS}}},
	{.family = {"headgate_backend_connections_active", FAMILY_GAUGE,
		    "Connections now, by the last sweep." ESTIMATE},
	 .series = {{NULL, BACKEND(active), FIGURE_ACTIVE}}}, /* comes scaled */
	{COUNTER("backend_bytes_total", "Bytes of IP packets forwarded, headers included, by who sent them."),
	 .series = {{"direction=\"client\"", BACKEND(traffic.client_bytes), FIGURE_ANY},
		    {"direction=\"server\"", BACKEND(traffic.server_bytes), FIGURE_REPLIES}}},
};

/* --- of services ----------------------------------------------------------------------------------------------------
 */

#define SERVICE(field) offsetof(struct metrics_service, counters.field)

static const struct counted_family service_families[] = {
	{COUNTER("flow_lookups_total", "Packets that read flow state, as their slot is tracked."),
	 .series = {{NULL, SERVICE(flow_lookups), FIGURE_STATELESS}}},
	{COUNTER("flow_misses_total", "Packets of those whose connection was older than the change."),
	 .series = {{NULL, SERVICE(flow_misses), FIGURE_STATELESS}}},
	{COUNTER("service_answers_total",
		 "Packets that were answered here: echo requests to the address, and packets too big for the way."),
	 .series = {{"kind=\"echo\"", SERVICE(echo_answers), FIGURE_ANY},
		    {"kind=\"too_big\"", SERVICE(too_big_answers), FIGURE_ANY}}},
	{COUNTER("flow_overflows_total", "Packets of flows that found a flow table full."),
	 .series = {{NULL, SERVICE(flow_overflows), FIGURE_ANY}}},
};

static uint32_t drop_needs(enum drop_reason reason)
{
	switch (reason) {
	case DROP_NO_SOURCE:
		return FIGURE_NAT | FIGURE_GUE; /* the modes that send from this host's own address */
	case DROP_NO_FLOW:
	case DROP_PORTS_EXHAUSTED:
	case DROP_FLOW_TABLE_FULL:
		return FIGURE_NAT;
	default:
		return FIGURE_ANY;
	}
}

static void render_drops(struct exposition *e, const struct subjects *subjects)
{
	static const struct family family = {"headgate_service_drops_total", FAMILY_COUNTER,
					     "Packets for the service that were dropped, by reason."};
	char labels[DROP_REASONS][64];

	for (int reason = 0; reason < DROP_REASONS; reason++)
		snprintf(labels[reason], sizeof(labels[reason]), "reason=\"%s\"", name_of_drop(reason));
	exposition_family(e, &family);
	for (size_t i = 0; i < subjects->service_count; i++) {
		const struct subject *s = &subjects->services[i];

		for (int reason = 0; reason < DROP_REASONS; reason++)
			if (s->figures & drop_needs(reason))
				exposition_integer(e, "", s->labels, labels[reason],
						   s->service->counters.drops[reason]);
	}
}

/* --- all that is counted --------------------------------------------------------------------------------------------
 */

/* What the offsets of a subject's series begin at. */
static const void *counts_of(const struct subject *subject)
{
	if (subject->backend)
		return subject->backend;
	return subject->variant ? (const void *)&subject->variant->total : (const void *)subject->service;
}

static void render_counted(struct exposition *e, const struct counted_family *f, const struct subject *subjects,
			   size_t count)
{
	exposition_family(e, &f->family);
	for (size_t i = 0; i < count; i++) {
		const char *counts = counts_of(&subjects[i]);

		for (const struct series *s = f->series; s->needs; s++) {
			uint64_t value;

			if (!(s->needs & subjects[i].figures))
				continue;
			memcpy(&value, counts + s->offset, sizeof(value));
			exposition_integer(e, "", subjects[i].labels, s->label,
					   f->sampled ? value << subjects[i].shift : value);
		}
	}
}

void metrics_render_counted(struct exposition *e, const struct subjects *subjects)
{
	render_drops(e, subjects);
	for (size_t i = 0; i < ARRAY_SIZE(service_families); i++)
		render_counted(e, &service_families[i], subjects->services, subjects->service_count);
	for (size_t i = 0; i < ARRAY_SIZE(variant_families); i++)
		render_counted(e, &variant_families[i], subjects->variants, subjects->variant_count);
	for (size_t i = 0; i < ARRAY_SIZE(backend_families); i++)
		render_counted(e, &backend_families[i], subjects->backends, subjects->backend_count);
}
