/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MIRROR_FRAME_H
#define HEADGATE_MIRROR_FRAME_H

/* How frames on the mirror say what they are: see abi. */
#include "maps.h"
#include "parse.h"

/* ifindex of the mirror's near end, or 0. */
static __always_inline __u32 mirror_ifindex(void)
{
	__u32 zero = 0;
	struct shadow_guard *guard = bpf_map_lookup_elem(&shadow_guard, &zero);

	return guard ? guard->mirror : 0;
}

/* 0, or -1: no Ethernet header in the frame. */
static __always_inline int mirror_mark(const struct frame *f, enum mirror_kind kind, __u32 service)
{
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));

	if (!eth)
		return -1;
	eth->h_dest[0] = MIRROR_MAC_FIRST;
	eth->h_dest[1] = MIRROR_MAC_SECOND;
	eth->h_dest[2] = MIRROR_MAC_THIRD;
	eth->h_dest[3] = kind;
	eth->h_dest[4] = service >> 8;
	eth->h_dest[5] = service;
	__builtin_memset(eth->h_source, 0, sizeof(eth->h_source));
	return 0;
}

/* The kind of a frame so marked, and the service, or -1. */
static __always_inline int mirror_marked(const struct frame *f, __u16 *ret_service)
{
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));

	if (!eth || eth->h_dest[0] != MIRROR_MAC_FIRST || eth->h_dest[1] != MIRROR_MAC_SECOND ||
	    eth->h_dest[2] != MIRROR_MAC_THIRD)
		return -1;
	*ret_service = (__u16)eth->h_dest[4] << 8 | eth->h_dest[5];
	return eth->h_dest[3];
}

#endif
