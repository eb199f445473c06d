/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FRAGMENTS_H
#define HEADGATE_FRAGMENTS_H

/* Fragments that are held for a moment, until the first one of their datagram has come. A queue in order of arrival.
 * Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"
#include "util.h"

#define FRAGMENTS_HELD_MAX 256U
#define FRAGMENTS_HOLD_NS 20000000ULL

struct fragments;

struct fragments *fragments_create(void); /* NULL: no memory */
void fragments_destroy(struct fragments *q);
DEFINE_CLEANUP(struct fragments, fragments_destroy)

/**
 * fragments_hold - hold a copy of @fragment for FRAGMENTS_HOLD_NS
 * @now_ns: not before that of the call before
 * Return: 0, -ENOBUFS (FRAGMENTS_HELD_MAX are held), -EINVAL (no frame is as long as it says).
 */
int fragments_hold(struct fragments *q, const struct early_fragment *fragment, uint64_t now_ns);

bool fragments_full(const struct fragments *q);

/* The oldest one that has been held for its time, or NULL; fragments_release() takes it out. */
struct early_fragment *fragments_due(struct fragments *q, uint64_t now_ns);
void fragments_release(struct fragments *q);

/* When the oldest one is due; UINT64_MAX: none is held. */
uint64_t fragments_next_ns(const struct fragments *q);

#endif
