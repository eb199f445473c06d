/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TESTS_RANDOM_RECORD_H
#define HEADGATE_TESTS_RANDOM_RECORD_H

/*
 * Random content for what the journal keeps. Every byte is filled first, padding is zeroed, and only then what cannot
 * be any number (enums, bools, texts, what is behind a count) is put right: a field that somebody adds later is random
 * here without being named, and a round trip that forgets it differs.
 */
#include <string.h>

#include "journal.h"

/* splitmix64 (Steele, Lea and Flood 2014). */
static inline uint64_t random_next(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static inline uint64_t random_below(uint64_t *seed, uint64_t limit)
{
	return random_next(seed) % limit;
}

/* No byte has its highest bit: integers are not negative, and doubles are finite. */
static inline void random_bytes(uint64_t *seed, void *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((unsigned char *)to)[i] = random_next(seed) & 0x7f;
}

/* Zeroes the padding before @array, the first array of structs: GCC 12's __builtin_clear_padding() clears other bytes
 * than it should behind one. */
#define ZERO_PADDING_BEFORE(of, array)                                                                                 \
	do {                                                                                                           \
		__typeof__(of) _copy = malloc(sizeof(*_copy));                                                         \
                                                                                                                       \
		memcpy(_copy, of, sizeof(*_copy));                                                                     \
		__builtin_clear_padding(_copy);                                                                        \
		memcpy(of, _copy, (char *)&(of)->array - (char *)(of));                                                \
		free(_copy);                                                                                           \
	} while (0)
/* Between two fields that follow each other; or behind the last one. */
#define ZERO_PADDING(of, field, next)                                                                                  \
	do {                                                                                                           \
		char *_end = (char *)(&(of)->field + 1);                                                               \
		size_t _bytes = (char *)&(of)->next - _end;                                                            \
                                                                                                                       \
		assert_true(_bytes < 8);                                                                               \
		memset(_end, 0, _bytes);                                                                               \
	} while (0)
#define ZERO_PADDING_AT_END(of, field) memset(&(of)->field + 1, 0, (char *)((of) + 1) - (char *)(&(of)->field + 1))

static inline void random_bool(uint64_t *seed, bool *to)
{
	*(unsigned char *)to = random_below(seed, 2);
}

/* Control characters, quotes and backslashes are in it, and whole characters of UTF-8. */
static inline void random_text(uint64_t *seed, char *to, size_t size)
{
	size_t length = random_below(seed, size);

	memset(to, 0, size);
	for (size_t i = 0; i < length; i++) {
		if (i + 2 < length && !random_below(seed, 8)) {
			memcpy(to + i, "é", 2);
			i++;
		} else {
			to[i] = 1 + random_below(seed, 127);
		}
	}
}

static inline void random_name(uint64_t *seed, char to[NAME_SIZE])
{
	memset(to, 0, NAME_SIZE);
	for (size_t i = 0; i < 1 + random_below(seed, NAME_SIZE - 1); i++)
		to[i] = 'a' + random_below(seed, 26);
}

static inline void random_metric(uint64_t *seed, struct metric_plan *m)
{
	random_name(seed, m->name);
	m->source = random_below(seed, SOURCE_PUSH + 1);
	m->kind = random_below(seed, METRIC_VALUE + 1);
	m->measure = random_below(seed, MEASURES);
	random_bool(seed, &m->has_min);
	random_bool(seed, &m->has_max);
	random_bool(seed, &m->compare);
	random_bool(seed, &m->lower_is_worse);
	random_bool(seed, &m->dry_run);
	random_text(seed, m->url, sizeof(m->url));
	random_text(seed, m->query, sizeof(m->query));
	__builtin_clear_padding(m);
}

/* Zeroes what is behind the first @count of an array. */
#define KEEP_FIRST(array, count) memset(&(array)[count], 0, sizeof(array) - (count) * sizeof((array)[0]))

static inline void random_plan(uint64_t *seed, struct rollout_plan *plan)
{
	random_bytes(seed, plan, sizeof(*plan));
	plan->strategy = random_below(seed, STRATEGY_SHADOW + 1);
	random_name(seed, plan->stable);
	random_name(seed, plan->candidate);
	plan->step_count = 1 + random_below(seed, PLAN_STEPS_MAX);
	for (size_t i = 0; i < plan->step_count; i++)
		plan->steps[i].kind = random_below(seed, STEP_KINDS);
	KEEP_FIRST(plan->steps, plan->step_count);
	plan->analysis.on_no_data = random_below(seed, POLICY_ROLLBACK + 1);
	plan->analysis.on_provider_error = random_below(seed, POLICY_ROLLBACK + 1);
	plan->analysis.on_inconclusive = random_below(seed, POLICY_ROLLBACK + 1);
	plan->analysis.metric_count = random_below(seed, PLAN_METRICS_MAX + 1);
	for (size_t i = 0; i < plan->analysis.metric_count; i++)
		random_metric(seed, &plan->analysis.metrics[i]);
	KEEP_FIRST(plan->analysis.metrics, plan->analysis.metric_count);
	plan->on_failure = random_below(seed, FAILURE_FREEZE + 1);
	plan->hook_count = random_below(seed, PLAN_HOOKS_MAX + 1);
	for (size_t i = 0; i < plan->hook_count; i++) {
		random_bool(seed, &plan->hooks[i].after);
		random_text(seed, plan->hooks[i].url, PLAN_URL_SIZE);
		__builtin_clear_padding(&plan->hooks[i]);
	}
	KEEP_FIRST(plan->hooks, plan->hook_count);
	plan->notify_count = random_below(seed, PLAN_HOOKS_MAX + 1);
	for (size_t i = 0; i < plan->notify_count; i++) {
		random_bool(seed, &plan->notify[i].slack);
		random_text(seed, plan->notify[i].url, PLAN_URL_SIZE);
		__builtin_clear_padding(&plan->notify[i]);
	}
	KEEP_FIRST(plan->notify, plan->notify_count);
	plan->arm_count = random_below(seed, PLAN_ARMS_MAX + 1);
	for (size_t i = 0; i < plan->arm_count; i++)
		random_name(seed, plan->arms[i].variant);
	KEEP_FIRST(plan->arms, plan->arm_count);
	random_bool(seed, &plan->promote_winner);
	ZERO_PADDING_BEFORE(plan, steps);
	ZERO_PADDING(plan, hooks, hook_count);
	ZERO_PADDING_AT_END(plan, promote_winner);
	ZERO_PADDING_BEFORE(&plan->analysis, metrics);
}

static inline void random_rollout(uint64_t *seed, const struct rollout_plan *plan, struct rollout *r)
{
	random_bytes(seed, r, sizeof(*r));
	random_name(seed, r->service);
	r->state = random_below(seed, ROLLOUT_SUCCEEDED);
	random_bool(seed, &r->resumes_waiting);
	random_bool(seed, &r->by_person);
	random_bool(seed, &r->frozen);
	r->phase = random_below(seed, PHASE_AFTER + 1);
	r->last = random_below(seed, JUDGED_VOID + 1);
	random_text(seed, r->cause, sizeof(r->cause));
	r->before_count = random_below(seed, VARIANTS_MAX + 1);
	for (size_t i = 0; i < r->before_count; i++)
		random_name(seed, r->before[i].variant);
	KEEP_FIRST(r->before, r->before_count);
	r->shadow_before = random_below(seed, SHADOW_PAUSED + 1);
	r->step = random_below(seed, plan->step_count);
	r->winner = (int)random_below(seed, plan->arm_count + 1) - 1;
	ZERO_PADDING_BEFORE(r, before);
	ZERO_PADDING(r, before, before_count);
	ZERO_PADDING_AT_END(r, winner);
}

/* Of a rollout that goes on. */
static inline void random_record(uint64_t *seed, struct rollout_record *record)
{
	size_t metrics, arms;

	random_bytes(seed, record, sizeof(*record));
	random_plan(seed, &record->plan);
	random_rollout(seed, &record->plan, &record->rollout);
	metrics = record->plan.analysis.metric_count;
	arms = record->plan.arm_count;
	KEEP_FIRST(record->metrics, metrics);
	for (size_t i = 0; i < PLAN_METRICS_MAX; i++)
		KEEP_FIRST(record->arms[i], i < metrics ? arms : 0);
}

#endif
