/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TESTS_METRICS_FIXTURE_H
#define HEADGATE_TESTS_METRICS_FIXTURE_H

/* The page of a snapshot, as somebody reads it who did not write it. Include cmocka.h before. */
#include "metrics.h"
#include "page_reader.h"

/* Fails the test unless it is well-formed. The text is the caller's to free, and to free_page() what was read. */
static char *render(const struct metrics_snapshot *s, struct page *ret_page)
{
	const char *mistake;
	char *text = NULL;
	size_t length = 0;

	assert_int_equal(metrics_render(s, &text, &length), 0);
	assert_int_equal(strlen(text), length);
	mistake = read_page(text, ret_page);
	if (mistake)
		fail_msg("%s", mistake);
	return text;
}

#endif
