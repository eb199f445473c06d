// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Stateless modes: settled slots remember nothing, tracked ones keep every connection where it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/bpf.h>

#include "world.h"
#include "flows.h"

#define ENTRY SECOND(DNAT4_TCP)
#define BASE ((__u32)DNAT4_TCP)

static struct segment packet(__u16 port, __u8 flags)
{
	struct segment s = world_request(DNAT4_TCP);

	s.from_port = port;
	s.flags = flags;
	return s;
}

static struct segment datagram(__u16 port)
{
	struct segment s = world_request(DNAT4_UDP);

	s.from_port = port;
	return s;
}

static __u32 goes_to(struct fixture *f, __u16 port, __u8 flags)
{
	struct segment s = packet(port, flags);

	return world_backend_of(f, &s);
}

static bool is_half_open(struct fixture *f, __u16 port, struct flow *ret)
{
	struct flow_key key = world_flow_key(DNAT4_TCP, CLIENT4, port);

	return flow_half_open(f, &key, ret);
}

static bool is_established(struct fixture *f, __u16 port, struct flow *ret)
{
	struct flow_key key = world_flow_key(DNAT4_TCP, CLIENT4, port);

	return flow_established(f, &key, ret);
}

static __u32 flows(struct fixture *f)
{
	return flows_half_open(f) + flows_established(f);
}

static void settled_slots_read_and_write_no_flows(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment s = world_request(service);

		if (!world_is_dnat(service))
			continue;
		world_send(f, &s);
		s.flags = ACK;
		world_send(f, &s);
		assert_int_equal(fixture_service_counters(f, service).flow_lookups, 0);
	}
	assert_int_equal(flows(f), 0);
	assert_int_equal(flow_ports(f), 0);
}

static void a_new_connection_goes_to_the_entry_and_is_written_down(void **state)
{
	struct fixture *f = *state;
	struct flow flow;

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, SYN), ENTRY);
	assert_true(is_half_open(f, 1000, &flow));
	assert_int_equal(flow.backend, ENTRY);
	assert_int_equal(flow.source_port, 0);
	assert_int_equal(goes_to(f, 1000, SYN), ENTRY);
	assert_true(is_half_open(f, 1000, &flow));
	assert_int_equal(goes_to(f, 1000, ACK), ENTRY);
	assert_true(is_established(f, 1000, &flow));
	assert_int_equal(flow.backend, ENTRY);
	assert_int_equal(flows(f), 1);
	assert_int_equal(fixture_service_counters(f, DNAT4_TCP).flow_lookups, 3);
	assert_int_equal(fixture_service_counters(f, DNAT4_TCP).flow_misses, 0);
	assert_int_equal(fixture_backend_counters(f, ENTRY).opened, 1);
}

static void an_unknown_connection_is_older_and_goes_to_base(void **state)
{
	struct fixture *f = *state;
	struct flow flow;

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	assert_true(is_established(f, 1000, &flow));
	assert_int_equal(flow.backend, BASE);
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	assert_int_equal(fixture_service_counters(f, DNAT4_TCP).flow_misses, 1);
	assert_int_equal(fixture_backend_counters(f, BASE).opened, 0);
}

static void an_unknown_connection_that_ends_is_not_written_down(void **state)
{
	struct fixture *f = *state;

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, FIN | ACK), BASE);
	assert_int_equal(goes_to(f, 1001, RST), BASE);
	assert_int_equal(flows(f), 0);
}

/* Nothing to disagree on: no table is filled with flows that are where they would be anyway. */
static void an_entry_that_equals_base_writes_nothing(void **state)
{
	struct fixture *f = *state;
	struct segment s = datagram(1000);

	world_track(f, DNAT4_TCP, BASE, BASE);
	assert_int_equal(goes_to(f, 1000, SYN), BASE);
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	assert_int_equal(goes_to(f, 1001, ACK), BASE);
	assert_int_equal(fixture_backend_counters(f, BASE).opened, 1);
	world_track(f, DNAT4_UDP, DNAT4_UDP, DNAT4_UDP);
	world_send(f, &s);
	assert_int_equal(flows(f), 0);
}

/* UDP's openings are known only where flows are. */
static void datagrams_that_nothing_is_written_of_open_nothing(void **state)
{
	struct fixture *f = *state;
	struct segment s = datagram(1000);

	world_send(f, &s);
	world_track(f, DNAT4_UDP, DNAT4_UDP, DNAT4_UDP);
	world_send(f, &s);
	world_send(f, &s);
	assert_int_equal(fixture_backend_counters(f, DNAT4_UDP).client_packets, 3);
	assert_int_equal(fixture_backend_counters(f, DNAT4_UDP).opened, 0);
}

