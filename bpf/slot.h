/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SLOT_H
#define HEADGATE_SLOT_H

/* From a client to where its slot points: by its cohort's table, if it is in one, else by the service's. */
#include "hash.h"
#include "maps.h"
#include "parse.h"

struct choice {
	__u32 entry; /* backend id for new connections; 0: none */
	__u32 base;  /* backend id for connections older than the change; equals @entry when settled */
	bool tracked;
	bool remember; /* write flows down even where entry and base agree now: base is another table's, and may change
			*/
};

static __always_inline __u64 client_hash(const struct service *s, const struct packet *p)
{
	return hash_client(s->seed, &p->source, s->flags & SERVICE_CLIENT_AFFINITY ? 0 : p->source_port);
}

/* One row is read for a settled slot, two for a tracked one. @ret is all zero when the table has no row. */
static __always_inline void slot_read(const struct table *t, __u32 slot, struct choice *ret)
{
	__u32 entries = *(volatile const __u32 *)&t->entries;
	__u32 base = *(volatile const __u32 *)&t->base;
	struct row *row = bpf_map_lookup_elem(&rows, &entries);
	slot_entry entry;

	__builtin_memset(ret, 0, sizeof(*ret));
	if (!row)
		return;
	entry = row->slot[slot & (SLOTS - 1)];
	ret->entry = entry & SLOT_BACKEND;
	ret->base = ret->entry;
	ret->tracked = entry & SLOT_TRACKED;
	if (!ret->tracked)
		return;
	row = bpf_map_lookup_elem(&rows, &base);
	if (row)
		ret->base = row->slot[slot & (SLOTS - 1)] & SLOT_BACKEND;
}

/* What a table says of a slot, all in one: 0 when it has no row. */
static __always_inline slot_entry table_entry(const struct table *t, __u32 slot)
{
	__u32 entries = *(volatile const __u32 *)&t->entries;
	struct row *row = bpf_map_lookup_elem(&rows, &entries);

	return row ? row->slot[slot & (SLOTS - 1)] : 0;
}

static __always_inline const struct table *table_of(const struct service *s, __u32 index)
{
	if (index >= VARIANTS_MAX)
		return &s->main;
	index &= VARIANTS_MAX - 1;
	/* Keeps clang from dropping the mask, which it proved needless, and from adding before it has compared. */
	asm volatile("" : "+r"(index));
	return &s->variant[index];
}

/* A cohort's rule that is being changed tracks its members, whatever the tables' slots do. */
static __always_inline void cohort_read(const struct service *s, const struct cohort *cohort, __u32 slot,
					struct choice *ret)
{
	struct choice older;

	slot_read(table_of(s, cohort->fresh), slot, ret);
	if (!cohort->tracked)
		return;
	slot_read(table_of(s, cohort->older), slot, &older);
	ret->base = older.base;
	ret->tracked = true;
	ret->remember = true;
}

/* The backend has been named by the packet itself. */
static __always_inline void choose_named(__u32 backend, struct choice *ret)
{
	ret->entry = backend;
	ret->base = backend;
	ret->tracked = false;
	ret->remember = false;
}

/**
 * choose - where a client's slot points
 * @hash: client_hash()
 */
static __always_inline void choose(const struct service *s, __u32 service, const struct packet *p, __u64 hash,
				   struct choice *ret)
{
	struct cohort_key key = {.prefix_bits = 160, .service = service, .source = p->source};
	struct cohort *cohort = NULL;

	if (s->flags & SERVICE_COHORTS)
		cohort = bpf_map_lookup_elem(&cohorts, &key);
	if (cohort)
		cohort_read(s, cohort, hash_slot(hash), ret);
	else
		slot_read(&s->main, hash_slot(hash), ret);
}

#endif
