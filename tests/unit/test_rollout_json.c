// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the journal keeps comes back from JSON as it was, field by field. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "json_fields.h"
#include "random_record.h"

#define ROUNDS 200

/* As text, as it is in the file. */
static json_t *through_text(json_t *json)
{
	char *text;
	json_t *again;

	assert_non_null(json);
	text = json_dumps(json, JSON_FIELDS_EXACT);
	assert_non_null(text);
	again = json_loads(text, 0, NULL);
	assert_non_null(again);
	free(text);
	json_decref(json);
	return again;
}

static void a_plan_comes_back_as_it_was(void **state)
{
	_cleanup_free_ struct rollout_plan *plan = malloc(sizeof(*plan)), *again = malloc(sizeof(*again));
	uint64_t seed = 1;

	(void)state;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		json_t *json;

		random_plan(&seed, plan);
		json = through_text(plan_to_json(plan));
		memset(again, 0x55, sizeof(*again));
		assert_int_equal(plan_from_json(json, again), 0);
		assert_memory_equal(again, plan, sizeof(*plan));
		json_decref(json);
	}
}

static json_t *some_plan(void)
{
	_cleanup_free_ struct rollout_plan *plan = malloc(sizeof(*plan));
	uint64_t seed = 2;
	json_t *json;

	do
		random_plan(&seed, plan);
	while (!plan->step_count || !plan->analysis.metric_count || !plan->arm_count || plan->analysis.alpha < 0);
	json = plan_to_json(plan);
	assert_non_null(json);
	return json;
}

static void a_plan_that_lacks_fields_has_zeroes_there(void **state)
{
	_cleanup_free_ struct rollout_plan *plan = malloc(sizeof(*plan));
	json_t *json = some_plan();

	(void)state;
	assert_int_equal(json_object_del(json, "progress_deadline_ms"), 0);
	assert_int_equal(json_object_del(json, "hooks"), 0);
	assert_int_equal(json_object_del(json_array_get(json_object_get(json, "steps"), 0), "samples"), 0);
	json_object_set_new(json, "of a newer daemon", json_true());
	memset(plan, 0x55, sizeof(*plan));
	assert_int_equal(plan_from_json(json, plan), 0);
	assert_int_equal(plan->progress_deadline_ms, 0);
	assert_int_equal(plan->hook_count, 0);
	assert_int_equal(plan->steps[0].samples, 0);
	assert_int_equal(plan->step_count, json_array_size(json_object_get(json, "steps")));
	json_decref(json);
}

/* @at: keys and indexes, "steps 0 kind". Expects that @value there is refused, and nothing read. */
static void assert_refused(const char *at, json_t *value)
{
	_cleanup_free_ struct rollout_plan *plan = malloc(sizeof(*plan)), *before = malloc(sizeof(*before));
	_cleanup_free_ char *path = strdup(at);
	json_t *json = some_plan(), *parent = json;
	char *key = strtok(path, " "), *next;

	for (; (next = strtok(NULL, " ")); key = next)
		parent = json_is_array(parent) ? json_array_get(parent, atoi(key)) : json_object_get(parent, key);
	assert_int_equal(plan_from_json(json, plan), 0);
	assert_non_null(json_object_get(parent, key));
	json_object_set_new(parent, key, value);
	memset(plan, 0x55, sizeof(*plan));
	memset(before, 0x55, sizeof(*before));
	if (plan_from_json(json, plan) != -EINVAL)
		fail_msg("%s is not refused", at);
	assert_memory_equal(plan, before, sizeof(*plan));
	json_decref(json);
}

static void what_no_plan_says_is_refused(void **state)
{
	json_t *steps = json_array();
	char name[NAME_SIZE + 1];

	(void)state;
	for (unsigned int i = 0; i < PLAN_STEPS_MAX + 1; i++)
		json_array_append_new(steps, json_object());
	memset(name, 'a', NAME_SIZE);
	name[NAME_SIZE] = 0;
	assert_refused("strategy", json_string("rainbow"));
	assert_refused("strategy", json_integer(0));
	assert_refused("steps 0 kind", json_string("Weight"));
	assert_refused("steps 0 share", json_integer(-1));
	assert_refused("steps 0 share", json_integer(1LL << 32));
	assert_refused("steps 0 share", json_real(1));
	assert_refused("steps 0 duration_ms", json_integer(-1));
	assert_refused("steps", steps);
	assert_refused("steps", json_object());
	assert_refused("stable", json_string(name));
	assert_refused("stable", json_null());
	assert_refused("promote_winner", json_integer(1));
	assert_refused("analysis", json_array());
	assert_refused("analysis alpha", json_string("0.01"));
	assert_refused("analysis metrics 0 source", json_string("rumour"));
	assert_refused("analysis metrics 0 kind", json_string(""));
	assert_refused("analysis on_no_data", json_string("freeze"));
	assert_refused("on_failure", json_string("hold"));
}

/* What of a random sample belongs to a metric of @kind. */
static struct sample random_sample(uint64_t *seed, enum metric_kind kind)
{
	struct sample sample = {};

