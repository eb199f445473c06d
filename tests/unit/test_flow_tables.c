// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/types.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bucket.h"
#include "flow_tables.h"
#include "hash.h"
#include "util.h"

#define BUCKETS 4U
#define THREADS 4U
#define OWN 12U /* flows of a thread that it may keep; all of them leave room in every bucket */
#define ROUNDS 200000U
#define PRINTS 8U /* so few that threads want the same one all the time */

struct world {
	struct flow_tables tables;
	int owners[PRINTS]; /* who has each print now: 0 or 1, if all is well */
	int ended;          /* threads that have */
};

struct worker {
	struct world *world;
	pthread_t thread;
	uint32_t id;
	uint64_t random;
	bool kept[OWN]; /* the oracle: what is in the table because of this thread */
	uint32_t faults;
	uint32_t taken;
};

static uint32_t next_random(struct worker *w)
{
	w->random = hash_mix(w->random + 0x9e3779b97f4a7c15ULL);
	return w->random >> 32;
}

static struct flow_key key_of(uint32_t thread, uint32_t index)
{
	return (struct flow_key){.client = {.word = {0, 0, thread, index}}, .port = (__be16)index, .service = 1};
}

static struct flow_bucket *bucket_of(const struct world *world, const struct flow_key *key, struct place *ret)
{
	*ret = place_of(hash_flow(world->tables.layout->secret, key), world->tables.layout->flow_buckets);
	return (struct flow_bucket *)world->tables.buckets[FLOW_TABLE_FLOWS] + ret->bucket;
}

static uint32_t any_free(const struct bucket_tags *tags)
{
	uint32_t free = BUCKET_ENTRIES;

	for (uint32_t at = 0; at < BUCKET_ENTRIES; at++)
		free = free_one(free, at, *(const volatile uint32_t *)&tags->tag[at]);
	return free;
}

/* As the programs do it. */
static bool put(struct worker *w, const struct flow_key *key, uint32_t backend, bool kept)
{
	struct place place;
	struct flow_bucket *b = bucket_of(w->world, key, &place);
	uint32_t at = bucket_take(&b->tags, place.first, any_free(&b->tags), tag_writing(place.print, w->taken++));
	struct flow_entry *entry = &b->entry[within(at)];

	if (at == BUCKET_NONE)
		return false;
	w->faults += (b->tags.tag[within(at)] & (TAG_USED | TAG_WRITTEN)) != TAG_WRITTEN;
	entry->key = *key;
	entry->flow = (struct flow){.backend = backend, .seen = ~backend};
	tag_publish(&b->tags.tag[within(at)], kept);
	return true;
}

/* A flow that is kept is found and whole; one that was taken out is not found. */
static void check_own(struct worker *w, uint32_t index, struct flow_copy *ret)
{
	struct flow_key key = key_of(w->id, index);
	bool found = flow_tables_find(&w->world->tables, &key, ret);

	w->faults += found != w->kept[index];
	if (found)
		w->faults +=
			ret->flow.flow.backend != index || ret->flow.flow.seen != ~index || flow_copy_is_half_open(ret);
}

static void *keep_and_free(void *context)
{
	struct worker *w = context;
	struct flow_copy copy;
	struct flow_key key;
	uint32_t index;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		index = next_random(w) % OWN;
		key = key_of(w->id, index);
		check_own(w, index, &copy);
		if (!w->kept[index])
			w->kept[index] = put(w, &key, index, true);
		else if (flow_tables_remove(&w->world->tables, &copy))
			w->kept[index] = false;
		else
			w->faults++;
		/* A flood, of which each is a new flow. */
		key = key_of(w->id, OWN + i);
		put(w, &key, OWN + i, false);
	}
	__atomic_add_fetch(&w->world->ended, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* The sweep: what is there all the time is seen in each pass, once. */
static void *read_all(void *context)
{
	struct worker *w = context;
	struct flow_copy copies[BUCKET_ENTRIES];

	do {
		uint32_t seen[OWN] = {};

		for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
			uint32_t count = flow_tables_read(&w->world->tables, FLOW_TABLE_FLOWS, bucket, copies);

			for (uint32_t i = 0; i < count; i++)
				if (copies[i].flow.key.client.word[2] == w->id)
					seen[copies[i].flow.key.client.word[3] % OWN]++;
		}
		for (uint32_t i = 0; i < OWN; i++)
			w->faults += seen[i] != 1;
	} while (__atomic_load_n(&w->world->ended, __ATOMIC_SEQ_CST) < (int)THREADS);
	return NULL;
}

