// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Verdicts: what comes of which samples. */
#include <string.h>

#include "judge_fixture.h"
#include "util.h"

#define MS 1000000ULL

static const struct metric_plan error_rate = {
	.name = "error-rate", .kind = METRIC_COUNTS, .compare = true, .tolerance = 1.25};
static const struct metric_plan at_most_1_percent = {
	.name = "resets", .kind = METRIC_COUNTS, .has_max = true, .max = 0.01};
static const struct metric_plan success = {
	.name = "success", .kind = METRIC_COUNTS, .has_min = true, .min = 0.95, .lower_is_worse = true};
static const struct metric_plan first_byte = {
	.name = "first-byte-p95", .kind = METRIC_TIMES, .quantile = 0.95, .compare = true, .tolerance = 0.10};
static const struct metric_plan score = {.name = "answer-score",
					 .kind = METRIC_SCORES,
					 .compare = true,
					 .tolerance = 0.05,
					 .lower_is_worse = true,
					 .range_high = 1};
static const struct metric_plan cost = {.name = "cost", .kind = METRIC_VALUE, .has_max = true, .max = 0.02};

static struct sample counts(uint64_t events, uint64_t trials)
{
	return (struct sample){.events = events, .trials = trials};
}

/* @count times of @ms, and a twentieth of them of ten times that. */
static struct sample times(uint64_t count, double ms)
{
	struct sample s = {0};

	s.histogram.count = count;
	s.histogram.bucket[histogram_bucket((uint64_t)(ms * MS))] = count - count / 20;
	s.histogram.bucket[histogram_bucket((uint64_t)(10 * ms * MS))] = count / 20;
	return s;
}

/* @count values, half of them @mean - 0.1 and half @mean + 0.1. */
static struct sample scores(uint64_t count, double mean)
{
	double n = (double)count;

	return (struct sample){.trials = count, .sum = n * mean, .squares = n * (mean * mean + 0.01)};
}

static struct sample value(double v)
{
	return (struct sample){.value = v};
}

/* Judges the same interval @times over. */
static enum judged judge_beside(const struct metric_plan *m, enum beside beside, struct sample candidate,
				struct sample stable, int times, struct metric_state *state, struct metric_result *ret)
{
	struct analysis_plan a = plan_of(*m);

	for (int i = 0; i < times; i++)
		judge_metric(&a, m, beside, &candidate, &stable, state, ret);
	return ret->verdict;
}

static enum judged judge(const struct metric_plan *m, struct sample candidate, struct sample stable, int times)
{
	struct metric_state state = {0};
	struct metric_result result;

	return judge_beside(m, BESIDE_STABLE, candidate, stable, times, &state, &result);
}

/* What a candidate of each kind comes to after so many intervals. */
struct verdict_case {
	const char *name;
	const struct metric_plan *m;
	struct sample candidate, stable;
	int intervals;
	enum judged want;
};

