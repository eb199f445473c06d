// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow_tables.h"

#include <string.h>

#include "bucket.h"
#include "hash.h"

/*
 * Mean entries of a bucket when as many are in use as were asked for. Entries fall into buckets as in a Poisson
 * distribution: of 12 expected, more than 30 come in 1 bucket of 500 000; of 18, in 1 of 250.
 */
#define MEAN_ENTRIES 12U
#define MEAN_SAMPLED 18U

static const struct {
	size_t bucket_bytes;
	size_t entry_bytes;
} shapes[FLOW_TABLES] = {
	[FLOW_TABLE_FLOWS] = {sizeof(struct flow_bucket), sizeof(struct flow_entry)},
	[FLOW_TABLE_PORTS] = {sizeof(struct port_bucket), sizeof(struct source_port)},
	[FLOW_TABLE_SAMPLED] = {sizeof(struct sampled_bucket), sizeof(struct sampled_entry)},
};

uint32_t flow_buckets_for(uint32_t entries)
{
	return entries / MEAN_ENTRIES + 1;
}

uint32_t sampled_buckets_for(uint32_t entries)
{
	return entries / MEAN_SAMPLED + 1;
}

size_t flow_bucket_bytes(enum flow_table table)
{
	return shapes[table].bucket_bytes;
}

uint32_t flow_table_buckets(const struct flow_tables *t, enum flow_table table)
{
	switch (table) {
	case FLOW_TABLE_FLOWS:
		return t->layout->flow_buckets;
	case FLOW_TABLE_PORTS:
		return t->layout->port_buckets;
	default:
		return t->layout->sampled_buckets;
	}
}

bool flow_copy_is_half_open(const struct flow_copy *copy)
{
	return !tag_is_kept(copy->tag);
}

uint32_t flow_table_entries(const struct flow_tables *t, enum flow_table table)
{
	return flow_table_buckets(t, table) * BUCKET_ENTRIES;
}

void *flow_table_entry(const struct flow_tables *t, enum flow_table table, uint32_t bucket, uint32_t at)
{
	return (char *)t->buckets[table] + (size_t)bucket * shapes[table].bucket_bytes + at * shapes[table].entry_bytes;
}

/* Every kind of bucket ends with them. */
struct bucket_tags *flow_table_tags(const struct flow_tables *t, enum flow_table table, uint32_t bucket)
{
	return (struct bucket_tags *)flow_table_entry(t, table, bucket + 1, 0) - 1;
}

static uint32_t load(const uint32_t *tag)
{
	return __atomic_load_n(tag, __ATOMIC_ACQUIRE);
}

/* False: it is free, or is being written. One that is kept while it is read is read anew, so that none is missed. */
static bool copy_entry(const struct flow_tables *t, enum flow_table table, uint32_t bucket, uint32_t at,
		       struct flow_copy *ret)
{
	const struct bucket_tags *tags = flow_table_tags(t, table, bucket);
	uint32_t tag;

	while ((tag = load(&tags->tag[at])) & TAG_USED) {
		*ret = (struct flow_copy){.table = table, .bucket = bucket, .at = at, .tag = tag};
		memcpy(&ret->flow, flow_table_entry(t, table, bucket, at), shapes[table].entry_bytes);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (load(&tags->tag[at]) == tag)
			return true;
	}
	return false;
}

/* The next entry from @at on whose key may be the one with that hash. False: there is none. */
static bool next_candidate(const struct flow_tables *t, enum flow_table table, uint64_t hash, uint32_t *at,
			   struct flow_copy *ret)
{
	struct place place = place_of(hash, flow_table_buckets(t, table));
	const struct bucket_tags *tags = flow_table_tags(t, table, place.bucket);

	for (; *at < BUCKET_ENTRIES; (*at)++)
		if (tag_may_be(load(&tags->tag[*at]), place.print) && copy_entry(t, table, place.bucket, *at, ret)) {
			(*at)++;
			return true;
		}
	return false;
}

bool flow_tables_find(const struct flow_tables *t, const struct flow_key *key, struct flow_copy *ret)
{
	uint64_t hash = hash_flow(t->layout->secret, key);
	uint32_t at = 0;

	while (next_candidate(t, FLOW_TABLE_FLOWS, hash, &at, ret))
		if (memcmp(&ret->flow.key, key, sizeof(*key)) == 0)
			return true;
	return false;
}

bool flow_tables_find_sampled(const struct flow_tables *t, const struct flow_key *key, struct flow_copy *ret)
{
	uint64_t hash = hash_flow(t->layout->secret, key);
	uint32_t at = 0;

	while (next_candidate(t, FLOW_TABLE_SAMPLED, hash, &at, ret))
		if (memcmp(&ret->sampled.key, key, sizeof(*key)) == 0)
			return true;
	return false;
}

bool flow_tables_find_port(const struct flow_tables *t, const struct source_port_key *key, const struct flow_key *flow,
			   uint32_t source, struct flow_copy *ret)
{
	uint64_t hash = hash_source_port(key);
	uint32_t at = 0;

	while (next_candidate(t, FLOW_TABLE_PORTS, hash, &at, ret))
		if (ret->port.port == key->port && ret->port.source == source &&
		    memcmp(&ret->port.flow, flow, sizeof(*flow)) == 0)
			return true;
	return false;
}

uint32_t flow_tables_read(const struct flow_tables *t, enum flow_table table, uint32_t bucket, struct flow_copy *ret)
{
	uint32_t count = 0;

	for (uint32_t at = 0; at < BUCKET_ENTRIES; at++)
		count += copy_entry(t, table, bucket, at, &ret[count]);
	return count;
}

bool flow_tables_remove(const struct flow_tables *t, const struct flow_copy *copy)
{
	return tag_swap(&flow_table_tags(t, copy->table, copy->bucket)->tag[copy->at], copy->tag, 0);
}
