// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The short way of the XDP hook does what the whole way does. A frame with a VLAN tag is never plain: what becomes of
 * the same connection with a tag on each frame and without is compared, and all that is kept and counted of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bucket.h"
#include "connection.h"
#include "flows.h"
#include "hash.h"
#include "util.h"

#define TAG_AT 12
#define STEPS_MAX 32
#define CLIENT_AT 1000U /* where both sides' sequence numbers begin */
#define SERVER_AT 5000U
#define OPENED 3   /* the first of tcp_steps that is within the connection, */
#define ENDING 13  /* and the one after the last; */
#define REQUESTS 5 /* those between that the client sends */
#define OK_LINE "HTTP/1.1 200 OK\r\n\r\n"

struct step {
	bool reply;
	__u8 flags;
	__u32 at; /* bytes that its side has sent before */
	__u32 acknowledged;
	__u16 payload_bytes;
	const char *payload;
	__u8 traffic_class;
	__u8 hops;
};

/* A connection as it may go, with what is told apart: requests in parts, repeated segments, late ones, an end. */
static const struct step tcp_steps[] = {
	{.flags = SYN},
	{.reply = true, .flags = SYN | ACK, .acknowledged = 1},
	{.flags = ACK, .at = 1, .acknowledged = 1},
	{.flags = ACK, .at = 1, .acknowledged = 1, .payload_bytes = 300, .traffic_class = 0xb8},
	{.flags = ACK, .at = 301, .acknowledged = 1, .payload_bytes = 20, .traffic_class = 3},
	{.flags = ACK, .at = 1, .acknowledged = 1, .payload_bytes = 300},
	{.reply = true, .flags = ACK, .at = 1, .acknowledged = 321},
	{.reply = true, .flags = ACK, .at = 1, .acknowledged = 321, .payload = OK_LINE},
	{.reply = true, .flags = ACK, .at = 20, .acknowledged = 321, .payload_bytes = 900, .traffic_class = 1},
	{.reply = true, .flags = ACK, .at = 1, .acknowledged = 321, .payload = OK_LINE},
	{.flags = ACK, .at = 321, .acknowledged = 920, .hops = 40},
	{.flags = ACK, .at = 321, .acknowledged = 920, .payload_bytes = 1},
	{.reply = true, .flags = ACK, .at = 920, .acknowledged = 322, .payload_bytes = 7, .hops = 62},
	{.flags = ACK, .at = 322, .acknowledged = 927, .hops = 63}, /* has no hop left */
	{.flags = ACK, .at = 322, .acknowledged = 927, .hops = 62},
	{.reply = true, .flags = ACK, .at = 927, .acknowledged = 322, .hops = 63},
	{.flags = FIN | ACK, .at = 322, .acknowledged = 927},
	{.reply = true, .flags = ACK, .at = 927, .acknowledged = 323, .payload_bytes = 5},
	{.reply = true, .flags = FIN | ACK, .at = 932, .acknowledged = 323},
	{.flags = ACK, .at = 323, .acknowledged = 933},
	{.flags = RST, .at = 323},
};

/* Another one, which its server ends. */
static const struct step refused_steps[] = {
	{.flags = SYN},
	{.reply = true, .flags = SYN | ACK, .acknowledged = 1},
	{.flags = ACK, .at = 1, .acknowledged = 1, .payload_bytes = 300},
	{.reply = true, .flags = RST | ACK, .at = 1, .acknowledged = 301},
	{.flags = SYN, .at = 100000},
};

static const struct step udp_steps[] = {
	{.payload_bytes = 100},
	{.reply = true, .payload_bytes = 30},
	{.payload_bytes = 0, .traffic_class = 0xb9},
	{.payload_bytes = 1400},
	{.reply = true, .payload_bytes = 900, .hops = 9},
};

/* Others' entries, that leave a connection's but one free in each table: so far from its place, or none are there. */
static struct {
	__u32 distance[FLOW_TABLES];
	bool namesakes; /* with the print of the connection's; ports have none */
	bool is_away;
} crowd;

