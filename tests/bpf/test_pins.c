// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a daemon finds in bpffs that was killed while it made its maps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "own_bpffs.h"
#include "pins.h"

#define PINS OWN_PINS
#define MAPS_MAX 64

static const struct limits limits = {
	.services = 1, .backends = 8, .rows = 3, .half_open = 64, .established = 64, .shadow_flows = 64, .stash = 64};

struct names {
	char name[MAPS_MAX][NAME_MAX + 1];
	size_t count;
};

static int mount_bpffs(void **state)
{
	(void)state;
	own_bpffs(0);
	return 0;
}

static void open_whole(struct datapath **ret)
{
	struct refusal why;

	if (datapath_open(PINS, &limits, ret, &why))
		fail_msg("%s", why.text);
}

/* Of a data path that is whole. */
static void list_maps(struct names *ret)
{
	char path[PINS_PATH_SIZE];
	DIR *folder;

	ret->count = 0;
	folder = opendir(pins_map_path(PINS, "", path));
	assert_non_null(folder);
	for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
		if (entry->d_name[0] != '.' && ret->count < MAPS_MAX)
			strcpy(ret->name[ret->count++], entry->d_name);
	closedir(folder);
}

/* Whether it is adopted, when all maps but one are pinned. */
static bool is_adopted_without(const struct names *all, size_t missing)
{
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "any", 4, 4, 1, NULL), lock;
	char path[PINS_PATH_SIZE];
	struct refusal why;
	bool adopted;

	assert_true(map >= 0);
	assert_int_equal(pins_prepare(PINS, &lock, &adopted, &why), 0);
	assert_false(adopted);
	close(lock);
	for (size_t i = 0; i < all->count; i++)
		if (i != missing)
			assert_int_equal(bpf_obj_pin(map, pins_map_path(PINS, all->name[i], path)), 0);
	close(map);
	assert_int_equal(pins_prepare(PINS, &lock, &adopted, &why), 0);
	close(lock);
	datapath_remove(PINS);
	return adopted;
}

static void a_data_path_that_lacks_a_map_is_made_anew(void **state)
{
	struct datapath *dp;
	struct names all;
	size_t wrong = 0;

	(void)state;
	open_whole(&dp);
	datapath_close(dp);
	list_maps(&all);
	assert_int_equal(datapath_remove(PINS), 0);
	assert_true(all.count > 20);
	for (size_t i = 0; i < all.count; i++) {
		if (!is_adopted_without(&all, i))
			continue;
		wrong++;
		fprintf(stderr, "adopted without %s\n", all.name[i]);
	}
	assert_int_equal(wrong, 0);
}

static void a_whole_data_path_is_adopted(void **state)
{
	struct datapath *dp;

	(void)state;
	open_whole(&dp);
	assert_false(datapath_adopted(dp));
	datapath_close(dp);
	open_whole(&dp);
	assert_true(datapath_adopted(dp));
	datapath_close(dp);
	assert_int_equal(datapath_remove(PINS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_data_path_that_lacks_a_map_is_made_anew),
		cmocka_unit_test(a_whole_data_path_is_adopted),
	};

	return cmocka_run_group_tests(tests, mount_bpffs, NULL);
}
