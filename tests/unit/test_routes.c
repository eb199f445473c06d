// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "routes.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* rows end where only zeros would follow */

/* The host of most tests. A link's MAC ends in its index; ETH2 has no carrier, LO and TUN have no MAC. */
enum { LO = 1, ETH0, ETH1, ETH2, TUN, LINKS = TUN };

struct route_row {
	const char *to, *gateway;
	uint32_t ifindex, metric;
	const char *source;
};

static const struct route_row route_rows[] = {
	{"10.0.0.0/24", NULL, ETH0, 0, "10.0.0.1"},
	{"192.168.5.0/24", NULL, ETH1},
	{"10.1.0.0/16", "10.0.0.254", ETH0},
	{"10.1.2.0/24", "192.168.5.254", ETH1},
	{"10.1.2.128/32", "10.0.0.254", ETH0},
	{"10.2.0.0/16", "192.168.5.254", ETH1, 200},
	{"10.2.0.0/16", "10.0.0.254", ETH0, 100},
	{"10.3.0.0/16", "10.0.0.253", ETH0}, /* a gateway that nobody has heard of */
	{"10.4.0.0/16", "10.0.0.254", ETH0, 0, "10.255.0.1"},
	{"10.5.0.0/24", NULL, ETH2},
	{"10.6.0.0/16", NULL, TUN},
	{"10.7.0.0/16", "192.168.5.254", ETH1, 100},
	{"10.7.0.0/16", "10.0.0.254", ETH0, 100}, /* as good as the one before, and later */
	{"10.8.0.0/16", "fe80::99", ETH1},        /* RFC 5549 */
	{"172.16.0.0/24", NULL, ETH1},            /* no address of ours is in it */
	{"0.0.0.0/0", "10.0.0.254", ETH0, 100},
	{"fe80::/64", NULL, ETH0, 256},
	{"fe80::/64", NULL, ETH1, 256},
	{"fd00::/64", NULL, ETH0, 256},
	{"fd01::/64", "fe80::99", ETH1, 1024},
	{"fd02::/64", "fd00::fe", ETH0, 1024},
	{"fd03::/64", NULL, ETH1, 1024}, /* nor here */
	{"ff00::/8", NULL, ETH0, 256},
};

struct address_row {
	const char *prefix_of, *address;
	uint32_t ifindex;
};

static const struct address_row address_rows[] = {
	{"127.0.0.0/8", "127.0.0.1", LO},     {"::1", "::1", LO},
	{"10.255.0.1", "10.255.0.1", LO},     {"fe80::/64", "fe80::1", ETH0},
	{"10.0.0.9", "10.0.0.9", ETH0},       {"10.0.0.0/24", "10.0.0.1", ETH0},
	{"10.0.0.0/24", "10.0.0.2", ETH0},    {"fd00::/64", "fd00::1", ETH0},
	{"fe80::/64", "fe80::2", ETH1},       {"169.254.0.0/16", "169.254.7.7", ETH1},
	{"fd05::/64", "fd05::1", ETH1},       {"192.168.5.0/24", "192.168.5.1", ETH1},
	{"192.168.5.0/24", "10.0.0.9", ETH1}, /* an address twice */
};

struct neighbour_row {
	const char *address;
	uint32_t ifindex;
	uint8_t mac; /* its last byte */
	bool stale;
};

static const struct neighbour_row neighbour_rows[] = {
	{"10.0.0.254", ETH0, 0xfe},    {"10.0.0.20", ETH0, 0x20, true},
	{"10.0.0.21", ETH1, 0x21},                               /* on the wrong link */
	{"192.168.5.254", ETH1, 0xee}, {"fe80::99", ETH0, 0x98}, /* another host of the same name */
	{"fe80::99", ETH1, 0x99},      {"fd00::20", ETH0, 0x60},
	{"10.5.0.20", ETH2, 0x50},     {"10.1.2.128", ETH0, 0x28}, /* heard of, but routed through a gateway */
	{"ff02::1", ETH0, 0x01},       {"172.16.0.20", ETH1, 0x16},
};

static struct address address_of(const char *text)
{
	struct address a = {};