	switch (kind) {
	case METRIC_COUNTS:
		random_bytes(seed, &sample.trials, sizeof(sample.trials));
		sample.events = random_below(seed, sample.trials + 1);
		break;
	case METRIC_TIMES:
		random_bytes(seed, &sample.histogram, sizeof(sample.histogram));
		for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
			if (random_below(seed, 3))
				sample.histogram.bucket[i] = 0;
		}
		break;
	case METRIC_SCORES:
		random_bytes(seed, &sample.trials, sizeof(sample.trials));
		random_bytes(seed, &sample.sum, sizeof(sample.sum));
		random_bytes(seed, &sample.squares, sizeof(sample.squares));
		sample.sum = -sample.sum;
		break;
	case METRIC_VALUE:
		random_bytes(seed, &sample.value, sizeof(sample.value));
		break;
	}
	return sample;
}

static void assert_sample_comes_back(const struct metric_plan *m, const struct sample *sample)
{
	json_t *json = through_text(sample_to_json(m, sample));
	struct sample again;

	memset(&again, 0x55, sizeof(again));
	assert_int_equal(sample_from_json(m, json, &again), 0);
	assert_memory_equal(&again.histogram, &sample->histogram, sizeof(sample->histogram));
	assert_int_equal(again.trouble, sample->trouble);
	assert_int_equal(again.trials, sample->trials);
	assert_int_equal(again.events, sample->events);
	assert_memory_equal(&again.sum, &sample->sum, sizeof(double));
	assert_memory_equal(&again.squares, &sample->squares, sizeof(double));
	assert_memory_equal(&again.value, &sample->value, sizeof(double));
	json_decref(json);
}

static void a_sample_comes_back_as_it_was(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		const struct metric_plan m = {.kind = i % (METRIC_VALUE + 1)};
		struct sample sample = random_sample(&seed, m.kind);

		assert_sample_comes_back(&m, &sample);
		sample = (struct sample){.trouble = i & 8 ? JUDGED_NO_DATA : JUDGED_ERROR};
		assert_sample_comes_back(&m, &sample);
	}
}

static void a_sample_reads_as_people_would_write_it(void **state)
{
	static const struct {
		enum metric_kind kind;
		const char *text;
		int result;
	} cases[] = {
		{METRIC_COUNTS, "{\"trials\": 100, \"events\": 3}", 0},
		{METRIC_COUNTS, "{\"trials\": 9007199254740993, \"events\": 9007199254740993}", 0},
		{METRIC_COUNTS, "{\"trials\": 2, \"events\": 3}", -EINVAL},
		{METRIC_COUNTS, "{\"trials\": -2, \"events\": -3}", -EINVAL},
		{METRIC_COUNTS, "[]", -EINVAL},
		{METRIC_COUNTS, "{\"trouble\": \"no_data\"}", 0},
		{METRIC_COUNTS, "{\"trouble\": \"pass\"}", -EINVAL},
		{METRIC_COUNTS, "{\"trouble\": \"lunch\"}", -EINVAL},
		{METRIC_SCORES, "{\"trials\": 2, \"sum\": 1, \"squares\": 0.5}", 0},
		{METRIC_SCORES, "{\"trials\": 2, \"sum\": null, \"squares\": 0.5}", -EINVAL},
		{METRIC_VALUE, "{\"value\": -1e-300}", 0},
		{METRIC_VALUE, "{\"value\": \"inf\"}", -EINVAL},
		{METRIC_TIMES, "{\"histogram\": {\"sum_ns\": 5, \"count\": 3, \"buckets\": [[0, 1], [109, 2]]}}", 0},
		{METRIC_TIMES, "{\"histogram\": {\"sum_ns\": 5, \"count\": 3, \"buckets\": [[110, 2]]}}", -EINVAL},
		{METRIC_TIMES, "{\"histogram\": {\"sum_ns\": 5, \"count\": 3, \"buckets\": [[1]]}}", -EINVAL},
		{METRIC_TIMES, "{\"histogram\": {\"sum_ns\": 5, \"count\": 3}}", -EINVAL},
	};

	(void)state;
	assert_int_equal(HISTOGRAM_BUCKETS, 110);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct metric_plan m = {.kind = cases[i].kind};
		json_t *json = json_loads(cases[i].text, 0, NULL);
		struct sample sample;

		assert_non_null(json);
		if (sample_from_json(&m, json, &sample) != cases[i].result)
			fail_msg("%s", cases[i].text);
		json_decref(json);
	}
}

/* What cannot be written must not be in the way of a rollback: it is written as well as can be. */
static void text_that_is_no_utf_8_is_written_all_the_same(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{"", ""},
		{"h\xc3\xa9t\xc3\xa9", "h\xc3\xa9t\xc3\xa9"},
		{"h\xc3\xa9t\xc3", "h\xc3\xa9t"},
		{"h\xc3\xa9t\xe2\x82", "h\xc3\xa9t"},
		{"h\xff\xc3\xa9te", "h???te"},
		{"\xff", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *json = json_text(cases[i].text);

		assert_non_null(json);
		assert_string_equal(json_string_value(json), cases[i].want);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_comes_back_as_it_was),
		cmocka_unit_test(a_plan_that_lacks_fields_has_zeroes_there),
		cmocka_unit_test(what_no_plan_says_is_refused),
		cmocka_unit_test(a_sample_comes_back_as_it_was),
		cmocka_unit_test(a_sample_reads_as_people_would_write_it),
		cmocka_unit_test(text_that_is_no_utf_8_is_written_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
