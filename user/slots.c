// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "slots.h"

#include <string.h>

/* The row of a service that has none yet. */
static const struct row nobody;

/* No branches, and nothing that may overlap, so that the compiler takes several slots at once. */
__attribute__((optimize("O3"))) static uint32_t move_slots(const slot_entry *restrict old,
							   const uint32_t *restrict wanted, slot_entry tracked,
							   slot_entry *restrict ret)
{
	uint32_t moved = 0;

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		slot_entry entry = old[slot];
		bool moves = wanted[slot] != (entry & SLOT_BACKEND);

		/* Tracked, or a backend: either has connections to keep. */
		ret[slot] = moves ? wanted[slot] | (entry ? tracked : 0) : entry;
		moved += moves;
	}
	return moved;
}

static void note_base(const struct row *old, const struct row *row, struct row *base)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		if (row->slot[slot] & ~old->slot[slot] & SLOT_TRACKED)
			base->slot[slot] = old->slot[slot];
}

size_t slots_change(const struct row *old, struct row *base, const uint32_t *wanted, bool stateless,
		    struct row *ret_row)
{
	size_t moved = move_slots(old ? old->slot : nobody.slot, wanted, stateless ? SLOT_TRACKED : 0, ret_row->slot);

	if (stateless && old && base)
		note_base(old, ret_row, base);
	return moved;
}

__attribute__((optimize("O3"))) void slots_fill(const uint32_t *wanted, bool stateless, struct row *ret_row)
{
	const slot_entry tracked = stateless ? SLOT_TRACKED : 0;
	slot_entry *restrict entry = ret_row->slot;

	for (uint32_t slot = 0; slot < SLOTS; slot++)
		entry[slot] = wanted[slot] | tracked;
}

__attribute__((optimize("O3"))) static void set_where_moved(const slot_entry *restrict old,
							    const slot_entry *restrict new, uint32_t value,
							    uint32_t *restrict times)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		bool moved = (old[slot] ^ new[slot]) & SLOT_BACKEND;
		uint32_t time = new[slot] & SLOT_TRACKED ? value : 0;

		times[slot] = moved ? time : times[slot];
	}
}

void slots_set_deadlines(const struct row *old, const struct row *row, struct slot_deadlines *deadlines,
			 uint32_t deadline_s, uint32_t limit_s)
{
	const slot_entry *was = old ? old->slot : nobody.slot;

	set_where_moved(was, row->slot, deadline_s, deadlines->deadline_s);
	set_where_moved(was, row->slot, limit_s, deadlines->limit_s);
}

void slots_fill_deadlines(bool stateless, struct slot_deadlines *ret, uint32_t deadline_s, uint32_t limit_s)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		ret->deadline_s[slot] = stateless ? deadline_s : 0;
		ret->limit_s[slot] = stateless ? limit_s : 0;
	}
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
