// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "shadow_talk.h"

#define TCP_BYTES 20
#define NOP 1

static const char *client_of(const struct talk *t)
{
	if (t->client)
		return t->client;
	return rig_is_ipv6(t->service) ? CLIENT6 : CLIENT4;
}

static const char *shadow_of(const struct talk *t)
{
	return rig_is_ipv6(t->service) ? SHADOW6 : SHADOW4;
}

static const char *source_of(const struct talk *t)
{
	return rig_is_ipv6(t->service) ? SPLITTER6 : SPLITTER4;
}

static __u32 first_of(const struct talk *t)
{
	return t->client_first ? t->client_first : FIRST;
}

/* The client's stream: no two places near each other are alike. */
static __u8 byte_at(__u32 at)
{
	return at * 2654435761U >> 24 ^ at;
}

/* --- speaking --- */

struct segment talk_client_segment(const struct talk *t, __u8 flags, __u32 at, __u32 bytes)
{
	static __u8 payload[FRAME_MAX];

	for (__u32 i = 0; i < bytes; i++)
		payload[i] = byte_at(at + i);
	return (struct segment){
		.from = client_of(t),
		.to = rig_is_ipv6(t->service) ? VIP6 : VIP4,
		.from_port = t->client_port,
		.to_port = NAT_PORT,
		.flags = flags,
		.sequence = first_of(t) + at,
		.acknowledged = flags & ACK ? CLIENT_HAS : 0,
		.payload = payload,
		.payload_bytes = bytes,
		.hops = 3,
	};
}

void talk_client_puts(struct talk *t, const struct segment *s)
{
	struct frame frame;

	frame_build(s, &frame);
	rig_mirror_client(t->rig, t->service, &frame);
}

void talk_client(struct talk *t, __u8 flags, __u32 at, __u32 bytes)
{
	struct segment s = talk_client_segment(t, flags, at, bytes);

	talk_client_puts(t, &s);
}

struct segment talk_shadow_segment(const struct talk *t, __u8 flags, __u32 at, __u32 bytes, __u32 acknowledged)
{
	return (struct segment){
		.from = shadow_of(t),
		.to = source_of(t),
		.from_port = BACKEND_PORT,
		.to_port = t->source_port,
		.from_mac = MAC_SHADOW,
		.to_mac = MAC_SPLITTER,
		.flags = flags,
		.sequence = SHADOW_FIRST + at,
		.acknowledged = flags & ACK ? first_of(t) + acknowledged : 0,
		.payload_bytes = bytes,
		.window = t->window ? t->window : 60000,
		.closed = t->closed,
	};
}

void talk_shadow_puts(struct talk *t, const struct segment *s)
{
	__u32 next = s->sequence - SHADOW_FIRST + s->payload_bytes + !!(s->flags & SYN) + !!(s->flags & FIN);
	struct frame frame;

	if (!(s->flags & RST) && (__s32)(next - t->said) > 0)
		t->said = next;
	frame_build(s, &frame);
	rig_shadow_sends(t->rig, &frame);
}

void talk_shadow(struct talk *t, __u8 flags, __u32 at, __u32 bytes, __u32 acknowledged)
{
	struct segment s = talk_shadow_segment(t, flags, at, bytes, acknowledged);

	talk_shadow_puts(t, &s);
}

/* --- hearing --- */

static void assert_address(const struct address *got, const char *wanted)
{
	struct address a = address_of(wanted);

	assert_memory_equal(got, &a, sizeof(a));
}

static void judge_link(const struct frame *f)
{
	const __u8 macs[12] = {2, [5] = MAC_SHADOW, [6] = 2, [11] = MAC_SPLITTER};

	assert_memory_equal(f->data, macs, sizeof(macs));
}

static void judge_packet(const struct talk *t, const struct heard *h)
{
	const struct reading *r = &h->reading;

	assert_false(r->malformed);
	assert_int_equal(r->protocol, IPPROTO_TCP);
	assert_int_equal(h->frame.bytes, r->l3 + r->ip_bytes);
	assert_true(r->ip_bytes <= SHADOW_LINK_MTU);
	assert_true(frame_checksums_right(&h->frame, r));
	assert_address(&r->source, source_of(t));
	assert_address(&r->destination, shadow_of(t));
	assert_int_equal(r->destination_port, BACKEND_PORT);
	assert_in_range(r->source_port, SHADOW_PORT_MIN, SHADOW_PORT_MAX);
	assert_true(r->hop_limit > 1);
}

static void judge_content(const struct heard *h)
{
	const __u8 *payload = h->tcp + TCP_BYTES + h->option_bytes;

	for (__u32 i = 0; i < h->payload_bytes; i++) {
		if (payload[i] != byte_at(h->at + i))
			fail_msg("byte %u of a segment of %u at %u is not the client's", i, h->payload_bytes, h->at);
	}
}

