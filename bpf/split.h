/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SPLIT_H
#define HEADGATE_SPLIT_H

/*
 * The way of a packet, for every hook: parse, service, slot, flow, backend, count, forward.
 */
#include "count.h"
#include "forward.h"
#include "nat.h"
#include "parse.h"
#include "reset.h"
#include "rewrite.h"
#include "sampled.h"
#include "slot.h"
#include "tracked.h"

/* Where a packet that is to be sent goes, and for which service. */
struct departure {
	__u32 ifindex;
	__u32 service;
};

/* What a client's packet is to become. Set by the service's mode. */
struct plan {
	struct tuple tuple;
	__u32 backend;
	bool opened;
};

/* Destination rewritten, client kept. 0 or -(1 + enum drop_reason). */
static __always_inline int plan_dnat(const struct packet *p, const struct service *s, __u32 service,
				     const struct choice *c, struct plan *ret)
{
	ret->tuple.source = p->source;
	ret->tuple.source_port = p->source_port;
	if (c->tracked) {
		ret->backend = tracked_backend(p, s, service, c, &ret->opened);
	} else {
		ret->backend = c->entry;
		ret->opened = p->protocol == IPPROTO_TCP && packet_opens(p);
	}
	return 0;
}

/* Destination and source rewritten. 0 or -(1 + enum drop_reason). */
static __always_inline int plan_nat(const struct packet *p, const struct service *s, __u32 service,
				    const struct choice *c, struct plan *ret)
{
	struct address *source;
	struct nat_flow flow;
	__u32 id;
	int error = nat_request(p, s, service, c, &flow, &ret->opened);

	if (error)
		return error;
	id = flow.source;
	source = bpf_map_lookup_elem(&sources, &id);
	if (!source)
		return -(1 + DROP_NO_SOURCE);
	ret->tuple.source = *source;
	ret->tuple.source_port = flow.source_port;
	ret->backend = flow.backend;
	return 0;
}

/*
 * A connection that the pace of a drain has come to: both tables learn that it is over, so that the backend is told
 * with its next packet, and a SYN with the same ports opens a new one.
 */
static __always_inline enum verdict reset_connection(const struct packet *p, const struct service *s, __u32 service,
						     __u32 backend)
{
	const __u32 over = FLOW_RESET | FLOW_DRAINED | FLOW_ENDED;
	struct measurements *m = measurements_of(backend);
	struct sampled_flow *sampled;
	struct source_port *port;
	bool half_open_hit, first;
	struct flow_key key;
	struct flow *f;

	flow_key_of_request(p, service, &key);
	f = flow_find(&key, &half_open_hit);
	first = f && !(__sync_fetch_and_or(&f->flags, over) & FLOW_DRAINED);
	if (s->mode == FORWARD_NAT) {
		port = f ? nat_port_of(&key, f) : NULL;
		if (port)
			__sync_fetch_and_or(&port->flags, over);
	} else {
		/* Counted like all that is measured: of the sample. */
		sampled = bpf_map_lookup_elem(&sampled_flows, &key);
		first = sampled && !(__sync_fetch_and_or(&sampled->flags, over) & FLOW_DRAINED);
	}
	if (first && m)
		m->reset_by_drain++;
	return VERDICT_RESET;
}

