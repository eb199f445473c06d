// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where packets leave, what keeps them from it, and what is counted of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "world.h"
#include "flows.h"

static int verdict_of(struct fixture *f, const struct segment *s)
{
	struct frame in, out;

	frame_build(s, &in);
	return fixture_run(f, &in, &out);
}

static void a_slot_without_a_backend_drops(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment s = world_request(service);

		fixture_fill_row(f, service, 0);
		world_send_dropped(f, &s, service, DROP_NO_BACKEND);
		fixture_fill_row(f, service, BACKENDS_MAX); /* an id that no backend can have */
		world_send_dropped(f, &s, service, DROP_NO_BACKEND);
		world_settle(f, service, ROWS_MAX); /* a row that is not there */
		world_send_dropped(f, &s, service, DROP_NO_BACKEND);
	}
	assert_int_equal(flows_half_open(f), 0);
	assert_int_equal(flow_ports(f), 0);
}

static void a_backend_whose_neighbour_is_unknown_drops(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment s = world_request(service);

		world_add_backend(f, service, service, world_backend_address(service), service, 0);
		world_send_dropped(f, &s, service, DROP_NO_NEXT_HOP);
		assert_int_equal(fixture_backend_counters(f, service).client_packets, 0);
	}
}

static void a_packet_for_another_interface_is_redirected(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment request = world_request(service);
		struct segment forwarded = world_forwarded(service, service);
		struct frame in, wanted, out;

		world_add_backend(f, service, service, world_backend_address(service), service, OTHER_INTERFACE);
		frame_build(&request, &in);
		frame_build(&forwarded, &wanted);
		assert_int_equal(fixture_run(f, &in, &out), SENT);
		assert_int_equal(f->action, fixture_hook == HOOK_XDP ? XDP_REDIRECT : TC_ACT_REDIRECT);
		assert_true(frame_equal(&out, &wanted));
	}
}

/* TC sends by any interface that there is. */
static void an_interface_that_cannot_be_sent_to_is_a_named_drop(void **state)
{
	struct fixture *f = *state;
	struct segment request = world_request(DNAT4_TCP);
	struct segment reply = world_reply(DNAT4_TCP, DNAT4_TCP);
	struct backend_counters counters;

	if (fixture_hook == HOOK_TC)
		return;
	world_add_backend(f, DNAT4_TCP, DNAT4_TCP, world_backend_address(DNAT4_TCP), DNAT4_TCP, OTHER_INTERFACE + 1);
	assert_int_equal(verdict_of(f, &request), DROPPED);
	assert_int_equal(fixture_drops(f), 1);
	reply.to = LOST_CLIENT4;
	assert_int_equal(verdict_of(f, &reply), DROPPED);
	assert_int_equal(fixture_drops(f), 2);
	counters = fixture_backend_counters(f, DNAT4_TCP);
	assert_int_equal(counters.client_packets, 0);
	assert_int_equal(counters.opened, 0);
	assert_int_equal(counters.server_packets, 0);
}

/* The hop in force changes by one bit. */
static void the_active_hop_is_the_one_that_is_taken(void **state)
{
	struct fixture *f = *state;
	struct segment s = world_request(DNAT4_TCP);
	struct frame in, out;
	struct backend b;

	frame_build(&s, &in);
	assert_true(map_get(f->backends, &(__u32){DNAT4_TCP}, &b));
	for (__u8 active = 0; active < 2; active++) {
		b.hop_active = active;
		b.hop[active] = (struct next_hop){{2, 0, 0, 0, 1, active}, {2, 0, 0, 0, 2, active}, LOOPBACK};
		b.hop[!active] = (struct next_hop){{2, 9, 9, 9, 9, 9}, {2, 9, 9, 9, 9, 9}, OTHER_INTERFACE};
		map_set(f->backends, &(__u32){DNAT4_TCP}, &b);
		assert_int_equal(fixture_run(f, &in, &out), SENT);
		assert_memory_equal(out.data, b.hop[active].destination_mac, 6);
		assert_memory_equal(out.data + 6, b.hop[active].source_mac, 6);
	}
}

static void a_silent_neighbour_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct segment reply = world_reply(DNAT4_TCP, DNAT4_TCP);
	struct wanted_neighbour key = {.address = address_of(SILENT_CLIENT4), .ifindex = LOOPBACK};
	__u32 tick;

	reply.to = SILENT_CLIENT4;
	world_send_dropped(f, &reply, DNAT4_TCP, DROP_NO_NEXT_HOP);
	assert_true(map_get(f->wanted_neighbours, &key, &tick));
	assert_int_equal(map_entries(f->wanted_neighbours), 1);
	assert_int_equal(fixture_backend_counters(f, DNAT4_TCP).server_packets, 0);
}

