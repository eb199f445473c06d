/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SPLIT_H
#define HEADGATE_SPLIT_H

/*
 * The way of a packet, for every hook: parse, service, slot, flow, backend; then the hook edits, counts and forwards.
 */
#include "count.h"
#include "forward.h"
#include "glance.h"
#include "guard.h"
#include "fragment.h"
#include "mirror.h"
#include "nat.h"
#include "outer.h"
#include "parse_rare.h"
#include "quic.h"
#include "reset.h"
#include "rewrite.h"
#include "sampled.h"
#include "shadow_production.h"
#include "slot.h"
#include "tracked.h"

static __always_inline bool is_service_of(const struct service *s, const struct packet *p)
{
	return p->destination_port == s->vip.port && p->protocol == s->vip.protocol &&
	       address_same(&p->destination, &s->vip.address);
}

/* Destination rewritten, client kept; or, in modes that rewrite nothing, just the backend. */
static __always_inline void plan_stateless(const struct packet *p, const struct service *s, __u32 service,
					   const struct choice *c, struct departure *ret)
{
	bool opened = false;

	ret->tuple.source = p->source;
	ret->tuple.source_port = p->source_port;
	if (c->tracked) {
		ret->backend = tracked_backend(p, s, service, c, &opened);
		ret->opened = opened;
	} else {
		ret->backend = c->entry;
		ret->opened = p->protocol == IPPROTO_TCP && packet_opens(p);
	}
}

/* Destination and source rewritten. 0 or -(1 + enum drop_reason). */
static __always_inline int plan_nat(const struct packet *p, const struct service *s, __u32 service,
				    const struct choice *c, struct departure *ret)
{
	struct address *source;
	struct nat_flow flow;
	bool opened = false;
	__u32 id;
	int error = nat_request(p, s, service, c, &flow, &opened);

	if (error)
		return error;
	id = flow.source;
	source = bpf_map_lookup_elem(&sources, &id);
	if (!source)
		return -(1 + DROP_NO_SOURCE);
	ret->tuple.source = *source;
	ret->tuple.source_port = flow.source_port;
	ret->backend = flow.backend;
	ret->opened = opened;
	return 0;
}

/*
 * A connection that the pace of a drain has come to: both tables learn that it is over, so that the daemon tells the
 * backend, or its next packet is answered before that, and a SYN with the same ports opens a new one.
 */
static __always_inline enum verdict reset_connection(const struct packet *p, const struct service *s, __u32 service,
						     __u32 backend)
{
	const __u32 over = FLOW_RESET | FLOW_DRAINED | FLOW_ENDED;
	struct measurements *m = measurements_of(backend);
	struct sampled_flow *sampled;
	struct source_port *port;
	struct flow_key key;
	struct sought sought;
	struct flow *f;
	bool first;

	flow_key_of_request(p, service, &key);
	f = flow_find(&key, SEARCH_ALL, &sought);
	first = f && !(__sync_fetch_and_or(&f->flags, over) & FLOW_DRAINED);
	if (first)
		f->drained = tick_now();
	if (s->mode == FORWARD_NAT) {
		port = f ? nat_port_of(&key, f, &sought) : NULL;
		if (port)
			__sync_fetch_and_or(&port->flags, over);
	} else if (s->mode == FORWARD_DNAT) {
		/* Counted like all that is measured: of the sample. */
		sampled = sampled_find(&key, SEARCH_ALL, &sought);
		first = sampled && !(__sync_fetch_and_or(&sampled->flags, over) & FLOW_DRAINED);
	} else {
		first = false; /* nothing is measured */
	}
	if (first && m)
		m->reset_by_drain++;
	return VERDICT_RESET;
}

/**
 * plan_to_backend - what a client's packet is to become on its way to ret->backend
 * @mode: the service's
 * @ret: its backend, and the source if one is rewritten, are set; the rest is filled in
 * Return: 0 or -(1 + enum drop_reason).
 */