void talk_hear(struct talk *t, struct heard *ret)
{
	const __u8 *tcp;

	rig_shadow_gets(t->rig, &ret->frame);
	judge_link(&ret->frame);
	assert_true(frame_read(&ret->frame, &ret->reading));
	judge_packet(t, ret);
	tcp = ret->frame.data + ret->reading.l4;
	ret->tcp = tcp;
	ret->at = get32(tcp + 4) - first_of(t);
	ret->acknowledged = get32(tcp + 8) - SHADOW_FIRST;
	ret->flags = tcp[13];
	ret->window = get16(tcp + 14);
	ret->option_bytes = (tcp[12] >> 4) * 4 - TCP_BYTES;
	ret->payload_bytes = ret->reading.l3 + ret->reading.ip_bytes - ret->reading.l4 - TCP_BYTES - ret->option_bytes;
	assert_int_equal(get16(tcp + 18), 0); /* urgent */
	judge_content(ret);
	if (t->source_port)
		assert_int_equal(ret->reading.source_port, t->source_port);
}

void talk_hear_syn(struct talk *t)
{
	bool ipv6 = rig_is_ipv6(t->service);
	const __u8 options[] = {
		2, 4, (SHADOW_LINK_MTU - (ipv6 ? 60 : 40)) >> 8, (SHADOW_LINK_MTU - (ipv6 ? 60 : 40)), 3, 3, 7, NOP};
	struct heard h;

	talk_hear(t, &h);
	assert_int_equal(h.flags, SYN);
	assert_int_equal(h.at, -1U);
	assert_int_equal(get32(h.tcp + 8), 0);
	assert_int_equal(h.window, 65535);
	assert_int_equal(h.payload_bytes, 0);
	assert_int_equal(h.option_bytes, sizeof(options));
	assert_memory_equal(h.tcp + TCP_BYTES, options, sizeof(options));
	t->source_port = h.reading.source_port;
}

static void hear_segment(struct talk *t, __u8 flags, __u32 at, __u32 bytes)
{
	struct heard h;

	talk_hear(t, &h);
	if (h.at != at || h.payload_bytes != bytes || (h.flags & ~PSH) != flags || h.acknowledged != t->said)
		fail_msg("flags %02x, %u bytes at %u, acknowledges %u; wanted %02x, %u at %u, %u", h.flags,
			 h.payload_bytes, (int)h.at, h.acknowledged, flags, bytes, (int)at, t->said);
	assert_int_equal(h.window, 65535);
	for (__u32 i = 0; i < h.option_bytes; i++)
		assert_int_equal(h.tcp[TCP_BYTES + i], NOP);
}

void talk_hear_data(struct talk *t, __u32 at, __u32 bytes)
{
	hear_segment(t, ACK, at, bytes);
}

void talk_hear_acknowledgement(struct talk *t, __u32 at)
{
	hear_segment(t, ACK, at, 0);
}

void talk_hear_fin(struct talk *t, __u32 at)
{
	hear_segment(t, FIN | ACK, at, 0);
}

void talk_hear_reset(struct talk *t, __u32 at)
{
	struct heard h;

	talk_hear(t, &h);
	assert_int_equal(h.flags & ~ACK, RST);
	assert_int_equal(h.payload_bytes, 0);
	assert_int_equal(h.at, at);
	if (h.flags & ACK)
		assert_int_equal(h.acknowledged, t->said);
}

void talk_hear_nothing(struct talk *t)
{
	rig_shadow_gets_nothing(t->rig);
}

/* --- opening --- */

/* SYN-ACK with @options, if any, to the SYN that is heard before. */
static void open_with(struct talk *t, const __u8 *options, __u8 option_bytes)
{
	struct segment s;

	talk_client(t, SYN, -1U, 0);
	talk_hear_syn(t);
	t->said = -1U;
	s = talk_shadow_segment(t, SYN | ACK, -1U, 0, 0);
	s.tcp_options = options;
	s.tcp_option_bytes = option_bytes;
	talk_shadow_puts(t, &s);
	talk_hear_acknowledgement(t, 0);
}

void talk_open(struct talk *t)
{
	open_with(t, NULL, 0);
}

void talk_open_scaled(struct talk *t, __u8 shift)
{
	const __u8 options[] = {2, 4, 0x05, 0xb4, NOP, 3, 3, shift};

	open_with(t, options, sizeof(options));
}

/* --- what the maps say --- */

static struct flow_key key_of(const struct talk *t)
{
	return world_flow_key(t->service, client_of(t), t->client_port);
}

bool talk_flow(const struct talk *t, struct shadow_flow *ret)
{
	struct flow_key key = key_of(t);

	return map_get(fixture_map(t->rig->fixture, "shadow_flows"), &key, ret);
}

void talk_kick(struct talk *t, __u32 action, __u32 reason)
{
	struct mirror_kick kick = {.flow = key_of(t), .action = action, .reason = reason};
	struct shadow_flow flow;

	assert_true(talk_flow(t, &flow));
	kick.serial = flow.serial;
	rig_kick(t->rig, &kick);
}

void talk_assert_ended(const struct talk *t, __u32 eligible, __u32 end)
{
	struct shadow_counters c = rig_counters(t->rig, t->service);

	assert_int_equal(c.eligible, eligible);
	for (__u32 i = 0; i < SHADOW_ENDS; i++) {
		if (c.ended[i] != (i == end))
			fail_msg("%llu connections have ended in way %u; wanted one in way %u", c.ended[i], i, end);
	}
}
