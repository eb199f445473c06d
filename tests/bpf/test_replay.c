// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Engine replay, from the ring buffer to real servers: clients' segments are put into the ring buffer by a small
 * program, as the data path does, and servers on loopback write down what they meet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <bpf/bpf.h>

#include "random.h"
#include "replay_parts.h"
#include "shadow_server.h"

#define PINS "/mnt/headgate"
#define SERVICE 1
#define BACKEND 5
#define SOURCE 9
#define SOURCE_ADDRESS "127.0.0.77"
#define GIVE_UP_MS 30000U
#define MANY 2000U
#define GET "GET / HTTP/1.1\r\n\r\n"
#define MILLISECOND_NS 1000000ULL

static const struct limits limits = {.services = 2,
				     .backends = 16,
				     .rows = 3,
				     .half_open = 64,
				     .established = 64,
				     .shadow_flows = 4096,
				     .stash = 64};

struct test {
	sd_event *event;
	struct datapath *datapath;
	struct replay *replay;
	struct shadow_server *server;
	int feeder;                  /* program */
	struct replay_segment *slot; /* what it puts into the ring buffer */
	uint32_t clients;            /* of all tests: none is taken for another's */
};

static struct test world;

struct client {
	struct test *test;
	struct flow_key flow;
	uint32_t serial;
	uint32_t first;
	uint64_t offset; /* of what comes next */
	uint64_t digest;
	uint32_t acknowledged;
	struct random random;
};

/* --- the ring buffer --- */

/* Copies an array's only value into the ring buffer. Its return value is bpf_ringbuf_output()'s. */
static int load_feeder(int array, int ring)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -4},
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = array},
		{},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
		{.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 0, .off = 1},
		{.code = BPF_JMP | BPF_EXIT},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 0},
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = ring},
		{},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = sizeof(struct replay_segment)},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 4},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ringbuf_output},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "feeder", "GPL", code, ARRAY_SIZE(code), NULL);
}

static void make_feeder(struct test *t)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int array = bpf_map_create(BPF_MAP_TYPE_ARRAY, "slot", 4, sizeof(struct replay_segment), 1, &options);

	assert_true(array >= 0);
	t->slot = mmap(NULL, sizeof(*t->slot), PROT_READ | PROT_WRITE, MAP_SHARED, array, 0);
	assert_ptr_not_equal(t->slot, MAP_FAILED);
	t->feeder = load_feeder(array, datapath_replay_segments(t->datapath));
	assert_true(t->feeder >= 0);
	close(array);
}

/* False: it is full, and the segment is lost. */
static bool feed(struct test *t, const struct replay_segment *segment)
{
	uint8_t frame[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame));

	memcpy(t->slot, segment, offsetof(struct replay_segment, data) + segment->bytes);
	assert_int_equal(bpf_prog_test_run_opts(t->feeder, &options), 0);
	return options.retval == 0;
}

/* --- the world --- */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

/* A network and mounts of our own. */
static int make_world(void **state)
{
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	struct test *t = &world;
	struct rlimit descriptors;
	struct refusal why;
	int fd;

	*state = t;
	assert_int_equal(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &loopback), 0);
	close(fd);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("bpf", "/mnt", "bpf", 0, NULL), 0);
	getrlimit(RLIMIT_NOFILE, &descriptors);
	descriptors.rlim_cur = descriptors.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
	if (datapath_open(PINS, &limits, &t->datapath, &why))
		fail_msg("%s", why.text);
	make_feeder(t);
	return 0;
}

static int end_world(void **state)
{
	(void)state;
	munmap(world.slot, sizeof(*world.slot));
	close(world.feeder);
	datapath_close(world.datapath);
	return datapath_remove(PINS);
}

static int setup(void **state)
{
	struct test *t = *state;

	assert_true(sd_event_new(&t->event) >= 0);
	datapath_service(t->datapath, SERVICE)->flags = SERVICE_SHADOW;
	*datapath_shadow(t->datapath, SERVICE) = (struct shadow){.engine = SHADOW_REPLAY};
	*datapath_backend(t->datapath, BACKEND) = (struct backend){};
	assert_int_equal(replay_create(t->event, t->datapath, &t->replay), 0);
	memset(datapath_replay_counters(t->datapath, SERVICE), 0, sizeof(struct shadow_counters));
	return 0;
}

