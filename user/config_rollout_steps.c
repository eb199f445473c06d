// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* "steps" and "step_weight" of a rollout: what it goes through, in which order. */
#include <errno.h>
#include <string.h>

#include "config_plan.h"
#include "rollout.h"
#include "text.h"

#define STEPS_HINT "a list, as [{weight: 5}, {pause: 10m}, {weight: 100}]"
#define STEP_HINT "{weight: 5}, {pause: 10m}, {pause: approval}, {analysis: 5m} or {shadow: 20, for: 10m}"
#define PAUSE_HINT "approval, or a time from 100ms to 720h, as 90s, 10m or 2h4m"
#define STEP_MIN_MS 100U

enum { WEIGHT, PAUSE, ANALYSIS, SHADOW, FOR, KEYS };

/* Steps as they are read: what later ones are judged by. */
struct ladder {
	uint32_t max_weight;
	uint32_t weight;   /* the last one; 0: none yet */
	bool waits, shown; /* there was a pause or analysis; a shadow */
};

bool plan_add_step(struct plan_builder *p, yaml_mark_t at, enum step_kind kind, uint32_t share, uint64_t duration_ms)
{
	struct rollout_plan *plan = p->plan;
	struct step_plan *step = &plan->steps[plan->step_count];

	if (plan->step_count == PLAN_STEPS_MAX) {
		reader_problem(p->reader, at, "rollout of %s has more than %u steps: write fewer", p->service->name,
			       PLAN_STEPS_MAX);
		return false;
	}
	step->kind = kind;
	step->share = share;
	step->duration_ms = duration_ms;
	plan->step_count++;
	return true;
}

static void read_weight(struct plan_builder *p, struct ladder *l, const struct field *f, bool last)
{
	uint32_t share;

	if (plan_read_share(p, f, &share))
		return;
	if (share == PLAN_ALL) {
		if (!last)
			reader_problem(p->reader, f->node->start_mark,
				       "%s of %s is all, and there are steps behind it: write it as the last, or leave "
				       "it out, since the candidate is promoted after the last step",
				       f->key, f->of);
		return;
	}
	if (share > l->max_weight)
		reader_problem(p->reader, f->node->start_mark, "%s of %s is above max_weight, %g: write at most that",
			       f->key, f->of, l->max_weight / 100.0);
	else if (share <= l->weight)
		reader_problem(p->reader, f->node->start_mark,
			       "%s of %s is not above the %g of the step before: write weights that rise", f->key,
			       f->of, l->weight / 100.0);
	else
		plan_add_step(p, f->at, STEP_WEIGHT, share, 0);
	l->weight = share;
}

static void read_pause(struct plan_builder *p, const struct field *f)
{
	uint64_t duration_ms;
	const char *text;

	if (reader_text(p->reader, f, PAUSE_HINT, &text))
		return;
	if (!strcmp(text, "approval"))
		plan_add_step(p, f->at, STEP_APPROVAL, 0, 0);
	else if (text_time(text, PLAN_TIME_MAX_MS, &duration_ms) || duration_ms < STEP_MIN_MS)
		reader_refuse(p->reader, f, PAUSE_HINT);
	else if (p->plan->strategy == STRATEGY_SHADOW)
		reader_problem(p->reader, f->at,
			       "%s of %s would wait with nothing to see: write pause: approval, or remove it", f->key,
			       f->of);
	else
		plan_add_step(p, f->at, STEP_PAUSE, 0, duration_ms);
}

/* An analysis that can never come to anything would hold the rollout until its deadline. */
static void read_analysis(struct plan_builder *p, const struct ladder *l, const struct field *f)
{
	uint64_t duration_ms;

	if (reader_time(p->reader, f, STEP_MIN_MS, PLAN_TIME_MAX_MS, &duration_ms))
		return;
	if (!p->has_metrics)
		reader_problem(p->reader, f->at,
			       "%s of %s has nothing to judge by: write analysis: {metrics: [..]} for the rollout",
			       f->key, f->of);
	else if (!l->weight && !p->has_metrics_without_traffic)
		reader_problem(p->reader, f->at,
			       "%s of %s comes before the candidate has traffic, and its metrics are all counted in "
			       "that: put a weight step before it, or write a metric of another source",
			       f->key, f->of);
	else
		plan_add_step(p, f->at, STEP_ANALYSIS, 0, duration_ms);
}

static void read_shadow(struct plan_builder *p, const struct ladder *l, const struct field *f, const struct field *time)
{
	uint64_t duration_ms;
	uint32_t share;

	if (!p->service->shadow.present)
		reader_problem(p->reader, f->at,
			       "%s of %s needs a shadow, and %s has none: write shadow: {backends: [ADDRESS:PORT], "
			       "sample: 0} for the service",
			       f->key, f->of, p->service->name);
	else if (l->weight)
		reader_problem(p->reader, f->at,
			       "%s of %s comes after the candidate has traffic, which it would lose: put it before the "
			       "weight steps",
			       f->key, f->of);
	if (!time->node)
		reader_problem(p->reader, f->at, "%s of %s has no time: write {shadow: 20, for: 10m}", f->key, f->of);
	if (!plan_read_share(p, f, &share) &&
	    !reader_time(p->reader, time, STEP_MIN_MS, PLAN_TIME_MAX_MS, &duration_ms))
		plan_add_step(p, f->at, STEP_SHADOW, share, duration_ms);
}

