// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rollouts that anything may happen to: what must never come of it, watched by an observer of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rollout_fixture.h"

#define WALKS 3000
#define CALLS 400

static uint64_t seed;

static uint32_t pick(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

static struct rollout_plan plan;
static struct rollout r;

static void random_plan(void)
{
	static const enum step_kind kinds[] = {STEP_WEIGHT,   STEP_PAUSE,  STEP_APPROVAL,
					       STEP_ANALYSIS, STEP_SHADOW, STEP_WEIGHT};
	enum strategy strategy = pick(4);
	uint32_t share = 0;

	make_plan(&plan, strategy);
	plan.analysis.metric_count = pick(4) ? 1 : 0;
	plan.analysis.metrics[0].source = pick(2) ? SOURCE_DATAPLANE : SOURCE_PUSH;
	plan.analysis.failure_limit = 1 + pick(3);
	plan.analysis.initial_delay_ms = pick(2) ? 0 : pick(4000);
	plan.analysis.on_no_data = pick(3);
	plan.analysis.on_provider_error = pick(3);
	plan.analysis.on_inconclusive = pick(3);
	plan.on_failure = pick(2);
	plan.progress_deadline_ms = pick(2) ? 0 : 5000 + pick(100000);
	for (int i = 0; i < 2; i++)
		if (!pick(3))
			add_hook(&plan, i);
	switch (strategy) {
	case STRATEGY_SHADOW:
		add_step(&plan, STEP_SHADOW, 1000, pick(10000));
		break;
	case STRATEGY_AB_TEST:
		add_arm(&plan, "blue", 1 + pick(100));
		add_arm(&plan, "canary", 1 + pick(100));
		plan.promote_winner = pick(2);
		add_step(&plan, STEP_ARMS, 0, 1 + pick(20000));
		plan.steps[0].samples = pick(1000);
		break;
	case STRATEGY_BLUE_GREEN:
		if (pick(2))
			add_step(&plan, STEP_SHADOW, 1000, pick(10000));
		add_step(&plan, STEP_HEALTHY, 0, 0);
		add_step(&plan, STEP_SWITCH, 0, 0);
		add_step(&plan, STEP_WATCH, 0, pick(20000));
		break;
	case STRATEGY_CANARY:
		for (uint32_t i = 1 + pick(5); i; i--) {
			enum step_kind kind = kinds[pick(ARRAY_SIZE(kinds))];

			share += kind == STEP_WEIGHT ? 1 + pick(1500) : 0;
			add_step(&plan, kind, kind == STEP_SHADOW ? 2000 : share, pick(15000));
			if (kind == STEP_WEIGHT || kind == STEP_APPROVAL)
				plan.steps[plan.step_count - 1].duration_ms = 0;
		}
	}
}

static struct rollout_facts random_facts(void)
{
	struct rollout_facts facts = quiet(&r);

	if (pick(20))
		facts.now_ns += pick(3000) * MS;
	else if (pick(2))
		facts.now_ns += pick(100000) * SECOND;
	else
		facts.now_ns -= pick(100000) * SECOND < facts.now_ns ? pick(1000) * SECOND : 0;
	if (!pick(25))
		facts.command = 1 + pick(5);
	if (!pick(400))
		facts.command = pick(2) ? COMMAND_ROLLBACK : COMMAND_ABORT;
	if (pick(2))
		facts.verdict = pick(3) ? JUDGED_PASS : pick(JUDGED_VOID + 1);
	facts.proven = !pick(4);
	facts.arm_samples = pick(900);
	facts.winner = (int)pick(3) - 1;
	facts.healthy = pick(2);
	facts.in_force = pick(5);
	facts.hook = pick(10) ? pick(3) : HOOK_FAIL;
	return facts;
}

/* What the observer knows, by nothing but what went in and the states that came out. */
struct observer {
	uint64_t ran_ns;  /* at most, in this step, while it could run */
	enum judged last; /* that was given in this step */
};

static uint64_t elapsed(const struct rollout_facts *facts, const struct rollout *old)
{
	uint64_t ns = facts->now_ns > old->now_ns ? facts->now_ns - old->now_ns : 0;

	return ns < 5 * SECOND ? ns : 5 * SECOND;
}

/* What a step of the plan must have had before it may end by itself. */
static void check_end_of_step(const struct observer *o, const struct step_plan *step, bool has_traffic)
{
	const struct metric_plan *m = &plan.analysis.metrics[0];
	bool judged = plan.analysis.metric_count > 0;

	if (step->kind == STEP_SHADOW)
		judged = judged && m->source == SOURCE_DATAPLANE; /* error-rate: a shadow has it */
	else if (step->kind == STEP_WEIGHT || step->kind == STEP_PAUSE || step->kind == STEP_WATCH)
		judged = judged && has_traffic;
	else
		judged = judged && step->kind == STEP_ANALYSIS;
	if (judged)
		assert_int_equal(o->last, JUDGED_PASS);
	assert_int_not_equal(step->kind, STEP_APPROVAL);
	if (!step->samples)
		assert_true(o->ran_ns >= step->duration_ms * MS);
}

static uint32_t highest_share(uint32_t steps)
{
	uint32_t highest = 0;

	for (uint32_t i = 0; i < steps; i++) {
		if (plan.steps[i].kind == STEP_WEIGHT && plan.steps[i].share > highest)
			highest = plan.steps[i].share;
		if (plan.steps[i].kind == STEP_SWITCH || plan.steps[i].kind == STEP_ARMS)
			highest = PLAN_ALL;
	}
	return highest;
}

static void check_weights(void)
{
	struct rollout_wanted w;
	double blue, canary, green;

	rollout_wanted(&plan, &r, &w);
	if (plan.strategy == STRATEGY_SHADOW) {
		assert_int_equal(w.weight_count, 0);
		return;
	}
	blue = weight_of(&w, "blue");
	canary = weight_of(&w, "canary");
	green = weight_of(&w, "green");
	assert_true(green * 4 == blue + canary); /* as before: 80 and 20 */
	if (r.state == ROLLOUT_INITIALIZED || r.state == ROLLOUT_ROLLING_BACK || r.state == ROLLOUT_ABORTED ||
	    (r.state == ROLLOUT_FAILED && plan.on_failure == FAILURE_ROLLBACK)) {
		assert_true(blue == 80 && canary == 0);
		assert_int_equal(w.rollback, !r.by_person && r.state != ROLLOUT_INITIALIZED);
		assert_int_equal(w.shadow_state, w.shadow ? SHADOW_OFF : SHADOW_ON);
	} else if (r.state != ROLLOUT_PROMOTING && r.state != ROLLOUT_SUCCEEDED) {
		uint32_t begun = r.step + (r.phase != PHASE_BEFORE);

		assert_true(canary * PLAN_ALL <= (blue + canary) * highest_share(begun));
	}
}

static bool same_place(const struct rollout *a, const struct rollout *b)
{
	return a->state == b->state && a->step == b->step && a->phase == b->phase;
}

/* One call, and all that the observer holds against it. */
static void call_and_check(struct observer *o)
{
	struct rollout_facts facts = random_facts();
	struct rollout old = r;
	bool has_traffic = rollout_share(&plan, &r) > 0;
	struct refusal why;
	int rc;

	if (old.phase == PHASE_RUNNING && old.state != ROLLOUT_PAUSED && facts.in_force)
		o->ran_ns += elapsed(&facts, &old);
	rc = rollout_advance(&plan, &facts, &r, &why);
	if (r.analyses > old.analyses)
		o->last = facts.verdict;
	assert_int_equal(rc == 1, !same_place(&old, &r) || r.transitions != old.transitions);
	assert_int_equal(r.transitions, old.transitions + (rc == 1));
	if (rc == -EINVAL)
		assert_int_not_equal(facts.command, COMMAND_NONE);
	if (rollout_is_over(old.state))
		assert_true(rc < 1 && same_place(&old, &r));
	check_weights();
	if (rc < 1)
		return;
	if (facts.command == COMMAND_PROMOTE_FULL)
		assert_int_equal(r.state, ROLLOUT_PROMOTING);
	else if (!facts.command && old.phase == PHASE_RUNNING && (r.step == old.step + 1 || r.phase == PHASE_AFTER) &&
		 old.step < plan.step_count && old.state == ROLLOUT_PROGRESSING)
		check_end_of_step(o, &plan.steps[old.step], has_traffic);
	if (r.state == ROLLOUT_PROMOTING && facts.command != COMMAND_PROMOTE_FULL)
		assert_int_equal(old.step, plan.step_count - 1);
	if (r.step != old.step || (old.phase == PHASE_BEFORE && r.phase == PHASE_RUNNING))
		*o = (struct observer){0};
	assert_true(r.step <= old.step + 1 || facts.command == COMMAND_PROMOTE_FULL);
}

static void whatever_happens_nothing_is_promoted_that_did_not_pass(void **state)
{
	size_t ends[ROLLOUT_STATES] = {0};

	(void)state;
	for (uint64_t walk = 1; walk <= WALKS; walk++) {
		struct observer o = {0};

		seed = walk;
		random_plan();
		begin(&plan, &r);
		for (int i = 0; i < CALLS; i++)
			call_and_check(&o);
		ends[r.state]++;
	}
	/* The walks go everywhere. */
	assert_true(ends[ROLLOUT_SUCCEEDED] > WALKS / 20);
	assert_true(ends[ROLLOUT_FAILED] > WALKS / 20);
	assert_true(ends[ROLLOUT_ABORTED] > WALKS / 100);
}

/* Everything that would end a step, but for a pass. */
static void nothing_is_promoted_for_ever_without_a_pass(void **state)
{
	static const enum judged others[] = {JUDGED_NOTHING, JUDGED_NO_DATA, JUDGED_ERROR, JUDGED_INCONCLUSIVE,
					     JUDGED_VOID};
	static const enum step_kind kinds[] = {STEP_WEIGHT, STEP_ANALYSIS, STEP_WATCH};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			make_plan(&plan, STRATEGY_CANARY);
			if (kinds[k] == STEP_WATCH)
				add_step(&plan, STEP_SWITCH, 0, 0);
			add_step(&plan, kinds[k], 500, kinds[k] == STEP_WEIGHT ? 0 : 1000);
			begin(&plan, &r);
			pass_time(&plan, &r, 1);
			if (kinds[k] == STEP_WATCH)
				assert_int_equal(pass_time(&plan, &r, 1), 1);
			for (int second = 0; second < 100000; second++) {
				struct rollout_facts facts = quiet(&r);

				facts.now_ns += second % 100 ? SECOND : 7200 * SECOND;
				facts.verdict = others[i];
				facts.healthy = true;
				assert_int_equal(rollout_advance(&plan, &facts, &r, NULL), 0);
			}
			assert_int_equal(r.state, ROLLOUT_PROGRESSING);
		}
	}
}

