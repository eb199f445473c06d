// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <sys/mman.h>

#include "counters.h"
#include "headgate.skel.h"
#include "known.h"
#include "pins.h"
#include "program.h"
#include "program_pins.h"
#include "quiesce.h"

DEFINE_CLEANUP(struct headgate_bpf, headgate_bpf__destroy)

struct datapath {
	struct headgate_bpf *skeleton;
	char *pins;
	int lock; /* of the pins' folder: one daemon at a time */
	bool adopted;
	struct limits limits;
	int cpu_count;
	int map_fd[DATAPATH_MAPS];
	int program_fd[ENTRY_PROGRAMS];
	/* Mapped arrays and their lengths in bytes. */
	struct service *services;
	struct backend *backends;
	struct row *rows;
	struct shadow *shadows;
	struct shadow_guard *guard;
	struct known_ends *known_ends;
	struct known known; /* what is set there */
	struct shadow_counters *replay_counters;
};

static int silent(enum libbpf_print_level level, const char *format, va_list arguments)
{
	va_list copy;

	/* Library code does not log; what matters is in the refusal. HEADGATE_LIBBPF=1 shows the verifier's words. */
	(void)level;
	va_copy(copy, arguments);
	kernel_words_hear(format, copy);
	va_end(copy);
	return getenv("HEADGATE_LIBBPF") ? vfprintf(stderr, format, arguments) : 0;
}

/* Room for ids 0..n: id 0 is never used. */
static size_t array_bytes(size_t value_bytes, uint32_t entries)
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
	bpf_map__set_max_entries(skeleton->maps.half_open, l->half_open);
	bpf_map__set_max_entries(skeleton->maps.established, l->established);
	bpf_map__set_max_entries(skeleton->maps.measurements, l->backends);
	bpf_map__set_max_entries(skeleton->maps.silent_counters, l->backends);
	bpf_map__set_max_entries(skeleton->maps.remembered, l->services * VARIANTS_MAX);
	bpf_map__set_max_entries(skeleton->maps.sampled_flows, l->established);
	bpf_map__set_max_entries(skeleton->maps.source_ports, l->established + l->half_open);
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

