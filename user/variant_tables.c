// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "variant_tables.h"

#include <errno.h>
#include <string.h>

#include "backends.h"
#include "table.h"

struct variant_table {
	uint32_t seed;
	/* Whom it is made of. */
	struct table_backend *backends;
	uint32_t *ids;
	size_t count;
	uint32_t slot[SLOTS];
};

/* Who is in rotation. */
struct rotation {
	struct table_backend *backends;
	uint32_t *ids;
	size_t count;
};

static void rotation_clear(struct rotation *r)
{
	free(r->backends);
	free(r->ids);
}

static int find_rotation(const struct splitter *sp, const struct variant_model *variant, const uint32_t *ids,
			 struct rotation *ret)
{
	ret->backends = calloc(variant->backend_count + 1, sizeof(*ret->backends));
	ret->ids = calloc(variant->backend_count + 1, sizeof(*ret->ids));
	if (!ret->backends || !ret->ids)
		return -ENOMEM;
	for (size_t b = 0; b < variant->backend_count; b++) {
		if (!sp->backends[ids[b]].in_rotation)
			continue;
		ret->backends[ret->count].endpoint = variant->backends[b].endpoint;
		ret->backends[ret->count].weight = variant->backends[b].weight;
		ret->ids[ret->count++] = ids[b];
	}
	return 0;
}

static bool is_made_of(const struct variant_table *t, uint32_t seed, const struct rotation *r)
{
	return t->ids && t->seed == seed && t->count == r->count &&
	       memcmp(t->ids, r->ids, r->count * sizeof(*r->ids)) == 0 &&
	       memcmp(t->backends, r->backends, r->count * sizeof(*r->backends)) == 0;
}

static void table_clear(struct variant_table *t)
{
	free(t->backends);
	free(t->ids);
	t->backends = NULL;
	t->ids = NULL;
}

/* Takes @r over. */
static int table_make(struct variant_table *t, uint32_t seed, struct rotation *r)
{
	int error = r->count ? table_maglev(seed, r->backends, r->count, t->slot) : 0;

	table_clear(t);
	if (error)
		return error;
	if (!r->count)
		memset(t->slot, 0, sizeof(t->slot));
	for (size_t slot = 0; slot < SLOTS && r->count; slot++)
		t->slot[slot] = r->ids[t->slot[slot]];
	t->seed = seed;
	t->count = r->count;
	t->backends = TAKE_PTR(r->backends);
	t->ids = TAKE_PTR(r->ids);
	return 0;
}

static uint32_t index_of(const struct splitter *sp, uint32_t service, const char *variant)
{
	uint32_t index = 0;

	while (index < VARIANTS_MAX && strcmp(sp->services[service].variant[index], variant))
		index++;
	return index;
}

/* Where a variant's is kept; one place for all that are not. NULL: out of memory. */
static struct variant_table *place_for(struct splitter *sp, uint32_t service, const char *variant)
{
	uint32_t index = index_of(sp, service, variant);
	bool kept = index < VARIANTS_MAX && sp->variant_table_count < VARIANT_TABLES_MAX;
	struct variant_table **place = &sp->spare_table;

	if (index < VARIANTS_MAX && sp->services[service].own_table[index])
		return sp->services[service].own_table[index];
	if (kept)
		place = &sp->services[service].own_table[index];
	if (!*place) {
		*place = calloc(1, sizeof(**place));
		sp->variant_table_count += *place && kept;
	}
	return *place;
}

const uint32_t *variant_table(struct splitter *sp, uint32_t service, const struct service_model *s, size_t v,
			      const uint32_t *ids)
{
	_cleanup_(rotation_clear) struct rotation rotation = {};
	uint32_t seed = table_seed(s->name);
	struct variant_table *t;

	if (find_rotation(sp, &s->variants[v], ids, &rotation))
		return NULL;
	t = place_for(sp, service, s->variants[v].name);
	if (!t || (!is_made_of(t, seed, &rotation) && table_make(t, seed, &rotation)))
		return NULL;
	return t->slot;
}

/* --- before they are needed --- */

static void make_one(struct splitter *sp, uint32_t service, const struct service_model *s, size_t v)
{
	const struct variant_model *variant = &s->variants[v];
	_cleanup_free_ uint32_t *ids = calloc(variant->backend_count + 1, sizeof(*ids));

	for (size_t b = 0; ids && b < variant->backend_count; b++) {
		struct backend_identity who = backends_identity(s, variant->name, &variant->backends[b].endpoint);

		ids[b] = backends_find(sp, &who);
	}
	if (ids)
		variant_table(sp, service, s, v, ids);
}

bool variant_tables_warm(struct splitter *sp)
{
	for (size_t i = 0; i < sp->model->service_count; i++) {
		const struct service_model *s = &sp->model->services[i];
		uint32_t service = splitter_service_id(sp, s);

		for (size_t v = 0; v < s->variant_count && sp->variant_table_count < VARIANT_TABLES_MAX; v++) {
			uint32_t index = index_of(sp, service, s->variants[v].name);

			if (index == VARIANTS_MAX || sp->services[service].own_table[index])
				continue;
			make_one(sp, service, s, v);
			return sp->services[service].own_table[index];
		}
	}
	return false;
}

/* --- forgetting --- */

void variant_tables_forget_one(struct splitter *sp, uint32_t service, uint32_t index)
{
	struct variant_table **t = &sp->services[service].own_table[index];

	if (!*t)
		return;
	table_clear(*t);
	free(*t);
	*t = NULL;
	sp->variant_table_count--;
}

void variant_tables_forget(struct splitter *sp, uint32_t service)
{
	for (uint32_t index = 0; index < VARIANTS_MAX; index++)
		variant_tables_forget_one(sp, service, index);
}