	if (text)
		assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static struct prefix prefix_from(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static void set_mac(uint8_t mac[6], uint8_t last)
{
	const uint8_t whole[6] = {2, 0, 0, 0, 0, last};

	memcpy(mac, whole, sizeof(whole));
}

static struct routes *empty_routes(size_t routes, size_t addresses, size_t neighbours)
{
	struct routes *r = calloc(1, sizeof(*r));

	r->links = calloc(LINKS, sizeof(*r->links));
	r->routes = calloc(routes + 1, sizeof(*r->routes));
	r->addresses = calloc(addresses + 1, sizeof(*r->addresses));
	r->neighbours = calloc(neighbours + 1, sizeof(*r->neighbours));
	for (uint32_t i = LO; i <= LINKS; i++) {
		struct link_info *link = &r->links[r->link_count++];
		static const char *const names[] = {"", "lo", "eth0", "eth1", "eth2", "tun0"};

		*link = (struct link_info){.ifindex = i, .mtu = 1500, .up = i != ETH2};
		strcpy(link->name, names[i]);
		if (i != LO && i != TUN)
			set_mac(link->mac, i);
	}
	return r;
}

static void add_route(struct routes *r, const struct route_row *row)
{
	r->routes[r->route_count++] = (struct route_info){
		.destination = prefix_from(row->to),
		.gateway = address_of(row->gateway),
		.ifindex = row->ifindex,
		.metric = row->metric,
		.preferred_source = address_of(row->source),
	};
}

static void add_neighbour(struct routes *r, struct address address, uint32_t ifindex, uint8_t mac, bool stale)
{
	struct neighbour_info *n = &r->neighbours[r->neighbour_count++];

	*n = (struct neighbour_info){.address = address, .ifindex = ifindex, .stale = stale};
	set_mac(n->mac, mac);
}

static struct routes *make_host(void)
{
	struct routes *r = empty_routes(ARRAY_SIZE(route_rows), ARRAY_SIZE(address_rows), ARRAY_SIZE(neighbour_rows));

	for (size_t i = 0; i < ARRAY_SIZE(route_rows); i++)
		add_route(r, &route_rows[i]);
	for (size_t i = 0; i < ARRAY_SIZE(address_rows); i++)
		r->addresses[r->address_count++] = (struct local_address){
			.address = address_of(address_rows[i].address),
			.bits = prefix_from(address_rows[i].prefix_of).bits,
			.ifindex = address_rows[i].ifindex,
		};
	for (size_t i = 0; i < ARRAY_SIZE(neighbour_rows); i++)
		add_neighbour(r, address_of(neighbour_rows[i].address), neighbour_rows[i].ifindex,
			      neighbour_rows[i].mac, neighbour_rows[i].stale);
	routes_sort(r);
	return r;
}

/* --- one address --- */

struct resolve_case {
	const char *name, *to;
	enum resolution want;
	uint32_t ifindex; /* of the hop */
	uint8_t mac;
	const char *neighbour, *source;
	bool stale;
};

static const struct resolve_case resolve_cases[] = {
	{"on link, no address of ours there: the first global one", "172.16.0.20", RESOLVED, ETH1, 0x16, "172.16.0.20",
	 "192.168.5.1"},
	{"on link, stale", "10.0.0.20", RESOLVED, ETH0, 0x20, "10.0.0.20", "10.0.0.1", true},
	{"on link, not known", "10.0.0.22", RESOLUTION_NO_NEIGHBOUR, ETH0, 0, "10.0.0.22", "10.0.0.1"},
	{"known on another link only", "10.0.0.21", RESOLUTION_NO_NEIGHBOUR, ETH0, 0, "10.0.0.21", "10.0.0.1"},
	{"through a gateway", "10.1.9.9", RESOLVED, ETH0, 0xfe, "10.0.0.254", "10.0.0.1"},
	{"the longer prefix", "10.1.2.3", RESOLVED, ETH1, 0xee, "192.168.5.254", "192.168.5.1"},
	{"a host route", "10.1.2.128", RESOLVED, ETH0, 0xfe, "10.0.0.254", "10.0.0.1"},
	{"the lower metric", "10.2.0.1", RESOLVED, ETH0, 0xfe, "10.0.0.254", "10.0.0.1"},
	{"the first of equal metrics", "10.7.0.1", RESOLVED, ETH1, 0xee, "192.168.5.254", "192.168.5.1"},
	{"gateway not known", "10.3.0.1", RESOLUTION_NO_NEIGHBOUR, ETH0, 0, "10.0.0.253", "10.0.0.1"},
	{"the route's preferred source", "10.4.0.1", RESOLVED, ETH0, 0xfe, "10.0.0.254", "10.255.0.1"},
	{"the default", "8.8.8.8", RESOLVED, ETH0, 0xfe, "10.0.0.254", "10.0.0.1"},
	{"an IPv6 gateway to IPv4", "10.8.0.1", RESOLVED, ETH1, 0x99, "fe80::99", "192.168.5.1"},
	{"IPv6 on link", "fd00::20", RESOLVED, ETH0, 0x60, "fd00::20", "fd00::1"},
	{"a link-local gateway, on its own link", "fd01::1", RESOLVED, ETH1, 0x99, "fe80::99", "fe80::2"},
	{"IPv6 on link, no address of ours there", "fd03::1", RESOLUTION_NO_NEIGHBOUR, ETH1, 0, "fd03::1", "fd05::1"},
	{"IPv6 gateway not known", "fd02::1", RESOLUTION_NO_NEIGHBOUR, ETH0, 0, "fd00::fe", "fd00::1"},
	{"IPv6 without a default", "2001:db8::1", RESOLUTION_NO_ROUTE},
	{"own address", "10.0.0.1", RESOLUTION_LOCAL},
	{"VIP on loopback", "10.255.0.1", RESOLUTION_LOCAL},
	{"loopback", "::1", RESOLUTION_LOCAL},
	{"link down", "10.5.0.20", RESOLUTION_LINK_DOWN, 0, 0, "10.5.0.20", NULL},
	{"no Ethernet", "10.6.0.1", RESOLUTION_NO_ROUTE},
};

static void check_resolved(const struct routes *r, const struct resolve_case *c)
{
	struct address to = address_of(c->to), neighbour = address_of(c->neighbour), source = address_of(c->source);
	struct next_hop hop = {.ifindex = c->ifindex};
	struct resolved got;

	memset(&got, 0xff, sizeof(got));
	if (c->ifindex)
		set_mac(hop.source_mac, c->ifindex);
	if (c->mac)
		set_mac(hop.destination_mac, c->mac);
	print_message("  %s\n", c->name);
	assert_int_equal(routes_resolve(r, &to, &got), c->want);
	assert_memory_equal(&got.hop, &hop, sizeof(hop));
	assert_true(address_equal(&got.neighbour, &neighbour));
	assert_true(address_equal(&got.source, &source));
	assert_int_equal(got.stale, c->stale);
}

static void an_address_has_the_next_hop_that_the_kernel_would_take(void **state)
{
	_cleanup_(routes_freep) struct routes *r = make_host();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(resolve_cases); i++)
		check_resolved(r, &resolve_cases[i]);
}

static void an_ipv6_default_is_no_way_to_an_ipv4_address(void **state)
{
	_cleanup_(routes_freep) struct routes *r = empty_routes(1, 0, 0);
	struct address v4 = address_of("8.8.8.8"), v6 = address_of("2001:db8::1");
	struct resolved got;

	(void)state;
	add_route(r, &(struct route_row){"::/0", "fe80::99", ETH0});
	routes_sort(r);
	assert_int_equal(routes_resolve(r, &v6, &got), RESOLUTION_NO_NEIGHBOUR);
	assert_int_equal(routes_resolve(r, &v4, &got), RESOLUTION_NO_ROUTE);
}

static void a_gateway_is_wanted_while_its_mac_is_missing_or_stale_on_its_own_link(void **state)
{
	static const struct {
		struct route_row route;
		bool want;
	} cases[] = {
		{{"10.1.0.0/16", "10.0.0.254", ETH0}, false}, {{"10.1.0.0/16", "10.0.0.20", ETH0}, true},
		{{"10.1.0.0/16", "10.0.0.253", ETH0}, true},  {{"10.1.0.0/16", "10.0.0.254", ETH1}, true},
		{{"10.1.0.0/16", NULL, ETH0}, false},         {{"10.1.0.0/16", "10.5.0.1", ETH2}, false},
		{{"fd00::/16", "fe80::99", ETH1}, false},     {{"10.1.0.0/16", "10.6.0.1", TUN}, false},
	};
	_cleanup_(routes_freep) struct routes *host = make_host();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(routes_freep) struct routes *one = empty_routes(1, 0, 0);

		add_route(one, &cases[i].route);
		assert_int_equal(routes_gateway_wanted(host, &one->routes[0]), cases[i].want);
	}
}

