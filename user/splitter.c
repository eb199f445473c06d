// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is in the kernel, taken over or begun; its ids and rows. */
#include "splitter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backends.h"
#include "hash.h"
#include "keep.h"
#include "remembered.h"
#include "sweep.h"
#include "variant_tables.h"

struct table *splitter_table(struct splitter *sp, uint32_t service, uint32_t index)
{
	struct service *s = datapath_service(sp->datapath, service);

	return index == TABLE_MAIN ? &s->main : &s->variant[index];
}

/* --- rows --- */

enum { ROW_FREE, ROW_IN_USE, ROW_RESTING };

size_t rows_left(const struct splitter *sp)
{
	size_t left = 0;

	for (uint32_t i = 1; i < datapath_limits(sp->datapath)->rows; i++)
		left += sp->row_used[i] != ROW_IN_USE;
	return left;
}

static uint32_t find_row(const struct splitter *sp, uint8_t state)
{
	for (uint32_t i = 1; i < datapath_limits(sp->datapath)->rows; i++)
		if (sp->row_used[i] == state)
			return i;
	return ROW_NONE;
}

void splitter_quiesce(struct splitter *sp)
{
	datapath_quiesce(sp->datapath);
	for (uint32_t i = 1; i < datapath_limits(sp->datapath)->rows; i++)
		if (sp->row_used[i] == ROW_RESTING)
			sp->row_used[i] = ROW_FREE;
}

uint32_t rows_take(struct splitter *sp)
{
	uint32_t row = find_row(sp, ROW_FREE);

	if (row == ROW_NONE && find_row(sp, ROW_RESTING) != ROW_NONE) {
		splitter_quiesce(sp);
		row = find_row(sp, ROW_FREE);
	}
	if (row != ROW_NONE)
		sp->row_used[row] = ROW_IN_USE;
	return row;
}

void rows_give_back(struct splitter *sp, uint32_t row)
{
	if (row != ROW_NONE)
		sp->row_used[row] = ROW_RESTING;
}

void table_flip(struct splitter *sp, struct table *t, uint32_t row)
{
	uint32_t old = t->entries;

	/* The row's contents before its number. */
	__atomic_store_n(&t->entries, row, __ATOMIC_RELEASE);
	rows_give_back(sp, old);
}

/* --- ids --- */

uint32_t splitter_source_id(struct splitter *sp, const struct address *address)
{
	uint32_t free_id = 0;

	for (uint32_t id = 1; id < SOURCE_IDS_MAX; id++) {
		if (address_equal(&sp->sources[id], address))
			return id;
		if (!free_id && address_is_zero(&sp->sources[id]))
			free_id = id;
	}
	if (!free_id || datapath_update(sp->datapath, MAP_SOURCES, &free_id, address))
		return 0;
	sp->sources[free_id] = *address;
	return free_id;
}

bool splitter_port_of_flow(struct splitter *sp, const struct flow_key *key, const struct flow *f, struct flow_copy *ret)
{
	struct source_port_key port_key;

	if (f->backend >= datapath_limits(sp->datapath)->backends || f->source >= SOURCE_IDS_MAX)
		return false;
	port_key = (struct source_port_key){
		.endpoint = datapath_backend(sp->datapath, f->backend)->endpoint,
		.source_fold = address_fold(&sp->sources[f->source]),
		.port = f->source_port,
	};
	return flow_tables_find_port(datapath_flow_tables(sp->datapath), &port_key, key, f->source, ret);
}

static bool vip_equals(const struct service_key *key, const struct service_model *s)
{
	return address_equal(&key->address, &s->vip.address) && key->port == htons(s->vip.port) &&
	       key->protocol == s->protocol;
}

uint32_t splitter_service_id(const struct splitter *sp, const struct service_model *s)
{
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++) {
		const struct service *kernel = datapath_service(sp->datapath, id);

		if (sp->services[id].use == ID_USED && vip_equals(&kernel->vip, s) && kernel->mode == s->forward)
			return id;
	}
	return 0;
}

void splitter_count_slots(struct splitter *sp, uint32_t row, int by)
{
	const struct row *r = row == ROW_NONE ? NULL : datapath_row(sp->datapath, row);
	uint32_t limit = datapath_limits(sp->datapath)->backends;
	struct backend_state *backends = sp->backends;

	for (uint32_t slot = 0; r && slot < SLOTS; slot++) {
		uint32_t id = r->slot[slot] & SLOT_BACKEND;

		if (id < limit)
			backends[id].slots += by;
	}
}

