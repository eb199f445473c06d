// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What was counted of a shadow, as it is reported; and which connections are mirrored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "names.h"
#include "shadow_choice.h"
#include "shadow_compare.h"
#include "shadow_figures.h"
#include "util.h"

static void every_end_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (enum shadow_end i = 0; i < SHADOW_ENDS; i++)
		for (enum shadow_end j = 0; j < i; j++)
			assert_string_not_equal(name_of_shadow_end(i), name_of_shadow_end(j));
}

static void coverage_is_of_the_connections_that_have_ended(void **state)
{
	struct shadow_counters c = {.eligible = 1000, .ended = {[SHADOW_WHOLE] = 990, [SHADOW_RESET] = 7}};
	double coverage;

	(void)state;
	assert_int_equal(shadow_figures_coverage(&c, 3, &coverage), 0);
	assert_true(coverage == 990.0 / 997);
	assert_int_equal(shadow_figures_ended(&c), 997);
	assert_int_equal(shadow_figures_coverage(&c, 1000, &coverage), -ENODATA);
	/* Some have ended since those that are mirrored were counted. */
	assert_int_equal(shadow_figures_coverage(&c, 20, &coverage), 0);
	assert_true(coverage == 1);
}

/* Both ends of a bucket are counted in it, and what is beyond them is not. */
static void a_difference_in_length_is_within_its_bucket(void **state)
{
	const uint32_t middle = 1U << 31;

	(void)state;
	for (uint32_t bucket = 0; bucket < LENGTH_DIFFERENCES; bucket++) {
		int64_t from, to;

		if (bucket == LENGTH_DIFFERENCES / 2)
			continue; /* nothing is counted there */
		shadow_figures_difference(bucket, &from, &to);
		assert_true(from <= to);
		if (from >= -(int64_t)middle && to < (int64_t)middle) {
			assert_int_equal(length_difference_of(middle, middle + from), bucket);
			assert_int_equal(length_difference_of(middle, middle + to), bucket);
			assert_int_not_equal(length_difference_of(middle, middle + to + 1), bucket);
		}
	}
}

static json_t *at(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	assert_non_null(value);
	return value;
}

static void everything_that_was_counted_is_reported(void **state)
{
	struct shadow_counters c = {
		.eligible = 100,
		.ended = {[SHADOW_WHOLE] = 90, [SHADOW_REFUSED] = 4, [SHADOW_STOPPED] = 2},
		.packets = 11,
		.bytes = 12,
		.repaired = 13,
		.clones_lost = 14,
		.stray = 15,
		.connected = 16,
		.requests = 17,
		.responses = 18,
		.response_bytes = 19,
		.unanswered = 20,
		.status = {1, 0, 15, 0, 0, 2},
		.compared = 9,
		.matrix = {[2] = {[2] = 6, [5] = 2}, [0] = {[0] = 1}},
		.difference = {[0] = 5, [3] = 2, [32 + 4] = 2},
	};
	json_auto_t *object = json_object();
	json_auto_t *matrix = json_pack("[{s:s, s:s, s:i}, {s:s, s:s, s:i}, {s:s, s:s, s:i}]", "production", "other",
					"shadow", "other", "requests", 1, "production", "2xx", "shadow", "2xx",
					"requests", 6, "production", "2xx", "shadow", "5xx", "requests", 2);
	json_auto_t *differences =
		json_pack("[{s:i, s:i, s:i}, {s:i, s:i, s:i}, {s:i, s:i, s:i}]", "from", -15, "to", -8, "requests", 2,
			  "from", 0, "to", 0, "requests", 5, "from", 4, "to", 7, "requests", 2);
	static const struct {
		const char *key;
		int count;
	} counts[] = {{"eligible", 100},  {"mirroring", 4}, {"whole", 90},       {"packets", 11},
		      {"bytes", 12},      {"repaired", 13}, {"clones_lost", 14}, {"stray", 15},
		      {"connected", 16},  {"requests", 17}, {"responses", 18},   {"response_bytes", 19},
		      {"unanswered", 20}, {"compared", 9},  {"same_status", 7}};

	(void)state;
	for (int i = 0; i < 10; i++)
		histogram_add(&c.connect, 1000000);
	shadow_figures_set(&c, 4, object);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		assert_int_equal(json_integer_value(at(object, counts[i].key)), counts[i].count);
	assert_true(json_equal(at(object, "matrix"), matrix));
	assert_true(json_equal(at(object, "length_difference"), differences));
	assert_int_equal(json_integer_value(at(at(object, "ended"), "refused")), 4);
	assert_int_equal(json_integer_value(at(at(object, "ended"), "stopped")), 2);
	assert_null(json_object_get(at(object, "ended"), "whole"));
	assert_int_equal(json_object_size(at(object, "ended")), SHADOW_ENDS - 1);
	assert_int_equal(json_integer_value(at(at(object, "status"), "2xx")), 15);
	assert_int_equal(json_integer_value(at(at(object, "status"), "5xx")), 2);
	assert_int_equal(json_integer_value(at(at(object, "status"), "other")), 1);
	assert_true(json_real_value(at(at(object, "connect_ms"), "p50")) > 0.87);
	assert_true(json_real_value(at(at(object, "connect_ms"), "p99")) < 1.13);
	assert_true(json_is_null(at(at(object, "first_byte_ms"), "p90")));
	assert_true(json_real_value(at(object, "coverage")) == 90.0 / 96);
}

