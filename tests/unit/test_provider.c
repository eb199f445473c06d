// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What providers are asked and what their answers mean, as tables of texts. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "provider.h"
#include "text.h"

#define NOTHING JUDGED_NOTHING
#define NO_DATA JUDGED_NO_DATA
#define ERROR JUDGED_ERROR

/* --- what is asked ------------------------------------------------------------------------------------------------
 */

static void names_are_filled_in_and_the_query_is_encoded(void **state)
{
	static const struct {
		enum metric_source source;
		const char *url, *query, *want;
		bool by_variant;
	} cases[] = {
		{SOURCE_WEBHOOK, "http://h/c?v={{variant}}&s={{service}}", "", "http://h/c?v=canary-1&s=web", true},
		{SOURCE_WEBHOOK, "http://h/%7B%7Bvariant}}/{{ variant }}/{{variant", "",
		 "http://h/%7B%7Bvariant}}/{{ variant }}/{{variant", false},
		{SOURCE_WEBHOOK, "http://h/{{service}}", "{{variant}}", "http://h/web", false},
		{SOURCE_PROMETHEUS, "http://h:9090", "x{v=\"{{variant}}\"}",
		 "http://h:9090/api/v1/query?query=x%7Bv%3D%22canary-1%22%7D", true},
		{SOURCE_PROMETHEUS, "http://h/prom//", "a + b % 2 & \xc3\xa4~",
		 "http://h/prom/api/v1/query?query=a%20%2B%20b%20%25%202%20%26%20%C3%A4~", false},
		{SOURCE_PROMETHEUS, "http://{{variant}}.h", "up", "http://canary-1.h/api/v1/query?query=up", true},
		{SOURCE_PROMETHEUS, "http://h", "{{{service}}}{{variant}}{{variant}}",
		 "http://h/api/v1/query?query=%7Bweb%7Dcanary-1canary-1", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct metric_plan m = {.source = cases[i].source};
		_cleanup_free_ char *url = NULL;

		text_show(cases[i].url, m.url, sizeof(m.url));
		text_show(cases[i].query, m.query, sizeof(m.query));
		url = provider_url(&m, "web", "canary-1");
		assert_string_equal(url, cases[i].want);
		assert_int_equal(provider_is_by_variant(&m), cases[i].by_variant);
	}
}

static void names_of_any_bytes_cannot_leave_their_place_in_a_url(void **state)
{
	struct metric_plan m = {.source = SOURCE_WEBHOOK, .url = "http://h/{{variant}}?s={{service}}"};
	_cleanup_free_ char *url = provider_url(&m, "a&b=c#\n", "../x?y");

	(void)state;
	assert_string_equal(url, "http://h/..%2Fx%3Fy?s=a%26b%3Dc%23%0A");
}

static void what_others_wrote_is_shown_as_characters(void **state)
{
	static const struct {
		const char *text, *want;
		size_t room;
	} cases[] = {
		{"plain", "plain", 16},
		{"a\x1b[2J\n\tb\x7f", "a [2J  b ", 16},
		{"\xc2\x9bx\xc2\xa0", " x\xc2\xa0", 16},
		{"12345", "1234", 5},
		{"123\xc3\xa4", "123", 5},
		{"12\xc3\xa4", "12\xc3\xa4", 5},
		{"1\xe2\x82\xac", "1\xe2\x82\xac", 5},
		{"12\xf0\x9f\x98\x80", "12", 6},
		{"a\x80\xff", "a??", 16},
		{"a\xc3", "a?", 16},
		{"a\xe2\x82", "a??", 16},
		{"", "", 1},
		{"x", "", 1},
	};
	char text[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(text_show(cases[i].text, text, cases[i].room), cases[i].want);
}

/* --- Prometheus ---------------------------------------------------------------------------------------------------
 */

#define SUCCESS(type, result) "{\"status\":\"success\",\"data\":{\"resultType\":\"" type "\",\"result\":" result "}}"
#define VECTOR(value) SUCCESS("vector", "[{\"metric\":{\"a\":\"b\"},\"value\":[1435781451.781," value "]}]")

static const struct {
	const char *error;
	long status;
	const char *body;
	enum judged trouble;
	double value;
	const char *why;
} prometheus_cases[] = {
	{NULL, 200, VECTOR("\"0.25\""), NOTHING, 0.25, ""},
	{NULL, 200, VECTOR("\"-3e-07\""), NOTHING, -3e-07, ""},
	{NULL, 200, VECTOR("\"0\""), NOTHING, 0, ""},
	{NULL, 200, SUCCESS("scalar", "[1435781451.781,\"7\"]"), NOTHING, 7, ""},
	{NULL, 200,
	 "{\"warnings\":[\"a store\\nis away\",\"b\"],\"status\":\"success\","
	 "\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"7\"]}}",
	 NOTHING, 7, "it warns: a store is away"},
	{NULL, 200, VECTOR("\"NaN\""), NO_DATA, 0, "its value is NaN"},
	{NULL, 200, VECTOR("\"+Inf\""), NO_DATA, 0, "its value is infinite"},
	{NULL, 200, VECTOR("\"-Inf\""), NO_DATA, 0, "its value is infinite"},
	{NULL, 200, VECTOR("\"1e999\""), NO_DATA, 0, "its value is infinite"},
	{NULL, 200, SUCCESS("scalar", "[1,\"NaN\"]"), NO_DATA, 0, "its value is NaN"},
	{NULL, 200, SUCCESS("vector", "[]"), NO_DATA, 0, "the query has no result"},
	{NULL, 200, VECTOR("\"zwei\""), ERROR, 0, "its value is no number: zwei"},
	{NULL, 200, VECTOR("\"2 \""), ERROR, 0, "its value is no number: 2 "},
	{NULL, 200, VECTOR("\"\""), ERROR, 0, "its value is no number: "},
	{NULL, 200, VECTOR("2"), ERROR, 0, "its answer has no value (is it a native histogram?)"},
	{NULL, 200, SUCCESS("vector", "[{\"metric\":{},\"histogram\":[1,{}]}]"), ERROR, 0,
	 "its answer has no value (is it a native histogram?)"},
	{NULL, 200, SUCCESS("vector", "[{\"value\":[1,\"1\"]},{\"value\":[1,\"2\"]}]"), ERROR, 0,
	 "the query has 2 results, and not one: sum() or max() makes one"},
	{NULL, 200, SUCCESS("matrix", "[]"), ERROR, 0, "the query's result is a matrix, and neither vector nor scalar"},
	{NULL, 200, SUCCESS("string", "[1,\"2\"]"), ERROR, 0,
	 "the query's result is a string, and neither vector nor scalar"},
	{NULL, 200, SUCCESS("vector", "{}"), ERROR, 0, "its answer is none of a query"},
	{NULL, 200, SUCCESS("vector", "[7]"), ERROR, 0, "its answer has no value (is it a native histogram?)"},
	{NULL, 200, "{\"status\":\"success\"}", ERROR, 0, "its answer is none of a query"},
	{NULL, 200, "{\"status\":7}", ERROR, 0, "its answer is none of a query"},
	{NULL, 200, "[1]", ERROR, 0, "its answer is none of a query"},
	{NULL, 200, "<html>", ERROR, 0, "its answer is none of a query"},
	{NULL, 200, "", ERROR, 0, "its answer is none of a query"},
	{NULL, 200, "{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"many-to-many\"}", ERROR, 0,
	 "many-to-many"},
	{NULL, 400, "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:5: parse error\"}", ERROR, 0,
	 "status 400: 1:5: parse error"},
	{NULL, 503, VECTOR("\"1\""), ERROR, 0, "status 503"},
	{NULL, 404, "404 page not found", ERROR, 0, "status 404"},
	{"connection refused", 0, "", ERROR, 0, "connection refused"},
	{"no answer in 5 s", 200, VECTOR("\"1\""), ERROR, 0, "no answer in 5 s"},
};

static void an_answer_of_prometheus_is_a_value_or_no_data_or_an_error(void **state)
{
	static struct sample sample;
	char why[PROVIDER_WHY_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(prometheus_cases); i++) {
		struct answer answer = {
			.url = "http://h",
			.error = prometheus_cases[i].error,
			.status = prometheus_cases[i].status,
			.body = prometheus_cases[i].body,
			.length = strlen(prometheus_cases[i].body),
		};

		memset(&sample, 0xff, sizeof(sample));
		provider_prometheus(&answer, &sample, why);
		assert_string_equal(why, prometheus_cases[i].why);
		assert_int_equal(sample.trouble, prometheus_cases[i].trouble);
		assert_true(sample.value == prometheus_cases[i].value);
	}
}

static void a_long_error_is_cut_between_characters(void **state)
{
	char body[1024] = "{\"status\":\"error\",\"error\":\"x", why[PROVIDER_WHY_SIZE];
	struct answer answer = {.status = 400, .body = body};
	static struct sample sample;

	(void)state;
	for (int i = 0; i < 400; i++)
		strcat(body, "\xc3\xa4");
	strcat(body, "\"}");
	answer.length = strlen(body);
	provider_prometheus(&answer, &sample, why);
	assert_int_equal(sample.trouble, JUDGED_ERROR);
	assert_in_range(strlen(why), PROVIDER_WHY_SIZE - 3, PROVIDER_WHY_SIZE - 1);
	assert_int_equal((unsigned char)why[strlen(why) - 1], 0xa4);
}

/* As deep as a megabyte allows, closed and not; and as deep as is still read. */
static void nesting_without_end_is_an_error_and_no_more(void **state)
{
	static const struct {
		const char *open, *close;
		size_t depth;
	} cases[] = {{"[", "", 1 << 20}, {"[", "]", 1 << 19}, {"{\"a\":", "}", 170000}, {"[", "]", 2000}};
	struct metric_plan m = {.name = "m", .kind = METRIC_VALUE};
	char why[PROVIDER_WHY_SIZE];
	static struct sample sample;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *body = calloc(1, REQUEST_ANSWER_MAX + 1), *end = body;
		struct answer answer = {.status = 200, .body = body};

		for (size_t j = 0; j < cases[i].depth; j++)
			end = stpcpy(end, cases[i].open);
		for (size_t j = 0; j < cases[i].depth; j++)
			end = stpcpy(end, cases[i].close);
		answer.length = end - body;
		provider_prometheus(&answer, &sample, why);
		assert_int_equal(sample.trouble, JUDGED_ERROR);
		provider_webhook(&m, &answer, &sample, why);
		assert_int_equal(sample.trouble, JUDGED_ERROR);
		free(body);
	}
}

/* --- webhooks and pushes ------------------------------------------------------------------------------------------
 */

static const struct metric_plan kinds[] = {
	[METRIC_COUNTS] = {.name = "hallucinations", .kind = METRIC_COUNTS},
	[METRIC_SCORES] = {.name = "score", .kind = METRIC_SCORES, .range_low = -1, .range_high = 5},
	[METRIC_VALUE] = {.name = "cost", .kind = METRIC_VALUE},
};

#define TAKES_COUNTS "hallucinations takes {\"events\": N, \"trials\": N}"
#define NO_COUNTS "hallucinations: events and trials must be whole numbers, not below 0"
#define TAKES_VALUES " takes {\"value\": X} or {\"values\": [X, ..]}"
#define TOO_MANY "hallucinations: more than 1e+12 of a variant between two analyses"

/* The same by webhook and by push; @no_data: of a webhook. */
static const struct {
	enum metric_kind kind;
	const char *json;
	const char *why; /* "": taken */
	uint64_t trials, events;
	double sum, squares, value;
	const char *no_data;
} inputs[] = {
	{METRIC_COUNTS, "{\"events\":3,\"trials\":100}", "", 100, 3, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":3.0,\"trials\":1e2,\"metric\":\"m\"}", "", 100, 3, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":0,\"trials\":1000000000000}", "", 1000000000000, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":0,\"trials\":0}", "", 0, 0, 0, 0, 0, "it has no trials"},
	{METRIC_COUNTS, "{\"events\":0,\"trials\":1000000000001}", TOO_MANY, 0, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":0,\"trials\":1e300}", TOO_MANY, 0, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":5,\"trials\":4}", "hallucinations: 5 events are more than 4 trials", 0, 0, 0, 0, 0,
	 NULL},
	{METRIC_COUNTS, "{\"events\":0,\"trials\":-1}", NO_COUNTS, 0, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":-1,\"trials\":1}", NO_COUNTS, 0, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":0.5,\"trials\":1}", NO_COUNTS, 0, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":\"1\",\"trials\":1}", NO_COUNTS, 0, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":null,\"trials\":1}", NO_COUNTS, 0, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"events\":1}", TAKES_COUNTS, 0, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{\"value\":0.5}", TAKES_COUNTS, 0, 0, 0, 0, 0, NULL},
	{METRIC_COUNTS, "{}", TAKES_COUNTS, 0, 0, 0, 0, 0, NULL},
	{METRIC_SCORES, "{\"value\":0.5}", "", 1, 0, 0.5, 0.25, 0, NULL},
	{METRIC_SCORES, "{\"values\":[-1,5,2]}", "", 3, 0, 6, 30, 0, NULL},
	{METRIC_SCORES, "{\"values\":[]}", "", 0, 0, 0, 0, 0, "it has no values"},
	{METRIC_SCORES, "{\"value\":5.1}", "score: 5.1 is not within its range, -1 to 5", 0, 0, 0, 0, 0, NULL},
	{METRIC_SCORES, "{\"values\":[1,-1.5]}", "score: -1.5 is not within its range, -1 to 5", 0, 0, 0, 0, 0, NULL},
	{METRIC_SCORES, "{\"values\":[1,\"NaN\"]}", "score: a value is no number", 0, 0, 0, 0, 0, NULL},
	{METRIC_SCORES, "{\"values\":[1,null]}", "score: a value is no number", 0, 0, 0, 0, 0, NULL},
	{METRIC_SCORES, "{\"values\":1}", "score" TAKES_VALUES, 0, 0, 0, 0, 0, NULL},
	{METRIC_SCORES, "{\"value\":1,\"values\":[1]}", "score" TAKES_VALUES, 0, 0, 0, 0, 0, NULL},
	{METRIC_SCORES, "{\"events\":1,\"trials\":1}", "score" TAKES_VALUES, 0, 0, 0, 0, 0, NULL},
	{METRIC_VALUE, "{\"value\":-1e300}", "", 1, 0, 0, 0, -1e300, NULL},
	{METRIC_VALUE, "{\"values\":[1,2,3]}", "", 3, 0, 0, 0, 3, NULL},
	{METRIC_VALUE, "{\"value\":true}", "cost: a value is no number", 0, 0, 0, 0, 0, NULL},
	{METRIC_VALUE, "{\"value\":[1]}", "cost: a value is no number", 0, 0, 0, 0, 0, NULL},
};

static void assert_holds(const struct sample *s, size_t i, uint64_t times)
{
	assert_int_equal(s->trials, times * inputs[i].trials);
	assert_int_equal(s->events, times * inputs[i].events);
	assert_true(s->sum == times * inputs[i].sum);
	assert_true(s->squares == times * inputs[i].squares);
	assert_true(s->value == inputs[i].value);
}

static void a_webhook_says_what_the_kind_of_metric_takes(void **state)
{
	static struct sample sample;
	char why[PROVIDER_WHY_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		struct answer answer = {.status = 200, .body = inputs[i].json, .length = strlen(inputs[i].json)};
		enum judged want = *inputs[i].why ? ERROR : inputs[i].no_data ? NO_DATA : NOTHING;

		memset(&sample, 0xff, sizeof(sample));
		provider_webhook(&kinds[inputs[i].kind], &answer, &sample, why);
		assert_string_equal(why, inputs[i].no_data ?: inputs[i].why);
		assert_int_equal(sample.trouble, want);
		assert_holds(&sample, i, 1);
	}
}

static void a_webhook_that_says_nothing_useful_is_no_data_or_an_error(void **state)
{
	static const struct {
		const char *error;
		long status;
		const char *body;
		enum judged trouble;
		const char *why;
	} cases[] = {
		{NULL, 200, "{\"value\":null}", NO_DATA, "its value is null"},
		{NULL, 201, "{\"value\":1}", NOTHING, ""},
		{NULL, 200, "", ERROR, "its answer is no JSON object"},
		{NULL, 200, "1", ERROR, "its answer is no JSON object"},
		{NULL, 200, "[]", ERROR, "its answer is no JSON object"},
		{NULL, 200, "{\"value\":NaN}", ERROR, "its answer is no JSON object"},
		{NULL, 200, "{\"value\":1e999}", ERROR, "its answer is no JSON object"},
		{NULL, 200, "{\"value\":1} 2", ERROR, "its answer is no JSON object"},
		{NULL, 200, "{}", ERROR, "cost" TAKES_VALUES},
		{NULL, 500, "{\"value\":1}", ERROR, "status 500"},
		{NULL, 103, "{\"value\":1}", ERROR, "status 103"},
		{"connection refused", 0, "", ERROR, "connection refused"},
	};
	char why[PROVIDER_WHY_SIZE];
	static struct sample sample;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct answer answer = {
			.error = cases[i].error,
			.status = cases[i].status,
			.body = cases[i].body,
			.length = strlen(cases[i].body),
		};

		provider_webhook(&kinds[METRIC_VALUE], &answer, &sample, why);
		assert_string_equal(why, cases[i].why);
		assert_int_equal(sample.trouble, cases[i].trouble);
	}
}

static void assert_pending(const struct pushed *pending, size_t i, uint64_t times)
{
	static struct sample sample;
	struct pushed copy = *pending;

	provider_take_pushed(&copy, &sample);
	assert_holds(&sample, i, times);
}

static void pushes_add_up_or_are_refused_and_change_nothing(void **state)
{
	static struct pushed pending, before;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		const struct metric_plan *m = &kinds[inputs[i].kind];
		json_t *input = json_loads(inputs[i].json, 0, NULL);
		struct refusal why = {};

		memset(&pending, 0, sizeof(pending));
		if (*inputs[i].why) {
			pending = (struct pushed){.trials = 7, .events = 2, .sum = 1, .squares = 2, .value = 3};
			before = pending;
			assert_int_equal(provider_push(m, input, &pending, &why), -EINVAL);
			assert_memory_equal(&pending, &before, sizeof(pending));
			assert_string_equal(why.text, inputs[i].why);
		} else {
			assert_int_equal(provider_push(m, input, &pending, &why), 0);
			assert_pending(&pending, i, 1);
			/* Two of the most that is taken are too many together. */
			if (inputs[i].trials < 1000000000000) {
				assert_int_equal(provider_push(m, input, &pending, &why), 0);
				assert_pending(&pending, i, 2);
			} else {
				assert_int_equal(provider_push(m, input, &pending, &why), -EINVAL);
				assert_pending(&pending, i, 1);
			}
		}
		json_decref(input);
	}
}

