// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which ends packets are looked at closely for: as many as there are, whoever put them there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "hash.h"
#include "known.h"
#include "own_bpffs.h"
#include "pins.h"

static const struct limits limits = {
	.services = 4, .backends = 8, .rows = 3, .half_open = 64, .established = 64, .shadow_flows = 64, .stash = 64};

static int mount_bpffs(void **state)
{
	(void)state;
	own_bpffs(0);
	return 0;
}

static struct service_key end_of(__u32 address, uint16_t port)
{
	return (struct service_key){
		.address = {.word = {0, 0, htonl(0xffff), htonl(address)}},
		.port = htons(port),
		.protocol = IPPROTO_TCP,
	};
}

/* As the programs see it: see struct known_ends. */
static __u32 known_as(const struct service_key *end)
{
	static struct known_ends known;
	int map = pins_open_map(OWN_PINS, "known_ends");
	__u32 zero = 0;

	assert_int_equal(bpf_map_lookup_elem(map, &zero, &known), 0);
	close(map);
	return known.end[hash_end(address_fold(&end->address), end->port, end->protocol)];
}

/* Another end with the same place. */
static struct service_key sharer_of(const struct service_key *end)
{
	for (__u32 address = 0x0a010000;; address++) {
		struct service_key other = end_of(address, 8000);

		if (hash_end(address_fold(&other.address), other.port, other.protocol) ==
		    hash_end(address_fold(&end->address), end->port, end->protocol))
			return other;
	}
}

static void set_vip(struct datapath *dp, const struct service_key *vip, __u32 service)
{
	assert_int_equal(datapath_update(dp, MAP_VIPS, vip, &service), 0);
}

static void an_end_is_known_while_it_is_there_and_after_a_restart(void **state)
{
	const struct service_key vip = end_of(0x0a00000a, 8000), backend = end_of(0x0a14000b, 80);
	const struct reply_origin origin = {.backend = 1, .mode = FORWARD_DNAT};
	struct datapath *dp = own_datapath(&limits);

	(void)state;
	assert_int_equal(known_as(&vip), 0);
	set_vip(dp, &vip, 1);
	assert_int_equal(known_as(&vip), 1);
	set_vip(dp, &vip, 2); /* another one takes its place */
	assert_int_equal(known_as(&vip), 2);
	assert_int_equal(datapath_update(dp, MAP_REPLY_ORIGINS, &backend, &origin), 0);
	assert_int_equal(known_as(&backend), END_BACKEND | END_DNAT | 1);
	datapath_close(dp);
	assert_int_equal(known_as(&vip), 2);
	dp = own_datapath(&limits);
	assert_int_equal(known_as(&vip), 2);
	assert_int_equal(known_as(&backend), END_BACKEND | END_DNAT | 1);
	assert_int_equal(datapath_delete(dp, MAP_VIPS, &vip), 0);
	assert_int_equal(known_as(&vip), 0);
	assert_int_equal(known_as(&backend), END_BACKEND | END_DNAT | 1);
	assert_int_equal(datapath_delete(dp, MAP_REPLY_ORIGINS, &backend), 0);
	assert_int_equal(known_as(&backend), 0);
	datapath_close(dp);
	assert_int_equal(datapath_remove(OWN_PINS), 0);
}

static void ends_that_share_a_place_are_looked_up_until_the_last_is_gone(void **state)
{
	const struct service_key one = end_of(0x0a00000a, 8000), other = sharer_of(&one);
	struct datapath *dp = own_datapath(&limits);

	(void)state;
	set_vip(dp, &one, 1);
	set_vip(dp, &other, 2);
	assert_int_equal(known_as(&one), END_LOOK_UP);
	assert_int_equal(datapath_delete(dp, MAP_VIPS, &one), 0);
	assert_int_equal(datapath_delete(dp, MAP_VIPS, &one), -ENOENT);
	assert_int_equal(known_as(&other), END_LOOK_UP);
	assert_int_equal(datapath_delete(dp, MAP_VIPS, &other), 0);
	assert_int_equal(known_as(&other), 0);
	datapath_close(dp);
	assert_int_equal(datapath_remove(OWN_PINS), 0);
}

static void an_end_for_which_there_is_no_room_is_not_known(void **state)
{
	struct datapath *dp = own_datapath(&limits);
	struct service_key end = end_of(0x0a00000a, 1);
	const __u32 service = 1;

	(void)state;
	while (datapath_update(dp, MAP_VIPS, &end, &service) == 0)
		end = end_of(0x0a00000a, ntohs(end.port) + 1);
	assert_int_equal(known_as(&end), 0);
	datapath_close(dp);
	assert_int_equal(datapath_remove(OWN_PINS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_is_known_while_it_is_there_and_after_a_restart),
		cmocka_unit_test(ends_that_share_a_place_are_looked_up_until_the_last_is_gone),
		cmocka_unit_test(an_end_for_which_there_is_no_room_is_not_known),
	};

	return cmocka_run_group_tests(tests, mount_bpffs, NULL);
}
