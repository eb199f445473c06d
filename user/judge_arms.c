// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Sums of what variants did, and the result of an A/B test that they come to.
 *
 * Arms are compared by confidence sequences that hold for all of them at once: one arm is better where they do not
 * overlap. A rate that drifts makes a sum of events no more spread than a constant one does (Hoeffding 1956), and
 * drifts for all arms alike while their shares of the traffic stay as they are.
 */
#include "judge_parts.h"

#include <math.h>

/* Whatever is counted can be kept in JSON. */
static void add_capped(uint64_t *sum, uint64_t one)
{
	if (__builtin_add_overflow(*sum, one, sum) || *sum > INT64_MAX)
		*sum = INT64_MAX;
}

uint64_t sample_count(const struct metric_plan *m, const struct sample *one)
{
	struct scores scores;

	if (one->trouble != JUDGED_NOTHING)
		return 0;
	switch (m->kind) {
	case METRIC_COUNTS:
		return one->trials;
	case METRIC_TIMES:
		return times_count(&one->histogram);
	case METRIC_SCORES:
		return scores_scale(m, one, &scores) ? one->trials : 0;
	case METRIC_VALUE:
		return isfinite(one->value) ? 1 : 0;
	}
	return 0;
}

void judge_arm(const struct metric_plan *m, const struct sample *one, struct arm_total *state)
{
	uint64_t count = sample_count(m, one);
	struct scores scores;

	if (!count)
		return;
	if (m->kind == METRIC_SCORES && scores_scale(m, one, &scores))
		scores_add(state, &scores);
	add_capped(&state->trials, count);
	if (m->kind == METRIC_COUNTS)
		add_capped(&state->events, one->events < count ? one->events : count);
	if (m->kind == METRIC_VALUE)
		state->value = one->value;
	if (m->kind != METRIC_TIMES)
		return;
	state->histogram.sum_ns += one->histogram.sum_ns;
	state->histogram.count += count;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		state->histogram.bucket[i] += one->histogram.bucket[i];
}

double burst_of(const struct metric_plan *m)
{
	return m->kind == METRIC_COUNTS && m->burst ? m->burst : 1;
}

static void shown_scores(const struct metric_plan *m, const struct arm_total *total, double level, double *ret_value,
			 double *ret_low, double *ret_high)
{
	double low, high;

	bounds_of_mean(total, level, &low, &high);
	*ret_value = scores_unscale(m, total->sum / (double)total->trials);
	*ret_low = scores_unscale(m, m->lower_is_worse ? low : high);
	*ret_high = scores_unscale(m, m->lower_is_worse ? high : low);
}

void total_shown(const struct metric_plan *m, const struct arm_total *total, double level, double *ret_value,
		 double *ret_low, double *ret_high)
{
	uint64_t ns;

	*ret_value = *ret_low = *ret_high = NAN;
	if (!total->trials)
		return;
	switch (m->kind) {
	case METRIC_COUNTS:
		*ret_value = (double)total->events / (double)total->trials;
		bounds_of_share((double)total->events / burst_of(m), (double)total->trials / burst_of(m), level,
				ret_low, ret_high);
		return;
	case METRIC_TIMES:
		if (histogram_quantile(&total->histogram, m->quantile, &ns))
			return;
		*ret_value = (double)ns / 1e9;
		bounds_of_quantile(&total->histogram, m->quantile, level, ret_low, ret_high);
		return;
	case METRIC_SCORES:
		shown_scores(m, total, level, ret_value, ret_low, ret_high);
		return;
	case METRIC_VALUE:
		*ret_value = total->value;
		return;
	}
}

/* A difference relative to @base, which is above 0, or not known. */
static double relative(double value, double base)
{
	return base > 0 ? value / base - 1 : NAN;
}

/* Better or worse, where the bounds of @arm and @control do not overlap. */
static enum judged arm_verdict(const struct metric_plan *m, const struct arm_result *arm,
			       const struct arm_result *control)
{
	if (arm->low > control->high)
		return m->lower_is_worse ? JUDGED_PASS : JUDGED_FAIL;
	if (arm->high < control->low)
		return m->lower_is_worse ? JUDGED_FAIL : JUDGED_PASS;
	return JUDGED_INCONCLUSIVE;
}

void judge_arms(const struct analysis_plan *a, const struct metric_plan *m, const struct arm_total *arms, size_t count,
		struct arm_result *ret)
{
	double level = a->alpha / (double)(judge_tests(a) * (count ?: 1));

	for (size_t i = 0; i < count; i++) {
		total_shown(m, &arms[i], level, &ret[i].value, &ret[i].low, &ret[i].high);
		ret[i].difference = ret[i].difference_low = ret[i].difference_high = NAN;
		ret[i].verdict = JUDGED_INCONCLUSIVE;
		if (i == 0)
			continue;
		ret[i].difference = relative(ret[i].value, ret[0].value);
		ret[i].difference_low = relative(ret[i].low, ret[0].high);
		ret[i].difference_high = relative(ret[i].high, ret[0].low);
		ret[i].verdict = arm_verdict(m, &ret[i], &ret[0]);
	}
}

static bool is_worse(const struct analysis_plan *a, const struct arm_result (*results)[PLAN_ARMS_MAX], size_t arm)
{
	for (size_t i = 0; i < a->metric_count; i++)
		if (!a->metrics[i].dry_run && results[i][arm].verdict == JUDGED_FAIL)
			return true;
	return false;
}

static bool is_ahead(const struct metric_plan *m, const struct arm_result *one, const struct arm_result *other)
{
	return m->lower_is_worse ? one->value > other->value : one->value < other->value;
}

int judge_winner(const struct analysis_plan *a, const struct arm_result (*results)[PLAN_ARMS_MAX], size_t count)
{
	int winner = -1;

	for (size_t i = 0; i < a->metric_count && winner < 0; i++) {
		const struct arm_result *r = results[i];

		for (size_t arm = 1; arm < count && !a->metrics[i].dry_run; arm++) {
			if (r[arm].verdict != JUDGED_PASS || is_worse(a, results, arm))
				continue;
			if (winner < 0 || is_ahead(&a->metrics[i], &r[arm], &r[winner]))
				winner = arm;
		}
	}
	return winner;
}
