// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a rollout's record means for the service: weights, shadow, and what of it is judged. */
#include <string.h>

#include "rollout_parts.h"

#define NS_PER_MS 1000000ULL

enum target rollout_target(const struct rollout_plan *plan, const struct rollout *r)
{
	switch (r->state) {
	case ROLLOUT_PROGRESSING:
	case ROLLOUT_PAUSED:
	case ROLLOUT_WAITING_APPROVAL:
		break;
	case ROLLOUT_FAILED:
		if (!r->frozen)
			return TARGET_BEFORE;
		if (r->step < plan->step_count)
			break;
		__attribute__((fallthrough)); /* it was promoting */
	case ROLLOUT_PROMOTING:
	case ROLLOUT_SUCCEEDED:
		if (plan->strategy == STRATEGY_SHADOW || (plan->strategy == STRATEGY_AB_TEST && r->winner < 0))
			return TARGET_BEFORE;
		return TARGET_ALL;
	default:
		return TARGET_BEFORE;
	}
	return r->step == 0 && r->phase == PHASE_BEFORE ? TARGET_BEFORE : TARGET_STEP;
}

uint32_t rollout_step_in_force(const struct rollout *r)
{
	return r->phase == PHASE_BEFORE ? r->step - 1 : r->step;
}

static uint32_t arms_share(const struct rollout_plan *plan)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < plan->arm_count; i++)
		sum += plan->arms[i].share;
	return sum ? PLAN_ALL * (sum - plan->arms[0].share) / sum : 0;
}

uint32_t rollout_share(const struct rollout_plan *plan, const struct rollout *r)
{
	enum target target = rollout_target(plan, r);

	if (target != TARGET_STEP)
		return target == TARGET_ALL ? PLAN_ALL : 0;
	for (uint32_t i = rollout_step_in_force(r) + 1; i-- > 0;) {
		if (plan->steps[i].kind == STEP_WEIGHT)
			return plan->steps[i].share;
		if (plan->steps[i].kind == STEP_SWITCH)
			return PLAN_ALL;
		if (plan->steps[i].kind == STEP_ARMS)
			return arms_share(plan);
	}
	return 0;
}

/* --- weights ------------------------------------------------------------------------------------------------------ */

/* Who divides up what they have together. */
struct members {
	const char *name[PLAN_ARMS_MAX];
	uint64_t share[PLAN_ARMS_MAX];
	size_t count;
	uint64_t all; /* sum of the shares */
};

static int find_member(const struct members *m, const char *variant)
{
	for (size_t i = 0; i < m->count; i++)
		if (!strcmp(m->name[i], variant))
			return i;
	return -1;
}

