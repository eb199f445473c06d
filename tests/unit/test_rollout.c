// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every event in every place of a rollout; commands and policies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rollout_fixture.h"

static struct rollout_plan plan;
static struct rollout r;
static char where[64];

/* 5 %, approval, 50 %; hooks everywhere; a person is to decide where there is no data. */
static void make_full_plan(enum failure_policy on_failure)
{
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	add_step(&plan, STEP_APPROVAL, 0, 0);
	add_step(&plan, STEP_WEIGHT, 5000, 0);
	add_hook(&plan, false);
	add_hook(&plan, true);
	plan.analysis.on_no_data = POLICY_PAUSE;
	plan.on_failure = on_failure;
	plan.progress_deadline_ms = 60000;
	begin(&plan, &r);
}

/* --- the places, each reached from the one before ----------------------------------------------------------------- */

static void initialized(void)
{
	make_full_plan(FAILURE_ROLLBACK);
}

static void running(void)
{
	initialized();
	assert_int_equal(hook(&plan, &r, HOOK_GO), 1);
}

static void after(void)
{
	running();
	assert_int_equal(verdict(&plan, &r, JUDGED_PASS, false), 1);
}

static void before(void)
{
	after();
	assert_int_equal(hook(&plan, &r, HOOK_GO), 1);
}

static void waiting(void)
{
	before();
	assert_int_equal(hook(&plan, &r, HOOK_GO), 1);
}

static void last(void)
{
	waiting();
	assert_int_equal(command(&plan, &r, COMMAND_PROMOTE), 1);
	assert_int_equal(hook(&plan, &r, HOOK_GO), 1);
}

static void after_last(void)
{
	last();
	assert_int_equal(verdict(&plan, &r, JUDGED_PASS, false), 1);
}

static void promoting(void)
{
	struct rollout_facts facts;

	after_last();
	facts = quiet(&r);
	facts.hook = HOOK_GO;
	facts.in_force = false;
	assert_int_equal(advance(&plan, &r, &facts), 1);
}

static void succeeded(void)
{
	promoting();
	assert_int_equal(pass_time(&plan, &r, 1), 1);
}

static void paused_initialized(void)
{
	initialized();
	assert_int_equal(command(&plan, &r, COMMAND_PAUSE), 1);
}

static void paused_running(void)
{
	running();
	assert_int_equal(command(&plan, &r, COMMAND_PAUSE), 1);
}

static void paused_after(void)
{
	after();
	assert_int_equal(command(&plan, &r, COMMAND_PAUSE), 1);
}

static void paused_waiting(void)
{
	waiting();
	assert_int_equal(command(&plan, &r, COMMAND_PAUSE), 1);
}

static void rolling_back(void)
{
	waiting();
	assert_int_equal(command(&plan, &r, COMMAND_ROLLBACK), 1);
}

static void aborting(void)
{
	waiting();
	assert_int_equal(command(&plan, &r, COMMAND_ABORT), 1);
}

static void failed(void)
{
	rolling_back();
	assert_int_equal(pass_time(&plan, &r, 1), 1);
}

static void aborted(void)
{
	aborting();
	assert_int_equal(pass_time(&plan, &r, 1), 1);
}

static void running_to_freeze(void)
{
	make_full_plan(FAILURE_FREEZE);
	assert_int_equal(hook(&plan, &r, HOOK_GO), 1);
}

static void frozen(void)
{
	running_to_freeze();
	assert_int_equal(verdict(&plan, &r, JUDGED_FAIL, true), 1);
}

/* --- the events --------------------------------------------------------------------------------------------------- */

enum happening {
	PAUSE,
	RESUME,
	APPROVE,
	PROMOTE,
	FULL,
	ROLLBACK,
	ABORT, /* so far as in enum rollout_command, from 1 */
	PASS,
	FAIL,
	PROVEN,
	NO_DATA,
	INCONCLUSIVE,
	ERROR,
	VOID,
	GO,
	HOLD,
	REFUSED,
	DEADLINE,
	IN_FORCE,
	NOT_IN_FORCE,
	HAPPENINGS,
};

static const char *const happening_names[HAPPENINGS] = {"pause",          "resume",   "approve",  "promote",
							"promote --full", "rollback", "abort",    "pass",
							"fail",           "proven",   "no data",  "inconclusive",
							"error",          "void",     "hook go",  "hook hold",
							"hook fail",      "deadline", "in force", "not in force"};

