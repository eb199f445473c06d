// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "counters.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

int counters_read(int map, int cpus, uint32_t id, void *ret, size_t bytes)
{
	_cleanup_free_ uint64_t *values = calloc(cpus, bytes);
	size_t fields = bytes / sizeof(uint64_t);
	uint64_t *sum = ret;

	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(map, &id, values))
		return -errno;
	memset(ret, 0, bytes);
	for (int cpu = 0; cpu < cpus; cpu++)
		for (size_t i = 0; i < fields; i++)
			sum[i] += values[cpu * fields + i];
	return 0;
}

#define BATCH_BYTES 262144U /* so that what is read is still in a cache when it is added up */

/* Where a map's values are read to, some at a time. */
struct batch {
	int map;
	uint32_t room;
	size_t fields; /* u64s of a value */
	int copies;    /* of each: one a CPU, or 1 */
	uint64_t *values;
	uint32_t *keys;
};

static void batch_release(struct batch *b)
{
	free(b->values);
	free(b->keys);
}

static int batch_prepare(struct batch *b, int map, size_t bytes, int copies)
{
	b->map = map;
	b->fields = bytes / sizeof(uint64_t);
	b->copies = copies;
	b->room = BATCH_BYTES / (bytes * copies) + 1;
	b->values = malloc(b->room * bytes * copies);
	b->keys = malloc(b->room * sizeof(*b->keys));
	return b->values && b->keys ? 0 : -ENOMEM;
}

/* Reads up to @count entries of an array map from @first (not 0) on, of which there are as many. */
static int batch_read(struct batch *b, uint32_t first, uint32_t *count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	uint32_t before = first - 1, cursor;

	if (*count > b->room)
		*count = b->room;
	if (bpf_map_lookup_batch(b->map, &before, &cursor, b->keys, b->values, count, &options) && errno != ENOENT)
		return -errno;
	return *count ? 0 : -EIO;
}

/* Adds the copies of the entry that was read as number @index to @ret. */
static void batch_add(const struct batch *b, uint32_t index, uint64_t *ret)
{
	const uint64_t *value = b->values + (size_t)index * b->copies * b->fields;

	for (int copy = 0; copy < b->copies; copy++, value += b->fields)
		for (size_t f = 0; f < b->fields; f++)
			ret[f] += value[f];
}

int counters_read_all(int map, uint32_t count, size_t bytes, int copies, void **ret)
{
	_cleanup_free_ uint64_t *sums = calloc(count, bytes);
	_cleanup_(batch_release) struct batch b = {};
	int error = sums ? batch_prepare(&b, map, bytes, copies) : -ENOMEM;

	for (uint32_t first = 1, read; first < count && !error; first += read) {
		read = count - first;
		error = batch_read(&b, first, &read);
		for (uint32_t i = 0; i < read && !error; i++)
			batch_add(&b, i, sums + (first + i) * b.fields);
	}
	if (!error)
		*ret = TAKE_PTR(sums);
	return error;
}

static uint32_t run_of(const bool *wanted, uint32_t first, uint32_t count)
{
	uint32_t end = first;

	while (end < count && wanted[end])
		end++;
	return end - first;
}

int counters_each(int map, int cpus, const bool *wanted, uint32_t count,
		  void (*each)(void *context, uint32_t id, const struct measurements *sum), void *context)
{
	_cleanup_(batch_release) struct batch b = {};
	int error = batch_prepare(&b, map, sizeof(struct measurements), cpus);

	for (uint32_t first = 1, read; first < count && !error; first += read ? read : 1) {
		read = run_of(wanted, first, count);
		if (read)
			error = batch_read(&b, first, &read);
		for (uint32_t i = 0; i < read && !error; i++) {
			struct measurements sum = {};

			batch_add(&b, i, (uint64_t *)&sum);
			each(context, first + i, &sum);
		}
	}
	return error;
}

int counters_set(int map, int cpus, uint32_t id, const void *sum, size_t bytes)
{
	_cleanup_free_ char *values = calloc(cpus, bytes);

	if (!values)
		return -ENOMEM;
	memcpy(values, sum, bytes);
	return bpf_map_update_elem(map, &id, values, BPF_ANY) ? -errno : 0;
}