/* Two of one print are never in a bucket at once, as port_take() has it. */
static void *take_prints(void *context)
{
	struct worker *w = context;
	struct bucket_tags *tags = flow_table_tags(&w->world->tables, FLOW_TABLE_PORTS, 0);

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t print = next_random(w) % PRINTS;
		uint32_t at =
			bucket_take(tags, next_random(w) % BUCKET_ENTRIES, any_free(tags), tag_writing(print << 16, i));

		if (at == BUCKET_NONE)
			continue;
		if (!bucket_is_alone(tags, print << 16)) {
			tag_give_back(&tags->tag[within(at)]);
			continue;
		}
		w->taken++;
		w->faults += __atomic_add_fetch(&w->world->owners[print], 1, __ATOMIC_SEQ_CST) != 1;
		tag_publish(&tags->tag[within(at)], true);
		__atomic_sub_fetch(&w->world->owners[print], 1, __ATOMIC_SEQ_CST);
		w->faults += !tag_swap(&tags->tag[within(at)], tags->tag[within(at)], 0);
	}
	return NULL;
}

static struct world *world_new(void)
{
	struct world *world = test_calloc(1, sizeof(*world));

	world->tables.layout = test_calloc(1, sizeof(*world->tables.layout));
	world->tables.layout->flow_buckets = BUCKETS;
	world->tables.layout->port_buckets = 1;
	world->tables.layout->sampled_buckets = 1;
	for (enum flow_table table = 0; table < FLOW_TABLES; table++)
		world->tables.buckets[table] =
			test_calloc(flow_table_buckets(&world->tables, table), flow_bucket_bytes(table));
	return world;
}

static void world_free(struct world *world)
{
	for (enum flow_table table = 0; table < FLOW_TABLES; table++)
		test_free(world->tables.buckets[table]);
	test_free(world->tables.layout);
	test_free(world);
}

static void start(struct worker *w, struct world *world, uint32_t id, void *(*work)(void *))
{
	w->world = world;
	w->id = id;
	w->random = id;
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

/* Nothing is left that somebody writes, or that nobody has taken. Return: entries in use, and kept. */
static uint32_t count_kept(const struct world *world, enum flow_table table)
{
	uint32_t kept = 0;

	for (uint32_t bucket = 0; bucket < flow_table_buckets(&world->tables, table); bucket++) {
		const struct bucket_tags *tags = flow_table_tags(&world->tables, table, bucket);

		for (uint32_t at = 0; at < BUCKET_ENTRIES; at++) {
			assert_true(!tags->tag[at] || tags->tag[at] & TAG_USED);
			kept += tag_is_kept(tags->tag[at]);
		}
		assert_int_equal(tags->tag[BUCKET_ENTRIES] | tags->tag[BUCKET_ENTRIES + 1], 0);
	}
	return kept;
}

static void kept_flows_stay_and_are_found_while_threads_take_and_free(void **state)
{
	struct worker workers[THREADS] = {}, reader = {.id = THREADS};
	struct world *world = world_new();
	uint32_t expected = OWN;

	(void)state;
	reader.world = world;
	for (uint32_t i = 0; i < OWN; i++) {
		struct flow_key key = key_of(THREADS, i);

		assert_true(put(&reader, &key, i, true));
	}
	start(&reader, world, THREADS, read_all);
	for (uint32_t i = 0; i < THREADS; i++)
		start(&workers[i], world, i, keep_and_free);
	for (uint32_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].faults, 0);
		for (uint32_t flow = 0; flow < OWN; flow++)
			expected += workers[i].kept[flow];
	}
	pthread_join(reader.thread, NULL);
	assert_int_equal(reader.faults, 0);
	assert_int_equal(count_kept(world, FLOW_TABLE_FLOWS), expected);
	world_free(world);
}

