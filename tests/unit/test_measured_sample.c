// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "measured_sample.h"
#include "util.h"

/* What a variant did, each number another one, so that none can stand for another. */
static const struct measured busy = {
	.traffic.opened = 120,
	.sampled =
		{
			.measured = 119,
			.established = 100,
			.refused = 7,
			.reset_by_server = 5,
			.requests = 310,
			.responses = 300,
			.status = {[0] = 40, [2] = 240, [4] = 9, [5] = 11},
			.handshake = {.sum_ns = 1000, .count = 100, .bucket = {[3] = 60, [9] = 40}},
			.first_byte = {.sum_ns = 9000, .count = 300, .bucket = {[20] = 299, [40] = 1}},
		},
	.silent.failed = 3,
};

static void sample(enum measure measure, enum metric_kind kind, const struct measured *delta, struct sample *ret)
{
	const struct metric_plan m = {.source = SOURCE_DATAPLANE, .kind = kind, .measure = measure};

	memset(ret, 0x5a, sizeof(*ret));
	measured_sample(&m, delta, ret);
}

static void test_each_figure_is_what_its_name_says(void **state)
{
	static const struct {
		enum measure measure;
		uint64_t events, trials;
	} rows[] = {
		{MEASURE_ERROR_RATE, 3 + 7 + 5 + 11, 3 + 7 + 100 + 300},
		{MEASURE_FAILED_HANDSHAKES, 3 + 7, 3 + 7 + 100},
		{MEASURE_RESETS, 5, 100},
		{MEASURE_5XX, 11, 240 + 9 + 11},
	};
	struct sample s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		sample(rows[i].measure, METRIC_COUNTS, &busy, &s);
		assert_int_equal(s.trouble, JUDGED_NOTHING);
		assert_int_equal(s.events, rows[i].events);
		assert_int_equal(s.trials, rows[i].trials);
	}
	sample(MEASURE_HANDSHAKE, METRIC_TIMES, &busy, &s);
	assert_memory_equal(&s.histogram, &busy.sampled.handshake, sizeof(s.histogram));
	sample(MEASURE_FIRST_BYTE, METRIC_TIMES, &busy, &s);
	assert_memory_equal(&s.histogram, &busy.sampled.first_byte, sizeof(s.histogram));
}

static void test_error_rate_is_that_of_the_reports(void **state)
{
	struct sample s;
	double rate;

	(void)state;
	sample(MEASURE_ERROR_RATE, METRIC_COUNTS, &busy, &s);
	assert_int_equal(measured_error_rate(&busy, &rate), 0);
	assert_true((double)s.events / (double)s.trials == rate);
}

static void test_nothing_measured_is_no_data(void **state)
{
	const struct measured nothing = {};
	struct sample s;

	(void)state;
	for (enum measure m = 0; m < MEASURES; m++) {
		sample(m, m < MEASURE_HANDSHAKE ? METRIC_COUNTS : METRIC_TIMES, &nothing, &s);
		assert_int_equal(s.trouble, JUDGED_NO_DATA);
	}
}

/* Connections of an interval before are reset in this one. */
static void test_an_event_of_an_older_connection_is_a_trial(void **state)
{
	const struct measured delta = {.sampled = {.established = 2, .reset_by_server = 30}};
	struct sample s;

	(void)state;
	sample(MEASURE_RESETS, METRIC_COUNTS, &delta, &s);
	assert_int_equal(s.events, 30);
	assert_int_equal(s.trials, 30);
}

/* The programs count on while a histogram is read. */
static void test_times_are_as_many_as_are_in_buckets(void **state)
{
	const struct measured delta = {.sampled.handshake = {.count = 9, .bucket = {[5] = 3, [6] = 4}}};
	struct sample s;

	(void)state;
	sample(MEASURE_HANDSHAKE, METRIC_TIMES, &delta, &s);
	assert_int_equal(s.histogram.count, 7);
}

static void test_between_two_looks_all_is_subtracted(void **state)
{
	struct measured before, now, sum = {}, delta;

	(void)state;
	memset(&before, 0x11, sizeof(before));
	sum = before;
	measured_add(&sum, &busy);
	now = sum;
	now.active = 42;
	assert_int_equal(measured_since(&now, &before, &delta), 0);
	assert_memory_equal(&delta.traffic, &busy.traffic, sizeof(delta.traffic));
	assert_memory_equal(&delta.sampled, &busy.sampled, sizeof(delta.sampled));
	assert_memory_equal(&delta.silent, &busy.silent, sizeof(delta.silent));
	assert_int_equal(delta.active, 42);
}

