// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Evidence against a candidate, as a mixture over alternatives and over the interval in which things began to go wrong.
 *
 * For one alternative the likelihood ratio of what came from interval i on is a test martingale under the null
 * hypothesis. The mixture of them with prior w_i, with 1 for beginnings that are still ahead,
 *	E_t = sum over i <= t of w_i L_i .. L_t  +  1 - sum over i <= t of w_i,
 * is one, too: E_0 = 1, and each L has an expectation of at most 1 whatever was before, so that what interval t + 1
 *adds to the sum, w_(t+1), is what it takes from the rest. By Ville's inequality its chance to ever reach c is at most
 *1 / c. The sum needs no memory of the intervals: S <- (S + w) L.
 *
 * The prior's rest behind t intervals is 1 / (1 + log2(1 + t)): half of it is on the first interval, and a beginning
 * after 100 or 100 000 of them costs a factor of 4 000 or 14 million, where 1 / (t (t + 1)) would cost 10^4 or 10^10.
 */
#include "judge_parts.h"

#include <math.h>

#define EVIDENCE_MAX 1e100 /* less than there was is always valid; sums and products of these stay finite */

static double prior_rest(uint64_t intervals)
{
	return 1 / (1 + log2(1 + (double)intervals));
}

/* What a state may hold, whatever a file said. */
static double clean(double mixed)
{
	return mixed > 0 ? fmin(mixed, EVIDENCE_MAX) : 0;
}

double evidence_now(const struct evidence *e)
{
	double sum = 0;

	for (size_t i = 0; i < JUDGE_RATIOS; i++)
		sum += clean(e->mixed[i]);
	return fmin(sum / JUDGE_RATIOS + prior_rest(e->intervals), EVIDENCE_MAX);
}

void evidence_add(struct evidence *e, const double log_ratios[JUDGE_RATIOS])
{
	double began = prior_rest(e->intervals) - prior_rest(e->intervals + 1);

	e->intervals++;
	for (size_t i = 0; i < JUDGE_RATIOS; i++)
		e->mixed[i] = clean((clean(e->mixed[i]) + began) * exp(log_ratios[i]));
	e->highest = fmax(clean(e->highest), evidence_now(e));
}
