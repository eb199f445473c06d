// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "draws.h"

#include <math.h>

/* From here on a rounded normal number is as good. */
#define VARIANCE_NORMAL 100

void draws_begin(struct draws *d, uint64_t seed)
{
	/* splitmix64 (Steele, Lea and Flood, 2014): seeds that are neighbours begin far from each other. */
	seed += 0x9e3779b97f4a7c15ULL;
	seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9ULL;
	seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebULL;
	d->state = (seed ^ (seed >> 31)) ?: 1;
}

/* xorshift64* (Vigna, 2016) */
double draw_uniform(struct draws *d)
{
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return ((double)(d->state * 0x2545f4914f6cdd1dULL >> 12) + 0.5) / (double)(1ULL << 52);
}

/* Box and Muller, 1958. */
double draw_normal(struct draws *d)
{
	double length = sqrt(-2 * log(draw_uniform(d)));

	return length * cos(2 * M_PI * draw_uniform(d));
}

static uint64_t draw_rounded(struct draws *d, double mean, double variance, double most)
{
	double drawn = round(mean + sqrt(variance) * draw_normal(d));

	return drawn < 0 ? 0 : (uint64_t)fmin(drawn, most);
}

uint64_t draw_poisson(struct draws *d, double mean)
{
	uint64_t count = 0;
	double left = mean;

	if (mean > VARIANCE_NORMAL)
		return draw_rounded(d, mean, mean, 1e18);
	/* Times between arrivals, until the interval is full. */
	while ((left += log(draw_uniform(d))) > 0)
		count++;
	return count;
}

uint64_t draw_binomial(struct draws *d, uint64_t trials, double share)
{
	double n = (double)trials, at = 0, distance;
	uint64_t count = 0;

	if (share <= 0 || !trials)
		return 0;
	if (share > 0.5)
		return trials - draw_binomial(d, trials, 1 - share);
	if (n * share * (1 - share) > VARIANCE_NORMAL)
		return draw_rounded(d, n * share, n * share * (1 - share), n);
	/* How far it is to the next one. */
	distance = log1p(-share);
	while ((at += floor(log(draw_uniform(d)) / distance) + 1) <= n)
		count++;
	return count;
}
