// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Engine replay: what the daemon is told of a client, and that nobody else is. See shadow_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "shadow_talk.h"

static struct ring_buffer *events;
static struct replay_segment heard;
static __u32 heard_count;

static int keep(void *context, void *data, size_t size)
{
	(void)context;
	assert_int_equal(size, sizeof(heard));
	memcpy(&heard, data, sizeof(heard));
	heard_count++;
	return -1; /* one at a time */
}

static int forget(void *context, void *data, size_t size)
{
	(void)context;
	(void)data;
	(void)size;
	return 0;
}

static void set_engine(struct rig *r, __u32 service, __u8 engine)
{
	struct shadow shadow = rig_shadow_get(r, service);

	shadow.engine = engine;
	rig_shadow_set(r, service, &shadow);
}

static int begin(void **state)
{
	int error = rig_setup(state), map;
	struct ring_buffer *before;
	struct rig *r = *state;

	map = fixture_map(r->fixture, "replay_segments");
	before = ring_buffer__new(map, forget, NULL, NULL);
	ring_buffer__consume(before);
	ring_buffer__free(before);
	events = ring_buffer__new(map, keep, NULL, NULL);
	for (__u32 service = 1; service <= RIG_LAST; service++)
		set_engine(r, service, SHADOW_REPLAY);
	return error || !events;
}

static int end(void **state)
{
	ring_buffer__free(events);
	return rig_teardown(state);
}

static void hear_nothing(struct talk *t)
{
	heard_count = 0;
	ring_buffer__poll(events, SHORT_WAIT_MS);
	assert_int_equal(heard_count, 0);
	talk_hear_nothing(t);
}

/* The next event: @bytes of the client's from @at on. */
static void hear(struct talk *t, enum replay_event event, __u32 at, const __u8 *payload, __u32 bytes)
{
	const char *client = rig_is_ipv6(t->service) ? CLIENT6 : CLIENT4;
	struct flow_key key = world_flow_key(t->service, client, t->client_port);
	struct shadow_flow flow;

	heard_count = 0;
	ring_buffer__poll(events, LONG_WAIT_MS);
	assert_int_equal(heard_count, 1);
	assert_true(talk_flow(t, &flow));
	assert_int_equal(heard.event, event);
	assert_int_equal(heard.sequence, (t->client_first ? t->client_first : FIRST) + at);
	assert_int_equal(heard.bytes, bytes);
	assert_int_equal(heard.serial, flow.serial);
	assert_int_equal(heard.backend, RIG_SHADOW(t->service));
	assert_memory_equal(&heard.flow, &key, sizeof(key));
	assert_memory_equal(heard.data, payload, bytes);
}

static const __u8 *payload_of(const struct talk *t, __u32 at, __u32 bytes)
{
	return talk_client_segment(t, ACK, at, bytes).payload;
}

static void the_daemon_hears_all_of_a_client(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .client_port = 40000};

		talk_client(&t, SYN, -1U, 0);
		hear(&t, REPLAY_OPEN, 0, NULL, 0);
		talk_client(&t, SYN, -1U, 0); /* again */
		talk_client(&t, ACK, 0, 777);
		hear(&t, REPLAY_DATA, 0, payload_of(&t, 0, 777), 777);
		/* As it comes: what is in order is the daemon's business. */
		talk_client(&t, ACK, 1777, 1);
		hear(&t, REPLAY_DATA, 1777, payload_of(&t, 1777, 1), 1);
		talk_client(&t, ACK, 777, 1000);
		hear(&t, REPLAY_DATA, 777, payload_of(&t, 777, 1000), 1000);
		talk_client(&t, ACK, 777, 1000);
		hear(&t, REPLAY_DATA, 777, payload_of(&t, 777, 1000), 1000);
		talk_client(&t, ACK, 1778, REPLAY_BYTES + 952);
		hear(&t, REPLAY_DATA, 1778, payload_of(&t, 1778, REPLAY_BYTES), REPLAY_BYTES);
		hear(&t, REPLAY_DATA, 1778 + REPLAY_BYTES, payload_of(&t, 1778 + REPLAY_BYTES, 952), 952);
		talk_client(&t, FIN | ACK, 4778, 5);
		hear(&t, REPLAY_DATA, 4778, payload_of(&t, 4778, 5), 5);
		hear(&t, REPLAY_FIN, 4783, NULL, 0);
		hear_nothing(&t);
		talk_assert_ended(&t, 1, SHADOW_ENDS);
		assert_int_equal(rig_counters(t.rig, service).clones_lost, 0);
	}
}

static void the_daemon_hears_of_a_reset(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_client(&t, SYN, -1U, 0);
	hear(&t, REPLAY_OPEN, 0, NULL, 0);
	talk_client(&t, RST, 70000, 0); /* blind */
	hear_nothing(&t);
	talk_client(&t, RST | ACK, 0, 0);
	hear(&t, REPLAY_RESET, 0, NULL, 0);
}

