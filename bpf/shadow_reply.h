/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_REPLY_H
#define HEADGATE_SHADOW_REPLY_H

/*
 * What a shadow's packets say. Nearly all are data, which are acknowledged and forgotten, or acknowledge what was sent:
 * the hook that they come in by deals with those at once. What needs thought goes through the mirror to the program
 * behind it, which can send more than one packet for one.
 */
#include "shadow_compare.h"
#include "shadow_stash.h"
#include "status_search.h"
#include "verdict.h"

#define FEW_BYTES (3 * STASH_BYTES) /* in flight: too few to make three duplicates */
#define DUPLICATES 3                /* RFC 5681, 3.2 */

enum acknowledgement {
	ACKNOWLEDGES_NOTHING,
	ACKNOWLEDGES_MORE,
	ACKNOWLEDGES_TO_HOLE, /* what begins at @acked is missing over there */
};

/* The window that a segment of an open connection offers, in bytes. */
static __always_inline __u32 offered_window(const struct frame *f, const struct packet *p,
					    const struct shadow_flow *flow)
{
	struct tcphdr *tcp = frame_at(f, p->l4, sizeof(*tcp));

	return tcp ? (__u32)bpf_ntohs(tcp->window) << (flow->window_shift & 15) : 0;
}

/* More has been sent than there is room for: a probe, which has not been taken yet. */
static __always_inline bool is_probed(const struct shadow_flow *flow)
{
	return sequence_after(flow->sent, flow->window_end);
}

/* Whether a segment says no more than that what begins at its acknowledgement has not come (RFC 5681, 2). */
static __always_inline bool is_duplicate(const struct packet *p, const struct shadow_flow *flow, __u32 window)
{
	return !p->payload_bytes && p->acknowledged == flow->acked && flow->sent != flow->acked &&
	       p->acknowledged + window == flow->window_end && !is_probed(flow);
}

/* Loss is found and mended as NewReno does, without its congestion window (RFC 6582). Under the lock. */
static __always_inline enum acknowledgement shadow_acknowledge(const struct packet *p, struct shadow_flow *flow,
							       __u32 window, __u64 now_ns)
{
	bool duplicate = is_duplicate(p, flow, window), probed = is_probed(flow), opens;
	__u32 in_flight = flow->sent - flow->acked;

	if (sequence_after(p->acknowledged, flow->sent) || sequence_after(flow->acked, p->acknowledged))
		return ACKNOWLEDGES_NOTHING;
	opens = sequence_after(p->acknowledged + window, flow->window_end);
	flow->window_end = p->acknowledged + window;
	if (p->acknowledged != flow->acked) {
		flow->acked = p->acknowledged;
		flow->progress_ns = now_ns;
		flow->duplicates = 0;
		if (!(flow->flags & SHADOW_FLOW_RECOVERY))
			return ACKNOWLEDGES_MORE;
		if (sequence_after(flow->recover, flow->acked))
			return ACKNOWLEDGES_TO_HOLE;
		flow->flags &= ~SHADOW_FLOW_RECOVERY;
		return ACKNOWLEDGES_MORE;
	}
	if (duplicate)
		flow->duplicates++;
	/* The probe was sent in vain: there is room for it now. */
	if (!(probed && opens) && (!duplicate || flow->flags & SHADOW_FLOW_RECOVERY ||
				   (in_flight > FEW_BYTES && flow->duplicates < DUPLICATES)))
		return ACKNOWLEDGES_NOTHING;
	flow->flags |= SHADOW_FLOW_RECOVERY;
	flow->recover = flow->sent;
	return ACKNOWLEDGES_TO_HOLE;
}

/* What takes up sequence numbers is acknowledged, and so is a keepalive probe, whose number is an old one. */
static __always_inline bool shadow_wants_acknowledgement(const struct packet *p, const struct shadow_flow *flow)
{
	return p->sequence_next != p->sequence || sequence_after(flow->server_next, p->sequence);
}

/* A status line in a segment. */
struct status_line {
	__u32 class; /* 0: there is none */
	__u32 at;    /* in bytes from the payload's first */
};

static __always_inline struct status_line status_line_of(const struct frame *f, const struct packet *p,
							 const struct shadow_flow *flow)
{
	struct status_line line = {.class = status_class(f, p)};

	if (!line.class && compare_is_due(flow))
		line.class = status_search(f, p, &line.at);
	return line;
}

/*
 * A shadow's segment moves the mark of what it has sent: up to the highest that was seen, holes or not, since nobody
 * reads it. Under the lock.
 */
