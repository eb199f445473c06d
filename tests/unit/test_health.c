// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* When a backend is out and when it is back, and when it is looked at next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "health.h"
#include "health_schedule.h"
#include "util.h"

#define S 1000000000ULL
#define START (1000 * S)

static const struct health_model http = {
	.check = HEALTH_HTTP, .interval_ms = 2000, .timeout_ms = 1000, .rise = 2, .fall = 3, .passive = 5};
static const struct health_model unchecked = {
	.check = HEALTH_NONE, .interval_ms = 2000, .timeout_ms = 1000, .rise = 2, .fall = 3, .passive = 5};

/* Checks that end every 2 s: '+' good, '-' bad. The states after each: '?' unknown, 'u' up, 'd' down. */
struct streak {
	const char *name;
	const char *checks;
	const char *states;
};

static const struct streak streaks[] = {
	{"a new backend is up after so many good checks as bring it back", "++", "?u"},
	{"a bad check between two good ones counts them anew", "+-++", "???u"},
	{"a new backend is down after three bad checks", "---", "??d"},
	{"two bad checks take nobody out", "++--", "?uuu"},
	{"three bad checks in a row take it out", "++---", "?uuud"},
	{"a good check between bad ones counts them anew", "++--+--+---", "?uuuuuuuuud"},
	{"two good checks bring it back", "++---++", "?uuuddu"},
	{"a bad check on the way back counts the good ones anew", "++---+-++", "?uuuddddu"},
	{"it stays down while checks are bad", "++-------", "?uuuddddd"},
};

static char letter(const struct health *h)
{
	return h->state == HEALTH_UNKNOWN ? '?' : health_state_name(h->state)[0];
}

static void test_streak(void **state)
{
	const struct streak *streak = *state;
	struct health h = {};
	char states[32] = "";

	for (size_t i = 0; streak->checks[i]; i++) {
		char before = letter(&h);
		bool changed = health_checked(&h, &http, streak->checks[i] == '+', START + i * 2 * S);

		states[i] = letter(&h);
		assert_int_equal(changed, before != states[i]);
	}
	assert_string_equal(states, streak->states);
}

/* Bad checks until it is down; returns when that was. */
static uint64_t take_out(struct health *h, uint64_t now_ns)
{
	while (!health_checked(h, &http, false, now_ns))
		now_ns += 2 * S;
	assert_int_equal(h->state, HEALTH_DOWN);
	return now_ns;
}

/* Good checks every 2 s until it is up; returns when that was. */
static uint64_t bring_back(struct health *h, uint64_t now_ns)
{
	while (!health_checked(h, &http, true, now_ns))
		now_ns += 2 * S;
	assert_int_equal(h->state, HEALTH_UP);
	return now_ns;
}

static void each_way_out_makes_the_way_back_longer(void **state)
{
	/* Changes 1, 3, 5, .. are ways out: 2 s times 2^n, at most 300 s. */
	static const uint64_t want_s[] = {4, 16, 64, 256, 300, 300, 300};
	struct health h = {};
	uint64_t now_ns = START;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want_s); i++) {
		uint64_t down_ns = take_out(&h, now_ns);

		now_ns = bring_back(&h, down_ns + 2 * S);
		assert_int_equal(now_ns - down_ns, want_s[i] * S);
	}
}

static void ten_quiet_minutes_forgive_flapping(void **state)
{
	struct health h = {};
	uint64_t now_ns = START, down_ns;

	(void)state;
	for (int i = 0; i < 3; i++)
		now_ns = bring_back(&h, take_out(&h, now_ns) + 2 * S);
	for (int i = 0; i < 299; i++)
		health_checked(&h, &http, true, now_ns += 2 * S);
	down_ns = take_out(&h, now_ns + 4 * S);
	now_ns = bring_back(&h, down_ns + 2 * S);
	assert_int_equal(now_ns - down_ns, 4 * S);
}

static void a_check_without_end_counts_no_further_than_it_must(void **state)
{
	struct health h = {};

	(void)state;
	bring_back(&h, START);
	for (uint64_t i = 0; i < 100; i++)
		health_checked(&h, &http, true, START + i * 2 * S);
	take_out(&h, START + 1000 * S);
	h.down_until_ns = UINT64_MAX;
	for (uint64_t i = 0; i < 100; i++)
		assert_false(health_checked(&h, &http, true, START + 1100 * S + i));
	assert_int_equal(h.good, http.rise);
}

static void real_connections_take_a_backend_out(void **state)
{
	struct health h = {};

	(void)state;
	assert_false(health_observed(&h, &http, 0, 3, START));
	assert_false(health_observed(&h, &http, 0, 1, START));
	assert_false(health_observed(&h, &http, 0, 0, START));
	assert_true(health_observed(&h, &http, 0, 1, START));
	assert_int_equal(h.state, HEALTH_DOWN);
	assert_int_equal(h.changed_ns, START);
}

static void many_bad_connections_at_once_are_enough(void **state)
{
	struct health h = {.state = HEALTH_UP};

	(void)state;
	assert_true(health_observed(&h, &http, 0, UINT64_MAX, START));
	assert_int_equal(h.state, HEALTH_DOWN);
}

static void a_good_connection_counts_bad_ones_anew(void **state)
{
	struct health h = {};

	(void)state;
	assert_false(health_observed(&h, &http, 0, 4, START));
	assert_false(health_observed(&h, &http, 1, 0, START));
	assert_false(health_observed(&h, &http, 0, 4, START));
	assert_false(health_observed(&h, &http, 1, 100, START));
	assert_false(health_observed(&h, &http, 0, 4, START));
	assert_true(health_observed(&h, &http, 0, 1, START));
}

