// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The oracle is a plain array of bytes, and for each of them whether it has come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/random.h"
#include "replay_stream.h"

#define NOW_NS 5000000000ULL
#define SECOND_NS 1000000000ULL
#define FIRST 1000U
#define ROOMY (1U << 20)
#define STREAM 20000U

struct world {
	struct replay_budget budget;
	struct replay_stream stream;
	uint8_t out[2 * STREAM];
	size_t out_bytes;
};

static void open_at(struct world *w, uint32_t first, size_t limit_bytes)
{
	replay_stream_close(&w->stream);
	w->out_bytes = 0;
	assert_int_equal(replay_stream_open(&w->stream, first, limit_bytes, &w->budget), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		return -1;
	w->budget.limit_bytes = 64U << 20;
	open_at(w, FIRST, ROOMY);
	*state = w;
	return 0;
}

/* Whatever a test did, all memory is given back. */
static int teardown(void **state)
{
	struct world *w = *state;
	size_t left;

	replay_stream_close(&w->stream);
	left = w->budget.used_bytes;
	free(w);
	return left ? -1 : 0;
}

/* The byte at an offset of any stream here. */
static uint8_t byte_at(uint32_t offset)
{
	return (offset * 2654435761U) >> 24;
}

static enum shadow_end take_acknowledging(struct world *w, uint32_t offset, uint32_t bytes, uint32_t acknowledged,
					  uint64_t now_ns)
{
	uint8_t data[REPLAY_BYTES];

	assert_true(bytes <= sizeof(data));
	for (uint32_t i = 0; i < bytes; i++)
		data[i] = byte_at(offset + i);
	return replay_stream_take(&w->stream, FIRST + offset, acknowledged, data, bytes, now_ns);
}

static enum shadow_end take(struct world *w, uint32_t offset, uint32_t bytes)
{
	return take_acknowledging(w, offset, bytes, 0, NOW_NS);
}

/* Writes at most @most bytes of what can be. */
static size_t drain(struct world *w, size_t most)
{
	struct iovec pieces[8];
	size_t all = 0, count;
	bool begins;

	while (all < most && (count = replay_stream_peek(&w->stream, pieces, 8, &begins))) {
		size_t taken = 0;

		for (size_t i = 0; i < count && all + taken < most; i++) {
			size_t n = pieces[i].iov_len < most - all - taken ? pieces[i].iov_len : most - all - taken;

			assert_true(w->out_bytes + n <= sizeof(w->out));
			memcpy(w->out + w->out_bytes, pieces[i].iov_base, n);
			w->out_bytes += n;
			taken += n;
		}
		replay_stream_written(&w->stream, taken);
		all += taken;
	}
	return all;
}

static void assert_out(const struct world *w, size_t bytes)
{
	assert_int_equal(w->out_bytes, bytes);
	for (size_t i = 0; i < bytes; i++)
		if (w->out[i] != byte_at(i))
			fail_msg("byte %zu is wrong", i);
}

static void bytes_in_order_are_written_in_order(void **state)
{
	struct world *w = *state;

	assert_true(replay_stream_is_empty(&w->stream));
	assert_int_equal(take(w, 0, 100), 0);
	assert_int_equal(take(w, 100, 1448), 0);
	assert_int_equal(take(w, 1548, 1), 0);
	assert_false(replay_stream_is_empty(&w->stream));
	assert_int_equal(drain(w, 7), 7);
	assert_int_equal(drain(w, 50), 50);
	drain(w, SIZE_MAX);
	assert_out(w, 1549);
	assert_true(replay_stream_is_empty(&w->stream));
	assert_false(replay_stream_is_over(&w->stream));
}

static void what_is_behind_a_hole_waits_for_it(void **state)
{
	struct world *w = *state;

	assert_int_equal(take(w, 300, 100), 0);
	assert_int_equal(take(w, 100, 100), 0);
	assert_int_equal(w->stream.holes, 2);
	assert_true(replay_stream_is_empty(&w->stream));
	assert_int_equal(take(w, 0, 100), 0);
	drain(w, SIZE_MAX);
	assert_out(w, 200);
	assert_int_equal(take(w, 200, 100), 0);
	assert_int_equal(w->stream.holes, 0);
	drain(w, SIZE_MAX);
	assert_out(w, 400);
}

static void a_segment_over_many_holes_fills_them_all(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(take(w, 10 + 20 * i, 10), 0);
	assert_int_equal(w->stream.holes, 20);
	assert_int_equal(take(w, 0, 500), 0);
	assert_int_equal(w->stream.holes, 0);
	drain(w, SIZE_MAX);
	assert_out(w, 500);
}

static void duplicates_and_overlaps_take_no_room(void **state)
{
	struct world *w = *state;
	size_t used;

	take(w, 0, 100);
	take(w, 200, 100);
	used = w->stream.used_bytes;
	take(w, 0, 100);
	take(w, 50, 50);
	take(w, 220, 10);
	take(w, 200, 100);
	assert_int_equal(w->stream.used_bytes, used);
	take(w, 50, 200);
	drain(w, SIZE_MAX);
	assert_out(w, 300);
	take(w, 0, 300); /* again, when it has been written */
	assert_true(replay_stream_is_empty(&w->stream));
}

/* What came first stays, as it may have been written: so it is at the real server, too, most often. */
static void bytes_that_came_once_do_not_change(void **state)
{
	struct world *w = *state;
	uint8_t other[100];

	memset(other, 0xee, sizeof(other));
	take(w, 0, 100);
	take(w, 200, 100);
	replay_stream_take(&w->stream, FIRST + 50, 0, other, 50, NOW_NS);
	replay_stream_take(&w->stream, FIRST + 200, 0, other, 100, NOW_NS);
	take(w, 100, 100);
	drain(w, SIZE_MAX);
	assert_out(w, 300);
}

static void sequence_numbers_wrap(void **state)
{
	struct world *w = *state;
	uint8_t data[200];

	open_at(w, 0xffffff9cU, ROOMY); /* 100 before */
	for (uint32_t i = 0; i < 200; i++)
		data[i] = byte_at(i);
	assert_int_equal(replay_stream_take(&w->stream, 50, 0, data + 150, 50, NOW_NS), 0);
	assert_int_equal(replay_stream_take(&w->stream, 0xffffff9cU, 0, data, 120, NOW_NS), 0);
	replay_stream_end(&w->stream, 100, false, NOW_NS);
	assert_int_equal(replay_stream_take(&w->stream, 10, 0, data + 110, 60, NOW_NS), 0);
	drain(w, SIZE_MAX);
	assert_out(w, 200);
	assert_true(replay_stream_is_over(&w->stream));
}

static void a_fin_before_data_waits_for_them(void **state)
{
	struct world *w = *state;

	replay_stream_end(&w->stream, FIRST + 200, false, NOW_NS);
	assert_false(replay_stream_is_over(&w->stream));
	take(w, 100, 100);
	take(w, 0, 100);
	assert_false(replay_stream_is_over(&w->stream)); /* not written yet */
	drain(w, SIZE_MAX);
	assert_true(replay_stream_is_over(&w->stream));
	assert_false(w->stream.reset);
	take(w, 200, 100); /* behind the end there is nothing */
	assert_true(replay_stream_is_empty(&w->stream));
	assert_out(w, 200);
}

static void the_first_end_counts(void **state)
{
	struct world *w = *state;

	take(w, 0, 100);
	replay_stream_end(&w->stream, FIRST + 100, false, NOW_NS);
	replay_stream_end(&w->stream, FIRST + 5000, true, NOW_NS);
	drain(w, SIZE_MAX);
	assert_true(replay_stream_is_over(&w->stream));
	assert_false(w->stream.reset);
}

static void a_reset_ends_where_it_stands(void **state)
{
	struct world *w = *state;

	take(w, 0, 100);
	replay_stream_end(&w->stream, FIRST + 30, true, NOW_NS); /* older than what has come */
	assert_false(replay_stream_is_over(&w->stream));
	drain(w, SIZE_MAX);
	assert_true(replay_stream_is_over(&w->stream));
	assert_true(w->stream.reset);
	assert_out(w, 100);
}

static void a_hole_is_waited_for_as_long_as_the_caller_says(void **state)
{
	struct world *w = *state;

	assert_false(replay_stream_is_lost(&w->stream, UINT64_MAX, SECOND_NS));
	take(w, 100, 100);
	take_acknowledging(w, 200, 100, 0, NOW_NS + SECOND_NS / 2);
	assert_false(replay_stream_is_lost(&w->stream, NOW_NS + SECOND_NS - 1, SECOND_NS));
	assert_true(replay_stream_is_lost(&w->stream, NOW_NS + SECOND_NS, SECOND_NS));
	take_acknowledging(w, 0, 100, 0, NOW_NS + 3 * SECOND_NS);
	assert_false(replay_stream_is_lost(&w->stream, UINT64_MAX, SECOND_NS));
}

static void the_time_begins_anew_when_a_hole_is_being_filled(void **state)
{
	struct world *w = *state;

	take(w, 100, 100);
	take(w, 300, 100);
	take_acknowledging(w, 0, 100, 0, NOW_NS + SECOND_NS);
	assert_false(replay_stream_is_lost(&w->stream, NOW_NS + 2 * SECOND_NS - 1, SECOND_NS));
	assert_true(replay_stream_is_lost(&w->stream, NOW_NS + 2 * SECOND_NS, SECOND_NS));
}

static void bytes_before_the_end_may_be_lost_too(void **state)
{
	struct world *w = *state;

	take(w, 0, 100);
	replay_stream_end(&w->stream, FIRST + 200, false, NOW_NS);
	assert_true(replay_stream_is_lost(&w->stream, NOW_NS + SECOND_NS, SECOND_NS));
}

static void too_much_that_cannot_be_written_is_an_overrun(void **state)
{
	struct world *w = *state;
	enum shadow_end broken = 0;
	uint32_t taken;

	open_at(w, FIRST, 10000);
	for (taken = 0; !broken; taken += 1000)
		broken = take(w, taken, 1000);
	assert_int_equal(broken, SHADOW_OVERRUN);
	assert_true(w->stream.used_bytes <= 10000);
	assert_int_equal(taken, 10000); /* nine fitted */
}

static void room_that_was_written_is_free_again(void **state)
{
	struct world *w = *state;

	open_at(w, FIRST, 10000);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(take(w, 1000 * i, 1000), 0);
		drain(w, SIZE_MAX);
	}
	assert_out(w, 20000);
}

