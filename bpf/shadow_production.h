/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_PRODUCTION_H
#define HEADGATE_SHADOW_PRODUCTION_H

/* What production answers on mirrored connections, noted on its way to the client. */
#include "measuring.h"
#include "shadow_compare.h"

static __always_inline struct compared_segment compared_segment_of(const struct frame *f, const struct packet *p)
{
	return (struct compared_segment){
		.sequence = p->sequence + !!(p->tcp_flags & TCP_SYN),
		.bytes = p->payload_bytes,
		.class = status_class(f, p),
		.fin = !!(p->tcp_flags & TCP_FIN),
		.now_ns = bpf_ktime_get_ns(),
	};
}

/* A reply that is forwarded to the client of @key. */
static __always_inline void shadow_note_reply(const struct frame *f, const struct packet *p, const struct flow_key *key)
{
	struct service *s = bpf_map_lookup_elem(&services, &(__u32){key->service});
	struct comparison comparison = {};
	struct compared_segment segment;
	struct shadow_flow *flow;

	if (!s || !(s->flags & SERVICE_SHADOW) || p->protocol != IPPROTO_TCP || p->tcp_flags & TCP_RST ||
	    !(p->payload_bytes || p->tcp_flags & (TCP_SYN | TCP_FIN)))
		return;
	flow = bpf_map_lookup_elem(&shadow_flows, key);
	if (!flow)
		return;
	segment = compared_segment_of(f, p);
	bpf_spin_lock(&flow->lock);
	compare_response(flow, false, &segment, &comparison);
	bpf_spin_unlock(&flow->lock);
	comparison_count(key->service, &comparison);
}

#endif
