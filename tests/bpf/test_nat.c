// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The life of a NAT flow: opened, promoted by its handshake, ended, opened again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/types.h>
#include <stdio.h>

#include "bucket.h"
#include "connection.h"
#include "flows.h"
#include "hash.h"

static struct connection connection_of(void **state, __u32 service)
{
	struct connection c = {.fixture = *state, .service = service, .backend = service, .client_port = 40001};

	world_set_ports(c.fixture, service, 20000, 29999);
	return c;
}

static __u64 opened(const struct connection *c)
{
	return fixture_backend_counters(c->fixture, c->backend).opened;
}

static void a_syn_opens_once_and_its_retransmission_keeps_the_port(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);
	__u16 port;

	client_sends(&c, SYN, 0);
	port = c.source_port;
	assert_in_range(port, 20000, 29999);
	client_sends(&c, SYN, 0);
	assert_int_equal(c.source_port, port);
	assert_int_equal(opened(&c), 1);
	assert_int_equal(flows_half_open(c.fixture), 1);
	assert_int_equal(flow_ports(c.fixture), 1);
}

static void check_handshake(struct connection c)
{
	struct source_port port;
	struct flow f;

	client_sends(&c, SYN, 0);
	assert_true(connection_half_open(&c, &f));
	assert_int_equal(f.backend, c.backend);
	assert_int_equal(f.source_port, htons(c.source_port));
	assert_true(connection_port(&c, &port));
	assert_int_equal(port.backend, c.backend);
	assert_int_equal(port.flow.service, c.service);
	assert_int_equal(port.flags, 0);
	server_sends(&c, SYN | ACK);
	assert_true(connection_port(&c, &port));
	assert_int_equal(port.flags, FLOW_REPLIED);
	assert_int_equal(port.server_next, SERVER_SEQUENCE + 1);
	assert_false(connection_established(&c, &f));
	client_sends(&c, ACK, SERVER_SEQUENCE + 1);
	assert_true(connection_established(&c, &f));
	assert_false(connection_half_open(&c, &f));
	assert_int_equal(f.flags, 0);
	assert_int_equal(opened(&c), 1);
}

static void a_handshake_promotes_the_flow(void **state)
{
	check_handshake(connection_of(state, NAT4_TCP));
	check_handshake(connection_of(state, NAT6_TCP));
}

/* TCP Fast Open: data comes with the SYN-ACK or right behind it, and the first ACK covers none, some or all of it. */
static void an_ack_of_early_data_promotes(void **state)
{
	static const struct {
		__u16 with_syn_ack, behind;
		__u32 acknowledged; /* of the data */
	} cases[] = {{0, 100, 0}, {0, 100, 50}, {0, 100, 100}, {70, 0, 0}, {70, 0, 70}, {70, 50, 120}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct connection c = connection_of(state, NAT4_TCP);
		struct segment s;
		struct flow f;

		client_sends(&c, SYN, 0);
		s = connection_reply(&c, SYN | ACK);
		s.payload_bytes = cases[i].with_syn_ack;
		world_send(c.fixture, &s);
		s.flags = ACK;
		s.sequence += 1 + s.payload_bytes;
		s.payload_bytes = cases[i].behind;
		world_send(c.fixture, &s);
		client_sends(&c, ACK, SERVER_SEQUENCE + 1 + cases[i].acknowledged);
		assert_true(connection_established(&c, &f));
		fixture_reset(c.fixture);
	}
}

/* Its FIN may be all that the server says. */
static void an_ack_of_the_server_s_fin_promotes(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);
	struct segment fin;
	struct flow f;

	client_sends(&c, SYN, 0);
	server_sends(&c, SYN | ACK);
	fin = connection_reply(&c, FIN | ACK);
	fin.sequence++;
	world_send(c.fixture, &fin);
	client_sends(&c, ACK, SERVER_SEQUENCE + 2);
	assert_true(connection_established(&c, &f));
}