static int happen(enum happening h)
{
	struct rollout_facts facts = quiet(&r);

	switch (h) {
	case PASS:
		return verdict(&plan, &r, JUDGED_PASS, false);
	case FAIL:
		return verdict(&plan, &r, JUDGED_FAIL, false);
	case PROVEN:
		return verdict(&plan, &r, JUDGED_FAIL, true);
	case NO_DATA:
		return verdict(&plan, &r, JUDGED_NO_DATA, false);
	case INCONCLUSIVE:
		return verdict(&plan, &r, JUDGED_INCONCLUSIVE, false);
	case ERROR:
		return verdict(&plan, &r, JUDGED_ERROR, false);
	case VOID:
		return verdict(&plan, &r, JUDGED_VOID, false);
	case GO:
		return hook(&plan, &r, HOOK_GO);
	case HOLD:
		return hook(&plan, &r, HOOK_HOLD);
	case REFUSED:
		return hook(&plan, &r, HOOK_FAIL);
	case DEADLINE:
		/* Without anything in force, so that nothing else happens meanwhile. */
		for (int i = 0; i < 59; i++) {
			facts.now_ns += SECOND;
			facts.in_force = false;
			assert_int_equal(advance(&plan, &r, &facts), 0);
		}
		facts.now_ns += SECOND;
		return advance(&plan, &r, &facts);
	case IN_FORCE:
		return advance(&plan, &r, &facts);
	case NOT_IN_FORCE:
		facts.in_force = false;
		return advance(&plan, &r, &facts);
	default:
		return command(&plan, &r, (enum rollout_command)(h + 1));
	}
}

struct place {
	void (*go_there)(void);
	const char *from;
	const char *to[HAPPENINGS]; /* NULL: nothing changes; of commands: it is refused */
};

/* What all states have that a person can still turn round. */
#define PEOPLE [FULL] = "Promoting 3 running", [ROLLBACK] = "RollingBack %", [ABORT] = "RollingBack %"
#define FAILURES [PROVEN] = "RollingBack %"

/* "%" stands for the step and phase that it was in. */
static const struct place places[] = {
	{initialized,
	 "Initialized 0 before",
	 {PEOPLE, [PAUSE] = "Paused 0 before", [PROMOTE] = "Progressing 0 running", [GO] = "Progressing 0 running",
	  [REFUSED] = "RollingBack %", [DEADLINE] = "RollingBack %"}},
	{running,
	 "Progressing 0 running",
	 {PEOPLE, FAILURES, [PAUSE] = "Paused %", [PROMOTE] = "Progressing 1 before", [PASS] = "Progressing 0 after",
	  [NO_DATA] = "Paused %", [DEADLINE] = "RollingBack %"}},
	{after,
	 "Progressing 0 after",
	 {PEOPLE, FAILURES, [PAUSE] = "Paused %", [PROMOTE] = "Progressing 1 before", [NO_DATA] = "Paused %",
	  [GO] = "Progressing 1 before", [REFUSED] = "RollingBack %", [DEADLINE] = "RollingBack %"}},
	{before,
	 "Progressing 1 before",
	 {PEOPLE, FAILURES, [PAUSE] = "Paused %", [PROMOTE] = "WaitingApproval 1 running", [NO_DATA] = "Paused %",
	  [GO] = "WaitingApproval 1 running", [REFUSED] = "RollingBack %", [DEADLINE] = "RollingBack %"}},
	{waiting,
	 "WaitingApproval 1 running",
	 {PEOPLE,
	  FAILURES, [PAUSE] = "Paused %", [APPROVE] = "Progressing 1 after", [PROMOTE] = "Progressing 2 before"}},
	{last,
	 "Progressing 2 running",
	 {PEOPLE, FAILURES, [PAUSE] = "Paused %", [PROMOTE] = "Promoting 3 running", [PASS] = "Progressing 2 after",
	  [NO_DATA] = "Paused %", [DEADLINE] = "RollingBack %"}},
	{after_last,
	 "Progressing 2 after",
	 {PEOPLE, FAILURES, [PAUSE] = "Paused %", [PROMOTE] = "Promoting 3 running", [NO_DATA] = "Paused %",
	  [GO] = "Promoting 3 running", [REFUSED] = "RollingBack %", [DEADLINE] = "RollingBack %"}},
	{paused_initialized,
	 "Paused 0 before",
	 {PEOPLE, [RESUME] = "Initialized 0 before", [PROMOTE] = "Progressing 0 running"}},
	{paused_running,
	 "Paused 0 running",
	 {PEOPLE, FAILURES, [RESUME] = "Progressing 0 running", [PROMOTE] = "Progressing 1 before"}},
	{paused_after,
	 "Paused 0 after",
	 {PEOPLE, FAILURES, [RESUME] = "Progressing 0 after", [PROMOTE] = "Progressing 1 before"}},
	{paused_waiting,
	 "Paused 1 running",
	 {PEOPLE, FAILURES, [RESUME] = "WaitingApproval 1 running", [PROMOTE] = "Progressing 2 before"}},
	{promoting,
	 "Promoting 3 running",
	 {[ROLLBACK] = "RollingBack %",
	  [ABORT] = "RollingBack %",
	  [PASS] = "Succeeded %",
	  [FAIL] = "Succeeded %",
	  [PROVEN] = "Succeeded %",
	  [NO_DATA] = "Succeeded %",
	  [INCONCLUSIVE] = "Succeeded %",
	  [ERROR] = "Succeeded %",
	  [VOID] = "Succeeded %",
	  [GO] = "Succeeded %",
	  [HOLD] = "Succeeded %",
	  [REFUSED] = "Succeeded %",
	  [DEADLINE] = NULL,
	  [IN_FORCE] = "Succeeded %"}},
	{rolling_back,
	 "RollingBack 1 running",
	 {[PASS] = "Failed %",
	  [FAIL] = "Failed %",
	  [PROVEN] = "Failed %",
	  [NO_DATA] = "Failed %",
	  [INCONCLUSIVE] = "Failed %",
	  [ERROR] = "Failed %",
	  [VOID] = "Failed %",
	  [GO] = "Failed %",
	  [HOLD] = "Failed %",
	  [REFUSED] = "Failed %",
	  [IN_FORCE] = "Failed %"}},
	{aborting,
	 "RollingBack 1 running",
	 {[PASS] = "Aborted %",
	  [FAIL] = "Aborted %",
	  [PROVEN] = "Aborted %",
	  [NO_DATA] = "Aborted %",
	  [INCONCLUSIVE] = "Aborted %",
	  [ERROR] = "Aborted %",
	  [VOID] = "Aborted %",
	  [GO] = "Aborted %",
	  [HOLD] = "Aborted %",
	  [REFUSED] = "Aborted %",
	  [IN_FORCE] = "Aborted %"}},
	{running_to_freeze,
	 "Progressing 0 running",
	 {PEOPLE, [PAUSE] = "Paused %", [PROMOTE] = "Progressing 1 before", [PASS] = "Progressing 0 after",
	  [PROVEN] = "Failed %", [NO_DATA] = "Paused %", [DEADLINE] = "Failed %"}},
	{succeeded, "Succeeded 3 running", {NULL}},
	{failed, "Failed 1 running", {NULL}},
	{frozen, "Failed 0 running", {NULL}},
	{aborted, "Aborted 1 running", {NULL}},
};

