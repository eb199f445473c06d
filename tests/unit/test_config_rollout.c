// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a plan of a rollout becomes. Mistakes: test_config_rollout_mistakes.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "model_diff.h"
#include "config_rollout_fixture.h"

#define PAIR "strategy: canary\nstable: blue\ncandidate: canary\n"
#define CANARY PAIR "steps: [{weight: 5}, {pause: 10m}]\n"
#define BLUE_GREEN "strategy: blue_green\nstable: blue\ncandidate: green\n"
#define ERROR_RATE "analysis: {metrics: [{name: error-rate, source: dataplane, max: 1%}]}\n"

#define MINUTES 60000ULL
#define HOURS (60 * MINUTES)

struct expected_step {
	enum step_kind kind;
	uint32_t share;
	uint64_t duration_ms, samples;
};

static void assert_steps(const struct rollout_plan *plan, const struct expected_step *steps, size_t count)
{
	assert_int_equal(plan->step_count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(plan->steps[i].kind, steps[i].kind);
		assert_int_equal(plan->steps[i].share, steps[i].share);
		assert_int_equal(plan->steps[i].duration_ms, steps[i].duration_ms);
		assert_int_equal(plan->steps[i].samples, steps[i].samples);
	}
}

#define ASSERT_STEPS(plan, ...)                                                                                        \
	do {                                                                                                           \
		const struct expected_step steps_[] = {__VA_ARGS__};                                                   \
		assert_steps(plan, steps_, ARRAY_SIZE(steps_));                                                        \
	} while (0)

static void canary_goes_through_its_steps_and_is_promoted_by_the_last_weight(void **state)
{
	_cleanup_free_ struct rollout_plan *plan =
		plan_of("web",
			PAIR "steps: [{shadow: 12.5, for: 500ms}, {pause: 1h30m}, {weight: 0.01}, {analysis: 2s}, "
			     "{weight: 25%}, {pause: approval}, {weight: 100}]\n" ERROR_RATE);

	(void)state;
	assert_int_equal(plan->strategy, STRATEGY_CANARY);
	assert_string_equal(plan->stable, "blue");
	assert_string_equal(plan->candidate, "canary");
	ASSERT_STEPS(plan, {STEP_SHADOW, 1250, 500, 0}, {STEP_PAUSE, 0, 90 * MINUTES, 0}, {STEP_WEIGHT, 1, 0, 0},
		     {STEP_ANALYSIS, 0, 2000, 0}, {STEP_WEIGHT, 2500, 0, 0}, {STEP_APPROVAL, 0, 0, 0});
}

static void steps_of_one_size_end_at_max_weight(void **state)
{
	_cleanup_free_ struct rollout_plan *even = plan_of("web", PAIR "step_weight: 20\nmax_weight: 60\n" ERROR_RATE);
	_cleanup_free_ struct rollout_plan *uneven =
		plan_of("web", PAIR "step_weight: 20\nmax_weight: 50\n" ERROR_RATE);
	_cleanup_free_ struct rollout_plan *all = plan_of("web", PAIR "step_weight: 40\n" ERROR_RATE);

	(void)state;
	ASSERT_STEPS(even, {STEP_WEIGHT, 2000, 0, 0}, {STEP_WEIGHT, 4000, 0, 0}, {STEP_WEIGHT, 6000, 0, 0});
	ASSERT_STEPS(uneven, {STEP_WEIGHT, 2000, 0, 0}, {STEP_WEIGHT, 4000, 0, 0}, {STEP_WEIGHT, 5000, 0, 0});
	ASSERT_STEPS(all, {STEP_WEIGHT, 4000, 0, 0}, {STEP_WEIGHT, 8000, 0, 0});
}

static void blue_green_waits_for_health_switches_and_watches(void **state)
{
	_cleanup_free_ struct rollout_plan *plain = plan_of("web", BLUE_GREEN);
	_cleanup_free_ struct rollout_plan *full =
		plan_of("web", BLUE_GREEN
			"steps: [{shadow: 100, for: 1m}, {pause: approval}, {pause: 1m}, {analysis: 1m}]\nwatch: "
			"90s\nanalysis: {metrics: [{name: score, source: push, max: 1%}]}\n");

	(void)state;
	assert_int_equal(plain->strategy, STRATEGY_BLUE_GREEN);
	ASSERT_STEPS(plain, {STEP_HEALTHY, 0, 0, 0}, {STEP_SWITCH, PLAN_ALL, 0, 0},
		     {STEP_WATCH, PLAN_ALL, 10 * MINUTES, 0});
	ASSERT_STEPS(full, {STEP_SHADOW, PLAN_ALL, MINUTES, 0}, {STEP_APPROVAL, 0, 0, 0}, {STEP_PAUSE, 0, MINUTES, 0},
		     {STEP_ANALYSIS, 0, MINUTES, 0}, {STEP_HEALTHY, 0, 0, 0}, {STEP_SWITCH, PLAN_ALL, 0, 0},
		     {STEP_WATCH, PLAN_ALL, 90000, 0});
}

