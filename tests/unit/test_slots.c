// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "slots.h"

#define UNTOUCHED 0x00abcdefU

/* One service's slots; each test looks at a few of them, and all others stay on backend 1. */
static struct row old_row, base, new_row;
static struct slot_deadlines deadlines;
static uint32_t wanted[SLOTS], disagreeing[SLOTS];

static int settled_on_backend_1(void **state)
{
	(void)state;
	memset(&deadlines, 0, sizeof(deadlines));
	memset(disagreeing, 0, sizeof(disagreeing));
	for (size_t slot = 0; slot < SLOTS; slot++) {
		old_row.slot[slot] = 1;
		base.slot[slot] = UNTOUCHED;
		wanted[slot] = 1;
		new_row.slot[slot] = UNTOUCHED;
	}
	return 0;
}

static size_t change(bool stateless, uint32_t deadline_s, uint32_t limit_s)
{
	size_t moved = slots_change(&old_row, &base, wanted, stateless, &new_row);

	slots_set_deadlines(&old_row, &new_row, &deadlines, deadline_s, limit_s);
	return moved;
}

static size_t settle(uint32_t now_s)
{
	return slots_settle(&old_row, disagreeing, &deadlines, now_s, &new_row);
}

static void assert_slot(uint32_t slot, slot_entry entry, uint32_t base_backend, uint32_t deadline_s, uint32_t limit_s)
{
	assert_int_equal(new_row.slot[slot], entry);
	assert_int_equal(base.slot[slot], base_backend);
	assert_int_equal(deadlines.deadline_s[slot], deadline_s);
	assert_int_equal(deadlines.limit_s[slot], limit_s);
}

/* All slots but the first @changed are as settled_on_backend_1() left them. */
static void assert_rest_settled(uint32_t changed)
{
	for (uint32_t slot = changed; slot < SLOTS; slot++)
		assert_slot(slot, 1, UNTOUCHED, 0, 0);
}

static void track(uint32_t slot, uint32_t entry_backend, uint32_t base_backend, uint32_t deadline_s, uint32_t limit_s)
{
	old_row.slot[slot] = entry_backend | SLOT_TRACKED;
	base.slot[slot] = base_backend;
	deadlines.deadline_s[slot] = deadline_s;
	deadlines.limit_s[slot] = limit_s;
	wanted[slot] = entry_backend;
}

static void a_moved_slot_is_tracked_from_where_it_was(void **state)
{
	(void)state;
	wanted[0] = 2;
	old_row.slot[1] = SLOT_BACKEND; /* the largest id */
	wanted[1] = 3;
	assert_int_equal(change(true, 600, 3600), 2);
	assert_slot(0, 2 | SLOT_TRACKED, 1, 600, 3600);
	assert_slot(1, 3 | SLOT_TRACKED, SLOT_BACKEND, 600, 3600);
	assert_rest_settled(2);
}

static void a_change_to_the_same_table_moves_nothing(void **state)
{
	(void)state;
	assert_int_equal(change(true, 600, 3600), 0);
	assert_rest_settled(0);
}

static void a_tracked_slot_that_moves_again_keeps_its_base_and_gets_new_deadlines(void **state)
{
	(void)state;
	track(0, 2, 1, 600, 3600);
	wanted[0] = 3;
	track(1, 2, 1, 600, 3600);
	wanted[1] = 1; /* back to its base: connections on 2 are still in the flow table only */
	assert_int_equal(change(true, 700, 3700), 2);
	assert_slot(0, 3 | SLOT_TRACKED, 1, 700, 3700);
	assert_slot(1, 1 | SLOT_TRACKED, 1, 700, 3700);
	assert_rest_settled(2);
}

static void a_tracked_slot_that_does_not_move_keeps_its_deadlines(void **state)
{
	(void)state;
	track(0, 2, 1, 600, 3600);
	assert_int_equal(change(true, 700, 3700), 0);
	assert_slot(0, 2 | SLOT_TRACKED, 1, 600, 3600);
	assert_rest_settled(1);
}