/* One connection an hour: every analysis but few has nothing, and those few are too little. */
static void one_connection_an_hour_holds_or_does_what_is_configured(void **state)
{
	static const struct {
		enum policy on_no_data;
		enum rollout_state end;
	} cases[] = {
		{POLICY_HOLD, ROLLOUT_PROGRESSING}, {POLICY_PAUSE, ROLLOUT_PAUSED}, {POLICY_ROLLBACK, ROLLOUT_FAILED}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		make_plan(&plan, STRATEGY_CANARY);
		plan.analysis.on_no_data = cases[i].on_no_data;
		add_step(&plan, STEP_WEIGHT, 500, 0);
		begin(&plan, &r);
		pass_time(&plan, &r, 1);
		for (uint32_t second = 1; second < 7 * 24 * 3600; second++) {
			struct rollout_facts facts = quiet(&r);

			facts.now_ns += SECOND;
			facts.verdict = second % 3600 ? JUDGED_NO_DATA : JUDGED_INCONCLUSIVE;
			rollout_advance(&plan, &facts, &r, NULL);
		}
		assert_int_equal(r.state, cases[i].end);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_nothing_is_promoted_that_did_not_pass),
		cmocka_unit_test(nothing_is_promoted_for_ever_without_a_pass),
		cmocka_unit_test(one_connection_an_hour_holds_or_does_what_is_configured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