static int teardown(void **state)
{
	struct test *t = *state;
	struct flow_key key;

	replay_destroy(t->replay);
	sd_event_unref(t->event);
	shadow_server_stop(t->server);
	t->server = NULL;
	while (datapath_next_key(t->datapath, MAP_SHADOW_FLOWS, NULL, &key) == 0)
		datapath_delete(t->datapath, MAP_SHADOW_FLOWS, &key);
	return 0;
}

static void set_shadow(struct test *t, const char *address, uint16_t port)
{
	struct backend *b = datapath_backend(t->datapath, BACKEND);

	assert_int_equal(address_parse(address, &b->address), 0);
	b->port = htons(port);
}

static void serve(struct test *t, enum service_kind kind, uint32_t delay_ms)
{
	t->server = shadow_server_start(AF_INET, kind, delay_ms);
	set_shadow(t, "127.0.0.1", t->server->port);
}

static struct shadow_counters counts(struct test *t)
{
	struct shadow_counters c;

	assert_int_equal(datapath_shadow_counters(t->datapath, SERVICE, &c), 0);
	return c;
}

static size_t memory_used(struct test *t)
{
	return t->replay->services[SERVICE].budget.used_bytes;
}

static void turn(struct test *t, uint64_t wait_us)
{
	assert_true(sd_event_run(t->event, wait_us) >= 0);
}

