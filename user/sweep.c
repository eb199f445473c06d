// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sweep.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backends.h"
#include "cohorts.h"
#include "ends.h"
#include "expiry.h"
#include "farewell.h"
#include "hash.h"
#include "release.h"
#include "splitter.h"

/* A step ends after so many: a few milliseconds at most, and few steps where little is in the tables. */
#define SWEEP_ENTRIES 4096U
#define SWEEP_BUCKETS 16384U
#define RECENT_TICKS 4 /* a flow seen this lately is alive, whatever else is to be known of it */

enum sweep_phase { SWEEP_BEGIN, SWEEP_FLOWS, SWEEP_SAMPLED, SWEEP_SOURCE_PORTS };

struct sweep {
	enum sweep_phase phase;
	uint32_t bucket; /* the next one */
	uint32_t began_s;
	struct flow_totals totals;
	struct farewell *farewell;
	struct flow_copy copies[BUCKET_ENTRIES];
};

int sweep_create(struct sweep **ret)
{
	struct sweep *sweep = calloc(1, sizeof(*sweep));

	if (!sweep)
		return -ENOMEM;
	if (farewell_create(&sweep->farewell)) {
		free(sweep);
		return -ENOMEM;
	}
	*ret = sweep;
	return 0;
}

void sweep_destroy(struct sweep *sweep)
{
	if (!sweep)
		return;
	farewell_destroy(sweep->farewell);
	free(sweep);
}

/* --- the beginning of a pass --- */

static int begin_table(struct splitter *sp, uint32_t service, uint32_t index)
{
	struct service_state *s = &sp->services[service];
	const struct table *t = splitter_table(sp, service, index);
	struct slot_summary summary = {};

	if (t->entries && s->deadlines[index])
		slots_summarize(datapath_row(sp->datapath, t->entries), s->deadlines[index], &summary);
	free(s->disagreeing[index]);
	s->disagreeing[index] = NULL;
	if (!summary.tracked)
		return 0;
	s->disagreeing[index] = calloc(SLOTS, sizeof(uint32_t));
	return s->disagreeing[index] ? 0 : -ENOMEM;
}

static int begin_pass(struct splitter *sp, uint32_t now_s, uint32_t now_tick)
{
	struct id_list used = backends_used(sp);
	struct sweep *sweep = sp->sweep;
	int error = 0;

	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++) {
		struct service_state *s = &sp->services[id];

		if (s->use != ID_USED)
			continue;
		for (uint32_t index = 0; index < TABLES && !error; index++)
			error = begin_table(sp, id, index);
		for (size_t i = 0; i < s->cohort_count; i++)
			s->cohorts[i].disagreeing = 0;
	}
	for (uint32_t i = 0; i < used.count; i++) {
		struct backend_state *b = &sp->backends[used.id[i]];

		b->flows = b->living = b->astray = 0;
	}
	memset(&sweep->totals, 0, sizeof(sweep->totals));
	sweep->bucket = 0;
	farewell_begin(sweep->farewell, now_tick);
	sweep->began_s = now_s;
	sweep->phase = SWEEP_FLOWS;
	return error;
}

/* --- one flow --- */

/* Return: whether it is out by this: a program may have been quicker. */
static bool take_out(struct splitter *sp, const struct flow_copy *copy)
{
	return flow_tables_remove(datapath_flow_tables(sp->datapath), copy);
}

/* A connection that nobody ended: no SYN-ACK ever came, or both sides fell silent. Only its entry's going tells. */
static void count_silent(struct splitter *sp, uint8_t protocol, uint32_t backend, uint32_t flags)
{
	struct silent_counters counters;

	if (protocol != IPPROTO_TCP || flow_is_over(flags) ||
	    datapath_lookup(sp->datapath, MAP_SILENT_COUNTERS, &backend, &counters))
		return;
	if (!(flags & FLOW_REPLIED))
		counters.failed++;
	else if (flags & FLOW_ESTABLISHED)
		counters.expired++;
	datapath_update(sp->datapath, MAP_SILENT_COUNTERS, &backend, &counters);
}

/* Established and not over. */
static void count_living(struct splitter *sp, uint32_t backend, uint32_t flags)
{
	if (backend < datapath_limits(sp->datapath)->backends && !flow_is_over(flags))
		sp->backends[backend].living++;
}

