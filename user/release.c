// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "release.h"

#include <errno.h>
#include <string.h>

#include "backends.h"
#include "cohorts.h"
#include "lookups.h"
#include "remembered.h"
#include "shadows.h"
#include "splitter.h"
#include "variant_tables.h"

/* --- slots --- */

/* Nothing is tracked any more: the base, the deadlines and the counts are of no use. */
static void table_is_settled(struct splitter *sp, uint32_t service, uint32_t index)
{
	struct service_state *s = &sp->services[service];
	struct table *t = splitter_table(sp, service, index);

	rows_give_back(sp, t->base);
	t->base = ROW_NONE;
	free(s->deadlines[index]);
	free(s->disagreeing[index]);
	s->deadlines[index] = NULL;
	s->disagreeing[index] = NULL;
}

static void settle_table(struct splitter *sp, uint32_t service, uint32_t index, uint32_t began_s)
{
	struct service_state *s = &sp->services[service];
	struct table *t = splitter_table(sp, service, index);
	struct slot_summary summary;
	uint32_t row;

	if (!t->entries || !s->deadlines[index])
		return;
	slots_summarize(datapath_row(sp->datapath, t->entries), s->deadlines[index], &summary);
	if (!summary.tracked) {
		table_is_settled(sp, service, index);
		return;
	}
	/* Without counts the slots became tracked after this sweep began. */
	if (!s->disagreeing[index] || summary.first_deadline_s > began_s)
		return;
	row = rows_take(sp);
	if (!row)
		return; /* none to spare now: later */
	if (slots_settle(datapath_row(sp->datapath, t->entries), s->disagreeing[index], s->deadlines[index], began_s,
			 datapath_row(sp->datapath, row)))
		table_flip(sp, t, row);
	else
		rows_give_back(sp, row);
}

void release_settled(struct splitter *sp, uint32_t began_s)
{
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++) {
		if (sp->services[id].use != ID_USED)
			continue;
		for (uint32_t index = 0; index < TABLES; index++)
			settle_table(sp, id, index, began_s);
		cohorts_settle(sp, id, began_s);
	}
	/* A base that is written again must not be one that a packet still reads. */
	splitter_quiesce(sp);
}

/* --- backends --- */

static void mark_row(struct splitter *sp, uint32_t row, bool *ret_referenced)
{
	uint32_t limit = datapath_limits(sp->datapath)->backends;

	if (row == ROW_NONE)
		return;
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		uint32_t id = datapath_row(sp->datapath, row)->slot[slot] & SLOT_BACKEND;

		if (id < limit)
			ret_referenced[id] = true;
	}
}

/* Every id that a slot still names, and every one that owns the source ports of another. */
static void mark_referenced(struct splitter *sp, bool *ret_referenced)
{
	const struct limits *limits = datapath_limits(sp->datapath);
	struct id_list used = backends_used(sp);

	for (uint32_t id = 1; id < limits->services; id++) {
		if (sp->services[id].use != ID_USED)
			continue;
		for (uint32_t index = 0; index < TABLES; index++) {
			mark_row(sp, splitter_table(sp, id, index)->entries, ret_referenced);
			mark_row(sp, splitter_table(sp, id, index)->base, ret_referenced);
		}
	}
	for (uint32_t i = 0; i < used.count; i++) {
		uint32_t endpoint = datapath_backend(sp->datapath, used.id[i])->endpoint;

		if (endpoint != used.id[i] && endpoint < limits->backends)
			ret_referenced[endpoint] = true;
	}
}

static void free_backend(struct splitter *sp, uint32_t id)
{
	lookups_forget_backend(sp, id);
	datapath_quiesce(sp->datapath);
	remembered_take(sp, id); /* or else after the next sweep */
}

static bool any_backend_leaving(const struct splitter *sp)
{
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++)
		if (sp->backends[used.id[i]].use == ID_LEAVING)
			return true;
	return false;
}

void release_backends(struct splitter *sp)
{
	_cleanup_free_ bool *referenced = NULL;

	if (!any_backend_leaving(sp))
		return;
	referenced = calloc(datapath_limits(sp->datapath)->backends, sizeof(*referenced));
	if (!referenced)
		return;
	mark_referenced(sp, referenced);
	if (shadows_mark_mirrored(sp, referenced, NULL))
		return;
	/* From the end, as the list closes up behind one that is freed. */
	for (uint32_t i = backends_used(sp).count; i-- > 0;) {
		uint32_t id = backends_used(sp).id[i];
		const struct backend_state *b = &sp->backends[id];

		if (b->use == ID_LEAVING && sp->passes > b->leaving_since_pass && !b->flows && !referenced[id])
			free_backend(sp, id);
	}
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++)
		if (sp->services[id].use == ID_USED)
			splitter_forget_variants(sp, id);
	remembered_prune(sp);
	shadows_refresh(sp, sp->model); /* one that waited for a backend that is free now waits no longer */
}

/* --- services --- */

static bool any_service_leaving(const struct splitter *sp)
{
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++)
		if (sp->services[id].use == ID_LEAVING)
			return true;
	return false;
}

void release_services(struct splitter *sp)
{
	const struct service_counters nothing = {};
	struct id_list used = backends_used(sp);
	_cleanup_free_ bool *mirrored = NULL;

	if (!any_service_leaving(sp))
		return;
	mirrored = calloc(datapath_limits(sp->datapath)->services, sizeof(*mirrored));
	if (!mirrored || shadows_mark_mirrored(sp, NULL, mirrored))
		return;
	/* Whose shadow owns source ports of another service's is still asked how they are mirrored. */
	for (uint32_t i = 0; i < used.count; i++)
		if (backends_is_shadow(sp, used.id[i]))
			mirrored[datapath_backend(sp->datapath, used.id[i])->service] = true;
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++) {
		struct service_state *s = &sp->services[id];

		if (s->use != ID_LEAVING || sp->passes <= s->leaving_since_pass || mirrored[id])
			continue;
		for (uint32_t index = 0; index < TABLES; index++) {
			free(s->deadlines[index]);
			free(s->disagreeing[index]);
		}
		/* A daemon that was killed while it removed the service may have left some in the kernel. */
		for (size_t i = 0; i < s->cohort_count; i++)
			datapath_delete(sp->datapath, MAP_COHORTS, &s->cohorts[i].key);
		free(s->cohorts);
		variant_tables_forget(sp, id);
		memset(s, 0, sizeof(*s));
		shadows_forget_service(sp, id);
		memset(datapath_service(sp->datapath, id), 0, sizeof(struct service));
		datapath_set_service_counters(sp->datapath, id, &nothing);
	}
}
