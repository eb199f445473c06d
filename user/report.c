// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "report.h"

#include <arpa/inet.h>
#include <string.h>

#include "backends.h"
#include "figures.h"
#include "names.h"
#include "remembered.h"
#include "text.h"

static json_t *format_endpoint(const struct address *address, uint16_t port)
{
	char text[ADDRESS_TEXT_SIZE];

	return json_string(endpoint_format(address, port, text));
}

static bool known_backend(const struct splitter *sp, uint32_t id)
{
	return id && id < datapath_limits(sp->datapath)->backends &&
	       (sp->backends[id].use == ID_USED || sp->backends[id].use == ID_LEAVING);
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

/* What only some services have is absent where it is not. */
static void set_counters(const struct service_model *s, const struct backend_counters *c, json_t *object)
{
	struct available has = available_for(s->forward, s->protocol);

	if (has.opened)
		json_object_set_new(object, "opened", json_integer(c->opened));
	json_object_set_new(object, "client_packets", json_integer(c->client_packets));
	json_object_set_new(object, "client_bytes", json_integer(c->client_bytes));
	if (!has.replies)
		return;
	json_object_set_new(object, "server_packets", json_integer(c->server_packets));
	json_object_set_new(object, "server_bytes", json_integer(c->server_bytes));
}

/* --- a service --- */

static void set_health(const struct report_view *view, const struct service_model *s, uint32_t id, json_t *object)
{
	const struct backend_state *b = &view->splitter->backends[id];
	const char *why = NULL;
	const struct health *health = patrol_health(view->patrol, id, &why);
	bool checked = health && s->health.check != HEALTH_NONE;

	json_object_set_new(object, "health", checked ? json_string(health_state_name(health->state)) : json_null());
	json_object_set_new(object, "health_why", checked && why ? json_string(why) : json_null());
	json_object_set_new(object, "in_rotation", json_boolean(b->use == ID_USED && b->in_rotation));
}

static void set_drain(const struct report_view *view, uint32_t id, json_t *object)
{
	const struct backend_state *b = &view->splitter->backends[id];
	double share = datapath_backend(view->splitter->datapath, id)->reset_below / (double)RESET_EVERYONE;

	json_object_set_new(object, "leftover", json_integer(b->leftover));
	json_object_set_new(object, "resetting", b->resetting ? json_real(share) : json_null());
}

static void set_measured(const struct service_model *s, const struct measured *m, json_t *object)
{
	json_t *measured = figures_report(s, m);

	if (available_for(s->forward, s->protocol).active)
		json_object_set_new(object, "active", json_integer(m->active));
	if (measured)
		json_object_set_new(object, "measured", measured);
}

static json_t *report_backend(const struct report_view *view, const struct service_model *s,
			      const struct variant_model *v, uint32_t id, const struct measured *m)
{
	const struct backend_state *b = &view->splitter->backends[id];
	const struct backend_model *model = b->place ? &v->backends[b->place - 1] : NULL;
	json_t *object = json_object();

	json_object_set_new(object, "address", report_backend_endpoint(view->splitter, id));
	json_object_set_new(object, "weight", json_integer(model ? model->weight : 0));
	json_object_set_new(object, "slots", json_integer(b->slots));
	report_hop(view->splitter, view->routes, id, object);
	set_counters(s, &m->traffic, object);
	set_measured(s, m, object);
	set_health(view, s, id, object);
	set_drain(view, id, object);
	json_object_set_new(object, "drained", json_boolean(model && model->drained));
	json_object_set_new(object, "state", json_string(b->use == ID_USED ? "active" : "draining"));
	return object;
}

/* What is summed up over a variant's ids, on what is remembered of others. */
struct variant_sums {
	struct measured measured;
	uint32_t slots;
	uint64_t opened_lately; /* since the daemon started */
	double rate;
};

static json_t *report_ids(const struct report_view *view, const struct service_model *s, const struct variant_model *v,
			  struct variant_sums *sums)
{
	struct splitter *sp = view->splitter;
	struct id_list ids = backends_of(sp, s->name, v->name);
	json_t *backends = json_array();
	struct measured one;

	for (uint32_t i = 0; i < ids.count; i++) {
		uint32_t id = ids.id[i];

		if (figures_of_backend(sp, id, &one))
			continue;
		measured_add(&sums->measured, &one);
		sums->slots += sp->backends[id].slots;
		sums->rate += rates_of(view->rates, id);
		sums->opened_lately += rates_since_start(view->rates, id);
		json_array_append_new(backends, report_backend(view, s, v, id, &one));
	}
	return backends;
}

static json_t *report_variant(const struct report_view *view, const struct service_model *s,
			      const struct variant_model *v, uint64_t *opened_lately)
{
	struct variant_sums sums = {};
	json_t *object = json_object(), *backends;

	remembered_read(view->splitter, s->name, v->name, &sums.measured);
	backends = report_ids(view, s, v, &sums);
	json_object_set_new(object, "name", json_string(v->name));
	json_object_set_new(object, "weight", json_integer(v->weight));
	json_object_set_new(object, "slots", json_integer(sums.slots));
	json_object_set_new(object, "share", json_real((double)sums.slots / SLOTS));
	set_counters(s, &sums.measured.traffic, object);
	set_measured(s, &sums.measured, object);
	if (available_for(s->forward, s->protocol).opened) {
		json_object_set_new(object, "rate", json_real(sums.rate));
		json_object_set_new(object, "new_share",
				    json_integer(sums.opened_lately)); /* a share once all are known */
	}
	json_object_set_new(object, "backends", backends);
	*opened_lately += sums.opened_lately;
	return object;
}

static void set_new_shares(json_t *variants, uint64_t opened_lately)
{
	json_t *variant;
	size_t i;

	json_array_foreach(variants, i, variant)
	{
		double own = json_integer_value(json_object_get(variant, "new_share"));

		json_object_set_new(variant, "new_share", opened_lately ? json_real(own / opened_lately) : json_null());
	}
}

static json_t *text_or_null(const char *text)
{
	return *text ? json_string(text) : json_null();
}

static json_t *report_cohorts(const struct service_state *state, const struct service_model *s)
{
	static const struct cohort_model gone = {.by_command = true};
	json_t *array = json_array();

	for (size_t i = 0; i < state->cohort_count; i++) {
		const struct cohort_state *rule = &state->cohorts[i];
		struct prefix source = {rule->key.source, rule->key.prefix_bits - 32};
		bool goes_back = rule->leaving && rule->value.fresh == COHORT_SERVICE;
		uint32_t variant = goes_back ? rule->value.older : rule->value.fresh;
		char text[ADDRESS_TEXT_SIZE], instant[INSTANT_SIZE];
		const struct cohort_model *c;

		/* One on its way out is not in the model: a command, a reload or its expiry took it away. */
		c = service_find_cohort(s, &source);
		if (!c)
			c = &gone;
		json_array_append_new(
			array, json_pack("{s:s, s:s, s:b, s:s, s:o, s:o, s:o}", "source", prefix_format(&source, text),
					 "variant", variant < VARIANTS_MAX ? state->variant[variant] : "", "by_command",
					 c->by_command, "state",
					 rule->leaving         ? "removed"
					 : rule->value.tracked ? "added"
							       : "settled",
					 "owner", text_or_null(c->owner), "note", text_or_null(c->note), "expires",
					 text_or_null(c->expires_s ? text_of_instant(c->expires_s, instant) : "")));
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
	json_object_set_new(object, "answers",
			    json_pack("{s:I, s:I}", "echo", (json_int_t)counters.echo_answers, "too_big",
				      (json_int_t)counters.too_big_answers));
}

static void set_policies(const struct report_view *view, const struct service_model *s, json_t *object)
{
	static const char *const checks[] = {"none", "tcp", "http", "https", "grpc"};
	static const char *const policies[] = {"keep", "reset"};
	uint32_t one_in = figures_scale(s);
	struct id_list ids = backends_of(view->splitter, s->name, NULL);
	uint64_t leftover = 0;

	for (uint32_t i = 0; i < ids.count; i++)
		leftover += view->splitter->backends[ids.id[i]].leftover;
	if (available_for(s->forward, s->protocol).connections)
		json_object_set_new(object, "sampled",
				    json_pack("{s:I, s:b}", "one_in", (json_int_t)one_in, "exact", one_in == 1));
	json_object_set_new(object, "drain",
			    json_pack("{s:s, s:s, s:f, s:I}", "on_change", policies[s->on_change], "on_rollback",
				      policies[s->on_rollback], "pace_per_s", s->pace_permille / 1000.0, "leftover",
				      (json_int_t)leftover));
	json_object_set_new(object, "health",
			    json_pack("{s:s, s:f}", "check", checks[s->health.check], "interval_s",
				      s->health.interval_ms / 1000.0));
}

json_t *report_service(const struct report_view *view, const struct service_model *s)
{
	struct splitter *sp = view->splitter;
	uint32_t id = splitter_service_id(sp, s);
	json_t *object = json_object(), *variants = json_array();
	char text[ADDRESS_TEXT_SIZE];
	uint64_t opened_lately = 0;

	json_object_set_new(object, "name", json_string(s->name));
	json_object_set_new(object, "address", json_string(address_format(&s->vip.address, text)));
	json_object_set_new(object, "port", json_integer(s->vip.port));
	json_object_set_new(object, "protocol", json_string(name_of_protocol(s->protocol)));
	json_object_set_new(object, "forward", json_string(name_of_forward(s->forward)));
	json_object_set_new(object, "affinity", json_string(name_of_affinity(s->affinity)));
	for (size_t v = 0; v < s->variant_count; v++)
		json_array_append_new(variants, report_variant(view, s, &s->variants[v], &opened_lately));
	if (available_for(s->forward, s->protocol).opened)
		set_new_shares(variants, opened_lately);
	json_object_set_new(object, "variants", variants);
	json_object_set_new(object, "cohorts", report_cohorts(&sp->services[id], s));
	json_object_set_new(object, "shadow", report_shadow(sp, s));
	set_policies(view, s, object);
	json_object_set_new(object, "slots", report_slots(sp, id, view->now_s));
	set_service_counters(sp, id, object);
	return object;
}

json_t *report_services(const struct report_view *view)
{
	const struct model *model = view->splitter->model;
	json_t *array = json_array();

	for (size_t i = 0; i < model->service_count; i++)
		json_array_append_new(array, report_service(view, &model->services[i]));
	return array;
}

json_t *report_flow_totals(const struct splitter *sp)
{
	const struct limits *limits = datapath_limits(sp->datapath);
	uint32_t entries = flow_table_entries(datapath_flow_tables(sp->datapath), FLOW_TABLE_FLOWS);

	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "sampled", sp->totals.sampled, "sampled_max",
			 limits->established, "half_open", sp->totals.half_open, "half_open_max", entries,
			 "established", sp->totals.established, "established_max", limits->established, "source_ports",
			 sp->totals.source_ports, "source_ports_max", limits->half_open + limits->established);
}
