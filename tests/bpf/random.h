/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_RANDOM_H
#define HEADGATE_TEST_RANDOM_H

/* xorshift64* (Vigna, 2016): the same numbers in every run, as a failure must be seen again. */
#include <linux/types.h>

struct random {
	__u64 state; /* not 0 */
};

static inline __u32 random_below(struct random *r, __u32 limit)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (__u32)((r->state * 0x2545f4914f6cdd1dULL) >> 32) % limit;
}

#endif
