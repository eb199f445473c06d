// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "hook_xdp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <sys/stat.h>

#include "pins.h"
#include "program.h"

static __u32 mode_flag(enum attach_mode mode)
{
	return mode == ATTACH_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
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

/* Our link, where it is on this very interface. A pin that is left of one that was made anew is removed. */
static bool has_our_link(const char *pins, const char *interface, uint32_t ifindex)
{
	char path[PINS_PATH_SIZE];
	_cleanup_close_ int link = bpf_obj_get(pins_path(pins, "links", interface, "", path));

	if (link < 0)
		return false;
	if (link_ifindex(link) == ifindex)
		return true;
	unlink(path);
	return false;
}

static bool is_chained(const char *pins, const char *interface)
{
	char path[PINS_PATH_SIZE];

	return access(pins_path(pins, "chained", interface, "/map", path), F_OK) == 0;
}

static void forget_chain(const char *pins, const char *interface)
{
	char path[PINS_PATH_SIZE];

	unlink(pins_path(pins, "chained", interface, "/map", path));
	unlink(pins_path(pins, "chained", interface, "/parts", path));
	unlink(pins_path(pins, "chained", interface, "/program", path));
	rmdir(pins_path(pins, "chained", interface, "", path));
}

int hook_xdp_look(const char *pins, const char *interface, uint32_t ifindex, struct xdp_hook *ret)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	bool link = has_our_link(pins, interface, ifindex);
	_cleanup_close_ int program = -1;
	int error = bpf_xdp_query(ifindex, 0, &query);

	if (error)
		return error;
	*ret = (struct xdp_hook){
		.mode = query.attach_mode == XDP_ATTACHED_SKB ? ATTACH_GENERIC : ATTACH_NATIVE,
		.program = query.drv_prog_id ?: query.skb_prog_id ?: query.hw_prog_id,
	};
	if (!ret->program)
		return 0;
	ret->owner = link ? XDP_OURS : XDP_FOREIGN;
	program = program_open(ret->program);
	if (program < 0)
		return 0;
	program_name(program, ret->name);
	if (!link && is_chained(pins, interface) && program_is_ours(program, pins))
		ret->owner = XDP_OURS_CHAIN;
	return 0;
}

int hook_xdp_link(const char *pins, const char *interface, uint32_t ifindex, int program, enum attach_mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode_flag(mode));
	_cleanup_close_ int link = bpf_link_create(program, ifindex, BPF_XDP, &options);
	char path[PINS_PATH_SIZE];

	if (link < 0)
		return -errno;
	return bpf_obj_pin(link, pins_path(pins, "links", interface, "", path)) ? -errno : 0;
}

int hook_xdp_update(const char *pins, const char *interface, int program)
{
	char path[PINS_PATH_SIZE];
	_cleanup_close_ int link = bpf_obj_get(pins_path(pins, "links", interface, "", path));

	if (link < 0)
		return -errno;
	return bpf_link_update(link, program, NULL) ? -errno : 0;
}

/*
 * Puts @program where @former is now, in one step. Refused by the kernel where another program is, and where it is
 * there by a link.
 */
static int replace(uint32_t ifindex, int program, int former, enum attach_mode mode)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = former);

	return bpf_xdp_attach(ifindex, program, mode_flag(mode), &options);
}

/* Two instructions that pass everything. An fd or -errno. */
static int load_pass(const struct program_kind *kind)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = kind->attach_type, .prog_flags = kind->flags);
	int program =
		bpf_prog_load(BPF_PROG_TYPE_XDP, "headgate_probe", "Dual BSD/GPL", pass, ARRAY_SIZE(pass), &options);

	return program < 0 ? -errno : program;
}

/* The kernel does not say of what kind a program is; but a map that has it takes no others. */
static int find_kind(int program, struct program_kind *ret)
{
	static const struct program_kind kinds[] = {
		{BPF_XDP, 0}, {0, 0}, {BPF_XDP, BPF_F_XDP_HAS_FRAGS}, {0, BPF_F_XDP_HAS_FRAGS}};
	_cleanup_close_ int map =
		bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "headgate_probe", sizeof(__u32), sizeof(__u32), 2, NULL);
	__u32 first = 0, second = 1;

	if (map < 0 || bpf_map_update_elem(map, &first, &program, BPF_ANY))
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_close_ int like = load_pass(&kinds[i]);

		if (like < 0 || bpf_map_update_elem(map, &second, &like, BPF_ANY))
			continue;
		*ret = kinds[i];
		return 0;
	}
	return -EINVAL;
}

/* Before anything runs that needs them. */
static int pin_chain(const char *pins, const char *interface, int behind, const struct chain_maps *maps)
{
	char path[PINS_PATH_SIZE];

	forget_chain(pins, interface);
	if (mkdir(pins_path(pins, "chained", interface, "", path), 0700) && errno != EEXIST)
		return -errno;
	if (bpf_obj_pin(behind, pins_path(pins, "chained", interface, "/program", path)) ||
	    bpf_obj_pin(maps->parts, pins_path(pins, "chained", interface, "/parts", path)) ||
	    bpf_obj_pin(maps->chained, pins_path(pins, "chained", interface, "/map", path)))
		return -errno;
	return 0;
}

static void close_maps(struct chain_maps *maps)
{
	closep(&maps->chained);
	closep(&maps->parts);
}