static void ab_test_has_arms_in_the_order_of_the_file(void **state)
{
	_cleanup_free_ struct rollout_plan *plan =
		plan_of("web", "strategy: ab_test\narms: {green: 30, blue: 70}\nduration: 24h\nsamples: 10000\n"
			       "promote_winner: true\nanalysis: {metrics: [{name: score, source: push, range: [-1, 1], "
			       "worse: lower}, {name: resets, source: dataplane}]}\n");
	const struct metric_plan *m = plan->analysis.metrics;

	(void)state;
	assert_int_equal(plan->strategy, STRATEGY_AB_TEST);
	assert_int_equal(plan->arm_count, 2);
	assert_string_equal(plan->arms[0].variant, "green");
	assert_int_equal(plan->arms[0].share, 30);
	assert_string_equal(plan->arms[1].variant, "blue");
	assert_int_equal(plan->arms[1].share, 70);
	assert_true(plan->promote_winner);
	assert_string_equal(plan->stable, "");
	assert_string_equal(plan->candidate, "");
	ASSERT_STEPS(plan, {STEP_ARMS, 0, 24 * HOURS, 10000});
	/* Every arm is compared with the first. */
	assert_true(m[0].compare && m[0].lower_is_worse && m[0].kind == METRIC_SCORES);
	assert_true(m[0].tolerance == 0 && m[0].range_low == -1 && m[0].range_high == 1);
	assert_true(m[1].compare && m[1].kind == METRIC_COUNTS && m[1].tolerance == 1);
}

static void ab_test_by_samples_alone_has_no_deadline(void **state)
{
	_cleanup_free_ struct rollout_plan *plan =
		plan_of("web", "strategy: ab_test\narms: {blue: 1, green: 1}\nsamples: 500\n");

	(void)state;
	ASSERT_STEPS(plan, {STEP_ARMS, 0, 0, 500});
	assert_int_equal(plan->progress_deadline_ms, 0);
	assert_false(plan->promote_winner);
}

static void shadow_is_mirrored_in_steps(void **state)
{
	_cleanup_free_ struct rollout_plan *plan = plan_of(
		"web", "strategy: shadow\nsteps: [{shadow: 1, for: 1m}, {pause: approval}, {shadow: 50, for: 1h}]\n");

	(void)state;
	assert_int_equal(plan->strategy, STRATEGY_SHADOW);
	ASSERT_STEPS(plan, {STEP_SHADOW, 100, MINUTES, 0}, {STEP_APPROVAL, 0, 0, 0}, {STEP_SHADOW, 5000, HOURS, 0});
}

static void what_is_not_written_has_a_default(void **state)
{
	_cleanup_free_ struct rollout_plan *plan = plan_of("web", PAIR "steps: [{weight: 5}, {pause: approval}]\n");
	const struct analysis_plan *a = &plan->analysis;

	(void)state;
	assert_int_equal(plan->progress_deadline_ms, 10 * MINUTES);
	assert_int_equal(plan->on_failure, FAILURE_ROLLBACK);
	assert_int_equal(plan->hook_count, 0);
	assert_int_equal(plan->notify_count, 0);
	assert_int_equal(a->interval_ms, 30000);
	assert_int_equal(a->initial_delay_ms, 0);
	assert_int_equal(a->min_samples, 100);
	assert_int_equal(a->failure_limit, 1);
	assert_true(a->alpha == 0.01);
	assert_int_equal(a->on_no_data, POLICY_HOLD);
	assert_int_equal(a->on_provider_error, POLICY_HOLD);
	assert_int_equal(a->on_inconclusive, POLICY_HOLD);
	assert_int_equal(a->metric_count, 0);
}

