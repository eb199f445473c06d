// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define IPV4_BITS 96 /* what every mapped IPv4 prefix begins with */

void routes_free(struct routes *r)
{
	if (!r)
		return;
	free(r->links);
	free(r->addresses);
	free(r->routes);
	free(r->neighbours);
	free(r);
}

#define VLANS_STACKED_MAX 2 /* tags that a frame is looked at with */
#define MTU_MAX 65535U

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_prefixes(const struct prefix *a, const struct prefix *b)
{
	int order = compare(a->bits, b->bits);

	return order ? order : memcmp(&a->address, &b->address, sizeof(a->address));
}

static int compare_routes(const void *one, const void *other)
{
	const struct route_info *a = one, *b = other;
	int order = compare_prefixes(&a->destination, &b->destination);

	if (!order)
		order = compare(a->metric, b->metric);
	return order ? order : compare(a->order, b->order);
}

static int compare_neighbours(const void *one, const void *other)
{
	const struct neighbour_info *a = one, *b = other;
	int order = compare(a->ifindex, b->ifindex);

	return order ? order : memcmp(&a->address, &b->address, sizeof(a->address));
}

void routes_sort(struct routes *r)
{
	for (size_t i = 0; i < r->route_count; i++)
		r->routes[i].order = i;
	if (r->route_count)
		qsort(r->routes, r->route_count, sizeof(*r->routes), compare_routes);
	if (r->neighbour_count)
		qsort(r->neighbours, r->neighbour_count, sizeof(*r->neighbours), compare_neighbours);
}

const struct link_info *routes_link(const struct routes *r, uint32_t ifindex)
{
	for (size_t i = 0; i < r->link_count; i++)
		if (r->links[i].ifindex == ifindex)
			return &r->links[i];
	return NULL;
}

const struct link_info *routes_link_by_name(const struct routes *r, const char *name)
{
	for (size_t i = 0; i < r->link_count; i++)
		if (!strcmp(r->links[i].name, name))
			return &r->links[i];
	return NULL;
}

static bool is_among(const uint32_t *ifindexes, size_t count, uint32_t ifindex)
{
	for (size_t i = 0; i < count; i++)
		if (ifindexes[i] == ifindex)
			return true;
	return false;
}

uint32_t routes_egress(const struct routes *r, const uint32_t *ifindexes, size_t ifindex_count, uint32_t ifindex)
{
	const struct link_info *link = routes_link(r, ifindex);
	uint32_t egress = ifindex;

	for (int depth = 0; depth < VLANS_STACKED_MAX && link && link->lower; depth++) {
		if (is_among(ifindexes, ifindex_count, link->lower))
			egress = link->lower;
		link = routes_link(r, link->lower);
	}
	return egress;
}

static uint16_t mtu_of(const struct link_info *link)
{
	return link->mtu < MTU_MAX ? link->mtu : MTU_MAX;
}

/* The link, if next hops can lead through it. */
static const struct link_info *ethernet_link(const struct routes *r, uint32_t ifindex)
{
	static const uint8_t none[6];
	const struct link_info *link = routes_link(r, ifindex);

	return link && memcmp(link->mac, none, sizeof(none)) ? link : NULL;
}

static struct prefix prefix_of(const struct address *a, uint32_t bits)
{
	struct prefix p = {.bits = bits};

	for (uint32_t i = 0; i < 4 && bits > 32 * i; i++)
		p.address.word[i] =
			bits >= 32 * (i + 1) ? a->word[i] : a->word[i] & htonl(~0U << (32 * (i + 1) - bits));
	return p;
}

/* The best route to exactly this prefix: the first of those that are equal. */
static const struct route_info *find_exact(const struct routes *r, const struct prefix *p)
{
	size_t low = 0, high = r->route_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_prefixes(&r->routes[middle].destination, p) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->route_count && prefix_equal(&r->routes[low].destination, p) ? &r->routes[low] : NULL;
}

/* The route that the kernel's main table takes. An IPv4 address never takes an IPv6 route, the default included. */
static const struct route_info *find_route(const struct routes *r, const struct address *to)
{
	int shortest = address_is_ipv4(to) ? IPV4_BITS : 0;

	for (int bits = 128; bits >= shortest; bits--) {
		struct prefix p = prefix_of(to, bits);
		const struct route_info *route = find_exact(r, &p);

		if (route)
			return route;
	}
	return NULL;
}

static const struct neighbour_info *find_neighbour(const struct routes *r, uint32_t ifindex, const struct address *a)
{
	const struct neighbour_info key = {.ifindex = ifindex, .address = *a};

	if (!r->neighbour_count)
		return NULL;
	return bsearch(&key, r->neighbours, r->neighbour_count, sizeof(key), compare_neighbours);
}