static void too_much_behind_a_hole_is_lost(void **state)
{
	struct world *w = *state;
	enum shadow_end broken = 0;

	open_at(w, FIRST, 10000);
	for (uint32_t at = 1000; !broken; at += 1000)
		broken = take(w, at, 1000);
	assert_int_equal(broken, SHADOW_LOST);
	assert_true(w->stream.used_bytes <= 10000);
}

static void small_segments_cannot_take_more_than_their_share(void **state)
{
	struct world *w = *state;
	enum shadow_end broken = 0;
	uint32_t taken;

	open_at(w, FIRST, 10000);
	for (taken = 0; !broken && taken < 10000; taken++)
		broken = take(w, taken, 1);
	assert_int_equal(broken, SHADOW_OVERRUN);
	assert_true(taken < 500); /* each has a piece of its own, which is what counts */
}

static void holes_are_limited(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < REPLAY_HOLES_MAX; i++)
		assert_int_equal(take(w, 1 + 2 * i, 1), 0);
	assert_int_equal(take(w, 1 + 2 * REPLAY_HOLES_MAX, 1), SHADOW_LOST);
	assert_int_equal(take(w, 2 * REPLAY_HOLES_MAX, 1), 0); /* no hole of its own */
	assert_int_equal(take(w, 0, 1), 0);                    /* one less */
	assert_int_equal(take(w, 1 + 2 * REPLAY_HOLES_MAX, 1), 0);
}

