// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the programs read of shadows, in real maps, pinned in a bpffs that only this process sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/config_fixture.h"
#include "backends.h"
#include "own_bpffs.h"
#include "shadows.h"
#include "sweep.h"

#define LINK_INDEX 1 /* lo: there is nothing else, and nothing is sent */
#define BLUE "variants: {blue: {weight: 1, backends: [10.0.1.11:8000]}}"

static int open_maps(void **state)
{
	const struct limits limits = {.services = 4,
				      .backends = 32,
				      .rows = 12,
				      .half_open = 64,
				      .established = 64,
				      .shadow_flows = 64,
				      .stash = 64};

	own_bpffs(CLONE_NEWNET);
	*state = own_datapath(&limits);
	return 0;
}

static int close_maps(void **state)
{
	datapath_close(*state);
	return 0;
}

/* --- a host on 10.0.0.0/16, whose neighbours have MACs that end in the last octet of their addresses
 * ------------------
 */

static struct address address(const char *text)
{
	struct address a;

	assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static void assert_address(const struct address *is, const char *text)
{
	struct address wanted = address(text);

	assert_true(address_equal(is, &wanted));
}

static void add_neighbour(struct routes *r, const char *text)
{
	struct neighbour_info *n = &r->neighbours[r->neighbour_count++];

	*n = (struct neighbour_info){.address = address(text), .ifindex = LINK_INDEX, .mac = {2, 1, 2, 3, 4}};
	n->mac[5] = ((const uint8_t *)&n->address)[15];
}

static struct routes *host(void)
{
	struct routes *r = calloc(1, sizeof(*r));
	struct prefix link = {.bits = 96 + 16};

	assert_non_null(r);
	r->links = calloc(1, sizeof(*r->links));
	r->addresses = calloc(1, sizeof(*r->addresses));
	r->routes = calloc(2, sizeof(*r->routes));
	r->neighbours = calloc(8, sizeof(*r->neighbours));
	assert_true(r->links && r->addresses && r->routes && r->neighbours);
	link.address = address("10.0.0.0");
	r->links[r->link_count++] = (struct link_info){LINK_INDEX, "eth0", {2, 9, 9, 9, 9, 9}, .mtu = 1500, .up = true};
	r->addresses[r->address_count++] = (struct local_address){address("10.0.0.1"), 112, LINK_INDEX};
	r->routes[r->route_count++] = (struct route_info){.destination = link, .ifindex = LINK_INDEX};
	r->routes[r->route_count++] = (struct route_info){
		.destination = {address("10.5.0.0"), 112}, .gateway = address("10.0.0.254"), .ifindex = LINK_INDEX};
	add_neighbour(r, "10.0.1.11");
	add_neighbour(r, "10.0.4.21");
	add_neighbour(r, "10.0.4.22");
	add_neighbour(r, "10.0.0.254");
	routes_sort(r);
	return r;
}

static struct splitter *begin(struct datapath *dp)
{
	struct splitter *sp;