static void a_wrong_ack_does_not_promote(void **state)
{
	static const __u32 wrong[] = {SERVER_SEQUENCE - (1U << 16), SERVER_SEQUENCE + 3, SERVER_SEQUENCE + (1U << 20),
				      0x80000000};
	struct connection c = connection_of(state, NAT4_TCP);
	struct flow f;

	client_sends(&c, SYN, 0);
	client_sends(&c, ACK, 1); /* before any answer, as a blind sender would; 1 acknowledges sequence 0 */
	assert_false(connection_established(&c, &f));
	server_sends(&c, SYN | ACK);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		client_sends(&c, ACK, wrong[i]);
		assert_false(connection_established(&c, &f));
	}
	client_sends(&c, SYN, SERVER_SEQUENCE + 1); /* the right number, but not acknowledged */
	assert_false(connection_established(&c, &f));
	client_sends(&c, ACK, SERVER_SEQUENCE + 1);
	assert_true(connection_established(&c, &f));
}

static void a_server_s_plain_ack_is_no_answer_to_a_syn(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);
	struct flow f;

	client_sends(&c, SYN, 0);
	server_sends(&c, ACK);
	client_sends(&c, ACK, SERVER_SEQUENCE + 1);
	assert_false(connection_established(&c, &f));
}

static void check_udp(struct connection c)
{
	__u16 port;
	struct flow f;

	client_sends(&c, 0, 0);
	port = c.source_port;
	client_sends(&c, 0, 0);
	assert_int_equal(c.source_port, port);
	assert_true(connection_half_open(&c, &f));
	assert_false(connection_established(&c, &f));
	server_sends(&c, 0);
	client_sends(&c, 0, 0);
	assert_int_equal(c.source_port, port);
	assert_true(connection_established(&c, &f));
	assert_false(connection_half_open(&c, &f));
	assert_int_equal(opened(&c), 1);
}

static void a_udp_flow_is_promoted_only_after_an_answer(void **state)
{
	check_udp(connection_of(state, NAT4_UDP));
	check_udp(connection_of(state, NAT6_UDP));
}

static void mid_connection_packets_without_a_flow_are_dropped(void **state)
{
	static const __u8 flags[] = {0, ACK, FIN | ACK, RST, RST | ACK, SYN | ACK};
	struct connection c = connection_of(state, NAT4_TCP);

	for (size_t i = 0; i < sizeof(flags); i++) {
		struct segment s = connection_request(&c, flags[i]);

		world_send_dropped(c.fixture, &s, NAT4_TCP, DROP_NO_FLOW);
	}
	assert_int_equal(flows_half_open(c.fixture), 0);
	assert_int_equal(flow_ports(c.fixture), 0);
	assert_int_equal(opened(&c), 0);
}

static void check_flags(const struct connection *c, __u32 wanted)
{
	struct source_port port;
	struct flow f;

	assert_true(connection_established(c, &f) || connection_half_open(c, &f));
	assert_int_equal(f.flags, wanted);
	assert_true(connection_port(c, &port));
	assert_int_equal(port.flags & FLOW_ENDS, wanted);
}

static void both_directions_remember_who_has_ended(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);

	connection_open(&c);
	check_flags(&c, 0);
	client_sends(&c, FIN | ACK, SERVER_SEQUENCE + 1);
	check_flags(&c, FLOW_CLIENT_FIN);
	server_sends(&c, ACK);
	check_flags(&c, FLOW_CLIENT_FIN);
	server_sends(&c, FIN | ACK);
	check_flags(&c, FLOW_CLIENT_FIN | FLOW_SERVER_FIN);
}

static void a_reset_by_either_side_is_remembered_by_both_directions(void **state)
{
	struct connection by_client = connection_of(state, NAT4_TCP);
	struct connection by_server = connection_of(state, NAT6_TCP);
	struct connection refused = connection_of(state, NAT4_TCP);

	connection_open(&by_client);
	client_sends(&by_client, RST, 0);
	check_flags(&by_client, FLOW_RESET);

	connection_open(&by_server);
	server_sends(&by_server, RST);
	check_flags(&by_server, FLOW_RESET);

	refused.client_port = 40002;
	client_sends(&refused, SYN, 0);
	server_sends(&refused, RST | ACK);
	check_flags(&refused, FLOW_RESET);
}

