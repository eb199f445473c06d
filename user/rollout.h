/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ROLLOUT_H
#define HEADGATE_ROLLOUT_H

/*
 * A rollout as a state machine: where it is, and where it goes next. Pure; time is CLOCK_MONOTONIC's, a parameter, so
 * that no clock that is set moves it.
 *
 * What is to be in force (weights, shadow) is a function of the plan and the record alone, rollout_wanted(). Whoever
 * drives it journals the changed record first and then brings what is wanted into force, which may be done any number
 * of times: a daemon that is killed between any two instructions goes on from the journal as if nothing had happened.
 */
#include "judge.h"
#include "model.h"
#include "plan.h"

enum rollout_state {
	ROLLOUT_INITIALIZED, /* nothing has been changed yet; hooks may hold it here */
	ROLLOUT_PROGRESSING,
	ROLLOUT_PAUSED, /* by a person or by a policy; it is judged all the same */
	ROLLOUT_WAITING_APPROVAL,
	ROLLOUT_PROMOTING, /* the end is brought into force: all traffic to the candidate; or all as it was before,
			      after a shadow and an A/B test without a winner to promote */
	ROLLOUT_SUCCEEDED,
	ROLLOUT_ROLLING_BACK, /* all as it was before */
	ROLLOUT_FAILED,
	ROLLOUT_ABORTED,
	ROLLOUT_STATES,
};

static inline bool rollout_is_over(enum rollout_state state)
{
	return state == ROLLOUT_SUCCEEDED || state == ROLLOUT_FAILED || state == ROLLOUT_ABORTED;
}

/* What people may say to a rollout. */
enum rollout_command {
	COMMAND_NONE,
	COMMAND_PAUSE,
	COMMAND_RESUME,
	COMMAND_APPROVE,
	COMMAND_PROMOTE,      /* what the step waits for does not matter: its hooks, then its end */
	COMMAND_PROMOTE_FULL, /* all steps do */
	COMMAND_ROLLBACK,     /* back now; connections as drain.on_rollback says; ends FAILED */
	COMMAND_ABORT,        /* back now; connections as drain.on_change says; ends ABORTED */
};

/* Where a step is. Its hooks are asked in order. */
enum step_phase {
	PHASE_BEFORE, /* hooks with `before` are asked; what it wants is not in force yet */
	PHASE_RUNNING,
	PHASE_AFTER, /* hooks with `after` are asked */
};

/* What was in force before a rollout, of one variant. */
struct weight_before {
	char variant[NAME_SIZE];
	uint32_t weight;
};

#define ROLLOUT_CAUSE_SIZE 448

struct rollout {
	uint64_t id; /* by the journal; later ones are higher */
	char service[NAME_SIZE];
	enum rollout_state state;
	bool resumes_waiting; /* PAUSED: it waited for approval before */
	bool by_person;       /* ROLLING_BACK: ends ABORTED, and connections are as on_change says */
	bool frozen;          /* FAILED: all stays as it was then */
	uint32_t step;        /* of the plan; step_count: behind the last */
	enum step_phase phase;
	uint32_t transitions; /* so far; counts the journal's lines */
	uint64_t now_ns;      /* of the last rollout_advance(); a daemon that takes it up from the journal sets it to
				 now, so that the time between does not count */
	uint64_t began_ns;
	uint64_t step_ran_ns;         /* the step's own clock: stands still while PAUSED, and while hooks are asked */
	uint64_t in_force_ns;         /* since what the step wants is in force, pauses and hooks included: the clock of
					 initial_delay and of the analyses; goes on until the next step's is in force */
	uint64_t without_progress_ns; /* for the deadline: stands still while PAUSED or WAITING_APPROVAL, and for as
					 long as the step is to last by its plan */
	uint64_t analyses;            /* that were taken account of */
	uint64_t step_passes;         /* of those, passed in this step since its delay was over */
	uint32_t step_failures;
	enum judged last;               /* verdict of the newest analysis in this step */
	char cause[ROLLOUT_CAUSE_SIZE]; /* of the last transition, for people */
	struct weight_before before[VARIANTS_MAX];
	size_t before_count;
	enum shadow_state shadow_before; /* and its sample */
	uint32_t sample_before;
	int winner; /* ab_test: arm that promote_winner promotes; -1: none */
};

enum hook_answer {
	HOOK_NONE, /* not asked, or no answer yet */
	HOOK_GO,
	HOOK_HOLD, /* ask again later */
	HOOK_FAIL,
};