#define await(t, condition)                                                                                            \
	do {                                                                                                           \
		uint64_t end_ms = now_ms() + GIVE_UP_MS;                                                               \
                                                                                                                       \
		while (!(condition)) {                                                                                 \
			if (now_ms() > end_ms)                                                                         \
				fail_msg("not within %u ms: %s", GIVE_UP_MS, #condition);                              \
			turn(t, 20000);                                                                                \
		}                                                                                                      \
	} while (0)

static void await_end(struct test *t, enum shadow_end end, uint64_t count)
{
	struct shadow_counters c;

	await(t, counts(t).ended[end] >= count);
	c = counts(t);
	for (int i = 0; i < SHADOW_ENDS; i++)
		if (c.ended[i] != (i == (int)end ? count : 0))
			fail_msg("%llu ended as %d, not as %d", (unsigned long long)c.ended[i], i, end);
}

/* --- clients --- */

static struct shadow_flow flow_of(const struct client *c)
{
	struct shadow_flow flow;

	assert_int_equal(datapath_lookup(c->test->datapath, MAP_SHADOW_FLOWS, &c->flow, &flow), 0);
	return flow;
}

static void set_flow(const struct client *c, const struct shadow_flow *flow)
{
	assert_int_equal(datapath_update(c->test->datapath, MAP_SHADOW_FLOWS, &c->flow, flow), 0);
}

static struct replay_segment segment_of(const struct client *c, enum replay_event event)
{
	struct replay_segment s;

	memset(&s, 0, offsetof(struct replay_segment, data));
	s.flow = c->flow;
	s.serial = c->serial;
	s.sequence = c->first + c->offset;
	s.backend = BACKEND;
	s.event = event;
	s.acknowledged = c->acknowledged;
	return s;
}

/* Waits for room. */
static void tell(struct client *c, const struct replay_segment *s)
{
	while (!feed(c->test, s))
		turn(c->test, 0);
}

static void tell_event(struct client *c, enum replay_event event)
{
	struct replay_segment s = segment_of(c, event);

	tell(c, &s);
}

static struct client client_open(struct test *t)
{
	struct shadow_flow flow = {.flags = SHADOW_FLOW_REPLAY, .backend = BACKEND};
	struct client c = {.test = t, .digest = DIGEST_BEGIN, .acknowledged = 1};

	t->clients++;
	c.random.state = 0x9e3779b97f4a7c15ULL * t->clients;
	c.flow.client.word[3] = t->clients;
	c.flow.port = htons(1000);
	c.flow.service = SERVICE;
	c.serial = flow.serial = 77 * t->clients;
	c.first = flow.first = flow.client_next = 0xfffff000U + t->clients;
	set_flow(&c, &flow);
	tell_event(&c, REPLAY_OPEN);
	return c;
}

static struct replay_segment next_data(struct client *c, uint32_t bytes)
{
	struct replay_segment s = segment_of(c, REPLAY_DATA);

	s.bytes = bytes;
	for (uint32_t i = 0; i < bytes; i++)
		s.data[i] = random_below(&c->random, 256);
	c->digest = digest_add(c->digest, s.data, bytes);
	c->offset += bytes;
	return s;
}

static void client_say(struct client *c, const char *text)
{
	struct replay_segment s = segment_of(c, REPLAY_DATA);

	s.bytes = strlen(text);
	memcpy(s.data, text, s.bytes);
	c->digest = digest_add(c->digest, s.data, s.bytes);
	c->offset += s.bytes;
	tell(c, &s);
}

/* A request that acknowledges something new, as one does that comes after an answer. */
static void client_ask(struct client *c)
{
	c->acknowledged += 100;
	client_say(c, GET);
}

static void assert_served(struct test *t, uint32_t number, const struct client *c)
{
	struct served s = shadow_server_served(t->server, number);

	assert_int_equal(s.bytes, c->offset);
	assert_true(s.digest == c->digest);
}

/* Production has answered all requests, and maybe ended. */
static void set_production(const struct client *c, uint32_t answers, bool done)
{
	struct shadow_flow flow = flow_of(c);

	flow.requests = answers;
	flow.production.begun = flow.production.answered = answers;
	flow.production.flags = SHADOW_SIDE_OPEN | (done ? SHADOW_SIDE_DONE : 0);
	flow.flags |= done ? SHADOW_FLOW_FIN : 0; /* the client has ended */
	for (uint32_t i = 0; i < answers; i++) {
		flow.production.status[i % SHADOW_RESPONSES] = 5;
		flow.production.length[i % SHADOW_RESPONSES] = sizeof(HTTP_ANSWER) - 1;
	}
	set_flow(c, &flow);
}

/* --- what comes out --- */

static void replay_of(struct test *t, uint64_t bytes, uint32_t smallest, uint32_t largest)
{
	struct client c;

	serve(t, SERVES_DIGESTS, 0);
	c = client_open(t);
	while (c.offset < bytes) {
		uint32_t n = smallest + random_below(&c.random, largest - smallest + 1);
		struct replay_segment s = next_data(&c, n);

		tell(&c, &s);
		if (memory_used(t) > 8U << 20) /* as TCP does, clients wait for who reads slowly */
			await(t, memory_used(t) < 4U << 20);
		else if (c.offset / 65536 != (c.offset - n) / 65536)
			turn(t, 0);
	}
	set_production(&c, 0, false);
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_WHOLE, 1);
	assert_served(t, 0, &c);
	assert_true(shadow_server_served(t->server, 0).ended);
	assert_int_equal(memory_used(t), 0);
}

static void a_hundred_megabytes_arrive_as_they_were_sent(void **state)
{
	struct shadow_counters c;

	replay_of(*state, 100U << 20, 1000, REPLAY_BYTES);
	c = counts(*state);
	assert_int_equal(c.connected, 1);
	assert_int_equal(c.connect.count, 1);
	assert_true(c.bytes > 100U << 20);
	assert_true(c.packets > 0);
	assert_int_equal(c.response_bytes, strlen("whole\n"));
}

static void small_segments_arrive_too(void **state)
{
	replay_of(*state, 3U << 20, 1, 80);
}

static void segments_out_of_order_and_twice_arrive_in_order_and_once(void **state)
{
	static struct replay_segment held[64];
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_DIGESTS, 0);
	c = client_open(t);
	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		held[i] = next_data(&c, 1 + random_below(&c.random, REPLAY_BYTES));
	set_production(&c, 0, false);
	tell_event(&c, REPLAY_FIN);
	for (int round = 0; round < 500; round++) {
		struct replay_segment *one = &held[random_below(&c.random, ARRAY_SIZE(held))];

		tell(&c, one);
		turn(t, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(held); i++) /* those that chance has left out */
		tell(&c, &held[i]);
	await_end(t, SHADOW_WHOLE, 1);
	assert_served(t, 0, &c);
}

