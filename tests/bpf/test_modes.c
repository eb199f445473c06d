// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What becomes of each kind of packet in every mode, family and protocol, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

#define IPV4 1
#define IPV6 2
#define TCP 4
#define UDP 8

struct kind {
	const char *what;
	struct segment in; /* what is special about it; addresses, ports and protocol are the service's */
	__u16 ip_bytes;    /* of the whole packet; 0: no matter */
	__u8 only;         /* families and protocols that it can be of; 0: any */
	enum outcome outcome;
	enum drop_reason reason;
	bool unread; /* dropped before its service was known, and counted at the lowest of that address */
};

#define BEGINS .outcome = SENT
#define FALLS(why) .outcome = DROPPED, .reason = (why)
#define UNREAD FALLS(DROP_MALFORMED), .unread = true
/* clang-format off */
#define HEADER(of_type, of_units) {.type = (of_type), .units = (of_units)}
#define ROUTING(of_units, left) {.type = IPPROTO_ROUTING, .units = (of_units), .segments_left = (left)}
#define HOP_BY_HOP HEADER(IPPROTO_HOPOPTS, 0)
#define OPTIONS HEADER(IPPROTO_DSTOPTS, 0)
#define WHOLE HEADER(IPPROTO_FRAGMENT, 0)
/* clang-format on */

