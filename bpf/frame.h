/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FRAME_H
#define HEADGATE_FRAME_H

/* What each hook has of a frame; anew whenever a helper may have moved it. */
#include "parse.h"

#define HEADERS_PULLED 256U /* what nearly every packet has of headers, and more */

static __always_inline struct frame frame_of_xdp(struct xdp_md *ctx)
{
	return (struct frame){
		.data = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.bytes = bpf_xdp_get_buff_len(ctx),
	};
}

/* One that is known to be in one piece, which the kernel need not be asked for. */
static __always_inline struct frame frame_in_place(struct xdp_md *ctx)
{
	return (struct frame){
		.data = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.bytes = ctx->data_end - ctx->data,
	};
}

static __always_inline struct frame frame_of_skb(const struct __sk_buff *skb)
{
	return (struct frame){
		.data = (void *)(long)skb->data,
		.end = (void *)(long)skb->data_end,
		.bytes = skb->len,
		.gso_bytes = skb->gso_size,
	};
}

/* The frame with its first @bytes in one piece. */
static __always_inline struct frame frame_pulled(struct __sk_buff *skb, __u32 bytes)
{
	bpf_skb_pull_data(skb, skb->len < bytes ? skb->len : bytes);
	return frame_of_skb(skb);
}

#endif
