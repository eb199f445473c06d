// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pkt_cls.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "fixture.h"
#include "hash.h"
#include "headgate.skel.h"

#define TC_FRAME_MAX 3500 /* a page, less what goes around it */
#define TOO_BIG_BUDGET_BYTES 16
#define FLOWS_DEFAULT 4096
#define BUCKETS_DEFAULT 512

enum hook fixture_hook;

#define VERDICTS 4

/* What each hook's verdicts are called here. With program_of() the one place that knows of hooks. */
static const struct hook_words {
	const char *name;
	struct {
		int action;
		enum outcome outcome;
	} verdict[VERDICTS];
} hooks[HOOKS] = {
	[HOOK_XDP] = {"xdp", {{XDP_PASS, PASSED}, {XDP_DROP, DROPPED}, {XDP_TX, SENT}, {XDP_REDIRECT, SENT}}},
	[HOOK_TC] =
		{"tc",
		 {{TC_ACT_UNSPEC, PASSED}, {TC_ACT_SHOT, DROPPED}, {TC_ACT_REDIRECT, SENT}, {TC_ACT_REDIRECT, SENT}}},
};

static struct bpf_program *program_of(struct headgate_bpf *s)
{
	return fixture_hook == HOOK_TC ? s->progs.headgate_tc : s->progs.headgate_xdp;
}

const char *fixture_hook_name(void)
{
	return hooks[fixture_hook].name;
}

/* An skb has to have some data behind its Ethernet header, and all of an IP header where it says that it has one. */
static __u32 smallest_skb(const struct frame *f)
{
	__u32 type = get16(f->data + 12);

	return ETHERNET_BYTES + (type == 0x0800 ? 20 : type == 0x86dd ? 40 : 1);
}

bool fixture_takes(const struct frame *f)
{
	if (fixture_hook == HOOK_XDP)
		return f->bytes >= ETHERNET_BYTES;
	return f->bytes >= smallest_skb(f) && f->bytes <= TC_FRAME_MAX;
}

static __u32 buckets_of(const struct fixture_sizes *sizes, enum flow_table table)
{
	return sizes->buckets[table] ? sizes->buckets[table] : BUCKETS_DEFAULT;
}

