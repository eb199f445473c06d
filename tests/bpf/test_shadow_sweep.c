// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * How the daemon looks after mirrored connections: in real maps, pinned in a bpffs that only this process sees, with
 * loopback in the mirror's place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "../unit/config_fixture.h"
#include "backends.h"
#include "hash.h"
#include "own_bpffs.h"
#include "shadow_care.h"
#include "shadow_sweep.h"

#define LOOPBACK 1
#define MS 1000000ULL
#define NOW (5000000 * MS)
#define TCP_SERVICE                                                                                                    \
	"web: {address: 10.0.0.10, port: 80, forward: nat, variants: {blue: {weight: 1, backends: "                    \
	"[10.0.1.11:8000]}}, "
#define SHADOWED TCP_SERVICE "shadow: {backends: [10.0.4.21:8000], sample: 100, sources: [10.0.0.9]}}"
#define UNSHADOWED TCP_SERVICE "health: {check: none}}"

struct world {
	struct datapath *datapath;
	struct splitter *splitter;
	struct shadow_sweep *sweep;
	uint32_t service;
	int mirror; /* receives what is sent to it */
	uint32_t paused;
	char paused_service[NAME_SIZE], reason[SHADOW_REASON_SIZE];
};

static struct world world;

static void loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

static int open_maps(void **state)
{
	const struct limits limits = {.services = 4,
				      .backends = 32,
				      .rows = 12,
				      .half_open = 64,
				      .established = 64,
				      .shadow_flows = 64,
				      .stash = 64};
	const struct sockaddr_ll on_loopback = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = LOOPBACK};

	(void)state;
	own_bpffs(CLONE_NEWNET);
	loopback_up();
	world.mirror = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_IP));
	assert_int_equal(bind(world.mirror, (const struct sockaddr *)&on_loopback, sizeof(on_loopback)), 0);
	world.datapath = own_datapath(&limits);
	datapath_shadow_guard(world.datapath)->mirror = LOOPBACK;
	return 0;
}

static int close_maps(void **state)
{
	(void)state;
	close(world.mirror);
	datapath_close(world.datapath);
	return 0;
}

static void apply(const char *services)
{
	struct routes *routes = calloc(1, sizeof(*routes));
	struct refusal why;
	char text[2048];

	snprintf(text, sizeof(text), "interfaces: [eth0]\nservices: {%s}\n", services);
	if (splitter_apply(world.splitter, parse(text), routes, NOW, NULL, &why))
		fail_msg("%s", why.text);
	routes_free(routes);
}

static void note_pause(void *context, const char *service, const char *reason)
{
	struct world *w = context;

	w->paused++;
	snprintf(w->paused_service, sizeof(w->paused_service), "%s", service);
	snprintf(w->reason, sizeof(w->reason), "%s", reason);
}

static void empty(enum datapath_map map)
{
	uint8_t key[64];

	while (datapath_next_key(world.datapath, map, NULL, key) == 0)
		assert_int_equal(datapath_delete(world.datapath, map, key), 0);
}

static int begin(void **state)
{
	(void)state;
	assert_int_equal(splitter_create(world.datapath, &world.splitter), 0);
	apply(SHADOWED);
	world.service = splitter_service_id(world.splitter, &world.splitter->model->services[0]);
	world.paused = 0;
	assert_int_equal(shadow_sweep_create(world.splitter, NOW - 60000 * MS, note_pause, &world, &world.sweep), 0);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	shadow_sweep_destroy(world.sweep);
	splitter_destroy(world.splitter);
	empty(MAP_SHADOW_FLOWS);
	empty(MAP_SHADOW_PORTS);
	empty(MAP_STASH);
	memset(datapath_replay_counters(world.datapath, world.service), 0, sizeof(struct shadow_counters));
	return 0;
}

/* --- connections --- */

static struct flow_key key_of(uint16_t port)
{
	struct flow_key key = {.port = htons(port), .service = world.service};

	assert_int_equal(address_parse("192.0.2.7", &key.client), 0);
	return key;
}

static uint32_t source_id(void)
{
	struct address source;

	assert_int_equal(address_parse("10.0.0.9", &source), 0);
	return splitter_source_id(world.splitter, &source);
}

static uint32_t shadow_id(void)
{
	struct id_list ids = backends_of(world.splitter, "web", SHADOW_VARIANT);

	assert_int_equal(ids.count, 1);
	return ids.id[0];
}

static struct source_port_key port_key(uint16_t port)
{
	struct source_port_key key = {.endpoint = datapath_backend(world.datapath, shadow_id())->endpoint,
				      .port = htons(port)};
	struct address source;

	assert_int_equal(address_parse("10.0.0.9", &source), 0);
	key.source_fold = address_fold(&source);
	return key;
}