static void a_known_flow_stays_when_the_entry_changes_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(goes_to(f, 1000, SYN), BASE); /* settled, in no table */
	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1001, SYN), ENTRY);
	assert_int_equal(goes_to(f, 1001, ACK), ENTRY);
	assert_int_equal(goes_to(f, 1002, SYN), ENTRY); /* half-open during the second change */
	world_track(f, DNAT4_TCP, THIRD(DNAT4_TCP), BASE);
	assert_int_equal(goes_to(f, 1003, SYN), THIRD(DNAT4_TCP));
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	assert_int_equal(goes_to(f, 1001, ACK), ENTRY);
	assert_int_equal(goes_to(f, 1002, ACK), ENTRY);
	assert_int_equal(goes_to(f, 1003, ACK), THIRD(DNAT4_TCP));
	world_track(f, DNAT4_TCP, BASE, BASE); /* and back */
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	assert_int_equal(goes_to(f, 1001, ACK), ENTRY);
	assert_int_equal(goes_to(f, 1003, ACK), THIRD(DNAT4_TCP));
}

static void a_syn_on_a_live_flow_stays_where_the_flow_is(void **state)
{
	struct fixture *f = *state;

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	assert_int_equal(goes_to(f, 1000, SYN), BASE);
	assert_int_equal(fixture_backend_counters(f, BASE).opened, 0);
}

/* Whoever gave up, or was refused, and tries again with the same port. */
static void another_syn_on_a_half_open_flow_is_another_connection(void **state)
{
	static const __u32 masks[] = {0, ~0U}; /* sampled, and not */
	struct fixture *f = *state;

	for (__u16 i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		struct segment syn = packet(1000, SYN);

		world_set_measure_mask(f, DNAT4_TCP, masks[i]);
		world_track(f, DNAT4_TCP, ENTRY, BASE);
		for (int twice = 0; twice < 2; twice++)
			assert_int_equal(world_backend_of(f, &syn), ENTRY);
		world_track(f, DNAT4_TCP, THIRD(DNAT4_TCP), BASE);
		assert_int_equal(world_backend_of(f, &syn), ENTRY);
		syn.sequence += 100000;
		for (int twice = 0; twice < 2; twice++)
			assert_int_equal(world_backend_of(f, &syn), THIRD(DNAT4_TCP));
		assert_int_equal(goes_to(f, 1000, ACK), THIRD(DNAT4_TCP));
		assert_int_equal(flows(f), 1);
		assert_int_equal(fixture_backend_counters(f, ENTRY).opened, 1);
		assert_int_equal(fixture_backend_counters(f, THIRD(DNAT4_TCP)).opened, 1);
		fixture_reset(f);
	}
}

static void resets_by(struct fixture *f, __u32 backend, __u16 port)
{
	struct segment reset = world_reply(DNAT4_TCP, backend);

	reset.to_port = port;
	reset.flags = RST;
	world_send(f, &reset);
}

static void a_syn_after_the_server_s_reset_goes_to_the_entry(void **state)
{
	static const __u32 masks[] = {0, ~0U};
	struct fixture *f = *state;

	for (__u16 i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		world_set_measure_mask(f, DNAT4_TCP, masks[i]);
		assert_int_equal(goes_to(f, 1000, SYN), BASE); /* before the change */
		assert_int_equal(goes_to(f, 1000, ACK), BASE);
		world_track(f, DNAT4_TCP, ENTRY, BASE);
		assert_int_equal(goes_to(f, 1000, ACK), BASE);
		resets_by(f, BASE, 1000);
		assert_int_equal(goes_to(f, 1000, SYN), ENTRY);
		resets_by(f, ENTRY, 1000); /* a refusal */
		assert_int_equal(goes_to(f, 1000, SYN), ENTRY);
		assert_int_equal(fixture_backend_counters(f, BASE).opened, 1);
		assert_int_equal(fixture_backend_counters(f, ENTRY).opened, 2);
		world_settle(f, DNAT4_TCP, BASE);
		fixture_reset(f);
	}
}

/* The one before on the same port may still be resetting what it is sent. */
static void another_backend_s_reset_ends_no_flow(void **state)
{
	struct fixture *f = *state;
	struct flow flow;

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, SYN), ENTRY);
	resets_by(f, BASE, 1000);
	assert_true(is_half_open(f, 1000, &flow));
	assert_int_equal(flow.flags, 0);
}