static void deadline_that_is_not_written_leaves_the_longest_step_its_time(void **state)
{
	_cleanup_free_ struct rollout_plan *pause = plan_of("web", CANARY);
	_cleanup_free_ struct rollout_plan *delay =
		plan_of("web", CANARY "analysis: {interval: 10m, initial_delay: 1h, metrics: [{name: resets, source: "
				      "dataplane, max: 1%}]}\n");
	_cleanup_free_ struct rollout_plan *written = plan_of("web", CANARY "progress_deadline: 601s\n");
	_cleanup_free_ struct rollout_plan *off = plan_of("web", CANARY "progress_deadline: off\n");

	(void)state;
	assert_int_equal(pause->progress_deadline_ms, 20 * MINUTES);
	assert_int_equal(delay->progress_deadline_ms, 80 * MINUTES);
	assert_int_equal(written->progress_deadline_ms, 601000);
	assert_int_equal(off->progress_deadline_ms, 0);
}

static void analysis_is_as_it_is_written(void **state)
{
	_cleanup_free_ struct rollout_plan *plan =
		plan_of("web",
			CANARY "on_failure: freeze\nanalysis: {interval: 100ms, initial_delay: 90s, min_samples: 7, "
			       "failure_limit: 3, alpha: 0.000001, on_no_data: pause, on_provider_error: rollback, "
			       "on_inconclusive: hold, metrics: []}\n");
	const struct analysis_plan *a = &plan->analysis;

	(void)state;
	assert_int_equal(plan->on_failure, FAILURE_FREEZE);
	assert_int_equal(a->interval_ms, 100);
	assert_int_equal(a->initial_delay_ms, 90000);
	assert_int_equal(a->min_samples, 7);
	assert_int_equal(a->failure_limit, 3);
	assert_true(a->alpha == 0.000001);
	assert_int_equal(a->on_no_data, POLICY_PAUSE);
	assert_int_equal(a->on_provider_error, POLICY_ROLLBACK);
	assert_int_equal(a->on_inconclusive, POLICY_HOLD);
}

/* A metric by its keys, and what becomes of it. */
struct metric_case {
	const char *keys;
	struct metric_plan want;
};

#define URL "http://10.1.1.1:9090"

static const struct metric_case metric_cases[] = {
	{"name: error-rate, source: dataplane, compare: stable, tolerance: 1.25",
	 {.name = "error-rate", .measure = MEASURE_ERROR_RATE, .compare = true, .tolerance = 1.25}},
	{"name: failed-handshakes, source: dataplane, max: 1%",
	 {.name = "failed-handshakes", .measure = MEASURE_FAILED_HANDSHAKES, .has_max = true, .max = 0.01}},
	{"name: resets, source: dataplane, min: 0.5%, max: 0.25",
	 {.name = "resets", .measure = MEASURE_RESETS, .has_min = true, .min = 0.005, .has_max = true, .max = 0.25}},
	{"name: 5xx, source: dataplane, max: 0.1%, dry_run: true",
	 {.name = "5xx", .measure = MEASURE_5XX, .has_max = true, .max = 0.001, .dry_run = true}},
	{"name: 5xx, source: dataplane, compare: stable, tolerance: 1.5, burst: 20",
	 {.name = "5xx", .measure = MEASURE_5XX, .compare = true, .tolerance = 1.5, .burst = 20}},
	{"name: handshake, source: dataplane, max: 200ms",
	 {.name = "handshake",
	  .measure = MEASURE_HANDSHAKE,
	  .kind = METRIC_TIMES,
	  .quantile = 0.95,
	  .has_max = true,
	  .max = 0.2}},
	{"name: handshake-p99.9, source: dataplane, max: 0.0015",
	 {.name = "handshake-p99.9",
	  .measure = MEASURE_HANDSHAKE,
	  .kind = METRIC_TIMES,
	  .quantile = 0.999,
	  .has_max = true,
	  .max = 0.0015}},
	{"name: first-byte-p50, source: dataplane, compare: stable, tolerance: 0",
	 {.name = "first-byte-p50",
	  .measure = MEASURE_FIRST_BYTE,
	  .kind = METRIC_TIMES,
	  .quantile = 0.5,
	  .compare = true}},
	{"name: ttft, source: prometheus, url: \"" URL "\", query: 'x{v=\"{{variant}}\"} or y', timeout: 1s, min: "
	 "-2.5, compare: stable, tolerance: 0.1, worse: lower",
	 {.name = "ttft",
	  .source = SOURCE_PROMETHEUS,
	  .kind = METRIC_VALUE,
	  .url = URL,
	  .query = "x{v=\"{{variant}}\"} or y",
	  .timeout_ms = 1000,
	  .has_min = true,
	  .min = -2.5,
	  .compare = true,
	  .tolerance = 0.1,
	  .lower_is_worse = true}},
	{"name: gpu, source: webhook, url: \"" URL "/{{service}}?v={{variant}}\", max: 0.9",
	 {.name = "gpu",
	  .source = SOURCE_WEBHOOK,
	  .kind = METRIC_VALUE,
	  .url = URL "/{{service}}?v={{variant}}",
	  .timeout_ms = 2000,
	  .has_max = true,
	  .max = 0.9}},
	{"name: wrong, source: webhook, kind: counts, url: \"" URL "\", max: 5%",
	 {.name = "wrong", .source = SOURCE_WEBHOOK, .url = URL, .timeout_ms = 2000, .has_max = true, .max = 0.05}},
	{"name: hallucination-rate, source: push, compare: stable, tolerance: 1.0",
	 {.name = "hallucination-rate", .source = SOURCE_PUSH, .compare = true, .tolerance = 1}},
	{"name: answer-score, source: push, range: [0, 5], worse: lower, compare: stable, tolerance: 0.05",
	 {.name = "answer-score",
	  .source = SOURCE_PUSH,
	  .kind = METRIC_SCORES,
	  .range_high = 5,
	  .compare = true,
	  .tolerance = 0.05,
	  .lower_is_worse = true}},
	{"name: cost, source: push, kind: value, max: 0.02",
	 {.name = "cost", .source = SOURCE_PUSH, .kind = METRIC_VALUE, .has_max = true, .max = 0.02}},
};