static const struct kind kinds[] = {
	{"nothing special", BEGINS},
	{"ECN: capable", BEGINS, .in = {.traffic_class = 0x02}},
	{"ECN: congestion", BEGINS, .in = {.traffic_class = 0x03}},
	{"expedited forwarding, ECN", BEGINS, .in = {.traffic_class = 0xb9}},
	{"all bits of the traffic class", BEGINS, .in = {.traffic_class = 0xff, .payload_bytes = 3}},
	{"an odd length", BEGINS, .in = {.payload_bytes = 333}},
	{"padding", BEGINS, .in = {.padding_bytes = 17}},
	{"IPv4 options", BEGINS, .only = IPV4, .in = {.ip_option_bytes = 8}},
	{"40 bytes of IPv4 options", BEGINS, .only = IPV4, .in = {.ip_option_bytes = 40, .traffic_class = 0x11}},
	{"TCP options", BEGINS, .only = TCP, .in = {.tcp_option_bytes = 40}},
	{"UDP without a checksum", BEGINS, .only = UDP, .in = {.no_checksum = true}},
	{"one hop left to spare", BEGINS, .in = {.hops = HOP_LIMIT - 2}},
	{"no hop left to spare", FALLS(DROP_TTL), .in = {.hops = HOP_LIMIT - 1}},
	{"no hop left at all", FALLS(DROP_TTL), .in = {.hops = HOP_LIMIT}},
	{"a length beyond the frame", FALLS(DROP_MALFORMED), .in = {.ip_length_off = 1}},

	{"a VLAN tag", BEGINS, .in = {.vlan = {100}}},
	{"a VLAN tag with priority", BEGINS, .in = {.vlan = {0xe064}, .payload_bytes = 40, .traffic_class = 0x22}},
	{"a service tag", BEGINS, .in = {.vlan = {100}, .vlan_type = 0x88a8}},
	{"a service tag and a VLAN tag", BEGINS, .in = {.vlan = {100, 0x2abc}, .vlan_type = 0x88a8}},
	{"two VLAN tags", BEGINS, .in = {.vlan = {1, 2}, .padding_bytes = 3}},
	{"two VLAN tags, a hop too few", FALLS(DROP_TTL), .in = {.vlan = {1, 2}, .hops = HOP_LIMIT - 1}},
	{"two VLAN tags and no length left", FALLS(DROP_MALFORMED), .in = {.vlan = {1, 2}, .ip_length_off = 1}},
	{"three VLAN tags", .outcome = PASSED, .in = {.vlan = {1, 2}, .ether_type = 0x8100}},
	{"ARP", .outcome = PASSED, .in = {.ether_type = 0x0806}},
	{"ARP in a VLAN", .outcome = PASSED, .in = {.vlan = {5}, .ether_type = 0x0806}},

	{"hop-by-hop options", BEGINS, .only = IPV6, .in = {.extensions = 1, .extension = {HOP_BY_HOP}}},
	{"destination options", BEGINS, .only = IPV6, .in = {.extensions = 1, .extension = {OPTIONS}}},
	{"long destination options", BEGINS, .only = IPV6,
	 .in = {.extensions = 1, .extension = {HEADER(IPPROTO_DSTOPTS, 9)}}},
	{"a routing header at its end", BEGINS, .only = IPV6, .in = {.extensions = 1, .extension = {ROUTING(0, 0)}}},
	{"a routing header that leads on", UNREAD, .only = IPV6, .in = {.extensions = 1, .extension = {ROUTING(0, 1)}}},
	{"a routing header that leads on, behind options", UNREAD, .only = IPV6,
	 .in = {.extensions = 2, .extension = {HOP_BY_HOP, ROUTING(2, 255)}}},
	{"a fragment header of a whole packet", BEGINS, .only = IPV6, .in = {.extensions = 1, .extension = {WHOLE}}},
	{"each extension header in its order", BEGINS, .only = IPV6,
	 .in = {.vlan = {7},
		.traffic_class = 0x8e,
		.extensions = 5,
		.extension = {HOP_BY_HOP, OPTIONS, ROUTING(2, 0), WHOLE, OPTIONS}}},
	{"7 extension headers", BEGINS, .only = IPV6,
	 .in = {.extensions = 7, .extension = {HOP_BY_HOP, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS}}},
	{"8 extension headers", BEGINS, .only = IPV6,
	 .in = {.extensions = 8,
		.extension = {HOP_BY_HOP, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS}}},
	{"9 extension headers", UNREAD, .only = IPV6,
	 .in = {.extensions = 9,
		.extension = {HOP_BY_HOP, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS}}},
	{"extension headers up to the 504th byte", BEGINS, .only = IPV6,
	 .in = {.extensions = 2, .extension = {HEADER(IPPROTO_HOPOPTS, 31), HEADER(IPPROTO_DSTOPTS, 23)}}},
	{"extension headers up to the 512th byte", UNREAD, .only = IPV6,
	 .in = {.extensions = 2, .extension = {HEADER(IPPROTO_HOPOPTS, 31), HEADER(IPPROTO_DSTOPTS, 25)}}},
	{"extension headers, and no hop left", FALLS(DROP_TTL), .only = IPV6,
	 .in = {.extensions = 1, .extension = {OPTIONS}, .hops = HOP_LIMIT - 1}},
	{"extension headers, and a length beyond the frame", FALLS(DROP_MALFORMED), .only = IPV6,
	 .in = {.extensions = 1, .extension = {OPTIONS}, .ip_length_off = 1}},
	{"extension headers, and no room for TCP", FALLS(DROP_MALFORMED), .only = IPV6 | TCP,
	 .in = {.extensions = 1, .extension = {OPTIONS}, .ip_length_off = -1}},

	{"the largest packet of an Ethernet", BEGINS, .ip_bytes = 1500},
	{"a byte more", BEGINS, .ip_bytes = 1501},
	{"a byte more, in two VLANs", BEGINS, .ip_bytes = 1501, .in = {.vlan = {1, 2}}},
	{"more than one page", BEGINS, .ip_bytes = 4097},
	{"a jumbo frame", BEGINS, .ip_bytes = 9000},
	{"a jumbo frame, in two VLANs", BEGINS, .ip_bytes = 9000, .in = {.vlan = {1, 2}, .traffic_class = 0x41}},
};

static bool kind_is_for(const struct kind *kind, __u32 service)
{
	__u8 family = world_is_ipv6(service) ? IPV6 : IPV4, protocol = world_is_udp(service) ? UDP : TCP;

	return (!(kind->only & (IPV4 | IPV6)) || kind->only & family) &&
	       (!(kind->only & (TCP | UDP)) || kind->only & protocol);
}

