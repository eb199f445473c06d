// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "report.h"

#include <arpa/inet.h>
#include <string.h>

#include "names.h"

static json_t *format_endpoint(const struct address *address, uint16_t port)
{
	char text[ADDRESS_TEXT_SIZE];

	return json_string(endpoint_format(address, port, text));
}

static bool known_backend(const struct splitter *sp, uint32_t id)
{
	return id && id < datapath_limits(sp->datapath)->backends && sp->backends[id].use != ID_FREE;
}

json_t *report_backend_endpoint(const struct splitter *sp, uint32_t id)
{
	if (!known_backend(sp, id))
		return json_null();
	return format_endpoint(&sp->backends[id].identity.address, ntohs(sp->backends[id].identity.port));
}

json_t *report_backend_variant(const struct splitter *sp, uint32_t id)
{
	return known_backend(sp, id) ? json_string(sp->backends[id].identity.variant) : json_null();
}

void report_hop(struct splitter *sp, const struct routes *routes, uint32_t id, json_t *object)
{
	const struct backend *b = datapath_backend(sp->datapath, id);
	const struct next_hop *hop = &b->hop[b->hop_active & 1];
	const struct link_info *link = routes ? routes_link(routes, hop->ifindex) : NULL;
	const uint8_t *mac = hop->destination_mac;

	json_object_set_new(object, "next_hop",
			    hop->ifindex ? json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
							mac[4], mac[5])
					 : json_null());
	json_object_set_new(object, "interface", link ? json_string(link->name) : json_null());
}

/* --- counts --- */

static void add_counters(struct backend_counters *sum, const struct backend_counters *c)
{
	sum->opened += c->opened;
	sum->client_packets += c->client_packets;
	sum->client_bytes += c->client_bytes;
	sum->server_packets += c->server_packets;
	sum->server_bytes += c->server_bytes;
}

static void set_counters(json_t *object, const struct backend_counters *c)
{
	json_object_set_new(object, "opened", json_integer(c->opened));
	json_object_set_new(object, "client_packets", json_integer(c->client_packets));
	json_object_set_new(object, "client_bytes", json_integer(c->client_bytes));
	json_object_set_new(object, "server_packets", json_integer(c->server_packets));
	json_object_set_new(object, "server_bytes", json_integer(c->server_bytes));
}

/* Slots of a service's own table by backend id: [limits.backends], to be freed. */
static uint32_t *count_slots(struct splitter *sp, uint32_t service)
{
	uint32_t limit = datapath_limits(sp->datapath)->backends;
	uint32_t *slots = calloc(limit, sizeof(*slots));
	const struct table *t = splitter_table(sp, service, TABLE_MAIN);

	for (uint32_t slot = 0; slots && t->entries && slot < SLOTS; slot++) {
		uint32_t id = datapath_row(sp->datapath, t->entries)->slot[slot] & SLOT_BACKEND;

		if (id < limit)
			slots[id]++;
	}
	return slots;
}

/* --- a service --- */

static json_t *report_backend(struct splitter *sp, const struct routes *routes, const struct variant_model *v,
			      uint32_t id, uint32_t slots, const struct backend_counters *counters)
{
	const struct backend_identity *identity = &sp->backends[id].identity;
	json_t *object = json_object();
	uint32_t weight = 0;

	for (size_t i = 0; i < v->backend_count; i++)
		if (address_equal(&v->backends[i].endpoint.address, &identity->address) &&
		    htons(v->backends[i].endpoint.port) == identity->port)
			weight = v->backends[i].weight;
	json_object_set_new(object, "address", report_backend_endpoint(sp, id));
	json_object_set_new(object, "weight", json_integer(weight));
	json_object_set_new(object, "slots", json_integer(slots));
	report_hop(sp, routes, id, object);
	set_counters(object, counters);
	json_object_set_new(object, "state", json_string(sp->backends[id].use == ID_USED ? "active" : "draining"));
	return object;
}

static json_t *report_variant(struct splitter *sp, const struct routes *routes, const struct service_model *s,
			      const struct variant_model *v, const uint32_t *slots)
{
	json_t *object = json_object(), *backends = json_array();
	struct backend_counters sum = {}, own;
	uint32_t variant_slots = 0;

	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->backends; id++) {
		const struct backend_identity *identity = &sp->backends[id].identity;

		if (!known_backend(sp, id) || strcmp(identity->service, s->name) ||
		    strcmp(identity->variant, v->name) || datapath_backend_counters(sp->datapath, id, &own))
			continue;
		add_counters(&sum, &own);
		variant_slots += slots[id];
		if (identity->port)
			json_array_append_new(backends, report_backend(sp, routes, v, id, slots[id], &own));
	}
	json_object_set_new(object, "name", json_string(v->name));
	json_object_set_new(object, "weight", json_integer(v->weight));
	json_object_set_new(object, "slots", json_integer(variant_slots));
	json_object_set_new(object, "share", json_real((double)variant_slots / SLOTS));
	set_counters(object, &sum);
	json_object_set_new(object, "backends", backends);
	return object;
}

