// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * How mirrored connections end, and that each is counted once, under the right name. The test is the shadow; see
 * shadow_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "shadow_talk.h"

static void acknowledge(struct talk *t, __u32 acknowledged)
{
	talk_shadow(t, ACK, t->said, 0, acknowledged);
}

/* 100 bytes, which the shadow has. */
static void say_something(struct talk *t)
{
	talk_client(t, ACK, 0, 100);
	talk_hear_data(t, 0, 100);
	acknowledge(t, 100);
}

/* --- by FIN --- */

static void the_clients_end_is_held_until_the_shadow_ends(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_open(&t);
		say_something(&t);
		talk_client(&t, FIN | ACK, 100, 0);
		talk_hear_nothing(&t);
		talk_shadow(&t, ACK, 0, 500, 100);
		talk_hear_acknowledgement(&t, 100);
		talk_shadow(&t, FIN | ACK, 500, 10, 100);
		talk_hear_fin(&t, 100);
		talk_assert_ended(&t, 1, SHADOW_ENDS);
		acknowledge(&t, 101);
		talk_hear_nothing(&t);
		talk_assert_ended(&t, 1, SHADOW_WHOLE);
	}
}

static void the_clients_end_is_held_until_the_daemon_says_so(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, FIN | ACK | PSH, 0, 100);
	talk_hear_data(&t, 0, 100);
	acknowledge(&t, 100);
	talk_hear_nothing(&t);
	talk_kick(&t, KICK_FINISH, 0);
	talk_hear_fin(&t, 100);
	talk_kick(&t, KICK_FINISH, 0);
	acknowledge(&t, 101);
	/* It may still have something to say. */
	talk_shadow(&t, ACK, 0, 700, 101);
	talk_hear_acknowledgement(&t, 101);
	talk_assert_ended(&t, 1, SHADOW_ENDS);
	talk_shadow(&t, FIN | ACK, 700, 0, 101);
	talk_hear_acknowledgement(&t, 101);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_WHOLE);
}

static void the_shadow_may_end_first(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP6, .client_port = 40000};

	talk_open(&t);
	talk_shadow(&t, FIN | ACK, 0, 300, 0);
	talk_hear_acknowledgement(&t, 0);
	/* What the client still says is sent, whether anybody listens or not. */
	say_something(&t);
	talk_client(&t, FIN | ACK, 100, 50);
	talk_hear_data(&t, 100, 50);
	talk_hear_fin(&t, 150);
	acknowledge(&t, 151);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_WHOLE);
}

static void the_end_waits_for_all_before_it(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, FIN | ACK, 100, 0);
	talk_kick(&t, KICK_FINISH, 0);
	talk_hear_nothing(&t);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	talk_hear_fin(&t, 100);
	talk_client(&t, FIN | ACK, 100, 0);
	talk_hear_nothing(&t);
}

static void an_end_that_comes_before_the_syn_ack_waits(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_client(&t, SYN, -1U, 0);
	talk_hear_syn(&t);
	t.said = -1U;
	talk_client(&t, FIN | ACK, 0, 20);
	talk_kick(&t, KICK_FINISH, 0);
	talk_hear_nothing(&t);
	talk_shadow(&t, SYN | ACK, -1U, 0, 0);
	talk_hear_data(&t, 0, 20);
	talk_hear_fin(&t, 20);
	talk_shadow(&t, FIN | ACK, 0, 0, 21);
	talk_hear_acknowledgement(&t, 21);
	talk_assert_ended(&t, 1, SHADOW_WHOLE);
}

/* The last acknowledgement may be lost: then it ends all over again. */
static void who_repeats_his_end_is_told_that_it_is_over(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, FIN | ACK, 0, 0);
	talk_kick(&t, KICK_FINISH, 0);
	talk_hear_fin(&t, 0);
	talk_shadow(&t, FIN | ACK, 0, 0, 1);
	talk_hear_acknowledgement(&t, 1);
	acknowledge(&t, 1);
	talk_hear_nothing(&t);
	talk_shadow(&t, FIN | ACK, 0, 0, 1);
	talk_hear_reset(&t, 1);
	talk_assert_ended(&t, 1, SHADOW_WHOLE);
}

/* --- by RST --- */

static void the_clients_reset_is_the_shadows(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_open(&t);
		say_something(&t);
		talk_shadow(&t, ACK, 0, 300, 100);
		talk_hear_acknowledgement(&t, 100);
		talk_client(&t, RST, 100, 0);
		talk_hear_reset(&t, 100);
		talk_assert_ended(&t, 1, SHADOW_WHOLE);
		talk_client(&t, RST, 100, 0);
		talk_client(&t, ACK, 100, 10);
		talk_hear_nothing(&t);
		talk_assert_ended(&t, 1, SHADOW_WHOLE);
	}
}

