// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rollouts in virtual time: what becomes of versions that are good, bad, or get bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "draws.h"
#include "rollout_fixture.h"
#include "simulation.h"

static struct rollout_plan plan;
static struct variant_model variants[3];
static struct service_model service;
static struct simulation simulation;
static struct simulation_end end;
static struct refusal why;

/* Both do as usual, 200 connections a second, analysed every second. */
static void both_usual(void)
{
	make_service(&service, variants);
	simulation = (struct simulation){.plan = &plan, .service = &service, .rate = 200, .seed = 1};
	for (size_t i = 0; i < plan.analysis.metric_count; i++)
		simulation.candidate[i] = simulation.stable[i] = behaviour_default(&plan.analysis.metrics[i]);
}

/* 5 %, half a minute, 50 %; judged by errors and times. */
static void make_canary(void)
{
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	add_step(&plan, STEP_PAUSE, 0, 30000);
	add_step(&plan, STEP_WEIGHT, 5000, 0);
	plan.analysis.metrics[plan.analysis.metric_count++] = (struct metric_plan){.name = "first-byte-p95",
										   .kind = METRIC_TIMES,
										   .measure = MEASURE_FIRST_BYTE,
										   .quantile = 0.95,
										   .compare = true,
										   .tolerance = 0.10};
	both_usual();
}

static void say(const char *candidate)
{
	assert_int_equal(behaviour_parse(candidate, &plan.analysis, simulation.candidate, &why), 0);
}

static void run(void)
{
	assert_int_equal(simulation_run(&simulation, &end, &why), 0);
}

static void assert_end(enum simulation_stop stop, enum rollout_state state)
{
	if (end.stop != stop || end.state != state)
		fail_msg("%s (%d): %s", name_of_rollout_state(end.state), end.stop, end.cause);
}

static void the_same_seed_is_the_same_rollout(void **state)
{
	struct simulation_end first;

	(void)state;
	make_canary();
	run();
	first = end;
	run();
	assert_memory_equal(&first, &end, sizeof(end));
	simulation.seed = 2;
	run();
	assert_true(first.to_candidate != end.to_candidate);
}

static void equal_versions_are_promoted_but_for_few(void **state)
{
	size_t failed = 0;

	(void)state;
	make_canary();
	for (simulation.seed = 0; simulation.seed < 200; simulation.seed++) {
		run();
		assert_int_equal(end.stop, SIMULATION_OVER);
		failed += end.state == ROLLOUT_FAILED;
		assert_true(end.ran_ms >= 30000);
		assert_true(end.analyses >= 30);
	}
	assert_true(failed <= 7); /* alpha is 0.01: 2 are expected at most, more than 7 come once in a thousand times */
}

/* Of 100 rollouts of equal versions whose errors come in fives. */
static size_t failed_in_fives(uint32_t burst)
{
	size_t failed = 0;

	make_canary();
	plan.analysis.metrics[0].burst = burst;
	plan.analysis.metrics[1].dry_run = true;
	say("error-rate=2%~5");
	simulation.stable[0] = simulation.candidate[0];
	for (simulation.seed = 0; simulation.seed < 100; simulation.seed++) {
		run();
		failed += end.state == ROLLOUT_FAILED;
	}
	return failed;
}

static void equal_versions_that_fail_in_bursts_are_promoted_where_burst_says_so(void **state)
{
	(void)state;
	assert_true(failed_in_fives(5) <= 5); /* alpha is 0.01: more than 5 of 100 come once in 2 000 times */
	assert_true(failed_in_fives(1) > 5);
}

static void a_version_that_fails_is_rolled_back_soon(void **state)
{
	(void)state;
	make_canary();
	simulation.candidate[0].from = 0.2;
	for (simulation.seed = 0; simulation.seed < 50; simulation.seed++) {
		run();
		assert_end(SIMULATION_OVER, ROLLOUT_FAILED);
		assert_int_equal(end.failed_by, JUDGED_FAIL);
		assert_non_null(strstr(end.cause, "error-rate"));
		assert_true(end.to_candidate > 0 && end.to_candidate < 400);
	}
}

static void a_version_that_gets_slow_is_rolled_back_then(void **state)
{
	(void)state;
	make_canary();
	say("first-byte=20ms..60ms@20s");
	run();
	assert_end(SIMULATION_OVER, ROLLOUT_FAILED);
	assert_true(end.ran_ms >= 20000 && end.ran_ms < 50000);
	assert_non_null(strstr(end.cause, "first-byte-p95"));
}