static void a_slot_without_backend_moves_without_being_tracked(void **state)
{
	(void)state;
	old_row.slot[0] = 0;
	wanted[0] = 2;
	assert_int_equal(change(true, 600, 3600), 1);
	assert_slot(0, 2, UNTOUCHED, 0, 0);
	assert_rest_settled(1);
}

static void a_slot_that_loses_its_backend_remembers_where_it_was(void **state)
{
	(void)state;
	wanted[0] = 0;
	assert_int_equal(change(true, 600, 3600), 1);
	assert_slot(0, SLOT_TRACKED, 1, 600, 3600);

	/* And still does when it gets one again: its connections are on the base. */
	track(0, 0, 1, 600, 3600);
	wanted[0] = 2;
	assert_int_equal(change(true, 700, 3700), 1);
	assert_slot(0, 2 | SLOT_TRACKED, 1, 700, 3700);
	assert_rest_settled(1);
}

static void a_first_table_tracks_nothing(void **state)
{
	(void)state;
	wanted[0] = 0;
	assert_int_equal(slots_change(NULL, &base, wanted, true, &new_row), SLOTS - 1);
	assert_slot(0, 0, UNTOUCHED, 0, 0);
	assert_rest_settled(1);
}

/* What slots_change() finds out slot by slot is what slots_fill() is told. */
static void assert_filled_as_changed(bool stateless)
{
	static struct row filled;
	static struct slot_deadlines filled_deadlines;

	for (size_t slot = 0; slot < SLOTS; slot++)
		wanted[slot] = 2 + slot % 3;
	memset(&filled_deadlines, 0xff, sizeof(filled_deadlines));
	slots_fill(wanted, stateless, &filled);
	slots_fill_deadlines(stateless, &filled_deadlines, 600, 3600);
	assert_int_equal(change(stateless, 600, 3600), SLOTS);
	assert_memory_equal(&filled, &new_row, sizeof(filled));
	assert_memory_equal(&filled_deadlines, &deadlines, sizeof(deadlines));
}

static void a_change_of_all_slots_is_one_of_each(void **state)
{
	(void)state;
	assert_filled_as_changed(true);
	assert_filled_as_changed(false);
}

static void without_a_base_the_old_row_is_left_as_it_is(void **state)
{
	(void)state;
	wanted[0] = 2;
	assert_int_equal(slots_change(&old_row, NULL, wanted, true, &new_row), 1);
	assert_int_equal(new_row.slot[0], 2 | SLOT_TRACKED);
	assert_int_equal(old_row.slot[0], 1);
	assert_rest_settled(1);
}

static void nothing_is_tracked_where_the_mode_keeps_state(void **state)
{
	(void)state;
	wanted[0] = 2;
	track(1, 2, 1, 600, 3600); /* left over from a stateless mode */
	wanted[1] = 3;
	assert_int_equal(change(false, 700, 3700), 2);
	assert_slot(0, 2, UNTOUCHED, 0, 0);
	assert_slot(1, 3, 1, 0, 0);
	assert_rest_settled(2);
}

static void a_summary_counts_tracked_slots_and_their_deadlines(void **state)
{
	struct slot_summary summary = {9, 9, 9};

	(void)state;
	deadlines.deadline_s[5] = 1; /* of a settled slot: not looked at */
	slots_summarize(&old_row, &deadlines, &summary);
	assert_true(summary.tracked == 0 && summary.first_deadline_s == 0 && summary.last_deadline_s == 0);

	track(0, 2, 1, 700, 3700);
	track(1, 2, 1, 600, 3600);
	track(SLOTS - 1, 2, 1, 650, 3650);
	slots_summarize(&old_row, &deadlines, &summary);
	assert_true(summary.tracked == 3 && summary.first_deadline_s == 600 && summary.last_deadline_s == 700);
}

static void a_slot_settles_at_its_deadline_not_before(void **state)
{
	(void)state;
	track(0, 2, 1, 600, 3600);
	track(1, 3, 1, 601, 3601);
	assert_int_equal(settle(599), 0);
	assert_memory_equal(&old_row, &new_row, sizeof(new_row));
	assert_slot(0, 2 | SLOT_TRACKED, 1, 600, 3600);

	assert_int_equal(settle(600), 1);
	assert_slot(0, 2, 1, 0, 0);
	assert_slot(1, 3 | SLOT_TRACKED, 1, 601, 3601);
	assert_rest_settled(2);
}