/* A connection of client port @port, from source port @port, with one waiting segment. */
static void add(uint16_t port, uint32_t flags, uint64_t ms_ago)
{
	struct shadow_flow flow = {
		.serial = 1000 + port,
		.backend = shadow_id(),
		.source = source_id(),
		.source_port = htons(port),
		.flags = flags,
		.seen = (NOW - ms_ago * MS) >> TICK_SHIFT,
		.opened_ns = NOW - ms_ago * MS,
		.progress_ns = NOW - ms_ago * MS,
		.fin_ns = NOW - ms_ago * MS,
	};
	struct stash_key stash_key = {.serial = flow.serial};
	struct source_port_key port_key_value = port_key(port);
	struct stash_segment segment = {.bytes = 4};
	struct flow_key key = key_of(port);
	struct shadow_port value = {.flow = key, .serial = flow.serial};

	assert_int_equal(datapath_update(world.datapath, MAP_SHADOW_FLOWS, &key, &flow), 0);
	assert_int_equal(datapath_update(world.datapath, MAP_SHADOW_PORTS, &port_key_value, &value), 0);
	assert_int_equal(datapath_update(world.datapath, MAP_STASH, &stash_key, &segment), 0);
}

static bool has_flow(uint16_t port)
{
	struct flow_key key = key_of(port);
	struct shadow_flow flow;

	return datapath_lookup(world.datapath, MAP_SHADOW_FLOWS, &key, &flow) == 0;
}

static bool has_port(uint16_t port)
{
	struct source_port_key key = port_key(port);
	struct shadow_port value;

	return datapath_lookup(world.datapath, MAP_SHADOW_PORTS, &key, &value) == 0;
}

static bool has_segment(uint16_t port)
{
	struct stash_key key = {.serial = 1000 + port};
	struct stash_segment segment;

	return datapath_lookup(world.datapath, MAP_STASH, &key, &segment) == 0;
}

/* The next frame in the mirror is a kick for the connection of @port. */
static void assert_kick(uint16_t port, uint32_t action, uint32_t reason)
{
	struct pollfd comes = {.fd = world.mirror, .events = POLLIN};
	struct flow_key key = key_of(port);
	struct mirror_kick kick;
	uint8_t frame[128];

	assert_int_equal(poll(&comes, 1, 5000), 1);
	assert_int_equal(recv(world.mirror, frame, sizeof(frame), 0), 14 + sizeof(kick));
	assert_memory_equal(frame, ((uint8_t[]){0x02, 'h', 'g', MIRROR_KICK, 0, world.service, 0, 0, 0, 0, 0, 0, 8, 0}),
			    14);
	memcpy(&kick, frame + 14, sizeof(kick));
	assert_memory_equal(&kick.flow, &key, sizeof(key));
	assert_int_equal(kick.serial, 1000 + port);
	assert_int_equal(kick.action, action);
	assert_int_equal(kick.reason, reason);
}

static void assert_no_kick(void)
{
	uint8_t frame[128];

	assert_int_equal(recv(world.mirror, frame, sizeof(frame), 0), -1);
	assert_int_equal(errno, EAGAIN);
}

/* --- */

static void a_connection_that_is_over_is_forgotten_with_all_it_had(void **state)
{
	(void)state;
	add(1, SHADOW_FLOW_OPEN | SHADOW_FLOW_FIN | SHADOW_FLOW_OVER, 10000);
	add(2, SHADOW_FLOW_OPEN | SHADOW_FLOW_OVER, 10000);
	add(3, SHADOW_FLOW_OPEN, 100);
	shadow_sweep_step(world.sweep, NOW);
	assert_false(has_flow(1) || has_port(1));
	assert_true(has_flow(2) && has_port(2) && has_segment(2));
	assert_true(has_flow(3) && has_port(3) && has_segment(3));
	/* Segments are looked for now and then, among those that are there when it begins. */
	shadow_sweep_step(world.sweep, NOW + 11000 * MS);
	assert_false(has_segment(1));
	assert_true(has_segment(2) && has_segment(3));
	assert_int_equal(shadow_sweep_mirroring(world.sweep, world.service), 1);
}

static void a_port_that_another_connection_has_by_now_stays(void **state)
{
	struct source_port_key key;
	struct shadow_port other = {.serial = 77};

	(void)state;
	add(1, SHADOW_FLOW_OPEN | SHADOW_FLOW_FIN | SHADOW_FLOW_OVER, 10000);
	key = port_key(1);
	assert_int_equal(datapath_update(world.datapath, MAP_SHADOW_PORTS, &key, &other), 0);
	shadow_sweep_step(world.sweep, NOW);
	assert_false(has_flow(1));
	assert_true(has_port(1));
}

