// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "remembered.h"

#include <errno.h>
#include <string.h>

#include "backends.h"
#include "keep.h"
#include "figures.h"

static struct variant_key key_of(const char *service, const char *variant)
{
	struct variant_key key = {};

	snprintf(key.service, sizeof(key.service), "%s", service);
	snprintf(key.variant, sizeof(key.variant), "%s", variant);
	return key;
}

/* Zeros where there is no entry. */
static int look_up(struct splitter *sp, const struct variant_key *key, struct remembered_counts *ret)
{
	int error = datapath_lookup(sp->datapath, MAP_REMEMBERED, key, ret);

	if (error != -ENOENT)
		return error;
	*ret = (struct remembered_counts){};
	return 0;
}

int remembered_read(struct splitter *sp, const char *service, const char *variant, struct measured *ret)
{
	struct variant_key key = key_of(service, variant);
	struct remembered_counts counts;
	int error = look_up(sp, &key, &counts);

	if (error)
		return error;
	*ret = (struct measured){counts.traffic, counts.sampled, counts.silent, 0};
	return 0;
}

static int free_id(struct splitter *sp, uint32_t id)
{
	const struct backend_counters no_traffic = {};
	const struct measurements nothing_sampled = {};
	const struct silent_counters no_silence = {};
	const struct backend_identity nobody = {};
	int error = datapath_set_backend_counters(sp->datapath, id, &no_traffic);

	if (!error)
		error = datapath_set_measurements(sp->datapath, id, &nothing_sampled);
	if (!error)
		error = datapath_update(sp->datapath, MAP_SILENT_COUNTERS, &id, &no_silence);
	if (!error)
		error = datapath_update(sp->datapath, MAP_BACKEND_IDENTITIES, &id, &nobody);
	if (!error)
		memset(datapath_backend(sp->datapath, id), 0, sizeof(struct backend));
	return error;
}

/*
 * A daemon may be killed between any two writes. The sum and the id whose counts it now includes are one write: before
 * it the counts are the id's, after it the id holds nothing that counts, and whoever finds @moving set frees it.
 */
static int add_to(struct splitter *sp, uint32_t id, struct remembered_counts *counts)
{
	struct measured sum = {counts->traffic, counts->sampled, counts->silent, 0}, one;
	int error = figures_of_backend(sp, id, &one);

	if (error)
		return error;
	measured_add(&sum, &one);
	counts->traffic = sum.traffic;
	counts->sampled = sum.sampled;
	counts->silent = sum.silent;
	counts->moving = id;
	return 0;
}

/* The id that was moved is free again. */
static int end_move(struct splitter *sp, const struct variant_key *key, struct remembered_counts *counts)
{
	uint32_t id = counts->moving;
	int error = free_id(sp, id);

	if (error)
		return error;
	counts->moving = 0;
	error = datapath_update(sp->datapath, MAP_REMEMBERED, key, counts);
	if (!error)
		backends_free(sp, id);
	return error;
}

static bool in_model(const struct splitter *sp, const struct variant_key *key)
{
	const struct service_model *s = sp->model ? model_find_service(sp->model, key->service) : NULL;

	return s && service_find_variant(s, key->variant) >= 0;
}

/* The variant is in the model, or has a backend that drains. */
static bool is_remembered(const void *context, const void *of)
{
	const struct splitter *sp = context;
	const struct variant_key *key = of;

	return in_model(sp, key) || backends_of(sp, key->service, key->variant).count;
}

void remembered_prune(struct splitter *sp)
{
	keep_wanted(sp->datapath, MAP_REMEMBERED, sizeof(struct variant_key), is_remembered, sp);
}

static int take(struct splitter *sp, uint32_t id, const struct variant_key *key)
{
	struct remembered_counts counts;
	int error = look_up(sp, key, &counts);

	if (!error && counts.moving)
		error = end_move(sp, key, &counts);
	if (!error)
		error = add_to(sp, id, &counts);
	if (!error)
		error = datapath_update(sp->datapath, MAP_REMEMBERED, key, &counts);
	if (error)
		return error;
	backends_drop(sp, id);
	sp->backends[id].use = ID_MOVED;
	end_move(sp, key, &counts);
	return 0;
}

int remembered_take(struct splitter *sp, uint32_t id)
{
	const struct backend_identity *identity = &sp->backends[id].identity;
	struct variant_key key = key_of(identity->service, identity->variant);
	int error;

	if (in_model(sp, &key))
		return take(sp, id, &key);
	error = free_id(sp, id);
	if (!error)
		backends_drop(sp, id);
	return error;
}

int remembered_adopt(struct splitter *sp)
{
	struct variant_key key, *previous = NULL, next;
	struct remembered_counts counts;
	int error = 0;

	while (!error && datapath_next_key(sp->datapath, MAP_REMEMBERED, previous, &next) == 0) {
		key = next;
		previous = &key;
		error = datapath_lookup(sp->datapath, MAP_REMEMBERED, &key, &counts);
		if (!error && counts.moving >= datapath_limits(sp->datapath)->backends)
			error = -EINVAL;
		if (!error && counts.moving)
			error = end_move(sp, &key, &counts);
	}
	return error;
}
