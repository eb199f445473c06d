// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "keep.h"

#include <errno.h>
#include <string.h>

#include "util.h"

int keep_wanted(struct datapath *dp, enum datapath_map map, size_t key_bytes, keep_function keeps, const void *context)
{
	struct variant_key key, next; /* the longest there is */
	bool begun = false;
	int error = 0, deleted;

	while (datapath_next_key(dp, map, begun ? &key : NULL, &next) == 0) {
		if (!keeps(context, &next)) {
			deleted = datapath_delete(dp, map, &next);
			if (!deleted || deleted == -ENOENT)
				continue; /* the key before still stands; on from it */
			error = error ?: deleted;
		}
		memcpy(&key, &next, key_bytes);
		begun = true;
	}
	return error;
}

struct interfaces {
	const uint32_t *ifindex;
	size_t count;
};

static bool is_among(const void *context, const void *key)
{
	const struct interfaces *interfaces = context;

	for (size_t i = 0; i < interfaces->count; i++)
		if (interfaces->ifindex[i] == *(const uint32_t *)key)
			return true;
	return false;
}

int keep_interfaces(struct datapath *dp, enum datapath_map map, const uint32_t *ifindexes, size_t count)
{
	return keep_wanted(dp, map, sizeof(*ifindexes), is_among, &(struct interfaces){ifindexes, count});
}
