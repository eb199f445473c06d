// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Draining by reset: which connections it takes, and the RSTs that both ends get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pkt_cls.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "connection.h"
#include "hash.h"

#define EVERYONE 0xffff

static const __u32 tcp_services[] = {NAT4_TCP, NAT6_TCP, DNAT4_TCP, DNAT6_TCP};

#define FOR_EACH_TCP_SERVICE(service) for (const __u32 *service = tcp_services; service < tcp_services + 4; service++)

static struct connection begun(void **state, __u32 service)
{
	struct connection c = {.fixture = *state, .service = service, .backend = service, .client_port = CLIENT_PORT};

	world_settle(c.fixture, service, service);
	connection_begin(&c);
	return c;
}

/* The slot of every client of the connection's service points elsewhere; who is where it was is reset, as far as
 * @below. */
static void move_away(const struct connection *c, __u16 below)
{
	world_track(c->fixture, c->service, SECOND(c->service), c->backend);
	world_set_reset_below(c->fixture, c->backend, below);
}

static struct connection moved(void **state, __u32 service)
{
	struct connection c = begun(state, service);

	move_away(&c, EVERYONE);
	return c;
}

static void run(struct fixture *f, const struct segment *s, int verdict, struct frame *ret)
{
	struct frame in;

	frame_build(s, &in);
	assert_int_equal(fixture_run(f, &in, ret), verdict);
}

/* A RST that answers @s, which has an ACK, to its sender; nothing behind it. */
static void assert_answered_with_reset(struct fixture *f, const struct segment *s)
{
	struct address from = address_of(s->to);
	struct address to = address_of(s->from);
	__u32 sequence = htonl(s->acknowledged);
	struct reading r;
	struct frame out;

	run(f, s, SENT, &out);
	assert_true(frame_read(&out, &r));
	assert_true(frame_checksums_right(&out, &r));
	assert_int_equal(r.flags, RST);
	assert_memory_equal(&r.source, &from, sizeof(from));
	assert_memory_equal(&r.destination, &to, sizeof(to));
	assert_int_equal(r.source_port, s->to_port);
	assert_int_equal(r.destination_port, s->from_port);
	assert_memory_equal(out.data + r.l4 + 4, &sequence, 4);
	assert_int_equal(out.bytes, r.l4 + 20);
	assert_int_equal(r.ip_bytes, out.bytes - ETHERNET_BYTES);
}

static __u64 resets(struct fixture *f, __u32 backend)
{
	return fixture_measurements(f, backend).reset_by_drain;
}

/* --- the frame -------------------------------------------------------------------------------------------------------
 */

/* Frames written down by hand, byte by byte, with checksums that were computed elsewhere: Ethernet, IP, TCP. */
static const char client4_reset[] = "\x02\x00\x00\x00\x00\xc1\x02\x00\x00\x00\x00\xf0\x08\x00"
				    "\x45\x00\x00\x28\x00\x00\x40\x00\x40\x06\x6e\xbf\x0a\x00\x00\x0a\xc0\x00\x02\x07"
				    "\x00\x50\x9c\x40\x12\x34\x56\x78\x00\x00\x00\x00\x50\x04\x00\x00\xde\x92\x00\x00";
static const char client6_reset[] = "\x02\x00\x00\x00\x00\xc1\x02\x00\x00\x00\x00\xf0\x86\xdd"
				    "\x60\x00\x00\x00\x00\x14\x06\x40"
				    "\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10"
				    "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"
				    "\x00\x50\x9c\x40\x12\x34\x56\x78\x00\x00\x00\x00\x50\x04\x00\x00\x7f\xd3\x00\x00";
static const char server4_reset[] = "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\xf0\x08\x00"
				    "\x45\x00\x00\x28\x00\x00\x40\x00\x40\x06\x25\xcf\x0a\x00\x00\x01\x0a\x00\x01\x01"
				    "\x4e\x20\x1f\x40\x9a\xbc\xde\xf0\x00\x00\x00\x00\x50\x04\x00\x00\xb3\xd1\x00\x00";
