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
#define PIECES_MAX 8    /* of STASH_BYTES: a segment of a link of 9000 bytes has 7 */
#define TCP_OPTIONS_MAX 40

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
	struct shadow_flow *flow = g->flow;
	struct comparison comparison = {};
	bool first, open;

	bpf_spin_lock(&flow->lock);
	if (!(flow->flags & SHADOW_FLOW_OVER))
		compare_end(flow, end, &comparison);
	first = shadow_ends(flow, end);
	open = flow->flags & SHADOW_FLOW_OPEN;
	bpf_spin_unlock(&flow->lock);
	if (!first)
		return;
	shadow_count_end(g->key.service, end);
	comparison_count(g->key.service, &comparison);
	if (tell)
		emit_bare(g->skb, &g->space->emission, open ? TCP_RST | TCP_ACK : TCP_RST, engine_sent(g),
			  engine_heard(g));
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

/* --- the client's segments --- */

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

/* --- the shadow's segments --- */

/* The window scale that a SYN-ACK answers with: RFC 7323, 2.2. */
static __always_inline __u8 syn_ack_window_shift(struct __sk_buff *skb, const struct packet *p)
{
	__u32 last = (__u32)p->tcp_header_bytes - sizeof(struct tcphdr) - 1;
	__u8 options[TCP_OPTIONS_MAX] = {};
	__u32 next = 0;

	asm volatile("" : "+r"(last));
	if (last >= TCP_OPTIONS_MAX || bpf_skb_load_bytes(skb, p->l4 + sizeof(struct tcphdr), options, last + 1))
		return 0;
#pragma unroll
	for (__u32 i = 0; i < TCP_OPTIONS_MAX - 2; i++) {
		if (i != next)
			continue;
		if (options[i] == 0)
			break;
		if (options[i] == 1) {
			next = i + 1;
			continue;
		}
		if (options[i] == 3 && options[i + 1] == 3)
			return options[i + 2] > 14 ? 14 : options[i + 2];
		next = i + (options[i + 1] < 2 ? 2 : options[i + 1]);
	}
	return 0;
}

/* The SYN-ACK, or another copy of it. */
static __always_inline void engine_shadow_opens(struct engine *g, const struct frame *f, const struct packet *p)
{
	struct shadow_flow *flow = g->flow;
	struct shadow_counters *c = shadow_counters_of(g->key.service);
	__u8 shift = syn_ack_window_shift(g->skb, p);
	struct comparison comparison = {};
	__u64 now_ns = bpf_ktime_get_ns();
	__u32 window = offered_window(f, p, flow); /* not scaled yet */
	bool first = false, said;

	bpf_spin_lock(&flow->lock);
	if (!(flow->flags & SHADOW_FLOW_OPEN)) {
		first = true;
		flow->flags |= SHADOW_FLOW_OPEN;
		flow->window_shift = shift;
		flow->window_end = flow->first + window;
		flow->server_next = p->sequence_next;
		flow->progress_ns = now_ns;
		shadow_speaks(p, flow, (struct status_line){}, now_ns, &comparison);
	}
	bpf_spin_unlock(&flow->lock);
	if (first && c) {
		c->connected++;
		histogram_add(&c->connect, now_ns - flow->opened_ns);
	}
	said = engine_pump(g->skb, &g->key, false) > 0;
	said |= engine_finish(g);
	if (!said)
		emit_bare(g->skb, &g->space->emission, TCP_ACK, engine_sent(g), engine_heard(g));
}

/*
 * A RST: it counts only where it can be meant for this connection (RFC 9293, 3.10.7.3). A shadow that resets after all
 * has been said has heard all, if it has answered: what its kernel has it need not have read.
 */
static __always_inline void engine_shadow_resets(struct engine *g, const struct packet *p)
{
	struct shadow_flow *flow = g->flow;

	if (!(flow->flags & SHADOW_FLOW_OPEN)) {
		if (p->tcp_flags & TCP_ACK && p->acknowledged == flow->first)
			engine_end(g, SHADOW_REFUSED, false);
		return;
	}
	if (!shadow_reset_is_plausible(p, flow->server_next))
		return;
	engine_end(g,
		   flow->flags & SHADOW_FLOW_FIN && shadow_has_all(flow) && !compare_unanswered(flow) ? SHADOW_WHOLE
												      : SHADOW_RESET,
		   false);
}

/* What an open connection's segment says. Under the lock. */
struct heard {
	enum acknowledgement acknowledgement;
	bool answer;
	bool whole; /* both sides have ended, and know it */
};

static __always_inline void engine_hear(struct engine *g, const struct packet *p, __u32 window, struct status_line line,
					struct heard *ret)
{
	struct shadow_flow *flow = g->flow;
	const __u32 both = SHADOW_FLOW_FIN_SENT | SHADOW_FLOW_SERVER_FIN;
	struct comparison comparison = {};
	__u64 now_ns = bpf_ktime_get_ns();