static void a_syn_after_the_client_s_end_goes_to_the_entry(void **state)
{
	static const __u8 ends[] = {FIN | ACK, RST};
	struct fixture *f = *state;
	struct flow flow;

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	for (__u16 i = 0; i < sizeof(ends); i++) {
		assert_int_equal(goes_to(f, 1000 + i, ACK), BASE);
		assert_int_equal(goes_to(f, 1000 + i, ends[i]), BASE);
		assert_true(is_established(f, 1000 + i, &flow));
		assert_int_equal(flow.flags, ends[i] == RST ? FLOW_RESET : FLOW_CLIENT_FIN);
		if (ends[i] != RST) /* the last packets of the old one */
			assert_int_equal(goes_to(f, 1000 + i, ACK), BASE);
		assert_int_equal(goes_to(f, 1000 + i, SYN), ENTRY);
		assert_int_equal(goes_to(f, 1000 + i, ACK), ENTRY);
	}
	assert_int_equal(fixture_backend_counters(f, ENTRY).opened, 2);
	assert_int_equal(flows(f), 2);
}

/* Later packets of a flow that is not written down would be unknown and go to base, so all of them do. */
static void what_cannot_be_written_down_goes_to_base(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_FLOWS] = 1});
	struct segment s = datagram(1000);

	flows_fill(f, FLOW_TABLE_FLOWS, BUCKET_ENTRIES - 1);
	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, SYN), ENTRY);
	assert_int_equal(goes_to(f, 1000, ACK), ENTRY);
	assert_int_equal(goes_to(f, 1002, SYN), BASE);
	assert_int_equal(goes_to(f, 1002, ACK), BASE);
	assert_int_equal(goes_to(f, 1000, ACK), ENTRY);
	assert_int_equal(fixture_service_counters(f, DNAT4_TCP).flow_overflows, 1);
	assert_int_equal(fixture_backend_counters(f, BASE).opened, 1);
	world_track(f, DNAT4_UDP, SECOND(DNAT4_UDP), DNAT4_UDP);
	assert_int_equal(world_backend_of(f, &s), DNAT4_UDP);
	assert_int_equal(fixture_service_counters(f, DNAT4_UDP).flow_overflows, 1);
}

static void a_half_open_flow_makes_room_and_no_other_does(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_FLOWS] = 1});
	struct flow flow;

	flows_fill(f, FLOW_TABLE_FLOWS, BUCKET_ENTRIES - 2);
	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, SYN), ENTRY);
	assert_int_equal(goes_to(f, 1000, ACK), ENTRY);
	assert_int_equal(goes_to(f, 1001, SYN), ENTRY);
	assert_int_equal(goes_to(f, 1002, SYN), ENTRY);
	assert_false(is_half_open(f, 1001, &flow));
	assert_true(is_half_open(f, 1002, &flow));
	assert_true(is_established(f, 1000, &flow));
	assert_int_equal(fixture_service_counters(f, DNAT4_TCP).flow_overflows, 0);
}

static void a_full_table_moves_nobody(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_FLOWS] = 1});

	flows_fill(f, FLOW_TABLE_FLOWS, BUCKET_ENTRIES - 1);
	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	assert_int_equal(goes_to(f, 1001, ACK), BASE);
	assert_int_equal(goes_to(f, 1001, ACK), BASE);
	assert_int_equal(flows_established(f), BUCKET_ENTRIES);
	assert_int_equal(goes_to(f, 1002, SYN), BASE);
	assert_int_equal(goes_to(f, 1002, ACK), BASE);
}

static void check_unknown_datagrams(struct fixture *f, __u32 wanted)
{
	struct flow_key key = world_flow_key(DNAT4_UDP, CLIENT4, 1000);
	struct segment s = datagram(1000);
	struct flow flow;

	world_track(f, DNAT4_UDP, SECOND(DNAT4_UDP), DNAT4_UDP);
	assert_int_equal(world_backend_of(f, &s), wanted);
	assert_true(flow_half_open(f, &key, &flow));
	assert_int_equal(flow.backend, wanted);
	assert_int_equal(world_backend_of(f, &s), wanted);
	assert_true(flow_established(f, &key, &flow));
	world_track(f, DNAT4_UDP, THIRD(DNAT4_UDP), DNAT4_UDP);
	assert_int_equal(world_backend_of(f, &s), wanted);
	assert_int_equal(fixture_backend_counters(f, wanted).opened, 1);
}

static void an_unknown_datagram_goes_to_the_entry(void **state)
{
	check_unknown_datagrams(*state, SECOND(DNAT4_UDP));
}

