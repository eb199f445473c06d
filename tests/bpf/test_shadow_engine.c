// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What of a client's stream goes to its shadow, and when: segments as they come, and those that wait. The test is the
 * shadow; see shadow_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "shadow_talk.h"

/* --- opening --- */

static void the_shadow_gets_a_syn_of_ours(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};
		struct shadow_counters c;

		talk_open(&t);
		c = rig_counters(t.rig, service);
		assert_int_equal(c.eligible, 1);
		assert_int_equal(c.connected, 1);
		assert_int_equal(c.connect.count, 1);
		assert_int_equal(c.packets, 2);
		assert_int_equal(c.bytes, service == RIG_TCP6 ? 68 + 60 : 48 + 40);
		talk_assert_ended(&t, 1, SHADOW_ENDS);
	}
}

static void each_connection_has_a_port_of_its_own(void **state)
{
	__u16 ports[50];

	for (__u32 i = 0; i < 50; i++) {
		struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000 + i};

		talk_open(&t);
		ports[i] = t.source_port;
		for (__u32 j = 0; j < i; j++)
			assert_int_not_equal(ports[i], ports[j]);
	}
}

static void a_syn_that_comes_again_is_not_sent_again(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, SYN, -1U, 0);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_ENDS);
}

static void a_syn_ack_that_comes_again_is_acknowledged_again(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_shadow(&t, SYN | ACK, -1U, 0, 0);
	talk_hear_acknowledgement(&t, 0);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	talk_shadow(&t, SYN | ACK, -1U, 0, 0);
	talk_hear_acknowledgement(&t, 100);
	assert_int_equal(rig_counters(t.rig, t.service).connected, 1);
}

static void a_mark_replaces_the_clients(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};
		struct shadow shadow = rig_shadow_get(t.rig, service);
		struct segment s;
		struct heard h;

		shadow.traffic_class = 10 << 2;
		rig_shadow_set(t.rig, service, &shadow);
		talk_client(&t, SYN, -1U, 0);
		talk_hear(&t, &h);
		assert_int_equal(h.reading.traffic_class, 10 << 2);
		t.source_port = h.reading.source_port;
		talk_shadow(&t, SYN | ACK, -1U, 0, 0);
		talk_hear(&t, &h);
		assert_int_equal(h.reading.traffic_class, 10 << 2);
		s = talk_client_segment(&t, ACK, 0, 33);
		s.traffic_class = 0xb8;
		talk_client_puts(&t, &s);
		talk_hear(&t, &h);
		assert_int_equal(h.payload_bytes, 33);
		assert_int_equal(h.reading.traffic_class, 10 << 2);
	}
}

static void what_it_remembers_of_these_ports_is_ended_first(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct segment s;

	talk_client(&t, SYN, -1U, 0);
	talk_hear_syn(&t);
	/* A challenge acknowledgement, of a connection that it has not forgotten. */
	s = talk_shadow_segment(&t, ACK, 5000, 0, 123456);
	talk_shadow_puts(&t, &s);
	talk_hear_reset(&t, 123456);
	talk_hear_syn(&t);
	t.said = -1U;
	talk_shadow(&t, SYN | ACK, -1U, 0, 0);
	talk_hear_acknowledgement(&t, 0);
	assert_int_equal(rig_counters(t.rig, t.service).connected, 1);
	talk_assert_ended(&t, 1, SHADOW_ENDS);
}

/* --- in order --- */

static void data_in_order_go_at_once(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};
		__u32 at = 0;

		talk_open(&t);
		for (__u32 bytes = 1; bytes <= 1400; bytes += 233) {
			talk_client(&t, ACK, at, bytes);
			talk_hear_data(&t, at, bytes);
			at += bytes;
			talk_shadow(&t, ACK, t.said, 0, at);
		}
		talk_hear_nothing(&t);
		assert_int_equal(rig_counters(t.rig, service).repaired, 0);
		assert_int_equal(map_entries(fixture_map(t.rig->fixture, "stash")), 0);
	}
}

