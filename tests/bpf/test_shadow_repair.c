// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What has not reached the shadow is sent again: when it says so, and when the daemon has waited long enough. The test
 * is the shadow; see shadow_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shadow_talk.h"

#define SEGMENT 1400U

static __u64 repaired(const struct talk *t)
{
	return rig_counters(t->rig, t->service).repaired;
}

/* @count segments, which all leave at once. */
static void send_segments(struct talk *t, __u32 count)
{
	for (__u32 i = 0; i < count; i++) {
		talk_client(t, ACK, i * SEGMENT, SEGMENT);
		talk_hear_data(t, i * SEGMENT, SEGMENT);
	}
}

static void acknowledge(struct talk *t, __u32 acknowledged)
{
	talk_shadow(t, ACK, t->said, 0, acknowledged);
}

/* --- by what the shadow says --- */

static void three_duplicates_of_many_segments_repair_one_once(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_open(&t);
		send_segments(&t, 8);
		acknowledge(&t, SEGMENT);
		/* The second is lost; each that came behind it is answered alike. */
		acknowledge(&t, SEGMENT);
		acknowledge(&t, SEGMENT);
		talk_hear_nothing(&t);
		acknowledge(&t, SEGMENT);
		talk_hear_data(&t, SEGMENT, SEGMENT);
		acknowledge(&t, SEGMENT);
		acknowledge(&t, SEGMENT);
		acknowledge(&t, SEGMENT);
		talk_hear_nothing(&t);
		acknowledge(&t, 8 * SEGMENT);
		talk_client(&t, ACK, 8 * SEGMENT, 50);
		talk_hear_data(&t, 8 * SEGMENT, 50);
		talk_hear_nothing(&t);
		assert_int_equal(repaired(&t), 1);
	}
}

static void one_duplicate_is_enough_where_there_can_be_no_three(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	talk_client(&t, ACK, 100, 100);
	talk_hear_data(&t, 100, 100);
	acknowledge(&t, 0);
	talk_hear_data(&t, 0, 100);
	acknowledge(&t, 200);
	talk_hear_nothing(&t);
	assert_int_equal(repaired(&t), 1);
}

static void holes_are_filled_one_after_the_other(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP6, .client_port = 40000};

	talk_open(&t);
	send_segments(&t, 8);
	for (int i = 0; i < 4; i++)
		acknowledge(&t, SEGMENT);
	talk_hear_data(&t, SEGMENT, SEGMENT);
	/* Three more are missing: each acknowledgement says which is the next. */
	acknowledge(&t, 3 * SEGMENT);
	talk_hear_data(&t, 3 * SEGMENT, SEGMENT);
	acknowledge(&t, 3 * SEGMENT);
	acknowledge(&t, 6 * SEGMENT);
	talk_hear_data(&t, 6 * SEGMENT, SEGMENT);
	acknowledge(&t, 7 * SEGMENT);
	talk_hear_data(&t, 7 * SEGMENT, SEGMENT);
	acknowledge(&t, 8 * SEGMENT);
	talk_hear_nothing(&t);
	assert_int_equal(repaired(&t), 4);
	assert_int_equal(map_entries(fixture_map(t.rig->fixture, "stash")), 0);
}

static void data_go_on_while_a_hole_is_filled(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	send_segments(&t, 8);
	for (int i = 0; i < 4; i++)
		acknowledge(&t, 0);
	talk_hear_data(&t, 0, SEGMENT);
	talk_client(&t, ACK, 8 * SEGMENT, 30);
	talk_hear_data(&t, 8 * SEGMENT, 30);
	acknowledge(&t, 0);
	/* All that was missing when the hole was found is there; what was sent since is not missing yet. */
	acknowledge(&t, 8 * SEGMENT);
	talk_hear_nothing(&t);
	acknowledge(&t, 8 * SEGMENT + 30);
	talk_hear_nothing(&t);
	assert_int_equal(repaired(&t), 1);
}

static void data_and_other_windows_are_no_duplicates(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	for (int i = 0; i < 4; i++) {
		talk_shadow(&t, ACK, t.said, 500, 0);
		talk_hear_acknowledgement(&t, 100);
	}
	for (t.window = 1000; t.window < 1004; t.window++)
		acknowledge(&t, 0);
	talk_hear_nothing(&t);
	assert_int_equal(repaired(&t), 0);
}

static void what_nobody_has_any_more_ends_the_connection(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct stash_key key = {.sequence = FIRST};
	struct shadow_flow flow;

	talk_open(&t);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	assert_true(talk_flow(&t, &flow));
	key.serial = flow.serial;
	map_delete(fixture_map(t.rig->fixture, "stash"), &key);
	acknowledge(&t, 0);
	talk_hear_reset(&t, 100);
	talk_assert_ended(&t, 1, SHADOW_LOST);
	/* It has not believed it, as it waits for something else: now it does. */
	acknowledge(&t, 0);
	talk_hear_reset(&t, 0);
}

/* A receiver may take the part of a probe that it has room for. */
static void half_a_segment_may_be_acknowledged(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, ACK, 0, 1000);
	talk_hear_data(&t, 0, 1000);
	acknowledge(&t, 10);
	acknowledge(&t, 10);
	talk_hear_data(&t, 0, 1000);
	acknowledge(&t, 1000);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_ENDS);
}