static void a_malformed_reply_says_nothing_of_its_flow(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);
	struct segment broken;

	client_sends(&c, SYN, 0);
	broken = connection_reply(&c, SYN | ACK | RST);
	broken.doff = 4;
	world_send_dropped(c.fixture, &broken, NAT4_TCP, DROP_MALFORMED);
	check_flags(&c, 0);
	client_sends(&c, ACK, SERVER_SEQUENCE + 1);
	assert_int_equal(flows_established(c.fixture), 0);
}

static void a_fin_before_the_flow_is_established_is_kept(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);
	struct flow f;

	client_sends(&c, SYN, 0);
	server_sends(&c, SYN | ACK);
	client_sends(&c, FIN | ACK, SERVER_SEQUENCE + 1);
	assert_true(connection_established(&c, &f));
	check_flags(&c, FLOW_CLIENT_FIN);
}

static void a_syn_on_a_live_flow_opens_nothing(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);
	__u16 port;

	connection_open(&c);
	port = c.source_port;
	client_sends(&c, SYN, 0);
	assert_int_equal(c.source_port, port);
	client_sends(&c, FIN | ACK, SERVER_SEQUENCE + 1);
	client_sends(&c, SYN, 0); /* one FIN is half an end */
	assert_int_equal(c.source_port, port);
	assert_int_equal(opened(&c), 1);
	assert_int_equal(flow_ports(c.fixture), 1);
}

/* The old port stays taken until the daemon sweeps it, as its connection may be in TIME_WAIT at the backend. */
static void check_reopening(struct connection c)
{
	struct connection old = c;
	struct source_port entry;
	struct flow f;

	client_sends(&c, SYN, 0);
	assert_int_not_equal(c.source_port, old.source_port);
	assert_int_equal(opened(&c), 2);
	assert_true(connection_half_open(&c, &f));
	assert_int_equal(f.flags, 0);
	assert_false(connection_established(&c, &f));
	assert_true(connection_port(&old, &entry));
	assert_true(connection_port(&c, &entry));
	assert_int_equal(entry.flags, 0);
	server_sends(&c, SYN | ACK);
	client_sends(&c, ACK, SERVER_SEQUENCE + 1);
	assert_true(connection_established(&c, &f));
}

static void a_syn_after_both_fins_opens_a_new_flow_with_another_port(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);

	connection_open(&c);
	client_sends(&c, FIN | ACK, SERVER_SEQUENCE + 1);
	server_sends(&c, FIN | ACK);
	check_reopening(c);
}

static void a_syn_after_a_reset_opens_a_new_flow_with_another_port(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);

	connection_open(&c);
	server_sends(&c, RST);
	check_reopening(c);
}

/* A spoofed one: its sequence number is not near what the client sent. */
static void a_blind_reset_ends_no_flow(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);
	struct segment reset = connection_request(&c, RST);
	struct flow f;

	connection_open(&c);
	reset.sequence = 0x40000000;
	world_send(c.fixture, &reset);
	assert_true(connection_established(&c, &f));
	assert_int_equal(f.flags, 0);
}

static void a_late_end_of_an_old_connection_leaves_its_successor_alone(void **state)
{
	struct connection old = connection_of(state, NAT4_TCP);
	struct connection fresh;
	struct flow f;

	connection_open(&old);
	client_sends(&old, RST, 0);
	fresh = old;
	connection_open(&fresh);
	server_sends(&old, FIN | ACK); /* from before the reset reached the backend */
	assert_true(connection_established(&fresh, &f));
	assert_int_equal(f.flags, 0);

	fresh.client_port = old.client_port = 40002;
	connection_open(&old);
	client_sends(&old, FIN | ACK, SERVER_SEQUENCE + 1);
	server_sends(&old, FIN | ACK);
	fresh = old;
	connection_open(&fresh);
	server_sends(&old, RST);
	assert_true(connection_established(&fresh, &f));
	assert_int_equal(f.flags, 0);
}

