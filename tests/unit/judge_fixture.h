/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_JUDGE_FIXTURE_H
#define HEADGATE_JUDGE_FIXTURE_H

/* For tests of judge.h: numbers that are close, plans of one metric, and samples drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "judge_parts.h"

/* cmocka's own compares floats, not doubles. Relative above 1. */
static inline void assert_close(double got, double want, double tolerance)
{
	if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want))))
		fail_msg("%.17g is not close to %.17g", got, want);
}

static inline struct analysis_plan plan_of(struct metric_plan m)
{
	return (struct analysis_plan){.min_samples = 100, .alpha = 0.01, .metrics = {m}, .metric_count = 1};
}

/* xorshift64* (Vigna, 2016): the same numbers in every run. */
struct draws {
	uint64_t state; /* not 0 */
};

static inline uint64_t draw_bits(struct draws *d)
{
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return d->state * 0x2545f4914f6cdd1dULL;
}

/* Between 0 and 1, never either. */
static inline double draw_uniform(struct draws *d)
{
	return ((double)(draw_bits(d) >> 12) + 0.5) / (double)(1ULL << 52);
}

#define FEW 0.05 /* a share below which it is quicker to draw how far it is to the next */

/*
 * 64 draws at once, one a bit, each 1 with a chance of @share: whether a number that is drawn bit by bit is below
 * @share, of which most are known after few bits.
 */
static inline uint64_t draw_64(struct draws *d, double share)
{
	uint64_t below = 0, open = UINT64_MAX, bits;

	while (open && share > 0) {
		bits = draw_bits(d);
		share *= 2;
		if (share >= 1) {
			below |= open & ~bits;
			open &= bits;
			share -= 1;
		} else {
			open &= ~bits;
		}
	}
	return below;
}

/* How many of @trials happen: one by one, or, where few do, by drawing how far it is to the next. */
static inline uint64_t draw_binomial(struct draws *d, uint64_t trials, double share)
{
	double at = 0, distance = log1p(-share);
	uint64_t count = 0;

	if (share <= 0 || share >= 1)
		return share >= 1 ? trials : 0;
	for (; share > FEW && trials >= 64; trials -= 64)
		count += (uint64_t)__builtin_popcountll(draw_64(d, share));
	if (share > FEW)
		return count + (uint64_t)__builtin_popcountll(draw_64(d, share) & ((1ULL << trials) - 1));
	for (;;) {
		at += floor(log(draw_uniform(d)) / distance) + 1;
		if (at > (double)trials)
			return count;
		count++;
	}
}

static inline struct sample draw_counts(struct draws *d, uint64_t trials, double share)
{
	return (struct sample){.trials = trials, .events = draw_binomial(d, trials, share)};
}

#endif
