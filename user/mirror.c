// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "mirror.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "hook_tc.h"
#include "mirror_link.h"
#include "program.h"
#include "util.h"

enum owner { OWNER_NOBODY, OWNER_US, OWNER_FOREIGN };

/* Whose programs are at the far end: by the XDP program there. */
static enum owner owner_of(const struct mirror_link *link, const char *pins)
{
	_cleanup_close_ int program = -1;
	__u32 id;

	if (bpf_xdp_query_id(link->far, XDP_FLAGS_DRV_MODE, &id))
		return OWNER_FOREIGN;
	if (!id)
		return OWNER_NOBODY;
	program = program_open(id);
	return program >= 0 && program_uses(program, pins, "shadow_flows") ? OWNER_US : OWNER_FOREIGN;
}

/* Whether exactly @program runs there. */
static bool runs(const struct mirror_link *link, int program)
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info), id;

	return bpf_obj_get_info_by_fd(program, &info, &length) == 0 &&
	       bpf_xdp_query_id(link->far, XDP_FLAGS_DRV_MODE, &id) == 0 && id == info.id;
}

static int find_or_make(const char *pins, struct mirror_link *ret, struct refusal *why)
{
	int error = mirror_link_find(ret);

	if (error == -ENOENT) {
		error = mirror_link_make(ret);
		return error ? refuse(why, -error, "cannot make the veth pair %s, %s for shadows: %s", MIRROR_NEAR,
				      MIRROR_FAR, strerror(-error))
			     : 0;
	}
	if (error == -EEXIST)
		return refuse(
			why, EEXIST,
			"%s and %s are to be the ends of a veth pair for shadows, and an interface of such a name "
			"is something else; rename or delete it: `ip -d link show`",
			MIRROR_NEAR, MIRROR_FAR);
	if (error)
		return refuse(why, -error, "cannot look for %s: %s", MIRROR_NEAR, strerror(-error));
	if (owner_of(ret, pins) == OWNER_FOREIGN)
		return refuse(why, EBUSY,
			      "%s runs an XDP program of another data path than this one in %s; if none of Headgate's "
			      "runs here any more: ip link delete %s",
			      MIRROR_FAR, pins, MIRROR_NEAR);
	return 0;
}

/* Each in one step in place of the one before it, if there is one. */
static int attach_programs(const struct mirror_link *link, const struct mirror_programs *programs, struct refusal *why)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)link->far, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = programs->tc, .handle = 1, .priority = HOOK_TC_PRIORITY,
		    .flags = BPF_TC_F_REPLACE);
	int error = bpf_tc_hook_create(&hook);

	if (!error || error == -EEXIST)
		error = bpf_tc_attach(&hook, &options);
	if (error)
		return refuse(why, -error, "cannot attach to TC of %s: %s", MIRROR_FAR, kernel_words(error));
	error = bpf_xdp_attach(link->far, programs->xdp, XDP_FLAGS_DRV_MODE, NULL);
	return error ? refuse(why, -error, "cannot attach to %s in native mode: %s", MIRROR_FAR, kernel_words(error))
		     : 0;
}

static bool is_among(const uint32_t *ways_out, size_t count, uint32_t way_out)
{
	for (size_t i = 0; i < count; i++)
		if (ways_out[i] == way_out)
			return true;
	return false;
}

/* Those that are no longer wanted. When the kernel has taken out a map, no program has seen its place in use any more,
 * and the place is free. */
static void forget_ways_out(struct datapath *dp, const uint32_t *ways_out, size_t count)
{
	struct shadow_guard *guard = datapath_shadow_guard(dp);

	for (__u32 at = 0; at < MIRROR_WAYS_MAX; at++) {
		if (!guard->way_out[at] || is_among(ways_out, count, guard->way_out[at]))
			continue;
		__atomic_store_n(&guard->way_out[at], 0, __ATOMIC_RELEASE);
		datapath_delete(dp, MAP_MIRRORS, &at);
	}
}

/* Where a way out is, or else is to be; there is room for all. */
static uint32_t place_of(const struct shadow_guard *guard, uint32_t way_out)
{
	uint32_t room = 0;

	for (uint32_t at = MIRROR_WAYS_MAX; at--;) {
		if (guard->way_out[at] == way_out)
			return at;
		if (!guard->way_out[at])
			room = at;
	}
	return room;
}

static int set_ways_out(struct datapath *dp, uint32_t near, const uint32_t *ways_out, size_t count)
{
	const struct shadow_guard *guard = datapath_shadow_guard(dp);
	int error = 0;

	forget_ways_out(dp, ways_out, count);
	for (size_t i = 0; i < count && !error; i++)
		error = datapath_set_mirror(dp, place_of(guard, ways_out[i]), ways_out[i], near);
	return error;
}

/* What the hooks copy by. To change a map of maps has the kernel wait for all who read it, so only where it differs. */
static int tell_hooks(struct mirror *m, struct datapath *dp, uint32_t near, const uint32_t *ways_out, size_t count)
{
	int error;

	__atomic_store_n(&datapath_shadow_guard(dp)->mirror, near, __ATOMIC_RELAXED);
	if (count > ARRAY_SIZE(m->way_out))
		return -E2BIG;
	if (m->known && m->near == near && m->way_out_count == count &&
	    memcmp(m->way_out, ways_out, count * sizeof(*ways_out)) == 0)
		return 0;
	error = set_ways_out(dp, near, ways_out, count);
	m->known = !error;
	m->near = near;
	m->way_out_count = count;
	memcpy(m->way_out, ways_out, count * sizeof(*ways_out));
	return error;
}

int mirror_ensure(struct mirror *m, struct datapath *dp, const char *pins, const uint32_t *ways_out, size_t count,
		  bool native, struct refusal *why)
{
	const struct mirror_programs programs = datapath_mirror_programs(dp);
	struct mirror_link link;
	int error = find_or_make(pins, &link, why);

	if (!error && !(link.up && runs(&link, programs.xdp))) {
		error = mirror_link_set_up(&link);
		if (error)
			refuse(why, -error, "cannot set up %s: %s", MIRROR_NEAR, strerror(-error));
		if (!error)
			error = attach_programs(&link, &programs, why);
		if (!error && mirror_link_turn_off_merging())
			error = refuse(why, EIO, "cannot turn merging off: ethtool -K %s gro off", MIRROR_FAR);
	}
	if (error) {
		tell_hooks(m, dp, 0, ways_out, 0);
		return error;
	}
	__atomic_store_n(&datapath_shadow_guard(dp)->native, native, __ATOMIC_RELAXED);
	error = tell_hooks(m, dp, link.near, ways_out, count);
	return error ? refuse(why, -error, "cannot let the programs know of %s: %s", MIRROR_NEAR, strerror(-error)) : 0;
}

int mirror_remove(const char *pins)
{
	struct mirror_link link;
	int error = mirror_link_find(&link);

	if (error == -ENOENT || error == -EEXIST)
		return 0;
	if (error || owner_of(&link, pins) == OWNER_FOREIGN)
		return error;
	return mirror_link_delete(&link);
}