static void before_anything_has_ended_there_is_no_coverage(void **state)
{
	const struct shadow_counters c = {.eligible = 2};
	json_auto_t *object = json_object();

	(void)state;
	shadow_figures_set(&c, 2, object);
	assert_true(json_is_null(at(object, "coverage")));
	assert_int_equal(json_array_size(at(object, "matrix")), 0);
	assert_int_equal(json_array_size(at(object, "length_difference")), 0);
}

/* --- which connections --- */

static struct flow_key client_of(const char *address, uint16_t port)
{
	struct flow_key key = {.port = htons(port), .service = 1};

	assert_int_equal(address_parse(address, &key.client), 0);
	return key;
}

static uint32_t chosen(const struct service *s, const struct shadow_model *shadow, const char *address)
{
	uint32_t count = 0;

	for (uint32_t port = 1024; port < 11024; port++) {
		struct flow_key key = client_of(address, port);

		count += shadow_chooses(s, shadow, &key);
	}
	return count;
}

static void connections_are_chosen_by_rule_before_sample(void **state)
{
	struct service s = {.seed = 7, .flags = SERVICE_SHADOW, .shadow_sample = 2500};
	struct shadow_model shadow = {.rules = {{.rule = SHADOW_ALWAYS}, {.rule = SHADOW_NEVER}}, .rule_count = 2};
	uint32_t part;

	(void)state;
	assert_int_equal(prefix_parse("10.1.0.0/16", &shadow.rules[0].source), 0);
	assert_int_equal(prefix_parse("10.2.0.0/16", &shadow.rules[1].source), 0);
	assert_int_equal(chosen(&s, &shadow, "10.1.2.3"), 10000);
	assert_int_equal(chosen(&s, &shadow, "10.2.2.3"), 0);
	part = chosen(&s, &shadow, "10.3.2.3");
	assert_in_range(part, 2200, 2800);
	s.flags = 0;
	assert_int_equal(chosen(&s, &shadow, "10.1.2.3"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_end_has_a_name_of_its_own),
		cmocka_unit_test(coverage_is_of_the_connections_that_have_ended),
		cmocka_unit_test(a_difference_in_length_is_within_its_bucket),
		cmocka_unit_test(everything_that_was_counted_is_reported),
		cmocka_unit_test(before_anything_has_ended_there_is_no_coverage),
		cmocka_unit_test(connections_are_chosen_by_rule_before_sample),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
