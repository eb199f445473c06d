// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Evidence of means: its expectation over every way that a few values can come. */
#include "judge_fixture.h"

#define VALUES 3 /* of each side, in an interval */
#define WAYS 27  /* 3^VALUES */

/* Of the values 0, 0.5 and 1. */
struct chances {
	double of[3];
};

static double mean_of(struct chances c)
{
	return c.of[1] / 2 + c.of[2];
}

/* The @way'th of all ways that VALUES values come. Returns its chance. */
static double come(struct chances c, int way, struct scores *ret)
{
	double chance = 1, value;

	*ret = (struct scores){.trials = VALUES};
	for (int i = 0; i < VALUES; i++, way /= 3) {
		value = (way % 3) / 2.0;
		chance *= c.of[way % 3];
		ret->sum += value;
		ret->squares += value * value;
	}
	return chance;
}

static double compared_expectation(struct chances candidate, struct chances stable, struct tolerated tolerated,
				   size_t alternative)
{
	const struct arm_total candidate_before = {.trials = 5, .sum = 4}, stable_before = {.trials = 9, .sum = 3};
	double sum = 0, chance, log_ratios[JUDGE_RATIOS];
	struct scores c, s;

	for (int way = 0; way < WAYS * WAYS; way++) {
		chance = come(candidate, way % WAYS, &c) * come(stable, way / WAYS, &s);
		assert_true(scores_compared(&c, &s, &candidate_before, &stable_before, tolerated, log_ratios));
		sum += chance * exp(log_ratios[alternative]);
	}
	return sum;
}

static const struct chances dists[] = {
	{{1, 0, 0}}, {{0.9, 0.05, 0.05}}, {{0.5, 0, 0.5}}, {{0.2, 0.6, 0.2}}, {{0.05, 0.05, 0.9}}, {{0, 0, 1}},
};
#define DISTS (sizeof(dists) / sizeof(*dists))

static void whoever_is_tolerated_has_no_more_evidence_than_1_to_expect(void **state)
{
	static const struct tolerated tolerances[] = {{1, 0}, {0.8, 0}, {1.3, -0.3}, {1, -0.2}, {0, 0}};
	int tolerated = 0;

	(void)state;
	for (size_t n = 0; n < DISTS * DISTS * 5; n++) {
		struct chances c = dists[n % DISTS], s = dists[n / DISTS % DISTS];
		struct tolerated t = tolerances[n / DISTS / DISTS];

		if (mean_of(c) < t.slope * mean_of(s) + t.offset - 1e-12)
			continue;
		tolerated++;
		for (size_t i = 0; i < JUDGE_RATIOS; i++)
			assert_true(compared_expectation(c, s, t, i) <= 1 + 1e-12);
	}
	assert_true(tolerated > 50);
}

static void whoever_is_worse_has_more(void **state)
{
	(void)state;
	for (size_t i = 1; i < JUDGE_RATIOS; i++)
		assert_true(compared_expectation(dists[1], dists[4], (struct tolerated){0.9, 0}, i) > 1);
}

static double limited_expectation(struct chances one, double least, double most, size_t alternative)
{
	const struct arm_total before = {.trials = 4, .sum = 3};
	double sum = 0, chance, log_ratios[JUDGE_RATIOS];
	struct scores s;

	for (int way = 0; way < WAYS; way++) {
		chance = come(one, way, &s);
		assert_true(scores_limited(&s, &before, least, most, log_ratios));
		sum += chance * exp(log_ratios[alternative]);
	}
	return sum;
}

static void limits_of_means_are_fair_too(void **state)
{
	(void)state;
	for (size_t i = 0; i < JUDGE_RATIOS; i++) {
		for (size_t n = 0; n < DISTS; n++) {
			double mean = mean_of(dists[n]);

			assert_true(limited_expectation(dists[n], mean, NAN, i) <= 1 + 1e-12);
			assert_true(limited_expectation(dists[n], NAN, mean, i) <= 1 + 1e-12);
			assert_true(limited_expectation(dists[n], mean, mean, i) <= 1 + 1e-12);
		}
	}
	for (size_t i = 1; i < JUDGE_RATIOS; i++) {
		assert_true(limited_expectation(dists[1], 0.9, NAN, i) > 1);
		assert_true(limited_expectation(dists[4], NAN, 0.1, i) > 1);
	}
}

/* By hand, for 0.8 and 10 %: 0.72 is as bad as may be, or 0.88, or with a range of 2 that begins below 0, 1.0. */
static void what_is_tolerated_is_a_share_of_the_mean_in_its_own_unit(void **state)
{
	struct metric_plan m = {.kind = METRIC_SCORES, .tolerance = 0.1, .range_low = 0.5, .range_high = 1};
	struct tolerated t;

	(void)state;
	m.lower_is_worse = true;
	t = scores_tolerated(&m);
	assert_close(scores_scale_one(&m, 0.6), 0.2, 1e-12);
	assert_close(t.slope * scores_scale_one(&m, 0.8) + t.offset, scores_scale_one(&m, 0.72), 1e-12);
	m.lower_is_worse = false;
	t = scores_tolerated(&m);
	assert_close(t.slope * scores_scale_one(&m, 0.8) + t.offset, scores_scale_one(&m, 0.88), 1e-12);
	m.range_low = -1;
	t = scores_tolerated(&m);
	assert_close(t.slope * scores_scale_one(&m, 0.8) + t.offset, scores_scale_one(&m, 1.0), 1e-12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_is_tolerated_has_no_more_evidence_than_1_to_expect),
		cmocka_unit_test(whoever_is_worse_has_more),
		cmocka_unit_test(limits_of_means_are_fair_too),
		cmocka_unit_test(what_is_tolerated_is_a_share_of_the_mean_in_its_own_unit),
	};

	return cmocka_run_group_tests_name("judge_scores", tests, NULL, NULL);
}
