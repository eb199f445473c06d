/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SLOTS_H
#define HEADGATE_SLOTS_H

/*
 * Slots that remember only while they move: settled and tracked. Pure.
 *
 * A change makes the slots it moves tracked; base is the backend on which the slot last settled. A tracked slot settles
 * at its deadline, unless live flows disagree with its entry; at its limit it settles whatever the flows say.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

/* When each slot may settle, in seconds of a monotonic clock; 0 for settled slots. */
struct slot_deadlines {
	uint32_t deadline_s[SLOTS];
	uint32_t limit_s[SLOTS];
};

/**
 * slots_change - the row that brings a new table into force without breaking a connection
 * @old: the row in force, or NULL for a service's first table
 * @base: where tracked slots last settled; written for slots that become tracked now, and only for those. NULL: no slot
 *        of @old is tracked, and @old is to be the base itself.
 * @wanted: [SLOTS], backend ids of the new table (no flags)
 * @stateless: the mode keeps no state of its own, so moved slots must be tracked; false (NAT): nothing is ever tracked
 * @ret_row: the new row; a slot that was tracked stays so. May not be @old.
 *
 * An old entry of backend 0 (none) that is not tracked has no connections to keep: such a slot moves without being
 * tracked. A tracked slot that moves keeps its base.
 * Return: how many slots have another backend than before.
 */
size_t slots_change(const struct row *old, struct row *base, const uint32_t *wanted, bool stateless,
		    struct row *ret_row);

/* The same where every slot moves from some backend to another, and none was tracked. */
void slots_fill(const uint32_t *wanted, bool stateless, struct row *ret_row);

/* For every slot that has another backend in @row than in @old (or NULL): as given where it is tracked, else 0. */
void slots_set_deadlines(const struct row *old, const struct row *row, struct slot_deadlines *deadlines,
			 uint32_t deadline_s, uint32_t limit_s);

/* What a row holds. */
struct slot_summary {
	size_t tracked;
	uint32_t first_deadline_s; /* of the tracked ones; 0 when none is tracked */
	uint32_t last_deadline_s;
};

void slots_summarize(const struct row *row, const struct slot_deadlines *deadlines, struct slot_summary *ret);

/**
 * slots_settle - settle what may settle
 * @row: the row in force
 * @disagreeing: [SLOTS], live flows of the slot on another backend than its entry's
 * @deadlines: cleared for the slots that settle
 * @ret_row: the new row; may not be @row
 *
 * Return: how many slots settled; 0: @ret_row equals @row and there is nothing to put in force.
 */
size_t slots_settle(const struct row *row, const uint32_t *disagreeing, struct slot_deadlines *deadlines,
		    uint32_t now_s, struct row *ret_row);

/* The same where every slot moves. */
void slots_fill_deadlines(bool stateless, struct slot_deadlines *ret, uint32_t deadline_s, uint32_t limit_s);

/* After adopting rows whose deadlines died with another daemon: every tracked slot gets these, all others 0. */
void slots_adopt_deadlines(const struct row *row, struct slot_deadlines *deadlines, uint32_t deadline_s,
			   uint32_t limit_s);

#endif