static void nobody_is_asked_for_where_no_route_leads(void **state)
{
	struct fixture *f = *state;
	struct segment reply = world_reply(DNAT4_TCP, DNAT4_TCP);

	reply.to = STRANGER4;
	world_send_dropped(f, &reply, DNAT4_TCP, DROP_NO_NEXT_HOP);
	assert_int_equal(map_entries(f->wanted_neighbours), 0);
}

/* The neighbour itself, once known, is a longer prefix than the link that it is on. */
static void a_neighbour_that_answered_is_reached(void **state)
{
	struct fixture *f = *state;
	struct segment reply = world_reply(DNAT4_TCP, DNAT4_TCP);
	struct next_hop_key key = {.prefix_bits = 128, .address = address_of(SILENT_CLIENT4)};
	struct next_hop_entry entry = {
		.hop = {{2, 0, 0, 0, 0, 0x77}, {2, 0, 0, 0, 0, 1}, LOOPBACK},
		.kind = NEXT_HOP_REACHABLE,
	};

	reply.to = SILENT_CLIENT4;
	map_set(f->next_hops, &key, &entry);
	world_send(f, &reply);
	assert_int_equal(map_entries(f->wanted_neighbours), 0);
}

/* Sums of IP lengths, by hand: padding is not part of a packet, options are. */
static void check_counters(struct fixture *f, __u32 service)
{
	__u32 header_bytes = (world_is_ipv6(service) ? 40 : 20) + (world_is_udp(service) ? 8 : 20);
	struct segment request = world_request(service);
	struct segment reply = world_reply(service, service);
	struct backend_counters c;
	bool option = !world_is_ipv6(service);

	request.payload_bytes = 0;
	request.padding_bytes = 13;
	world_send(f, &request); /* SYN */
	request.flags = ACK;
	request.padding_bytes = 0;
	request.payload_bytes = 100;
	world_send(f, &request);
	request.payload_bytes = 7;
	request.ip_option_bytes = option ? 4 : 0;
	world_send(f, &request);
	reply.payload_bytes = 300;
	world_send(f, &reply);
	reply.payload_bytes = 1;
	world_send(f, &reply);

	c = fixture_backend_counters(f, service);
	assert_int_equal(c.client_packets, 3);
	assert_int_equal(c.client_bytes, 3 * header_bytes + 107 + (option ? 4 : 0));
	assert_int_equal(c.server_packets, 2);
	assert_int_equal(c.server_bytes, 2 * header_bytes + 301);
	assert_int_equal(c.opened, world_is_udp(service) && world_is_dnat(service) ? 0 : 1);
}

static void packets_bytes_and_openings_are_counted_exactly(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++)
		check_counters(f, service);
	for (__u32 id = WORLD_SERVICES + 1; id < BACKENDS_MAX; id++) {
		struct backend_counters c = fixture_backend_counters(f, id);

		assert_int_equal(c.client_packets + c.server_packets + c.opened, 0);
	}
	assert_int_equal(fixture_drops(f), 0);
}

/* In settled slots nobody knows which SYNs are repetitions. */
/* Nothing remembers those that are not measured. */
static void every_syn_of_a_settled_slot_counts_as_an_opening(void **state)
{
	struct fixture *f = *state;
	struct segment s = world_request(DNAT4_TCP);

	world_set_measure_mask(f, DNAT4_TCP, ~0U);
	for (int i = 0; i < 3; i++)
		world_send(f, &s);
	s.flags = ACK;
	world_send(f, &s);
	s.flags = SYN | ACK;
	world_send(f, &s);
	assert_int_equal(fixture_backend_counters(f, DNAT4_TCP).opened, 3);
}

static void dropped_packets_count_for_no_backend(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment s = world_request(service);
		struct backend_counters c;

		s.hops = 63;
		world_send_dropped(f, &s, service, DROP_TTL);
		c = fixture_backend_counters(f, service);
		assert_int_equal(c.client_packets + c.client_bytes + c.opened, 0);
	}
	assert_int_equal(fixture_drops(f), WORLD_SERVICES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_slot_without_a_backend_drops),
		TEST(a_backend_whose_neighbour_is_unknown_drops),
		TEST(a_packet_for_another_interface_is_redirected),
		TEST(an_interface_that_cannot_be_sent_to_is_a_named_drop),
		TEST(the_active_hop_is_the_one_that_is_taken),
		TEST(a_silent_neighbour_is_asked_for),
		TEST(nobody_is_asked_for_where_no_route_leads),
		TEST(a_neighbour_that_answered_is_reached),
		TEST(packets_bytes_and_openings_are_counted_exactly),
		TEST(every_syn_of_a_settled_slot_counts_as_an_opening),
		TEST(dropped_packets_count_for_no_backend),
	};

	return run_on_every_hook(tests);
}
