// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Flows, and the explanation of one. */
#include <arpa/inet.h>
#include <string.h>

#include "cohorts.h"
#include "expiry.h"
#include "hash.h"
#include "names.h"
#include "report.h"

/* Seconds of a number of ticks of 2^30 ns. */
static json_t *ticks_in_seconds(uint32_t ticks)
{
	return json_integer((uint64_t)ticks * (1ULL << TICK_SHIFT) / 1000000000);
}

static json_t *flow_source(const struct splitter *sp, const struct flow *f)
{
	char text[ADDRESS_TEXT_SIZE];

	if (!f->source || f->source >= SOURCE_IDS_MAX)
		return json_null();
	return json_string(endpoint_format(&sp->sources[f->source], ntohs(f->source_port), text));
}

static const char *state_of(const struct flow *f, bool half_open)
{
	return f->flags & FLOW_ENDS ? "closing" : half_open ? "half-open" : "established";
}

/* How old a flow is, and what each side has sent as far as that is known: a sampled one's beginning was seen. */
static void report_extent(struct splitter *sp, const struct flow_key *key, const struct flow *f, uint32_t now_tick,
			  json_t *object)
{
	uint64_t client_bytes = f->client.bytes;
	uint32_t opened = f->opened;
	struct flow_copy copy;
	json_t *server = NULL;

	if (datapath_service(sp->datapath, key->service)->mode == FORWARD_NAT) {
		if (splitter_port_of_flow(sp, key, f, &copy))
			server = json_integer(copy.port.server.bytes);
	} else if (flow_tables_find_sampled(datapath_flow_tables(sp->datapath), key, &copy)) {
		opened = tick_of_ns(copy.sampled.flow.server.opened_ns);
		client_bytes = copy.sampled.flow.client.bytes;
		server = json_integer(copy.sampled.flow.server.bytes);
	}
	json_object_set_new(object, "age_s", ticks_in_seconds(ticks_since(opened, now_tick)));
	json_object_set_new(object, "idle_s", ticks_in_seconds(ticks_since(f->seen, now_tick)));
	json_object_set_new(object, "client_bytes", json_integer(client_bytes));
	if (server)
		json_object_set_new(object, "server_bytes", server);
}

json_t *report_flow(struct splitter *sp, const struct flow_key *key, const struct flow *f, bool half_open,
		    uint32_t now_tick)
{
	json_t *object = json_object();
	char text[ADDRESS_TEXT_SIZE];

	json_object_set_new(object, "service", json_string(sp->services[key->service].name));
	json_object_set_new(object, "client", json_string(endpoint_format(&key->client, ntohs(key->port), text)));
	json_object_set_new(object, "variant", report_backend_variant(sp, f->backend));
	json_object_set_new(object, "backend", report_backend_endpoint(sp, f->backend));
	json_object_set_new(object, "state", json_string(state_of(f, half_open)));
	json_object_set_new(object, "source", flow_source(sp, f));
	report_extent(sp, key, f, now_tick, object);
	return object;
}

static bool flow_wanted(const struct splitter *sp, const struct flow_filter *filter, const struct flow_key *key)
{
	if (key->service >= datapath_limits(sp->datapath)->services || sp->services[key->service].use != ID_USED)
		return false;
	if (filter->service && strcmp(filter->service, sp->services[key->service].name))
		return false;
	return !filter->client || address_equal(filter->client, &key->client);
}

static bool flow_matches(const struct splitter *sp, const struct flow_filter *filter, const struct flow *f,
			 bool half_open)
{
	const struct backend_identity *identity = &sp->backends[f->backend].identity;

	if (filter->state && strcmp(filter->state, state_of(f, half_open)))
		return false;
	if (filter->variant && strcmp(filter->variant, identity->variant))
		return false;
	return !filter->backend || (address_equal(&filter->backend->address, &identity->address) &&
				    htons(filter->backend->port) == identity->port);
}