static void many_connections_are_replayed_side_by_side(void **state)
{
	static struct client c[MANY];
	struct test *t = *state;
	struct shadow_counters sum;

	serve(t, SERVES_HTTP, 0);
	for (uint32_t i = 0; i < MANY; i++)
		c[i] = client_open(t);
	for (uint32_t i = 0; i < MANY; i++)
		client_ask(&c[i]);
	await(t, counts(t).responses == MANY);
	for (uint32_t i = 0; i < MANY; i++)
		client_ask(&c[i]);
	await(t, counts(t).responses == 2 * MANY);
	assert_int_equal(counts(t).ended[SHADOW_WHOLE], 0);
	for (uint32_t i = 0; i < MANY; i++)
		tell_event(&c[i], REPLAY_FIN);
	await_end(t, SHADOW_WHOLE, MANY);
	sum = counts(t);
	assert_int_equal(sum.connected, MANY);
	assert_int_equal(sum.status[2], 2 * MANY);
	assert_int_equal(sum.first_byte.count, 2 * MANY);
	assert_int_equal(sum.response_bytes, 2 * MANY * (sizeof(HTTP_ANSWER) - 1));
	assert_int_equal(t->replay->connections, 0);
	assert_int_equal(t->replay->descriptors, 0);
	for (uint32_t i = 0; i < MANY; i++)
		assert_true(flow_of(&c[i]).flags & SHADOW_FLOW_OVER);
}

/* --- where to, and from where --- */

static void connections_come_from_the_shadows_sources(void **state)
{
	struct test *t = *state;
	struct shadow *sh = datapath_shadow(t->datapath, SERVICE);
	__u32 id = SOURCE;
	struct address source;
	struct client c;

	serve(t, SERVES_HTTP, 0);
	address_parse(SOURCE_ADDRESS, &source);
	datapath_update(t->datapath, MAP_SOURCES, &id, &source);
	sh->source[0] = SOURCE;
	sh->source_count = 1;
	sh->traffic_class = 8 << 2;
	c = client_open(t);
	client_ask(&c);
	await(t, counts(t).responses == 1);
	assert_memory_equal(&shadow_server_served(t->server, 0).peer.s6_addr[12], &source.word[3], 4);
	assert_int_equal(shadow_server_served(t->server, 0).traffic_class, 8 << 2);
}

static void without_sources_they_come_from_the_backends_own(void **state)
{
	struct test *t = *state;
	__u32 id = SOURCE;
	struct address source;
	struct client c;

	serve(t, SERVES_HTTP, 0);
	address_parse(SOURCE_ADDRESS, &source);
	datapath_update(t->datapath, MAP_SOURCES, &id, &source);
	datapath_backend(t->datapath, BACKEND)->source = SOURCE;
	c = client_open(t);
	client_ask(&c);
	await(t, counts(t).responses == 1);
	assert_memory_equal(&shadow_server_served(t->server, 0).peer.s6_addr[12], &source.word[3], 4);
	assert_int_equal(shadow_server_served(t->server, 0).traffic_class, 0);
}

static void a_shadow_may_have_an_ipv6_address(void **state)
{
	struct test *t = *state;
	struct client c;

	t->server = shadow_server_start(AF_INET6, SERVES_HTTP, 0);
	set_shadow(t, "::1", t->server->port);
	datapath_shadow(t->datapath, SERVICE)->traffic_class = 8 << 2;
	c = client_open(t);
	client_ask(&c);
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_WHOLE, 1);
	assert_served(t, 0, &c);
}

static void a_client_that_says_nothing_reaches_no_shadow(void **state)
{
	struct test *t = *state;

	serve(t, SERVES_HTTP, 0);
	for (int i = 0; i < 50; i++)
		client_open(t);
	await(t, t->replay->connections == 50);
	for (int i = 0; i < 5; i++)
		turn(t, 20000);
	assert_int_equal(shadow_server_count(t->server), 0);
	assert_int_equal(t->replay->descriptors, 0);
}

