// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What becomes of each kind of packet: forwarded byte for byte as it should be, dropped under a name, or left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "world.h"
#include "flows.h"

/* Where packets go, without what they carry; more fields may follow. */
#define TO_VIP4(port) .from = CLIENT4, .to = VIP4, .from_port = CLIENT_PORT, .to_port = (port)
#define TO_VIP6(port) .from = CLIENT6, .to = VIP6, .from_port = CLIENT_PORT, .to_port = (port)
#define TO_BACKEND4(address, id)                                                                                       \
	.from = CLIENT4, .to = (address), .from_port = CLIENT_PORT, .to_port = BACKEND_PORT, .to_mac = (id),           \
	.from_mac = MAC_SPLITTER
#define TO_BACKEND6(address, id)                                                                                       \
	.from = CLIENT6, .to = (address), .from_port = CLIENT_PORT, .to_port = BACKEND_PORT, .to_mac = (id),           \
	.from_mac = MAC_SPLITTER
#define FROM_BACKEND4(client) .from = "10.0.1.3", .to = (client), .from_port = BACKEND_PORT, .to_port = CLIENT_PORT
#define FROM_VIP4(client, mac)                                                                                         \
	.from = VIP4, .to = (client), .from_port = DNAT_PORT, .to_port = CLIENT_PORT, .to_mac = (mac),                 \
	.from_mac = MAC_SPLITTER
#define UDP .protocol = IPPROTO_UDP

struct packet_case {
	const char *what;
	struct segment in;
	struct segment out; /* no source: as it came in */
	enum outcome verdict;
	__u32 service; /* that a drop is counted for */
	enum drop_reason reason;
};

/* Each row starts without flows and counts. Prints what is wrong and returns false. */
static bool case_holds(struct fixture *f, const struct packet_case *c)
{
	struct frame in, wanted, out;
	enum outcome verdict;
	__u64 named;

	fixture_reset(f);
	frame_build(&c->in, &in);
	frame_build(c->out.from ? &c->out : &c->in, &wanted);
	verdict = fixture_run(f, &in, &out);
	named = fixture_service_counters(f, c->service).drops[c->reason];
	if (verdict == c->verdict && frame_equal(&out, &wanted) && fixture_drops(f) == (verdict == DROPPED) &&
	    (verdict != DROPPED || named == 1))
		return true;
	fprintf(stderr, "%s: verdict %d, wanted %d; %llu drops, %llu under the reason\n", c->what, verdict, c->verdict,
		(unsigned long long)fixture_drops(f), (unsigned long long)named);
	frame_print_difference(&out, &wanted);
	return false;
}

static void check_cases(struct fixture *f, const struct packet_case *cases, size_t count)
{
	size_t wrong = 0;

	for (size_t i = 0; i < count; i++)
		wrong += !case_holds(f, &cases[i]);
	assert_int_equal(wrong, 0);
}

#define CHECK_CASES(f, cases) check_cases(f, cases, sizeof(cases) / sizeof((cases)[0]))

static void expect_exactly(struct fixture *f, const struct segment *in, const struct segment *out)
{
	struct frame given, wanted, got;

	frame_build(in, &given);
	frame_build(out, &wanted);
	assert_int_equal(fixture_run(f, &given, &got), SENT);
	if (!frame_equal(&got, &wanted)) {
		frame_print_difference(&got, &wanted);
		fail();
	}
}

static void every_family_mode_and_protocol_is_rewritten_both_ways(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment request = world_request(service);
		struct segment forwarded = world_forwarded(service, service);
		struct segment reply = world_reply(service, service);
		struct segment answered = world_answered(service);

		expect_exactly(f, &request, &forwarded);
		expect_exactly(f, &reply, &answered);
	}
	assert_int_equal(fixture_drops(f), 0);
}

