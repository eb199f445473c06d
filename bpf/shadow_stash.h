/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_STASH_H
#define HEADGATE_SHADOW_STASH_H

/*
 * What the shadow has not acknowledged: its connection's send buffer. A segment is found by the sequence number of its
 * first byte, so that the next to send, and the one that is missing, is one look-up.
 */
#include "shadow.h"

#define STASH_FREED_AT_ONCE 16

enum stash_result {
	STASH_OK,
	STASH_HAD, /* one from the same place, maybe of another length: the client has sent it again */
	STASH_CONNECTION_FULL,
	STASH_FULL,
};

/* Before @segment's data are loaded: what is behind them must not count in the checksum. 0 < @bytes <= STASH_BYTES. */
static __always_inline void stash_prepare(struct stash_segment *segment, __u32 bytes, bool push)
{
	__u32 at = bytes & ~3U;

	segment->bytes = bytes;
	segment->push = push;
	if (at <= STASH_BYTES - 4)
		*(__u32 *)(segment->data + at) = 0;
}

/* Keeps @segment, which begins at @sequence. @limit: how many this connection may have. */
static __always_inline enum stash_result stash_put(struct shadow_flow *flow, __u32 sequence, __u32 limit,
						   const struct stash_segment *segment)
{
	struct stash_key key = {.serial = flow->serial, .sequence = sequence};
	int error;

	if (flow->waiting >= limit)
		return STASH_CONNECTION_FULL;
	error = bpf_map_update_elem(&stash, &key, segment, BPF_NOEXIST);
	if (error == -EEXIST)
		return STASH_HAD;
	if (error)
		return STASH_FULL;
	__sync_fetch_and_add(&flow->waiting, 1);
	return STASH_OK;
}

static __always_inline struct stash_segment *stash_find(const struct shadow_flow *flow, __u32 sequence)
{
	struct stash_key key = {.serial = flow->serial, .sequence = sequence};

	return bpf_map_lookup_elem(&stash, &key);
}

/* Lets go of what has been acknowledged: a bounded number of segments, the rest next time. */
static __always_inline void stash_release(struct shadow_flow *flow)
{
	struct stash_key key = {.serial = flow->serial};
	struct stash_segment *segment;
	__u32 bytes;
	bool ours;

	for (__u32 i = 0; i < STASH_FREED_AT_ONCE; i++) {
		key.sequence = flow->freed;
		if (!sequence_after(flow->acked, key.sequence))
			return;
		segment = bpf_map_lookup_elem(&stash, &key);
		if (!segment)
			return;
		bytes = segment->bytes;
		bpf_spin_lock(&flow->lock);
		ours = flow->freed == key.sequence && !sequence_after(key.sequence + bytes, flow->acked);
		if (ours)
			flow->freed = key.sequence + bytes;
		bpf_spin_unlock(&flow->lock);
		if (!ours)
			return;
		bpf_map_delete_elem(&stash, &key);
		__sync_fetch_and_sub(&flow->waiting, 1);
	}
}

#endif
