/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REWRITE_H
#define HEADGATE_REWRITE_H

/* Addresses, ports, hop limit and checksums of a packet, replaced in one go. */
#include "checksum.h"
#include "parse.h"

/* The four fields that name a connection, as a packet is to carry them. */
struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
};

static __always_inline void rewrite_ipv4(struct iphdr *ip, const struct tuple *to, __u64 addresses)
{
	__u32 before = (__u32)ip->ttl << 8;
	__u32 after = (__u32)(ip->ttl - 1) << 8;

	/* TTL is the upper byte of its 16-bit word. */
	ip->check = checksum_apply(ip->check, addresses + checksum_difference(bpf_htons(before), bpf_htons(after)));
	ip->ttl--;
	ip->saddr = to->source.word[3];
	ip->daddr = to->destination.word[3];
}

static __always_inline void rewrite_ipv6(struct ipv6hdr *ip, const struct tuple *to)
{
	ip->hop_limit--;
	__builtin_memcpy(&ip->saddr, &to->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &to->destination, sizeof(ip->daddr));
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

/**
 * rewrite - make a packet carry other addresses and ports, one hop later
 * @p: not malformed, hop limit above 1
 * Return: 0, or -ENOTOURS with the packet untouched (its headers are not in the frame; parse has seen that they are,
 * which the verifier cannot know).
 */
static __always_inline int rewrite(struct packet *p, const struct tuple *to)
{
	__u64 addresses = checksum_address_difference(&p->source, &to->source, p->ipv6) +
			  checksum_address_difference(&p->destination, &to->destination, p->ipv6);
	__u64 difference = addresses + checksum_difference(p->source_port, to->source_port) +
			   checksum_difference(p->destination_port, to->destination_port);
	struct tcphdr *tcp = p->l4;
	struct udphdr *udp = p->l4;
	__be16 *ports = p->l4;

	if (p->l3 + (p->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) > p->end)
		return -ENOTOURS;
	if (p->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > p->end)
			return -ENOTOURS;
		tcp->check = checksum_apply(tcp->check, difference);
	} else {
		if ((void *)(udp + 1) > p->end)
			return -ENOTOURS;
		rewrite_udp_checksum(udp, difference);
	}
	ports[0] = to->source_port;
	ports[1] = to->destination_port;
	if (p->ipv6)
		rewrite_ipv6(p->l3, to);
	else
		rewrite_ipv4(p->l3, to, addresses);
	return 0;
}

#endif