static __u32 header_bytes(const struct segment *s, __u32 service)
{
	__u32 bytes = world_is_ipv6(service) ? 40 : 20 + s->ip_option_bytes;

	for (__u32 i = 0; i < s->extensions; i++)
		bytes += (s->extension[i].units + 1) * 8;
	return bytes + (world_is_udp(service) ? 8 : 20 + s->tcp_option_bytes);
}

static struct segment segment_of(const struct kind *kind, __u32 service)
{
	struct segment s = kind->in, plain = world_request(service);

	s.from = plain.from;
	s.to = plain.to;
	s.from_port = plain.from_port;
	s.to_port = plain.to_port;
	s.protocol = plain.protocol;
	s.flags = plain.flags;
	if (kind->ip_bytes)
		s.payload_bytes = kind->ip_bytes - header_bytes(&s, service);
	return s;
}

static bool kind_holds(struct fixture *f, const struct kind *kind, __u32 service)
{
	__u32 lowest = world_is_ipv6(service) ? NAT6_TCP : NAT4_TCP;
	__u32 counting = kind->unread ? lowest : service;
	__u64 before = fixture_service_counters(f, counting).drops[kind->reason];
	struct backend_counters then = fixture_backend_counters(f, service), now;
	struct segment in = segment_of(kind, service);
	struct segment out = kind->outcome == SENT ? world_split(service, service, &in) : in;
	bool sent = kind->outcome == SENT;
	__u32 bytes = header_bytes(&in, service) + in.payload_bytes;
	struct frame frame;
	char what[128];

	frame_build(&in, &frame);
	if (!fixture_takes(&frame))
		return true;
	fixture_forget(f);
	snprintf(what, sizeof(what), "service %u, %s", service, kind->what);
	if (!world_becomes(f, what, &in, kind->outcome, &out))
		return false;
	now = fixture_backend_counters(f, service);
	if (now.client_packets - then.client_packets == sent &&
	    now.client_bytes - then.client_bytes == (sent ? bytes : 0) &&
	    fixture_service_counters(f, counting).drops[kind->reason] - before == (kind->outcome == DROPPED))
		return true;
	fprintf(stderr, "%s: %llu packets, %llu bytes and %llu drops are counted\n", what,
		(unsigned long long)(now.client_packets - then.client_packets),
		(unsigned long long)(now.client_bytes - then.client_bytes),
		(unsigned long long)(fixture_service_counters(f, counting).drops[kind->reason] - before));
	return false;
}

static void each_kind_of_packet_becomes_what_its_mode_says(void **state)
{
	struct fixture *f = *state;
	__u32 wrong = 0, drops = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
			if (!kind_is_for(&kinds[i], service))
				continue;
			wrong += !kind_holds(f, &kinds[i], service);
			drops += kinds[i].outcome == DROPPED;
		}
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(fixture_drops(f), drops);
}

/* The outer source address's last word, the UDP source port, and the flow label, as far as the mode has them. */
static __u64 outer_entropy(struct fixture *f, __u32 service, __u16 client_port)
{
	struct segment s = world_request(service);
	struct frame in, out;
	const __u8 *l3 = out.data + ETHERNET_BYTES;
	bool ipv6;

	s.from_port = client_port;
	frame_build(&s, &in);
	assert_int_equal(fixture_run(f, &in, &out), SENT);
	ipv6 = l3[0] >> 4 == 6;
	if (world_mode(service) == FORWARD_GUE)
		return ipv6 ? (__u64)get32(l3) << 32 | get16(l3 + 40) : get16(l3 + 20);
	return ipv6 ? (__u64)get32(l3) << 32 | get32(l3 + 20) : get32(l3 + 12);
}

