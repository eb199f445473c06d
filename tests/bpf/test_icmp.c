// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ICMP: echo to a service's address is answered; errors go where the connection that they are about goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "world.h"
#include "flows.h"

#define ICMP4(type, sender, receiver)                                                                                  \
	.from = (sender), .to = (receiver), .protocol = IPPROTO_ICMP, .icmp_type = (type), .icmp_rest = 0x12340001
#define ICMP6(type, sender, receiver)                                                                                  \
	.from = (sender), .to = (receiver), .protocol = IPPROTO_ICMPV6, .icmp_type = (type), .icmp_rest = 0x12340001
#define PING4 ICMP4(8, CLIENT4, VIP4)
#define PING6 ICMP6(128, CLIENT6, VIP6)
#define PONG4 ICMP4(0, VIP4, CLIENT4)
#define PONG6 ICMP6(129, VIP6, CLIENT6)
#define MACS .from_mac = 0x11, .to_mac = 0x22
#define MACS_BACK .from_mac = 0x22, .to_mac = 0x11

struct echo {
	const char *what;
	struct segment in, out;
};

static void echo_to_a_service_s_address_is_answered(void **state)
{
	static const struct echo echoes[] = {
		{"IPv4", {PING4, MACS, .payload_bytes = 56}, {PONG4, MACS_BACK, .payload_bytes = 56}},
		{"IPv6", {PING6, MACS, .payload_bytes = 56}, {PONG6, MACS_BACK, .payload_bytes = 56}},
		{"without data", {PING4, MACS}, {PONG4, MACS_BACK}},
		{"without data, IPv6", {PING6, MACS}, {PONG6, MACS_BACK}},
		{"of an odd length", {PING4, .payload_bytes = 3}, {PONG4, .payload_bytes = 3}},
		{"large", {PING6, .payload_bytes = 3300}, {PONG6, .payload_bytes = 3300}},
		{"larger", {PING4, .payload_bytes = 8000}, {PONG4, .payload_bytes = 8000}},
		{"padded", {PING4, .padding_bytes = 18}, {PONG4, .padding_bytes = 18}},
		{"from far", {PING4, .hops = 63}, {PONG4}},
		{"with a traffic class", {PING6, .traffic_class = 0x20}, {PONG6, .traffic_class = 0x20}},
		{"in VLANs", {PING6, MACS, .vlan = {1, 2}}, {PONG6, MACS_BACK, .vlan = {1, 2}}},
		{"in a VLAN", {PING4, MACS, .vlan = {0xe001}}, {PONG4, MACS_BACK, .vlan = {0xe001}}},
		{"a wrong checksum stays wrong", {PING4, .icmp_check_off = 5}, {PONG4, .icmp_check_off = 5}},
		{"the same over IPv6", {PING6, .icmp_check_off = 5}, {PONG6, .icmp_check_off = 5}},
	};
	struct fixture *f = *state;
	__u64 answers = 0;

	for (size_t i = 0; i < sizeof(echoes) / sizeof(echoes[0]); i++) {
		struct frame frame;

		frame_build(&echoes[i].in, &frame);
		answers += fixture_takes(&frame);
		assert_true(world_becomes(f, echoes[i].what, &echoes[i].in, SENT, &echoes[i].out));
	}
	assert_int_equal(fixture_service_counters(f, NAT4_TCP).echo_answers +
				 fixture_service_counters(f, NAT6_TCP).echo_answers,
			 answers);
	assert_int_equal(fixture_drops(f), 0);
}