static bool flow_reported(const struct splitter *sp, const struct flow_filter *filter, const struct flow_copy *copy)
{
	return flow_wanted(sp, filter, &copy->flow.key) &&
	       flow_matches(sp, filter, &copy->flow.flow, flow_copy_is_half_open(copy));
}

/* In one pass, so that none that is promoted meanwhile is missed: established ones are told first. */
json_t *report_flows(struct splitter *sp, const struct flow_filter *filter, uint32_t now_tick)
{
	const struct flow_tables *t = datapath_flow_tables(sp->datapath);
	json_t *established = json_array(), *half_open = json_array();
	struct flow_copy copies[BUCKET_ENTRIES];
	size_t total = 0;

	for (uint32_t bucket = 0; bucket < flow_table_buckets(t, FLOW_TABLE_FLOWS); bucket++) {
		uint32_t count = flow_tables_read(t, FLOW_TABLE_FLOWS, bucket, copies);

		for (uint32_t i = 0; i < count; i++) {
			const struct flow_entry *entry = &copies[i].flow;
			bool is_half_open = flow_copy_is_half_open(&copies[i]);
			json_t *array = is_half_open ? half_open : established;

			if (!flow_reported(sp, filter, &copies[i]))
				continue;
			total++;
			if (json_array_size(array) < filter->limit)
				json_array_append_new(array, report_flow(sp, &entry->key, &entry->flow, is_half_open,
									 now_tick));
		}
	}
	for (size_t i = 0; i < json_array_size(half_open) && json_array_size(established) < filter->limit; i++)
		json_array_append(established, json_array_get(half_open, i));
	json_decref(half_open);
	return json_pack("{s:o, s:I, s:I}", "flows", established, "total", (json_int_t)total, "shown",
			 (json_int_t)json_array_size(established));
}

/* --- explain --- */

/* A table's answer for a slot; base is 0 when the slot is settled. */
struct answer {
	uint32_t entry;
	uint32_t base;
	bool tracked;
};

static struct answer ask_table(struct splitter *sp, uint32_t service, uint32_t index, uint32_t slot)
{
	const struct table *t = splitter_table(sp, service, index);
	slot_entry entry = t->entries ? datapath_row(sp->datapath, t->entries)->slot[slot] : 0;
	struct answer answer = {.entry = entry & SLOT_BACKEND, .base = entry & SLOT_BACKEND};

	answer.tracked = entry & SLOT_TRACKED;
	if (answer.tracked && t->base)
		answer.base = datapath_row(sp->datapath, t->base)->slot[slot] & SLOT_BACKEND;
	return answer;
}

/* The same choice as bpf/slot.h's, for people. */
static struct answer ask(struct splitter *sp, uint32_t service, const struct cohort_state *rule, uint32_t slot)
{
	struct answer answer = ask_table(sp, service, rule ? rule->value.fresh : TABLE_MAIN, slot);

	if (!rule || !rule->value.tracked)
		return answer;
	answer.base = ask_table(sp, service, rule->value.older, slot).base;
	answer.tracked = true;
	return answer;
}

static const char *variant_name(const struct splitter *sp, uint32_t backend)
{
	return backend < datapath_limits(sp->datapath)->backends ? sp->backends[backend].identity.variant : "";
}

