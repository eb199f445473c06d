// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Datagrams and their shadow: each is sent on from a port of ours, and none comes back. See shadow_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "shadow_talk.h"

static struct segment datagram(__u32 service, __u16 port, __u16 bytes)
{
	bool ipv6 = rig_is_ipv6(service);

	return (struct segment){
		.from = ipv6 ? CLIENT6 : CLIENT4,
		.to = ipv6 ? VIP6 : VIP4,
		.from_port = port,
		.to_port = NAT_PORT,
		.protocol = IPPROTO_UDP,
		.payload_bytes = bytes,
		.hops = 3,
	};
}

static void mirror(struct rig *r, __u32 service, const struct segment *s)
{
	struct frame frame;

	frame_build(s, &frame);
	rig_mirror_client(r, service, &frame);
}

/* What it is at the shadow. Return: the port that it comes from. */
static __u16 hear(struct rig *r, __u32 service, const struct segment *sent)
{
	bool ipv6 = rig_is_ipv6(service);
	struct frame got, expected;
	struct segment s = *sent;
	struct reading reading;

	rig_shadow_gets(r, &got);
	assert_true(frame_read(&got, &reading));
	assert_in_range(reading.source_port, SHADOW_PORT_MIN, SHADOW_PORT_MAX);
	assert_true(frame_checksums_right(&got, &reading));
	s.from = ipv6 ? SPLITTER6 : SPLITTER4;
	s.to = ipv6 ? SHADOW6 : SHADOW4;
	s.from_port = reading.source_port;
	s.to_port = BACKEND_PORT;
	s.from_mac = MAC_SPLITTER;
	s.to_mac = MAC_SHADOW;
	s.hops = HOP_LIMIT - reading.hop_limit;
	frame_build(&s, &expected);
	if (!frame_equal(&got, &expected)) {
		frame_print_difference(&got, &expected);
		fail();
	}
	return reading.source_port;
}

static void reply(struct rig *r, __u32 service, __u16 port, __u16 bytes)
{
	bool ipv6 = rig_is_ipv6(service);
	struct segment s = {
		.from = ipv6 ? SHADOW6 : SHADOW4,
		.to = ipv6 ? SPLITTER6 : SPLITTER4,
		.from_port = BACKEND_PORT,
		.to_port = port,
		.from_mac = MAC_SHADOW,
		.to_mac = MAC_SPLITTER,
		.protocol = IPPROTO_UDP,
		.payload_bytes = bytes,
	};
	struct frame frame;

	frame_build(&s, &frame);
	rig_shadow_sends(r, &frame);
	rig_shadow_gets_nothing(r);
	assert_false(rig_host_gets(r));
}

static void each_is_sent_from_its_flows_port(void **state)
{
	struct rig *r = *state;

	for (__u32 service = RIG_UDP4; service <= RIG_UDP6; service++) {
		struct segment first = datagram(service, 5000, 100), other = datagram(service, 5001, 0), bare = first;
		__u16 port, other_port;

		mirror(r, service, &first);
		port = hear(r, service, &first);
		mirror(r, service, &other);
		other_port = hear(r, service, &other);
		assert_int_not_equal(port, other_port);
		first.payload_bytes = 1401;
		mirror(r, service, &first);
		assert_int_equal(hear(r, service, &first), port);
		assert_int_equal(rig_counters(r, service).eligible, 2);
		assert_int_equal(rig_counters(r, service).packets, 3);
		assert_int_equal(rig_counters(r, service).requests, 3);
		if (service == RIG_UDP6)
			continue;
		bare.no_checksum = true;
		mirror(r, service, &bare);
		assert_int_equal(hear(r, service, &bare), port);
	}
}

