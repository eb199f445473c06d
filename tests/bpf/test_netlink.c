// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "netlink.h"

/*
 * Two hosts on one wire, in network namespaces without a name: "near", where the tests run, and "far". They go with
 * this process. What the kernel would do of its own accord is turned off, so that only what is asked for happens.
 */
#define NEAR_MAC "02:00:00:00:00:01"
#define FAR_MAC "02:00:00:00:00:02"
#define OTHER_MAC "02:00:00:00:00:03"

static int near_fd = -1, far_fd = -1;

static int __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
	char command[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command);
}

#define run(...) assert_int_equal(shell(__VA_ARGS__), 0)
#define run_far(...)                                                                                                   \
	do {                                                                                                           \
		assert_int_equal(setns(far_fd, CLONE_NEWNET), 0);                                                      \
		int _status = shell(__VA_ARGS__);                                                                      \
		assert_int_equal(setns(near_fd, CLONE_NEWNET), 0);                                                     \
		assert_int_equal(_status, 0);                                                                          \
	} while (0)

static const char quiet[] = "set -e; cd /proc/sys/net; for i in all default; do echo 0 >ipv6/conf/$i/accept_dad; "
			    "echo 0 >ipv6/conf/$i/router_solicitations; echo 1 >ipv6/conf/$i/keep_addr_on_down; "
			    "done; ip link set lo up";

static int new_namespace(int *ret_fd)
{
	if (unshare(CLONE_NEWNET) || shell("%s", quiet))
		return -1;
	*ret_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? -1 : 0;
}

static int make_hosts(void **state)
{
	(void)state;
	if (new_namespace(&far_fd) || new_namespace(&near_fd))
		return -1;
	run("ip link add near address " NEAR_MAC " type veth peer name far address " FAR_MAC);
	run("ip link set far netns /proc/%d/fd/%d", getpid(), far_fd);
	run_far("ip addr add 10.0.0.2/24 dev far && ip addr add fd00::2/64 dev far && ip link set far up");
	run("ip addr add 10.0.0.1/24 dev near && ip addr add fd00::1/64 dev near && ip link set near mtu 1400 up");
	run("ip addr add 10.255.0.1/32 dev lo");
	run("for i in $(seq 100); do ip -o link show near up | grep -q LOWER_UP.*state.UP && exit; sleep 0.02; done; "
	    "exit 1");
	/* Unanswered questions are repeated soon; a stale neighbour that is merely used is not asked for an hour. */
	run("cd /proc/sys/net && for v in 4 6; do echo 20 >ipv$v/neigh/near/retrans_time_ms && "
	    "echo 3600 >ipv$v/neigh/near/delay_first_probe_time; done");
	return 0;
}

static struct address address_of(const char *text)
{
	struct address a;

	assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static struct routes *snapshot(struct netlink *n)
{
	struct routes *r = NULL;

	assert_int_equal(netlink_snapshot(n, &r), 0);
	return r;
}

static enum resolution resolve(struct netlink *n, const char *to, struct resolved *ret)
{
	_cleanup_(routes_freep) struct routes *r = snapshot(n);
	struct address address = address_of(to);

	return routes_resolve(r, &address, ret);
}

static struct netlink *listen_to_changes(void)
{
	struct netlink *n = NULL;