static void links_are_found_by_index_and_by_name(void **state)
{
	_cleanup_(routes_freep) struct routes *r = make_host();

	(void)state;
	assert_int_equal(routes_link_by_name(r, "eth1")->ifindex, ETH1);
	assert_string_equal(routes_link(r, ETH2)->name, "eth2");
	assert_null(routes_link(r, 99));
	assert_null(routes_link_by_name(r, "eth"));
	routes_free(NULL);
}

/* --- all entries --- */

static const struct hop_entry *entry_of(const struct hop_entry *hops, size_t count, const char *text)
{
	struct prefix p = prefix_from(text);

	for (size_t i = 0; i < count; i++)
		if (hops[i].key.prefix_bits == p.bits && address_equal(&hops[i].key.address, &p.address))
			return &hops[i];
	return NULL;
}

static void assert_sorted_and_unique(const struct hop_entry *hops, size_t count)
{
	for (size_t i = 1; i < count; i++)
		assert_true(memcmp(&hops[i - 1].key, &hops[i].key, sizeof(hops[i].key)) < 0);
}

struct hop_row {
	const char *prefix;
	enum next_hop_kind kind;
	uint32_t ifindex;
	uint8_t mac;
};

static void check_hops(const struct routes *r, const uint32_t *allowed, size_t allowed_count,
		       const struct hop_row *rows, size_t row_count)
{
	_cleanup_free_ struct hop_entry *hops = NULL;
	size_t count = 0;

	assert_int_equal(routes_hops(r, allowed, allowed_count, &hops, &count), 0);
	assert_sorted_and_unique(hops, count);
	for (size_t i = 0; i < row_count; i++) {
		const struct hop_entry *got = entry_of(hops, count, rows[i].prefix);
		struct next_hop want = {.ifindex = rows[i].ifindex};

		print_message("  %s\n", rows[i].prefix);
		if (want.ifindex)
			set_mac(want.source_mac, want.ifindex);
		if (rows[i].mac)
			set_mac(want.destination_mac, rows[i].mac);
		assert_non_null(got);
		assert_int_equal(got->value.kind, rows[i].kind);
		assert_memory_equal(&got->value.hop, &want, sizeof(want));
	}
	assert_int_equal(count, row_count);
}

