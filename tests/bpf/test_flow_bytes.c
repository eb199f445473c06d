// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Bytes of each flow: those of the IP packets that either side sent, as their own headers say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/bpf.h>
#include <string.h>

#include "connection.h"
#include "flows.h"

/* One connection, and what its sides have sent. */
struct talk {
	struct connection c;
	__u64 client_bytes;
	__u64 server_bytes;
};

static __u32 header_bytes(__u32 service)
{
	return (world_is_ipv6(service) ? 40 : 20) + (world_is_udp(service) ? 8 : 20);
}

static void client_sends_bytes(struct talk *t, __u8 flags, __u16 payload_bytes)
{
	client_says(&t->c, flags, payload_bytes);
	t->client_bytes += header_bytes(t->c.service) + payload_bytes;
}

static void server_sends_bytes(struct talk *t, __u8 flags, const char *payload)
{
	server_says(&t->c, flags, payload);
	t->server_bytes += header_bytes(t->c.service) + (payload ? strlen(payload) : 0);
}

static struct talk talk_of(void **state, __u32 service)
{
	struct connection c = {.fixture = *state, .service = service, .backend = service, .client_port = 40001};

	world_set_ports(c.fixture, service, 20000, 29999);
	return (struct talk){.c = c};
}

/* Promoted, idle, retransmitting, closing: nothing of it loses or doubles a byte. */
static void talk(struct talk *t, void (*check)(const struct talk *))
{
	t->c.client_next = 1000;
	t->c.server_next = 5000;
	client_sends_bytes(t, SYN, 0);
	check(t);
	t->c.client_next--; /* again */
	client_sends_bytes(t, SYN, 0);
	server_sends_bytes(t, SYN | ACK, NULL);
	check(t);
	client_sends_bytes(t, ACK, 0);
	check(t);
	for (int i = 0; i < 3; i++) {
		client_sends_bytes(t, ACK, 100 + i);
		server_sends_bytes(t, ACK, "HTTP/1.1 200 OK\r\n\r\n");
	}
	t->c.client_next -= 102; /* again */
	client_sends_bytes(t, ACK, 102);
	check(t);
	client_sends_bytes(t, FIN | ACK, 7);
	server_sends_bytes(t, FIN | ACK, "bye");
	client_sends_bytes(t, ACK, 0);
	check(t);
}

static void check_nat(const struct talk *t)
{
	struct source_port port;
	struct flow f;

	assert_true(connection_half_open(&t->c, &f) || connection_established(&t->c, &f));
	assert_true(connection_port(&t->c, &port));
	assert_int_equal(f.client.bytes, t->client_bytes);
	assert_int_equal(port.server.bytes, t->server_bytes);
}

static void check_sampled(const struct talk *t)
{
	struct flow_key key =
		world_flow_key(t->c.service, world_is_ipv6(t->c.service) ? CLIENT6 : CLIENT4, t->c.client_port);
	struct sampled_flow f;

	assert_true(flow_sampled(t->c.fixture, &key, &f));
	assert_int_equal(f.client.bytes, t->client_bytes);
	assert_int_equal(f.server.bytes, t->server_bytes);
}

static void check_tracked(const struct talk *t)
{
	struct flow f;

	assert_true(connection_half_open(&t->c, &f) || connection_established(&t->c, &f));
	assert_int_equal(f.client.bytes, t->client_bytes);
}

static void check_tracked_and_sampled(const struct talk *t)
{
	check_tracked(t);
	check_sampled(t);
}

static void a_nat_flow_counts_both_directions(void **state)
{
	static const __u32 services[] = {NAT4_TCP, NAT6_TCP};

	for (int i = 0; i < 2; i++) {
		struct talk t = talk_of(state, services[i]);

		talk(&t, check_nat);
		/* The next one with the same ports begins anew. */
		t.client_bytes = t.server_bytes = 0;
		talk(&t, check_nat);
	}
}

static void a_nat_flow_of_datagrams_counts_both_directions(void **state)
{
	static const __u32 services[] = {NAT4_UDP, NAT6_UDP};

	for (int i = 0; i < 2; i++) {
		struct talk t = talk_of(state, services[i]);

		client_sends_bytes(&t, 0, 10);
		check_nat(&t);
		server_sends_bytes(&t, 0, "answer");
		client_sends_bytes(&t, 0, 30);
		server_sends_bytes(&t, 0, "another");
		client_sends_bytes(&t, 0, 0);
		check_nat(&t);
	}
}

static void a_sampled_flow_counts_both_directions(void **state)
{
	static const __u32 services[] = {DNAT4_TCP, DNAT6_TCP};

	for (int i = 0; i < 2; i++) {
		struct talk t = talk_of(state, services[i]);

		talk(&t, check_sampled);
		t.client_bytes = t.server_bytes = 0;
		talk(&t, check_sampled);
	}
}

static void a_tracked_flow_counts_what_the_client_sends(void **state)
{
	static const __u32 services[] = {DNAT4_TCP, DNAT6_TCP};

	for (int i = 0; i < 2; i++) {
		struct talk t = talk_of(state, services[i]);

		t.c.backend = SECOND(services[i]);
		world_track(t.c.fixture, services[i], t.c.backend, services[i]);
		talk(&t, check_tracked_and_sampled);
		world_set_measure_mask(t.c.fixture, services[i], ~0U);
		t.client_bytes = t.server_bytes = 0;
		t.c.client_port++;
		talk(&t, check_tracked);
	}
}

/* It is older than the change: its bytes are known from then on. */
static void a_flow_that_is_met_on_its_way_counts_from_there(void **state)
{
	struct talk t = talk_of(state, DNAT4_TCP);

	world_set_measure_mask(t.c.fixture, DNAT4_TCP, ~0U);
	client_says(&t.c, SYN, 0);
	client_says(&t.c, ACK, 300);
	world_track(t.c.fixture, DNAT4_TCP, SECOND(DNAT4_TCP), DNAT4_TCP);
	client_sends_bytes(&t, ACK, 50);
	client_sends_bytes(&t, ACK, 0);
	check_tracked(&t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_nat_flow_counts_both_directions),
		TEST(a_nat_flow_of_datagrams_counts_both_directions),
		TEST(a_sampled_flow_counts_both_directions),
		TEST(a_tracked_flow_counts_what_the_client_sends),
		TEST(a_flow_that_is_met_on_its_way_counts_from_there),
	};

	return run_on_every_hook(tests);
}
