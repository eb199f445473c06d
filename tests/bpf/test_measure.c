// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the programs count of connections, by segments whose meaning is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <time.h>

#include "connection.h"
#include "flows.h"
#include "hash.h"

static const __u32 tcp_services[] = {NAT4_TCP, NAT6_TCP, DNAT4_TCP, DNAT6_TCP};

#define FOR_EACH_TCP_SERVICE(service) for (const __u32 *service = tcp_services; service < tcp_services + 4; service++)

static struct connection connection_of(void **state, __u32 service)
{
	struct connection c = {.fixture = *state, .service = service, .backend = service, .client_port = 40001};

	world_set_ports(c.fixture, service, 20000, 29999);
	return c;
}

static struct connection begun(void **state, __u32 service)
{
	struct connection c = connection_of(state, service);

	connection_begin(&c);
	return c;
}

#define FIELD(name)                                                                                                    \
	{                                                                                                              \
#name, offsetof(struct measurements, name)                                                             \
	}

static const struct {
	const char *name;
	size_t offset;
} fields[] = {
	FIELD(measured),
	FIELD(established),
	FIELD(refused),
	FIELD(closed),
	FIELD(reset_by_client),
	FIELD(reset_by_server),
	FIELD(reset_by_drain),
	FIELD(requests),
	FIELD(responses),
	FIELD(status[0]),
	FIELD(status[1]),
	FIELD(status[2]),
	FIELD(status[3]),
	FIELD(status[4]),
	FIELD(status[5]),
	FIELD(client_retransmissions),
	FIELD(server_retransmissions),
	FIELD(unmeasured),
	FIELD(given_up),
	FIELD(handshake.count),
	FIELD(first_byte.count),
	FIELD(duration.count),
};

/* Compares every count; times are compared where they are tested. */
static void assert_measured_at(struct fixture *f, __u32 backend, struct measurements wanted, int line)
{
	struct measurements got = fixture_measurements(f, backend);

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		__u64 is = *(__u64 *)((char *)&got + fields[i].offset);
		__u64 should = *(__u64 *)((char *)&wanted + fields[i].offset);

		if (is != should)
			fail_msg("line %d: %s of backend %u is %llu, not %llu", line, fields[i].name, backend, is,
				 should);
	}
}

#define assert_measured(connection, ...)                                                                               \
	assert_measured_at((connection).fixture, (connection).backend, (struct measurements){__VA_ARGS__}, __LINE__)

/* A connection that has been established, and more. */
#define ESTABLISHED .measured = 1, .established = 1, .handshake.count = 1
#define OVER ESTABLISHED, .duration.count = 1

static void close_it(struct connection *c)
{
	client_says(c, FIN | ACK, 0);
	server_says(c, FIN | ACK, NULL);
	client_says(c, ACK, 0);
}

/*
 * A client that gave up, and uses the port again. In nat the first one's port entry is still there, and the daemon
 * counts it as failed when it goes.
 */
static void a_syn_with_another_sequence_number_is_another_connection(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = connection_of(state, *service);
		struct segment syn = connection_request(&c, SYN);

		syn.sequence = CLIENT_SEQUENCE + 12345;
		world_send(c.fixture, &syn);
		world_send(c.fixture, &syn);
		connection_begin(&c);
		assert_measured(c, .measured = 2, .established = 1, .handshake.count = 1,
				.given_up = world_is_dnat(*service));
		assert_int_equal(fixture_backend_counters(c.fixture, c.backend).opened, 2);
	}
}