/* A receiver believes a RST only with the sequence number that it waits for (RFC 5961, 3.2), and asks otherwise. */
static void a_reset_that_is_not_believed_is_repeated(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	talk_client(&t, RST | ACK, 100, 0);
	talk_hear_reset(&t, 100);
	acknowledge(&t, 0); /* the data have been lost */
	talk_hear_reset(&t, 0);
	talk_assert_ended(&t, 1, SHADOW_WHOLE);
}

static void a_reset_in_place_of_the_end(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	say_something(&t);
	talk_client(&t, ACK, 200, 100);
	talk_client(&t, RST, 300, 0);
	talk_hear_nothing(&t); /* not yet: something is missing */
	talk_client(&t, ACK, 100, 100);
	talk_hear_data(&t, 100, 100);
	talk_hear_data(&t, 200, 100);
	talk_hear_reset(&t, 300);
	talk_assert_ended(&t, 1, SHADOW_WHOLE);
}

static void a_reset_behind_what_is_missing_for_good(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	say_something(&t);
	talk_client(&t, ACK, 200, 100);
	talk_client(&t, RST, 300, 0);
	talk_kick(&t, KICK_ABORT, SHADOW_LOST);
	talk_hear_reset(&t, 100);
	talk_assert_ended(&t, 1, SHADOW_LOST);
}

/* Acknowledging what nobody has said yet, a RST would not end a half-open connection. */
static void a_reset_before_the_syn_ack_acknowledges_nothing(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP6, .client_port = 40000};
	struct heard h;

	talk_client(&t, SYN, -1U, 0);
	talk_hear_syn(&t);
	talk_client(&t, RST, 0, 0);
	talk_hear(&t, &h);
	assert_int_equal(h.flags, RST);
	assert_int_equal(h.at, 0);
	talk_assert_ended(&t, 1, SHADOW_WHOLE);
	/* The SYN-ACK crossed it. */
	talk_shadow(&t, SYN | ACK, -1U, 0, 0);
	talk_hear_reset(&t, 0);
}

static void a_blind_reset_of_the_clients_ends_nothing(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	say_something(&t);
	talk_client(&t, RST, 70000, 0);
	talk_client(&t, RST, -70000, 0);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_ENDS);
	talk_client(&t, RST, 1000, 0);
	talk_hear_reset(&t, 100);
}

static void a_reset_tells_of_what_never_came(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct talk ended = {.rig = *state, .service = RIG_TCP6, .client_port = 40000};

	talk_open(&t);
	say_something(&t);
	talk_client(&t, RST, 300, 0);
	talk_hear_reset(&t, 100);
	talk_assert_ended(&t, 1, SHADOW_LOST);
	/* A FIN has a number too, and has come. */
	talk_open(&ended);
	say_something(&ended);
	talk_client(&ended, FIN | ACK, 100, 0);
	talk_client(&ended, RST, 101, 0);
	talk_hear_reset(&ended, 100);
	talk_assert_ended(&ended, 1, SHADOW_WHOLE);
}

static void a_refused_connection_is_counted_as_that(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_client(&t, SYN, -1U, 0);
	talk_hear_syn(&t);
	talk_shadow(&t, RST, 0, 0, 0);           /* blind */
	talk_shadow(&t, RST | ACK, 0, 0, 12345); /* blind */
	talk_shadow(&t, RST | ACK, 0, 0, 0);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_REFUSED);
	talk_client(&t, ACK, 0, 100);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_REFUSED);
}

static void the_shadows_reset_ends_it(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_open(&t);
		say_something(&t);
		talk_shadow(&t, RST, 70000, 0, 0); /* blind */
		talk_shadow(&t, RST, -70000, 0, 0);
		talk_hear_nothing(&t);
		talk_assert_ended(&t, 1, SHADOW_ENDS);
		talk_shadow(&t, RST | ACK, 0, 0, 100);
		talk_client(&t, ACK, 100, 10);
		talk_hear_nothing(&t);
		talk_assert_ended(&t, 1, SHADOW_RESET);
	}
}

static void a_shadow_that_resets_after_all_was_said_has_heard_all(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	say_something(&t);
	talk_client(&t, FIN | ACK, 100, 0);
	talk_shadow(&t, ACK, 0, 50, 100);
	talk_hear_acknowledgement(&t, 100);
	talk_shadow(&t, RST | ACK, 50, 0, 100);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_WHOLE);
}

/* Its kernel had it all; who reads does not reset, but answers. */
static void a_shadow_that_resets_instead_of_an_answer_has_not_heard_all(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	say_something(&t);
	talk_client(&t, FIN | ACK, 100, 0);
	talk_shadow(&t, RST | ACK, 0, 0, 100);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_RESET);
	assert_int_equal(rig_counters(t.rig, t.service).unanswered, 1);
}

