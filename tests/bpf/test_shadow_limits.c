// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What cannot be mirrored (any further), and why: counted once, under the right name, and the shadow is told. The test
 * is the shadow; see shadow_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shadow_talk.h"

static void set_limits(struct rig *r, __u32 service, __u32 stash, __u32 packets_per_second)
{
	struct shadow shadow = rig_shadow_get(r, service);

	shadow.stash = stash;
	shadow.packets_per_second = packets_per_second;
	rig_shadow_set(r, service, &shadow);
}

static void set_hop(struct rig *r, __u32 backend, __u32 ifindex)
{
	struct backend b;

	assert_true(map_get(r->fixture->backends, &backend, &b));
	b.hop[b.hop_active & 1].ifindex = ifindex;
	map_set(r->fixture->backends, &backend, &b);
}

/* --- of one connection --- */

static void too_much_before_the_syn_ack_is_late(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	set_limits(t.rig, t.service, 4, 0);
	talk_client(&t, SYN, -1U, 0);
	talk_hear_syn(&t);
	for (__u32 i = 0; i < 4; i++)
		talk_client(&t, ACK, 100 * i, 100);
	talk_hear_nothing(&t);
	talk_client(&t, ACK, 400, 100);
	talk_hear_reset(&t, 0);
	talk_client(&t, ACK, 500, 100);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_LATE);
}

static void too_much_behind_a_closed_window_overruns_it(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP6, .client_port = 40000, .closed = true};

	set_limits(t.rig, t.service, 4, 0);
	talk_open(&t);
	for (__u32 i = 0; i < 4; i++)
		talk_client(&t, ACK, 100 * i, 100);
	talk_hear_nothing(&t);
	talk_client(&t, ACK, 400, 100);
	talk_hear_reset(&t, 0);
	talk_assert_ended(&t, 1, SHADOW_OVERRUN);
}

static void too_much_that_is_not_acknowledged_overruns_it(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	set_limits(t.rig, t.service, 4, 0);
	talk_open(&t);
	for (__u32 i = 0; i < 4; i++) {
		talk_client(&t, ACK, 100 * i, 100);
		talk_hear_data(&t, 100 * i, 100);
	}
	talk_client(&t, ACK, 400, 100);
	talk_hear_reset(&t, 400);
	talk_assert_ended(&t, 1, SHADOW_OVERRUN);
}

static void what_is_acknowledged_makes_room(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	set_limits(t.rig, t.service, 4, 0);
	talk_open(&t);
	for (__u32 i = 0; i < 100; i++) {
		talk_client(&t, ACK, 100 * i, 100);
		talk_hear_data(&t, 100 * i, 100);
		if (i % 4 == 3)
			talk_shadow(&t, ACK, 0, 0, 100 * (i + 1));
	}
	talk_assert_ended(&t, 1, SHADOW_ENDS);
}

static void a_connection_that_began_unseen_is_counted_once(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_client(&t, RST, 0, 0); /* of one that nobody has begun to count */
	talk_assert_ended(&t, 0, SHADOW_ENDS);
	for (__u32 i = 0; i < 5; i++)
		talk_client(&t, ACK, 100 * i, 100);
	talk_client(&t, FIN | ACK, 500, 0);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_MID_CONNECTION);
}

static void a_shadow_that_nobody_knows_the_way_to_is_unreachable(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_LAST; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};
		struct segment s = talk_client_segment(&t, SYN, -1U, 0);

		if (rig_is_udp(service))
			s.protocol = IPPROTO_UDP;
		set_hop(t.rig, RIG_SHADOW(service), 0);
		talk_client_puts(&t, &s);
		talk_client_puts(&t, &s);
		talk_hear_nothing(&t);
		talk_assert_ended(&t, 1, SHADOW_UNREACHABLE);
	}
}

static void a_way_that_is_lost_ends_what_is_going_on(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	talk_client(&t, ACK, 0, 100);
	talk_hear_data(&t, 0, 100);
	set_hop(t.rig, RIG_SHADOW(t.service), 0);
	talk_client(&t, ACK, 100, 100);
	talk_client(&t, ACK, 200, 100);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_UNREACHABLE);
}

static void without_an_address_of_ours_it_is_unreachable(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	__u32 backend = RIG_SHADOW(t.service);
	struct backend b;

	assert_true(map_get(t.rig->fixture->backends, &backend, &b));
	b.source = 0;
	map_set(t.rig->fixture->backends, &backend, &b);
	talk_client(&t, SYN, -1U, 0);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_UNREACHABLE);
}

