// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Rollouts drawn by the thousand and judged after every interval: how often equal versions fail, and how soon bad ones
 * do. Prints figures as those of docs/judging.md. HEADGATE_SIMULATIONS=N: so many rollouts of equal versions, if
 * more than 10 000, and of all else in proportion.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge_fixture.h"
#include "util.h"

#define INTERVALS 20
#define DETECTIONS_MAX 4000
#define GIVE_UP 5000 /* intervals */
#define BUCKETS 12   /* that times fall in */

static long rollouts = 10000; /* of equal versions */
static long detections = 200; /* runs of each way to be bad */
static long bursty = 100;     /* rollouts whose errors come in bursts, of each kind */

static struct draws draws = {0x9e3779b97f4a7c15ULL};

static const struct metric_plan error_rate = {
	.name = "error-rate", .kind = METRIC_COUNTS, .compare = true, .tolerance = 1.25};
static const struct metric_plan first_byte = {
	.name = "first-byte-p95", .kind = METRIC_TIMES, .quantile = 0.95, .compare = true, .tolerance = 0.10};
static const struct metric_plan score = {.name = "answer-score",
					 .kind = METRIC_SCORES,
					 .compare = true,
					 .tolerance = 0.05,
					 .lower_is_worse = true,
					 .range_high = 1};

/* Times like those of a server under load: from @first on each bucket has 3/5 of what is left. */
static struct sample draw_times(uint64_t trials, uint32_t first)
{
	struct sample s = {0};
	uint64_t left = trials, here;

	for (uint32_t i = 0; i < BUCKETS && left; i++) {
		here = i == BUCKETS - 1 ? left : draw_binomial(&draws, left, 0.6);
		s.histogram.bucket[first + i] = here;
		left -= here;
	}
	s.histogram.count = trials;
	return s;
}

/* Answers that are right (1), half right or wrong, @mean on average. */
static struct sample draw_scores(uint64_t trials, double mean)
{
	uint64_t ones = draw_binomial(&draws, trials, mean * mean);
	uint64_t halves = draw_binomial(&draws, trials - ones, 2 * mean * (1 - mean) / (1 - mean * mean));

	return (struct sample){
		.trials = trials, .sum = (double)ones + halves / 2.0, .squares = (double)ones + halves / 4.0};
}

/* --- equal versions ----------------------------------------------------------------------------------------------- */

/* How a rollout of equal versions goes; all drawn. */
struct weather {
	double rate;                /* of errors, to begin */
	uint64_t candidate, stable; /* samples an interval */
	int drift;                  /* 0: none; 1: a wave; 2: a jump; 3: anything at any time */
};

static struct weather draw_weather(void)
{
	static const double rates[] = {0.002, 0.01, 0.1, 0.4};
	static const uint64_t splits[][2] = {{10, 190}, {50, 150}, {100, 100}};
	size_t split = (size_t)(draw_uniform(&draws) * 3);

	return (struct weather){
		.rate = rates[(size_t)(draw_uniform(&draws) * 4)],
		.candidate = splits[split][0],
		.stable = splits[split][1],
		.drift = (int)(draw_uniform(&draws) * 4),
	};
}

/* How loaded both are just now: 0..1. */
static double load(const struct weather *w, int interval)
{
	switch (w->drift) {
	case 1:
		return 0.5 - 0.5 * cos(interval * 0.7);
	case 2:
		return interval > INTERVALS / 2;
	case 3:
		return draw_uniform(&draws);
	}
	return 0;
}

/* What is often done instead: a test that is made for one look at a fixed number of samples. Here at 5 %, one-sided. */
static bool fixed_test_fails(const struct metric_state *s)
{
	double n = (double)s->candidate.trials, m = (double)s->stable.trials;
	double all = (double)(s->candidate.events + s->stable.events) / (n + m);
	double difference = (double)s->candidate.events / n - (double)s->stable.events / m;

	return difference > 1.645 * sqrt(all * (1 - all) * (1 / n + 1 / m));
}

