// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where a rollout goes next: a table of what happens in which state, and what is done then. */
#include "rollout.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rollout_parts.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

/* Moves the machine: a transition, always. Says in @a->then what follows. */
typedef void (*action)(const struct rollout_plan *plan, struct rollout *r, struct account *a);

static void begin_step(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void end_step(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void go_on(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void finish(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void pause_here(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void resume(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void fail(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void roll_back(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void turn_back(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void succeed(const struct rollout_plan *plan, struct rollout *r, struct account *a);
static void be_back(const struct rollout_plan *plan, struct rollout *r, struct account *a);

/*
 * The machine. Where there is no action, a command is refused and anything else changes nothing. What is over has no
 * row: it stays as it is.
 *
 * begin_step   the step's wishes are brought into force: Progressing, or WaitingApproval where it is an approval
 * end_step     hooks behind it are asked, or next
 * go_on        what hooks hold begins; else the next step: Progressing (hooks), as begin_step, or as finish
 * finish       Promoting                       pause_here   Paused             resume     as before the pause
 * fail         RollingBack, or Failed where it freezes                         roll_back  RollingBack, will be Failed
 * turn_back    RollingBack, will be Aborted    succeed      Succeeded          be_back    Failed or Aborted
 */
static const action table[ROLLOUT_STATES][EVENTS] = {
	[ROLLOUT_INITIALIZED] =
		{
			[COMMAND_PAUSE] = pause_here,
			[COMMAND_PROMOTE] = begin_step,
			[COMMAND_PROMOTE_FULL] = finish,
			[COMMAND_ROLLBACK] = roll_back,
			[COMMAND_ABORT] = turn_back,
			[EVENT_FAILURE] = fail,
			[EVENT_HOOKS_GO] = begin_step,
		},
	[ROLLOUT_PROGRESSING] =
		{
			[COMMAND_PAUSE] = pause_here,
			[COMMAND_PROMOTE] = go_on,
			[COMMAND_PROMOTE_FULL] = finish,
			[COMMAND_ROLLBACK] = roll_back,
			[COMMAND_ABORT] = turn_back,
			[EVENT_FAILURE] = fail,
			[EVENT_HELD] = pause_here,
			[EVENT_HOOKS_GO] = go_on,
			[EVENT_STEP_OVER] = end_step,
		},
	[ROLLOUT_PAUSED] =
		{
			[COMMAND_RESUME] = resume,
			[COMMAND_PROMOTE] = go_on,
			[COMMAND_PROMOTE_FULL] = finish,
			[COMMAND_ROLLBACK] = roll_back,
			[COMMAND_ABORT] = turn_back,
			[EVENT_FAILURE] = fail,
		},
	[ROLLOUT_WAITING_APPROVAL] =
		{
			[COMMAND_PAUSE] = pause_here,
			[COMMAND_APPROVE] = end_step,
			[COMMAND_PROMOTE] = go_on,
			[COMMAND_PROMOTE_FULL] = finish,
			[COMMAND_ROLLBACK] = roll_back,
			[COMMAND_ABORT] = turn_back,
			[EVENT_FAILURE] = fail,
		},
	[ROLLOUT_PROMOTING] =
		{
			[COMMAND_ROLLBACK] = roll_back,
			[COMMAND_ABORT] = turn_back,
			[EVENT_IN_FORCE] = succeed,
		},
	[ROLLOUT_ROLLING_BACK] =
		{
			[EVENT_IN_FORCE] = be_back,
		},
};

static const char going_back[] = "all goes back to what it was before";

/* --- actions ------------------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void say_then(struct account *a, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(a->then, sizeof(a->then), format, arguments);
	va_end(arguments);
}

static void count_from_zero(struct rollout *r)
{
	r->step_ran_ns = 0;
	r->without_progress_ns = 0;
	r->step_passes = 0;
	r->step_failures = 0;
	r->last = JUDGED_NOTHING;
}

static void begin_step(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	bool waits = plan->steps[r->step].kind == STEP_APPROVAL;
	char text[STEP_TEXT_SIZE];

	count_from_zero(r);
	r->in_force_ns = 0;
	r->phase = PHASE_RUNNING;
	r->state = waits ? ROLLOUT_WAITING_APPROVAL : ROLLOUT_PROGRESSING;
	say_then(a, "step %u of %zu begins: %s", r->step + 1, plan->step_count, rollout_step_text(plan, r->step, text));
}

static void next_step(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	char text[STEP_TEXT_SIZE];

	if (r->step + 1 >= plan->step_count) {
		finish(plan, r, a);
		return;
	}
	r->step++;
	if (!rollout_has_hooks(plan, false)) {
		begin_step(plan, r, a);
		return;
	}
	count_from_zero(r);
	r->phase = PHASE_BEFORE;
	r->state = ROLLOUT_PROGRESSING;
	say_then(a, "hooks are asked whether step %u of %zu may begin: %s", r->step + 1, plan->step_count,
		 rollout_step_text(plan, r->step, text));
}

static void end_step(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	if (!rollout_has_hooks(plan, true)) {
		next_step(plan, r, a);
		return;
	}
	r->phase = PHASE_AFTER;
	r->state = ROLLOUT_PROGRESSING;
	say_then(a, "hooks are asked whether it may go on");
}

static void go_on(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	if (r->phase == PHASE_BEFORE)
		begin_step(plan, r, a);
	else
		next_step(plan, r, a);
}

static void finish(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	bool test = plan->strategy == STRATEGY_AB_TEST;

	r->state = ROLLOUT_PROMOTING;
	r->step = plan->step_count;
	r->phase = PHASE_RUNNING;
	if (rollout_target(plan, r) == TARGET_ALL)
		say_then(a, "all traffic goes to %s", test ? plan->arms[r->winner].variant : plan->candidate);
	else
		say_then(a, "%s, and all goes back to what it was before", test ? "the test is over" : "that was all");
}

static void pause_here(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	(void)plan;
	r->resumes_waiting = r->state == ROLLOUT_WAITING_APPROVAL;
	r->state = ROLLOUT_PAUSED;
	say_then(a, "paused until `headgate rollout resume %s`", r->service);
}

static void resume(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	if (r->resumes_waiting)
		r->state = ROLLOUT_WAITING_APPROVAL;
	else if (rollout_target(plan, r) == TARGET_BEFORE)
		r->state = ROLLOUT_INITIALIZED;
	else
		r->state = ROLLOUT_PROGRESSING;
	say_then(a, "step %u of %zu goes on", r->step + 1, plan->step_count);
}

static void fail(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	if (plan->on_failure == FAILURE_ROLLBACK) {
		roll_back(plan, r, a);
		return;
	}
	r->frozen = true;
	r->state = ROLLOUT_FAILED;
	say_then(a, "everything stays as it is (on_failure: freeze)");
}

static void roll_back(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	(void)plan;
	r->state = ROLLOUT_ROLLING_BACK;
	say_then(a, "%s", going_back);
}

static void turn_back(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	roll_back(plan, r, a);
	r->by_person = true;
}

static void succeed(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	bool all = rollout_target(plan, r) == TARGET_ALL, test = plan->strategy == STRATEGY_AB_TEST;

	r->state = ROLLOUT_SUCCEEDED;
	if (all)
		rollout_say_what(a, "%s has all traffic", test ? plan->arms[r->winner].variant : plan->candidate);
	else
		rollout_say_what(a, "all is as it was before");
	say_then(a, "the rollout succeeded");
}

static void be_back(const struct rollout_plan *plan, struct rollout *r, struct account *a)
{
	size_t length = strlen(r->cause);

	(void)plan;
	r->state = r->by_person ? ROLLOUT_ABORTED : ROLLOUT_FAILED;
	/* Whoever looks afterwards wants to know why. */
	if (length > sizeof(going_back) && !strcmp(r->cause + length - strlen(going_back), going_back))
		length -= sizeof(going_back) + 1;
	rollout_say_what(a, "%.*s", (int)length, r->cause);
	say_then(a, "all is as it was before");
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void take_winner(const struct rollout_plan *plan, const struct rollout_facts *facts, struct rollout *r)
{
	if (plan->promote_winner && r->step < plan->step_count && r->phase == PHASE_RUNNING &&
	    plan->steps[r->step].kind == STEP_ARMS)
		r->winner = facts->winner;
}

int rollout_advance(const struct rollout_plan *plan, const struct rollout_facts *facts, struct rollout *r,
		    struct refusal *why)
{
	struct account account = {0};
	enum event event = (enum event)facts->command;

	rollout_count_time(plan, facts, r);
	if (event == EVENT_NONE)
		event = rollout_event(plan, facts, r, &account);
	else if (table[r->state][event])
		rollout_tell_command(facts, r, &account);
	else
		return rollout_refuse(plan, r, facts->command, why);
	if (event == EVENT_NONE)
		return 0;
	take_winner(plan, facts, r);
	table[r->state][event](plan, r, &account);
	r->transitions++;
	snprintf(r->cause, sizeof(r->cause), "%s; %s", account.what, account.then);
	return 1;
}

bool rollout_asks_hooks(const struct rollout_plan *plan, const struct rollout *r, bool *ret_after)
{
	bool after = r->phase == PHASE_AFTER;

	if (r->state != ROLLOUT_INITIALIZED && r->state != ROLLOUT_PROGRESSING)
		return false;
	if (r->phase == PHASE_RUNNING || !rollout_has_hooks(plan, after))
		return false;
	*ret_after = after;
	return true;
}

/* Time that a clock at @at_ns still has to go to @end_ns, if that is less than @least_ns. */
static uint64_t sooner(uint64_t least_ns, uint64_t at_ns, uint64_t end_ns)
{
	return at_ns < end_ns && end_ns - at_ns < least_ns ? end_ns - at_ns : least_ns;
}

uint64_t rollout_next_ns(const struct rollout_plan *plan, const struct rollout *r)
{
	uint64_t left_ns = NS_PER_S;

	if (rollout_is_over(r->state))
		return UINT64_MAX;
	if (rollout_target(plan, r) == TARGET_STEP) {
		left_ns = sooner(left_ns, r->in_force_ns, rollout_delay_ns(plan, r));
		left_ns = sooner(left_ns, r->step_ran_ns, plan->steps[r->step].duration_ms * NS_PER_MS);
		left_ns = sooner(left_ns, r->without_progress_ns, plan->progress_deadline_ms * NS_PER_MS);
	}
	return r->now_ns + left_ns;
}