/* Its SYN-ACK came, so it did not fail; and what is established is no longer another's to begin. */
static void only_an_unanswered_connection_is_given_up(void **state)
{
	struct connection c = connection_of(state, DNAT4_TCP);
	struct segment syn = connection_request(&c, SYN);

	c.source_port = c.client_port;
	syn.sequence = CLIENT_SEQUENCE + 12345;
	world_send(c.fixture, &syn);
	server_sends(&c, SYN | ACK);
	connection_begin(&c);
	assert_measured(c, .measured = 2, .established = 1, .handshake.count = 2);
	world_send(c.fixture, &syn);
	assert_measured(c, .measured = 2, .established = 1, .handshake.count = 2);
	assert_int_equal(fixture_backend_counters(c.fixture, c.backend).opened, 2);
	server_says(&c, RST, NULL);
	world_send(c.fixture, &syn);
	server_sends(&c, RST | ACK);
	syn.sequence++;
	world_send(c.fixture, &syn);
	assert_measured(c, .measured = 4, .established = 1, .handshake.count = 2, .reset_by_server = 1, .refused = 1,
			.duration.count = 2);
}

static void a_connection_with_one_request_is_counted_once_everywhere(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = connection_of(state, *service);
		struct segment syn = connection_request(&c, SYN);

		syn.sequence = CLIENT_SEQUENCE;
		world_send(c.fixture, &syn);
		assert_measured(c, .measured = 1);
		c = begun(state, *service); /* its SYN again, and the rest */
		assert_measured(c, ESTABLISHED);
		server_sends(&c, SYN | ACK);
		client_says(&c, ACK, 0);
		assert_measured(c, ESTABLISHED);
		client_says(&c, ACK, 80);
		server_says(&c, ACK, NULL);
		assert_measured(c, ESTABLISHED, .requests = 1);
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		client_says(&c, ACK, 0);
		close_it(&c);
		assert_measured(c, OVER, .requests = 1, .responses = 1, .status[2] = 1, .first_byte.count = 1,
				.closed = 1);
		assert_int_equal(fixture_backend_counters(c.fixture, c.backend).opened, 1);
	}
}

static void a_keepalive_connection_counts_every_request_and_its_status(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 100 Continue\r\n\r\n",  "HTTP/1.1 200 OK\r\n\r\n",          "HTTP/1.1 301 Moved\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 503 Unavailable\r\n\r\n", "HTTP/1.0 204 No Content\r\n\r\n",
	};

	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
			client_says(&c, ACK, 200);
			server_says(&c, ACK, answers[i]);
			client_says(&c, ACK, 0);
		}
		assert_measured(c, ESTABLISHED, .requests = 6, .responses = 6, .first_byte.count = 6,
				.status = {0, 1, 2, 1, 1, 1});
	}
}

/* So as what a client says before it has heard anything. */
static void pipelined_and_long_requests_are_one(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		for (int i = 0; i < 5; i++) {
			client_says(&c, ACK, 300);
			server_says(&c, ACK, NULL);
		}
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		server_says(&c, ACK, "HTTP/1.1 500 Error\r\n\r\n");
		assert_measured(c, ESTABLISHED, .requests = 1, .responses = 1, .status[2] = 1, .first_byte.count = 1);
	}
}

static void a_long_answer_is_one_response(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		client_says(&c, ACK, 100);
		for (int i = 0; i < 5; i++) {
			server_says(&c, ACK, "HTTP/1.1 404 Not Found\r\n\r\n");
			client_says(&c, ACK, 0);
		}
		assert_measured(c, ESTABLISHED, .requests = 1, .responses = 1, .status[4] = 1, .first_byte.count = 1);
	}
}

static void what_a_server_says_first_is_no_response(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		server_says(&c, ACK, "220 ready\r\n");
		assert_measured(c, ESTABLISHED);
		client_says(&c, ACK, 10);
		server_says(&c, ACK, "250 hello\r\n");
		assert_measured(c, ESTABLISHED, .requests = 1, .responses = 1, .status[0] = 1, .first_byte.count = 1);
	}
}