	assert_int_equal(splitter_create(dp, &sp), 0);
	assert_int_equal(splitter_set_interfaces(sp, &(uint32_t){LINK_INDEX}, 1), 0);
	return sp;
}

/* @services: what stands in braces behind "services:". */
static void apply(struct splitter *sp, const char *services)
{
	struct routes *routes = host();
	struct refusal why;
	char text[2048];

	snprintf(text, sizeof(text), "interfaces: [eth0]\nservices: {%s}\n", services);
	if (splitter_apply(sp, parse(text), routes, 1000000000, NULL, &why))
		fail_msg("%s", why.text);
	assert_int_equal(splitter_refresh_hops(sp, routes, NULL, NULL), 0);
	routes_free(routes);
}

static void apply_web(struct splitter *sp, const char *rest)
{
	char text[1024];

	snprintf(text, sizeof(text), "web: {address: 10.0.0.10, port: 80, forward: nat, %s}", rest);
	apply(sp, text);
}

/* Nothing of a test is left for the next. */
static void end(struct splitter *sp)
{
	apply(sp, "");
	for (int pass = 0; pass < 3; pass++)
		assert_int_equal(sweep_whole(sp, 2, 2), 0);
	assert_int_equal(backends_used(sp).count, 0);
	splitter_destroy(sp);
}

static uint32_t web(const struct splitter *sp)
{
	return splitter_service_id(sp, &sp->model->services[0]);
}

static struct service *kernel(struct splitter *sp)
{
	return datapath_service(sp->datapath, web(sp));
}

static struct shadow *entry(struct splitter *sp)
{
	return datapath_shadow(sp->datapath, web(sp));
}

static bool is_host(struct splitter *sp, const struct address *a)
{
	uint32_t value;

	return datapath_lookup(sp->datapath, MAP_SHADOW_HOSTS, a, &value) == 0;
}

static bool is_guarded(struct splitter *sp, const char *text)
{
	struct address a = address(text);
	uint8_t octet = ((const uint8_t *)&a)[15];
	bool bit = datapath_shadow_guard(sp->datapath)->addresses[octet / 64] >> octet % 64 & 1;

	assert_int_equal(bit, is_host(sp, &a));
	return bit;
}

static bool is_guarded_mac(struct splitter *sp, uint8_t octet)
{
	const uint8_t mac[16] = {2, 1, 2, 3, 4, octet, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
	bool bit = datapath_shadow_guard(sp->datapath)->macs[octet / 64] >> octet % 64 & 1;
	struct address a;

	memcpy(&a, mac, sizeof(a));
	assert_int_equal(bit, is_host(sp, &a));
	return bit;
}

static uint32_t origin_mode(struct splitter *sp, const char *text)
{
	struct service_key key = {address(text), htons(8000), IPPROTO_TCP, 0};
	struct reply_origin origin;

	return datapath_lookup(sp->datapath, MAP_REPLY_ORIGINS, &key, &origin) ? UINT32_MAX : origin.mode;
}

static int rule_of(struct splitter *sp, const char *text, uint32_t bits)
{
	struct cohort_key key = {.prefix_bits = 32 + 96 + bits, .service = web(sp), .source = address(text)};
	uint32_t rule;

	return datapath_lookup(sp->datapath, MAP_SHADOW_RULES, &key, &rule) ? -1 : (int)rule;
}

/* --- tests
 * ------------------------------------------------------------------------------------------------------------
 */

static void a_shadow_is_in_all_tables(void **state)
{
	struct splitter *sp = begin(*state);
	const struct shadow *e;
	const struct backend *b;

	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000, 10.0.4.22:8000], sample: 12.5, dscp: 8,"
			   "ports: 2000-2999, sources: [10.0.0.9], connection_segments: 77, always: [10.9.0.0/16],"
			   "never: [10.8.0.0/16]}");
	e = entry(sp);
	assert_int_equal(kernel(sp)->flags & (SERVICE_SHADOW | SERVICE_SHADOW_RULES),
			 SERVICE_SHADOW | SERVICE_SHADOW_RULES);
	assert_int_equal(kernel(sp)->shadow_sample, 1250);
	assert_int_equal(e->backend_count, 2);
	assert_int_equal(e->engine, SHADOW_INLINE);
	assert_int_equal(e->traffic_class, 8 << 2);
	assert_int_equal(e->port_min, 2000);
	assert_int_equal(e->port_max, 2999);
	assert_int_equal(e->stash, 77);
	assert_int_equal(e->packets_per_second, 0);
	assert_int_equal(e->source_count, 1);
	assert_address(&sp->sources[e->source[0]], "10.0.0.9");
	b = datapath_backend(sp->datapath, e->backend[1]);
	assert_address(&b->address, "10.0.4.22");
	assert_int_equal(b->port, htons(8000));
	assert_int_equal(b->service, web(sp));
	assert_int_equal(b->mtu, 1500);
	assert_int_equal(b->endpoint, e->backend[1]);
	assert_int_equal(b->hop[b->hop_active & 1].destination_mac[5], 22);
	assert_int_equal(origin_mode(sp, "10.0.4.21"), FORWARD_SHADOW);
	assert_int_equal(rule_of(sp, "10.9.0.0", 16), SHADOW_ALWAYS);
	assert_int_equal(rule_of(sp, "10.8.0.0", 16), SHADOW_NEVER);
	end(sp);
}

static void no_slot_names_a_shadow(void **state)
{
	struct splitter *sp = begin(*state);
	const struct row *row;

	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 100}");
	row = datapath_row(sp->datapath, kernel(sp)->main.entries);
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		assert_int_not_equal(row->slot[slot] & SLOT_BACKEND, entry(sp)->backend[0]);
	assert_int_equal(backends_of(sp, "web", "blue").count, 1);
	end(sp);
}