static void odd_but_valid_packets_are_rewritten(void **state)
{
	static const struct packet_case cases[] = {
		{"IPv4 options stay", .verdict = SENT,
		 .in = {TO_VIP4(DNAT_PORT), .ip_option_bytes = 8, .flags = SYN, .payload_bytes = 3},
		 .out = {TO_BACKEND4("10.0.1.3", 3), .ip_option_bytes = 8, .flags = SYN, .payload_bytes = 3,
			 .hops = 1}},
		{"40 bytes of IPv4 options stay", .verdict = SENT,
		 .in = {TO_VIP4(DNAT_PORT), .ip_option_bytes = 40, UDP, .payload_bytes = 3},
		 .out = {TO_BACKEND4("10.0.1.4", 4), .ip_option_bytes = 40, UDP, .payload_bytes = 3, .hops = 1}},
		{"TCP options stay", .verdict = SENT, .in = {TO_VIP4(DNAT_PORT), .tcp_option_bytes = 40, .flags = ACK},
		 .out = {TO_BACKEND4("10.0.1.3", 3), .tcp_option_bytes = 40, .flags = ACK, .hops = 1}},
		{"a frame padded to 60 bytes", .verdict = SENT,
		 .in = {TO_VIP4(DNAT_PORT), .flags = ACK, .padding_bytes = 6},
		 .out = {TO_BACKEND4("10.0.1.3", 3), .flags = ACK, .padding_bytes = 6, .hops = 1}},
		{"padding over IPv6", .verdict = SENT, .in = {TO_VIP6(DNAT_PORT), UDP, .padding_bytes = 9},
		 .out = {TO_BACKEND6("fd00:1::8", 8), UDP, .padding_bytes = 9, .hops = 1}},
		{"a UDP datagram shorter than its packet", .verdict = SENT,
		 .in = {TO_VIP4(DNAT_PORT), UDP, .payload_bytes = 9, .udp_length_off = -4, .no_checksum = true},
		 .out = {TO_BACKEND4("10.0.1.4", 4), UDP, .payload_bytes = 9, .udp_length_off = -4, .no_checksum = true,
			 .hops = 1}},
		{"UDP without a checksum gets none", .verdict = SENT,
		 .in = {TO_VIP4(DNAT_PORT), UDP, .payload_bytes = 5, .no_checksum = true},
		 .out = {TO_BACKEND4("10.0.1.4", 4), UDP, .payload_bytes = 5, .no_checksum = true, .hops = 1}},
		{"a reserved bit and no DF", .verdict = SENT, .in = {TO_VIP4(DNAT_PORT), .fragment = 0x8000},
		 .out = {TO_BACKEND4("10.0.1.3", 3), .fragment = 0x8000, .hops = 1}},
		{"the last hop but one", .verdict = SENT, .in = {TO_VIP4(DNAT_PORT), .hops = 62},
		 .out = {TO_BACKEND4("10.0.1.3", 3), .hops = 63}},
		{"a reply out of another interface", .verdict = SENT,
		 .in = {FROM_BACKEND4(FAR_CLIENT4), .flags = ACK, .payload_bytes = 4},
		 .out = {FROM_VIP4(FAR_CLIENT4, MAC_FAR_ROUTER), .flags = ACK, .payload_bytes = 4, .hops = 1}},
	};

	CHECK_CASES(*state, cases);
}