	bpf_spin_lock(&flow->lock);
	ret->acknowledgement = shadow_acknowledge(p, flow, window, now_ns);
	ret->answer = shadow_wants_acknowledgement(p, flow);
	shadow_speaks(p, flow, line, now_ns, &comparison);
	if (p->tcp_flags & TCP_FIN) {
		flow->flags |= SHADOW_FLOW_SERVER_FIN;
		if (flow->flags & SHADOW_FLOW_FIN)
			flow->flags |= SHADOW_FLOW_FINISH;
	}
	ret->whole = (flow->flags & both) == both && flow->acked == flow->fin + 1;
	bpf_spin_unlock(&flow->lock);
	comparison_count(g->key.service, &comparison);
}

/* A segment of an open connection. */
static __always_inline void engine_shadow_speaks(struct engine *g, const struct frame *f, const struct packet *p)
{
	__u32 window = offered_window(f, p, g->flow);
	struct status_line line = status_line_of(f, p, g->flow);
	struct heard heard = {};
	bool answered = false;

	engine_hear(g, p, window, line, &heard);
	stash_release(&g->key);
	if (heard.acknowledgement == ACKNOWLEDGES_TO_HOLE) {
		engine_repair(g);
		answered = true;
	}
	answered |= engine_pump(g->skb, &g->key, false) > 0;
	answered |= engine_finish(g);
	if (heard.answer && !answered)
		emit_bare(g->skb, &g->space->emission, TCP_ACK, engine_sent(g), engine_heard(g));
	if (heard.whole)
		engine_end(g, SHADOW_WHOLE, false);
}

/* A shadow's segment. */
static __always_inline void engine_shadow(struct engine *g, const struct frame *f, const struct packet *p)
{
	struct emission *e = &g->space->emission;

	if (g->flow->flags & SHADOW_FLOW_OVER || emission_begin(e, g->flow, &g->key))
		return;
	if (p->tcp_flags & TCP_RST) {
		engine_shadow_resets(g, p);
	} else if (is_syn_ack(p) && p->acknowledged == g->flow->first) {
		engine_shadow_opens(g, f, p);
	} else if (g->flow->flags & SHADOW_FLOW_OPEN) {
		engine_shadow_speaks(g, f, p);
	} else if (p->tcp_flags & TCP_ACK) {
		/* It remembers another connection of these ports: it is told that this is over, and asked again
		 * (RFC 9293, 3.10.7.3; RFC 5961, 4.2). */
		emit_bare(g->skb, e, TCP_RST, p->acknowledged, 0);
		emit_bare(g->skb, e, TCP_SYN, g->flow->first - 1, 0);
	}
}

/* --- the daemon's kicks --- */

/* All that is under way may be lost: each acknowledgement of a part says what is to be sent next. */
static __always_inline void engine_presume_lost(struct shadow_flow *flow)
{
	bpf_spin_lock(&flow->lock);
	if (flow->acked != flow->sent) {
		flow->flags |= SHADOW_FLOW_RECOVERY;
		flow->recover = flow->sent;
	}
	bpf_spin_unlock(&flow->lock);
}

/* Whether what is to be sent next has never come. */
static __always_inline bool engine_lacks(const struct shadow_flow *flow)
{
	__u32 sent = *(volatile const __u32 *)&flow->sent;

	return sequence_after(flow->client_next, sent) && !stash_find(flow, sent);
}

static __always_inline void engine_kick(struct engine *g, const struct mirror_kick *kick)
{
	struct shadow_flow *flow = g->flow;
	bool udp = flow->flags & SHADOW_FLOW_UDP;
	bool reachable;

	if (flow->serial != kick->serial || flow->flags & SHADOW_FLOW_OVER)
		return;
	if (kick->action == KICK_ABORT && kick->reason == SHADOW_LOST && !engine_lacks(flow))
		return; /* it has gone on since the daemon looked */
	reachable = emission_begin(&g->space->emission, flow, &g->key) == 0;
	if (kick->action == KICK_ABORT) {
		engine_end(g, kick->reason, reachable && !udp && !(flow->flags & SHADOW_FLOW_REPLAY));
		return;
	}
	if (!reachable || flow->flags & SHADOW_FLOW_REPLAY || udp)
		return;
	if (kick->action == KICK_FINISH) {
		bpf_spin_lock(&flow->lock);
		flow->flags |= SHADOW_FLOW_FINISH;
		bpf_spin_unlock(&flow->lock);
	} else {
		engine_presume_lost(flow);
		engine_repair(g);
	}
	engine_pump(g->skb, &g->key, engine_sent(g) == *(volatile __u32 *)&flow->acked);
	engine_finish(g);
}

#endif
