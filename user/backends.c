// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "backends.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

/* What an identity is told by, from its beginning: names are filled up with zeros. */
#define OF_SERVICE offsetof(struct backend_identity, variant)
#define OF_VARIANT offsetof(struct backend_identity, address)
#define WHOLE offsetof(struct backend_identity, used)

struct id_list backends_used(const struct splitter *sp)
{
	return (struct id_list){sp->used, sp->used_count};
}

uint32_t backends_end(const struct splitter *sp)
{
	uint32_t highest = 0;

	for (uint32_t i = 0; i < sp->used_count; i++)
		if (sp->used[i] > highest)
			highest = sp->used[i];
	return highest + 1;
}

/* How many ids come before @who by the first @bytes of their identities, those that are equal there included or not. */
static uint32_t count_before(const struct splitter *sp, const struct backend_identity *who, size_t bytes, bool equal)
{
	uint32_t low = 0, high = sp->used_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = memcmp(&sp->backends[sp->used[middle]].identity, who, bytes);

		if (order < 0 || (equal && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct id_list backends_of(const struct splitter *sp, const char *service, const char *variant)
{
	size_t bytes = variant ? OF_VARIANT : OF_SERVICE;
	struct backend_identity who = {};
	uint32_t first;

	snprintf(who.service, sizeof(who.service), "%s", service);
	snprintf(who.variant, sizeof(who.variant), "%s", variant ? variant : "");
	first = count_before(sp, &who, bytes, false);
	return (struct id_list){sp->used + first, count_before(sp, &who, bytes, true) - first};
}

struct backend_identity backends_identity(const struct service_model *s, const char *variant,
					  const struct endpoint *endpoint)
{
	struct backend_identity who = {
		.address = endpoint->address,
		.port = htons(endpoint->port),
		.protocol = s->protocol,
		.used = 1,
	};

	snprintf(who.service, sizeof(who.service), "%s", s->name);
	snprintf(who.variant, sizeof(who.variant), "%s", variant);
	return who;
}

bool backends_is_shadow(const struct splitter *sp, uint32_t id)
{
	return strcmp(sp->backends[id].identity.variant, SHADOW_VARIANT) == 0;
}

uint32_t backends_find(const struct splitter *sp, const struct backend_identity *who)
{
	uint32_t at = count_before(sp, who, WHOLE, false);

	if (at == sp->used_count || memcmp(&sp->backends[sp->used[at]].identity, who, WHOLE))
		return 0;
	return sp->used[at];
}

uint32_t backends_take(struct splitter *sp, const struct backend_identity *who)
{
	uint32_t limit = datapath_limits(sp->datapath)->backends, id = sp->first_free;
	uint32_t at = count_before(sp, who, WHOLE, false);

	while (id < limit && sp->backends[id].use != ID_FREE)
		id++;
	sp->first_free = id;
	if (id == limit)
		return 0;
	memmove(sp->used + at + 1, sp->used + at, (sp->used_count - at) * sizeof(*sp->used));
	sp->used[at] = id;
	sp->used_count++;
	sp->backends[id] = (struct backend_state){.use = ID_USED, .serial = ++sp->serials, .identity = *who};
	return id;
}

void backends_free(struct splitter *sp, uint32_t id)
{
	memset(&sp->backends[id], 0, sizeof(sp->backends[id]));
	if (id < sp->first_free)
		sp->first_free = id;
}

void backends_drop(struct splitter *sp, uint32_t id)
{
	uint32_t at = count_before(sp, &sp->backends[id].identity, WHOLE, false);

	sp->used_count--;
	memmove(sp->used + at, sp->used + at + 1, (sp->used_count - at) * sizeof(*sp->used));
	backends_free(sp, id);
}

static int compare_ids(const void *a, const void *b, void *context)
{
	const struct splitter *sp = context;

	return memcmp(&sp->backends[*(const uint32_t *)a].identity, &sp->backends[*(const uint32_t *)b].identity,
		      WHOLE);
}

int backends_adopt(struct splitter *sp)
{
	for (uint32_t id = 1; id < datapath_limits(sp->datapath)->backends; id++) {
		struct backend_state *b = &sp->backends[id];
		int error = datapath_lookup(sp->datapath, MAP_BACKEND_IDENTITIES, &id, &b->identity);

		if (error)
			return error;
		if (!b->identity.used)
			continue;
		b->use = ID_USED;
		b->serial = ++sp->serials;
		sp->used[sp->used_count++] = id;
	}
	if (sp->used_count)
		qsort_r(sp->used, sp->used_count, sizeof(*sp->used), compare_ids, sp);
	return 0;
}
