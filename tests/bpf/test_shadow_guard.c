// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What comes from a shadow and is no mirrored connection's: nothing of it goes anywhere, but for what the link needs.
 * The test is the shadow; see shadow_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "shadow_talk.h"

#define SHADOW_NEIGHBOUR4 "10.0.5.11" /* the same bit as the shadow's */
#define ECHO_REQUEST 8
#define ECHO_REQUEST6 128
#define NEIGHBOUR_SOLICITATION 135
#define NEIGHBOUR_ADVERTISEMENT 136
#define NEVER_FORWARDED ((__u8)(HOP_LIMIT - 255)) /* hops: a limit of 255 */

static void send_segment(struct rig *r, const struct segment *s)
{
	struct frame frame;

	frame_build(s, &frame);
	rig_shadow_sends(r, &frame);
}

/* A segment from the shadow's own address and port, to whom nobody has given it. */
static struct segment from_shadow(__u32 service)
{
	bool ipv6 = rig_is_ipv6(service);

	return (struct segment){
		.from = ipv6 ? SHADOW6 : SHADOW4,
		.to = ipv6 ? SPLITTER6 : SPLITTER4,
		.from_port = BACKEND_PORT,
		.to_port = 23456,
		.from_mac = MAC_SHADOW,
		.to_mac = MAC_SPLITTER,
		.protocol = rig_is_udp(service) ? IPPROTO_UDP : IPPROTO_TCP,
		.flags = ACK,
		.sequence = 1000,
		.acknowledged = 2000,
		.payload_bytes = 30,
	};
}

static void assert_nothing_passes(struct rig *r, const char *what, const struct segment *s)
{
	send_segment(r, s);
	if (rig_host_gets(r))
		fail_msg("to the host: %s", what);
	rig_shadow_gets_nothing(r);
}

/* --- strays --- */

static void who_speaks_of_an_unknown_connection_is_reset(void **state)
{
	struct rig *r = *state;

	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct segment s = from_shadow(service);
		struct segment wanted = {
			.from = s.to,
			.to = s.from,
			.from_port = s.to_port,
			.to_port = s.from_port,
			.from_mac = MAC_SPLITTER,
			.to_mac = MAC_SHADOW,
			.flags = RST,
			.closed = true, /* as every RST */
			.sequence = 2000,
			.made_here = true,
		};
		struct frame got, expected;

		for (int what = 0; what < 3; what++) {
			static const __u8 flags[] = {ACK, SYN | ACK, FIN | ACK};

			s.flags = flags[what];
			send_segment(r, &s);
			rig_shadow_gets(r, &got);
			frame_build(&wanted, &expected);
			if (!frame_equal(&got, &expected)) {
				frame_print_difference(&got, &expected);
				fail();
			}
		}
		assert_false(rig_host_gets(r));
		assert_int_equal(rig_counters(r, service).stray, 3);
	}
}

static void other_strays_are_dropped(void **state)
{
	struct rig *r = *state;
	struct segment s;

	for (__u32 service = RIG_TCP4; service <= RIG_LAST; service++) {
		s = from_shadow(service);
		s.flags = RST;
		assert_nothing_passes(r, "reset", &s);
		s.flags = RST | ACK;
		assert_nothing_passes(r, "reset that acknowledges", &s);
		s.flags = SYN;
		assert_nothing_passes(r, "its own connection", &s);
		assert_int_equal(rig_counters(r, service).stray, 3);
		assert_int_equal(rig_counters(r, service).eligible, 0);
	}
}

/* --- what it may claim to be --- */

