// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Likelihood ratios of counts.
 *
 * Beside stable: given an interval's trials of both sides and how many events there were in all, the candidate's number
 * of them has Fisher's noncentral hypergeometric distribution of the odds ratio, whatever the rate of events was just
 * then (Fisher 1935; McCullagh and Nelder, "Generalized linear models", 7.3). It grows with the odds ratio in the sense
 * of likelihood ratios, so that of all tolerated ones @tolerance itself has the highest expectation, which is 1.
 */
#include "judge_parts.h"

#include <math.h>

/* Odds, relative to what is tolerated, that are mixed over. */
static const double alternatives[JUDGE_RATIOS] = {1.25, 1.5, 2, 3, 4.5, 8, 16, 50};

/*
 * Trials of an interval that are worked with: more are scaled down, rounded in the candidate's favour, and are evidence
 * enough all the same. It bounds what an interval costs, as the support that matters is some 20 standard deviations.
 */
#define TRIALS_MAX 1e8
/* Of the largest term: tails are cut off there, as what lies behind is less than doubles hold. */
#define NEGLIGIBLE 1e-20

/* What is the same for all odds ratios. Numbers below 2^53, as doubles. */
struct margins {
	double candidate, stable, events; /* trials of each, events of both */
	double low, high;                 /* support of the candidate's events */
	double got;                       /* the candidate's events */
};

static bool margins_make(const struct fourfold *f, struct margins *ret)
{
	double scale = fmax(1, ((double)f->candidate_trials + (double)f->stable_trials) / TRIALS_MAX);
	double candidate = f->candidate_trials, stable = f->stable_trials;
	double got = fmin(f->candidate_events, candidate), others = fmin(f->stable_events, stable);

	if (scale > 1) {
		got = floor(got / scale);
		candidate = ceil(candidate / scale);
		others = ceil(others / scale);
		stable = fmax(others, floor(stable / scale));
	}
	*ret = (struct margins){
		.candidate = candidate,
		.stable = stable,
		.events = got + others,
		.low = fmax(0, got + others - stable),
		.high = fmin(got + others, candidate),
		.got = got,
	};
	return ret->low < ret->high;
}

/* Where the terms are largest: where one divided by the one before is 1. */
static double mode_of(const struct margins *t, double odds)
{
	double a = odds - 1, b = (t->candidate + t->events + 2) * odds + t->stable - t->events;
	double c = (t->candidate + 1) * (t->events + 1) * odds;
	double mode = floor(2 * c / (b + sqrt(fmax(0, b * b - 4 * a * c))));

	return fmin(fmax(mode, t->low), t->high);
}

/* Log of the sum over the support of C(candidate, x) C(stable, events - x) odds^x, but for what does not depend on
 * odds. Summed from the mode both ways, relative to it. */
static double log_sum(const struct margins *t, double odds)
{
	double mode = mode_of(t, odds), spare = t->stable - t->events, sum = 1, term = 1;

	for (double x = mode; x < t->high && term > NEGLIGIBLE; x++) {
		term *= (t->candidate - x) * (t->events - x) * odds / ((x + 1) * (spare + x + 1));
		sum += term;
	}
	term = 1;
	for (double x = mode; x > t->low && term > NEGLIGIBLE; x--) {
		term *= x * (spare + x) / ((t->candidate - x + 1) * (t->events - x + 1) * odds);
		sum += term;
	}
	return log(sum) + mode * log(odds) - lgamma(mode + 1) - lgamma(t->candidate - mode + 1) -
	       lgamma(t->events - mode + 1) - lgamma(spare + mode + 1);
}

bool counts_compared(const struct fourfold *f, double tolerance, double log_ratios[JUDGE_RATIOS])
{
	struct margins margins;
	double tolerated;

	if (!margins_make(f, &margins))
		return false;
	tolerated = log_sum(&margins, tolerance);
	for (size_t i = 0; i < JUDGE_RATIOS; i++)
		log_ratios[i] =
			margins.got * log(alternatives[i]) + tolerated - log_sum(&margins, tolerance * alternatives[i]);
	return true;
}

/* Binomial: of odds so many times those of @l->share. Where no event is tolerated at all, one is proof. */
static double limit_log_ratio(const struct limit *l, double times)
{
	double odds, events = fmin(l->counts.events, l->counts.trials);

	if (l->share <= 0)
		return events > 0 ? INFINITY : 0;
	if (l->share >= 1)
		return 0;
	odds = l->share / (1 - l->share);
	return events * log(times) + (double)l->counts.trials * (log1p(odds) - log1p(times * odds));
}

bool counts_limited(const struct limit *above, const struct limit *below, double log_ratios[JUDGE_RATIOS])
{
	const struct limit *one = above ?: below;

	if (!one || !one->counts.trials)
		return false;
	/* With both, every other alternative is one of the other side: a mixture of e-values is one. */
	for (size_t i = 0; i < JUDGE_RATIOS; i++)
		log_ratios[i] = limit_log_ratio(above && below && i % 2 ? below : one, alternatives[i]);
	return true;
}