/* So that network cards and routers spread them. 64 flows in 14 bits at the least: a few may coincide. */
static void flows_differ_in_their_outer_headers(void **state)
{
	for (__u32 service = IPIP44_TCP; service <= GUE66_UDP; service++) {
		__u64 seen[64];
		__u32 different = 0;

		for (__u32 i = 0; i < 64; i++) {
			bool fresh = true;

			seen[i] = outer_entropy(*state, service, 1000 + i);
			assert_true(seen[i] == outer_entropy(*state, service, 1000 + i));
			for (__u32 j = 0; j < i; j++)
				fresh = fresh && seen[j] != seen[i];
			different += fresh;
		}
		assert_true(different > 60);
	}
}

static void a_tunnel_without_a_source_drops(void **state)
{
	struct fixture *f = *state;
	__u32 id = GUE44_TCP;
	struct segment s = world_request(id);
	struct backend b;

	assert_true(map_get(f->backends, &id, &b));
	b.source = 0;
	map_set(f->backends, &id, &b);
	world_send_dropped(f, &s, id, DROP_NO_SOURCE);
}

static __u32 overhead_of(__u32 service)
{
	__u32 ip = service >= IPIP46_TCP && service <= IPIP66_UDP ? 40 : service >= GUE46_TCP ? 40 : 20;

	if (world_mode(service) == FORWARD_IPIP)
		return ip;
	return world_mode(service) == FORWARD_GUE ? ip + 8 + 4 : 0;
}

/* "Fragmentation needed" (RFC 792, RFC 1191) or "packet too big" (RFC 4443) to the sender, from the service. */
static struct segment too_big(__u32 service, const struct segment *about, __u32 mtu)
{
	bool ipv6 = world_is_ipv6(service);

	return (struct segment){
		.from = about->to,
		.to = about->from,
		.protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		.icmp_type = ipv6 ? 2 : 3,
		.icmp_code = ipv6 ? 0 : 4,
		.icmp_rest = mtu,
		.inner = about,
		.inner_bytes = 128,
		.made_here = true,
		.vlan = {about->vlan[0], about->vlan[1]},
	};
}

static void what_does_not_fit_the_link_is_told_so(void **state)
{
	struct fixture *f = *state;
	__u32 wrong = 0;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		__u32 fits = 1400 - overhead_of(service);
		struct kind kind = {"as large as its link takes", .outcome = SENT, .ip_bytes = fits};
		struct segment in, answer;

		world_set_mtu(f, service, 1400);
		wrong += !kind_holds(f, &kind, service);
		kind.ip_bytes++;
		for (__u32 tags = 0; tags <= 2; tags++) {
			if (tags)
				kind.in.vlan[tags - 1] = 100 + tags;
			fixture_forget(f);
			in = segment_of(&kind, service);
			answer = too_big(service, &in, fits);
			wrong += !world_becomes(f, "a byte more than its link takes", &in, SENT, &answer);
			assert_int_equal(fixture_service_counters(f, service).drops[DROP_TOO_BIG], tags + 1);
		}
		assert_int_equal(fixture_service_counters(f, service).too_big_answers, 3);
		assert_int_equal(fixture_backend_counters(f, service).client_packets, 1);
	}
	assert_int_equal(wrong, 0);
}

/* Whoever sends much that is too big must not have as much sent: at once it is 50, then 1 000 a second. */
static void answers_to_what_does_not_fit_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct kind kind = {.ip_bytes = 1401};
	struct segment in = segment_of(&kind, DNAT4_UDP);
	struct frame frame, out;
	__u32 sent = 0;

	world_set_mtu(f, DNAT4_UDP, 1400);
	frame_build(&in, &frame);
	for (int i = 0; i < 1000; i++)
		sent += fixture_run(f, &frame, &out) == SENT;
	assert_in_range(sent, 50, 500);
	assert_int_equal(fixture_service_counters(f, DNAT4_UDP).drops[DROP_TOO_BIG], 1000);
	assert_int_equal(fixture_service_counters(f, DNAT4_UDP).too_big_answers, sent);
}

