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

/* Routes are checked against a search so plain that it can be seen to be right, on tables drawn at random. */
enum { LINK = 2, OTHER_LINK };

static struct address address_of(const char *text)
{
	struct address a;

	assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static struct routes *empty_routes(size_t routes, size_t neighbours)
{
	struct routes *r = calloc(1, sizeof(*r));

	r->links = calloc(2, sizeof(*r->links));
	r->links[r->link_count++] = (struct link_info){.ifindex = LINK, .mac = {2, LINK}, .up = true};
	r->links[r->link_count++] = (struct link_info){.ifindex = OTHER_LINK, .mac = {2, OTHER_LINK}, .up = true};
	r->routes = calloc(routes, sizeof(*r->routes));
	r->neighbours = calloc(neighbours, sizeof(*r->neighbours));
	r->addresses = calloc(1, sizeof(*r->addresses));
	return r;
}

static void add_neighbour(struct routes *r, struct address address, uint32_t ifindex, uint8_t mac)
{
	struct neighbour_info n = {.address = address, .ifindex = ifindex, .mac = {4, mac}};

	for (size_t i = 0; i < r->neighbour_count; i++) /* the kernel has one per link and address */
		if (r->neighbours[i].ifindex == ifindex && address_equal(&r->neighbours[i].address, &address))
			return;
	r->neighbours[r->neighbour_count++] = n;
}

static void assert_sorted_and_unique(const struct hop_entry *hops, size_t count)
{
	for (size_t i = 1; i < count; i++)
		assert_true(memcmp(&hops[i - 1].key, &hops[i].key, sizeof(hops[i].key)) < 0);
}

/* xorshift64* (Vigna 2016), fixed seed: every run tests the same. */
static uint32_t draw(uint64_t *random, uint32_t below)
{
	*random ^= *random >> 12;
	*random ^= *random << 25;
	*random ^= *random >> 27;
	return (*random * 0x2545f4914f6cdd1dULL >> 32) % below;
}

/* Few enough addresses that prefixes nest and collide: four bits vary, of 10.0.0.0/8 or of fd00::/96. */
static struct address random_address(uint64_t *random)
{
	struct address a = address_of(draw(random, 2) ? "10.0.0.0" : "fd00::");

	a.word[3] |= htonl(draw(random, 16) << 20 | draw(random, 2));
	return a;
}

static struct routes *random_host(uint64_t *random)
{
	struct routes *r = empty_routes(24, 24);

