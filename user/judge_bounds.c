// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Bounds of a proportion that hold at all times: those proportions that a mixture of binomial likelihoods does not
 * contradict. Its ratio to the true one's is a martingale (Robbins 1970), here with Jeffreys' prior, Beta(1/2, 1/2).
 */
#include "judge_parts.h"

#include <math.h>

#define HALVINGS 50 /* of an interval within 0..1: finer than anything that is shown or compared */

/* Log of the mixture's likelihood. */
static double log_mixture(double events, double trials)
{
	return lgamma(events + 0.5) + lgamma(trials - events + 0.5) - lgamma(trials + 1) - log(M_PI);
}

static double log_likelihood(double events, double trials, double share)
{
	return (events > 0 ? events * log(share) : 0) + (trials > events ? (trials - events) * log1p(-share) : 0);
}

void bounds_of_share(uint64_t events, uint64_t trials, double level, double *ret_low, double *ret_high)
{
	double n = trials, k = fmin(events, n), least, bad, good, middle;

	*ret_low = 0;
	*ret_high = 1;
	if (!trials || !(level > 0))
		return;
	least = log_mixture(k, n) + log(level); /* what is less likely than this is out of bounds */
	for (int side = 0; side < 2; side++) {
		if (side ? k >= n : k <= 0)
			continue;
		bad = side;
		good = k / n;
		for (int i = 0; i < HALVINGS; i++) {
			middle = (bad + good) / 2;
			if (log_likelihood(k, n, middle) > least)
				good = middle;
			else
				bad = middle;
		}
		*(side ? ret_high : ret_low) = bad;
	}
}

/*
 * The true quantile's rank among the samples is binomial with q: it may be any that the mixture does not contradict,
 * and so the quantile may be in any bucket that holds one.
 */
void bounds_of_quantile(const struct histogram *h, double q, double level, double *ret_low_s, double *ret_high_s)
{
	double trials = times_count(h), below = 0, through, rank;
	bool found = false;

	*ret_low_s = 0;
	*ret_high_s = INFINITY;
	if (!(trials > 0) || !(level > 0) || !(q > 0) || !(q < 1))
		return;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++, below = through) {
		through = below + (double)h->bucket[i];
		rank = fmin(fmax(q * trials, below), through);
		if (log_likelihood(rank, trials, q) <= log_mixture(rank, trials) + log(level))
			continue;
		if (!found)
			*ret_low_s = (double)histogram_lower_ns(i) / 1e9;
		found = true;
		*ret_high_s = i < HISTOGRAM_BUCKETS - 1 ? (double)histogram_upper_ns(i) / 1e9 : INFINITY;
	}
}
