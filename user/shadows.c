// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadows.h"

#include <errno.h>
#include <string.h>

#include "backends.h"
#include "keep.h"
#include "lookups.h"

#define FLAGS (SERVICE_SHADOW | SERVICE_SHADOW_RULES)
#define FLOW_BATCH 1024U

/* --- the guard --- */

/* An address, or a MAC in that shape. */
struct host {
	struct address address;
	bool shared; /* with who is no shadow */
};

struct hosts {
	struct host *host; /* sorted */
	size_t count;
};

static int compare_hosts(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct address));
}

static struct address mac_as_address(const uint8_t mac[6])
{
	struct address address = {.word[3] = SHADOW_HOST_MAC};

	memcpy(&address, mac, 6);
	return address;
}

static bool mac_is_known(const uint8_t mac[6])
{
	static const uint8_t unknown[6];

	return memcmp(mac, unknown, sizeof(unknown)) != 0;
}

static void mark_shared(struct hosts *hosts, const struct address *address)
{
	struct host *host =
		hosts->count ? bsearch(address, hosts->host, hosts->count, sizeof(*host), compare_hosts) : NULL;

	if (host)
		host->shared = true;
}

/* Whom backends that are no shadows have as address, or are reached by. */
static void mark_production(struct splitter *sp, struct hosts *hosts)
{
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++) {
		const struct backend *b = datapath_backend(sp->datapath, used.id[i]);
		struct address mac = mac_as_address(b->hop[b->hop_active & 1].destination_mac);

		if (backends_is_shadow(sp, used.id[i]))
			continue;
		mark_shared(hosts, &sp->backends[used.id[i]].identity.address);
		mark_shared(hosts, &mac);
	}
}

/* Each once. */
static int gather_hosts(struct splitter *sp, struct hosts *ret)
{
	struct id_list used = backends_used(sp);
	size_t unique = 0;

	ret->host = calloc(2 * (size_t)used.count + 1, sizeof(*ret->host));
	if (!ret->host)
		return -ENOMEM;
	for (uint32_t i = 0; i < used.count; i++) {
		const struct backend_state *b = &sp->backends[used.id[i]];

		if (!backends_is_shadow(sp, used.id[i]))
			continue;
		ret->host[ret->count++].address = b->identity.address;
		if (mac_is_known(b->guarded_mac))
			ret->host[ret->count++].address = mac_as_address(b->guarded_mac);
	}
	qsort(ret->host, ret->count, sizeof(*ret->host), compare_hosts);
	for (size_t i = 0; i < ret->count; i++)
		if (!unique || compare_hosts(&ret->host[unique - 1], &ret->host[i]))
			ret->host[unique++] = ret->host[i];
	ret->count = unique;
	mark_production(sp, ret);
	return 0;
}

static bool is_mac(const struct address *address)
{
	return !address_is_ipv4(address) && address->word[3] == SHADOW_HOST_MAC && !address->word[2];
}

static void set_bit(uint64_t bits[4], uint8_t octet)
{
	bits[octet / 64] |= 1ULL << octet % 64;
}

/* The last octet of an address, or of a MAC. */
static void set_bits(struct shadow_guard *bits, const struct address *address)
{
	const uint8_t *octets = (const uint8_t *)address;

	if (is_mac(address))
		set_bit((uint64_t *)bits->macs, octets[5]);
	else
		set_bit((uint64_t *)bits->addresses, octets[15]);
}

static void write_bits(struct shadow_guard *guard, const struct shadow_guard *bits)
{
	for (size_t i = 0; i < ARRAY_SIZE(bits->macs); i++) {
		__atomic_store_n(&guard->macs[i], bits->macs[i], __ATOMIC_RELEASE);
		__atomic_store_n(&guard->addresses[i], bits->addresses[i], __ATOMIC_RELEASE);
	}
	__atomic_store_n(&guard->on, bits->on, __ATOMIC_RELEASE);
}

static bool host_is_wanted(const void *context, const void *key)
{
	const struct hosts *wanted = context;
	const struct host *host =
		wanted->count ? bsearch(key, wanted->host, wanted->count, sizeof(*host), compare_hosts) : NULL;

	return host && !host->shared;
}