static void a_flow_whose_port_was_swept_is_unknown(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);
	struct fixture *f = c.fixture;
	struct source_port_key key;
	struct segment ack;

	connection_open(&c);
	client_sends(&c, FIN | ACK, SERVER_SEQUENCE + 1);
	key = (struct source_port_key){
		.endpoint = NAT4_TCP,
		.source_fold = htonl(0xffff) ^ address_of(SPLITTER4).word[3],
		.port = htons(c.source_port),
	};
	flow_port_remove(f, &key);
	ack = connection_request(&c, ACK);
	world_send_dropped(f, &ack, NAT4_TCP, DROP_NO_FLOW);
	assert_int_equal(flows_established(f), 0);
	client_sends(&c, SYN, 0);
}

static struct place port_place_of(const struct connection *c)
{
	struct source_port_key key = connection_port_key(c);

	return place_of(hash_source_port(&key), c->fixture->flow_tables.layout->port_buckets);
}

/* Of two ports in one bucket, the tag of one may be the other's as well. */
static void a_reply_to_a_port_with_another_one_s_print_is_nobody_s(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP), stranger;
	struct bucket_tags *tags;
	struct segment reply;

	connection_open(&c);
	stranger = c;
	do
		stranger.source_port++;
	while (port_place_of(&stranger).bucket != port_place_of(&c).bucket);
	tags = flow_table_tags(&c.fixture->flow_tables, FLOW_TABLE_PORTS, port_place_of(&c).bucket);
	for (__u32 at = 0; at < BUCKET_ENTRIES; at++)
		if (tags->tag[at])
			tags->tag[at] = (tags->tag[at] & ~TAG_PRINT) | port_place_of(&stranger).print;
	reply = connection_reply(&stranger, ACK);
	assert_true(world_becomes(c.fixture, "a stranger's reply", &reply, PASSED, NULL));
}

static void a_flow_stays_with_its_backend_when_the_table_changes(void **state)
{
	struct connection old = connection_of(state, NAT4_TCP);
	struct connection fresh = connection_of(state, NAT4_TCP);
	struct connection opening = connection_of(state, NAT4_TCP);

	opening.client_port = 40002;
	fresh.client_port = 40003;
	fresh.backend = SECOND(NAT4_TCP);
	connection_open(&old);
	client_sends(&opening, SYN, 0);
	world_settle(old.fixture, NAT4_TCP, SECOND(NAT4_TCP));
	client_sends(&old, ACK, SERVER_SEQUENCE + 1);
	server_sends(&old, ACK);
	server_sends(&opening, SYN | ACK);
	client_sends(&opening, ACK, SERVER_SEQUENCE + 1);
	connection_open(&fresh);
	world_track(old.fixture, NAT4_TCP, THIRD(NAT4_TCP), SECOND(NAT4_TCP));
	client_sends(&old, ACK, SERVER_SEQUENCE + 1);
	client_sends(&fresh, ACK, SERVER_SEQUENCE + 1);
	fresh.client_port = 40004;
	fresh.backend = THIRD(NAT4_TCP);
	connection_open(&fresh);
}

