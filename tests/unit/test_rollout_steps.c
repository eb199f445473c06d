// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What ends each kind of step, and the clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rollout_fixture.h"

static struct rollout_plan plan;
static struct rollout r;

/* --- single steps ------------------------------------------------------------------------------------------------- */

/* A canary at 5 % whose second step is this one; it has just begun. */
static void second_step(enum step_kind kind, uint64_t duration_ms)
{
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	add_step(&plan, kind, 0, duration_ms);
	add_step(&plan, STEP_WEIGHT, 5000, 0);
	begin(&plan, &r);
	assert_int_equal(pass_time(&plan, &r, 1), 1);
	assert_int_equal(verdict(&plan, &r, JUDGED_PASS, false), 1);
	assert_place(&r, "Progressing 1 running");
}

static void a_pause_ends_after_its_time_if_the_last_analysis_passed(void **state)
{
	static const enum step_kind kinds[] = {STEP_PAUSE, STEP_ANALYSIS, STEP_WATCH};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		second_step(kinds[i], 10000);
		assert_int_equal(pass_time(&plan, &r, 5000), 0);
		assert_int_equal(verdict(&plan, &r, JUDGED_PASS, false), 0);
		assert_int_equal(pass_time(&plan, &r, 4999), 0);
		assert_int_equal(pass_time(&plan, &r, 1), 1);
		assert_place(&r, "Progressing 2 running");

		second_step(kinds[i], 10000);
		verdict(&plan, &r, JUDGED_PASS, false);
		verdict(&plan, &r, JUDGED_NO_DATA, false);
		assert_int_equal(pass_time(&plan, &r, 20000), 0);
		assert_int_equal(verdict(&plan, &r, JUDGED_VOID, false), 0);
		assert_int_equal(verdict(&plan, &r, JUDGED_PASS, false), 1);
		assert_place(&r, "Progressing 2 running");
	}
}

static void a_pass_of_the_step_before_counts_for_nothing(void **state)
{
	(void)state;
	second_step(STEP_PAUSE, 1000);
	assert_int_equal(pass_time(&plan, &r, 3600000), 0);
	assert_place(&r, "Progressing 1 running");
}

static void an_inconclusive_step_may_use_all_its_time(void **state)
{
	(void)state;
	second_step(STEP_ANALYSIS, 10000);
	plan.analysis.on_inconclusive = POLICY_ROLLBACK;
	pass_time(&plan, &r, 9999);
	assert_int_equal(verdict(&plan, &r, JUDGED_INCONCLUSIVE, false), 0);
	pass_time(&plan, &r, 1);
	assert_int_equal(verdict(&plan, &r, JUDGED_INCONCLUSIVE, false), 1);
	assert_place(&r, "RollingBack 1 running");
}

static void without_metrics_time_alone_decides(void **state)
{
	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	plan.analysis.metric_count = 0;
	add_step(&plan, STEP_WEIGHT, 500, 0);
	add_step(&plan, STEP_PAUSE, 0, 2000);
	begin(&plan, &r);
	pass_time(&plan, &r, 1);
	assert_int_equal(pass_time(&plan, &r, 1), 1);
	assert_place(&r, "Progressing 1 running");
	assert_int_equal(pass_time(&plan, &r, 1999), 0);
	assert_int_equal(pass_time(&plan, &r, 1), 1);
	assert_place(&r, "Promoting 2 running");
}

static void metrics_that_are_only_shown_decide_nothing(void **state)
{
	(void)state;
	second_step(STEP_PAUSE, 1000);
	plan.analysis.metrics[0].dry_run = true;
	assert_int_equal(pass_time(&plan, &r, 1000), 1);
}

static void nothing_happens_while_it_is_not_in_force(void **state)
{
	(void)state;
	make_plan(&plan, STRATEGY_CANARY);
	plan.analysis.metric_count = 0;
	add_step(&plan, STEP_WEIGHT, 500, 0);
	begin(&plan, &r);
	pass_time(&plan, &r, 1);
	for (int i = 0; i < 1000; i++) {
		struct rollout_facts facts = quiet(&r);

		facts.now_ns += SECOND;
		facts.in_force = false;
		assert_int_equal(advance(&plan, &r, &facts), 0);
	}
	assert_int_equal(r.step_ran_ns, 0);
	assert_int_equal(r.in_force_ns, 0);
	assert_int_equal(pass_time(&plan, &r, 1), 1);
	assert_place(&r, "Promoting 1 running");
}

