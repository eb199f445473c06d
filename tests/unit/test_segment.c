// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Segments that the daemon makes up, against frames that were written down by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>

#include "segment.h"

/* Byte by byte, with checksums that were computed elsewhere: Ethernet, IP, TCP. */
static const char four[] = "\x02\x00\x00\x00\x00\xc1\x02\x00\x00\x00\x00\xf0\x08\x00"
			   "\x45\x00\x00\x28\x00\x00\x40\x00\x40\x06\x6e\xbf\x0a\x00\x00\x0a\xc0\x00\x02\x07"
			   "\x00\x50\x9c\x40\x12\x34\x56\x78\x00\x00\x00\x00\x50\x04\x00\x00\xde\x92\x00\x00";
static const char six[] = "\x02\x00\x00\x00\x00\xc1\x02\x00\x00\x00\x00\xf0\x86\xdd"
			  "\x60\x00\x00\x00\x00\x14\x06\x40"
			  "\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10"
			  "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"
			  "\x00\x50\x9c\x40\x12\x34\x56\x78\x00\x00\x00\x00\x50\x04\x00\x00\x7f\xd3\x00\x00";

static void assert_segment(const char *from, const char *to, const char *bytes, size_t size)
{
	struct segment s = {
		.from_mac = {2, 0, 0, 0, 0, 0xf0},
		.to_mac = {2, 0, 0, 0, 0, 0xc1},
		.from_port = htons(80),
		.to_port = htons(40000),
		.sequence = 0x12345678,
		.flags = TH_RST,
	};
	uint8_t frame[SEGMENT_FRAME_BYTES];

	assert_int_equal(address_parse(from, &s.from), 0);
	assert_int_equal(address_parse(to, &s.to), 0);
	assert_int_equal(segment_write(&s, frame), size - 1);
	assert_memory_equal(frame, bytes, size - 1);
}

static void an_ipv4_segment_is_as_written_by_hand(void **state)
{
	(void)state;
	assert_segment("10.0.0.10", "192.0.2.7", four, sizeof(four));
}

static void an_ipv6_segment_is_as_written_by_hand(void **state)
{
	(void)state;
	assert_segment("fd00::10", "2001:db8::7", six, sizeof(six));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ipv4_segment_is_as_written_by_hand),
		cmocka_unit_test(an_ipv6_segment_is_as_written_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
