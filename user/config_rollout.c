// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* "rollout" of a service: what `rollout start` does. Its steps, analysis and hooks are read by files of their own. */
#include <errno.h>
#include <string.h>

#include "config_build.h"
#include "config_plan.h"
#include "rollout.h"
#include "text.h"

#define ARMS_HINT "variants with shares, the first is the control, as {blue: 50, green: 50}"
#define DEADLINE_HINT "off, or a time from 1s to 720h, as 90s, 10m or 2h4m"
#define PLAN_LEAST "strategy: canary, with stable, candidate and steps"
#define DEFAULT_WATCH_MS 600000U
#define DEFAULT_DEADLINE_MS 600000U

enum {
	STRATEGY,
	STABLE,
	CANDIDATE,
	STEPS,
	BY_WEIGHT,
	MAX_WEIGHT,
	WATCH,
	ARMS,
	DURATION,
	SAMPLES,
	PROMOTE_WINNER,
	DEADLINE,
	ON_FAILURE,
	ANALYSIS,
	HOOKS,
	NOTIFY,
	KEYS
};

/* --- values --- */

int plan_read_share(struct plan_builder *p, const struct field *f, uint32_t *ret)
{
	static const char hint[] = "a share from 0.01 to 100 percent, as 5 or 0.5";
	const char *text;
	uint32_t share;
	int err = reader_text(p->reader, f, hint, &text);

	if (err)
		return err;
	if (text_percent(text, &share) || !share) {
		reader_refuse(p->reader, f, hint);
		return -EINVAL;
	}
	*ret = share;
	return 0;
}

/* What RFC 3986 makes URLs of; braces only for names. */
static bool is_url(const char *text, bool names)
{
	size_t scheme = !strncmp(text, "https://", 8) ? 8 : !strncmp(text, "http://", 7) ? 7 : 0;

	if (!scheme || strchr("/?#", text[scheme]) || strlen(text) >= PLAN_URL_SIZE)
		return false;
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("\"<>\\^`|#", *c) || (!names && strchr("{}", *c)))
			return false;
	return true;
}

int plan_read_url(struct plan_builder *p, const struct field *f, bool names, char ret[PLAN_URL_SIZE])
{
	static const char hint[] = "a URL of fewer than 256 characters, as http://10.1.1.1:9090/path";
	const char *text;
	int err = reader_text(p->reader, f, hint, &text);

	if (err)
		return err;
	if (!is_url(text, names)) {
		reader_refuse(p->reader, f, hint);
		return -EINVAL;
	}
	strcpy(ret, text);
	return 0;
}

int plan_read_time(struct plan_builder *p, const struct field *f, uint32_t min_ms, uint32_t max_ms, uint32_t *ret_ms)
{
	uint64_t ms;
	int err = reader_time(p->reader, f, min_ms, max_ms, &ms);

	if (!err)
		*ret_ms = ms;
	return err;
}

void plan_read_bool(struct plan_builder *p, const struct field *f, bool *ret)
{
	static const char *const words[] = {"false", "true"};
	int choice;

	if (!reader_choice(p->reader, f, words, ARRAY_SIZE(words), &choice))
		*ret = choice;
}

/* --- variants --- */

static bool check_variant(struct plan_builder *p, yaml_mark_t at, const char *name)
{
	const struct service_model *s = p->service;
	char names[256];
	int index;

	if (!p->variants_known)
		return true;
	index = service_find_variant(s, name);
	if (index < 0)
		reader_problem(p->reader, at, "unknown variant '%s' of %s; it has %s", name, s->name,
			       service_variant_names(s, names, sizeof(names)));
	else if (!s->variants[index].backend_count)
		reader_problem(p->reader, at,
			       "%s of %s has no backends, so that it cannot take part in a rollout: give it some, or "
			       "write another variant",
			       name, s->name);
	return index >= 0 && s->variants[index].backend_count;
}

static int read_variant(struct plan_builder *p, const struct field *f, char ret[NAME_SIZE])
{
	static const char hint[] = "the name of one of the service's variants";
	const char *text;

	if (reader_text(p->reader, f, hint, &text))
		return -EINVAL;
	if (!text_is_name(text)) {
		reader_refuse(p->reader, f, hint);
		return -EINVAL;
	}
	if (!check_variant(p, f->node->start_mark, text))
		return -EINVAL;
	strcpy(ret, text);
	return 0;
}