static __always_inline int plan_to_backend(const struct packet *p, const struct service *s, enum forward_mode mode,
					   const struct backend *b, struct departure *ret)
{
	__u32 room = b->mtu;
	int error;

	ret->hop = backend_hop(b);
	if (!ret->hop)
		return -(1 + DROP_NO_NEXT_HOP);
	if (mode == FORWARD_IPIP || mode == FORWARD_GUE) {
		ret->edit = mode == FORWARD_GUE ? EDIT_GUE : EDIT_IPIP;
		error = outer_plan(s, b, ret->hash, ret);
		if (error)
			return error;
		room -= room ? outer_bytes(ret) : 0;
	} else if (mode == FORWARD_L2DSR) {
		ret->edit = EDIT_NONE;
	} else {
		ret->edit = EDIT_TUPLE;
		ret->tuple.destination = b->address;
		ret->tuple.destination_port = b->port;
	}
	ret->mtu = room;
	return room && p->wire_bytes > room ? -(1 + DROP_TOO_BIG) : 0;
}

/* The same, counted. Return: VERDICT_SEND, VERDICT_TOO_BIG, or VERDICT_DROP. */
static __always_inline enum verdict depart_to_backend(const struct packet *p, const struct service *s,
						      const struct backend *b, struct departure *ret)
{
	int error = plan_to_backend(p, s, s->mode, b, ret);

	if (!error)
		return VERDICT_SEND;
	drop(ret->service, -error - 1);
	return error == -(1 + DROP_TOO_BIG) ? VERDICT_TOO_BIG : VERDICT_DROP;
}

/* A packet from a client to a service. @mirror: it is one that may be copied. */
static __always_inline enum verdict split_request(const struct frame *f, bool mirror, struct packet *p, __u32 service,
						  struct departure *ret)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	enum verdict verdict;
	struct choice choice;
	struct backend *b;
	int error = 0;
	__u32 named;
	__u64 hash;

	if (!s)
		return VERDICT_PASS;
	ret->service = service;
	if (p->malformed)
		return drop(service, DROP_MALFORMED);
	if (p->hop_limit <= 1)
		return drop(service, DROP_TTL);
	hash = client_hash(s, p);
	ret->hash = hash;
	choose(s, service, p, hash, &choice);
	if (s->flags & SERVICE_QUIC) {
		p->opens = quic_opens(f, p);
		named = quic_backend(f, p, s, service);
		if (named)
			choose_named(named, &choice);
	}
	if (s->mode == FORWARD_NAT)
		error = plan_nat(p, s, service, &choice, ret);
	else
		plan_stateless(p, s, service, &choice, ret);
	if (error)
		return drop(service, -error - 1);
	b = ret->backend ? bpf_map_lookup_elem(&backends, &ret->backend) : NULL;
	if (!b)
		return drop(service, DROP_NO_BACKEND);
	if (reset_is_due(p, b, ret->backend, &choice, hash))
		return reset_connection(p, s, service, ret->backend);
	if (s->mode == FORWARD_DNAT && backend_hop(b) && is_sampled(s, p, &p->source, p->source_port) &&
	    !sampled_request(p, service, ret->backend))
		ret->opened = false;
	verdict = depart_to_backend(p, s, b, ret);
	if (mirror && s->flags & SERVICE_SHADOW && verdict == VERDICT_SEND && mirror_wants(s, service, p))
		return VERDICT_MIRROR;
	return verdict;
}

/* What a backend's packet is to become on its way to the client, as if from its service. */
static __always_inline void depart_to_client(const struct service *s, const struct next_hop_entry *hop,
					     const struct address *client, __be16 client_port, struct departure *ret)
{
	ret->hop = &hop->hop;
	ret->reply = true;
	ret->edit = EDIT_TUPLE;
	ret->tuple.source = s->vip.address;
	ret->tuple.source_port = s->vip.port;
	ret->tuple.destination = *client;
	ret->tuple.destination_port = client_port;
}

static __always_inline bool too_big_for_client(const struct packet *p, const struct next_hop_entry *hop)
{
	return hop->mtu && p->wire_bytes > hop->mtu;
}

