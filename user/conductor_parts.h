/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CONDUCTOR_PARTS_H
#define HEADGATE_CONDUCTOR_PARTS_H

/* What conductor*.c share: one rollout as it is conducted. */
#include <systemd/sd-event.h>

#include "conductor.h"
#include "daemon.h"
#include "hooks.h"
#include "inquiry.h"
#include "notify.h"
#include "provider.h"
#include "rollout_parts.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

/* Of samples: whose they are. In an A/B test they are its arms, the control first. */
#define PARTY_STABLE 0
#define PARTY_CANDIDATE 1

/* Everything that was counted up to one moment. */
struct look {
	struct measured figures[PLAN_ARMS_MAX]; /* by party */
	struct shadow_counters shadow;
};

/* What is known of the running interval. Kept in the journal as it is, as far as there are parties: a daemon that takes
 * the rollout over goes on with it. */
struct baseline {
	uint32_t there;      /* the look was taken; else only what is pushed counts */
	uint32_t judged;     /* it was taken when there was something to judge, not for the reference */
	uint32_t referenced; /* judge_reference() was called */
	uint32_t zero;
	struct shadow_counters shadow;
	struct party_baseline {
		uint64_t opened; /* connections since the step began, up to the look */
		struct pushed pushed[PLAN_METRICS_MAX];
		struct measured figures;
	} party[PLAN_ARMS_MAX];
};

/* The check of the split, for people. */
struct ratio_result {
	bool checked, is_void;
	const char *why;         /* it is not checked */
	double expected, actual; /* share of the candidate, or of all arms but the control; NAN: not known */
};

struct conducted {
	struct conductor *conductor;
	struct conducted *next;
	struct rollout_record record;
	char by[64];       /* who began it: "uid 0" */
	char began[32];    /* RFC 3339 */
	char ended[32];    /* empty: it goes on */
	char trouble[600]; /* why it does not go on, and what is tried again; empty: it does */
	bool troubled;     /* something of it failed since time last passed */
	sd_event_source *timer;
	struct rollout_facts facts; /* what the machine has not been told yet */
	struct rollout before;      /* what it goes back to if a transition cannot be journalled */
	bool late;                  /* its way back is not in the journal yet, and is to be: from whence, and by whom */
	enum rollout_state late_from;
	struct actor late_by;
	uint64_t kept_ns; /* when the journal last had the clocks */

	/* An interval's measurements. */
	struct baseline baseline;
	struct look upcoming; /* at the end of the interval, while others are asked */
	uint64_t upcoming_ms; /* of the analyses' clock */
	struct inquiry *inquiry;
	struct sample samples[PLAN_METRICS_MAX][PLAN_ARMS_MAX]; /* by party */
	char trouble_of[PLAN_METRICS_MAX][PROVIDER_WHY_SIZE];   /* of a metric: what its provider has to say */
	struct sample candidate[PLAN_METRICS_MAX], stable[PLAN_METRICS_MAX];

	/* What came of them. */
	struct metric_result results[PLAN_METRICS_MAX];
	struct arm_result arms[PLAN_METRICS_MAX][PLAN_ARMS_MAX];
	struct ratio_result ratio;
	bool analysed;        /* @results are there */
	json_t *results_kept; /* before the first analysis of this daemon: those of the last one before it; or NULL */
	uint64_t opened_before[PLAN_ARMS_MAX]; /* when this daemon first saw the step, for people */

	struct hooking *hooking;
	uint64_t hooks_again_ns; /* hooks that hold are asked again then */
};

struct conductor {
	struct daemon *daemon;
	const char *path;        /* of the journal */
	struct journal *journal; /* NULL: it cannot be opened now; no rollout is known, and none begins */
	char trouble[600];       /* why; or what could not be read of it, and is forgotten; else empty */
	sd_event_source *again;
	struct requests *requests;
	struct notifier notifier;
	struct conducted *first;
	bool begun;
};

/* --- conductor_take_up.c: from the journal --- */

/* The newest rollout of a service, over or not; NULL: it has had none, or it cannot be read. */
struct conducted *conductor_find(struct conductor *c, const char *service);
/* When it began, by whom, and what its last analysis came to: as the journal has it. */
void conducted_read_history(struct conducted *one);