static bool set_by_command(const struct service_model *s, const struct prefix *source)
{
	for (size_t i = 0; i < s->cohort_count; i++)
		if (prefix_equal(&s->cohorts[i].source, source))
			return s->cohorts[i].by_command;
	return true; /* on its way out: a command or a reload took it away */
}

static json_t *report_cohorts(const struct service_state *state, const struct service_model *s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < state->cohort_count; i++) {
		const struct cohort_state *rule = &state->cohorts[i];
		struct prefix source = {rule->key.source, rule->key.prefix_bits - 32};
		bool goes_back = rule->leaving && rule->value.fresh == COHORT_SERVICE;
		uint32_t variant = goes_back ? rule->value.older : rule->value.fresh;
		char text[ADDRESS_TEXT_SIZE];

		json_array_append_new(array, json_pack("{s:s, s:s, s:b, s:s}", "source", prefix_format(&source, text),
						       "variant", variant < VARIANTS_MAX ? state->variant[variant] : "",
						       "by_command", set_by_command(s, &source), "state",
						       rule->leaving         ? "removed"
						       : rule->value.tracked ? "added"
									     : "settled"));
	}
	return array;
}

static json_t *report_slots(struct splitter *sp, uint32_t service, uint32_t now_s)
{
	const struct table *t = splitter_table(sp, service, TABLE_MAIN);
	const struct slot_deadlines *deadlines = sp->services[service].deadlines[TABLE_MAIN];
	struct slot_summary summary = {};
	json_t *object = json_object();
	double left = 0;

	if (t->entries && deadlines)
		slots_summarize(datapath_row(sp->datapath, t->entries), deadlines, &summary);
	if (summary.last_deadline_s > now_s)
		left = summary.last_deadline_s - now_s;
	json_object_set_new(object, "settled", json_integer(SLOTS - summary.tracked));
	json_object_set_new(object, "tracked", json_integer(summary.tracked));
	json_object_set_new(object, "settles_in_s", summary.tracked ? json_real(left) : json_null());
	return object;
}

static void set_service_counters(struct splitter *sp, uint32_t service, json_t *object)
{
	struct service_counters counters = {};
	json_t *drops = json_object();

	datapath_service_counters(sp->datapath, service, &counters);
	json_object_set_new(object, "flow_lookups", json_integer(counters.flow_lookups));
	json_object_set_new(object, "flow_misses", json_integer(counters.flow_misses));
	json_object_set_new(object, "flow_overflows", json_integer(counters.flow_overflows));
	for (int reason = 0; reason < DROP_REASONS; reason++)
		json_object_set_new(drops, name_of_drop(reason), json_integer(counters.drops[reason]));
	json_object_set_new(object, "drops", drops);
}

json_t *report_service(struct splitter *sp, const struct routes *routes, const struct service_model *s, uint32_t now_s)
{
	uint32_t id = splitter_service_id(sp, s);
	_cleanup_free_ uint32_t *slots = count_slots(sp, id);
	json_t *object = json_object(), *variants = json_array();
	char text[ADDRESS_TEXT_SIZE];

	if (!slots)
		return NULL;
	json_object_set_new(object, "name", json_string(s->name));
	json_object_set_new(object, "address", json_string(address_format(&s->vip.address, text)));
	json_object_set_new(object, "port", json_integer(s->vip.port));
	json_object_set_new(object, "protocol", json_string(name_of_protocol(s->protocol)));
	json_object_set_new(object, "forward", json_string(name_of_forward(s->forward)));
	json_object_set_new(object, "affinity", json_string(name_of_affinity(s->affinity)));
	for (size_t v = 0; v < s->variant_count; v++)
		json_array_append_new(variants, report_variant(sp, routes, s, &s->variants[v], slots));
	json_object_set_new(object, "variants", variants);
	json_object_set_new(object, "cohorts", report_cohorts(&sp->services[id], s));
	json_object_set_new(object, "slots", report_slots(sp, id, now_s));
	set_service_counters(sp, id, object);
	return object;
}

json_t *report_services(struct splitter *sp, const struct routes *routes, uint32_t now_s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < sp->model->service_count; i++)
		json_array_append_new(array, report_service(sp, routes, &sp->model->services[i], now_s));
	return array;
}

json_t *report_flow_totals(const struct splitter *sp)
{
	const struct limits *limits = datapath_limits(sp->datapath);

	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "half_open", sp->totals.half_open, "half_open_max",
			 limits->half_open, "established", sp->totals.established, "established_max",
			 limits->established, "source_ports", sp->totals.source_ports, "source_ports_max",
			 limits->half_open + limits->established);
}
