/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PROVIDER_H
#define HEADGATE_PROVIDER_H

/*
 * Where the samples of an analysis come from that the data path does not count: Prometheus, a webhook, and what an
 * evaluator has pushed; and the hooks that may hold a step, and those who are told of transitions.
 */
#include <jansson.h>

#include "plan.h"
#include "judge.h"
#include "requests.h"

/**
 * provider_url - what is asked of a Prometheus (its /api/v1/query) or a webhook, names filled in
 * @variant: "{{variant}}" stands for it, in url and query; "{{service}}" for @service
 * Return: to be freed; NULL: out of memory.
 */
char *provider_url(const struct metric_plan *m, const char *service, const char *variant);

/**
 * provider_prometheus - what an instant query's answer says
 * A vector of one element or a scalar is a value; an empty vector, NaN and infinity are JUDGED_NO_DATA; no answer,
 * another status than 200, more than one element or anything else is JUDGED_ERROR.
 * @ret: a METRIC_VALUE's sample
 * @why: what was wrong, for people
 */
void provider_prometheus(const struct answer *answer, struct sample *ret, char *why, size_t why_bytes);

/* A webhook's answer: {"value": NUMBER} or {"value": null} (no data); or {"events": N, "trials": N}, or {"values":
 * [..]}, as the metric's kind is. */
void provider_webhook(const struct metric_plan *m, const struct answer *answer, struct sample *ret, char *why,
		      size_t why_bytes);

/**
 * provider_push - add what an evaluator posts to what it has posted since the last analysis
 * @input: {"events": N, "trials": N} for METRIC_COUNTS; {"value": X} or {"values": [X, ..]} for METRIC_SCORES and
 *         METRIC_VALUE (which keeps the last)
 * Return: 0; -EINVAL with @why, and @pending as it was.
 */
int provider_push(const struct metric_plan *m, const json_t *input, struct sample *pending, struct refusal *why);

/* One round of asking: all metrics of a plan that are asked over HTTP, for both variants, at once. */
struct inquiry;

struct inquiry_results {
	struct sample candidate[PLAN_METRICS_MAX], stable[PLAN_METRICS_MAX]; /* of metrics that were asked */
	char why[PLAN_METRICS_MAX][160];                                     /* of those with trouble */
};

typedef void (*inquired_function)(void *context, const struct inquiry_results *results);

/**
 * inquiry_start - ask
 * @done: called once, from the event loop, when all have answered or their timeouts are over; never when there is
 * nothing to ask: then 0 is returned and @ret is NULL Return: 0 or -errno.
 */
int inquiry_start(struct requests *r, const struct rollout_plan *plan, const char *service, inquired_function done,
		  void *context, struct inquiry **ret);
void inquiry_cancel(struct inquiry *q); /* accepts NULL; not after @done */

/* One round of hooks: all that the plan has for a phase, at once. */
struct hooking;

/* @answer: of all together, as rollout_facts says; @why: of the one that holds or fails. */
typedef void (*hooked_function)(void *context, int answer, const char *why);

/**
 * hooking_start - POST {"service", "rollout", "strategy", "state", "step", "kind", "phase", "share"} to each hook
 * @rollout: that object, made by the caller
 *
 * 200..299 is HOOK_GO, unless the JSON body says {"hold": true} or {"fail": true} (with "reason"); 409 and 425 hold;
 * anything else, no answer included, holds, too: a hook that is not there lets nothing pass.
 */
int hooking_start(struct requests *r, const struct rollout_plan *plan, bool after, const json_t *rollout,
		  hooked_function done, void *context, struct hooking **ret);
void hooking_cancel(struct hooking *h); /* accepts NULL; not after @done */

/* Tells everybody in plan->notify. Nobody waits for it; what cannot be told is logged by @failed. */
void notify_all(struct requests *r, const struct rollout_plan *plan, const json_t *event,
		void (*failed)(void *context, const char *url, const char *why), void *context);

#endif
