// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which variant owns a slot: weighted rendezvous hashing with exact counts.
 *
 * Rendezvous (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN 6(1), 1998): each
 * variant draws a number u in (0, 1) for each slot from a hash of both names, and the best one owns the slot. Weighted:
 * -ln(u) / weight is an exponential arrival time, and the first to arrive is variant v with probability w_v / sum(w).
 * In logarithms, with G = -ln(-ln u), that is argmax(ln w + G), known as the Gumbel-max trick.
 *
 * Hashing hits the asked shares only on average; 5 % of 65 536 slots would be off by some 56 slots. So the counts are
 * given, and of all assignments with those counts the one is taken whose sum of G over all slots is largest. This is
 * an optimal transport problem, and its dual says what it looks like: there is one number l_v for each variant such
 * that every slot's owner is argmax(l_v + G_v). It is weighted rendezvous still, with corrected weights exp(l_v). It
 * depends on nothing but names and counts. With two variants it cuts the list of slots, sorted by G_a - G_b, at n_a:
 * a ramp is nested, and moves slots from the loser to the winner only, as few as possible.
 *
 * With three that is not to be had without history. Suppose no slot ever moved but from loser to winner. A change
 * between a and b leaves c's set alone, so S_c depends on n_c alone; likewise S_a and S_b. With c at 0,
 * S_b(n) is the complement of S_a(N - n); with b at 0, S_c(n) is the complement of the same. So S_b(n) = S_c(n), and
 * with n_b = n_c = n > 0 two variants own the same slots: contradiction. What is left is small: if share d moves
 * between two and a third has share w, the third hands on w * d / (1 + d) of the slots and is given as many.
 *
 * No floating point: libm's results differ between versions and machines, and hosts must agree on every slot.
 */
#include "table.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "hash.h"
#include "util.h"

static uint64_t name_hash(const char *name)
{
	return hash_mix(fnv1a(name, strlen(name)));
}

uint32_t table_seed(const char *service_name)
{
	return name_hash(service_name) >> 32;
}

/* --- shares --- */

static size_t largest_remainder(const struct table_variant *variants, const uint64_t *remainder, size_t count)
{
	size_t best = 0;

	for (size_t i = 1; i < count; i++) {
		if (remainder[i] > remainder[best] ||
		    (remainder[i] == remainder[best] && strcmp(variants[i].name, variants[best].name) < 0))
			best = i;
	}
	return best;
}

