// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "bpffs.h"
#include "hook.h"
#include "decap.skel.h"
#include "util.h"

/* All maps, under the names they are pinned by. */
static const char *const map_names[] = {"settings", "outer_addresses", "inner_addresses", "outer_sources", "outcomes"};

static void skeleton_freep(struct decap_bpf **skeleton)
{
	decap_bpf__destroy(*skeleton);
}

static int silent(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (getenv("HEADGATE_LIBBPF"))
		return vfprintf(stderr, format, arguments);
	(void)level;
	return 0;
}

static const char *interface_folder(const char *pins, const char *interface, char folder[FOLDER_SIZE])
{
	int parent = snprintf(folder, FOLDER_SIZE, "%s/", pins);

	if (parent < FOLDER_SIZE) {
		snprintf(folder + parent, FOLDER_SIZE - parent, "%s", interface);
		bpffs_name_from_interface(folder + parent);
	}
	return folder;
}

/* Held for as long as the fd is open: two commands at once would take each other's pins. */
static int lock_pins(const char *pins)
{
	_cleanup_close_ int fd = open(pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX))
		return -errno;
	return TAKE_FD(fd);
}

/* --- maps -------------------------------------------------------------------------------------------------------- */

static struct bpf_map *map_by_name(struct decap_bpf *skeleton, const char *name)
{
	return strcmp(name, "settings") == 0 ? skeleton->maps.rodata
					     : bpf_object__find_map_by_name(skeleton->obj, name);
}

/* The counters go on, unless they are of a version that counted something else. */
static void keep_outcomes(struct decap_bpf *skeleton, const char *folder)
{
	char path[PIN_SIZE];
	_cleanup_close_ int fd = bpf_obj_get(pin_path(folder, "outcomes", path));
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);

	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && info.max_entries == DECAP_OUTCOMES &&
	    info.value_size == sizeof(__u64))
		bpf_map__reuse_fd(skeleton->maps.outcomes, fd);
}

static int fill_addresses(int map, const struct prefixes *list)
{
	__u8 present = 1;

	for (size_t i = 0; i < list->count; i++)
		if (bpf_map_update_elem(map, &list->item[i].address, &present, BPF_ANY))
			return -errno;
	return 0;
}

