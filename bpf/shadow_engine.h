/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_ENGINE_H
#define HEADGATE_SHADOW_ENGINE_H

/*
 * The program behind the mirror: a TCP sender whose application is the client's stream. It keeps what the shadow has
 * not acknowledged, sends it in order as far as the shadow's window goes, sends again what is missing, and ends the
 * connection as the client did. It has no timer of its own: the daemon sends a kick where only time tells.
 */
#include "shadow_emit.h"
#include "shadow_reply.h"

#define PUMP_AT_ONCE 16 /* segments that one packet may set free */

/* What is worked on. */
struct engine {
	struct __sk_buff *skb;
	struct shadow_scratch *space;
	struct shadow_flow *flow;
	struct flow_key key;
};

static __always_inline __u32 engine_sent(const struct engine *g)
{
	return *(volatile __u32 *)&g->flow->sent;
}

static __always_inline __u32 engine_heard(const struct engine *g)
{
	return *(volatile __u32 *)&g->flow->server_next;
}

/* --- ending --- */

/*
 * Ends the mirroring, counted once; the shadow is told unless it knows. Before its SYN-ACK there is nothing that the
 * RST could acknowledge, and one that does is not believed.
 */
static __always_inline void engine_end(struct engine *g, enum shadow_end end, bool tell)
{
	__u8 reset = g->flow->flags & SHADOW_FLOW_OPEN ? TCP_RST | TCP_ACK : TCP_RST;

	if (shadow_end_counted(g->flow, g->key.service, end) && tell)
		emit_bare(g->skb, &g->space->emission, reset, engine_sent(g), engine_heard(g));
}

/* --- sending --- */

/* The next segment is taken out of the stash's line. False: it is not the shadow's turn for it any more. */
static __always_inline bool engine_take(struct shadow_flow *flow, __u32 sequence, __u32 bytes, bool probe)
{
	const __u32 want = SHADOW_FLOW_OPEN;
	bool ours;

	bpf_spin_lock(&flow->lock);
	ours = flow->sent == sequence && (flow->flags & (SHADOW_FLOW_OPEN | SHADOW_FLOW_OVER)) == want &&
	       (probe || !sequence_after(sequence + bytes, flow->window_end));
	if (ours)
		flow->sent = sequence + bytes;
	bpf_spin_unlock(&flow->lock);
	return ours;
}

/**
 * engine_pump - send what waits, in order, as far as the shadow's window goes
 * @key: of the connection that the CPU's struct emission has been begun for
 * @probe: one segment also where the window is closed (RFC 9293, 3.8.6.1)
 *
 * A function of its own to the verifier, as many ways lead here.
 * Return: how many segments were sent; each has acknowledged what the shadow sent.
 */
__noinline int engine_pump(struct __sk_buff *skb, const struct flow_key *key, int probe)
{
	struct shadow_flow *flow = shadow_find(key);
	struct shadow_scratch *space = shadow_space();
	struct stash_segment *segment;
	__u32 sequence, bytes;
	int done = 0;
	bool push;

	if (!flow || !space)
		return 0;
	for (__u32 i = 0; i < PUMP_AT_ONCE; i++) {
		sequence = *(volatile __u32 *)&flow->sent;
		segment = stash_find(flow, sequence);
		if (!segment)
			break;
		bytes = segment->bytes;
		push = segment->push;
		if (!engine_take(flow, sequence, bytes, probe))
			break;
		probe = false;
		if (emit_data(skb, &space->emission, sequence, bytes, push, *(volatile __u32 *)&flow->server_next) == 0)
			done++;
	}
	return done;
}

/* The client's FIN, or RST, when all before it has been sent and the shadow may know it. True if it was sent. */
static __always_inline bool engine_finish(struct engine *g)
{
	const __u32 ready = SHADOW_FLOW_OPEN | SHADOW_FLOW_FIN | SHADOW_FLOW_FINISH;
	const __u32 not_any = SHADOW_FLOW_FIN_SENT | SHADOW_FLOW_OVER;
	struct shadow_flow *flow = g->flow;
	bool due, aborts;

	bpf_spin_lock(&flow->lock);
	due = (flow->flags & (ready | not_any)) == ready && flow->sent == flow->fin;
	aborts = due && flow->flags & SHADOW_FLOW_ABORTED;
	if (due && !aborts) {
		flow->flags |= SHADOW_FLOW_FIN_SENT;
		flow->sent = flow->fin + 1;
	}
	bpf_spin_unlock(&flow->lock);
	if (aborts)
		engine_end(g, SHADOW_WHOLE, true);
	else if (due)
		emit_bare(g->skb, &g->space->emission, TCP_FIN | TCP_ACK, engine_sent(g) - 1, engine_heard(g));
	return due;
}

/*
 * The segment with the first byte that the shadow has not: it may have taken a part of one. @ret: where that begins.
 * NULL, @ret untouched: it is gone.
 */
static __always_inline struct stash_segment *engine_missing(const struct shadow_flow *flow, __u32 acked, __u32 *ret)
{
	struct stash_segment *segment = stash_find(flow, acked);
	__u32 sequence = acked;

	if (!segment) {
		sequence = *(volatile const __u32 *)&flow->freed;
		segment = stash_find(flow, sequence);
		if (!segment || sequence_after(sequence, acked) || !sequence_after(sequence + segment->bytes, acked))
			return NULL;
	}
	*ret = sequence;
	return segment;
}

/* What is missing over there once more. Where it is gone from the stash as well, nothing can mend the connection. */
static __always_inline void engine_repair(struct engine *g)
{
	struct shadow_flow *flow = g->flow;
	struct shadow_counters *c = shadow_counters_of(g->key.service);
	struct emission *e = &g->space->emission;
	__u32 acked = *(volatile __u32 *)&flow->acked;
	struct stash_segment *segment;
	__u32 sequence = acked;

	if (!(flow->flags & SHADOW_FLOW_OPEN)) {
		emit_bare(g->skb, e, TCP_SYN, flow->first - 1, 0);
	} else if (flow->flags & SHADOW_FLOW_FIN_SENT && acked == flow->fin) {
		emit_bare(g->skb, e, TCP_FIN | TCP_ACK, acked, engine_heard(g));
	} else if (acked != engine_sent(g)) {
		segment = engine_missing(flow, acked, &sequence);
		if (!segment) {
			engine_end(g, SHADOW_LOST, true);
			return;
		}
		emit_data(g->skb, e, sequence, segment->bytes, segment->push, engine_heard(g));
	} else {
		return;
	}
	if (c)
		c->repaired++;
}

#endif
