// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* NAT's source addresses and ports: each belongs to one flow, and running out of them has a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>

#include "connection.h"
#include "flows.h"

#define EXTRA_SOURCE4 "10.0.0.2"
#define EXTRA_SOURCE_ID 3

static void use_two_sources(struct fixture *f, __u32 service)
{
	struct address extra = address_of(EXTRA_SOURCE4);
	struct service s = world_service_get(f, service);

	map_set(f->sources, &(__u32){EXTRA_SOURCE_ID}, &extra);
	s.source_count = 2;
	s.source[0] = SOURCE4;
	s.source[1] = EXTRA_SOURCE_ID;
	world_service_set(f, service, &s);
}

static struct segment syn_from(__u32 service, __u16 port)
{
	struct segment s = world_request(service);

	s.from_port = port;
	return s;
}

static void every_port_of_the_range_serves_one_flow_and_no_more(void **state)
{
	struct fixture *f = *state;
	bool used[32] = {};
	struct segment syn;

	world_set_ports(f, NAT4_TCP, 20000, 20031);
	for (__u16 i = 0; i < 32; i++) {
		struct reading r;

		syn = syn_from(NAT4_TCP, 1000 + i);
		r = world_send(f, &syn);
		assert_in_range(r.source_port, 20000, 20031);
		assert_false(used[r.source_port - 20000]);
		used[r.source_port - 20000] = true;
	}
	syn = syn_from(NAT4_TCP, 2000);
	world_send_dropped(f, &syn, NAT4_TCP, DROP_PORTS_EXHAUSTED);
	assert_int_equal(flows_half_open(f), 32);
	assert_int_equal(flow_ports(f), 32);
}

/* What is exhausted towards one backend is not towards another. */
static void endpoints_do_not_share_ports(void **state)
{
	struct fixture *f = *state;
	struct segment first = syn_from(NAT4_TCP, 1000);
	struct segment second = syn_from(NAT4_TCP, 1001);

	assert_int_equal(world_send(f, &first).source_port, SOURCE_PORT);
	world_send_dropped(f, &second, NAT4_TCP, DROP_PORTS_EXHAUSTED);
	world_settle(f, NAT4_TCP, SECOND(NAT4_TCP));
	assert_int_equal(world_send(f, &second).source_port, SOURCE_PORT);
}

#define OTHER (WORLD_SERVICES + 1)
#define OTHER_BACKEND (WORLD_BACKENDS + 1)
#define OTHER_VIP "10.0.0.12"

/* Another service with the backend of NAT4_TCP, whose id stays the endpoint's. Return: a SYN to it. */
static struct segment share_endpoint(struct fixture *f)
{
	struct service s = world_service_get(f, NAT4_TCP);

	s.vip = (struct service_key){
		.address = address_of(OTHER_VIP),
		.port = htons(NAT_PORT),
		.protocol = IPPROTO_TCP,
	};
	s.main.entries = OTHER_BACKEND;
	world_service_set(f, OTHER, &s);
	map_set_end(f, f->vips, &s.vip, &(__u32){OTHER});
	fixture_fill_row(f, OTHER_BACKEND, OTHER_BACKEND);
	world_add_backend(f, OTHER_BACKEND, OTHER, world_backend_address(NAT4_TCP), NAT4_TCP, LOOPBACK);
	return (struct segment){.from = CLIENT4, .to = OTHER_VIP, .from_port = 1000, .to_port = NAT_PORT, .flags = SYN};
}

static void assert_reply_is_the_others(struct fixture *f, __u16 source_port)
{
	__u64 before = fixture_backend_counters(f, OTHER_BACKEND).server_packets;
	struct segment reply = world_reply(NAT4_TCP, NAT4_TCP);
	struct address vip = address_of(OTHER_VIP);
	struct reading r;

	reply.to_port = source_port;
	r = world_send(f, &reply);
	assert_memory_equal(&r.source, &vip, sizeof(r.source));
	assert_int_equal(fixture_backend_counters(f, OTHER_BACKEND).server_packets, before + 1);
}

