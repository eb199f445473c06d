// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where the programs find by what a packet goes out with its copy, while ways out come and go: in real maps, in a
 * network of this program's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

#include "mirror.h"
#include "mirror_link.h"
#include "own_bpffs.h"

#define WAYS 4U

static struct datapath *datapath;
static struct mirror mirror;
static uint32_t way[WAYS]; /* ifindexes */

static int begin(void **state)
{
	const struct limits limits = {.services = 2,
				      .backends = 2,
				      .rows = 4,
				      .half_open = 64,
				      .established = 64,
				      .shadow_flows = 64,
				      .stash = 64};
	const char *const names[WAYS] = {"way0", "way1", "way2", "way3"};

	(void)state;
	own_bpffs(CLONE_NEWNET);
	if (system("ip link add way0 type veth peer name way1 && ip link add way2 type veth peer name way3"))
		return -1;
	for (uint32_t i = 0; i < WAYS; i++)
		way[i] = if_nametoindex(names[i]);
	datapath = own_datapath(&limits);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	datapath_close(datapath);
	return 0;
}

static void ensure(const uint32_t *ways_out, size_t count)
{
	struct refusal why;

	if (mirror_ensure(&mirror, datapath, OWN_PINS, ways_out, count, true, &why))
		fail_msg("%s", why.text);
}

/* Where programs find it; MIRROR_WAYS_MAX: nowhere. */
static uint32_t place_of(uint32_t way_out)
{
	uint32_t at = 0;

	while (at < MIRROR_WAYS_MAX && datapath_shadow_guard(datapath)->way_out[at] != way_out)
		at++;
	return at;
}

static void goes_with_a_copy(uint32_t way_out)
{
	uint32_t at = place_of(way_out), id, to, first = 0, last = 1;
	int both;

	assert_int_equal(datapath_lookup(datapath, MAP_MIRRORS, &at, &id), 0);
	both = bpf_map_get_fd_by_id(id);
	assert_true(both >= 0);
	assert_int_equal(bpf_map_lookup_elem(both, &first, &to), 0);
	assert_int_equal(to, if_nametoindex(MIRROR_NEAR));
	assert_int_equal(bpf_map_lookup_elem(both, &last, &to), 0);
	assert_int_equal(to, way_out);
	close(both);
}

static void each_way_out_keeps_its_place_while_others_come_and_go(void **state)
{
	const uint32_t other_order[] = {way[2], way[0]}, more[] = {way[3], way[0], way[1], way[2]};
	uint32_t place;

	(void)state;
	ensure(way, 3);
	for (uint32_t i = 0; i < 3; i++)
		goes_with_a_copy(way[i]);
	place = place_of(way[2]);
	ensure(other_order, 2);
	assert_int_equal(place_of(way[1]), MIRROR_WAYS_MAX);
	assert_int_equal(place_of(way[2]), place);
	goes_with_a_copy(way[0]);
	goes_with_a_copy(way[2]);
	ensure(more, WAYS);
	assert_int_equal(place_of(way[2]), place);
	for (uint32_t i = 0; i < WAYS; i++)
		goes_with_a_copy(way[i]);
}

/* As after an upgrade: the maps are as they were, and the daemon knows nothing of them. */
static void a_new_daemon_finds_them_where_they_are(void **state)
{
	const uint32_t other_order[] = {way[1], way[0]};
	uint32_t place;

	(void)state;
	ensure(way, 2);
	place = place_of(way[1]);
	mirror = (struct mirror){};
	ensure(other_order, 2);
	assert_int_equal(place_of(way[1]), place);
	goes_with_a_copy(way[0]);
	goes_with_a_copy(way[1]);
}

static void who_is_no_way_out_any_more_has_no_map(void **state)
{
	uint32_t id;

	(void)state;
	ensure(way, WAYS);
	ensure(NULL, 0);
	for (uint32_t at = 0; at < MIRROR_WAYS_MAX; at++) {
		assert_int_equal(datapath_shadow_guard(datapath)->way_out[at], 0);
		assert_int_not_equal(datapath_lookup(datapath, MAP_MIRRORS, &at, &id), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_way_out_keeps_its_place_while_others_come_and_go),
		cmocka_unit_test(a_new_daemon_finds_them_where_they_are),
		cmocka_unit_test(who_is_no_way_out_any_more_has_no_map),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
