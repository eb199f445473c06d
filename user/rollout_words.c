// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a rollout says to people: its steps, and why it does not do what it was told. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "rollout_parts.h"

const char *rollout_duration_text(uint64_t ms, char text[DURATION_TEXT_SIZE])
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
	size_t length = 0;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t whole = ms / units[i].ms;

		ms %= units[i].ms;
		if (whole || (!length && i == ARRAY_SIZE(units) - 1))
			length += snprintf(text + length, DURATION_TEXT_SIZE - length, "%" PRIu64 "%s", whole,
					   units[i].name);
	}
	return text;
}

static void arms_text(const struct step_plan *step, const char *duration, char text[STEP_TEXT_SIZE])
{
	if (step->duration_ms && step->samples)
		snprintf(text, STEP_TEXT_SIZE, "A/B for %s or %" PRIu64 " samples an arm", duration, step->samples);
	else if (step->samples)
		snprintf(text, STEP_TEXT_SIZE, "A/B for %" PRIu64 " samples an arm", step->samples);
	else
		snprintf(text, STEP_TEXT_SIZE, "A/B for %s", duration);
}

const char *rollout_step_text(const struct rollout_plan *plan, uint32_t index, char text[STEP_TEXT_SIZE])
{
	const struct step_plan *step = &plan->steps[index];
	char duration[DURATION_TEXT_SIZE];

	rollout_duration_text(step->duration_ms, duration);
	switch (step->kind) {
	case STEP_WEIGHT:
		snprintf(text, STEP_TEXT_SIZE, "%g%% to %s", step->share / 100.0, plan->candidate);
		break;
	case STEP_PAUSE:
		snprintf(text, STEP_TEXT_SIZE, "a pause of %s", duration);
		break;
	case STEP_APPROVAL:
		snprintf(text, STEP_TEXT_SIZE, "approval");
		break;
	case STEP_SHADOW:
		snprintf(text, STEP_TEXT_SIZE, "%g%% mirrored to the shadow for %s", step->share / 100.0, duration);
		break;
	case STEP_ANALYSIS:
		snprintf(text, STEP_TEXT_SIZE, "an analysis of %s", duration);
		break;
	case STEP_HEALTHY:
		snprintf(text, STEP_TEXT_SIZE, "all backends of %s healthy", plan->candidate);
		break;
	case STEP_SWITCH:
		snprintf(text, STEP_TEXT_SIZE, "the switch to %s", plan->candidate);
		break;
	case STEP_WATCH:
		snprintf(text, STEP_TEXT_SIZE, "a watch of %s", duration);
		break;
	case STEP_ARMS:
		arms_text(step, duration, text);
		break;
	case STEP_KINDS:
		break;
	}
	return text;
}

/* "blue=100 canary=0", as `headgate weights` takes it. */
static void before_text(const struct rollout *r, char *text, size_t bytes)
{
	size_t length = 0;

	*text = '\0';
	for (size_t i = 0; i < r->before_count && length < bytes; i++)
		length += snprintf(text + length, bytes - length, "%s%s=%u", i ? " " : "", r->before[i].variant,
				   r->before[i].weight);
}

static int refuse_over(const struct rollout *r, struct refusal *why)
{
	const char *service = r->service;
	char before[256];

	if (r->state == ROLLOUT_SUCCEEDED)
		return refuse(why, EINVAL,
			      "the rollout of %s is over, it succeeded: `headgate rollout undo %s` takes it back, "
			      "`headgate rollout start %s` begins the next",
			      service, service, service);
	if (r->frozen) {
		before_text(r, before, sizeof(before));
		return refuse(why, EINVAL,
			      "the rollout of %s is over, it failed and left everything as it was then: `headgate "
			      "weights %s %s` takes it back, `headgate rollout retry %s` begins it again",
			      service, service, before, service);
	}
	return refuse(why, EINVAL, "the rollout of %s is over, it %s: `headgate rollout retry %s` begins it again",
		      service, r->state == ROLLOUT_FAILED ? "failed" : "was aborted", service);
}

int rollout_refuse(const struct rollout_plan *plan, const struct rollout *r, enum rollout_command command,
		   struct refusal *why)
{
	const char *service = r->service;
	char step[STEP_TEXT_SIZE];

	switch (r->state) {
	case ROLLOUT_PAUSED:
		return refuse(why, EINVAL, "%s is paused%s: `headgate rollout resume %s`%s", service,
			      command == COMMAND_PAUSE ? " already" : "", service,
			      command == COMMAND_PAUSE ? " goes on" : " first");
	case ROLLOUT_WAITING_APPROVAL:
		return refuse(why, EINVAL, "%s waits for approval: `headgate rollout approve %s`", service, service);
	case ROLLOUT_INITIALIZED:
	case ROLLOUT_PROGRESSING:
		return refuse(why, EINVAL,
			      "%s waits for no %s, it is at step %u of %zu, %s: `headgate rollout promote %s` goes on "
			      "without waiting for it",
			      service, command == COMMAND_APPROVE ? "approval" : "resume", r->step + 1,
			      plan->step_count, rollout_step_text(plan, r->step, step), service);
	case ROLLOUT_PROMOTING:
		return refuse(why, EINVAL,
			      "%s has its steps behind it: `headgate rollout rollback %s` or `headgate rollout abort "
			      "%s` is all that is possible now",
			      service, service, service);
	case ROLLOUT_ROLLING_BACK:
		return refuse(why, EINVAL,
			      "%s is on its way back already: `headgate rollout status %s` says when it is there",
			      service, service);
	default:
		return refuse_over(r, why);
	}
}
