/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_NOTIFY_H
#define HEADGATE_NOTIFY_H

/* Tells those who want to know of a rollout's transitions. */
#include <jansson.h>

#include "plan.h"
#include "requests.h"

/* Filled in by its owner; has to live as long as @requests. */
struct notifier {
	struct requests *requests;
	/* @where: only scheme and host: the rest of a Slack URL is a secret. */
	void (*failed)(void *context, const char *where, const char *why);
	void *context;
};

/**
 * notify_all - tell everybody in plan->notify of a transition
 * @event: {"service": "web", "rollout": 7, "strategy": "canary", "from": "Progressing", "to": "RollingBack", "step": 2,
 *         "cause": "..", "by": "uid 0"}, and what else the caller has: POSTed as it is, or as a sentence in Slack's
 * form
 *
 * Nobody waits for it: what cannot be told is told to n->failed, and that is all. Nothing but @n is needed after it
 * returns.
 */
void notify_all(const struct notifier *n, const struct rollout_plan *plan, const json_t *event);

#endif
