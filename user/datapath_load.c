// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How maps and programs come to be: taken from their pins, or made and pinned. */
#include "datapath_parts.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "pins.h"

DEFINE_CLEANUP(struct headgate_bpf, headgate_bpf__destroy)

size_t datapath_array_bytes(size_t value_bytes, uint32_t entries)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (value_bytes * entries + page - 1) & ~(page - 1);
}

static void set_sizes(struct headgate_bpf *skeleton, const struct limits *l)
{
	bpf_map__set_max_entries(skeleton->maps.vips, l->services);
	bpf_map__set_max_entries(skeleton->maps.vip_addresses, l->services);
	bpf_map__set_max_entries(skeleton->maps.services, l->services);
	bpf_map__set_max_entries(skeleton->maps.service_counters, l->services);
	bpf_map__set_max_entries(skeleton->maps.reply_origins, l->backends);
	bpf_map__set_max_entries(skeleton->maps.reply_addresses, l->backends);
	bpf_map__set_max_entries(skeleton->maps.server_ids, l->backends);
	bpf_map__set_max_entries(skeleton->maps.backends, l->backends);
	bpf_map__set_max_entries(skeleton->maps.backend_identities, l->backends);
	bpf_map__set_max_entries(skeleton->maps.backend_counters, l->backends);
	bpf_map__set_max_entries(skeleton->maps.rows, l->rows);
	bpf_map__set_max_entries(skeleton->maps.flows, flow_buckets_for(l->established + l->half_open));
	bpf_map__set_max_entries(skeleton->maps.measurements, l->backends);
	bpf_map__set_max_entries(skeleton->maps.silent_counters, l->backends);
	bpf_map__set_max_entries(skeleton->maps.remembered, l->services * VARIANTS_MAX);
	bpf_map__set_max_entries(skeleton->maps.sampled_flows, sampled_buckets_for(l->established));
	bpf_map__set_max_entries(skeleton->maps.source_ports, flow_buckets_for(l->established + l->half_open));
	bpf_map__set_max_entries(skeleton->maps.shadows, l->services);
	bpf_map__set_max_entries(skeleton->maps.shadow_counters, l->services);
	bpf_map__set_max_entries(skeleton->maps.replay_counters, l->services);
	bpf_map__set_max_entries(skeleton->maps.shadow_budgets, l->services);
	bpf_map__set_max_entries(skeleton->maps.shadow_hosts, 2 * l->backends);
	bpf_map__set_max_entries(skeleton->maps.shadow_flows, l->shadow_flows);
	bpf_map__set_max_entries(skeleton->maps.shadow_ports, l->shadow_flows);
	bpf_map__set_max_entries(skeleton->maps.stash, l->stash);
}

/* What a fresh load is sized to: ids count from 1. */
static struct limits sizes_for(const struct limits *wanted)
{
	struct limits l = *wanted;

	/* Twice the services: one that is replaced keeps its id until its flows are swept. */
	l.services = 2 * wanted->services + 1;
	l.backends = wanted->backends + 1;
	l.rows = wanted->rows + 1;
	return l;
}

static uint32_t pinned_entries(const char *pins, const char *map)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);
	_cleanup_close_ int fd = pins_open_map(pins, map);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length))
		return 0;
	return info.max_entries;
}

static struct flow_layout pinned_layout(const char *pins)
{
	_cleanup_close_ int fd = pins_open_map(pins, "flow_layout");
	struct flow_layout layout = {};

	if (fd >= 0)
		bpf_map_lookup_elem(fd, &(uint32_t){0}, &layout);
	return layout;
}

static struct limits pinned_sizes(const char *pins, const struct limits *wanted)
{
	struct flow_layout layout = pinned_layout(pins);

	return (struct limits){
		.services = pinned_entries(pins, "services"),
		.backends = pinned_entries(pins, "backends"),
		.rows = pinned_entries(pins, "rows"),
		/* None: the daemon that had it pinned was killed before any program could run. */
		.half_open = layout.flow_buckets ? layout.half_open : wanted->half_open,
		.established = layout.flow_buckets ? layout.established : wanted->established,
		.shadow_flows = pinned_entries(pins, "shadow_flows"),
		.stash = pinned_entries(pins, "stash"),
	};
}

