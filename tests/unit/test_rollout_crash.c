// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A driver that is killed around every transition of a rollout: before it is written down, before it is applied, and
 * after. What comes of it is the same as without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rollout_fixture.h"

#define TICK_NS (100 * MS)
#define TICKS 3000 /* five minutes: every story is over by then */
#define TRANSITIONS_MAX 40

/* Something a person says when the rollout is there for the first time. */
struct order {
	enum rollout_state state;
	uint32_t step;
	enum rollout_command command;
};

struct story {
	const char *name;
	void (*plan)(void);
	enum judged verdict; /* of the analysis: */
	uint64_t bad_at;     /* counted from 0; all others pass */
	bool proven;
	struct order orders[3];
	int winner;
	const char *end;
};

enum killing { BEFORE_WRITING, BEFORE_APPLYING, AFTER_APPLYING, KILLINGS };
enum absence { SHORT, HOURS, REBOOT, ABSENCES };

static struct rollout_plan plan;

/* The record as it is kept, with what its driver has to remember beside it. */
struct record {
	struct rollout r;
	uint64_t analysed_ns; /* of in_force_ns */
};

struct world {
	uint64_t now_ns;
	struct record live, written;
	struct rollout_wanted applied;
	size_t orders;     /* that were answered */
	unsigned int held; /* hooks hold a little */
	char journal[TRANSITIONS_MAX][400];
	size_t lines;
};

static void write_line(struct world *w)
{
	char *line = w->journal[w->lines++], text[64];
	struct rollout_wanted wanted;

	assert_true(w->lines <= TRANSITIONS_MAX);
	rollout_wanted(&plan, &w->live.r, &wanted);
	line += sprintf(line, "%s%s, %u:", place(&w->live.r, text), w->live.r.by_person ? " by a person" : "",
			wanted.rollback);
	for (size_t i = 0; i < wanted.weight_count; i++)
		line += sprintf(line, " %s=%u", wanted.weights[i].variant, wanted.weights[i].weight);
	if (wanted.shadow)
		sprintf(line, " shadow %d %u", wanted.shadow_state, wanted.sample);
	w->written = w->live;
}

static void apply(struct world *w)
{
	rollout_wanted(&plan, &w->live.r, &w->applied);
}

static bool is_applied(const struct world *w)
{
	struct rollout_wanted wanted;

	rollout_wanted(&plan, &w->live.r, &wanted);
	return !memcmp(&wanted, &w->applied, sizeof(wanted));
}

/* kill -9, and a new driver a while later: it has what was written, and applies that. */
static void be_killed(struct world *w, enum absence absence)
{
	w->live = w->written;
	w->held = 0;
	if (absence == SHORT)
		w->now_ns += 3 * SECOND;
	else if (absence == HOURS)
		w->now_ns += 7200 * SECOND;
	else
		w->now_ns = 2 * SECOND;
	w->live.r.now_ns = w->now_ns;
	if (absence == REBOOT)
		memset(&w->applied, 0xff, sizeof(w->applied));
	apply(w);
}

static struct rollout_facts look(struct world *w, const struct story *s)
{
	struct rollout_facts facts = {.now_ns = w->now_ns, .winner = s->winner, .healthy = true, .who = "uid 7"};
	const struct order *order = w->orders < ARRAY_SIZE(s->orders) ? &s->orders[w->orders] : NULL;
	struct rollout *r = &w->live.r;
	enum beside beside;
	bool after;

	facts.in_force = is_applied(w);
	facts.arm_samples = r->step_ran_ns / MS;
	if (order && order->command && order->state == r->state && order->step == r->step) {
		facts.command = order->command;
		return facts;
	}
	if (rollout_is_judged(&plan, r, &beside) && r->in_force_ns - w->live.analysed_ns >= SECOND) {
		facts.verdict = r->analyses == s->bad_at ? s->verdict : JUDGED_PASS;
		facts.proven = s->proven;
		w->live.analysed_ns = r->in_force_ns;
	}
	if (rollout_asks_hooks(&plan, r, &after))
		facts.hook = w->held++ < 7 ? HOOK_HOLD : HOOK_GO;
	return facts;
}