/* The one thing that a step says; NULL: it says none or several, or what the strategy has not. */
static const struct field *find_kind(struct plan_builder *p, const struct field *step, const struct field fields[KEYS])
{
	static const bool known[][KEYS] = {
		[STRATEGY_CANARY] = {[WEIGHT] = true, [PAUSE] = true, [ANALYSIS] = true, [SHADOW] = true},
		[STRATEGY_BLUE_GREEN] = {[PAUSE] = true, [ANALYSIS] = true, [SHADOW] = true},
		[STRATEGY_SHADOW] = {[PAUSE] = true, [SHADOW] = true},
	};
	const struct field *kind = NULL;

	for (size_t i = WEIGHT; i <= SHADOW; i++) {
		if (!fields[i].node)
			continue;
		if (kind) {
			reader_problem(p->reader, fields[i].at, "%s has %s and %s: write a step for each", fields[i].of,
				       kind->key, fields[i].key);
			return NULL;
		}
		kind = &fields[i];
	}
	if (!kind) {
		reader_problem(p->reader, step->at, "%s says nothing: write " STEP_HINT, fields[WEIGHT].of);
		return NULL;
	}
	if (known[p->plan->strategy][kind - fields])
		return kind;
	reader_problem(p->reader, kind->at, "%s of %s has no meaning with strategy: %s: remove it", kind->key, kind->of,
		       name_of_strategy(p->plan->strategy));
	return NULL;
}

static void read_step(struct plan_builder *p, struct ladder *l, const struct field *f, size_t number, bool last)
{
	struct field fields[KEYS] = {
		[WEIGHT] = {.key = "weight"}, [PAUSE] = {.key = "pause"}, [ANALYSIS] = {.key = "analysis"},
		[SHADOW] = {.key = "shadow"}, [FOR] = {.key = "for"},
	};
	char title[PLAN_TITLE_SIZE];
	const struct field *kind;

	snprintf(title, sizeof(title), "step %zu of rollout of %s", number, p->service->name);
	if (reader_fields(p->reader, f, title, fields, KEYS))
		return;
	kind = find_kind(p, f, fields);
	if (!kind)
		return;
	if (fields[FOR].node && kind != &fields[SHADOW])
		reader_problem(p->reader, fields[FOR].at, "for of %s belongs to a shadow: remove it", fields[FOR].of);
	l->waits |= kind == &fields[PAUSE] || kind == &fields[ANALYSIS];
	l->shown |= kind == &fields[SHADOW];
	if (kind == &fields[WEIGHT])
		read_weight(p, l, kind, last);
	else if (kind == &fields[PAUSE])
		read_pause(p, kind);
	else if (kind == &fields[ANALYSIS])
		read_analysis(p, l, kind);
	else
		read_shadow(p, l, kind, &fields[FOR]);
}

/* What the steps are together. */
static void check_ladder(struct plan_builder *p, const struct ladder *l, const struct field *f)
{
	if (p->plan->strategy == STRATEGY_SHADOW && !l->shown)
		reader_problem(p->reader, f->at, "%s of %s have no shadow: write one, as {shadow: 20, for: 10m}",
			       f->key, f->of);
	if (p->plan->strategy != STRATEGY_CANARY)
		return;
	if (!l->weight)
		reader_problem(p->reader, f->at,
			       "%s of %s give the candidate no part of the traffic before all of it: write a weight "
			       "below 100 first, as {weight: 5}",
			       f->key, f->of);
	else if (!p->has_metrics && !l->waits)
		reader_problem(p->reader, f->at,
			       "%s of %s would be gone through at once: write analysis: {metrics: [..]}, or pauses "
			       "between them",
			       f->key, f->of);
}

void plan_read_steps(struct plan_builder *p, const struct field *f, uint32_t max_weight)
{
	struct ladder ladder = {.max_weight = max_weight};
	size_t problems = p->reader->problems.count;
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(p->reader, f, STEPS_HINT, &items, &count))
		return;
	if (!count && p->plan->strategy != STRATEGY_BLUE_GREEN) {
		reader_problem(p->reader, f->node->start_mark, "%s of %s is empty: write " STEPS_HINT, f->key, f->of);
		return;
	}
	if (count > PLAN_STEPS_MAX) {
		reader_problem(p->reader, f->at, "%s of %s are %zu: write at most %u", f->key, f->of, count,
			       PLAN_STEPS_MAX);
		return;
	}
	for (size_t i = 0; i < count && !p->reader->stopped; i++) {
		struct field item = reader_item(p->reader, items[i], "a step", f->of);

		read_step(p, &ladder, &item, i + 1, i + 1 == count);
	}
	if (problems == p->reader->problems.count)
		check_ladder(p, &ladder, f);
}

void plan_read_step_weight(struct plan_builder *p, const struct field *f, uint32_t max_weight)
{
	uint32_t size;

	if (plan_read_share(p, f, &size))
		return;
	if (size > max_weight || size == PLAN_ALL) {
		reader_problem(p->reader, f->node->start_mark, "%s of %s is %s: write less", f->key, f->of,
			       size == PLAN_ALL ? "all" : "above max_weight");
		return;
	}
	if (!p->has_metrics)
		reader_problem(p->reader, f->at,
			       "%s of %s needs metrics, since each step lasts until it is judged: write analysis: "
			       "{metrics: [..]}, or steps with pauses",
			       f->key, f->of);
	for (uint32_t share = size; share < PLAN_ALL; share += size) {
		uint32_t step = share < max_weight ? share : max_weight;

		if (!plan_add_step(p, f->at, STEP_WEIGHT, step, 0) || step == max_weight)
			return;
	}
}