static void only_an_http_1_status_line_has_a_class(void **state)
{
	static const struct {
		const char *line;
		__u32 class;
	} cases[] = {
		{"HTTP/1.1 200", 2},      {"HTTP/1.1 20", 0},         {"HTTP/1.0 500 Error", 5},
		{"HTTP/2.0 200 OK", 0},   {"HTTP/1.1 600 Future", 0}, {"HTTP/1.1 099 Past", 0},
		{"HTTP/1.1  200 OK", 0},  {"http/1.1 200 OK", 0},     {"\x16\x03\x03 TLS record", 0},
		{"SSH-2.0-something", 0}, {"XHTTP/1.1 200 OK", 0},    {"2", 0},
	};

	FOR_EACH_TCP_SERVICE(service)
	{
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct connection c = begun(state, *service);
			struct measurements wanted = {ESTABLISHED, .requests = 1, .responses = 1,
						      .first_byte.count = 1};

			wanted.status[cases[i].class] = 1;
			client_says(&c, ACK, 100);
			server_says(&c, ACK, cases[i].line);
			assert_measured_at(c.fixture, c.backend, wanted, __LINE__);
			fixture_reset(c.fixture);
		}
	}
}

static void data_that_comes_again_is_a_retransmission_and_nothing_else(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);
		struct connection before = c;

		client_says(&c, ACK, 100);
		client_says(&before, ACK, 100);
		before = c;
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		server_says(&before, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		assert_measured(c, ESTABLISHED, .requests = 1, .responses = 1, .status[2] = 1, .first_byte.count = 1,
				.client_retransmissions = 1, .server_retransmissions = 1);

		/* A client that has heard the answer meanwhile acknowledges more, and says nothing new all the same. */
		before = c;
		before.client_next -= 100;
		client_says(&before, ACK, 100);
		client_says(&c, ACK, 0);
		client_says(&c, ACK, 0);
		server_says(&c, ACK, NULL);
		assert_measured(c, ESTABLISHED, .requests = 1, .responses = 1, .status[2] = 1, .first_byte.count = 1,
				.client_retransmissions = 2, .server_retransmissions = 1);

		/* With something new behind it, it is not. */
		c.client_next -= 50;
		client_says(&c, ACK, 100);
		c.server_next -= 5;
		server_says(&c, ACK, "HTTP/1.1 404 Not Found\r\n\r\n");
		assert_measured(c, ESTABLISHED, .requests = 2, .responses = 2, .status[2] = 1, .status[4] = 1,
				.first_byte.count = 2, .client_retransmissions = 2, .server_retransmissions = 1);
	}
}

/* A segment that completes the handshake, carries a request and ends the client's side. */
static void one_segment_may_be_everything(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = connection_of(state, *service);

		c.client_next = 5000;
		c.server_next = 7000;
		client_says(&c, SYN, 0);
		server_says(&c, SYN | ACK, NULL);
		client_says(&c, FIN | ACK, 50);
		server_says(&c, FIN | ACK, "HTTP/1.1 200 OK\r\n\r\n");
		assert_measured(c, OVER, .requests = 1, .responses = 1, .status[2] = 1, .first_byte.count = 1,
				.closed = 1);
	}
}

static void a_refusal_is_counted_once(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = connection_of(state, *service);

		client_says(&c, SYN, 0);
		server_says(&c, RST | ACK, NULL);
		server_says(&c, RST | ACK, NULL);
		assert_measured(c, .measured = 1, .refused = 1, .duration.count = 1);
	}
}

static void a_wrong_acknowledgement_establishes_nothing(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = connection_of(state, *service);

		c.client_next = 1000;
		c.server_next = 2000;
		client_says(&c, SYN, 0);
		client_says(&c, ACK, 0);
		assert_measured(c, .measured = 1);
		server_says(&c, SYN | ACK, NULL);
		c.server_next = 1 << 30;
		client_says(&c, ACK, 0);
		assert_measured(c, .measured = 1, .handshake.count = 1);
		c.server_next = 2001;
		client_says(&c, ACK, 0);
		client_says(&c, ACK, 0);
		assert_measured(c, ESTABLISHED);
	}
}