static void without_traffic_nothing_is_promoted(void **state)
{
	(void)state;
	make_canary();
	simulation.rate = 0;
	plan.progress_deadline_ms = 600000;
	run();
	assert_end(SIMULATION_OVER, ROLLOUT_FAILED);
	assert_int_equal(end.failed_by, JUDGED_NOTHING);
	assert_int_equal(end.ran_ms, 600000);
	assert_int_equal(end.to_candidate, 0);
	plan.progress_deadline_ms = 0;
	run();
	assert_end(SIMULATION_ENDLESS, ROLLOUT_PROGRESSING);
	plan.analysis.on_no_data = POLICY_PAUSE;
	run();
	assert_end(SIMULATION_PAUSED, ROLLOUT_PAUSED);
}

static void blue_green_is_switched_back_when_it_is_worse_than_what_was_before(void **state)
{
	(void)state;
	for (int bad = 0; bad < 2; bad++) {
		make_plan(&plan, STRATEGY_BLUE_GREEN);
		add_step(&plan, STEP_HEALTHY, 0, 0);
		add_step(&plan, STEP_SWITCH, 0, 0);
		add_step(&plan, STEP_WATCH, 0, 20000);
		plan.analysis.min_samples = 5000;
		both_usual();
		say(bad ? "error-rate=10%" : "error-rate=0.5%");
		run();
		assert_end(SIMULATION_OVER, bad ? ROLLOUT_FAILED : ROLLOUT_SUCCEEDED);
		assert_true(end.ran_ms >= (bad ? 25000 : 45000)); /* 5000 samples of stable come first */
	}
}

static void an_ab_test_finds_the_better_arm(void **state)
{
	(void)state;
	for (int better = 0; better < 2; better++) {
		make_plan(&plan, STRATEGY_AB_TEST);
		add_arm(&plan, "blue", 1);
		add_arm(&plan, "canary", 1);
		add_step(&plan, STEP_ARMS, 0, 3600000);
		plan.steps[0].samples = 10000;
		plan.promote_winner = true;
		both_usual();
		say(better ? "error-rate=0.1%" : "error-rate=1%");
		run();
		assert_end(SIMULATION_OVER, ROLLOUT_SUCCEEDED);
		assert_true(end.ran_ms > 90000 && end.ran_ms < 115000); /* 20 000 at 200 a second */
		assert_non_null(strstr(end.cause, better ? "canary has all traffic" : "as it was before"));
	}
}

static void a_shadow_and_an_approval_are_gone_through(void **state)
{
	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_SHADOW, 2000, 10000);
	add_step(&plan, STEP_APPROVAL, 0, 0);
	add_step(&plan, STEP_WEIGHT, 1000, 0);
	add_hook(&plan, false);
	add_hook(&plan, true);
	both_usual();
	run();
	assert_end(SIMULATION_OVER, ROLLOUT_SUCCEEDED);
	simulation.candidate[0].from = 0.3;
	run();
	assert_end(SIMULATION_OVER, ROLLOUT_FAILED);
	assert_int_equal(end.to_candidate, 0); /* mirrored ones are none */
}

static void what_was_recorded_is_judged_again(void **state)
{
	static struct recorded recording[40];

	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_WEIGHT, 1000, 0);
	add_step(&plan, STEP_PAUSE, 0, 10000);
	for (size_t i = 0; i < ARRAY_SIZE(recording); i++) {
		recording[i].stable[0] = (struct sample){.trials = 900, .events = 9};
		recording[i].candidate[0] = (struct sample){.trials = 100, .events = i < 5 ? 1 : 30};
	}
	both_usual();
	simulation.recording = recording;
	simulation.recorded_count = 3;
	run();
	assert_end(SIMULATION_UNPLAYED, ROLLOUT_PROGRESSING);
	assert_int_equal(end.analyses, 3);
	simulation.recorded_count = ARRAY_SIZE(recording);
	run();
	assert_end(SIMULATION_OVER, ROLLOUT_FAILED);
	assert_true(end.analyses > 5 && end.analyses < 9);
}

static void what_cannot_begin_is_refused(void **state)
{
	(void)state;
	make_canary();
	variants[1].backend_count = 0;
	assert_int_equal(simulation_run(&simulation, &end, &why), -EINVAL);
	assert_non_null(strstr(why.text, "canary"));
}