void splitter_forget_variants(struct splitter *sp, uint32_t service)
{
	struct service_state *s = &sp->services[service];
	const struct service_model *model = sp->model ? model_find_service(sp->model, s->name) : NULL;

	for (uint32_t index = 0; index < VARIANTS_MAX; index++) {
		bool used = model && service_find_variant(model, s->variant[index]) >= 0;

		if (used || backends_of(sp, s->name, s->variant[index]).count)
			continue;
		s->variant[index][0] = '\0';
		variant_tables_forget_one(sp, service, index);
	}
}

/* --- taking over --- */

static int adopt_sources(struct splitter *sp)
{
	int error = 0;

	for (uint32_t id = 1; id < SOURCE_IDS_MAX && !error; id++)
		error = datapath_lookup(sp->datapath, MAP_SOURCES, &id, &sp->sources[id]);
	return error;
}

static void adopt_row(struct splitter *sp, uint32_t row)
{
	if (row != ROW_NONE && row < datapath_limits(sp->datapath)->rows)
		sp->row_used[row] = ROW_IN_USE;
}

/* Names of services and of their variants, by index: the ids of their backends have them. */
static void adopt_names(struct splitter *sp)
{
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++) {
		const struct backend *b = datapath_backend(sp->datapath, used.id[i]);
		const struct backend_identity *identity = &sp->backends[used.id[i]].identity;
		struct service_state *s;

		if (b->service >= datapath_limits(sp->datapath)->services || b->variant >= VARIANTS_MAX)
			continue;
		s = &sp->services[b->service];
		if (s->use != ID_USED)
			continue;
		strcpy(s->variant[b->variant], identity->variant);
		strcpy(s->name, identity->service);
	}
}

static int adopt_services(struct splitter *sp)
{
	struct service_key key, *previous = NULL, next;
	uint32_t id;
	int error;

	while (datapath_next_key(sp->datapath, MAP_VIPS, previous, &next) == 0) {
		key = next;
		previous = &key;
		error = datapath_lookup(sp->datapath, MAP_VIPS, &key, &id);
		if (error)
			return error;
		if (id >= datapath_limits(sp->datapath)->services)
			return -EINVAL;
		sp->services[id].use = ID_USED;
		splitter_count_slots(sp, splitter_table(sp, id, TABLE_MAIN)->entries, 1);
		for (uint32_t index = 0; index < TABLES; index++) {
			struct table *t = splitter_table(sp, id, index);

			/* A daemon that was killed in the midst of a change: its first, nothing is tracked yet. */
			if (t->base == t->entries)
				t->base = ROW_NONE;
			adopt_row(sp, t->entries);
			adopt_row(sp, t->base);
		}
	}
	adopt_names(sp);
	/* An id that is in no use, yet was: its flows, if any are left, go with the first sweep. */
	for (id = 1; id < datapath_limits(sp->datapath)->services; id++)
		if (sp->services[id].use == ID_FREE && datapath_service(sp->datapath, id)->vip.port)
			sp->services[id].use = ID_LEAVING;
	return 0;
}

static bool variant_is_named(const struct splitter *sp, const struct backend_identity *of)
{
	struct id_list siblings = backends_of(sp, of->service, of->variant);

	for (uint32_t i = 0; i < siblings.count; i++)
		if (sp->backends[siblings.id[i]].slots)
			return true;
	return false;
}

/*
 * A backend that no slot names while others of its variant are named was taken out, by its health or by command. The
 * first keeps it out until its checks are good again; the second the model says.
 */
static void adopt_rotation(struct splitter *sp)
{
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++) {
		struct backend_state *b = &sp->backends[used.id[i]];

		b->out = !b->slots && variant_is_named(sp, &b->identity);
	}
}

static int adopt_cohort(struct splitter *sp, const struct cohort_key *key)
{
	struct cohort_state state = {.key = *key};
	struct cohort_state *cohorts;
	struct service_state *s;
	int error = datapath_lookup(sp->datapath, MAP_COHORTS, key, &state.value);

	if (error)
		return error;
	if (key->service >= datapath_limits(sp->datapath)->services)
		return -EINVAL;
	s = &sp->services[key->service];
	cohorts = reallocarray(s->cohorts, s->cohort_count + 1, sizeof(*cohorts));
	if (!cohorts)
		return -ENOMEM;
	s->cohorts = cohorts;
	s->cohorts[s->cohort_count++] = state;
	return 0;
}