int shadows_refresh_guard(struct splitter *sp)
{
	const uint32_t member = 1;
	struct shadow_guard bits = {};
	struct hosts hosts = {};
	int error = gather_hosts(sp, &hosts);

	/* Who is added is in the set before any bit asks for it, and who leaves is in it until none does. */
	for (size_t i = 0; i < hosts.count && !error; i++) {
		bits.on = 1;
		if (hosts.host[i].shared)
			continue;
		set_bits(&bits, &hosts.host[i].address);
		error = datapath_update(sp->datapath, MAP_SHADOW_HOSTS, &hosts.host[i].address, &member);
	}
	if (!error) {
		write_bits(datapath_shadow_guard(sp->datapath), &bits);
		error = keep_wanted(sp->datapath, MAP_SHADOW_HOSTS, sizeof(struct address), host_is_wanted, &hosts);
	}
	free(hosts.host);
	return error;
}

bool shadows_waits(const struct splitter *sp, uint32_t id)
{
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++)
		if (!backends_is_shadow(sp, used.id[i]) &&
		    address_equal(&sp->backends[used.id[i]].identity.address, &sp->backends[id].identity.address))
			return true;
	return false;
}

/* --- rules --- */

static struct cohort_key rule_key(uint32_t service, const struct prefix *source)
{
	return (struct cohort_key){.prefix_bits = 32 + source->bits, .service = service, .source = source->address};
}

static int write_rules(struct splitter *sp, uint32_t service, const struct shadow_model *shadow)
{
	int error = 0;

	for (size_t i = 0; i < shadow->rule_count && !error; i++) {
		struct cohort_key key = rule_key(service, &shadow->rules[i].source);
		uint32_t rule = shadow->rules[i].rule;

		error = datapath_update(sp->datapath, MAP_SHADOW_RULES, &key, &rule);
	}
	return error;
}

struct wanted_rules {
	const struct splitter *splitter;
	const struct model *model;
};

static bool rule_is_wanted(const void *context, const void *of)
{
	const struct wanted_rules *all = context;
	const struct cohort_key *key = of;

	for (size_t i = 0; i < all->model->service_count; i++) {
		const struct service_model *s = &all->model->services[i];

		if (!s->shadow.rule_count || splitter_service_id(all->splitter, s) != key->service)
			continue;
		for (size_t n = 0; n < s->shadow.rule_count; n++) {
			struct cohort_key wanted = rule_key(key->service, &s->shadow.rules[n].source);

			if (memcmp(&wanted, key, sizeof(wanted)) == 0)
				return true;
		}
	}
	return false;
}

static int delete_other_rules(struct splitter *sp, const struct model *model)
{
	return keep_wanted(sp->datapath, MAP_SHADOW_RULES, sizeof(struct cohort_key), rule_is_wanted,
			   &(struct wanted_rules){sp, model});
}

/* --- a service --- */

static uint32_t flags_of(const struct splitter *sp, const struct shadow_model *shadow, const uint32_t *ids)
{
	bool mirrors = shadow->sample;

	if (!shadow->present || shadow->state != SHADOW_ON)
		return 0;
	for (size_t i = 0; i < shadow->rule_count; i++)
		mirrors |= shadow->rules[i].rule == SHADOW_ALWAYS;
	for (size_t i = 0; i < shadow->backend_count; i++)
		mirrors &= !shadows_waits(sp, ids[i]);
	if (!mirrors)
		return 0;
	return shadow->rule_count ? FLAGS : SERVICE_SHADOW;
}

static void set_flags(struct service *kernel, uint32_t flags)
{
	__atomic_store_n(&kernel->flags, (kernel->flags & ~FLAGS) | flags, __ATOMIC_RELEASE);
}

/* A cap of the whole host: a connection's packets come in on one CPU, and connections on all. */
static uint32_t packets_of_each_cpu(uint32_t packets)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus > 1 ? (packets + cpus - 1) / cpus : packets;
}

/*
 * Whether the flag is set or not: entries are whole before they are counted, and whom they named before lives on until
 * nobody is mirrored there. So a packet that meets both old and new finds shadows only.
 */
