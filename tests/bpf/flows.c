// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "hash.h"

typedef bool entry_test(const struct fixture *f, const struct flow_copy *copy, const void *wanted);

/* How many there are; @ret: the last of them. */
static __u32 count_entries(const struct fixture *f, enum flow_table table, entry_test *test, const void *wanted,
			   struct flow_copy *ret)
{
	struct flow_copy copies[BUCKET_ENTRIES];
	__u32 count = 0;

	for (__u32 bucket = 0; bucket < flow_table_buckets(&f->flow_tables, table); bucket++) {
		__u32 used = flow_tables_read(&f->flow_tables, table, bucket, copies);

		for (__u32 i = 0; i < used; i++) {
			if (!test(f, &copies[i], wanted))
				continue;
			*ret = copies[i];
			count++;
		}
	}
	return count;
}

/* Of one key there is never more than one. */
static bool find_entry(const struct fixture *f, enum flow_table table, entry_test *test, const void *wanted,
		       struct flow_copy *ret)
{
	__u32 count = count_entries(f, table, test, wanted, ret);

	assert_in_range(count, 0, 1);
	return count == 1;
}

static bool any(const struct fixture *f, const struct flow_copy *copy, const void *wanted)
{
	(void)f;
	(void)copy;
	(void)wanted;
	return true;
}

static bool any_half_open(const struct fixture *f, const struct flow_copy *copy, const void *wanted)
{
	(void)f;
	(void)wanted;
	return flow_copy_is_half_open(copy);
}

static bool any_established(const struct fixture *f, const struct flow_copy *copy, const void *wanted)
{
	(void)f;
	(void)wanted;
	return !flow_copy_is_half_open(copy);
}

/* Flows and sampled ones begin with it. */
static bool has_key(const struct fixture *f, const struct flow_copy *copy, const void *wanted)
{
	(void)f;
	return memcmp(&copy->flow.key, wanted, sizeof(copy->flow.key)) == 0;
}

static bool is_port(const struct fixture *f, const struct flow_copy *copy, const void *wanted)
{
	const struct source_port_key *key = wanted;
	__u32 source = copy->port.source, backend = copy->port.backend;
	struct address address;
	struct backend b;

	return copy->port.port == key->port && map_get(f->sources, &source, &address) &&
	       address_fold(&address) == key->source_fold && map_get(f->backends, &backend, &b) &&
	       b.endpoint == key->endpoint;
}

static bool find_flow(const struct fixture *f, const struct flow_key *key, bool half_open, struct flow *ret)
{
	struct flow_copy copy;

	if (!find_entry(f, FLOW_TABLE_FLOWS, has_key, key, &copy) || flow_copy_is_half_open(&copy) != half_open)
		return false;
	*ret = copy.flow.flow;
	return true;
}

bool flow_half_open(const struct fixture *f, const struct flow_key *key, struct flow *ret)
{
	return find_flow(f, key, true, ret);
}

bool flow_established(const struct fixture *f, const struct flow_key *key, struct flow *ret)
{
	return find_flow(f, key, false, ret);
}

bool flow_sampled(const struct fixture *f, const struct flow_key *key, struct sampled_flow *ret)
{
	struct flow_copy copy;

	if (!find_entry(f, FLOW_TABLE_SAMPLED, has_key, key, &copy))
		return false;
	*ret = copy.sampled.flow;
	return true;
}

bool flow_port(struct fixture *f, const struct source_port_key *key, struct source_port *ret)
{
	struct flow_copy copy;

	if (!find_entry(f, FLOW_TABLE_PORTS, is_port, key, &copy))
		return false;
	*ret = copy.port;
	return true;
}

__u32 flows_half_open(const struct fixture *f)
{
	struct flow_copy last;

	return count_entries(f, FLOW_TABLE_FLOWS, any_half_open, NULL, &last);
}

__u32 flows_established(const struct fixture *f)
{
	struct flow_copy last;

	return count_entries(f, FLOW_TABLE_FLOWS, any_established, NULL, &last);
}

__u32 flows_sampled(const struct fixture *f)
{
	struct flow_copy last;

	return count_entries(f, FLOW_TABLE_SAMPLED, any, NULL, &last);
}

__u32 flow_ports(const struct fixture *f)
{
	struct flow_copy last;

	return count_entries(f, FLOW_TABLE_PORTS, any, NULL, &last);
}

void flow_port_remove(struct fixture *f, const struct source_port_key *key)
{
	struct flow_copy copy;

	assert_true(find_entry(f, FLOW_TABLE_PORTS, is_port, key, &copy));
	assert_true(flow_tables_remove(&f->flow_tables, &copy));
}

void flows_fill(const struct fixture *f, enum flow_table table, __u32 count)
{
	for (__u32 bucket = 0; bucket < flow_table_buckets(&f->flow_tables, table); bucket++)
		for (__u32 at = 0; at < count; at++)
			flow_table_tags(&f->flow_tables, table, bucket)->tag[at] = TAG_USED | TAG_KEPT;
}

static void copy_entry(const struct fixture *f, enum flow_table table, __u32 bucket, __u32 at, const void *entry)
{
	char *first = flow_table_entry(&f->flow_tables, table, bucket, 0);
	char *to = flow_table_entry(&f->flow_tables, table, bucket, at);

	memcpy(to, entry, (char *)flow_table_entry(&f->flow_tables, table, bucket, 1) - first);
}

void flows_fill_but(const struct fixture *f, enum flow_table table, __u32 free, __u32 print, const void *other)
{
	for (__u32 bucket = 0; bucket < flow_table_buckets(&f->flow_tables, table); bucket++) {
		for (__u32 at = 0; at < BUCKET_ENTRIES; at++) {
			if (at == free)
				continue;
			copy_entry(f, table, bucket, at, other);
			flow_table_tags(&f->flow_tables, table, bucket)->tag[at] = TAG_USED | TAG_KEPT | print;
		}
	}
}
