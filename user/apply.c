// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Bringing a model into force: ids first, all of them or none; then tables, each by one store, one right after the
 * other; then what left. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backends.h"
#include "cohorts.h"
#include "lookups.h"
#include "placement.h"
#include "remembered.h"
#include "service.h"
#include "shadows.h"
#include "splitter.h"

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

static int refuse_write(const struct placed_service *s, int error, struct refusal *why)
{
	return refuse(why, -error, "%s: the kernel's tables cannot be written: %s", s->model->name, strerror(-error));
}

/* All that its own table is to find when it is in force. */
static int lead_up(struct splitter *sp, const struct placed_service *s, const struct routes *routes, uint32_t now_s,
		   struct refusal *why)
{
	int error = service_write(sp, s->id, s->model, s->fresh, why);

	if (error)
		return error;
	if (!s->same_backends)
		error = write_backends(sp, s, routes);
	install_choose_rotation(sp, s);
	if (!error)
		error = install_cohort_tables(sp, s, now_s);
	return error ? refuse_write(s, error, why) : 0;
}

static int lead_out(struct splitter *sp, const struct placed_service *s, struct refusal *why)
{
	struct service_key key = datapath_service(sp->datapath, s->id)->vip;
	int error = cohorts_apply(sp, s->id, s->model, s->resets, s->now_ns);

	if (!error && !s->same_backends)
		error = datapath_update(sp->datapath, MAP_VIPS, &key, &s->id);
	if (error)
		return refuse_write(s, error, why);
	sp->services[s->id].stale = false;
	return 0;
}

/* The tables of the first @count services that are computed: all flip, and only then is anything else done. */
static size_t flip_tables(struct splitter *sp, struct placement *p, size_t count, uint32_t now_s)
{
	size_t moved = 0;

	for (size_t i = 0; i < count; i++)
		install_flip(sp, &p->services[i]);
	for (size_t i = 0; i < count; i++) {
		moved += p->services[i].main.row == ROW_NONE ? 0 : p->services[i].main.moved_slots;
		install_note(sp, &p->services[i], now_s);
	}
	return moved;
}

/* Computes a service's table; where no row is left for it, those that are computed make room. */
static int prepare_table(struct splitter *sp, struct placement *p, size_t i, uint32_t now_s, size_t *moved,
			 struct refusal *why)
{
	int error = install_prepare(sp, &p->services[i]);

	if (error == -ENOSPC) {
		*moved += flip_tables(sp, p, i, now_s);
		error = install_prepare(sp, &p->services[i]);
	}
	return error ? refuse_write(&p->services[i], error, why) : 0;
}

static int put_in_force(struct splitter *sp, struct placement *p, const struct routes *routes, uint32_t now_s,
			size_t *moved, struct refusal *why)
{
	int error = 0;

	for (size_t i = 0; i < p->count && !error; i++)
		if (!p->services[i].unchanged)
			error = lead_up(sp, &p->services[i], routes, now_s, why);
	for (size_t i = 0; i < p->count && !error; i++)
		if (!p->services[i].same_tables)
			error = prepare_table(sp, p, i, now_s, moved, why);
	for (size_t i = 0; i < p->count && error; i++)
		install_discard(sp, &p->services[i]);
	*moved += flip_tables(sp, p, p->count, now_s);
	for (size_t i = 0; i < p->count && !error; i++)
		if (!p->services[i].unchanged)
			error = lead_out(sp, &p->services[i], why);
	return error;
}

/* Deadlines of slots that another daemon left tracked count from now. */
static int renew_deadlines(struct splitter *sp, const struct placed_service *s, uint32_t now_s)
{
	struct service_state *state = &sp->services[s->id];

	for (uint32_t index = 0; index < TABLES; index++) {
		const struct table *t = splitter_table(sp, s->id, index);

		/* Without a base nothing is tracked. */
		if (t->base == ROW_NONE)
			continue;
		if (!state->deadlines[index])
			state->deadlines[index] = calloc(1, sizeof(struct slot_deadlines));
		if (!state->deadlines[index])
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
	_cleanup_(placement_freep) struct placement *p = NULL;
	uint32_t now_s = now_ns / 1000000000;
	size_t moved = 0;
	int error = placement_make(sp, model, &p, why);

	if (error)
		return error;
	for (size_t i = 0; i < p->count && !error; i++) {
		const struct service_model *s = p->services[i].model;

		p->services[i].resets = (s->rollback ? s->on_rollback : s->on_change) == DRAIN_RESET;
		p->services[i].now_ns = now_ns;
		if (!sp->model && !p->services[i].fresh)
			error = renew_deadlines(sp, &p->services[i], now_s);
	}
	if (!error)
		error = put_in_force(sp, p, routes, now_s, &moved, why);
	if (!error) {
		remove_what_left(sp, p);
		error = lookups_refresh(sp, model);
		if (!error)
			error = shadows_refresh(sp, model);
		if (error)
			refuse(why, -error, "the kernel's tables cannot be written: %s", strerror(-error));
	}
	sp->unsure = error;
	if (error)
		return error;
	note_places(sp, p);
	splitter_quiesce(sp);
	for (size_t i = 0; i < model->service_count; i++)
		model->services[i].rollback = false;
	model_free(sp->model);
	sp->model = model;
	remembered_prune(sp);
	if (ret_moved)
		*ret_moved = moved;
	return 0;
}