/* One that is not where its slot points now. */
static void count_astray(struct splitter *sp, uint32_t backend, uint32_t flags)
{
	if (backend < datapath_limits(sp->datapath)->backends && !flow_is_over(flags))
		sp->backends[backend].astray++;
}

static void count_backend(struct splitter *sp, uint32_t backend)
{
	if (backend < datapath_limits(sp->datapath)->backends)
		sp->backends[backend].flows++;
}

static uint32_t idle_s(const struct splitter *sp, uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? sp->model->udp_idle_s : sp->model->tcp_idle_s;
}

/* True when the flow lives on. */
static bool keep_nat_flow(struct splitter *sp, const struct flow_copy *copy, uint32_t now_tick)
{
	const struct flow *f = &copy->flow.flow;
	uint8_t protocol = datapath_service(sp->datapath, copy->flow.key.service)->vip.protocol;
	struct flow_copy port;

	if (!(f->flags & FLOW_ENDS) && ticks_since(f->seen, now_tick) <= RECENT_TICKS)
		return true;
	if (!splitter_port_of_flow(sp, &copy->flow.key, f, &port)) {
		take_out(sp, copy);
		return false;
	}
	if (!flow_expired(f, &port.port, flow_copy_is_half_open(copy), protocol, now_tick, idle_s(sp, protocol)))
		return true;
	/* The flow first: a port without a flow is but idle, a flow without its port would be broken. */
	if (!take_out(sp, copy))
		return true;
	if (take_out(sp, &port))
		count_silent(sp, protocol, port.port.backend, port.port.flags);
	return false;
}

static slot_entry entry_of(struct splitter *sp, uint32_t service, uint32_t index, uint32_t slot)
{
	const struct table *t = splitter_table(sp, service, index);

	return t->entries ? datapath_row(sp->datapath, t->entries)->slot[slot] : 0;
}

/* Counts a flow that a table's slot does not agree with. True when the slot is tracked. */
static bool compare_with_table(struct splitter *sp, const struct flow_key *key, const struct flow *f, uint32_t index,
			       uint32_t slot, bool *ret_agrees)
{
	slot_entry entry = entry_of(sp, key->service, index, slot);

	*ret_agrees = (entry & SLOT_BACKEND) == f->backend;
	if (!(entry & SLOT_TRACKED))
		return false;
	if (!*ret_agrees && sp->services[key->service].disagreeing[index])
		sp->services[key->service].disagreeing[index][slot]++;
	return true;
}

/* True when a flow of a stateless mode lives on: its slot, or the rule it is under, is still tracked. */
static bool keep_tracked_flow(struct splitter *sp, const struct flow_copy *copy, uint32_t now_tick)
{
	const struct flow_key *key = &copy->flow.key;
	const struct flow *f = &copy->flow.flow;
	const struct service *s = datapath_service(sp->datapath, key->service);
	uint64_t hash = hash_client(s->seed, &key->client, s->flags & SERVICE_CLIENT_AFFINITY ? 0 : key->port);
	struct cohort_state *rule = cohorts_find(sp, key->service, &key->client);
	bool agrees, agrees_older, tracked;

	if (flow_expired(f, NULL, flow_copy_is_half_open(copy), s->vip.protocol, now_tick,
			 idle_s(sp, s->vip.protocol))) {
		take_out(sp, copy);
		return false;
	}
	tracked = compare_with_table(sp, key, f, rule ? rule->value.fresh : TABLE_MAIN, hash_slot(hash), &agrees);
	/* The server's FIN is not seen here, so the client's is the end. */
	if (!agrees && !(f->flags & FLOW_CLIENT_FIN)) {
		count_astray(sp, f->backend, f->flags);
		if (s->vip.protocol == IPPROTO_TCP)
			farewell_flow(sp->sweep->farewell, sp, key, f, hash);
	}
	if (rule && rule->value.tracked) {
		tracked = true;
		rule->disagreeing += !agrees;
		compare_with_table(sp, key, f, rule->value.older, hash_slot(hash), &agrees_older);
	}
	if (!tracked)
		take_out(sp, copy);
	return tracked;
}

