// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "install.h"

#include <errno.h>
#include <string.h>

#include "backends.h"
#include "drain.h"
#include "placement.h"
#include "table.h"
#include "variant_tables.h"

/* --- computing --- */

/*
 * Those that are neither drained by command nor out by their health. When health leaves nobody of a variant, it is
 * ignored: sending to the sick is better than sending to none.
 */
static void choose_rotation(struct splitter *sp, const struct variant_model *variant, const uint32_t *ids)
{
	size_t count = 0;

	for (size_t b = 0; b < variant->backend_count; b++) {
		sp->backends[ids[b]].in_rotation = !variant->backends[b].drained && !sp->backends[ids[b]].out;
		count += sp->backends[ids[b]].in_rotation;
	}
	for (size_t b = 0; b < variant->backend_count && !count; b++)
		sp->backends[ids[b]].in_rotation = !variant->backends[b].drained;
}

void install_choose_rotation(struct splitter *sp, const struct placed_service *s)
{
	for (size_t v = 0; v < s->model->variant_count; v++)
		choose_rotation(sp, &s->model->variants[v], s->backend[v]);
}

/* The one variant that has weight; @variant_count when there are several. */
static size_t only_owner(const struct service_model *s)
{
	size_t owner = s->variant_count;

	for (size_t v = 0; v < s->variant_count; v++) {
		if (!s->variants[v].weight)
			continue;
		if (owner < s->variant_count)
			return s->variant_count;
		owner = v;
	}
	return owner;
}

