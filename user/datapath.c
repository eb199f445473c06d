// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <sys/mman.h>

#include "counters.h"
#include "datapath_parts.h"
#include "pins.h"
#include "program.h"
#include "quiesce.h"

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
	error = datapath_load(dp, limits, why);
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
		munmap(dp->services, datapath_array_bytes(sizeof(struct service), dp->limits.services));
	if (dp->backends)
		munmap(dp->backends, datapath_array_bytes(sizeof(struct backend), dp->limits.backends));
	if (dp->rows)
		munmap(dp->rows, datapath_array_bytes(sizeof(struct row), dp->limits.rows));
	if (dp->shadows)
		munmap(dp->shadows, datapath_array_bytes(sizeof(struct shadow), dp->limits.services));
	if (dp->guard)
		munmap(dp->guard, datapath_array_bytes(sizeof(struct shadow_guard), 1));
	if (dp->known_ends)
		munmap(dp->known_ends, datapath_array_bytes(sizeof(struct known_ends), 1));
	if (dp->replay_counters)
		munmap(dp->replay_counters, datapath_array_bytes(sizeof(struct shadow_counters), dp->limits.services));
	datapath_unmap_flow_tables(dp);
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

static struct attach_programs programs_of(struct datapath *dp)
{
	return (struct attach_programs){
		.xdp = dp->program_fd[ENTRY_XDP],
		.tc = dp->program_fd[ENTRY_TC],
		.load_chain = datapath_load_chain,
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

int datapath_set_mirror(struct datapath *dp, uint32_t at, uint32_t way_out, uint32_t near)
{
	const __u32 devices[MIRROR_DEVICES] = {near, way_out};
	_cleanup_close_ int both = bpf_map_create(BPF_MAP_TYPE_DEVMAP, "headgate_mirror", sizeof(__u32), sizeof(__u32),
						  MIRROR_DEVICES, NULL);
	int error;

	if (both < 0)
		return -errno;
	for (__u32 i = 0; i < MIRROR_DEVICES; i++)
		if (bpf_map_update_elem(both, &i, &devices[i], BPF_ANY))
			return -errno;
	error = datapath_update(dp, MAP_MIRRORS, &at, &both);
	if (!error)
		__atomic_store_n(&dp->guard->way_out[at], way_out, __ATOMIC_RELEASE);
	return error;
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

const struct flow_tables *datapath_flow_tables(const struct datapath *dp)
{
	return &dp->flow_tables;
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
	uint32_t named = datapath_name_of_end(map, value);
	int error;

	if (bpf_map_update_elem(dp->map_fd[map], key, value, BPF_EXIST) == 0) {
		known_change(&dp->known, dp->known_ends, key, named);
		return 0;
	}
	known_add(&dp->known, dp->known_ends, key, named);
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