/* A port of theirs is the same port at the backend. */
static void services_that_share_an_endpoint_share_its_ports(void **state)
{
	struct fixture *f = *state;
	struct connection ours = {.fixture = f, .service = NAT4_TCP, .backend = NAT4_TCP, .client_port = 1000};
	struct segment theirs = share_endpoint(f);
	__u16 port;

	connection_open(&ours);
	world_send_dropped(f, &theirs, OTHER, DROP_PORTS_EXHAUSTED);
	world_set_ports(f, OTHER, SOURCE_PORT, SOURCE_PORT + 1);
	port = world_send(f, &theirs).source_port;
	assert_int_equal(port, SOURCE_PORT + 1);
	assert_reply_is_the_others(f, port);
	server_sends(&ours, ACK);
}

/* Whose id is by now that of a service in another mode. */
static void a_shared_endpoint_outlives_the_service_that_it_was_named_after(void **state)
{
	struct fixture *f = *state;
	struct service later = world_service_get(f, DNAT4_TCP);
	struct segment theirs = share_endpoint(f);
	__u16 port = world_send(f, &theirs).source_port;

	world_service_set(f, NAT4_TCP, &later);
	assert_reply_is_the_others(f, port);
	theirs.flags = ACK;
	theirs.sequence = 1;
	world_send(f, &theirs);
	assert_reply_is_the_others(f, port);
}

static void two_sources_are_used_alternately(void **state)
{
	struct address extra = address_of(EXTRA_SOURCE4);
	struct fixture *f = *state;
	int of_extra = 0;

	use_two_sources(f, NAT4_TCP);
	world_set_ports(f, NAT4_TCP, 1024, 65535);
	for (__u16 i = 0; i < 400; i++) {
		struct segment syn = syn_from(NAT4_TCP, 1000 + i);
		struct reading r = world_send(f, &syn);

		of_extra += r.source.word[3] == extra.word[3];
	}
	assert_in_range(of_extra, 120, 280); /* 200 give or take eight standard deviations */
}

static void the_reply_to_either_source_finds_its_flow(void **state)
{
	struct fixture *f = *state;
	struct address extra = address_of(EXTRA_SOURCE4);
	struct connection c = {.fixture = f, .service = NAT4_TCP, .backend = NAT4_TCP, .client_port = 1000};

	use_two_sources(f, NAT4_TCP);
	for (; c.client_port < 1002; c.client_port++) {
		struct reading r = client_sends(&c, SYN, 0); /* both with the one port that there is */

		c.source = r.source.word[3] == extra.word[3] ? EXTRA_SOURCE4 : SPLITTER4;
		assert_int_equal(c.source_port, SOURCE_PORT);
		server_sends(&c, SYN | ACK);
	}
	assert_int_equal(flow_ports(f), 2);
}

/* Where ports are tried from is random, so several rounds. */
static void every_port_of_two_sources_can_be_had(void **state)
{
	struct fixture *f = *state;

	use_two_sources(f, NAT4_TCP);
	world_set_ports(f, NAT4_TCP, 20000, 20015);
	for (int round = 0; round < 10; round++) {
		fixture_reset(f);
		for (__u16 i = 0; i < 32; i++) {
			struct segment syn = syn_from(NAT4_TCP, 1000 + i);

			world_send(f, &syn);
		}
		assert_int_equal(flow_ports(f), 32);
	}
}

static void without_a_source_address_nothing_is_opened(void **state)
{
	struct fixture *f = *state;
	struct segment syn = world_request(NAT4_TCP);
	struct backend b;

	assert_true(map_get(f->backends, &(__u32){NAT4_TCP}, &b));
	b.source = 0;
	map_set(f->backends, &(__u32){NAT4_TCP}, &b);
	world_send_dropped(f, &syn, NAT4_TCP, DROP_NO_SOURCE);
	assert_int_equal(flows_half_open(f), 0);
	assert_int_equal(flow_ports(f), 0);
}

static void a_full_port_table_is_a_full_flow_table(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_PORTS] = 1});
	struct segment syn = world_request(NAT4_TCP);

	flows_fill(f, FLOW_TABLE_PORTS, BUCKET_ENTRIES);
	world_set_ports(f, NAT4_TCP, 1024, 65535);
	world_send_dropped(f, &syn, NAT4_TCP, DROP_FLOW_TABLE_FULL);
	assert_int_equal(flows_half_open(f), 0);
}

