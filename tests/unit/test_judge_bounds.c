// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Bounds that hold at all times, sample ratios and A/B results: their chances to be wrong, counted out where that is
 * possible, path by path. */
#include <string.h>

#include "judge_fixture.h"

#define LEVEL 0.05
#define LOOKS 300

typedef bool excludes(int events, int trials, double share);

/* Chance that @excluded ever says so of the true share, looked at after each of LOOKS trials. */
static double chance_ever(excludes *excluded, double share)
{
	static double alive[LOOKS + 2];
	double ever = 0;

	memset(alive, 0, sizeof(alive));
	alive[0] = 1;
	for (int n = 1; n <= LOOKS; n++) {
		for (int k = n; k >= 0; k--)
			alive[k] = alive[k] * (1 - share) + (k ? alive[k - 1] * share : 0);
		for (int k = 0; k <= n; k++) {
			if (alive[k] > 0 && excluded(k, n, share)) {
				ever += alive[k];
				alive[k] = 0;
			}
		}
	}
	return ever;
}

static bool share_is_excluded(int events, int trials, double share)
{
	double low, high;

	bounds_of_share(events, trials, LEVEL, &low, &high);
	return share < low || share > high;
}

static void a_share_leaves_its_bounds_hardly_ever(void **state)
{
	static const double shares[] = {0.003, 0.02, 0.3, 0.5, 0.9};

	(void)state;
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		double ever = chance_ever(share_is_excluded, shares[i]);

		assert_true(ever <= LEVEL);
		assert_true(ever > 0); /* or they would be no bounds */
	}
}

static double log_chance(double events, double trials, double share)
{
	return (events > 0 ? events * log(share) : 0) + (trials > events ? (trials - events) * log1p(-share) : 0);
}

static void bounds_of_a_share_are_where_the_mixture_contradicts_it(void **state)
{
	(void)state;
	for (uint64_t trials = 1; trials < 1000000; trials = trials * 3 / 2 + 1) {
		for (uint64_t events = 0; events <= trials; events += trials / 7 + 1) {
			double mixed = lgamma((double)events + 0.5) + lgamma((double)(trials - events) + 0.5) -
				       lgamma((double)trials + 1) - log(M_PI);
			double low, high;

			bounds_of_share(events, trials, LEVEL, &low, &high);
			if (events)
				assert_close(mixed - log_chance(events, trials, low), log(1 / LEVEL), 1e-6);
			if (events < trials)
				assert_close(mixed - log_chance(events, trials, high), log(1 / LEVEL), 1e-6);
			assert_true(low * (double)trials <= (double)events && high * (double)trials >= (double)events);
		}
	}
}

/* Of @share the times are in the lower of two buckets, which so holds every quantile below it, and none above. */
static bool quantile_is_excluded(int events, int trials, double share)
{
	struct histogram h = {.bucket = {[20] = events, [40] = trials - events}};
	double low, high;

	bounds_of_quantile(&h, share - 1e-9, LEVEL, &low, &high);
	if (low * 1e9 >= (double)histogram_upper_ns(20) - 0.5)
		return true;
	bounds_of_quantile(&h, share + 1e-9, LEVEL, &low, &high);
	return high * 1e9 <= (double)histogram_lower_ns(40) + 0.5;
}

static void a_quantile_leaves_its_bounds_hardly_ever(void **state)
{
	double ever;

	(void)state;
	ever = chance_ever(quantile_is_excluded, 0.95);
	assert_true(ever > 0 && ever <= LEVEL);
	ever = chance_ever(quantile_is_excluded, 0.5);
	assert_true(ever > 0 && ever <= LEVEL);
}

static void bounds_of_nothing_are_everything(void **state)
{
	struct histogram none = {0};
	double low, high;

	(void)state;
	bounds_of_share(0, 0, LEVEL, &low, &high);
	assert_true(low == 0 && high == 1);
	bounds_of_quantile(&none, 0.95, LEVEL, &low, &high);
	assert_true(low == 0 && isinf(high));
	bounds_of_share(0, 1000, LEVEL, &low, &high);
	assert_true(low == 0 && high > 0.003 && high < 0.02);
	bounds_of_share(1000, 1000, LEVEL, &low, &high);
	assert_true(high == 1 && low < 0.997 && low > 0.98);
	bounds_of_share(UINT64_MAX, UINT64_MAX, LEVEL, &low, &high);
	assert_true(high == 1 && low > 0.999 && low <= 1);
}

