/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CONDUCTOR_H
#define HEADGATE_CONDUCTOR_H

/*
 * Drives rollouts: takes the measurements, has them judged, moves the machine on, journals, and puts in force what is
 * wanted. The only part of rollouts that knows the daemon.
 */
#include "journal.h"

struct conductor;
struct daemon;
struct metrics_rollout;

/**
 * conductor_create - open the journal and take up what was going on
 * @path: of the journal
 * Return: 0 or -errno with @why. Nothing moves before conductor_begin().
 */
int conductor_create(struct daemon *d, const char *path, struct conductor **ret, struct refusal *why);
/* Rollouts that were going on go on, and what is over is known. To be called when a model is in force. 0 or -errno. */
int conductor_begin(struct conductor *c);
void conductor_destroy(struct conductor *c); /* accepts NULL */
DEFINE_CLEANUP(struct conductor, conductor_destroy)

/* Weights and shadows of a model that is about to be in force, as the rollouts that are going on want them. -EINVAL
 * with
 * @why: it lacks what one of them needs. */
int conductor_adjust(struct conductor *c, struct model *model, struct refusal *why);

/* Whether a person's change of weights (or shadow) has to be refused, as a rollout of the service is going on. -EBUSY
 * with
 * @why. */
int conductor_allows(struct conductor *c, const char *service, struct refusal *why);

/**
 * conductor_start - begin a rollout
 * @plan: NULL: the configuration's, with its roles
 * Return: 0 or -errno with @why: -ENOENT without a plan, -EBUSY while one is going on.
 */
int conductor_start(struct conductor *c, const char *service, const struct rollout_plan *plan, const struct actor *by,
		    struct refusal *why);
/* -ENOENT: there is none going on. */
int conductor_command(struct conductor *c, const char *service, enum rollout_command command, const struct actor *by,
		      struct refusal *why);
/* Begin the last one, that failed or was aborted, again, with its own plan. */
int conductor_retry(struct conductor *c, const char *service, const struct actor *by, struct refusal *why);
/* Weights as before the last one, that succeeded, and its roles. */
int conductor_undo(struct conductor *c, const char *service, const struct actor *by, struct refusal *why);

/* An evaluator's values, which are in the journal when it returns. How many were taken; -ENOENT: no rollout, or no such
 * metric or variant. */
int conductor_push(struct conductor *c, const char *service, const char *metric, const char *variant,
		   const json_t *input, struct refusal *why);

/* As docs/api.md says; NULL: out of memory. The newest rollout of the service, over or not; {"rollout": null} if none.
 */
json_t *conductor_report(struct conductor *c, const char *service);
/* The reports of all services of the model that have had a rollout: an array. */
json_t *conductor_report_all(struct conductor *c);

/* What the metrics page says of a service's newest rollout; NULL: it has had none. To be freed. 0 or -ENOMEM. */
int conductor_metrics(const struct conductor *c, const char *service, struct metrics_rollout **ret);

/* Why rollouts do not go on, as far as they don't: a line each. */
void conductor_warn(const struct conductor *c, void (*warn)(void *context, const char *text), void *context);

#endif