	assert_int_equal(netlink_open(&n), 0);
	return n;
}

/* Waits for the next change; false: none came. */
static bool change_comes(struct netlink *n)
{
	struct pollfd fd = {.fd = netlink_fd(n), .events = POLLIN};
	int changed = 0;

	while (!changed && poll(&fd, 1, 3000) == 1)
		changed = netlink_drain(n);
	return changed == 1;
}

/* --- snapshot --- */

static const char *const route_commands[] = {
	"ip route add 10.1.0.0/16 via 10.0.0.2 metric 50", "ip route add 10.2.0.0/16 via 10.0.0.2 src 10.255.0.1",
	"ip route add 10.3.0.0/16 nexthop via 10.0.0.3 dev near nexthop via 10.0.0.2 dev near",
	"ip route add 10.4.0.0/16 via inet6 fe80::ff:fe00:2 dev near",
	"ip nexthop add id 7 via 10.0.0.2 dev near && ip route add 10.5.0.0/16 nhid 7",
	"ip route add 10.6.0.0/16 dev near", "ip route add default via 10.0.0.2",
	"ip route add default via fe80::ff:fe00:2 dev near",
	"ip route add fd01::/64 nexthop via fd00::2 dev near nexthop via fd00::3 dev near",
	/* Those that do not count. */
	"ip route add blackhole 10.20.0.0/16 && ip route add unreachable fd20::/16",
	"ip route add 10.21.0.0/16 via 10.0.0.2 table 100", "ip route add 10.22.0.0/16 via 10.0.0.2 tos 0x10",
	"ip route add multicast 239.0.0.0/8 dev near", "ip route add fd23::/16 from fd00::/64 via fd00::2",
	"ip route add 10.24.0.0/16 encap ip6 id 1 dst fd00::2 dev near || true", /* where light tunnels are built in */
};

static const struct {
	const char *to, *gateway, *source;
	uint32_t metric;
} want_routes[] = {
	{"10.0.0.0/24", "::", "10.0.0.1", 0},
	{"10.1.0.0/16", "10.0.0.2", "::", 50},
	{"10.2.0.0/16", "10.0.0.2", "10.255.0.1", 0},
	{"10.3.0.0/16", "10.0.0.3", "::", 0},
	{"10.4.0.0/16", "fe80::ff:fe00:2", "::", 0},
	{"10.5.0.0/16", "10.0.0.2", "::", 0},
	{"10.6.0.0/16", "::", "::", 0},
	{"0.0.0.0/0", "10.0.0.2", "::", 0},
	{"::/0", "fe80::ff:fe00:2", "::", 1024},
	{"fd01::/64", "fd00::2", "::", 1024},
	{"fd00::/64", "::", "::", 256},
	{"fe80::/64", "::", "::", 256},
};

static const struct route_info *find_route(const struct routes *r, const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	for (size_t i = 0; i < r->route_count; i++)
		if (prefix_equal(&r->routes[i].destination, &p))
			return &r->routes[i];
	return NULL;
}

static void a_snapshot_has_the_unicast_routes_of_the_main_table(void **state)
{
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();
	_cleanup_(routes_freep) struct routes *r = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(route_commands); i++)
		run("%s", route_commands[i]);
	r = snapshot(n);
	for (size_t i = 0; i < ARRAY_SIZE(want_routes); i++) {
		struct address gateway = address_of(want_routes[i].gateway), source = address_of(want_routes[i].source);
		const struct route_info *route = find_route(r, want_routes[i].to);

		print_message("  %s\n", want_routes[i].to);
		assert_non_null(route);
		assert_true(address_equal(&route->gateway, &gateway));
		assert_true(address_equal(&route->preferred_source, &source));
		assert_int_equal(route->metric, want_routes[i].metric);
		assert_int_equal(route->ifindex, routes_link_by_name(r, "near")->ifindex);
	}
	assert_int_equal(r->route_count, ARRAY_SIZE(want_routes));
	run("ip nexthop flush && ip route flush proto boot && ip -6 route flush proto boot");
}

/* The kernel tells of carrier in its own time, a second at most. */
static void wait_for_carrier(struct netlink *n, bool want)
{
	for (int changes = 0; changes < 100; changes++) {
		_cleanup_(routes_freep) struct routes *r = snapshot(n);

		if (routes_link_by_name(r, "near")->up == want)
			return;
		assert_true(change_comes(n));
	}
	fail_msg("carrier is not %d", want);
}

static void a_snapshot_has_links_with_their_mac_mtu_and_carrier(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, none[6];
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();
	_cleanup_(routes_freep) struct routes *r = snapshot(n);
	const struct link_info *near = routes_link_by_name(r, "near"), *lo = routes_link_by_name(r, "lo");

	(void)state;
	assert_non_null(near);
	assert_memory_equal(near->mac, mac, sizeof(mac));
	assert_int_equal(near->mtu, 1400);
	assert_true(near->up);
	assert_non_null(lo);
	assert_memory_equal(lo->mac, none, sizeof(none));

	run_far("ip link set far down");
	wait_for_carrier(n, false);
	run_far("ip link set far up");
	wait_for_carrier(n, true);
}

