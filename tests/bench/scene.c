// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "scene.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bucket.h"
#include "config.h"
#include "datapath.h"
#include "hash.h"
#include "pins.h"
#include "splitter.h"

#define PINS "/mnt/headgate"
#define LOOPBACK 1 /* ifindex that test runs' frames come in on */
#define SOURCES 16U
#define MANY 1000000U
#define SOME 100000U

/* Those of docs/configuration.md. */
static const struct limits usual_limits = {.half_open = 65536, .established = 262144};

struct scene {
	struct datapath *datapath;
	struct splitter *splitter;
	struct bpf_object *loaded[2];
	uint32_t loaded_count;
};

static const struct {
	const char *name, *forward, *more;
	bool ipv6, tracked;
	uint32_t backends; /* 0: one */
	uint32_t flows;    /* known ones */
} services[SCENE_SERVICES] = {
	[NAT4] = {"nat4", "nat", .flows = MANY},
	[NAT6] = {"nat6", "nat", .ipv6 = true, .flows = SOME},
	[NAT4_SHADOW] = {"nat4-shadow", "nat", .flows = 1000,
			 .more = "shadow: {backends: [10.0.0.77:8000], sample: 10}"},
	[NAT4_SHADOW_ALL] = {"nat4-shadow-all", "nat", .flows = 1000,
			     .more = "shadow: {backends: [10.0.0.78:8000], sample: 100}"},
	[NAT4_FLOOD] = {"nat4-flood", "nat", .backends = 4},
	[DNAT4] = {"dnat4", "dnat", .flows = MANY},
	[DNAT6] = {"dnat6", "dnat", .ipv6 = true, .flows = SOME},
	[DNAT4_UNMEASURED] = {"dnat4-unmeasured", "dnat"},
	[L2DSR4] = {"l2dsr4", "l2dsr"},
	[L2DSR6] = {"l2dsr6", "l2dsr", .ipv6 = true},
	[IPIP4] = {"ipip4", "ipip"},
	[IPIP6] = {"ipip6", "ipip", .ipv6 = true},
	[GUE4] = {"gue4", "gue"},
	[GUE6] = {"gue6", "gue", .ipv6 = true},
	[DNAT4_TRACKED] = {"dnat4-tracked", "dnat", .tracked = true, .flows = SOME},
	[L2DSR4_TRACKED] = {"l2dsr4-tracked", "l2dsr", .tracked = true, .flows = SOME},
	[IPIP4_TRACKED] = {"ipip4-tracked", "ipip", .tracked = true, .flows = MANY},
	[GUE4_TRACKED] = {"gue4-tracked", "gue", .tracked = true, .flows = SOME},
	[IPIP4_BACKENDS_1] = {"ipip4-backends-1", "ipip"},
	[IPIP4_BACKENDS_100] = {"ipip4-backends-100", "ipip", .backends = 100},
	[IPIP4_BACKENDS_1000] = {"ipip4-backends-1000", "ipip", .backends = 1000},
	[IPIP4_SPREAD] = {"spread-0", "ipip"},
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

static struct address address_of(const char *text)
{
	struct address a = {};

	if (address_parse(text, &a))
		die(text, "is no address");
	return a;
}

bool scene_is_ipv6(enum scene_service service)
{
	return services[service].ipv6;
}

bool scene_is_nat(enum scene_service service)
{
	return strcmp(services[service].forward, "nat") == 0;
}

uint16_t scene_port(enum scene_service service)
{
	return service == IPIP4_SPREAD ? SCENE_SPREAD_PORT : 1000 + service;
}

/* --- the configuration --- */

/* Backend @i of a service, the first one 0. On the link where they must be. */
static const char *backend_address(enum scene_service service, uint32_t i, char text[ADDRESS_TEXT_SIZE])
{
	bool on_link = strcmp(services[service].forward, "l2dsr") == 0;

	if (services[service].ipv6)
		snprintf(text, ADDRESS_TEXT_SIZE, on_link ? "fd00::%x:%x" : "fd01::%x:%x", service + 1, i + 1);
	else if (on_link)
		snprintf(text, ADDRESS_TEXT_SIZE, "10.0.0.%u", 100 + 4 * service + i);
	else
		snprintf(text, ADDRESS_TEXT_SIZE, "10.%u.%u.%u", 16 + service, i / 250, i % 250 + 1);
	return text;
}

static void write_backends(FILE *out, enum scene_service service, uint32_t first, uint32_t count)
{
	struct endpoint e = {.port = scene_port(service)};
	char text[ADDRESS_TEXT_SIZE];

	for (uint32_t i = first; i < first + count; i++) {
		e.address = address_of(backend_address(service, i, text));
		fprintf(out, "%s\"%s\"", i > first ? ", " : "", endpoint_format(&e.address, e.port, text));
	}
}

static void write_service(FILE *out, enum scene_service service, bool moved)
{
	uint32_t backends = services[service].backends ? services[service].backends : 1;
	const char *more = services[service].more;

	fprintf(out, "  %s:\n    address: \"%s\"\n    port: %u\n    forward: %s\n    variants:\n",
		services[service].name, services[service].ipv6 ? SCENE_VIP6 : SCENE_VIP4, scene_port(service),
		services[service].forward);
	fprintf(out, "      blue: {weight: %d, backends: [", !(services[service].tracked && moved));
	write_backends(out, service, 0, backends);
	fprintf(out, "]}\n");
	if (services[service].tracked) {
		fprintf(out, "      green: {weight: %d, backends: [", moved);
		write_backends(out, service, backends, backends);
		fprintf(out, "]}\n");
	}
	if (scene_is_nat(service)) {
		struct address source = address_of(services[service].ipv6 ? SCENE_SOURCE6 : SCENE_SOURCE4);
		char text[ADDRESS_TEXT_SIZE];

		fprintf(out, "    nat: {ports: 1024-65535, sources: [");
		for (uint32_t i = 0; i < SOURCES; i++) {
			fprintf(out, "%s\"%s\"", i ? ", " : "", address_format(&source, text));
			source.word[3] = htonl(ntohl(source.word[3]) + 1);
		}
		fprintf(out, "]}\n");
	}
	if (more)
		fprintf(out, "    %s\n", more);
}

/* @moved: those services that are to be tracked have moved all their weight. */
static struct model *model_of(bool moved)
{
	struct problems problems = {};
	struct model *model = NULL;
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		die("configuration", strerror(errno));
	fprintf(out,
		"interfaces: [eth0]\nlimits: {services: 1100, backends: 2400, slot_tables: 2200, half_open: 65536, "
		"flows: 4000000}\nservices:\n");
	for (enum scene_service service = 0; service < SCENE_SERVICES; service++)
		write_service(out, service, moved);
	for (uint32_t i = 1; i < SCENE_SPREAD; i++)
		fprintf(out,
			"  spread-%u: {address: " SCENE_VIP4 ", port: %u, forward: ipip, variants: {blue: {weight: 1, "
			"backends: [10.200.%u.%u:%u]}}}\n",
			i, SCENE_SPREAD_PORT + i, i / 250, i % 250 + 1, SCENE_SPREAD_PORT + i);
	fclose(out);
	if (config_parse("bench", text, length, &problems, &model))
		die("configuration", problems.text ? problems.text : "cannot be read");
	return model;
}

const char *scene_backend_address(enum scene_service service)
{
	static char text[SCENE_SERVICES][ADDRESS_TEXT_SIZE];

	return backend_address(service, 0, text[service]);
}

/* --- the host --- */

static void add_neighbour(struct routes *r, const char *address, uint8_t mac)
{
	r->neighbours[r->neighbour_count++] = (struct neighbour_info){
		.address = address_of(address),
		.ifindex = LOOPBACK,
		.mac = {2, 0, 0, 0, 1, mac},
	};
}

static void add_network(struct routes *r, const char *own, uint32_t bits, const char *gateway)
{
	struct address address = address_of(own), network = address;

	if (bits == 64)
		network.word[2] = network.word[3] = 0;
	else
		network.word[3] &= htonl(0xffffff00);
	r->addresses[r->address_count++] = (struct local_address){address, bits, LOOPBACK};
	r->routes[r->route_count++] = (struct route_info){.destination = {network, bits}, .ifindex = LOOPBACK};
	if (bits == 64)
		memset(&network, 0, sizeof(network));
	else
		network = address_of("0.0.0.0");
	r->routes[r->route_count++] = (struct route_info){
		.destination = {network, bits == 64 ? 0 : 96}, .gateway = address_of(gateway), .ifindex = LOOPBACK};
}

/* One interface, and a router on the way to everybody else but the shadows. */
static struct routes *routes_of_host(void)
{
	struct routes *r = calloc(1, sizeof(*r));
	char text[ADDRESS_TEXT_SIZE];

	if (!r)
		die("routes", strerror(errno));
	r->links = calloc(1, sizeof(*r->links));
	r->addresses = calloc(2, sizeof(*r->addresses));
	r->routes = calloc(4, sizeof(*r->routes));
	r->neighbours = calloc(4 + 2 * SCENE_SERVICES, sizeof(*r->neighbours));
	if (!r->links || !r->addresses || !r->routes || !r->neighbours)
		die("routes", strerror(errno));
	r->links[r->link_count++] = (struct link_info){LOOPBACK, "eth0", {2, 0, 0, 0, 0, 1}, .mtu = 1500, .up = true};
	add_network(r, "10.0.0.1", 96 + 24, "10.0.0.254");
	add_network(r, "fd00::1", 64, "fd00::fe");
	add_neighbour(r, "10.0.0.254", 1);
	add_neighbour(r, "fd00::fe", 2);
	add_neighbour(r, "10.0.0.77", 3);
	add_neighbour(r, "10.0.0.78", 4);
	for (enum scene_service service = 0; service < SCENE_SERVICES; service++)
		for (uint32_t i = 0; i < 2 && strcmp(services[service].forward, "l2dsr") == 0; i++)
			add_neighbour(r, backend_address(service, i, text), 5 + 2 * service + i);
	routes_sort(r);
	return r;
}

static void apply(struct scene *scene, bool moved)
{
	_cleanup_(routes_freep) struct routes *routes = routes_of_host();
	struct refusal why;

	if (splitter_apply(scene->splitter, model_of(moved), routes, 1000000000, NULL, &why))
		die("configuration", why.text);
	if (splitter_refresh_hops(scene->splitter, routes, NULL, NULL))
		die("next hops", strerror(errno));
	if (scene->splitter->warnings)
		die("configuration", scene->splitter->warnings);
}

/* --- flows --- */

static uint32_t id_of(struct scene *scene, enum scene_service service)
{
	return splitter_service_id(scene->splitter, model_find_service(scene->splitter->model, services[service].name));
}

static uint32_t backend_of(struct scene *scene, enum scene_service service)
{
	const struct service *s = datapath_service(scene->datapath, id_of(scene, service));
	uint32_t row = services[service].tracked ? s->main.base : s->main.entries;

	return datapath_row(scene->datapath, row)->slot[0] & SLOT_BACKEND;
}

static struct address nth(const char *first, uint32_t n)
{
	struct address a = address_of(first);

	a.word[3] = htonl(ntohl(a.word[3]) + n);
	return a;
}

/* The client of flow @n, as the wrapper numbers them. */
static struct flow_key key_of(enum scene_service service, uint32_t id, uint32_t n)
{
	return (struct flow_key){
		.client = nth(services[service].ipv6 ? SCENE_CLIENT6 : SCENE_CLIENT4, n >> 14),
		.port = htons(SCENE_PORT_FIRST + (n & 0x3fff)),
		.service = id,
	};
}

static uint32_t tick(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec * 1000000000ULL + now.tv_nsec) >> TICK_SHIFT;
}