static void blue_green_waits_for_health_and_switches_and_watches(void **state)
{
	struct rollout_facts facts;
	struct rollout_wanted w;
	enum beside beside;

	(void)state;
	make_plan(&plan, STRATEGY_BLUE_GREEN);
	add_step(&plan, STEP_HEALTHY, 0, 0);
	add_step(&plan, STEP_SWITCH, 0, 0);
	add_step(&plan, STEP_WATCH, 0, 5000);
	begin(&plan, &r);
	assert_false(rollout_wants_reference(&plan, &r));
	pass_time(&plan, &r, 1);
	assert_int_equal(pass_time(&plan, &r, 60000), 0);
	assert_place(&r, "Progressing 0 running");
	assert_true(rollout_wants_reference(&plan, &r));
	facts = quiet(&r);
	facts.healthy = true;
	assert_int_equal(advance(&plan, &r, &facts), 1);
	assert_int_equal(rollout_share(&plan, &r), PLAN_ALL);
	assert_false(rollout_wants_reference(&plan, &r));
	facts.in_force = false;
	assert_int_equal(advance(&plan, &r, &facts), 0);
	facts.in_force = true;
	assert_int_equal(advance(&plan, &r, &facts), 1);
	assert_place(&r, "Progressing 2 running");
	assert_true(rollout_is_judged(&plan, &r, &beside));
	assert_int_equal(beside, BESIDE_REFERENCE);
	rollout_wanted(&plan, &r, &w);
	assert_int_equal(weight_of(&w, "blue"), 0);
	assert_int_equal(weight_of(&w, "canary"), 80);
	assert_int_equal(verdict(&plan, &r, JUDGED_FAIL, true), 1);
	rollout_wanted(&plan, &r, &w);
	assert_int_equal(weight_of(&w, "blue"), 80);
	assert_int_equal(weight_of(&w, "canary"), 0);
	assert_true(w.rollback);
}

static void make_test(bool promote_winner)
{
	make_plan(&plan, STRATEGY_AB_TEST);
	plan.stable[0] = '\0';
	add_arm(&plan, "blue", 50);
	add_arm(&plan, "canary", 50);
	add_step(&plan, STEP_ARMS, 0, 60000);
	plan.steps[0].samples = 1000;
	plan.promote_winner = promote_winner;
	begin(&plan, &r);
	assert_int_equal(pass_time(&plan, &r, 1), 1);
}

static int arms(uint64_t samples, int winner)
{
	struct rollout_facts facts = quiet(&r);

	facts.arm_samples = samples;
	facts.winner = winner;
	facts.in_force = r.state != ROLLOUT_PROMOTING;
	return advance(&plan, &r, &facts);
}

static void an_ab_test_ends_by_samples_or_time_and_promotes_a_winner_only_when_it_is_to(void **state)
{
	static const struct {
		bool promote;
		int winner;
		uint32_t blue, canary;
	} cases[] = {{false, 1, 80, 0}, {true, -1, 80, 0}, {true, 1, 0, 80}, {true, 0, 80, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int by_time = 0; by_time < 2; by_time++) {
			struct rollout_wanted w;

			make_test(cases[i].promote);
			rollout_wanted(&plan, &r, &w);
			assert_int_equal(weight_of(&w, "blue"), 40);
			assert_int_equal(weight_of(&w, "canary"), 40);
			assert_int_equal(weight_of(&w, "green"), 20);
			assert_int_equal(arms(999, 1), 0);
			if (by_time)
				assert_int_equal(pass_time(&plan, &r, 59999), 0);
			if (by_time) {
				struct rollout_facts facts = quiet(&r);

				facts.now_ns += MS;
				facts.winner = cases[i].winner;
				assert_int_equal(advance(&plan, &r, &facts), 1);
			} else {
				assert_int_equal(arms(1000, cases[i].winner), 1);
			}
			assert_place(&r, "Promoting 1 running");
			rollout_wanted(&plan, &r, &w);
			assert_int_equal(weight_of(&w, "blue"), cases[i].blue);
			assert_int_equal(weight_of(&w, "canary"), cases[i].canary);
			assert_int_equal(weight_of(&w, "green"), 20);
			assert_false(w.rollback);
			assert_int_equal(pass_time(&plan, &r, 1), 1);
			assert_int_equal(r.state, ROLLOUT_SUCCEEDED);
		}
	}
}