/* One rollout, all of three metrics in every interval: the highest e-value of each, ever. True: the test that is not
 * made to be looked at so often would have failed. */
static bool run_equal(const struct analysis_plan *a, double ret_highest[3])
{
	bool fixed_failed = false;
	struct weather w = draw_weather();
	static struct metric_state states[3];
	struct metric_result result;

	memset(states, 0, sizeof(states));
	for (int t = 0; t < INTERVALS; t++) {
		double busy = load(&w, t), rate = w.rate * (1 + busy), mean = 0.8 - 0.3 * busy;
		uint32_t first = 40 + (uint32_t)(8 * busy);
		const struct sample candidate[3] = {draw_counts(&draws, w.candidate, rate),
						    draw_times(w.candidate, first), draw_scores(w.candidate, mean)};
		const struct sample stable[3] = {draw_counts(&draws, w.stable, rate), draw_times(w.stable, first),
						 draw_scores(w.stable, mean)};

		for (size_t i = 0; i < 3; i++)
			judge_metric(a, &a->metrics[i], BESIDE_STABLE, &candidate[i], &stable[i], &states[i], &result);
		fixed_failed = fixed_failed || fixed_test_fails(&states[0]);
	}
	for (size_t i = 0; i < 3; i++)
		ret_highest[i] = states[i].compared.highest * (1 - JUDGE_REFERENCE_PART);
	return fixed_failed;
}

static void equal_versions(double tolerance, double share, const char *name)
{
	static const double alphas[] = {0.1, 0.05, 0.01};
	long runs = rollouts / 2; /* of each of the two tolerances */
	struct analysis_plan a = {.alpha = 0.01, .min_samples = 100, .metric_count = 3};
	long failed[3] = {0}, by_kind[3] = {0}, fixed = 0;
	double highest[3], most;

	a.metrics[0] = error_rate;
	a.metrics[1] = first_byte;
	a.metrics[2] = score;
	a.metrics[0].tolerance = tolerance;
	a.metrics[1].tolerance = a.metrics[2].tolerance = share;
	for (long n = 0; n < runs; n++) {
		fixed += run_equal(&a, highest);
		most = fmax(highest[0], fmax(highest[1], highest[2]));
		for (size_t i = 0; i < 3; i++) {
			failed[i] += most >= judge_tests(&a) / alphas[i];
			by_kind[i] += highest[i] >= judge_tests(&a) / alphas[0];
		}
	}
	printf("# equal versions, %s: of %ld rollouts", name, runs);
	for (size_t i = 0; i < 3; i++) {
		printf(", alpha %g: %ld failed (%.2f %%)", alphas[i], failed[i], 100.0 * failed[i] / runs);
		assert_true(failed[i] <= alphas[i] * runs);
	}
	printf("; with 0.1 by counts %ld, times %ld, scores %ld\n", by_kind[0], by_kind[1], by_kind[2]);
	printf("#   a test for one look, at 5 %% and of errors alone, would have failed %.1f %%\n",
	       100.0 * fixed / runs);
	assert_true(fixed > runs / 10); /* or there was nothing to withstand */
}

static void of_equal_versions_fewer_than_alpha_fail(void **state)
{
	(void)state;
	equal_versions(1, 0, "nothing tolerated");
	equal_versions(1.25, 0.1, "1.25 times the odds and 10 % tolerated");
}

/* What connections of @burst requests did, each of which fails as a whole. */
static struct sample draw_bursts(uint64_t trials, double share, uint64_t burst)
{
	return (struct sample){.trials = trials, .events = draw_binomial(&draws, trials / burst, share) * burst};
}