/* Everything before the first byte of the transport header behind the ports: one after the other cut off. */
static void check_cuts(struct fixture *f, const struct segment *s, __u32 service)
{
	__u32 tags = !!s->vlan[0] + !!s->vlan[1];
	__u32 addresses = ETHERNET_BYTES + tags * VLAN_BYTES + (world_is_ipv6(service) ? 40 : 20);
	struct frame whole, cut, out;

	frame_build(s, &whole);
	for (__u32 bytes = ETHERNET_BYTES; bytes < whole.bytes; bytes++) {
		__u64 before = fixture_drops(f);

		cut = whole;
		cut.bytes = bytes;
		if (!fixture_takes(&cut))
			continue;
		assert_int_equal(fixture_run(f, &cut, &out), bytes < addresses ? PASSED : DROPPED);
		assert_true(frame_equal(&out, &cut));
		assert_int_equal(fixture_drops(f) - before, bytes >= addresses);
	}
	assert_int_equal(fixture_run(f, &whole, &out), SENT);
}

static void no_frame_that_was_cut_off_is_sent(void **state)
{
	static const __u32 services[] = {DNAT4_TCP,  NAT6_TCP,   DNAT6_UDP, L2DSR4_UDP, L2DSR6_TCP,
					 IPIP64_TCP, IPIP46_UDP, GUE66_TCP, GUE44_UDP};

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		struct kind kind = {.in = {.vlan = {3, 4}, .payload_bytes = 5}};
		struct segment s = segment_of(&kind, services[i]);

		check_cuts(*state, &s, services[i]);
		if (!world_is_ipv6(services[i]))
			continue;
		kind.in.extensions = 4;
		kind.in.extension[0] = (struct extension)HOP_BY_HOP;
		kind.in.extension[1] = (struct extension)ROUTING(2, 0);
		kind.in.extension[2] = (struct extension)WHOLE;
		kind.in.extension[3] = (struct extension)HEADER(IPPROTO_DSTOPTS, 1);
		s = segment_of(&kind, services[i]);
		check_cuts(*state, &s, services[i]);
	}
}

/* The other family's addresses, and ports where nothing is, all in one: what is nobody's stays as it is. */
static void tags_and_extensions_of_others_pass(void **state)
{
	static const struct segment others[] = {
		{.from = CLIENT4, .to = "10.0.0.11", .to_port = 9000, .vlan = {9}},
		{.from = CLIENT4, .to = VIP4, .to_port = 9999, .vlan = {9, 10}},
		{.from = CLIENT6, .to = "fd00::11", .to_port = 9000, .extensions = 1, .extension = {HOP_BY_HOP}},
		{.from = CLIENT6, .to = VIP6, .to_port = 9999, .extensions = 1, .extension = {HOP_BY_HOP}},
		{.from = CLIENT6, .to = "fd00::11", .to_port = 9000, .extensions = 1, .extension = {ROUTING(2, 1)}},
		{.from = CLIENT6, .to = "fd00::11", .extensions = 10},
		{.from = CLIENT6,
		 .to = VIP6,
		 .protocol = IPPROTO_SCTP,
		 .payload_bytes = 30,
		 .extensions = 1,
		 .extension = {HOP_BY_HOP}},
		{.from = "10.0.1.41", .to = CLIENT4, .from_port = BACKEND_PORT, .to_port = CLIENT_PORT},
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_true(world_becomes(*state, "somebody else's", &others[i], PASSED, NULL));
	assert_int_equal(fixture_drops(*state), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_kind_of_packet_becomes_what_its_mode_says),
		TEST(flows_differ_in_their_outer_headers),
		TEST(a_tunnel_without_a_source_drops),
		TEST(what_does_not_fit_the_link_is_told_so),
		TEST(answers_to_what_does_not_fit_are_bounded),
		TEST(no_frame_that_was_cut_off_is_sent),
		TEST(tags_and_extensions_of_others_pass),
	};

	return run_on_every_hook(tests);
}
