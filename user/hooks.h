/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_HOOKS_H
#define HEADGATE_HOOKS_H

/* One round of hooks: all that a plan has for a phase, at once. */
#include <jansson.h>

#include "requests.h"
#include "rollout.h"

#define HOOK_WHY_SIZE (ROLLOUT_CAUSE_SIZE / 2)

struct hooking;

/* @answer: of all together, as rollout_facts says; @why: of the one that holds or fails, empty with HOOK_GO. */
typedef void (*hooked_function)(void *context, enum hook_answer answer, const char *why);

/**
 * hooking_start - POST @rollout to each hook
 * @rollout: {"service", "rollout", "strategy", "state", "step", "kind", "phase", "share"}, made by the caller
 * @done: called once, from the event loop, when all have answered or their timeouts are over; the hooking is gone then.
 *        Never when there is none to ask: then 0 is returned and @ret is NULL.
 *
 * 200..299 is HOOK_GO, unless the JSON body says {"hold": true} or {"fail": true} (with "reason"). Anything else, no
 * answer included, holds: a hook that is not there lets nothing pass.
 *
 * Return: 0 or -errno (then @done is not called). Nothing that is passed is needed after it returns.
 */
int hooking_start(struct requests *r, const struct rollout_plan *plan, bool after, const json_t *rollout,
		  hooked_function done, void *context, struct hooking **ret);
void hooking_cancel(struct hooking *h); /* accepts NULL; not after @done */

#endif