static void every_event_in_every_place_does_what_is_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		for (enum happening h = 0; h < HAPPENINGS; h++) {
			const char *to = places[i].to[h];
			struct rollout old;
			char wanted[80];
			int rc;

			places[i].go_there();
			assert_place(&r, places[i].from);
			old = r;
			rc = happen(h);
			if (to && strchr(to, '%'))
				snprintf(wanted, sizeof(wanted), "%.*s%s", (int)(strchr(to, '%') - to), to,
					 strchr(places[i].from, ' ') + 1);
			else
				snprintf(wanted, sizeof(wanted), "%s", to ?: places[i].from);
			if (strcmp(place(&r, where), wanted))
				fail_msg("%s in %s: %s, not %s", happening_names[h], places[i].from, where, wanted);
			assert_int_equal(rc, to ? 1 : h <= ABORT ? -EINVAL : 0);
			assert_int_equal(r.transitions, old.transitions + !!to);
			assert_int_equal(!strcmp(r.cause, old.cause), !to);
		}
	}
}

static void what_a_refusal_proposes_is_possible(void **state)
{
	static const char *const words[] = {"", "pause", "resume", "approve", "promote", "", "rollback", "abort"};
	struct rollout old;
	struct refusal why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		for (enum rollout_command c = COMMAND_PAUSE; c <= COMMAND_ABORT; c++) {
			struct rollout_facts facts;
			char proposal[40];

			places[i].go_there();
			facts = quiet(&r);
			facts.command = c;
			why.text[0] = '\0';
			if (rollout_advance(&plan, &facts, &r, &why) == 1)
				continue;
			old = r;
			assert_non_null(strstr(why.text, "web"));
			for (enum rollout_command other = COMMAND_PAUSE; other <= COMMAND_ABORT; other++) {
				snprintf(proposal, sizeof(proposal), "`headgate rollout %s web`", words[other]);
				if (!*words[other] || !strstr(why.text, proposal))
					continue;
				r = old;
				assert_int_equal(command(&plan, &r, other), 1);
			}
			if (rollout_is_over(old.state) && !old.frozen)
				assert_non_null(strstr(why.text, old.state == ROLLOUT_SUCCEEDED ? "undo" : "retry"));
			if (old.frozen)
				assert_non_null(strstr(why.text, "`headgate weights web blue=80 canary=0 green=20`"));
		}
	}
}