static void a_shadow_that_refuses_is_counted(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_HTTP, 0);
	shadow_server_stop(t->server); /* nobody listens there any more */
	t->server = NULL;
	c = client_open(t);
	client_ask(&c);
	await_end(t, SHADOW_REFUSED, 1);
	assert_true(flow_of(&c).flags & SHADOW_FLOW_OVER);
	assert_true(flow_of(&c).flags & SHADOW_FLOW_DEGRADED);
	client_ask(&c); /* it goes on, to nobody */
	turn(t, 20000);
	await_end(t, SHADOW_REFUSED, 1);
}

static void a_shadow_without_a_way_to_it_is_counted(void **state)
{
	struct test *t = *state;
	struct client c;

	set_shadow(t, "192.0.2.1", 80);
	c = client_open(t);
	client_ask(&c);
	await_end(t, SHADOW_UNREACHABLE, 1);
}

/* --- shadows that are slow, or break --- */

static void a_shadow_that_does_not_read_gets_no_more_memory_than_a_connection_may_have(void **state)
{
	struct replay_settings settings = REPLAY_DEFAULTS;
	struct test *t = *state;
	size_t most = 0;
	struct client c;

	settings.connection_memory_bytes = 1U << 20;
	replay_configure(t->replay, SERVICE, &settings);
	serve(t, SERVES_NOTHING, 0);
	c = client_open(t);
	for (int i = 0; i < 50000 && !counts(t).ended[SHADOW_OVERRUN]; i++) {
		struct replay_segment s = next_data(&c, REPLAY_BYTES);

		tell(&c, &s);
		turn(t, 0);
		most = memory_used(t) > most ? memory_used(t) : most;
	}
	await_end(t, SHADOW_OVERRUN, 1);
	assert_true(most <= settings.connection_memory_bytes);
	assert_true(most > settings.connection_memory_bytes / 2);
	assert_int_equal(memory_used(t), 0);
}

static void all_of_them_together_get_no_more_than_the_service_may_have(void **state)
{
	struct replay_settings settings = REPLAY_DEFAULTS;
	static struct client c[20];
	struct test *t = *state;

	settings.memory_bytes = 1U << 20;
	replay_configure(t->replay, SERVICE, &settings);
	serve(t, SERVES_NOTHING, 0);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		c[i] = client_open(t);
	for (int round = 0; round < 20000 && counts(t).ended[SHADOW_EVICTED] < 5; round++) {
		struct client *one = &c[round % ARRAY_SIZE(c)];
		struct replay_segment s = next_data(one, REPLAY_BYTES);

		tell(one, &s);
		turn(t, 0);
		assert_true(memory_used(t) <= settings.memory_bytes);
	}
	await(t, counts(t).ended[SHADOW_EVICTED] >= 5);
	assert_int_equal(counts(t).ended[SHADOW_OVERRUN], 0);
}

static void a_shadow_that_resets_is_counted(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_RESETS, 0);
	c = client_open(t);
	client_ask(&c);
	await_end(t, SHADOW_RESET, 1);
}

static void an_end_that_a_program_has_counted_is_not_counted_again(void **state)
{
	struct test *t = *state;
	struct shadow_flow flow;
	struct client c;

	serve(t, SERVES_RESETS, 0);
	c = client_open(t);
	await(t, t->replay->connections == 1);
	flow = flow_of(&c);
	flow.flags |= SHADOW_FLOW_OVER | SHADOW_FLOW_DEGRADED; /* over the cap, in the middle of it */
	set_flow(&c, &flow);
	client_ask(&c);
	await(t, t->replay->connections == 0);
	assert_int_equal(counts(t).ended[SHADOW_RESET], 0);
}

static void a_shadow_that_has_ended_is_reset_by_what_comes_after(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_FAREWELL, 0);
	c = client_open(t);
	client_ask(&c);
	await(t, counts(t).responses == 1);
	while (counts(t).ended[SHADOW_RESET] == 0) {
		client_ask(&c);
		turn(t, 20000);
	}
	await_end(t, SHADOW_RESET, 1);
	assert_int_equal(counts(t).responses, 1);
}

static void a_shadow_that_ends_before_its_client_has_answered_whole(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_FAREWELL, 0);
	c = client_open(t);
	client_ask(&c);
	await(t, counts(t).responses == 1);
	for (int i = 0; i < 5; i++)
		turn(t, 20000);
	assert_int_equal(counts(t).ended[SHADOW_WHOLE], 0);
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_WHOLE, 1);
}