static void the_guard_knows_addresses_and_macs_on_the_link(void **state)
{
	struct splitter *sp = begin(*state);

	apply_web(sp, BLUE);
	assert_int_equal(datapath_shadow_guard(*state)->on, 0);
	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000, 10.5.0.33:8000], sample: 0}");
	assert_int_equal(datapath_shadow_guard(*state)->on, 1);
	assert_true(is_guarded(sp, "10.0.4.21"));
	assert_true(is_guarded_mac(sp, 21));
	assert_true(is_guarded(sp, "10.5.0.33"));
	/* Behind a gateway, whose MAC is everybody's. */
	assert_false(is_guarded_mac(sp, 254));
	assert_false(is_guarded(sp, "10.0.1.11"));
	assert_false(is_guarded_mac(sp, 11));
	end(sp);
	assert_int_equal(datapath_shadow_guard(*state)->on, 0);
	assert_int_equal(datapath_shadow_guard(*state)->addresses[0], 0);
	assert_int_equal(datapath_shadow_guard(*state)->macs[0], 0);
}

static void a_mac_that_production_has_too_is_not_guarded(void **state)
{
	struct splitter *sp = begin(*state);

	/* The shadow is the gateway of 10.5.0.0/16, where a backend is. */
	apply_web(sp, "variants: {blue: {weight: 1, backends: [10.5.0.11:8000]}},"
		      "shadow: {backends: [10.0.0.254:8000], sample: 0}");
	assert_true(is_guarded(sp, "10.0.0.254"));
	assert_false(is_guarded_mac(sp, 254));
	end(sp);
}

static void off_and_paused_leave_all_but_the_flag(void **state)
{
	static const enum shadow_state states[] = {SHADOW_OFF, SHADOW_PAUSED};
	struct splitter *sp = begin(*state);
	struct routes *routes = host();
	struct refusal why;

	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 10, always: [10.9.0.0/16]}");
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct model *copy;

		assert_int_equal(model_copy(sp->model, &copy), 0);
		copy->services[0].shadow.state = states[i];
		assert_int_equal(splitter_apply(sp, copy, routes, 1, NULL, &why), 0);
		assert_int_equal(kernel(sp)->flags & (SERVICE_SHADOW | SERVICE_SHADOW_RULES), 0);
		assert_int_equal(entry(sp)->backend_count, 1);
		assert_true(is_guarded(sp, "10.0.4.21"));
		assert_int_equal(origin_mode(sp, "10.0.4.21"), FORWARD_SHADOW);
		assert_int_equal(model_copy(sp->model, &copy), 0);
		copy->services[0].shadow.state = SHADOW_ON;
		assert_int_equal(splitter_apply(sp, copy, routes, 1, NULL, &why), 0);
		assert_int_equal(kernel(sp)->flags & (SERVICE_SHADOW | SERVICE_SHADOW_RULES),
				 SERVICE_SHADOW | SERVICE_SHADOW_RULES);
	}
	routes_free(routes);
	end(sp);
}

static void a_sample_of_0_without_a_rule_costs_no_flag(void **state)
{
	struct splitter *sp = begin(*state);

	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 0, never: [10.8.0.0/16]}");
	assert_int_equal(kernel(sp)->flags & (SERVICE_SHADOW | SERVICE_SHADOW_RULES), 0);
	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 0, always: [10.8.0.0/16]}");
	assert_int_equal(kernel(sp)->flags & (SERVICE_SHADOW | SERVICE_SHADOW_RULES),
			 SERVICE_SHADOW | SERVICE_SHADOW_RULES);
	assert_int_equal(rule_of(sp, "10.8.0.0", 16), SHADOW_ALWAYS);
	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 0.01}");
	assert_int_equal(kernel(sp)->flags & (SERVICE_SHADOW | SERVICE_SHADOW_RULES), SERVICE_SHADOW);
	assert_int_equal(kernel(sp)->shadow_sample, 1);
	assert_int_equal(rule_of(sp, "10.8.0.0", 16), -1);
	end(sp);
}