static void who_resets_is_counted_once(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		client_says(&c, RST, 0);
		client_says(&c, RST, 0);
		server_says(&c, RST, NULL);
		assert_measured(c, OVER, .reset_by_client = 1);
		fixture_reset(c.fixture);

		c = begun(state, *service);
		server_says(&c, RST | ACK, NULL);
		server_says(&c, RST, NULL);
		client_says(&c, RST, 0);
		assert_measured(c, OVER, .reset_by_server = 1);
		fixture_reset(c.fixture);

		/* The backend did answer: no refusal. */
		c = connection_of(state, *service);
		client_says(&c, SYN, 0);
		server_says(&c, SYN | ACK, NULL);
		server_says(&c, RST, NULL);
		assert_measured(c, .measured = 1, .handshake.count = 1, .reset_by_server = 1, .duration.count = 1);
		fixture_reset(c.fixture);
	}
}

/* Its FIN takes up a sequence number, and its RST comes behind that. */
static void a_reset_after_a_fin_is_counted(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		client_says(&c, FIN | ACK, 0);
		server_says(&c, ACK, "more");
		client_says(&c, RST, 0);
		assert_measured(c, OVER, .reset_by_client = 1);
		fixture_reset(c.fixture);

		c = begun(state, *service);
		server_says(&c, FIN | ACK, NULL);
		client_says(&c, ACK, 100);
		server_says(&c, RST, NULL);
		assert_measured(c, OVER, .requests = 1, .reset_by_server = 1);
		fixture_reset(c.fixture);
	}
}

/* Segments that were under way when the other side reset: the receiver of each answers it with another RST. */
static void a_reset_that_crosses_data_is_counted_once(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		client_says(&c, ACK, 100);
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
		client_says(&c, RST | ACK, 0);
		for (int i = 0; i < 3; i++) {
			server_says(&c, ACK, "more");
			client_says(&c, RST, 0);
		}
		assert_measured(c, OVER, .requests = 1, .responses = 1, .status[2] = 1, .first_byte.count = 1,
				.reset_by_client = 1);
		fixture_reset(c.fixture);

		c = begun(state, *service);
		server_says(&c, RST | ACK, NULL);
		for (int i = 0; i < 3; i++) {
			client_says(&c, ACK, 100);
			server_says(&c, RST, NULL);
		}
		client_says(&c, FIN | ACK, 0);
		server_says(&c, RST, NULL);
		assert_int_equal(fixture_measurements(c.fixture, c.backend).reset_by_server, 1);
		assert_int_equal(fixture_measurements(c.fixture, c.backend).closed, 0);
		assert_int_equal(fixture_measurements(c.fixture, c.backend).duration.count, 1);
		fixture_reset(c.fixture);
	}
}

static void what_comes_after_both_fins_ends_nothing_again(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		server_says(&c, FIN | ACK, NULL);
		assert_measured(c, ESTABLISHED);
		client_says(&c, FIN | ACK, 0);
		assert_measured(c, OVER, .closed = 1);
		c.client_next--;
		client_says(&c, FIN | ACK, 0);
		c.server_next--;
		server_says(&c, FIN | ACK, NULL);
		client_says(&c, ACK, 0);
		client_says(&c, RST, 0);
		server_says(&c, RST, NULL);
		assert_measured(c, OVER, .closed = 1);
	}
}

/* A spoofed one, whose sequence number is far from what the client has sent; what it carries does not help it. */
static void a_blind_reset_ends_nothing(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		for (__u16 payload_bytes = 0; payload_bytes < 30; payload_bytes += 20) {
			struct connection c = begun(state, *service);
			struct segment reset = client_segment(&c, RST | ACK, payload_bytes);

			reset.sequence += 0x40000000;
			world_send(c.fixture, &reset);
			assert_measured(c, ESTABLISHED);
			client_says(&c, ACK, 100);
			server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
			assert_measured(c, ESTABLISHED, .requests = 1, .responses = 1, .status[2] = 1,
					.first_byte.count = 1);
			fixture_reset(c.fixture);
		}
	}
}

static void the_same_ports_again_are_another_connection(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);

		close_it(&c);
		connection_begin(&c);
		client_says(&c, ACK, 100);
		server_says(&c, RST, NULL);
		assert_measured(c, .measured = 2, .established = 2, .closed = 1, .reset_by_server = 1, .requests = 1,
				.handshake.count = 2, .duration.count = 2);
		assert_int_equal(fixture_backend_counters(c.fixture, c.backend).opened, 2);
	}
}