static const char server6_reset[] = "\x02\x00\x00\x00\x00\x05\x02\x00\x00\x00\x00\xf0\x86\xdd"
				    "\x60\x00\x00\x00\x00\x14\x06\x40"
				    "\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
				    "\xfd\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05"
				    "\x4e\x20\x1f\x40\x9a\xbc\xde\xf0\x00\x00\x00\x00\x50\x04\x00\x00\xce\xca\x00\x00";
static const char silent4_reset[] = "\x02\x00\x00\x00\x00\xc1\x02\x00\x00\x00\x00\xf0\x08\x00"
				    "\x45\x00\x00\x28\x00\x00\x40\x00\x40\x06\x6e\xbf\x0a\x00\x00\x0a\xc0\x00\x02\x07"
				    "\x00\x50\x9c\x40\x00\x00\x00\x00\x01\x02\x03\x69\x50\x14\x00\x00\x42\xc4\x00\x00";

static void assert_frame(struct fixture *f, const struct segment *s, const char *bytes, size_t size)
{
	struct frame wanted = {.bytes = size - 1};
	struct frame out;

	memcpy(wanted.data, bytes, wanted.bytes);
	run(f, s, SENT, &out);
	if (!frame_equal(&out, &wanted)) {
		frame_print_difference(&out, &wanted);
		fail_msg("not the RST that was written down");
	}
}

#define ASSERT_FRAME(f, s, bytes) assert_frame(f, s, bytes, sizeof(bytes))

static struct segment from_client(const struct connection *c)
{
	struct segment s = client_segment(c, ACK, 100);

	s.to_mac = MAC_SPLITTER;
	s.from_mac = MAC_ROUTER;
	s.acknowledged = 0x12345678;
	return s;
}

static struct segment from_server(const struct connection *c)
{
	struct segment s = server_segment(c, ACK, "data: token\n\n");

	s.to_mac = MAC_SPLITTER;
	s.from_mac = c->backend;
	s.acknowledged = 0x9abcdef0;
	return s;
}

static void the_client_s_reset_is_as_written_by_hand(void **state)
{
	struct connection four = moved(state, NAT4_TCP);
	struct connection six = moved(state, NAT6_TCP);
	struct segment s = from_client(&four);

	ASSERT_FRAME(four.fixture, &s, client4_reset);
	s = from_client(&six);
	ASSERT_FRAME(six.fixture, &s, client6_reset);
}

static void the_backend_s_reset_is_as_written_by_hand(void **state)
{
	struct connection four = moved(state, NAT4_TCP);
	struct connection six = moved(state, NAT6_TCP);
	struct segment s = from_client(&four);
	struct frame out;

	run(four.fixture, &s, SENT, &out);
	s = from_server(&four);
	ASSERT_FRAME(four.fixture, &s, server4_reset);
	s = from_client(&six);
	run(six.fixture, &s, SENT, &out);
	s = from_server(&six);
	ASSERT_FRAME(six.fixture, &s, server6_reset);
}

/* RFC 9293, 3.10.7.1: what acknowledges nothing is acknowledged, its data and FIN included. */
static void a_segment_without_ack_is_acknowledged_by_its_reset(void **state)
{
	struct connection c = moved(state, NAT4_TCP);
	struct segment s = from_client(&c);

	s.flags = FIN;
	s.sequence = 0x01020304;
	s.acknowledged = 0xdeadbeef;
	ASSERT_FRAME(c.fixture, &s, silent4_reset);
}

