/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_COUNTERS_H
#define HEADGATE_COUNTERS_H

/*
 * Array maps whose values are u64s and nothing else, most of them per CPU: one entry or many, added up over the CPUs.
 * For datapath.c, which has the descriptors. All return 0 or -errno.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

int counters_read(int map, int cpus, uint32_t id, void *ret, size_t bytes);

/* Sets the sum: on one CPU, zero on the others. */
int counters_set(int map, int cpus, uint32_t id, const void *sum, size_t bytes);

/**
 * counters_read_all - entries 1 to @count - 1 with few system calls
 * @copies: of each value: one a CPU, or 1
 * @ret: array of @count entries, to be freed; entry 0 is zero
 */
int counters_read_all(int map, uint32_t count, size_t bytes, int copies, void **ret);

/* Likewise, but entry by entry, of struct measurements, and only of those @wanted. */
int counters_each(int map, int cpus, const bool *wanted, uint32_t count,
		  void (*each)(void *context, uint32_t id, const struct measurements *sum), void *context);

#endif
