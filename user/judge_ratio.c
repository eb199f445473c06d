// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sample ratio: see judge.h. */
#include "judge_parts.h"

#include <math.h>

/*
 * How much the prior knows, in connections: of other shares it is the most on those that are within about
 * sqrt(share / PRIOR) of the configured ones: 4 to 6 % for 5 %.
 */
#define PRIOR 500.0
#define FACTOR_MAX 1e100

static double log_factor(const struct ratio_state *state, const double share[2])
{
	double all = (double)state->opened[0] + (double)state->opened[1];
	double sum = lgamma(PRIOR) - lgamma(PRIOR + all);

	for (size_t i = 0; i < 2; i++)
		sum += lgamma(PRIOR * share[i] + (double)state->opened[i]) - lgamma(PRIOR * share[i]) -
		       (double)state->opened[i] * log(share[i]);
	return sum;
}

bool judge_ratio(struct ratio_state *state, const uint64_t opened[2], const double share[2])
{
	double factor;

	if (!(share[0] > 0 && share[1] > 0 && fabs(share[0] + share[1] - 1) < 1e-6))
		return false;
	for (size_t i = 0; i < 2; i++) {
		if (__builtin_add_overflow(state->opened[i], opened[i], &state->opened[i]) ||
		    state->opened[i] > INT64_MAX)
			state->opened[i] = INT64_MAX;
	}
	factor = fmin(exp(log_factor(state, share)), FACTOR_MAX);
	if (factor > state->highest)
		state->highest = factor;
	return state->highest >= 1 / RATIO_LEVEL;
}
