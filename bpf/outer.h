/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_OUTER_H
#define HEADGATE_OUTER_H

/*
 * The outer headers of ipip (RFC 2003, RFC 2473) and gue (draft-ietf-intarea-gue-09, variant 0, as Linux' fou module
 * has it). The inner packet's hash is in what network cards spread load by: the outer source address, the UDP source
 * port, the flow label (RFC 6438). Type of service is copied with its ECN bits (RFC 6040, normal mode).
 */
#include "checksum.h"
#include "flow.h"
#include "parse.h"
#include "verdict.h"

#define OUTER_HOP_LIMIT 64
#define OUTER_PORT_FIRST 0xc000U /* source ports 49152.. (RFC 6335): 14 bits of the hash */

struct gue_header {
	__u8 version_and_length; /* 0: variant 0, a data message, no further words */
	__u8 protocol;
	__be16 flags;
};

static __always_inline __u32 outer_bytes(const struct departure *to)
{
	__u32 bytes = to->outer_ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);

	return to->edit == EDIT_GUE ? bytes + sizeof(struct udphdr) + sizeof(struct gue_header) : bytes;
}

/* The outer addresses and ports of a flow of @service. 0 or -(1 + enum drop_reason). */
static __always_inline int outer_plan(const struct service *s, const struct backend *b, __u32 hash,
				      struct departure *ret)
{
	/* 0 if it is mapped, without a branch: the verifier would go both ways from here to the end. */
	__u64 unlike = b->address.word[0] | b->address.word[1] | (b->address.word[2] ^ bpf_htonl(0xffff));
	__u32 ipv6;
	__u32 own = b->source;
	struct address *source;

	asm volatile("" : "+r"(unlike));
	ipv6 = -unlike >> 63;
	asm volatile("" : "+r"(ipv6));
	ret->outer_ipv6 = ipv6;
	ret->tuple.destination = b->address;
	ret->tuple.destination_port = s->tunnel_port;
	ret->tuple.source_port = bpf_htons(OUTER_PORT_FIRST | (hash & 0x3fff));
	ret->tuple.source = ipv6 ? s->outer[1].address : s->outer[0].address;
	if (ret->tuple.source.word[0] | ret->tuple.source.word[2] | ret->tuple.source.word[3]) {
		ret->tuple.source.word[3] |= bpf_htonl(hash & (ipv6 ? s->outer[1].entropy : s->outer[0].entropy));
		return 0;
	}
	source = own ? bpf_map_lookup_elem(&sources, &own) : NULL;
	if (!source)
		return -(1 + DROP_NO_SOURCE);
	ret->tuple.source = *source;
	return 0;
}

/* What the outer IP header carries. */
static __always_inline __u8 outer_protocol(const struct packet *p, const struct departure *to)
{
	if (to->edit == EDIT_GUE)
		return IPPROTO_UDP;
	return p->ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

/* By words, so that the checksum is of what is at hand, and waits for no byte to have been written. */
static __always_inline void outer_ipv4(struct iphdr *ip, const struct packet *p, const struct departure *to)
{
	/* Of merged packets 16 bits may be too few: the kernel says anew how long each of them is. */
	__u32 length = (p->bytes + outer_bytes(to)) & 0xffff;
	__u32 first = 4U << 28 | (sizeof(*ip) / 4) << 24 | (__u32)p->traffic_class << 16 | length;
	__be32 *word = (void *)ip;
	__be32 values[5] = {
		bpf_htonl(first),
		bpf_htonl(0x4000), /* don't fragment: the splitter has told the sender what fits */
		bpf_htonl(OUTER_HOP_LIMIT << 24 | outer_protocol(p, to) << 16),
		to->tuple.source.word[3],
		to->tuple.destination.word[3],
	};
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < 5; i++)
		sum += values[i];
	/* Applied to ~0: a checksum from nothing. */
	values[2] |= bpf_htonl((__u32)bpf_ntohs(checksum_apply(0xffff, sum)));
#pragma unroll
	for (__u32 i = 0; i < 5; i++)
		word[i] = values[i];
}

static __always_inline void outer_ipv6(struct ipv6hdr *ip, const struct packet *p, const struct departure *to)
{
	__be32 *first = (void *)ip;

	*first = bpf_htonl(6U << 28 | (__u32)p->traffic_class << 20 | (to->hash & 0xfffff));
	ip->payload_len = bpf_htons(p->bytes + outer_bytes(to) - sizeof(*ip));
	ip->nexthdr = outer_protocol(p, to);
	ip->hop_limit = OUTER_HOP_LIMIT;
	__builtin_memcpy(&ip->saddr, &to->tuple.source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &to->tuple.destination, sizeof(ip->daddr));
}

/* No UDP checksum: over IPv6 too a tunnel may leave it out, as what is inside has its own (RFC 6935, RFC 6936). */
static __always_inline void outer_gue(void *at, const struct packet *p, const struct departure *to)
{
	struct udphdr *udp = at;
	struct gue_header *gue = (void *)(udp + 1);

	udp->source = to->tuple.source_port;
	udp->dest = to->tuple.destination_port;
	udp->len = bpf_htons(p->bytes + sizeof(*udp) + sizeof(*gue));
	udp->check = 0;
	gue->version_and_length = 0;
	gue->protocol = p->ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	gue->flags = 0;
}

/**
 * outer_write - fill the room that a hook has made in front of the inner packet
 * @f: the frame now: outer_bytes() longer than it was; its Ethernet header and tags are in place
 * Return: 0, or -1: the frame is shorter than that.
 */
static __always_inline int outer_write(const struct frame *f, const struct packet *p, const struct departure *to)
{
	__u32 ip_bytes = to->outer_ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__be16 *type = frame_at(f, p->l3 - sizeof(*type), sizeof(*type));
	void *ip = frame_at(f, p->l3, sizeof(struct iphdr));

	if (!type || !ip)
		return -1;
	*type = bpf_htons(to->outer_ipv6 ? ETH_P_IPV6 : ETH_P_IP);
	if (!to->outer_ipv6) {
		outer_ipv4(ip, p, to);
	} else {
		ip = frame_at(f, p->l3, sizeof(struct ipv6hdr));
		if (!ip)
			return -1;
		outer_ipv6(ip, p, to);
	}
	if (to->edit != EDIT_GUE)
		return 0;
	ip = frame_at(f, p->l3 + ip_bytes, sizeof(struct udphdr) + sizeof(struct gue_header));
	if (!ip)
		return -1;
	outer_gue(ip, p, to);
	return 0;
}

#endif
