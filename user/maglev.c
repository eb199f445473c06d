// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which backend of a variant serves a slot: Maglev hashing (Eisenbud et al., "Maglev: A Fast and Reliable Software
 * Network Load Balancer", NSDI 2016, 3.4).
 *
 * Each backend has a permutation of the slots, offset + j * skip; backends take turns, and each takes the first slot of
 * its permutation that is still free. The paper wants a prime table size so that every skip gives a permutation; with
 * 2^16 slots every odd skip does.
 *
 * Weights: each round a backend gains its weight, and a turn costs the largest weight. Where in a turn it starts is of
 * its own hash: if all light backends became due in the same round, the heavy ones' shares would be off by as much.
 * Equal weights give each one turn a round, as in the paper.
 */
#include "table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "hash.h"
#include "util.h"

struct player {
	const struct table_backend *backend;
	uint16_t position; /* in the table, of its next preference; wraps */
	uint16_t skip;
	uint64_t credit; /* towards its next turn */
};

static int player_compare(const void *left, const void *right)
{
	const struct endpoint *a = &((const struct player *)left)->backend->endpoint;
	const struct endpoint *b = &((const struct player *)right)->backend->endpoint;
	int order = memcmp(&a->address, &b->address, sizeof(a->address));

	return order ? order : (int)a->port - (int)b->port;
}

static uint64_t endpoint_hash(uint32_t seed, const struct endpoint *endpoint)
{
	uint64_t hash = hash_mix((uint64_t)seed << 32 | endpoint->port);

	for (size_t i = 0; i < ARRAY_SIZE(endpoint->address.word); i++)
		hash = hash_mix(hash ^ ntohl(endpoint->address.word[i])) + i;
	return hash_mix(hash);
}

static void player_init(struct player *p, uint32_t seed, const struct table_backend *backend, uint32_t max_weight)
{
	uint64_t hash = endpoint_hash(seed, &backend->endpoint);

	p->backend = backend;
	p->position = hash;
	p->skip = hash >> 16 | 1;
	p->credit = (hash >> 32) * max_weight >> 32;
}

int table_maglev(uint32_t seed, const struct table_backend *backends, size_t count, uint32_t *ret_index)
{
	_cleanup_free_ struct player *players = NULL;
	uint32_t max_weight = 0, filled = 0;

	if (!count || count > SLOTS)
		return -EINVAL;
	if (count == 1) {
		memset(ret_index, 0, SLOTS * sizeof(*ret_index));
		return 0;
	}
	players = calloc(count, sizeof(*players));
	if (!players)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (backends[i].weight > max_weight)
			max_weight = backends[i].weight;
	for (size_t i = 0; i < count; i++)
		player_init(&players[i], seed, &backends[i], max_weight);
	qsort(players, count, sizeof(*players), player_compare);

	memset(ret_index, 0xff, SLOTS * sizeof(*ret_index)); /* free: no index is that large */
	/* The heaviest takes a turn in every round, so that there are at most SLOTS rounds. */
	while (filled < SLOTS) {
		for (struct player *p = players; p < players + count && filled < SLOTS; p++) {
			p->credit += p->backend->weight;
			if (p->credit < max_weight)
				continue;
			p->credit -= max_weight;
			while (ret_index[p->position] != UINT32_MAX)
				p->position += p->skip;
			ret_index[p->position] = p->backend - backends;
			filled++;
		}
	}
	return 0;
}
