/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CHECKSUM_H
#define HEADGATE_CHECKSUM_H

/*
 * Incremental Internet checksums (RFC 1624, eqn. 3): HC' = ~(~HC + ~m + m'), over 32-bit words summed in 64 bits and
 * folded once. One's complement sums do not care for byte order, so all is done in network order.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* A difference is what is added to ~checksum; differences of several changes add up. */
static __always_inline __u64 checksum_difference(__u32 old, __u32 new)
{
	return (__u64)(__u32)~old + new;
}

static __always_inline __u64 checksum_address_difference(const struct address *old, const struct address *new,
							 bool ipv6)
{
	__u64 sum = checksum_difference(old->word[3], new->word[3]);

	if (ipv6) {
		sum += checksum_difference(old->word[0], new->word[0]);
		sum += checksum_difference(old->word[1], new->word[1]);
		sum += checksum_difference(old->word[2], new->word[2]);
	}
	return sum;
}

/* A difference in 16 bits. */
static __always_inline __u16 checksum_fold(__u64 sum)
{
	/* At most 64 words of 33 bits: 33 bits after the first fold, 17 after the second, 16 after the third. */
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __sum16 checksum_apply(__sum16 check, __u64 difference)
{
	return ~checksum_fold((__u16)~check + difference);
}

#endif
