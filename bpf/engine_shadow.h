/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ENGINE_SHADOW_H
#define HEADGATE_ENGINE_SHADOW_H

/* What shadows' segments have the engine do, and the daemon's kicks. */
#include "shadow_engine.h"

#define TCP_OPTIONS_MAX 40

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