/* Plans begin as zeroes, so that what is not said to be wanted must be zero, too. */
static void metrics_are_what_their_keys_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(metric_cases); i++) {
		const struct metric_case *c = &metric_cases[i];
		_cleanup_free_ struct rollout_plan *plan = NULL;
		char yaml[1024];

		snprintf(yaml, sizeof(yaml), CANARY "analysis: {metrics: [{%s}]}\n", c->keys);
		plan = plan_of("web", yaml);
		assert_int_equal(plan->analysis.metric_count, 1);
		assert_memory_equal(&plan->analysis.metrics[0], &c->want, sizeof(c->want));
	}
}

static void timeout_that_is_not_written_gives_way_to_a_short_interval(void **state)
{
	_cleanup_free_ struct rollout_plan *plan =
		plan_of("web", CANARY "analysis: {interval: 1s, metrics: [{name: x, source: webhook, url: \"" URL
				      "\", max: 1}]}\n");

	(void)state;
	assert_int_equal(plan->analysis.metrics[0].timeout_ms, 1000);
}

static void hooks_and_notifications_are_as_they_are_written(void **state)
{
	_cleanup_free_ struct rollout_plan *plan =
		plan_of("web", CANARY "hooks: [{when: before, url: \"" URL "/a\", timeout: 1m}, {when: after, url: "
				      "\"https://gate.example\"}]\nnotify: [{url: \"" URL
				      "/n\"}, {url: \"https://chat.example/x\", format: slack, timeout: 1s}]\n");

	(void)state;
	assert_int_equal(plan->hook_count, 2);
	assert_string_equal(plan->hooks[0].url, URL "/a");
	assert_false(plan->hooks[0].after);
	assert_int_equal(plan->hooks[0].timeout_ms, 60000);
	assert_true(plan->hooks[1].after);
	assert_int_equal(plan->hooks[1].timeout_ms, 10000);
	assert_int_equal(plan->notify_count, 2);
	assert_false(plan->notify[0].slack);
	assert_int_equal(plan->notify[0].timeout_ms, 10000);
	assert_true(plan->notify[1].slack);
	assert_string_equal(plan->notify[1].url, "https://chat.example/x");
	assert_int_equal(plan->notify[1].timeout_ms, 1000);
}

/* What a mistake in the service's other keys leaves open is no second mistake. */
static void plan_of_a_service_with_mistakes_is_not_blamed_for_them(void **state)
{
	static const char yaml[] = "interfaces: [eth0]\n"
				   "services:\n"
				   "  web:\n"
				   "    address: 10.0.0.10\n"
				   "    port: 80\n"
				   "    forward: nut\n"
				   "    variants: {blue: {weight: 1, backends: 7}, canary: {weight: 0, backends: []}}\n"
				   "    rollout:\n"
				   "      strategy: canary\n"
				   "      stable: blue\n"
				   "      candidate: green\n"
				   "      steps: [{weight: 5}, {pause: soon}]\n"
				   "      analysis: {metrics: [{name: resets, source: dataplane, max: 1%}]}\n";
	struct problems problems = {};
	struct model *model = NULL;

	(void)state;
	assert_int_equal(config_parse("t.yaml", yaml, strlen(yaml), &problems, &model), -EINVAL);
	assert_string_equal(
		problems.text,
		"t.yaml:6:14: forward of service web is 'nut': write nat, dnat, l2dsr, ipip or gue\n"
		"t.yaml:7:44: backends of variant blue of web is '7': write a list, as [10.0.1.11:8000], or "
		"[] for none\n"
		"t.yaml:12:36: pause of step 2 of rollout of web is 'soon': write approval, or a time from "
		"100ms to 720h, as 90s, 10m or 2h4m\n");
	problems_clear(&problems);
}

