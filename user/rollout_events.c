// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What happens to a rollout: its clocks, and what verdicts, hooks and time come to. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "rollout_parts.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL
/* More than that is not added to a clock at once: the daemon was not there, or the host slept. */
#define STEP_OF_CLOCK_MAX_NS (5 * NS_PER_S)

bool rollout_has_hooks(const struct rollout_plan *plan, bool after)
{
	for (size_t i = 0; i < plan->hook_count; i++)
		if (plan->hooks[i].after == after)
			return true;
	return false;
}

void rollout_say_what(struct account *a, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(a->what, sizeof(a->what), format, arguments);
	va_end(arguments);
}

/* Whether the step has lasted as long as its plan says. */
static bool time_is_over(const struct rollout_plan *plan, const struct rollout *r)
{
	return r->step_ran_ns >= plan->steps[r->step].duration_ms * NS_PER_MS;
}

void rollout_count_time(const struct rollout_plan *plan, const struct rollout_facts *facts, struct rollout *r)
{
	uint64_t passed_ns = facts->now_ns > r->now_ns ? facts->now_ns - r->now_ns : 0;
	bool runs = r->phase == PHASE_RUNNING && r->state != ROLLOUT_PAUSED;

	if (passed_ns > STEP_OF_CLOCK_MAX_NS)
		passed_ns = STEP_OF_CLOCK_MAX_NS;
	r->now_ns = facts->now_ns;
	if (rollout_is_over(r->state) || r->state == ROLLOUT_PROMOTING || r->state == ROLLOUT_ROLLING_BACK)
		return;
	if (facts->in_force) {
		r->in_force_ns += passed_ns;
		if (runs)
			r->step_ran_ns += passed_ns;
	}
	if (r->state == ROLLOUT_PAUSED || r->state == ROLLOUT_WAITING_APPROVAL)
		return;
	if (!runs || !facts->in_force || (time_is_over(plan, r) && r->in_force_ns >= rollout_delay_ns(plan, r)))
		r->without_progress_ns += passed_ns;
}

/* An analysis came to nothing. */
static enum event obey_policy(enum policy policy, const struct rollout_facts *facts, const struct rollout *r,
			      struct account *a)
{
	rollout_say_what(a, "the analysis came to %s: %s", name_of_judged(facts->verdict), facts->why);
	switch (policy) {
	case POLICY_PAUSE:
		return r->state == ROLLOUT_PROGRESSING ? EVENT_HELD : EVENT_NONE; /* else a person is awaited anyway */
	case POLICY_ROLLBACK:
		return EVENT_FAILURE;
	default:
		return EVENT_NONE;
	}
}

static enum event fail_analysis(const struct rollout_plan *plan, const struct rollout_facts *facts, struct rollout *r,
				struct account *a)
{
	r->step_failures++;
	if (facts->proven) {
		rollout_say_what(a, "the analysis failed: %s", facts->why);
		return EVENT_FAILURE;
	}
	if (r->step_failures < plan->analysis.failure_limit)
		return EVENT_NONE;
	rollout_say_what(a, "the analysis failed %u time%s in this step (failure_limit %u): %s", r->step_failures,
			 r->step_failures == 1 ? "" : "s", plan->analysis.failure_limit, facts->why);
	return EVENT_FAILURE;
}

static enum event take_verdict(const struct rollout_plan *plan, const struct rollout_facts *facts, struct rollout *r,
			       struct account *a)
{
	enum beside beside;

	if (facts->verdict == JUDGED_NOTHING || !rollout_is_judged(plan, r, &beside))
		return EVENT_NONE;
	r->analyses++;
	r->last = facts->verdict;
	switch (facts->verdict) {
	case JUDGED_PASS:
		r->step_passes++;
		return EVENT_NONE;
	case JUDGED_FAIL:
		return fail_analysis(plan, facts, r, a);
	case JUDGED_NO_DATA:
		return obey_policy(plan->analysis.on_no_data, facts, r, a);
	case JUDGED_ERROR:
		return obey_policy(plan->analysis.on_provider_error, facts, r, a);
	case JUDGED_INCONCLUSIVE:
		/* What goes on has not come to nothing: a step with a time of its own may use it all. */
		if (!time_is_over(plan, r) || plan->steps[r->step].kind == STEP_ARMS)
			return EVENT_NONE;
		return obey_policy(plan->analysis.on_inconclusive, facts, r, a);
	default:
		return EVENT_NONE;
	}
}

static enum event take_hooks(const struct rollout_plan *plan, const struct rollout_facts *facts,
			     const struct rollout *r, struct account *a)
{
	bool after = r->phase == PHASE_AFTER;

	if (!rollout_has_hooks(plan, after)) {
		rollout_say_what(a, "nothing has to be asked");
		return EVENT_HOOKS_GO;
	}
	switch (facts->hook) {
	case HOOK_GO:
		rollout_say_what(a, "hooks %s step %u let it go on", after ? "after" : "before", r->step + 1);
		return EVENT_HOOKS_GO;
	case HOOK_FAIL:
		rollout_say_what(a, "a hook %s step %u failed it: %s", after ? "after" : "before", r->step + 1,
				 facts->hook_why);
		return EVENT_FAILURE;
	default:
		return EVENT_NONE;
	}
}