static void commands_say_who_gave_them_and_what_spoke_against_them(void **state)
{
	(void)state;
	running();
	verdict(&plan, &r, JUDGED_FAIL, false);
	assert_int_equal(command(&plan, &r, COMMAND_PROMOTE_FULL), 1);
	assert_string_equal(r.cause, "uid 7 promoted it past all steps, although the last analysis came to fail; all "
				     "traffic goes to canary");
}

static void the_end_says_what_it_came_from(void **state)
{
	(void)state;
	running();
	verdict(&plan, &r, JUDGED_FAIL, true);
	assert_string_equal(r.cause, "the analysis failed: error-rate 3% of 500; all goes back to what it was before");
	pass_time(&plan, &r, 1);
	assert_string_equal(r.cause, "the analysis failed: error-rate 3% of 500; all is as it was before");
}

static void what_is_not_proven_fails_at_the_limit(void **state)
{
	(void)state;
	running();
	assert_int_equal(verdict(&plan, &r, JUDGED_FAIL, false), 0);
	assert_int_equal(verdict(&plan, &r, JUDGED_INCONCLUSIVE, false), 0);
	assert_int_equal(verdict(&plan, &r, JUDGED_FAIL, false), 1);
	assert_place(&r, "RollingBack 0 running");
	assert_non_null(strstr(r.cause, "2 times"));
}

static void failures_are_counted_anew_in_each_step(void **state)
{
	(void)state;
	running();
	verdict(&plan, &r, JUDGED_FAIL, false);
	verdict(&plan, &r, JUDGED_PASS, false);
	hook(&plan, &r, HOOK_GO);
	hook(&plan, &r, HOOK_GO);
	assert_place(&r, "WaitingApproval 1 running");
	assert_int_equal(verdict(&plan, &r, JUDGED_FAIL, false), 0);
}

static void a_policy_of_rollback_rolls_back(void **state)
{
	static const enum judged verdicts[] = {JUDGED_NO_DATA, JUDGED_ERROR, JUDGED_INCONCLUSIVE};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
		enum policy *policies[] = {&plan.analysis.on_no_data, &plan.analysis.on_provider_error,
					   &plan.analysis.on_inconclusive};

		running();
		*policies[0] = POLICY_HOLD;
		*policies[i] = POLICY_ROLLBACK;
		for (size_t j = 0; j < ARRAY_SIZE(verdicts); j++) {
			if (j != i)
				assert_int_equal(verdict(&plan, &r, verdicts[j], false), 0);
		}
		assert_int_equal(verdict(&plan, &r, verdicts[i], false), 1);
		assert_place(&r, "RollingBack 0 running");
	}
}

static void the_deadline_does_not_count_what_people_take(void **state)
{
	(void)state;
	waiting();
	assert_int_equal(pass_time(&plan, &r, 3600000), 0);
	assert_int_equal(command(&plan, &r, COMMAND_APPROVE), 1);
	assert_int_equal(pass_time(&plan, &r, 1000), 0);
	paused_running();
	assert_int_equal(pass_time(&plan, &r, 3600000), 0);
	assert_int_equal(command(&plan, &r, COMMAND_RESUME), 1);
	assert_int_equal(pass_time(&plan, &r, 1000), 0);
}

static void a_deadline_of_zero_is_none(void **state)
{
	(void)state;
	running();
	plan.progress_deadline_ms = 0;
	assert_int_equal(pass_time(&plan, &r, 48 * 3600000), 0);
}

static void hooks_are_asked_before_and_after_and_not_while_paused(void **state)
{
	bool asks_after;

	(void)state;
	initialized();
	assert_true(rollout_asks_hooks(&plan, &r, &asks_after));
	assert_false(asks_after);
	running();
	assert_false(rollout_asks_hooks(&plan, &r, &asks_after));
	after();
	assert_true(rollout_asks_hooks(&plan, &r, &asks_after));
	assert_true(asks_after);
	paused_after();
	assert_false(rollout_asks_hooks(&plan, &r, &asks_after));
	promoting();
	assert_false(rollout_asks_hooks(&plan, &r, &asks_after));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_in_every_place_does_what_is_written),
		cmocka_unit_test(what_a_refusal_proposes_is_possible),
		cmocka_unit_test(commands_say_who_gave_them_and_what_spoke_against_them),
		cmocka_unit_test(the_end_says_what_it_came_from),
		cmocka_unit_test(what_is_not_proven_fails_at_the_limit),
		cmocka_unit_test(failures_are_counted_anew_in_each_step),
		cmocka_unit_test(a_policy_of_rollback_rolls_back),
		cmocka_unit_test(the_deadline_does_not_count_what_people_take),
		cmocka_unit_test(a_deadline_of_zero_is_none),
		cmocka_unit_test(hooks_are_asked_before_and_after_and_not_while_paused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