static void options_payload_and_padding_are_cut_off(void **state)
{
	struct connection c = moved(state, NAT4_TCP);
	struct connection six = moved(state, NAT6_TCP);
	struct segment s = from_client(&c);

	s.ip_option_bytes = 8;
	s.tcp_option_bytes = 12;
	s.padding_bytes = 7;
	ASSERT_FRAME(c.fixture, &s, client4_reset);
	s.ip_option_bytes = s.tcp_option_bytes = s.payload_bytes = 0;
	s.padding_bytes = 6; /* as Ethernet has a smallest frame */
	ASSERT_FRAME(c.fixture, &s, client4_reset);
	s.padding_bytes = 0;
	ASSERT_FRAME(c.fixture, &s, client4_reset);
	s = from_client(&six);
	s.tcp_option_bytes = 12;
	s.padding_bytes = 1;
	ASSERT_FRAME(six.fixture, &s, client6_reset);
}

static void checksums_are_right_for_any_numbers(void **state)
{
	struct connection c = moved(state, NAT4_TCP);
	struct connection six = moved(state, DNAT6_TCP);
	struct segment s = from_client(&c);
	struct segment s6 = from_client(&six);

	for (__u32 i = 0; i < 2000; i++) {
		s.acknowledged = s6.acknowledged = i * 0x9e3779b1;
		assert_answered_with_reset(c.fixture, &s);
		assert_answered_with_reset(c.fixture, &s6);
	}
}

/* --- whom
 * -------------------------------------------------------------------------------------------------------------*/

static void a_connection_that_is_not_where_its_slot_points_is_reset(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = moved(state, *service);
		struct segment s = client_segment(&c, ACK, 0);

		assert_answered_with_reset(c.fixture, &s);
		assert_int_equal(resets(c.fixture, c.backend), 1);
	}
}

static void a_connection_that_is_where_its_slot_points_is_not(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		world_set_reset_below(c.fixture, c.backend, EVERYONE);
		client_says(&c, ACK, 100);
		world_track(c.fixture, *service, c.backend, c.backend);
		client_says(&c, ACK, 100);
		assert_int_equal(resets(c.fixture, *service), 0);
	}
}

static void without_a_drain_connections_that_moved_are_left_alone(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		move_away(&c, 0);
		client_says(&c, ACK, 100);
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		assert_int_equal(resets(c.fixture, c.backend), 0);
	}
}

static void syns_resets_and_answers_pass(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);
		struct segment syn = client_segment(&c, SYN, 0);

		move_away(&c, 0);
		client_says(&c, ACK, 0); /* known where it is, in any mode */
		move_away(&c, EVERYONE);
		syn.sequence = CLIENT_SEQUENCE;
		world_send(c.fixture, &syn);
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		client_says(&c, RST, 0);
		assert_int_equal(resets(c.fixture, c.backend), 0);
	}
}

static void datagrams_pass(void **state)
{
	struct connection c = {.fixture = *state, .service = NAT4_UDP, .backend = NAT4_UDP, .client_port = CLIENT_PORT};
	struct segment datagram = world_request(NAT4_UDP);

	assert_int_equal(world_backend_of(c.fixture, &datagram), NAT4_UDP);
	move_away(&c, EVERYONE);
	assert_int_equal(world_backend_of(c.fixture, &datagram), NAT4_UDP);
	assert_int_equal(resets(c.fixture, NAT4_UDP), 0);
}

static void a_malformed_segment_and_one_without_a_hop_left_are_dropped_instead(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = moved(state, *service);
		struct segment s = client_segment(&c, ACK, 100);

		s.doff = 4;
		world_send_dropped(c.fixture, &s, *service, DROP_MALFORMED);
		s.doff = 0;
		s.hops = HOP_LIMIT - 1;
		world_send_dropped(c.fixture, &s, *service, DROP_TTL);
		assert_int_equal(resets(c.fixture, c.backend), 0);
	}
}

/* --- how fast
 * ---------------------------------------------------------------------------------------------------------*/

#define MANY 500

