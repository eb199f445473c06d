/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_RESET_H
#define HEADGATE_RESET_H

/*
 * Connections that are to move: the next packet of one that is not where its slot points is answered with a RST that
 * its sender must believe, since its sequence number is the one that the packet itself acknowledges (RFC 9293, 3.10.7;
 * RFC 5961, 3.2).
 */
#include "answer.h"
#include "ends.h"
#include "measuring.h"
#include "slot.h"

/* Whether the pace of the drain has come to this connection. Only those whose slot has moved away are meant. */
static __always_inline bool reset_is_due(const struct packet *p, const struct backend *b, __u32 backend,
					 const struct choice *c, __u64 hash)
{
	if (!b->reset_below || backend == c->entry || p->protocol != IPPROTO_TCP)
		return false;
	if (packet_opens(p) || p->tcp_flags & TCP_RST)
		return false;
	return reset_has_come(b->reset_below, hash);
}

/* The checksum of an answer to @p that is but a TCP header. */
static __always_inline void answer_tcp_checksum(const struct packet *p, struct tcphdr *answer)
{
	answer->check = checksum_apply(0xffff, sum_words(answer, sizeof(*answer) / 4) +
						       pseudo_sum(p, IPPROTO_TCP, sizeof(*answer)));
}

/* The segment that answers @p: RFC 9293, 3.10.7.1. */
static __always_inline void reset_tcp(const struct packet *p, struct tcphdr *ret)
{
	bool acknowledges = p->tcp_flags & TCP_ACK;

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
	answer_tcp_checksum(p, ret);
}

/* The segment that acknowledges @p. */
static __always_inline void acknowledge_tcp(const struct packet *p, __u32 sequence, __u32 acknowledged,
					    struct tcphdr *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->source = p->destination_port;
	ret->dest = p->source_port;
	ret->doff = sizeof(*ret) / 4;
	ret->ack = 1;
	ret->seq = bpf_htonl(sequence);
	ret->ack_seq = bpf_htonl(acknowledged);
	ret->window = 0xffff;
	answer_tcp_checksum(p, ret);
}

/* Length of the frame that answers @p. */
static __always_inline __u32 answer_frame_bytes(const struct packet *p)
{
	return p->l3 + (p->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + sizeof(struct tcphdr);
}

/**
 * answer_tcp_write - turn a frame into the TCP header that answers it
 * @f: the frame, cut to answer_frame_bytes() by the hook; still begins as it came
 * @p: what it was
 * Return: 0, or -1 when the frame is too short for it.
 */
static __always_inline int answer_tcp_write(const struct frame *f, const struct packet *p, const struct tcphdr *answer)
{
	__u32 ip_bytes = p->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));
	struct tcphdr *tcp;

	if (!eth || answer_ip(f, p, IPPROTO_TCP, sizeof(*answer)))
		return -1;
	tcp = frame_at(f, p->l3 + ip_bytes, sizeof(*tcp));
	if (!tcp)
		return -1;
	*tcp = *answer;
	swap_macs(eth);
	return 0;
}

#endif