/* Of rollouts of equal versions whose errors come in bursts of @burst, looked at 100 times: the share that fails. */
static double failed_with_bursts(const struct metric_plan *m, enum beside beside, uint64_t burst)
{
	const struct analysis_plan a = plan_of(*m);
	static struct metric_state s;
	struct metric_result r = {0};
	struct sample candidate, stable;
	int failed = 0;

	for (int n = 0; n < bursty; n++) {
		memset(&s, 0, sizeof(s));
		if (beside == BESIDE_REFERENCE) {
			stable = draw_bursts(20000, 0.01, burst);
			judge_metric(&a, m, BESIDE_STABLE, &(struct sample){0}, &stable, &s, &r);
			judge_reference(&s);
		}
		for (int t = 0; t < 100; t++) {
			candidate = draw_bursts(50, 0.01, burst);
			stable = draw_bursts(950, 0.01, burst);
			judge_metric(&a, m, beside, &candidate, &stable, &s, &r);
		}
		failed += r.proven;
	}
	return failed / (double)bursty;
}

/* If 1 % of all rollouts fail, more than 5 of 100 do in one of 2 000 tests. */
#define BY_CHANCE 0.05

static void errors_in_bursts_keep_the_promise_where_burst_says_so(void **state)
{
	const struct metric_plan limited = {.name = "error-rate", .kind = METRIC_COUNTS, .has_max = true, .max = 0.01};
	const struct {
		const char *name;
		struct metric_plan m;
		enum beside beside;
	} cases[] = {{"beside stable", error_rate, BESIDE_STABLE},
		     {"with a max", limited, BESIDE_STABLE},
		     {"after a switch", error_rate, BESIDE_REFERENCE}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct metric_plan alone = cases[i].m, five = alone;
		double failed_alone, kept;

		five.burst = 5;
		failed_alone = failed_with_bursts(&alone, cases[i].beside, 5);
		kept = failed_with_bursts(&five, cases[i].beside, 5);
		printf("# errors in fives, %s: with alpha 0.01 equal versions failed %.1f %%, with burst 5 %.2f %%\n",
		       cases[i].name, 100 * failed_alone, 100 * kept);
		assert_true(failed_alone > BY_CHANCE); /* or there was nothing to withstand */
		assert_true(kept <= BY_CHANCE);
	}
}

/* No promise, but what the assumption of independence is worth. */
static void errors_that_come_in_bursts_break_the_promise_where_it_does_not(void **state)
{
	struct metric_plan tolerant = error_rate;
	double one, two, tolerated;

	(void)state;
	tolerant.tolerance = 5;
	one = failed_with_bursts(&error_rate, BESIDE_STABLE, 1);
	two = failed_with_bursts(&error_rate, BESIDE_STABLE, 2);
	tolerated = failed_with_bursts(&tolerant, BESIDE_STABLE, 5);
	printf("# with alpha 0.01 equal versions failed %.1f %% with errors alone, %.1f %% in twos, and in fives with "
	       "5 times the odds tolerated %.1f %%\n",
	       100 * one, 100 * two, 100 * tolerated);
	assert_true(one <= BY_CHANCE && two >= one);
}

/* --- bad candidates ----------------------------------------------------------------------------------------------- */

/* What an interval brings when the candidate is bad, and when it is not. */
struct detection {
	const char *name;
	const struct metric_plan *m;
	enum beside beside;
	uint64_t candidate, stable; /* samples an interval */
	int good;                   /* intervals before it goes bad */
	double candidate_bad, both_good;
};

static struct sample draw_sample(const struct metric_plan *m, uint64_t trials, double what)
{
	switch (m->kind) {
	case METRIC_COUNTS:
		return draw_bursts(trials, what, m->burst ?: 1);
	case METRIC_TIMES:
		return draw_times(trials, (uint32_t)what);
	default:
		return draw_scores(trials, what);
	}
}