static json_t *tell_why(struct splitter *sp, const struct service_model *s, const struct endpoint *client,
			uint32_t slot, const char *rule, const struct answer *answer, bool has_flow)
{
	char text[ADDRESS_TEXT_SIZE];
	json_t *why = json_array();

	json_array_append_new(why, json_sprintf("slot %u of %u, from the hash of %s", slot, SLOTS,
						s->affinity == AFFINITY_CLIENT
							? address_format(&client->address, text)
							: endpoint_format(&client->address, client->port, text)));
	if (rule)
		json_array_append_new(why, json_sprintf("cohort %s decides, whatever the weights say", rule));
	json_array_append_new(why, json_sprintf("a new connection goes to %s", variant_name(sp, answer->entry)));
	if (answer->tracked && s->forward != FORWARD_NAT)
		json_array_append_new(why, json_sprintf("the slot is tracked until its connections have drained: one "
							"that is older than the change, and not in the flow table, "
							"goes to %s",
							variant_name(sp, answer->base)));
	if (s->server_id_bytes)
		json_array_append_new(why, json_string("a packet whose QUIC connection id holds a backend's server id "
						       "goes to that backend instead"));
	if (!forward_sees_replies(s->forward))
		json_array_append_new(why, json_sprintf("packets go to it as they are, by %s; it answers its clients "
							"itself, not by way of this host",
							name_of_forward(s->forward)));
	if (has_flow)
		json_array_append_new(why, json_string("this very connection is in the flow table, and stays there"));
	else if (s->forward == FORWARD_NAT)
		json_array_append_new(why, json_string("there is no such connection now; in nat mode every one has "
						       "flow state"));
	return why;
}

/* The last reason is the shadow's. */
static void explain_shadow(struct splitter *sp, const struct service_model *s, const struct flow_key *key,
			   json_t *object)
{
	json_t *shadow = report_explain_shadow(sp, s, key), *why = json_object_get(shadow, "why");

	if (why)
		json_array_append(json_object_get(object, "why"), why);
	json_object_set_new(object, "shadow", shadow);
}

static json_t *explain_base(struct splitter *sp, const struct answer *answer)
{
	if (!answer->tracked)
		return json_null();
	return json_pack("{s:o, s:o}", "variant", report_backend_variant(sp, answer->base), "backend",
			 report_backend_endpoint(sp, answer->base));
}

json_t *report_explain(struct splitter *sp, const struct routes *routes, const struct service_model *s,
		       const struct endpoint *client, uint32_t now_tick)
{
	uint32_t id = splitter_service_id(sp, s);
	const struct service *kernel = datapath_service(sp->datapath, id);
	struct flow_key key = {.client = client->address, .port = htons(client->port), .service = id};
	bool by_client = kernel->flags & SERVICE_CLIENT_AFFINITY;
	uint32_t slot = hash_slot(hash_client(kernel->seed, &client->address, by_client ? 0 : key.port));
	const struct cohort_state *rule = cohorts_find(sp, id, &client->address);
	struct answer answer = ask(sp, id, rule, slot);
	char text[ADDRESS_TEXT_SIZE], prefix_text[ADDRESS_TEXT_SIZE];
	json_t *object = json_object();
	struct flow_copy flow;
	bool has_flow;

	/* A rule on its way out decides nothing for new connections. */
	if (rule && rule->value.fresh == COHORT_SERVICE)
		rule = NULL;
	if (rule)
		prefix_format(&(struct prefix){rule->key.source, rule->key.prefix_bits - 32}, prefix_text);
	has_flow = flow_tables_find(datapath_flow_tables(sp->datapath), &key, &flow);
	json_object_set_new(object, "service", json_string(s->name));
	json_object_set_new(object, "source", json_string(endpoint_format(&client->address, client->port, text)));
	json_object_set_new(object, "slot", json_integer(slot));
	json_object_set_new(object, "decided_by", json_string(rule ? "cohort" : "weights"));
	if (rule)
		json_object_set_new(object, "cohort", json_string(prefix_text));
	json_object_set_new(object, "variant", report_backend_variant(sp, answer.entry));
	json_object_set_new(object, "backend", report_backend_endpoint(sp, answer.entry));
	json_object_set_new(object, "tracked", json_boolean(answer.tracked));
	json_object_set_new(object, "base", explain_base(sp, &answer));
	json_object_set_new(object, "flow",
			    has_flow ? report_flow(sp, &key, &flow.flow.flow, flow_copy_is_half_open(&flow), now_tick)
				     : json_null());
	report_hop(sp, routes, has_flow ? flow.flow.flow.backend : answer.entry, object);
	json_object_set_new(object, "why", tell_why(sp, s, client, slot, rule ? prefix_text : NULL, &answer, has_flow));
	explain_shadow(sp, s, &key, object);
	return object;
}
