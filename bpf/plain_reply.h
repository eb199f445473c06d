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
	struct source_port *port;     /* nat */
	struct sampled_flow *sampled; /* dnat: what it is measured by, or NULL */
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

static __always_inline bool plain_dnat_client(const struct packet *p, const struct service *s, __u32 service,
					      __u32 endpoint, struct plain_client *ret)
{
	struct flow_key key;

	sampled_key_of_reply(p, service, &key);
	if (s && is_sampled(s, p, &p->destination, p->destination_port) && !plain_sampled(&key, &ret->sampled))
		return false;
	ret->address = p->destination;
	ret->client_port = p->destination_port;
	ret->service = service;
	ret->backend = endpoint;
	return true;
}

static __always_inline void plain_reply_traces(const struct frame *f, const struct packet *p, enum forward_mode mode,
					       const struct plain_client *client)
{
	struct packet whole;

	if (mode == FORWARD_NAT) {
		whole = plain_whole(f, p);
		nat_reply_seen(f, &whole, client->port);
	} else if (client->sampled) {
		whole = plain_whole(f, p);
		sampled_reply_seen(f, &whole, client->sampled);
	}
}

/* Whether it is to be compared with a shadow's. */
static __always_inline bool plain_is_compared(const struct service *s, const struct packet *p)
{
	return s->flags & SERVICE_SHADOW && (p->protocol == IPPROTO_UDP || p->payload_bytes);
}

/* That of one address and port another protocol's end is never at the same place, hash_end() sees to. */
static __always_inline bool plain_is_from(const struct backend *b, const struct packet *p)
{
	return p->source_port == b->port && address_same(&p->source, &b->address) && plain_is_within(p);
}

/**
 * plain_split_reply - decide a reply that nothing else has to be done to
 * @p: plain_parse()
 * @mode, @endpoint: whom it comes from; the mode is known beforehand
 * @service: the endpoint's; in nat it may be another one's reply, which the port tells
 * @ret: zeroed; how it leaves
 */
static __always_inline bool plain_split_reply(const struct frame *f, const struct packet *p, enum forward_mode mode,
					      __u32 service, __u32 endpoint, struct departure *ret)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	const struct next_hop_entry *hop = NULL;
	struct plain_client client = {};

	/* Most often it is that one's: so it is not looked up in vain. */
	if (s && plain_is_compared(s, p))
		return false;
	if (mode == FORWARD_NAT) {
		if (!plain_nat_client(p, endpoint, &client))
			return false;
		service = client.service;
		s = bpf_map_lookup_elem(&services, &service);
	} else if (!plain_dnat_client(p, s, service, endpoint, &client)) {
		return false;
	}
	if (!s || s->vip.protocol != p->protocol || plain_is_compared(s, p))
		return false;
	if (client_hop(&client.address, &hop) != NEXT_HOP_REACHABLE || !hop || too_big_for_client(p, hop))
		return false;
	ret->service = client.service;
	ret->backend = client.backend;
	depart_to_client(s, hop, &client.address, client.client_port, ret);
	plain_reply_traces(f, p, mode, &client);
	return true;
}

#endif