static void what_was_pushed_is_taken_once(void **state)
{
	static struct pushed pending;
	static struct sample sample;
	json_t *input = json_pack("{s:f}", "value", 0.25);

	(void)state;
	assert_int_equal(provider_push(&kinds[METRIC_VALUE], input, &pending, NULL), 0);
	provider_take_pushed(&pending, &sample);
	assert_int_equal(sample.trouble, JUDGED_NOTHING);
	assert_true(sample.value == 0.25);
	provider_take_pushed(&pending, &sample);
	assert_int_equal(sample.trouble, JUDGED_NO_DATA);
	assert_true(sample.value == 0);
	json_decref(input);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_filled_in_and_the_query_is_encoded),
		cmocka_unit_test(names_of_any_bytes_cannot_leave_their_place_in_a_url),
		cmocka_unit_test(what_others_wrote_is_shown_as_characters),
		cmocka_unit_test(an_answer_of_prometheus_is_a_value_or_no_data_or_an_error),
		cmocka_unit_test(a_long_error_is_cut_between_characters),
		cmocka_unit_test(nesting_without_end_is_an_error_and_no_more),
		cmocka_unit_test(a_webhook_says_what_the_kind_of_metric_takes),
		cmocka_unit_test(a_webhook_that_says_nothing_useful_is_no_data_or_an_error),
		cmocka_unit_test(pushes_add_up_or_are_refused_and_change_nothing),
		cmocka_unit_test(what_was_pushed_is_taken_once),
	};

	return cmocka_run_group_tests_name("providers", tests, NULL, NULL);
}
