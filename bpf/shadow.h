/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_H
#define HEADGATE_SHADOW_H

/*
 * Mirrored connections: finding, opening and ending them. A connection with the shadow has the client's own sequence
 * numbers in one direction and the shadow's in the other, so nothing has to be translated but addresses and ports; only
 * what it acknowledges is ours, since the client has never heard of the shadow.
 */
#include "count.h"
#include "flow.h"
#include "forward.h"
#include "hash.h"
#include "measuring.h"

#define SHADOW_PORT_TRIES 8
#define SHADOW_BURST 64U /* packets beyond the cap that may come at once */

/* A segment that the program behind the mirror makes, from nothing but this. */
#define EMITTED_HEADERS_MAX (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct tcphdr) + 8)
struct emission {
	struct tuple tuple;
	struct next_hop hop;
	struct stash_key data; /* what it carries; @bytes 0: nothing */
	__u32 bytes;
	__u32 sequence;
	__u32 acknowledged;
	__u16 service;
	__u16 mss;
	__u8 tcp_flags;
	__u8 traffic_class;
	__u8 ipv6;
	__u8 zero;
	__u8 header[2 + EMITTED_HEADERS_MAX]; /* two bytes in front put the IP header where it is aligned */
};

/* Values too large for the stack. The programs that use it run one at a time on a CPU, and not with each other. */
struct shadow_scratch {
	struct packet packet;
	struct shadow_flow fresh;
	struct emission emission;
	struct stash_segment segment;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[sizeof(struct shadow_scratch)]); /* raw: a lock inside could not be one of these */
} shadow_scratch __weak SEC(".maps");

static __always_inline struct shadow_scratch *shadow_space(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&shadow_scratch, &zero);
}

/* --- counting --- */

static __always_inline struct shadow_counters *shadow_counters_of(__u32 service)
{
	return bpf_map_lookup_elem(&shadow_counters, &service);
}

static __always_inline void shadow_ended(struct shadow_counters *c, __u32 end)
{
	asm volatile("" : "+r"(end)); /* the verifier must see what is compared in the register that is used */
	if (end < SHADOW_ENDS)
		c->ended[end]++;
}

static __always_inline void shadow_count_end(__u32 service, enum shadow_end end)
{
	struct shadow_counters *c = shadow_counters_of(service);

	if (c)
		shadow_ended(c, end);
}

static __always_inline void shadow_count_stray(__u32 service)
{
	struct shadow_counters *c = shadow_counters_of(service);

	if (c)
		c->stray++;
}

/* @bytes: of the IP packet. @requests: that begin with it, and have not been counted. */
static __always_inline void shadow_count_sent(__u32 service, __u32 bytes, __u32 requests)
{
	struct shadow_counters *c = shadow_counters_of(service);

	if (!c)
		return;
	c->packets++;
	c->bytes += bytes;
	c->requests += requests;
}

/* --- the cap --- */

struct shadow_budget {
	__u64 refilled_ns;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shadow_budget);
} shadow_budgets __weak SEC(".maps");

/* A token bucket: whether one more copy may go to the shadow now. */
static __always_inline bool shadow_allowed(const struct shadow *sh, __u32 service)
{
	__u32 rate = sh->packets_per_second;
	struct shadow_budget *budget;
	__u64 now, more;

	if (!rate)
		return true;
	budget = bpf_map_lookup_elem(&shadow_budgets, &service);
	if (!budget)
		return false;
	now = bpf_ktime_get_ns();
	more = now - budget->refilled_ns;
	more = more > 1000000000 ? SHADOW_BURST + rate : more * rate / 1000000000;
	if (more) {
		budget->refilled_ns = now;
		budget->packets += more;
		if (budget->packets > SHADOW_BURST + rate / 16)
			budget->packets = SHADOW_BURST + rate / 16;
	}
	if (!budget->packets)
		return false;
	budget->packets--;
	return true;
}

/* --- finding --- */

/**
 * shadow_of_reply - the mirrored connection that a shadow's packet belongs to
 * @endpoint: of the shadow that sent it
 * @ret_key: set to its key
 * Return: the connection, or NULL: nobody's.
 */
static __always_inline struct shadow_flow *shadow_of_reply(const struct packet *p, __u32 endpoint,
							   struct flow_key *ret_key)
{
	struct source_port_key key = {
		.endpoint = endpoint,
		.source_fold = address_fold(&p->destination),
		.port = p->destination_port,
	};
	struct shadow_port *port = bpf_map_lookup_elem(&shadow_ports, &key);
	struct shadow_flow *flow;
	struct address *source;
	__u32 id;

