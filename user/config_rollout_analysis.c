// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* "analysis" of a rollout: how often, how strictly, and what is done when it comes to nothing. */
#include <errno.h>
#include <string.h>

#include "config_plan.h"

#define METRICS_HINT "a list, as [{name: error-rate, source: dataplane, compare: stable, tolerance: 1.25}]"
#define ALPHA_HINT "a probability from 0.000001 to 0.2, as 0.01"
#define INTERVAL_MIN_MS 100U
#define INTERVAL_MAX_MS (24 * 3600000U)
#define MIN_SAMPLES_MAX 1000000000U
#define FAILURES_MAX 1000U

enum { INTERVAL, DELAY, MIN_SAMPLES, FAILURE_LIMIT, ALPHA, NO_DATA, PROVIDER_ERROR, INCONCLUSIVE, METRICS, KEYS };

static void set_defaults(struct analysis_plan *a)
{
	a->interval_ms = 30000;
	a->min_samples = 100;
	a->failure_limit = 1;
	a->alpha = 0.01;
}

static void read_policy(struct plan_builder *p, const struct field *f, enum policy *ret)
{
	static const char *const policies[] = {"hold", "pause", "rollback"};
	int choice;

	if (!reader_choice(p->reader, f, policies, ARRAY_SIZE(policies), &choice))
		*ret = choice;
}

static void read_metrics(struct plan_builder *p, const struct field *f)
{
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(p->reader, f, METRICS_HINT, &items, &count))
		return;
	if (count > PLAN_METRICS_MAX) {
		reader_problem(p->reader, f->at, "%s of %s are %zu: write at most %u", f->key, f->of, count,
			       PLAN_METRICS_MAX);
		return;
	}
	for (size_t i = 0; i < count && !p->reader->stopped; i++) {
		struct field item = reader_item(p->reader, items[i], "a metric", f->of);

		plan_read_metric(p, &item);
	}
}

void plan_read_analysis(struct plan_builder *p, const struct field *f)
{
	struct field fields[KEYS] = {
		[INTERVAL] = {.key = "interval"},
		[DELAY] = {.key = "initial_delay"},
		[MIN_SAMPLES] = {.key = "min_samples"},
		[FAILURE_LIMIT] = {.key = "failure_limit"},
		[ALPHA] = {.key = "alpha"},
		[NO_DATA] = {.key = "on_no_data"},
		[PROVIDER_ERROR] = {.key = "on_provider_error"},
		[INCONCLUSIVE] = {.key = "on_inconclusive"},
		[METRICS] = {.key = "metrics", .required = "metrics: with " METRICS_HINT},
	};
	struct analysis_plan *a = &p->plan->analysis;
	char title[PLAN_TITLE_SIZE];
	uint32_t min_samples;

	set_defaults(a);
	snprintf(title, sizeof(title), "analysis of %s", p->service->name);
	if (reader_fields(p->reader, f, title, fields, KEYS))
		return;
	plan_read_time(p, &fields[INTERVAL], INTERVAL_MIN_MS, INTERVAL_MAX_MS, &a->interval_ms);
	plan_read_time(p, &fields[DELAY], 0, INTERVAL_MAX_MS, &a->initial_delay_ms);
	if (!reader_number(p->reader, &fields[MIN_SAMPLES], 1, MIN_SAMPLES_MAX, &min_samples))
		a->min_samples = min_samples;
	reader_number(p->reader, &fields[FAILURE_LIMIT], 1, FAILURES_MAX, &a->failure_limit);
	reader_decimal(p->reader, &fields[ALPHA], 0.000001, 0.2, ALPHA_HINT, &a->alpha);
	read_policy(p, &fields[NO_DATA], &a->on_no_data);
	read_policy(p, &fields[PROVIDER_ERROR], &a->on_provider_error);
	read_policy(p, &fields[INCONCLUSIVE], &a->on_inconclusive);
	read_metrics(p, &fields[METRICS]);
}
