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

static __u32 id_of(int program)
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(program, &info, &length), 0);
	return info.id;
}

/* The ids of what a daemon would attach. */
static void open_ids(__u32 ids[3])
{
	struct mirror_programs mirror;
	struct datapath *dp;

	open_whole(&dp);
	mirror = datapath_mirror_programs(dp);
	ids[0] = id_of(datapath_receive_program(dp));
	ids[1] = id_of(mirror.xdp);
	ids[2] = id_of(mirror.tc);
	datapath_close(dp);
}

static void programs_of_the_same_build_are_not_loaded_again(void **state)
{
	__u32 first[3], second[3];

	(void)state;
	open_ids(first);
	open_ids(second);
	assert_memory_equal(first, second, sizeof(first));
	assert_int_equal(datapath_remove(PINS), 0);
}

static void remove_one(const char *build, void *program)
{
	char path[PINS_PATH_SIZE], pinned[PINS_PATH_SIZE + 64];

	snprintf(pinned, sizeof(pinned), "%s/%s/%s", pins_folder(PINS, "programs", path), build, (char *)program);
	assert_int_equal(unlink(pinned), 0);
}

static void rename_build(const char *build, void *unused)
{
	char path[PINS_PATH_SIZE], from[PINS_PATH_SIZE + 64], to[PINS_PATH_SIZE + 64];

	(void)unused;
	snprintf(from, sizeof(from), "%s/%s", pins_folder(PINS, "programs", path), build);
	snprintf(to, sizeof(to), "%s/0123456789abcdef", path);
	assert_int_equal(rename(from, to), 0);
}

/* As a daemon leaves them that was killed while it pinned them, and those of another build. */
static void programs_that_lack_one_or_are_of_another_build_are_loaded_again(void **state)
{
	__u32 first[3], second[3], third[3], fourth[3];

	(void)state;
	open_ids(first);
	assert_int_equal(pins_each(PINS, "programs", remove_one, "mirror"), 0);
	open_ids(second);
	assert_int_equal(pins_each(PINS, "programs", rename_build, NULL), 0);
	open_ids(third);
	open_ids(fourth);
	for (size_t i = 0; i < 3; i++) {
		assert_int_not_equal(first[i], second[i]);
		assert_int_not_equal(second[i], third[i]);
		assert_int_equal(third[i], fourth[i]);
	}
	assert_int_equal(datapath_remove(PINS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_data_path_that_lacks_a_map_is_made_anew),
		cmocka_unit_test(a_whole_data_path_is_adopted),
		cmocka_unit_test(programs_of_the_same_build_are_not_loaded_again),
		cmocka_unit_test(programs_that_lack_one_or_are_of_another_build_are_loaded_again),
	};

	return cmocka_run_group_tests(tests, mount_bpffs, NULL);
}
