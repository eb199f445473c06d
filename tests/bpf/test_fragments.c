// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Fragments go where their first one goes, in every mode and family, whatever comes between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>

#include "world.h"

#define PIECE 1232
#define PIECES 3

/* A datagram (or a segment) of three fragments, as it comes. */
static struct segment whole(__u32 service, __u16 id)
{
	struct segment s = world_request(service);

	s.payload_bytes = 2 * PIECE + 333;
	s.id = id;
	s.traffic_class = 0x2e;
	return s;
}

static struct segment piece_of(struct segment s, __u32 piece)
{
	s.cut_offset = piece * PIECE;
	s.cut_bytes = PIECE;
	return s;
}

/* The ports that decide are in the whole's first piece; that all know where it goes is what is tested. */
static bool piece_is_sent(struct fixture *f, const char *what, const struct segment *in, const struct segment *out,
			  __u32 piece)
{
	struct segment came = piece_of(*in, piece), leaves = piece_of(*out, piece);

	return world_becomes(f, what, &came, SENT, &leaves);
}

static __u64 lone(struct fixture *f, __u32 service)
{
	return fixture_service_counters(f, world_is_ipv6(service) ? NAT6_TCP : NAT4_TCP).drops[DROP_LONE_FRAGMENT];
}

static void check_order(struct fixture *f, __u32 service, const struct segment *in)
{
	struct segment out = world_split(service, service, in);
	struct backend_counters then = fixture_backend_counters(f, service), now;

	fixture_forget(f);
	for (__u32 piece = 0; piece < PIECES; piece++)
		assert_true(piece_is_sent(f, "in order", in, &out, piece));
	assert_true(piece_is_sent(f, "the last one again", in, &out, 2));
	assert_true(piece_is_sent(f, "the middle one again", in, &out, 1));
	now = fixture_backend_counters(f, service);
	assert_int_equal(now.client_packets - then.client_packets, 5);
}

static void fragments_follow_their_first(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		struct segment in = whole(service, 7);

		check_order(f, service, &in);
		in.vlan[0] = 100;
		in.vlan[1] = 200;
		check_order(f, service, &in);
		if (world_is_ipv6(service)) {
			in.extensions = 3;
			in.extension[0] = (struct extension){.type = IPPROTO_HOPOPTS, .units = 1};
			in.extension[1] = (struct extension){.type = IPPROTO_ROUTING};
			in.extension[2] = (struct extension){.type = IPPROTO_DSTOPTS};
			in.cut_behind = 2;
		} else {
			in.ip_option_bytes = 12;
		}
		check_order(f, service, &in);
	}
	assert_int_equal(fixture_drops(f), 0);
}

/* The daemon sends in again what came too early; what it sends in too early once more is lost. */
static void a_fragment_before_its_first_waits_once(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		struct segment in = whole(service, 7), again = in;
		struct segment out = world_split(service, service, &in), last = piece_of(in, 2);
		__u64 drops = fixture_drops(f), before = lone(f, service);

		fixture_forget(f);
		again.again = true;
		assert_true(world_becomes(f, "the last one, early", &last, DROPPED, NULL));
		last = piece_of(in, 1);
		assert_true(world_becomes(f, "the middle one, early", &last, DROPPED, NULL));
		assert_int_equal(fixture_drops(f), drops);
		last = piece_of(again, 1);
		assert_true(world_becomes(f, "again, and still early", &last, DROPPED, NULL));
		assert_int_equal(lone(f, service), before + 1);
		assert_int_equal(fixture_drops(f), drops + 1);
		assert_true(piece_is_sent(f, "the first one", &in, &out, 0));
		assert_true(piece_is_sent(f, "again, late enough", &again, &out, 2));
		assert_true(piece_is_sent(f, "again, late enough", &again, &out, 1));
		assert_int_equal(fixture_drops(f), drops + 1);
	}
}

static void an_early_fragment_that_is_too_large_to_wait_is_lost(void **state)
{
	struct fixture *f = *state;
	struct segment s = world_request(DNAT4_UDP);

	s.payload_bytes = 6000;
	s.cut_offset = 2400;
	s.cut_bytes = 2048 - 14 - 20 - 8; /* a multiple of 8 */
	assert_true(world_becomes(f, "2 040 bytes", &s, DROPPED, NULL));
	assert_int_equal(fixture_drops(f), 0);
	s.cut_bytes += 16;
	assert_true(world_becomes(f, "2 056 bytes", &s, DROPPED, NULL));
	assert_int_equal(lone(f, DNAT4_UDP), 1);
}

/* Same client and service; another client with the same identification; the other protocol with it. */
static void datagrams_whose_fragments_are_mixed_are_told_apart(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		bool ipv6 = world_is_ipv6(service);
		__u32 other = ipv6 ? DNAT6_UDP : DNAT4_UDP;
		struct segment in[3] = {whole(service, 7), whole(service, 8), whole(other, 7)}, out[3];

		if (service == other)
			continue;
		in[2].from = ipv6 ? "2001:db8::8" : "192.0.2.8";
		fixture_forget(f);
		for (__u32 i = 0; i < 3; i++)
			out[i] = world_split(i == 2 ? other : service, i == 2 ? other : service, &in[i]);
		for (__u32 piece = 0; piece < PIECES; piece++) {
			for (__u32 i = 0; i < 3; i++)
				assert_true(piece_is_sent(f, "mixed", &in[i], &out[i], piece));
		}
	}
	assert_int_equal(fixture_drops(f), 0);
}

