// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Means of values in a known range, of which an interval brings how many there were, their sum and their squares' sum.
 *
 * For X in 0..1 with mean mu, a guess g of it made before, and 0 <= l < 1,
 *	exp(l (X - mu) - psi(l) (X - g)^2),  psi(l) = -log(1 - l) - l,
 * has an expectation of at most 1 (Fan, Grama and Liu 2015; Howard et al. 2021; Waudby-Smith and Ramdas, "Estimating
 * means of bounded random variables by betting", 2024, theorem 2); by symmetry so has the one with mu - X. With l and g
 * fixed over an interval the product over its values needs nothing but those three sums.
 *
 * Beside stable: one such factor for each of the candidate's values, which bets that they are low, with l, and one for
 * each of stable's, which bets that they are high, with l': where l' n' = slope l n, the product's unknown part is
 * exp(l n (mu - slope mu')), known to be at least exp(l n offset) where mu is tolerated. So the product without it is
 *an e-value, however the means of both drift together.
 */
#include "judge_parts.h"

#include <math.h>

/* Bets that are mixed over. What is best is the effect divided by the variance. */
static const double bets[JUDGE_RATIOS] = {0.8, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125, 0.006};

#define SEQUENCE_BET_MAX 0.5
#define SEQUENCE_TUNED_FOR 0.001 /* level at which confidence sequences are the narrowest; they hold at any */

static double price(double bet)
{
	return -log1p(-bet) - bet;
}

static double width(const struct metric_plan *m)
{
	return m->range_high - m->range_low;
}

double scores_scale_one(const struct metric_plan *m, double value)
{
	return (m->lower_is_worse ? value - m->range_low : m->range_high - value) / width(m);
}

double scores_unscale(const struct metric_plan *m, double mean)
{
	return m->lower_is_worse ? m->range_low + mean * width(m) : m->range_high - mean * width(m);
}

bool scores_scale(const struct metric_plan *m, const struct sample *sample, struct scores *ret)
{
	double trials = sample->trials, end = m->lower_is_worse ? m->range_low : m->range_high;
	double sum = sample->sum - trials * end;
	double squares = sample->squares - 2 * end * sample->sum + trials * end * end;

	if (!sample->trials || !(width(m) > 0) || !isfinite(sum) || !isfinite(squares))
		return false;
	sum = fmin(fmax((m->lower_is_worse ? sum : -sum) / width(m), 0), trials);
	squares = fmin(fmax(squares / (width(m) * width(m)), sum * sum / trials), sum);
	*ret = (struct scores){.trials = sample->trials, .sum = sum, .squares = squares};
	return true;
}

/*
 * Worse by a share of stable's mean M: from (1 - tolerance) M on where lower is worse, to (1 + tolerance) M where
 * higher is. With a range that has negative values, where a share of the mean is not what people mean, of the range.
 */
struct tolerated scores_tolerated(const struct metric_plan *m)
{
	if (m->range_low < 0)
		return (struct tolerated){.slope = 1, .offset = -m->tolerance};
	if (m->lower_is_worse)
		return (struct tolerated){
			.slope = fmax(0, 1 - m->tolerance),
			.offset = (fmax(0, 1 - m->tolerance) - 1) * m->range_low / width(m),
		};
	return (struct tolerated){.slope = 1 + m->tolerance, .offset = -m->tolerance * m->range_high / width(m)};
}

/* By what came before; in the middle when nothing did. */
static double guess(const struct arm_total *before)
{
	return (0.5 + before->sum) / (1 + (double)before->trials);
}

/* Sum over the values of their squared distance from @from. */
static double spread(const struct scores *s, double from)
{
	return fmax(0, s->squares - 2 * from * s->sum + (double)s->trials * from * from);
}

bool scores_compared(const struct scores *candidate, const struct scores *stable,
		     const struct arm_total *candidate_before, const struct arm_total *stable_before,
		     struct tolerated tolerated, double log_ratios[JUDGE_RATIOS])
{
	double trials = candidate->trials, ratio, bet, other;

	if (!candidate->trials || !stable->trials)
		return false;
	ratio = tolerated.slope * trials / (double)stable->trials;
	for (size_t i = 0; i < JUDGE_RATIOS; i++) {
		bet = bets[i] / fmax(1, ratio);
		other = bet * ratio;
		log_ratios[i] = other * stable->sum - bet * candidate->sum + bet * trials * tolerated.offset -
				price(bet) * spread(candidate, guess(candidate_before)) -
				price(other) * spread(stable, guess(stable_before));
	}
	return true;
}

bool scores_limited(const struct scores *one, const struct arm_total *before, double least, double most,
		    double log_ratios[JUDGE_RATIOS])
{
	bool low = !isnan(least), high = !isnan(most);
	double excess, distance;

	if (!one->trials || (!low && !high))
		return false;
	distance = spread(one, guess(before));
	for (size_t i = 0; i < JUDGE_RATIOS; i++) {
		if (low && (!high || i % 2 == 0))
			excess = (double)one->trials * least - one->sum;
		else
			excess = one->sum - (double)one->trials * most;
		log_ratios[i] = bets[i] * excess - price(bets[i]) * distance;
	}
	return true;
}

/* The bet that makes a confidence sequence narrow after @trials, by what is known of the variance before. */
static double sequence_bet(const struct arm_total *before, double trials)
{
	double count = before->trials, variance = 0.25;

	if (count > 0)
		variance = (0.25 + fmax(0, before->squares - before->sum * before->sum / count)) / (1 + count);
	return fmin(SEQUENCE_BET_MAX, sqrt(2 * log(2 / SEQUENCE_TUNED_FOR) / (variance * trials * log1p(trials))));
}

void scores_add(struct arm_total *total, const struct scores *one)
{
	double bet = sequence_bet(total, (double)total->trials + (double)one->trials);

	total->weighted += bet * one->sum;
	total->weight += bet * (double)one->trials;
	total->penalty += price(bet) * spread(one, guess(total));
	total->sum += one->sum;
	total->squares += one->squares;
}

void bounds_of_mean(const struct arm_total *total, double level, double *ret_low, double *ret_high)
{
	double middle, margin;

	*ret_low = 0;
	*ret_high = 1;
	if (!(total->weight > 0))
		return;
	middle = total->weighted / total->weight;
	margin = (log(2 / level) + total->penalty) / total->weight;
	*ret_low = fmax(0, middle - margin);
	*ret_high = fmin(1, middle + margin);
}