static void a_snapshot_has_the_addresses_of_every_interface(void **state)
{
	static const struct {
		const char *address, *link;
		uint32_t bits;
	} want[] = {
		{"127.0.0.1", "lo", 96 + 8},   {"::1", "lo", 128},      {"10.255.0.1", "lo", 128},
		{"10.0.0.1", "near", 96 + 24}, {"fd00::1", "near", 64}, {"fe80::ff:fe00:1", "near", 64},
	};
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();
	_cleanup_(routes_freep) struct routes *r = snapshot(n);

	(void)state;
	assert_int_equal(r->address_count, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		struct address address = address_of(want[i].address);
		size_t found = 0;

		for (size_t j = 0; j < r->address_count; j++)
			found += address_equal(&r->addresses[j].address, &address) &&
				 r->addresses[j].bits == want[i].bits &&
				 r->addresses[j].ifindex == routes_link_by_name(r, want[i].link)->ifindex;
		assert_int_equal(found, 1);
	}
}

static void a_snapshot_has_neighbours_with_a_usable_mac_only(void **state)
{
	static const struct {
		const char *address, *nud;
		bool want, stale;
	} cases[] = {
		{"10.0.0.30", "permanent", true, false}, {"10.0.0.31", "reachable", true, false},
		{"10.0.0.32", "stale", true, true},      {"10.0.0.33", "delay", true, false},
		{"10.0.0.35", "noarp", false, false},    {"10.0.0.36", "failed", false, false},
		{"fd00::30", "permanent", true, false},  {"fd00::32", "stale", true, true},
	};
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();
	_cleanup_(routes_freep) struct routes *r = NULL;
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 0x30};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		run("ip neigh replace %s dev near lladdr 02:00:00:00:00:30 nud %s", cases[i].address, cases[i].nud);
	r = snapshot(n);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct address address = address_of(cases[i].address);
		const struct neighbour_info *got = NULL;

		for (size_t j = 0; j < r->neighbour_count; j++)
			if (address_equal(&r->neighbours[j].address, &address))
				got = &r->neighbours[j];
		print_message("  %s\n", cases[i].nud);
		assert_int_equal(got != NULL, cases[i].want);
		if (!got)
			continue;
		assert_memory_equal(got->mac, mac, sizeof(mac));
		assert_int_equal(got->stale, cases[i].stale);
	}
	run("ip neigh flush all nud permanent dev near && ip neigh flush all dev near");
}

static size_t count_stable(const struct routes *r)
{
	struct prefix stable;
	size_t count = 0;

	assert_int_equal(prefix_parse("10.201.0.0/16", &stable), 0);
	for (size_t i = 0; i < r->address_count; i++)
		count += prefix_contains(&stable, &r->addresses[i].address);
	return count;
}

/* Enough addresses that their dump takes several messages; while the first ones go, a dump skips some of the others. */
static void a_snapshot_is_whole_while_addresses_come_and_go(void **state)
{
	static const char many[] =
		"for i in $(seq 0 1999); do echo addr %s 10.%d.$((i / 250)).$((i %% 250))/32 dev lo; "
		"done | ip -batch -";
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();
	_cleanup_(routes_freep) struct routes *after = NULL;
	pid_t child;
	int status;

	(void)state;
	run(many, "add", 200);
	run(many, "add", 201);
	child = fork();
	if (!child)
		_exit(shell(many, "del", 200) != 0);
	assert_true(child > 0);
	while (waitpid(child, &status, WNOHANG) == 0) {
		_cleanup_(routes_freep) struct routes *r = NULL;
		int error = netlink_snapshot(n, &r);

		assert_true(error == 0 || error == -EAGAIN);
		if (r)
			assert_int_equal(count_stable(r), 2000);
	}
	assert_int_equal(status, 0);
	after = snapshot(n);
	assert_int_equal(count_stable(after), 2000);
	assert_int_equal(netlink_drain(n), 1);
	run("ip addr flush to 10.201.0.0/16 dev lo");
}