/* NAT tracks nothing, yet a drain wants to know what is left. */
static void compare_nat_flow(struct splitter *sp, const struct flow_copy *copy)
{
	const struct flow_key *key = &copy->flow.key;
	const struct flow *f = &copy->flow.flow;
	const struct service *s = datapath_service(sp->datapath, key->service);
	uint64_t hash = hash_client(s->seed, &key->client, s->flags & SERVICE_CLIENT_AFFINITY ? 0 : key->port);
	const struct cohort_state *rule = cohorts_find(sp, key->service, &key->client);
	bool agrees;

	if (!flow_copy_is_half_open(copy))
		count_living(sp, f->backend, f->flags);
	compare_with_table(sp, key, f, rule ? rule->value.fresh : TABLE_MAIN, hash_slot(hash), &agrees);
	if (agrees)
		return;
	count_astray(sp, f->backend, f->flags);
	if (s->vip.protocol == IPPROTO_TCP)
		farewell_flow(sp->sweep->farewell, sp, key, f, hash);
}

/* One that has been silent since before its slot moved is in no other table. */
static void compare_sampled(struct splitter *sp, const struct flow_key *key, const struct sampled_flow *f)
{
	const struct service *s = datapath_service(sp->datapath, key->service);
	uint64_t hash = hash_client(s->seed, &key->client, s->flags & SERVICE_CLIENT_AFFINITY ? 0 : key->port);
	const struct cohort_state *rule = cohorts_find(sp, key->service, &key->client);
	slot_entry entry = entry_of(sp, key->service, rule ? rule->value.fresh : TABLE_MAIN, hash_slot(hash));

	if ((entry & SLOT_BACKEND) != f->backend && (entry & SLOT_TRACKED || (rule && rule->value.tracked)))
		farewell_sampled(sp->sweep->farewell, sp, key, f, hash);
}

/* A measured connection of a mode without state; its entry decides nothing. */
static bool keep_sampled(struct splitter *sp, const struct flow_copy *copy, uint32_t now_tick)
{
	const struct flow_key *key = &copy->sampled.key;
	const struct sampled_flow *f = &copy->sampled.flow;
	const struct flow as_flow = {.backend = f->backend, .seen = f->seen, .flags = f->flags};
	bool half_open = !(f->flags & FLOW_REPLIED);

	if (key->service >= datapath_limits(sp->datapath)->services || sp->services[key->service].use != ID_USED) {
		take_out(sp, copy);
		return false;
	}
	if (flow_expired(&as_flow, NULL, half_open, IPPROTO_TCP, now_tick, idle_s(sp, IPPROTO_TCP))) {
		if (take_out(sp, copy))
			count_silent(sp, IPPROTO_TCP, f->backend, f->flags);
		return false;
	}
	if (f->flags & FLOW_ESTABLISHED)
		count_living(sp, f->backend, f->flags);
	if (f->backend < datapath_limits(sp->datapath)->backends && sp->backends[f->backend].resetting)
		compare_sampled(sp, key, f);
	return true;
}

static bool keep_flow(struct splitter *sp, const struct flow_copy *copy, uint32_t now_tick)
{
	uint32_t service = copy->flow.key.service;

	if (service >= datapath_limits(sp->datapath)->services || sp->services[service].use != ID_USED) {
		take_out(sp, copy);
		return false;
	}
	if (datapath_service(sp->datapath, service)->mode != FORWARD_NAT)
		return keep_tracked_flow(sp, copy, now_tick);
	if (!keep_nat_flow(sp, copy, now_tick))
		return false;
	compare_nat_flow(sp, copy);
	return true;
}

/* --- one source port --- */

static bool port_has_flow(struct splitter *sp, const struct source_port *port)
{
	struct flow_copy flow;

	return flow_tables_find(datapath_flow_tables(sp->datapath), &port->flow, &flow) &&
	       flow.flow.flow.source == port->source && flow.flow.flow.source_port == port->port;
}

static bool keep_port(struct splitter *sp, const struct flow_copy *copy, uint32_t now_tick)
{
	const struct source_port *port = &copy->port;
	bool service_is_there = port->flow.service < datapath_limits(sp->datapath)->services &&
				sp->services[port->flow.service].use == ID_USED;

	if (service_is_there && (ticks_since(port->seen, now_tick) <= RECENT_TICKS || port_has_flow(sp, port)))
		return true;
	if (service_is_there && !source_port_expired(port, now_tick))
		return true;
	if (take_out(sp, copy) && service_is_there)
		count_silent(sp, datapath_service(sp->datapath, port->flow.service)->vip.protocol, port->backend,
			     port->flags);
	return false;
}