static void options_are_blotted_out(void **state)
{
	static const __u8 timestamps[40] = {1, 1, 8, 10, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 1, 1, 5, 26};

	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		for (__u32 bytes = 0; bytes <= 40; bytes += 4) {
			struct talk t = {.rig = *state, .service = service, .client_port = 40000 + bytes};
			struct segment s;

			talk_open(&t);
			s = talk_client_segment(&t, ACK | PSH, 0, 77);
			s.tcp_options = timestamps;
			s.tcp_option_bytes = bytes;
			talk_client_puts(&t, &s);
			talk_hear_data(&t, 0, 77);
		}
	}
}

static void what_the_shadow_says_is_acknowledged(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_open(&t);
		talk_client(&t, ACK, 0, 100);
		talk_hear_data(&t, 0, 100);
		for (__u32 i = 0; i < 5; i++) {
			talk_shadow(&t, ACK, t.said, 1000 + i, 100);
			talk_hear_acknowledgement(&t, 100);
		}
		/* Holes do not matter. */
		talk_shadow(&t, ACK | PSH, t.said + 1000, 500, 100);
		talk_hear_acknowledgement(&t, 100);
		talk_shadow(&t, ACK | PSH, t.said - 1500, 1000, 100);
		talk_hear_acknowledgement(&t, 100);
		talk_client(&t, ACK, 100, 10);
		talk_hear_data(&t, 100, 10);
		talk_shadow(&t, ACK, t.said, 0, 110);
		talk_hear_nothing(&t);
	}
}

static void a_keepalive_probe_is_answered(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_shadow(&t, ACK, 0, 300, 0);
	talk_hear_acknowledgement(&t, 0);
	talk_shadow(&t, ACK, 299, 0, 0);
	talk_hear_acknowledgement(&t, 0);
	talk_shadow(&t, ACK, 300, 0, 0);
	talk_hear_nothing(&t);
}

static void a_long_segment_is_sent_in_pieces(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};
		__u32 piece = service == RIG_TCP4 ? 1460 : 1440;

		talk_open(&t);
		talk_client(&t, ACK | PSH, 0, 3000);
		talk_hear_data(&t, 0, piece);
		talk_hear_data(&t, piece, piece);
		talk_hear_data(&t, 2 * piece, 3000 - 2 * piece);
		talk_shadow(&t, ACK, t.said, 0, 3000);
		talk_client(&t, ACK, 3000, 1);
		talk_hear_data(&t, 3000, 1);
	}
}

/* --- waiting --- */

static void data_that_come_before_the_syn_ack_wait_for_it(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_client(&t, SYN, -1U, 0);
		talk_hear_syn(&t);
		t.said = -1U;
		talk_client(&t, ACK, 0, 1001);
		talk_client(&t, ACK, 1001, 7);
		talk_client(&t, ACK | PSH, 1008, 1400);
		talk_hear_nothing(&t);
		talk_shadow(&t, SYN | ACK, -1U, 0, 0);
		talk_hear_data(&t, 0, 1001);
		talk_hear_data(&t, 1001, 7);
		talk_hear_data(&t, 1008, 1400);
		talk_hear_nothing(&t);
	}
}

static void more_waits_than_is_sent_at_once(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	__u32 heard = 0, at = 0;
	struct heard h;

	talk_client(&t, SYN, -1U, 0);
	talk_hear_syn(&t);
	t.said = -1U;
	for (__u32 i = 0; i < 40; i++)
		talk_client(&t, ACK, 100 * i, 100);
	talk_shadow(&t, SYN | ACK, -1U, 0, 0);
	while (heard < 40) {
		talk_hear(&t, &h);
		assert_int_equal(h.at, at);
		at += h.payload_bytes;
		heard++;
		talk_shadow(&t, ACK, 0, 0, at);
	}
	assert_int_equal(at, 4000);
	talk_hear_nothing(&t);
	assert_int_equal(map_entries(fixture_map(t.rig->fixture, "stash")), 0);
}

static void what_has_been_overtaken_goes_first(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP6, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, ACK, 300, 100);
	talk_client(&t, ACK, 100, 200);
	talk_hear_nothing(&t);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	talk_hear_data(&t, 100, 200);
	talk_hear_data(&t, 300, 100);
	talk_client(&t, ACK, 400, 100);
	talk_hear_data(&t, 400, 100);
	talk_hear_nothing(&t);
}

