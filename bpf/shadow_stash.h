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

/**
 * stash_release - let go of what has been acknowledged: a bounded number of segments, the rest next time
 * A function of its own to the verifier. Return: how many.
 */
__weak __noinline int stash_release(const struct flow_key *key)
{
	struct shadow_flow *flow = shadow_find(key);
	struct stash_key at = {.serial = flow ? flow->serial : 0};
	struct stash_segment *segment;
	__u32 bytes, done;
	bool ours;

	if (!flow)
		return 0;
	for (done = 0; done < STASH_FREED_AT_ONCE; done++) {
		at.sequence = flow->freed;
		if (!sequence_after(flow->acked, at.sequence))
			break;
		segment = bpf_map_lookup_elem(&stash, &at);
		if (!segment)
			break;
		bytes = segment->bytes;
		bpf_spin_lock(&flow->lock);
		ours = flow->freed == at.sequence && !sequence_after(at.sequence + bytes, flow->acked);
		if (ours)
			flow->freed = at.sequence + bytes;
		bpf_spin_unlock(&flow->lock);
		if (!ours)
			break;
		bpf_map_delete_elem(&stash, &at);
		__sync_fetch_and_sub(&flow->waiting, 1);
	}
	return done;
}

#endif
