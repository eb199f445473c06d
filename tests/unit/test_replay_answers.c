// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Each exchange is read in one piece, byte by byte, and in random pieces: what it comes to is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../bpf/random.h"
#include "measure.h"
#include "replay_answers.h"
#include "util.h"

#define NOW_NS 5000000000ULL
#define GET "GET / HTTP/1.1\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\n\r\n"
#define OK(length) "HTTP/1.1 200 OK\r\nContent-Length: " #length "\r\n\r\n"

struct exchange {
	const char *name;
	const char *request[4];  /* all are written before anything is answered */
	const char *response[6]; /* what each response is, byte for byte */
	uint8_t class[6];
	uint32_t count;    /* of responses */
	bool whole, ended; /* whether they tell that nothing is missing; ended: the shadow has closed */
	uint32_t unanswered;
};

static const struct exchange exchanges[] = {
	{"nothing", .whole = true},
	{"a length", {GET}, {OK(5) "hello"}, {2}, .count = 1, .whole = true},
	{"a length of nothing", {GET}, {OK(0)}, {2}, .count = 1, .whole = true},
	{"a body that looks like a response",
	 {GET, GET},
	 {OK(19) "HTTP/1.1 500 Oh\r\n\r\n", OK(1) "x"},
	 {2, 2},
	 .count = 2,
	 .whole = true},
	{"four at once",
	 {GET, GET, GET, GET},
	 {OK(1) "a", "HTTP/1.1 404 No\r\ncontent-length:3\r\n\r\nabc", "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
	  OK(2) "ab"},
	 {2, 4, 5, 2},
	 .count = 4,
	 .whole = true},
	{"chunks",
	 {GET, GET},
	 {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
	  "HTTP/1.1 302 Found\r\ntransfer-encoding: gzip, Chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: 1\r\n\r\n"},
	 {2, 3},
	 .count = 2,
	 .whole = true},
	{"chunks go before a length",
	 {GET},
	 {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n"},
	 {2},
	 .count = 1,
	 .whole = true},
	{"a chunk that is missing",
	 {GET},
	 {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n"},
	 {2},
	 .count = 1},
	{"a body that is not whole", {GET}, {OK(6) "hello"}, {2}, .count = 1},
	{"HEAD has no body", {HEAD, GET}, {OK(5), OK(5) "hello"}, {2, 2}, .count = 2, .whole = true},
	{"204 and 304 have none",
	 {GET, GET, GET},
	 {"HTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", OK(1) "x"},
	 {2, 3, 2},
	 .count = 3,
	 .whole = true},
	{"an interim response is one of its own",
	 {GET},
	 {"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n", OK(1) "x"},
	 {1, 2},
	 .count = 2,
	 .whole = true},
	{"no more than an interim response", {GET}, {"HTTP/1.1 100 Continue\r\n\r\n"}, {1}, .count = 1},
	{"another protocol after 101",
	 {GET},
	 {"HTTP/1.1 101 Up\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 no\r\n\r\n"},
	 {1},
	 .count = 1},
	{"a body up to the end",
	 {GET},
	 {"HTTP/1.0 200 OK\r\n\r\nHTTP/1.0 500 not one\r\n\r\nand so on"},
	 {2},
	 .count = 1,
	 .ended = true},
	{"no HTTP", {"PING\r\n"}, {"+PONG\r\n"}, {0}, .count = 1},
	{"almost HTTP", {GET}, {"HTTP/2 200\r\nContent-Length: 5\r\n\r\nhello"}, {0}, .count = 1},
	{"no status", {GET}, {"HTTP/1.1 900 Odd\r\n\r\n"}, {0}, .count = 1},
	{"the beginning of a status line", {GET}, {"HTTP/1.1 2"}, {0}, .count = 1, .ended = true},
	{"lines longer than are kept",
	 {GET},
	 {"HTTP/1.1 200 OK\r\nX: "
	  "........................................................................................"
	  "......................................................................................................\r\n"
	  "Content-Length: 2\r\n\r\nhi"},
	 {2},
	 .count = 1,
	 .whole = true},
	{"lines without CR", {GET}, {"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"}, {2}, .count = 1, .whole = true},
	{"a length that is none",
	 {GET},
	 {"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nhi"},
	 {2},
	 .count = 1,
	 .ended = true},
	{"fewer than asked for", {GET, GET, GET}, {OK(1) "x"}, {2}, .count = 1, .unanswered = 2},
	{"more than asked for",
	 {GET},
	 {OK(1) "x", "HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n"},
	 {2, 4},
	 .count = 2,
	 .whole = true},
	{"a greeting", {NULL}, {"220 mail.example\r\n"}, {0}, .whole = true},
};

static struct random numbers = {0x9e3779b97f4a7c15ULL};

/* @piece: how much at once; 0: at random. */
static void read_exchange(const struct exchange *e, size_t piece, struct replay_answers *a, struct shadow_counters *c)
{
	char all[4096] = "";
	size_t length, n;

	memset(a, 0, sizeof(*a));
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < ARRAY_SIZE(e->request) && e->request[i]; i++)
		replay_answers_request(a, e->request[i], strlen(e->request[i]), NOW_NS);
	for (size_t i = 0; i < ARRAY_SIZE(e->response) && e->response[i]; i++)
		strcat(all, e->response[i]);
	length = strlen(all);
	for (size_t at = 0; at < length; at += n) {
		n = piece ?: 1 + random_below(&numbers, 40);
		n = n < length - at ? n : length - at;
		replay_answers_take(a, all + at, n, NOW_NS + 1000000, c);
	}
	if (e->ended)
		replay_answers_end(a, c);
}

static void check_exchange(const struct exchange *e, size_t piece)
{
	struct shadow_counters c, want = {};
	struct replay_answers a;
	uint64_t bytes = 0;

	read_exchange(e, piece, &a, &c);
	for (uint32_t i = 0; i < e->count; i++) {
		assert_int_equal(a.side.status[i % SHADOW_RESPONSES], e->class[i]);
		want.status[e->class[i]]++;
		if (i + 1 < e->count || e->ended)
			assert_int_equal(a.side.length[i % SHADOW_RESPONSES], strlen(e->response[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(e->response) && e->response[i]; i++)
		bytes += strlen(e->response[i]);
	assert_int_equal(a.side.begun, e->count);
	assert_int_equal(c.responses, e->count);
	assert_memory_equal(c.status, want.status, sizeof(want.status));
	assert_int_equal(c.response_bytes, bytes);
	assert_int_equal(a.requests - a.side.answered, e->unanswered);
	assert_int_equal(replay_answers_are_whole(&a), e->whole);
}

static void exchanges_are_read_in_pieces_of_any_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(exchanges); i++) {
		print_message("%s\n", exchanges[i].name);
		check_exchange(&exchanges[i], 4096);
		check_exchange(&exchanges[i], 1);
		for (int k = 0; k < 50; k++)
			check_exchange(&exchanges[i], 0);
	}
}

static uint32_t bucket_of_only(const struct histogram *h)
{
	assert_int_equal(h->count, 1);
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (h->bucket[i])
			return i;
	fail();
	return 0;
}

static void the_first_byte_is_timed_from_its_own_request(void **state)
{
	struct replay_answers a = {};
	struct shadow_counters c = {};

	(void)state;
	replay_answers_request(&a, GET, sizeof(GET) - 1, 1000000);
	replay_answers_request(&a, GET, sizeof(GET) - 1, 2000000);
	replay_answers_take(&a, "HTTP/1.1 200", 12, 51000000, &c);
	assert_int_equal(c.first_byte.count, 0); /* not known yet what it is */
	replay_answers_take(&a, " OK\r\nContent-Length: 0\r\n\r\n", 26, 60000000, &c);
	assert_int_equal(bucket_of_only(&c.first_byte), histogram_bucket(50000000));
	memset(&c.first_byte, 0, sizeof(c.first_byte));
	replay_answers_take(&a, OK(0), sizeof(OK(0)) - 1, 402000000, &c);
	assert_int_equal(bucket_of_only(&c.first_byte), histogram_bucket(400000000));
}

static void what_is_no_http_answers_a_request_with_the_first_bytes_after_it(void **state)
{
	struct replay_answers a = {};
	struct shadow_counters c = {};

	(void)state;
	for (int i = 0; i < 3; i++) {
		replay_answers_request(&a, "x", 1, NOW_NS);
		assert_false(replay_answers_may_be_whole(&a));
		replay_answers_take(&a, "abc", 3, NOW_NS, &c);
		replay_answers_take(&a, "de", 2, NOW_NS, &c);
		assert_true(replay_answers_may_be_whole(&a));
		assert_false(replay_answers_are_whole(&a)); /* nobody knows */
	}
	assert_int_equal(c.responses, 3);
	assert_int_equal(a.side.length[0], 5);
	assert_int_equal(a.side.length[1], 5);
}

/* --- pairs --- */

static struct shadow_flow production_of(uint32_t begun, bool done)
{
	struct shadow_flow flow = {.requests = begun};

	flow.production.begun = begun;
	flow.production.flags = SHADOW_SIDE_OPEN | (done ? SHADOW_SIDE_DONE : 0);
	for (uint32_t i = begun > SHADOW_RESPONSES ? begun - SHADOW_RESPONSES : 0; i < begun; i++) {
		flow.production.length[i % SHADOW_RESPONSES] = 100 + i;
		flow.production.status[i % SHADOW_RESPONSES] = 2;
	}
	return flow;
}

/* A shadow that has answered with 41 bytes and status 503, so many times. */
static void answer(struct replay_answers *a, struct shadow_counters *c, uint32_t times)
{
	static const char busy[] = "HTTP/1.1 503 Oh\r\nContent-Length: 2\r\n\r\nhi";

	for (uint32_t i = 0; i < times; i++) {
		replay_answers_request(a, GET, sizeof(GET) - 1, NOW_NS);
		replay_answers_take(a, busy, sizeof(busy) - 1, NOW_NS, c);
	}
}

static void a_pair_is_counted_once_both_sides_have_finished_it(void **state)
{
	struct replay_answers a = {};
	struct shadow_counters c = {};
	struct shadow_flow flow = production_of(1, false);
	uint32_t compared = 0;

	(void)state;
	assert_false(replay_answers_compare(&a, &flow, &compared, &c));
	answer(&a, &c, 1);
	assert_true(replay_answers_compare(&a, &flow, &compared, &c)); /* production goes on */
	assert_int_equal(c.compared, 0);
	flow = production_of(2, false);
	assert_false(replay_answers_compare(&a, &flow, &compared, &c));
	assert_false(replay_answers_compare(&a, &flow, &compared, &c));
	assert_int_equal(c.compared, 1);
	assert_int_equal(c.matrix[2][5], 1);
	assert_int_equal(c.difference[LENGTH_DIFFERENCES / 2 + 6], 1); /* 41 and 100: shorter by 32 to 63 */
	answer(&a, &c, 2);
	flow = production_of(3, true);
	assert_false(replay_answers_compare(&a, &flow, &compared, &c));
	assert_int_equal(c.compared, 3);
}

static void what_production_no_longer_remembers_is_passed_over(void **state)
{
	struct replay_answers a = {};
	struct shadow_counters c = {};
	struct shadow_flow flow = production_of(20, true);
	uint32_t compared = 0;

	(void)state;
	answer(&a, &c, 3);
	assert_false(replay_answers_compare(&a, &flow, &compared, &c));
	assert_int_equal(c.compared, 0);
	answer(&a, &c, 12);
	replay_answers_compare(&a, &flow, &compared, &c);
	assert_int_equal(c.compared, 3); /* numbers 12 to 14 of 20 */
}

static void bytes_of_any_kind_do_no_harm(void **state)
{
	static const char *const words[] = {"HTTP/1.1 200 OK\r\n",
					    "\r\n",
					    "Content-Length: ",
					    "Transfer-Encoding: chunked\r\n",
					    "99999999999999999999",
					    "ffffffffffffffff\r\n",
					    "0\r\n",
					    "5",
					    "\n",
					    "\r",
					    " ",
					    "x"};
	struct shadow_counters c = {};

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct replay_answers a = {};
		uint64_t before = c.response_bytes, bytes = 0;

		for (int i = 0; i < 40; i++) {
			const char *word = words[random_below(&numbers, ARRAY_SIZE(words))];

			if (random_below(&numbers, 10) == 0)
				replay_answers_request(&a, HEAD, random_below(&numbers, sizeof(HEAD)), NOW_NS);
			replay_answers_take(&a, word, strlen(word), NOW_NS, &c);
			bytes += strlen(word);
			assert_true(a.side.answered <= a.requests);
			assert_int_equal(a.side.next, bytes);
		}
		replay_answers_end(&a, &c);
		assert_int_equal(c.response_bytes - before, bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchanges_are_read_in_pieces_of_any_size),
		cmocka_unit_test(the_first_byte_is_timed_from_its_own_request),
		cmocka_unit_test(what_is_no_http_answers_a_request_with_the_first_bytes_after_it),
		cmocka_unit_test(a_pair_is_counted_once_both_sides_have_finished_it),
		cmocka_unit_test(what_production_no_longer_remembers_is_passed_over),
		cmocka_unit_test(bytes_of_any_kind_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
