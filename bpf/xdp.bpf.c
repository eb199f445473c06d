// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The XDP hook. What is frequent is decided by the first program; the others take over by tail call what is a reply,
 * what only the whole parser reads, and ICMP.
 */
#include "split.h"

enum { PART_REPLY, PART_RARE, PARTS };

int headgate_xdp_reply(struct xdp_md *ctx);
int headgate_xdp_rare(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PARTS);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} xdp_parts SEC(".maps") = {
	.values =
		{
			[PART_REPLY] = (void *)&headgate_xdp_reply,
			[PART_RARE] = (void *)&headgate_xdp_rare,
		},
};

static __always_inline struct frame frame_of(const struct xdp_md *ctx)
{
	return (struct frame){
		.data = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.bytes = bpf_xdp_get_buff_len((struct xdp_md *)ctx),
	};
}

/* Room for the outer headers; the Ethernet header and its tags move to the front of it. 0 or -1. */
static __always_inline int encapsulate(struct xdp_md *ctx, const struct packet *p, const struct departure *to)
{
	__u32 room = outer_bytes(to);
	struct frame f;

	if (bpf_xdp_adjust_head(ctx, -(int)room))
		return -1;
	f = frame_of(ctx);
	if (move_tags(&f, p, room))
		return -1;
	return outer_write(&f, p, to);
}

/* 0 or -1: there is no room, or a header is not where it was. */
static __always_inline int edit(struct xdp_md *ctx, struct frame *f, const struct packet *p, const struct departure *to)
{
	if (to->edit == EDIT_TUPLE) {
		if (p->l4 && (rewrite_checksum(f, p, &to->tuple) || rewrite_ports(f, p, &to->tuple)))
			return -1;
		return rewrite_addresses(f, p, &to->tuple);
	}
	if (rewrite_age(f, p))
		return -1;
	if (to->edit == EDIT_NONE)
		return 0;
	if (encapsulate(ctx, p, to))
		return -1;
	*f = frame_of(ctx);
	return 0;
}

/* Back out of the interface it came in by, or out of another one. */
static __always_inline int send(struct xdp_md *ctx, struct frame *f, const struct packet *p, const struct departure *to)
{
	if (edit(ctx, f, p, to) || forward_to(f, to->hop)) {
		drop(to->service, DROP_MALFORMED);
		return XDP_DROP;
	}
	count_departure(p, to);
	if (to->hop->ifindex == ctx->ingress_ifindex)
		return XDP_TX;
	if (bpf_redirect_map(&devices, to->hop->ifindex, XDP_DROP) == XDP_REDIRECT)
		return XDP_REDIRECT;
	drop(to->service, DROP_NO_NEXT_HOP);
	return XDP_DROP;
}

/* The frame becomes the RST that answers it, and goes back where it came from. */
static __always_inline int answer_with_reset(struct xdp_md *ctx, const struct packet *p)
{
	struct tcphdr answer;
	struct frame f;

	reset_tcp(p, &answer);
	if (bpf_xdp_adjust_tail(ctx, (int)reset_frame_bytes(p) - (int)p->frame_bytes))
		return XDP_DROP;
	f = frame_of(ctx);
	return reset_write(&f, p, &answer) ? XDP_DROP : XDP_TX;
}

static __always_inline int carry_out(struct xdp_md *ctx, struct frame *f, const struct packet *p, enum verdict verdict,
				     const struct departure *to)
{
	switch (verdict) {
	case VERDICT_SEND:
		return send(ctx, f, p, to);
	case VERDICT_RESET:
		return answer_with_reset(ctx, p);
	case VERDICT_DROP:
		return XDP_DROP;
	case VERDICT_REPLY:
		bpf_tail_call(ctx, &xdp_parts, PART_REPLY);
		return XDP_PASS;
	case VERDICT_RARE:
		bpf_tail_call(ctx, &xdp_parts, PART_RARE);
		return XDP_PASS;
	default:
		return XDP_PASS;
	}
}

SEC("xdp.frags")
int headgate_xdp(struct xdp_md *ctx)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_of(ctx);
	struct departure to = {};
	enum verdict verdict;

	if (!space)
		return XDP_PASS;
	verdict = split(&f, false, &space->packet, &to);
	return carry_out(ctx, &f, &space->packet, verdict, &to);
}

SEC("xdp.frags")
int headgate_xdp_reply(struct xdp_md *ctx)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_of(ctx);
	struct departure to = {};
	enum verdict verdict;

	if (!space)
		return XDP_PASS;
	verdict = split_from_backend(&f, &space->packet, &to);
	return carry_out(ctx, &f, &space->packet, verdict, &to);
}

SEC("xdp.frags")
int headgate_xdp_rare(struct xdp_md *ctx)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_of(ctx);
	struct departure to = {};
	enum verdict verdict;

	if (!space)
		return XDP_PASS;
	verdict = split(&f, true, &space->packet, &to);
	return carry_out(ctx, &f, &space->packet, verdict, &to);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