static void more_samples_narrow_bounds(void **state)
{
	struct histogram h = {0};
	double low, high, width = 2, quantile_width = INFINITY;

	(void)state;
	for (uint64_t n = 100; n <= 100000000; n *= 10) {
		bounds_of_share(n / 10, n, LEVEL, &low, &high);
		assert_true(low < 0.1 && high > 0.1 && high - low < width);
		width = high - low;
		for (uint32_t i = 0; i < 20; i++)
			h.bucket[30 + i] = n / 20;
		bounds_of_quantile(&h, 0.5, LEVEL, &low, &high);
		assert_true(high - low <= quantile_width);
		quantile_width = high - low;
	}
	assert_true(width < 0.0005);
	assert_close(low * 1e9, (double)histogram_lower_ns(39), 1e-9);
	assert_close(high * 1e9, (double)histogram_upper_ns(40), 1e-9);
}

/* Values of three kinds: 0, 0.5 and 1; by binomials. */
static struct sample draw_scores(struct draws *d, uint64_t trials, double mean)
{
	uint64_t ones = draw_binomial(d, trials, mean / 2),
		 halves = draw_binomial(d, trials - ones, 2 * mean / (2 - mean));

	return (struct sample){
		.trials = trials, .sum = (double)ones + halves / 2.0, .squares = (double)ones + halves / 4.0};
}

static void a_mean_leaves_its_bounds_hardly_ever(void **state)
{
	const struct metric_plan m = {.kind = METRIC_SCORES, .range_high = 1, .lower_is_worse = true};
	struct draws d = {42};
	double low, high;
	int left = 0;

	(void)state;
	for (int run = 0; run < 1000; run++) {
		struct arm_total total = {0};
		bool out = false;

		for (int i = 0; i < 30; i++) {
			struct sample one = draw_scores(&d, 1 + i * 7, 0.3);

			judge_arm(&m, &one, &total);
			bounds_of_mean(&total, LEVEL, &low, &high);
			out = out || low > 0.3 || high < 0.3;
		}
		left += out;
		assert_true(high - low < 0.1);
	}
	assert_true(left <= 1000 * LEVEL);
}

static bool ratio_is_void(int events, int trials, double share)
{
	const uint64_t opened[2] = {trials - events, events};
	const double shares[2] = {1 - share, share};
	struct ratio_state state = {0};

	return judge_ratio(&state, opened, shares);
}

static void a_sample_ratio_that_is_right_is_hardly_ever_called_wrong(void **state)
{
	(void)state;
	assert_true(chance_ever(ratio_is_void, 0.05) <= RATIO_LEVEL);
	assert_true(chance_ever(ratio_is_void, 0.5) <= RATIO_LEVEL);
}

static void a_sample_ratio_that_is_wrong_is_found_and_stays_so(void **state)
{
	const double shares[2] = {0.95, 0.05};
	struct ratio_state ratio = {0};
	uint64_t after = 0;

	(void)state;
	/* As many as the divergence of 6 % from 5 % needs for 1 / RATIO_LEVEL is 9 300; a mixture needs some more. */
	while (!judge_ratio(&ratio, (const uint64_t[2]){94, 6}, shares))
		after += 100;
	assert_true(after > 9000 && after < 16000);
	assert_true(judge_ratio(&ratio, (const uint64_t[2]){10000000, 0}, shares));
	memset(&ratio, 0, sizeof(ratio));
	assert_true(judge_ratio(&ratio, (const uint64_t[2]){1000, 0}, shares));
	assert_false(judge_ratio(&ratio, (const uint64_t[2]){5, 5}, (const double[2]){1, 0}));
	memset(&ratio, 0, sizeof(ratio));
	assert_true(judge_ratio(&ratio, (const uint64_t[2]){UINT64_MAX, UINT64_MAX}, shares));
	assert_true(isfinite(ratio.highest));
}