int table_share_slots(const struct table_variant *variants, size_t count, uint32_t *ret_slots)
{
	uint64_t remainder[VARIANTS_MAX], total = 0;
	uint32_t given = 0;

	if (count > VARIANTS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		total += variants[i].weight;
	if (!total)
		return -EINVAL;

	for (size_t i = 0; i < count; i++) {
		uint64_t scaled = (uint64_t)variants[i].weight * SLOTS;

		ret_slots[i] = scaled / total;
		remainder[i] = scaled % total;
		given += ret_slots[i];
	}
	/* Fewer slots are left than there are remainders above zero, so weight 0 never gets one. */
	for (; given < SLOTS; given++) {
		size_t best = largest_remainder(variants, remainder, count);

		ret_slots[best]++;
		remainder[best] = 0;
	}
	return 0;
}

/* --- logarithm in fixed point --- */

#define LOG_STEPS 1024 /* of the table, over [1, 2) */
#define LOG_BITS 56    /* behind the point of a logarithm; 64 before it fit in 64 bits */
#define ONE_Q63 (1ULL << 63)
#define LOG2_E_Q63 0xb8aa3b295c17f0bcULL /* log2(e) = 1.44269504088896... */

struct logarithm {
	uint64_t reciprocal_q63[LOG_STEPS]; /* of 1 + i / LOG_STEPS, rounded up */
	uint64_t log2_q56[LOG_STEPS];       /* of 1 + i / LOG_STEPS */
};

static inline uint64_t multiply_q63(uint64_t a, uint64_t b)
{
	return (unsigned __int128)a * b >> 63;
}

/* Bit by bit: squaring a number doubles its logarithm. @x_q63 is in [1, 2). */
static uint64_t log2_by_squaring(uint64_t x_q63)
{
	uint64_t log = 0;

	for (int i = 0; i < LOG_BITS; i++) {
		unsigned __int128 square = (unsigned __int128)x_q63 * x_q63 >> 63;
		bool two = square >> 64;

		x_q63 = square >> two;
		log = log << 1 | two;
	}
	return log;
}

static void logarithm_init(struct logarithm *l)
{
	for (uint64_t i = 0; i < LOG_STEPS; i++) {
		unsigned __int128 one = (unsigned __int128)ONE_Q63 * LOG_STEPS;

		l->reciprocal_q63[i] = (one + LOG_STEPS + i - 1) / (LOG_STEPS + i);
		l->log2_q56[i] = log2_by_squaring((LOG_STEPS + i) * (ONE_Q63 / LOG_STEPS));
	}
}

/*
 * log2(x) for x >= 1 with LOG_BITS behind the point; error below 2^-51, and 2^-54 just below a power of two.
 * x = 2^exponent * step * (1 + y) with y < 2^-10; log2(1 + y) by four terms of its series.
 */
static inline uint64_t log2_q56(const struct logarithm *l, uint64_t x)
{
	unsigned int exponent = 63 - __builtin_clzll(x);
	uint64_t mantissa = x << (63 - exponent);
	size_t step = mantissa >> 53 & (LOG_STEPS - 1);
	uint64_t y = multiply_q63(mantissa, l->reciprocal_q63[step]) - ONE_Q63;
	uint64_t series;

	series = ONE_Q63 / 3 - (y >> 2);
	series = ONE_Q63 / 2 - multiply_q63(y, series);
	series = ONE_Q63 - multiply_q63(y, series);
	series = multiply_q63(multiply_q63(y, series), LOG2_E_Q63);
	return ((uint64_t)exponent << LOG_BITS) + l->log2_q56[step] + (series >> (63 - LOG_BITS));
}

/* --- transport --- */

#define SCORE_BITS 48 /* behind the point of a score: sums over a path of 16 still fit in 64 bits */
#define BOUNDARY_SIZE 32
#define NOBODY 0xffU

/* What it costs in score to give a slot to another variant. */
struct move {
	int64_t cost;
	uint32_t slot;
	uint32_t tie; /* orders equal costs: by slot in one direction, by slot backwards in the other, so both agree */
};

/* The cheapest slots one variant could give to another: all of its slots with moves before @bound, and stale ones. */
struct boundary {
	struct move moves[BOUNDARY_SIZE + 1]; /* cheapest first; one to spare while inserting */
	size_t length;
	struct move bound;
};

/* Variants are numbered in name order here, and only those that own slots take part. */
struct transport {
	size_t count;
	int32_t surplus[VARIANTS_MAX]; /* slots owned beyond those asked */
	struct logarithm logarithm;
	uint8_t owner[SLOTS];
	struct boundary boundary[VARIANTS_MAX][VARIANTS_MAX]; /* [from][to] */
	int64_t scores[];                                     /* [SLOTS][count], G with SCORE_BITS behind the point */
};

static inline int64_t score_of(const struct transport *t, uint32_t slot, size_t variant)
{
	return t->scores[slot * t->count + variant];
}

/* G in base 2 (a matter of scale alone), plus a constant: -log2(-log2(u)) with u = (hash | 1) / 2^64. */
static inline int64_t gumbel(const struct logarithm *l, uint64_t hash)
{
	uint64_t arrival = (64ULL << LOG_BITS) - log2_q56(l, hash | 1);

	return -(int64_t)(log2_q56(l, arrival | !arrival) >> (LOG_BITS - SCORE_BITS));
}

static void transport_score(struct transport *t, uint32_t seed, const uint64_t *names)
{
	int64_t *score = t->scores;

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		uint64_t hash = hash_mix((uint64_t)seed << 32 | slot);

		for (size_t v = 0; v < t->count; v++)
			*score++ = gumbel(&t->logarithm, hash_mix(hash ^ names[v]));
	}
}

/* argmax(log2(n) + G) as the first assignment: optimal for the counts that it happens to have. */
static void transport_start(struct transport *t, const uint32_t *asked)
{
	int64_t handicap[VARIANTS_MAX];

	for (size_t v = 0; v < t->count; v++) {
		handicap[v] = log2_q56(&t->logarithm, asked[v]) >> (LOG_BITS - SCORE_BITS);
		t->surplus[v] = -(int32_t)asked[v];
	}
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		size_t best = 0;

		for (size_t v = 1; v < t->count; v++)
			if (score_of(t, slot, v) + handicap[v] > score_of(t, slot, best) + handicap[best])
				best = v;
		t->owner[slot] = best;
		t->surplus[best]++;
	}
}

static inline bool move_before(const struct move *a, const struct move *b)
{
	return a->cost < b->cost || (a->cost == b->cost && a->tie < b->tie);
}

/* Any slot of @from that is cheap enough to be known in the boundary enters it. */
static inline void boundary_offer(struct transport *t, size_t from, size_t to, uint32_t slot)
{
	struct boundary *b = &t->boundary[from][to];
	struct move move = {
		.cost = score_of(t, slot, from) - score_of(t, slot, to),
		.slot = slot,
		.tie = from < to ? slot : ~slot,
	};
	size_t at;

	if (!move_before(&move, &b->bound))
		return;
	for (at = b->length++; at > 0 && move_before(&move, &b->moves[at - 1]); at--)
		b->moves[at] = b->moves[at - 1];
	b->moves[at] = move;
	if (b->length > BOUNDARY_SIZE)
		b->bound = b->moves[--b->length];
}

static void boundary_refill(struct transport *t, size_t from, size_t to)
{
	t->boundary[from][to].length = 0;
	t->boundary[from][to].bound = (struct move){.cost = INT64_MAX};
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		if (t->owner[slot] == from)
			boundary_offer(t, from, to, slot);
}