/* A flood takes the entries of its own ports; whose port has made room may begin anew. */
static void a_port_that_nobody_answered_makes_room_and_has_failed(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_PORTS] = 1});
	struct segment first = syn_from(NAT4_TCP, 1000), second = syn_from(NAT4_TCP, 1001);

	flows_fill(f, FLOW_TABLE_PORTS, BUCKET_ENTRIES - 1);
	world_set_ports(f, NAT4_TCP, 1024, 65535);
	world_send(f, &first);
	world_send(f, &second);
	assert_int_equal(flow_ports(f), BUCKET_ENTRIES);
	assert_int_equal(fixture_measurements(f, NAT4_TCP).given_up, 1);
	world_send(f, &first);
	assert_int_equal(fixture_measurements(f, NAT4_TCP).given_up, 2);
	assert_int_equal(fixture_measurements(f, NAT4_TCP).measured, 3);
}

static void datagrams_go_on_after_their_port_made_room(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_PORTS] = 1});
	struct segment first = world_request(NAT4_UDP), second = first;

	second.from_port++;
	flows_fill(f, FLOW_TABLE_PORTS, BUCKET_ENTRIES - 1);
	world_set_ports(f, NAT4_UDP, 1024, 65535);
	for (int round = 0; round < 3; round++) {
		world_send(f, &first);
		world_send(f, &second);
	}
	assert_int_equal(flows_half_open(f), 2);
}

static void an_established_flows_port_makes_no_room(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_PORTS] = 1});
	struct connection c = {.fixture = f, .service = NAT4_TCP, .backend = NAT4_TCP, .client_port = 1000};
	struct segment syn = syn_from(NAT4_TCP, 1001);

	flows_fill(f, FLOW_TABLE_PORTS, BUCKET_ENTRIES - 1);
	world_set_ports(f, NAT4_TCP, 1024, 65535);
	connection_open(&c);
	world_send_dropped(f, &syn, NAT4_TCP, DROP_FLOW_TABLE_FULL);
	server_sends(&c, ACK);
}

static void a_flow_that_cannot_be_written_down_gives_its_port_back(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_FLOWS] = 1});
	struct segment syn = world_request(NAT4_TCP);

	flows_fill(f, FLOW_TABLE_FLOWS, BUCKET_ENTRIES);
	world_set_ports(f, NAT4_TCP, 1024, 65535);
	world_send_dropped(f, &syn, NAT4_TCP, DROP_FLOW_TABLE_FULL);
	assert_int_equal(flow_ports(f), 0);
}

/* Keys hold addresses folded into 32 bits; another address with the same fold is not the flow's. */
static void a_reply_to_another_address_of_the_same_fold_passes(void **state)
{
	struct fixture *f = *state;
	struct segment request = world_request(NAT6_TCP);
	struct segment reply = world_reply(NAT6_TCP, NAT6_TCP);
	struct frame in, out;

	world_send(f, &request);
	reply.to = "0:1::fd00:0"; /* fd00::1 with its first and last word swapped */
	frame_build(&reply, &in);
	assert_int_equal(fixture_run(f, &in, &out), PASSED);
	assert_true(frame_equal(&in, &out));
	reply.to = SPLITTER6;
	world_send(f, &reply);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
#define TEST_OWN_WORLD(name) cmocka_unit_test_setup_teardown(name, world_setup_own, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_port_of_the_range_serves_one_flow_and_no_more),
		TEST(endpoints_do_not_share_ports),
		TEST(services_that_share_an_endpoint_share_its_ports),
		TEST(a_shared_endpoint_outlives_the_service_that_it_was_named_after),
		TEST(two_sources_are_used_alternately),
		TEST(the_reply_to_either_source_finds_its_flow),
		TEST(every_port_of_two_sources_can_be_had),
		TEST(without_a_source_address_nothing_is_opened),
		TEST(a_reply_to_another_address_of_the_same_fold_passes),
		TEST_OWN_WORLD(a_full_port_table_is_a_full_flow_table),
		TEST_OWN_WORLD(a_port_that_nobody_answered_makes_room_and_has_failed),
		TEST_OWN_WORLD(datagrams_go_on_after_their_port_made_room),
		TEST_OWN_WORLD(an_established_flows_port_makes_no_room),
		TEST_OWN_WORLD(a_flow_that_cannot_be_written_down_gives_its_port_back),
	};

	return run_on_every_hook(tests);
}
