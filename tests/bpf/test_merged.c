// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What TC sees merged by the kernel (GRO) counts as the packets that came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include <bpf/bpf.h>

#include "world.h"
#include "flows.h"

#define PIECE 8U    /* payload of each merged packet but the last */
#define PAYLOAD 21U /* three of them */
#define PIECES 3U

static void run_merged(struct fixture *f, const struct segment *s)
{
	struct __sk_buff skb = {.gso_size = PIECE};
	struct frame in, out;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &skb, .ctx_size_in = sizeof(skb), .data_in = in.data,
		    .data_out = out.data, .data_size_out = sizeof(out.data));

	frame_build(s, &in);
	opts.data_size_in = in.bytes;
	if (bpf_prog_test_run_opts(f->program, &opts))
		fail_msg("test run of %u bytes: %s", in.bytes, strerror(errno));
	assert_int_equal(opts.retval, TC_ACT_REDIRECT);
}

/* Of @s, had it come in pieces: each has all the headers. */
static __u64 bytes_apart(const struct segment *s)
{
	struct frame whole;

	frame_build(s, &whole);
	return PAYLOAD + PIECES * (whole.bytes - ETHERNET_BYTES - PAYLOAD);
}

static void merged_packets_count_as_they_came(void **state)
{
	static const __u32 services[] = {NAT4_TCP,  NAT6_TCP,   DNAT4_TCP,  DNAT6_TCP, NAT4_UDP,
					 DNAT6_UDP, L2DSR4_TCP, L2DSR6_TCP, NAT6_UDP,  DNAT4_UDP};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		struct segment request = world_request(services[i]);
		struct backend_counters c;

		request.payload_bytes = PAYLOAD;
		run_merged(f, &request);
		c = fixture_backend_counters(f, services[i]);
		assert_int_equal(c.client_packets, PIECES);
		assert_int_equal(c.client_bytes, bytes_apart(&request));
	}
}

static void merged_replies_too(void **state)
{
	static const __u32 services[] = {NAT4_TCP, NAT6_UDP, DNAT4_UDP, DNAT6_TCP};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		struct segment request = world_request(services[i]), reply = world_reply(services[i], services[i]);
		struct backend_counters c;

		world_send(f, &request);
		reply.payload_bytes = PAYLOAD;
		reply.flags = ACK;
		run_merged(f, &reply);
		c = fixture_backend_counters(f, services[i]);
		assert_int_equal(c.server_packets, PIECES);
		assert_int_equal(c.server_bytes, bytes_apart(&reply));
	}
}

static void flows_count_the_bytes_of_merged_packets(void **state)
{
	struct fixture *f = *state;
	struct segment request = world_request(NAT4_TCP), more = request;
	struct flow_key key = world_flow_key(NAT4_TCP, CLIENT4, CLIENT_PORT);
	struct flow before, after;

	world_send(f, &request);
	assert_true(flow_half_open(f, &key, &before));
	more.flags = ACK;
	more.sequence = 1;
	more.payload_bytes = PAYLOAD;
	run_merged(f, &more);
	assert_true(flow_half_open(f, &key, &after));
	assert_int_equal(after.client.bytes - before.client.bytes, bytes_apart(&more));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(merged_packets_count_as_they_came),
		TEST(merged_replies_too),
		TEST(flows_count_the_bytes_of_merged_packets),
	};

	fixture_hook = HOOK_TC;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