static void size_maps(struct headgate_bpf *s, const struct fixture_sizes *sizes)
{
	const struct {
		struct bpf_map *map;
		__u32 entries;
	} all[] = {
		{s->maps.vips, SERVICES_MAX},
		{s->maps.vip_addresses, SERVICES_MAX},
		{s->maps.reply_addresses, BACKENDS_MAX},
		{s->maps.server_ids, BACKENDS_MAX},
		{s->maps.reply_origins, BACKENDS_MAX},
		{s->maps.services, SERVICES_MAX},
		{s->maps.rows, ROWS_MAX},
		{s->maps.flows, buckets_of(sizes, FLOW_TABLE_FLOWS)},
		{s->maps.source_ports, buckets_of(sizes, FLOW_TABLE_PORTS)},
		{s->maps.sampled_flows, buckets_of(sizes, FLOW_TABLE_SAMPLED)},
		{s->maps.backends, BACKENDS_MAX},
		{s->maps.backend_identities, BACKENDS_MAX},
		{s->maps.service_counters, SERVICES_MAX},
		{s->maps.backend_counters, BACKENDS_MAX},
		{s->maps.measurements, BACKENDS_MAX},
		{s->maps.silent_counters, BACKENDS_MAX},
		{s->maps.shadow_counters, SERVICES_MAX},
		{s->maps.shadow_budgets, SERVICES_MAX},
		{s->maps.shadows, SERVICES_MAX},
		{s->maps.shadow_hosts, BACKENDS_MAX},
		{s->maps.shadow_flows, sizes->shadow_flows ? sizes->shadow_flows : FLOWS_DEFAULT},
		{s->maps.shadow_ports, FLOWS_DEFAULT},
		{s->maps.stash, sizes->stash ? sizes->stash : FLOWS_DEFAULT},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_int_equal(bpf_map__set_max_entries(all[i].map, all[i].entries), 0);
}

/* Keys of every map that is emptied or counted here fit. */
union any_key {
	struct flow_key flow;
	struct source_port_key port;
	struct wanted_neighbour neighbour;
	struct cohort_key cohort;
	struct fragment_key fragment;
	__u8 bytes[64];
};

void map_delete(int map, const void *key)
{
	assert_int_equal(bpf_map_delete_elem(map, key), 0);
}

static void map_empty(int map)
{
	union any_key key;

	while (bpf_map_get_next_key(map, NULL, &key) == 0)
		map_delete(map, &key);
}

__u32 map_entries(int map)
{
	union any_key key;
	__u32 count = 0;

	for (int end = bpf_map_get_next_key(map, NULL, &key); !end; end = bpf_map_get_next_key(map, &key, &key))
		count++;
	return count;
}

void map_set(int map, const void *key, const void *value)
{
	if (bpf_map_update_elem(map, key, value, BPF_ANY))
		fail_msg("cannot fill a map: %s", strerror(errno));
}

/* As the daemon names it, where no other end has its place. */
static __u32 name_of_end(const struct fixture *f, int map, const void *value)
{
	const struct reply_origin *origin = value;

	if (map == f->vips)
		return *(const __u32 *)value;
	if (origin->mode == FORWARD_SHADOW)
		return END_LOOK_UP;
	return END_BACKEND | (origin->mode == FORWARD_DNAT ? END_DNAT : 0) | origin->backend;
}

void map_set_end(struct fixture *f, int map, const struct service_key *key, const void *value)
{
	__u32 place = hash_end(address_fold(&key->address), key->port, key->protocol), zero = 0;
	struct known_ends *known = malloc(sizeof(*known));

	assert_non_null(known);
	assert_int_equal(bpf_map_lookup_elem(f->known_ends, &zero, known), 0);
	/* XDP has the short way for ends that are named; TC has none, and finds them by looking. */
	known->end[place] = fixture_hook == HOOK_XDP && !known->end[place] ? name_of_end(f, map, value) : END_LOOK_UP;
	map_set(f->known_ends, &zero, known);
	map_set(map, key, value);
	free(known);
}

bool map_get(int map, const void *key, void *ret)
{
	return bpf_map_lookup_elem(map, key, ret) == 0;
}

/* An array of any kind: enough zeros for every CPU's value. */
static void zero_array(int map, __u32 entries, size_t bytes)
{
	void *zero = calloc(libbpf_num_possible_cpus(), bytes);

	assert_non_null(zero);
	for (__u32 id = 0; id < entries; id++)
		map_set(map, &id, zero);
	free(zero);
}

static bool is_usual(const struct fixture_sizes *sizes)
{
	static const struct fixture_sizes usual;

	return memcmp(sizes, &usual, sizeof(usual)) == 0;
}

static const struct bpf_map *flow_table_map(const struct fixture *f, enum flow_table table)
{
	const struct bpf_map *const maps[FLOW_TABLES] = {
		[FLOW_TABLE_FLOWS] = f->skeleton->maps.flows,
		[FLOW_TABLE_PORTS] = f->skeleton->maps.source_ports,
		[FLOW_TABLE_SAMPLED] = f->skeleton->maps.sampled_flows,
	};

	return maps[table];
}

/* As the kernel maps it: whole pages. */
static size_t mapped_bytes(const struct bpf_map *map)
{
	size_t bytes = (size_t)bpf_map__value_size(map) * bpf_map__max_entries(map);

	return (bytes + 4095) & ~4095UL;
}

static void *map_memory(const struct bpf_map *map)
{
	void *memory = mmap(NULL, mapped_bytes(map), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static void map_flow_tables(struct fixture *f)
{
	f->flow_tables.layout = map_memory(f->skeleton->maps.flow_layout);
	for (enum flow_table table = 0; table < FLOW_TABLES; table++)
		f->flow_tables.buckets[table] = map_memory(flow_table_map(f, table));
}

static void unmap_flow_tables(struct fixture *f)
{
	munmap(f->flow_tables.layout, mapped_bytes(f->skeleton->maps.flow_layout));
	for (enum flow_table table = 0; table < FLOW_TABLES; table++)
		munmap(f->flow_tables.buckets[table], mapped_bytes(flow_table_map(f, table)));
}

/* What the daemon does before any program runs. */
static void lay_out_flow_tables(struct fixture *f)
{
	*f->flow_tables.layout = (struct flow_layout){
		.secret = 0x123456789abcdef,
		.flow_buckets = bpf_map__max_entries(flow_table_map(f, FLOW_TABLE_FLOWS)),
		.port_buckets = bpf_map__max_entries(flow_table_map(f, FLOW_TABLE_PORTS)),
		.sampled_buckets = bpf_map__max_entries(flow_table_map(f, FLOW_TABLE_SAMPLED)),
	};
}

static struct fixture *load(const struct fixture_sizes *sizes)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct headgate_bpf *s = headgate_bpf__open();
	struct bpf_program *program;

	assert_non_null(f);
	assert_non_null(s);
	size_maps(s, sizes);
	bpf_map__set_autocreate(s->maps.chained, false);
	bpf_object__for_each_program(program, s->obj) if (bpf_program__type(program) == BPF_PROG_TYPE_XDP)
		bpf_program__set_flags(program, BPF_F_XDP_HAS_FRAGS);
	if (headgate_bpf__load(s))
		fail_msg("the program does not load: %s (are you root?)", strerror(errno));
	*f = (struct fixture){
		.skeleton = s,
		.usual = is_usual(sizes),
		.known_ends = bpf_map__fd(s->maps.known_ends),
		.vips = bpf_map__fd(s->maps.vips),
		.vip_addresses = bpf_map__fd(s->maps.vip_addresses),
		.server_ids = bpf_map__fd(s->maps.server_ids),
		.fragments = bpf_map__fd(s->maps.fragments),
		.reply_origins = bpf_map__fd(s->maps.reply_origins),
		.services = bpf_map__fd(s->maps.services),
		.cohorts = bpf_map__fd(s->maps.cohorts),
		.rows = bpf_map__fd(s->maps.rows),
		.sources = bpf_map__fd(s->maps.sources),
		.backends = bpf_map__fd(s->maps.backends),
		.next_hops = bpf_map__fd(s->maps.next_hops),
		.wanted_neighbours = bpf_map__fd(s->maps.wanted_neighbours),
		.devices = bpf_map__fd(s->maps.devices),
		.service_counters = bpf_map__fd(s->maps.service_counters),
		.backend_counters = bpf_map__fd(s->maps.backend_counters),
		.measurements = bpf_map__fd(s->maps.measurements),
		.too_big_budget = bpf_map__fd(s->maps.too_big_budget),
	};
	map_flow_tables(f);
	return f;
}

/* One of the usual sizes that nobody uses, empty: loading takes a second. */
static struct fixture *spare;

struct fixture *fixture_new(const struct fixture_sizes *sizes)
{
	struct fixture *f = is_usual(sizes) ? spare : NULL;

	if (f)
		spare = NULL;
	else
		f = load(sizes);
	f->program = bpf_program__fd(program_of(f->skeleton));
	lay_out_flow_tables(f);
	return f;
}

static void wipe(const struct bpf_map *map)
{
	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		if (!bpf_map__is_internal(map))
			zero_array(bpf_map__fd(map), bpf_map__max_entries(map), bpf_map__value_size(map));
		break;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LPM_TRIE:
	case BPF_MAP_TYPE_DEVMAP_HASH:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		map_empty(bpf_map__fd(map));
		break;
	default: /* the table of programs, and what waits for the daemon */
		break;
	}
}

void fixture_free(struct fixture *f)
{
	struct bpf_map *map;

	if (!f)
		return;
	if (f->usual && !spare) {
		bpf_object__for_each_map(map, f->skeleton->obj) wipe(map);
		spare = f;
		return;
	}
	unmap_flow_tables(f);
	headgate_bpf__destroy(f->skeleton);
	free(f);
}

void fixture_forget(struct fixture *f)
{
	map_empty(f->fragments);
	for (enum flow_table table = 0; table < FLOW_TABLES; table++)
		memset(f->flow_tables.buckets[table], 0, mapped_bytes(flow_table_map(f, table)));
	zero_array(f->too_big_budget, 1, TOO_BIG_BUDGET_BYTES);
}

void fixture_reset(struct fixture *f)
{
	fixture_forget(f);
	map_empty(f->wanted_neighbours);
	map_empty(f->cohorts);
	zero_array(f->service_counters, SERVICES_MAX, sizeof(struct service_counters));
	zero_array(f->backend_counters, BACKENDS_MAX, sizeof(struct backend_counters));
	zero_array(f->measurements, BACKENDS_MAX, sizeof(struct measurements));
}

int fixture_program(const struct fixture *f, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(f->skeleton->obj, name));
}