static void replies_are_counted_and_go_nowhere(void **state)
{
	struct rig *r = *state;

	for (__u32 service = RIG_UDP4; service <= RIG_UDP6; service++) {
		struct segment s = datagram(service, 5000, 100);
		struct shadow_counters c;
		__u16 port;

		mirror(r, service, &s);
		port = hear(r, service, &s);
		reply(r, service, port, 70);
		mirror(r, service, &s);
		hear(r, service, &s);
		reply(r, service, port, 700);
		c = rig_counters(r, service);
		assert_int_equal(c.responses, 2);
		assert_int_equal(c.response_bytes, 770);
		assert_int_equal(c.first_byte.count, 2);
		assert_int_equal(c.stray, 0);
		reply(r, service, port + 1, 50);
		assert_int_equal(rig_counters(r, service).stray, 1);
		assert_int_equal(rig_counters(r, service).responses, 2);
	}
}

static void a_mark_replaces_the_clients(void **state)
{
	struct rig *r = *state;

	for (__u32 service = RIG_UDP4; service <= RIG_UDP6; service++) {
		struct shadow shadow = rig_shadow_get(r, service);
		struct segment s = datagram(service, 5000, 33);

		s.traffic_class = 0xb9;
		mirror(r, service, &s);
		hear(r, service, &s);
		shadow.traffic_class = 8 << 2;
		rig_shadow_set(r, service, &shadow);
		mirror(r, service, &s);
		s.traffic_class = 8 << 2;
		hear(r, service, &s);
	}
}

static struct talk flow_of(struct rig *r, __u32 service)
{
	return (struct talk){.rig = r, .service = service, .client_port = 5000};
}

static void what_the_link_does_not_take_ends_the_flow(void **state)
{
	struct rig *r = *state;

	for (__u32 service = RIG_UDP4; service <= RIG_UDP6; service++) {
		struct segment s = datagram(service, 5000, SHADOW_LINK_MTU - (service == RIG_UDP4 ? 28 : 48));
		struct talk t = flow_of(r, service);

		mirror(r, service, &s);
		hear(r, service, &s);
		s.payload_bytes++;
		mirror(r, service, &s);
		s.payload_bytes = 10;
		mirror(r, service, &s);
		rig_shadow_gets_nothing(r);
		talk_assert_ended(&t, 1, SHADOW_TOO_BIG);
	}
}

static void a_flow_over_the_cap_ends(void **state)
{
	struct rig *r = *state;
	struct shadow shadow = rig_shadow_get(r, RIG_UDP4);
	struct segment s = datagram(RIG_UDP4, 5000, 10);
	struct talk t = flow_of(r, RIG_UDP4);
	__u32 sent;

	shadow.packets_per_second = 1;
	rig_shadow_set(r, RIG_UDP4, &shadow);
	for (int i = 0; i < 70; i++)
		mirror(r, RIG_UDP4, &s);
	sent = rig_counters(r, RIG_UDP4).packets;
	assert_in_range(sent, 60, 69);
	for (__u32 i = 0; i < sent; i++)
		hear(r, RIG_UDP4, &s);
	rig_shadow_gets_nothing(r);
	talk_assert_ended(&t, 1, SHADOW_OVER_CAP);
}

static void the_daemon_ends_a_flow_without_a_word(void **state)
{
	struct rig *r = *state;
	struct segment s = datagram(RIG_UDP6, 5000, 10);
	struct talk t = flow_of(r, RIG_UDP6);

	mirror(r, RIG_UDP6, &s);
	hear(r, RIG_UDP6, &s);
	talk_kick(&t, KICK_REPAIR, 0);
	talk_kick(&t, KICK_FINISH, 0);
	rig_shadow_gets_nothing(r);
	talk_assert_ended(&t, 1, SHADOW_ENDS);
	talk_kick(&t, KICK_ABORT, SHADOW_WHOLE);
	mirror(r, RIG_UDP6, &s);
	rig_shadow_gets_nothing(r);
	talk_assert_ended(&t, 1, SHADOW_WHOLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
		TEST(each_is_sent_from_its_flows_port), TEST(replies_are_counted_and_go_nowhere),
		TEST(a_mark_replaces_the_clients),      TEST(what_the_link_does_not_take_ends_the_flow),
		TEST(a_flow_over_the_cap_ends),         TEST(the_daemon_ends_a_flow_without_a_word),
	};

	return run_on_every_hook(tests);
}