static bool is_local(const struct routes *r, const struct address *a)
{
	for (size_t i = 0; i < r->address_count; i++)
		if (address_equal(&r->addresses[i].address, a))
			return true;
	return false;
}

static bool in_any(const struct prefix *prefixes, size_t count, const struct address *a)
{
	for (size_t i = 0; i < count; i++)
		if (prefix_contains(&prefixes[i], a))
			return true;
	return false;
}

/* Addresses that mean something on their own link or host only. */
static bool is_narrow(const struct address *a)
{
	const struct prefix narrow[] = {
		{.address = {{0, 0, htonl(0xffff), htonl(0x7f000000)}}, .bits = 96 + 8},  /* 127.0.0.0/8 */
		{.address = {{0, 0, htonl(0xffff), htonl(0xa9fe0000)}}, .bits = 96 + 16}, /* 169.254.0.0/16 */
		{.address = {{0, 0, 0, htonl(1)}}, .bits = 128},                          /* ::1 */
		{.address = {{htonl(0xfe800000)}}, .bits = 10},                           /* fe80::/10 */
	};

	return in_any(narrow, ARRAY_SIZE(narrow), a);
}

static struct address source_towards(const struct routes *r, const struct route_info *route, const struct address *to,
				     const struct address *neighbour)
{
	const struct local_address *global = NULL;

	if (!address_is_zero(&route->preferred_source))
		return route->preferred_source;
	for (size_t i = 0; i < r->address_count; i++) {
		const struct local_address *local = &r->addresses[i];
		struct prefix own = prefix_of(&local->address, local->bits);

		if (local->ifindex != route->ifindex || address_is_ipv4(&local->address) != address_is_ipv4(to))
			continue;
		if (prefix_contains(&own, neighbour))
			return local->address;
		if (!global && !is_narrow(&local->address))
			global = local;
	}
	return global ? global->address : (struct address){};
}

enum resolution routes_resolve(const struct routes *r, const struct address *to, struct resolved *ret)
{
	const struct neighbour_info *neighbour;
	const struct route_info *route;
	const struct link_info *link;

	*ret = (struct resolved){};
	if (is_local(r, to))
		return RESOLUTION_LOCAL;
	route = find_route(r, to);
	link = route ? ethernet_link(r, route->ifindex) : NULL;
	if (!link)
		return RESOLUTION_NO_ROUTE;

	ret->neighbour = address_is_zero(&route->gateway) ? *to : route->gateway;
	ret->source = source_towards(r, route, to, &ret->neighbour);
	if (!link->up)
		return RESOLUTION_LINK_DOWN;

	ret->hop.ifindex = link->ifindex;
	ret->mtu = mtu_of(link);
	memcpy(ret->hop.source_mac, link->mac, sizeof(link->mac));
	neighbour = find_neighbour(r, link->ifindex, &ret->neighbour);
	if (!neighbour)
		return RESOLUTION_NO_NEIGHBOUR;
	memcpy(ret->hop.destination_mac, neighbour->mac, sizeof(neighbour->mac));
	ret->stale = neighbour->stale;
	return RESOLVED;
}

bool routes_gateway_wanted(const struct routes *r, const struct route_info *route)
{
	const struct link_info *link = ethernet_link(r, route->ifindex);
	const struct neighbour_info *gateway;

	if (!link || !link->up || address_is_zero(&route->gateway))
		return false;
	gateway = find_neighbour(r, route->ifindex, &route->gateway);
	return !gateway || gateway->stale;
}

/* Entries while they are gathered; room for all there can be is made beforehand. */
struct hop_list {
	struct hop_entry *entries;
	size_t count;
};

static struct hop_entry *hop_list_add(struct hop_list *l, const struct prefix *p, enum next_hop_kind kind)
{
	struct hop_entry *e = &l->entries[l->count++];

	*e = (struct hop_entry){.key = {.prefix_bits = p->bits, .address = p->address}, .value = {.kind = kind}};
	return e;
}

/* A link that packets may leave by, and the interface that sends them. */
struct way {
	const struct link_info *link;
	uint32_t egress;
};

static void set_hop(struct hop_entry *e, const struct way *way, const struct neighbour_info *neighbour)
{
	const struct link_info *link = way->link;

	e->value.hop.ifindex = way->egress;
	e->value.mtu = mtu_of(link);
	memcpy(e->value.hop.source_mac, link->mac, sizeof(link->mac));
	if (neighbour) {
		e->value.kind = NEXT_HOP_REACHABLE;
		memcpy(e->value.hop.destination_mac, neighbour->mac, sizeof(neighbour->mac));
	}
}

