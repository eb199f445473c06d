// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "drain.h"

#include <string.h>

#include "backends.h"

uint16_t drain_share(uint64_t began_ns, uint64_t now_ns, uint32_t pace_permille)
{
	uint64_t passed_ms = now_ns > began_ns ? (now_ns - began_ns) / 1000000 : 0;
	uint64_t share;

	if (passed_ms > UINT32_MAX)
		return RESET_EVERYONE;
	share = passed_ms * pace_permille * (RESET_EVERYONE + 1ULL) / 1000000;
	return share < RESET_EVERYONE ? share : RESET_EVERYONE;
}

static uint32_t pace_of(struct splitter *sp, uint32_t backend)
{
	const struct service_model *s = model_find_service(sp->model, sp->backends[backend].identity.service);

	return s ? s->pace_permille : 1000;
}

/* That of a drain is never 0, by which the next daemon knows that there is one. */
static void set_share(struct splitter *sp, uint32_t id, uint16_t share)
{
	__atomic_store_n(&datapath_backend(sp->datapath, id)->reset_below, share, __ATOMIC_RELAXED);
}

void drain_decide(struct splitter *sp, uint32_t backend, bool resets, uint64_t now_ns)
{
	struct backend_state *b = &sp->backends[backend];

	b->resetting = resets;
	b->reset_began_ns = now_ns;
	b->reset_done_pass = 0;
	set_share(sp, backend, resets);
}

/* Where flows have no state nobody knows of silent connections: they may be there for as long as slots are tracked,
 * or a cohort's rule is. */
static bool may_be_silent(struct splitter *sp, uint32_t id)
{
	uint32_t service = datapath_backend(sp->datapath, id)->service;

	if (datapath_service(sp->datapath, service)->mode == FORWARD_NAT)
		return false;
	for (uint32_t index = 0; index < TABLES; index++)
		if (splitter_table(sp, service, index)->base != ROW_NONE)
			return true;
	for (size_t i = 0; i < sp->services[service].cohort_count; i++)
		if (sp->services[service].cohorts[i].value.tracked)
			return true;
	return false;
}

/*
 * Everyone has been reached when the share is full. Connections that say nothing are met when they speak, so the drain
 * goes on until a whole sweep, begun after that, has found none left.
 */
static void step(struct splitter *sp, uint32_t id, uint64_t now_ns)
{
	struct backend_state *b = &sp->backends[id];
	uint16_t share = drain_share(b->reset_began_ns, now_ns, pace_of(sp, id));

	set_share(sp, id, share ?: 1);
	if (share < RESET_EVERYONE)
		return;
	if (!b->reset_done_pass)
		b->reset_done_pass = sp->passes + 2;
	if (sp->passes < b->reset_done_pass || b->leftover || may_be_silent(sp, id))
		return;
	b->resetting = false;
	b->reset_done_pass = 0;
	set_share(sp, id, 0);
}

void drain_step(struct splitter *sp, uint64_t now_ns)
{
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++)
		if (sp->backends[used.id[i]].resetting)
			step(sp, used.id[i], now_ns);
}

bool drain_goes_on(const struct splitter *sp)
{
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++)
		if (sp->backends[used.id[i]].resetting)
			return true;
	return false;
}

void drain_adopt(struct splitter *sp, uint64_t now_ns)
{
	struct id_list used = backends_used(sp);

	for (uint32_t i = 0; i < used.count; i++) {
		uint32_t id = used.id[i];
		uint16_t share = datapath_backend(sp->datapath, id)->reset_below;
		struct backend_state *b = &sp->backends[id];
		uint64_t passed_ns;

		if (!share)
			continue;
		passed_ns = (uint64_t)share * 1000000000 / (RESET_EVERYONE + 1) * 1000 / pace_of(sp, id);
		b->resetting = true;
		b->reset_began_ns = now_ns > passed_ns ? now_ns - passed_ns : 0;
	}
}