/* A backend's packet on its way to the client; @client is where it goes. */
static __always_inline enum verdict reply_to(const struct packet *p, __u32 service, __u32 backend,
					     const struct address *client, __be16 client_port, struct departure *ret)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	const struct next_hop_entry *hop = NULL;
	int kind = client_hop(client, &hop);

	if (!s || kind == NEXT_HOP_LOCAL)
		return VERDICT_PASS;
	if (p->malformed)
		return drop(service, DROP_MALFORMED);
	if (p->hop_limit <= 1)
		return drop(service, DROP_TTL);
	if (kind != NEXT_HOP_REACHABLE || !hop)
		return drop(service, DROP_NO_NEXT_HOP);
	ret->service = service;
	ret->backend = backend;
	depart_to_client(s, hop, client, client_port, ret);
	if (too_big_for_client(p, hop)) {
		ret->mtu = hop->mtu;
		drop(service, DROP_TOO_BIG);
		return VERDICT_TOO_BIG;
	}
	return VERDICT_SEND;
}

/* Whose reply a packet from a backend's address and port is. VERDICT_SEND, or what is to become of it instead. */
static __always_inline enum verdict reply_of(const struct frame *f, const struct packet *p,
					     const struct reply_origin *origin, struct flow_key *ret_flow,
					     __u32 *ret_backend)
{
	__u32 endpoint = origin->backend;
	struct sampled_flow *sampled;
	struct source_port *port;
	struct service *s;
	struct backend *b;

	if (origin->mode == FORWARD_DNAT) {
		b = bpf_map_lookup_elem(&backends, &endpoint);
		if (!b)
			return VERDICT_PASS;
		s = bpf_map_lookup_elem(&services, &(__u32){b->service});
		sampled = s && !p->malformed && is_sampled(s, p, &p->destination, p->destination_port)
				  ? sampled_of_reply(p, b->service)
				  : NULL;
		if (sampled)
			sampled_reply_seen(f, p, sampled);
		if (!p->malformed && p->tcp_flags & TCP_RST)
			tracked_reset(p, b->service, endpoint);
		ret_flow->client = p->destination;
		ret_flow->port = p->destination_port;
		ret_flow->service = b->service;
		*ret_backend = endpoint;
		return VERDICT_SEND;
	}
	port = nat_reply(p, endpoint);
	if (!port)
		return VERDICT_PASS;
	if (!p->malformed) {
		nat_reply_seen(f, p, port);
		if (port->flags & FLOW_DRAINED && !(p->tcp_flags & TCP_RST))
			return VERDICT_RESET;
	}
	*ret_flow = port->flow;
	*ret_backend = port->backend;
	return VERDICT_SEND;
}

/* A packet from a backend's address and port: a reply, unless it is to this host or to nobody we know. */
static __always_inline enum verdict split_reply(const struct frame *f, const struct packet *p,
						const struct reply_origin *origin, struct departure *ret)
{
	struct flow_key flow = {};
	__u32 backend = 0;
	enum verdict verdict = reply_of(f, p, origin, &flow, &backend);

	if (verdict != VERDICT_SEND)
		return verdict;
	verdict = reply_to(p, flow.service, backend, &flow.client, flow.port, ret);
	if (verdict == VERDICT_SEND)
		shadow_note_reply(f, p, &flow);
	return verdict;
}

/* A later fragment goes where its first one went. */
static __always_inline enum verdict split_fragment(const struct frame *f, const struct packet *p, struct departure *ret)
{
	struct fragment *first = fragment_first(p);
	struct service *s;
	struct backend *b;
	__u32 id;

	if (!first)
		return fragment_early(f, p, ret);
	if (!first->backend)
		return VERDICT_PASS;
	id = first->service;
	if (first->reply)
		return reply_to(p, id, first->backend, &first->client, 0, ret);
	s = bpf_map_lookup_elem(&services, &id);
	b = bpf_map_lookup_elem(&backends, &first->backend);
	if (!s || !b)
		return VERDICT_PASS;
	ret->service = id;
	ret->backend = first->backend;
	ret->hash = first->hash;
	ret->tuple.source = first->client;
	if (p->malformed)
		return drop(id, DROP_MALFORMED);
	if (p->hop_limit <= 1)
		return drop(id, DROP_TTL);
	return depart_to_backend(p, s, b, ret);
}

