// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "abi.h"
#include "attach.h"
#include "bpffs.h"
#include "datapath.h"
#include "mirror.h"
#include "program_pins.h"

/* Every map that is pinned: without one of them a data path is not whole. */
static const char *const map_names[] = {
	"known_ends",
	"vips",
	"vip_addresses",
	"server_ids",
	"fragments",
	"early_fragments",
	"reply_addresses",
	"reply_origins",
	"services",
	"cohorts",
	"rows",
	"flow_layout",
	"flows",
	"source_ports",
	"sampled_flows",
	"sources",
	"backends",
	"backend_identities",
	"next_hops",
	"wanted_neighbours",
	"devices",
	"shadows",
	"shadow_rules",
	"shadow_guard",
	"mirrors",
	"shadow_hosts",
	"shadow_flows",
	"shadow_ports",
	"stash",
	"replay_segments",
	"shadow_counters",
	"replay_counters",
	"shadow_scratch",
	"shadow_budgets",
	"service_counters",
	"backend_counters",
	"measurements",
	"scratch",
	"silent_counters",
	"remembered",
	"too_big_budget",
	"xdp_parts",
	"tc_parts",
};

const char *pins_folder(const char *pins, const char *folder, char path[PINS_PATH_SIZE])
{
	snprintf(path, PINS_PATH_SIZE, "%s/v%d/%s", pins, HEADGATE_ABI, folder);
	return path;
}

const char *pins_map_path(const char *pins, const char *map, char path[PINS_PATH_SIZE])
{
	snprintf(path, PINS_PATH_SIZE, "%s/v%d/maps/%s", pins, HEADGATE_ABI, map);
	return path;
}

const char *pins_path(const char *pins, const char *folder, const char *interface, const char *rest,
		      char path[PINS_PATH_SIZE])
{
	char name[IF_NAMESIZE];

	snprintf(name, sizeof(name), "%s", interface);
	bpffs_name_from_interface(name);
	snprintf(path, PINS_PATH_SIZE, "%s/v%d/%s/%s%s", pins, HEADGATE_ABI, folder, name, rest);
	return path;
}

int pins_open_map(const char *pins, const char *map)
{
	char path[PINS_PATH_SIZE];
	int fd = bpf_obj_get(pins_map_path(pins, map, path));

	return fd < 0 ? -errno : fd;
}

static size_t count_pinned_maps(const char *pins)
{
	char path[PINS_PATH_SIZE];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map_names); i++)
		if (access(pins_map_path(pins, map_names[i], path), F_OK) == 0)
			count++;
	return count;
}

/* Where an interface that programs run on leaves its mark. */
static const char *const hook_folders[] = {"links", "chained", "tc"};

struct count_context {
	size_t count;
};

static void count_interface(const char *interface, void *context)
{
	(void)interface;
	((struct count_context *)context)->count++;
}

int pins_prepare(const char *pins, int *ret_lock, bool *ret_adopt, struct refusal *why)
{
	char path[PINS_PATH_SIZE];
	struct count_context attached = {};
	size_t pinned;
	_cleanup_close_ int lock = -1;
	int error = bpffs_prepare(pins, why);

	if (error)
		return error;
	lock = open(pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB))
		return refuse(why, EBUSY,
			      "another headgated feeds the data path in %s; stop it first, or say --pins DIR", pins);
	pinned = count_pinned_maps(pins);
	if (pinned && pinned < ARRAY_SIZE(map_names)) {
		datapath_each_interface(pins, count_interface, &attached);
		if (attached.count)
			return refuse(
				why, EBUSY,
				"%s holds only a part of a data path that is attached; run `headgate detach`, then "
				"start again (connections through NAT end)",
				pins);
		datapath_remove(pins);
		pinned = 0;
	}
	error = bpffs_make_folders(pins_folder(pins, "maps", path));
	for (size_t i = 0; !error && i < ARRAY_SIZE(hook_folders); i++)
		error = bpffs_make_folders(pins_folder(pins, hook_folders[i], path));
	if (error)
		return refuse(why, -error, "cannot make folders in %s: %s", pins, strerror(-error));
	*ret_adopt = pinned > 0;
	*ret_lock = TAKE_FD(lock);
	return 0;
}

int pins_each(const char *pins, const char *folder, void (*each)(const char *name, void *context), void *context)
{
	char path[PINS_PATH_SIZE];
	DIR *entries = opendir(pins_folder(pins, folder, path));

	if (!entries)
		return -errno;
	for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries))
		if (entry->d_name[0] != '.')
			each(entry->d_name, context);
	closedir(entries);
	return 0;
}

struct name_list {
	char (*names)[IF_NAMESIZE];
	size_t count;
	bool short_of_memory;
};

/* Each interface once, also while it goes over from one hook to another. */
static void list_interface(const char *entry, void *context)
{
	struct name_list *list = context;
	char name[IF_NAMESIZE], (*more)[IF_NAMESIZE];

	snprintf(name, sizeof(name), "%s", entry);
	bpffs_name_to_interface(name);
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->names[i], name) == 0)
			return;
	more = realloc(list->names, (list->count + 1) * sizeof(*more));
	if (!more) {
		list->short_of_memory = true;
		return;
	}
	list->names = more;
	strcpy(list->names[list->count++], name);
}

int datapath_each_interface(const char *pins, void (*each)(const char *interface, void *context), void *context)
{
	struct name_list list = {};
	int error = 0;

	for (size_t i = 0; !error && i < ARRAY_SIZE(hook_folders); i++)
		error = pins_each(pins, hook_folders[i], list_interface, &list);
	if (list.short_of_memory)
		error = -ENOMEM;
	for (size_t i = 0; !error && i < list.count; i++)
		each(list.names[i], context);
	free(list.names);
	return error;
}

struct removal {
	const char *pins;
	int error;
};

static void detach_interface(const char *interface, void *context)
{
	struct removal *removal = context;
	int error = attach_detach(removal->pins, interface);

	if (error && error != -ENOENT)
		removal->error = error;
}

static void unlink_map(const char *map, void *context)
{
	char path[PINS_PATH_SIZE];

	unlink(pins_map_path(context, map, path));
}

int datapath_remove(const char *pins)
{
	struct removal removal = {.pins = pins};
	char path[PINS_PATH_SIZE];

	if (access(pins_folder(pins, "", path), F_OK))
		return -errno;
	/* First: from here on packets pass. It needs the maps, by which it knows what is ours. */
	datapath_each_interface(pins, detach_interface, &removal);
	if (removal.error)
		return removal.error;
	for (size_t i = 0; i < ARRAY_SIZE(hook_folders); i++)
		rmdir(pins_folder(pins, hook_folders[i], path));
	removal.error = mirror_remove(pins);
	if (removal.error)
		return removal.error;
	program_pins_remove(pins);
	pins_each(pins, "maps", unlink_map, (void *)pins);
	rmdir(pins_folder(pins, "maps", path));
	if (rmdir(pins_folder(pins, "", path)))
		return -errno;
	rmdir(pins);
	return 0;
}