static void read_pair(struct plan_builder *p, const struct field *stable, const struct field *candidate)
{
	struct rollout_plan *plan = p->plan;

	if (read_variant(p, stable, plan->stable) || read_variant(p, candidate, plan->candidate))
		return;
	if (!strcmp(plan->stable, plan->candidate))
		reader_problem(p->reader, candidate->node->start_mark,
			       "%s of %s is %s, as stable is: write the variant that is to take its place",
			       candidate->key, candidate->of, plan->candidate);
}

/* --- arms --- */

static int find_arm(const struct rollout_plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->arm_count; i++)
		if (!strcmp(plan->arms[i].variant, name))
			return i;
	return -1;
}

static void read_arm(struct plan_builder *p, const struct field *f)
{
	struct rollout_plan *plan = p->plan;
	struct arm_plan *arm = &plan->arms[plan->arm_count];

	if (find_arm(plan, f->key) >= 0)
		reader_problem(p->reader, f->at, "arm %s is there twice: write it once", f->key);
	else if (check_variant(p, f->at, f->key) && !reader_number(p->reader, f, 1, WEIGHT_MAX, &arm->share)) {
		strcpy(arm->variant, f->key);
		plan->arm_count++;
	}
}

/* All traffic is the arms' to divide. */
static void check_others(struct plan_builder *p, const struct field *f)
{
	const struct service_model *s = p->service;

	for (size_t i = 0; i < s->variant_count && p->variants_known; i++) {
		const struct variant_model *v = &s->variants[i];

		if (v->weight && find_arm(p->plan, v->name) < 0)
			reader_problem(p->reader, f->at,
				       "%s of %s has weight %u and is no arm: write it as one, or give it weight 0",
				       v->name, s->name, v->weight);
	}
}

static void read_arms(struct plan_builder *p, const struct field *f)
{
	const yaml_node_pair_t *pairs;
	size_t count;

	if (reader_map(p->reader, f, ARMS_HINT, &pairs, &count))
		return;
	if (count < 2 || count > PLAN_ARMS_MAX) {
		reader_problem(p->reader, f->node->start_mark, "%s of %s are %zu: write from 2 to %u, as %s", f->key,
			       f->of, count, PLAN_ARMS_MAX, ARMS_HINT);
		return;
	}
	for (size_t i = 0; i < count && !p->reader->stopped; i++) {
		struct field arm;

		if (!reader_entry(p->reader, &pairs[i], f->key, &arm)) {
			arm.of = f->key;
			read_arm(p, &arm);
		}
	}
	if (p->plan->arm_count == count)
		check_others(p, f);
}

/* --- strategies --- */

static void read_canary(struct plan_builder *p, const struct field *f, const struct field fields[KEYS])
{
	const struct field *steps = &fields[STEPS], *by_weight = &fields[BY_WEIGHT];
	uint32_t max_weight = PLAN_ALL;

	read_pair(p, &fields[STABLE], &fields[CANDIDATE]);
	plan_read_share(p, &fields[MAX_WEIGHT], &max_weight);
	if (steps->node && by_weight->node)
		reader_problem(p->reader, by_weight->at, "%s has steps and step_weight: write one of them",
			       by_weight->of);
	else if (by_weight->node)
		plan_read_step_weight(p, by_weight, max_weight);
	else if (steps->node)
		plan_read_steps(p, steps, max_weight);
	else
		reader_problem(p->reader, f->at,
			       "%s has no steps: write steps: [{weight: 5}, {pause: 10m}, {weight: 100}], or "
			       "step_weight: 10",
			       steps->of);
}

/* Once all backends of the candidate are well, it gets everything, and is watched. */
static void read_blue_green(struct plan_builder *p, const struct field *f, const struct field fields[KEYS])
{
	uint64_t watch_ms = DEFAULT_WATCH_MS;

	read_pair(p, &fields[STABLE], &fields[CANDIDATE]);
	plan_read_steps(p, &fields[STEPS], 0);
	reader_time(p->reader, &fields[WATCH], 100, PLAN_TIME_MAX_MS, &watch_ms);
	if (plan_add_step(p, f->at, STEP_HEALTHY, 0, 0) && plan_add_step(p, f->at, STEP_SWITCH, PLAN_ALL, 0))
		plan_add_step(p, f->at, STEP_WATCH, PLAN_ALL, watch_ms);
}

