/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_FIGURES_H
#define HEADGATE_SHADOW_FIGURES_H

/* What was counted of a service's shadow, whichever engine counts it. */
#include <jansson.h>

#include "splitter.h"

/* 0 or -errno. */
int shadow_figures(struct splitter *sp, uint32_t service, struct shadow_counters *ret);

/* Connections whose mirroring has ended, in any way. */
uint64_t shadow_figures_ended(const struct shadow_counters *c);

/* Pairs of responses with the same status class. */
uint64_t shadow_figures_same_status(const struct shadow_counters *c);

/* Of the connections that are not being mirrored any more, the share that was mirrored whole. -ENODATA: there is none.
 */
int shadow_figures_coverage(const struct shadow_counters *c, uint64_t mirroring, double *ret);

/* Bytes that a bucket of LENGTH_DIFFERENCES is of: @ret_from to @ret_to, both inclusive; less than 0: shorter. */
void shadow_figures_difference(uint32_t bucket, int64_t *ret_from, int64_t *ret_to);

/* "2xx", "other" */
const char *shadow_figures_class(size_t class);

/**
 * shadow_figures_set - what was counted, put into the object of docs/api.md
 * @mirroring: connections that are being mirrored
 */
void shadow_figures_set(const struct shadow_counters *c, uint64_t mirroring, json_t *object);

#endif