static void one_that_is_taken_away_leaves_what_its_connections_live_by(void **state)
{
	struct splitter *sp = begin(*state);
	uint32_t id;

	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 5, engine: replay, dscp: 9}");
	id = entry(sp)->backend[0];
	apply_web(sp, BLUE);
	assert_int_equal(kernel(sp)->flags & (SERVICE_SHADOW | SERVICE_SHADOW_RULES), 0);
	assert_int_equal(entry(sp)->backend_count, 0);
	assert_int_equal(entry(sp)->engine, SHADOW_REPLAY);
	assert_int_equal(entry(sp)->traffic_class, 9 << 2);
	assert_true(is_guarded(sp, "10.0.4.21"));
	assert_int_equal(origin_mode(sp, "10.0.4.21"), FORWARD_SHADOW);
	assert_int_equal(sp->backends[id].use, ID_LEAVING);
	end(sp);
}

static void a_new_daemon_finds_the_same_ids(void **state)
{
	static const char web_with_shadow[] = BLUE ", shadow: {backends: [10.0.4.21:8000, 10.0.4.22:8000], sample: 5}";
	struct splitter *sp = begin(*state);
	struct shadow was;

	apply_web(sp, web_with_shadow);
	was = *entry(sp);
	splitter_destroy(sp);
	sp = begin(*state);
	assert_int_equal(backends_used(sp).count, 3);
	apply_web(sp, web_with_shadow);
	assert_memory_equal(entry(sp), &was, sizeof(was));
	assert_int_equal(backends_used(sp).count, 3);
	end(sp);
}

static void two_services_with_one_shadow_share_its_source_ports(void **state)
{
	static const char shadow[] = BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 5}";
	struct splitter *sp = begin(*state);
	struct service_key key = {address("10.0.4.21"), htons(8000), IPPROTO_TCP, 0};
	struct reply_origin origin;
	uint32_t first, second;
	char text[1024];

	snprintf(text, sizeof(text),
		 "web: {address: 10.0.0.10, port: 80, forward: nat, %s}, api: {address: 10.0.0.11, port: 80, forward: "
		 "nat, %s}",
		 shadow, shadow);
	apply(sp, text);
	first = datapath_shadow(*state, splitter_service_id(sp, &sp->model->services[0]))->backend[0];
	second = datapath_shadow(*state, splitter_service_id(sp, &sp->model->services[1]))->backend[0];
	assert_int_not_equal(first, second);
	assert_int_equal(datapath_lookup(*state, MAP_REPLY_ORIGINS, &key, &origin), 0);
	assert_int_equal(origin.mode, FORWARD_SHADOW);
	assert_int_equal(datapath_backend(*state, first)->endpoint, origin.backend);
	assert_int_equal(datapath_backend(*state, second)->endpoint, origin.backend);
	end(sp);
}

/* The programs ask the owner's service whether the daemon speaks with the shadow itself. */
static void the_owner_of_shared_ports_stays_for_the_other(void **state)
{
	static const char shadow[] = BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 5, engine: replay}";
	struct service_key key = {address("10.0.4.21"), htons(8000), IPPROTO_TCP, 0};
	struct splitter *sp = begin(*state);
	struct reply_origin origin;
	char text[1024];

	snprintf(text, sizeof(text), "api: {address: 10.0.0.11, port: 80, forward: nat, %s}", shadow);
	apply(sp, text);
	snprintf(text, sizeof(text),
		 "web: {address: 10.0.0.10, port: 80, forward: nat, %s}, api: {address: 10.0.0.11, port: 80, forward: "
		 "nat, %s}",
		 shadow, shadow);
	apply(sp, text);
	apply_web(sp, shadow);
	for (int pass = 0; pass < 3; pass++)
		assert_int_equal(sweep_whole(sp, 2, 2), 0);
	assert_int_equal(datapath_lookup(*state, MAP_REPLY_ORIGINS, &key, &origin), 0);
	assert_int_equal(origin.mode, FORWARD_SHADOW);
	assert_int_not_equal(datapath_backend(*state, origin.backend)->service, web(sp));
	assert_int_equal(datapath_shadow(*state, datapath_backend(*state, origin.backend)->service)->engine,
			 SHADOW_REPLAY);
	assert_true(is_guarded(sp, "10.0.4.21"));
	end(sp);
}

