/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_HISTOGRAM_H
#define HEADGATE_HISTOGRAM_H

/*
 * Which bucket of struct histogram a time falls in. Shared by the programs, which count, and the daemon, which reads.
 *
 * Needs abi.h, nothing else. The logarithm has neither loop nor branch, as a verifier follows every path: five ifs in a
 * row are 2^5 of them. BPF has no instruction that counts leading zeros.
 */
#include "abi.h"

#define HISTOGRAM_QUARTER_BITS 2U /* four buckets a power of two */

/* @bits when @value has as many bits or more behind its highest one, else 0. @bits is a power of two. */
static inline __attribute__((always_inline)) __u32 histogram_step(__u32 value, __u32 bits)
{
	__u64 difference = (1ULL << bits) - 1 - value;

	__asm__("" : "+r"(difference)); /* or clang sees a comparison in it, and makes a branch */
	return (difference >> 63) * bits;
}

/* The bucket of a time: 0..HISTOGRAM_BUCKETS - 1, but a verifier only sees that it is below 128: compare before use. */
static inline __attribute__((always_inline)) __u32 histogram_bucket_of(__u64 ns)
{
	__u32 quarters, rest, power, step;

	if (ns >> HISTOGRAM_FIRST_POWER == 0)
		return 0;
	if (ns >> HISTOGRAM_LAST_POWER)
		ns = 1ULL << HISTOGRAM_LAST_POWER; /* whose bucket is the last one */
	quarters = ns >> (HISTOGRAM_FIRST_POWER - HISTOGRAM_QUARTER_BITS);
	rest = quarters >> HISTOGRAM_QUARTER_BITS;
	/* power = floor(log2(rest)), 0..27, a bit at a time */
	power = step = histogram_step(rest, 16);
	rest >>= step;
	power |= step = histogram_step(rest, 8);
	rest >>= step;
	power |= step = histogram_step(rest, 4);
	rest >>= step;
	power |= step = histogram_step(rest, 2);
	rest >>= step;
	power |= histogram_step(rest, 1);
	return 1 + (power << HISTOGRAM_QUARTER_BITS) + (quarters >> power & 3);
}

static inline __attribute__((always_inline)) void histogram_add(struct histogram *h, __u64 ns)
{
	__u32 bucket = histogram_bucket_of(ns);

	h->sum_ns += ns;
	h->count++;
	if (bucket < HISTOGRAM_BUCKETS)
		h->bucket[bucket]++;
}

#endif
