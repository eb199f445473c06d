/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MEASURED_SAMPLE_H
#define HEADGATE_MEASURED_SAMPLE_H

/* What the data path counted in an interval, as the samples that an analysis judges. Pure. */
#include "judge.h"
#include "measure.h"

/**
 * measured_since - what was counted between two looks
 * @ret: of connections that are active, those of @now
 *
 * Return: 0; -ERANGE when something was counted back, as in a fresh data path.
 */
int measured_since(const struct measured *now, const struct measured *before, struct measured *ret);
int shadow_counted_since(const struct shadow_counters *now, const struct shadow_counters *before,
			 struct shadow_counters *ret);

/**
 * measured_sample - one of the data path's metrics
 * @m: of SOURCE_DATAPLANE
 * @delta: of one variant and one interval
 *
 * An event is counted when it happens, and its connection may have been counted before: where there are more events
 * than trials, each of them was one.
 */
void measured_sample(const struct metric_plan *m, const struct measured *delta, struct sample *ret);

/**
 * shadow_sample - the same of mirrored connections, the shadow's beside production's
 * Of the figures that a shadow has, see rollout_measures(). What the shadow refused, reset, did not take or did not
 * answer are its errors; all of it is compared with production's responses to the same requests.
 */
void shadow_sample(const struct metric_plan *m, const struct shadow_counters *delta, struct sample *ret_shadow,
		   struct sample *ret_production);

#endif