/* Fresh maps are pinned by libbpf as they are created. */
static int set_pin_paths(struct datapath *dp)
{
	struct bpf_map *map;
	char path[PINS_PATH_SIZE];
	int error;

	bpf_object__for_each_map(map, dp->skeleton->obj)
	{
		if (bpf_map__is_internal(map) || !bpf_map__autocreate(map))
			continue;
		pins_map_path(dp->pins, bpf_map__name(map), path);
		error = bpf_map__set_pin_path(map, path);
		if (error)
			return error;
	}
	return 0;
}

static bool same_layout(const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map);
}

/*
 * The program is to use the maps that are pinned. Not by pin paths: libbpf 1.1 compares flags too, and the kernel gives
 * a devmap one (BPF_F_RDONLY_PROG) that nobody may ask for.
 */
static int reuse_maps(struct datapath *dp)
{
	struct bpf_map *map;
	int error;

	bpf_object__for_each_map(map, dp->skeleton->obj)
	{
		_cleanup_close_ int fd = -1;

		if (bpf_map__is_internal(map) || !bpf_map__autocreate(map))
			continue;
		fd = pins_open_map(dp->pins, bpf_map__name(map));
		if (fd < 0)
			return fd;
		if (!same_layout(map, fd))
			return -EINVAL;
		error = bpf_map__reuse_fd(map, fd);
		if (error)
			return error;
	}
	return 0;
}

static int map_array(struct bpf_map *map, size_t value_bytes, void **ret)
{
	void *memory = mmap(NULL, datapath_array_bytes(value_bytes, bpf_map__max_entries(map)), PROT_READ | PROT_WRITE,
			    MAP_SHARED, bpf_map__fd(map), 0);

	if (memory == MAP_FAILED)
		return -errno;
	*ret = memory;
	return 0;
}

static int map_arrays(struct datapath *dp)
{
	int error = map_array(dp->skeleton->maps.services, sizeof(struct service), (void **)&dp->services);

	if (!error)
		error = map_array(dp->skeleton->maps.backends, sizeof(struct backend), (void **)&dp->backends);
	if (!error)
		error = map_array(dp->skeleton->maps.rows, sizeof(struct row), (void **)&dp->rows);
	if (!error)
		error = map_array(dp->skeleton->maps.shadows, sizeof(struct shadow), (void **)&dp->shadows);
	if (!error)
		error = map_array(dp->skeleton->maps.shadow_guard, sizeof(struct shadow_guard), (void **)&dp->guard);
	if (!error)
		error = map_array(dp->skeleton->maps.known_ends, sizeof(struct known_ends), (void **)&dp->known_ends);
	if (!error)
		error = map_array(dp->skeleton->maps.replay_counters, sizeof(struct shadow_counters),
				  (void **)&dp->replay_counters);
	return error;
}

static struct bpf_map *flow_table_map(const struct datapath *dp, enum flow_table table)
{
	switch (table) {
	case FLOW_TABLE_FLOWS:
		return dp->skeleton->maps.flows;
	case FLOW_TABLE_PORTS:
		return dp->skeleton->maps.source_ports;
	default:
		return dp->skeleton->maps.sampled_flows;
	}
}

static int map_flow_tables(struct datapath *dp)
{
	int error =
		map_array(dp->skeleton->maps.flow_layout, sizeof(struct flow_layout), (void **)&dp->flow_tables.layout);

	for (enum flow_table table = 0; !error && table < FLOW_TABLES; table++)
		error = map_array(flow_table_map(dp, table), flow_bucket_bytes(table), &dp->flow_tables.buckets[table]);
	return error;
}

void datapath_unmap_flow_tables(struct datapath *dp)
{
	struct flow_tables *t = &dp->flow_tables;

	for (enum flow_table table = 0; table < FLOW_TABLES; table++)
		if (t->buckets[table])
			munmap(t->buckets[table],
			       datapath_array_bytes(flow_bucket_bytes(table),
						    bpf_map__max_entries(flow_table_map(dp, table))));
	if (t->layout)
		munmap(t->layout, datapath_array_bytes(sizeof(*t->layout), 1));
}