static void add_member(struct members *m, const char *variant, uint64_t share)
{
	m->name[m->count] = variant;
	m->share[m->count++] = share;
	m->all += share;
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Divides by what all have in common; and where that is not enough, scales down to WEIGHT_MAX, each rounded to the
 * nearest, but nobody who has something to nothing. */
static void fit_weights(uint64_t *weights, size_t count)
{
	uint64_t divisor = 0, most = 0;

	for (size_t i = 0; i < count; i++) {
		divisor = greatest_divisor(divisor, weights[i]);
		most = weights[i] > most ? weights[i] : most;
	}
	if (most <= WEIGHT_MAX)
		return;
	most /= divisor;
	for (size_t i = 0; i < count; i++) {
		weights[i] /= divisor;
		if (most > WEIGHT_MAX && weights[i]) {
			weights[i] = (weights[i] * WEIGHT_MAX + most / 2) / most;
			weights[i] += !weights[i];
		}
	}
}

/*
 * Members get their shares of what they had together before, all others keep what they had. All is multiplied by the
 * smallest factor that makes it whole: with 100 and 0 before, 5 % come to 95 and 5. No product overflows: shares of
 * arms are weights, at most WEIGHT_MAX each.
 */
static void spread(const struct rollout *r, const struct members *m, struct rollout_wanted *ret)
{
	uint64_t weights[VARIANTS_MAX], together = 0, divisor = m->all;

	for (size_t i = 0; i < r->before_count; i++)
		if (find_member(m, r->before[i].variant) >= 0)
			together += r->before[i].weight;
	for (size_t i = 0; i < m->count; i++)
		divisor = greatest_divisor(divisor, together * m->share[i]);
	for (size_t i = 0; i < r->before_count; i++) {
		int member = find_member(m, r->before[i].variant);

		weights[i] =
			member >= 0 ? together * m->share[member] / divisor : r->before[i].weight * (m->all / divisor);
	}
	fit_weights(weights, r->before_count);
	for (size_t i = 0; i < r->before_count; i++)
		ret->weights[i].weight = weights[i];
}

static void want_weights(const struct rollout_plan *plan, const struct rollout *r, struct rollout_wanted *ret)
{
	enum target target = rollout_target(plan, r);
	struct members m = {.count = 0};

	for (size_t i = 0; i < r->before_count; i++) {
		memcpy(ret->weights[i].variant, r->before[i].variant, NAME_SIZE);
		ret->weights[i].weight = r->before[i].weight;
	}
	ret->weight_count = r->before_count;
	if (target == TARGET_BEFORE)
		return;
	if (plan->strategy == STRATEGY_AB_TEST) {
		for (size_t i = 0; i < plan->arm_count; i++)
			add_member(&m, plan->arms[i].variant,
				   target == TARGET_ALL ? (int)i == r->winner : plan->arms[i].share);
	} else {
		uint32_t share = rollout_share(plan, r);

		add_member(&m, plan->stable, PLAN_ALL - share);
		add_member(&m, plan->candidate, share);
	}
	spread(r, &m, ret);
}

void rollout_wanted(const struct rollout_plan *plan, const struct rollout *r, struct rollout_wanted *ret)
{
	const struct step_plan *step = NULL;

	memset(ret, 0, sizeof(*ret));
	if (plan->strategy != STRATEGY_SHADOW)
		want_weights(plan, r, ret);
	ret->rollback = !r->by_person && !r->frozen && (r->state == ROLLOUT_ROLLING_BACK || r->state == ROLLOUT_FAILED);
	for (size_t i = 0; i < plan->step_count; i++)
		ret->shadow |= plan->steps[i].kind == STEP_SHADOW;
	if (!ret->shadow)
		return;
	if (rollout_target(plan, r) == TARGET_STEP)
		step = &plan->steps[rollout_step_in_force(r)];
	if (step && step->kind == STEP_SHADOW) {
		ret->shadow_state = SHADOW_ON;
		ret->sample = step->share;
	} else {
		ret->shadow_state = r->shadow_before;
		ret->sample = r->sample_before;
	}
}

/* --- what is judged ----------------------------------------------------------------------------------------------- */

uint64_t rollout_delay_ns(const struct rollout_plan *plan, const struct rollout *r)
{
	switch (plan->steps[rollout_step_in_force(r)].kind) {
	case STEP_WEIGHT:
	case STEP_SHADOW:
	case STEP_SWITCH:
	case STEP_WATCH: /* begins with the switch, which ends at once */
	case STEP_ARMS:
		return plan->analysis.initial_delay_ms * NS_PER_MS;
	default:
		return 0;
	}
}

/* Of a shadow is known what it answered and how soon, in the data path alone. */
static bool shadow_has(const struct metric_plan *m)
{
	return m->source == SOURCE_DATAPLANE &&
	       (m->measure == MEASURE_ERROR_RATE || m->measure == MEASURE_5XX || m->measure == MEASURE_FIRST_BYTE);
}

bool rollout_measures(const struct rollout_plan *plan, const struct rollout *r, const struct metric_plan *m)
{
	if (rollout_target(plan, r) != TARGET_STEP)
		return false;
	if (plan->steps[rollout_step_in_force(r)].kind == STEP_SHADOW)
		return shadow_has(m);
	return m->source != SOURCE_DATAPLANE || rollout_share(plan, r);
}

/* @deciding: leaves out metrics that are only shown. */
static bool any_metric(const struct rollout_plan *plan, const struct rollout *r, bool deciding)
{
	for (size_t i = 0; i < plan->analysis.metric_count; i++) {
		const struct metric_plan *m = &plan->analysis.metrics[i];

		if (!(deciding && m->dry_run) && rollout_measures(plan, r, m))
			return true;
	}
	return false;
}

static bool any_deciding_metric(const struct analysis_plan *a)
{
	for (size_t i = 0; i < a->metric_count; i++)
		if (!a->metrics[i].dry_run)
			return true;
	return false;
}

bool rollout_needs_pass(const struct rollout_plan *plan, const struct rollout *r)
{
	switch (plan->steps[r->step].kind) {
	case STEP_ANALYSIS: /* what cannot be measured does not pass */
		return any_deciding_metric(&plan->analysis);
	case STEP_SHADOW:
		return any_metric(plan, r, true);
	case STEP_WEIGHT:
	case STEP_PAUSE:
	case STEP_WATCH:
		return rollout_share(plan, r) && any_metric(plan, r, true);
	default:
		return false;
	}
}

bool rollout_is_judged(const struct rollout_plan *plan, const struct rollout *r, enum beside *ret)
{
	enum step_kind kind;
	bool judged;

	if (rollout_is_over(r->state) || rollout_target(plan, r) != TARGET_STEP || !plan->analysis.metric_count)
		return false;
	kind = plan->steps[rollout_step_in_force(r)].kind;
	if (kind == STEP_ANALYSIS)
		judged = true;
	else
		judged = (kind == STEP_SHADOW || rollout_share(plan, r)) && any_metric(plan, r, false);
	if (!judged || r->in_force_ns < rollout_delay_ns(plan, r))
		return false;
	*ret = kind != STEP_SHADOW && kind != STEP_ARMS && rollout_share(plan, r) == PLAN_ALL ? BESIDE_REFERENCE
											      : BESIDE_STABLE;
	return true;
}

bool rollout_wants_reference(const struct rollout_plan *plan, const struct rollout *r)
{
	bool compares = false;

	if (rollout_is_over(r->state) || rollout_target(plan, r) != TARGET_STEP || rollout_share(plan, r))
		return false;
	for (size_t i = 0; i < plan->analysis.metric_count; i++)
		compares |= plan->analysis.metrics[i].compare;
	for (size_t i = rollout_step_in_force(r) + 1; compares && i < plan->step_count; i++)
		if (plan->steps[i].kind == STEP_SWITCH)
			return true;
	return false;
}
