// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drain.h"

#define SECOND 1000000000ULL

static void a_drain_begins_with_nobody(void **state)
{
	(void)state;
	assert_int_equal(drain_share(5 * SECOND, 5 * SECOND, 100), 0);
}

static void a_drain_that_begins_later_reaches_nobody(void **state)
{
	(void)state;
	assert_int_equal(drain_share(6 * SECOND, 5 * SECOND, 100), 0);
}

static void ten_percent_a_second_reach_a_tenth_after_one_second(void **state)
{
	(void)state;
	assert_int_equal(drain_share(0, SECOND, 100), 65536 / 10);
	assert_int_equal(drain_share(0, 5 * SECOND, 100), 65536 / 2);
}

static void everyone_is_reached_when_the_pace_says_so_and_not_before(void **state)
{
	(void)state;
	assert_int_not_equal(drain_share(0, 10 * SECOND - SECOND / 100, 100), 65535);
	assert_int_equal(drain_share(0, 10 * SECOND, 100), 65535);
	assert_int_equal(drain_share(0, SECOND / 10, 10000), 65535);
}

static void everyone_stays_everyone_for_ever(void **state)
{
	(void)state;
	assert_int_equal(drain_share(0, 1000000000 * SECOND, 1), 65535);
	assert_int_equal(drain_share(0, UINT64_MAX, 10000), 65535);
}

static void the_share_never_falls(void **state)
{
	uint16_t before = 0;

	(void)state;
	for (uint64_t ns = 0; ns < 110 * SECOND; ns += SECOND / 7) {
		uint16_t share = drain_share(0, ns, 10);

		assert_true(share >= before);
		before = share;
	}
	assert_int_equal(before, 65535);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drain_begins_with_nobody),
		cmocka_unit_test(a_drain_that_begins_later_reaches_nobody),
		cmocka_unit_test(ten_percent_a_second_reach_a_tenth_after_one_second),
		cmocka_unit_test(everyone_is_reached_when_the_pace_says_so_and_not_before),
		cmocka_unit_test(everyone_stays_everyone_for_ever),
		cmocka_unit_test(the_share_never_falls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