static const struct rollout_plan *plan_in(struct model *m, const char *service)
{
	const struct service_model *s = model_find_service(m, service);

	assert_non_null(s);
	assert_non_null(s->rollout);
	return s->rollout;
}

static void example_of_the_documentation_is_read(void **state)
{
	_cleanup_(model_freep) struct model *m = NULL;
	struct problems problems = {};
	int err = config_load("docs/rollouts.yaml", &problems, &m);

	(void)state;
	if (problems.text)
		print_error("%s", problems.text);
	assert_int_equal(err, 0);
	assert_int_equal(plan_in(m, "llm")->analysis.metric_count, 8);
	assert_int_equal(plan_in(m, "llm")->step_count, 7);
	assert_int_equal(plan_in(m, "embeddings")->step_count, 5);
	assert_int_equal(plan_in(m, "chat")->step_count, 4);
	assert_int_equal(plan_in(m, "prompts")->arm_count, 2);
	assert_int_equal(plan_in(m, "vision")->step_count, 2);
}

/* Services with a plan for web, as @plan says. */
static struct model *services_with(const char *plan)
{
	char yaml[2 * sizeof(rollout_services)];
	const char *far = strstr(rollout_services, "  far:");

	snprintf(yaml, sizeof(yaml), "%.*s%s%s", (int)(far - rollout_services), rollout_services, plan, far);
	return parse(yaml);
}

static void change_of_a_plan_is_told(void **state)
{
	static const struct {
		const char *before, *after, *want;
	} cases[] = {
		{"5", "5", NULL},
		{"5", "6", "web: rollout plan changed; a rollout that is going on keeps its own\n"},
		{NULL, "5", "web: rollout plan added\n"},
		{"5", NULL, "web: rollout plan removed; a rollout that is going on keeps its own\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *weights[2] = {cases[i].before, cases[i].after};
		struct model *models[2];
		_cleanup_free_ char *text = NULL;

		for (size_t j = 0; j < 2; j++) {
			char plan[256] = "";

			if (weights[j])
				snprintf(plan, sizeof(plan),
					 "    rollout: {strategy: canary, stable: blue, candidate: canary, steps: "
					 "[{weight: %s}, {pause: 1m}]}\n",
					 weights[j]);
			models[j] = services_with(plan);
		}
		assert_int_equal(model_diff(models[0], models[1], &text), 0);
		if (cases[i].want)
			assert_string_equal(text, cases[i].want);
		else
			assert_null(text);
		model_free(models[0]);
		model_free(models[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canary_goes_through_its_steps_and_is_promoted_by_the_last_weight),
		cmocka_unit_test(steps_of_one_size_end_at_max_weight),
		cmocka_unit_test(blue_green_waits_for_health_switches_and_watches),
		cmocka_unit_test(ab_test_has_arms_in_the_order_of_the_file),
		cmocka_unit_test(ab_test_by_samples_alone_has_no_deadline),
		cmocka_unit_test(shadow_is_mirrored_in_steps),
		cmocka_unit_test(what_is_not_written_has_a_default),
		cmocka_unit_test(deadline_that_is_not_written_leaves_the_longest_step_its_time),
		cmocka_unit_test(analysis_is_as_it_is_written),
		cmocka_unit_test(metrics_are_what_their_keys_say),
		cmocka_unit_test(timeout_that_is_not_written_gives_way_to_a_short_interval),
		cmocka_unit_test(hooks_and_notifications_are_as_they_are_written),
		cmocka_unit_test(plan_of_a_service_with_mistakes_is_not_blamed_for_them),
		cmocka_unit_test(example_of_the_documentation_is_read),
		cmocka_unit_test(change_of_a_plan_is_told),
	};

	return cmocka_run_group_tests_name("plans of rollouts", tests, NULL, NULL);
}