static int write_entry(struct splitter *sp, const struct shadow_model *shadow, const uint32_t *ids, struct shadow *e)
{
	if (!shadow->present) {
		/* Connections that go on do so by the rest. */
		__atomic_store_n(&e->backend_count, 0, __ATOMIC_RELEASE);
		return 0;
	}
	if (shadow->backend_count < e->backend_count)
		__atomic_store_n(&e->backend_count, shadow->backend_count, __ATOMIC_RELEASE);
	if (shadow->source_count < e->source_count)
		__atomic_store_n(&e->source_count, shadow->source_count, __ATOMIC_RELEASE);
	for (size_t i = 0; i < shadow->backend_count; i++)
		__atomic_store_n(&e->backend[i], ids[i], __ATOMIC_RELAXED);
	for (size_t i = 0; i < shadow->source_count; i++) {
		uint16_t source = splitter_source_id(sp, &shadow->sources[i]);

		if (!source)
			return -ENOSPC;
		__atomic_store_n(&e->source[i], source, __ATOMIC_RELAXED);
	}
	e->engine = shadow->engine;
	e->traffic_class = shadow->dscp << 2;
	e->packets_per_second = packets_of_each_cpu(shadow->packets_per_second);
	e->stash = shadow->connection_segments;
	__atomic_store_n((uint32_t *)&e->port_min, shadow->port_min | (uint32_t)shadow->port_max << 16,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&e->source_count, shadow->source_count, __ATOMIC_RELEASE);
	__atomic_store_n(&e->backend_count, shadow->backend_count, __ATOMIC_RELEASE);
	return 0;
}

static int find_ids(struct splitter *sp, const struct service_model *s, uint32_t ret_ids[SHADOW_BACKENDS_MAX])
{
	for (size_t i = 0; i < s->shadow.backend_count; i++) {
		struct backend_identity who = backends_identity(s, SHADOW_VARIANT, &s->shadow.backends[i]);

		ret_ids[i] = backends_find(sp, &who);
		if (!ret_ids[i])
			return -ENOENT;
	}
	return 0;
}

static int refresh_service(struct splitter *sp, const struct service_model *s)
{
	uint32_t id = splitter_service_id(sp, s), ids[SHADOW_BACKENDS_MAX];
	struct service *kernel = datapath_service(sp->datapath, id);
	uint32_t flags;
	int error;

	error = find_ids(sp, s, ids);
	if (error)
		return error;
	flags = flags_of(sp, &s->shadow, ids);
	set_flags(kernel, kernel->flags & flags);
	error = write_rules(sp, id, &s->shadow);
	for (size_t i = 0; i < s->shadow.backend_count && !error; i++)
		error = lookups_write_origin(sp, ids[i]);
	if (!error)
		error = write_entry(sp, &s->shadow, ids, datapath_shadow(sp->datapath, id));
	if (error)
		return error;
	__atomic_store_n(&kernel->shadow_sample, s->shadow.sample, __ATOMIC_RELEASE);
	set_flags(kernel, flags);
	return 0;
}

int shadows_refresh(struct splitter *sp, const struct model *model)
{
	int error = shadows_refresh_guard(sp);

	for (size_t i = 0; i < model->service_count && !error; i++)
		error = refresh_service(sp, &model->services[i]);
	return error ? error : delete_other_rules(sp, model);
}

/* --- what left --- */

int shadows_mark_mirrored(struct splitter *sp, bool *ret_backends, bool *ret_services)
{
	const struct limits *limits = datapath_limits(sp->datapath);
	_cleanup_free_ struct flow_key *keys = calloc(FLOW_BATCH, sizeof(*keys));
	_cleanup_free_ struct shadow_flow *flows = calloc(FLOW_BATCH, sizeof(*flows));
	struct datapath_cursor cursor = {};
	int result;

	if (!keys || !flows)
		return -ENOMEM;
	do {
		uint32_t count = FLOW_BATCH;

		result = datapath_batch(sp->datapath, MAP_SHADOW_FLOWS, &cursor, keys, flows, &count);
		for (uint32_t i = 0; i < count && result >= 0; i++) {
			if (ret_backends && flows[i].backend < limits->backends)
				ret_backends[flows[i].backend] = true;
			if (ret_services && keys[i].service < limits->services)
				ret_services[keys[i].service] = true;
		}
	} while (result == 0);
	return result < 0 ? result : 0;
}

void shadows_forget_service(struct splitter *sp, uint32_t service)
{
	memset(datapath_shadow(sp->datapath, service), 0, sizeof(struct shadow));
	datapath_clear_shadow_counters(sp->datapath, service);
}