/* One tick, and all transitions in it. True: it was killed at the one with number @kill_at. */
static bool tick(struct world *w, const struct story *s, size_t kill_at, enum killing killing)
{
	struct rollout_facts facts;
	int rc;

	w->now_ns += TICK_NS;
	facts = look(w, s);
	while ((rc = rollout_advance(&plan, &facts, &w->live.r, NULL)) == 1) {
		if (w->lines == kill_at && killing == BEFORE_WRITING)
			return true;
		if (w->live.r.phase == PHASE_RUNNING && !w->live.r.in_force_ns)
			w->live.analysed_ns = 0;
		write_line(w);
		w->orders += !!facts.command;
		w->held = 0;
		if (w->lines - 1 == kill_at && killing == BEFORE_APPLYING)
			return true;
		apply(w);
		if (w->lines - 1 == kill_at && killing == AFTER_APPLYING)
			return true;
		facts = (struct rollout_facts){.now_ns = w->now_ns, .in_force = true, .winner = s->winner};
	}
	assert_int_equal(rc, 0);
	if (facts.verdict || w->now_ns % SECOND == 0)
		w->written = w->live; /* an analysis, or its clocks now and then */
	return false;
}

static void live_through(struct world *w, const struct story *s, size_t kill_at, enum killing killing,
			 enum absence absence)
{
	memset(w, 0, sizeof(*w));
	memset(&plan, 0, sizeof(plan));
	s->plan();
	begin(&plan, &w->live.r);
	w->now_ns = w->live.r.now_ns;
	w->written = w->live;
	apply(w);
	for (int i = 0; i < TICKS; i++) {
		if (tick(w, s, kill_at, killing)) {
			be_killed(w, absence);
			kill_at = SIZE_MAX;
		}
	}
	if (!rollout_is_over(w->live.r.state))
		fail_msg("\"%s\" killed at %zu: not over, %s after %s", s->name, kill_at, w->live.r.cause,
			 w->journal[w->lines - 1]);
	assert_true(is_applied(w));
}

/* --- plans -------------------------------------------------------------------------------------------------------- */

static void canary(void)
{
	make_plan(&plan, STRATEGY_CANARY);
	add_step(&plan, STEP_SHADOW, 2000, 3000);
	add_step(&plan, STEP_WEIGHT, 500, 0);
	add_step(&plan, STEP_PAUSE, 0, 4000);
	add_step(&plan, STEP_WEIGHT, 5000, 0);
}

static void hooked_canary(void)
{
	canary();
	add_hook(&plan, false);
	add_hook(&plan, true);
}

static void canary_with_approval(void)
{
	canary();
	add_step(&plan, STEP_APPROVAL, 0, 0);
}

static void freezing_canary(void)
{
	canary();
	plan.on_failure = FAILURE_FREEZE;
}

static void impatient_canary(void)
{
	canary();
	plan.progress_deadline_ms = 20000;
	plan.steps[3] = (struct step_plan){.kind = STEP_ARMS, .samples = UINT64_MAX}; /* there are never enough */
}

static void careful_canary(void)
{
	canary();
	plan.analysis.on_no_data = POLICY_PAUSE;
}

static void blue_green(void)
{
	make_plan(&plan, STRATEGY_BLUE_GREEN);
	add_step(&plan, STEP_HEALTHY, 0, 0);
	add_step(&plan, STEP_SWITCH, 0, 0);
	add_step(&plan, STEP_WATCH, 0, 5000);
	plan.analysis.initial_delay_ms = 1500;
}

static void ab_test(void)
{
	make_plan(&plan, STRATEGY_AB_TEST);
	add_arm(&plan, "blue", 50);
	add_arm(&plan, "canary", 50);
	add_step(&plan, STEP_ARMS, 0, 10000);
	plan.promote_winner = true;
}

static void shadow(void)
{
	make_plan(&plan, STRATEGY_SHADOW);
	add_step(&plan, STEP_SHADOW, 2000, 3000);
	add_step(&plan, STEP_SHADOW, 10000, 3000);
}

