/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_RESET_H
#define HEADGATE_RESET_H

/*
 * Connections that are to move: the next packet of one that is not where its slot points is answered with a RST that
 * its sender must believe, since its sequence number is the one that the packet itself acknowledges (RFC 9293, 3.10.7;
 * RFC 5961, 3.2).
 */
#include "checksum.h"
#include "measuring.h"
#include "slot.h"

#define RESET_EVERYONE 0xffff
#define RESET_HOP_LIMIT 64

/* Whether the pace of the drain has come to this connection. Only those whose slot has moved away are meant. */
static __always_inline bool reset_is_due(const struct packet *p, const struct backend *b, __u32 backend,
					 const struct choice *c, __u64 hash)
{
	if (!b->reset_below || backend == c->entry || p->protocol != IPPROTO_TCP)
		return false;
	if (packet_opens(p) || p->tcp_flags & TCP_RST)
		return false;
	return b->reset_below == RESET_EVERYONE || (hash & 0xffff) < b->reset_below;
}

static __always_inline __u64 sum_words(const void *data, __u32 words)
{
	const __u32 *word = data;
	__u64 sum = 0;

	for (__u32 i = 0; i < words; i++)
		sum += word[i];
	return sum;
}

/* The segment that answers @p: RFC 9293, 3.10.7.1. */
static __always_inline void reset_tcp(const struct packet *p, struct tcphdr *ret)
{
	bool acknowledges = p->tcp_flags & TCP_ACK;
	__u64 sum;

	__builtin_memset(ret, 0, sizeof(*ret));
	ret->source = p->destination_port;
	ret->dest = p->source_port;
	ret->doff = sizeof(*ret) / 4;
	ret->rst = 1;
	if (acknowledges) {
		ret->seq = bpf_htonl(p->acknowledged);
	} else {
		ret->ack = 1;
		ret->ack_seq = bpf_htonl(p->sequence_next);
	}
	sum = sum_words(ret, sizeof(*ret) / 4) + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(*ret));
	if (p->ipv6)
		sum += sum_words(&p->source, 4) + sum_words(&p->destination, 4);
	else
		sum += (__u64)p->source.word[3] + p->destination.word[3];
	/* Applied to ~0: a checksum from nothing. */
	ret->check = checksum_apply(0xffff, sum);
}

static __always_inline void reset_ipv4(const struct packet *p, struct iphdr *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->version = 4;
	ret->ihl = sizeof(*ret) / 4;
	ret->tot_len = bpf_htons(sizeof(*ret) + sizeof(struct tcphdr));
	ret->frag_off = bpf_htons(0x4000); /* don't fragment */
	ret->ttl = RESET_HOP_LIMIT;
	ret->protocol = IPPROTO_TCP;
	ret->saddr = p->destination.word[3];
	ret->daddr = p->source.word[3];
	ret->check = checksum_apply(0xffff, sum_words(ret, sizeof(*ret) / 4));
}

static __always_inline void reset_ipv6(const struct packet *p, struct ipv6hdr *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->version = 6;
	ret->payload_len = bpf_htons(sizeof(struct tcphdr));
	ret->nexthdr = IPPROTO_TCP;
	ret->hop_limit = RESET_HOP_LIMIT;
	__builtin_memcpy(&ret->saddr, &p->destination, sizeof(ret->saddr));
	__builtin_memcpy(&ret->daddr, &p->source, sizeof(ret->daddr));
}

static __always_inline void swap_macs(struct ethhdr *eth)
{
	__u8 mac[6];

	__builtin_memcpy(mac, eth->h_dest, sizeof(mac));
	__builtin_memcpy(eth->h_dest, eth->h_source, sizeof(mac));
	__builtin_memcpy(eth->h_source, mac, sizeof(mac));
}

/* Length of the frame that answers @p. */
static __always_inline __u32 reset_frame_bytes(const struct packet *p)
{
	return p->l3 + (p->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + sizeof(struct tcphdr);
}

/**
 * reset_write - turn a frame into the RST that answers it
 * @f: the frame, cut to reset_frame_bytes() by the hook; still begins as it came
 * @p: what it was
 * Return: 0, or -1 when the frame is too short for it.
 */
static __always_inline int reset_write(const struct frame *f, const struct packet *p, const struct tcphdr *answer)
{
	__u32 ip_bytes = p->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));
	void *ip = frame_at(f, p->l3, sizeof(struct iphdr));
	struct tcphdr *tcp;

	if (!eth || !ip)
		return -1;
	if (p->ipv6) {
		ip = frame_at(f, p->l3, sizeof(struct ipv6hdr));
		if (!ip)
			return -1;
		reset_ipv6(p, ip);
	} else {
		reset_ipv4(p, ip);
	}
	tcp = frame_at(f, p->l3 + ip_bytes, sizeof(*tcp));
	if (!tcp)
		return -1;
	*tcp = *answer;
	swap_macs(eth);
	return 0;
}

#endif