static void an_unknown_datagram_goes_to_base_by_option(void **state)
{
	struct fixture *f = *state;
	struct service s = world_service_get(f, DNAT4_UDP);

	s.flags |= SERVICE_UDP_MISS_BASE;
	world_service_set(f, DNAT4_UDP, &s);
	check_unknown_datagrams(f, DNAT4_UDP);
}

static void the_option_for_datagrams_does_not_touch_tcp(void **state)
{
	struct fixture *f = *state;
	struct service s = world_service_get(f, DNAT4_TCP);

	s.flags |= SERVICE_UDP_MISS_BASE;
	world_service_set(f, DNAT4_TCP, &s);
	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, SYN), ENTRY);
}

static void an_opening_whose_first_packet_was_dropped_counts_when_it_gets_through(void **state)
{
	struct fixture *f = *state;
	struct segment syn = packet(1000, SYN);

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	world_add_backend(f, ENTRY, DNAT4_TCP, world_backend_address(ENTRY), ENTRY, 0);
	world_send_dropped(f, &syn, DNAT4_TCP, DROP_NO_NEXT_HOP);
	world_add_backend(f, ENTRY, DNAT4_TCP, world_backend_address(ENTRY), ENTRY, LOOPBACK);
	assert_int_equal(goes_to(f, 1000, SYN), ENTRY);
	assert_int_equal(goes_to(f, 1000, ACK), ENTRY);
	assert_int_equal(fixture_backend_counters(f, ENTRY).opened, 1);
}

/* A spoofed one: its sequence number is not near what the client sent. */
static void a_blind_reset_ends_no_flow(void **state)
{
	struct fixture *f = *state;
	struct segment reset = packet(1000, RST);
	struct flow flow;

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	reset.sequence = 0x40000000;
	assert_int_equal(world_backend_of(f, &reset), BASE);
	assert_true(is_established(f, 1000, &flow));
	assert_int_equal(flow.flags, 0);
	assert_int_equal(goes_to(f, 1000, SYN), BASE);
}

static void who_goes_on_after_a_reset_was_not_reset(void **state)
{
	struct fixture *f = *state;
	struct flow flow;

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	assert_int_equal(goes_to(f, 1000, RST), BASE);
	assert_int_equal(goes_to(f, 1000, ACK), BASE);
	assert_true(is_established(f, 1000, &flow));
	assert_int_equal(flow.flags, 0);
}

/* One client's ports at two services are two flows. */
static void services_do_not_share_flows(void **state)
{
	struct fixture *f = *state;
	struct segment tcp = packet(1000, ACK);
	struct segment udp = datagram(1000);

	world_track(f, DNAT4_TCP, ENTRY, BASE);
	assert_int_equal(world_backend_of(f, &tcp), BASE);
	world_track(f, DNAT4_UDP, SECOND(DNAT4_UDP), DNAT4_UDP);
	assert_int_equal(world_backend_of(f, &udp), SECOND(DNAT4_UDP));
	assert_int_equal(flows(f), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
#define TEST_OWN_WORLD(name) cmocka_unit_test_setup_teardown(name, world_setup_own, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(settled_slots_read_and_write_no_flows),
		TEST(a_new_connection_goes_to_the_entry_and_is_written_down),
		TEST(an_unknown_connection_is_older_and_goes_to_base),
		TEST(an_unknown_connection_that_ends_is_not_written_down),
		TEST(an_entry_that_equals_base_writes_nothing),
		TEST(datagrams_that_nothing_is_written_of_open_nothing),
		TEST(a_known_flow_stays_when_the_entry_changes_again),
		TEST(a_syn_on_a_live_flow_stays_where_the_flow_is),
		TEST(another_syn_on_a_half_open_flow_is_another_connection),
		TEST(a_syn_after_the_server_s_reset_goes_to_the_entry),
		TEST(another_backend_s_reset_ends_no_flow),
		TEST(a_syn_after_the_client_s_end_goes_to_the_entry),
		TEST(a_blind_reset_ends_no_flow),
		TEST(who_goes_on_after_a_reset_was_not_reset),
		TEST(an_unknown_datagram_goes_to_the_entry),
		TEST(an_unknown_datagram_goes_to_base_by_option),
		TEST(the_option_for_datagrams_does_not_touch_tcp),
		TEST(an_opening_whose_first_packet_was_dropped_counts_when_it_gets_through),
		TEST(services_do_not_share_flows),
		TEST_OWN_WORLD(what_cannot_be_written_down_goes_to_base),
		TEST_OWN_WORLD(a_half_open_flow_makes_room_and_no_other_does),
		TEST_OWN_WORLD(a_full_table_moves_nobody),
	};

	return run_on_every_hook(tests);
}
