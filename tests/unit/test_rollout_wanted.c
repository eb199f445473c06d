// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The beginning of a rollout, and what its record means for the service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rollout_fixture.h"

static struct rollout_plan plan;
static struct rollout r;
static struct rollout_wanted w;

/* A canary at this share, with these weights before. */
static void at_share(uint32_t share, uint32_t blue, uint32_t canary, uint32_t green)
{
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_WEIGHT, share, 0);
	begin(&plan, &r);
	r.before[0].weight = blue;
	r.before[1].weight = canary;
	r.before[2].weight = green;
	assert_int_equal(pass_time(&plan, &r, 1), 1);
	rollout_wanted(&plan, &r, &w);
	assert_int_equal(w.weight_count, 3);
}

static void assert_weights(uint32_t blue, uint32_t canary, uint32_t green)
{
	assert_int_equal(weight_of(&w, "blue"), blue);
	assert_int_equal(weight_of(&w, "canary"), canary);
	assert_int_equal(weight_of(&w, "green"), green);
}

static void weights_stay_small_where_they_can(void **state)
{
	(void)state;
	at_share(500, 100, 0, 0);
	assert_weights(95, 5, 0);
	at_share(250, 100, 0, 0);
	assert_weights(195, 5, 0);
	at_share(2500, 80, 0, 20);
	assert_weights(60, 20, 20);
	at_share(5000, 1, 0, 1);
	assert_weights(1, 1, 2);
	at_share(500, 60, 40, 7);
	assert_weights(95, 5, 7);
	at_share(1, 1, 0, 0);
	assert_weights(9999, 1, 0);
	at_share(0, 100, 0, 3);
	assert_weights(100, 0, 3);
	at_share(500, 1000000, 0, 1000000);
	assert_weights(950000, 50000, 1000000);
	at_share(500, 1000000, 1000000, 1000000); /* twice 1 000 000 to blue would be too much */
	assert_weights(19, 1, 10);
}

static void weights_that_are_too_large_are_rounded_and_never_to_nothing(void **state)
{
	(void)state;
	at_share(3333, 999999, 0, 1000000);
	assert_int_equal(weight_of(&w, "green"), 1000000);
	assert_int_equal(weight_of(&w, "canary"), 333300); /* 0.3333 * 999999 = 333299.67 */
	assert_int_equal(weight_of(&w, "blue"), 666699);
	at_share(1, 1, 0, 999983);
	assert_weights(1, 1, 1000000); /* 9999, 1 and 9999830000, scaled by 9999.83 */
}

/* Every share of a few services, against fractions: a part of the whole may be off by what rounding can do. */
static void everybody_gets_the_part_that_is_asked(void **state)
{
	static const uint32_t before[][3] = {{100, 0, 0},         {80, 0, 20},          {1, 0, 0},
					     {7, 3, 90},          {999983, 0, 17},      {3, 0, 999983},
					     {333333, 1, 999999}, {1000000, 1000000, 1}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		for (uint32_t share = 0; share <= PLAN_ALL; share += 1 + share / 7) {
			double pair = before[i][0] + (double)before[i][1], all = pair + before[i][2], sum = 0;
			double canary = pair * share / PLAN_ALL / all, green = before[i][2] / all;

			at_share(share, before[i][0], before[i][1], before[i][2]);
			for (size_t v = 0; v < 3; v++) {
				assert_true(w.weights[v].weight <= WEIGHT_MAX);
				sum += w.weights[v].weight;
			}
			assert_true(weight_of(&w, "canary") / sum - canary < 1.6e-6);
			assert_true(canary - weight_of(&w, "canary") / sum < 1.6e-6);
			assert_true(weight_of(&w, "green") / sum - green < 1.6e-6);
			assert_true(green - weight_of(&w, "green") / sum < 1.6e-6);
			assert_true(!share == !weight_of(&w, "canary"));
			assert_true((share == PLAN_ALL) == !weight_of(&w, "blue"));
		}
	}
}

static void arms_divide_up_what_they_had_together(void **state)
{
	(void)state;
	make_plan(&plan, STRATEGY_AB_TEST);
	add_arm(&plan, "blue", 30);
	add_arm(&plan, "canary", 30);
	add_arm(&plan, "green", 40);
	add_step(&plan, STEP_ARMS, 0, 60000);
	begin(&plan, &r);
	pass_time(&plan, &r, 1);
	rollout_wanted(&plan, &r, &w);
	assert_weights(30, 30, 40);
	assert_int_equal(rollout_share(&plan, &r), 7000);
}

