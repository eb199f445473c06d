/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REPLAY_H
#define HEADGATE_REPLAY_H

/* Engine replay: clients' segments on their way to the daemon, which puts them in order and has a connection of its
 * own with the shadow. */
#include "mirror_client.h"

#define REPLAY_PIECES 5 /* of REPLAY_BYTES: a segment of a link of 9000 bytes */

/* One event. @at, @bytes: of its payload in the frame; 0 bytes: it has none. 0, or -1: there is no room. */
static __always_inline int replay_tell(struct xdp_md *ctx, const struct flow_key *key, const struct shadow_flow *flow,
				       enum replay_event event, __u32 sequence, __u32 acknowledged, __u32 at,
				       __u32 bytes)
{
	struct replay_segment *segment;
	__u32 last = bytes - 1;

	segment = bpf_ringbuf_reserve(&replay_segments, sizeof(*segment), 0);
	if (!segment)
		return -1;
	segment->flow = *key;
	segment->serial = flow->serial;
	segment->sequence = sequence;
	segment->backend = flow->backend;
	segment->bytes = bytes;
	segment->event = event;
	segment->zero = 0;
	segment->acknowledged = acknowledged;
	segment->ns = bpf_ktime_get_ns();
	asm volatile("" : "+r"(last));
	if (bytes && (last >= REPLAY_BYTES || bpf_xdp_load_bytes(ctx, at, segment->data, last + 1))) {
		bpf_ringbuf_discard(segment, 0);
		return -1;
	}
	bpf_ringbuf_submit(segment, 0);
	return 0;
}

/* A connection that the daemon does not hear of is over. 0 or -1. */
static __always_inline int replay_begin(struct xdp_md *ctx, const struct flow_key *key, struct shadow_flow *flow)
{
	if (!replay_tell(ctx, key, flow, REPLAY_OPEN, flow->first, 0, 0, 0))
		return 0;
	shadow_end_counted(flow, key->service, SHADOW_EVICTED);
	return -1;
}

/* Payload, in as many events as it needs. 0, or -1: some of it was lost. */
static __always_inline int replay_data(struct xdp_md *ctx, const struct packet *p, const struct flow_key *key,
				       const struct shadow_flow *flow)
{
	__u32 at = p->l4 + p->tcp_header_bytes;
	__u32 sequence = p->sequence;
	__u32 left = p->payload_bytes;

	for (__u32 i = 0; i < REPLAY_PIECES && left; i++) {
		__u32 bytes = left > REPLAY_BYTES ? REPLAY_BYTES : left;

		if (replay_tell(ctx, key, flow, REPLAY_DATA, sequence, p->acknowledged, at, bytes))
			return -1;
		sequence += bytes;
		at += bytes;
		left -= bytes;
	}
	return left ? -1 : 0;
}

/* Requests are noted here, as production's answers to them are. */
static __always_inline void replay_listen(const struct packet *p, struct shadow_flow *flow, __u32 service)
{
	__u32 next = p->sequence + p->payload_bytes;
	struct comparison comparison = {};
	__u64 now_ns = bpf_ktime_get_ns();

	bpf_spin_lock(&flow->lock);
	flow->seen = now_ns >> TICK_SHIFT;
	if (p->payload_bytes)
		compare_request(flow, p->acknowledged, next, now_ns, &comparison);
	if (sequence_after(next, flow->client_next))
		flow->client_next = next;
	if (p->tcp_flags & (TCP_FIN | TCP_RST) && !(flow->flags & SHADOW_FLOW_FIN)) {
		flow->flags |= SHADOW_FLOW_FIN;
		flow->fin = next;
		flow->fin_ns = now_ns;
	}
	bpf_spin_unlock(&flow->lock);
	comparison_count(service, &comparison);
}

/* 0, or -1: something that the daemon should have been told is lost. */
static __always_inline int replay_client(struct xdp_md *ctx, const struct packet *p, const struct shadow *sh,
					 const struct flow_key *key, struct shadow_flow *flow, enum shadow_end why)
{
	if (packet_opens(p)) {
		if (flow && flow->first == p->sequence + 1)
			return 0;
		if (flow && !(flow->flags & SHADOW_FLOW_REPLAY)) /* else the daemon counts it */
			shadow_end_counted(flow, key->service, SHADOW_STOPPED);
		if (flow)
			shadow_forget(key, flow);
		flow = shadow_open(p, sh, key, SHADOW_FLOW_REPLAY, why);
		return flow ? replay_begin(ctx, key, flow) : 0;
	}
	if (!flow) {
		if (!(p->tcp_flags & TCP_RST))
			shadow_open(p, sh, key, SHADOW_FLOW_REPLAY, SHADOW_MID_CONNECTION);
		return 0;
	}
	if (flow->flags & SHADOW_FLOW_OVER ||
	    (p->tcp_flags & TCP_RST && !shadow_reset_is_plausible(p, flow->client_next)))
		return 0;
	if (why != SHADOW_WHOLE) {
		shadow_end_counted(flow, key->service, why); /* the daemon finds that out by itself */
		return 0;
	}
	replay_listen(p, flow, key->service);
	if (p->tcp_flags & TCP_RST)
		return replay_tell(ctx, key, flow, REPLAY_RESET, p->sequence, 0, 0, 0);
	if (replay_data(ctx, p, key, flow))
		return -1;
	return p->tcp_flags & TCP_FIN ? replay_tell(ctx, key, flow, REPLAY_FIN, p->sequence + p->payload_bytes, 0, 0, 0)
				      : 0;
}

#endif