/* Where an entry of a flow table is to be written, which is kept from now on. */
static void *take(struct scene *scene, enum flow_table table, uint64_t hash)
{
	const struct flow_tables *t = datapath_flow_tables(scene->datapath);
	struct place place = place_of(hash, flow_table_buckets(t, table));
	struct bucket_tags *tags = flow_table_tags(t, table, place.bucket);
	uint32_t at = place.first;

	for (uint32_t free = 0; free < BUCKET_ENTRIES && tags->tag[at]; free++)
		at = free;
	if (tags->tag[at])
		die("flows", "a bucket is full");
	tags->tag[at] = TAG_USED | TAG_KEPT | place.print;
	return flow_table_entry(t, table, place.bucket, at);
}

static uint64_t hash_of(struct scene *scene, const struct flow_key *key)
{
	return hash_flow(datapath_flow_tables(scene->datapath)->layout->secret, key);
}

static void write_flow(struct scene *scene, const struct flow_key *key, const struct flow *flow)
{
	struct flow_entry entry = {.key = *key, .flow = *flow};

	memcpy(take(scene, FLOW_TABLE_FLOWS, hash_of(scene, key)), &entry, sizeof(entry));
}

static void add_nat_flow(struct scene *scene, const struct flow_key *key, uint32_t backend, bool ipv6, uint32_t n)
{
	struct address address = nth(ipv6 ? SCENE_SOURCE6 : SCENE_SOURCE4, n % SOURCES);
	__be16 port = htons(SCENE_NAT_PORT_FIRST + n / SOURCES);
	struct flow flow = {
		.backend = backend,
		.seen = tick(),
		.opened = tick(),
		.source = splitter_source_id(scene->splitter, &address),
		.source_port = port,
	};
	struct source_port_key port_key = {
		.endpoint = datapath_backend(scene->datapath, backend)->endpoint,
		.source_fold = address_fold(&address),
		.port = port,
	};
	struct source_port value = {
		.flow = *key,
		.backend = backend,
		.seen = tick(),
		.flags = FLOW_REPLIED | FLOW_ESTABLISHED,
		.source = flow.source,
	};

	write_flow(scene, key, &flow);
	value.port = port;
	memcpy(take(scene, FLOW_TABLE_PORTS, hash_source_port(&port_key)), &value, sizeof(value));
}

