/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_PAUSE_H
#define HEADGATE_SHADOW_PAUSE_H

/*
 * When a shadow is not worth mirroring to: of the last so many connections too many failed by its fault, or of their
 * requests too many had no response. Pure.
 */
#include "model.h"

#define PAUSE_LOOKS 16U

struct pause_counts {
	uint64_t ended;
	uint64_t lost; /* of those: by the shadow's fault */
	uint64_t requests;
	uint64_t unanswered;
};

/* All zero before the first look. */
struct pause_window {
	struct pause_counts look[PAUSE_LOOKS + 1]; /* the oldest first */
	size_t count;
};

struct pause_counts pause_counts_of(const struct shadow_counters *c);

/**
 * pause_due - whether the shadow is to be paused
 * @now: totals; a total that is less than at the last look begins anew
 * @ret_reason: set when it is, for people
 */
bool pause_due(struct pause_window *w, const struct shadow_pause_model *limits, const struct pause_counts *now,
	       char ret_reason[SHADOW_REASON_SIZE]);

#endif