static void before_the_first_weight_the_candidate_has_nothing_once_it_has_begun(void **state)
{
	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_APPROVAL, 0, 0);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	add_hook(&plan, false);
	begin(&plan, &r);
	r.before[1].weight = 20;
	rollout_wanted(&plan, &r, &w);
	assert_weights(80, 20, 20);
	assert_int_equal(hook(&plan, &r, HOOK_GO), 1);
	rollout_wanted(&plan, &r, &w);
	assert_weights(100, 0, 20);
	assert_int_equal(rollout_share(&plan, &r), 0);
	command(&plan, &r, COMMAND_ABORT);
	rollout_wanted(&plan, &r, &w);
	assert_weights(80, 20, 20);
	assert_false(w.rollback);
}

static void a_step_wants_nothing_before_its_hooks_have_let_it(void **state)
{
	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	add_step(&plan, STEP_WEIGHT, 5000, 0);
	add_hook(&plan, false);
	begin(&plan, &r);
	hook(&plan, &r, HOOK_GO);
	assert_int_equal(rollout_share(&plan, &r), 500);
	verdict(&plan, &r, JUDGED_PASS, false);
	assert_place(&r, "Progressing 1 before");
	assert_int_equal(rollout_share(&plan, &r), 500);
	hook(&plan, &r, HOOK_GO);
	assert_int_equal(rollout_share(&plan, &r), 5000);
}

static void a_frozen_rollout_goes_on_wanting_what_it_had(void **state)
{
	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	plan.on_failure = FAILURE_FREEZE;
	add_step(&plan, STEP_WEIGHT, 2500, 0);
	add_hook(&plan, false);
	begin(&plan, &r);
	assert_int_equal(hook(&plan, &r, HOOK_FAIL), 1);
	rollout_wanted(&plan, &r, &w); /* it had not begun */
	assert_weights(80, 0, 20);

	begin(&plan, &r);
	hook(&plan, &r, HOOK_GO);
	assert_int_equal(verdict(&plan, &r, JUDGED_FAIL, true), 1);
	assert_int_equal(r.state, ROLLOUT_FAILED);
	rollout_wanted(&plan, &r, &w);
	assert_weights(60, 20, 20);
	assert_false(w.rollback);
	assert_int_equal(rollout_share(&plan, &r), 2500);
	/* By a configuration that has no longer what the way back needs, while all was going to the candidate. */
	r.step = plan.step_count;
	rollout_wanted(&plan, &r, &w);
	assert_weights(0, 80, 20);
}

static void a_shadow_is_nobodys_without_a_step_for_it(void **state)
{
	(void)state;
	at_share(500, 100, 0, 0);
	assert_false(w.shadow);
}

static void a_shadow_stays_while_hooks_are_asked_about_the_next_step(void **state)
{
	enum beside beside;

	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_SHADOW, 1000, 1000);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	add_hook(&plan, false);
	begin(&plan, &r);
	hook(&plan, &r, HOOK_GO);
	verdict(&plan, &r, JUDGED_PASS, false);
	assert_int_equal(pass_time(&plan, &r, 1000), 1);
	assert_place(&r, "Progressing 1 before");
	rollout_wanted(&plan, &r, &w);
	assert_int_equal(w.shadow_state, SHADOW_ON);
	assert_true(rollout_is_judged(&plan, &r, &beside));
	hook(&plan, &r, HOOK_GO);
	rollout_wanted(&plan, &r, &w);
	assert_int_equal(w.shadow_state, SHADOW_OFF);
	assert_weights(76, 4, 20);
}

static void a_shadow_is_judged_by_what_it_can_be_measured_by(void **state)
{
	struct metric_plan *m = &plan.analysis.metrics[0];
	enum beside beside;

	(void)state;
	make_plan(&plan, STRATEGY_SHADOW);
	add_step(&plan, STEP_SHADOW, 1000, 1000);
	begin(&plan, &r);
	pass_time(&plan, &r, 1);
	for (m->measure = 0; m->measure < MEASURES; m->measure++) {
		bool has = m->measure == MEASURE_ERROR_RATE || m->measure == MEASURE_5XX ||
			   m->measure == MEASURE_FIRST_BYTE;

		assert_int_equal(rollout_measures(&plan, &r, m), has);
		assert_int_equal(rollout_is_judged(&plan, &r, &beside), has);
	}
	m->source = SOURCE_PUSH;
	assert_false(rollout_is_judged(&plan, &r, &beside));
	assert_int_equal(pass_time(&plan, &r, 1000), 1); /* so that time alone decides */
}

static void a_candidate_without_traffic_is_judged_only_where_the_plan_asks_for_it(void **state)
{
	enum beside beside;

	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_PAUSE, 0, 1000);
	add_step(&plan, STEP_ANALYSIS, 0, 1000);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	begin(&plan, &r);
	pass_time(&plan, &r, 1);
	assert_false(rollout_is_judged(&plan, &r, &beside));
	assert_int_equal(pass_time(&plan, &r, 1000), 1);
	assert_true(rollout_is_judged(&plan, &r, &beside));
	assert_false(rollout_measures(&plan, &r, &plan.analysis.metrics[0]));
	plan.analysis.metrics[0].source = SOURCE_PUSH;
	assert_true(rollout_measures(&plan, &r, &plan.analysis.metrics[0]));
	assert_int_equal(pass_time(&plan, &r, 5000), 0);
}