static bool arms_are_done(const struct step_plan *step, const struct rollout_facts *facts, const struct rollout *r)
{
	return (step->duration_ms && r->step_ran_ns >= step->duration_ms * NS_PER_MS) ||
	       (step->samples && facts->arm_samples >= step->samples);
}

/* Whether what the running step waits for is there. */
static bool step_is_over(const struct rollout_plan *plan, const struct rollout_facts *facts, const struct rollout *r)
{
	const struct step_plan *step = &plan->steps[r->step];

	if (!facts->in_force)
		return false;
	switch (step->kind) {
	case STEP_APPROVAL:
		return false;
	case STEP_HEALTHY:
		return facts->healthy;
	case STEP_ARMS:
		return arms_are_done(step, facts, r);
	default:
		return time_is_over(plan, r) && (!rollout_needs_pass(plan, r) || r->last == JUDGED_PASS);
	}
}

static void tell_end_of_step(const struct rollout_plan *plan, const struct rollout_facts *facts,
			     const struct rollout *r, struct account *a)
{
	bool passed = rollout_needs_pass(plan, r), why = passed && facts->verdict == JUDGED_PASS && *facts->why;
	char text[STEP_TEXT_SIZE], ran[DURATION_TEXT_SIZE];

	switch (plan->steps[r->step].kind) {
	case STEP_HEALTHY:
		rollout_say_what(a, "all backends of %s are healthy", plan->candidate);
		break;
	case STEP_ARMS:
		rollout_say_what(a, "after %s the arm with the fewest has %" PRIu64 " connections",
				 rollout_duration_text(r->step_ran_ns / NS_PER_MS, ran), facts->arm_samples);
		break;
	default:
		rollout_say_what(a, "step %u of %zu is done, %s%s%s%s", r->step + 1, plan->step_count,
				 rollout_step_text(plan, r->step, text), passed ? ", and the last analysis passed" : "",
				 why ? ": " : "", why ? facts->why : "");
	}
}

static enum event look_at_deadline(const struct rollout_plan *plan, const struct rollout *r, struct account *a)
{
	char text[STEP_TEXT_SIZE], limit[DURATION_TEXT_SIZE];

	if (!plan->progress_deadline_ms || r->without_progress_ns < plan->progress_deadline_ms * NS_PER_MS)
		return EVENT_NONE;
	rollout_say_what(a,
			 "step %u of %zu (%s) did not end in %s (progress_deadline); %" PRIu64
			 " of its analyses passed, the last came to %s",
			 r->step + 1, plan->step_count, rollout_step_text(plan, r->step, text),
			 rollout_duration_text(plan->progress_deadline_ms, limit), r->step_passes,
			 name_of_judged(r->last));
	return EVENT_FAILURE;
}

enum event rollout_event(const struct rollout_plan *plan, const struct rollout_facts *facts, struct rollout *r,
			 struct account *a)
{
	enum event event = take_verdict(plan, facts, r, a);

	if (event)
		return event;
	if (facts->in_force && (r->state == ROLLOUT_PROMOTING || r->state == ROLLOUT_ROLLING_BACK))
		return EVENT_IN_FORCE;
	if (r->state != ROLLOUT_INITIALIZED && r->state != ROLLOUT_PROGRESSING)
		return EVENT_NONE;
	if (r->phase != PHASE_RUNNING)
		event = take_hooks(plan, facts, r, a);
	else
		event = step_is_over(plan, facts, r) ? EVENT_STEP_OVER : EVENT_NONE;
	if (event == EVENT_STEP_OVER)
		tell_end_of_step(plan, facts, r, a);
	return event ? event : look_at_deadline(plan, r, a);
}

void rollout_tell_command(const struct rollout_facts *facts, const struct rollout *r, struct account *a)
{
	static const char *const did[] = {
		[COMMAND_PAUSE] = "paused it",
		[COMMAND_RESUME] = "resumed it",
		[COMMAND_APPROVE] = "approved",
		[COMMAND_PROMOTE] = "promoted it",
		[COMMAND_PROMOTE_FULL] = "promoted it past all steps",
		[COMMAND_ROLLBACK] = "rolled it back",
		[COMMAND_ABORT] = "aborted it",
	};
	bool onwards = facts->command == COMMAND_APPROVE || facts->command == COMMAND_PROMOTE ||
		       facts->command == COMMAND_PROMOTE_FULL;

	rollout_say_what(a, "%s %s%s%s", facts->who, did[facts->command],
			 onwards && r->last > JUDGED_PASS ? ", although the last analysis came to " : "",
			 onwards && r->last > JUDGED_PASS ? name_of_judged(r->last) : "");
}
