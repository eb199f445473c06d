// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "hook.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

/* Of our filter: "hg", where hardly anyone else's is. */
#define FILTER_PRIORITY 0x6867
#define FILTER_HANDLE 1

const char *pin_path(const char *folder, const char *name, char path[PIN_SIZE])
{
	snprintf(path, PIN_SIZE, "%s/%s", folder, name);
	return path;
}

int pin_replace(int fd, const char *folder, const char *name)
{
	char path[PIN_SIZE], fresh[PIN_SIZE + 4];

	pin_path(folder, name, path);
	snprintf(fresh, sizeof(fresh), "%s%%new", path);
	unlink(fresh);
	if (bpf_obj_pin(fd, fresh) || rename(fresh, path))
		return -errno;
	return 0;
}

static int open_pin(const char *folder, const char *name)
{
	char path[PIN_SIZE];

	return bpf_obj_get(pin_path(folder, name, path));
}

static void remove_pin(const char *folder, const char *name)
{
	char path[PIN_SIZE];

	unlink(pin_path(folder, name, path));
}

/* Id and name of a program; id 0: cannot be told. */
static struct bpf_prog_info program_info(int fd)
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length))
		info.id = 0;
	return info;
}

static void describe_program(uint32_t id, char *text, size_t size)
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info = program_info(fd);

	if (info.id)
		snprintf(text, size, "program '%s' (id %u)", info.name, info.id);
	else
		snprintf(text, size, "another program (id %u)", id);
}

/* --- XDP --------------------------------------------------------------------------------------------------------- */

static enum decap_mode link_mode(int link, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct bpf_link_info info = {};
	__u32 length = sizeof(info);

	/* A link outlives its interface, and then names none. */
	if (bpf_obj_get_info_by_fd(link, &info, &length) || !ifindex || info.xdp.ifindex != ifindex ||
	    bpf_xdp_query(ifindex, 0, &query) || !query.prog_id)
		return MODE_NONE;
	return query.attach_mode == XDP_ATTACHED_SKB ? MODE_GENERIC : MODE_NATIVE;
}

/* The last unlink alone would take the program off some time later, and a new one would meet it. */
static void remove_link(const char *folder)
{
	_cleanup_close_ int link = open_pin(folder, "link");

	if (link >= 0)
		bpf_link_detach(link);
	remove_pin(folder, "link");
}

static int refuse_xdp(const char *interface, uint32_t ifindex, enum decap_mode mode, int error, struct refusal *why)
{
	char program[128];
	uint32_t id = 0;

	if (error == EBUSY || error == EEXIST) {
		bpf_xdp_query_id(ifindex, 0, &id);
		describe_program(id, program, sizeof(program));
		return refuse(why, EBUSY,
			      "%s already runs XDP %s, which is not replaced; decapsulate behind it with --mode tc, or "
			      "take it off first: ip link set dev %s xdp off",
			      interface, program, interface);
	}
	return refuse(why, error, "cannot attach to %s in %s mode: %s; say --mode tc", interface, name_of_mode(mode),
		      strerror(error));
}

static int attach_xdp(const char *folder, const char *interface, int program, enum decap_mode mode, struct refusal *why)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = mode == MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	uint32_t ifindex = if_nametoindex(interface);
	_cleanup_close_ int link = open_pin(folder, "link");
	enum decap_mode current = link < 0 ? MODE_NONE : link_mode(link, ifindex);
	int error;

	if (current == mode) {
		if (bpf_link_update(link, program, NULL))
			return refuse(why, errno, "cannot replace the program on %s: %s", interface, strerror(errno));
		return 0;
	}
	if (link >= 0) {
		close(link);
		remove_link(folder);
	}
	link = bpf_link_create(program, ifindex, BPF_XDP, &options);
	if (link < 0)
		return refuse_xdp(interface, ifindex, mode, errno, why);
	error = pin_replace(link, folder, "link");
	if (error)
		return refuse(why, -error, "cannot pin in %s: %s", folder, strerror(-error));
	return 0;
}

/* --- TC ---------------------------------------------------------------------------------------------------------- */

/* The program's id that our place on the interface has; 0: none. */
static uint32_t filter_program(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);

	return bpf_tc_query(&hook, &options) ? 0 : options.prog_id;
}

static uint32_t pinned_filter_program(const char *folder)
{
	_cleanup_close_ int fd = open_pin(folder, "filter");

	return program_info(fd).id;
}

static bool filter_is_ours(const char *folder, uint32_t ifindex)
{
	uint32_t id = pinned_filter_program(folder);

	return id && ifindex && filter_program(ifindex) == id;
}

/* clsact stays: by now another may use it too, and without filters it does nothing. */
static void remove_filter(const char *folder, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);

	if (filter_is_ours(folder, ifindex))
		bpf_tc_detach(&hook, &options);
	remove_pin(folder, "filter");
}

static int attach_tc(const char *folder, const char *interface, int program, struct refusal *why)
{
	uint32_t ifindex = if_nametoindex(interface);
	uint32_t there = filter_program(ifindex);
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY, .prog_fd = program,
		    .flags = there ? BPF_TC_F_REPLACE : 0);
	char text[128];
	int error;

	if (there && there != pinned_filter_program(folder)) {
		describe_program(there, text, sizeof(text));
		return refuse(why, EBUSY,
			      "%s already has TC %s at priority %u, which is not replaced; take it off first: "
			      "tc filter del dev %s ingress prio %u",
			      interface, text, FILTER_PRIORITY, interface, FILTER_PRIORITY);
	}
	error = bpf_tc_hook_create(&hook);
	if (error && error != -EEXIST)
		return refuse(why, -error, "cannot add the qdisc clsact to %s: %s", interface, strerror(-error));
	error = bpf_tc_attach(&hook, &options);
	if (error)
		return refuse(why, -error, "cannot attach to %s in tc mode: %s", interface, strerror(-error));
	error = pin_replace(program, folder, "filter");
	if (error)
		return refuse(why, -error, "cannot pin in %s: %s", folder, strerror(-error));
	return 0;
}

/* --- either ------------------------------------------------------------------------------------------------------ */

enum decap_mode hook_mode(const char *folder, const char *interface)
{
	uint32_t ifindex = if_nametoindex(interface);
	_cleanup_close_ int link = open_pin(folder, "link");
	enum decap_mode mode = link < 0 ? MODE_NONE : link_mode(link, ifindex);

	if (mode == MODE_NONE && filter_is_ours(folder, ifindex))
		return MODE_TC;
	return mode;
}

int hook_attach(const char *folder, const char *interface, int xdp, int tc, enum decap_mode *mode, struct refusal *why)
{
	enum decap_mode current = hook_mode(folder, interface);
	enum decap_mode wanted = *mode;
	int error = 0;

	if (wanted == MODE_AUTO)
		wanted = current == MODE_NONE ? MODE_NATIVE : current;
	if (wanted != MODE_TC)
		error = attach_xdp(folder, interface, xdp, wanted, why);
	if (wanted == MODE_TC || (error && error != -EBUSY && *mode == MODE_AUTO)) {
		wanted = MODE_TC;
		error = attach_tc(folder, interface, tc, why);
	}
	if (error)
		return error;
	/* Only now: for a moment both run, and the second finds nothing left to do. */
	if (wanted == MODE_TC)
		remove_link(folder);
	else
		remove_filter(folder, if_nametoindex(interface));
	*mode = wanted;
	return 0;
}

void hook_detach(const char *folder, const char *interface)
{
	remove_link(folder);
	remove_filter(folder, if_nametoindex(interface));
}
