/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REWRITE_H
#define HEADGATE_REWRITE_H

/* Addresses, ports, hop limit and checksums of a packet, replaced in place. */
#include "checksum.h"
#include "parse.h"
#include "verdict.h"

static __always_inline __u64 address_difference(const struct packet *p, const struct tuple *to)
{
	return checksum_address_difference(&p->source, &to->source, p->ipv6) +
	       checksum_address_difference(&p->destination, &to->destination, p->ipv6);
}

static __always_inline __u64 port_difference(const struct packet *p, const struct tuple *to)
{
	return checksum_difference(p->source_port, to->source_port) +
	       checksum_difference(p->destination_port, to->destination_port);
}

/* A UDP checksum of zero means that there is none (RFC 768), so a computed zero is sent as its other form. */
static __always_inline void rewrite_udp_checksum(struct udphdr *udp, __u64 difference)
{
	__sum16 check;

	if (!udp->check)
		return;
	check = checksum_apply(udp->check, difference);
	udp->check = check ? check : 0xffff;
}

/* The transport header's checksum, for a hook that has the whole say about it. 0, or -1: not in the frame. */
static __always_inline int rewrite_checksum(const struct frame *f, const struct packet *p, const struct tuple *to)
{
	__u64 difference = address_difference(p, to) + port_difference(p, to);
	struct tcphdr *tcp;
	struct udphdr *udp;

	if (p->protocol == IPPROTO_TCP) {
		tcp = frame_at(f, p->l4, sizeof(*tcp));
		if (!tcp)
			return -1;
		tcp->check = checksum_apply(tcp->check, difference);
	} else {
		udp = frame_at(f, p->l4, sizeof(*udp));
		if (!udp)
			return -1;
		rewrite_udp_checksum(udp, difference);
	}
	return 0;
}

static __always_inline int rewrite_ports(const struct frame *f, const struct packet *p, const struct tuple *to)
{
	__be16 *ports = frame_at(f, p->l4, 2 * sizeof(*ports));

	if (!ports)
		return -1;
	ports[0] = to->source_port;
	ports[1] = to->destination_port;
	return 0;
}

/* One hop less; TTL is the upper byte of its 16-bit word. @difference: of what else changed in the header. */
static __always_inline void age_ipv4(struct iphdr *ip, __u64 difference)
{
	__u32 before = (__u32)ip->ttl << 8;
	__u32 after = (__u32)(ip->ttl - 1) << 8;

	ip->check = checksum_apply(ip->check, difference + checksum_difference(bpf_htons(before), bpf_htons(after)));
	ip->ttl--;
}

/**
 * rewrite_age - take a hop off
 * Return: 0, or -1: the header is not in the frame (it is: parse has seen it, which the verifier cannot know).
 */
static __always_inline int rewrite_age(const struct frame *f, const struct packet *p)
{
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;

	if (p->ipv6) {
		ipv6 = frame_at(f, p->l3, sizeof(*ipv6));
		if (!ipv6)
			return -1;
		ipv6->hop_limit--;
	} else {
		ipv4 = frame_at(f, p->l3, sizeof(*ipv4));
		if (!ipv4)
			return -1;
		age_ipv4(ipv4, 0);
	}
	return 0;
}

/* The IP header: addresses, and a hop off. 0 or -1 as above. */
static __always_inline int rewrite_addresses(const struct frame *f, const struct packet *p, const struct tuple *to)
{
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;

	if (p->ipv6) {
		ipv6 = frame_at(f, p->l3, sizeof(*ipv6));
		if (!ipv6)
			return -1;
		ipv6->hop_limit--;
		__builtin_memcpy(&ipv6->saddr, &to->source, sizeof(ipv6->saddr));
		__builtin_memcpy(&ipv6->daddr, &to->destination, sizeof(ipv6->daddr));
	} else {
		ipv4 = frame_at(f, p->l3, sizeof(*ipv4));
		if (!ipv4)
			return -1;
		age_ipv4(ipv4, address_difference(p, to));
		ipv4->saddr = to->source.word[3];
		ipv4->daddr = to->destination.word[3];
	}
	return 0;
}

/* The mark that says "a shadow's": DSCP in place of the client's. 0 or -1: the header is not in the frame. */
static __always_inline int rewrite_traffic_class(const struct frame *f, const struct packet *p, __u8 class)
{
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;

	if (!class)
		return 0;
	if (p->ipv6) {
		ipv6 = frame_at(f, p->l3, sizeof(*ipv6));
		if (!ipv6)
			return -1;
		ipv6->priority = class >> 4;
		ipv6->flow_lbl[0] = (class & 0xf) << 4 | (ipv6->flow_lbl[0] & 0xf);
		return 0;
	}
	ipv4 = frame_at(f, p->l3, sizeof(*ipv4));
	if (!ipv4)
		return -1;
	ipv4->check = checksum_apply(ipv4->check, checksum_difference(bpf_htons(ipv4->tos), bpf_htons((__u16) class)));
	ipv4->tos = class;
	return 0;
}

#endif
