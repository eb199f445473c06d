// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "expiry.h"
#include "shadow_care.h"
#include "shadow_pause.h"
#include "util.h"

#define MS 1000000ULL
#define NOW (1000000 * MS)
#define IDLE_S 600
#define OPEN SHADOW_FLOW_OPEN
#define FIN SHADOW_FLOW_FIN
#define ENDED (OPEN | FIN)
#define FIN_SENT (ENDED | SHADOW_FLOW_FINISH | SHADOW_FLOW_FIN_SENT)
#define OVER SHADOW_FLOW_OVER
#define UDP SHADOW_FLOW_UDP
#define REPLAY SHADOW_FLOW_REPLAY
#define NO_ANSWER CARE_NO_ANSWER_NS / MS

/* Times are in ms before now. Of the client's 100 bytes, from 0 on, @sent went to the shadow and @acked came there. */
struct care_case {
	const char *name;
	uint32_t flags;
	uint32_t sent, acked;
	uint64_t opened, progress, fin, answered, request;
	uint32_t requests, answers, production; /* @production: 0: not seen; n: it has answered n - 1 */
	uint32_t silent_s;
	bool unwanted, missing;
	uint64_t look; /* how long ago the last one was; 0: 100 */
	enum shadow_care want;
	enum shadow_end reason;
};

#define DATA(sent_, acked_) .flags = OPEN, .sent = sent_, .acked = acked_
#define ALL .sent = 100, .acked = 100
#define FIN_MISSING .flags = FIN_SENT, .sent = 101, .acked = 100
#define FIN_THERE .flags = FIN_SENT, .sent = 101, .acked = 101