/* Sends what every one of the connections would send next: which of them are reset? */
static void check_pace(struct connection *c, __u32 below)
{
	struct service s = world_service_get(c->fixture, c->service);
	struct address client = address_of(world_is_ipv6(c->service) ? CLIENT6 : CLIENT4);
	struct segment ack;
	struct reading r;
	struct frame out;
	__u32 due = 0;

	for (__u16 port = 1; port <= MANY; port++) {
		bool wanted = (hash_client(s.seed, &client, htons(port)) & 0xffff) < below;

		c->client_port = port;
		ack = client_segment(c, ACK, 0);
		run(c->fixture, &ack, SENT, &out);
		assert_true(frame_read(&out, &r));
		assert_int_equal(r.flags == RST, wanted);
		due += wanted;
	}
	assert_int_equal(resets(c->fixture, c->backend), due);
	assert_in_range(due, 1, below > 0x8000 ? MANY : MANY - 1);
}

static void the_pace_takes_those_whose_hash_is_below_and_adds_to_them(void **state)
{
	static const __u16 steps[] = {0x1000, 0x4000, 0x8000, 0xfff0};

	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = {.fixture = *state, .service = *service, .backend = *service};

		world_set_ports(c.fixture, *service, 20000, 29999);
		for (c.client_port = 1; c.client_port <= MANY; c.client_port++)
			connection_begin(&c);
		world_track(c.fixture, *service, SECOND(*service), *service);
		for (int i = 0; i < 4; i++) {
			world_set_reset_below(c.fixture, *service, steps[i]);
			check_pace(&c, steps[i]);
		}
		world_set_reset_below(c.fixture, *service, EVERYONE);
		check_pace(&c, EVERYONE + 1);
	}
}

/* A 16-bit threshold alone would never reach the highest hash. */
static void everyone_is_everyone(void **state)
{
	struct connection c = {.fixture = *state, .service = NAT4_TCP, .backend = NAT4_TCP, .client_port = 1};
	struct service s = world_service_get(c.fixture, NAT4_TCP);
	struct segment ack;
	struct address client;
	char text[32];

	for (__u32 i = 0; i < 1000000; i++) {
		snprintf(text, sizeof(text), "192.0.2.%u", i / 50000);
		client = address_of(text);
		c.client_port = i % 50000 + 1;
		if ((hash_client(s.seed, &client, htons(c.client_port)) & 0xffff) == 0xffff)
			break;
	}
	c.client = text;
	assert_int_equal(hash_client(s.seed, &client, htons(c.client_port)) & 0xffff, 0xffff);
	connection_begin(&c);
	move_away(&c, EVERYONE - 1);
	client_says(&c, ACK, 0);
	move_away(&c, EVERYONE);
	ack = client_segment(&c, ACK, 0);
	assert_answered_with_reset(c.fixture, &ack);
}

/* --- what follows
 * -----------------------------------------------------------------------------------------------------*/

/* Both ends may have sent more before they hear of it, and FINs among it. */
static void a_reset_connection_is_counted_once_and_in_no_other_place(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = moved(state, *service);
		struct segment from_client, from_server;
		struct measurements m;
		struct frame out;

		for (int i = 0; i < 3; i++) {
			from_client = client_segment(&c, i == 2 ? FIN | ACK : ACK, 100);
			c.client_next += 100;
			assert_answered_with_reset(c.fixture, &from_client);
			from_server = server_segment(&c, i == 2 ? FIN | ACK : ACK, "data");
			c.server_next += 4;
			run(c.fixture, &from_server, SENT, &out);
		}
		client_says(&c, RST, 0);
		server_says(&c, RST, NULL);
		m = fixture_measurements(c.fixture, c.backend);
		assert_int_equal(m.reset_by_drain, 1);
		assert_int_equal(m.reset_by_client + m.reset_by_server + m.refused + m.closed, 0);
	}
}

/* What is said of a sample stands for all, and so it is with resets. */
static void only_a_reset_connection_that_is_measured_is_counted(void **state)
{
	struct connection c = {.fixture = *state, .service = DNAT4_TCP, .backend = DNAT4_TCP};
	struct segment request;
	__u64 measured;

	world_set_measure_mask(c.fixture, DNAT4_TCP, 3);
	for (c.client_port = 1; c.client_port <= 100; c.client_port++)
		connection_begin(&c);
	measured = fixture_measurements(c.fixture, DNAT4_TCP).measured;
	assert_in_range(measured, 1, 99);
	move_away(&c, EVERYONE);
	for (c.client_port = 1; c.client_port <= 100; c.client_port++) {
		request = client_segment(&c, ACK, 100);
		assert_answered_with_reset(c.fixture, &request);
	}
	assert_int_equal(resets(c.fixture, DNAT4_TCP), measured);
}