static void other_icmp_passes(void **state)
{
	static const struct echo echoes[] = {
		{.what = "echo to another address", .in = {ICMP4(8, CLIENT4, "10.0.0.11")}},
		{.what = "echo to another address, IPv6", .in = {ICMP6(128, CLIENT6, "fd00::11")}},
		{.what = "malformed echo to another address",
		 .in = {ICMP4(8, CLIENT4, "10.0.0.11"), .ip_length_off = 1}},
		{.what = "an answer", .in = {ICMP4(0, CLIENT4, VIP4)}},
		{.what = "an answer, IPv6", .in = {ICMP6(129, CLIENT6, VIP6)}},
		{.what = "a timestamp request", .in = {ICMP4(13, CLIENT4, VIP4), .payload_bytes = 12}},
		{.what = "a neighbour solicitation", .in = {ICMP6(135, CLIENT6, VIP6), .payload_bytes = 16}},
		{.what = "echo with a code", .in = {PING4, .icmp_code = 1}},
		{.what = "echo behind IPv4 options", .in = {PING4, .ip_option_bytes = 4}},
		{.what = "echo behind IPv6 options",
		 .in = {PING6, .extensions = 1, .extension = {{.type = IPPROTO_HOPOPTS}}}},
		{.what = "ICMP over IPv6", .in = {ICMP4(8, CLIENT6, VIP6)}},
		{.what = "ICMPv6 over IPv4", .in = {ICMP6(128, CLIENT4, VIP4)}},
	};

	for (size_t i = 0; i < sizeof(echoes) / sizeof(echoes[0]); i++)
		assert_true(world_becomes(*state, echoes[i].what, &echoes[i].in, PASSED, NULL));
	assert_int_equal(fixture_drops(*state), 0);
}

static void malformed_echo_is_dropped(void **state)
{
	static const struct segment broken[] = {
		{PING4, .ip_length_off = 1},
		{PING4, .ip_length_off = -1},
		{PING6, .ip_length_off = 1},
		{PING6, .ip_length_off = -1},
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		world_send_dropped(*state, &broken[i], i < 2 ? NAT4_TCP : NAT6_TCP, DROP_MALFORMED);
}

/* No answer is made of a header that nobody would have taken. */
static void echo_with_a_wrong_header_checksum_passes(void **state)
{
	struct segment ping = {PING4, .payload_bytes = 8};
	struct frame in, out;

	frame_build(&ping, &in);
	in.data[24] ^= 1;
	assert_int_equal(fixture_run(*state, &in, &out), PASSED);
	assert_true(frame_equal(&in, &out));
}

/* An error, and how much it quotes of what it is about. */
struct error {
	const char *what;
	__u8 type4, code4, type6, code6;
	__u32 rest;
	__u8 quoted; /* bytes behind the quoted IP header; 0: all */
	__u8 quoted_option_bytes;
	bool tagged;
};

static const struct error errors[] = {
	{"too big", 3, 4, 2, 0, .rest = 1400},
	{"too big, 8 bytes quoted", 3, 4, 2, 0, .rest = 1400, .quoted = 8},
	{"too big, 8 bytes quoted behind options", 3, 4, 2, 0, .rest = 1280, .quoted = 8, .quoted_option_bytes = 8},
	{"too big, all quoted behind options", 3, 4, 2, 0, .rest = 1280, .quoted_option_bytes = 40},
	{"too big, quoted up to the checksum", 3, 4, 2, 0, .rest = 1280, .quoted = 16},
	{"too big, 19 bytes quoted", 3, 4, 2, 0, .rest = 1280, .quoted = 19},
	{"too big, in a VLAN", 3, 4, 2, 0, .rest = 1400, .tagged = true},
	{"host unreachable", 3, 1, 1, 3, .quoted = 8},
	{"port unreachable", 3, 3, 1, 4, .rest = 0},
	{"time exceeded", 11, 0, 3, 0, .quoted = 20},
	{"parameter problem", 12, 0, 4, 1, .rest = 0x14000000},
};

#define EACH_ERROR(e) (const struct error *e = errors; e < errors + sizeof(errors) / sizeof(*e); e++)

/* @quoted lives as long as what is made of it. */
static struct segment error_about(const struct error *e, bool ipv6, const char *from, const char *to,
				  struct segment *quoted)
{
	__u32 option_bytes = ipv6 ? 0 : e->quoted_option_bytes;

	quoted->ip_option_bytes = option_bytes;
	quoted->to_mac = quoted->from_mac = 0;
	return (struct segment){
		.from = from,
		.to = to,
		.protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		.icmp_type = ipv6 ? e->type6 : e->type4,
		.icmp_code = ipv6 ? e->code6 : e->code4,
		.icmp_rest = e->rest,
		.inner = quoted,
		.inner_bytes = e->quoted ? (ipv6 ? 40 : 20) + option_bytes + e->quoted : 0,
		.vlan = {e->tagged ? 100 : 0},
		.traffic_class = 0xc0,
	};
}

static const char *router_of(__u32 service)
{
	return world_is_ipv6(service) ? ROUTER6 : ROUTER4;
}

/* What the service sent to the client, as the client's routers see it, and as @backend sent it. */
static struct segment service_says(__u32 service)
{
	struct segment s = world_answered(service);

	s.hops = 9;
	return s;
}

static struct segment backend_says(__u32 service, __u32 backend)
{
	struct segment s = service_says(service);

	if (service <= WORLD_SERVICES) {
		struct segment reply = world_reply(service, backend);

		s.from = reply.from;
		s.from_port = reply.from_port;
		s.to = reply.to;
		s.to_port = reply.to_port;
	}
	return s;
}

/* An error about the service's answers to the world's client goes to @backend. */
static bool error_reaches(struct fixture *f, const struct error *e, __u32 service, __u32 backend)
{
	struct segment request = world_request(service), flow = world_split(service, backend, &request);
	struct segment said = service_says(service), heard = backend_says(service, backend);
	struct segment in = error_about(e, world_is_ipv6(service), router_of(service), request.to, &said);
	struct segment out = error_about(e, world_is_ipv6(service), in.from, flow.to, &heard);

	if (world_mode(service) == FORWARD_NAT)
		out.from = flow.from;
	out.outer = flow.outer;
	out.hops = 1;
	out.from_mac = flow.from_mac;
	out.to_mac = flow.to_mac;
	return world_becomes(f, e->what, &in, SENT, &out);
}

static void an_error_about_a_service_s_packet_goes_to_its_backend(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		struct segment request = world_request(service);
		struct frame in, out;

		frame_build(&request, &in);
		assert_int_equal(fixture_run(f, &in, &out), SENT);
		for
			EACH_ERROR(e)
		assert_true(error_reaches(f, e, service, service));
	}
	assert_int_equal(fixture_drops(f), 0);
}

