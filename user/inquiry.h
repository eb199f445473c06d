/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_INQUIRY_H
#define HEADGATE_INQUIRY_H

/* One round of asking: all metrics of a plan that are asked over HTTP, of each variant, at once. */
#include "provider.h"

struct inquiry;

struct inquired {
	struct sample sample;        /* of a metric that is not asked over HTTP: JUDGED_NO_DATA */
	char why[PROVIDER_WHY_SIZE]; /* what was wrong, for people; also a warning beside a value; else empty */
};

/* @results: [metric * variant_count + variant], in the order of the plan and of @variants; for the time of the call. */
typedef void (*inquired_function)(void *context, const struct inquired *results);

/**
 * inquiry_start - ask
 * @variants: names: candidate and stable, or an A/B test's arms. Without "{{variant}}" in it a metric is asked for the
 *            first one only, and is JUDGED_NO_DATA for the others.
 * @done: called once, from the event loop, when all have answered or their timeouts are over; the inquiry is gone
 *        then. Never when there is nothing to ask: then 0 is returned and @ret is NULL.
 *
 * Return: 0 or -errno (then @done is not called). Nothing that is passed is needed after it returns.
 */
int inquiry_start(struct requests *r, const struct analysis_plan *plan, const char *service,
		  const char *const *variants, size_t variant_count, inquired_function done, void *context,
		  struct inquiry **ret);
void inquiry_cancel(struct inquiry *q); /* accepts NULL; not after @done */

#endif
