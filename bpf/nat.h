/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_NAT_H
#define HEADGATE_NAT_H

/*
 * Source rewriting. Each flow has a source port of its own towards its endpoint; inserting it in source_ports, which
 * fails where it exists, is what makes a port belong to one flow.
 */
#include "count.h"
#include "flow.h"
#include "forward.h"
#include "measuring.h"
#include "slot.h"

#define PORT_TRIES 32

/* What a packet of a NAT flow is rewritten to. */
struct nat_flow {
	__u32 backend;
	__u16 source;
	__be16 source_port;
};

static __always_inline int source_port_key_of(__u32 endpoint, __u32 source, __be16 port, struct source_port_key *ret)
{
	struct address *address = bpf_map_lookup_elem(&sources, &source);

	if (!address)
		return -1;
	ret->endpoint = endpoint;
	ret->source_fold = address_fold(address);
	ret->port = port;
	ret->zero = 0;
	return 0;
}

/* The source id of a try: one of the configured ones, or the backend's own. */
static __always_inline __u32 nat_source(const struct service *s, const struct backend *b, __u32 index)
{
	return s->source_count ? s->source[index & (SOURCES_MAX - 1)] : b->source;
}

/**
 * nat_allocate - a free source port towards a backend's endpoint
 * @flow: whose it will be
 * @ret: source and source_port are set
 *
 * Ports are tried from a random one on (RFC 6056, 3.3.1), each with every source in turn, a bounded number in all.
 * Return: 0 or -(1 + enum drop_reason).
 */
static __always_inline int nat_allocate(const struct service *s, const struct backend *b, __u32 backend,
					const struct flow_key *flow, struct flow *ret)
{
	struct scratch *space = scratch_space();
	__u32 random = bpf_get_prandom_u32();
	__u32 ports = *(const volatile __u32 *)&s->port_min; /* both in one load, as they are stored */
	__u32 first_port = ports & 0xffff;
	__u32 span = (ports >> 16) - first_port + 1;
	__u32 sources_in_turn = s->source_count ? s->source_count : 1;
	struct source_port_key key;
	struct source_port *value;
	int error; /* before Linux 6.4 a map's errors are an int in a register of 64 bits: no long is ever -EEXIST */

	if (!space)
		return -(1 + DROP_FLOW_TABLE_FULL);
	value = &space->source_port;
	__builtin_memset(value, 0, sizeof(*value));
	value->flow = *flow;
	value->backend = backend;
	value->seen = ret->seen;
	value->server.opened_ns = bpf_ktime_get_ns();
	for (__u32 i = 0; i < PORT_TRIES; i++) {
		__u32 source = nat_source(s, b, (random + i) % sources_in_turn);
		__be16 port = bpf_htons(first_port + (random / SOURCES_MAX + i / sources_in_turn) % span);

		if (!source || source_port_key_of(b->endpoint, source, port, &key) < 0)
			return -(1 + DROP_NO_SOURCE);
		value->source = source;
		error = bpf_map_update_elem(&source_ports, &key, value, BPF_NOEXIST);
		if (error == 0) {
			ret->source = source;
			ret->source_port = port;
			return 0;
		}
		/* EBUSY: the bucket's lock is held on this very CPU (before Linux 6.6); the next port has another
		 * bucket. */
		if (error != -EEXIST && error != -EBUSY)
			return -(1 + DROP_FLOW_TABLE_FULL);
	}
	return -(1 + DROP_PORTS_EXHAUSTED);
}

/* The port entry of a flow, if it is still this flow's. */
static __always_inline struct source_port *nat_port_of(const struct flow_key *key, const struct flow *f)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &f->backend);
	struct source_port_key port_key;
	struct source_port *port;

	if (!b || source_port_key_of(b->endpoint, f->source, f->source_port, &port_key) < 0)
		return NULL;
	port = bpf_map_lookup_elem(&source_ports, &port_key);
	if (!port || port->flow.port != key->port || port->flow.service != key->service ||
	    !address_same(&port->flow.client, &key->client))
		return NULL;
	return port;
}

/* The client has proved that it saw the answer, so that blind segments fill no table. UDP's answer is all there is. */
static __always_inline bool nat_handshake_done(const struct packet *p, const struct source_port *port)
{
	if (!(port->flags & FLOW_REPLIED))
		return false;
	return p->protocol == IPPROTO_UDP || acknowledges_server(p, port->server_next);
}

/* A first packet: choose, allocate, write down. 0 or -(1 + enum drop_reason). */
static __always_inline int nat_open(const struct packet *p, const struct service *s, const struct choice *c,
				    const struct flow_key *key, struct nat_flow *ret)
{
	struct flow fresh = {
		.backend = c->entry,
		.seen = tick_now(),
		.opened = tick_now(),
		.client = {.bytes = p->bytes, .next = p->sequence_next},
	};
	struct backend *b = bpf_map_lookup_elem(&backends, &c->entry);
	struct source_port_key port_key;
	int error;

	if (!b || !c->entry)
		return -(1 + DROP_NO_BACKEND);
	if (!backend_hop(b))
		return -(1 + DROP_NO_NEXT_HOP);
	error = nat_allocate(s, b, c->entry, key, &fresh);
	if (error)
		return error;
	if (bpf_map_update_elem(&half_open, key, &fresh, BPF_NOEXIST)) {
		/* Another CPU was first with this flow (or there is no memory): the client will say it again. */
		if (source_port_key_of(b->endpoint, fresh.source, fresh.source_port, &port_key) == 0)
			bpf_map_delete_elem(&source_ports, &port_key);
		return -(1 + DROP_FLOW_TABLE_FULL);
	}
	if (p->protocol == IPPROTO_TCP)
		measure_opened(c->entry);
	ret->backend = c->entry;
	ret->source = fresh.source;
	ret->source_port = fresh.source_port;
	return 0;
}

