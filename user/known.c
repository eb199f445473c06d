// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "known.h"

#include "hash.h"

static uint32_t bit_of(const struct service_key *end)
{
	return hash_end(address_fold(&end->address), end->port);
}

/* Programs read the word meanwhile; nobody else writes it. */
static void store(struct known_ends *bits, uint32_t word, uint64_t value)
{
	__atomic_store_n(&bits->bits[word], value, __ATOMIC_RELEASE);
}

void known_add(struct known *k, struct known_ends *bits, const struct service_key *end)
{
	uint32_t bit = bit_of(end);

	k->count[bit]++;
	store(bits, bit / 64, bits->bits[bit / 64] | 1ULL << bit % 64);
}

void known_remove(struct known *k, struct known_ends *bits, const struct service_key *end)
{
	uint32_t bit = bit_of(end);

	if (k->count[bit] && --k->count[bit] == 0)
		store(bits, bit / 64, bits->bits[bit / 64] & ~(1ULL << bit % 64));
}
