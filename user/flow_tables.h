/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FLOW_TABLES_H
#define HEADGATE_FLOW_TABLES_H

/*
 * The flow tables as the daemon sees them: mapped, while programs write them. What is read is a copy; what is taken out
 * is taken out only if it still is what was read (bucket.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

enum flow_table { FLOW_TABLE_FLOWS, FLOW_TABLE_PORTS, FLOW_TABLE_SAMPLED, FLOW_TABLES };

struct flow_tables {
	struct flow_layout *layout;
	void *buckets[FLOW_TABLES]; /* struct flow_bucket, port_bucket, sampled_bucket */
};

/* A copy of an entry, with its tag, and where it was. */
struct flow_copy {
	enum flow_table table;
	uint32_t bucket;
	uint32_t at;
	uint32_t tag;
	union {
		struct flow_entry flow;
		struct source_port port;
		struct sampled_entry sampled;
	};
};

/* Buckets for so many entries: room is left, as they do not spread evenly. */
uint32_t flow_buckets_for(uint32_t entries);
/* The same where one that finds no place is but not measured. */
uint32_t sampled_buckets_for(uint32_t entries);

size_t flow_bucket_bytes(enum flow_table table);
uint32_t flow_table_buckets(const struct flow_tables *t, enum flow_table table);
/* What there is room for, should all buckets be full. */
uint32_t flow_table_entries(const struct flow_tables *t, enum flow_table table);

/* In the table itself. */
void *flow_table_entry(const struct flow_tables *t, enum flow_table table, uint32_t bucket, uint32_t at);
struct bucket_tags *flow_table_tags(const struct flow_tables *t, enum flow_table table, uint32_t bucket);

/* A flow before its handshake is complete. */
bool flow_copy_is_half_open(const struct flow_copy *copy);

/* False, @ret undefined: there is none. */
bool flow_tables_find(const struct flow_tables *t, const struct flow_key *key, struct flow_copy *ret);
bool flow_tables_find_sampled(const struct flow_tables *t, const struct flow_key *key, struct flow_copy *ret);
/* The port of a flow: where @key says, with that flow and source (an id) in it. */
bool flow_tables_find_port(const struct flow_tables *t, const struct source_port_key *key, const struct flow_key *flow,
			   uint32_t source, struct flow_copy *ret);

/**
 * flow_tables_read - the entries of a bucket
 * @ret: [BUCKET_ENTRIES]
 * Return: how many.
 */
uint32_t flow_tables_read(const struct flow_tables *t, enum flow_table table, uint32_t bucket, struct flow_copy *ret);

/* Takes an entry out, unless it has become another one, or been kept, since it was copied. Return: whether. */
bool flow_tables_remove(const struct flow_tables *t, const struct flow_copy *copy);

#endif
