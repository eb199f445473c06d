// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Bringing a model into force: ids first, all of them or none; then tables, each by one store; then what left. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backends.h"
#include "cohorts.h"
#include "drain.h"
#include "lookups.h"
#include "remembered.h"
#include "service.h"
#include "shadows.h"
#include "splitter.h"
#include "table.h"

#define COHORT_RULES_MAX 65536U /* of the map */
#define SHADOW_RULES_ALL 2048U  /* half of the map, as new ones come before old ones go */

/* A service of the model, and where it lives. */
struct placed_service {
	const struct service_model *model;
	uint32_t id;
	bool resets; /* connections whose slot moves are reset, at the service's pace */
	uint64_t now_ns;
	bool fresh;                      /* the id is new, or was another's */
	bool same_tables;                /* as in the model in force, so that nothing need be computed */
	bool unchanged;                  /* wholly as in the model in force: there is nothing to do */
	uint32_t variant[VARIANTS_MAX];  /* index in the kernel, by position in the model */
	uint32_t *backend[VARIANTS_MAX]; /* ids, by position in the model */
	uint32_t shadow[SHADOW_BACKENDS_MAX];
};

struct placement {
	struct placed_service *services;
	size_t count;
	/* Ids that were free, to be free again if anything is refused. */
	uint32_t *taken_backends;
	size_t taken_backend_count;
	bool *backend_placed; /* by id */
};

static void placement_free(struct placement *p)
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
DEFINE_CLEANUP(struct placement, placement_free)

static bool source_known(const struct splitter *sp, const struct address *address)
{
	for (uint32_t id = 1; id < SOURCE_IDS_MAX; id++)
		if (address_equal(&sp->sources[id], address))
			return true;
	return false;
}

static bool same_variant(const struct variant_model *a, const struct variant_model *b)
{
	if (strcmp(a->name, b->name) || a->weight != b->weight || a->backend_count != b->backend_count)
		return false;
	for (size_t i = 0; i < a->backend_count; i++)
		if (!address_equal(&a->backends[i].endpoint.address, &b->backends[i].endpoint.address) ||
		    a->backends[i].endpoint.port != b->backends[i].endpoint.port ||
		    a->backends[i].weight != b->backends[i].weight || a->backends[i].drained != b->backends[i].drained)
			return false;
	return true;
}

static bool same_tables(const struct splitter *sp, const struct service_model *s)
{
	const struct service_model *old = sp->model ? model_find_service(sp->model, s->name) : NULL;

	if (sp->unsure || !old || !address_equal(&old->vip.address, &s->vip.address) || old->vip.port != s->vip.port ||
	    old->protocol != s->protocol || old->forward != s->forward || old->variant_count != s->variant_count)
		return false;
	for (size_t v = 0; v < s->variant_count; v++)
		if (!same_variant(&old->variants[v], &s->variants[v]))
			return false;
	return true;
}