static void no_claim_gets_it_through(void **state)
{
	static const struct {
		const char *what;
		const char *from[2]; /* IPv4, IPv6 */
		const char *to[2];
		__u16 from_port;
		__u16 to_port;
		__u8 from_mac;
		__u8 flags;
	} claims[] = {
		{"the service answers a client", {VIP4, VIP6}, {CLIENT4, CLIENT6}, NAT_PORT, 40000, MAC_SHADOW, ACK},
		{"production answers a client",
		 {PRODUCTION4, PRODUCTION6},
		 {CLIENT4, CLIENT6},
		 BACKEND_PORT,
		 40000,
		 MAC_SHADOW,
		 ACK},
		{"a client of the service", {CLIENT4, CLIENT6}, {VIP4, VIP6}, 40000, NAT_PORT, MAC_SHADOW, SYN},
		{"it is one itself", {SHADOW4, SHADOW6}, {VIP4, VIP6}, 40000, NAT_PORT, MAC_SHADOW, SYN},
		{"from its server's port", {SHADOW4, SHADOW6}, {VIP4, VIP6}, BACKEND_PORT, NAT_PORT, MAC_SHADOW, SYN},
		{"by way of a router", {SHADOW4, SHADOW6}, {VIP4, VIP6}, 40000, NAT_PORT, MAC_ROUTER, SYN},
		{"to this host", {SHADOW4, SHADOW6}, {SPLITTER4, SPLITTER6}, 40000, 22, MAC_SHADOW, SYN},
		{"to this host, as another", {CLIENT4, CLIENT6}, {SPLITTER4, SPLITTER6}, 40000, 22, MAC_SHADOW, SYN},
		{"from another port", {SHADOW4, SHADOW6}, {SPLITTER4, SPLITTER6}, 8001, 23456, MAC_SHADOW, ACK},
		{"to a client", {SHADOW4, SHADOW6}, {CLIENT4, CLIENT6}, 8001, 40000, MAC_SHADOW, ACK},
		{"through this host", {SHADOW4, SHADOW6}, {STRANGER4, "2001:db9::1"}, 40000, 443, MAC_SHADOW, SYN},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		for (__u32 service = RIG_TCP4; service <= RIG_LAST; service++) {
			struct segment s = from_shadow(service);

			s.from = claims[i].from[rig_is_ipv6(service)];
			s.to = claims[i].to[rig_is_ipv6(service)];
			s.from_port = claims[i].from_port;
			s.to_port = claims[i].to_port;
			s.from_mac = claims[i].from_mac;
			s.flags = claims[i].flags;
			assert_nothing_passes(r, claims[i].what, &s);
		}
	}
	assert_int_equal(map_entries(fixture_map(r->fixture, "shadow_flows")), 0);
}

/* Whatever the address, its answer to a connection's end goes to no one else. */
static void a_connection_s_packets_to_others_are_not_its(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct segment s;
	struct frame got;

	talk_open(&t);
	s = talk_shadow_segment(&t, ACK, 0, 100, 0);
	s.to = CLIENT4;
	send_segment(t.rig, &s);
	rig_shadow_gets(t.rig, &got);
	assert_int_equal(got.data[ETHERNET_BYTES + 20 + 13], RST);
	assert_false(rig_host_gets(t.rig));
	assert_int_equal(rig_counters(t.rig, t.service).stray, 1);
	talk_assert_ended(&t, 1, SHADOW_ENDS);
	talk_shadow(&t, ACK, 0, 100, 0);
	talk_hear_acknowledgement(&t, 0);
}

static void other_protocols_and_pieces_are_dropped(void **state)
{
	struct rig *r = *state;

	for (__u32 service = RIG_TCP4; service <= RIG_LAST; service++) {
		bool ipv6 = rig_is_ipv6(service);
		struct segment s = from_shadow(service), icmp = s, odd = s;

		icmp.protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
		icmp.icmp_type = ipv6 ? ECHO_REQUEST6 : ECHO_REQUEST;
		assert_nothing_passes(r, "echo request to this host", &icmp);
		icmp.to = ipv6 ? VIP6 : VIP4;
		assert_nothing_passes(r, "echo request to the service", &icmp);
		odd.protocol = 47;
		assert_nothing_passes(r, "another protocol", &odd);
		s.payload_bytes = 1000;
		s.cut_bytes = 512;
		assert_nothing_passes(r, "first fragment", &s);
		s.cut_offset = 512;
		assert_nothing_passes(r, "last fragment", &s);
		s.cut_bytes = 0;
		s.ip_length_off = 100;
		assert_nothing_passes(r, "cut short", &s);
		if (!ipv6)
			continue;
		s.ip_length_off = 0;
		s.extensions = 1;
		s.extension[0].type = IPPROTO_HOPOPTS;
		assert_nothing_passes(r, "behind an extension header", &s);
	}
}

/* --- what the link needs --- */

/* A shadow may say where it is itself; and who has no address yet may ask (RFC 5227, 2.1.1). */
static void arp_of_its_own_address_passes(void **state)
{
	static const struct {
		const char *sender;
		bool passes;
	} cases[] = {{SHADOW4, true}, {"0.0.0.0", true}, {PRODUCTION4, false}, {SPLITTER4, false}, {VIP4, false}};
	struct rig *r = *state;
	struct frame frame = {.bytes = 60};

	memset(frame.data, 0xff, 6);
	frame.data[6] = 2;
	frame.data[11] = MAC_SHADOW;
	put16(frame.data + 12, 0x0806);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		inet_pton(AF_INET, cases[i].sender, frame.data + 28);
		rig_shadow_sends(r, &frame);
		assert_int_equal(rig_host_gets(r), cases[i].passes);
	}
	put16(frame.data + 12, 0x88cc);
	rig_shadow_sends(r, &frame);
	rig_shadow_gets_nothing(r);
}