static void verdicts_are_what_the_samples_say(void **state)
{
	const struct verdict_case cases[] = {
		{"equal error rates", &error_rate, counts(1, 100), counts(10, 1000), 3, JUDGED_PASS},
		{"no errors at all", &error_rate, counts(0, 100), counts(0, 1000), 3, JUDGED_PASS},
		{"only errors", &error_rate, counts(50, 50), counts(900, 900), 3, JUDGED_PASS},
		{"fewer errors", &error_rate, counts(0, 100), counts(50, 1000), 3, JUDGED_PASS},
		{"within the tolerance", &error_rate, counts(6, 500), counts(10, 1000), 3, JUDGED_PASS},
		{"five times the errors", &error_rate, counts(5, 100), counts(10, 1000), 8, JUDGED_FAIL},
		{"one error more, few samples", &error_rate, counts(2, 100), counts(10, 1000), 1, JUDGED_INCONCLUSIVE},
		{"too few of the candidate", &error_rate, counts(0, 99), counts(0, 1000), 1, JUDGED_INCONCLUSIVE},
		{"too few of stable", &error_rate, counts(0, 1000), counts(0, 99), 1, JUDGED_INCONCLUSIVE},
		{"just enough", &error_rate, counts(0, 100), counts(0, 100), 1, JUDGED_PASS},
		{"no candidate", &error_rate, counts(0, 0), counts(0, 100), 5, JUDGED_NO_DATA},
		{"no stable", &error_rate, counts(0, 100), counts(0, 0), 5, JUDGED_NO_DATA},
		{"below the limit", &at_most_1_percent, counts(5, 1000), counts(0, 0), 3, JUDGED_PASS},
		{"above the limit", &at_most_1_percent, counts(30, 1000), counts(0, 0), 2, JUDGED_FAIL},
		{"a little above it", &at_most_1_percent, counts(3, 200), counts(0, 0), 1, JUDGED_INCONCLUSIVE},
		{"success enough", &success, counts(96, 100), counts(0, 0), 2, JUDGED_PASS},
		{"too little success", &success, counts(80, 100), counts(0, 0), 2, JUDGED_FAIL},
		{"equal times", &first_byte, times(200, 20), times(2000, 20), 3, JUDGED_PASS},
		{"faster", &first_byte, times(200, 5), times(2000, 20), 3, JUDGED_PASS},
		{"times nothing is known of before", &first_byte, times(200, 20), times(2000, 20), 1,
		 JUDGED_INCONCLUSIVE},
		{"ten times as slow", &first_byte, times(200, 250), times(2000, 20), 2, JUDGED_FAIL},
		{"equal scores", &score, scores(100, 0.8), scores(1000, 0.8), 3, JUDGED_PASS},
		{"scores within the tolerance", &score, scores(100, 0.77), scores(1000, 0.8), 3, JUDGED_PASS},
		{"low scores", &score, scores(100, 0.4), scores(1000, 0.8), 6, JUDGED_FAIL},
		{"scores a little low", &score, scores(100, 0.75), scores(1000, 0.8), 1, JUDGED_INCONCLUSIVE},
		{"scores that are no numbers", &score, scores(100, NAN), scores(1000, 0.8), 3, JUDGED_NO_DATA},
		{"cheap", &cost, value(0.01), value(0), 1, JUDGED_PASS},
		{"dear", &cost, value(0.03), value(0), 1, JUDGED_FAIL},
		{"no number", &cost, value(NAN), value(0), 1, JUDGED_NO_DATA},
		{"beyond numbers", &cost, value(INFINITY), value(0), 1, JUDGED_NO_DATA},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum judged got = judge(cases[i].m, cases[i].candidate, cases[i].stable, cases[i].intervals);

		if (got != cases[i].want)
			fail_msg("%s: %d, not %d", cases[i].name, got, cases[i].want);
	}
}

static void values_are_never_proven(void **state)
{
	struct metric_plan m = {.kind = METRIC_VALUE, .compare = true, .tolerance = 0.5};
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, value(1.5), value(1), 50, &s, &r), JUDGED_PASS);
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, value(1.6), value(1), 50, &s, &r), JUDGED_FAIL);
	assert_false(r.proven);
	assert_true(isnan(r.evidence));
	m.lower_is_worse = true;
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, value(0.4), value(1), 1, &s, &r), JUDGED_FAIL);
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, value(9), value(1), 1, &s, &r), JUDGED_PASS);
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, value(-1.4), value(-1), 1, &s, &r), JUDGED_PASS);
	assert_int_equal(judge_beside(&m, BESIDE_REFERENCE, value(0.4), value(NAN), 1, &s, &r), JUDGED_PASS);
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, value(1), value(NAN), 1, &s, &r), JUDGED_NO_DATA);
}