static void a_shadow_that_does_not_end_is_ended(void **state)
{
	struct replay_settings settings = REPLAY_DEFAULTS;
	struct test *t = *state;
	struct client c;

	settings.linger_ns = 300 * MILLISECOND_NS;
	replay_configure(t->replay, SERVICE, &settings);
	serve(t, SERVES_FOR_EVER, 0);
	c = client_open(t);
	client_ask(&c);
	await(t, counts(t).responses == 1);
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_LINGERED, 1);
}

static void so_is_one_that_neither_answers_nor_ends(void **state)
{
	struct replay_settings settings = REPLAY_DEFAULTS;
	struct test *t = *state;
	struct client c;

	settings.linger_ns = 1000 * MILLISECOND_NS;
	replay_configure(t->replay, SERVICE, &settings);
	serve(t, SERVES_DEAFLY, 0);
	c = client_open(t);
	client_ask(&c);
	set_production(&c, 1, true);
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_LINGERED, 1);
	assert_served(t, 0, &c);
	assert_int_equal(counts(t).unanswered, 1);
}

/* --- the client's end --- */

static void the_end_is_passed_on_when_the_shadow_has_answered(void **state)
{
	struct test *t = *state;
	struct served served;
	struct client c;

	serve(t, SERVES_HTTP, 200);
	c = client_open(t);
	client_ask(&c);
	set_production(&c, 1, true);
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_WHOLE, 1);
	served = shadow_server_served(t->server, 0);
	assert_true(served.ended);
	assert_false(served.ended_unanswered);
	assert_int_equal(counts(t).responses, 1);
	assert_int_equal(counts(t).unanswered, 0);
}

static void who_asks_by_ending_has_asked(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_DIGESTS, 0);
	c = client_open(t);
	client_say(&c, "what is this?");
	set_production(&c, 0, false); /* it waits for the end, too */
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_WHOLE, 1);
	assert_int_equal(counts(t).responses, 1);
	assert_int_equal(counts(t).status[0], 1);
}

static void a_reset_is_passed_on_as_one_when_the_shadow_has_answered(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_HTTP, 200);
	c = client_open(t);
	client_ask(&c);
	set_production(&c, 1, true);
	tell_event(&c, REPLAY_RESET);
	await_end(t, SHADOW_WHOLE, 1);
	await(t, shadow_server_served(t->server, 0).reset);
	assert_int_equal(counts(t).responses, 1);
}

static void what_a_shadow_leaves_unanswered_is_counted(void **state)
{
	struct replay_settings settings = REPLAY_DEFAULTS;
	struct test *t = *state;
	struct client c;

	settings.linger_ns = 3000 * MILLISECOND_NS;
	replay_configure(t->replay, SERVICE, &settings);
	serve(t, SERVES_DIGESTS, 0); /* answers once */
	c = client_open(t);
	for (int i = 0; i < 3; i++)
		client_ask(&c);
	set_production(&c, 3, true);
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_WHOLE, 1);
	assert_int_equal(counts(t).unanswered, 2);
}

static void an_end_whose_copy_was_lost_is_found(void **state)
{
	struct shadow_flow flow;
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_HTTP, 0);
	c = client_open(t);
	client_ask(&c);
	await(t, counts(t).responses == 1);
	flow = flow_of(&c);
	flow.flags |= SHADOW_FLOW_FIN;
	flow.client_next = c.first + c.offset;
	set_flow(&c, &flow);
	await_end(t, SHADOW_WHOLE, 1);
}

static void so_is_that_the_data_path_knows_a_connection_no_more(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_HTTP, 0);
	c = client_open(t);
	client_ask(&c);
	await(t, counts(t).responses == 1);
	datapath_delete(t->datapath, MAP_SHADOW_FLOWS, &c.flow);
	await_end(t, SHADOW_WHOLE, 1);
}