static const struct story stories[] = {
	{.name = "good", .plan = canary, .bad_at = -1, .end = "Succeeded"},
	{.name = "good, with hooks", .plan = hooked_canary, .bad_at = -1, .end = "Succeeded"},
	{.name = "bad", .plan = canary, .verdict = JUDGED_FAIL, .bad_at = 6, .proven = true, .end = "Failed"},
	{.name = "bad, with hooks",
	 .plan = hooked_canary,
	 .verdict = JUDGED_FAIL,
	 .bad_at = 8,
	 .proven = true,
	 .end = "Failed"},
	{.name = "bad in the shadow",
	 .plan = canary,
	 .verdict = JUDGED_FAIL,
	 .bad_at = 1,
	 .proven = true,
	 .end = "Failed"},
	{.name = "bad, frozen",
	 .plan = freezing_canary,
	 .verdict = JUDGED_FAIL,
	 .bad_at = 6,
	 .proven = true,
	 .end = "Failed"},
	{.name = "once a bad value", .plan = canary, .verdict = JUDGED_FAIL, .bad_at = 6, .end = "Succeeded"},
	{.name = "too slow", .plan = impatient_canary, .bad_at = -1, .end = "Failed"},
	{.name = "no data for once",
	 .plan = careful_canary,
	 .verdict = JUDGED_NO_DATA,
	 .bad_at = 4,
	 .orders = {{ROLLOUT_PAUSED, 2, COMMAND_RESUME}},
	 .end = "Succeeded"},
	{.name = "approved",
	 .plan = canary_with_approval,
	 .bad_at = -1,
	 .orders = {{ROLLOUT_WAITING_APPROVAL, 4, COMMAND_APPROVE}},
	 .end = "Succeeded"},
	{.name = "paused while it waits",
	 .plan = canary_with_approval,
	 .bad_at = -1,
	 .orders = {{ROLLOUT_WAITING_APPROVAL, 4, COMMAND_PAUSE},
		    {ROLLOUT_PAUSED, 4, COMMAND_RESUME},
		    {ROLLOUT_WAITING_APPROVAL, 4, COMMAND_APPROVE}},
	 .end = "Succeeded"},
	{.name = "promoted by hand",
	 .plan = canary,
	 .bad_at = -1,
	 .orders = {{ROLLOUT_PROGRESSING, 2, COMMAND_PROMOTE}},
	 .end = "Succeeded"},
	{.name = "promoted past all",
	 .plan = canary,
	 .bad_at = -1,
	 .orders = {{ROLLOUT_PROGRESSING, 1, COMMAND_PROMOTE_FULL}},
	 .end = "Succeeded"},
	{.name = "rolled back",
	 .plan = canary,
	 .bad_at = -1,
	 .orders = {{ROLLOUT_PROGRESSING, 2, COMMAND_ROLLBACK}},
	 .end = "Failed"},
	{.name = "aborted",
	 .plan = canary,
	 .bad_at = -1,
	 .orders = {{ROLLOUT_PROGRESSING, 2, COMMAND_ABORT}},
	 .end = "Aborted"},
	{.name = "blue and green", .plan = blue_green, .bad_at = -1, .end = "Succeeded"},
	{.name = "switched back",
	 .plan = blue_green,
	 .verdict = JUDGED_FAIL,
	 .bad_at = 2,
	 .proven = true,
	 .end = "Failed"},
	{.name = "a winner", .plan = ab_test, .bad_at = -1, .winner = 1, .end = "Succeeded"},
	{.name = "no winner", .plan = ab_test, .bad_at = -1, .winner = -1, .end = "Succeeded"},
	{.name = "shadow", .plan = shadow, .bad_at = -1, .end = "Succeeded"},
};

static void a_kill_at_any_transition_changes_nothing(void **state)
{
	static struct world undisturbed, w;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stories); i++) {
		const struct story *s = &stories[i];

		live_through(&undisturbed, s, SIZE_MAX, 0, 0);
		assert_string_equal(name_of_rollout_state(undisturbed.live.r.state), s->end);
		for (size_t at = 0; at < undisturbed.lines; at++) {
			for (int kind = 0; kind < KILLINGS * ABSENCES; kind++) {
				live_through(&w, s, at, kind % KILLINGS, kind / KILLINGS);
				if (w.lines != undisturbed.lines ||
				    memcmp(w.journal, undisturbed.journal, sizeof(w.journal)))
					fail_msg("\"%s\" killed at %zu (%s), kind %d: another journal", s->name, at,
						 undisturbed.journal[at], kind);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kill_at_any_transition_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