int fixture_map(const struct fixture *f, const char *name)
{
	return bpf_object__find_map_fd_by_name(f->skeleton->obj, name);
}

static enum outcome outcome_of(int action)
{
	const struct hook_words *hook = &hooks[fixture_hook];

	for (int i = 0; i < VERDICTS; i++) {
		if (hook->verdict[i].action == action)
			return hook->verdict[i].outcome;
	}
	fail_msg("verdict %d of hook %s", action, hook->name);
	return DROPPED;
}

enum outcome fixture_run(struct fixture *f, const struct frame *in, struct frame *ret)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->data, .data_size_in = in->bytes, .data_out = ret->data,
		    .data_size_out = sizeof(ret->data));

	if (bpf_prog_test_run_opts(f->program, &opts))
		fail_msg("test run of %u bytes: %s", in->bytes, strerror(errno));
	ret->bytes = opts.data_size_out;
	f->action = opts.retval;
	return outcome_of(opts.retval);
}

void fixture_fill_row(struct fixture *f, __u32 row, slot_entry entry)
{
	struct row *r = malloc(sizeof(*r));

	assert_non_null(r);
	for (__u32 i = 0; i < SLOTS; i++)
		r->slot[i] = entry;
	map_set(f->rows, &row, r);
	free(r);
}

