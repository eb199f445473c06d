// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/measure.h" /* bpf/ has one, too */
#include "histogram.h"
#include "util.h"

#define SAMPLES 4000U
#define FIRST_NS 8192ULL
#define LAST_NS (1ULL << 40)

static uint64_t random_state = 0x9e3779b97f4a7c15ULL;

/* xorshift64* (Vigna); the same numbers in every run. */
static uint64_t draw(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dULL;
}

/* Every magnitude is as likely as any other. */
static uint64_t draw_any_time(void)
{
	return draw() >> draw() % 64;
}

static uint64_t draw_time_between(uint64_t first_ns, uint64_t last_ns)
{
	uint64_t ns;

	do
		ns = draw_any_time();
	while (ns < first_ns || ns >= last_ns);
	return ns;
}

/* Where the buckets end, by walking along them: four of 2048 ns, four of twice that, and so on. */
static void walk_bounds(uint64_t upper_ns[HISTOGRAM_BUCKETS])
{
	uint64_t end_ns = FIRST_NS, width_ns = FIRST_NS / 4;

	upper_ns[0] = end_ns;
	for (uint32_t i = 1; i < HISTOGRAM_BUCKETS; i++) {
		end_ns += width_ns;
		upper_ns[i] = end_ns;
		if (i % 4 == 0)
			width_ns *= 2;
	}
	assert_int_equal(upper_ns[HISTOGRAM_BUCKETS - 2], LAST_NS);
	upper_ns[HISTOGRAM_BUCKETS - 1] = UINT64_MAX;
}

static uint32_t search_bucket(const uint64_t *upper_ns, uint64_t ns)
{
	uint32_t bucket = 0;

	while (bucket < HISTOGRAM_BUCKETS - 1 && ns >= upper_ns[bucket])
		bucket++;
	return bucket;
}

