// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Routes through VLANs and the MTUs of links: what the kernel says of a link, and which interface sends what leaves by
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "netlink_message.h" /* <net/if.h> has to come before what follows */
#include "routes.h"

#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>

/* eth0.10 is VLAN 10 of eth0, eth0.10.20 VLAN 20 in it; eth1 is no VLAN. A link's MAC ends in its index. */
enum { ETH0 = 2, ETH1, VLAN10, VLAN20 };

/* --- what the kernel says --- */

struct link_message {
	const char *name;
	const char *kind; /* NULL: no link info */
	uint32_t ifindex;
	uint32_t link; /* 0: none */
	uint32_t mtu;
	bool elsewhere;     /* @link is of another network namespace */
	bool kind_is_whole; /* ends with a NUL */
};

static void store_link(struct routes *r, const struct link_message *l)
{
	const uint8_t mac[6] = {2, 0, 0, 0, 0, l->ifindex};
	char buffer[1024];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *header;

	message->nlmsg_type = RTM_NEWLINK;
	header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->ifi_type = ARPHRD_ETHER;
	header->ifi_index = l->ifindex;
	header->ifi_flags = IFF_UP | IFF_RUNNING;
	mnl_attr_put_strz(message, IFLA_IFNAME, l->name);
	mnl_attr_put_u32(message, IFLA_MTU, l->mtu);
	mnl_attr_put(message, IFLA_ADDRESS, sizeof(mac), mac);
	if (l->link)
		mnl_attr_put_u32(message, IFLA_LINK, l->link);
	if (l->elsewhere)
		mnl_attr_put_u32(message, IFLA_LINK_NETNSID, 0);
	if (l->kind) {
		struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
		struct nlattr *data;

		mnl_attr_put(message, IFLA_INFO_KIND, strlen(l->kind) + l->kind_is_whole, l->kind);
		data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
		mnl_attr_put_u16(message, 1 /* IFLA_VLAN_ID */, 10);
		mnl_attr_nest_end(message, data);
		mnl_attr_nest_end(message, info);
	}
	assert_int_equal(netlink_message_store(r, message), 0);
}