/* Any one of them. */
static void test_what_was_counted_back_is_refused(void **state)
{
	struct measured before, now, delta, untouched;
	const size_t counters[] = {
		offsetof(struct measured, traffic.opened),
		offsetof(struct measured, sampled.established),
		offsetof(struct measured, sampled.first_byte.bucket[HISTOGRAM_BUCKETS - 1]),
		offsetof(struct measured, silent.failed),
	};
	struct shadow_counters shadow_before = {.compared = 7}, shadow_now = {.eligible = 100, .compared = 6}, shadow;

	(void)state;
	memset(&untouched, 0x77, sizeof(untouched));
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		memset(&before, 0x11, sizeof(before));
		now = before;
		(*(__u64 *)((char *)&now + counters[i]))--;
		delta = untouched;
		assert_int_equal(measured_since(&now, &before, &delta), -ERANGE);
		assert_memory_equal(&delta, &untouched, sizeof(delta));
	}
	assert_int_equal(shadow_counted_since(&shadow_now, &shadow_before, &shadow), -ERANGE);
	shadow_now.compared = 9;
	assert_int_equal(shadow_counted_since(&shadow_now, &shadow_before, &shadow), 0);
	assert_int_equal(shadow.compared, 2);
	assert_int_equal(shadow.eligible, 100);
}

static void test_a_connection_count_that_falls_is_no_counter(void **state)
{
	const struct measured before = {.active = 9}, now = {.active = 2};
	struct measured delta;

	(void)state;
	assert_int_equal(measured_since(&now, &before, &delta), 0);
	assert_int_equal(delta.active, 2);
}

/* Requests that both answered: 80 alike, 6 that only the shadow failed, 2 that only production did, 3 both, 9 whose
 * shadow's response has no status. */
static const struct shadow_counters mirrored = {
	.ended = {[SHADOW_WHOLE] = 50, [SHADOW_NO_ANSWER] = 1, [SHADOW_REFUSED] = 4, [SHADOW_RESET] = 2},
	.unanswered = 10,
	.compared = 80 + 6 + 2 + 3 + 9,
	.matrix = {[2] = {[2] = 80, [5] = 6, [0] = 9}, [5] = {[2] = 2, [5] = 3}},
	.first_byte = {.count = 5, .bucket = {[30] = 5}},
	.production_first_byte = {.count = 6, .bucket = {[20] = 6}},
};

static void test_a_shadow_is_beside_production_of_the_same_requests(void **state)
{
	const struct metric_plan errors = {.kind = METRIC_COUNTS, .measure = MEASURE_ERROR_RATE};
	const struct metric_plan status = {.kind = METRIC_COUNTS, .measure = MEASURE_5XX};
	const struct metric_plan times = {.kind = METRIC_TIMES, .measure = MEASURE_FIRST_BYTE};
	struct sample shadow, production;

	(void)state;
	shadow_sample(&errors, &mirrored, &shadow, &production);
	assert_int_equal(shadow.events, 6 + 3 + 10 + 1 + 4 + 2);
	assert_int_equal(shadow.trials, 100 + 10 + 1 + 4 + 2);
	assert_int_equal(production.events, 2 + 3);
	assert_int_equal(production.trials, 100 + 10 + 1 + 4 + 2);
	shadow_sample(&status, &mirrored, &shadow, &production);
	assert_int_equal(shadow.events, 9);
	assert_int_equal(shadow.trials, 91);
	assert_int_equal(production.events, 5);
	assert_int_equal(production.trials, 100);
	shadow_sample(&times, &mirrored, &shadow, &production);
	assert_int_equal(shadow.histogram.bucket[30], 5);
	assert_int_equal(production.histogram.bucket[20], 6);
}

static void test_a_shadow_has_no_other_figures(void **state)
{
	const struct metric_plan m = {.kind = METRIC_COUNTS, .measure = MEASURE_RESETS};
	struct sample shadow, production;

	(void)state;
	shadow_sample(&m, &mirrored, &shadow, &production);
	assert_int_equal(shadow.trouble, JUDGED_NO_DATA);
	assert_int_equal(production.trouble, JUDGED_NO_DATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_figure_is_what_its_name_says),
		cmocka_unit_test(test_error_rate_is_that_of_the_reports),
		cmocka_unit_test(test_nothing_measured_is_no_data),
		cmocka_unit_test(test_an_event_of_an_older_connection_is_a_trial),
		cmocka_unit_test(test_times_are_as_many_as_are_in_buckets),
		cmocka_unit_test(test_between_two_looks_all_is_subtracted),
		cmocka_unit_test(test_what_was_counted_back_is_refused),
		cmocka_unit_test(test_a_connection_count_that_falls_is_no_counter),
		cmocka_unit_test(test_a_shadow_is_beside_production_of_the_same_requests),
		cmocka_unit_test(test_a_shadow_has_no_other_figures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