#define LOCAL_ROWS                                                                                                     \
	{"127.0.0.1", NEXT_HOP_LOCAL}, {"::1", NEXT_HOP_LOCAL}, {"10.255.0.1", NEXT_HOP_LOCAL},                        \
		{"10.0.0.1", NEXT_HOP_LOCAL}, {"10.0.0.2", NEXT_HOP_LOCAL}, {"10.0.0.9", NEXT_HOP_LOCAL},              \
		{"fd00::1", NEXT_HOP_LOCAL}, {"fe80::1", NEXT_HOP_LOCAL}, {"fe80::2", NEXT_HOP_LOCAL},                 \
		{"169.254.7.7", NEXT_HOP_LOCAL}, {"fd05::1", NEXT_HOP_LOCAL},                                          \
	{                                                                                                              \
		"192.168.5.1", NEXT_HOP_LOCAL                                                                          \
	}

static void hops_are_one_entry_per_route_neighbour_and_own_address(void **state)
{
	static const struct hop_row rows[] = {
		LOCAL_ROWS,
		{"0.0.0.0/0", NEXT_HOP_REACHABLE, ETH0, 0xfe},
		{"10.0.0.0/24", NEXT_HOP_UNRESOLVED, ETH0},
		{"192.168.5.0/24", NEXT_HOP_UNRESOLVED, ETH1},
		{"172.16.0.0/24", NEXT_HOP_UNRESOLVED, ETH1},
		{"10.1.0.0/16", NEXT_HOP_REACHABLE, ETH0, 0xfe},
		{"10.1.2.0/24", NEXT_HOP_REACHABLE, ETH1, 0xee},
		{"10.1.2.128", NEXT_HOP_REACHABLE, ETH0, 0xfe},
		{"10.2.0.0/16", NEXT_HOP_REACHABLE, ETH0, 0xfe},
		{"10.3.0.0/16", NEXT_HOP_UNRESOLVED, ETH0},
		{"10.4.0.0/16", NEXT_HOP_REACHABLE, ETH0, 0xfe},
		{"10.5.0.0/24", NEXT_HOP_UNRESOLVED, ETH2},
		{"10.7.0.0/16", NEXT_HOP_REACHABLE, ETH1, 0xee},
		{"10.8.0.0/16", NEXT_HOP_REACHABLE, ETH1, 0x99},
		{"fd00::/64", NEXT_HOP_UNRESOLVED, ETH0},
		{"fd01::/64", NEXT_HOP_REACHABLE, ETH1, 0x99},
		{"fd03::/64", NEXT_HOP_UNRESOLVED, ETH1},
		{"fd02::/64", NEXT_HOP_UNRESOLVED, ETH0},
		{"10.0.0.254", NEXT_HOP_REACHABLE, ETH0, 0xfe},
		{"10.0.0.20", NEXT_HOP_REACHABLE, ETH0, 0x20},
		{"192.168.5.254", NEXT_HOP_REACHABLE, ETH1, 0xee},
		{"172.16.0.20", NEXT_HOP_REACHABLE, ETH1, 0x16},
		{"fd00::20", NEXT_HOP_REACHABLE, ETH0, 0x60},
	};
	static const uint32_t allowed[] = {LO, ETH0, ETH1, ETH2, TUN};
	_cleanup_(routes_freep) struct routes *r = make_host();

	(void)state;
	check_hops(r, allowed, ARRAY_SIZE(allowed), rows, ARRAY_SIZE(rows));
}