/* Samples of the candidate from when it went bad until that was proven. */
static uint64_t detect_once(const struct detection *d, const struct analysis_plan *a)
{
	static struct metric_state s;
	struct metric_result r;
	struct sample candidate, stable;

	memset(&s, 0, sizeof(s));
	for (int t = 0; d->beside == BESIDE_REFERENCE && t < 50; t++) {
		stable = draw_sample(d->m, d->stable, d->both_good);
		judge_metric(a, d->m, BESIDE_STABLE, &(struct sample){0}, &stable, &s, &r);
	}
	if (d->beside == BESIDE_REFERENCE)
		judge_reference(&s);
	for (int t = 0; t < GIVE_UP; t++) {
		candidate = draw_sample(d->m, d->candidate, t < d->good ? d->both_good : d->candidate_bad);
		stable = draw_sample(d->m, d->stable, d->both_good);
		judge_metric(a, d->m, d->beside, &candidate, &stable, &s, &r);
		if (r.proven)
			return t < d->good ? 0 : (uint64_t)(t - d->good + 1) * d->candidate;
	}
	return UINT64_MAX;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Median and 90th percentile. */
static void detect(const struct detection *d, uint64_t *ret_half, uint64_t *ret_most)
{
	struct analysis_plan a = plan_of(*d->m);
	static uint64_t samples[DETECTIONS_MAX];

	for (int i = 0; i < detections; i++)
		samples[i] = detect_once(d, &a);
	qsort(samples, (size_t)detections, sizeof(*samples), by_size);
	*ret_half = samples[detections / 2];
	*ret_most = samples[detections * 9 / 10];
	printf("# %s: proven after %lu of the candidate's samples (median), %lu (90 %%)\n", d->name, *ret_half,
	       *ret_most);
}

static double divergence(double p, double from)
{
	return p * log(p / from) + (1 - p) * log((1 - p) / (1 - from));
}

static double times_the_odds(double p, double times)
{
	return times * p / (1 - p + times * p);
}

/*
 * What one of the candidate's samples, and those of stable that come with it, say at best: the least divergence of what
 * is true from anything that is tolerated, whatever the base rate is.
 */
static double information(double candidate, double stable, double stables, double tolerance)
{
	double least = INFINITY, said;

	for (double base = 0.0001; base < 0.2; base += 0.00001) {
		said = divergence(candidate, times_the_odds(base, tolerance)) + stables * divergence(stable, base);
		least = fmin(least, said);
	}
	return least;
}

static void five_times_the_errors_are_caught_near_the_theoretical_bound(void **state)
{
	const struct metric_plan in_fives = {
		.name = "5xx", .kind = METRIC_COUNTS, .compare = true, .tolerance = 1.25, .burst = 5};
	struct detection d = {
		"errors of 5 % instead of 1 %, 5 % of the traffic", &error_rate, BESIDE_STABLE, 10, 190, 0, 0.05, 0.01};
	double needed = log(1 / 0.01);
	double bound = needed / information(0.05, 0.01, 19, 1.25);
	double known = needed / divergence(0.05, times_the_odds(0.01, 1.25));
	uint64_t half, most;

	(void)state;
	detect(&d, &half, &most);
	printf("#   in theory no test of that level needs fewer than %.0f on average, %.0f if it knew the base rate\n",
	       bound, known);
	assert_true(half >= bound / 2 && half <= 2.5 * bound);
	assert_true(most <= 4 * bound);
	d.name = "the same, 50 % of the traffic";
	d.candidate = d.stable = 100;
	detect(&d, &half, &most);
	bound = needed / information(0.05, 0.01, 1, 1.25);
	printf("#   in theory %.0f\n", bound);
	assert_true(half <= 2.5 * bound);
	d.name = "the same in fives, with burst 5, 5 % of the traffic";
	d.m = &in_fives;
	d.candidate = 10;
	d.stable = 190;
	detect(&d, &half, &most);
	bound = 5 * needed / information(0.05, 0.01, 19, 1.25);
	printf("#   in theory %.0f\n", bound);
	assert_true(half >= bound / 2 && half <= 2.5 * bound);
}

static void a_candidate_that_goes_bad_late_is_caught_nearly_as_soon(void **state)
{
	struct detection d = {"errors of 5 % instead of 1 % after 100 good intervals",
			      &error_rate,
			      BESIDE_STABLE,
			      10,
			      190,
			      100,
			      0.05,
			      0.01};
	uint64_t half, most;

	(void)state;
	detect(&d, &half, &most);
	assert_true(half > 0 && half <= 800);
	assert_true(most <= 1200);
}

static void after_a_switch_the_reference_catches_it_as_well(void **state)
{
	struct detection d = {"errors of 5 % instead of 1 %, after the switch",
			      &error_rate,
			      BESIDE_REFERENCE,
			      10,
			      190,
			      0,
			      0.05,
			      0.01};
	uint64_t half, most;

	(void)state;
	detect(&d, &half, &most);
	assert_true(half > 0 && half <= 500);
	assert_true(most <= 1100);
}

static void spikes_and_bad_answers_are_caught(void **state)
{
	static const struct detection cases[] = {
		{"first byte twice as slow", &first_byte, BESIDE_STABLE, 10, 190, 0, 44, 40},
		{"first byte eight times as slow", &first_byte, BESIDE_STABLE, 10, 190, 0, 52, 40},
		{"scores of 0.6 instead of 0.8", &score, BESIDE_STABLE, 10, 190, 0, 0.6, 0.8},
		{"scores of 0.7 instead of 0.8", &score, BESIDE_STABLE, 10, 190, 0, 0.7, 0.8},
	};
	static const uint64_t enough[] = {100, 40, 200, 1200};
	uint64_t half, most;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		detect(&cases[i], &half, &most);
		assert_true(half > 0 && half <= enough[i] && most <= 2 * enough[i]);
	}
}