static void a_shadow_is_set_for_its_step_and_then_as_it_was(void **state)
{
	struct rollout_wanted w;

	(void)state;
	make_plan(&plan, STRATEGY_SHADOW);
	add_step(&plan, STEP_SHADOW, 2000, 5000);
	begin(&plan, &r);
	rollout_wanted(&plan, &r, &w);
	assert_int_equal(w.weight_count, 0);
	assert_true(w.shadow);
	assert_int_equal(w.shadow_state, SHADOW_OFF);
	assert_int_equal(w.sample, 300);
	pass_time(&plan, &r, 1);
	rollout_wanted(&plan, &r, &w);
	assert_int_equal(w.shadow_state, SHADOW_ON);
	assert_int_equal(w.sample, 2000);
	assert_int_equal(pass_time(&plan, &r, 10000), 0);
	assert_int_equal(verdict(&plan, &r, JUDGED_PASS, false), 1);
	assert_int_equal(r.state, ROLLOUT_PROMOTING);
	rollout_wanted(&plan, &r, &w);
	assert_int_equal(w.shadow_state, SHADOW_OFF);
	assert_int_equal(w.sample, 300);
	assert_int_equal(pass_time(&plan, &r, 1), 1);
	assert_int_equal(r.state, ROLLOUT_SUCCEEDED);
}

/* --- clocks ------------------------------------------------------------------------------------------------------- */

static void a_pause_stops_the_step_but_not_the_judgement(void **state)
{
	enum beside beside;

	(void)state;
	second_step(STEP_PAUSE, 10000);
	pass_time(&plan, &r, 4000);
	command(&plan, &r, COMMAND_PAUSE);
	pass_time(&plan, &r, 3600000);
	assert_int_equal(r.step_ran_ns, 4 * SECOND);
	assert_int_equal(r.in_force_ns, 3604 * SECOND);
	assert_true(rollout_is_judged(&plan, &r, &beside));
	assert_int_equal(verdict(&plan, &r, JUDGED_PASS, false), 0);
	command(&plan, &r, COMMAND_RESUME);
	assert_int_equal(pass_time(&plan, &r, 5999), 0);
	assert_int_equal(pass_time(&plan, &r, 1), 1);
}

static void a_clock_that_jumps_adds_five_seconds_at_most_and_never_less_than_nothing(void **state)
{
	struct rollout_facts facts;

	(void)state;
	second_step(STEP_PAUSE, 60000);
	verdict(&plan, &r, JUDGED_PASS, false);
	facts = quiet(&r);
	facts.now_ns += 7 * 3600 * SECOND;
	assert_int_equal(advance(&plan, &r, &facts), 0);
	assert_int_equal(r.step_ran_ns, 5 * SECOND);
	facts.now_ns = 3 * SECOND; /* after a reboot */
	assert_int_equal(advance(&plan, &r, &facts), 0);
	assert_int_equal(r.step_ran_ns, 5 * SECOND);
	facts.now_ns = 4 * SECOND;
	assert_int_equal(advance(&plan, &r, &facts), 0);
	assert_int_equal(r.step_ran_ns, 6 * SECOND);
}