static void add_tracked_flow(struct scene *scene, const struct flow_key *key, uint32_t backend)
{
	struct flow flow = {.backend = backend, .seen = tick(), .opened = tick()};

	write_flow(scene, key, &flow);
}

static void add_sampled_flow(struct scene *scene, const struct service *s, const struct flow_key *key, uint32_t backend)
{
	struct sampled_entry entry = {
		.key = *key,
		.flow = {.backend = backend, .seen = tick(), .flags = FLOW_REPLIED | FLOW_ESTABLISHED},
	};

	if (!(hash_client(s->seed, &key->client, key->port) & s->measure_mask))
		memcpy(take(scene, FLOW_TABLE_SAMPLED, hash_of(scene, key)), &entry, sizeof(entry));
}

static void add_flows(struct scene *scene, enum scene_service service)
{
	uint32_t id = id_of(scene, service), backend = backend_of(scene, service);
	const struct service *s = datapath_service(scene->datapath, id);

	for (uint32_t n = 0; n < services[service].flows; n++) {
		struct flow_key key = key_of(service, id, n);

		if (s->mode == FORWARD_NAT)
			add_nat_flow(scene, &key, backend, services[service].ipv6, n);
		if (services[service].tracked)
			add_tracked_flow(scene, &key, backend);
		if (s->mode == FORWARD_DNAT)
			add_sampled_flow(scene, s, &key, backend);
	}
}

