/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ROLLOUT_PARTS_H
#define HEADGATE_ROLLOUT_PARTS_H

/* What rollout.c, rollout_wanted.c and rollout_words.c share. */
#include "rollout.h"

/* Something that happens; commands by their own numbers. */
enum event {
	EVENT_NONE = COMMAND_NONE,
	EVENT_FAILURE = COMMAND_ABORT + 1, /* by an analysis, a hook or the deadline */
	EVENT_HELD,                        /* an analysis came to nothing, and a person is to decide */
	EVENT_HOOKS_GO,                    /* or there are none */
	EVENT_STEP_OVER,                   /* what it waited for is there */
	EVENT_IN_FORCE,                    /* what is wanted is */
	EVENTS,
};

#define THEN_SIZE 160

/* What happened, and what follows from it, both for people. */
struct account {
	char what[ROLLOUT_CAUSE_SIZE - THEN_SIZE - 2]; /* "; " comes between */
	char then[THEN_SIZE];
};

/* Brings the clocks up to date. */
void rollout_count_time(const struct rollout_plan *plan, const struct rollout_facts *facts, struct rollout *r);

/* What happens by itself, the worst first. */
enum event rollout_event(const struct rollout_plan *plan, const struct rollout_facts *facts, struct rollout *r,
			 struct account *a);

void rollout_tell_command(const struct rollout_facts *facts, const struct rollout *r, struct account *a);
void rollout_say_what(struct account *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool rollout_has_hooks(const struct rollout_plan *plan, bool after);

/* How a rollout's record and its plan come to what is in force. */
enum target {
	TARGET_BEFORE, /* all as it was */
	TARGET_STEP,   /* what rollout_step_in_force() says */
	TARGET_ALL,    /* all to the candidate, or to the winner */
};

enum target rollout_target(const struct rollout_plan *plan, const struct rollout *r);

/* Index of the step whose wishes are in force, of TARGET_STEP: the one before while hooks are asked whether the next
 * may begin. */
uint32_t rollout_step_in_force(const struct rollout *r);

/* For how long a step's wishes have to be in force before anything is judged: only where they change something. */
uint64_t rollout_delay_ns(const struct rollout_plan *plan, const struct rollout *r);

/* Whether the running step ends only when its last analysis passed. */
bool rollout_needs_pass(const struct rollout_plan *plan, const struct rollout *r);

/* "5% to canary", "a pause of 10m", .. */
#define STEP_TEXT_SIZE 112
const char *rollout_step_text(const struct rollout_plan *plan, uint32_t step, char text[STEP_TEXT_SIZE]);

/* "10m", "1h30m", "250ms" */
#define DURATION_TEXT_SIZE 40
const char *rollout_duration_text(uint64_t ms, char text[DURATION_TEXT_SIZE]);

/* Why a command is refused in this state, and what is possible. -EINVAL. */
int rollout_refuse(const struct rollout_plan *plan, const struct rollout *r, enum rollout_command command,
		   struct refusal *why);

#endif