static void bytes_whose_copy_was_lost_end_the_connection_as_lost(void **state)
{
	struct replay_settings settings = REPLAY_DEFAULTS;
	struct test *t = *state;
	struct client c;

	settings.linger_ns = 1000 * MILLISECOND_NS;
	replay_configure(t->replay, SERVICE, &settings);
	serve(t, SERVES_HTTP, 0);
	c = client_open(t);
	client_ask(&c);
	next_data(&c, 100); /* to nobody */
	client_ask(&c);
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_LOST, 1);
	assert_int_equal(shadow_server_served(t->server, 0).bytes, strlen(GET));
}

static void a_full_ring_buffer_loses_copies_and_nothing_else(void **state)
{
	struct replay_settings settings = REPLAY_DEFAULTS;
	struct test *t = *state;
	struct replay_segment s;
	struct client c, other;

	settings.linger_ns = 1500 * MILLISECOND_NS;
	settings.connection_memory_bytes = 64U << 20;
	settings.memory_bytes = 128U << 20;
	replay_configure(t->replay, SERVICE, &settings);
	serve(t, SERVES_DIGESTS, 0);
	other = client_open(t);
	c = client_open(t);
	do
		s = next_data(&c, REPLAY_BYTES);
	while (feed(t, &s));
	await(t, feed(t, &s));       /* that one is repeated, but those behind it */
	next_data(&c, REPLAY_BYTES); /* is lost */
	tell_event(&c, REPLAY_FIN);
	s = next_data(&other, REPLAY_BYTES);
	tell(&other, &s);
	set_production(&other, 0, false);
	tell_event(&other, REPLAY_FIN);
	await(t, counts(t).ended[SHADOW_LOST] == 1 && counts(t).ended[SHADOW_WHOLE] == 1);
}

/* --- comparison --- */

static void responses_are_compared_with_productions(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_HTTP, 0);
	c = client_open(t);
	for (uint32_t i = 1; i <= 5; i++) {
		client_ask(&c);
		set_production(&c, i, false);
		await(t, counts(t).responses == i);
	}
	assert_int_equal(counts(t).compared, 4); /* production's last may be going on */
	tell_event(&c, REPLAY_FIN);
	await(t, counts(t).ended[SHADOW_WHOLE] == 1);
	set_production(&c, 5, true); /* a moment later */
	await(t, counts(t).compared == 5);
	assert_int_equal(counts(t).matrix[5][2], 5);
	assert_int_equal(counts(t).difference[0], 5);
	await(t, t->replay->connections == 0);
}

/* A shadow that is behind has several requests before it. */
static void a_slow_shadows_responses_are_compared_with_those_to_the_same_requests(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_HTTP, 30);
	c = client_open(t);
	for (uint32_t i = 0; i < 6; i++)
		client_ask(&c);
	set_production(&c, 6, true);
	tell_event(&c, REPLAY_FIN);
	await_end(t, SHADOW_WHOLE, 1);
	assert_int_equal(counts(t).responses, 6);
	assert_int_equal(counts(t).first_byte.count, 6);
	assert_int_equal(counts(t).compared, 6);
	assert_int_equal(counts(t).difference[0], 6);
}

/* --- being stopped --- */

static void a_service_that_is_no_longer_mirrored_has_its_connections_stopped(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_HTTP, 0);
	c = client_open(t);
	client_ask(&c);
	await(t, counts(t).responses == 1);
	datapath_service(t->datapath, SERVICE)->flags = 0;
	await_end(t, SHADOW_STOPPED, 1);
	await(t, shadow_server_served(t->server, 0).reset);
}

static void a_daemon_that_ends_stops_its_connections(void **state)
{
	struct test *t = *state;
	struct client c;

	serve(t, SERVES_HTTP, 0);
	c = client_open(t);
	client_ask(&c);
	await(t, counts(t).responses == 1);
	replay_destroy(t->replay);
	t->replay = NULL;
	assert_int_equal(counts(t).ended[SHADOW_STOPPED], 1);
	assert_true(flow_of(&c).flags & SHADOW_FLOW_OVER);
	/* And the next one does not count it again. */
	assert_int_equal(replay_create(t->event, t->datapath, &t->replay), 0);
	assert_int_equal(counts(t).ended[SHADOW_STOPPED], 1);
}

