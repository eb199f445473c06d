/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PLAIN_REPLY_H
#define HEADGATE_PLAIN_REPLY_H

/*
 * The short way back, of nearly every reply: a plain one within a connection, to a client whose next hop is known. All
 * else takes the whole way (split.h), and nothing has been done to it before.
 */
#include "plain.h"

/* Whose a reply is. */
struct plain_client {
	struct source_port *port; /* nat */
	struct address address;
	__u32 backend;
	__u16 service;
	__be16 client_port;
};

static __always_inline bool plain_nat_client(const struct packet *p, __u32 endpoint, struct plain_client *ret)
{
	struct source_port *port = nat_reply(p, endpoint);

	if (!port || port->flags & FLOW_DRAINED)
		return false;
	ret->port = port;
	ret->address = port->flow.client;
	ret->client_port = port->flow.port;
	ret->service = port->flow.service;
	ret->backend = port->backend;
	return true;
}

static __always_inline bool plain_dnat_client(const struct packet *p, __u32 endpoint, struct plain_client *ret)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &endpoint);

	if (!b)
		return false;
	ret->address = p->destination;
	ret->client_port = p->destination_port;
	ret->service = b->service;
	ret->backend = endpoint;
	return true;
}

static __always_inline bool plain_client_of(const struct packet *p, enum forward_mode mode, __u32 endpoint,
					    struct plain_client *ret)
{
	return mode == FORWARD_NAT ? plain_nat_client(p, endpoint, ret) : plain_dnat_client(p, endpoint, ret);
}

static __always_inline void plain_reply_traces(const struct frame *f, const struct packet *p, const struct service *s,
					       enum forward_mode mode, const struct plain_client *client)
{
	struct packet whole;

	if (mode == FORWARD_NAT) {
		whole = plain_whole(f, p);
		nat_reply_seen(f, &whole, client->port);
	} else if (is_sampled(s, p, &p->destination, p->destination_port)) {
		whole = plain_whole(f, p);
		sampled_reply(f, &whole, client->service);
	}
}

/* Whether it is to be compared with a shadow's. */
static __always_inline bool plain_is_compared(const struct service *s, const struct packet *p)
{
	return s->flags & SERVICE_SHADOW && (p->protocol == IPPROTO_UDP || p->payload_bytes);
}

/* The same, before it is known whose reply it is: its endpoint is some service's, and most often that one's alone. */
static __always_inline bool plain_may_be_compared(const struct packet *p, __u32 endpoint)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &endpoint);
	__u32 service = b ? b->service : 0;
	struct service *s = bpf_map_lookup_elem(&services, &service);

	return s && plain_is_compared(s, p);
}

/**
 * plain_split_reply - decide a reply that nothing else has to be done to
 * @p: plain_parse()
 * @mode, @endpoint: of whom it comes from; the mode is known beforehand
 * @ret: zeroed; how it leaves
 */
static __always_inline bool plain_split_reply(const struct frame *f, const struct packet *p, enum forward_mode mode,
					      __u32 endpoint, struct departure *ret)
{
	const struct next_hop_entry *hop = NULL;
	struct plain_client client = {};
	struct service *s;
	__u32 service;

	if (!plain_is_within(p) || plain_may_be_compared(p, endpoint) || !plain_client_of(p, mode, endpoint, &client))
		return false;
	service = client.service;
	s = bpf_map_lookup_elem(&services, &service);
	if (!s || plain_is_compared(s, p))
		return false;
	if (client_hop(&client.address, &hop) != NEXT_HOP_REACHABLE || !hop || too_big_for_client(p, hop))
		return false;
	ret->service = service;
	ret->backend = client.backend;
	depart_to_client(s, hop, &client.address, client.client_port, ret);
	plain_reply_traces(f, p, s, mode, &client);
	return true;
}

#endif