static void what_was_sent_is_not_sent_again(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	talk_client(&t, ACK, 100, 100);
	talk_hear_data(&t, 100, 100);
	talk_client(&t, ACK, 0, 100);
	talk_client(&t, ACK, 0, 200);
	talk_client(&t, ACK, 50, 70);
	talk_client(&t, ACK, 199, 1);
	talk_hear_nothing(&t);
	/* Of what is partly new the new part. */
	talk_client(&t, ACK, 150, 100);
	talk_hear_data(&t, 200, 50);
	talk_client(&t, ACK, 0, 300);
	talk_hear_data(&t, 250, 50);
	talk_client(&t, ACK, 300, 100);
	talk_hear_data(&t, 300, 100);
}

static void what_waits_may_come_again_cut_otherwise(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	/* Longer, from the same place. */
	talk_open(&t);
	talk_client(&t, ACK, 100, 50);
	talk_client(&t, ACK, 100, 150);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	talk_hear_data(&t, 100, 50);
	talk_hear_data(&t, 150, 100);
	/* With what was before it. */
	talk_client(&t, ACK, 350, 50);
	talk_client(&t, ACK, 250, 150);
	talk_hear_data(&t, 250, 150);
	talk_client(&t, ACK, 400, 10);
	talk_hear_data(&t, 400, 10);
	/* Shorter. */
	talk_client(&t, ACK, 510, 100);
	talk_client(&t, ACK, 510, 60);
	talk_client(&t, ACK, 410, 100);
	talk_hear_data(&t, 410, 100);
	talk_hear_data(&t, 510, 100);
	talk_hear_nothing(&t);
}

static void a_closed_window_holds_data_back(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000, .window = 1000};

	talk_open(&t);
	talk_client(&t, ACK, 0, 600);
	talk_hear_data(&t, 0, 600);
	talk_client(&t, ACK, 600, 600);
	talk_client(&t, ACK, 1200, 300);
	talk_hear_nothing(&t);
	t.closed = true;
	talk_shadow(&t, ACK, 0, 0, 600);
	talk_hear_nothing(&t);
	t.closed = false;
	t.window = 599;
	talk_shadow(&t, ACK, 0, 0, 600);
	talk_hear_nothing(&t);
	t.window = 600;
	talk_shadow(&t, ACK, 0, 0, 600);
	talk_hear_data(&t, 600, 600);
	talk_hear_nothing(&t);
	t.window = 60000;
	talk_shadow(&t, ACK, 0, 0, 1200);
	talk_hear_data(&t, 1200, 300);
}

static void windows_are_scaled_as_the_shadow_said(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000, .window = 500};

		/* That of the SYN-ACK is not. */
		talk_open_scaled(&t, 3);
		talk_client(&t, ACK, 0, 600);
		talk_hear_nothing(&t);
		t.window = 100;
		talk_shadow(&t, ACK, 0, 0, 0);
		talk_hear_data(&t, 0, 600);
		talk_client(&t, ACK, 600, 300);
		talk_hear_nothing(&t);
		t.window = 37; /* 296 */
		talk_shadow(&t, ACK, 0, 0, 600);
		talk_hear_nothing(&t);
		t.window = 38;
		talk_shadow(&t, ACK, 0, 0, 600);
		talk_hear_data(&t, 600, 300);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
		TEST(the_shadow_gets_a_syn_of_ours),
		TEST(each_connection_has_a_port_of_its_own),
		TEST(a_syn_that_comes_again_is_not_sent_again),
		TEST(a_syn_ack_that_comes_again_is_acknowledged_again),
		TEST(a_mark_replaces_the_clients),
		TEST(what_it_remembers_of_these_ports_is_ended_first),
		TEST(data_in_order_go_at_once),
		TEST(options_are_blotted_out),
		TEST(what_the_shadow_says_is_acknowledged),
		TEST(a_keepalive_probe_is_answered),
		TEST(a_long_segment_is_sent_in_pieces),
		TEST(data_that_come_before_the_syn_ack_wait_for_it),
		TEST(more_waits_than_is_sent_at_once),
		TEST(what_has_been_overtaken_goes_first),
		TEST(what_was_sent_is_not_sent_again),
		TEST(what_waits_may_come_again_cut_otherwise),
		TEST(a_closed_window_holds_data_back),
		TEST(windows_are_scaled_as_the_shadow_said),
	};

	return run_on_every_hook(tests);
}