/*
 * Rare packets of a known flow: those before it is established, those that begin a request, and those that end it. The
 * reverse direction is told; a port that is no longer this flow's (its entry was swept) makes the flow unknown.
 */
static __always_inline int nat_transition(const struct packet *p, const struct flow_key *key, struct flow *f,
					  bool half_open_hit, bool request_begins)
{
	struct source_port *port = nat_port_of(key, f);
	__u32 ends = flow_ends(p, &f->client);
	__u32 before;

	if (!port) {
		flow_forget(key);
		return -(1 + DROP_NO_FLOW);
	}
	if (refutes_reset(p, port->flags))
		__sync_fetch_and_and(&port->flags, ~FLOW_RESET);
	if (request_begins)
		port->server.request_ns = bpf_ktime_get_ns();
	if (ends & ~port->flags) {
		before = __sync_fetch_and_or(&port->flags, ends);
		measure_end(&port->flags, before, ends, true, port->server.opened_ns, f->backend);
	}
	if (!half_open_hit || !nat_handshake_done(p, port))
		return 0;
	if (p->protocol == IPPROTO_TCP && !(port->flags & FLOW_ESTABLISHED) &&
	    !(__sync_fetch_and_or(&port->flags, FLOW_ESTABLISHED) & FLOW_ESTABLISHED))
		measure_established(f->backend);
	flow_promote(key, f);
	return 0;
}

/**
 * nat_request - the flow of a client's packet
 * @c: where its slot points; only a new flow goes there
 * @ret_opened: true when the packet opens the flow
 * Return: 0 or -(1 + enum drop_reason).
 */
static __always_inline int nat_request(const struct packet *p, const struct service *s, __u32 service,
				       const struct choice *c, struct nat_flow *ret, bool *ret_opened)
{
	bool half_open_hit, request_begins, rare;
	struct flow_key key;
	struct flow *f;

	flow_key_of_request(p, service, &key);
	f = flow_find(&key, &half_open_hit);
	if (f && p->protocol == IPPROTO_TCP && packet_opens(p) &&
	    (flow_is_over(f->flags) || (half_open_hit && is_another_syn(p, &f->client)))) {
		flow_forget(&key);
		f = NULL;
	}
	*ret_opened = !f;
	if (!f)
		return packet_opens(p) || p->protocol == IPPROTO_UDP ? nat_open(p, s, c, &key, ret)
								     : -(1 + DROP_NO_FLOW);
	ret->backend = f->backend;
	ret->source = f->source;
	ret->source_port = f->source_port;
	rare = half_open_hit || p->tcp_flags & (TCP_FIN | TCP_RST) || f->flags & FLOW_ENDS;
	request_begins = measure_client(p, &f->client, &f->flags, f->backend);
	flow_touch(f, p);
	if (rare || request_begins)
		return nat_transition(p, &key, f, half_open_hit, request_begins);
	return 0;
}

/* Both directions remember the end. The client may have opened another connection since, with another source port. */
static __always_inline void nat_tell_client_side(const struct packet *p, const struct source_port *port, __u32 flags)
{
	bool half_open_hit;
	struct flow *f = flow_find(&port->flow, &half_open_hit);

	if (f && f->source_port == p->destination_port && f->source == port->source)
		__sync_fetch_and_or(&f->flags, flags);
}

/* What a backend's packet says of its flow: a first answer, data, or the end. */
static __always_inline void nat_reply_seen(const struct frame *f, const struct packet *p, struct source_port *port)
{
	__u32 flags = flow_flags_of(p, FLOW_SERVER_FIN);
	__u32 before;

	port->seen = tick_now();
	port->server.bytes += p->bytes + p->more_bytes;
	measure_server(f, p, &port->server, &port->server_next, port->backend);
	if (p->protocol == IPPROTO_UDP || is_syn_ack(p))
		flags |= FLOW_REPLIED;
	if (!(flags & ~port->flags))
		return;
	if (is_syn_ack(p))
		port->server_next = p->sequence_next;
	before = __sync_fetch_and_or(&port->flags, flags);
	if (is_syn_ack(p) && !(before & FLOW_REPLIED))
		measure_syn_ack(&port->server, port->backend);
	if (!(flags & FLOW_ENDS))
		return;
	if (p->protocol == IPPROTO_TCP)
		measure_end(&port->flags, before, flags & FLOW_ENDS, false, port->server.opened_ns, port->backend);
	nat_tell_client_side(p, port, flags & FLOW_ENDS);
}

/**
 * nat_reply - the flow that a packet from a backend belongs to
 * @endpoint: the backend's
 * Return: its port entry, or NULL: the packet is no flow's of ours, and passes.
 */
static __always_inline struct source_port *nat_reply(const struct packet *p, __u32 endpoint)
{
	struct source_port_key key = {
		.endpoint = endpoint,
		.source_fold = address_fold(&p->destination),
		.port = p->destination_port,
	};
	struct source_port *port = bpf_map_lookup_elem(&source_ports, &key);
	struct address *source;
	__u32 id;

	if (!port)
		return NULL;
	id = port->source;
	source = bpf_map_lookup_elem(&sources, &id);
	if (!source || !address_same(source, &p->destination))
		return NULL;
	return port;
}

#endif