static const struct care_case cases[] = {
	{.name = "what is acknowledged needs nothing", .flags = OPEN, ALL, .progress = 5000, .want = CARE_NOTHING},
	{.name = "what was sent just now is waited for", DATA(100, 0), .progress = 199, .want = CARE_NOTHING},
	{.name = "data are sent again after a while", DATA(100, 0), .progress = 200, .want = CARE_REPAIR},
	{.name = "but not at every look", DATA(100, 0), .progress = 310, .want = CARE_NOTHING},
	{.name = "again after twice as long", DATA(100, 50), .progress = 600, .want = CARE_REPAIR},
	{.name = "and four times", DATA(100, 50), .progress = 1400, .want = CARE_REPAIR},
	{.name = "not in between", DATA(100, 50), .progress = 1300, .want = CARE_NOTHING},
	{.name = "at most every two seconds", DATA(100, 50), .progress = 5000, .want = CARE_REPAIR},
	{.name = "also when that fell between two late looks",
	 DATA(100, 50),
	 .progress = 3700,
	 .look = 1000,
	 .want = CARE_REPAIR},
	{.name = "a closed window is probed as well", DATA(50, 50), .progress = 200, .want = CARE_REPAIR},
	{.name = "who acknowledges nothing any more is given up",
	 DATA(100, 50),
	 .progress = NO_ANSWER + 1,
	 .want = CARE_ABORT,
	 .reason = SHADOW_NO_ANSWER},
	{.name = "a segment that is missing ends it",
	 DATA(50, 50),
	 .progress = 1100,
	 .missing = true,
	 .want = CARE_ABORT,
	 .reason = SHADOW_LOST},
	{.name = "a SYN is waited for longer", .opened = 999, .want = CARE_NOTHING},
	{.name = "then it is sent again", .opened = 1000, .want = CARE_REPAIR},
	{.name = "and after two seconds more", .opened = 3000, .want = CARE_REPAIR},
	{.name = "whatever the client says meanwhile", .opened = 3000, .progress = 10, .want = CARE_REPAIR},
	{.name = "not in between either", .opened = 2000, .want = CARE_NOTHING},
	{.name = "a SYN that nobody answers is given up",
	 .opened = NO_ANSWER + 1,
	 .progress = 10,
	 .want = CARE_ABORT,
	 .reason = SHADOW_NO_ANSWER},
	{.name = "a client's end waits for the answer",
	 .flags = ENDED,
	 ALL,
	 .fin = 5000,
	 .requests = 1,
	 .want = CARE_NOTHING},
	{.name = "and for what follows it",
	 .flags = ENDED,
	 ALL,
	 .fin = 5000,
	 .answered = 199,
	 .requests = 1,
	 .answers = 1,
	 .want = CARE_NOTHING},
	{.name = "the shadow may know it when all is answered",
	 .flags = ENDED,
	 ALL,
	 .fin = 5000,
	 .answered = 200,
	 .requests = 1,
	 .answers = 1,
	 .want = CARE_FINISH},
	{.name = "or when there was nothing to answer", .flags = ENDED, ALL, .fin = 200, .want = CARE_FINISH},
	{.name = "nor did production",
	 .flags = ENDED,
	 ALL,
	 .fin = 200,
	 .requests = 1,
	 .production = 1,
	 .want = CARE_FINISH},
	{.name = "an answer that may be one more's is waited for",
	 .flags = ENDED,
	 ALL,
	 .fin = 5000,
	 .answered = 999,
	 .request = 2000,
	 .requests = 2,
	 .answers = 1,
	 .want = CARE_NOTHING},
	{.name = "not for ever",
	 .flags = ENDED,
	 ALL,
	 .fin = 5000,
	 .answered = 1000,
	 .request = 2000,
	 .requests = 2,
	 .answers = 1,
	 .want = CARE_FINISH},
	{.name = "an answer of before the last request is none",
	 .flags = ENDED,
	 ALL,
	 .fin = 5000,
	 .answered = 3000,
	 .request = 2000,
	 .requests = 2,
	 .answers = 1,
	 .want = CARE_NOTHING},
	{.name = "what is not acknowledged comes before the end",
	 .flags = ENDED,
	 .sent = 100,
	 .acked = 50,
	 .progress = 200,
	 .fin = 200,
	 .requests = 1,
	 .answers = 1,
	 .want = CARE_REPAIR},
	{.name = "an answer takes no longer than it may",
	 .flags = ENDED,
	 ALL,
	 .fin = 7001,
	 .requests = 1,
	 .want = CARE_ABORT,
	 .reason = SHADOW_LINGERED},
	{.name = "a FIN is sent again, too",
	 FIN_MISSING,
	 .progress = 9000,
	 .fin = 9000,
	 .answered = 200,
	 .want = CARE_REPAIR},
	{.name = "and given up",
	 FIN_MISSING,
	 .progress = NO_ANSWER + 1,
	 .fin = NO_ANSWER + 1,
	 .answered = NO_ANSWER + 1,
	 .want = CARE_ABORT,
	 .reason = SHADOW_NO_ANSWER},
	{.name = "a shadow that does not end is waited for", FIN_THERE, .fin = 7000, .want = CARE_NOTHING},
	{.name = "as long as it may linger", FIN_THERE, .fin = 7001, .want = CARE_ABORT, .reason = SHADOW_LINGERED},
	{.name = "what is not to be mirrored any more is ended",
	 .flags = OPEN,
	 ALL,
	 .unwanted = true,
	 .want = CARE_ABORT,
	 .reason = SHADOW_STOPPED},
	{.name = "unless the client has ended",
	 .flags = ENDED,
	 ALL,
	 .fin = 10,
	 .requests = 1,
	 .unwanted = true,
	 .want = CARE_NOTHING},
	{.name = "an idle connection has been mirrored whole",
	 .flags = OPEN,
	 ALL,
	 .silent_s = IDLE_S + 60,
	 .want = CARE_ABORT,
	 .reason = SHADOW_WHOLE},
	{.name = "so have idle datagrams",
	 .flags = UDP,
	 .silent_s = IDLE_S + 60,
	 .want = CARE_ABORT,
	 .reason = SHADOW_WHOLE},
	{.name = "datagrams are not sent again", .flags = UDP, .opened = 9000, .progress = 9000, .want = CARE_NOTHING},
	{.name = "what is over is remembered while its client goes on",
	 .flags = OPEN | OVER,
	 ALL,
	 .silent_s = 100,
	 .want = CARE_NOTHING},
	{.name = "and a moment longer", .flags = ENDED | OVER, ALL, .silent_s = 1, .want = CARE_NOTHING},
	{.name = "then it is forgotten", .flags = ENDED | OVER, ALL, .silent_s = 5, .want = CARE_FORGET},
	{.name = "so is what is over and idle",
	 .flags = OPEN | OVER,
	 ALL,
	 .silent_s = IDLE_S + 60,
	 .want = CARE_FORGET},
	{.name = "a replayed connection is not cared for", .flags = REPLAY, .opened = 20000, .want = CARE_NOTHING},
	{.name = "while its shadow may linger it is there",
	 .flags = REPLAY | FIN,
	 .fin = 16000,
	 .silent_s = 16,
	 .want = CARE_NOTHING},
	{.name = "not much longer", .flags = REPLAY | FIN, .fin = 17100, .silent_s = 17, .want = CARE_FORGET},
};