/* A packet from a client to a service. */
static __always_inline enum verdict split_request(struct packet *p, __u32 service, struct departure *ret)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	const struct next_hop *hop;
	struct choice choice;
	struct plan plan = {};
	struct backend *b;
	__u64 hash;
	int error;

	if (!s)
		return VERDICT_PASS;
	if (p->malformed)
		return drop(service, DROP_MALFORMED);
	if (p->hop_limit <= 1)
		return drop(service, DROP_TTL);
	hash = client_hash(s, p);
	choose(s, service, p, hash, &choice);
	error = s->mode == FORWARD_NAT ? plan_nat(p, s, service, &choice, &plan)
				       : plan_dnat(p, s, service, &choice, &plan);
	if (error)
		return drop(service, -error - 1);
	b = plan.backend ? bpf_map_lookup_elem(&backends, &plan.backend) : NULL;
	if (!b)
		return drop(service, DROP_NO_BACKEND);
	if (reset_is_due(p, b, plan.backend, &choice, hash))
		return reset_connection(p, s, service, plan.backend);
	hop = backend_hop(b);
	if (!hop)
		return drop(service, DROP_NO_NEXT_HOP);
	if (s->mode != FORWARD_NAT && is_sampled(s, p, &p->source, p->source_port) &&
	    !sampled_request(p, service, plan.backend))
		plan.opened = false;
	plan.tuple.destination = b->address;
	plan.tuple.destination_port = b->port;
	if (rewrite(p, &plan.tuple))
		return drop(service, DROP_MALFORMED);
	count_request(p, plan.backend, plan.opened);
	ret->ifindex = hop->ifindex;
	ret->service = service;
	forward_to(p, hop);
	return VERDICT_SEND;
}

/* A backend's packet on its way to the client; @client is where it goes. */
static __always_inline enum verdict reply_to(struct packet *p, __u32 service, __u32 backend,
					     const struct address *client, __be16 client_port, struct departure *ret)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	const struct next_hop *hop = NULL;
	struct tuple tuple;
	int kind = client_hop(client, &hop);

	if (!s || kind == NEXT_HOP_LOCAL)
		return VERDICT_PASS;
	if (p->malformed)
		return drop(service, DROP_MALFORMED);
	if (p->hop_limit <= 1)
		return drop(service, DROP_TTL);
	if (kind != NEXT_HOP_REACHABLE || !hop)
		return drop(service, DROP_NO_NEXT_HOP);
	tuple.source = s->vip.address;
	tuple.source_port = s->vip.port;
	tuple.destination = *client;
	tuple.destination_port = client_port;
	if (rewrite(p, &tuple))
		return drop(service, DROP_MALFORMED);
	count_reply(p, backend);
	ret->ifindex = hop->ifindex;
	ret->service = service;
	forward_to(p, hop);
	return VERDICT_SEND;
}

/* A packet from a backend's address and port: a reply, unless it is to this host or to nobody we know. */
static __always_inline enum verdict split_reply(struct packet *p, const struct reply_origin *origin,
						struct departure *ret)
{
	__u32 endpoint = origin->backend;
	struct source_port *port;
	struct service *s;
	struct backend *b;

	if (origin->mode == FORWARD_DNAT) {
		b = bpf_map_lookup_elem(&backends, &endpoint);
		if (!b)
			return VERDICT_PASS;
		s = bpf_map_lookup_elem(&services, &b->service);
		if (s && !p->malformed && is_sampled(s, p, &p->destination, p->destination_port))
			sampled_reply(p, b->service);
		return reply_to(p, b->service, endpoint, &p->destination, p->destination_port, ret);
	}
	port = nat_reply(p, endpoint);
	if (!port)
		return VERDICT_PASS;
	if (!p->malformed) {
		nat_reply_seen(p, port);
		if (port->flags & FLOW_DRAINED && !(p->tcp_flags & TCP_RST))
			return VERDICT_RESET;
	}
	return reply_to(p, port->flow.service, port->backend, &port->flow.client, port->flow.port, ret);
}

/**
 * split - decide a frame
 * @p: zeroed; filled from the frame
 * @data, @end: the frame from its Ethernet header on
 * @ret: set with VERDICT_SEND
 */
static __always_inline enum verdict split(struct packet *p, void *data, void *end, struct departure *ret)
{
	struct reply_origin *origin;
	struct service_key key = {};
	__u32 *service;

	if (parse(data, end, p))
		return VERDICT_PASS;
	key.address = p->destination;
	key.port = p->destination_port;
	key.protocol = p->protocol;
	service = bpf_map_lookup_elem(&vips, &key);
	if (service)
		return split_request(p, *service, ret);
	key.address = p->source;
	key.port = p->source_port;
	origin = bpf_map_lookup_elem(&reply_origins, &key);
	if (origin)
		return split_reply(p, origin, ret);
	return VERDICT_PASS;
}

#endif