/* --- what people say ---------------------------------------------------------------------------------------------- */

static void make_metrics(void)
{
	make_canary();
	plan.analysis.metrics[plan.analysis.metric_count++] =
		(struct metric_plan){.name = "answer-score", .kind = METRIC_SCORES, .range_high = 1};
	plan.analysis.metrics[plan.analysis.metric_count++] =
		(struct metric_plan){.name = "cost", .kind = METRIC_VALUE, .has_max = true, .max = 0.02};
	both_usual();
}

static void what_people_say_is_read(void **state)
{
	static const struct {
		const char *spec;
		size_t metric;
		double from, to, spread; /* -1: as it was */
		uint64_t changes_ms;
	} cases[] = {
		{"error-rate=2%", 0, 0.02, 0.02, -1, UINT64_MAX},
		{"error-rate=0.02", 0, 0.02, 0.02, -1, UINT64_MAX},
		{"error-rate=1", 0, 1, 1, -1, UINT64_MAX},
		{"error-rate=1%..5%@10m", 0, 0.01, 0.05, -1, 600000},
		{"error-rate=1%..5%@10m~5", 0, 0.01, 0.05, 5, 600000},
		{"first-byte-p95=20ms", 1, 0.02, 0.02, -1, UINT64_MAX},
		{"first-byte=1.5s~0.2", 1, 1.5, 1.5, 0.2, UINT64_MAX},
		{"first-byte=300us..2ms@1h30m~1", 1, 0.0003, 0.002, 1, 5400000},
		{"first-byte=0.25", 1, 0.25, 0.25, -1, UINT64_MAX},
		{"answer-score=0.8~0.05", 2, 0.8, 0.8, 0.05, UINT64_MAX},
		{"answer-score=80%..60%@5s", 2, 0.8, 0.6, -1, 5000},
		{"cost=-3.5", 3, -3.5, -3.5, -1, UINT64_MAX},
		{"cost=1,error-rate=3%", 0, 0.03, 0.03, -1, UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct behaviour *b = &simulation.candidate[cases[i].metric];
		double spread;

		make_metrics();
		spread = cases[i].spread < 0 ? b->spread : cases[i].spread;
		say(cases[i].spec);
		assert_true(fabs(b->from - cases[i].from) < 1e-12);
		assert_true(fabs(b->to - cases[i].to) < 1e-12);
		assert_true(fabs(b->spread - spread) < 1e-12);
		assert_true(b->changes_ms == cases[i].changes_ms);
	}
}

static void what_cannot_be_is_refused_with_what_can(void **state)
{
	static const struct {
		const char *spec, *word;
	} cases[] = {
		{"", "METRIC=VALUE"},
		{"error-rate", "METRIC=VALUE"},
		{"errors=1%", "no metric errors"},
		{"first=20ms", "no metric first"},
		{"error-rate=", "share"},
		{"error-rate=101%", "share"},
		{"error-rate=-1%", "share"},
		{"error-rate=1%x", "share"},
		{"error-rate=1%..5%", "share"},
		{"error-rate=1%..5%@", "share"},
		{"error-rate=1%~0", "share"},
		{"error-rate=1%~2.5", "share"},
		{"error-rate=1%~1001", "share"},
		{"first-byte=0", "time"},
		{"first-byte=5%", "time"},
		{"first-byte=20ms~-1", "time"},
		{"first-byte=20ms@5s", "time"},
		{"answer-score=1.1", "range"},
		{"cost=nan", "number"},
		{"cost=1e400", "number"},
		{"cost=1,cost=x", "number"},
		{"error-rate=1%,", "METRIC=VALUE"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct behaviour before[PLAN_METRICS_MAX];

		make_metrics();
		memcpy(before, simulation.candidate, sizeof(before));
		why.text[0] = '\0';
		assert_int_equal(behaviour_parse(cases[i].spec, &plan.analysis, simulation.candidate, &why), -EINVAL);
		if (!strstr(why.text, cases[i].word))
			fail_msg("\"%s\": %s", cases[i].spec, why.text);
		assert_memory_equal(before, simulation.candidate, sizeof(before));
	}
}

static void the_usual_is_within_what_the_plan_allows(void **state)
{
	static const struct metric_plan metrics[] = {
		{.kind = METRIC_COUNTS, .has_max = true, .max = 0.001},
		{.kind = METRIC_COUNTS, .has_min = true, .min = 0.95, .lower_is_worse = true},
		{.kind = METRIC_TIMES, .has_max = true, .max = 0.005},
		{.kind = METRIC_SCORES, .range_high = 5, .has_min = true, .min = 4},
		{.kind = METRIC_SCORES, .range_low = -1, .range_high = 1, .has_max = true, .max = 0},
		{.kind = METRIC_VALUE, .has_max = true, .max = -5},
		{.kind = METRIC_VALUE, .has_min = true, .min = 100},
		{.kind = METRIC_VALUE, .has_min = true, .min = -2},
		{.kind = METRIC_VALUE, .has_min = true, .has_max = true, .min = 3, .max = 4},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		struct behaviour b = behaviour_default(&metrics[i]);

		assert_true(!metrics[i].has_max || b.from < metrics[i].max);
		assert_true(!metrics[i].has_min || b.from > metrics[i].min);
		assert_true(metrics[i].kind == METRIC_SCORES || metrics[i].kind == METRIC_VALUE || b.from > 0);
	}
}

/* --- draws -------------------------------------------------------------------------------------------------------- */

static void assert_moments(double sum, double squares, double n, double mean, double variance)
{
	/* Five standard errors; of the variance about twice what a normal one has. */
	assert_true(fabs(sum / n - mean) < 5 * sqrt(variance / n));
	assert_true(fabs(squares / n - sum / n * sum / n - variance) < variance * 10 * sqrt(2 / n));
}

static void draws_have_the_mean_and_the_variance_that_they_should(void **state)
{
	static const struct {
		uint64_t trials;
		double share;
	} binomials[] = {{10, 0.1}, {10, 0.9}, {1000, 0.002}, {1000, 0.5}, {100000, 0.3}, {1, 0.5}};
	static const double means[] = {0.01, 3, 80, 1e6};
	enum { DRAWS = 20000 };
	struct draws d;

	(void)state;
	draws_begin(&d, 7);
	for (size_t i = 0; i < ARRAY_SIZE(binomials); i++) {
		double n = (double)binomials[i].trials, share = binomials[i].share, sum = 0, squares = 0;

		for (int k = 0; k < DRAWS; k++) {
			uint64_t drawn = draw_binomial(&d, binomials[i].trials, share);

			assert_true(drawn <= binomials[i].trials);
			sum += (double)drawn;
			squares += (double)drawn * (double)drawn;
		}
		assert_moments(sum, squares, DRAWS, n * share, n * share * (1 - share));
	}
	for (size_t i = 0; i < ARRAY_SIZE(means); i++) {
		double sum = 0, squares = 0;

		for (int k = 0; k < DRAWS; k++) {
			double drawn = (double)draw_poisson(&d, means[i]);

			sum += drawn;
			squares += drawn * drawn;
		}
		assert_moments(sum, squares, DRAWS, means[i], means[i]);
	}
	assert_int_equal(draw_binomial(&d, 1000, 0), 0);
	assert_int_equal(draw_binomial(&d, 1000, 1), 1000);
	assert_int_equal(draw_binomial(&d, 0, 0.5), 0);
	assert_int_equal(draw_poisson(&d, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_seed_is_the_same_rollout),
		cmocka_unit_test(equal_versions_are_promoted_but_for_few),
		cmocka_unit_test(equal_versions_that_fail_in_bursts_are_promoted_where_burst_says_so),
		cmocka_unit_test(a_version_that_fails_is_rolled_back_soon),
		cmocka_unit_test(a_version_that_gets_slow_is_rolled_back_then),
		cmocka_unit_test(without_traffic_nothing_is_promoted),
		cmocka_unit_test(blue_green_is_switched_back_when_it_is_worse_than_what_was_before),
		cmocka_unit_test(an_ab_test_finds_the_better_arm),
		cmocka_unit_test(a_shadow_and_an_approval_are_gone_through),
		cmocka_unit_test(what_was_recorded_is_judged_again),
		cmocka_unit_test(what_cannot_begin_is_refused),
		cmocka_unit_test(what_people_say_is_read),
		cmocka_unit_test(what_cannot_be_is_refused_with_what_can),
		cmocka_unit_test(the_usual_is_within_what_the_plan_allows),
		cmocka_unit_test(draws_have_the_mean_and_the_variance_that_they_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