static void arms_of_a_test_are_better_or_worse_once_their_bounds_part(void **state)
{
	const struct metric_plan m = {.kind = METRIC_COUNTS, .lower_is_worse = true};
	struct analysis_plan a = plan_of(m);
	struct arm_total arms[3] = {{0}};
	struct arm_result r[3];
	static const uint64_t events[3] = {500, 600, 505};

	(void)state;
	for (int n = 1; n <= 10; n++) {
		for (size_t i = 0; i < 3; i++)
			judge_arm(&m, &(struct sample){.trials = 1000, .events = events[i]}, &arms[i]);
		judge_arms(&a, &m, arms, 3, r);
		assert_int_equal(r[1].verdict, r[1].low > r[0].high ? JUDGED_PASS : JUDGED_INCONCLUSIVE);
		assert_int_equal(r[2].verdict, JUDGED_INCONCLUSIVE);
		assert_true(r[1].difference_low < 0.2 && r[1].difference_high > 0.2);
	}
	assert_int_equal(r[1].verdict, JUDGED_PASS);
	assert_true(r[1].difference_low > 0);
	assert_close(r[1].difference, 0.2, 1e-9);
	assert_true(isnan(r[0].difference));
	judge_arms(&a, &(struct metric_plan){.kind = METRIC_COUNTS}, arms, 3, r);
	assert_int_equal(r[1].verdict, JUDGED_FAIL);
	memset(arms, 0, sizeof(arms));
	judge_arms(&a, &m, arms, 3, r);
	assert_int_equal(r[1].verdict, JUDGED_INCONCLUSIVE);
	assert_true(isnan(r[1].value) && isnan(r[1].difference));
}

/* Of each arm: its verdict by the first metric (higher is worse) and by the second (lower is), and its values. */
static void the_best_of_the_arms_that_are_better_wins(void **state)
{
	enum { WORSE = JUDGED_FAIL, BETTER = JUDGED_PASS, NEITHER = JUDGED_INCONCLUSIVE };
	static const struct {
		int verdict[2][4];
		double value[2][4];
		bool dry; /* the first metric */
		int winner;
	} cases[] = {
		{{{0, NEITHER, NEITHER, NEITHER}, {0, NEITHER, NEITHER, NEITHER}}, {{5, 4, 3, 2}}, false, -1},
		{{{0, BETTER, BETTER, BETTER}, {0, NEITHER, NEITHER, NEITHER}}, {{5, 3, 1, 2}}, false, 2},
		{{{0, BETTER, BETTER, BETTER}, {0, NEITHER, WORSE, NEITHER}}, {{5, 3, 1, 2}}, false, 3},
		{{{0, WORSE, WORSE, WORSE}, {0, BETTER, BETTER, BETTER}}, {{5, 6, 6, 6}}, false, -1},
		{{{0, BETTER, BETTER, NEITHER}, {0, NEITHER, NEITHER, NEITHER}}, {{5, 2, 2, 1}}, false, 1},
		/* The first proves it of one, and the second, of others, does not matter. */
		{{{0, NEITHER, BETTER, NEITHER}, {0, BETTER, NEITHER, BETTER}}, {{5, 1, 4, 1}, {1, 9, 2, 8}}, false, 2},
		{{{0, NEITHER, NEITHER, NEITHER}, {0, BETTER, NEITHER, BETTER}},
		 {{5, 1, 1, 4}, {1, 8, 7, 9}},
		 false,
		 3},
		{{{0, BETTER, WORSE, WORSE}, {0, NEITHER, BETTER, BETTER}}, {{5, 1, 6, 6}, {1, 1, 7, 9}}, true, 3},
	};
	struct arm_result results[2][PLAN_ARMS_MAX] = {{{0}}};
	struct analysis_plan a = {.metric_count = 2, .metrics = {[1] = {.lower_is_worse = true}}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t m = 0; m < 2; m++)
			for (size_t arm = 0; arm < 4; arm++) {
				results[m][arm].verdict = cases[i].verdict[m][arm];
				results[m][arm].value = cases[i].value[m][arm];
			}
		a.metrics[0].dry_run = cases[i].dry;
		if (judge_winner(&a, results, 4) != cases[i].winner)
			fail_msg("case %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_share_leaves_its_bounds_hardly_ever),
		cmocka_unit_test(bounds_of_a_share_are_where_the_mixture_contradicts_it),
		cmocka_unit_test(a_quantile_leaves_its_bounds_hardly_ever),
		cmocka_unit_test(bounds_of_nothing_are_everything),
		cmocka_unit_test(more_samples_narrow_bounds),
		cmocka_unit_test(a_mean_leaves_its_bounds_hardly_ever),
		cmocka_unit_test(a_sample_ratio_that_is_right_is_hardly_ever_called_wrong),
		cmocka_unit_test(a_sample_ratio_that_is_wrong_is_found_and_stays_so),
		cmocka_unit_test(arms_of_a_test_are_better_or_worse_once_their_bounds_part),
		cmocka_unit_test(the_best_of_the_arms_that_are_better_wins),
	};

	return cmocka_run_group_tests_name("judge_bounds", tests, NULL, NULL);
}
