// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Histograms as counts of what is above or below a bucket's bound, which is exact. */
#include "judge_parts.h"

#include <errno.h>

/* Not h->count: the programs count on while the histogram is read, and it may be ahead of the buckets. */
uint64_t times_count(const struct histogram *h)
{
	return histogram_count_below(h, UINT64_MAX);
}

uint64_t times_from(const struct histogram *h, uint64_t bound_ns)
{
	return times_count(h) - histogram_count_below(h, bound_ns);
}

uint64_t times_round_up(double ns)
{
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (ns <= (double)histogram_lower_ns(i))
			return histogram_lower_ns(i);
	}
	return UINT64_MAX;
}

uint64_t times_round_down(double ns)
{
	uint64_t bound_ns = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && (double)histogram_lower_ns(i) <= ns; i++)
		bound_ns = histogram_lower_ns(i);
	return bound_ns;
}

int times_quantile_bound(const struct histogram *h, double q, uint64_t *ret_ns)
{
	uint64_t middle_ns;

	if (histogram_quantile(h, q, &middle_ns))
		return -ENODATA;
	*ret_ns = histogram_upper_ns(histogram_bucket(middle_ns));
	return 0;
}