static void streams_share_a_budget(void **state)
{
	struct world *w = *state;
	struct replay_stream other;
	uint8_t data[1000] = {};

	w->budget.limit_bytes = w->budget.used_bytes + 3000;
	assert_int_equal(replay_stream_open(&other, 0, ROOMY, &w->budget), 0);
	assert_int_equal(replay_stream_take(&other, 0, 0, data, 1000, NOW_NS), 0);
	assert_int_equal(take(w, 0, 1000), 0);
	assert_int_equal(take(w, 1000, 1000), SHADOW_EVICTED);
	replay_stream_close(&other);
	assert_int_equal(take(w, 1000, 1000), 0);
	/* A budget that is made smaller takes nothing away. */
	w->budget.limit_bytes = 100;
	assert_int_equal(take(w, 2000, 1), SHADOW_EVICTED);
}

static void what_is_not_of_this_stream_is_ignored(void **state)
{
	struct world *w = *state;
	size_t used = w->stream.used_bytes;
	uint8_t data[100] = {};

	assert_int_equal(replay_stream_take(&w->stream, FIRST + REPLAY_WINDOW_BYTES + 1, 0, data, 100, NOW_NS), 0);
	assert_int_equal(replay_stream_take(&w->stream, FIRST + 0x80000000U, 0, data, 100, NOW_NS), 0);
	assert_int_equal(replay_stream_take(&w->stream, FIRST - 100, 0, data, 100, NOW_NS), 0);
	assert_int_equal(w->stream.used_bytes, used);
	assert_int_equal(replay_stream_take(&w->stream, FIRST - 50, 0, data, 100, NOW_NS), 0);
	assert_int_equal(w->stream.next, FIRST + 50);
}