/* The step before which the slot of a tracked connection moves away from it, or 0. */
static size_t moves_before;

/* What is kept and counted of a connection, without times. */
struct kept {
	enum outcome outcome[STEPS_MAX];
	struct frame out[STEPS_MAX];
	struct flow half_open, established;
	struct source_port port;
	struct sampled_flow sampled;
	struct backend_counters traffic;
	struct measurements measured;
	struct service_counters service;
};

static bool replies_come_by(__u32 service)
{
	return world_mode(service) == FORWARD_NAT || world_mode(service) == FORWARD_DNAT;
}

static struct segment segment_of(__u32 service, __u32 backend, const struct step *step)
{
	struct segment s = step->reply ? world_reply(service, backend) : world_request(service);

	s.flags = step->flags;
	s.sequence = (step->reply ? SERVER_AT : CLIENT_AT) + step->at;
	s.acknowledged = (step->reply ? CLIENT_AT : SERVER_AT) + step->acknowledged;
	s.payload_bytes = step->payload ? strlen(step->payload) : step->payload_bytes;
	s.payload = step->payload;
	s.traffic_class = step->traffic_class;
	s.hops = step->hops;
	return s;
}

static void tag(struct frame *f)
{
	memmove(f->data + TAG_AT + VLAN_BYTES, f->data + TAG_AT, f->bytes - TAG_AT);
	put16(f->data + TAG_AT, 0x8100);
	put16(f->data + TAG_AT + 2, 7);
	f->bytes += VLAN_BYTES;
}

static void untag(struct frame *f)
{
	assert_int_equal(get16(f->data + TAG_AT), 0x8100);
	memmove(f->data + TAG_AT, f->data + TAG_AT + VLAN_BYTES, f->bytes - TAG_AT - VLAN_BYTES);
	f->bytes -= VLAN_BYTES;
}

static const char *client_of(__u32 service)
{
	return world_is_ipv6(service) ? CLIENT6 : CLIENT4;
}

static struct connection connection_of(struct fixture *f, __u32 service, __u32 backend)
{
	return (struct connection){.fixture = f,
				   .service = service,
				   .backend = backend,
				   .client_port = CLIENT_PORT,
				   .source_port = SOURCE_PORT};
}

static void crowd_table(struct fixture *f, enum flow_table table, const struct place *place, const void *other)
{
	__u32 print = crowd.namesakes && table != FLOW_TABLE_PORTS ? place->print : ~place->print & TAG_PRINT;

	if (crowd.distance[table] && !crowd.is_away)
		flows_fill_but(f, table, (place->first + crowd.distance[table]) % BUCKET_ENTRIES, print, other);
}

/* Another client's, who is at the third backend: whoever is taken for it goes there. */
static void crowd_in(struct fixture *f, __u32 service, __u32 backend)
{
	struct flow_key key = world_flow_key(service, client_of(service), CLIENT_PORT);
	struct flow_key other = world_flow_key(service, client_of(service), CLIENT_PORT + 1);
	struct flow_entry flow = {.key = other, .flow = {.backend = THIRD(service), .source_port = htons(999)}};
	struct sampled_entry sampled = {.key = other, .flow = {.backend = THIRD(service)}};
	struct source_port port = {.flow = other, .backend = THIRD(service), .port = htons(999)};
	struct connection c = connection_of(f, service, backend);
	const struct flow_layout *layout = f->flow_tables.layout;
	struct source_port_key port_key = connection_port_key(&c);
	__u64 hash = hash_flow(layout->secret, &key);
	struct place place;

	flow.flow.source = port.source = world_is_ipv6(service) ? SOURCE6 : SOURCE4;
	place = place_of(hash, layout->flow_buckets);
	crowd_table(f, FLOW_TABLE_FLOWS, &place, &flow);
	place = place_of(hash, layout->sampled_buckets);
	crowd_table(f, FLOW_TABLE_SAMPLED, &place, &sampled);
	place = place_of(hash_source_port(&port_key), layout->port_buckets);
	crowd_table(f, FLOW_TABLE_PORTS, &place, &port);
}

