// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "exposition.h"
#include "page_reader.h"
#include "util.h"

#define BUCKETS(inf, sum, count)                                                                                       \
	"# HELP h x\n# TYPE h histogram\nh_bucket{a=\"b\",le=\"1\"} 3\nh_bucket{a=\"b\",le=\"2\"} 5\n"                 \
	"h_bucket{a=\"b\",le=\"+Inf\"} " inf "\n" sum count

static const struct {
	const char *text;
	const char *mistake;
} pages[] = {
	{"# HELP a x\n# TYPE a gauge\na 1\na{b=\"\\\"c\"} 2.5\n", NULL},
	{BUCKETS("5", "h_sum{a=\"b\"} 7\n", "h_count{a=\"b\"} 5\n"), NULL},
	{"# HELP a x\n# TYPE a gauge\na 1", "no line feed at the end"},
	{"# HELP a x\n# TYPE a gauge\na 1\na 2\n", "a series twice"},
	{"# HELP a x\n# TYPE a gauge\na{b=\"c} 2\n", "labels that are not labels"},
	{"# HELP a x\n# TYPE a gauge\na{b=\"\\c\"} 2\n", "labels that are not labels"},
	{"# HELP a x\n# TYPE a gauge\na one\n", "a value that is no number"},
	{"# HELP a x\n# TYPE a counter\na 1\n", "a counter that is none"},
	{"# HELP a x\na 1\n# TYPE a gauge\n", "a sample that is not of the last family"},
	{"# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\nb 1\na{c=\"d\"} 1\n",
	 "a sample that is not of the last family"},
	{"# HELP a x\n# TYPE a gauge\na 1\n# HELP a x\n", "a family in two places"},
	{"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 1\n", "le does not rise"},
	{"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 1\n", "buckets are not cumulative"},
	{BUCKETS("5", "", ""), "a histogram without its end"},
	{BUCKETS("5", "", "h_count{a=\"b\"} 5\n"), "no sum before the count"},
	{BUCKETS("5", "h_sum{a=\"b\"} 7\n", "h_count{a=\"b\"} 4\n"), "the count is not that of +Inf"},
	{"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 4\n", "no +Inf before the sum"},
};

static void the_reader_sees_what_is_wrong_with_a_page(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		struct page page;
		const char *mistake = read_page(pages[i].text, &page);

		if (!mistake != !pages[i].mistake || (mistake && strcmp(mistake, pages[i].mistake)))
			fail_msg("%s\nis said to have: %s", pages[i].text, mistake ? mistake : "nothing wrong");
		free_page(&page);
	}
}

static void seconds_are_written_exactly(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{0, "0"},
		{1, "0.000000001"},
		{16384, "0.000016384"},
		{1000000000, "1"},
		{1500000000, "1.5"},
		{1099511627776, "1099.511627776"},
		{UINT64_MAX, "18446744073.709551615"},
	};
	char text[SECONDS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(seconds_format(cases[i].ns, text), strlen(cases[i].text));
		assert_string_equal(text, cases[i].text);
	}
	seconds_format((unsigned __int128)UINT64_MAX << 10, text); /* a sum of ours, scaled */
	assert_string_equal(text, "18889465931478.58085376");
}

static void labels_are_escaped(void **state)
{
	static const struct label labels[] = {{"a", "b\\c\"d\ne"}, {"f", ""}};
	_cleanup_free_ char *text = exposition_labels(labels, ARRAY_SIZE(labels));

	(void)state;
	assert_string_equal(text, "a=\"b\\\\c\\\"d\\ne\",f=\"\"");
}

static void samples_follow_their_family_and_a_family_without_samples_is_not_there(void **state)
{
	static const struct family first = {"first_total", FAMILY_COUNTER, "One."};
	static const struct family none = {"none", FAMILY_GAUGE, "Nobody has it."};
	static const struct family last = {"last_seconds", FAMILY_HISTOGRAM, "Three."};
	struct exposition e = {};

	(void)state;
	exposition_family(&e, &first);
	exposition_integer(&e, "", "", NULL, UINT64_MAX);
	exposition_integer(&e, "", "a=\"b\"", "c=\"d\"", 0);
	exposition_real(&e, "", "a=\"b\"", NULL, 0.0625);
	exposition_family(&e, &none);
	exposition_family(&e, &last);
	exposition_seconds(&e, "_sum", "", "c=\"d\"", 1500000000);
	assert_int_equal(exposition_finish(&e), 0);
	assert_int_equal(strlen(e.text), e.length);
	assert_string_equal(e.text, "# HELP first_total One.\n# TYPE first_total counter\n"
				    "first_total 18446744073709551615\n"
				    "first_total{a=\"b\",c=\"d\"} 0\n"
				    "first_total{a=\"b\"} 0.0625\n"
				    "# HELP last_seconds Three.\n# TYPE last_seconds histogram\n"
				    "last_seconds_sum{c=\"d\"} 1.5\n");
	free(e.text);
}

static void a_page_grows_as_it_must(void **state)
{
	static const struct family family = {"numbers", FAMILY_GAUGE, "Many."};
	struct exposition e = {};
	struct page page;

	(void)state;
	exposition_family(&e, &family);
	for (uint64_t i = 0; i < 20000; i++) {
		char label[32];

		snprintf(label, sizeof(label), "i=\"%05u\"", (unsigned int)i);
		exposition_integer(&e, "", label, NULL, i * i);
	}
	assert_int_equal(exposition_finish(&e), 0);
	assert_null(read_page(e.text, &page));
	assert_int_equal(page.count, 20000);
	for (size_t i = 0; i < page.count; i++) /* sorted by key */
		assert_int_equal((uint64_t)page.readings[i].value, i * i);
	free_page(&page);
	free(e.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reader_sees_what_is_wrong_with_a_page),
		cmocka_unit_test(seconds_are_written_exactly),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(samples_follow_their_family_and_a_family_without_samples_is_not_there),
		cmocka_unit_test(a_page_grows_as_it_must),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
