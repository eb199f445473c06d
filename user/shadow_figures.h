/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_FIGURES_H
#define HEADGATE_SHADOW_FIGURES_H

/* What was counted of a service's shadow, whichever engine counts it. */
#include "splitter.h"

/* 0 or -errno. */
int shadow_figures(struct splitter *sp, uint32_t service, struct shadow_counters *ret);

/* Connections whose mirroring has ended, in any way. */
uint64_t shadow_figures_ended(const struct shadow_counters *c);

/* Of the connections that are not being mirrored any more, the share that was mirrored whole. -ENODATA: there is none.
 */
int shadow_figures_coverage(const struct shadow_counters *c, uint64_t mirroring, double *ret);

#endif
