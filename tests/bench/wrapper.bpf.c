// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What BPF_PROG_TEST_RUN repeats. It leaves the frame from one run to the next as the program left it, so each run
 * begins here: the frame is put back where it was and as it was, now of another flow, and the program under measurement
 * takes over by tail call. What this costs is measured with a program in its place that does nothing.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "plan.h"

#define FLOW_BITS 14
#define SOURCE_BITS 4
#define OFFSET_MAX 63U

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PLAN_PROGRAMS);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

struct plan plan;
__u64 random_state;
__u32 sequence;

/* The upper half of Knuth's MMIX generator: nothing is read from memory, so that flows come in an order that no cache
 * foresees and that costs nothing by itself. */
static __always_inline __u32 next_random(void)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return random_state >> 32;
}

/*
 * Word by word as the headers' fields are, so that no program reads across two of these stores: the processor would
 * wait until both are in the cache.
 */
static __always_inline void restore(void *data)
{
	volatile const __u32 *from = (void *)plan.frame + 14;
	volatile __u32 *to = data + 14;

	*(volatile __u64 *)data = *(volatile const __u64 *)plan.frame;
	*(volatile __u32 *)(data + 8) = *(volatile const __u32 *)(plan.frame + 8);
	*(volatile __u16 *)(data + 12) = *(volatile const __u16 *)(plan.frame + 12);
#pragma unroll
	for (__u32 i = 0; i < PLAN_WORDS; i++)
		to[i] = from[i];
}

/* The verifier sees no more of an offset than a mask, and so wants each place compared with the frame's end. */
static __always_inline void put(void *data, void *end, __u32 offset, __u32 value)
{
	volatile __u32 *at;

	offset &= OFFSET_MAX;
	asm volatile("" : "+r"(offset));
	at = data + offset;
	if ((void *)(at + 1) <= end)
		*at = value;
}

static __always_inline void become(void *data, void *end, __u32 flow)
{
	__u32 service_port = plan.service_port_first + (plan.services > 1 ? flow % plan.services : 0);
	__u32 address, port;

	if (plan.numbering == PLAN_SOURCES) {
		address = plan.address_first + (flow & ((1 << SOURCE_BITS) - 1));
		port = plan.port_first + (flow >> SOURCE_BITS);
	} else {
		address = plan.address_first + (flow >> FLOW_BITS);
		port = plan.port_first + (flow & ((1 << FLOW_BITS) - 1));
	}
	put(data, end, plan.address_at, bpf_htonl(address));
	put(data, end, plan.ports_at,
	    bpf_htonl(plan.flow_is_source ? port << 16 | service_port : service_port << 16 | port));
	if (plan.goes_on) {
		sequence += 64;
		put(data, end, plan.ports_at + 4, bpf_htonl(sequence));
		put(data, end, plan.ports_at + 8, bpf_htonl(sequence));
	}
}

SEC("xdp.frags")
int wrapper(struct xdp_md *ctx)
{
	__u32 random = next_random();
	void *data, *end;

	/* Called whether something is to be undone or not, so that they cost the same with the program that does
	 * nothing. */
	if (plan.writes_metadata && bpf_xdp_adjust_meta(ctx, ctx->data - ctx->data_meta))
		return XDP_ABORTED;
	if (plan.makes_room && bpf_xdp_adjust_head(ctx, ctx->data_end - ctx->data - PLAN_FRAME_BYTES))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + PLAN_FRAME_BYTES > end)
		return XDP_ABORTED;
	restore(data);
	become(data, end, plan.flows ? (__u64)random * plan.flows >> 32 : random);
	bpf_tail_call(ctx, &programs, plan.program);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int nothing(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

/* The least that encapsulating can be: room for an outer header, and constants. */
SEC("xdp.frags")
int encapsulation(struct xdp_md *ctx)
{
	struct ethhdr *eth;
	struct iphdr *ip;
	void *end;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_ABORTED;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end)
		return XDP_ABORTED;
	*eth = (struct ethhdr){
		.h_dest = {2, 0, 0, 0, 0, 1},
		.h_source = {2, 0, 0, 0, 0, 2},
		.h_proto = bpf_htons(0x0800),
	};
	*ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(100),
		.ttl = 64,
		.protocol = 4,
		.saddr = bpf_htonl(0x0a000001),
		.daddr = bpf_htonl(0x0a000101),
		.check = bpf_htons(0x6587),
	};
	return XDP_TX;
}

SEC("xdp.frags")
int swap(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u8 mac[6];

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(mac, eth->h_dest, sizeof(mac));
	__builtin_memcpy(eth->h_dest, eth->h_source, sizeof(mac));
	__builtin_memcpy(eth->h_source, mac, sizeof(mac));
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
