/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_KEEP_H
#define HEADGATE_KEEP_H

/* What is no longer wanted of a map. */
#include "datapath.h"

typedef bool (*keep_function)(const void *context, const void *key);

/**
 * keep_wanted - delete the entries of a map that @keeps says false of
 * @key_bytes: of the map's keys, at most NAME_SIZE * 2
 *
 * One that cannot be deleted is gone past. Return: 0, or the first -errno.
 */
int keep_wanted(struct datapath *dp, enum datapath_map map, size_t key_bytes, keep_function keeps, const void *context);

/* The same for a map whose keys are ifindexes: all but @ifindexes go. */
int keep_interfaces(struct datapath *dp, enum datapath_map map, const uint32_t *ifindexes, size_t count);

#endif