static void in_nat_the_backend_is_told_with_its_next_segment(void **state)
{
	static const __u32 services[] = {NAT4_TCP, NAT6_TCP};

	for (int i = 0; i < 2; i++) {
		struct connection c = moved(state, services[i]);
		struct segment request = client_segment(&c, ACK, 100);
		struct segment token = server_segment(&c, ACK, "data: token\n\n");

		server_says(&c, ACK, NULL); /* not before the client is */
		assert_answered_with_reset(c.fixture, &request);
		assert_answered_with_reset(c.fixture, &token);
		token.flags = FIN | ACK; /* it was under way */
		assert_answered_with_reset(c.fixture, &token);
	}
}

/* There the client, which has no such connection any more, answers by itself, and its RST must get through. */
static void in_dnat_the_backend_is_told_by_the_client(void **state)
{
	static const __u32 services[] = {DNAT4_TCP, DNAT6_TCP};

	for (int i = 0; i < 2; i++) {
		struct connection c = moved(state, services[i]);
		struct segment request = client_segment(&c, ACK, 100);

		assert_answered_with_reset(c.fixture, &request);
		server_says(&c, ACK, "data: token\n\n");
		client_says(&c, RST, 0);
	}
}

static void the_same_ports_open_a_new_connection_where_the_slot_points(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = moved(state, *service);
		struct segment request = client_segment(&c, ACK, 100);

		world_set_ports(c.fixture, *service, 20000, 29999);
		assert_answered_with_reset(c.fixture, &request);
		c.backend = SECOND(*service);
		connection_begin(&c);
		client_says(&c, ACK, 100);
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		assert_int_equal(fixture_measurements(c.fixture, c.backend).established, 1);
		assert_int_equal(fixture_measurements(c.fixture, c.backend).status[2], 1);
	}
}

static void a_reset_packet_counts_for_no_backend(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = moved(state, *service);
		struct backend_counters before = fixture_backend_counters(c.fixture, c.backend);
		struct segment request = client_segment(&c, ACK, 100);
		struct backend_counters after;

		assert_answered_with_reset(c.fixture, &request);
		after = fixture_backend_counters(c.fixture, c.backend);
		assert_memory_equal(&before, &after, sizeof(after));
	}
}

/* --- whom the daemon speaks for
 * ------------------------------------------------------------------------------------*/

/* Runs what the daemon runs, on what it makes up. */
static void make_up(struct fixture *f, const struct segment *s, struct frame *ret)
{
	struct frame in;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in.data, .data_out = ret->data,
		    .data_size_out = sizeof(ret->data));

	frame_build(s, &in);
	opts.data_size_in = in.bytes;
	assert_int_equal(bpf_prog_test_run_opts(fixture_program(f, "headgate_tc_made_up"), &opts), 0);
	assert_int_equal(opts.retval, TC_ACT_REDIRECT);
	ret->bytes = opts.data_size_out;
}

static struct segment silent_client(const struct connection *c, __u8 flags)
{
	struct segment s = from_client(c);

	s.flags = flags;
	s.payload_bytes = 0;
	return s;
}

static void a_silent_client_is_reset_by_what_is_made_up_for_it(void **state)
{
	struct connection c = moved(state, NAT4_TCP);
	struct segment ack = silent_client(&c, ACK);
	struct frame wanted = {.bytes = sizeof(client4_reset) - 1};
	struct frame out;

	memcpy(wanted.data, client4_reset, wanted.bytes);
	make_up(c.fixture, &ack, &out);
	if (!frame_equal(&out, &wanted)) {
		frame_print_difference(&out, &wanted);
		fail_msg("not the RST that was written down");
	}
	assert_int_equal(resets(c.fixture, c.backend), 1);
}