static void a_print_has_one_owner_however_many_threads_want_it(void **state)
{
	struct worker workers[THREADS] = {};
	struct world *world = world_new();

	(void)state;
	for (uint32_t i = 0; i < THREADS; i++)
		start(&workers[i], world, i, take_prints);
	for (uint32_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].faults, 0);
		assert_int_not_equal(workers[i].taken, 0);
	}
	assert_int_equal(count_kept(world, FLOW_TABLE_PORTS), 0);
	world_free(world);
}

/* How far an entry is behind a place, in a circle of all places. */
static uint32_t distance(uint32_t first, uint32_t at)
{
	return (at + BUCKET_PLACES - first) % BUCKET_PLACES;
}

static void fill_at_random(struct worker *w, struct bucket_tags *tags)
{
	uint32_t fullness = next_random(w) % 100;

	for (uint32_t at = 0; at < BUCKET_ENTRIES; at++) {
		uint32_t state = next_random(w) & 1 ? TAG_USED : TAG_USED | TAG_KEPT;

		if (next_random(w) % 8 == 0)
			state = TAG_WRITTEN;
		tags->tag[at] = next_random(w) % 100 < fullness ? state | next_random(w) % PRINTS << 16 : 0;
	}
}

static void the_nearest_entry_with_a_print_is_found(void **state)
{
	struct worker w = {.random = 1};
	struct bucket_tags tags = {};

	(void)state;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct place place = {.first = i % BUCKET_ENTRIES, .print = (next_random(&w) % PRINTS) << 16};
		uint32_t nearest = BUCKET_PLACES, found;

		fill_at_random(&w, &tags);
		for (uint32_t at = 0; at < BUCKET_ENTRIES; at++)
			if (tags.tag[at] & TAG_USED && (tags.tag[at] & TAG_PRINT) == place.print &&
			    distance(place.first, at) < nearest)
				nearest = distance(place.first, at);
		found = bucket_nearest(&tags, &place);
		assert_true(found < BUCKET_PLACES);
		if (nearest == BUCKET_PLACES)
			assert_false(tag_may_be(tags.tag[found], place.print));
		else
			assert_int_equal(distance(place.first, found), nearest);
	}
}

static void the_nearest_free_entry_is_taken_and_nobody_makes_room_while_one_is_free(void **state)
{
	struct worker w = {.random = 2};
	struct bucket_tags tags = {};

	(void)state;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t first = i % BUCKET_ENTRIES, nearest = BUCKET_PLACES, free, taken;

		fill_at_random(&w, &tags);
		for (uint32_t at = 0; at < BUCKET_ENTRIES; at++)
			if (!tags.tag[at] && distance(first, at) < nearest)
				nearest = distance(first, at);
		free = any_free(&tags);
		taken = bucket_take(&tags, first, free, tag_writing(0, i));
		if (nearest < BUCKET_NEAR)
			assert_int_equal(distance(first, taken), nearest);
		else if (nearest < BUCKET_PLACES)
			assert_int_equal(taken, free);
		else
			assert_true(taken == BUCKET_NONE || taken & BUCKET_EVICTED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_flows_stay_and_are_found_while_threads_take_and_free),
		cmocka_unit_test(a_print_has_one_owner_however_many_threads_want_it),
		cmocka_unit_test(the_nearest_entry_with_a_print_is_found),
		cmocka_unit_test(the_nearest_free_entry_is_taken_and_nobody_makes_room_while_one_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