/* Before any program runs. What is adopted keeps its own, by which its flows are found. */
static int lay_out_flow_tables(struct datapath *dp)
{
	struct flow_layout *layout = dp->flow_tables.layout;
	struct flow_layout fresh = {
		.port_buckets = bpf_map__max_entries(flow_table_map(dp, FLOW_TABLE_PORTS)),
		.sampled_buckets = bpf_map__max_entries(flow_table_map(dp, FLOW_TABLE_SAMPLED)),
		.half_open = dp->limits.half_open,
		.established = dp->limits.established,
	};

	if (layout->flow_buckets)
		return 0;
	if (getrandom(&fresh.secret, sizeof(fresh.secret), 0) != sizeof(fresh.secret))
		return -EIO;
	*layout = fresh;
	/* Last, as it is what says that the rest is there, whenever this daemon is killed. */
	__atomic_store_n(&layout->flow_buckets, bpf_map__max_entries(flow_table_map(dp, FLOW_TABLE_FLOWS)),
			 __ATOMIC_RELEASE);
	return 0;
}

static void take_fds(struct datapath *dp)
{
	const struct bpf_map *const map[DATAPATH_MAPS] = {
		[MAP_VIPS] = dp->skeleton->maps.vips,
		[MAP_VIP_ADDRESSES] = dp->skeleton->maps.vip_addresses,
		[MAP_REPLY_ADDRESSES] = dp->skeleton->maps.reply_addresses,
		[MAP_SERVER_IDS] = dp->skeleton->maps.server_ids,
		[MAP_REPLY_ORIGINS] = dp->skeleton->maps.reply_origins,
		[MAP_COHORTS] = dp->skeleton->maps.cohorts,
		[MAP_SILENT_COUNTERS] = dp->skeleton->maps.silent_counters,
		[MAP_REMEMBERED] = dp->skeleton->maps.remembered,
		[MAP_SOURCES] = dp->skeleton->maps.sources,
		[MAP_BACKEND_IDENTITIES] = dp->skeleton->maps.backend_identities,
		[MAP_NEXT_HOPS] = dp->skeleton->maps.next_hops,
		[MAP_WANTED_NEIGHBOURS] = dp->skeleton->maps.wanted_neighbours,
		[MAP_DEVICES] = dp->skeleton->maps.devices,
		[MAP_SHADOW_RULES] = dp->skeleton->maps.shadow_rules,
		[MAP_SHADOW_HOSTS] = dp->skeleton->maps.shadow_hosts,
		[MAP_SHADOW_FLOWS] = dp->skeleton->maps.shadow_flows,
		[MAP_SHADOW_PORTS] = dp->skeleton->maps.shadow_ports,
		[MAP_STASH] = dp->skeleton->maps.stash,
		[MAP_MIRRORS] = dp->skeleton->maps.mirrors,
	};

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		dp->map_fd[i] = bpf_map__fd(map[i]);
}

static void set_kind(struct headgate_bpf *skeleton, const struct program_kind *kind)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, skeleton->obj)
	{
		if (bpf_program__type(program) != BPF_PROG_TYPE_XDP)
			continue;
		bpf_program__set_expected_attach_type(program, kind->attach_type);
		bpf_program__set_flags(program, kind->flags);
	}
}

/* Keeps an fd beyond its object, unless it is kept already. */
static int keep_fd(int fd, int *kept)
{
	if (*kept < 0)
		*kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *kept < 0 ? -errno : 0;
}

/* Of what is adopted. */
static void know_ends(struct datapath *dp, enum datapath_map map)
{
	struct service_key key, *previous = NULL;
	struct reply_origin value; /* or a service's id, which is shorter */

	while (datapath_next_key(dp, map, previous, &key) == 0) {
		if (datapath_lookup(dp, map, &key, &value) == 0)
			known_add(&dp->known, dp->known_ends, &key, datapath_name_of_end(map, &value));
		previous = &key;
	}
}

/* Those of this build, unless they are loaded: so the kernel need not verify them again. */
static int open_programs(struct datapath *dp)
{
	size_t bytes;
	const void *object = headgate_bpf__elf_bytes(&bytes);

	return program_pins_open(dp->pins, program_pins_build(object, bytes), dp->program_fd);
}