/* --- all of it --- */

struct scene *scene_open(void)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	_cleanup_(model_freep) struct model *model = model_of(false);
	struct refusal why;

	if (!scene || unshare(CLONE_NEWNS | CLONE_NEWNET) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bpf", "/mnt", "bpf", 0, NULL))
		die("namespaces (are you root?)", strerror(errno));
	if (datapath_open(PINS, &model->limits, &scene->datapath, &why))
		die("data path", why.text);
	if (splitter_create(scene->datapath, &scene->splitter) ||
	    splitter_set_interfaces(scene->splitter, &(uint32_t){LOOPBACK}, 1))
		die("splitter", strerror(errno));
	datapath_shadow_guard(scene->datapath)->mirror = LOOPBACK;
	if (datapath_set_mirror(scene->datapath, 0, LOOPBACK, LOOPBACK))
		die("mirror", strerror(errno));
	apply(scene, false);
	apply(scene, true);
	for (enum scene_service service = 0; service < SCENE_SERVICES; service++)
		add_flows(scene, service);
	datapath_service(scene->datapath, id_of(scene, DNAT4_UNMEASURED))->measure_mask = UINT32_MAX;
	return scene;
}

uint32_t scene_use_usual_tables(struct scene *scene, bool usual)
{
	const struct limits *made_for = usual ? &usual_limits : datapath_limits(scene->datapath);
	const struct flow_tables *t = datapath_flow_tables(scene->datapath);

	t->layout->flow_buckets = flow_buckets_for(made_for->established + made_for->half_open);
	t->layout->port_buckets = t->layout->flow_buckets;
	t->layout->sampled_buckets = sampled_buckets_for(made_for->established);
	return flow_table_entries(t, FLOW_TABLE_FLOWS);
}

