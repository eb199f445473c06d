/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_GUARD_H
#define HEADGATE_GUARD_H

/*
 * What comes from a shadow goes nowhere. Whose source is a shadow's MAC or address is not a client, nor a backend, nor
 * a neighbour with something to say, whatever else it claims: it is a shadow's part of a mirrored connection, or
 * dropped. Only what the link itself needs, ARP and neighbour discovery of its own address, goes up to the host; and
 * where the daemon speaks with the shadow itself, what is for it.
 */
#include "mirror_frame.h"
#include "shadow_reply.h"

#define NEIGHBOUR_SOLICITATION 135U /* RFC 4861, 4 */
#define NEIGHBOUR_ADVERTISEMENT 136U
#define NEIGHBOUR_TARGET 8U /* where the address asked for, or told of, begins */
#define NEIGHBOUR_DISCOVERY_HOP_LIMIT 255
#define ARP_SENDER 14U /* where the sender's IPv4 address begins */

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

/*
 * Where an address is a shadow may say of its own alone: with production's it would get production's packets. One that
 * has none yet claims nothing; a link-local address nobody can tell.
 */
static __always_inline bool guard_may_claim(const struct address *a)
{
	bool none = !(a->word[0] | a->word[1] | a->word[3]) && (!a->word[2] || address_is_mapped(a));
	bool link_local = (a->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);

	return none || link_local || bpf_map_lookup_elem(&shadow_hosts, a);
}

static __always_inline bool guard_arp_is_own(const struct frame *f, __u32 l3)
{
	__be32 *sender = frame_at(f, l3 + ARP_SENDER, sizeof(*sender));
	struct address claimed;

	if (!sender)
		return false;
	address_from_ipv4(&claimed, *sender);
	return guard_may_claim(&claimed);
}

/* Asking says where the asker is. Routers and better ways are not a shadow's to tell of. */
static __always_inline bool guard_discovery_is_own(const struct frame *f, __u32 l3)
{
	struct ipv6hdr *ip = frame_at(f, l3, sizeof(*ip));
	__u8 *type = frame_at(f, l3 + sizeof(*ip), sizeof(*type));
	struct address *target = frame_at(f, l3 + sizeof(*ip) + NEIGHBOUR_TARGET, sizeof(*target));
	struct address claimed;

	if (!ip || !type || !target || ip->nexthdr != IPPROTO_ICMPV6 || ip->hop_limit != NEIGHBOUR_DISCOVERY_HOP_LIMIT)
		return false;
	if (*type == NEIGHBOUR_SOLICITATION)
		__builtin_memcpy(&claimed, &ip->saddr, sizeof(claimed));
	else if (*type == NEIGHBOUR_ADVERTISEMENT)
		claimed = *target;
	else
		return false;
	return guard_may_claim(&claimed);
}

/* Without this nobody on the link could be reached. It is never forwarded. Sent to groups, so parse() skips it. */
static __always_inline bool guard_is_link_business(const struct frame *f)
{
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));
	__u32 l3 = sizeof(*eth);
	struct vlan_tag *tag;
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
		return guard_arp_is_own(f, l3);
	return next == bpf_htons(ETH_P_IPV6) && guard_discovery_is_own(f, l3);
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
