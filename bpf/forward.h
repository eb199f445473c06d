/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FORWARD_H
#define HEADGATE_FORWARD_H

/* The last step: which neighbour, and out of which interface. */
#include "count.h"
#include "flow.h"

/* 0, or -1: no Ethernet header in the frame. */
static __always_inline int forward_to(const struct frame *f, const struct next_hop *hop)
{
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));

	if (!eth)
		return -1;
	__builtin_memcpy(eth->h_dest, hop->destination_mac, sizeof(hop->destination_mac));
	__builtin_memcpy(eth->h_source, hop->source_mac, sizeof(hop->source_mac));
	return 0;
}

/* The hop in force, or NULL while the backend's neighbour is not known. */
static __always_inline const struct next_hop *backend_hop(const struct backend *b)
{
	const struct next_hop *hop = b->hop_active & 1 ? &b->hop[1] : &b->hop[0];

	return hop->ifindex ? hop : NULL;
}

/* An on-link client whose MAC nobody knows: leave word with the daemon, which has the kernel ask. */
static __always_inline void neighbour_wanted(const struct address *client, __u32 ifindex)
{
	struct wanted_neighbour key = {.address = *client, .ifindex = ifindex};
	__u32 now = tick_now();

	bpf_map_update_elem(&wanted_neighbours, &key, &now, BPF_ANY);
}

/**
 * client_hop - the way to a client
 * @ret: set with NEXT_HOP_REACHABLE
 * Return: enum next_hop_kind; no route at all is NEXT_HOP_UNRESOLVED.
 */
static __always_inline int client_hop(const struct address *client, const struct next_hop_entry **ret)
{
	struct next_hop_key key = {.prefix_bits = 128, .address = *client};
	struct next_hop_entry *entry = bpf_map_lookup_elem(&next_hops, &key);

	if (!entry)
		return NEXT_HOP_UNRESOLVED;
	if (entry->kind == NEXT_HOP_UNRESOLVED)
		neighbour_wanted(client, entry->hop.ifindex);
	*ret = entry;
	return entry->kind;
}

#endif
