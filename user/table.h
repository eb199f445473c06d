/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TABLE_H
#define HEADGATE_TABLE_H

/*
 * Who owns a slot: weighted rendezvous over variants, weighted Maglev over the backends inside each, flattened.
 *
 * Pure, and exact integer arithmetic throughout: every host builds the same table from the same names, weights and
 * addresses, whatever came before.
 */
#include <stddef.h>
#include <stdint.h>

#include "address.h"

/* The seed of a service's hashes, from its name. */
uint32_t table_seed(const char *service_name);

struct table_variant {
	const char *name;
	uint32_t weight; /* 0: owns nothing */
};

/**
 * table_share_slots - how many of SLOTS each variant gets
 * @variants: [count], weights not all zero
 * @ret_slots: [count], sums to SLOTS
 *
 * Largest remainder (Hamilton); ties go to the earlier variant in name order, so that the order in which variants are
 * listed does not matter. Each share is within one slot of the asked one.
 * 0 or -EINVAL (all weights zero, count 0 or above VARIANTS_MAX).
 */
int table_share_slots(const struct table_variant *variants, size_t count, uint32_t *ret_slots);

/**
 * table_owners - which variant owns each slot
 * @seed: table_seed() of the service
 * @variants: [count], 1..VARIANTS_MAX, names differ; the result does not depend on their order
 * @ret_owner: [SLOTS], indices into @variants
 *
 * Counts are exactly table_share_slots(). Between two variants with weight a change moves slots from the loser to the
 * winner and no others; where a third has weight w (of 1) and share d moves, about w * d / (1 + d) of all slots pass
 * through the third on top: table.c tells why that can't be zero.
 * Return: 0, -EINVAL as table_share_slots(), -ENOMEM.
 */
int table_owners(uint32_t seed, const struct table_variant *variants, size_t count, uint8_t *ret_owner);

struct table_backend {
	struct endpoint endpoint;
	uint32_t weight; /* >= 1 */
};

/**
 * table_maglev - a variant's slots over its backends
 * @backends: [count], 1..SLOTS, endpoints differ; the result does not depend on their order
 * @ret_index: [SLOTS], indices into @backends
 *
 * Maglev (Eisenbud et al., NSDI 2016, 3.4), with a table of 2^16 entries and odd skips in place of a prime size, and
 * turns in proportion to weight. Equal weights: shares differ by one slot at most. 0, -EINVAL (count 0 or above SLOTS)
 * or -ENOMEM.
 */
int table_maglev(uint32_t seed, const struct table_backend *backends, size_t count, uint32_t *ret_index);

#endif