static void an_error_about_a_moved_connection_goes_where_it_is(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment request = world_request(service);

		if (!world_is_dnat(service))
			continue;
		world_track(f, service, SECOND(service), service);
		for
			EACH_ERROR(e)
		assert_true(error_reaches(f, e, service, service)); /* not known: older */
		assert_int_equal(flows_half_open(f) + flows_established(f), 0);
		world_send(f, &request);
		for
			EACH_ERROR(e)
		assert_true(error_reaches(f, e, service, SECOND(service)));
		fixture_forget(f);
	}
}

/* From the backend's own address, or from a router before it; the client shall know neither of its ports. */
static void an_error_about_a_client_s_packet_goes_to_the_client(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		bool ipv6 = world_is_ipv6(service);
		struct segment request = world_request(service), forwarded = world_forwarded(service, service);
		const char *routers[] = {forwarded.to, ipv6 ? "fd00:1::fe" : "10.0.1.254"};

		world_send(f, &request);
		forwarded.hops = request.hops = 3;
		for
			EACH_ERROR(e)
			{
				for (int i = 0; i < 2; i++) {
					struct segment in =
						error_about(e, ipv6, routers[i], forwarded.from, &forwarded);
					struct segment out = error_about(e, ipv6, i ? routers[i] : request.to,
									 request.from, &request);

					out.hops = 1;
					out.to_mac = MAC_ROUTER;
					out.from_mac = MAC_SPLITTER;
					assert_true(world_becomes(f, e->what, &in, SENT, &out));
				}
			}
	}
	assert_int_equal(fixture_drops(f), 0);
}