static __always_inline void shadow_speaks(const struct packet *p, struct shadow_flow *flow, struct status_line line,
					  __u64 now_ns, struct comparison *ret)
{
	const struct compared_segment segment = {
		.sequence = p->tcp_flags & TCP_SYN ? p->sequence + 1 : p->sequence,
		.bytes = p->payload_bytes,
		.class = line.class,
		.line = line.at,
		.fin = !!(p->tcp_flags & TCP_FIN),
		.now_ns = now_ns,
	};

	flow->seen = now_ns >> TICK_SHIFT;
	if (sequence_after(p->sequence_next, flow->server_next))
		flow->server_next = p->sequence_next;
	if (p->payload_bytes)
		flow->answered_ns = now_ns;
	if (p->sequence_next != p->sequence)
		compare_response(flow, true, &segment, ret);
}

/* Whether a segment, or the state of its connection, is more than the hook can deal with. Under the lock. */
static __always_inline bool shadow_needs_thought(const struct packet *p, const struct shadow_flow *flow, __u32 window)
{
	const __u32 rare = TCP_SYN | TCP_FIN | TCP_RST;

	if ((p->tcp_flags & (rare | TCP_ACK)) != TCP_ACK || !(flow->flags & SHADOW_FLOW_OPEN) ||
	    flow->flags & (SHADOW_FLOW_RECOVERY | SHADOW_FLOW_FIN_SENT))
		return true;
	return flow->client_next != flow->sent || is_probed(flow) || is_duplicate(p, flow, window);
}

/*
 * A connection that is over is told so, unless it has gone to its end and this only confirms that. What it had in mind
 * when it was reset is found out in this way too: it believes only a RST with the number that it acknowledges.
 */
static __always_inline enum verdict shadow_reply_late(const struct packet *p, const struct shadow_flow *flow)
{
	bool confirms =
		p->sequence_next == p->sequence && flow->flags & SHADOW_FLOW_FIN_SENT && p->acknowledged == flow->sent;

	return confirms || p->tcp_flags & TCP_RST ? VERDICT_DROP : VERDICT_RESET;
}

/**
 * shadow_reply_tcp - a segment of a shadow, at the hook it came in by
 * @ret: with VERDICT_ACKNOWLEDGE, what to answer
 * Return: VERDICT_DROP, VERDICT_ACKNOWLEDGE, VERDICT_RESET, or VERDICT_HAND_OVER: it needs thought.
 */
static __always_inline enum verdict shadow_reply_tcp(const struct frame *f, const struct packet *p,
						     struct shadow_flow *flow, const struct flow_key *key,
						     struct departure *ret)
{
	enum verdict verdict = VERDICT_DROP;
	struct comparison comparison = {};
	__u64 now_ns = bpf_ktime_get_ns();
	struct status_line line = status_line_of(f, p, flow);
	__u32 window = offered_window(f, p, flow);

	if (flow->flags & SHADOW_FLOW_OVER)
		return shadow_reply_late(p, flow);
	bpf_spin_lock(&flow->lock);
	if (shadow_needs_thought(p, flow, window)) {
		verdict = VERDICT_HAND_OVER;
	} else {
		shadow_acknowledge(p, flow, window, now_ns);
		if (shadow_wants_acknowledgement(p, flow))
			verdict = VERDICT_ACKNOWLEDGE;
		shadow_speaks(p, flow, line, now_ns, &comparison);
	}
	ret->sequence = flow->sent;
	ret->acknowledged = flow->server_next;
	bpf_spin_unlock(&flow->lock);
	if (verdict == VERDICT_HAND_OVER)
		return verdict;
	comparison_count(key->service, &comparison);
	stash_release(key);
	return verdict;
}

static __always_inline __u32 datagram_payload(const struct packet *p)
{
	return p->l3 + p->bytes - p->l4 - sizeof(struct udphdr);
}

/* A datagram of a shadow: an answer to the next request that has none. Its bytes are numbered as if it were a stream.
 */
static __always_inline enum verdict shadow_reply_udp(const struct packet *p, struct shadow_flow *flow, __u32 service)
{
	__u64 now_ns = bpf_ktime_get_ns();
	struct compared_segment segment = {.bytes = datagram_payload(p), .now_ns = now_ns};
	struct comparison comparison = {};

	bpf_spin_lock(&flow->lock);
	segment.sequence = flow->shadow.next;
	flow->seen = now_ns >> TICK_SHIFT;
	flow->flags |= SHADOW_FLOW_OPEN;
	flow->answered_ns = now_ns;
	compare_response(flow, true, &segment, &comparison);
	bpf_spin_unlock(&flow->lock);
	comparison_count(service, &comparison);
	return VERDICT_DROP;
}

#endif