static void a_malformed_segment_says_nothing(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = begun(state, *service);
		struct segment request = client_segment(&c, RST | ACK, 100);
		struct segment reply = server_segment(&c, RST | ACK, "HTTP/1.1 200 OK");

		request.doff = reply.doff = 4;
		world_send_dropped(c.fixture, &request, *service, DROP_MALFORMED);
		world_send_dropped(c.fixture, &reply, *service, DROP_MALFORMED);
		assert_measured(c, ESTABLISHED);
	}
}

static void an_opening_that_was_dropped_is_measured_when_it_gets_through(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = connection_of(state, *service);
		struct segment syn = connection_request(&c, SYN);
		const char *address = world_backend_address(*service);

		world_add_backend(c.fixture, *service, *service, address, *service, 0);
		world_send_dropped(c.fixture, &syn, *service, DROP_NO_NEXT_HOP);
		world_add_backend(c.fixture, *service, *service, address, *service, LOOPBACK);
		connection_begin(&c);
		assert_measured(c, ESTABLISHED);
		assert_int_equal(fixture_backend_counters(c.fixture, *service).opened, 1);
	}
}

static void datagrams_are_not_measured(void **state)
{
	static const __u32 services[] = {NAT4_UDP, NAT6_UDP, DNAT4_UDP, DNAT6_UDP};

	for (int i = 0; i < 4; i++) {
		struct connection c = connection_of(state, services[i]);
		struct segment datagram = world_request(services[i]);
		struct segment reply = world_reply(services[i], services[i]);

		reply.to_port = world_send(c.fixture, &datagram).source_port;
		world_send(c.fixture, &reply);
		world_send(c.fixture, &datagram);
		assert_measured(c, .measured = 0);
	}
	assert_int_equal(flows_sampled(*state), 0);
}

/* --- times -----------------------------------------------------------------------------------------------------------
 */

static __u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void sleep_us(__u32 us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL);
}

/* The bounds of a bucket by abi.h's description of them, said another way than the programs' arithmetic. */
static __u64 bucket_begins_at(__u32 bucket)
{
	__u32 power = HISTOGRAM_FIRST_POWER + (bucket - 1) / 4;

	return bucket ? (1ULL << power) + (bucket - 1) % 4 * (1ULL << power) / 4 : 0;
}

/* One time, between two, in the one bucket that it belongs to. */
static void assert_one_time(const struct histogram *h, __u64 at_least_ns, __u64 at_most_ns)
{
	assert_int_equal(h->count, 1);
	assert_in_range(h->sum_ns, at_least_ns, at_most_ns);
	for (__u32 i = 0; i < HISTOGRAM_BUCKETS; i++) {
		bool here = h->sum_ns >= bucket_begins_at(i) &&
			    (i == HISTOGRAM_BUCKETS - 1 || h->sum_ns < bucket_begins_at(i + 1));

		assert_int_equal(h->bucket[i], here);
	}
}

/* When a step began and ended: what the program saw lies between. */
struct span {
	__u64 begin;
	__u64 end;
};

#define TIMED(span, step)                                                                                              \
	do {                                                                                                           \
		(span).begin = now_ns();                                                                               \
		step;                                                                                                  \
		(span).end = now_ns();                                                                                 \
	} while (0)

static void assert_time_between(const struct histogram *h, struct span from, struct span to)
{
	assert_one_time(h, to.begin - from.end, to.end - from.begin);
}