	for (int i = 0; i < 24; i++) {
		struct route_info *route = &r->routes[r->route_count++];
		struct address a = random_address(random);
		uint32_t bits = draw(random, 6) ? 104 + draw(random, 5) : draw(random, 2) ? 128 : 96;

		if (bits == 96 && !address_is_ipv4(&a))
			bits = 0;
		for (uint32_t bit = bits; bit < 128; bit++)
			a.word[bit / 32] &= ~htonl(1U << (31 - bit % 32));
		*route = (struct route_info){
			.destination = {a, bits}, .ifindex = LINK + draw(random, 2), .metric = draw(random, 3)};
		if (draw(random, 2))
			route->gateway = random_address(random);
	}
	for (int i = 0; i < 24; i++)
		add_neighbour(r, random_address(random), LINK + draw(random, 2), draw(random, 256));
	r->addresses[r->address_count++] = (struct local_address){random_address(random), 128, LINK};
	return r;
}

/* The route taken, found the plain way in the order in which routes were listed. */
static const struct route_info *plain_route(const struct routes *listed, const struct address *to)
{
	const struct route_info *best = NULL;

	for (size_t i = 0; i < listed->route_count; i++) {
		const struct route_info *route = &listed->routes[i];
		bool ipv4 = route->destination.bits >= 96 && address_is_ipv4(&route->destination.address);

		if (ipv4 != address_is_ipv4(to) || !prefix_contains(&route->destination, to))
			continue;
		if (!best || route->destination.bits > best->destination.bits ||
		    (route->destination.bits == best->destination.bits && route->metric < best->metric))
			best = route;
	}
	return best;
}

/* What a program finds: the longest prefix in the map. */
static const struct hop_entry *longest_prefix(const struct hop_entry *hops, size_t count, const struct address *to)
{
	const struct hop_entry *best = NULL;

	for (size_t i = 0; i < count; i++) {
		struct prefix p = {hops[i].key.address, hops[i].key.prefix_bits};

		if (prefix_contains(&p, to) && (!best || p.bits > best->key.prefix_bits))
			best = &hops[i];
	}
	return best;
}

static void check_address(const struct routes *r, const struct route_info *want, const struct hop_entry *entry,
			  const struct address *to)
{
	struct resolved got;
	enum resolution resolution = routes_resolve(r, to, &got);

	if (resolution == RESOLUTION_LOCAL) {
		assert_int_equal(entry->value.kind, NEXT_HOP_LOCAL);
		return;
	}
	if (!want) {
		assert_int_equal(resolution, RESOLUTION_NO_ROUTE);
		assert_true(!entry || (entry->value.kind == NEXT_HOP_UNRESOLVED && !entry->value.hop.ifindex));
		return;
	}
	assert_int_equal(got.hop.ifindex, want->ifindex);
	assert_true(address_equal(&got.neighbour, address_is_zero(&want->gateway) ? to : &want->gateway));
	assert_non_null(entry);
	assert_int_equal(entry->value.kind, resolution == RESOLVED ? NEXT_HOP_REACHABLE : NEXT_HOP_UNRESOLVED);
	assert_memory_equal(&entry->value.hop, &got.hop, sizeof(got.hop));
}

static void programs_and_a_plain_search_agree_on_every_address(void **state)
{
	static const uint32_t allowed[] = {LINK, OTHER_LINK};
	uint64_t random = 20240229;

	(void)state;
	for (int round = 0; round < 500; round++) {
		_cleanup_(routes_freep) struct routes *r = random_host(&random);
		struct route_info listed_routes[24];
		struct routes listed = {.routes = listed_routes, .route_count = r->route_count};
		_cleanup_free_ struct hop_entry *hops = NULL;
		size_t count;

		memcpy(listed_routes, r->routes, sizeof(listed_routes));
		routes_sort(r);
		assert_int_equal(routes_hops(r, allowed, ARRAY_SIZE(allowed), &hops, &count), 0);
		assert_sorted_and_unique(hops, count);
		for (int i = 0; i < 64; i++) {
			struct address to = random_address(&random);

			check_address(r, plain_route(&listed, &to), longest_prefix(hops, count, &to), &to);
		}
	}
}

static void a_large_segment_and_a_large_table_are_no_trouble(void **state)
{
	enum { MANY = 20000 };
	_cleanup_(routes_freep) struct routes *r = empty_routes(MANY + 1, MANY);
	_cleanup_free_ struct hop_entry *hops = NULL;
	struct address a = address_of("10.0.0.0");
	const uint32_t link = LINK;
	size_t count, reachable = 0;

	(void)state;
	r->routes[r->route_count++] = (struct route_info){.destination = {a, 96 + 8}, .ifindex = LINK};
	for (uint32_t i = 0; i < MANY; i++) {
		struct route_info *route = &r->routes[r->route_count++];

		a.word[3] = htonl(0x0a000000 + i * 7);
		r->neighbours[r->neighbour_count++] =
			(struct neighbour_info){.address = a, .ifindex = LINK, .mac = {4, i}};
		*route = (struct route_info){.destination = {a, 96 + 24}, .gateway = a, .ifindex = LINK};
		route->destination.address.word[3] = htonl(0x14000000 + (i << 8));
	}
	routes_sort(r);
	assert_int_equal(routes_hops(r, &link, 1, &hops, &count), 0);
	assert_sorted_and_unique(hops, count);
	for (size_t i = 0; i < count; i++)
		reachable += hops[i].value.kind == NEXT_HOP_REACHABLE;
	assert_int_equal(reachable, 2 * MANY);
	assert_int_equal(count, 2 * MANY + 2); /* the segment, and the absent default */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_and_a_plain_search_agree_on_every_address),
		cmocka_unit_test(a_large_segment_and_a_large_table_are_no_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