/* --- steps --- */

static void sweep_flow(struct splitter *sp, const struct flow_copy *copy, uint32_t now_tick)
{
	struct flow_totals *totals = &sp->sweep->totals;

	if (!keep_flow(sp, copy, now_tick))
		return;
	if (flow_copy_is_half_open(copy))
		totals->half_open++;
	else
		totals->established++;
	count_backend(sp, copy->flow.flow.backend);
}

static void sweep_sampled(struct splitter *sp, const struct flow_copy *copy, uint32_t now_tick)
{
	if (!keep_sampled(sp, copy, now_tick))
		return;
	sp->sweep->totals.sampled++;
	count_backend(sp, copy->sampled.flow.backend);
}

static void sweep_port(struct splitter *sp, const struct flow_copy *copy, uint32_t now_tick)
{
	if (!keep_port(sp, copy, now_tick))
		return;
	sp->sweep->totals.source_ports++;
	count_backend(sp, copy->port.backend);
}

/* What the pass counted becomes what is reported. */
static void publish_living(struct splitter *sp)
{
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++) {
		uint32_t service = datapath_backend(sp->datapath, used.id[i])->service;
		const struct service *s = datapath_service(sp->datapath, service);
		struct backend_state *b = &sp->backends[used.id[i]];

		b->active = b->living * (s->mode == FORWARD_NAT ? 1 : s->measure_mask + 1);
		b->leftover = b->astray;
	}
}

static void end_pass(struct splitter *sp)
{
	sp->totals = sp->sweep->totals;
	publish_living(sp);
	sp->sweep->phase = SWEEP_BEGIN;
	sp->passes++;
	release_settled(sp, sp->sweep->began_s);
	release_backends(sp);
	release_services(sp);
}

static const struct {
	enum flow_table table;
	void (*entry)(struct splitter *sp, const struct flow_copy *copy, uint32_t now_tick);
} phases[] = {
	[SWEEP_FLOWS] = {FLOW_TABLE_FLOWS, sweep_flow},
	[SWEEP_SAMPLED] = {FLOW_TABLE_SAMPLED, sweep_sampled},
	[SWEEP_SOURCE_PORTS] = {FLOW_TABLE_PORTS, sweep_port},
};

/* Return: how many entries it has. */
static uint32_t sweep_bucket(struct splitter *sp, uint32_t bucket, uint32_t now_tick)
{
	struct sweep *sweep = sp->sweep;
	uint32_t count =
		flow_tables_read(datapath_flow_tables(sp->datapath), phases[sweep->phase].table, bucket, sweep->copies);

	for (uint32_t i = 0; i < count; i++)
		phases[sweep->phase].entry(sp, &sweep->copies[i], now_tick);
	return count;
}

int sweep_step(struct splitter *sp, uint32_t now_s, uint32_t now_tick)
{
	struct sweep *sweep = sp->sweep;
	uint32_t buckets, last, entries = 0;

	if (sweep->phase == SWEEP_BEGIN)
		return begin_pass(sp, now_s, now_tick);
	farewell_step(sweep->farewell);
	buckets = flow_table_buckets(datapath_flow_tables(sp->datapath), phases[sweep->phase].table);
	last = buckets - sweep->bucket > SWEEP_BUCKETS ? sweep->bucket + SWEEP_BUCKETS : buckets;
	while (sweep->bucket < last && entries < SWEEP_ENTRIES)
		entries += sweep_bucket(sp, sweep->bucket++, now_tick);
	if (sweep->bucket < buckets)
		return 0;
	sweep->bucket = 0;
	if (sweep->phase != SWEEP_SOURCE_PORTS) {
		sweep->phase++;
		return 0;
	}
	end_pass(sp);
	return 1;
}

int sweep_whole(struct splitter *sp, uint32_t now_s, uint32_t now_tick)
{
	int result;

	sp->sweep->phase = SWEEP_BEGIN;
	do
		result = sweep_step(sp, now_s, now_tick);
	while (result == 0);
	return result < 0 ? result : 0;
}