static void neighbour_discovery_passes(void **state)
{
	struct rig *r = *state;
	struct segment s = {
		.from = SHADOW6,
		.to = SPLITTER6,
		.from_mac = MAC_SHADOW,
		.to_mac = MAC_SPLITTER,
		.protocol = IPPROTO_ICMPV6,
		.hops = NEVER_FORWARDED,
		.payload = &(struct address){},
		.payload_bytes = 16,
	};

	for (int type = 0; type < 256; type++) {
		bool wanted = type == NEIGHBOUR_SOLICITATION || type == NEIGHBOUR_ADVERTISEMENT;

		if (type > 5 && type < 125)
			continue;
		if (type > 145 && type < 250)
			continue;
		s.icmp_type = type;
		send_segment(r, &s);
		assert_int_equal(rig_host_gets(r), wanted);
	}
	s.icmp_type = NEIGHBOUR_SOLICITATION;
	s.hops = 0; /* it is from somewhere else */
	assert_nothing_passes(r, "solicitation that was forwarded", &s);
}

static void discovery_of_others_addresses_does_not(void **state)
{
	static const struct {
		const char *from;
		const char *target;
		int type;
		bool passes;
	} cases[] = {
		{SHADOW6, SPLITTER6, NEIGHBOUR_SOLICITATION, true},
		{"fe80::11", SPLITTER6, NEIGHBOUR_SOLICITATION, true},
		{"::", SHADOW6, NEIGHBOUR_SOLICITATION, true},
		{PRODUCTION6, SPLITTER6, NEIGHBOUR_SOLICITATION, false},
		{SHADOW6, SHADOW6, NEIGHBOUR_ADVERTISEMENT, true},
		{"fe80::11", SHADOW6, NEIGHBOUR_ADVERTISEMENT, true},
		{"fe80::11", "fe80::11", NEIGHBOUR_ADVERTISEMENT, true},
		{SHADOW6, PRODUCTION6, NEIGHBOUR_ADVERTISEMENT, false},
		{SHADOW6, VIP6, NEIGHBOUR_ADVERTISEMENT, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address target = address_of(cases[i].target);
		struct segment s = {
			.from = cases[i].from,
			.to = SPLITTER6,
			.from_mac = MAC_SHADOW,
			.to_mac = MAC_SPLITTER,
			.protocol = IPPROTO_ICMPV6,
			.icmp_type = cases[i].type,
			.hops = NEVER_FORWARDED,
			.payload = &target,
			.payload_bytes = sizeof(target),
		};

		send_segment(*state, &s);
		assert_int_equal(rig_host_gets(*state), cases[i].passes);
	}
}

static void solicitations_to_groups_pass(void **state)
{
	struct rig *r = *state;
	struct segment s = {
		.from = SHADOW6,
		.to = "ff02::1:ff00:1",
		.from_mac = MAC_SHADOW,
		.protocol = IPPROTO_ICMPV6,
		.icmp_type = NEIGHBOUR_SOLICITATION,
		.hops = NEVER_FORWARDED,
		.payload_bytes = 16,
	};
	struct frame frame;

	frame_build(&s, &frame);
	memcpy(frame.data, (const __u8[]){0x33, 0x33, 0xff, 0, 0, 1}, 6);
	rig_shadow_sends(r, &frame);
	assert_true(rig_host_gets(r));
	/* Other things to groups do not. */
	s = from_shadow(RIG_UDP6);
	s.to = "ff02::1";
	frame_build(&s, &frame);
	memcpy(frame.data, (const __u8[]){0x33, 0x33, 0, 0, 0, 1}, 6);
	rig_shadow_sends(r, &frame);
	assert_false(rig_host_gets(r));
}

static void others_on_the_link_are_not_taken_for_it(void **state)
{
	struct rig *r = *state;

	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct segment s = from_shadow(service);

		s.from = service == RIG_TCP4 ? SHADOW_NEIGHBOUR4 : "fd00:5::11";
		s.from_mac = MAC_SHADOW + 1;
		send_segment(r, &s);
		assert_true(rig_host_gets(r));
		rig_shadow_gets_nothing(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
		TEST(who_speaks_of_an_unknown_connection_is_reset),
		TEST(other_strays_are_dropped),
		TEST(no_claim_gets_it_through),
		TEST(a_connection_s_packets_to_others_are_not_its),
		TEST(other_protocols_and_pieces_are_dropped),
		TEST(arp_of_its_own_address_passes),
		TEST(neighbour_discovery_passes),
		TEST(discovery_of_others_addresses_does_not),
		TEST(solicitations_to_groups_pass),
		TEST(others_on_the_link_are_not_taken_for_it),
	};

	return run_on_every_hook(tests);
}
