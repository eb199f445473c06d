// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Decapsulation for backends whose kernel has no tunnels: an XDP and a TC hook, one of which is attached. */
#include "decap.h"

/* Addresses and tags as they were, before the inner packet. Return: 0, or -1. */
static __always_inline int write_link(struct xdp_md *ctx, const __u8 *link, __u32 bytes)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (data + LINK_BYTES_MAX > end)
		return -1;
	if (bytes == sizeof(struct ethhdr))
		__builtin_memcpy(data, link, sizeof(struct ethhdr));
	else if (bytes == sizeof(struct ethhdr) + sizeof(struct vlan_tag))
		__builtin_memcpy(data, link, sizeof(struct ethhdr) + sizeof(struct vlan_tag));
	else
		__builtin_memcpy(data, link, LINK_BYTES_MAX);
	return 0;
}

static __always_inline int strip_xdp(struct xdp_md *ctx, const struct outer *o)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u8 link[LINK_BYTES_MAX];

	/* There is more than that: an outer header alone makes up for missing tags. */
	if (data + sizeof(link) > end)
		return -1;
	__builtin_memcpy(link, data, sizeof(link));
	if (bpf_xdp_adjust_head(ctx, o->bytes))
		return -1;
	return write_link(ctx, link, o->link_bytes);
}

SEC("xdp.frags")
int decap_xdp(struct xdp_md *ctx)
{
	struct outer o = {.frame_bytes = bpf_xdp_get_buff_len(ctx)};
	int outcome = decapsulate((void *)(long)ctx->data, (void *)(long)ctx->data_end, &o);

	if (outcome < 0)
		return XDP_PASS;
	if (outcome <= DECAP_GUE && strip_xdp(ctx, &o))
		outcome = DECAP_DROP_FAILED;
	count_outcome(outcome);
	return outcome <= DECAP_GUE ? XDP_PASS : XDP_DROP;
}

/*
 * bpf_skb_adjust_room() leaves the protocol that the stack goes by, and Linux 6.1 has no flag for that. Where families
 * differ bpf_skb_change_proto() sets it: it takes off, or puts in, the 20 bytes that the headers differ by behind the
 * Ethernet header, no matter what they are. The rest is then taken off as usual.
 */
static __always_inline int strip_tc(struct __sk_buff *skb, const struct outer *o, int outcome)
{
	/* What says how to cut merged segments apart again is of the inner TCP. */
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	__s32 bytes = o->bytes;

	/* Several inner packets, each behind headers of its own. */
	if (outcome == DECAP_GUE && skb->gso_size)
		return DECAP_DROP_AGGREGATED;
	/* A checksum that the interface found good was UDP's own (none), or the inner packet's. */
	if (outcome == DECAP_IPIP)
		flags |= BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	bpf_csum_update(skb, o->difference);
	if (o->ipv6 && !o->inner_ipv6) {
		if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0))
			return DECAP_DROP_FAILED;
		bytes -= sizeof(struct ipv6hdr) - sizeof(struct iphdr);
	} else if (!o->ipv6 && o->inner_ipv6) {
		if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0))
			return DECAP_DROP_FAILED;
		bytes += sizeof(struct ipv6hdr) - sizeof(struct iphdr);
	}
	return bpf_skb_adjust_room(skb, -bytes, BPF_ADJ_ROOM_MAC, flags) ? DECAP_DROP_FAILED : outcome;
}

/* Makes the headers readable: a driver may leave them in a page of their own. */
static __always_inline void pull_headers(struct __sk_buff *skb)
{
	__u32 wanted = skb->len < HEADERS_BYTES_MAX ? skb->len : HEADERS_BYTES_MAX;

	if (skb->data_end - skb->data < wanted)
		bpf_skb_pull_data(skb, wanted);
}

/*
 * The kernel has taken the first VLAN tag off the frame before TC sees it. A second one is for a program on the VLAN's
 * own interface, since here the headers behind it can't be taken off.
 */
SEC("tc")
int decap_tc(struct __sk_buff *skb)
{
	struct outer o = {.frame_bytes = skb->len};
	int outcome;

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_UNSPEC;
	pull_headers(skb);
	outcome = decapsulate((void *)(long)skb->data, (void *)(long)skb->data_end, &o);
	if (outcome < 0)
		return TC_ACT_UNSPEC;
	if (outcome <= DECAP_GUE)
		outcome = strip_tc(skb, &o, outcome);
	count_outcome(outcome);
	return outcome <= DECAP_GUE ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
