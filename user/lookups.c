// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lookups.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backends.h"
#include "keep.h"

static int delete_if_there(struct splitter *sp, enum datapath_map map, const void *key)
{
	int error = datapath_delete(sp->datapath, map, key);

	return error == -ENOENT ? 0 : error;
}

/* --- who answers --- */

static struct service_key origin_key(const struct splitter *sp, uint32_t backend)
{
	const struct backend_identity *identity = &sp->backends[backend].identity;

	return (struct service_key){identity->address, identity->port, identity->protocol, 0};
}

static uint32_t mode_of(struct splitter *sp, uint32_t backend)
{
	if (backends_is_shadow(sp, backend))
		return FORWARD_SHADOW;
	return datapath_service(sp->datapath, datapath_backend(sp->datapath, backend)->service)->mode;
}

/* Whether replies of a backend come by here. A service that is gone is all zero, and its mode says nothing. */
static bool answers_here(struct splitter *sp, uint32_t backend)
{
	const struct service *s = datapath_service(sp->datapath, datapath_backend(sp->datapath, backend)->service);
	uint32_t mode = mode_of(sp, backend);

	return s->vip.port && (mode == FORWARD_SHADOW || forward_sees_replies(mode));
}

/* Of one endpoint's backends of such a mode one owns its source ports, so that they are unique. */
static bool owns_ports(uint32_t mode)
{
	return mode == FORWARD_NAT || mode == FORWARD_SHADOW;
}

/* Another id of the same address, port and protocol whose replies come by here, rather one in use than one that leaves.
 * 0: none. */
static uint32_t find_heir(struct splitter *sp, uint32_t backend, const struct service_key *key)
{
	struct id_list used = backends_used(sp);
	uint32_t leaving = 0;

	for (uint32_t i = 0; i < used.count; i++) {
		uint32_t id = used.id[i];
		struct service_key its = origin_key(sp, id);

		if (id == backend || memcmp(&its, key, sizeof(its)) || !answers_here(sp, id))
			continue;
		if (sp->backends[id].use == ID_USED)
			return id;
		leaving = id;
	}
	return leaving;
}

/* Whether another id whose replies come by here, to be forwarded, has the same address, whatever its port. */
static bool shares_address(struct splitter *sp, uint32_t backend)
{
	const struct address *address = &sp->backends[backend].identity.address;
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++)
		if (used.id[i] != backend && address_equal(&sp->backends[used.id[i]].identity.address, address) &&
		    !backends_is_shadow(sp, used.id[i]) && answers_here(sp, used.id[i]))
			return true;
	return false;
}

/* Takes an origin away, or leaves it to a backend of another variant or service that has it too. */
static int forget_origin(struct splitter *sp, uint32_t backend)
{
	struct service_key key = origin_key(sp, backend);
	struct reply_origin origin;
	const struct backend *heir;
	uint32_t id;
	int error;

	if (datapath_lookup(sp->datapath, MAP_REPLY_ORIGINS, &key, &origin))
		return 0;
	id = find_heir(sp, backend, &key);
	heir = datapath_backend(sp->datapath, id);
	if (!id) {
		error = delete_if_there(sp, MAP_REPLY_ORIGINS, &key);
		return error || shares_address(sp, backend) ? error
							    : delete_if_there(sp, MAP_REPLY_ADDRESSES, &key.address);
	}
	origin.mode = mode_of(sp, id);
	origin.backend = owns_ports(origin.mode) ? heir->endpoint : id;
	return datapath_update(sp->datapath, MAP_REPLY_ORIGINS, &key, &origin);
}

int lookups_write_origin(struct splitter *sp, uint32_t backend)
{
	struct backend *b = datapath_backend(sp->datapath, backend);
	struct service_key key = origin_key(sp, backend);
	struct reply_origin origin = {.backend = backend, .mode = mode_of(sp, backend)}, old;
	bool known = datapath_lookup(sp->datapath, MAP_REPLY_ORIGINS, &key, &old) == 0;
	const uint32_t member = 1;
	int error = 0;

	if (owns_ports(origin.mode) && known && old.mode == origin.mode)
		origin.backend = old.backend;
	b->endpoint = origin.backend;
	if (!answers_here(sp, backend))
		return forget_origin(sp, backend);
	/* A shadow waits for who was a backend there, and inherits from it. */
	if (origin.mode == FORWARD_SHADOW && known && old.mode != origin.mode)
		return 0;
	if (origin.mode != FORWARD_SHADOW)
		error = datapath_update(sp->datapath, MAP_REPLY_ADDRESSES, &key.address, &member);
	return error ?: datapath_update(sp->datapath, MAP_REPLY_ORIGINS, &key, &origin);
}

/* --- addresses --- */

/* The lowest id of a service in force with the address; 0: none. */
static uint32_t address_owner(const struct splitter *sp, const struct address *address)
{
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++)
		if (sp->services[id].use == ID_USED &&
		    address_equal(&datapath_service(sp->datapath, id)->vip.address, address))
			return id;
	return 0;
}

static bool has_owner(const void *context, const void *address)
{
	return address_owner(context, address);
}

