// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "fragments.h"

#define NOW_NS 5000000000ULL
#define DUE_NS (NOW_NS + FRAGMENTS_HOLD_NS)

/* Each is told from the others by its ifindex and its bytes. */
static struct early_fragment fragment(uint32_t number)
{
	struct early_fragment f = {.ifindex = number, .length = 60 + number % 1000};

	memset(f.frame, (int)number, f.length);
	return f;
}

static int hold(struct fragments *q, uint32_t number, uint64_t now_ns)
{
	struct early_fragment f = fragment(number);

	return fragments_hold(q, &f, now_ns);
}

static void assert_next(struct fragments *q, uint32_t number, uint64_t now_ns)
{
	struct early_fragment want = fragment(number);
	const struct early_fragment *got = fragments_due(q, now_ns);

	assert_non_null(got);
	assert_int_equal(got->ifindex, want.ifindex);
	assert_int_equal(got->length, want.length);
	assert_memory_equal(got->frame, want.frame, want.length);
	fragments_release(q);
}

static int setup(void **state)
{
	*state = fragments_create();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	fragments_destroy(*state);
	return 0;
}

static void nothing_is_due_when_nothing_is_held(void **state)
{
	struct fragments *q = *state;

	assert_null(fragments_due(q, UINT64_MAX - 1));
	assert_true(fragments_next_ns(q) == UINT64_MAX);
	fragments_release(q);
	assert_int_equal(hold(q, 1, NOW_NS), 0);
	assert_next(q, 1, DUE_NS);
	assert_null(fragments_due(q, UINT64_MAX - 1));
}

static void a_fragment_is_due_when_its_time_is_over_and_not_before(void **state)
{
	struct fragments *q = *state;

	assert_int_equal(hold(q, 1, NOW_NS), 0);
	assert_true(fragments_next_ns(q) == DUE_NS);
	assert_null(fragments_due(q, DUE_NS - 1));
	assert_next(q, 1, DUE_NS);
}

static void fragments_leave_in_the_order_in_which_they_came(void **state)
{
	struct fragments *q = *state;

	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(hold(q, i, NOW_NS + i), 0);
	assert_next(q, 1, DUE_NS + 2);
	assert_next(q, 2, DUE_NS + 2);
	assert_null(fragments_due(q, DUE_NS + 2));
	assert_true(fragments_next_ns(q) == DUE_NS + 3);
	assert_next(q, 3, DUE_NS + 3);
}

static void one_too_many_is_refused_and_the_others_stay(void **state)
{
	struct fragments *q = *state;

	for (uint32_t i = 0; i < FRAGMENTS_HELD_MAX; i++) {
		assert_false(fragments_full(q));
		assert_int_equal(hold(q, i, NOW_NS), 0);
	}
	assert_true(fragments_full(q));
	assert_int_equal(hold(q, 9999, NOW_NS), -ENOBUFS);
	for (uint32_t i = 0; i < FRAGMENTS_HELD_MAX; i++)
		assert_next(q, i, DUE_NS);
	assert_null(fragments_due(q, DUE_NS));
}

static void room_that_is_made_is_used_again(void **state)
{
	struct fragments *q = *state;

	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(hold(q, i, NOW_NS), 0);
	for (uint32_t i = 0; i < 10 * FRAGMENTS_HELD_MAX; i++) {
		assert_next(q, i, DUE_NS + i);
		assert_int_equal(hold(q, i + 100, NOW_NS + i), 0);
	}
	assert_false(fragments_full(q));
}

static void a_length_beyond_the_frame_is_refused(void **state)
{
	struct fragments *q = *state;
	struct early_fragment f = {.length = EARLY_FRAGMENT_BYTES + 1};

	assert_int_equal(fragments_hold(q, &f, NOW_NS), -EINVAL);
	assert_true(fragments_next_ns(q) == UINT64_MAX);
	f.length = EARLY_FRAGMENT_BYTES;
	f.frame[EARLY_FRAGMENT_BYTES - 1] = 0xaa;
	assert_int_equal(fragments_hold(q, &f, NOW_NS), 0);
	assert_int_equal(fragments_due(q, DUE_NS)->frame[EARLY_FRAGMENT_BYTES - 1], 0xaa);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_due_when_nothing_is_held),
		TEST(a_fragment_is_due_when_its_time_is_over_and_not_before),
		TEST(fragments_leave_in_the_order_in_which_they_came),
		TEST(one_too_many_is_refused_and_the_others_stay),
		TEST(room_that_is_made_is_used_again),
		TEST(a_length_beyond_the_frame_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
