// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_pause.h"

#include <stdio.h>
#include <string.h>

struct pause_counts pause_counts_of(const struct shadow_counters *c)
{
	struct pause_counts counts = {.requests = c->requests, .unanswered = c->unanswered};

	for (size_t end = 0; end < SHADOW_ENDS; end++)
		counts.ended += c->ended[end];
	counts.lost = c->ended[SHADOW_LATE] + c->ended[SHADOW_OVERRUN] + c->ended[SHADOW_NO_ANSWER] +
		      c->ended[SHADOW_REFUSED] + c->ended[SHADOW_RESET] + c->ended[SHADOW_LINGERED];
	return counts;
}

/* Looks are kept when enough has happened since the last one. */
static void remember(struct pause_window *w, uint32_t of, const struct pause_counts *now)
{
	const struct pause_counts *last = w->count ? &w->look[w->count - 1] : NULL;

	if (last && now->ended - last->ended < of / PAUSE_LOOKS + 1)
		return;
	if (w->count == PAUSE_LOOKS + 1)
		memmove(w->look, w->look + 1, --w->count * sizeof(*w->look));
	w->look[w->count++] = *now;
}

static bool is_share(uint64_t part, uint64_t all, uint32_t limit)
{
	return part && part * SHADOW_SAMPLE_ALL >= all * limit;
}

static bool judge(const struct shadow_pause_model *limits, const struct pause_counts *then,
		  const struct pause_counts *now, char ret_reason[SHADOW_REASON_SIZE])
{
	uint64_t ended = now->ended - then->ended, lost = now->lost - then->lost;
	uint64_t requests = now->requests - then->requests, unanswered = now->unanswered - then->unanswered;

	if (is_share(lost, ended, limits->lost)) {
		snprintf(ret_reason, SHADOW_REASON_SIZE,
			 "%llu of the last %llu connections failed at the shadow; the limit is %g%%",
			 (unsigned long long)lost, (unsigned long long)ended, limits->lost / 100.0);
		return true;
	}
	if (is_share(unanswered, requests, limits->unanswered)) {
		snprintf(ret_reason, SHADOW_REASON_SIZE,
			 "%llu of the last %llu requests had no response from the shadow; the limit is %g%%",
			 (unsigned long long)unanswered, (unsigned long long)requests, limits->unanswered / 100.0);
		return true;
	}
	return false;
}

bool pause_due(struct pause_window *w, const struct shadow_pause_model *limits, const struct pause_counts *now,
	       char ret_reason[SHADOW_REASON_SIZE])
{
	if (w->count && now->ended < w->look[w->count - 1].ended)
		w->count = 0;
	/* The newest look that enough connections have ended since. */
	for (size_t i = w->count; limits->of && i-- > 0;)
		if (now->ended - w->look[i].ended >= limits->of) {
			if (judge(limits, &w->look[i], now, ret_reason))
				return true;
			break;
		}
	remember(w, limits->of, now);
	return false;
}