static void times_are_those_between_the_segments(void **state)
{
	FOR_EACH_TCP_SERVICE(service)
	{
		struct connection c = connection_of(state, *service);
		struct span syn, syn_ack, request, response, end;
		struct measurements m;

		c.client_next = 1;
		TIMED(syn, client_says(&c, SYN, 0));
		sleep_us(700 * (1 + *service));
		c.client_next = 1;
		client_says(&c, SYN, 0); /* again: the first one counts */
		TIMED(syn_ack, server_says(&c, SYN | ACK, NULL));
		client_says(&c, ACK, 0);
		TIMED(request, client_says(&c, ACK, 100));
		sleep_us(300 * (1 + *service));
		client_says(&c, ACK, 100); /* its second segment: the first one counts */
		TIMED(response, server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n"));
		sleep_us(100);
		server_says(&c, ACK, "more");
		client_says(&c, FIN | ACK, 0);
		TIMED(end, server_says(&c, FIN | ACK, NULL));
		m = fixture_measurements(c.fixture, *service);
		assert_time_between(&m.handshake, syn, syn_ack);
		assert_time_between(&m.first_byte, request, response);
		assert_time_between(&m.duration, syn, end);
	}
}

/* --- sampling --------------------------------------------------------------------------------------------------------
 */

#define MANY 1000

static void a_stateless_service_measures_those_whose_hash_has_no_bit_of_the_mask(void **state)
{
	static const __u32 masks[] = {1, 15, ~0U};

	for (int i = 0; i < 3; i++) {
		struct connection c = connection_of(state, DNAT4_TCP);
		struct service s = world_service_get(c.fixture, DNAT4_TCP);
		struct address client = address_of(CLIENT4);
		struct sampled_flow known;
		__u32 expected = 0;

		world_set_measure_mask(c.fixture, DNAT4_TCP, masks[i]);
		for (__u16 port = 1; port <= MANY; port++) {
			struct flow_key key = world_flow_key(DNAT4_TCP, CLIENT4, port);
			bool chosen = !(hash_client(s.seed, &client, htons(port)) & masks[i]);

			c.client_port = port;
			connection_begin(&c);
			client_says(&c, ACK, 100);
			server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
			close_it(&c);
			assert_int_equal(flow_sampled(c.fixture, &key, &known), chosen);
			expected += chosen;
		}
		assert_measured(c, .measured = expected, .established = expected, .requests = expected,
				.responses = expected, .status[2] = expected, .closed = expected,
				.handshake.count = expected, .first_byte.count = expected, .duration.count = expected);
		assert_int_equal(fixture_backend_counters(c.fixture, DNAT4_TCP).opened, MANY);
		fixture_reset(c.fixture);
	}
}

/* Nothing else remembers the first one while the slot is settled. */
static void a_repeated_syn_opens_nothing_if_its_connection_is_measured(void **state)
{
	struct connection c = connection_of(state, DNAT4_TCP);

	client_sends(&c, SYN, 0);
	client_sends(&c, SYN, 0);
	assert_int_equal(fixture_backend_counters(c.fixture, c.backend).opened, 1);
	world_set_measure_mask(c.fixture, DNAT4_TCP, ~0U);
	c.client_port++;
	client_sends(&c, SYN, 0);
	client_sends(&c, SYN, 0);
	assert_int_equal(fixture_backend_counters(c.fixture, c.backend).opened, 3);
	assert_measured(c, .measured = 1);
}

/* Where a slot is of the client's address, its connections are still chosen one by one. */
static void client_affinity_does_not_measure_all_of_a_client_or_none(void **state)
{
	struct connection c = connection_of(state, DNAT4_TCP);
	struct service s = world_service_get(c.fixture, DNAT4_TCP);
	struct measurements m;

	s.flags |= SERVICE_CLIENT_AFFINITY;
	s.measure_mask = 1;
	world_service_set(c.fixture, DNAT4_TCP, &s);
	for (c.client_port = 1; c.client_port <= 200; c.client_port++)
		connection_begin(&c);
	m = fixture_measurements(c.fixture, DNAT4_TCP);
	assert_in_range(m.established, 50, 150);
}

static void nat_measures_all_whatever_the_mask(void **state)
{
	struct connection c = connection_of(state, NAT4_TCP);

	world_set_measure_mask(c.fixture, NAT4_TCP, ~0U);
	connection_begin(&c);
	assert_measured(c, ESTABLISHED);
	assert_int_equal(flows_sampled(c.fixture), 0);
}

static void a_full_sample_says_how_many_it_missed_and_they_go_on(void **state)
{
	struct connection c;

	*state = world_new(&(struct fixture_sizes){.buckets[FLOW_TABLE_SAMPLED] = 1});
	flows_fill(*state, FLOW_TABLE_SAMPLED, BUCKET_ENTRIES - 1);
	c = connection_of(state, DNAT4_TCP);
	for (c.client_port = 1; c.client_port <= 3; c.client_port++) {
		connection_begin(&c);
		client_says(&c, ACK, 100);
		server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
	}
	assert_measured(c, ESTABLISHED, .requests = 1, .responses = 1, .status[2] = 1, .first_byte.count = 1,
			.unmeasured = 2);
	assert_int_equal(fixture_backend_counters(c.fixture, DNAT4_TCP).opened, 3);
}

static void a_sample_takes_nobody_whose_beginning_it_did_not_see(void **state)
{
	struct connection c = connection_of(state, DNAT4_TCP);

	client_says(&c, ACK, 100);
	server_says(&c, ACK, "HTTP/1.1 200 OK\r\n\r\n");
	close_it(&c);
	assert_measured(c, .measured = 0);
	assert_int_equal(flows_sampled(c.fixture), 0);
}

static void a_sampled_connection_is_counted_for_its_backend_when_its_slot_moves(void **state)
{
	struct connection c = begun(state, DNAT4_TCP);
	struct connection fresh = c;

	world_track(c.fixture, DNAT4_TCP, SECOND(DNAT4_TCP), DNAT4_TCP);
	client_says(&c, ACK, 100);
	server_says(&c, ACK, "HTTP/1.1 503 Unavailable\r\n\r\n");
	assert_measured(c, ESTABLISHED, .requests = 1, .responses = 1, .status[5] = 1, .first_byte.count = 1);
	fresh.client_port = 40002;
	fresh.backend = SECOND(DNAT4_TCP);
	connection_begin(&fresh);
	assert_measured(fresh, ESTABLISHED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
#define TEST_OWN_WORLD(name) cmocka_unit_test_setup_teardown(name, world_setup_own, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_connection_with_one_request_is_counted_once_everywhere),
		TEST(a_syn_with_another_sequence_number_is_another_connection),
		TEST(only_an_unanswered_connection_is_given_up),
		TEST(a_keepalive_connection_counts_every_request_and_its_status),
		TEST(pipelined_and_long_requests_are_one),
		TEST(a_long_answer_is_one_response),
		TEST(what_a_server_says_first_is_no_response),
		TEST(only_an_http_1_status_line_has_a_class),
		TEST(data_that_comes_again_is_a_retransmission_and_nothing_else),
		TEST(one_segment_may_be_everything),
		TEST(a_refusal_is_counted_once),
		TEST(a_wrong_acknowledgement_establishes_nothing),
		TEST(who_resets_is_counted_once),
		TEST(a_reset_after_a_fin_is_counted),
		TEST(a_reset_that_crosses_data_is_counted_once),
		TEST(what_comes_after_both_fins_ends_nothing_again),
		TEST(a_blind_reset_ends_nothing),
		TEST(the_same_ports_again_are_another_connection),
		TEST(a_malformed_segment_says_nothing),
		TEST(an_opening_that_was_dropped_is_measured_when_it_gets_through),
		TEST(datagrams_are_not_measured),
		TEST(times_are_those_between_the_segments),
		TEST(a_stateless_service_measures_those_whose_hash_has_no_bit_of_the_mask),
		TEST(a_repeated_syn_opens_nothing_if_its_connection_is_measured),
		TEST(client_affinity_does_not_measure_all_of_a_client_or_none),
		TEST(nat_measures_all_whatever_the_mask),
		TEST_OWN_WORLD(a_full_sample_says_how_many_it_missed_and_they_go_on),
		TEST(a_sample_takes_nobody_whose_beginning_it_did_not_see),
		TEST(a_sampled_connection_is_counted_for_its_backend_when_its_slot_moves),
	};

	return run_on_every_hook(tests);
}