static struct shadow_flow flow_of(const struct care_case *c)
{
	struct shadow_flow flow = {
		.flags = c->flags,
		.sent = c->sent,
		.acked = c->acked,
		.client_next = 100,
		.fin = 100,
		.opened_ns = NOW - c->opened * MS,
		.progress_ns = NOW - c->progress * MS,
		.fin_ns = c->fin ? NOW - c->fin * MS : 0,
		.answered_ns = c->answered ? NOW - c->answered * MS : 0,
		.seen = tick_of_ns(NOW - c->silent_s * 1000 * MS),
		.requests = c->requests,
		.shadow.answered = c->answers,
	};

	if (c->requests)
		flow.request_ns[c->requests - 1] = NOW - (c->request ?: 6000) * MS;
	if (c->production) {
		flow.production.flags = SHADOW_SIDE_OPEN;
		flow.production.answered = c->production - 1;
	}
	return flow;
}

static void connections_are_cared_for_by_what_is_known_of_them(void **state)
{
	const struct care_limits limits = {.linger_ns = 7000 * MS, .idle_s = IDLE_S};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct care_case *c = &cases[i];
		struct shadow_flow flow = flow_of(c);
		enum shadow_end reason = SHADOW_ENDS;
		enum shadow_care care = shadow_care(&flow, &limits, !c->unwanted, c->missing,
						    NOW - (c->look ?: 100) * MS, NOW, &reason);

		if (care != c->want)
			fail_msg("%s: %d instead of %d", c->name, care, c->want);
		if (care == CARE_ABORT && reason != c->reason)
			fail_msg("%s: reason %d instead of %d", c->name, reason, c->reason);
	}
}

/* While nobody looked the client ended, and the shadow has answered since. */
static void a_connection_is_not_blamed_for_a_time_that_nobody_cared(void **state)
{
	const struct care_limits limits = {.began_ns = NOW - 50 * MS, .linger_ns = 7000 * MS, .idle_s = IDLE_S};
	const struct care_case ended = {.flags = ENDED, ALL, .fin = 60000, .requests = 1},
			       unacknowledged = {DATA(100, 0), .progress = 60000};
	struct shadow_flow flow = flow_of(&ended);
	enum shadow_end reason;

	(void)state;
	assert_int_equal(shadow_care(&flow, &limits, true, false, NOW - 50 * MS, NOW, &reason), CARE_NOTHING);
	flow = flow_of(&unacknowledged);
	assert_int_not_equal(shadow_care(&flow, &limits, true, false, NOW - 50 * MS, NOW, &reason), CARE_ABORT);
}

static void the_stash_is_asked_only_where_a_segment_may_be_missing(void **state)
{
	const struct care_case waits = {DATA(50, 50), .progress = 1001}, recent = {DATA(50, 50), .progress = 900},
			       sent = {DATA(100, 50), .progress = 1001}, unopened = {.progress = 1001},
			       over = {.flags = OPEN | OVER, .sent = 50, .progress = 1001};
	struct shadow_flow flow = flow_of(&waits);

	(void)state;
	assert_true(care_may_miss(&flow, NOW));
	flow = flow_of(&recent);
	assert_false(care_may_miss(&flow, NOW));
	flow = flow_of(&sent);
	assert_false(care_may_miss(&flow, NOW));
	flow = flow_of(&unopened);
	assert_false(care_may_miss(&flow, NOW));
	flow = flow_of(&over);
	assert_false(care_may_miss(&flow, NOW));
}

/* --- pausing --- */

static const struct shadow_pause_model limits = {.of = 100, .lost = 500, .unanswered = 5000};

/* Whether it is due after so many connections more, one look each. */
static bool paused_after(struct pause_window *w, struct pause_counts *counts, uint32_t connections, uint32_t lost)
{
	char reason[SHADOW_REASON_SIZE];

	for (uint32_t i = 0; i < connections; i++) {
		counts->ended++;
		counts->requests++;
		counts->lost += i < lost;
		if (pause_due(w, &limits, counts, reason))
			return true;
	}
	return false;
}