/* --- notifications --- */

static void each_change_is_noticed_once(void **state)
{
	static const struct {
		const char *command;
		int want;
	} cases[] = {
		{"ip link set near mtu 1300", 1},
		{"ip link set near mtu 1400", 1},
		{"ip addr add 10.0.0.7/24 dev near", 1},
		{"ip addr del 10.0.0.7/24 dev near", 1},
		{"ip addr add fd00::7/64 dev near", 1},
		{"ip addr del fd00::7/64 dev near", 1},
		{"ip route add 10.1.0.0/16 via 10.0.0.2", 1},
		{"ip route replace blackhole 10.1.0.0/16", 1},
		{"ip route del 10.1.0.0/16", 1},
		{"ip route add fd01::/64 via fd00::2", 1},
		{"ip route del fd01::/64", 1},
		{"ip neigh add 10.0.0.30 dev near lladdr " OTHER_MAC " nud permanent", 1},
		{"ip neigh del 10.0.0.30 dev near", 1},
		{"ip neigh add fd00::30 dev near lladdr " OTHER_MAC " nud stale", 1},
		{"ip neigh del fd00::30 dev near", 1},
		{"ip route add 10.1.0.0/16 via 10.0.0.2 table 100", 0},
		{"ip -6 route add fd01::/64 via fd00::2 table 100", 0},
		{"ip route flush table 100", 0},
		{"bridge fdb add 02:00:00:00:00:77 dev near", 0},
		{"true", 0},
	};
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(netlink_drain(n), 0);
		print_message("  %s\n", cases[i].command);
		run("%s", cases[i].command);
		assert_int_equal(netlink_drain(n), cases[i].want);
	}
}

static void lost_notifications_count_as_a_change(void **state)
{
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();
	const int small = 1;

	(void)state;
	assert_int_equal(setsockopt(netlink_fd(n), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	/* None of these counts by itself. */
	run("for i in $(seq 200); do echo route add 10.1.$i.0/24 via 10.0.0.2 table 100; done | ip -batch -");
	assert_int_equal(netlink_drain(n), 1);
	assert_int_equal(netlink_drain(n), 0);
	run("ip route flush table 100");
}

/* --- resolution --- */

static const char *const far_addresses[] = {"10.0.0.2", "fd00::2"};

static void probe(struct netlink *n, const char *address)
{
	_cleanup_(routes_freep) struct routes *r = snapshot(n);
	struct address neighbour = address_of(address);

	assert_int_equal(netlink_probe(n, routes_link_by_name(r, "near")->ifindex, &neighbour), 0);
}

/* Does what the daemon does: probes what is missing or stale, until @address is confirmed with a MAC ending in @mac. */
static void wait_for_mac(struct netlink *n, const char *address, uint8_t mac)
{
	struct resolved to;

	for (int changes = 0; changes < 100; changes++) {
		enum resolution resolution = resolve(n, address, &to);

		if (resolution == RESOLVED && to.hop.destination_mac[5] == mac &&
		    !shell("ip neigh show to %s dev near nud reachable | grep -q lladdr", address))
			return;
		if (resolution == RESOLUTION_NO_NEIGHBOUR || (resolution == RESOLVED && to.stale))
			probe(n, address);
		assert_true(change_comes(n));
	}
	fail_msg("%s never got the MAC that ends in %d", address, mac);
}

static void an_unknown_neighbour_becomes_reachable(void **state)
{
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();
	struct resolved to;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(far_addresses); i++) {
		const char *address = far_addresses[i];

		run("ip neigh del %s dev near 2>/dev/null; true", address);
		assert_int_equal(resolve(n, address, &to), RESOLUTION_NO_NEIGHBOUR);
		netlink_drain(n);
		wait_for_mac(n, address, 2);
	}
}

static void a_stale_neighbour_is_confirmed_at_once(void **state)
{
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();
	struct resolved to;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(far_addresses); i++) {
		const char *address = far_addresses[i];

		run("ip neigh replace %s dev near lladdr " FAR_MAC " nud stale", address);
		assert_int_equal(resolve(n, address, &to), RESOLVED);
		assert_true(to.stale);
		netlink_drain(n);
		wait_for_mac(n, address, 2);
		/* Not by traffic of this host's own either: a used one waits for an hour here (make_hosts). */
		run("ip neigh replace %s dev near lladdr " FAR_MAC " nud delay", address);
		probe(n, address);
		netlink_drain(n);
		wait_for_mac(n, address, 2);
	}
}