static void a_vlan_knows_the_link_below_it_and_other_kinds_have_none(void **state)
{
	static const struct {
		struct link_message link;
		uint32_t lower;
	} cases[] = {
		{{"eth0", NULL, ETH0, 0, 1500, false, true}, 0},
		{{"eth0.10", "vlan", VLAN10, ETH0, 1500, false, true}, ETH0},
		{{"veth0", "veth", ETH1, ETH0, 1500, false, true}, 0},    /* its peer */
		{{"mac0", "macvlan", ETH1, ETH0, 1500, false, true}, 0},  /* has an address of its own, and no tag */
		{{"eth0.10", "vlan", VLAN10, ETH0, 1500, true, true}, 0}, /* the number means nothing here */
		{{"eth0.10", "vlan", VLAN10, ETH0, 1500, false, false}, 0},
		{{"eth0.10", "vlan", VLAN10, 0, 1500, false, true}, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(routes_freep) struct routes *r = calloc(1, sizeof(*r));

		print_message("  %zu\n", i);
		store_link(r, &cases[i].link);
		assert_int_equal(r->link_count, 1);
		assert_int_equal(r->links[0].lower, cases[i].lower);
		assert_int_equal(r->links[0].mtu, cases[i].link.mtu);
	}
}

/* --- which interface sends --- */

static struct address address_of(const char *text)
{
	struct address a = {};

	if (text)
		assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static void add_route(struct routes *r, const char *to, const char *gateway, uint32_t ifindex)
{
	struct route_info *route = &r->routes[r->route_count++];

	assert_int_equal(prefix_parse(to, &route->destination), 0);
	route->gateway = address_of(gateway);
	route->ifindex = ifindex;
}

static void add_neighbour(struct routes *r, const char *address, uint32_t ifindex, uint8_t mac)
{
	r->neighbours[r->neighbour_count++] = (struct neighbour_info){
		.address = address_of(address), .ifindex = ifindex, .mac = {2, 0, 0, 0, 1, mac}};
}

static struct routes *make_host(void)
{
	static const struct link_message links[] = {
		{"eth0", NULL, ETH0, 0, 9000, false, true},
		{"eth1", NULL, ETH1, 0, 70000, false, true},
		{"eth0.10", "vlan", VLAN10, ETH0, 1496, false, true},
		{"eth0.10.20", "vlan", VLAN20, VLAN10, 1492, false, true},
	};
	struct routes *r = calloc(1, sizeof(*r));

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		store_link(r, &links[i]);
	r->routes = calloc(8, sizeof(*r->routes));
	r->neighbours = calloc(8, sizeof(*r->neighbours));
	add_route(r, "10.0.0.0/24", NULL, ETH0);
	add_route(r, "10.0.1.0/24", NULL, ETH1);
	add_route(r, "10.0.10.0/24", NULL, VLAN10);
	add_route(r, "10.0.20.0/24", NULL, VLAN20);
	add_route(r, "10.1.0.0/16", "10.0.10.254", VLAN10);
	/* The same neighbours on the link below, of another segment. */
	add_neighbour(r, "10.0.10.11", VLAN10, 0x11);
	add_neighbour(r, "10.0.10.11", ETH0, 0x99);
	add_neighbour(r, "10.0.10.254", VLAN10, 0xfe);
	add_neighbour(r, "10.0.20.11", VLAN20, 0x21);
	routes_sort(r);
	return r;
}

static void a_vlan_is_sent_on_by_the_lowest_interface_that_may_be(void **state)
{
	static const struct {
		uint32_t allowed[2];
		uint32_t link, want;
	} cases[] = {
		{{ETH0}, ETH0, ETH0},           {{ETH0}, VLAN10, ETH0},         {{ETH0}, VLAN20, ETH0},
		{{VLAN10}, VLAN10, VLAN10},     {{VLAN10}, VLAN20, VLAN10},     {{ETH1}, VLAN10, VLAN10},
		{{ETH0, VLAN10}, VLAN20, ETH0}, {{VLAN10, ETH0}, VLAN10, ETH0}, {{VLAN20, ETH0}, ETH1, ETH1},
	};
	_cleanup_(routes_freep) struct routes *r = make_host();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(routes_egress(r, cases[i].allowed, cases[i].allowed[1] ? 2 : 1, cases[i].link),
				 cases[i].want);
	assert_int_equal(routes_egress(r, NULL, 0, VLAN10), VLAN10);
	assert_int_equal(routes_egress(r, cases[0].allowed, 1, 99), 99);
}

static const struct hop_entry *find_entry(const struct hop_entry *hops, size_t count, const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	for (size_t i = 0; i < count; i++)
		if (hops[i].key.prefix_bits == p.bits && address_equal(&hops[i].key.address, &p.address))
			return &hops[i];
	return NULL;
}

static void a_way_through_a_vlan_has_its_mac_neighbours_and_mtu_and_leaves_by_the_link_below(void **state)
{
	static const struct {
		const char *prefix;
		enum next_hop_kind kind;
		uint8_t source, destination;
		uint16_t mtu;
	} cases[] = {
		{"10.0.0.0/24", NEXT_HOP_UNRESOLVED, ETH0, 0, 9000},
		{"10.0.10.0/24", NEXT_HOP_UNRESOLVED, VLAN10, 0, 1496},
		{"10.0.10.11/32", NEXT_HOP_REACHABLE, VLAN10, 0x11, 1496},
		{"10.1.0.0/16", NEXT_HOP_REACHABLE, VLAN10, 0xfe, 1496},
		{"10.0.20.11/32", NEXT_HOP_REACHABLE, VLAN20, 0x21, 1492},
	};
	_cleanup_(routes_freep) struct routes *r = make_host();
	_cleanup_free_ struct hop_entry *hops = NULL;
	const uint32_t eth0 = ETH0;
	size_t count;

	(void)state;
	assert_int_equal(routes_hops(r, &eth0, 1, &hops, &count), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct hop_entry *got = find_entry(hops, count, cases[i].prefix);

		print_message("  %s\n", cases[i].prefix);
		assert_non_null(got);
		assert_int_equal(got->value.kind, cases[i].kind);
		assert_int_equal(got->value.hop.ifindex, ETH0);
		assert_int_equal(got->value.hop.source_mac[5], cases[i].source);
		assert_int_equal(got->value.hop.destination_mac[5], cases[i].destination);
		assert_int_equal(got->value.mtu, cases[i].mtu);
	}
	assert_null(find_entry(hops, count, "10.0.1.0/24"));
}

static void an_address_in_a_vlan_is_resolved_on_the_vlan_itself(void **state)
{
	_cleanup_(routes_freep) struct routes *r = make_host();
	struct address backend = address_of("10.0.10.11"), unknown = address_of("10.0.10.12"),
		       other = address_of("10.0.1.11");
	struct resolved got;

	(void)state;
	assert_int_equal(routes_resolve(r, &backend, &got), RESOLVED);
	assert_int_equal(got.hop.ifindex, VLAN10);
	assert_int_equal(got.hop.destination_mac[5], 0x11);
	assert_int_equal(got.mtu, 1496);
	assert_int_equal(routes_resolve(r, &unknown, &got), RESOLUTION_NO_NEIGHBOUR);
	assert_int_equal(got.hop.ifindex, VLAN10);
	routes_resolve(r, &other, &got);
	assert_int_equal(got.mtu, 65535); /* of more there is no packet */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vlan_knows_the_link_below_it_and_other_kinds_have_none),
		cmocka_unit_test(a_vlan_is_sent_on_by_the_lowest_interface_that_may_be),
		cmocka_unit_test(a_way_through_a_vlan_has_its_mac_neighbours_and_mtu_and_leaves_by_the_link_below),
		cmocka_unit_test(an_address_in_a_vlan_is_resolved_on_the_vlan_itself),
	};

	return cmocka_run_group_tests_name("VLANs", tests, NULL, NULL);
}