/* What is known when the machine is moved on. With a command nothing but the command and the clock is looked at. */
struct rollout_facts {
	uint64_t now_ns;
	enum rollout_command command;
	char who[64];                     /* of the command: "uid 1000" */
	enum judged verdict;              /* of a new analysis, or JUDGED_NOTHING */
	bool proven;                      /* of JUDGED_FAIL: failure_limit does not matter */
	char why[ROLLOUT_CAUSE_SIZE / 2]; /* of @verdict */
	uint64_t arm_samples; /* STEP_ARMS: connections of the arm that has the fewest, since the step began */
	int winner;           /* STEP_ARMS, commands included: arm that is proven to be better; -1: none */
	bool healthy;  /* every backend of the candidate is, and the reference has min_samples, if one is wanted */
	bool in_force; /* what rollout_wanted() says is */
	enum hook_answer hook; /* of all hooks of the phase together: any that fails, else any that holds, else go */
	char hook_why[ROLLOUT_CAUSE_SIZE / 2];
};

/**
 * rollout_begin - the record of a new rollout
 * @s: the service as it is now: what it will go back to
 * @why: when it is refused: a variant of the plan is gone (-ENOENT); the candidate has no backend that could take
 *       traffic, stable has no traffic, a shadow step without a shadow (-EINVAL)
 *
 * Return: 0 or -errno with @ret untouched.
 */
int rollout_begin(const struct rollout_plan *plan, const struct service_model *s, uint64_t now_ns, struct rollout *ret,
		  struct refusal *why);

/**
 * rollout_advance - at most one transition
 * @r: brought up to date: its clocks and what it counts of verdicts always, the rest when there was a transition
 * @why: when facts->command is refused (-EINVAL: not possible in this state; says what is); may be NULL
 *
 * After a transition: to be journalled, what is wanted to be brought into force, and then to be called again, with
 * command, verdict and hook taken out and in_force anew, until it returns 0.
 * Return: 1 after a transition, with r->cause; 0 without; -EINVAL.
 */
int rollout_advance(const struct rollout_plan *plan, const struct rollout_facts *facts, struct rollout *r,
		    struct refusal *why);

/* What is to be in force. A rollout that is over goes on saying it. */
struct rollout_wanted {
	struct weight weights[VARIANTS_MAX];
	size_t weight_count; /* 0: weights are not the rollout's */
	bool rollback;       /* connections as drain.on_rollback says */
	bool shadow;         /* the shadow is the rollout's to set: */
	enum shadow_state shadow_state;
	uint32_t sample;
};
void rollout_wanted(const struct rollout_plan *plan, const struct rollout *r, struct rollout_wanted *ret);

/* Share of the pair's traffic that the candidate is to have now, of PLAN_ALL. */
uint32_t rollout_share(const struct rollout_plan *plan, const struct rollout *r);

/* Whether what happens now is judged, and beside whom. Not during the initial delay: what is measured until then is
 * forgotten. */
bool rollout_is_judged(const struct rollout_plan *plan, const struct rollout *r, enum beside *ret);

/* Whether stable is to be measured for later, as the candidate will be judged beside it when it has all traffic: its
 * samples go to judge_metric(), beside a candidate that has none. */
bool rollout_wants_reference(const struct rollout_plan *plan, const struct rollout *r);

/* Whether a metric has anything to measure now: of a shadow only some of the data path's have, of a candidate without
 * traffic none of them. */
bool rollout_measures(const struct rollout_plan *plan, const struct rollout *r, const struct metric_plan *m);

/* Hooks that are to be asked now: those of the plan with @after as returned. False: none. */
bool rollout_asks_hooks(const struct rollout_plan *plan, const struct rollout *r, bool *ret_after);

/* When rollout_advance() should be called next at the latest, if nothing else happens: within a second, so that no
 * clock loses time; UINT64_MAX: never. */
uint64_t rollout_next_ns(const struct rollout_plan *plan, const struct rollout *r);

const char *name_of_rollout_state(enum rollout_state state);    /* "WaitingApproval" */
const char *name_of_strategy(enum strategy strategy);           /* "blue_green" */
const char *name_of_step(enum step_kind kind);                  /* "weight" */
const char *name_of_judged(enum judged judged);                 /* "inconclusive" */
const char *name_of_step_phase(enum step_phase phase);          /* "running" */
const char *name_of_metric_source(enum metric_source source);   /* "dataplane" */
const char *name_of_metric_kind(enum metric_kind kind);         /* "counts" */
const char *name_of_measure(enum measure measure);              /* "first-byte" */
const char *name_of_policy(enum policy policy);                 /* "hold" */
const char *name_of_failure_policy(enum failure_policy policy); /* "freeze" */

#endif