static int load_programs(struct datapath *dp)
{
	size_t bytes;
	const void *object = headgate_bpf__elf_bytes(&bytes);
	int error;

	program_pins_remove(dp->pins);
	error = headgate_bpf__load(dp->skeleton);
	if (error)
		return error;
	const struct bpf_program *const programs[ENTRY_PROGRAMS] = {
		[ENTRY_XDP] = dp->skeleton->progs.headgate_xdp,
		[ENTRY_TC] = dp->skeleton->progs.headgate_tc,
		[ENTRY_XDP_RECEIVE] = dp->skeleton->progs.headgate_xdp_receive,
		[ENTRY_TC_MADE_UP] = dp->skeleton->progs.headgate_tc_made_up,
		[ENTRY_MIRROR] = dp->skeleton->progs.headgate_mirror,
		[ENTRY_MIRROR_TC] = dp->skeleton->progs.headgate_mirror_tc,
	};

	for (size_t i = 0; i < ENTRY_PROGRAMS; i++)
		error = error ?: keep_fd(bpf_program__fd(programs[i]), &dp->program_fd[i]);
	return error ?: program_pins_make(dp->pins, program_pins_build(object, bytes), dp->program_fd);
}

int datapath_load(struct datapath *dp, const struct limits *limits, struct refusal *why)
{
	int error;

	dp->skeleton = headgate_bpf__open();
	if (!dp->skeleton)
		return refuse(why, errno, "cannot open the programs: %s", strerror(errno));
	dp->limits = dp->adopted ? pinned_sizes(dp->pins, limits) : sizes_for(limits);
	set_sizes(dp->skeleton, &dp->limits);
	bpf_map__set_autocreate(dp->skeleton->maps.chained, false);
	set_kind(dp->skeleton, &(struct program_kind){BPF_XDP, BPF_F_XDP_HAS_FRAGS});
	error = dp->adopted ? reuse_maps(dp) : set_pin_paths(dp);
	if (!error && !(dp->adopted && open_programs(dp) == 0))
		error = load_programs(dp);
	if (error && dp->adopted)
		return refuse(why, -error,
			      "cannot adopt what is pinned in %s: %s; it is another build's with the same ABI number: "
			      "run `headgate detach`, then start again (connections through NAT end)",
			      dp->pins, strerror(-error));
	if (error)
		return refuse(why, -error,
			      "the kernel does not take the programs: %s; run `headgate doctor`, and headgated with "
			      "HEADGATE_LIBBPF=1 for the verifier's words",
			      strerror(-error));
	error = map_arrays(dp);
	error = error ?: map_flow_tables(dp);
	error = error ?: lay_out_flow_tables(dp);
	if (error)
		return refuse(why, -error, "cannot map the tables into memory: %s", strerror(-error));
	take_fds(dp);
	know_ends(dp, MAP_VIPS);
	know_ends(dp, MAP_REPLY_ORIGINS);
	return 0;
}

int datapath_load_chain(void *context, const struct program_kind *kind, struct chain_maps *maps, int *ret_program)
{
	struct datapath *dp = context;
	_cleanup_(headgate_bpf__destroyp) struct headgate_bpf *own = headgate_bpf__open();
	struct bpf_program *program;
	struct bpf_map *map;
	int error = 0;

	if (!own)
		return -errno;
	own->rodata->chains = true;
	set_kind(own, kind);
	bpf_object__for_each_program(program, own->obj) bpf_program__set_autoload(
		program, bpf_program__type(program) == BPF_PROG_TYPE_XDP && program != own->progs.headgate_mirror);
	bpf_map__set_autocreate(own->maps.tc_parts, false);
	/* libbpf 1.1 would fill in a map of programs although it is not created. */
	bpf_map__set_type(own->maps.tc_parts, BPF_MAP_TYPE_ARRAY);
	bpf_object__for_each_map(map, own->obj)
	{
		int fd = map == own->maps.chained ? maps->chained
			 : map == own->maps.xdp_parts
				 ? maps->parts
				 : bpf_object__find_map_fd_by_name(dp->skeleton->obj, bpf_map__name(map));

		if (!error && fd >= 0 && !bpf_map__is_internal(map) && bpf_map__autocreate(map))
			error = bpf_map__reuse_fd(map, fd);
	}
	if (!error)
		error = headgate_bpf__load(own);
	if (!error)
		error = keep_fd(bpf_map__fd(own->maps.chained), &maps->chained);
	if (!error)
		error = keep_fd(bpf_map__fd(own->maps.xdp_parts), &maps->parts);
	return error ?: keep_fd(bpf_program__fd(own->progs.headgate_xdp), ret_program);
}
