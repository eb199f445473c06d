// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Bounds of a proportion that hold at all times: those proportions that a mixture of binomial likelihoods does not
 * contradict. Its ratio to the true one's is a martingale (Robbins 1970), here with Jeffreys' prior, Beta(1/2, 1/2).
 * With events and trials divided by N it is a mixture of the N-th roots of these ratios, which holds for trials of
 * which up to N depend on each other: see judge_counts.c.
 */
#include "judge_parts.h"

#include <math.h>

#define NEWTON_STEPS 100  /* 5 to 10 do, but for numbers beyond all measure */
#define NEWTON_CLOSE 1e-6 /* of log odds: what such a step misses is about its square */

/* Log of the mixture's likelihood. */
static double log_mixture(double events, double trials)
{
	return lgamma(events + 0.5) + lgamma(trials - events + 0.5) - lgamma(trials + 1) - log(M_PI);
}

static double log_likelihood(double events, double trials, double share)
{
	return (events > 0 ? events * log(share) : 0) + (trials > events ? (trials - events) * log1p(-share) : 0);
}

/*
 * The share below that of @events whose log likelihood is @least. In log odds the log likelihood is concave, so that
 * Newton's tangents lie above it: they come from outside, where they begin, and never get past.
 */
static double lowest_share(double events, double others, double least)
{
	double log_odds = least / events, step = INFINITY;

	for (int i = 0; i < NEWTON_STEPS && step > NEWTON_CLOSE; i++) {
		double inverse = exp(-fabs(log_odds)), share = (log_odds < 0 ? inverse : 1) / (1 + inverse);
		double likelihood =
			events * fmin(log_odds, 0) - others * fmax(log_odds, 0) - (events + others) * log1p(inverse);

		step = (least - likelihood) / (events * (1 - share) - others * share);
		log_odds += step > 0 ? step : 0;
	}
	return 1 / (1 + exp(-log_odds));
}

void bounds_of_share(double events, double trials, double level, double *ret_low, double *ret_high)
{
	double n = trials, k = fmin(events, n), least;

	*ret_low = 0;
	*ret_high = 1;
	if (!(trials > 0) || !(level > 0))
		return;
	least = log_mixture(k, n) + log(level); /* what is less likely than this is out of bounds */
	if (k > 0)
		*ret_low = lowest_share(k, n - k, least);
	if (k < n)
		*ret_high = 1 - lowest_share(n - k, k, least);
}

/*
 * The true quantile's rank among the samples is binomial with q: it may be any that the mixture does not contradict,
 * and so the quantile may be in any bucket that holds one.
 */
void bounds_of_quantile(const struct histogram *h, double q, double level, double *ret_low_s, double *ret_high_s)
{
	double trials = times_count(h), below = 0, through, rank, last = -1;
	bool found = false, possible = false;

	*ret_low_s = 0;
	*ret_high_s = INFINITY;
	if (!(trials > 0) || !(level > 0) || !(q > 0) || !(q < 1))
		return;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++, below = through) {
		through = below + (double)h->bucket[i];
		rank = fmin(fmax(q * trials, below), through);
		if (rank != last) /* most buckets are empty */
			possible = log_likelihood(rank, trials, q) > log_mixture(rank, trials) + log(level);
		last = rank;
		if (!possible && found)
			break;
		if (!possible)
			continue;
		if (!found)
			*ret_low_s = (double)histogram_lower_ns(i) / 1e9;
		found = true;
		*ret_high_s = i < HISTOGRAM_BUCKETS - 1 ? (double)histogram_upper_ns(i) / 1e9 : INFINITY;
	}
}