/* flat = maglev[owner(slot)][slot] */
static int flatten(struct splitter *sp, const struct placed_service *s, uint32_t *ret_ids)
{
	_cleanup_free_ uint8_t *owner = calloc(SLOTS, sizeof(*owner));
	struct table_variant variants[VARIANTS_MAX];
	int error;

	if (!owner)
		return -ENOMEM;
	for (size_t v = 0; v < s->model->variant_count; v++)
		variants[v] = (struct table_variant){s->model->variants[v].name, s->model->variants[v].weight};
	error = table_owners(table_seed(s->model->name), variants, s->model->variant_count, owner);
	for (size_t v = 0; v < s->model->variant_count && !error; v++) {
		const uint32_t *one;

		if (!variants[v].weight)
			continue;
		one = variant_table(sp, s->id, s->model, v, s->backend[v]);
		if (!one)
			return -ENOMEM;
		for (size_t slot = 0; slot < SLOTS; slot++)
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

/* --- one table --- */

static struct row *row_of(struct splitter *sp, uint32_t row)
{
	return row == ROW_NONE ? NULL : datapath_row(sp->datapath, row);
}

static bool is_stateless(const struct placed_service *s)
{
	return s->model->forward != FORWARD_NAT;
}

/* Takes what a table needs besides its contents. */
static int begin(struct splitter *sp, const struct placed_service *s, uint32_t index, struct installation *new)
{
	const struct table *table = splitter_table(sp, s->id, index);
	struct slot_deadlines **deadlines = &sp->services[s->id].deadlines[index];

	new->old_row = table->entries;
	new->old_is_base = is_stateless(s) && table->entries != ROW_NONE && table->base == ROW_NONE;
	new->row = rows_take(sp);
	if (new->row == ROW_NONE)
		return -ENOSPC;
	if (*deadlines)
		return 0;
	/* Not cleared yet, as half a megabyte each is noticed where many services change at once. */
	new->first_deadlines = malloc(sizeof(**deadlines));
	if (!new->first_deadlines)
		rows_give_back(sp, new->row);
	return new->first_deadlines ? 0 : -ENOMEM;
}

static int prepare(struct splitter *sp, const struct placed_service *s, uint32_t index, const uint32_t *ids,
		   struct installation *ret)
{
	const struct table *table = splitter_table(sp, s->id, index);
	struct row *old = row_of(sp, table->entries);
	struct installation new = {};
	int error;

	if (old && row_holds(old, ids))
		return 0;
	error = begin(sp, s, index, &new);
	if (error)
		return error;
	new.moved_slots =
		slots_change(old, row_of(sp, table->base), ids, is_stateless(s), datapath_row(sp->datapath, new.row));
	*ret = new;
	return 0;
}

/*
 * Whether every slot moves, from one backend to another, with nothing tracked before: blue/green. No slot names a
 * backend that is to be named, and each names some.
 */
static bool all_move(struct splitter *sp, const struct placed_service *s, size_t owner)
{
	const struct variant_model *variant = &s->model->variants[owner];
	const struct table *table = splitter_table(sp, s->id, TABLE_MAIN);
	struct id_list ids = backends_of(sp, s->model->name, NULL);
	uint32_t named = 0, rotation = 0;

	for (size_t b = 0; b < variant->backend_count; b++) {
		if (sp->backends[s->backend[owner][b]].slots)
			return false;
		rotation += sp->backends[s->backend[owner][b]].in_rotation;
	}
	for (uint32_t i = 0; i < ids.count; i++)
		named += sp->backends[ids.id[i]].slots;
	return rotation && named == SLOTS && table->base == ROW_NONE;
}

/* What is in force need not be read for that, which takes longer than all else when it is of many services. */
static int prepare_whole(struct splitter *sp, struct placed_service *s, const uint32_t *ids)
{
	struct installation new = {.moved_slots = SLOTS, .whole = true};
	int error = begin(sp, s, TABLE_MAIN, &new);

	if (error)
		return error;
	slots_fill(ids, is_stateless(s), datapath_row(sp->datapath, new.row));
	s->main = new;
	return 0;
}

/*
 * The backends that slots leave: by the policy of this change their connections are reset, at a pace that begins now,
 * or stay, even if an older change was still resetting what it had left. A backend that slots come back to is not
 * asked, as only connections that are not where their slot points are ever reset.
 */
static void decide_resets(struct splitter *sp, const struct placed_service *s, const struct installation *new)
{
	const struct row *old = row_of(sp, new->old_row), *row = datapath_row(sp->datapath, new->row);

	for (size_t slot = 0; old && slot < SLOTS; slot++) {
		uint32_t id = old->slot[slot] & SLOT_BACKEND;
		struct backend_state *b = &sp->backends[id];

		if (!id || id == (row->slot[slot] & SLOT_BACKEND) ||
		    (b->resetting == s->resets && b->reset_began_ns == s->now_ns))
			continue;
		drain_decide(sp, id, s->resets, s->now_ns);
	}
}

static bool any_is_resetting(struct splitter *sp, uint32_t service)
{
	struct id_list ids = backends_of(sp, sp->services[service].name, NULL);

	for (uint32_t i = 0; i < ids.count; i++)
		if (sp->backends[ids.id[i]].resetting || datapath_backend(sp->datapath, ids.id[i])->reset_below)
			return true;
	return false;
}

static void flip(struct splitter *sp, const struct placed_service *s, uint32_t index, const struct installation *new)
{
	struct table *table = splitter_table(sp, s->id, index);

	/* Who is to stay must not be reset for a moment by what an older change has decided. */
	if (!s->resets && any_is_resetting(sp, s->id))
		decide_resets(sp, s, new);
	if (new->old_is_base) {
		/* Where nothing is tracked nobody reads the base. */
		table->base = table->entries;
		__atomic_store_n(&table->entries, new->row, __ATOMIC_RELEASE);
	} else {
		table_flip(sp, table, new->row);
	}
}

static void note(struct splitter *sp, const struct placed_service *s, uint32_t index, const struct installation *new,
		 uint32_t now_s)
{
	struct slot_deadlines **deadlines = &sp->services[s->id].deadlines[index];

	uint32_t deadline_s = now_s + s->model->drain_timeout_s, limit_s = now_s + s->model->drain_limit_s;

	if (new->first_deadlines)
		*deadlines = new->first_deadlines;
	if (new->first_deadlines && !new->whole)
		memset(*deadlines, 0, sizeof(**deadlines));
	if (new->whole)
		slots_fill_deadlines(is_stateless(s), *deadlines, deadline_s, limit_s);
	else
		slots_set_deadlines(row_of(sp, new->old_row), datapath_row(sp->datapath, new->row), *deadlines,
				    deadline_s, limit_s);
	if (s->resets)
		decide_resets(sp, s, new);
}

/* --- a service --- */

bool install_for_cohort(const struct service_model *s, size_t v)
{
	for (size_t i = 0; i < s->cohort_count; i++)
		if (strcmp(s->cohorts[i].variant, s->variants[v].name) == 0)
			return true;
	return false;
}

static int install_cohort_table(struct splitter *sp, const struct placed_service *s, size_t v, uint32_t now_s)
{
	const uint32_t *ids = variant_table(sp, s->id, s->model, v, s->backend[v]);
	struct installation new = {};
	int error = ids ? prepare(sp, s, s->variant[v], ids, &new) : -ENOMEM;

	if (error || new.row == ROW_NONE)
		return error;
	flip(sp, s, s->variant[v], &new);
	note(sp, s, s->variant[v], &new, now_s);
	return 0;
}

int install_cohort_tables(struct splitter *sp, const struct placed_service *s, uint32_t now_s)
{
	int error = 0;

	for (size_t v = 0; v < s->model->variant_count && !error; v++)
		if (install_for_cohort(s->model, v))
			error = install_cohort_table(sp, s, v, now_s);
	return error;
}

int install_prepare(struct splitter *sp, struct placed_service *s)
{
	size_t owner = only_owner(s->model);
	_cleanup_free_ uint32_t *flat = NULL;
	const uint32_t *ids;
	int error;

	if (owner < s->model->variant_count) {
		ids = variant_table(sp, s->id, s->model, owner, s->backend[owner]);
		if (!ids)
			return -ENOMEM;
		if (all_move(sp, s, owner))
			return prepare_whole(sp, s, ids);
		return prepare(sp, s, TABLE_MAIN, ids, &s->main);
	}
	flat = calloc(SLOTS, sizeof(*flat));
	if (!flat)
		return -ENOMEM;
	error = flatten(sp, s, flat);
	return error ? error : prepare(sp, s, TABLE_MAIN, flat, &s->main);
}

void install_discard(struct splitter *sp, struct placed_service *s)
{
	rows_give_back(sp, s->main.row);
	free(s->main.first_deadlines);
	s->main = (struct installation){};
}

void install_flip(struct splitter *sp, struct placed_service *s)
{
	if (s->main.row != ROW_NONE)
		flip(sp, s, TABLE_MAIN, &s->main);
}

static void forget_counts(struct splitter *sp, uint32_t service)
{
	struct id_list ids = backends_of(sp, sp->services[service].name, NULL);

	for (uint32_t i = 0; i < ids.count; i++)
		sp->backends[ids.id[i]].slots = 0;
}

void install_note(struct splitter *sp, struct placed_service *s, uint32_t now_s)
{
	if (s->main.row == ROW_NONE)
		return;
	note(sp, s, TABLE_MAIN, &s->main, now_s);
	if (s->main.whole)
		forget_counts(sp, s->id);
	else
		splitter_count_slots(sp, s->main.old_row, -1);
	splitter_count_slots(sp, s->main.row, 1);
	s->main = (struct installation){};
}
