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
#include "rewrite.h"
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

/* A packet from a client to a service. */
static __always_inline enum verdict split_request(struct packet *p, __u32 service, struct departure *ret)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	const struct next_hop *hop;
	struct choice choice;
	struct plan plan = {};
	struct backend *b;
	int error;

	if (!s)
		return VERDICT_PASS;
	if (p->malformed)
		return drop(service, DROP_MALFORMED);
	if (p->hop_limit <= 1)
		return drop(service, DROP_TTL);
	choose(s, service, p, client_hash(s, p), &choice);
	error = s->mode == FORWARD_NAT ? plan_nat(p, s, service, &choice, &plan)
				       : plan_dnat(p, s, service, &choice, &plan);
	if (error)
		return drop(service, -error - 1);
	b = plan.backend ? bpf_map_lookup_elem(&backends, &plan.backend) : NULL;
	if (!b)
		return drop(service, DROP_NO_BACKEND);
	hop = backend_hop(b);
	if (!hop)
		return drop(service, DROP_NO_NEXT_HOP);
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
	struct backend *b;

	if (origin->mode == FORWARD_DNAT) {
		b = bpf_map_lookup_elem(&backends, &endpoint);
		if (!b)
			return VERDICT_PASS;
		return reply_to(p, b->service, endpoint, &p->destination, p->destination_port, ret);
	}
	port = nat_reply(p, endpoint);
	if (!port)
		return VERDICT_PASS;
	if (!p->malformed)
		nat_reply_seen(p, port);
	return reply_to(p, port->flow.service, port->backend, &port->flow.client, port->flow.port, ret);
}

/**
 * split - decide a frame
 * @data, @end: the frame from its Ethernet header on
 * @ret: set with VERDICT_SEND
 */
static __always_inline enum verdict split(void *data, void *end, struct departure *ret)
{
	struct packet p = {};
	struct reply_origin *origin;
	struct service_key key = {};
	__u32 *service;

	if (parse(data, end, &p))
		return VERDICT_PASS;
	key.address = p.destination;
	key.port = p.destination_port;
	key.protocol = p.protocol;
	service = bpf_map_lookup_elem(&vips, &key);
	if (service)
		return split_request(&p, *service, ret);
	key.address = p.source;
	key.port = p.source_port;
	origin = bpf_map_lookup_elem(&reply_origins, &key);
	if (origin)
		return split_reply(&p, origin, ret);
	return VERDICT_PASS;
}

#endif