/* --- of all --- */

static void a_full_stash_evicts_who_needs_it(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_open(&t);
	for (__u32 i = 0; i < SMALL_STASH; i++) {
		talk_client(&t, ACK, 100 * i, 100);
		talk_hear_data(&t, 100 * i, 100);
	}
	talk_client(&t, ACK, 100 * SMALL_STASH, 100);
	talk_hear_reset(&t, 100 * SMALL_STASH);
	talk_assert_ended(&t, 1, SHADOW_EVICTED);
}

static void a_full_table_evicts_who_comes_last(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4};

	for (__u32 i = 0; i < SMALL_FLOWS; i++) {
		struct talk one = {.rig = *state, .service = RIG_TCP4, .client_port = 40000 + i};

		talk_open(&one);
	}
	t.client_port = 50000;
	talk_client(&t, SYN, -1U, 0);
	talk_client(&t, ACK, 0, 100);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, SMALL_FLOWS + 1, SHADOW_EVICTED);
	/* Its port is free again. */
	assert_int_equal(map_entries(fixture_map(t.rig->fixture, "shadow_ports")), SMALL_FLOWS);
}

static void ports_that_are_all_in_use_evict(void **state)
{
	struct talk first = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct talk second = {.rig = *state, .service = RIG_TCP4, .client_port = 40001};
	struct shadow shadow = rig_shadow_get(first.rig, first.service);

	shadow.port_max = shadow.port_min;
	rig_shadow_set(first.rig, first.service, &shadow);
	talk_open(&first);
	assert_int_equal(first.source_port, shadow.port_min);
	talk_client(&second, SYN, -1U, 0);
	talk_client(&second, ACK, 0, 10);
	talk_hear_nothing(&second);
	talk_assert_ended(&second, 2, SHADOW_EVICTED);
}

/* --- the cap --- */

/* A burst may be as long as SHADOW_BURST, and a sixteenth of a second's. */
static void a_connection_over_the_cap_is_ended(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	__u32 at = 0;
	struct heard h;

	set_limits(t.rig, t.service, 1000, 1);
	talk_open(&t);
	for (;;) {
		talk_client(&t, ACK, at, 10);
		talk_hear(&t, &h);
		if (h.flags & RST)
			break;
		assert_int_equal(h.at, at);
		at += 10;
		assert_in_range(at, 10, 700);
	}
	assert_int_equal(h.at, at);
	assert_true(at >= 600);
	talk_client(&t, ACK, at, 10);
	talk_hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_OVER_CAP);
}

static void a_connection_that_begins_over_the_cap_does_not(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP6, .client_port = 40000};
	struct shadow_counters c;
	struct heard h;

	set_limits(t.rig, t.service, 1000, 1);
	for (__u32 i = 0; i < 70; i++) {
		t.client_port++;
		talk_client(&t, SYN, -1U, 0);
	}
	for (__u32 i = 0; i < rig_counters(t.rig, t.service).packets; i++)
		talk_hear(&t, &h);
	talk_hear_nothing(&t);
	c = rig_counters(t.rig, t.service);
	assert_int_equal(c.eligible, 70);
	assert_in_range(c.packets, 60, 68);
	assert_int_equal(c.ended[SHADOW_OVER_CAP], 70 - c.packets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup_small, rig_teardown)
		TEST(too_much_before_the_syn_ack_is_late),
		TEST(too_much_behind_a_closed_window_overruns_it),
		TEST(too_much_that_is_not_acknowledged_overruns_it),
		TEST(what_is_acknowledged_makes_room),
		TEST(a_connection_that_began_unseen_is_counted_once),
		TEST(a_shadow_that_nobody_knows_the_way_to_is_unreachable),
		TEST(a_way_that_is_lost_ends_what_is_going_on),
		TEST(without_an_address_of_ours_it_is_unreachable),
		SMALL_TEST(a_full_stash_evicts_who_needs_it),
		SMALL_TEST(a_full_table_evicts_who_comes_last),
		TEST(ports_that_are_all_in_use_evict),
		TEST(a_connection_over_the_cap_is_ended),
		TEST(a_connection_that_begins_over_the_cap_does_not),
	};

	return run_on_every_hook(tests);
}
