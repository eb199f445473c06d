// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is noted of production's replies on mirrored connections, by connections whose shadow has not answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <string.h>

#include "connection.h"
#include "headgate.skel.h"

static const __u32 tcp_services[] = {NAT4_TCP, NAT6_TCP, DNAT4_TCP, DNAT6_TCP};

#define FOR_EACH_TCP_SERVICE(service) for (const __u32 *service = tcp_services; service < tcp_services + 4; service++)

static int flows_of(const struct connection *c)
{
	return bpf_map__fd(c->fixture->skeleton->maps.shadow_flows);
}

static struct flow_key key_of(const struct connection *c)
{
	return world_flow_key(c->service, world_is_ipv6(c->service) ? CLIENT6 : CLIENT4, c->client_port);
}

static struct shadow_flow noted(const struct connection *c)
{
	struct flow_key key = key_of(c);
	struct shadow_flow flow;

	assert_true(map_get(flows_of(c), &key, &flow));
	return flow;
}

/* A service with a shadow, and a connection of it that is mirrored: @before is what is known of it. */
static struct connection mirrored(void **state, __u32 service, const struct shadow_flow *before)
{
	struct connection c = {.fixture = *state, .service = service, .backend = service, .client_port = 40001};
	struct flow_key key = key_of(&c);
	struct service s;

	world_set_ports(c.fixture, service, 20000, 29999);
	s = world_service_get(c.fixture, service);
	s.flags |= SERVICE_SHADOW;
	world_service_set(c.fixture, service, &s);
	map_set(flows_of(&c), &key, before);
	connection_begin(&c);
	return c;
}

/* The engine is not here to see the client's request. */
static void request(struct connection *c)
{
	struct flow_key key = key_of(c);
	struct shadow_flow flow = noted(c);

	client_says(c, ACK, 100);
	flow.request_ns[flow.requests++ % SHADOW_RESPONSES] = 1;
	map_set(flows_of(c), &key, &flow);
}

static void responses_are_noted_by_number_with_status_and_length(void **state)
{
	static const char first[] = "HTTP/1.1 200 OK\r\n\r\nbody", second[] = "HTTP/1.1 503 No\r\n\r\n";

	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = mirrored(state, *service, &(struct shadow_flow){});
		struct shadow_counters counters;
		struct shadow_flow flow;

		request(&c);
		server_says(&c, ACK, first);
		server_says(&c, ACK, "more");
		request(&c);
		server_says(&c, ACK, second);
		server_says(&c, FIN | ACK, NULL);
		flow = noted(&c);
		assert_int_equal(flow.production.begun, 2);
		assert_int_equal(flow.production.status[0], 2);
		assert_int_equal(flow.production.length[0], strlen(first) + 4);
		assert_int_equal(flow.production.status[1], 5);
		assert_int_equal(flow.production.length[1], strlen(second));
		assert_int_equal(flow.production.flags, SHADOW_SIDE_OPEN | SHADOW_SIDE_DONE);
		counters = fixture_shadow_counters(c.fixture, *service);
		assert_int_equal(counters.production_first_byte.count, 2);
		assert_int_equal(counters.first_byte.count, 0);
		assert_int_equal(counters.responses, 0);
	}
}

/* What has been answered by the shadow makes a pair when production has answered as well. */
static void a_pair_is_counted_when_production_is_the_slower_one(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct shadow_flow before = {
			.requests = 1,
			.shadow = {.begun = 1, .answered = 1, .flags = SHADOW_SIDE_OPEN | SHADOW_SIDE_DONE},
		};
		struct connection c;
		struct shadow_counters counters;

		before.shadow.status[0] = 4;
		before.shadow.length[0] = 19 + 8;
		c = mirrored(state, *service, &before);
		client_says(&c, ACK, 100);
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		assert_int_equal(fixture_shadow_counters(c.fixture, *service).compared, 0);
		server_says(&c, FIN | ACK, NULL);
		counters = fixture_shadow_counters(c.fixture, *service);
		assert_int_equal(counters.compared, 1);
		assert_int_equal(counters.matrix[2][4], 1);
		assert_int_equal(counters.difference[4], 1);
	}
}

static void of_a_connection_that_the_shadow_did_not_get_whole_nothing_is_noted(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = mirrored(state, *service, &(struct shadow_flow){.flags = SHADOW_FLOW_DEGRADED});
		struct shadow_flow flow;

		client_says(&c, ACK, 100);
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		flow = noted(&c);
		assert_int_equal(flow.production.flags, 0);
		assert_int_equal(flow.production.begun, 0);
	}
}

static void without_a_shadow_nothing_is_looked_for(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = mirrored(state, *service, &(struct shadow_flow){.requests = 1});
		struct service s = world_service_get(c.fixture, *service);
		struct shadow_flow flow;

		s.flags &= ~SERVICE_SHADOW;
		world_service_set(c.fixture, *service, &s);
		client_says(&c, ACK, 100);
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		flow = noted(&c);
		assert_int_equal(flow.production.begun, 0);
	}
}

/* A connection that is not mirrored is in no table, and is forwarded like any other. */
static void other_connections_of_the_service_are_not_noted(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = mirrored(state, *service, &(struct shadow_flow){});
		struct connection other = c;

		other.client_port = 40002;
		connection_begin(&other);
		client_says(&other, ACK, 100);
		server_says(&other, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		assert_int_equal(noted(&c).production.begun, 0);
		assert_int_equal(fixture_shadow_counters(c.fixture, *service).production_first_byte.count, 0);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(responses_are_noted_by_number_with_status_and_length),
		test(a_pair_is_counted_when_production_is_the_slower_one),
		test(of_a_connection_that_the_shadow_did_not_get_whole_nothing_is_noted),
		test(without_a_shadow_nothing_is_looked_for),
		test(other_connections_of_the_service_are_not_noted),
	};

	return run_on_every_hook(tests);
}
