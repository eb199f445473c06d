// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The XDP hook. */
#include "split.h"

/* Back out of the interface it came in by, or out of another one. */
static __always_inline int send(struct xdp_md *ctx, const struct departure *to)
{
	if (to->ifindex == ctx->ingress_ifindex)
		return XDP_TX;
	if (bpf_redirect_map(&devices, to->ifindex, XDP_DROP) == XDP_REDIRECT)
		return XDP_REDIRECT;
	drop(to->service, DROP_NO_NEXT_HOP);
	return XDP_DROP;
}

/* The frame becomes the RST that answers it, and goes back where it came from. */
static __always_inline int answer_with_reset(struct xdp_md *ctx, const struct packet *p)
{
	struct tcphdr *tcp = tcp_of(p);
	struct tcphdr answer;

	if (!tcp)
		return XDP_DROP;
	reset_tcp(p, tcp->seq, tcp->ack_seq, &answer);
	if (bpf_xdp_adjust_tail(ctx, (int)reset_frame_bytes(p) - (int)p->frame_bytes))
		return XDP_DROP;
	if (reset_write((void *)(long)ctx->data, (void *)(long)ctx->data_end, p, &answer))
		return XDP_DROP;
	return XDP_TX;
}

SEC("xdp")
int headgate_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct departure to = {};
	struct packet p = {};

	switch (split(&p, data, end, &to)) {
	case VERDICT_SEND:
		return send(ctx, &to);
	case VERDICT_RESET:
		return answer_with_reset(ctx, &p);
	case VERDICT_DROP:
		return XDP_DROP;
	default:
		return XDP_PASS;
	}
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