/* --- sample ratios ------------------------------------------------------------------------------------------------ */

static uint64_t ratio_until_void(double actual, uint64_t limit)
{
	const double shares[2] = {0.95, 0.05};
	struct ratio_state state = {0};
	uint64_t all = 0, candidate;

	while (all < limit) {
		candidate = draw_binomial(&draws, 200, actual);
		all += 200;
		if (judge_ratio(&state, (const uint64_t[2]){200 - candidate, candidate}, shares))
			return all;
	}
	return UINT64_MAX;
}

static void six_percent_instead_of_five_are_noticed(void **state)
{
	static uint64_t after[DETECTIONS_MAX];
	int wrong = 0;

	(void)state;
	for (int i = 0; i < detections; i++) {
		after[i] = ratio_until_void(0.06, 1000000);
		wrong += ratio_until_void(0.05, 20000) != UINT64_MAX;
	}
	qsort(after, (size_t)detections, sizeof(*after), by_size);
	printf("# sample ratio of 6 %% instead of 5 %%: void after %lu connections (median), %lu (90 %%); in theory "
	       "%.0f\n",
	       after[detections / 2], after[detections * 9 / 10], log(1 / RATIO_LEVEL) / divergence(0.06, 0.05));
	assert_int_equal(wrong, 0);
	assert_true(after[detections / 2] < 16000 && after[detections * 9 / 10] < 25000);
}

static void take_count(void)
{
	const char *asked = getenv("HEADGATE_SIMULATIONS");
	long count = asked ? atol(asked) : 0;

	if (count < rollouts)
		return;
	detections = count / 50 < DETECTIONS_MAX ? count / 50 : DETECTIONS_MAX;
	bursty = count / 100;
	rollouts = count;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_equal_versions_fewer_than_alpha_fail),
		cmocka_unit_test(errors_in_bursts_keep_the_promise_where_burst_says_so),
		cmocka_unit_test(errors_that_come_in_bursts_break_the_promise_where_it_does_not),
		cmocka_unit_test(five_times_the_errors_are_caught_near_the_theoretical_bound),
		cmocka_unit_test(a_candidate_that_goes_bad_late_is_caught_nearly_as_soon),
		cmocka_unit_test(after_a_switch_the_reference_catches_it_as_well),
		cmocka_unit_test(spikes_and_bad_answers_are_caught),
		cmocka_unit_test(six_percent_instead_of_five_are_noticed),
	};

	take_count();
	return cmocka_run_group_tests_name("judge_simulation", tests, NULL, NULL);
}