/* --- by the daemon --- */

static void the_daemon_may_end_it_for_any_reason(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_open(&t);
		say_something(&t);
		talk_kick(&t, KICK_ABORT, SHADOW_LINGERED);
		talk_hear_reset(&t, 100);
		talk_kick(&t, KICK_ABORT, SHADOW_STOPPED);
		talk_hear_nothing(&t);
		talk_assert_ended(&t, 1, SHADOW_LINGERED);
		/* It is told again when it goes on. */
		talk_shadow(&t, ACK, 0, 300, 100);
		talk_hear_reset(&t, 100);
	}
}

static void a_connection_without_a_syn_ack_is_taken_back(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct heard h;

	talk_client(&t, SYN, -1U, 0);
	talk_hear_syn(&t);
	talk_kick(&t, KICK_ABORT, SHADOW_NO_ANSWER);
	talk_hear(&t, &h);
	assert_int_equal(h.flags, RST);
	assert_int_equal(h.at, 0);
	talk_assert_ended(&t, 1, SHADOW_NO_ANSWER);
}

/* --- ports that are used again --- */

static void a_new_connection_from_the_same_port_ends_the_old_one(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};
		struct talk after = {.rig = *state, .service = service, .client_port = 40000, .client_first = 0x10000};

		talk_open(&t);
		say_something(&t);
		talk_client(&after, SYN, -1U, 0);
		talk_hear_reset(&t, 100);
		talk_hear_syn(&after);
		assert_int_not_equal(after.source_port, t.source_port);
		after.said = -1U;
		talk_shadow(&after, SYN | ACK, -1U, 0, 0);
		talk_hear_acknowledgement(&after, 0);
		say_something(&after);
		talk_assert_ended(&t, 2, SHADOW_WHOLE);
		/* Nobody has the old one's port any more. */
		acknowledge(&t, 100);
		talk_hear_reset(&t, 100);
		assert_int_equal(rig_counters(t.rig, service).stray, 1);
	}
}

/* It can be told nothing, but is counted all the same. */
static void an_old_one_ends_also_where_the_way_is_lost(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct talk after = {.rig = *state, .service = RIG_TCP4, .client_port = 40000, .client_first = 0x10000};
	__u32 shadow = RIG_SHADOW(t.service);
	struct shadow_counters c;
	struct backend b;

	talk_open(&t);
	say_something(&t);
	assert_true(map_get(t.rig->fixture->backends, &shadow, &b));
	b.hop[b.hop_active & 1].ifindex = 0;
	map_set(t.rig->fixture->backends, &shadow, &b);
	talk_client(&after, SYN, -1U, 0);
	talk_hear_nothing(&after);
	c = rig_counters(t.rig, t.service);
	assert_int_equal(c.eligible, 2);
	assert_int_equal(c.ended[SHADOW_WHOLE], 1);
	assert_int_equal(c.ended[SHADOW_UNREACHABLE], 1);
}

static void a_new_connection_may_follow_one_that_is_over(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct talk after = {.rig = *state, .service = RIG_TCP4, .client_port = 40000, .client_first = 0x10000};

	talk_open(&t);
	talk_client(&t, RST, 0, 0);
	talk_hear_reset(&t, 0);
	talk_open(&after);
	say_something(&after);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 2, SHADOW_WHOLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
		TEST(the_clients_end_is_held_until_the_shadow_ends),
		TEST(the_clients_end_is_held_until_the_daemon_says_so),
		TEST(the_shadow_may_end_first),
		TEST(the_end_waits_for_all_before_it),
		TEST(an_end_that_comes_before_the_syn_ack_waits),
		TEST(who_repeats_his_end_is_told_that_it_is_over),
		TEST(the_clients_reset_is_the_shadows),
		TEST(a_reset_that_is_not_believed_is_repeated),
		TEST(a_reset_in_place_of_the_end),
		TEST(a_reset_behind_what_is_missing_for_good),
		TEST(a_reset_before_the_syn_ack_acknowledges_nothing),
		TEST(a_blind_reset_of_the_clients_ends_nothing),
		TEST(a_reset_tells_of_what_never_came),
		TEST(a_refused_connection_is_counted_as_that),
		TEST(the_shadows_reset_ends_it),
		TEST(a_shadow_that_resets_after_all_was_said_has_heard_all),
		TEST(a_shadow_that_resets_instead_of_an_answer_has_not_heard_all),
		TEST(the_daemon_may_end_it_for_any_reason),
		TEST(a_connection_without_a_syn_ack_is_taken_back),
		TEST(a_new_connection_from_the_same_port_ends_the_old_one),
		TEST(an_old_one_ends_also_where_the_way_is_lost),
		TEST(a_new_connection_may_follow_one_that_is_over),
	};

	return run_on_every_hook(tests);
}