static int refuse_chain(const char *interface, const struct xdp_hook *found, int error, struct refusal *why)
{
	const char *reason = strerror(-error);

	if (error == -EBUSY)
		reason = "its owner holds it by a bpf_link, which nobody else can replace";
	else if (error == -EINVAL)
		reason = "the kernel does not let it be called from another program";
	return refuse(why, -error,
		      "%s runs XDP program '%s' (id %u), which cannot be chained: %s; take it off first: %s", interface,
		      found->name, found->program, reason,
		      error == -EBUSY ? "end the process that attached it (`bpftool link` lists links)"
				      : "`bpftool net` lists what is attached");
}

static int chain_anew(const char *pins, const char *interface, uint32_t ifindex, const struct xdp_hook *found,
		      chain_loader load, void *context)
{
	_cleanup_(close_maps) struct chain_maps maps = {-1, -1};
	_cleanup_close_ int behind = program_open(found->program), program = -1;
	struct program_kind kind;
	__u32 zero = 0;
	int error;

	if (behind < 0)
		return behind;
	error = find_kind(behind, &kind);
	if (!error)
		error = load(context, &kind, &maps, &program);
	if (!error && bpf_map_update_elem(maps.chained, &zero, &behind, BPF_ANY))
		error = -errno;
	if (error)
		return error;
	error = pin_chain(pins, interface, behind, &maps);
	if (!error)
		error = replace(ifindex, program, behind, found->mode);
	if (error)
		forget_chain(pins, interface);
	return error;
}

static int open_pin(const char *pins, const char *interface, const char *name)
{
	char path[PINS_PATH_SIZE];
	int fd = bpf_obj_get(pins_path(pins, "chained", interface, name, path));

	return fd < 0 ? -errno : fd;
}

static int chain_on(const char *pins, const char *interface, uint32_t ifindex, const struct xdp_hook *found,
		    chain_loader load, void *context)
{
	_cleanup_(close_maps) struct chain_maps maps = {open_pin(pins, interface, "/map"),
							open_pin(pins, interface, "/parts")};
	_cleanup_close_ int behind = open_pin(pins, interface, "/program"), program = -1;
	_cleanup_close_ int former = program_open(found->program);
	struct program_kind kind;
	int error;

	if (maps.chained < 0 || maps.parts < 0 || behind < 0 || former < 0)
		return -ENOENT;
	error = find_kind(behind, &kind);
	if (!error)
		error = load(context, &kind, &maps, &program);
	return error ?: replace(ifindex, program, former, found->mode);
}

int hook_xdp_chain(const char *pins, const char *interface, uint32_t ifindex, const struct xdp_hook *found,
		   chain_loader load, void *context, struct refusal *why)
{
	int error;

	if (found->owner == XDP_OURS_CHAIN) {
		error = chain_on(pins, interface, ifindex, found, load, context);
		return error ? refuse(why, -error, "cannot replace the program on %s: %s", interface, strerror(-error))
			     : 0;
	}
	error = chain_anew(pins, interface, ifindex, found, load, context);
	return error ? refuse_chain(interface, found, error, why) : 0;
}

int hook_xdp_behind(const char *pins, const char *interface, __u32 *ret_id, char ret_name[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);
	char path[PINS_PATH_SIZE];
	_cleanup_close_ int program = bpf_obj_get(pins_path(pins, "chained", interface, "/program", path));

	if (program < 0 || bpf_obj_get_info_by_fd(program, &info, &length))
		return -errno;
	*ret_id = info.id;
	program_name(program, ret_name);
	return 0;
}

/* Puts back what ours is in front of. Where ours no longer is there is nothing to put back. */
static int unchain(const char *pins, const char *interface, uint32_t ifindex)
{
	char path[PINS_PATH_SIZE];
	_cleanup_close_ int behind = bpf_obj_get(pins_path(pins, "chained", interface, "/program", path)), ours = -1;
	struct xdp_hook found = {};
	int error = 0;

	if (ifindex && behind >= 0 && hook_xdp_look(pins, interface, ifindex, &found) == 0 &&
	    found.owner == XDP_OURS_CHAIN) {
		ours = program_open(found.program);
		error = ours < 0 ? ours : replace(ifindex, behind, ours, found.mode);
	}
	if (!error)
		forget_chain(pins, interface);
	return error;
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

int hook_xdp_detach(const char *pins, const char *interface, uint32_t ifindex)
{
	char path[PINS_PATH_SIZE];

	if (access(pins_path(pins, "chained", interface, "", path), F_OK) == 0)
		return unchain(pins, interface, ifindex);
	return remove_link(pins_path(pins, "links", interface, "", path));
}

int hook_xdp_probe(uint32_t ifindex, char *ret_words, size_t size)
{
	const struct program_kind kind = {BPF_XDP, BPF_F_XDP_HAS_FRAGS}; /* as ours */
	LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
	_cleanup_close_ int program = load_pass(&kind);
	_cleanup_close_ int link = -1;
	int error;

	if (program < 0)
		return program;
	link = bpf_link_create(program, ifindex, BPF_XDP, &native);
	if (link >= 0)
		return bpf_link_detach(link) ? -errno : 0;
	error = -errno;
	/* Refused alike, but with the driver's words, which a link's creation does not bring. */
	kernel_words(0);
	if (bpf_xdp_attach(ifindex, program, XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL) == 0)
		return bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL);
	snprintf(ret_words, size, "%s", kernel_words(error));
	return error;
}
