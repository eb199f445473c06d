// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Likelihood ratios of counts.
 *
 * Beside stable: given an interval's trials of both sides and how many events there were in all, the candidate's number
 * of them has Fisher's noncentral hypergeometric distribution of the odds ratio, whatever the rate of events was just
 * then (Fisher 1935; McCullagh and Nelder, "Generalized linear models", 7.3). It grows with the odds ratio in the sense
 * of likelihood ratios, so that of all tolerated ones @tolerance itself has the highest expectation, which is 1.
 *
 * Where up to N events come of one accident, it is accidents that must not be more frequent than tolerated, while their
 * sizes are the same on both sides but for chance. Accidents are not seen: X of E events of the candidate are taken for
 * X / N of E / N. The ratio is times^(X / N) divided by the highest expectation that this can have. Whatever accidents
 * there were and however they fall, that expectation is convex in what is moved from one accident to another, and is so
 * the highest when all but one of them have N events, or none; the one that is left over has a part of N, which by
 * convexity is no more than the same part of the way from none to N. (The N-th root of the ratio of X of E would be
 * more than is due: its expectation rises above 1 where few connections have many requests each.)
 *
 * Beside a limit the N-th root is what is due: trials whose groups of up to N depend on each other can be dealt out to
 * N layers, one of each group to each, so that a layer's are independent. The ratio is the product of the layers'
 * ratios, and by Hoelder's inequality for N factors the expectation of the product of their N-th roots is at most 1, as
 * that of each ratio is (so used by Janson, "Large deviations for sums of partly dependent random variables", 2004).
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

/* The same margins with other events of both. */
static struct margins with_events(const struct margins *t, double events)
{
	struct margins ret = *t;

	ret.events = events;
	ret.low = fmax(0, events - t->stable);
	ret.high = fmin(events, t->candidate);
	return ret;
}

/* By alternative: log of the expectation of so many times to the power of the candidate's events. */
static void log_expectations(const struct margins *t, double tolerance, double ret[JUDGE_RATIOS])
{
	double tolerated = log_sum(t, tolerance);

	for (size_t i = 0; i < JUDGE_RATIOS; i++)
		ret[i] = log_sum(t, tolerance * alternatives[i]) - tolerated;
}

bool counts_compared(const struct fourfold *f, double tolerance, double burst, double log_ratios[JUDGE_RATIOS])
{
	double fewer[JUDGE_RATIOS], more[JUDGE_RATIOS], accidents, part;
	struct margins margins, accident;

	if (!margins_make(f, &margins))
		return false;
	accidents = floor(margins.events / burst);
	part = margins.events / burst - accidents;
	accident = with_events(&margins, accidents);
	log_expectations(&accident, tolerance, fewer);
	if (part > 0) {
		accident = with_events(&margins, accidents + 1);
		log_expectations(&accident, tolerance, more);
	}
	for (size_t i = 0; i < JUDGE_RATIOS; i++) {
		log_ratios[i] = margins.got / burst * log(alternatives[i]) - fewer[i];
		if (part > 0)
			log_ratios[i] -= log1p(part * expm1(more[i] - fewer[i]));
	}
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

bool counts_limited(const struct limit *above, const struct limit *below, double burst, double log_ratios[JUDGE_RATIOS])
{
	const struct limit *one = above ?: below;

	if (!one || !one->counts.trials)
		return false;
	/* With both, every other alternative is one of the other side: a mixture of e-values is one. */
	for (size_t i = 0; i < JUDGE_RATIOS; i++)
		log_ratios[i] = limit_log_ratio(above && below && i % 2 ? below : one, alternatives[i]) / burst;
	return true;
}
