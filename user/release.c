// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "release.h"

#include <errno.h>
#include <string.h>

#include "cohorts.h"
#include "lookups.h"
#include "splitter.h"

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
	datapath_quiesce(sp->datapath);
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

	for (uint32_t id = 1; id < limits->services; id++) {
		if (sp->services[id].use != ID_USED)
			continue;
		for (uint32_t index = 0; index < TABLES; index++) {
			mark_row(sp, splitter_table(sp, id, index)->entries, ret_referenced);
			mark_row(sp, splitter_table(sp, id, index)->base, ret_referenced);
		}
	}
	for (uint32_t id = 1; id < limits->backends; id++) {
		uint32_t endpoint = datapath_backend(sp->datapath, id)->endpoint;

		if (sp->backends[id].use != ID_FREE && endpoint != id && endpoint < limits->backends)
			ret_referenced[endpoint] = true;
	}
}

static bool is_remembered_counts(const struct backend_state *b)
{
	return !b->identity.port;
}

/* The id that remembers the counts of a variant's former backends; 0: the variant has left as well. */
static uint32_t remembered_counts(const struct splitter *sp, const struct backend_identity *of)
{
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->backends; id++) {
		const struct backend_state *b = &sp->backends[id];

		if (b->use == ID_USED && is_remembered_counts(b) && strcmp(b->identity.service, of->service) == 0 &&
		    strcmp(b->identity.variant, of->variant) == 0)
			return id;
	}
	return 0;
}

/* Every field of struct measurements is a u64 that adds up. */
static void remember_measurements(struct splitter *sp, uint32_t id, uint32_t keeper)
{
	const struct measurements nothing = {};
	const struct silent_counters silence = {};
	struct silent_counters own_silence, kept_silence;
	struct measurements own, kept;

	if (keeper && !datapath_measurements(sp->datapath, id, &own) &&
	    !datapath_measurements(sp->datapath, keeper, &kept)) {
		for (size_t i = 0; i < sizeof(own) / sizeof(__u64); i++)
			((__u64 *)&kept)[i] += ((const __u64 *)&own)[i];
		datapath_set_measurements(sp->datapath, keeper, &kept);
	}
	if (keeper && !datapath_lookup(sp->datapath, MAP_SILENT_COUNTERS, &id, &own_silence) &&
	    !datapath_lookup(sp->datapath, MAP_SILENT_COUNTERS, &keeper, &kept_silence)) {
		kept_silence.failed += own_silence.failed;
		kept_silence.expired += own_silence.expired;
		datapath_update(sp->datapath, MAP_SILENT_COUNTERS, &keeper, &kept_silence);
	}
	datapath_set_measurements(sp->datapath, id, &nothing);
	datapath_update(sp->datapath, MAP_SILENT_COUNTERS, &id, &silence);
}

static void remember_counts(struct splitter *sp, uint32_t id)
{
	uint32_t keeper = remembered_counts(sp, &sp->backends[id].identity);
	const struct backend_counters nothing = {};
	struct backend_counters sum, own;

	remember_measurements(sp, id, keeper);
	if (keeper && !datapath_backend_counters(sp->datapath, id, &own) &&
	    !datapath_backend_counters(sp->datapath, keeper, &sum)) {
		sum.client_packets += own.client_packets;
		sum.client_bytes += own.client_bytes;
		sum.server_packets += own.server_packets;
		sum.server_bytes += own.server_bytes;
		sum.opened += own.opened;
		datapath_set_backend_counters(sp->datapath, keeper, &sum);
	}
	datapath_set_backend_counters(sp->datapath, id, &nothing);
}

static void free_backend(struct splitter *sp, uint32_t id)
{
	const struct backend_identity nobody = {};

	lookups_forget_backend(sp, id);
	datapath_quiesce(sp->datapath);
	remember_counts(sp, id);
	datapath_update(sp->datapath, MAP_BACKEND_IDENTITIES, &id, &nobody);
	memset(datapath_backend(sp->datapath, id), 0, sizeof(struct backend));
	memset(&sp->backends[id], 0, sizeof(sp->backends[id]));
}

static bool any_backend_leaving(const struct splitter *sp)
{
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->backends; id++)
		if (sp->backends[id].use == ID_LEAVING)
			return true;
	return false;
}

void release_backends(struct splitter *sp)
{
	uint32_t limit = datapath_limits(sp->datapath)->backends;
	_cleanup_free_ bool *referenced = NULL;

	if (!any_backend_leaving(sp))
		return;
	referenced = calloc(limit, sizeof(*referenced));
	if (!referenced)
		return;
	mark_referenced(sp, referenced);
	for (uint32_t id = 1; id < limit; id++) {
		const struct backend_state *b = &sp->backends[id];

		if (b->use == ID_LEAVING && sp->passes > b->leaving_since_pass && !b->flows && !referenced[id])
			free_backend(sp, id);
	}
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++)
		if (sp->services[id].use == ID_USED)
			splitter_forget_variants(sp, id);
}

/* --- services --- */

void release_services(struct splitter *sp)
{
	const struct service_counters nothing = {};

	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->services; id++) {
		struct service_state *s = &sp->services[id];

		if (s->use != ID_LEAVING || sp->passes <= s->leaving_since_pass)
			continue;
		for (uint32_t index = 0; index < TABLES; index++) {
			free(s->deadlines[index]);
			free(s->disagreeing[index]);
		}
		/* A daemon that was killed while it removed the service may have left some in the kernel. */
		for (size_t i = 0; i < s->cohort_count; i++)
			datapath_delete(sp->datapath, MAP_COHORTS, &s->cohorts[i].key);
		free(s->cohorts);
		memset(s, 0, sizeof(*s));
		memset(datapath_service(sp->datapath, id), 0, sizeof(struct service));
		datapath_set_service_counters(sp->datapath, id, &nothing);
	}
}