/* What is to the service's address, but none of its ports, or of another protocol, is this host's, in all its parts. */
static void fragments_to_no_service_s_port_pass(void **state)
{
	static const __u8 protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP};
	struct fixture *f = *state;

	for (__u32 i = 0; i < 2 * sizeof(protocols); i++) {
		struct segment in = whole(i & 1 ? DNAT6_TCP : DNAT4_TCP, 100 + i), part;

		in.to_port = 81;
		in.protocol = protocols[i / 2];
		if (i & 1 && in.protocol == IPPROTO_ICMP)
			in.protocol = IPPROTO_ICMPV6;
		in.icmp_type = i & 1 ? 128 : 8;
		part = piece_of(in, 2);
		assert_true(world_becomes(f, "early, and whose is not known", &part, DROPPED, NULL));
		for (__u32 piece = 0; piece < PIECES; piece++) {
			part = piece_of(in, piece);
			assert_true(world_becomes(f, "to no service's port", &part, PASSED, NULL));
		}
	}
	assert_int_equal(fixture_drops(f), 0);
}

static void fragments_to_others_pass(void **state)
{
	struct fixture *f = *state;

	for (__u32 i = 0; i < 4; i++) {
		struct segment in = whole(i & 1 ? DNAT6_UDP : DNAT4_UDP, 7), part;

		in.to = i & 1 ? "fd00::11" : "10.0.0.11";
		in.again = i & 2;
		for (__u32 piece = PIECES; piece--;) {
			part = piece_of(in, piece);
			assert_true(world_becomes(f, "to another address", &part, PASSED, NULL));
		}
	}
	assert_int_equal(map_entries(f->fragments), 0);
}

static void a_fragment_is_dropped_for_its_own_reasons(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		__u32 lowest = world_is_ipv6(service) ? NAT6_TCP : NAT4_TCP;
		struct segment in = whole(service, 7), out = world_split(service, service, &in), part;

		fixture_forget(f);
		part = piece_of(in, 1);
		part.ip_length_off = 8;
		world_send_dropped(f, &part, lowest, DROP_MALFORMED);
		part = piece_of(in, 0);
		part.hops = HOP_LIMIT - 1;
		world_send_dropped(f, &part, service, DROP_TTL);
		assert_int_equal(map_entries(f->fragments), 0);
		assert_true(piece_is_sent(f, "the first one", &in, &out, 0));
		part = piece_of(in, 1);
		part.ip_length_off = 8;
		world_send_dropped(f, &part, service, DROP_MALFORMED);
		part.ip_length_off = 0;
		part.hops = HOP_LIMIT - 1;
		world_send_dropped(f, &part, service, DROP_TTL);
		world_set_mtu(f, service, 700);
		part.hops = 0;
		world_send_dropped(f, &part, service, DROP_TOO_BIG);
		world_set_mtu(f, service, 0);
		assert_true(piece_is_sent(f, "the last one", &in, &out, 2));
	}
}

/* The table changes between the first fragment and the others. */
static void fragments_stay_with_the_backend_of_their_first(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment in = whole(service, 7), out = world_split(service, service, &in);

		assert_true(piece_is_sent(f, "the first one", &in, &out, 0));
		world_settle(f, service, SECOND(service));
		assert_true(piece_is_sent(f, "after the change", &in, &out, 1));
	}
}

static void replies_fragments_follow_their_first(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment request = world_request(service), reply = world_reply(service, service);
		struct segment answered = world_answered(service), part;

		world_send(f, &request);
		reply.payload_bytes = answered.payload_bytes = 2 * PIECE + 333;
		reply.id = answered.id = 9;
		part = piece_of(reply, 1);
		assert_true(world_becomes(f, "before the first one", &part, PASSED, NULL));
		for (__u32 piece = 0; piece < PIECES; piece++)
			assert_true(piece_is_sent(f, "a reply", &reply, &answered, piece));
		assert_int_equal(fixture_backend_counters(f, service).server_packets, PIECES);
	}
	assert_int_equal(fixture_drops(f), 0);
}

/* Every prefix of a later fragment. */
static void no_fragment_that_was_cut_off_is_sent(void **state)
{
	static const __u32 services[] = {NAT4_UDP, DNAT6_UDP, L2DSR4_TCP, IPIP64_UDP, GUE46_UDP};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		bool ipv6 = world_is_ipv6(services[i]);
		struct segment in = whole(services[i], 7), out = world_split(services[i], services[i], &in);
		struct segment last = piece_of(in, 2);
		struct frame full, cut, got;

		assert_true(piece_is_sent(f, "the first one", &in, &out, 0));
		frame_build(&last, &full);
		for (__u32 bytes = ETHERNET_BYTES; bytes < full.bytes; bytes++) {
			__u64 before = fixture_drops(f);
			bool known = bytes >= ETHERNET_BYTES + (ipv6 ? 40 : 20);

			cut = full;
			cut.bytes = bytes;
			if (!fixture_takes(&cut))
				continue;
			assert_int_equal(fixture_run(f, &cut, &got), known ? DROPPED : PASSED);
			assert_true(frame_equal(&cut, &got));
			assert_int_equal(fixture_drops(f) - before, known);
		}
		assert_true(piece_is_sent(f, "all of it", &in, &out, 2));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fragments_follow_their_first),
		TEST(a_fragment_before_its_first_waits_once),
		TEST(an_early_fragment_that_is_too_large_to_wait_is_lost),
		TEST(datagrams_whose_fragments_are_mixed_are_told_apart),
		TEST(fragments_to_no_service_s_port_pass),
		TEST(fragments_to_others_pass),
		TEST(a_fragment_is_dropped_for_its_own_reasons),
		TEST(fragments_stay_with_the_backend_of_their_first),
		TEST(replies_fragments_follow_their_first),
		TEST(no_fragment_that_was_cut_off_is_sent),
	};

	return run_on_every_hook(tests);
}