static int fill_sources(int map, const struct prefixes *list)
{
	__u8 present = 1;

	for (size_t i = 0; i < list->count; i++) {
		struct decap_source_key key = {list->item[i].bits, list->item[i].address};

		if (bpf_map_update_elem(map, &key, &present, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int load(struct decap_bpf **ret, const char *folder, const struct decap *d, struct refusal *why)
{
	_cleanup_(skeleton_freep) struct decap_bpf *skeleton = decap_bpf__open();
	int error;

	if (!skeleton)
		return refuse(why, errno, "cannot open the programs: %s", strerror(errno));
	*(struct decap_settings *)&skeleton->rodata->settings =
		(struct decap_settings){.port = htons(d->port), .source_limited = d->sources.count > 0};
	keep_outcomes(skeleton, folder);
	error = decap_bpf__load(skeleton);
	if (error)
		return refuse(why, -error,
			      "cannot load the programs: %s; this needs root and Linux 6.1 or newer (HEADGATE_LIBBPF=1 "
			      "shows what the kernel says)",
			      strerror(-error));
	error = fill_addresses(bpf_map__fd(skeleton->maps.inner_addresses), &d->vips);
	if (!error)
		error = fill_addresses(bpf_map__fd(skeleton->maps.outer_addresses), &d->addresses);
	if (!error)
		error = fill_sources(bpf_map__fd(skeleton->maps.outer_sources), &d->sources);
	if (error)
		return refuse(why, -error, "cannot fill a map: %s", strerror(-error));
	*ret = TAKE_PTR(skeleton);
	return 0;
}

static int pin_maps(struct decap_bpf *skeleton, const char *folder, struct refusal *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(map_names); i++) {
		int error = pin_replace(bpf_map__fd(map_by_name(skeleton, map_names[i])), folder, map_names[i]);

		if (error)
			return refuse(why, -error, "cannot pin in %s: %s", folder, strerror(-error));
	}
	return 0;
}

/* --- attach and detach ------------------------------------------------------------------------------------------- */

static void remove_folder(const char *folder)
{
	char path[PIN_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(map_names); i++)
		unlink(pin_path(folder, map_names[i], path));
	rmdir(folder);
}

int decap_attach(const char *pins, struct decap *d, struct refusal *why)
{
	_cleanup_(skeleton_freep) struct decap_bpf *skeleton = NULL;
	_cleanup_close_ int lock = -1;
	char folder[FOLDER_SIZE];
	int error;

	libbpf_set_print(silent);
	if (!if_nametoindex(d->interface))
		return refuse(why, ENODEV, "there is no interface %s; `ip link` shows those there are", d->interface);
	error = d->addresses.count ? 0 : host_addresses(d, why);
	if (!error)
		error = bpffs_prepare(interface_folder(pins, d->interface, folder), why);
	if (error)
		return error;
	lock = lock_pins(pins);
	if (lock < 0)
		return refuse(why, -lock, "cannot lock %s: %s", pins, strerror(-lock));
	error = load(&skeleton, folder, d, why);
	if (!error)
		error = hook_attach(folder, d->interface, bpf_program__fd(skeleton->progs.decap_xdp),
				    bpf_program__fd(skeleton->progs.decap_tc), &d->mode, why);
	if (!error)
		error = pin_maps(skeleton, folder, why);
	if (error) {
		rmdir(folder); /* goes only if it is empty, as after a first attempt */
		rmdir(pins);
	}
	return error;
}

int decap_detach(const char *pins, const char *interface, struct refusal *why)
{
	_cleanup_close_ int lock = lock_pins(pins);
	char folder[FOLDER_SIZE];

	libbpf_set_print(silent);
	interface_folder(pins, interface, folder);
	if (lock == -EACCES || lock == -EPERM)
		return refuse(why, -lock, "cannot open %s: %s; run this with sudo", pins, strerror(-lock));
	if (lock < 0 || access(folder, F_OK))
		return refuse(why, ENOENT, "nothing of headgate-decap is on %s: there is no %s", interface, folder);
	hook_detach(folder, interface);
	remove_folder(folder);
	if (access(folder, F_OK) == 0)
		return refuse(why, EBUSY, "took the program off %s, but something else is in %s; remove it by hand",
			      interface, folder);
	rmdir(pins);
	return 0;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static int open_map(const char *folder, const char *name)
{
	char path[PIN_SIZE];
	int fd = bpf_obj_get(pin_path(folder, name, path));

	return fd < 0 ? -errno : fd;
}

/* @prefix_bits: keys are struct decap_source_key, not struct address. */
static void read_prefixes(const char *folder, const char *name, bool prefix_bits, struct prefixes *list)
{
	_cleanup_close_ int map = open_map(folder, name);
	struct decap_source_key key, *previous = NULL;
	struct prefix p;

	while (map >= 0 && bpf_map_get_next_key(map, previous, &key) == 0) {
		p.bits = prefix_bits ? key.prefix_bits : 128;
		memcpy(&p.address, prefix_bits ? (void *)&key.address : (void *)&key, sizeof(p.address));
		if (!prefixes_add(list, &p))
			return;
		previous = &key;
	}
}

static int read_outcomes(const char *folder, uint64_t outcome[DECAP_OUTCOMES])
{
	_cleanup_close_ int map = open_map(folder, "outcomes");
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ __u64 *value = cpus > 0 ? calloc(cpus, sizeof(*value)) : NULL;

	if (map < 0)
		return map;
	if (!value)
		return -ENOMEM;
	for (__u32 i = 0; i < DECAP_OUTCOMES; i++) {
		if (bpf_map_lookup_elem(map, &i, value))
			return -errno;
		outcome[i] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			outcome[i] += value[cpu];
	}
	return 0;
}

int decap_read(const char *pins, const char *interface, struct decap *ret)
{
	_cleanup_free_ struct decap *d = calloc(1, sizeof(*d));
	_cleanup_close_ int map = -1;
	struct decap_settings s;
	char folder[FOLDER_SIZE];
	__u32 zero = 0;
	int error;

	libbpf_set_print(silent);
	if (!d)
		return -ENOMEM;
	interface_folder(pins, interface, folder);
	snprintf(d->interface, sizeof(d->interface), "%s", interface);
	map = open_map(folder, "settings");
	if (map < 0)
		return map;
	if (bpf_map_lookup_elem(map, &zero, &s))
		return -errno;
	error = read_outcomes(folder, d->outcome);
	if (error)
		return error;
	d->port = ntohs(s.port);
	d->mode = hook_mode(folder, interface);
	read_prefixes(folder, "inner_addresses", false, &d->vips);
	read_prefixes(folder, "outer_addresses", false, &d->addresses);
	read_prefixes(folder, "outer_sources", true, &d->sources);
	*ret = *d;
	return 0;
}

int decap_each(const char *pins, int (*each)(const char *interface, void *context), void *context)
{
	DIR *folder = opendir(pins);
	int rc = 0;

	if (!folder)
		return -errno;
	for (struct dirent *entry = readdir(folder); entry && !rc; entry = readdir(folder)) {
		if (entry->d_name[0] == '.')
			continue;
		bpffs_name_to_interface(entry->d_name);
		rc = each(entry->d_name, context);
	}
	closedir(folder);
	return rc;
}