static bool same_bytes(const void *a, const void *b, size_t count, size_t size)
{
	return !count || memcmp(a, b, count * size) == 0;
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

/* --- tables --- */

/*
 * Who of a variant is in rotation: those that are neither drained by command nor out by their health. When health
 * leaves nobody, it is ignored: sending to the sick is better than sending to none. Fills backends[].in_rotation, too.
 */
static size_t choose_rotation(struct splitter *sp, const struct placed_service *s, size_t v, bool *ret_in)
{
	const struct variant_model *variant = &s->model->variants[v];
	size_t count = 0, rotation = 0;

	for (size_t b = 0; b < variant->backend_count; b++) {
		ret_in[b] = !variant->backends[b].drained && !sp->backends[s->backend[v][b]].out;
		count += ret_in[b];
	}
	for (size_t b = 0; b < variant->backend_count; b++) {
		if (!count)
			ret_in[b] = !variant->backends[b].drained;
		sp->backends[s->backend[v][b]].in_rotation = ret_in[b];
		rotation += ret_in[b];
	}
	return rotation;
}

/* A variant's own table: slot -> backend id; all 0 when nobody is in rotation. */
static int variant_table(struct splitter *sp, const struct placed_service *s, size_t v, uint32_t *ret_ids)
{
	const struct variant_model *variant = &s->model->variants[v];
	_cleanup_free_ struct table_backend *backends = calloc(variant->backend_count + 1, sizeof(*backends));
	_cleanup_free_ uint32_t *ids = calloc(variant->backend_count + 1, sizeof(*ids));
	_cleanup_free_ bool *in = calloc(variant->backend_count + 1, sizeof(*in));
	size_t count = 0;
	int error;

	if (!backends || !ids || !in)
		return -ENOMEM;
	if (!choose_rotation(sp, s, v, in)) {
		memset(ret_ids, 0, SLOTS * sizeof(*ret_ids));
		return 0;
	}
	for (size_t b = 0; b < variant->backend_count; b++) {
		if (!in[b])
			continue;
		backends[count].endpoint = variant->backends[b].endpoint;
		backends[count].weight = variant->backends[b].weight;
		ids[count++] = s->backend[v][b];
	}
	error = table_maglev(table_seed(s->model->name), backends, count, ret_ids);
	for (size_t slot = 0; slot < SLOTS && !error; slot++)
		ret_ids[slot] = ids[ret_ids[slot]];
	return error;
}

/* The service's own: flat = maglev[owner(slot)][slot]. */
static int main_table(struct splitter *sp, const struct placed_service *s, uint32_t *ret_ids)
{
	_cleanup_free_ uint32_t *one = calloc(SLOTS, sizeof(*one));
	_cleanup_free_ uint8_t *owner = calloc(SLOTS, sizeof(*owner));
	struct table_variant variants[VARIANTS_MAX];
	int error;

	if (!one || !owner)
		return -ENOMEM;
	for (size_t v = 0; v < s->model->variant_count; v++)
		variants[v] = (struct table_variant){s->model->variants[v].name, s->model->variants[v].weight};
	error = table_owners(table_seed(s->model->name), variants, s->model->variant_count, owner);
	for (size_t v = 0; v < s->model->variant_count && !error; v++) {
		error = variant_table(sp, s, v, one);
		for (size_t slot = 0; slot < SLOTS && !error; slot++)
			if (owner[slot] == v)
				ret_ids[slot] = one[slot];
	}
	return error;
}

static bool row_holds(const struct row *row, const uint32_t *ids)
{
	for (size_t slot = 0; slot < SLOTS; slot++)
		if ((row->slot[slot] & SLOT_BACKEND) != ids[slot])
			return false;
	return true;
}

static int need_deadlines(struct service_state *state, uint32_t index)
{
	if (!state->deadlines[index])
		state->deadlines[index] = calloc(1, sizeof(struct slot_deadlines));
	return state->deadlines[index] ? 0 : -ENOMEM;
}

/*
 * The backends that slots leave: by the policy of this change their connections are reset, at a pace that begins now,
 * or stay, even if an older change was still resetting what it had left. A backend that slots come back to is not
 * asked, as only connections that are not where their slot points are ever reset.
 */
static void decide_resets(struct splitter *sp, const struct placed_service *s, const struct row *old,
			  const uint32_t *ids)
{
	for (size_t slot = 0; slot < SLOTS; slot++) {
		uint32_t id = old->slot[slot] & SLOT_BACKEND;
		struct backend_state *b = &sp->backends[id];

		if (!id || id == ids[slot] || (b->resetting == s->resets && b->reset_began_ns == s->now_ns))
			continue;
		drain_decide(sp, id, s->resets, s->now_ns);
	}
}

/* Puts @ids in force as table @index of a service. Rows are there: apply has seen to it. */
static int install_table(struct splitter *sp, const struct placed_service *s, uint32_t index, const uint32_t *ids,
			 uint32_t now_s, size_t *moved)
{
	struct table *table = splitter_table(sp, s->id, index);
	struct row *old = table->entries ? datapath_row(sp->datapath, table->entries) : NULL;
	bool stateless = s->model->forward != FORWARD_NAT;
	uint32_t row;

	if (old && row_holds(old, ids))
		return 0;
	if (need_deadlines(&sp->services[s->id], index))
		return -ENOMEM;
	if (stateless && old && !table->base)
		table->base = rows_take(sp);
	row = rows_take(sp);
	if (!row || (stateless && old && !table->base))
		return -ENOSPC;
	*moved += slots_change(old, table->base ? datapath_row(sp->datapath, table->base) : NULL, ids, stateless,
			       sp->services[s->id].deadlines[index], now_s + s->model->drain_timeout_s,
			       now_s + s->model->drain_limit_s, datapath_row(sp->datapath, row));
	if (old)
		decide_resets(sp, s, old, ids);
	if (index == TABLE_MAIN) {
		splitter_count_slots(sp, table->entries, -1);
		splitter_count_slots(sp, row, 1);
	}
	table_flip(sp, table, row);
	return 0;
}

static bool variant_has_cohort(const struct service_model *s, size_t v)
{
	for (size_t i = 0; i < s->cohort_count; i++)
		if (strcmp(s->cohorts[i].variant, s->variants[v].name) == 0)
			return true;
	return false;
}

static int install_tables(struct splitter *sp, const struct placed_service *s, uint32_t now_s, size_t *moved)
{
	_cleanup_free_ uint32_t *ids = calloc(SLOTS, sizeof(*ids));
	size_t of_cohorts = 0;
	int error = ids ? 0 : -ENOMEM;

	for (size_t v = 0; v < s->model->variant_count && !error; v++) {
		if (!variant_has_cohort(s->model, v))
			continue;
		error = variant_table(sp, s, v, ids);
		if (!error)
			error = install_table(sp, s, s->variant[v], ids, now_s, &of_cohorts);
	}
	if (error || s->same_tables)
		return error;
	memset(ids, 0, SLOTS * sizeof(*ids));
	error = main_table(sp, s, ids);
	return error ? error : install_table(sp, s, TABLE_MAIN, ids, now_s, moved);
}

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
			wanted |= s->variant[v] == index && variant_has_cohort(s->model, v);
		if (!wanted)
			continue;
		needed += !t->entries;
		needed += t->entries && stateless && !t->base;
	}
	return needed;
}