static void what_is_not_for_a_service_passes_untouched(void **state)
{
	static const struct packet_case cases[] = {
		{"an unknown address", .verdict = PASSED,
		 .in = {.from = CLIENT4, .to = "10.0.0.11", .from_port = 1, .to_port = NAT_PORT, .flags = SYN}},
		{"an unknown IPv6 address", .verdict = PASSED,
		 .in = {.from = CLIENT6, .to = "fd00::11", .from_port = 1, .to_port = NAT_PORT, .flags = SYN}},
		{"an unknown port", .verdict = PASSED, .in = {TO_VIP4(81), .flags = SYN}},
		{"an unknown UDP port", .verdict = PASSED, .in = {TO_VIP6(81), UDP}},
		{"SCTP at the VIP", .verdict = PASSED,
		 .in = {TO_VIP4(NAT_PORT), .protocol = IPPROTO_SCTP, .payload_bytes = 32}},
		{"ICMP at the VIP", .verdict = PASSED,
		 .in = {TO_VIP4(NAT_PORT), .protocol = IPPROTO_ICMP, .payload_bytes = 32}},
		{"ICMPv6 at the VIP", .verdict = PASSED,
		 .in = {TO_VIP6(NAT_PORT), .protocol = IPPROTO_ICMPV6, .payload_bytes = 32}},
		{"ARP", .verdict = PASSED, .in = {TO_VIP4(NAT_PORT), .ether_type = 0x0806}},
		{"a VLAN tag", .verdict = PASSED, .in = {TO_VIP4(NAT_PORT), .ether_type = 0x8100}},
		{"TTL 1 for somebody else", .verdict = PASSED,
		 .in = {.from = CLIENT4, .to = "10.0.0.11", .from_port = 1, .to_port = NAT_PORT, .hops = 63}},
		{"a backend's packet from another port", .verdict = PASSED,
		 .in = {.from = "10.0.1.3", .to = CLIENT4, .from_port = BACKEND_PORT + 1, .to_port = CLIENT_PORT}},
		{"a NAT backend's packet to no flow's port", .verdict = PASSED,
		 .in = {.from = "10.0.1.1", .to = SPLITTER4, .from_port = BACKEND_PORT, .to_port = SOURCE_PORT}},
		{"a NAT backend's packet to a client", .verdict = PASSED,
		 .in = {.from = "10.0.1.1", .to = CLIENT4, .from_port = BACKEND_PORT, .to_port = SOURCE_PORT}},
		{"a backend's answer to this host", .verdict = PASSED,
		 .in = {FROM_BACKEND4(SPLITTER4), .flags = SYN | ACK}},
		{"a backend's malformed answer to this host", .verdict = PASSED,
		 .in = {FROM_BACKEND4(SPLITTER4), .flags = ACK, .doff = 4}},
	};

	CHECK_CASES(*state, cases);
}

/* As to any router: RFC 1812, 5.3.4. An answer would have a group for its sender. */
static void frames_to_a_group_of_hosts_pass(void **state)
{
	static const __u8 groups[][6] = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x01, 0x00, 0x5e, 0x00, 0x00, 0x0a}};
	static const struct segment packets[] = {
		{TO_VIP4(NAT_PORT), .flags = SYN},
		{TO_VIP6(DNAT_PORT), .flags = SYN},
		{TO_VIP4(DNAT_PORT), UDP, .vlan = {10}},
		{TO_VIP4(DNAT_PORT), UDP, .payload_bytes = 64, .cut_bytes = 32},
		{FROM_BACKEND4(CLIENT4), .flags = ACK},
		{.from = CLIENT4, .to = VIP4, .protocol = IPPROTO_ICMP, .icmp_type = 8, .payload_bytes = 8},
		{.from = CLIENT6, .to = VIP6, .protocol = IPPROTO_ICMPV6, .icmp_type = 128, .payload_bytes = 8},
	};
	struct fixture *f = *state;
	struct frame in, out;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (size_t k = 0; k < sizeof(packets) / sizeof(packets[0]); k++) {
			frame_build(&packets[k], &in);
			memcpy(in.data, groups[i], sizeof(groups[i]));
			assert_int_equal(fixture_run(f, &in, &out), PASSED);
			assert_true(frame_equal(&out, &in));
		}
	assert_int_equal(fixture_drops(f), 0);
	assert_int_equal(flows_half_open(f), 0);
}

/* Mapped addresses are how maps name IPv4; no packet may carry them, or IPv6 would reach the flows of IPv4 clients. */
static void mapped_addresses_in_a_packet_are_no_service_s(void **state)
{
	static const struct packet_case cases[] = {
		{"from a client to an IPv4 VIP", .verdict = PASSED,
		 .in = {.from = "::ffff:" CLIENT4,
			.to = "::ffff:" VIP4,
			.from_port = 1,
			.to_port = DNAT_PORT,
			.flags = SYN}},
		{"from a client to an IPv4 VIP with flows", .verdict = PASSED,
		 .in = {.from = "::ffff:" CLIENT4,
			.to = "::ffff:" VIP4,
			.from_port = 1,
			.to_port = NAT_PORT,
			.flags = SYN}},
		{"from an IPv4 backend", .verdict = PASSED,
		 .in = {.from = "::ffff:10.0.1.3", .to = "::ffff:" CLIENT4, .from_port = BACKEND_PORT, .to_port = 1}},
		{"from a mapped client to an IPv6 VIP", .verdict = PASSED,
		 .in = {.from = "::ffff:" CLIENT4, .to = VIP6, .from_port = 1, .to_port = DNAT_PORT, .flags = SYN}},
	};

	CHECK_CASES(*state, cases);
}