void scene_close(struct scene *scene)
{
	for (uint32_t i = 0; i < scene->loaded_count; i++)
		bpf_object__close(scene->loaded[i]);
	splitter_destroy(scene->splitter);
	datapath_close(scene->datapath);
	free(scene);
}

/* As the daemon does when it takes over what is pinned. */
static void share_maps(struct bpf_object *object)
{
	struct bpf_program *program;
	struct bpf_map *map;

	bpf_object__for_each_program(program, object)
	{
		if (bpf_program__type(program) == BPF_PROG_TYPE_XDP)
			bpf_program__set_flags(program, BPF_F_XDP_HAS_FRAGS);
		else
			bpf_program__set_autoload(program, false);
	}
	bpf_object__for_each_map(map, object)
	{
		_cleanup_close_ int fd = -1;
		const char *name = bpf_map__name(map);

		if (strcmp(name, "chained") == 0 || strcmp(name, "tc_parts") == 0)
			bpf_map__set_autocreate(map, false);
		if (strcmp(name, "tc_parts") == 0) /* libbpf 1.1 would fill it all the same */
			bpf_map__set_type(map, BPF_MAP_TYPE_ARRAY);
		if (bpf_map__is_internal(map) || !bpf_map__autocreate(map) || strcmp(name, "xdp_parts") == 0)
			continue;
		fd = pins_open_map(PINS, name);
		if (fd < 0 || bpf_map__reuse_fd(map, fd))
			die(name, "is not as this build has it");
	}
}

int scene_load(struct scene *scene, const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);

	if (!object)
		die(path, strerror(errno));
	share_maps(object);
	if (bpf_object__load(object))
		die(path, strerror(errno));
	scene->loaded[scene->loaded_count++] = object;
	return bpf_program__fd(bpf_object__find_program_by_name(object, "headgate_xdp"));
}

uint64_t scene_forwarded(struct scene *scene)
{
	uint32_t count = datapath_limits(scene->datapath)->backends;
	_cleanup_free_ struct backend_counters *all = NULL;
	uint64_t sum = 0;

	if (datapath_all_backend_counters(scene->datapath, count, &all))
		die("counters", "cannot be read");
	for (uint32_t id = 0; id < count; id++)
		sum += all[id].client_packets + all[id].server_packets;
	return sum;
}

uint64_t scene_dropped(struct scene *scene)
{
	uint32_t count = datapath_limits(scene->datapath)->services;
	uint64_t sum = 0;

	for (uint32_t id = 1; id < count; id++) {
		struct service_counters counters;

		if (datapath_service_counters(scene->datapath, id, &counters))
			die("counters", "cannot be read");
		for (int reason = 0; reason < DROP_REASONS; reason++)
			sum += counters.drops[reason];
	}
	return sum;
}

void scene_show_shadows(struct scene *scene, bool any)
{
	datapath_shadow_guard(scene->datapath)->on = any;
}
