// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <string.h>
#include <sys/file.h>

#include "abi.h"
#include "bpffs.h"
#include "datapath.h"

/* All maps of bpf/maps.h. */
static const char *const map_names[] = {
	"vips",
	"reply_origins",
	"services",
	"cohorts",
	"rows",
	"half_open",
	"established",
	"source_ports",
	"sampled_flows",
	"sources",
	"backends",
	"backend_identities",
	"next_hops",
	"wanted_neighbours",
	"devices",
	"service_counters",
	"backend_counters",
	"measurements",
	"silent_counters",
	"remembered",
	"scratch",
};

static const char *folder_path(const char *pins, const char *folder, char path[PINS_PATH_SIZE])
{
	snprintf(path, PINS_PATH_SIZE, "%s/v%d/%s", pins, HEADGATE_ABI, folder);
	return path;
}

const char *pins_map_path(const char *pins, const char *map, char path[PINS_PATH_SIZE])
{
	snprintf(path, PINS_PATH_SIZE, "%s/v%d/maps/%s", pins, HEADGATE_ABI, map);
	return path;
}

static const char *link_path(const char *pins, const char *interface, char path[PINS_PATH_SIZE])
{
	int folder = snprintf(path, PINS_PATH_SIZE, "%s/v%d/links/", pins, HEADGATE_ABI);

	snprintf(path + folder, PINS_PATH_SIZE - folder, "%s", interface);
	bpffs_name_from_interface(path + folder);
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
	char maps[PINS_PATH_SIZE], links[PINS_PATH_SIZE];
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
	error = bpffs_make_folders(folder_path(pins, "maps", maps));
	if (!error)
		error = bpffs_make_folders(folder_path(pins, "links", links));
	if (error)
		return refuse(why, -error, "cannot make folders in %s: %s", pins, strerror(-error));
	*ret_adopt = pinned > 0;
	*ret_lock = TAKE_FD(lock);
	return 0;
}

/* Which interface a pinned link is on now; 0 when that is gone. */
static uint32_t link_ifindex(int link)
{
	struct bpf_link_info info = {};
	__u32 length = sizeof(info);

	if (bpf_obj_get_info_by_fd(link, &info, &length))
		return 0;
	return info.xdp.ifindex;
}

static enum attach_mode attached_mode(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	if (bpf_xdp_query(ifindex, 0, &query) == 0 && query.attach_mode == XDP_ATTACHED_SKB)
		return ATTACH_GENERIC;
	return ATTACH_NATIVE;
}

/* The name of the program that is on an interface, for a refusal that names it. */
static void describe_program(uint32_t ifindex, char *text, size_t size)
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info), id = 0;
	_cleanup_close_ int fd = -1;

	snprintf(text, size, "another XDP program");
	if (bpf_xdp_query_id(ifindex, 0, &id) || !id)
		return;
	fd = bpf_prog_get_fd_by_id(id);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0)
		snprintf(text, size, "XDP program '%s' (id %u)", info.name, id);
}

static int create_link(const char *interface, uint32_t ifindex, int program, enum attach_mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = mode == ATTACH_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	int fd = bpf_link_create(program, ifindex, BPF_XDP, &options);

	(void)interface;
	return fd < 0 ? -errno : fd;
}

static int refuse_attach(const char *interface, uint32_t ifindex, enum attach_mode mode, int error, struct refusal *why)
{
	char program[128];

	if (error == -EBUSY || error == -EEXIST) {
		describe_program(ifindex, program, sizeof(program));
		return refuse(why, EBUSY,
			      "%s already runs %s, which Headgate does not replace; take it off first: "
			      "ip link set dev %s xdp off",
			      interface, program, interface);
	}
	return refuse(why, -error, "cannot attach to %s in %s mode: %s; %s", interface,
		      mode == ATTACH_GENERIC ? "generic" : "native", strerror(-error),
		      mode == ATTACH_NATIVE ? "say attach: generic for it, or run `headgate doctor`"
					    : "run `headgate doctor`");
}

/*
 * Takes a pinned link's program off and removes the pin. By itself the last unlink would do the first some time later,
 * and a new program would meet the old one.
 */
static int remove_link(const char *path)
{
	_cleanup_close_ int link = bpf_obj_get(path);

	if (link >= 0)
		bpf_link_detach(link);
	return unlink(path) ? -errno : 0;
}

/* A pinned link of ours on this very interface: the new program takes over without a gap. -ENOENT: there is none. */
static int take_over(const char *path, uint32_t ifindex, int program)
{
	_cleanup_close_ int link = bpf_obj_get(path);

	if (link < 0)
		return -ENOENT;
	if (link_ifindex(link) != ifindex) {
		unlink(path);
		return -ENOENT;
	}
	return bpf_link_update(link, program, NULL) ? -errno : 0;
}

int pins_attach(const char *pins, const char *interface, uint32_t ifindex, int program, enum attach_mode mode,
		enum attach_mode *ret_mode, struct refusal *why)
{
	enum attach_mode tried = mode == ATTACH_GENERIC ? ATTACH_GENERIC : ATTACH_NATIVE;
	_cleanup_close_ int link = -1;
	char path[PINS_PATH_SIZE];
	int error = take_over(link_path(pins, interface, path), ifindex, program);

	if (error == 0) {
		*ret_mode = attached_mode(ifindex);
		if (mode == ATTACH_AUTO || mode == *ret_mode)
			return 0;
		remove_link(path); /* the mode was changed: no way without a gap */
	} else if (error != -ENOENT) {
		return refuse(why, -error, "cannot replace the program on %s: %s", interface, strerror(-error));
	}
	link = create_link(interface, ifindex, program, tried);
	if (link < 0 && mode == ATTACH_AUTO && link != -EBUSY && link != -EEXIST) {
		tried = ATTACH_GENERIC;
		link = create_link(interface, ifindex, program, tried);
	}
	if (link < 0)
		return refuse_attach(interface, ifindex, tried, link, why);
	if (bpf_obj_pin(link, path))
		return refuse(why, errno, "cannot pin the link of %s as %s: %s", interface, path, strerror(errno));
	*ret_mode = tried;
	return 0;
}

int pins_detach(const char *pins, const char *interface)
{
	char path[PINS_PATH_SIZE];

	return remove_link(link_path(pins, interface, path));
}

int datapath_each_interface(const char *pins, void (*each)(const char *interface, void *context), void *context)
{
	char path[PINS_PATH_SIZE];
	DIR *folder = opendir(folder_path(pins, "links", path));

	if (!folder)
		return -errno;
	for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
		if (entry->d_name[0] == '.')
			continue;
		bpffs_name_to_interface(entry->d_name);
		each(entry->d_name, context);
	}
	closedir(folder);
	return 0;
}

static void remove_folder(const char *pins, const char *folder)
{
	char path[PINS_PATH_SIZE], file[PINS_PATH_SIZE + 256];
	DIR *entries = opendir(folder_path(pins, folder, path));

	if (!entries)
		return;
	for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		remove_link(file);
	}
	closedir(entries);
	rmdir(path);
}

int datapath_remove(const char *pins)
{
	char path[PINS_PATH_SIZE];

	if (access(folder_path(pins, "", path), F_OK))
		return -errno;
	remove_folder(pins, "links"); /* first: from here on packets pass */
	remove_folder(pins, "maps");
	if (rmdir(path))
		return -errno;
	rmdir(pins);
	return 0;
}
