// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "placement.h"

#include <errno.h>
#include <string.h>

#include "backends.h"

#define COHORT_RULES_MAX 65536U /* of the map */
#define SHADOW_RULES_ALL 2048U  /* half of the map, as new ones come before old ones go */

void placement_free(struct placement *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++)
		for (size_t v = 0; v < VARIANTS_MAX; v++)
			free(p->services[i].backend[v]);
	free(p->services);
	free(p->taken_backends);
	free(p->backend_placed);
	free(p);
}

/* --- what is as it was --- */

static bool same_endpoints(const struct variant_model *a, const struct variant_model *b)
{
	if (a->backend_count != b->backend_count)
		return false;
	for (size_t i = 0; i < a->backend_count; i++)
		if (!address_equal(&a->backends[i].endpoint.address, &b->backends[i].endpoint.address) ||
		    a->backends[i].endpoint.port != b->backends[i].endpoint.port)
			return false;
	return true;
}

static bool same_variant(const struct variant_model *a, const struct variant_model *b)
{
	if (strcmp(a->name, b->name) || a->weight != b->weight || !same_endpoints(a, b))
		return false;
	for (size_t i = 0; i < a->backend_count; i++)
		if (a->backends[i].weight != b->backends[i].weight || a->backends[i].drained != b->backends[i].drained)
			return false;
	return true;
}

static bool same_place(const struct service_model *a, const struct service_model *b)
{
	return address_equal(&a->vip.address, &b->vip.address) && a->vip.port == b->vip.port &&
	       a->protocol == b->protocol && a->forward == b->forward && a->variant_count == b->variant_count;
}

static bool same_bytes(const void *a, const void *b, size_t count, size_t size)
{
	return !count || memcmp(a, b, count * size) == 0;
}

/* Whether there is nothing new to be written of any backend: what changes with routes is splitter_refresh_hops()'s. */
static bool same_backends(const struct splitter *sp, const struct service_model *s)
{
	const struct service_model *old = sp->model ? model_find_service(sp->model, s->name) : NULL;

	if (sp->unsure || !old || !same_place(old, s) || old->shadow.backend_count != s->shadow.backend_count)
		return false;
	for (size_t v = 0; v < s->variant_count; v++) {
		if (strcmp(old->variants[v].name, s->variants[v].name) ||
		    !same_endpoints(&old->variants[v], &s->variants[v]))
			return false;
	}
	return same_bytes(old->shadow.backends, s->shadow.backends, s->shadow.backend_count,
			  sizeof(*s->shadow.backends));
}

static bool same_tables(const struct splitter *sp, const struct service_model *s)
{
	const struct service_model *old = sp->model ? model_find_service(sp->model, s->name) : NULL;

	if (sp->unsure || !old || !same_place(old, s))
		return false;
	for (size_t v = 0; v < s->variant_count; v++)
		if (!same_variant(&old->variants[v], &s->variants[v]))
			return false;
	return true;
}

/* Names no field but pointers and lengths, so that whatever else there is to a model is compared as well. */
static bool is_unchanged(const struct splitter *sp, const struct service_model *s)
{
	const struct service_model *old = sp->model ? model_find_service(sp->model, s->name) : NULL;
	struct service_model was;

	if (sp->unsure || !old || old->variant_count != s->variant_count || old->cohort_count != s->cohort_count ||
	    !same_bytes(old->cohorts, s->cohorts, s->cohort_count, sizeof(*s->cohorts)))
		return false;
	for (size_t v = 0; v < s->variant_count; v++) {
		struct variant_model variant = old->variants[v];

		if (variant.backend_count != s->variants[v].backend_count ||
		    !same_bytes(variant.backends, s->variants[v].backends, variant.backend_count,
				sizeof(*variant.backends)))
			return false;
		variant.backends = s->variants[v].backends;
		if (!same_bytes(&variant, &s->variants[v], 1, sizeof(variant)))
			return false;
	}
	was = *old;
	was.variants = s->variants;
	was.cohorts = s->cohorts;
	was.rollout = s->rollout; /* nothing of a plan is in force */
	was.rollback = s->rollback;
	return same_bytes(&was, s, 1, sizeof(was));
}