static void a_flood_of_syns_evicts_no_established_flow(void **state)
{
	struct fixture *f = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_FLOWS] = 2});
	struct connection c = {.fixture = f, .service = NAT4_TCP, .backend = NAT4_TCP, .client_port = 40001};
	struct segment syn = world_request(NAT4_TCP);
	struct frame in, out;
	char attacker[32];
	__u16 port;

	*state = f;
	world_set_ports(f, NAT4_TCP, 1024, 65535);
	connection_open(&c);
	port = c.source_port;
	syn.from = attacker;
	for (__u32 i = 0; i < 10000; i++) {
		snprintf(attacker, sizeof(attacker), "100.%u.%u.1", 64 + i / 256, i % 256);
		frame_build(&syn, &in);
		assert_int_equal(fixture_run(f, &in, &out), SENT);
	}
	assert_int_equal(flows_half_open(f), 2 * BUCKET_ENTRIES - 1);
	assert_int_equal(flows_established(f), 1);
	client_sends(&c, ACK, SERVER_SEQUENCE + 1);
	assert_int_equal(c.source_port, port);
	server_sends(&c, ACK);
}

static void a_full_table_refuses_who_is_new_and_nobody_else(void **state)
{
	struct fixture *f = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_FLOWS] = 1});
	struct connection c = {.fixture = f, .service = NAT4_TCP, .backend = NAT4_TCP, .client_port = 40001};
	struct segment syn = world_request(NAT4_TCP);

	*state = f;
	world_set_ports(f, NAT4_TCP, 20000, 29999);
	flows_fill(f, FLOW_TABLE_FLOWS, BUCKET_ENTRIES - 1);
	connection_open(&c);
	syn.from_port = 40002;
	world_send_dropped(f, &syn, NAT4_TCP, DROP_FLOW_TABLE_FULL);
	client_sends(&c, ACK, SERVER_SEQUENCE + 1);
	server_sends(&c, ACK);
}

/* Its flow may be there already; the connection is one all the same. */
static void an_opening_whose_first_packet_was_dropped_counts_when_it_gets_through(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);
	struct segment syn = connection_request(&c, SYN);

	world_add_backend(c.fixture, NAT4_TCP, NAT4_TCP, world_backend_address(NAT4_TCP), NAT4_TCP, 0);
	world_send_dropped(c.fixture, &syn, NAT4_TCP, DROP_NO_NEXT_HOP);
	world_add_backend(c.fixture, NAT4_TCP, NAT4_TCP, world_backend_address(NAT4_TCP), NAT4_TCP, LOOPBACK);
	client_sends(&c, SYN, 0);
	assert_int_equal(opened(&c), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
#define TEST_OWN_WORLD(name) cmocka_unit_test_setup_teardown(name, world_setup_own, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_syn_opens_once_and_its_retransmission_keeps_the_port),
		TEST(a_handshake_promotes_the_flow),
		TEST(an_ack_of_early_data_promotes),
		TEST(an_ack_of_the_server_s_fin_promotes),
		TEST(a_wrong_ack_does_not_promote),
		TEST(a_server_s_plain_ack_is_no_answer_to_a_syn),
		TEST(a_udp_flow_is_promoted_only_after_an_answer),
		TEST(mid_connection_packets_without_a_flow_are_dropped),
		TEST(both_directions_remember_who_has_ended),
		TEST(a_reset_by_either_side_is_remembered_by_both_directions),
		TEST(a_malformed_reply_says_nothing_of_its_flow),
		TEST(a_fin_before_the_flow_is_established_is_kept),
		TEST(a_syn_on_a_live_flow_opens_nothing),
		TEST(a_syn_after_both_fins_opens_a_new_flow_with_another_port),
		TEST(a_syn_after_a_reset_opens_a_new_flow_with_another_port),
		TEST(a_blind_reset_ends_no_flow),
		TEST(a_late_end_of_an_old_connection_leaves_its_successor_alone),
		TEST(a_flow_whose_port_was_swept_is_unknown),
		TEST(a_reply_to_a_port_with_another_one_s_print_is_nobody_s),
		TEST(a_flow_stays_with_its_backend_when_the_table_changes),
		TEST(an_opening_whose_first_packet_was_dropped_counts_when_it_gets_through),
		TEST_OWN_WORLD(a_flood_of_syns_evicts_no_established_flow),
		TEST_OWN_WORLD(a_full_table_refuses_who_is_new_and_nobody_else),
	};

	return run_on_every_hook(tests);
}