/* --- by the daemon's kick --- */

static void the_syn_is_sent_again(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_client(&t, SYN, -1U, 0);
		talk_hear_syn(&t);
		talk_kick(&t, KICK_REPAIR, 0);
		talk_hear_syn(&t);
		t.said = -1U;
		talk_shadow(&t, SYN | ACK, -1U, 0, 0);
		talk_hear_acknowledgement(&t, 0);
		talk_kick(&t, KICK_REPAIR, 0);
		talk_hear_nothing(&t);
		assert_int_equal(repaired(&t), 1);
	}
}

static void data_are_sent_again(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_open(&t);
		send_segments(&t, 3);
		talk_kick(&t, KICK_REPAIR, 0);
		talk_hear_data(&t, 0, SEGMENT);
		talk_kick(&t, KICK_REPAIR, 0);
		talk_hear_data(&t, 0, SEGMENT);
		acknowledge(&t, 3 * SEGMENT);
		talk_kick(&t, KICK_REPAIR, 0);
		talk_hear_nothing(&t);
		assert_int_equal(repaired(&t), 2);
	}
}

static void the_rest_is_found_missing_behind_a_repair(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	/* All are lost. */
	talk_open(&t);
	send_segments(&t, 4);
	talk_kick(&t, KICK_REPAIR, 0);
	for (__u32 i = 0; i < 4; i++) {
		talk_hear_data(&t, i * SEGMENT, SEGMENT);
		acknowledge(&t, (i + 1) * SEGMENT);
	}
	talk_hear_nothing(&t);
	assert_int_equal(repaired(&t), 4);
}

static void the_end_is_sent_again(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP6, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	talk_client(&t, FIN | ACK, 100, 0);
	talk_kick(&t, KICK_FINISH, 0);
	talk_hear_fin(&t, 100);
	talk_kick(&t, KICK_REPAIR, 0);
	talk_hear_data(&t, 0, 100);
	acknowledge(&t, 100);
	talk_hear_fin(&t, 100);
	talk_kick(&t, KICK_REPAIR, 0);
	talk_hear_fin(&t, 100);
	acknowledge(&t, 101);
	talk_kick(&t, KICK_REPAIR, 0);
	talk_hear_nothing(&t);
}

static void a_closed_window_is_probed(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000, .closed = true};

	talk_open(&t);
	talk_client(&t, ACK, 0, 100);
	talk_client(&t, ACK, 100, 100);
	talk_hear_nothing(&t);
	for (int i = 0; i < 3; i++) {
		talk_kick(&t, KICK_REPAIR, 0);
		talk_hear_data(&t, 0, 100);
		acknowledge(&t, 0);
	}
	talk_hear_nothing(&t);
	/* None of the probes was taken: it goes again when there is room. */
	t.closed = false;
	acknowledge(&t, 0);
	talk_hear_data(&t, 0, 100);
	talk_hear_data(&t, 100, 100);
	acknowledge(&t, 200);
	talk_hear_nothing(&t);
	talk_client(&t, ACK, 200, 5);
	talk_hear_data(&t, 200, 5);
}

/* The daemon looks at what was a moment ago. */
static void what_only_waits_is_not_lost(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000, .closed = true};

	talk_open(&t);
	talk_kick(&t, KICK_ABORT, SHADOW_LOST);
	talk_client(&t, ACK, 0, 100);
	talk_kick(&t, KICK_ABORT, SHADOW_LOST);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_ENDS);
	t.closed = false;
	talk_shadow(&t, ACK, 0, 0, 0);
	talk_hear_data(&t, 0, 100);
	talk_client(&t, ACK, 200, 100);
	talk_kick(&t, KICK_ABORT, SHADOW_LOST);
	talk_hear_reset(&t, 100);
	talk_assert_ended(&t, 1, SHADOW_LOST);
}

static void a_kick_for_another_connection_does_nothing(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct mirror_kick kick = {.action = KICK_ABORT, .reason = SHADOW_STOPPED};
	struct shadow_flow flow;

	talk_open(&t);
	assert_true(talk_flow(&t, &flow));
	kick.flow = world_flow_key(t.service, CLIENT4, t.client_port);
	kick.serial = flow.serial + 1;
	rig_kick(t.rig, &kick);
	kick.serial = flow.serial;
	kick.flow.port ^= 1;
	rig_kick(t.rig, &kick);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_ENDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
		TEST(three_duplicates_of_many_segments_repair_one_once),
		TEST(one_duplicate_is_enough_where_there_can_be_no_three),
		TEST(holes_are_filled_one_after_the_other),
		TEST(data_go_on_while_a_hole_is_filled),
		TEST(data_and_other_windows_are_no_duplicates),
		TEST(what_nobody_has_any_more_ends_the_connection),
		TEST(half_a_segment_may_be_acknowledged),
		TEST(the_syn_is_sent_again),
		TEST(data_are_sent_again),
		TEST(the_rest_is_found_missing_behind_a_repair),
		TEST(the_end_is_sent_again),
		TEST(a_closed_window_is_probed),
		TEST(what_only_waits_is_not_lost),
		TEST(a_kick_for_another_connection_does_nothing),
	};

	return run_on_every_hook(tests);
}