static void the_same_ports_may_be_used_again(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct talk after = {.rig = *state, .service = RIG_TCP4, .client_port = 40000, .client_first = 0x10000};
	__u32 serial;

	talk_client(&t, SYN, -1U, 0);
	hear(&t, REPLAY_OPEN, 0, NULL, 0);
	serial = heard.serial;
	talk_client(&after, SYN, -1U, 0);
	hear(&after, REPLAY_OPEN, 0, NULL, 0);
	assert_int_not_equal(heard.serial, serial);
	assert_int_equal(rig_counters(t.rig, t.service).eligible, 2);
}

/* Whose engine it was ends it: the daemon counts its own. */
static void the_engine_may_be_another_one_by_then(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct talk after = {.rig = *state, .service = RIG_TCP4, .client_port = 40000, .client_first = 0x10000};
	struct talk last = {.rig = *state, .service = RIG_TCP4, .client_port = 40000, .client_first = 0x20000};

	talk_client(&t, SYN, -1U, 0);
	hear(&t, REPLAY_OPEN, 0, NULL, 0);
	set_engine(t.rig, t.service, SHADOW_INLINE);
	talk_open(&after);
	talk_assert_ended(&t, 2, SHADOW_ENDS);
	set_engine(t.rig, t.service, SHADOW_REPLAY);
	talk_client(&last, SYN, -1U, 0);
	hear(&last, REPLAY_OPEN, 0, NULL, 0);
	talk_assert_ended(&t, 3, SHADOW_STOPPED);
}

static void a_connection_that_began_unseen_is_counted_once(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP6, .client_port = 40000};

	for (int i = 0; i < 3; i++)
		talk_client(&t, ACK, 100 * i, 100);
	talk_client(&t, FIN | ACK, 300, 0);
	hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_MID_CONNECTION);
}

static void of_a_connection_that_is_over_nothing_is_told(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};

	talk_client(&t, SYN, -1U, 0);
	hear(&t, REPLAY_OPEN, 0, NULL, 0);
	talk_kick(&t, KICK_ABORT, SHADOW_STOPPED);
	talk_client(&t, ACK, 0, 100);
	hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_STOPPED);
}

static void a_connection_over_the_cap_is_ended(void **state)
{
	struct talk t = {.rig = *state, .service = RIG_TCP4, .client_port = 40000};
	struct shadow shadow = rig_shadow_get(t.rig, t.service);
	struct shadow_flow flow;
	__u32 sent = 0;

	shadow.packets_per_second = 1;
	rig_shadow_set(t.rig, t.service, &shadow);
	talk_client(&t, SYN, -1U, 0);
	hear(&t, REPLAY_OPEN, 0, NULL, 0);
	for (; sent < 70; sent++) {
		talk_client(&t, ACK, 10 * sent, 10);
		assert_true(talk_flow(&t, &flow));
		if (flow.flags & SHADOW_FLOW_OVER)
			break;
		hear(&t, REPLAY_DATA, 10 * sent, payload_of(&t, 10 * sent, 10), 10);
	}
	assert_in_range(sent, 60, 68);
	hear_nothing(&t);
	talk_assert_ended(&t, 1, SHADOW_OVER_CAP);
}

/* Its own connections with the shadow are the host's, and nobody else's. */
static void only_the_host_speaks_with_the_shadow(void **state)
{
	for (__u32 service = RIG_TCP4; service <= RIG_TCP6; service++) {
		struct talk t = {.rig = *state, .service = service, .source_port = 34567};
		struct segment s = talk_shadow_segment(&t, SYN | ACK, -1U, 0, 0);
		struct frame frame;

		talk_shadow_puts(&t, &s);
		assert_true(rig_host_gets(t.rig));
		talk_hear_nothing(&t);
		s.flags = SYN; /* from its server's port, to anything that listens here */
		s.to_port = 22;
		talk_shadow_puts(&t, &s);
		assert_false(rig_host_gets(t.rig));
		s = talk_shadow_segment(&t, SYN | ACK, -1U, 0, 0);
		s.to = service == RIG_TCP4 ? CLIENT4 : CLIENT6;
		talk_shadow_puts(&t, &s);
		assert_false(rig_host_gets(t.rig));
		rig_shadow_gets(t.rig, &frame);
		assert_int_equal(frame.data[frame.bytes - 20 + 13], RST);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
		TEST(the_daemon_hears_all_of_a_client),
		TEST(the_daemon_hears_of_a_reset),
		TEST(the_same_ports_may_be_used_again),
		TEST(the_engine_may_be_another_one_by_then),
		TEST(a_connection_that_began_unseen_is_counted_once),
		TEST(of_a_connection_that_is_over_nothing_is_told),
		TEST(a_connection_over_the_cap_is_ended),
		TEST(only_the_host_speaks_with_the_shadow),
	};

	return run_on_every_hook(tests);
}