static void assert_next_write(struct world *w, size_t bytes, bool begins)
{
	struct iovec pieces[8];
	size_t count, all = 0;
	bool is;

	count = replay_stream_peek(&w->stream, pieces, 8, &is);
	for (size_t i = 0; i < count; i++)
		all += pieces[i].iov_len;
	assert_int_equal(all, bytes);
	assert_int_equal(is, begins);
	replay_stream_written(&w->stream, all);
}

static void a_request_begins_where_something_new_is_acknowledged(void **state)
{
	struct world *w = *state;

	take_acknowledging(w, 350, 50, 9000, NOW_NS); /* out of order: the same all the same */
	take_acknowledging(w, 0, 100, 5000, NOW_NS);
	take_acknowledging(w, 100, 100, 5000, NOW_NS);
	take_acknowledging(w, 200, 50, 7000, NOW_NS);
	take_acknowledging(w, 250, 100, 6999, NOW_NS); /* an old one, sent again */
	assert_int_equal(w->stream.requests, 3);
	assert_next_write(w, 200, true);
	assert_next_write(w, 150, true);
	replay_stream_written(&w->stream, 20);
	assert_next_write(w, 30, false); /* the rest of one that has begun */
	assert_next_write(w, 0, false);
}

/* --- random streams ----------------------------------------------------------------------------------------------- */

struct oracle {
	bool has[STREAM];
	uint32_t next;
};

static void oracle_take(struct oracle *o, uint32_t offset, uint32_t bytes, uint32_t end)
{
	for (uint32_t i = offset; i < offset + bytes && i < end; i++)
		o->has[i] = true;
	while (o->next < STREAM && o->has[o->next])
		o->next++;
}

static size_t oracle_holes(const struct oracle *o)
{
	size_t holes = 0;

	for (uint32_t i = o->next + 1; i < STREAM; i++)
		holes += o->has[i] && !o->has[i - 1];
	return holes;
}

/* Segments from anywhere near where the stream is, until it is over. */
static void play(struct world *w, struct random *r, uint32_t first)
{
	static struct oracle o;
	uint8_t data[600];
	bool ended = false;

	memset(&o, 0, sizeof(o));
	open_at(w, first, ROOMY);
	while (w->out_bytes < STREAM) {
		uint32_t from = o.next > 300 ? o.next - 300 : 0;
		uint32_t offset = from + random_below(r, 2000), bytes = random_below(r, 600);

		if (offset >= STREAM)
			offset = STREAM - 1;
		if (bytes > STREAM - offset)
			bytes = STREAM - offset;
		for (uint32_t i = 0; i < bytes; i++)
			data[i] = byte_at(offset + i);
		assert_int_equal(replay_stream_take(&w->stream, first + offset, 0, data, bytes, NOW_NS), 0);
		oracle_take(&o, offset, bytes, STREAM);
		if (!ended && random_below(r, 50) == 0) {
			replay_stream_end(&w->stream, first + STREAM, false, NOW_NS);
			ended = true;
		}
		assert_int_equal(w->stream.next, first + o.next);
		assert_int_equal(w->stream.holes, oracle_holes(&o));
		drain(w, random_below(r, 700));
		assert_true(w->out_bytes <= o.next);
		assert_int_equal(replay_stream_is_empty(&w->stream), w->out_bytes == o.next);
		assert_int_equal(replay_stream_is_over(&w->stream), ended && w->out_bytes == STREAM);
	}
	assert_out(w, STREAM);
}