static void a_time_falls_in_the_bucket_that_a_walk_along_them_finds(void **state)
{
	uint64_t upper_ns[HISTOGRAM_BUCKETS];

	(void)state;
	walk_bounds(upper_ns);
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		for (int64_t d = -2; d <= 2; d++) {
			uint64_t ns = upper_ns[i] + d; /* wraps to 0 after the last */

			assert_int_equal(histogram_bucket_of(ns), search_bucket(upper_ns, ns));
		}
	}
	for (uint32_t i = 0; i < 200000; i++) {
		uint64_t ns = draw_any_time();

		assert_int_equal(histogram_bucket_of(ns), search_bucket(upper_ns, ns));
	}
	assert_int_equal(histogram_bucket_of(0), 0);
	assert_int_equal(histogram_bucket_of(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void bounds_hold_their_times_and_leave_no_gap(void **state)
{
	uint64_t upper_ns[HISTOGRAM_BUCKETS];

	(void)state;
	walk_bounds(upper_ns);
	assert_int_equal(histogram_lower_ns(0), 0);
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		assert_int_equal(histogram_upper_ns(i), upper_ns[i]);
		assert_int_equal(histogram_bucket(histogram_lower_ns(i)), i);
		assert_int_equal(histogram_bucket(histogram_upper_ns(i) - 1), i);
		if (i)
			assert_int_equal(histogram_lower_ns(i), histogram_upper_ns(i - 1));
	}
}

static void add_time(struct histogram *h, uint64_t ns)
{
	h->sum_ns += ns;
	h->count++;
	h->bucket[histogram_bucket(ns)]++;
}

static int compare_times(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The smallest sample that @permille of all are not above. */
static uint64_t exact_quantile(const uint64_t *sorted, size_t count, uint32_t permille)
{
	size_t i = 0;

	while ((i + 1) * 1000 < permille * count)
		i++;
	return sorted[i];
}

static void assert_near(uint64_t ns, uint64_t exact_ns)
{
	uint64_t away = ns > exact_ns ? ns - exact_ns : exact_ns - ns;

	if (away * 8 > exact_ns)
		fail_msg("%llu ns is more than 12.5 %% away from %llu ns", (unsigned long long)ns,
			 (unsigned long long)exact_ns);
}

static void quantiles_are_within_an_eighth_of_the_samples_own_and_never_fall(void **state)
{
	static uint64_t samples[SAMPLES];

	(void)state;
	for (uint32_t round = 0; round < 40; round++) {
		size_t count = round < 20 ? round + 1 : 100 + draw() % (SAMPLES - 100);
		struct histogram h = {};
		uint64_t before_ns = 0;

		for (size_t i = 0; i < count; i++) {
			samples[i] = draw_time_between(FIRST_NS, LAST_NS);
			add_time(&h, samples[i]);
		}
		qsort(samples, count, sizeof(*samples), compare_times);
		for (uint32_t permille = 0; permille <= 1000; permille++) {
			uint64_t ns = 0;

			assert_int_equal(histogram_quantile(&h, permille / 1000.0, &ns), 0);
			assert_near(ns, exact_quantile(samples, count, permille));
			assert_true(ns >= before_ns);
			before_ns = ns;
		}
	}
}

static void a_share_that_is_not_exact_in_binary_asks_for_no_sample_too_many(void **state)
{
	struct histogram h = {};
	uint64_t ns = 0;

	(void)state;
	for (uint32_t i = 0; i < 7; i++)
		add_time(&h, 10000);
	for (uint32_t i = 0; i < 93; i++)
		add_time(&h, 1000000000);
	assert_int_equal(histogram_quantile(&h, 0.07, &ns), 0); /* 0.07 * 100 is 7.000000000000001 */
	assert_near(ns, 10000);
	assert_int_equal(histogram_quantile(&h, 0.070001, &ns), 0);
	assert_near(ns, 1000000000);
}

static void without_samples_there_is_no_quantile(void **state)
{
	struct histogram h = {.count = 3, .sum_ns = 5}; /* counted, but its buckets were read before */
	uint64_t ns = 42;

	(void)state;
	assert_int_equal(histogram_quantile(&h, 0.5, &ns), -ENODATA);
	assert_int_equal(ns, 42);
}

static void a_count_that_is_ahead_of_the_buckets_does_not_lead_beyond_them(void **state)
{
	struct histogram h = {};
	uint64_t ns = 0;

	(void)state;
	add_time(&h, 1000000);
	h.count += 5;
	assert_int_equal(histogram_quantile(&h, 1, &ns), 0);
	assert_near(ns, 1000000);
}

static void times_outside_the_buckets_stay_at_their_ends(void **state)
{
	struct histogram h = {};
	uint64_t ns = 0;

	(void)state;
	add_time(&h, 5);
	assert_int_equal(histogram_quantile(&h, 0.5, &ns), 0);
	assert_true(ns < FIRST_NS);
	add_time(&h, UINT64_MAX);
	assert_int_equal(histogram_quantile(&h, 1, &ns), 0);
	assert_int_equal(ns, LAST_NS);
}

static void counts_below_a_buckets_bound_are_exact(void **state)
{
	static uint64_t samples[SAMPLES];
	struct histogram h = {};

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		/* Half of them on a bound, where an error of one nanosecond shows. */
		samples[i] = i % 2 ? draw_any_time() : histogram_upper_ns(draw() % HISTOGRAM_BUCKETS) - draw() % 2;
		add_time(&h, samples[i]);
	}
	for (uint32_t b = 0; b < HISTOGRAM_BUCKETS - 1; b++) {
		uint64_t bound_ns = histogram_upper_ns(b), below = 0;

		for (size_t i = 0; i < SAMPLES; i++)
			below += samples[i] < bound_ns;
		assert_int_equal(histogram_count_below(&h, bound_ns), below);
		/* Between two bounds the bucket that is cut is left out. */
		assert_int_equal(histogram_count_below(&h, bound_ns + 1), below);
	}
	assert_int_equal(histogram_count_below(&h, FIRST_NS - 1), 0);
	assert_int_equal(histogram_count_below(&h, UINT64_MAX), SAMPLES);
}

static void adding_adds_every_figure(void **state)
{
	struct measured sum, one;
	uint64_t words[sizeof(sum) / sizeof(uint64_t)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = i + 1;
	memcpy(&sum, words, sizeof(sum));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = 1000000 * (i + 3);
	memcpy(&one, words, sizeof(one));
	measured_add(&sum, &one);
	memcpy(words, &sum, sizeof(sum));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_int_equal(words[i], i + 1 + 1000000 * (i + 3));
}

static const struct {
	const char *name;
	enum forward_mode mode;
	uint8_t protocol;
	struct available want; /* replies, opened, connections, requests, active */
} figures[] = {
	{"nat sees all of TCP", FORWARD_NAT, IPPROTO_TCP, {true, true, true, true, true}},
	{"nat knows UDP's flows, but no connections", FORWARD_NAT, IPPROTO_UDP, {true, true, false, false, true}},
	{"dnat samples TCP", FORWARD_DNAT, IPPROTO_TCP, {true, true, true, true, true}},
	{"dnat sees UDP's packets alone", FORWARD_DNAT, IPPROTO_UDP, {true, false, false, false, false}},
	{"l2dsr sees who opens", FORWARD_L2DSR, IPPROTO_TCP, {false, true, false, false, false}},
	{"l2dsr sees UDP's packets of clients alone", FORWARD_L2DSR, IPPROTO_UDP, {false, false, false, false, false}},
	{"ipip sees who opens", FORWARD_IPIP, IPPROTO_TCP, {false, true, false, false, false}},
	{"ipip sees UDP's packets of clients alone", FORWARD_IPIP, IPPROTO_UDP, {false, false, false, false, false}},
	{"gue sees who opens", FORWARD_GUE, IPPROTO_TCP, {false, true, false, false, false}},
	{"gue sees UDP's packets of clients alone", FORWARD_GUE, IPPROTO_UDP, {false, false, false, false, false}},
};

static void each_mode_and_protocol_has_its_figures(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		struct available a = available_for(figures[i].mode, figures[i].protocol);

		if (memcmp(&a, &figures[i].want, sizeof(a)))
			fail_msg("%s", figures[i].name);
	}
}

static const struct {
	const char *name;
	uint64_t established, refused, failed, reset_by_server, responses, server_errors;
	int want_error;
	double want;
} rates[] = {
	{"nothing is no rate", .want_error = -ENODATA},
	{"all went well", .established = 10, .responses = 30, .want = 0},
	{"nobody got in", .refused = 3, .failed = 5, .want = 1},
	{"a quarter failed", .established = 6, .failed = 2, .want = 0.25},
	{"a quarter was refused", .established = 6, .refused = 2, .want = 0.25},
	{"resets by the server count", .established = 10, .reset_by_server = 1, .want = 0.1},
	{"answers of 5xx count", .established = 10, .responses = 40, .server_errors = 5, .want = 0.1},
	{"resets of connections from before counting do not lead above 1", .established = 1, .reset_by_server = 4,
	 .want = 1},
};

static void the_error_rate_is_of_connections_and_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct measured m = {
			.sampled = {.established = rates[i].established,
				    .refused = rates[i].refused,
				    .reset_by_server = rates[i].reset_by_server,
				    .reset_by_client = 1000, /* nobody's fault here */
				    .responses = rates[i].responses,
				    .status[4] = 7,
				    .status[5] = rates[i].server_errors},
			.silent.failed = rates[i].failed,
		};
		double rate = -1;

		if (measured_error_rate(&m, &rate) != rates[i].want_error ||
		    rate != (rates[i].want_error ? -1 : rates[i].want))
			fail_msg("%s: %f", rates[i].name, rate);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_time_falls_in_the_bucket_that_a_walk_along_them_finds),
		cmocka_unit_test(bounds_hold_their_times_and_leave_no_gap),
		cmocka_unit_test(quantiles_are_within_an_eighth_of_the_samples_own_and_never_fall),
		cmocka_unit_test(a_share_that_is_not_exact_in_binary_asks_for_no_sample_too_many),
		cmocka_unit_test(without_samples_there_is_no_quantile),
		cmocka_unit_test(a_count_that_is_ahead_of_the_buckets_does_not_lead_beyond_them),
		cmocka_unit_test(times_outside_the_buckets_stay_at_their_ends),
		cmocka_unit_test(counts_below_a_buckets_bound_are_exact),
		cmocka_unit_test(adding_adds_every_figure),
		cmocka_unit_test(each_mode_and_protocol_has_its_figures),
		cmocka_unit_test(the_error_rate_is_of_connections_and_responses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