static struct limits pinned_sizes(const char *pins)
{
	return (struct limits){
		.services = pinned_entries(pins, "services"),
		.backends = pinned_entries(pins, "backends"),
		.rows = pinned_entries(pins, "rows"),
		.half_open = pinned_entries(pins, "half_open"),
		.established = pinned_entries(pins, "established"),
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
	void *memory = mmap(NULL, array_bytes(value_bytes, bpf_map__max_entries(map)), PROT_READ | PROT_WRITE,
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

static void take_fds(struct datapath *dp)
{
	const struct bpf_map *const map[DATAPATH_MAPS] = {
		[MAP_VIPS] = dp->skeleton->maps.vips,
		[MAP_VIP_ADDRESSES] = dp->skeleton->maps.vip_addresses,
		[MAP_REPLY_ADDRESSES] = dp->skeleton->maps.reply_addresses,
		[MAP_SERVER_IDS] = dp->skeleton->maps.server_ids,
		[MAP_REPLY_ORIGINS] = dp->skeleton->maps.reply_origins,
		[MAP_COHORTS] = dp->skeleton->maps.cohorts,
		[MAP_HALF_OPEN] = dp->skeleton->maps.half_open,
		[MAP_ESTABLISHED] = dp->skeleton->maps.established,
		[MAP_SOURCE_PORTS] = dp->skeleton->maps.source_ports,
		[MAP_SAMPLED_FLOWS] = dp->skeleton->maps.sampled_flows,
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

/* A key's service; 0: it is a backend's. */
static uint32_t service_of_end(enum datapath_map map, const void *value)
{
	return map == MAP_VIPS ? *(const uint32_t *)value : 0;
}

/* Of what is adopted. */
static void know_ends(struct datapath *dp, enum datapath_map map)
{
	struct service_key key, *previous = NULL;
	struct reply_origin value; /* or a service's id, which is shorter */

	while (datapath_next_key(dp, map, previous, &key) == 0) {
		if (datapath_lookup(dp, map, &key, &value) == 0)
			known_add(&dp->known, dp->known_ends, &key, service_of_end(map, &value));
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

static int load(struct datapath *dp, const struct limits *limits, struct refusal *why)
{
	int error;

	dp->skeleton = headgate_bpf__open();
	if (!dp->skeleton)
		return refuse(why, errno, "cannot open the programs: %s", strerror(errno));
	dp->limits = dp->adopted ? pinned_sizes(dp->pins) : sizes_for(limits);
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
	if (error)
		return refuse(why, -error, "cannot map the tables into memory: %s", strerror(-error));
	take_fds(dp);
	know_ends(dp, MAP_VIPS);
	know_ends(dp, MAP_REPLY_ORIGINS);
	return 0;
}

int datapath_open(const char *pins, const struct limits *limits, struct datapath **ret, struct refusal *why)
{
	_cleanup_(datapath_closep) struct datapath *dp = calloc(1, sizeof(*dp));
	int error;

	if (!dp)
		return refuse(why, ENOMEM, "out of memory");
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(silent);
	dp->lock = -1;
	memset(dp->program_fd, -1, sizeof(dp->program_fd));
	dp->cpu_count = libbpf_num_possible_cpus();
	dp->pins = strdup(pins);
	if (!dp->pins || dp->cpu_count < 1)
		return refuse(why, ENOMEM, "out of memory");
	error = pins_prepare(pins, &dp->lock, &dp->adopted, why);
	if (error)
		return error;
	error = load(dp, limits, why);
	if (error)
		return error;
	*ret = TAKE_PTR(dp);
	return 0;
}

void datapath_close(struct datapath *dp)
{
	if (!dp)
		return;
	if (dp->services)
		munmap(dp->services, array_bytes(sizeof(struct service), dp->limits.services));
	if (dp->backends)
		munmap(dp->backends, array_bytes(sizeof(struct backend), dp->limits.backends));
	if (dp->rows)
		munmap(dp->rows, array_bytes(sizeof(struct row), dp->limits.rows));
	if (dp->shadows)
		munmap(dp->shadows, array_bytes(sizeof(struct shadow), dp->limits.services));
	if (dp->guard)
		munmap(dp->guard, array_bytes(sizeof(struct shadow_guard), 1));
	if (dp->known_ends)
		munmap(dp->known_ends, array_bytes(sizeof(struct known_ends), 1));
	if (dp->replay_counters)
		munmap(dp->replay_counters, array_bytes(sizeof(struct shadow_counters), dp->limits.services));
	for (size_t i = 0; i < ENTRY_PROGRAMS; i++)
		closep(&dp->program_fd[i]);
	headgate_bpf__destroy(dp->skeleton);
	closep(&dp->lock);
	free(dp->pins);
	free(dp);
}

bool datapath_adopted(const struct datapath *dp)
{
	return dp->adopted;
}

const struct limits *datapath_limits(const struct datapath *dp)
{
	return &dp->limits;
}

/* A chain_loader: XDP programs that chain, in an object of their own, that shares all maps but two with the others. */
static int load_chain(void *context, const struct program_kind *kind, struct chain_maps *maps, int *ret_program)
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

static struct attach_programs programs_of(struct datapath *dp)
{
	return (struct attach_programs){
		.xdp = dp->program_fd[ENTRY_XDP],
		.tc = dp->program_fd[ENTRY_TC],
		.load_chain = load_chain,
		.context = dp,
	};
}

int datapath_attach(struct datapath *dp, uint32_t ifindex, const struct interface_model *wanted, struct attachment *ret,
		    struct refusal *why)
{
	const struct attach_programs programs = programs_of(dp);

	return attach(dp->pins, ifindex, wanted, &programs, ret, why);
}

int datapath_detach(struct datapath *dp, const char *interface)
{
	return attach_detach(dp->pins, interface);
}

int datapath_probe(struct datapath *dp, const char *interface, uint32_t ifindex, char *ret_words, size_t size)
{
	const struct attach_programs programs = programs_of(dp);

	return attach_probe(dp->pins, interface, ifindex, &programs, ret_words, size);
}

int datapath_early_fragments(const struct datapath *dp)
{
	return bpf_map__fd(dp->skeleton->maps.early_fragments);
}

int datapath_replay_segments(const struct datapath *dp)
{
	return bpf_map__fd(dp->skeleton->maps.replay_segments);
}

int datapath_receive_program(const struct datapath *dp)
{
	return dp->program_fd[ENTRY_XDP_RECEIVE];
}

int datapath_decide(struct datapath *dp, const void *in, uint32_t in_bytes, void *ret_out, uint32_t *ret_bytes)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in, .data_size_in = in_bytes, .data_out = ret_out,
		    .data_size_out = *ret_bytes, .repeat = 1);

	if (bpf_prog_test_run_opts(dp->program_fd[ENTRY_TC_MADE_UP], &options))
		return -errno;
	if (options.retval != TC_ACT_REDIRECT)
		return -ENOENT;
	*ret_bytes = options.data_size_out;
	return 0;
}

struct mirror_programs datapath_mirror_programs(const struct datapath *dp)
{
	return (struct mirror_programs){
		.xdp = dp->program_fd[ENTRY_MIRROR],
		.tc = dp->program_fd[ENTRY_MIRROR_TC],
	};
}

int datapath_set_mirror(struct datapath *dp, uint32_t way_out, uint32_t near)
{
	const __u32 devices[MIRROR_DEVICES] = {near, way_out};
	_cleanup_close_ int both = bpf_map_create(BPF_MAP_TYPE_DEVMAP, "headgate_mirror", sizeof(__u32), sizeof(__u32),
						  MIRROR_DEVICES, NULL);

	if (both < 0)
		return -errno;
	for (__u32 i = 0; i < MIRROR_DEVICES; i++)
		if (bpf_map_update_elem(both, &i, &devices[i], BPF_ANY))
			return -errno;
	return datapath_update(dp, MAP_MIRRORS, &way_out, &both);
}

struct service *datapath_service(struct datapath *dp, uint32_t id)
{
	return &dp->services[id];
}

struct backend *datapath_backend(struct datapath *dp, uint32_t id)
{
	return &dp->backends[id];
}

struct row *datapath_row(struct datapath *dp, uint32_t row)
{
	return &dp->rows[row];
}

struct shadow *datapath_shadow(struct datapath *dp, uint32_t service)
{
	return &dp->shadows[service];
}

struct shadow_guard *datapath_shadow_guard(struct datapath *dp)
{
	return dp->guard;
}

struct shadow_counters *datapath_replay_counters(struct datapath *dp, uint32_t service)
{
	return &dp->replay_counters[service];
}

/* Whose keys are ends that packets are ours by. */
static bool has_ends(enum datapath_map map)
{
	return map == MAP_VIPS || map == MAP_REPLY_ORIGINS;
}

/* The end is known before the key is there, and until it no longer is. */
static int update_end(struct datapath *dp, enum datapath_map map, const void *key, const void *value)
{
	uint32_t service = service_of_end(map, value);
	int error;

	if (bpf_map_update_elem(dp->map_fd[map], key, value, BPF_EXIST) == 0) {
		known_change(&dp->known, dp->known_ends, key, service);
		return 0;
	}
	known_add(&dp->known, dp->known_ends, key, service);
	error = bpf_map_update_elem(dp->map_fd[map], key, value, BPF_ANY) ? -errno : 0;
	if (error)
		known_remove(&dp->known, dp->known_ends, key);
	return error;
}

int datapath_update(struct datapath *dp, enum datapath_map map, const void *key, const void *value)
{
	if (has_ends(map))
		return update_end(dp, map, key, value);
	return bpf_map_update_elem(dp->map_fd[map], key, value, BPF_ANY) ? -errno : 0;
}

int datapath_delete(struct datapath *dp, enum datapath_map map, const void *key)
{
	if (bpf_map_delete_elem(dp->map_fd[map], key))
		return -errno;
	if (has_ends(map))
		known_remove(&dp->known, dp->known_ends, key);
	return 0;
}

int datapath_lookup(struct datapath *dp, enum datapath_map map, const void *key, void *ret_value)
{
	return bpf_map_lookup_elem(dp->map_fd[map], key, ret_value) ? -errno : 0;
}

int datapath_end_shadow_flow(struct datapath *dp, const struct flow_key *key, uint32_t serial, uint32_t flags)
{
	int map = dp->map_fd[MAP_SHADOW_FLOWS];
	struct shadow_flow flow;

	if (bpf_map_lookup_elem_flags(map, key, &flow, BPF_F_LOCK))
		return -errno;
	if (flow.serial != serial)
		return -ENOENT;
	if (flow.flags & SHADOW_FLOW_OVER)
		return -EALREADY;
	flow.flags |= flags;
	return bpf_map_update_elem(map, key, &flow, BPF_F_LOCK | BPF_EXIST) ? -errno : 0;
}

int datapath_next_key(struct datapath *dp, enum datapath_map map, const void *key, void *ret_next)
{
	return bpf_map_get_next_key(dp->map_fd[map], key, ret_next) ? -errno : 0;
}

int datapath_batch(struct datapath *dp, enum datapath_map map, struct datapath_cursor *cursor, void *keys, void *values,
		   uint32_t *count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	__u64 next = 0;
	int error = bpf_map_lookup_batch(dp->map_fd[map], cursor->begun ? &cursor->opaque : NULL, &next, keys, values,
					 count, &options);

	cursor->begun = true;
	cursor->opaque = next;
	if (!error)
		return 0;
	return errno == ENOENT ? 1 : -errno;
}

int datapath_all_backend_counters(struct datapath *dp, uint32_t count, struct backend_counters **ret)
{
	return counters_read_all(bpf_map__fd(dp->skeleton->maps.backend_counters), count, sizeof(**ret), dp->cpu_count,
				 (void **)ret);
}

int datapath_all_silent_counters(struct datapath *dp, uint32_t count, struct silent_counters **ret)
{
	return counters_read_all(bpf_map__fd(dp->skeleton->maps.silent_counters), count, sizeof(**ret), 1,
				 (void **)ret);
}

int datapath_each_measurements(struct datapath *dp, const bool *wanted, uint32_t count,
			       void (*each)(void *context, uint32_t id, const struct measurements *sum), void *context)
{
	return counters_each(bpf_map__fd(dp->skeleton->maps.measurements), dp->cpu_count, wanted, count, each, context);
}

int datapath_service_counters(struct datapath *dp, uint32_t id, struct service_counters *ret)
{
	return counters_read(bpf_map__fd(dp->skeleton->maps.service_counters), dp->cpu_count, id, (uint64_t *)ret,
			     sizeof(*ret));
}

int datapath_shadow_counters(struct datapath *dp, uint32_t id, struct shadow_counters *ret)
{
	const uint64_t *replayed = (const uint64_t *)&dp->replay_counters[id];
	uint64_t *sum = (uint64_t *)ret;
	int error =
		counters_read(bpf_map__fd(dp->skeleton->maps.shadow_counters), dp->cpu_count, id, sum, sizeof(*ret));

	for (size_t i = 0; !error && i < sizeof(*ret) / sizeof(*sum); i++)
		sum[i] += replayed[i];
	return error;
}

int datapath_backend_counters(struct datapath *dp, uint32_t id, struct backend_counters *ret)
{
	return counters_read(bpf_map__fd(dp->skeleton->maps.backend_counters), dp->cpu_count, id, (uint64_t *)ret,
			     sizeof(*ret));
}

int datapath_measurements(struct datapath *dp, uint32_t id, struct measurements *ret)
{
	return counters_read(bpf_map__fd(dp->skeleton->maps.measurements), dp->cpu_count, id, (uint64_t *)ret,
			     sizeof(*ret));
}

int datapath_set_measurements(struct datapath *dp, uint32_t id, const struct measurements *sum)
{
	return counters_set(bpf_map__fd(dp->skeleton->maps.measurements), dp->cpu_count, id, sum, sizeof(*sum));
}

int datapath_clear_shadow_counters(struct datapath *dp, uint32_t id)
{
	static const struct shadow_counters nothing;

	dp->replay_counters[id] = nothing;
	return counters_set(bpf_map__fd(dp->skeleton->maps.shadow_counters), dp->cpu_count, id, &nothing,
			    sizeof(nothing));
}

int datapath_set_service_counters(struct datapath *dp, uint32_t id, const struct service_counters *counters)
{
	return counters_set(bpf_map__fd(dp->skeleton->maps.service_counters), dp->cpu_count, id, counters,
			    sizeof(*counters));
}

int datapath_set_backend_counters(struct datapath *dp, uint32_t id, const struct backend_counters *counters)
{
	return counters_set(bpf_map__fd(dp->skeleton->maps.backend_counters), dp->cpu_count, id, counters,
			    sizeof(*counters));
}

/* proc_pid_fdinfo(5): "memlock:", in bytes. 0 when it is not said. */
static uint64_t map_memory_bytes(int fd)
{
	_cleanup_fclose_ FILE *info = NULL;
	unsigned long long bytes = 0;
	char path[64], line[128];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	return bytes;
}

uint64_t datapath_memory_bytes(const struct datapath *dp)
{
	const struct bpf_map *map;
	uint64_t bytes = 0;

	bpf_object__for_each_map(map, dp->skeleton->obj) bytes += map_memory_bytes(bpf_map__fd(map));
	return bytes;
}

void datapath_quiesce(struct datapath *dp)
{
	quiesce(dp->cpu_count);
}