static int refresh_addresses(struct splitter *sp)
{
	int error = keep_wanted(sp->datapath, MAP_VIP_ADDRESSES, sizeof(struct address), has_owner, sp);
	uint32_t value;

	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services && !error; id++) {
		const struct address *address = &datapath_service(sp->datapath, id)->vip.address;

		if (sp->services[id].use != ID_USED || address_owner(sp, address) != id)
			continue;
		if (datapath_lookup(sp->datapath, MAP_VIP_ADDRESSES, address, &value) || value != id)
			error = datapath_update(sp->datapath, MAP_VIP_ADDRESSES, address, &id);
	}
	return error;
}

/* --- server ids --- */

struct server_id {
	struct server_id_key key;
	uint32_t backend;
};

struct server_ids {
	struct server_id *ids;
	size_t count;
};

static int compare_ids(const void *one, const void *other)
{
	const struct server_id *a = one, *b = other;
	int order = memcmp(&a->key, &b->key, sizeof(a->key));

	return order ? order : (a->backend > b->backend) - (a->backend < b->backend);
}

static int compare_keys(const void *one, const void *other)
{
	return memcmp(&((const struct server_id *)one)->key, &((const struct server_id *)other)->key,
		      sizeof(struct server_id_key));
}

static size_t count_server_ids(const struct model *model)
{
	size_t count = 0;

	for (size_t i = 0; i < model->service_count; i++)
		for (size_t v = 0; model->services[i].server_id_bytes && v < model->services[i].variant_count; v++)
			count += model->services[i].variants[v].backend_count;
	return count;
}

static void add_server_ids(const struct splitter *sp, const struct service_model *s, const struct variant_model *v,
			   struct server_ids *ret)
{
	uint32_t service = splitter_service_id(sp, s);

	for (size_t i = 0; i < v->backend_count; i++) {
		struct backend_identity who = backends_identity(s, v->name, &v->backends[i].endpoint);
		struct server_id *added = &ret->ids[ret->count++];

		*added = (struct server_id){.key.service = service, .backend = backends_find(sp, &who)};
		memcpy(added->key.server_id, v->backends[i].server_id, sizeof(added->key.server_id));
	}
}

/* Sorted by key, each once: the lowest backend's. */
static int gather_server_ids(const struct splitter *sp, const struct model *model, struct server_ids *ret)
{
	size_t unique = 0;

	ret->ids = calloc(count_server_ids(model) + 1, sizeof(*ret->ids));
	if (!ret->ids)
		return -ENOMEM;
	for (size_t i = 0; i < model->service_count; i++)
		for (size_t v = 0; model->services[i].server_id_bytes && v < model->services[i].variant_count; v++)
			add_server_ids(sp, &model->services[i], &model->services[i].variants[v], ret);
	qsort(ret->ids, ret->count, sizeof(*ret->ids), compare_ids);
	for (size_t i = 0; i < ret->count; i++)
		if (!unique || compare_keys(&ret->ids[unique - 1], &ret->ids[i]))
			ret->ids[unique++] = ret->ids[i];
	ret->count = unique;
	return 0;
}

/* A backend that is leaving still has connections, which nobody else may take over. */
static bool is_leaving(const struct splitter *sp, const struct server_id *id)
{
	const struct limits *limits = datapath_limits(sp->datapath);

	return id->key.service < limits->services && sp->services[id->key.service].use == ID_USED &&
	       id->backend < limits->backends && sp->backends[id->backend].use == ID_LEAVING;
}

struct kept_ids {
	struct splitter *splitter;
	const struct server_ids *wanted;
};

static bool id_is_wanted(const void *context, const void *key)
{
	const struct kept_ids *kept = context;
	struct server_id entry = {.key = *(const struct server_id_key *)key};

	if (datapath_lookup(kept->splitter->datapath, MAP_SERVER_IDS, key, &entry.backend))
		return true; /* it has gone meanwhile */
	return is_leaving(kept->splitter, &entry) ||
	       bsearch(&entry, kept->wanted->ids, kept->wanted->count, sizeof(entry), compare_keys);
}

static int refresh_server_ids(struct splitter *sp, const struct model *model)
{
	struct server_ids wanted = {};
	int error = gather_server_ids(sp, model, &wanted);

	if (!error)
		error = keep_wanted(sp->datapath, MAP_SERVER_IDS, sizeof(struct server_id_key), id_is_wanted,
				    &(struct kept_ids){sp, &wanted});
	for (size_t i = 0; i < wanted.count && !error; i++)
		error = datapath_update(sp->datapath, MAP_SERVER_IDS, &wanted.ids[i].key, &wanted.ids[i].backend);
	free(wanted.ids);
	return error;
}

struct forgotten_backend {
	struct splitter *splitter;
	uint32_t id;
};

static bool is_of_another(const void *context, const void *key)
{
	const struct forgotten_backend *backend = context;
	uint32_t value;

	return datapath_lookup(backend->splitter->datapath, MAP_SERVER_IDS, key, &value) || value != backend->id;
}

static void forget_server_ids(struct splitter *sp, uint32_t backend)
{
	keep_wanted(sp->datapath, MAP_SERVER_IDS, sizeof(struct server_id_key), is_of_another,
		    &(struct forgotten_backend){sp, backend});
}

/* --- all of it --- */

int lookups_refresh(struct splitter *sp, const struct model *model)
{
	int error = refresh_addresses(sp);

	return error ? error : refresh_server_ids(sp, model);
}

void lookups_forget_backend(struct splitter *sp, uint32_t backend)
{
	forget_origin(sp, backend);
	forget_server_ids(sp, backend);
}