/* Sent on like a client's own; and the flow knows that it has been told. */
static void a_silent_backend_is_reset_by_what_is_made_up_for_the_client(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = moved(state, *service);
		struct segment ack = silent_client(&c, ACK);
		struct segment reset = silent_client(&c, RST);
		__u32 sequence = htonl(reset.sequence);
		struct reading r;
		struct frame out;
		struct flow flow;

		make_up(c.fixture, &ack, &out);
		assert_true(connection_established(&c, &flow));
		assert_int_equal(flow.flags & (FLOW_DRAINED | FLOW_TOLD), FLOW_DRAINED);
		make_up(c.fixture, &reset, &out);
		assert_true(frame_read(&out, &r));
		assert_true(frame_checksums_right(&out, &r));
		assert_int_equal(r.flags, RST);
		assert_memory_equal(out.data + r.l4 + 4, &sequence, 4);
		assert_true(connection_established(&c, &flow));
		assert_true(flow.flags & FLOW_TOLD);
		assert_int_equal(resets(c.fixture, c.backend), 1);
		assert_int_equal(fixture_measurements(c.fixture, c.backend).reset_by_client, 0);
	}
}

/* A packet that comes in the middle of it uses the CPU's own space. */
static void what_is_made_up_leaves_the_space_of_packets_alone(void **state)
{
	struct connection c = moved(state, NAT4_TCP);
	int scratch = fixture_map(c.fixture, "scratch");
	struct segment ack = silent_client(&c, ACK);
	__u32 zero = 0, length = sizeof(struct bpf_map_info);
	struct bpf_map_info info = {};
	struct frame out;
	size_t bytes;
	__u8 *before, *after;

	assert_int_equal(bpf_obj_get_info_by_fd(scratch, &info, &length), 0);
	bytes = (size_t)(info.value_size + 7) / 8 * 8 * libbpf_num_possible_cpus();
	before = malloc(bytes);
	after = malloc(bytes);
	assert_int_equal(bpf_map_lookup_elem(scratch, &zero, before), 0);
	ack.sequence += 77;
	make_up(c.fixture, &ack, &out);
	assert_int_equal(bpf_map_lookup_elem(scratch, &zero, after), 0);
	assert_memory_equal(before, after, bytes);
	free(before);
	free(after);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_client_s_reset_is_as_written_by_hand),
		TEST(the_backend_s_reset_is_as_written_by_hand),
		TEST(a_segment_without_ack_is_acknowledged_by_its_reset),
		TEST(options_payload_and_padding_are_cut_off),
		TEST(checksums_are_right_for_any_numbers),
		TEST(a_connection_that_is_not_where_its_slot_points_is_reset),
		TEST(a_connection_that_is_where_its_slot_points_is_not),
		TEST(without_a_drain_connections_that_moved_are_left_alone),
		TEST(syns_resets_and_answers_pass),
		TEST(datagrams_pass),
		TEST(a_malformed_segment_and_one_without_a_hop_left_are_dropped_instead),
		TEST(the_pace_takes_those_whose_hash_is_below_and_adds_to_them),
		TEST(everyone_is_everyone),
		TEST(a_reset_connection_is_counted_once_and_in_no_other_place),
		TEST(only_a_reset_connection_that_is_measured_is_counted),
		TEST(in_nat_the_backend_is_told_with_its_next_segment),
		TEST(in_dnat_the_backend_is_told_by_the_client),
		TEST(the_same_ports_open_a_new_connection_where_the_slot_points),
		TEST(a_reset_packet_counts_for_no_backend),
		TEST(a_silent_client_is_reset_by_what_is_made_up_for_it),
		TEST(a_silent_backend_is_reset_by_what_is_made_up_for_the_client),
		TEST(what_is_made_up_leaves_the_space_of_packets_alone),
	};

	return run_on_every_hook(tests);
}