static void without_passive_real_connections_take_nobody_out(void **state)
{
	struct health_model never = http;
	struct health h = {};

	(void)state;
	never.passive = 0;
	for (int i = 0; i < 100; i++)
		assert_false(health_observed(&h, &never, 0, 1000, START));
	assert_int_equal(h.state, HEALTH_UNKNOWN);
}

static void checks_bring_back_what_real_connections_took_out(void **state)
{
	struct health h = {};

	(void)state;
	bring_back(&h, START);
	assert_true(health_observed(&h, &http, 0, 5, START + 10 * S));
	assert_false(health_observed(&h, &http, 100, 0, START + 1000 * S));
	assert_int_equal(h.state, HEALTH_DOWN);
	assert_int_equal(bring_back(&h, START + 1002 * S), START + 1004 * S);
	/* What was counted before it went out is not held against it. */
	assert_false(health_observed(&h, &http, 0, 4, START + 1005 * S));
}

static void without_checks_a_backend_is_tried_again_after_30_s(void **state)
{
	struct health h = {};

	(void)state;
	assert_true(health_observed(&h, &unchecked, 0, 5, START));
	assert_false(health_observed(&h, &unchecked, 0, 0, START + 30 * S - 1));
	assert_int_equal(h.state, HEALTH_DOWN);
	assert_true(health_observed(&h, &unchecked, 0, 0, START + 30 * S));
	assert_int_equal(h.state, HEALTH_UNKNOWN);
	assert_false(health_observed(&h, &unchecked, 0, 4, START + 31 * S));
	assert_true(health_observed(&h, &unchecked, 0, 1, START + 32 * S));
	assert_false(health_observed(&h, &unchecked, 0, 0, START + 61 * S));
	assert_true(health_observed(&h, &unchecked, 0, 0, START + 62 * S));
}

static void a_lower_passive_counts_what_was_seen_before(void **state)
{
	struct health_model fewer = http;
	struct health h = {};

	(void)state;
	fewer.passive = 2;
	assert_false(health_observed(&h, &http, 0, 4, START));
	assert_true(health_observed(&h, &fewer, 0, 1, START));
}

static void all_down_is_panic_and_nobody_is_not(void **state)
{
	(void)state;
	assert_false(health_panic(0, 0));
	assert_false(health_panic(0, 3));
	assert_false(health_panic(2, 3));
	assert_true(health_panic(3, 3));
	assert_true(health_panic(1, 1));
}

static void states_have_names(void **state)
{
	(void)state;
	assert_string_equal(health_state_name(HEALTH_UNKNOWN), "unknown");
	assert_string_equal(health_state_name(HEALTH_UP), "up");
	assert_string_equal(health_state_name(HEALTH_DOWN), "down");
}

static void checks_come_an_interval_apart_10_percent_more_or_less(void **state)
{
	uint64_t least_ns = UINT64_MAX, most_ns = 0, sum_ns = 0;

	(void)state;
	for (uint32_t seed = 0; seed < 10000; seed++) {
		uint64_t apart_ns = health_next_check_ns(&http, START, seed) - START;

		least_ns = apart_ns < least_ns ? apart_ns : least_ns;
		most_ns = apart_ns > most_ns ? apart_ns : most_ns;
		sum_ns += apart_ns;
	}
	/* The whole width is used, and no end of it more than the other. */
	assert_in_range(least_ns, 1800000000, 1802000000);
	assert_in_range(most_ns, 2198000000, 2200000000);
	assert_in_range(sum_ns / 10000, 1990000000, 2010000000);
}

static void the_same_backend_and_time_give_the_same_next_check(void **state)
{
	uint64_t once_ns = health_next_check_ns(&http, START, 7);

	(void)state;
	assert_int_equal(health_next_check_ns(&http, START, 7), once_ns);
	assert_int_not_equal(health_next_check_ns(&http, START, 8), once_ns);
	/* One backend's own checks are not in step either. */
	assert_int_not_equal(health_next_check_ns(&http, once_ns, 7) - once_ns, once_ns - START);
}

#define STREAKS ARRAY_SIZE(streaks)

int main(void)
{
	struct CMUnitTest tests[] = {
		[0 ... STREAKS - 1] = {.test_func = test_streak},
		cmocka_unit_test(each_way_out_makes_the_way_back_longer),
		cmocka_unit_test(ten_quiet_minutes_forgive_flapping),
		cmocka_unit_test(a_check_without_end_counts_no_further_than_it_must),
		cmocka_unit_test(real_connections_take_a_backend_out),
		cmocka_unit_test(many_bad_connections_at_once_are_enough),
		cmocka_unit_test(a_good_connection_counts_bad_ones_anew),
		cmocka_unit_test(without_passive_real_connections_take_nobody_out),
		cmocka_unit_test(checks_bring_back_what_real_connections_took_out),
		cmocka_unit_test(without_checks_a_backend_is_tried_again_after_30_s),
		cmocka_unit_test(a_lower_passive_counts_what_was_seen_before),
		cmocka_unit_test(all_down_is_panic_and_nobody_is_not),
		cmocka_unit_test(states_have_names),
		cmocka_unit_test(checks_come_an_interval_apart_10_percent_more_or_less),
		cmocka_unit_test(the_same_backend_and_time_give_the_same_next_check),
	};

	for (size_t i = 0; i < STREAKS; i++) {
		tests[i].name = streaks[i].name;
		tests[i].initial_state = (void *)&streaks[i];
	}
	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