static void errors_about_nothing_of_ours_pass(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		bool ipv6 = world_is_ipv6(service);
		struct segment request = world_request(service), said = service_says(service);
		struct segment in = error_about(&errors[1], ipv6, router_of(service), request.to, &said);

		in.inner_bytes--;
		assert_true(world_becomes(f, "7 bytes quoted", &in, PASSED, NULL));
		in = error_about(&errors[1], ipv6, router_of(service), ipv6 ? "fd00::11" : "10.0.0.11", &said);
		assert_true(world_becomes(f, "not to whom it is about", &in, PASSED, NULL));
		in = error_about(&errors[1], ipv6, router_of(service), request.to, &said);
		said.from_port = 81;
		assert_true(world_becomes(f, "about no service's port", &in, PASSED, NULL));
		said = service_says(service);
		said.version = 5;
		assert_true(world_becomes(f, "about another version", &in, PASSED, NULL));
		said = service_says(service);
		said.fragment = ipv6 ? 0 : 0x0010;
		if (!ipv6)
			assert_true(world_becomes(f, "about a later fragment", &in, PASSED, NULL));
		said.fragment = 0;
		in.icmp_type = ipv6 ? 137 : 5;
		assert_true(world_becomes(f, "a redirect", &in, PASSED, NULL));
	}
	assert_int_equal(fixture_drops(f), 0);
}

static void errors_that_cannot_be_forwarded_are_dropped(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		bool ipv6 = world_is_ipv6(service);
		struct segment request = world_request(service), said = service_says(service);
		struct segment in = error_about(&errors[0], ipv6, router_of(service), request.to, &said);
		__u32 lowest = ipv6 ? NAT6_TCP : NAT4_TCP;

		if (world_mode(service) == FORWARD_NAT)
			world_send_dropped(f, &in, service, DROP_NO_FLOW);
		in.hops = HOP_LIMIT - 1;
		world_send_dropped(f, &in, service, DROP_TTL);
		in.hops = 0;
		in.ip_length_off = 1;
		world_send_dropped(f, &in, lowest, DROP_MALFORMED);
	}
}

static void no_error_that_was_cut_off_is_sent(void **state)
{
	static const __u32 services[] = {DNAT4_TCP, DNAT6_UDP, L2DSR4_UDP, IPIP64_TCP, GUE46_UDP};

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		bool ipv6 = world_is_ipv6(services[i]);
		struct segment request = world_request(services[i]), said = service_says(services[i]);
		struct segment in = error_about(&errors[2], ipv6, router_of(services[i]), request.to, &said);
		struct frame whole, cut, out;

		frame_build(&in, &whole);
		for (__u32 bytes = ETHERNET_BYTES; bytes < whole.bytes; bytes++) {
			cut = whole;
			cut.bytes = bytes;
			if (!fixture_takes(&cut))
				continue;
			assert_int_equal(fixture_run(*state, &cut, &out),
					 bytes < ETHERNET_BYTES + (ipv6 ? 40U : 20U) ? PASSED : DROPPED);
			assert_true(frame_equal(&cut, &out));
		}
		assert_int_equal(fixture_run(*state, &whole, &out), SENT);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(echo_to_a_service_s_address_is_answered),
		TEST(other_icmp_passes),
		TEST(malformed_echo_is_dropped),
		TEST(echo_with_a_wrong_header_checksum_passes),
		TEST(an_error_about_a_service_s_packet_goes_to_its_backend),
		TEST(an_error_about_a_moved_connection_goes_where_it_is),
		TEST(an_error_about_a_client_s_packet_goes_to_the_client),
		TEST(errors_about_nothing_of_ours_pass),
		TEST(errors_that_cannot_be_forwarded_are_dropped),
		TEST(no_error_that_was_cut_off_is_sent),
	};

	return run_on_every_hook(tests);
}