	if (!port)
		return NULL;
	*ret_key = port->flow;
	flow = bpf_map_lookup_elem(&shadow_flows, ret_key);
	if (!flow || flow->serial != port->serial || flow->source_port != p->destination_port)
		return NULL;
	id = flow->source;
	source = bpf_map_lookup_elem(&sources, &id);
	return source && address_same(source, &p->destination) ? flow : NULL;
}

/* By a key that another function has, from which Linux 6.1 takes none. */
static __always_inline struct shadow_flow *shadow_find(const struct flow_key *key)
{
	struct flow_key own;

	if (!key)
		return NULL;
	own = *key;
	return bpf_map_lookup_elem(&shadow_flows, &own);
}

/* How packets get to a connection's shadow, and from whom. */
struct shadow_way {
	struct tuple tuple;
	const struct next_hop *hop;
	__u32 mtu;
};

/* 0, or -1: the shadow cannot be reached now. */
static __always_inline int shadow_way_of(const struct shadow_flow *flow, struct shadow_way *ret)
{
	__u32 backend = flow->backend, source = flow->source;
	struct backend *b = bpf_map_lookup_elem(&backends, &backend);
	struct address *address = bpf_map_lookup_elem(&sources, &source);
	const struct next_hop *hop = b ? backend_hop(b) : NULL;

	asm volatile("" : "+r"(hop)); /* the verifier must see it compared */
	if (!hop || !address)
		return -1;
	ret->hop = hop;
	ret->mtu = b->mtu;
	ret->tuple.source = *address;
	ret->tuple.source_port = flow->source_port;
	ret->tuple.destination = b->address;
	ret->tuple.destination_port = b->port;
	return 0;
}

/* --- opening --- */

static __always_inline int shadow_port_key(const struct shadow_flow *flow, struct source_port_key *ret)
{
	__u32 backend = flow->backend, source = flow->source;
	struct backend *b = bpf_map_lookup_elem(&backends, &backend);
	struct address *address = bpf_map_lookup_elem(&sources, &source);

	if (!b || !address)
		return -1;
	ret->endpoint = b->endpoint;
	ret->source_fold = address_fold(address);
	ret->port = flow->source_port;
	ret->zero = 0;
	return 0;
}

static __always_inline void shadow_free_port(const struct shadow_flow *flow)
{
	struct source_port_key port_key;
	struct shadow_port *port;

	if (shadow_port_key(flow, &port_key))
		return;
	port = bpf_map_lookup_elem(&shadow_ports, &port_key);
	if (port && port->serial == flow->serial)
		bpf_map_delete_elem(&shadow_ports, &port_key);
}

/* Takes a connection out; its segments in the stash are the daemon's to clear away. */
static __always_inline void shadow_forget(const struct flow_key *key, const struct shadow_flow *flow)
{
	shadow_free_port(flow);
	bpf_map_delete_elem(&shadow_flows, key);
}

/*
 * A source port towards the shadow: another one for each connection, so that none meets what the one before it left
 * there. 0 or -(1 + enum shadow_end).
 */
static __always_inline int shadow_allocate(const struct shadow *sh, const struct backend *b, const struct flow_key *key,
					   struct shadow_flow *fresh)
{
	__u32 span = (__u32)sh->port_max - sh->port_min + 1;
	struct shadow_port value = {.flow = *key, .serial = fresh->serial};
	struct source_port_key port_key;
	__u32 source = b->source;
	struct address *address;
	int error;

	if (sh->source_count)
		source = sh->source[(fresh->serial % sh->source_count) & (SOURCES_MAX - 1)];
	address = source ? bpf_map_lookup_elem(&sources, &source) : NULL;
	if (!address)
		return -(1 + SHADOW_UNREACHABLE);
	fresh->source = source;
	port_key.endpoint = b->endpoint;
	port_key.source_fold = address_fold(address);
	port_key.zero = 0;
	for (__u32 i = 0; i < SHADOW_PORT_TRIES; i++) {
		port_key.port = bpf_htons(sh->port_min + ((fresh->serial >> 4) + i) % span);
		error = bpf_map_update_elem(&shadow_ports, &port_key, &value, BPF_NOEXIST);
		if (error == 0) {
			fresh->source_port = port_key.port;
			return 0;
		}
		if (error != -EEXIST && error != -EBUSY)
			break;
	}
	return -(1 + SHADOW_EVICTED);
}

/* Which of the shadows. 0 where there is none. */
static __always_inline __u32 shadow_backend(const struct shadow *sh, const struct flow_key *key)
{
	__u32 count = sh->backend_count;

	return count ? sh->backend[hash_shadow(&key->client, key->port, count) & (SHADOW_BACKENDS_MAX - 1)] : 0;
}