/* --- ids --- */

static uint32_t free_service_id(const struct splitter *sp)
{
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++)
		if (sp->services[id].use == ID_FREE)
			return id;
	return 0;
}

/* The id of a backend. 0: all ids are taken. */
static uint32_t place_backend(struct splitter *sp, struct placement *p, const struct placed_service *s,
			      const char *variant, const struct endpoint *endpoint)
{
	struct backend_identity identity = backends_identity(s->model, variant, endpoint);
	uint32_t *taken, id;

	id = backends_find(sp, &identity);
	if (id)
		return id;
	taken = reallocarray(p->taken_backends, p->taken_backend_count + 1, sizeof(*taken));
	if (!taken)
		return 0;
	p->taken_backends = taken;
	id = backends_take(sp, &identity);
	if (id)
		taken[p->taken_backend_count++] = id;
	return id;
}

/* A variant's index: the one it has, else one that no variant has. VARIANTS_MAX: none left until a draining one is
 * gone. */
static uint32_t place_variant(struct service_state *s, const char *name)
{
	uint32_t free_index = VARIANTS_MAX;

	for (uint32_t i = 0; i < VARIANTS_MAX; i++) {
		if (strcmp(s->variant[i], name) == 0)
			return i;
		if (free_index == VARIANTS_MAX && !s->variant[i][0])
			free_index = i;
	}
	if (free_index < VARIANTS_MAX)
		snprintf(s->variant[free_index], NAME_SIZE, "%s", name);
	return free_index;
}

static int refuse_ids(struct refusal *why, const char *what, const char *key)
{
	return refuse(
		why, ENOSPC,
		"no %s left: raise limits.%s in the configuration, then `headgate detach` and start headgated again",
		what, key);
}

static int place_variant_backends(struct splitter *sp, struct placement *p, struct placed_service *s, size_t v,
				  struct refusal *why)
{
	const struct variant_model *variant = &s->model->variants[v];

	s->variant[v] = place_variant(&sp->services[s->id], variant->name);
	if (s->variant[v] == VARIANTS_MAX)
		return refuse(why, EBUSY,
			      "%s has no room for variant %s until the connections of a removed one have drained; see "
			      "`headgate services %s`",
			      s->model->name, variant->name, s->model->name);
	s->backend[v] = calloc(variant->backend_count + 1, sizeof(uint32_t));
	if (!s->backend[v])
		return refuse(why, ENOMEM, "out of memory");
	for (size_t b = 0; b < variant->backend_count; b++) {
		s->backend[v][b] = place_backend(sp, p, s, variant->name, &variant->backends[b].endpoint);
		if (!s->backend[v][b])
			return refuse_ids(why, "ids for backends", "backends");
		p->backend_placed[s->backend[v][b]] = true;
	}
	return 0;
}

static int place_shadow(struct splitter *sp, struct placement *p, struct placed_service *s, struct refusal *why)
{
	const struct shadow_model *shadow = &s->model->shadow;

	for (size_t i = 0; i < shadow->backend_count; i++) {
		s->shadow[i] = place_backend(sp, p, s, SHADOW_VARIANT, &shadow->backends[i]);
		if (!s->shadow[i])
			return refuse_ids(why, "ids for backends", "backends");
		p->backend_placed[s->shadow[i]] = true;
	}
	return 0;
}

static int place_service(struct splitter *sp, struct placement *p, struct placed_service *s, struct refusal *why)
{
	int error = 0;

	s->id = splitter_service_id(sp, s->model);
	if (!s->id) {
		s->id = free_service_id(sp);
		if (!s->id)
			return refuse_ids(why, "ids for services", "services");
		s->fresh = true;
		sp->services[s->id].use = ID_USED;
	}
	s->same_tables = !sp->services[s->id].stale && same_tables(sp, s->model);
	s->same_backends = same_backends(sp, s->model);
	s->unchanged = s->same_tables && is_unchanged(sp, s->model);
	for (size_t v = 0; v < s->model->variant_count && !error; v++)
		error = place_variant_backends(sp, p, s, v, why);
	return error ? error : place_shadow(sp, p, s, why);
}