static void malformed_packets_pass_unless_they_are_for_a_service(void **state)
{
#define MALFORMED(id) .verdict = DROPPED, .service = (id), .reason = DROP_MALFORMED
#define ELSEWHERE .from = CLIENT4, .to = "10.0.0.11", .from_port = 1, .to_port = DNAT_PORT
	static const struct packet_case cases[] = {
		{"ihl below 5", MALFORMED(NAT4_TCP), .in = {TO_VIP4(DNAT_PORT), .ihl = 4}},
		{"ihl beyond the frame", MALFORMED(NAT4_TCP), .in = {TO_VIP4(DNAT_PORT), .ihl = 15}},
		{"ihl below 5, for somebody else", .verdict = PASSED, .in = {ELSEWHERE, .ihl = 4}},
		{"ihl beyond the frame, for somebody else", .verdict = PASSED, .in = {ELSEWHERE, .ihl = 15}},
		{"version 6 in an IPv4 frame", .verdict = PASSED, .in = {TO_VIP4(DNAT_PORT), .version = 6}},
		{"version 5 in an IPv6 frame", .verdict = PASSED, .in = {TO_VIP6(DNAT_PORT), .version = 5}},
		{"IPv4 total length beyond the frame", MALFORMED(DNAT4_TCP),
		 .in = {TO_VIP4(DNAT_PORT), .ip_length_off = 1}},
		{"IPv4 total length below its header", MALFORMED(DNAT4_TCP),
		 .in = {TO_VIP4(DNAT_PORT), .ip_length_off = -21}},
		{"IPv4 total length that cuts the TCP header", MALFORMED(DNAT4_TCP),
		 .in = {TO_VIP4(DNAT_PORT), .ip_length_off = -1}},
		{"IPv4 total length that cuts the UDP header", MALFORMED(NAT4_UDP),
		 .in = {TO_VIP4(NAT_PORT), UDP, .ip_length_off = -1}},
		{"IPv4 total length of the header alone", MALFORMED(NAT4_TCP),
		 .in = {TO_VIP4(NAT_PORT), .ip_length_off = -20}},
		{"IPv6 payload length beyond the frame", MALFORMED(DNAT6_TCP),
		 .in = {TO_VIP6(DNAT_PORT), .ip_length_off = 1}},
		{"IPv6 payload length that cuts the TCP header", MALFORMED(NAT6_TCP),
		 .in = {TO_VIP6(NAT_PORT), .ip_length_off = -1}},
		{"IPv6 payload length of 0", MALFORMED(DNAT6_UDP),
		 .in = {TO_VIP6(DNAT_PORT), UDP, .ip_length_off = -8}},
		{"doff below 5", MALFORMED(NAT4_TCP), .in = {TO_VIP4(NAT_PORT), .flags = SYN, .doff = 4}},
		{"doff beyond the packet", MALFORMED(DNAT6_TCP), .in = {TO_VIP6(DNAT_PORT), .flags = SYN, .doff = 6}},
		{"doff into the padding", MALFORMED(DNAT4_TCP),
		 .in = {TO_VIP4(DNAT_PORT), .doff = 6, .padding_bytes = 6}},
		{"UDP length beyond the packet", MALFORMED(DNAT4_UDP),
		 .in = {TO_VIP4(DNAT_PORT), UDP, .udp_length_off = 1}},
		{"UDP length into the padding", MALFORMED(DNAT6_UDP),
		 .in = {TO_VIP6(DNAT_PORT), UDP, .udp_length_off = 1, .padding_bytes = 6}},
		{"UDP length below its header", MALFORMED(NAT6_UDP),
		 .in = {TO_VIP6(NAT_PORT), UDP, .udp_length_off = -1}},
		{"UDP length 0", MALFORMED(NAT4_UDP), .in = {TO_VIP4(NAT_PORT), UDP, .udp_length_off = -8}},
		{"a first fragment that ends in its UDP header", MALFORMED(DNAT4_UDP),
		 .in = {TO_VIP4(DNAT_PORT), UDP, .fragment = 0x2000, .ip_length_off = -1}},
		{"a first fragment that ends in its TCP header", MALFORMED(DNAT4_TCP),
		 .in = {TO_VIP4(DNAT_PORT), .fragment = 0x2000, .ip_length_off = -1}},
		{"a malformed reply", MALFORMED(DNAT4_TCP), .in = {FROM_BACKEND4(CLIENT4), .doff = 4}},
		{"total length beyond the frame, for somebody else", .verdict = PASSED,
		 .in = {ELSEWHERE, .ip_length_off = 1}},
		{"doff below 5, for somebody else", .verdict = PASSED, .in = {ELSEWHERE, .doff = 4}},
		{"UDP length wrong, for somebody else", .verdict = PASSED, .in = {ELSEWHERE, UDP, .udp_length_off = 7}},
		{"malformed and of TTL 1 counts once", MALFORMED(DNAT4_TCP),
		 .in = {TO_VIP4(DNAT_PORT), .doff = 4, .hops = 63}},
	};

	CHECK_CASES(*state, cases);
}