/* The cheapest move of any slot from one variant to another; NULL when @from owns none. */
static const struct move *boundary_best(struct transport *t, size_t from, size_t to)
{
	struct boundary *b = &t->boundary[from][to];

	while (b->length && t->owner[b->moves[0].slot] != from)
		memmove(&b->moves[0], &b->moves[1], --b->length * sizeof(b->moves[0]));
	if (!b->length && b->bound.cost != INT64_MAX)
		boundary_refill(t, from, to);
	return b->length ? &b->moves[0] : NULL;
}

static void boundary_init(struct transport *t)
{
	for (size_t from = 0; from < t->count; from++)
		for (size_t to = 0; to < t->count; to++)
			t->boundary[from][to].bound.cost = INT64_MAX;
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		for (size_t to = 0; to < t->count; to++)
			if (to != t->owner[slot])
				boundary_offer(t, t->owner[slot], to, slot);
}

/*
 * Cheapest ways from any variant with surplus to each other one (Bellman, Ford): @ret_via[v] hands a slot to v.
 * Costs may be negative, cycles never are while the assignment is optimal for its counts.
 * Return: the cheapest to reach of those that lack slots, or NOBODY when none lacks any.
 */
static uint8_t transport_search(struct transport *t, uint8_t *ret_via)
{
	int64_t distance[VARIANTS_MAX];
	uint8_t nearest = NOBODY;
	bool better = true;

	for (size_t v = 0; v < t->count; v++) {
		distance[v] = t->surplus[v] > 0 ? 0 : INT64_MAX;
		ret_via[v] = NOBODY;
	}
	while (better) {
		better = false;
		for (size_t from = 0; from < t->count; from++) {
			for (size_t to = 0; to < t->count; to++) {
				const struct move *move;

				if (from == to || distance[from] == INT64_MAX)
					continue;
				move = boundary_best(t, from, to);
				if (!move || distance[from] + move->cost >= distance[to])
					continue;
				distance[to] = distance[from] + move->cost;
				ret_via[to] = from;
				better = true;
			}
		}
	}
	for (size_t v = 0; v < t->count; v++)
		if (t->surplus[v] < 0 && (nearest == NOBODY || distance[v] < distance[nearest]))
			nearest = v;
	return nearest;
}

/*
 * Repair the counts along successive shortest paths; each leaves the assignment optimal for its new counts (Ahuja,
 * Magnanti and Orlin, "Network Flows", 1993, 9.7). The start is off by the noise of hashing only, so that there are
 * some hundred repairs, not 65 536.
 */
static void transport_repair(struct transport *t)
{
	uint8_t via[VARIANTS_MAX], to;

	while ((to = transport_search(t, via)) != NOBODY) {
		t->surplus[to]++;
		/* A path visits no variant twice, so the moves of its other steps stay what they were in the search. */
		for (; via[to] != NOBODY; to = via[to]) {
			uint32_t slot = boundary_best(t, via[to], to)->slot;

			t->owner[slot] = to;
			for (size_t next = 0; next < t->count; next++)
				if (next != to)
					boundary_offer(t, to, next, slot);
		}
		t->surplus[to]--;
	}
}

/* Indices of the variants that get slots, in name order. */
static size_t order_by_name(const struct table_variant *variants, const uint32_t *slots, size_t count, uint8_t *ret)
{
	size_t ordered = 0;

	for (size_t i = 0; i < count; i++) {
		size_t at = ordered;

		if (!slots[i])
			continue;
		for (; at > 0 && strcmp(variants[i].name, variants[ret[at - 1]].name) < 0; at--)
			ret[at] = ret[at - 1];
		ret[at] = i;
		ordered++;
	}
	return ordered;
}

int table_owners(uint32_t seed, const struct table_variant *variants, size_t count, uint8_t *ret_owner)
{
	uint32_t slots[VARIANTS_MAX], asked[VARIANTS_MAX];
	_cleanup_free_ struct transport *t = NULL;
	uint64_t names[VARIANTS_MAX];
	uint8_t order[VARIANTS_MAX];
	size_t ordered;
	int err;

	err = table_share_slots(variants, count, slots);
	if (err)
		return err;
	ordered = order_by_name(variants, slots, count, order);
	if (ordered == 1) {
		memset(ret_owner, order[0], SLOTS);
		return 0;
	}
	for (size_t v = 0; v < ordered; v++) {
		names[v] = name_hash(variants[order[v]].name);
		asked[v] = slots[order[v]];
	}

	t = calloc(1, sizeof(*t) + ordered * SLOTS * sizeof(t->scores[0]));
	if (!t)
		return -ENOMEM;
	t->count = ordered;
	logarithm_init(&t->logarithm);
	transport_score(t, seed, names);
	transport_start(t, asked);
	boundary_init(t);
	transport_repair(t);

	for (uint32_t slot = 0; slot < SLOTS; slot++)
		ret_owner[slot] = order[t->owner[slot]];
	return 0;
}