/* Its entry is there so that it is counted but once, and its packets are not taken for another's. */
static __always_inline void shadow_refuse(const struct flow_key *key, struct shadow_flow *fresh, enum shadow_end why)
{
	struct shadow_counters *c = shadow_counters_of(key->service);

	fresh->flags |= SHADOW_FLOW_OVER | SHADOW_FLOW_DEGRADED;
	if (bpf_map_update_elem(&shadow_flows, key, fresh, BPF_NOEXIST) && why == SHADOW_MID_CONNECTION)
		return; /* it would be counted with each packet */
	if (!c)
		return;
	c->eligible++;
	shadow_ended(c, why);
}

static __always_inline void shadow_fresh(const struct packet *p, struct shadow_flow *ret)
{
	__u32 first = p->sequence + 1; /* behind the SYN, whatever it may carry */

	__builtin_memset(ret, 0, sizeof(*ret));
	ret->serial = bpf_get_prandom_u32();
	ret->seen = tick_now();
	ret->opened_ns = bpf_ktime_get_ns();
	ret->progress_ns = ret->opened_ns;
	ret->first = first;
	ret->sent = first;
	ret->acked = first;
	ret->freed = first;
	ret->window_end = first;
	ret->client_next = first;
}

/**
 * shadow_open - a connection's first packet (or one of a connection that began unseen)
 * @flags: more enum shadow_flow_flags for it
 * @why: SHADOW_WHOLE: open it; else it is not to be mirrored, for this reason
 * Return: its entry, or NULL: it is not mirrored, and has been counted.
 */
static __always_inline struct shadow_flow *shadow_open(const struct packet *p, const struct shadow *sh,
						       const struct flow_key *key, __u32 flags, enum shadow_end why)
{
	struct shadow_scratch *space = shadow_space();
	struct shadow_counters *c = shadow_counters_of(key->service);
	__u32 backend = shadow_backend(sh, key);
	struct shadow_flow *fresh;
	struct backend *b;
	int error = 0;

	if (!space || !c)
		return NULL;
	fresh = &space->fresh;
	shadow_fresh(p, fresh);
	fresh->flags = flags;
	fresh->backend = backend;
	b = backend ? bpf_map_lookup_elem(&backends, &backend) : NULL;
	if (why == SHADOW_WHOLE && (!b || !backend_hop(b)))
		why = SHADOW_UNREACHABLE;
	if (why == SHADOW_WHOLE && !(flags & SHADOW_FLOW_REPLAY))
		error = shadow_allocate(sh, b, key, fresh);
	if (error)
		why = -error - 1;
	if (why != SHADOW_WHOLE) {
		shadow_refuse(key, fresh, why);
		return NULL;
	}
	if (bpf_map_update_elem(&shadow_flows, key, fresh, BPF_NOEXIST)) {
		c->eligible++;
		c->ended[SHADOW_EVICTED]++;
		shadow_free_port(fresh);
		return NULL;
	}
	c->eligible++;
	return bpf_map_lookup_elem(&shadow_flows, key);
}

/* --- ending --- */

/* Sets the flags of an end. True the first time: then, and only then, it is to be counted. Under the lock. */
static __always_inline bool shadow_ends(struct shadow_flow *flow, enum shadow_end end)
{
	if (flow->flags & SHADOW_FLOW_OVER)
		return false;
	flow->flags |= SHADOW_FLOW_OVER;
	if (end != SHADOW_WHOLE)
		flow->flags |= SHADOW_FLOW_DEGRADED;
	return true;
}

/* Whether a RST can be meant for a stream that is about here; a blind one would end it else (RFC 5961, 3.2). */
static __always_inline bool shadow_reset_is_plausible(const struct packet *p, __u32 next)
{
	return p->sequence - next < 65536 || next - p->sequence < 65536;
}

/**
 * shadow_end_counted - end the mirroring of a connection, and count that once
 * Who is to be told is the caller's business. Return: false: it was over already.
 */
static __always_inline bool shadow_end_counted(struct shadow_flow *flow, __u32 service, enum shadow_end end)
{
	struct comparison comparison = {};
	bool first;

	bpf_spin_lock(&flow->lock);
	if (!(flow->flags & SHADOW_FLOW_OVER))
		compare_end(flow, end, &comparison);
	first = shadow_ends(flow, end);
	bpf_spin_unlock(&flow->lock);
	if (!first)
		return false;
	shadow_count_end(service, end);
	comparison_count(service, &comparison);
	return true;
}

/* Nothing of what the client has sent waits: whoever resets a connection does not care whether the rest arrives. */
static __always_inline bool shadow_was_sent_all(const struct shadow_flow *flow)
{
	return !sequence_after(flow->client_next, flow->sent);
}

/* Nothing of what the client has sent is missing at the shadow. */
static __always_inline bool shadow_has_all(const struct shadow_flow *flow)
{
	return flow->flags & SHADOW_FLOW_OPEN && !sequence_after(flow->client_next, flow->acked);
}

#endif