static void forget_histogram_times(struct histogram *h)
{
	h->sum_ns = 0;
	memset(h->bucket, 0, sizeof(h->bucket));
}

static void keep(struct fixture *f, __u32 service, __u32 backend, struct kept *ret)
{
	struct flow_key key = world_flow_key(service, client_of(service), CLIENT_PORT);
	struct connection c = connection_of(f, service, backend);

	connection_half_open(&c, &ret->half_open);
	connection_established(&c, &ret->established);
	if (world_mode(service) == FORWARD_NAT)
		connection_port(&c, &ret->port);
	flow_sampled(f, &key, &ret->sampled);
	ret->traffic = fixture_backend_counters(f, backend);
	ret->measured = fixture_measurements(f, backend);
	ret->service = fixture_service_counters(f, service);
	ret->half_open.seen = ret->half_open.opened = ret->established.seen = ret->established.opened = 0;
	ret->half_open.drained = !!ret->half_open.drained;
	ret->established.drained = !!ret->established.drained;
	ret->port.seen = ret->sampled.seen = 0;
	ret->port.server.opened_ns = ret->sampled.server.opened_ns = 0;
	ret->port.server.request_ns = !!ret->port.server.request_ns;
	ret->sampled.server.request_ns = !!ret->sampled.server.request_ns;
	forget_histogram_times(&ret->measured.handshake);
	forget_histogram_times(&ret->measured.first_byte);
	forget_histogram_times(&ret->measured.duration);
}

/* The first @count steps. */
static void run_steps(struct fixture *f, __u32 service, __u32 backend, const struct step *steps, size_t count,
		      bool tagged, struct kept *ret)
{
	struct frame in;

	memset(ret, 0, sizeof(*ret));
	fixture_reset(f);
	crowd_in(f, service, backend);
	if (moves_before)
		world_track(f, service, backend, service);
	for (size_t i = 0; i < count; i++) {
		struct segment s = segment_of(service, backend, &steps[i]);

		if (moves_before && i == moves_before)
			world_track(f, service, THIRD(service), backend);
		if (steps[i].reply && !replies_come_by(service))
			continue;
		frame_build(&s, &in);
		if (tagged)
			tag(&in);
		ret->outcome[i] = fixture_run(f, &in, &ret->out[i]);
		if (tagged)
			untag(&ret->out[i]);
	}
	keep(f, service, backend, ret);
}