static void read_ab_test(struct plan_builder *p, const struct field *f, const struct field fields[KEYS])
{
	const struct field *winner = &fields[PROMOTE_WINNER];
	struct rollout_plan *plan = p->plan;
	uint64_t duration_ms = 0;
	uint32_t samples = 0;

	read_arms(p, &fields[ARMS]);
	reader_time(p->reader, &fields[DURATION], 100, PLAN_TIME_MAX_MS, &duration_ms);
	reader_number(p->reader, &fields[SAMPLES], 1, UINT32_MAX, &samples);
	if (!fields[DURATION].node && !fields[SAMPLES].node)
		reader_problem(p->reader, f->at,
			       "%s has no end: write duration: 24h, samples: 10000, or both for whichever comes first",
			       fields[DURATION].of);
	plan_read_bool(p, winner, &plan->promote_winner);
	if (plan->promote_winner && !p->has_metrics)
		reader_problem(p->reader, winner->node->start_mark,
			       "%s of %s has no metric to find one by: write analysis: {metrics: [..]}, or "
			       "promote_winner: false",
			       winner->key, winner->of);
	if (plan_add_step(p, f->at, STEP_ARMS, 0, duration_ms))
		plan->steps[plan->step_count - 1].samples = samples;
}

static void read_shadow(struct plan_builder *p, const struct field *f, const struct field fields[KEYS])
{
	if (fields[STEPS].node)
		plan_read_steps(p, &fields[STEPS], 0);
	else
		reader_problem(p->reader, f->at, "%s has no steps: write steps: [{shadow: 20, for: 10m}]",
			       fields[STEPS].of);
}

#define OF(strategy) (1U << STRATEGY_##strategy)

/* False: the strategy lacks one of its keys. Those that it does not know are problems, no more. */
static bool check_keys(struct plan_builder *p, const struct field *f, const struct field fields[KEYS])
{
	static const struct {
		int key;
		unsigned int known_by, needed_by;
		const char *example;
	} keys[] = {
		{STABLE, OF(CANARY) | OF(BLUE_GREEN), OF(CANARY) | OF(BLUE_GREEN), "stable: blue"},
		{CANDIDATE, OF(CANARY) | OF(BLUE_GREEN), OF(CANARY) | OF(BLUE_GREEN), "candidate: green"},
		{STEPS, OF(CANARY) | OF(BLUE_GREEN) | OF(SHADOW), 0, NULL},
		{BY_WEIGHT, OF(CANARY), 0, NULL},
		{MAX_WEIGHT, OF(CANARY), 0, NULL},
		{WATCH, OF(BLUE_GREEN), 0, NULL},
		{ARMS, OF(AB_TEST), OF(AB_TEST), "arms: with " ARMS_HINT},
		{DURATION, OF(AB_TEST), 0, NULL},
		{SAMPLES, OF(AB_TEST), 0, NULL},
		{PROMOTE_WINNER, OF(AB_TEST), 0, NULL},
	};
	unsigned int mine = 1U << p->plan->strategy;
	bool complete = true;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct field *key = &fields[keys[i].key];

		if (key->node && !(keys[i].known_by & mine))
			reader_problem(p->reader, key->at, "%s of %s has no meaning with strategy: %s: remove it",
				       key->key, key->of, name_of_strategy(p->plan->strategy));
		if (key->node || !(keys[i].needed_by & mine))
			continue;
		reader_problem(p->reader, f->at, "%s has no %s: write %s", key->of, key->key, keys[i].example);
		complete = false;
	}
	return complete;
}

/* --- what all have --- */

/* The least time in which a step can end, by what is written of it. */
static uint64_t least_time_ms(const struct rollout_plan *plan, const struct step_plan *step)
{
	uint64_t judged_ms = plan->analysis.metric_count && step->kind != STEP_SHADOW
				     ? (uint64_t)plan->analysis.initial_delay_ms + plan->analysis.interval_ms
				     : 0;

	if (step->kind == STEP_WEIGHT)
		return judged_ms;
	return step->duration_ms > judged_ms || !step->duration_ms ? step->duration_ms : judged_ms;
}

/* A deadline that is not written gives way to long steps; one that is written must leave them time. */
static void read_deadline(struct plan_builder *p, const struct field *f)
{
	struct rollout_plan *plan = p->plan;
	const struct step_plan *last = &plan->steps[plan->step_count - 1];
	uint64_t longest_ms = 0, deadline_ms;
	const char *text;

	for (size_t i = 0; i < plan->step_count; i++) {
		uint64_t ms = least_time_ms(plan, &plan->steps[i]);

		longest_ms = ms > longest_ms ? ms : longest_ms;
	}
	/* Nobody knows how long samples take. */
	if (last->kind != STEP_ARMS || last->duration_ms)
		plan->progress_deadline_ms = longest_ms + DEFAULT_DEADLINE_MS;
	if (reader_text(p->reader, f, DEADLINE_HINT, &text))
		return;
	if (!strcmp(text, "off")) {
		plan->progress_deadline_ms = 0;
	} else if (text_time(text, PLAN_TIME_MAX_MS, &deadline_ms) || deadline_ms < 1000) {
		reader_refuse(p->reader, f, DEADLINE_HINT);
	} else {
		plan->progress_deadline_ms = deadline_ms;
		if (deadline_ms <= longest_ms)
			reader_problem(p->reader, f->node->start_mark,
				       "%s of %s is not longer than a step that takes %llus: write more than that, or "
				       "off",
				       f->key, f->of, (unsigned long long)(longest_ms + 999) / 1000);
	}
}