/* What cannot be read and is to a service's address is nobody else's. */
static __always_inline enum verdict split_broken(const struct packet *p)
{
	__u32 *service = bpf_map_lookup_elem(&vip_addresses, &p->destination);

	return service ? drop(*service, DROP_MALFORMED) : VERDICT_PASS;
}

/* Whom it is for; @seen saves the look-up where it is right. 0: no service. */
static __always_inline __u32 service_of(const struct packet *p, __u32 seen)
{
	struct service *s = bpf_map_lookup_elem(&services, &seen);
	struct service_key key = {};
	__u32 *service;

	if (s && is_service_of(s, p))
		return seen;
	key.address = p->destination;
	key.port = p->destination_port;
	key.protocol = p->protocol;
	service = bpf_map_lookup_elem(&vips, &key);
	return service ? *service : 0;
}

/**
 * split - decide a frame that comes from a client
 * @whole: read what is rare too; else VERDICT_RARE says that another program must
 * @seen: enum seen
 * @p: filled from the frame
 * @ret: zeroed; set with VERDICT_SEND, VERDICT_MIRROR and VERDICT_TOO_BIG
 *
 * Return: VERDICT_REPLY: it comes from a backend, which is another program's part.
 */
static __always_inline enum verdict split(const struct frame *f, bool whole, __u32 seen, struct packet *p,
					  struct departure *ret)
{
	enum parsed parsed = whole ? parse_whole(f, p) : parse(f, p);
	struct service_key key = {};
	enum verdict verdict;
	__u32 service;

	if (!whole && !(seen & SEEN_NO_SHADOW) && is_from_shadow(f, p))
		return VERDICT_SHADOW;
	if (parsed == IS_ICMP && !whole)
		return VERDICT_ICMP;
	if (parsed == NOT_OURS || parsed == IS_ICMP) {
		if (whole && p->fragment == FRAGMENT_FIRST)
			fragment_passes(p);
		return VERDICT_PASS;
	}
	if (parsed == BROKEN)
		return split_broken(p);
	if (parsed == RARE)
		return VERDICT_RARE;
	if (whole && p->fragment == FRAGMENT_LATER)
		return split_fragment(f, p, ret);
	service = service_of(p, seen & SEEN_END);
	if (!service) {
		key.address = p->source;
		key.port = p->source_port;
		key.protocol = p->protocol;
		if (bpf_map_lookup_elem(&reply_origins, &key))
			return VERDICT_REPLY;
		if (whole && p->fragment == FRAGMENT_FIRST)
			fragment_passes(p);
		return VERDICT_PASS;
	}
	verdict = split_request(f, !whole, p, service, ret);
	if (whole && p->fragment == FRAGMENT_FIRST && verdict == VERDICT_SEND)
		fragment_remember(p, ret);
	return verdict;
}

/* The same for a frame from a backend. */
static __always_inline enum verdict split_from_backend(const struct frame *f, struct packet *p, struct departure *ret)
{
	struct service_key key = {};
	struct reply_origin *origin;
	enum verdict verdict;

	if (parse_whole(f, p) != PARSED || p->fragment == FRAGMENT_LATER)
		return VERDICT_PASS;
	key.address = p->source;
	key.port = p->source_port;
	key.protocol = p->protocol;
	origin = bpf_map_lookup_elem(&reply_origins, &key);
	if (!origin)
		return VERDICT_PASS;
	verdict = split_reply(f, p, origin, ret);
	if (p->fragment == FRAGMENT_FIRST && verdict == VERDICT_SEND)
		fragment_remember(p, ret);
	else if (p->fragment == FRAGMENT_FIRST && verdict == VERDICT_PASS)
		fragment_passes(p);
	return verdict;
}

#endif