static void what_is_proven_stays_proven(void **state)
{
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	assert_int_equal(judge_beside(&error_rate, BESIDE_STABLE, counts(20, 100), counts(10, 1000), 3, &s, &r),
			 JUDGED_FAIL);
	assert_true(r.proven);
	assert_true(r.evidence >= r.needed);
	assert_int_equal(judge_beside(&error_rate, BESIDE_STABLE, counts(0, 100), counts(10, 1000), 200, &s, &r),
			 JUDGED_FAIL);
	assert_true(r.proven);
}

static void an_interval_without_an_answer_leaves_the_evidence_as_it_was(void **state)
{
	const struct sample nothing = {.trouble = JUDGED_NO_DATA}, error = {.trouble = JUDGED_ERROR, .trials = 5};
	struct metric_state s = {0}, before;
	struct metric_result r;

	(void)state;
	judge_beside(&error_rate, BESIDE_STABLE, counts(3, 100), counts(10, 1000), 2, &s, &r);
	before = s;
	assert_int_equal(judge_beside(&error_rate, BESIDE_STABLE, error, error, 1, &s, &r), JUDGED_ERROR);
	assert_string_equal(r.why, "no usable answer for the candidate");
	assert_int_equal(judge_beside(&error_rate, BESIDE_STABLE, nothing, nothing, 1, &s, &r), JUDGED_NO_DATA);
	assert_memory_equal(&s, &before, sizeof(s));
	assert_int_equal(judge_beside(&error_rate, BESIDE_STABLE, counts(1, 100), error, 1, &s, &r), JUDGED_ERROR);
	assert_string_equal(r.why, "no usable answer for stable");
	assert_memory_equal(&s.compared, &before.compared, sizeof(s.compared));
	assert_int_equal(s.step_candidate, before.step_candidate);
}

static void a_limit_is_kept_watch_over_while_stable_is_idle(void **state)
{
	struct metric_plan m = error_rate;
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	m.has_max = true;
	m.max = 0.05;
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, counts(1, 100), counts(0, 0), 3, &s, &r), JUDGED_NO_DATA);
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, counts(40, 100), counts(0, 0), 3, &s, &r), JUDGED_FAIL);
	assert_true(r.proven);
}

static void each_step_needs_samples_and_a_good_estimate_of_its_own(void **state)
{
	struct metric_state s = {0};
	struct metric_result r;
	struct evidence before;

	(void)state;
	assert_int_equal(judge_beside(&error_rate, BESIDE_STABLE, counts(2, 100), counts(10, 1000), 1, &s, &r),
			 JUDGED_INCONCLUSIVE);
	before = s.compared;
	judge_new_step(&s);
	assert_memory_equal(&s.compared, &before, sizeof(before));
	assert_int_equal(judge_beside(&error_rate, BESIDE_STABLE, counts(0, 50), counts(5, 500), 1, &s, &r),
			 JUDGED_INCONCLUSIVE);
	assert_string_equal(r.why, "too few samples in this step: 50 of the candidate and 500 of stable, 100 needed");
	assert_int_equal(judge_beside(&error_rate, BESIDE_STABLE, counts(0, 50), counts(5, 500), 1, &s, &r),
			 JUDGED_PASS);
}

/* A busy hour in which all is worse comes with another split: sums of both would say that the candidate is worse. */
static void hours_with_other_rates_and_other_shares_do_not_mislead(void **state)
{
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	judge_beside(&error_rate, BESIDE_STABLE, counts(0, 50), counts(10, 10000), 10, &s, &r);
	assert_int_equal(judge_beside(&error_rate, BESIDE_STABLE, counts(200, 2000), counts(200, 2000), 10, &s, &r),
			 JUDGED_PASS);
	assert_true(r.candidate > 4 * r.stable);
	assert_true(r.evidence < 10);
}