static void hops_lead_through_allowed_interfaces_only(void **state)
{
	/* 10.2.0.0/16 is not among them: its better route leads through ETH0. Without IPv4 default, nothing is default.
	 */
	static const struct hop_row rows[] = {
		LOCAL_ROWS,
		{"0.0.0.0/0", NEXT_HOP_UNRESOLVED},
		{"192.168.5.0/24", NEXT_HOP_UNRESOLVED, ETH1},
		{"172.16.0.0/24", NEXT_HOP_UNRESOLVED, ETH1},
		{"10.1.2.0/24", NEXT_HOP_REACHABLE, ETH1, 0xee},
		{"10.7.0.0/16", NEXT_HOP_REACHABLE, ETH1, 0xee},
		{"10.8.0.0/16", NEXT_HOP_REACHABLE, ETH1, 0x99},
		{"fd01::/64", NEXT_HOP_REACHABLE, ETH1, 0x99},
		{"fd03::/64", NEXT_HOP_UNRESOLVED, ETH1},
		{"192.168.5.254", NEXT_HOP_REACHABLE, ETH1, 0xee},
		{"172.16.0.20", NEXT_HOP_REACHABLE, ETH1, 0x16},
	};
	static const uint32_t allowed[] = {ETH1};
	_cleanup_(routes_freep) struct routes *r = make_host();

	(void)state;
	check_hops(r, allowed, ARRAY_SIZE(allowed), rows, ARRAY_SIZE(rows));
}

static void defaults_have_the_bits_of_their_family(void **state)
{
	_cleanup_(routes_freep) struct routes *r = empty_routes(2, 0, 0);
	_cleanup_free_ struct hop_entry *hops = NULL;
	const uint32_t eth0 = ETH0;
	size_t count;

	(void)state;
	add_route(r, &(struct route_row){"0.0.0.0/0", "10.0.0.254", ETH0});
	add_route(r, &(struct route_row){"::/0", "fe80::99", ETH0});
	routes_sort(r);
	assert_int_equal(routes_hops(r, &eth0, 1, &hops, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(hops[0].key.prefix_bits, 0);
	assert_true(address_is_zero(&hops[0].key.address));
	assert_int_equal(hops[1].key.prefix_bits, 96);
	assert_true(address_is_ipv4(&hops[1].key.address));
	assert_int_equal(hops[1].value.hop.ifindex, ETH0);
}

static void a_host_route_on_link_gives_way_to_its_neighbour(void **state)
{
	_cleanup_(routes_freep) struct routes *r = empty_routes(1, 0, 1);
	static const struct hop_row rows[] = {
		{"10.9.9.9", NEXT_HOP_REACHABLE, ETH1, 0x77},
		{"0.0.0.0/0", NEXT_HOP_UNRESOLVED},
	};
	const uint32_t eth1 = ETH1;

	(void)state;
	add_route(r, &(struct route_row){"10.9.9.9", NULL, ETH1});
	add_neighbour(r, address_of("10.9.9.9"), ETH1, 0x77, false);
	routes_sort(r);
	check_hops(r, &eth1, 1, rows, ARRAY_SIZE(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_the_next_hop_that_the_kernel_would_take),
		cmocka_unit_test(an_ipv6_default_is_no_way_to_an_ipv4_address),
		cmocka_unit_test(a_gateway_is_wanted_while_its_mac_is_missing_or_stale_on_its_own_link),
		cmocka_unit_test(links_are_found_by_index_and_by_name),
		cmocka_unit_test(hops_are_one_entry_per_route_neighbour_and_own_address),
		cmocka_unit_test(hops_lead_through_allowed_interfaces_only),
		cmocka_unit_test(defaults_have_the_bits_of_their_family),
		cmocka_unit_test(a_host_route_on_link_gives_way_to_its_neighbour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