static bool same(__u32 service, size_t count, const struct kept *plain, const struct kept *whole)
{
	bool same = true;

	for (size_t i = 0; i < count; i++) {
		if (plain->outcome[i] == whole->outcome[i] && frame_equal(&plain->out[i], &whole->out[i]))
			continue;
		fprintf(stderr, "service %u, step %zu: %d, and not %d\n", service, i, plain->outcome[i],
			whole->outcome[i]);
		frame_print_difference(&plain->out[i], &whole->out[i]);
		same = false;
	}
#define SAME(what)                                                                                                     \
	if (memcmp(&plain->what, &whole->what, sizeof(plain->what)) != 0) {                                            \
		fprintf(stderr, "service %u after %zu steps: another " #what "\n", service, count);                    \
		same = false;                                                                                          \
	}
	SAME(half_open)
	SAME(established)
	SAME(port)
	SAME(sampled)
	SAME(traffic)
	SAME(measured)
	SAME(service)
#undef SAME
	return same;
}

/* After each step, since later ones may hide what an earlier one left. */
static size_t compare_ways(struct fixture *f, __u32 service, __u32 backend)
{
	static struct kept plain, whole;
	const struct step *steps = world_is_udp(service) ? udp_steps : tcp_steps;
	size_t count = world_is_udp(service) ? ARRAY_SIZE(udp_steps) : ARRAY_SIZE(tcp_steps);
	size_t wrong = 0;

	for (size_t i = 1; i <= count; i++) {
		run_steps(f, service, backend, steps, i, false, &plain);
		run_steps(f, service, backend, steps, i, true, &whole);
		wrong += !same(service, i, &plain, &whole);
	}
	return wrong;
}

static void settled_connections_fare_alike_in_every_mode(void **state)
{
	size_t wrong = 0;

	for (__u32 service = NAT4_TCP; service <= WORLD_LAST; service = world_next(service))
		wrong += compare_ways(*state, service, service);
	assert_int_equal(wrong, 0);
}

static void tracked_connections_fare_alike_in_every_mode(void **state)
{
	size_t wrong = 0;

	for (__u32 service = NAT4_TCP; service <= DNAT6_UDP; service = world_next(service)) {
		world_track(*state, service, SECOND(service), service);
		wrong += compare_ways(*state, service, SECOND(service));
		world_settle(*state, service, service);
	}
	assert_int_equal(wrong, 0);
}

/* Each table has its own distance, so that none is found by another one's number. */
static void crowd_begin(__u32 distance, bool namesakes)
{
	for (enum flow_table table = 0; table < FLOW_TABLES; table++)
		crowd.distance[table] = (distance + 5 * table) % BUCKET_ENTRIES;
	crowd.namesakes = namesakes;
}

static int crowd_end(void **state)
{
	memset(&crowd, 0, sizeof(crowd));
	return world_teardown(state);
}

/* On either way, and after each step, as if it was alone. */
static size_t compare_with_crowd(struct fixture *f, __u32 service, __u32 backend, const struct step *steps,
				 size_t count)
{
	static struct kept alone, plain, whole;
	size_t wrong = 0;

	for (size_t i = 1; i <= count; i++) {
		crowd.is_away = true;
		run_steps(f, service, backend, steps, i, false, &alone);
		crowd.is_away = false;
		run_steps(f, service, backend, steps, i, false, &plain);
		run_steps(f, service, backend, steps, i, true, &whole);
		wrong += !same(service, i, &alone, &plain) || !same(service, i, &alone, &whole);
	}
	return wrong;
}

/* All entries but one are others', which may have the print of a connection's hash. */
static void tracked_connections_in_a_crowd_fare_as_if_alone(void **state)
{
	static const __u32 distances[] = {1, 7, 8, 29};
	size_t wrong = 0;

	for (__u32 service = NAT4_TCP; service <= DNAT6_TCP; service += 2) {
		world_track(*state, service, SECOND(service), service);
		for (size_t i = 0; i < 2 * ARRAY_SIZE(distances); i++) {
			crowd_begin(distances[i / 2], i & 1);
			wrong += compare_with_crowd(*state, service, SECOND(service), tcp_steps, ARRAY_SIZE(tcp_steps));
		}
		/* Of namesakes, from here on. */
		wrong += compare_with_crowd(*state, service, SECOND(service), refused_steps, ARRAY_SIZE(refused_steps));
		moves_before = OPENED;
		world_set_reset_below(*state, SECOND(service), RESET_EVERYONE);
		wrong += compare_with_crowd(*state, service, SECOND(service), tcp_steps, ENDING);
		world_set_reset_below(*state, SECOND(service), 0);
		moves_before = 0;
		world_settle(*state, service, service);
	}
	assert_int_equal(wrong, 0);
}

static void connections_that_are_not_measured_fare_alike(void **state)
{
	size_t wrong = 0;

	for (__u32 service = NAT4_TCP; service <= DNAT6_UDP; service = world_next(service)) {
		if (world_mode(service) != FORWARD_DNAT)
			continue;
		world_set_measure_mask(*state, service, ~0U);
		wrong += compare_ways(*state, service, service);
	}
	assert_int_equal(wrong, 0);
}

static void connections_of_clients_with_affinity_fare_alike(void **state)
{
	size_t wrong = 0;

	for (__u32 service = NAT4_TCP; service <= WORLD_LAST; service = world_next(service)) {
		struct service s = world_service_get(*state, service);

		s.flags |= SERVICE_CLIENT_AFFINITY;
		world_service_set(*state, service, &s);
		wrong += compare_ways(*state, service, service);
	}
	assert_int_equal(wrong, 0);
}

/* Not where a connection's turn has come, and where it has. */
static void tracked_connections_that_are_drained_fare_alike(void **state)
{
	size_t wrong = 0;

	for (__u32 service = NAT4_TCP; service <= DNAT6_UDP; service = world_next(service)) {
		for (__u32 below = 1; below <= RESET_EVERYONE; below += RESET_EVERYONE - 1) {
			world_track(*state, service, SECOND(service), service);
			moves_before = OPENED;
			world_set_reset_below(*state, SECOND(service), below);
			wrong += compare_ways(*state, service, SECOND(service));
			world_set_reset_below(*state, SECOND(service), 0);
			moves_before = 0;
			world_settle(*state, service, service);
		}
	}
	assert_int_equal(wrong, 0);
}

static void tracked_links_too_small_are_told_alike(void **state)
{
	size_t wrong = 0;

	for (__u32 service = NAT4_TCP; service <= DNAT6_UDP; service = world_next(service)) {
		world_track(*state, service, SECOND(service), service);
		world_set_mtu(*state, SECOND(service), 360);
		wrong += compare_ways(*state, service, SECOND(service));
		world_set_mtu(*state, SECOND(service), 0);
		world_settle(*state, service, service);
	}
	assert_int_equal(wrong, 0);
}

static void links_too_small_are_told_alike(void **state)
{
	size_t wrong = 0;

	for (__u32 service = NAT4_TCP; service <= WORLD_LAST; service = world_next(service)) {
		world_set_mtu(*state, service, 360);
		wrong += compare_ways(*state, service, service);
		world_set_mtu(*state, service, 0);
	}
	assert_int_equal(wrong, 0);
}

/* Takes a program of the whole way out, so that what needs it passes. Return: it. */
static int take_part(struct fixture *f, __u32 part)
{
	int parts = fixture_map(f, "xdp_parts");
	__u32 id = 0;

	assert_true(map_get(parts, &part, &id));
	assert_int_equal(bpf_map_delete_elem(parts, &part), 0);
	return bpf_prog_get_fd_by_id(id);
}

static void put_part(struct fixture *f, __u32 part, int program)
{
	map_set(fixture_map(f, "xdp_parts"), &part, &program);
	close(program);
}

/* Return: how many of the steps of tcp_steps that are within a connection were not forwarded without the whole way,
 * once that had done the first @seen ones. */
static size_t short_of(struct fixture *f, __u32 service, __u32 backend, size_t seen)
{
	static struct kept kept;
	size_t wrong = 0;
	struct frame in;
	int part[2];

	run_steps(f, service, backend, tcp_steps, seen, false, &kept);
	for (__u32 i = 0; i < 2; i++)
		part[i] = take_part(f, i);
	for (size_t i = OPENED; i < ENDING; i++) {
		struct segment s = segment_of(service, backend, &tcp_steps[i]);

		if (tcp_steps[i].reply && !replies_come_by(service))
			continue;
		frame_build(&s, &in);
		if (fixture_run(f, &in, &kept.out[i]) == SENT)
			continue;
		if (!crowd.namesakes)
			fprintf(stderr, "service %u: step %zu took the whole way\n", service, i);
		wrong++;
	}
	for (__u32 i = 0; i < 2; i++)
		put_part(f, i, part[i]);
	return wrong;
}

static void what_is_within_a_connection_takes_the_short_way(void **state)
{
	size_t wrong = 0;

	for (__u32 service = NAT4_TCP; service <= WORLD_LAST; service = world_next(service))
		if (!world_is_udp(service))
			wrong += short_of(*state, service, service, OPENED);
	assert_int_equal(wrong, 0);
}

/* That it needs no function to find them, and none of the other programs. */
static void what_is_far_from_its_place_takes_the_short_way(void **state)
{
	size_t wrong = 0;

	for (__u32 distance = 1; distance < BUCKET_ENTRIES; distance += 7) {
		crowd_begin(distance, false);
		for (__u32 service = NAT4_TCP; service <= DNAT6_TCP; service += 2) {
			wrong += short_of(*state, service, service, OPENED);
			world_track(*state, service, SECOND(service), service);
			wrong += short_of(*state, service, SECOND(service), OPENED);
			world_settle(*state, service, service);
		}
	}
	assert_int_equal(wrong, 0);
}

/* But not who may be somebody else at first sight: in nat requests, as ports have a print each, in dnat whatever is
 * measured. */
static void who_shares_a_print_takes_the_whole_way(void **state)
{
	crowd_begin(8, true);
	for (__u32 service = NAT4_TCP; service <= DNAT6_TCP; service += 2) {
		size_t whole = short_of(*state, service, service, OPENED);

		assert_int_equal(whole, world_mode(service) == FORWARD_NAT ? REQUESTS : ENDING - OPENED);
	}
}

static void who_is_measured_and_was_not_seen_to_open_takes_the_short_way(void **state)
{
	size_t wrong = short_of(*state, DNAT4_TCP, DNAT4_TCP, 0) + short_of(*state, DNAT6_TCP, DNAT6_TCP, 0);

	assert_int_equal(wrong, 0);
}

/* The text of an IPv4 address, not its own, whose end with the same port and protocol has the same place. */
static const char *sharer_of(const char *address, __u16 port, __u8 protocol)
{
	static char text[INET_ADDRSTRLEN];
	struct address own = address_of(address), other = own;
	__u32 place = hash_end(address_fold(&own), htons(port), protocol);

	for (__u32 n = 1;; n++) {
		other.word[3] = htonl(0x0a400000 + n);
		if (hash_end(address_fold(&other), htons(port), protocol) == place)
			return inet_ntop(AF_INET, &other.word[3], text, sizeof(text));
	}
}

static void who_shares_a_place_with_an_end_is_not_taken_for_it(void **state)
{
	struct segment request = world_request(DNAT4_TCP), reply = world_reply(DNAT4_TCP, DNAT4_TCP);

	assert_int_equal(world_backend_of(*state, &request), DNAT4_TCP);
	request.to = sharer_of(request.to, request.to_port, IPPROTO_TCP);
	assert_true(world_becomes(*state, "a stranger's request", &request, PASSED, NULL));
	reply.from = sharer_of(reply.from, reply.from_port, IPPROTO_TCP);
	assert_true(world_becomes(*state, "a stranger's reply", &reply, PASSED, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(settled_connections_fare_alike_in_every_mode, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(tracked_connections_fare_alike_in_every_mode, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(tracked_connections_in_a_crowd_fare_as_if_alone, world_setup,
						crowd_end),
		cmocka_unit_test_setup_teardown(connections_that_are_not_measured_fare_alike, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(connections_of_clients_with_affinity_fare_alike, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(links_too_small_are_told_alike, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(tracked_links_too_small_are_told_alike, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(tracked_connections_that_are_drained_fare_alike, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(who_shares_a_place_with_an_end_is_not_taken_for_it, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(what_is_within_a_connection_takes_the_short_way, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(what_is_far_from_its_place_takes_the_short_way, world_setup, crowd_end),
		cmocka_unit_test_setup_teardown(who_shares_a_print_takes_the_whole_way, world_setup, crowd_end),
		cmocka_unit_test_setup_teardown(who_is_measured_and_was_not_seen_to_open_takes_the_short_way,
						world_setup, world_teardown),
	};

	fixture_hook = HOOK_XDP;
	return cmocka_run_group_tests_name("xdp", tests, NULL, NULL);
}