static void after_the_switch_what_stable_did_before_counts(void **state)
{
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	judge_beside(&error_rate, BESIDE_STABLE, counts(0, 0), counts(10, 1000), 20, &s, &r);
	judge_reference(&s);
	assert_int_equal(judge_beside(&error_rate, BESIDE_REFERENCE, counts(1, 99), counts(0, 0), 1, &s, &r),
			 JUDGED_INCONCLUSIVE);
	assert_int_equal(judge_beside(&error_rate, BESIDE_REFERENCE, counts(9, 901), counts(0, 0), 5, &s, &r),
			 JUDGED_PASS);
	assert_int_equal(judge_beside(&error_rate, BESIDE_REFERENCE, counts(50, 1000), counts(0, 0), 2, &s, &r),
			 JUDGED_FAIL);
	assert_true(r.proven);
	assert_non_null(strstr(r.why, "1 % of 20 000 of stable before the switch"));
}

static void times_and_scores_have_references_too(void **state)
{
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	judge_beside(&first_byte, BESIDE_STABLE, times(0, 1), times(1000, 20), 5, &s, &r);
	judge_reference(&s);
	assert_int_equal(judge_beside(&first_byte, BESIDE_REFERENCE, times(1000, 20), times(0, 1), 5, &s, &r),
			 JUDGED_PASS);
	assert_int_equal(judge_beside(&first_byte, BESIDE_REFERENCE, times(1000, 300), times(0, 1), 2, &s, &r),
			 JUDGED_FAIL);
	memset(&s, 0, sizeof(s));
	judge_beside(&score, BESIDE_STABLE, scores(0, 0), scores(1000, 0.8), 5, &s, &r);
	judge_reference(&s);
	assert_int_equal(judge_beside(&score, BESIDE_REFERENCE, scores(1000, 0.79), scores(0, 0), 5, &s, &r),
			 JUDGED_PASS);
	assert_int_equal(judge_beside(&score, BESIDE_REFERENCE, scores(1000, 0.5), scores(0, 0), 3, &s, &r),
			 JUDGED_FAIL);
	memset(&s, 0, sizeof(s));
	assert_int_equal(judge_beside(&score, BESIDE_REFERENCE, scores(1000, 0.5), scores(0, 0), 3, &s, &r),
			 JUDGED_NO_DATA);
}

static void scores_where_higher_is_worse_are_the_other_way_round(void **state)
{
	struct metric_plan m = score;
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	m.lower_is_worse = false;
	m.range_low = -5;
	m.range_high = 5;
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, scores(500, -2), scores(500, 1), 9, &s, &r), JUDGED_PASS);
	assert_close(r.candidate, -2, 1e-9);
	assert_true(r.candidate_low < -2 && r.candidate_high > -2 && r.candidate_low >= -5);
	assert_int_equal(judge_beside(&m, BESIDE_STABLE, scores(500, 3), scores(500, 1), 9, &s, &r), JUDGED_FAIL);
	m.compare = false;
	m.has_max = true;
	m.max = 2;
	assert_int_equal(judge(&m, scores(500, 1), scores(0, 0), 3), JUDGED_PASS);
	assert_int_equal(judge(&m, scores(500, 4), scores(0, 0), 9), JUDGED_FAIL);
	m.has_min = true;
	m.min = -1;
	assert_int_equal(judge(&m, scores(500, 1), scores(0, 0), 3), JUDGED_PASS);
	assert_int_equal(judge(&m, scores(500, -4), scores(0, 0), 9), JUDGED_FAIL);
	assert_int_equal(judge(&m, scores(500, 4), scores(0, 0), 9), JUDGED_FAIL);
}

static void more_events_than_trials_and_counts_without_bounds_do_no_harm(void **state)
{
	static const uint64_t sizes[] = {0, 1, 1000, 1ULL << 53, UINT64_MAX};
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	for (size_t i = 0; i < 5 * 5 * 5; i++) {
		judge_beside(&error_rate, BESIDE_STABLE, counts(sizes[i % 5], sizes[i / 5 % 5]),
			     counts(sizes[i / 25], 1000), 1, &s, &r);
		assert_true(isfinite(s.compared.highest) && isfinite(s.step_compared));
		assert_true(s.candidate.events <= s.candidate.trials && s.candidate.trials <= INT64_MAX);
		assert_true(r.candidate_samples == 0 || (r.candidate >= 0 && r.candidate <= 1));
	}
}