static void what_cannot_be_forwarded_is_dropped_under_its_reason(void **state)
{
#define DROPPED(id, why) .verdict = DROPPED, .service = (id), .reason = (why)
	static const struct packet_case cases[] = {
		{"TTL 1", DROPPED(DNAT4_TCP, DROP_TTL), .in = {TO_VIP4(DNAT_PORT), .hops = 63}},
		{"TTL 0", DROPPED(NAT4_UDP, DROP_TTL), .in = {TO_VIP4(NAT_PORT), UDP, .hops = 64}},
		{"hop limit 1", DROPPED(NAT6_TCP, DROP_TTL), .in = {TO_VIP6(NAT_PORT), .flags = SYN, .hops = 63}},
		{"hop limit 0", DROPPED(DNAT6_UDP, DROP_TTL), .in = {TO_VIP6(DNAT_PORT), UDP, .hops = 64}},
		{"TTL 1 in a reply", DROPPED(DNAT4_TCP, DROP_TTL), .in = {FROM_BACKEND4(CLIENT4), .hops = 63}},
		{"TTL 0 in a reply", DROPPED(DNAT4_TCP, DROP_TTL), .in = {FROM_BACKEND4(CLIENT4), .hops = 64}},
		{"mid-connection without a flow", DROPPED(NAT4_TCP, DROP_NO_FLOW),
		 .in = {TO_VIP4(NAT_PORT), .flags = ACK}},
		{"a FIN without a flow", DROPPED(NAT6_TCP, DROP_NO_FLOW),
		 .in = {TO_VIP6(NAT_PORT), .flags = FIN | ACK}},
		{"a client's SYN-ACK", DROPPED(NAT4_TCP, DROP_NO_FLOW), .in = {TO_VIP4(NAT_PORT), .flags = SYN | ACK}},
		{"a reply without a route", DROPPED(DNAT4_TCP, DROP_NO_NEXT_HOP), .in = {FROM_BACKEND4(STRANGER4)}},
		{"a reply to an unknown neighbour", DROPPED(DNAT4_TCP, DROP_NO_NEXT_HOP),
		 .in = {FROM_BACKEND4(SILENT_CLIENT4)}},
	};

	CHECK_CASES(*state, cases);
}

static void malformed_and_worn_out_packets_leave_no_flow(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment broken = world_request(service);
		struct segment worn_out = world_request(service);

		broken.ip_length_off = 1;
		worn_out.hops = 63;
		world_send_dropped(f, &broken, service, DROP_MALFORMED);
		world_send_dropped(f, &worn_out, service, DROP_TTL);
	}
	assert_int_equal(flows_half_open(f), 0);
	assert_int_equal(flow_ports(f), 0);
}

/* How many drops of malformed packets are counted at @service and at the lowest service of its address. */
static __u64 malformed_drops(struct fixture *f, __u32 service)
{
	__u32 lowest = world_is_ipv6(service) ? NAT6_TCP : NAT4_TCP;
	__u64 drops = fixture_service_counters(f, service).drops[DROP_MALFORMED];

	return service == lowest ? drops : drops + fixture_service_counters(f, lowest).drops[DROP_MALFORMED];
}

