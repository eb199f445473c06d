/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PROVIDER_H
#define HEADGATE_PROVIDER_H

/*
 * What the data path does not count itself: how a Prometheus and a webhook are asked, what their answers mean, and what
 * evaluators push. Pure; inquiry.h does the asking. docs/providers.md has the shapes.
 */
#include <jansson.h>

#include "judge.h"
#include "plan.h"
#include "refusal.h"
#include "requests.h"

#define PROVIDER_WHY_SIZE 160
#define PROVIDER_COUNT_MAX 1e12 /* trials or values of one variant between two analyses */

/**
 * provider_url - what is asked of a Prometheus (its /api/v1/query) or a webhook, names filled in
 * @variant: "{{variant}}" stands for it, in url and query; "{{service}}" for @service
 * Return: to be freed; NULL: out of memory.
 */
char *provider_url(const struct metric_plan *m, const char *service, const char *variant);

/* Whether the answer depends on the variant: "{{variant}}" is in the url or the query. */
bool provider_is_by_variant(const struct metric_plan *m);

/**
 * provider_prometheus - what an instant query's answer says
 * A vector of one element or a scalar is a value; an empty vector, NaN and infinity are JUDGED_NO_DATA; no answer,
 * another status than 200, more than one element or anything else is JUDGED_ERROR.
 * @ret: a METRIC_VALUE's sample
 * @why: what was wrong, for people; also a warning beside a value; else empty
 */
void provider_prometheus(const struct answer *answer, struct sample *ret, char why[PROVIDER_WHY_SIZE]);

/* A webhook's answer: what provider_push() takes, or {"value": null}, no trials or no values: JUDGED_NO_DATA. */
void provider_webhook(const struct metric_plan *m, const struct answer *answer, struct sample *ret,
		      char why[PROVIDER_WHY_SIZE]);

/* What an evaluator has posted since the last analysis, as struct sample has it. */
struct pushed {
	uint64_t trials, events;
	double sum, squares, value;
};

/**
 * provider_push - add what an evaluator posts to what it has posted since the last analysis
 * @input: {"events": N, "trials": N} for METRIC_COUNTS; {"value": X} or {"values": [X, ..]} for METRIC_SCORES and
 *         METRIC_VALUE (which keeps the last); other keys are not looked at
 * @pending: zeroed when there is nothing yet; @trials counts what was posted, whatever the kind
 * Return: 0; -EINVAL with @why, and @pending as it was.
 */
int provider_push(const struct metric_plan *m, const json_t *input, struct pushed *pending, struct refusal *why);

/* What was pushed since the last time, JUDGED_NO_DATA if nothing was; @pending is empty afterwards. */
void provider_take_pushed(struct pushed *pending, struct sample *ret);

#endif