static void random_streams_come_out_as_the_oracle_has_them(void **state)
{
	struct random r = {0x9e3779b97f4a7c15ULL};

	for (int i = 0; i < 40; i++)
		play(*state, &r, i % 2 ? 0xffffffffU - random_below(&r, STREAM) : random_below(&r, 0xffffffffU));
}

/* Whatever comes: no more memory than allowed, none lost, and what comes out is what came in at that place. */
static void segments_of_any_kind_do_no_harm(void **state)
{
	static const uint32_t spans[] = {3, 100, 5000, 1U << 20, 1U << 31, 0xffffffffU};
	struct random r = {0x2545f4914f6cdd1dULL};
	struct world *w = *state;

	for (int round = 0; round < 3000; round++) {
		size_t limit_bytes = 100 + random_below(&r, 20000);
		uint32_t first = random_below(&r, 0xffffffffU);

		open_at(w, first, limit_bytes);
		w->budget.limit_bytes = w->budget.used_bytes + random_below(&r, 30000);
		for (int i = 0; i < 100; i++) {
			uint32_t offset = random_below(&r, spans[random_below(&r, 6)]);
			uint8_t data[REPLAY_BYTES];
			uint32_t bytes = random_below(&r, random_below(&r, 4) ? 40 : sizeof(data));

			for (uint32_t k = 0; k < bytes; k++)
				data[k] = byte_at(offset + k);
			if (random_below(&r, 60) == 0)
				replay_stream_end(&w->stream, first + offset, random_below(&r, 2), NOW_NS);
			if (replay_stream_take(&w->stream, first + offset, random_below(&r, 3), data, bytes, NOW_NS))
				break;
			if (w->out_bytes < STREAM)
				drain(w, random_below(&r, 3000));
			assert_true(w->stream.used_bytes <= limit_bytes);
			assert_true(w->budget.used_bytes <= w->budget.limit_bytes);
			assert_true(w->stream.holes <= REPLAY_HOLES_MAX);
		}
		assert_out(w, w->out_bytes);
	}
}

int main(void)
{
#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STREAM_TEST(bytes_in_order_are_written_in_order),
		STREAM_TEST(what_is_behind_a_hole_waits_for_it),
		STREAM_TEST(a_segment_over_many_holes_fills_them_all),
		STREAM_TEST(duplicates_and_overlaps_take_no_room),
		STREAM_TEST(bytes_that_came_once_do_not_change),
		STREAM_TEST(sequence_numbers_wrap),
		STREAM_TEST(a_fin_before_data_waits_for_them),
		STREAM_TEST(the_first_end_counts),
		STREAM_TEST(a_reset_ends_where_it_stands),
		STREAM_TEST(a_hole_is_waited_for_as_long_as_the_caller_says),
		STREAM_TEST(the_time_begins_anew_when_a_hole_is_being_filled),
		STREAM_TEST(bytes_before_the_end_may_be_lost_too),
		STREAM_TEST(too_much_that_cannot_be_written_is_an_overrun),
		STREAM_TEST(room_that_was_written_is_free_again),
		STREAM_TEST(too_much_behind_a_hole_is_lost),
		STREAM_TEST(small_segments_cannot_take_more_than_their_share),
		STREAM_TEST(holes_are_limited),
		STREAM_TEST(streams_share_a_budget),
		STREAM_TEST(what_is_not_of_this_stream_is_ignored),
		STREAM_TEST(a_request_begins_where_something_new_is_acknowledged),
		STREAM_TEST(random_streams_come_out_as_the_oracle_has_them),
		STREAM_TEST(segments_of_any_kind_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