static void a_reason_is_one_sentence_with_the_numbers(void **state)
{
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	judge_beside(&error_rate, BESIDE_STABLE, counts(42, 812), counts(138, 15301), 1, &s, &r);
	assert_string_equal(r.why, "5.17 % of 812 against 0.902 % of 15 301 of stable, 1.25 times the odds tolerated: "
				   "e = over 1 000 000, proven from 111 on");
	memset(&s, 0, sizeof(s));
	judge_beside(&at_most_1_percent, BESIDE_STABLE, counts(1, 200), counts(0, 0), 1, &s, &r);
	assert_string_equal(r.why, "0.5 % of 200, at most 1 % wanted: e = 0.6, proven from 100 on");
	memset(&s, 0, sizeof(s));
	judge_beside(&cost, BESIDE_STABLE, value(0.03), value(0), 1, &s, &r);
	assert_string_equal(r.why, "0.03, at most 0.02 wanted");
}

static void the_level_is_divided_among_the_tests_that_are_obeyed(void **state)
{
	struct analysis_plan a = {.alpha = 0.01, .metric_count = 4, .metrics = {error_rate, score, cost, first_byte}};
	const struct sample c = counts(1, 100), b = counts(10, 1000);
	struct metric_state s = {0};
	struct metric_result r;

	(void)state;
	assert_int_equal(judge_tests(&a), 3);
	a.metrics[0].has_min = true;
	assert_int_equal(judge_tests(&a), 4);
	a.metrics[3].dry_run = true;
	assert_int_equal(judge_tests(&a), 3);
	judge_metric(&a, &a.metrics[0], BESIDE_STABLE, &c, &b, &s, &r);
	a.metric_count = 0;
	assert_int_equal(judge_tests(&a), 1);
}

static void the_worst_metric_that_is_obeyed_decides(void **state)
{
	struct analysis_plan a = {.metric_count = 3};
	struct metric_result results[3] = {
		{.verdict = JUDGED_PASS}, {.verdict = JUDGED_NO_DATA}, {.verdict = JUDGED_FAIL}};

	(void)state;
	assert_int_equal(judge_all(&a, results), JUDGED_FAIL);
	a.metrics[2].dry_run = true;
	assert_int_equal(judge_all(&a, results), JUDGED_NO_DATA);
	results[0].verdict = JUDGED_ERROR;
	assert_int_equal(judge_all(&a, results), JUDGED_ERROR);
	a.metrics[0].dry_run = a.metrics[1].dry_run = true;
	assert_int_equal(judge_all(&a, results), JUDGED_NOTHING);
	a.metric_count = 0;
	assert_int_equal(judge_all(&a, results), JUDGED_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_are_what_the_samples_say),
		cmocka_unit_test(values_are_never_proven),
		cmocka_unit_test(what_is_proven_stays_proven),
		cmocka_unit_test(an_interval_without_an_answer_leaves_the_evidence_as_it_was),
		cmocka_unit_test(a_limit_is_kept_watch_over_while_stable_is_idle),
		cmocka_unit_test(each_step_needs_samples_and_a_good_estimate_of_its_own),
		cmocka_unit_test(hours_with_other_rates_and_other_shares_do_not_mislead),
		cmocka_unit_test(after_the_switch_what_stable_did_before_counts),
		cmocka_unit_test(times_and_scores_have_references_too),
		cmocka_unit_test(scores_where_higher_is_worse_are_the_other_way_round),
		cmocka_unit_test(more_events_than_trials_and_counts_without_bounds_do_no_harm),
		cmocka_unit_test(a_reason_is_one_sentence_with_the_numbers),
		cmocka_unit_test(the_level_is_divided_among_the_tests_that_are_obeyed),
		cmocka_unit_test(the_worst_metric_that_is_obeyed_decides),
	};

	return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
