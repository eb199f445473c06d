/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_GUARD_H
#define HEADGATE_GUARD_H

/*
 * What comes from a shadow goes nowhere. Whose source is a shadow's MAC or address is not a client, nor a backend, nor
 * a neighbour with something to say, whatever else it claims: it is a shadow's part of a mirrored connection, or
 * dropped. Only what the link itself needs, ARP and neighbour discovery, goes up to the host; and where the daemon
 * speaks with the shadow itself, what is for it.
 */
#include "mirror_frame.h"
#include "shadow_reply.h"

#define NEIGHBOUR_DISCOVERY_FIRST 133U /* RFC 4861, 4: router solicitation */
#define NEIGHBOUR_DISCOVERY_LAST 137U  /* redirect */
#define NEIGHBOUR_DISCOVERY_HOP_LIMIT 255

static __always_inline bool guard_bit(const __u64 bits[4], __u8 octet)
{
	__u32 word = octet >> 6;

	asm volatile("" : "+r"(word));
	return bits[word & 3] >> (octet & 63) & 1;
}

/* A MAC as shadow_hosts has it. */
static __always_inline void guard_mac_key(const __u8 *mac, struct address *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	__builtin_memcpy(ret->word, mac, 6);
	ret->word[3] = SHADOW_HOST_MAC;
}

/* Whether a frame comes from a shadow: two bits say so in nearly every case. */
static __always_inline bool is_from_shadow(const struct frame *f, const struct packet *p)
{
	__u32 zero = 0;
	struct shadow_guard *guard = bpf_map_lookup_elem(&shadow_guard, &zero);
	struct ethhdr *eth;
	struct address mac;

	if (!guard || !guard->on)
		return false;
	eth = frame_at(f, 0, sizeof(*eth));
	if (!eth)
		return false;
	if (guard_bit(guard->macs, eth->h_source[5])) {
		guard_mac_key(eth->h_source, &mac);
		if (bpf_map_lookup_elem(&shadow_hosts, &mac))
			return true;
	}
	return guard_bit(guard->addresses, bpf_ntohl(p->source.word[3])) &&
	       bpf_map_lookup_elem(&shadow_hosts, &p->source);
}

/* Without this nobody on the link could be reached. It is never forwarded. Sent to groups, so parse() skips it. */
static __always_inline bool guard_is_link_business(const struct frame *f)
{
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));
	struct ipv6hdr *ip;
	__u32 l3 = sizeof(*eth);
	struct vlan_tag *tag;
	__u8 *type;
	__be16 next;

	if (!eth)
		return false;
	next = eth->h_proto;
	if (is_vlan(next)) {
		tag = frame_at(f, l3, sizeof(*tag));
		if (!tag)
			return false;
		next = tag->type;
		l3 += sizeof(*tag);
	}
	if (next == bpf_htons(ETH_P_ARP))
		return true;
	if (next != bpf_htons(ETH_P_IPV6))
		return false;
	ip = frame_at(f, l3, sizeof(*ip));
	type = frame_at(f, l3 + sizeof(*ip), sizeof(*type));
	return ip && type && ip->nexthdr == IPPROTO_ICMPV6 && ip->hop_limit == NEIGHBOUR_DISCOVERY_HOP_LIMIT &&
	       *type >= NEIGHBOUR_DISCOVERY_FIRST && *type <= NEIGHBOUR_DISCOVERY_LAST;
}

/* A TCP segment or datagram from a shadow's own address and port. */
static __always_inline enum verdict guard_reply(const struct frame *f, struct packet *p, __u32 endpoint,
						struct departure *ret)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &endpoint);
	const struct next_hop_entry *hop = NULL;
	struct shadow_flow *flow;
	struct flow_key key;
	struct shadow *sh;

	if (!b)
		return VERDICT_DROP;
	ret->service = b->service;
	flow = shadow_of_reply(p, endpoint, &key);
	if (flow)
		ret->service = key.service;
	sh = bpf_map_lookup_elem(&shadows, &ret->service);
	if (!sh)
		return VERDICT_DROP;
	p->answer_class = sh->traffic_class;
	if (flow)
		return p->protocol == IPPROTO_TCP ? shadow_reply_tcp(f, p, flow, &key, ret)
						  : shadow_reply_udp(p, flow, key.service);
	/* The daemon calls; nobody calls it. */
	if (sh->engine == SHADOW_REPLAY && !p->opens && client_hop(&p->destination, &hop) == NEXT_HOP_LOCAL)
		return VERDICT_PASS;
	shadow_count_stray(ret->service);
	/* So that it does not wait for somebody who has forgotten it. */
	return p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_ACK | TCP_RST)) == TCP_ACK ? VERDICT_RESET
											     : VERDICT_DROP;
}

/**
 * split_shadow - decide a frame that comes from a shadow
 * Return: VERDICT_PASS only to this host: what the link needs, and what is for the daemon's own connections.
 */
static __always_inline enum verdict split_shadow(const struct frame *f, struct packet *p, struct departure *ret)
{
	struct service_key key = {};
	struct reply_origin *origin;

	if (guard_is_link_business(f))
		return VERDICT_PASS;
	if (parse(f, p) != PARSED || p->malformed)
		return VERDICT_DROP;
	key.address = p->source;
	key.port = p->source_port;
	key.protocol = p->protocol;
	origin = bpf_map_lookup_elem(&reply_origins, &key);
	if (!origin || origin->mode != FORWARD_SHADOW)
		return VERDICT_DROP;
	return guard_reply(f, p, origin->backend, ret);
}

#endif
