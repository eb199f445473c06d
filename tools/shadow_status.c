// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_status.h"

#include <string.h>

#include "view.h"

static void print_setting(const json_t *shadow)
{
	const char *reason = member_text(shadow, "reason");
	const json_t *backend;
	size_t i;

	printf("%s: the shadow is %s", member_text(shadow, "service"), member_text(shadow, "state"));
	if (*reason)
		printf(" (%s)", reason);
	printf(", sample %g%%, engine %s\n", member_number(shadow, "sample"), member_text(shadow, "engine"));
	json_array_foreach(json_object_get(shadow, "backends"), i, backend)
		printf("  %s %s\n", member_text(backend, "address"), member_text(backend, "hop"));
}

/* "overrun 3, refused 1", or nothing. */
static void print_ends(const json_t *shadow)
{
	json_t *ended = json_object_get(shadow, "ended"), *count;
	const char *why, *separator = "not mirrored whole: ";

	json_object_foreach(ended, why, count)
	{
		if (!json_integer_value(count))
			continue;
		printf("%s%s %lld", separator, why, (long long)json_integer_value(count));
		separator = ", ";
	}
	if (*separator == ',')
		putchar('\n');
}

static void print_connections(const json_t *shadow)
{
	static const struct figure figures[] = {
		{">ELIGIBLE", FIGURE_COUNT, "eligible"}, {">NOW", FIGURE_COUNT, "mirroring"},
		{">WHOLE", FIGURE_COUNT, "whole"},       {">COVERAGE", FIGURE_SHARE, "coverage"},
		{">PACKETS", FIGURE_COUNT, "packets"},   {">BYTES", FIGURE_BYTES, "bytes"},
		{">REPAIRED", FIGURE_COUNT, "repaired"}, {">COPIES LOST", FIGURE_COUNT, "clones_lost"},
		{">STRAY", FIGURE_COUNT, "stray"},
	};
	static const char *const leading[] = {NULL};
	_cleanup_(listing_freep) struct listing *l = figures_open(leading, figures, ARRAY_SIZE(figures));

	putchar('\n');
	figures_add(l, figures, ARRAY_SIZE(figures), NULL, shadow);
	view_listing(l);
	print_ends(shadow);
}

static void print_answers(const json_t *shadow)
{
	static const struct figure figures[] = {
		{">CONNECTED", FIGURE_COUNT, "connected"},    {">REQUESTS", FIGURE_COUNT, "requests"},
		{">RESPONSES", FIGURE_COUNT, "responses"},    {">BYTES", FIGURE_BYTES, "response_bytes"},
		{">UNANSWERED", FIGURE_COUNT, "unanswered"},  {">1XX", FIGURE_COUNT, "status.1xx"},
		{">2XX", FIGURE_COUNT, "status.2xx"},         {">3XX", FIGURE_COUNT, "status.3xx"},
		{">4XX", FIGURE_COUNT, "status.4xx"},         {">5XX", FIGURE_COUNT, "status.5xx"},
		{">NO STATUS", FIGURE_COUNT, "status.other"},
	};
	static const char *const leading[] = {NULL};
	_cleanup_(listing_freep) struct listing *l = figures_open(leading, figures, ARRAY_SIZE(figures));

	putchar('\n');
	figures_add(l, figures, ARRAY_SIZE(figures), NULL, shadow);
	view_listing(l);
}

static const char *format_ms(const json_t *times, const char *key, char text[QUANTITY_SIZE])
{
	const json_t *value = json_object_get(times, key);

	return json_is_number(value) ? format_duration(json_number_value(value) / 1000, text) : "-";
}

static void print_times(const json_t *shadow)
{
	static const char *const headings[] = {"TIME", ">P50", ">P90", ">P99", NULL};
	static const struct {
		const char *name, *key;
	} times[] = {
		{"first byte, production", "production_first_byte_ms"},
		{"first byte, shadow", "first_byte_ms"},
		{"connect, shadow", "connect_ms"},
	};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	char text[QUANTITY_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		const json_t *object = json_object_get(shadow, times[i].key);

		listing_add(l, "%s", times[i].name);
		listing_add(l, "%s", format_ms(object, "p50", text));
		listing_add(l, "%s", format_ms(object, "p90", text));
		listing_add(l, "%s", format_ms(object, "p99", text));
	}
	putchar('\n');
	view_listing(l);
}

static void print_matrix(const json_t *shadow)
{
	static const char *const headings[] = {"PRODUCTION", "SHADOW", ">REQUESTS", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *pair;
	size_t i;

	json_array_foreach(json_object_get(shadow, "matrix"), i, pair)
	{
		listing_add(l, "%s", member_text(pair, "production"));
		listing_add(l, "%s", member_text(pair, "shadow"));
		listing_add(l, "%llu", member_count(pair, "requests"));
	}
	putchar('\n');
	view_listing(l);
}

/* "8 to 15 shorter", "equal", "1 longer" */
static void add_difference(struct listing *l, const json_t *bucket)
{
	json_int_t from = json_integer_value(json_object_get(bucket, "from"));
	json_int_t to = json_integer_value(json_object_get(bucket, "to"));
	const char *how = from < 0 ? "shorter" : "longer";
	long long least = from < 0 ? -to : from, most = from < 0 ? -from : to;

	if (!most)
		listing_add(l, "equal");
	else if (least == most)
		listing_add(l, "%lld %s", most, how);
	else
		listing_add(l, "%lld to %lld %s", least, most, how);
	listing_add(l, "%llu", member_count(bucket, "requests"));
}

static void print_differences(const json_t *shadow)
{
	static const char *const headings[] = {"SHADOW'S BYTES", ">REQUESTS", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *bucket;
	size_t i;

	json_array_foreach(json_object_get(shadow, "length_difference"), i, bucket) add_difference(l, bucket);
	putchar('\n');
	view_listing(l);
}

static void render(const struct invocation *call, const json_t *shadow)
{
	unsigned long long compared = member_count(shadow, "compared"), same = member_count(shadow, "same_status");
	char text[QUANTITY_SIZE];

	(void)call;
	print_setting(shadow);
	print_connections(shadow);
	print_answers(shadow);
	print_times(shadow);
	if (!compared) {
		puts("\nno response of the shadow has been compared with production's yet");
		return;
	}
	printf("\n%llu responses compared with production's, %s with the same status class\n", compared,
	       format_share((double)same / compared, text));
	print_matrix(shadow);
	print_differences(shadow);
}

enum exit_code shadow_status(const struct invocation *call)
{
	_cleanup_free_ char *path = service_path(call->arguments[0], "/shadow");

	return converse(call, "GET", path, NULL, render);
}
