/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_PRODUCTION_H
#define HEADGATE_SHADOW_PRODUCTION_H

/* What production answers on mirrored connections, noted on its way to the client. */
#include "measuring.h"

/* A reply that is forwarded to the client of @key. Datagrams' bytes are numbered as if they were a stream. */
static __always_inline void shadow_note_reply(const struct frame *f, const struct packet *p, const struct flow_key *key)
{
	struct service *s = bpf_map_lookup_elem(&services, &(__u32){key->service});
	bool udp = p->protocol == IPPROTO_UDP;
	struct compared_segment segment = {};
	struct scratch *space = scratch_space();
	struct shadow_flow *flow;

	if (!s || !space || !(s->flags & SERVICE_SHADOW) || p->tcp_flags & TCP_RST ||
	    !(udp || p->payload_bytes || p->tcp_flags & (TCP_SYN | TCP_FIN)))
		return;
	flow = bpf_map_lookup_elem(&shadow_flows, key);
	if (!flow)
		return;
	segment.sequence = p->sequence + !!(p->tcp_flags & TCP_SYN);
	segment.bytes = udp ? p->l3 + p->bytes - p->l4 - sizeof(struct udphdr) : p->payload_bytes;
	segment.class = udp ? 0 : status_class(f, p);
	segment.fin = !!(p->tcp_flags & TCP_FIN);
	segment.now_ns = bpf_ktime_get_ns();
	__builtin_memset(&space->comparison, 0, sizeof(space->comparison));
	bpf_spin_lock(&flow->lock);
	if (udp)
		segment.sequence = flow->production.next;
	compare_response(flow, false, &segment, &space->comparison);
	bpf_spin_unlock(&flow->lock);
	comparison_count(key->service, &space->comparison);
}

#endif