static void connections_of_a_daemon_that_was_killed_are_stopped_by_the_next(void **state)
{
	struct test *t = *state;
	struct client before, after;

	serve(t, SERVES_HTTP, 0);
	replay_destroy(t->replay);
	before = client_open(t); /* its SYN is still in the ring buffer */
	assert_int_equal(replay_create(t->event, t->datapath, &t->replay), 0);
	assert_int_equal(counts(t).ended[SHADOW_STOPPED], 1);
	client_ask(&before);
	after = client_open(t);
	client_ask(&after);
	tell_event(&after, REPLAY_FIN);
	await(t, counts(t).ended[SHADOW_WHOLE] == 1);
	assert_int_equal(counts(t).ended[SHADOW_STOPPED], 1);
	assert_int_equal(counts(t).connected, 1);
}

static void there_are_no_more_connections_than_the_tables_have_room_for(void **state)
{
	struct test *t = *state;
	struct client c[3];

	serve(t, SERVES_HTTP, 0);
	t->replay->connections_max = 2;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		c[i] = client_open(t);
	await_end(t, SHADOW_EVICTED, 1);
	assert_true(flow_of(&c[2]).flags & SHADOW_FLOW_OVER);
	t->replay->descriptors_max = 1;
	client_ask(&c[0]);
	client_ask(&c[1]);
	await_end(t, SHADOW_EVICTED, 2);
	assert_int_equal(t->replay->connections, 1);
}

int main(void)
{
#define REPLAY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		REPLAY_TEST(a_hundred_megabytes_arrive_as_they_were_sent),
		REPLAY_TEST(small_segments_arrive_too),
		REPLAY_TEST(segments_out_of_order_and_twice_arrive_in_order_and_once),
		REPLAY_TEST(many_connections_are_replayed_side_by_side),
		REPLAY_TEST(connections_come_from_the_shadows_sources),
		REPLAY_TEST(without_sources_they_come_from_the_backends_own),
		REPLAY_TEST(a_shadow_may_have_an_ipv6_address),
		REPLAY_TEST(a_client_that_says_nothing_reaches_no_shadow),
		REPLAY_TEST(a_shadow_that_refuses_is_counted),
		REPLAY_TEST(a_shadow_without_a_way_to_it_is_counted),
		REPLAY_TEST(a_shadow_that_does_not_read_gets_no_more_memory_than_a_connection_may_have),
		REPLAY_TEST(all_of_them_together_get_no_more_than_the_service_may_have),
		REPLAY_TEST(a_shadow_that_resets_is_counted),
		REPLAY_TEST(an_end_that_a_program_has_counted_is_not_counted_again),
		REPLAY_TEST(a_shadow_that_has_ended_is_reset_by_what_comes_after),
		REPLAY_TEST(a_shadow_that_ends_before_its_client_has_answered_whole),
		REPLAY_TEST(a_shadow_that_does_not_end_is_ended),
		REPLAY_TEST(so_is_one_that_neither_answers_nor_ends),
		REPLAY_TEST(the_end_is_passed_on_when_the_shadow_has_answered),
		REPLAY_TEST(who_asks_by_ending_has_asked),
		REPLAY_TEST(a_reset_is_passed_on_as_one_when_the_shadow_has_answered),
		REPLAY_TEST(what_a_shadow_leaves_unanswered_is_counted),
		REPLAY_TEST(an_end_whose_copy_was_lost_is_found),
		REPLAY_TEST(so_is_that_the_data_path_knows_a_connection_no_more),
		REPLAY_TEST(bytes_whose_copy_was_lost_end_the_connection_as_lost),
		REPLAY_TEST(a_full_ring_buffer_loses_copies_and_nothing_else),
		REPLAY_TEST(responses_are_compared_with_productions),
		REPLAY_TEST(a_slow_shadows_responses_are_compared_with_those_to_the_same_requests),
		REPLAY_TEST(a_service_that_is_no_longer_mirrored_has_its_connections_stopped),
		REPLAY_TEST(a_daemon_that_ends_stops_its_connections),
		REPLAY_TEST(connections_of_a_daemon_that_was_killed_are_stopped_by_the_next),
		REPLAY_TEST(there_are_no_more_connections_than_the_tables_have_room_for),
	};

	return cmocka_run_group_tests(tests, make_world, end_world);
}