static void a_candidate_with_traffic_is_judged_while_hooks_hold_and_while_it_waits(void **state)
{
	enum beside beside;

	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	add_step(&plan, STEP_APPROVAL, 0, 0);
	add_hook(&plan, false);
	add_hook(&plan, true);
	begin(&plan, &r);
	assert_false(rollout_is_judged(&plan, &r, &beside));
	hook(&plan, &r, HOOK_GO);
	for (int i = 0; i < 4; i++) {
		assert_true(rollout_is_judged(&plan, &r, &beside));
		assert_int_equal(beside, BESIDE_STABLE);
		if (i == 0)
			verdict(&plan, &r, JUDGED_PASS, false);
		else
			hook(&plan, &r, HOOK_GO);
	}
	assert_int_equal(r.state, ROLLOUT_WAITING_APPROVAL);
	command(&plan, &r, COMMAND_ROLLBACK);
	assert_false(rollout_is_judged(&plan, &r, &beside));
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

static struct variant_model variants[3];
static struct service_model service;
static struct refusal why;

static int begin_with(void)
{
	memset(&r, 0x5a, sizeof(r));
	why.text[0] = '\0';
	return rollout_begin(&plan, &service, 5 * SECOND, &r, &why);
}

static void assert_refused(int err, const char *word)
{
	static struct rollout untouched;

	assert_int_equal(begin_with(), err);
	assert_non_null(strstr(why.text, word));
	memset(&untouched, 0x5a, sizeof(untouched));
	assert_memory_equal(&r, &untouched, sizeof(r));
}

static void a_beginning_remembers_what_was(void **state)
{
	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	make_service(&service, variants);
	service.shadow.state = SHADOW_ON;
	assert_int_equal(begin_with(), 0);
	assert_place(&r, "Initialized 0 before");
	assert_string_equal(r.cause, "canary of web begins, from blue to canary, 1 step");
	assert_string_equal(r.service, "web");
	assert_int_equal(r.before_count, 3);
	assert_int_equal(r.shadow_before, SHADOW_ON);
	assert_int_equal(r.sample_before, 300);
	assert_int_equal(r.winner, -1);
	assert_int_equal(r.now_ns, 5 * SECOND);
}

static void a_service_without_what_the_plan_needs_is_refused(void **state)
{
	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_SHADOW, 500, 1000);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	make_service(&service, variants);
	service.shadow.present = false;
	assert_refused(-EINVAL, "shadow");

	make_service(&service, variants);
	strcpy(variants[1].name, "canary-2");
	assert_refused(-ENOENT, "canary");

	make_service(&service, variants);
	variants[1].backend_count = 0;
	assert_refused(-EINVAL, "canary of web has no backend");

	make_service(&service, variants);
	variants[1].backends = &backends[1];
	assert_refused(-EINVAL, "canary of web has no backend");

	make_service(&service, variants);
	variants[0].weight = 0;
	variants[1].weight = 80;
	assert_refused(-EINVAL, "blue, which the plan calls stable, has no traffic");

	make_plan(&plan, STRATEGY_AB_TEST);
	add_arm(&plan, "canary", 50);
	add_arm(&plan, "blue", 50);
	add_step(&plan, STEP_ARMS, 0, 1000);
	make_service(&service, variants);
	variants[0].weight = 0;
	assert_refused(-EINVAL, "no arm has any traffic");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights_stay_small_where_they_can),
		cmocka_unit_test(weights_that_are_too_large_are_rounded_and_never_to_nothing),
		cmocka_unit_test(everybody_gets_the_part_that_is_asked),
		cmocka_unit_test(arms_divide_up_what_they_had_together),
		cmocka_unit_test(before_the_first_weight_the_candidate_has_nothing_once_it_has_begun),
		cmocka_unit_test(a_step_wants_nothing_before_its_hooks_have_let_it),
		cmocka_unit_test(a_frozen_rollout_goes_on_wanting_what_it_had),
		cmocka_unit_test(a_shadow_is_nobodys_without_a_step_for_it),
		cmocka_unit_test(a_shadow_stays_while_hooks_are_asked_about_the_next_step),
		cmocka_unit_test(a_shadow_is_judged_by_what_it_can_be_measured_by),
		cmocka_unit_test(a_candidate_without_traffic_is_judged_only_where_the_plan_asks_for_it),
		cmocka_unit_test(a_candidate_with_traffic_is_judged_while_hooks_hold_and_while_it_waits),
		cmocka_unit_test(a_beginning_remembers_what_was),
		cmocka_unit_test(a_service_without_what_the_plan_needs_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
