// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "slots.h"

#include <string.h>

size_t slots_change(const struct row *old, struct row *base, const uint32_t *wanted, bool stateless,
		    struct slot_deadlines *deadlines, uint32_t deadline_s, uint32_t limit_s, struct row *ret_row)
{
	size_t moved = 0;

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		slot_entry entry = old ? old->slot[slot] : 0;
		bool track = stateless && entry; /* tracked, or a backend: either has connections to keep */

		if (wanted[slot] == (entry & SLOT_BACKEND)) {
			ret_row->slot[slot] = entry;
			continue;
		}
		if (track && !(entry & SLOT_TRACKED))
			base->slot[slot] = entry;
		ret_row->slot[slot] = wanted[slot] | (track ? SLOT_TRACKED : 0);
		deadlines->deadline_s[slot] = track ? deadline_s : 0;
		deadlines->limit_s[slot] = track ? limit_s : 0;
		moved++;
	}
	return moved;
}

void slots_summarize(const struct row *row, const struct slot_deadlines *deadlines, struct slot_summary *ret)
{
	struct slot_summary summary = {0};

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		uint32_t deadline_s = deadlines->deadline_s[slot];

		if (!(row->slot[slot] & SLOT_TRACKED))
			continue;
		if (!summary.tracked || deadline_s < summary.first_deadline_s)
			summary.first_deadline_s = deadline_s;
		if (deadline_s > summary.last_deadline_s)
			summary.last_deadline_s = deadline_s;
		summary.tracked++;
	}
	*ret = summary;
}

size_t slots_settle(const struct row *row, const uint32_t *disagreeing, struct slot_deadlines *deadlines,
		    uint32_t now_s, struct row *ret_row)
{
	size_t settled = 0;

	*ret_row = *row;
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		bool due = now_s >= deadlines->deadline_s[slot] && !disagreeing[slot];

		if (!(row->slot[slot] & SLOT_TRACKED) || !(due || now_s >= deadlines->limit_s[slot]))
			continue;
		ret_row->slot[slot] &= SLOT_BACKEND;
		deadlines->deadline_s[slot] = 0;
		deadlines->limit_s[slot] = 0;
		settled++;
	}
	return settled;
}

void slots_adopt_deadlines(const struct row *row, struct slot_deadlines *deadlines, uint32_t deadline_s,
			   uint32_t limit_s)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		bool tracked = row->slot[slot] & SLOT_TRACKED;

		deadlines->deadline_s[slot] = tracked ? deadline_s : 0;
		deadlines->limit_s[slot] = tracked ? limit_s : 0;
	}
}