static void a_neighbour_whose_mac_changed_gets_the_new_one(void **state)
{
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();

	(void)state;
	run_far("ip link set far address " OTHER_MAC);
	for (size_t i = 0; i < ARRAY_SIZE(far_addresses); i++) {
		run("ip neigh replace %s dev near lladdr " FAR_MAC " nud stale", far_addresses[i]);
		netlink_drain(n);
		wait_for_mac(n, far_addresses[i], 3);
	}
	run_far("ip link set far address " FAR_MAC);
}

static void a_permanent_neighbour_is_left_alone(void **state)
{
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(far_addresses); i++) {
		const char *address = far_addresses[i];

		run("ip neigh replace %s dev near lladdr " OTHER_MAC " nud permanent", address);
		netlink_drain(n);
		probe(n, address);
		assert_int_equal(netlink_drain(n), 0);
		run("ip neigh show to %s nud permanent | grep -q " OTHER_MAC, address);
		run("ip neigh del %s dev near", address);
	}
}

static void a_router_is_still_one_after_a_probe(void **state)
{
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();

	(void)state;
	/* Losing the mark would cost this host its default route. Nobody answers for this one, so it is ours to keep.
	 */
	run("echo 60000 >/proc/sys/net/ipv6/neigh/near/retrans_time_ms"); /* it stays in PROBE while we look */
	run("ip neigh replace fd00::40 dev near lladdr " OTHER_MAC " router nud stale");
	probe(n, "fd00::40");
	run("ip neigh show to fd00::40 dev near | grep -q 'router PROBE'");
	run("ip neigh del fd00::40 dev near");
	run("echo 20 >/proc/sys/net/ipv6/neigh/near/retrans_time_ms");
}

static void a_probe_where_there_is_no_interface_is_an_error(void **state)
{
	_cleanup_(netlink_closep) struct netlink *n = listen_to_changes();
	struct address neighbour = address_of("10.0.0.2");
	_cleanup_(routes_freep) struct routes *r = NULL;

	(void)state;
	assert_true(netlink_probe(n, 0, &neighbour) < 0);
	assert_true(netlink_probe(n, 9999, &neighbour) < 0);
	r = snapshot(n); /* and does not upset what comes after */
	assert_int_equal(r->link_count, 2);
	netlink_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_snapshot_has_the_unicast_routes_of_the_main_table),
		cmocka_unit_test(a_snapshot_has_links_with_their_mac_mtu_and_carrier),
		cmocka_unit_test(a_snapshot_has_the_addresses_of_every_interface),
		cmocka_unit_test(a_snapshot_has_neighbours_with_a_usable_mac_only),
		cmocka_unit_test(a_snapshot_is_whole_while_addresses_come_and_go),
		cmocka_unit_test(each_change_is_noticed_once),
		cmocka_unit_test(lost_notifications_count_as_a_change),
		cmocka_unit_test(an_unknown_neighbour_becomes_reachable),
		cmocka_unit_test(a_stale_neighbour_is_confirmed_at_once),
		cmocka_unit_test(a_neighbour_whose_mac_changed_gets_the_new_one),
		cmocka_unit_test(a_permanent_neighbour_is_left_alone),
		cmocka_unit_test(a_router_is_still_one_after_a_probe),
		cmocka_unit_test(a_probe_where_there_is_no_interface_is_an_error),
	};

	return cmocka_run_group_tests(tests, make_hosts, NULL);
}