/* Where no client is: link-local addresses are no source beyond their link, and multicast ones are no source at all. */
static bool is_unroutable(const struct address *a)
{
	const struct prefix unroutable[] = {
		{.address = {{htonl(0xfe800000)}}, .bits = 10},                          /* fe80::/10 */
		{.address = {{htonl(0xff000000)}}, .bits = 8},                           /* ff00::/8 */
		{.address = {{0, 0, htonl(0xffff), htonl(0xe0000000)}}, .bits = 96 + 4}, /* 224.0.0.0/4 */
	};

	return in_any(unroutable, ARRAY_SIZE(unroutable), a);
}

/* The link is NULL if nothing may leave by it. */
static struct way allowed_way(const struct routes *r, const uint32_t *ifindexes, size_t count, uint32_t ifindex)
{
	struct way way = {.egress = routes_egress(r, ifindexes, count, ifindex)};

	if (is_among(ifindexes, count, way.egress))
		way.link = ethernet_link(r, ifindex);
	return way;
}

/* Of equal prefixes only the best counts, and it counts even where it leads elsewhere: the kernel would take it too. */
static void add_routes(const struct routes *r, const uint32_t *ifindexes, size_t ifindex_count, struct hop_list *l)
{
	const struct prefix ipv4 = {.address.word[2] = htonl(0xffff), .bits = IPV4_BITS};
	bool ipv4_default = false;

	for (size_t i = 0; i < r->route_count; i++) {
		const struct route_info *route = &r->routes[i];
		const struct way way = allowed_way(r, ifindexes, ifindex_count, route->ifindex);
		const struct link_info *link = way.link;
		const struct neighbour_info *gateway = NULL;

		if (!link || is_unroutable(&route->destination.address))
			continue;
		if (i > 0 && prefix_equal(&r->routes[i - 1].destination, &route->destination))
			continue;
		if (link->up && !address_is_zero(&route->gateway))
			gateway = find_neighbour(r, link->ifindex, &route->gateway);
		set_hop(hop_list_add(l, &route->destination, NEXT_HOP_UNRESOLVED), &way, gateway);
		ipv4_default |= prefix_equal(&route->destination, &ipv4);
	}
	if (!ipv4_default)
		hop_list_add(l, &ipv4, NEXT_HOP_UNRESOLVED);
}

/* A neighbour is reached directly only where its own route says so: the same address may be known on other links too.
 */
static void add_neighbours(const struct routes *r, const uint32_t *ifindexes, size_t ifindex_count, struct hop_list *l)
{
	for (size_t i = 0; i < r->neighbour_count; i++) {
		const struct neighbour_info *neighbour = &r->neighbours[i];
		const struct way way = allowed_way(r, ifindexes, ifindex_count, neighbour->ifindex);
		const struct link_info *link = way.link;
		const struct prefix host = {.address = neighbour->address, .bits = 128};
		const struct route_info *route;

		if (!link || !link->up || is_unroutable(&neighbour->address))
			continue;
		route = find_route(r, &neighbour->address);
		if (route && route->ifindex == link->ifindex && address_is_zero(&route->gateway))
			set_hop(hop_list_add(l, &host, NEXT_HOP_REACHABLE), &way, neighbour);
	}
}

static int compare_hops(const void *one, const void *other)
{
	const struct hop_entry *a = one, *b = other;
	int order = memcmp(&a->key, &b->key, sizeof(a->key));

	/* The order of enum next_hop_kind: local before a neighbour's host entry before the host route to it. */
	return order ? order : compare(b->value.kind, a->value.kind);
}

int routes_hops(const struct routes *r, const uint32_t *ifindexes, size_t ifindex_count, struct hop_entry **ret,
		size_t *ret_count)
{
	size_t room = r->route_count + r->neighbour_count + r->address_count + 1, unique = 0;
	struct hop_list l = {.entries = calloc(room, sizeof(*l.entries))};

	if (!l.entries)
		return -ENOMEM;
	add_routes(r, ifindexes, ifindex_count, &l);
	add_neighbours(r, ifindexes, ifindex_count, &l);
	for (size_t i = 0; i < r->address_count; i++)
		hop_list_add(&l, &(struct prefix){.address = r->addresses[i].address, .bits = 128}, NEXT_HOP_LOCAL);

	qsort(l.entries, l.count, sizeof(*l.entries), compare_hops);
	for (size_t i = 0; i < l.count; i++)
		if (!unique || memcmp(&l.entries[unique - 1].key, &l.entries[i].key, sizeof(l.entries[i].key)))
			l.entries[unique++] = l.entries[i];
	*ret = l.entries;
	*ret_count = unique;
	return 0;
}
