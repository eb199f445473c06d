// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is counted of a shadow's answers, which are acknowledged whatever they say. The test is the shadow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "shadow_talk.h"

#define REQUEST_BYTES 100U
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"

/* The client's next request: it has heard what production answered to those before. */
static void request(struct talk *t, __u32 number)
{
	struct segment s = talk_client_segment(t, ACK | PSH, number * REQUEST_BYTES, REQUEST_BYTES);

	s.acknowledged = CLIENT_HAS + 10 * number;
	talk_client_puts(t, &s);
	talk_hear_data(t, number * REQUEST_BYTES, REQUEST_BYTES);
}

/* The shadow has read @requests, and says @text, which is acknowledged. */
static void answer(struct talk *t, const char *text, size_t bytes, __u32 requests)
{
	struct segment s = talk_shadow_segment(t, ACK | PSH, t->said, bytes, requests * REQUEST_BYTES);

	s.payload = text;
	talk_shadow_puts(t, &s);
	talk_hear_acknowledgement(t, requests * REQUEST_BYTES);
}

static void answers_are_counted_one_by_one(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};
		struct shadow_counters c;

		talk_open(&t);
		for (__u32 i = 0; i < 3; i++) {
			request(&t, i);
			answer(&t, ANSWER, strlen(ANSWER), i + 1);
		}
		c = rig_counters(t.rig, service);
		assert_int_equal(c.requests, 3);
		assert_int_equal(c.responses, 3);
		assert_int_equal(c.status[2], 3);
		assert_int_equal(c.first_byte.count, 3);
		assert_int_equal(c.response_bytes, 3 * strlen(ANSWER));
	}
}

/* A shadow that is behind: the end of an answer and the beginning of the next one, wherever in the segment that is. */
static void an_answer_that_begins_within_a_segment_is_found(void **state)
{
	static const char next[] = "HTTP/1.1 503 Later\r\n\r\n";

	for (__u32 before = 1; before <= 1437; before += before < 16 ? 1 : 203) {
		struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000 + before};
		struct shadow_counters was = rig_counters(t.rig, t.service), c;
		char text[1460];
		struct shadow_flow flow;

		memset(text, 'P', sizeof(text)); /* as in "HTTP/" */
		memcpy(text + before, next, strlen(next));
		talk_open(&t);
		request(&t, 0);
		request(&t, 1);
		answer(&t, ANSWER, strlen(ANSWER), 2);
		answer(&t, text, before + strlen(next), 2);
		c = rig_counters(t.rig, t.service);
		assert_int_equal(c.responses - was.responses, 2);
		assert_int_equal(c.status[5] - was.status[5], 1);
		assert_true(talk_flow(&t, &flow));
		assert_int_equal(flow.shadow.length[0], strlen(ANSWER) + before);
	}
}

static void no_answer_is_looked_for_that_is_not_due(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	static const char log[] = "log of a server:\nHTTP/1.1 500 Error\n";

	talk_open(&t);
	request(&t, 0);
	answer(&t, ANSWER, strlen(ANSWER), 1);
	answer(&t, log, strlen(log), 1);
	assert_int_equal(rig_counters(t.rig, t.service).responses, 1);
}

static void what_only_looks_like_a_status_line_is_none(void **state)
{
	static const char *const texts[] = {
		"xxHTTP/1.1 600 Odd\r\n",
		"xxHTTP/2.0 200 OK\r\n",
		"xxHTTP/1.1-200 OK\r\n",
		"xxHTTP/1.1 2",
		"xxHTTP",
		"xxxHTT",
	};
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	request(&t, 0);
	request(&t, 1);
	answer(&t, ANSWER, strlen(ANSWER), 2);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		answer(&t, texts[i], strlen(texts[i]), 2);
		assert_int_equal(rig_counters(t.rig, t.service).responses, 1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_are_counted_one_by_one),
		TEST(an_answer_that_begins_within_a_segment_is_found),
		TEST(no_answer_is_looked_for_that_is_not_due),
		TEST(what_only_looks_like_a_status_line_is_none),
	};

	return run_on_every_hook(tests);
}
