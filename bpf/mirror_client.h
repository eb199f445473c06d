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
	__u64 now_ns = bpf_ktime_get_ns();
	struct comparison comparison = {};
	__u32 next;

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
	bpf_spin_lock(&flow->lock);
	next = flow->client_next + 1 + datagram_payload(p);
	compare_request(flow, flow->request_ack + 1, next, now_ns, &comparison);
	flow->client_next = next;
	flow->seen = now_ns >> TICK_SHIFT;
	bpf_spin_unlock(&flow->lock);
	comparison_count(key->service, &comparison);
	return 0;
}

#endif