static void a_slot_with_live_flows_elsewhere_waits_until_its_limit(void **state)
{
	(void)state;
	track(0, 2, 1, 600, 3600);
	disagreeing[0] = 1;
	disagreeing[1] = 1; /* of a settled slot: means nothing */
	assert_int_equal(settle(600), 0);
	assert_int_equal(settle(3599), 0);
	assert_slot(0, 2 | SLOT_TRACKED, 1, 600, 3600);
	assert_int_equal(settle(3600), 1);
	assert_slot(0, 2, 1, 0, 0);
	assert_rest_settled(1);
}

static void a_slot_settles_once_its_last_flow_elsewhere_is_gone(void **state)
{
	(void)state;
	track(0, 2, 1, 600, 3600);
	disagreeing[0] = 1;
	assert_int_equal(settle(700), 0);
	disagreeing[0] = 0;
	assert_int_equal(settle(701), 1);
	assert_slot(0, 2, 1, 0, 0);
}

static void a_settled_slot_settles_only_once(void **state)
{
	(void)state;
	track(0, 2, 1, 600, 3600);
	assert_int_equal(settle(600), 1);
	old_row = new_row;
	assert_int_equal(settle(5000), 0);
	assert_memory_equal(&old_row, &new_row, sizeof(new_row));
}

static void adopted_tracked_slots_get_deadlines_and_settled_ones_none(void **state)
{
	(void)state;
	track(0, 2, 1, 0, 0);
	track(1, 0, 1, 0, 0);
	deadlines.deadline_s[2] = 77;
	deadlines.limit_s[2] = 78;
	slots_adopt_deadlines(&old_row, &deadlines, 600, 3600);
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		assert_int_equal(deadlines.deadline_s[slot], slot < 2 ? 600 : 0);
		assert_int_equal(deadlines.limit_s[slot], slot < 2 ? 3600 : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_moved_slot_is_tracked_from_where_it_was, settled_on_backend_1),
		cmocka_unit_test_setup(a_change_to_the_same_table_moves_nothing, settled_on_backend_1),
		cmocka_unit_test_setup(a_tracked_slot_that_moves_again_keeps_its_base_and_gets_new_deadlines,
				       settled_on_backend_1),
		cmocka_unit_test_setup(a_tracked_slot_that_does_not_move_keeps_its_deadlines, settled_on_backend_1),
		cmocka_unit_test_setup(a_slot_without_backend_moves_without_being_tracked, settled_on_backend_1),
		cmocka_unit_test_setup(a_slot_that_loses_its_backend_remembers_where_it_was, settled_on_backend_1),
		cmocka_unit_test_setup(a_first_table_tracks_nothing, settled_on_backend_1),
		cmocka_unit_test_setup(a_change_of_all_slots_is_one_of_each, settled_on_backend_1),
		cmocka_unit_test_setup(without_a_base_the_old_row_is_left_as_it_is, settled_on_backend_1),
		cmocka_unit_test_setup(nothing_is_tracked_where_the_mode_keeps_state, settled_on_backend_1),
		cmocka_unit_test_setup(a_summary_counts_tracked_slots_and_their_deadlines, settled_on_backend_1),
		cmocka_unit_test_setup(a_slot_settles_at_its_deadline_not_before, settled_on_backend_1),
		cmocka_unit_test_setup(a_slot_with_live_flows_elsewhere_waits_until_its_limit, settled_on_backend_1),
		cmocka_unit_test_setup(a_slot_settles_once_its_last_flow_elsewhere_is_gone, settled_on_backend_1),
		cmocka_unit_test_setup(a_settled_slot_settles_only_once, settled_on_backend_1),
		cmocka_unit_test_setup(adopted_tracked_slots_get_deadlines_and_settled_ones_none, settled_on_backend_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