/* --- what the programs read of a service and its backends --- */

/* @variant: its index in the kernel; VARIANTS_MAX for a shadow. */
static int write_backend(struct splitter *sp, const struct placed_service *s, uint32_t variant, uint32_t id,
			 const struct routes *routes)
{
	const struct backend_identity *identity = &sp->backends[id].identity;
	struct backend *b = datapath_backend(sp->datapath, id);
	struct resolved hop;
	int error;

	sp->backends[id].use = ID_USED;
	if (b->service != s->id || b->variant != variant || b->port != identity->port)
		memset(b, 0, sizeof(*b));
	b->address = identity->address;
	b->port = identity->port;
	b->service = s->id;
	b->variant = variant;
	error = datapath_update(sp->datapath, MAP_BACKEND_IDENTITIES, &id, identity);
	if (error)
		return error;
	splitter_refresh_backend(sp, id, routes, &hop);
	return lookups_write_origin(sp, id);
}

static int write_backends(struct splitter *sp, const struct placed_service *s, const struct routes *routes)
{
	int error = 0;

	for (size_t v = 0; v < s->model->variant_count; v++)
		for (size_t b = 0; b < s->model->variants[v].backend_count && !error; b++)
			error = write_backend(sp, s, s->variant[v], s->backend[v][b], routes);
	for (size_t i = 0; i < s->model->shadow.backend_count && !error; i++)
		error = write_backend(sp, s, VARIANTS_MAX, s->shadow[i], routes);
	return error;
}

/* --- what left --- */

static bool placed(const struct placement *p, uint32_t service)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->services[i].id == service)
			return true;
	return false;
}

static void remove_service(struct splitter *sp, uint32_t id)
{
	struct service_state *state = &sp->services[id];
	struct service *kernel = datapath_service(sp->datapath, id);
	struct service_key key = kernel->vip;
	uint32_t owner;

	/* The address may already be another id's: a service whose mode was changed. */
	if (datapath_lookup(sp->datapath, MAP_VIPS, &key, &owner) == 0 && owner == id)
		datapath_delete(sp->datapath, MAP_VIPS, &key);
	for (size_t i = 0; i < state->cohort_count; i++)
		datapath_delete(sp->datapath, MAP_COHORTS, &state->cohorts[i].key);
	state->cohort_count = 0;
	datapath_quiesce(sp->datapath);
	splitter_count_slots(sp, splitter_table(sp, id, TABLE_MAIN)->entries, -1);
	for (uint32_t index = 0; index < TABLES; index++) {
		struct table *t = splitter_table(sp, id, index);

		rows_give_back(sp, t->entries);
		rows_give_back(sp, t->base);
		memset(t, 0, sizeof(*t));
	}
	state->use = ID_LEAVING;
	state->leaving_since_pass = sp->passes + 1;
}

