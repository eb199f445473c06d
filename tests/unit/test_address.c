// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Addresses, endpoints and prefixes as text, and how prefixes lie in each other. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "address.h"
#include "util.h"

/* Text and what it is written as again; NULL: refused. */
struct text_case {
	const char *text, *want;
};

static struct address address(const char *text)
{
	struct address a;

	assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static void an_ipv4_address_is_mapped_in_network_order(void **state)
{
	static const uint8_t want[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [14] = 2, [15] = 3};
	struct address a = address("10.1.2.3");

	(void)state;
	assert_memory_equal(&a, want, sizeof(want));
	assert_true(address_is_ipv4(&a));
}

static void an_ipv6_address_is_its_bytes(void **state)
{
	static const uint8_t want[16] = {0xfd, [15] = 0x0a};
	struct address a = address("fd00::a");

	(void)state;
	assert_memory_equal(&a, want, sizeof(want));
	assert_false(address_is_ipv4(&a));
	assert_false(address_is_zero(&a));
}

static void only_an_address_never_set_is_zero(void **state)
{
	struct address never = {}, any = address("0.0.0.0"), any_ipv6 = address("::");

	(void)state;
	assert_true(address_is_zero(&never));
	assert_false(address_is_zero(&any));
	assert_true(address_is_zero(&any_ipv6));
	assert_true(address_equal(&never, &any_ipv6));
	assert_false(address_equal(&any, &any_ipv6));
}

static void addresses_keep_their_text_or_are_refused(void **state)
{
	static const struct text_case cases[] = {
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"::", "::"},
		{"FD00:0:0::0001", "fd00::1"},
		{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
		{"::ffff:1.2.3.4", NULL},
		{"::ffff:102:304", NULL},
		{"", NULL},
		{"10.0.0", NULL},
		{"10.0.0.256", NULL},
		{"10.0.0.01", NULL},
		{" 10.0.0.1", NULL},
		{"10.0.0.1 ", NULL},
		{"10.0.0.1/8", NULL},
		{"[fd00::1]", NULL},
		{"fe80::1%eth0", NULL},
		{"fd00:::1", NULL},
		{"localhost", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct address a, before;
		char text[ADDRESS_TEXT_SIZE];

		memset(&a, 0x5a, sizeof(a));
		before = a;
		assert_int_equal(address_parse(cases[i].text, &a), cases[i].want ? 0 : -EINVAL);
		if (cases[i].want)
			assert_string_equal(address_format(&a, text), cases[i].want);
		else
			assert_true(address_equal(&a, &before));
	}
}

static void endpoints_keep_their_text_or_are_refused(void **state)
{
	static const struct text_case cases[] = {
		{"10.0.0.1:80", "10.0.0.1:80"},
		{"10.0.0.1:65535", "10.0.0.1:65535"},
		{"[fd00::1]:1", "[fd00::1]:1"},
		{"[1111:2222:3333:4444:5555:6666:7777:8888]:65535", "[1111:2222:3333:4444:5555:6666:7777:8888]:65535"},
		{"10.0.0.1:0", NULL},
		{"10.0.0.1:65536", NULL},
		{"10.0.0.1:4294967376", NULL},
		{"10.0.0.1:080", NULL},
		{"10.0.0.1:+80", NULL},
		{"10.0.0.1: 80", NULL},
		{"10.0.0.1:80 ", NULL},
		{"10.0.0.1:", NULL},
		{"10.0.0.1", NULL},
		{":80", NULL},
		{"[]:80", NULL},
		{"fd00::1:80", NULL},
		{"[10.0.0.1]:80", NULL},
		{"[fd00::1:80", NULL},
		{"fd00::1]:80", NULL},
		{"[fd00::1]", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct endpoint e = {.port = 4711};
		char text[ADDRESS_TEXT_SIZE];
		int err = endpoint_parse(cases[i].text, &e);

		if (err != (cases[i].want ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].text, err);
		if (cases[i].want)
			assert_string_equal(endpoint_format(&e.address, e.port, text), cases[i].want);
		else
			assert_int_equal(e.port, 4711);
	}
}

static void text_of_any_length_is_refused_without_overrun(void **state)
{
	char text[4096];
	struct address a;
	struct endpoint e;
	struct prefix p;

	(void)state;
	for (size_t length = 1; length < sizeof(text); length++) {
		memset(text, '1', length);
		text[length] = '\0';
		assert_int_equal(address_parse(text, &a), -EINVAL);
		assert_int_equal(prefix_parse(text, &p), -EINVAL);
		text[length - 1] = '/';
		assert_int_equal(prefix_parse(text, &p), -EINVAL);
		text[length / 2] = ':';
		assert_int_equal(endpoint_parse(text, &e), -EINVAL);
	}
}

static void prefixes_keep_their_text_or_are_refused(void **state)
{
	static const struct text_case cases[] = {
		{"10.9.0.0/16", "10.9.0.0/16"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"10.9.8.7", "10.9.8.7/32"},
		{"10.9.8.7/32", "10.9.8.7/32"},
		{"10.128.0.0/9", "10.128.0.0/9"},
		{"fd00::/8", "fd00::/8"},
		{"::/0", "::/0"},
		{"fd00::1", "fd00::1/128"},
		{"fd00:0:0:8000::/49", "fd00:0:0:8000::/49"},
		{"fd00:0:0:8000::/48", NULL},
		{"10.9.0.1/16", NULL},
		{"10.129.0.0/8", NULL},
		{"10.0.0.0/33", NULL},
		{"fd00::/129", NULL},
		{"10.0.0.0/", NULL},
		{"10.0.0.0/-1", NULL},
		{"10.0.0.0/08", NULL},
		{"10.0.0.0/8/8", NULL},
		{"/8", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix p = {.bits = 4711};
		char text[ADDRESS_TEXT_SIZE];
		int err = prefix_parse(cases[i].text, &p);

		if (err != (cases[i].want ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].text, err);
		if (cases[i].want)
			assert_string_equal(prefix_format(&p, text), cases[i].want);
		else
			assert_int_equal(p.bits, 4711);
	}
}

static void an_ipv4_prefix_counts_its_bits_from_96(void **state)
{
	(void)state;
	assert_int_equal(prefix("10.9.0.0/16").bits, 112);
	assert_int_equal(prefix("0.0.0.0/0").bits, 96);
	assert_int_equal(prefix("fd00::/16").bits, 16);
}

static void a_prefix_contains_what_shares_its_bits(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool inside;
	} cases[] = {
		{"10.9.0.0/16", "10.9.255.255", true},
		{"10.9.0.0/16", "10.10.0.0", false},
		{"10.128.0.0/9", "10.127.255.255", false},
		{"0.0.0.0/0", "255.1.2.3", true},
		{"0.0.0.0/0", "fd00::1", false},
		{"::/0", "fd00::1", true},
		{"fd00::/33", "fd00:0:7fff::1", true},
		{"fd00::/33", "fd00:0:8000::1", false},
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "10.0.0.0", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix p = prefix(cases[i].prefix);
		struct address a = address(cases[i].address);

		if (prefix_contains(&p, &a) != cases[i].inside)
			fail_msg("%s in %s", cases[i].address, cases[i].prefix);
	}
}

static void prefixes_overlap_when_one_contains_the_other(void **state)
{
	struct prefix wide = prefix("10.0.0.0/8"), narrow = prefix("10.9.0.0/16"), other = prefix("10.10.0.0/16");

	(void)state;
	assert_true(prefix_overlaps(&wide, &narrow));
	assert_true(prefix_overlaps(&narrow, &wide));
	assert_true(prefix_overlaps(&narrow, &narrow));
	assert_false(prefix_overlaps(&narrow, &other));
	assert_false(prefix_overlaps(&other, &narrow));
	assert_true(prefix_equal(&narrow, &narrow));
	narrow.bits++;
	assert_false(prefix_equal(&narrow, &other));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ipv4_address_is_mapped_in_network_order),
		cmocka_unit_test(an_ipv6_address_is_its_bytes),
		cmocka_unit_test(only_an_address_never_set_is_zero),
		cmocka_unit_test(addresses_keep_their_text_or_are_refused),
		cmocka_unit_test(endpoints_keep_their_text_or_are_refused),
		cmocka_unit_test(text_of_any_length_is_refused_without_overrun),
		cmocka_unit_test(prefixes_keep_their_text_or_are_refused),
		cmocka_unit_test(an_ipv4_prefix_counts_its_bits_from_96),
		cmocka_unit_test(a_prefix_contains_what_shares_its_bits),
		cmocka_unit_test(prefixes_overlap_when_one_contains_the_other),
	};

	return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