static int adopt_cohorts(struct splitter *sp)
{
	struct cohort_key key, *previous = NULL, next;
	int error = 0;

	while (!error && datapath_next_key(sp->datapath, MAP_COHORTS, previous, &next) == 0) {
		key = next;
		previous = &key;
		error = adopt_cohort(sp, &key);
	}
	return error;
}

static int compare_hops(const void *a, const void *b)
{
	return memcmp(&((const struct hop_entry *)a)->key, &((const struct hop_entry *)b)->key,
		      sizeof(struct next_hop_key));
}

int splitter_adopt_hops(struct splitter *sp)
{
	struct next_hop_key key, *previous = NULL, next;
	struct hop_entry *hops;

	sp->hop_count = 0;
	while (datapath_next_key(sp->datapath, MAP_NEXT_HOPS, previous, &next) == 0) {
		key = next;
		previous = &key;
		hops = reallocarray(sp->hops, sp->hop_count + 1, sizeof(*hops));
		if (!hops)
			return -ENOMEM;
		sp->hops = hops;
		hops[sp->hop_count].key = key;
		if (datapath_lookup(sp->datapath, MAP_NEXT_HOPS, &key, &hops[sp->hop_count].value) == 0)
			sp->hop_count++;
	}
	if (sp->hop_count)
		qsort(sp->hops, sp->hop_count, sizeof(*sp->hops), compare_hops);
	return 0;
}

static int adopt(struct splitter *sp)
{
	int error = remembered_adopt(sp);

	if (!error)
		error = backends_adopt(sp);
	if (!error)
		error = adopt_sources(sp);
	if (!error)
		error = adopt_services(sp);
	if (!error)
		error = adopt_cohorts(sp);
	if (!error)
		error = splitter_adopt_hops(sp);
	if (!error)
		adopt_rotation(sp);
	return error;
}

int splitter_create(struct datapath *dp, struct splitter **ret)
{
	_cleanup_(splitter_destroyp) struct splitter *sp = calloc(1, sizeof(*sp));
	const struct limits *limits = datapath_limits(dp);
	int error;

	if (!sp)
		return -ENOMEM;
	sp->datapath = dp;
	sp->services = calloc(limits->services, sizeof(*sp->services));
	sp->backends = calloc(limits->backends, sizeof(*sp->backends));
	sp->used = calloc(limits->backends, sizeof(*sp->used));
	sp->first_free = 1;
	sp->row_used = calloc(limits->rows, sizeof(*sp->row_used));
	sp->sources = calloc(SOURCE_IDS_MAX, sizeof(*sp->sources));
	if (!sp->services || !sp->backends || !sp->used || !sp->row_used || !sp->sources)
		return -ENOMEM;
	error = sweep_create(&sp->sweep);
	if (!error)
		error = adopt(sp);
	if (error)
		return error;
	*ret = TAKE_PTR(sp);
	return 0;
}

void splitter_destroy(struct splitter *sp)
{
	if (!sp)
		return;
	for (uint32_t id = 0; sp->services && id < datapath_limits(sp->datapath)->services; id++) {
		for (uint32_t index = 0; index < TABLES; index++) {
			free(sp->services[id].deadlines[index]);
			free(sp->services[id].disagreeing[index]);
		}
		free(sp->services[id].cohorts);
		variant_tables_forget(sp, id);
	}
	free(sp->spare_table);
	sweep_destroy(sp->sweep);
	model_free(sp->model);
	free(sp->services);
	free(sp->backends);
	free(sp->used);
	free(sp->row_used);
	free(sp->sources);
	free(sp->hops);
	free(sp->warnings);
	free(sp);
}

int splitter_set_interfaces(struct splitter *sp, const uint32_t *ifindexes, size_t count)
{
	if (count > ARRAY_SIZE(sp->ifindex))
		return -E2BIG;
	for (size_t i = 0; i < count; i++)
		if (datapath_update(sp->datapath, MAP_DEVICES, &ifindexes[i], &ifindexes[i]))
			return -EINVAL;
	memcpy(sp->ifindex, ifindexes, count * sizeof(*ifindexes));
	sp->ifindex_count = count;
	keep_interfaces(sp->datapath, MAP_DEVICES, ifindexes, count);
	return 0;
}
