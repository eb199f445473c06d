/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ENGINE_CLIENT_H
#define HEADGATE_ENGINE_CLIENT_H

/* What clients' segments have the engine do. */
#include "shadow_engine.h"

#define PIECES_MAX 8 /* of STASH_BYTES: a segment of a link of 9000 bytes has 7 */

/* How much of @bytes the segment has that is in the stash already: what is behind it may be new. */
static __always_inline __u32 engine_had(const struct shadow_flow *flow, __u32 sequence, __u32 bytes)
{
	const struct stash_segment *had = stash_find(flow, sequence);

	return had && had->bytes < bytes ? had->bytes : bytes;
}

/* The part of @p from @skip on goes into the stash, in pieces that fit the link. */
static __always_inline enum stash_result engine_stash(struct engine *g, const struct packet *p, __u32 skip, __u32 limit)
{
	__u32 at = p->l4 + p->tcp_header_bytes + skip;
	__u32 left = p->payload_bytes - skip;
	__u32 sequence = p->sequence + skip;
	__u32 mss = g->space->emission.mss;
	enum stash_result result;

	if (mss > STASH_BYTES - 4) /* 1460, where the link takes more: as long as the client's own */
		mss = STASH_BYTES - 4;
	for (__u32 i = 0; i < PIECES_MAX; i++) {
		__u32 bytes = left > mss ? mss : left;
		__u32 last;

		if (!left)
			return STASH_OK;

		stash_prepare(&g->space->segment, bytes, p->tcp_flags & TCP_PSH && bytes == left);
		last = bytes - 1;
		asm volatile("" : "+r"(last));
		if (last >= STASH_BYTES)
			return STASH_OK;
		asm volatile("" : "+r"(last));
		if (bpf_skb_load_bytes(g->skb, at, g->space->segment.data, last + 1))
			return STASH_FULL;
		result = stash_put(g->flow, sequence, limit, &g->space->segment);
		if (result == STASH_HAD)
			bytes = engine_had(g->flow, sequence, bytes);
		else if (result != STASH_OK)
			return result;
		sequence += bytes;
		at += bytes;
		left -= bytes;
	}
	return left ? STASH_CONNECTION_FULL : STASH_OK;
}

/* How much of a segment's beginning has been sent to the shadow already; all of it: nothing is new. */
static __always_inline __u32 engine_known(const struct packet *p, const struct shadow_flow *flow)
{
	__u32 sent = *(volatile const __u32 *)&flow->sent;

	if (!sequence_after(sent, p->sequence))
		return 0;
	return sent - p->sequence < p->payload_bytes ? sent - p->sequence : p->payload_bytes;
}

/* Notes what a client's segment says of its stream. */
static __always_inline void engine_listen(struct engine *g, const struct packet *p)
{
	struct shadow_flow *flow = g->flow;
	struct comparison comparison = {};
	__u64 now_ns = bpf_ktime_get_ns();
	__u32 next = p->sequence + p->payload_bytes;

	bpf_spin_lock(&flow->lock);
	flow->seen = now_ns >> TICK_SHIFT;
	if (p->payload_bytes)
		compare_request(flow, p->acknowledged, next, now_ns, &comparison);
	if (sequence_after(next, flow->client_next)) {
		flow->client_next = next;
		flow->progress_ns = now_ns;
	}
	if (p->tcp_flags & TCP_FIN && !(flow->flags & SHADOW_FLOW_FIN)) {
		flow->flags |= SHADOW_FLOW_FIN;
		flow->fin = next;
		flow->fin_ns = now_ns;
		if (flow->flags & SHADOW_FLOW_SERVER_FIN)
			flow->flags |= SHADOW_FLOW_FINISH;
	}
	bpf_spin_unlock(&flow->lock);
	comparison_count(g->key.service, &comparison);
}