static void remove_what_left(struct splitter *sp, const struct placement *p)
{
	struct id_list used = backends_used(sp);

	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++)
		if (sp->services[id].use == ID_USED && !placed(p, id))
			remove_service(sp, id);
	for (uint32_t i = 0; i < used.count; i++) {
		struct backend_state *b = &sp->backends[used.id[i]];

		if (b->use != ID_USED || p->backend_placed[used.id[i]])
			continue;
		b->use = ID_LEAVING;
		b->place = 0;
		b->leaving_since_pass = sp->passes + 1;
	}
}

static void note_places(struct splitter *sp, const struct placement *p)
{
	for (size_t i = 0; i < p->count; i++)
		for (size_t v = 0; v < p->services[i].model->variant_count; v++)
			for (size_t b = 0; b < p->services[i].model->variants[v].backend_count; b++)
				sp->backends[p->services[i].backend[v][b]].place = b + 1;
}

/* --- all of it --- */

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

static int place(struct splitter *sp, const struct model *model, struct placement *p, struct refusal *why)
{
	size_t rows = 1; /* one is spare while a table changes */
	int error = 0;

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

static int put_in_force(struct splitter *sp, const struct placed_service *s, const struct routes *routes,
			uint32_t now_s, size_t *moved, struct refusal *why)
{
	struct service_key key;
	int error;

	if (s->unchanged)
		return 0;
	error = service_write(sp, s->id, s->model, s->fresh, why);
	if (error)
		return error;
	key = datapath_service(sp->datapath, s->id)->vip;
	error = write_backends(sp, s, routes);
	if (!error)
		error = install_tables(sp, s, now_s, moved);
	if (!error)
		error = cohorts_apply(sp, s->id, s->model, s->resets, s->now_ns);
	if (!error)
		error = datapath_update(sp->datapath, MAP_VIPS, &key, &s->id);
	if (error)
		return refuse(why, -error, "%s: the kernel's tables cannot be written: %s", s->model->name,
			      strerror(-error));
	sp->services[s->id].stale = false;
	return 0;
}

/* Deadlines of slots that another daemon left tracked count from now. */
static int renew_deadlines(struct splitter *sp, const struct placed_service *s, uint32_t now_s)
{
	struct service_state *state = &sp->services[s->id];

	for (uint32_t index = 0; index < TABLES; index++) {
		const struct table *t = splitter_table(sp, s->id, index);

		if (!t->entries)
			continue;
		if (need_deadlines(state, index))
			return -ENOMEM;
		slots_adopt_deadlines(datapath_row(sp->datapath, t->entries), state->deadlines[index],
				      now_s + s->model->drain_timeout_s, now_s + s->model->drain_limit_s);
	}
	for (size_t i = 0; i < state->cohort_count; i++) {
		state->cohorts[i].deadline_s = now_s + s->model->drain_timeout_s;
		state->cohorts[i].limit_s = now_s + s->model->drain_limit_s;
	}
	return 0;
}

int splitter_apply(struct splitter *sp, struct model *model, const struct routes *routes, uint64_t now_ns,
		   size_t *ret_moved, struct refusal *why)
{
	_cleanup_(placement_freep) struct placement *p = calloc(1, sizeof(*p));
	uint32_t now_s = now_ns / 1000000000;
	bool placed_all;
	size_t moved = 0;
	int error;

	if (!p)
		return refuse(why, ENOMEM, "out of memory");
	error = place(sp, model, p, why);
	placed_all = !error;
	for (size_t i = 0; i < p->count && !error && !sp->model; i++)
		if (!p->services[i].fresh)
			error = renew_deadlines(sp, &p->services[i], now_s);
	for (size_t i = 0; i < p->count; i++) {
		const struct service_model *s = p->services[i].model;

		p->services[i].resets = (s->rollback ? s->on_rollback : s->on_change) == DRAIN_RESET;
		p->services[i].now_ns = now_ns;
	}
	for (size_t i = 0; i < p->count && !error; i++)
		error = put_in_force(sp, &p->services[i], routes, now_s, &moved, why);
	if (!error) {
		remove_what_left(sp, p);
		error = lookups_refresh(sp, model);
		if (!error)
			error = shadows_refresh(sp, model);
		if (error)
			refuse(why, -error, "the kernel's tables cannot be written: %s", strerror(-error));
	}
	sp->unsure = error && placed_all;
	if (error)
		return error;
	note_places(sp, p);
	datapath_quiesce(sp->datapath);
	for (size_t i = 0; i < model->service_count; i++)
		model->services[i].rollback = false;
	model_free(sp->model);
	sp->model = model;
	remembered_prune(sp);
	if (ret_moved)
		*ret_moved = moved;
	return 0;
}