/* All kinds of counters are nothing but 64-bit counts, a multiple of 8 bytes as the kernel lays CPUs out. */
static void sum_counters(int map, __u32 id, size_t bytes, __u64 *ret)
{
	size_t words = bytes / sizeof(__u64);
	int cpus = libbpf_num_possible_cpus();
	__u64 *all = calloc(cpus, bytes);

	assert_non_null(all);
	assert_true(map_get(map, &id, all));
	for (int cpu = 0; cpu < cpus; cpu++) {
		for (size_t i = 0; i < words; i++)
			ret[i] += all[cpu * words + i];
	}
	free(all);
}

struct service_counters fixture_service_counters(struct fixture *f, __u32 service)
{
	struct service_counters sum = {};

	sum_counters(f->service_counters, service, sizeof(sum), (__u64 *)&sum);
	return sum;
}

struct backend_counters fixture_backend_counters(struct fixture *f, __u32 backend)
{
	struct backend_counters sum = {};

	sum_counters(f->backend_counters, backend, sizeof(sum), (__u64 *)&sum);
	return sum;
}

struct measurements fixture_measurements(struct fixture *f, __u32 backend)
{
	struct measurements sum = {};

	sum_counters(f->measurements, backend, sizeof(sum), (__u64 *)&sum);
	return sum;
}

struct shadow_counters fixture_shadow_counters(struct fixture *f, __u32 service)
{
	struct shadow_counters sum = {};

	sum_counters(bpf_map__fd(f->skeleton->maps.shadow_counters), service, sizeof(sum), (__u64 *)&sum);
	return sum;
}

__u64 fixture_drops(struct fixture *f)
{
	__u64 sum = 0;

	for (__u32 id = 0; id < SERVICES_MAX; id++) {
		struct service_counters c = fixture_service_counters(f, id);

		for (int reason = 0; reason < DROP_REASONS; reason++)
			sum += c.drops[reason];
	}
	return sum;
}