/* --- conductor.c: one rollout's life --- */

/* The same, if it goes on. */
struct conducted *conductor_going_on(struct conductor *c, const char *service);
/* Takes over a record that is in the journal; replaces the service's rollout before it. 0 or -errno. */
int conductor_take_up(struct conductor *c, struct conducted *one);
/* 0; -EIO with @why: there is no journal. */
int conductor_has_journal(const struct conductor *c, struct refusal *why);
int conducted_set_timer(struct conducted *one); /* it moves on from now; 0 or -errno */
void conducted_free(struct conducted *one);     /* accepts NULL */
DEFINE_CLEANUP(struct conducted, conducted_free)

/**
 * conducted_advance - move the machine as far as it goes
 * What is in one->facts is told to it. Each transition is journalled, then brought into force.
 *
 * Return: 0; -EINVAL when a command is refused, another -errno when a transition cannot be journalled: both with @why,
 * and as it was.
 */
int conducted_advance(struct conducted *one, const struct actor *by, struct refusal *why);

/* From one->before: to the log, and to whom the plan notifies. */
void conducted_tell_transition(struct conducted *one, const struct actor *by);

/* Who is stable and candidate in the next release, if this one is of the configuration's plan. 0 or -errno. */
int conducted_set_roles(const struct conducted *one, const char *stable, const char *candidate);

/* Why a rollout does not go on, for people; logged when it is news. @format NULL: it does. */
void conducted_trouble(struct conducted *one, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- conductor_force.c: what is wanted and what is in force --- */

struct service_model *conducted_service(const struct conducted *one); /* NULL: gone */
bool conducted_in_force(const struct conducted *one);
/* 0 or -errno, which is shown. */
int conducted_bring_into_force(struct conducted *one);
/* NULL: the candidate is well; else what its backends have to do: "to be healthy". */
const char *conducted_lacks_health(const struct conducted *one);

/* --- conductor_measure.c: what is counted, pushed and asked --- */

struct parties {
	const char *name[PLAN_ARMS_MAX];
	size_t count;
};
struct parties parties_of(const struct rollout_plan *plan);

/* Whether the step that is in force is of a kind. */
bool conducted_runs(const struct conducted *one, enum step_kind kind);

/* Begins and ends intervals. To be called when time has passed. */
void conducted_measure(struct conducted *one);
/* A step has begun, or the rollout is over: nothing that was measured counts any more. */
void conducted_forget_interval(struct conducted *one);
/* ms of in_force_ns until the interval ends; UINT64_MAX: none runs. */
uint64_t conducted_interval_left_ms(const struct conducted *one);
/* Connections of the arm that has the fewest, since the step began. */
uint64_t conducted_fewest_opened(const struct conducted *one);
/* What is opened from here on is the step's, for people. Not while others are asked. */
void conducted_note_opened(struct conducted *one);
/* Keeps one->baseline. 0 or -errno, which is shown. */
int conducted_keep_baseline(struct conducted *one);
void conducted_read_baseline(struct conducted *one);
/* What was counted until now. 0 or -errno. */
int conducted_look(struct conducted *one, struct look *ret);

/* --- conductor_judge.c: what they come to --- */

/* One more interval, of one->samples; @opened: connections of each party in it. @judged: else stable is measured for
 * the time behind the switch. */
enum judged conducted_judge(struct conducted *one, bool judged, enum beside beside,
			    const uint64_t opened[PLAN_ARMS_MAX]);
/* Brings one->arms and one->facts.winner up to date. */
void conducted_find_winner(struct conducted *one);
/* Whether the reference of the watch behind a switch has enough samples, if one is wanted. */
bool conducted_has_reference(const struct conducted *one);
/* Of a metric: samples of stable, 0 where the switch does not wait for them. */
uint64_t conducted_reference_needed(const struct analysis_plan *a, const struct metric_plan *m);
void conducted_new_step(struct conducted *one);
/* No metric has a result yet. */
void conducted_know_nothing(struct conducted *one);

#endif