/* Nothing of a refused model stays behind. */
static void unplace(struct splitter *sp, const struct placement *p)
{
	for (size_t i = 0; i < p->taken_backend_count; i++)
		backends_drop(sp, p->taken_backends[i]);
	for (size_t i = 0; i < p->count; i++) {
		if (p->services[i].fresh)
			memset(&sp->services[p->services[i].id], 0, sizeof(struct service_state));
		else if (p->services[i].id)
			splitter_forget_variants(sp, p->services[i].id);
	}
}

/* --- room --- */

/* Rows that a service may need more of than it has: a new table, the base of one that begins to move. */
static size_t rows_needed(struct splitter *sp, const struct placed_service *s)
{
	bool stateless = s->model->forward != FORWARD_NAT;
	size_t needed = 0;

	for (uint32_t index = 0; index < TABLES; index++) {
		bool wanted = index == TABLE_MAIN;
		const struct table none = {};
		const struct table *t = s->fresh ? &none : splitter_table(sp, s->id, index);

		for (size_t v = 0; v < s->model->variant_count; v++)
			wanted |= s->variant[v] == index && install_for_cohort(s->model, v);
		if (!wanted)
			continue;
		needed += !t->entries;
		needed += t->entries && stateless && !t->base;
	}
	return needed;
}

static bool source_known(const struct splitter *sp, const struct address *address)
{
	for (uint32_t id = 1; id < SOURCE_IDS_MAX; id++)
		if (address_equal(&sp->sources[id], address))
			return true;
	return false;
}

/* What would be found out half-way is found out here: NAT sources and cohort rules that do not fit. */
static int check_room(const struct splitter *sp, const struct model *model, struct refusal *why)
{
	size_t sources = 0, rules = 0, shadow_rules = 0, free_sources = 0;

	for (uint32_t id = 1; id < SOURCE_IDS_MAX; id++)
		free_sources += address_is_zero(&sp->sources[id]);
	for (size_t i = 0; i < model->service_count; i++) {
		rules += model->services[i].cohort_count;
		for (size_t n = 0; n < model->services[i].source_count; n++)
			sources += !source_known(sp, &model->services[i].sources[n]);
		shadow_rules += model->services[i].shadow.rule_count;
		for (size_t n = 0; n < model->services[i].shadow.source_count; n++)
			sources += !source_known(sp, &model->services[i].shadow.sources[n]);
	}
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++)
		rules += sp->services[id].cohort_count;
	if (sources > free_sources)
		return refuse(why, ENOSPC,
			      "%zu new source addresses, and room for %zu; use fewer, or run `headgate "
			      "detach` and start headgated again",
			      sources, free_sources);
	if (rules > COHORT_RULES_MAX)
		return refuse(why, ENOSPC, "more than %u cohort rules in all (those on their way out count)",
			      COHORT_RULES_MAX);
	if (shadow_rules > SHADOW_RULES_ALL)
		return refuse(why, ENOSPC, "more than %u prefixes that are always or never mirrored, in all",
			      SHADOW_RULES_ALL);
	return 0;
}

int placement_make(struct splitter *sp, const struct model *model, struct placement **ret, struct refusal *why)
{
	struct placement *p = calloc(1, sizeof(*p));
	size_t rows = 1; /* one is spare while a table changes */
	int error = 0;

	*ret = p;
	if (!p)
		return refuse(why, ENOMEM, "out of memory");
	p->services = calloc(model->service_count + 1, sizeof(*p->services));
	p->backend_placed = calloc(datapath_limits(sp->datapath)->backends, sizeof(*p->backend_placed));
	if (!p->services || !p->backend_placed)
		return refuse(why, ENOMEM, "out of memory");
	for (size_t i = 0; i < model->service_count && !error; i++) {
		p->services[i].model = &model->services[i];
		p->count++;
		error = place_service(sp, p, &p->services[i], why);
		if (!error)
			rows += rows_needed(sp, &p->services[i]);
	}
	if (!error)
		error = check_room(sp, model, why);
	if (!error && rows > rows_left(sp))
		error = refuse_ids(why, "slot tables", "slot_tables");
	if (error)
		unplace(sp, p);
	return error;
}