static void what_is_due_is_asked_for_through_the_mirror_once(void **state)
{
	(void)state;
	add(1, 0, 1000); /* no SYN-ACK */
	shadow_sweep_step(world.sweep, NOW - 50 * MS);
	assert_no_kick();
	shadow_sweep_step(world.sweep, NOW + 50 * MS);
	assert_kick(1, KICK_REPAIR, 0);
	shadow_sweep_step(world.sweep, NOW + 150 * MS);
	assert_no_kick();
	shadow_sweep_step(world.sweep, NOW + 9500 * MS);
	assert_kick(1, KICK_ABORT, SHADOW_NO_ANSWER);
}

static void a_client_that_has_ended_is_told_of(void **state)
{
	(void)state;
	add(1, SHADOW_FLOW_OPEN | SHADOW_FLOW_FIN, 1000);
	shadow_sweep_step(world.sweep, NOW);
	assert_kick(1, KICK_FINISH, 0);
}

static void a_segment_that_is_nowhere_ends_its_connection(void **state)
{
	struct flow_key key;
	struct shadow_flow flow;

	(void)state;
	add(1, SHADOW_FLOW_OPEN, 1100);
	key = key_of(1);
	assert_int_equal(datapath_lookup(world.datapath, MAP_SHADOW_FLOWS, &key, &flow), 0);
	flow.client_next = 8; /* of which the first four wait */
	assert_int_equal(datapath_update(world.datapath, MAP_SHADOW_FLOWS, &key, &flow), 0);
	shadow_sweep_step(world.sweep, NOW);
	assert_kick(1, KICK_REPAIR, 0);
	flow.sent = flow.acked = 4;
	assert_int_equal(datapath_update(world.datapath, MAP_SHADOW_FLOWS, &key, &flow), 0);
	shadow_sweep_step(world.sweep, NOW + 100 * MS);
	assert_kick(1, KICK_ABORT, SHADOW_LOST);
}

static void what_is_not_to_be_mirrored_any_more_is_ended(void **state)
{
	(void)state;
	add(1, SHADOW_FLOW_OPEN, 100);
	shadow_sweep_step(world.sweep, NOW);
	assert_no_kick();
	apply(TCP_SERVICE "shadow: {backends: [10.0.4.21:8000], sample: 0, sources: [10.0.0.9]}}");
	shadow_sweep_step(world.sweep, NOW + 100 * MS);
	assert_kick(1, KICK_ABORT, SHADOW_STOPPED);
	apply(UNSHADOWED);
	shadow_sweep_step(world.sweep, NOW + 200 * MS);
	assert_kick(1, KICK_ABORT, SHADOW_STOPPED);
}

/* Nobody is there to be kicked. */
static void without_a_mirror_it_is_forgotten(void **state)
{
	(void)state;
	add(1, SHADOW_FLOW_OPEN, 100);
	datapath_shadow_guard(world.datapath)->mirror = 0;
	shadow_sweep_step(world.sweep, NOW);
	assert_true(has_flow(1));
	apply(UNSHADOWED);
	shadow_sweep_step(world.sweep, NOW + 100 * MS);
	assert_false(has_flow(1));
	datapath_shadow_guard(world.datapath)->mirror = LOOPBACK;
}

static void a_shadow_that_refuses_is_paused_with_the_figures(void **state)
{
	struct shadow_counters *c = datapath_replay_counters(world.datapath, world.service);

	(void)state;
	shadow_sweep_step(world.sweep, NOW);
	c->eligible = c->ended[SHADOW_REFUSED] = 199;
	shadow_sweep_step(world.sweep, NOW + 2000 * MS);
	assert_int_equal(world.paused, 0);
	c->ended[SHADOW_REFUSED] = 200;
	shadow_sweep_step(world.sweep, NOW + 4000 * MS);
	assert_int_equal(world.paused, 1);
	assert_string_equal(world.paused_service, "web");
	assert_string_equal(world.reason, "200 of the last 200 connections failed at the shadow; the limit is 5%");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_connection_that_is_over_is_forgotten_with_all_it_had),
		TEST(a_port_that_another_connection_has_by_now_stays),
		TEST(what_is_due_is_asked_for_through_the_mirror_once),
		TEST(a_client_that_has_ended_is_told_of),
		TEST(a_segment_that_is_nowhere_ends_its_connection),
		TEST(what_is_not_to_be_mirrored_any_more_is_ended),
		TEST(without_a_mirror_it_is_forgotten),
		TEST(a_shadow_that_refuses_is_paused_with_the_figures),
	};

	return cmocka_run_group_tests(tests, open_maps, close_maps);
}
