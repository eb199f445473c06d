/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MIRROR_CLIENT_H
#define HEADGATE_MIRROR_CLIENT_H

/* Copies of clients' packets on their way to the shadow: what both programs at the mirror's far end share. */
#include "mirror_frame.h"
#include "rewrite.h"
#include "shadow_reply.h"
#include "shadow_stash.h"

/* The whole of what changes in a copy but its TCP header. 0 or -1 as above. */
static __always_inline int rewrite_copy(const struct frame *f, const struct packet *p, const struct tuple *tuple,
					__u8 class)
{
	if (rewrite_ports(f, p, tuple) || rewrite_addresses(f, p, tuple))
		return -1;
	return rewrite_traffic_class(f, p, class);
}

/*
 * A client's segment becomes one of the connection with the shadow: it acknowledges what the shadow has sent, has room
 * for all that it may, and no options, which were never agreed on.
 */
static __always_inline int rewrite_segment(const struct frame *f, const struct packet *p, const struct tuple *tuple,
					   __u32 acknowledged)
{
	struct tcphdr *tcp = frame_at(f, p->l4, sizeof(*tcp));
	__u64 difference = address_difference(p, tuple) + port_difference(p, tuple);
	__u32 words = (p->tcp_header_bytes - sizeof(*tcp)) / 4;
	__be32 ack = bpf_htonl(acknowledged);
	__be16 *flags;
	__be16 kept;

	if (!tcp)
		return -1;
	flags = (__be16 *)tcp + 6;
	kept = (*flags & bpf_htons(0xf000 | TCP_PSH)) | bpf_htons(TCP_ACK);
	difference += checksum_difference(tcp->ack_seq, ack) + checksum_difference(tcp->window, 0xffff) +
		      checksum_difference(*flags, kept) + checksum_difference(tcp->urg_ptr, 0);
	tcp->ack_seq = ack;
	tcp->window = 0xffff;
	*flags = kept;
	tcp->urg_ptr = 0;
	for (__u32 i = 0; i < 10 && i < words; i++) {
		__u32 *option = frame_at(f, p->l4 + sizeof(*tcp) + 4 * i, sizeof(*option));

		if (!option)
			return -1;
		difference += checksum_difference(*option, 0x01010101);
		*option = 0x01010101; /* no operation, four times */
	}
	tcp = frame_at(f, p->l4, sizeof(*tcp));
	if (!tcp)
		return -1;
	tcp->check = checksum_apply(tcp->check, difference);
	return 0;
}

/*
 * Notes a datagram, which is a request by itself. Without the lock, which costs more than all the rest of this: of a
 * flow of datagrams nobody else writes what is written here, but another CPU that has one of the same flow at the same
 * time. Where that was quicker, the number is another one than it seemed.
 */
static __always_inline void note_datagram(struct shadow_flow *flow)
{
	__u64 now_ns = bpf_ktime_get_ns();
	__u32 number = flow->requests, taken;

	flow->seen = now_ns >> TICK_SHIFT;
	flow->request_ns[number & (SHADOW_RESPONSES - 1)] = now_ns;
	taken = __sync_fetch_and_add(&flow->requests, 1);
	if (taken != number)
		flow->request_ns[taken & (SHADOW_RESPONSES - 1)] = now_ns;
}

/**
 * mirror_datagram - a client's datagram
 * @flow: its flow, or NULL: it is the first
 * @why: not SHADOW_WHOLE: it is not to be mirrored
 * @ret: the way to the shadow
 * Return: 0: the datagram may go there; -1: it is dropped here.
 */
static __always_inline int mirror_datagram(const struct packet *p, const struct shadow *sh, const struct flow_key *key,
					   struct shadow_flow *flow, enum shadow_end why, struct shadow_way *ret)
{
	if (!flow)
		flow = shadow_open(p, sh, key, SHADOW_FLOW_UDP, why);
	if (!flow || flow->flags & SHADOW_FLOW_OVER)
		return -1;
	if (shadow_way_of(flow, ret))
		why = SHADOW_UNREACHABLE;
	else if (ret->mtu && p->bytes > ret->mtu)
		why = SHADOW_TOO_BIG;
	if (why != SHADOW_WHOLE) {
		shadow_end_counted(flow, key->service, why);
		return -1;
	}
	note_datagram(flow);
	return 0;
}

#endif