static void a_mirrored_connection_keeps_the_ids_it_names(void **state)
{
	struct splitter *sp = begin(*state);
	struct flow_key key = {.client = address("10.1.0.1"), .port = htons(40000)};
	struct shadow_flow flow = {};
	uint32_t id;

	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 5}");
	id = entry(sp)->backend[0];
	key.service = web(sp);
	flow.backend = id;
	assert_int_equal(datapath_update(*state, MAP_SHADOW_FLOWS, &key, &flow), 0);
	apply(sp, "");
	for (int pass = 0; pass < 3; pass++)
		assert_int_equal(sweep_whole(sp, 2, 2), 0);
	assert_int_equal(sp->backends[id].use, ID_LEAVING);
	assert_int_equal(sp->services[key.service].use, ID_LEAVING);
	assert_true(is_guarded(sp, "10.0.4.21"));
	assert_int_equal(datapath_delete(*state, MAP_SHADOW_FLOWS, &key), 0);
	assert_int_equal(sweep_whole(sp, 2, 2), 0);
	assert_int_equal(sp->backends[id].use, ID_FREE);
	assert_int_equal(sp->services[key.service].use, ID_FREE);
	assert_int_equal(datapath_shadow(*state, key.service)->backend_count, 0);
	assert_false(is_guarded(sp, "10.0.4.21"));
	end(sp);
}

static void a_backend_that_becomes_a_shadow_answers_its_connections_first(void **state)
{
	struct splitter *sp = begin(*state);

	apply_web(sp, "variants: {blue: {weight: 1, backends: [10.0.1.11:8000, 10.0.4.21:8000]}}");
	assert_int_equal(origin_mode(sp, "10.0.4.21"), FORWARD_NAT);
	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 5}");
	assert_int_equal(origin_mode(sp, "10.0.4.21"), FORWARD_NAT);
	assert_int_equal(kernel(sp)->flags & SERVICE_SHADOW, 0);
	assert_false(is_guarded(sp, "10.0.4.21"));
	assert_non_null(strstr(sp->warnings, "shadow 10.0.4.21:8000 was a backend until now"));
	for (int pass = 0; pass < 3; pass++)
		assert_int_equal(sweep_whole(sp, 2, 2), 0);
	assert_int_equal(origin_mode(sp, "10.0.4.21"), FORWARD_SHADOW);
	assert_int_equal(kernel(sp)->flags & SERVICE_SHADOW, SERVICE_SHADOW);
	assert_true(is_guarded(sp, "10.0.4.21"));
	end(sp);
}

static void a_shadow_that_becomes_a_backend_is_one_at_once(void **state)
{
	struct splitter *sp = begin(*state);

	apply_web(sp, BLUE ", shadow: {backends: [10.0.4.21:8000], sample: 5}");
	apply_web(sp, "variants: {blue: {weight: 1, backends: [10.0.1.11:8000, 10.0.4.21:8000]}}");
	assert_int_equal(origin_mode(sp, "10.0.4.21"), FORWARD_NAT);
	assert_false(is_guarded(sp, "10.0.4.21"));
	assert_false(is_guarded_mac(sp, 21));
	for (int pass = 0; pass < 3; pass++)
		assert_int_equal(sweep_whole(sp, 2, 2), 0);
	assert_int_equal(origin_mode(sp, "10.0.4.21"), FORWARD_NAT);
	end(sp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shadow_is_in_all_tables),
		cmocka_unit_test(no_slot_names_a_shadow),
		cmocka_unit_test(the_guard_knows_addresses_and_macs_on_the_link),
		cmocka_unit_test(a_mac_that_production_has_too_is_not_guarded),
		cmocka_unit_test(off_and_paused_leave_all_but_the_flag),
		cmocka_unit_test(a_sample_of_0_without_a_rule_costs_no_flag),
		cmocka_unit_test(one_that_is_taken_away_leaves_what_its_connections_live_by),
		cmocka_unit_test(a_new_daemon_finds_the_same_ids),
		cmocka_unit_test(two_services_with_one_shadow_share_its_source_ports),
		cmocka_unit_test(the_owner_of_shared_ports_stays_for_the_other),
		cmocka_unit_test(a_mirrored_connection_keeps_the_ids_it_names),
		cmocka_unit_test(a_backend_that_becomes_a_shadow_answers_its_connections_first),
		cmocka_unit_test(a_shadow_that_becomes_a_backend_is_one_at_once),
	};

	return cmocka_run_group_tests(tests, open_maps, close_maps);
}