static void a_shadow_is_paused_when_too_many_of_the_last_connections_failed(void **state)
{
	struct pause_window w = {};
	struct pause_counts counts = {.ended = 7000, .lost = 6000};
	char reason[SHADOW_REASON_SIZE];

	(void)state;
	assert_false(pause_due(&w, &limits, &counts, reason));
	assert_false(paused_after(&w, &counts, 1000, 4));
	assert_true(paused_after(&w, &counts, 100, 10));
	memset(&w, 0, sizeof(w));
	assert_false(pause_due(&w, &limits, &counts, reason));
	assert_false(paused_after(&w, &counts, 99, 99));
	counts.ended++;
	assert_true(pause_due(&w, &limits, &counts, reason));
	assert_string_equal(reason, "99 of the last 100 connections failed at the shadow; the limit is 5%");
}

static void what_is_long_past_is_not_held_against_it(void **state)
{
	struct pause_window w = {};
	struct pause_counts counts = {};
	char reason[SHADOW_REASON_SIZE];

	(void)state;
	assert_false(pause_due(&w, &limits, &counts, reason));
	for (int i = 0; i < 50; i++)
		assert_false(paused_after(&w, &counts, 200, 4));
}

static void requests_without_a_response_pause_it_too(void **state)
{
	struct pause_window w = {};
	struct pause_counts counts = {};
	char reason[SHADOW_REASON_SIZE];

	(void)state;
	assert_false(pause_due(&w, &limits, &counts, reason));
	counts = (struct pause_counts){.ended = 200, .requests = 1000, .unanswered = 499};
	assert_false(pause_due(&w, &limits, &counts, reason));
	counts = (struct pause_counts){.ended = 300, .requests = 2000, .unanswered = 1100};
	assert_true(pause_due(&w, &limits, &counts, reason));
	assert_string_equal(reason, "601 of the last 1000 requests had no response from the shadow; the limit is 50%");
}

static void a_shadow_that_must_not_be_paused_is_not(void **state)
{
	const struct shadow_pause_model never = {.of = 0, .lost = 500, .unanswered = 5000};
	struct pause_window w = {};
	struct pause_counts counts = {};
	char reason[SHADOW_REASON_SIZE];

	(void)state;
	assert_false(pause_due(&w, &never, &counts, reason));
	counts = (struct pause_counts){.ended = 1000, .lost = 1000, .requests = 10, .unanswered = 10};
	assert_false(pause_due(&w, &never, &counts, reason));
}

static void counts_that_begin_anew_are_a_window_that_begins_anew(void **state)
{
	struct pause_window w = {};
	struct pause_counts counts = {.ended = 5000};
	char reason[SHADOW_REASON_SIZE];

	(void)state;
	assert_false(pause_due(&w, &limits, &counts, reason));
	counts = (struct pause_counts){.ended = 50, .lost = 50};
	assert_false(pause_due(&w, &limits, &counts, reason));
	counts.ended = 149;
	assert_false(pause_due(&w, &limits, &counts, reason));
}

static void only_what_the_shadow_did_is_its_fault(void **state)
{
	struct shadow_counters c = {.requests = 5, .unanswered = 2};
	struct pause_counts counts;

	(void)state;
	for (size_t end = 0; end < SHADOW_ENDS; end++)
		c.ended[end] = 1ULL << end;
	counts = pause_counts_of(&c);
	assert_int_equal(counts.ended, (1ULL << SHADOW_ENDS) - 1);
	assert_int_equal(counts.lost, 1 << SHADOW_REFUSED | 1 << SHADOW_RESET | 1 << SHADOW_NO_ANSWER |
					      1 << SHADOW_OVERRUN | 1 << SHADOW_LATE | 1 << SHADOW_LINGERED);
	assert_int_equal(counts.requests, 5);
	assert_int_equal(counts.unanswered, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_cared_for_by_what_is_known_of_them),
		cmocka_unit_test(a_connection_is_not_blamed_for_a_time_that_nobody_cared),
		cmocka_unit_test(the_stash_is_asked_only_where_a_segment_may_be_missing),
		cmocka_unit_test(a_shadow_is_paused_when_too_many_of_the_last_connections_failed),
		cmocka_unit_test(what_is_long_past_is_not_held_against_it),
		cmocka_unit_test(requests_without_a_response_pause_it_too),
		cmocka_unit_test(a_shadow_that_must_not_be_paused_is_not),
		cmocka_unit_test(counts_that_begin_anew_are_a_window_that_begins_anew),
		cmocka_unit_test(only_what_the_shadow_did_is_its_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