/* Data, FIN or both. */
static __always_inline void engine_client_data(struct engine *g, const struct packet *p, const struct shadow *sh)
{
	bool open = g->flow->flags & SHADOW_FLOW_OPEN;
	__u32 known = engine_known(p, g->flow);
	enum stash_result result = STASH_OK;

	engine_listen(g, p);
	if (known < p->payload_bytes)
		result = engine_stash(g, p, known, sh->stash);
	if (result == STASH_FULL)
		engine_end(g, SHADOW_EVICTED, true);
	else if (result == STASH_CONNECTION_FULL)
		engine_end(g, open ? SHADOW_OVERRUN : SHADOW_LATE, true);
	if (result != STASH_OK)
		return;
	engine_pump(g->skb, &g->key, false);
	engine_finish(g);
}

/*
 * The client gave up: the shadow hears of it when it has had what the client said before, as production has. The RST's
 * number tells of what never got here.
 */
static __always_inline void engine_client_reset(struct engine *g, const struct packet *p)
{
	struct shadow_flow *flow = g->flow;
	__u32 next = flow->client_next + !!(flow->flags & SHADOW_FLOW_FIN);
	bool whole = !sequence_after(p->sequence, next);
	__u64 now_ns = bpf_ktime_get_ns();

	if (!shadow_reset_is_plausible(p, next))
		return;
	if (!whole || shadow_was_sent_all(flow)) {
		engine_end(g, whole ? SHADOW_WHOLE : SHADOW_LOST, true);
		return;
	}
	bpf_spin_lock(&flow->lock);
	if (!(flow->flags & SHADOW_FLOW_FIN)) {
		flow->fin = flow->client_next;
		flow->fin_ns = now_ns;
	}
	flow->flags |= SHADOW_FLOW_FIN | SHADOW_FLOW_FINISH | SHADOW_FLOW_ABORTED;
	bpf_spin_unlock(&flow->lock);
}

/* A SYN: a connection begins, maybe where another one was. */
static __always_inline void engine_client_opens(struct engine *g, const struct packet *p, const struct shadow *sh,
						enum shadow_end why)
{
	struct shadow_flow *before = g->flow;

	if (before) {
		if (before->first == p->sequence + 1)
			return; /* once more; the daemon knows when to ask the shadow again */
		if (!(before->flags & SHADOW_FLOW_REPLAY)) /* else the daemon counts it */
			engine_end(g, shadow_was_sent_all(before) ? SHADOW_WHOLE : SHADOW_LOST,
				   emission_begin(&g->space->emission, before, &g->key) == 0);
		shadow_forget(&g->key, before);
	}
	g->flow = shadow_open(p, sh, &g->key, 0, why);
	if (!g->flow)
		return;
	if (emission_begin(&g->space->emission, g->flow, &g->key))
		engine_end(g, SHADOW_UNREACHABLE, false);
	else
		emit_bare(g->skb, &g->space->emission, TCP_SYN, p->sequence, 0);
}

/**
 * engine_client - a client's segment
 * @why: not SHADOW_WHOLE: its connection is not to be mirrored (any further), for this reason
 */
static __always_inline void engine_client(struct engine *g, const struct packet *p, const struct shadow *sh,
					  enum shadow_end why)
{
	if (packet_opens(p)) {
		engine_client_opens(g, p, sh, why);
		return;
	}
	if (!g->flow) {
		if (!(p->tcp_flags & TCP_RST))
			shadow_open(p, sh, &g->key, 0, SHADOW_MID_CONNECTION);
		return;
	}
	if (g->flow->flags & SHADOW_FLOW_OVER)
		return;
	if (emission_begin(&g->space->emission, g->flow, &g->key))
		engine_end(g, SHADOW_UNREACHABLE, false);
	else if (why != SHADOW_WHOLE)
		engine_end(g, why, true);
	else if (p->tcp_flags & TCP_RST)
		engine_client_reset(g, p);
	else
		engine_client_data(g, p, sh);
}

#endif
