// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A plan as JSON, by the names of the C fields. */
#include "journal.h"

#include <errno.h>

#include "json_fields.h"

WORDS(strategies, enum strategy, name_of_strategy, STRATEGY_SHADOW + 1);
WORDS(step_kinds, enum step_kind, name_of_step, STEP_KINDS);
WORDS(sources, enum metric_source, name_of_metric_source, SOURCE_PUSH + 1);
WORDS(metric_kinds, enum metric_kind, name_of_metric_kind, METRIC_VALUE + 1);
WORDS(measures, enum measure, name_of_measure, MEASURES);
WORDS(policies, enum policy, name_of_policy, POLICY_ROLLBACK + 1);
WORDS(failure_policies, enum failure_policy, name_of_failure_policy, FAILURE_FREEZE + 1);

/* clang-format off */
FIELDS(step_fields,
	WORD(struct step_plan, kind, step_kinds),
	PLAIN(struct step_plan, share),
	PLAIN(struct step_plan, duration_ms),
	PLAIN(struct step_plan, samples));

FIELDS(metric_fields,
	PLAIN(struct metric_plan, name),
	WORD(struct metric_plan, source, sources),
	WORD(struct metric_plan, kind, metric_kinds),
	WORD(struct metric_plan, measure, measures),
	PLAIN(struct metric_plan, quantile),
	PLAIN(struct metric_plan, has_min),
	PLAIN(struct metric_plan, has_max),
	PLAIN(struct metric_plan, compare),
	PLAIN(struct metric_plan, min),
	PLAIN(struct metric_plan, max),
	PLAIN(struct metric_plan, tolerance),
	PLAIN(struct metric_plan, burst),
	PLAIN(struct metric_plan, lower_is_worse),
	PLAIN(struct metric_plan, range_low),
	PLAIN(struct metric_plan, range_high),
	PLAIN(struct metric_plan, dry_run),
	PLAIN(struct metric_plan, url),
	PLAIN(struct metric_plan, query),
	PLAIN(struct metric_plan, timeout_ms));

FIELDS(analysis_fields,
	PLAIN(struct analysis_plan, interval_ms),
	PLAIN(struct analysis_plan, initial_delay_ms),
	PLAIN(struct analysis_plan, min_samples),
	PLAIN(struct analysis_plan, failure_limit),
	PLAIN(struct analysis_plan, alpha),
	WORD(struct analysis_plan, on_no_data, policies),
	WORD(struct analysis_plan, on_provider_error, policies),
	WORD(struct analysis_plan, on_inconclusive, policies),
	LIST(struct analysis_plan, metrics, metric_count, metric_fields));

FIELDS(hook_fields,
	PLAIN(struct hook_plan, after),
	PLAIN(struct hook_plan, url),
	PLAIN(struct hook_plan, timeout_ms));

FIELDS(notify_fields,
	PLAIN(struct notify_plan, slack),
	PLAIN(struct notify_plan, url),
	PLAIN(struct notify_plan, timeout_ms));

FIELDS(arm_fields,
	PLAIN(struct arm_plan, variant),
	PLAIN(struct arm_plan, share));

FIELDS(plan_fields,
	WORD(struct rollout_plan, strategy, strategies),
	PLAIN(struct rollout_plan, stable),
	PLAIN(struct rollout_plan, candidate),
	LIST(struct rollout_plan, steps, step_count, step_fields),
	STRUCT(struct rollout_plan, analysis, analysis_fields),
	PLAIN(struct rollout_plan, progress_deadline_ms),
	WORD(struct rollout_plan, on_failure, failure_policies),
	LIST(struct rollout_plan, hooks, hook_count, hook_fields),
	LIST(struct rollout_plan, notify, notify_count, notify_fields),
	LIST(struct rollout_plan, arms, arm_count, arm_fields),
	PLAIN(struct rollout_plan, promote_winner));
/* clang-format on */

json_t *plan_to_json(const struct rollout_plan *plan)
{
	return fields_to_json(&plan_fields, plan);
}

int plan_from_json(const json_t *json, struct rollout_plan *ret)
{
	_cleanup_free_ struct rollout_plan *plan = calloc(1, sizeof(*plan));
	int err;

	if (!plan)
		return -ENOMEM;
	err = fields_from_json(&plan_fields, json, plan);
	if (!err)
		*ret = *plan;
	return err;
}