static void the_deadline_does_not_count_what_the_plan_itself_takes(void **state)
{
	(void)state;
	second_step(STEP_PAUSE, 600000);
	plan.progress_deadline_ms = 60000;
	assert_int_equal(pass_time(&plan, &r, 600000), 0);
	assert_int_equal(pass_time(&plan, &r, 58000), 0);
	assert_int_equal(pass_time(&plan, &r, 1000), 1);
	assert_place(&r, "RollingBack 1 running");
	assert_non_null(strstr(r.cause, "did not end in 1m (progress_deadline)"));
}

static void nothing_is_judged_during_the_initial_delay(void **state)
{
	enum beside beside;

	(void)state;
	second_step(STEP_PAUSE, 1000);
	plan.analysis.initial_delay_ms = 3000;
	assert_true(rollout_is_judged(&plan, &r, &beside)); /* a pause changes nothing */
	verdict(&plan, &r, JUDGED_PASS, false);
	assert_int_equal(pass_time(&plan, &r, 1000), 1);
	assert_place(&r, "Progressing 2 running");
	assert_int_equal(pass_time(&plan, &r, 2999), 0);
	assert_false(rollout_is_judged(&plan, &r, &beside));
	assert_int_equal(verdict(&plan, &r, JUDGED_PASS, false), 0);
	assert_int_equal(verdict(&plan, &r, JUDGED_FAIL, true), 0);
	assert_int_equal(r.last, JUDGED_NOTHING);
	assert_int_equal(pass_time(&plan, &r, 1), 0);
	assert_int_equal(verdict(&plan, &r, JUDGED_PASS, false), 1);
}

static void a_watch_is_delayed_as_the_switch_was_just_before(void **state)
{
	enum beside beside;

	(void)state;
	make_plan(&plan, STRATEGY_BLUE_GREEN);
	plan.analysis.initial_delay_ms = 3000;
	add_step(&plan, STEP_SWITCH, 0, 0);
	add_step(&plan, STEP_WATCH, 0, 1000);
	begin(&plan, &r);
	pass_time(&plan, &r, 1);
	pass_time(&plan, &r, 1);
	assert_place(&r, "Progressing 1 running");
	pass_time(&plan, &r, 2999);
	assert_false(rollout_is_judged(&plan, &r, &beside));
	pass_time(&plan, &r, 1);
	assert_true(rollout_is_judged(&plan, &r, &beside));
}

static void the_next_call_is_due_within_a_second_and_when_a_clock_runs_out(void **state)
{
	(void)state;
	second_step(STEP_PAUSE, 10000);
	assert_int_equal(rollout_next_ns(&plan, &r), r.now_ns + SECOND);
	pass_time(&plan, &r, 9990);
	assert_int_equal(rollout_next_ns(&plan, &r), r.now_ns + 10 * MS);
	command(&plan, &r, COMMAND_ABORT);
	pass_time(&plan, &r, 1);
	assert_true(rollout_next_ns(&plan, &r) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pause_ends_after_its_time_if_the_last_analysis_passed),
		cmocka_unit_test(a_pass_of_the_step_before_counts_for_nothing),
		cmocka_unit_test(an_inconclusive_step_may_use_all_its_time),
		cmocka_unit_test(without_metrics_time_alone_decides),
		cmocka_unit_test(metrics_that_are_only_shown_decide_nothing),
		cmocka_unit_test(nothing_happens_while_it_is_not_in_force),
		cmocka_unit_test(blue_green_waits_for_health_and_switches_and_watches),
		cmocka_unit_test(an_ab_test_ends_by_samples_or_time_and_promotes_a_winner_only_when_it_is_to),
		cmocka_unit_test(a_shadow_is_set_for_its_step_and_then_as_it_was),
		cmocka_unit_test(a_pause_stops_the_step_but_not_the_judgement),
		cmocka_unit_test(a_clock_that_jumps_adds_five_seconds_at_most_and_never_less_than_nothing),
		cmocka_unit_test(the_deadline_does_not_count_what_the_plan_itself_takes),
		cmocka_unit_test(nothing_is_judged_during_the_initial_delay),
		cmocka_unit_test(a_watch_is_delayed_as_the_switch_was_just_before),
		cmocka_unit_test(the_next_call_is_due_within_a_second_and_when_a_clock_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