static void read_plan(struct plan_builder *p, const struct field *f)
{
	static const char *const strategies[] = {"canary", "blue_green", "ab_test", "shadow"};
	static const char *const failures[] = {"rollback", "freeze"};
	static void (*const read_strategy[])(struct plan_builder * p, const struct field *f, const struct field *) = {
		[STRATEGY_CANARY] = read_canary,
		[STRATEGY_BLUE_GREEN] = read_blue_green,
		[STRATEGY_AB_TEST] = read_ab_test,
		[STRATEGY_SHADOW] = read_shadow,
	};
	struct field fields[KEYS] = {
		[STRATEGY] = {.key = "strategy", .required = "strategy: canary, blue_green, ab_test or shadow"},
		[STABLE] = {.key = "stable"},
		[CANDIDATE] = {.key = "candidate"},
		[STEPS] = {.key = "steps"},
		[BY_WEIGHT] = {.key = "step_weight"},
		[MAX_WEIGHT] = {.key = "max_weight"},
		[WATCH] = {.key = "watch"},
		[ARMS] = {.key = "arms"},
		[DURATION] = {.key = "duration"},
		[SAMPLES] = {.key = "samples"},
		[PROMOTE_WINNER] = {.key = "promote_winner"},
		[DEADLINE] = {.key = "progress_deadline"},
		[ON_FAILURE] = {.key = "on_failure"},
		[ANALYSIS] = {.key = "analysis"},
		[HOOKS] = {.key = "hooks"},
		[NOTIFY] = {.key = "notify"},
	};
	char title[PLAN_TITLE_SIZE];
	int strategy = 0, on_failure = FAILURE_ROLLBACK;

	snprintf(title, sizeof(title), "rollout of %s", p->service->name);
	if (reader_fields(p->reader, f, title, fields, KEYS))
		return;
	reader_choice(p->reader, &fields[ON_FAILURE], failures, ARRAY_SIZE(failures), &on_failure);
	p->plan->on_failure = on_failure;
	plan_read_hooks(p, &fields[HOOKS]);
	plan_read_notify(p, &fields[NOTIFY]);
	if (reader_choice(p->reader, &fields[STRATEGY], strategies, ARRAY_SIZE(strategies), &strategy))
		return;
	p->plan->strategy = strategy;
	plan_read_analysis(p, &fields[ANALYSIS]);
	if (check_keys(p, f, fields))
		read_strategy[strategy](p, f, fields);
	if (p->plan->step_count)
		read_deadline(p, &fields[DEADLINE]);
}

int build_rollout(struct builder *b, struct service_model *s, const struct field *f, bool variants_known)
{
	struct plan_builder p = {
		.reader = b->reader,
		.service = s,
		.variants_known = variants_known,
		.forward_known = b->forward_known,
	};

	if (!f->node)
		return 0;
	s->rollout = p.plan = calloc(1, sizeof(*p.plan));
	if (!p.plan)
		return -ENOMEM;
	read_plan(&p, f);
	return 0;
}

int config_load_plan(const char *name, const char *text, size_t length, const struct service_model *s,
		     struct problems *problems, struct rollout_plan **ret)
{
	_cleanup_free_ struct rollout_plan *plan = calloc(1, sizeof(*plan));
	_cleanup_free_ struct reader *reader = calloc(1, sizeof(*reader));
	struct plan_builder p = {
		.reader = reader,
		.service = s,
		.variants_known = true,
		.forward_known = true,
		.plan = plan,
	};
	int err;

	if (!plan || !reader)
		return -ENOMEM;
	err = reader_open(reader, text, length, PLAN_LEAST);
	if (!err) {
		struct field top = {.node = yaml_document_get_root_node(&reader->document)};

		read_plan(&p, &top);
		reader_close(reader);
	}
	if (err == -ENOMEM)
		return err;
	if (reader->problems.count)
		return problem_list_print(&reader->problems, name, problems) ?: -EINVAL;
	*ret = TAKE_PTR(plan);
	return 0;
}
