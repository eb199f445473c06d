// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "known.h"

#include <stdbool.h>

#include "hash.h"

static uint32_t place_of(const struct service_key *end)
{
	return hash_end(address_fold(&end->address), end->port, end->protocol);
}

/* Whoever is alone at a place is named there. Programs read it meanwhile; nobody else writes it. */
static void say(const struct known *k, struct known_ends *ends, uint32_t place, uint32_t named)
{
	bool alone = k->count[place] == 1 && named;

	__atomic_store_n(&ends->end[place], alone ? named : END_LOOK_UP, __ATOMIC_RELEASE);
}

void known_add(struct known *k, struct known_ends *ends, const struct service_key *end, uint32_t named)
{
	uint32_t place = place_of(end);

	k->count[place]++;
	say(k, ends, place, named);
}

void known_change(struct known *k, struct known_ends *ends, const struct service_key *end, uint32_t named)
{
	say(k, ends, place_of(end), named);
}

void known_remove(struct known *k, struct known_ends *ends, const struct service_key *end)
{
	uint32_t place = place_of(end);

	/* Who is left, if anybody, is looked up. */
	if (k->count[place] && --k->count[place] == 0)
		__atomic_store_n(&ends->end[place], 0, __ATOMIC_RELEASE);
	else
		say(k, ends, place, 0);
}