/* Every prefix of @s: passed below @known bytes, then dropped as malformed, sent only when whole. */
static void check_truncations(struct fixture *f, const struct segment *s, __u32 service, __u32 known)
{
	struct frame whole, cut, out;

	frame_build(s, &whole);
	for (__u32 bytes = ETHERNET_BYTES; bytes < whole.bytes; bytes++) {
		__u64 before = malformed_drops(f, service);

		cut = whole;
		cut.bytes = bytes;
		if (!fixture_takes(&cut))
			continue;
		assert_int_equal(fixture_run(f, &cut, &out), bytes < known ? PASSED : DROPPED);
		assert_true(frame_equal(&out, &cut));
		assert_int_equal(malformed_drops(f, service) - before, bytes >= known);
	}
	assert_int_equal(fixture_run(f, &whole, &out), SENT);
}

/* A packet to a service's address is its, as soon as that can be read; a reply is one when its ports can. */
static void no_truncated_packet_is_sent(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		__u32 addresses = ETHERNET_BYTES + (world_is_ipv6(service) ? 40 : 20);
		struct segment request = world_request(service);
		struct segment reply;

		if (!world_is_ipv6(service))
			request.ip_option_bytes = 12;
		check_truncations(f, &request, service, addresses);
		if (service > WORLD_SERVICES)
			continue;
		reply = world_reply(service, service);
		check_truncations(f, &reply, service, addresses + 4);
	}
}

/* The payload's first word runs over all values, so that some packet's new checksum comes out as zero. */
static void a_udp_checksum_that_comes_out_as_zero_is_sent_as_ones(void **state)
{
	struct fixture *f = *state;
	struct segment request = world_request(DNAT4_UDP);
	struct segment forwarded = world_forwarded(DNAT4_UDP, DNAT4_UDP);
	struct frame wanted;
	__u32 word = 0;

	do {
		assert_true(++word <= 0xffff);
		forwarded.payload_word = word;
		frame_build(&forwarded, &wanted);
	} while (wanted.data[40] != 0xff || wanted.data[41] != 0xff);
	request.payload_word = word;
	expect_exactly(f, &request, &forwarded);
}

/* The other way round: the packet comes with the checksum in its all-ones form. */
static void a_udp_checksum_of_ones_is_a_checksum(void **state)
{
	struct fixture *f = *state;
	struct segment request = world_request(DNAT6_UDP);
	struct segment forwarded = world_forwarded(DNAT6_UDP, DNAT6_UDP);
	struct frame given;
	__u32 word = 0;

	do {
		assert_true(++word <= 0xffff);
		request.payload_word = word;
		frame_build(&request, &given);
	} while (given.data[60] != 0xff || given.data[61] != 0xff);
	forwarded.payload_word = word;
	expect_exactly(f, &request, &forwarded);
}

/* A wrong checksum must arrive wrong, as rewriting it in full would hide damage from the receiver. */
static void a_damaged_packet_stays_recognizable(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment request = world_request(service);
		struct frame in, out;
		struct reading r;

		frame_build(&request, &in);
		in.data[in.bytes - 2] ^= 0x10;
		assert_int_equal(fixture_run(f, &in, &out), SENT);
		assert_true(frame_read(&out, &r));
		assert_false(frame_checksums_right(&out, &r));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_family_mode_and_protocol_is_rewritten_both_ways),
		TEST(odd_but_valid_packets_are_rewritten),
		TEST(what_is_not_for_a_service_passes_untouched),
		TEST(frames_to_a_group_of_hosts_pass),
		TEST(mapped_addresses_in_a_packet_are_no_service_s),
		TEST(malformed_packets_pass_unless_they_are_for_a_service),
		TEST(what_cannot_be_forwarded_is_dropped_under_its_reason),
		TEST(malformed_and_worn_out_packets_leave_no_flow),
		TEST(no_truncated_packet_is_sent),
		TEST(a_udp_checksum_that_comes_out_as_zero_is_sent_as_ones),
		TEST(a_udp_checksum_of_ones_is_a_checksum),
		TEST(a_damaged_packet_stays_recognizable),
	};

	return run_on_every_hook(tests);
}
