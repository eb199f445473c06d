// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the samples of an interval come to. */
#include <math.h>
#include <string.h>

#include "conductor_parts.h"

static bool compares_arms(const struct conducted *one)
{
	return conducted_runs(one, STEP_ARMS);
}

/* --- an A/B test's arms --- */

/* All arms but the control together; of values the worst. */
static void add_arm(const struct metric_plan *m, const struct sample *one, struct sample *sum)
{
	bool first = sum->trouble;

	if (one->trouble)
		return;
	if (first) {
		*sum = *one;
		return;
	}
	sum->trials += one->trials;
	sum->events += one->events;
	sum->sum += one->sum;
	sum->squares += one->squares;
	sum->histogram.sum_ns += one->histogram.sum_ns;
	sum->histogram.count += one->histogram.count;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		sum->histogram.bucket[i] += one->histogram.bucket[i];
	sum->value = m->lower_is_worse ? fmin(sum->value, one->value) : fmax(sum->value, one->value);
}

static void join_arms(struct conducted *one, size_t metric)
{
	const struct rollout_plan *plan = &one->record.plan;
	struct sample *joined = &one->candidate[metric];

	*joined = one->samples[metric][1];
	for (size_t arm = 2; arm < plan->arm_count; arm++)
		add_arm(&plan->analysis.metrics[metric], &one->samples[metric][arm], joined);
	for (size_t arm = 0; arm < plan->arm_count; arm++)
		judge_arm(&plan->analysis.metrics[metric], &one->samples[metric][arm], &one->record.arms[metric][arm]);
}

void conducted_find_winner(struct conducted *one)
{
	const struct rollout_plan *plan = &one->record.plan;

	one->facts.winner = -1;
	if (plan->strategy != STRATEGY_AB_TEST)
		return;
	for (size_t i = 0; i < plan->analysis.metric_count; i++)
		judge_arms(&plan->analysis, &plan->analysis.metrics[i], one->record.arms[i], plan->arm_count,
			   one->arms[i]);
	one->facts.winner = judge_winner(&plan->analysis, one->arms, plan->arm_count);
}

/* --- the split --- */

static const char *why_unchecked(const struct conducted *one, const struct service_model *s)
{
	if (one->record.plan.strategy == STRATEGY_SHADOW || conducted_runs(one, STEP_SHADOW))
		return "a shadow's connections are production's";
	if (s->affinity != AFFINITY_CONNECTION)
		return "with affinity: client it is clients that are divided up, and they open different numbers of "
		       "connections";
	if (s->cohort_count)
		return "cohorts give clients to variants beside the weights";
	if (!available_for(s->forward, s->protocol).opened)
		return "this mode does not know how many connections were opened";
	return NULL;
}

/* The candidate's share by its weight, or that of all arms but the control. */
static double expected_share(const struct conducted *one, const struct service_model *s)
{
	struct parties parties = parties_of(&one->record.plan);
	double sum = 0, others = 0;

	for (size_t i = 0; i < parties.count; i++) {
		int v = service_find_variant(s, parties.name[i]);
		double weight = v < 0 ? 0 : s->variants[v].weight;

		sum += weight;
		others += i ? weight : 0;
	}
	return sum > 0 ? others / sum : 0;
}

static void check_ratio(struct conducted *one, const uint64_t opened[PLAN_ARMS_MAX])
{
	const struct service_model *s = conducted_service(one);
	struct ratio_state *state = &one->record.ratio;
	uint64_t both[2] = {opened[0], 0};
	double share[2];

	one->ratio = (struct ratio_result){
		.why = s ? why_unchecked(one, s) : "the service is gone", .expected = NAN, .actual = NAN};
	if (one->ratio.why)
		return;
	share[1] = expected_share(one, s);
	share[0] = 1 - share[1];
	one->ratio.expected = share[1];
	if (!(share[0] > 0 && share[1] > 0)) {
		one->ratio.why = "one variant has all connections";
		return;
	}
	for (size_t i = 1; i < PLAN_ARMS_MAX; i++)
		both[1] += opened[i];
	one->ratio.checked = true;
	one->ratio.is_void = judge_ratio(state, both, share);
	if (state->opened[0] + state->opened[1])
		one->ratio.actual = (double)state->opened[1] / (double)(state->opened[0] + state->opened[1]);
}

/* --- metrics --- */

void conducted_new_step(struct conducted *one)
{
	for (size_t i = 0; i < one->record.plan.analysis.metric_count; i++)
		judge_new_step(&one->record.metrics[i]);
	memset(&one->record.ratio, 0, sizeof(one->record.ratio));
	for (size_t i = 0; i < PLAN_ARMS_MAX; i++)
		one->baseline.party[i].opened = 0;
	one->record.analysed_ms = 0;
	conducted_forget_interval(one);
}

uint64_t conducted_reference_needed(const struct analysis_plan *a, const struct metric_plan *m)
{
	if (!m->compare || m->dry_run)
		return 0;
	return m->kind == METRIC_VALUE ? 1 : a->min_samples;
}

bool conducted_has_reference(const struct conducted *one)
{
	const struct analysis_plan *a = &one->record.plan.analysis;

	if (!rollout_wants_reference(&one->record.plan, &one->record.rollout))
		return true;
	for (size_t i = 0; i < a->metric_count; i++) {
		if (one->record.metrics[i].stable.trials < conducted_reference_needed(a, &a->metrics[i]))
			return false;
	}
	return true;
}

static const struct metric_result unknown = {
	.candidate = NAN,
	.candidate_low = NAN,
	.candidate_high = NAN,
	.stable = NAN,
	.stable_low = NAN,
	.stable_high = NAN,
	.evidence = NAN,
	.needed = NAN,
};

void conducted_know_nothing(struct conducted *one)
{
	for (size_t i = 0; i < PLAN_METRICS_MAX; i++)
		one->results[i] = unknown;
}

/* A provider's own words are better than that there was no value. */
static void explain_trouble(struct conducted *one, size_t metric)
{
	struct metric_result *result = &one->results[metric];

	if ((result->verdict == JUDGED_ERROR || result->verdict == JUDGED_NO_DATA) && *one->trouble_of[metric])
		snprintf(result->why, sizeof(result->why), "%s", one->trouble_of[metric]);
}

static void judge_one(struct conducted *one, size_t i, enum beside beside)
{
	const struct analysis_plan *a = &one->record.plan.analysis;

	judge_metric(a, &a->metrics[i], beside, &one->candidate[i], &one->stable[i], &one->record.metrics[i],
		     &one->results[i]);
	explain_trouble(one, i);
}

static void explain_verdict(struct conducted *one, enum judged verdict)
{
	const struct analysis_plan *a = &one->record.plan.analysis;
	struct rollout_facts *facts = &one->facts;

	facts->proven = false;
	*facts->why = '\0';
	if (verdict == JUDGED_VOID)
		snprintf(facts->why, sizeof(facts->why), "%.2f %% of the connections are where %.2f %% should be",
			 one->ratio.actual * 100, one->ratio.expected * 100);
	for (size_t i = 0; i < a->metric_count && verdict != JUDGED_VOID; i++) {
		const struct metric_result *result = &one->results[i];

		if (a->metrics[i].dry_run || result->verdict != verdict)
			continue;
		facts->proven |= result->proven;
		if (!*facts->why || result->proven)
			snprintf(facts->why, sizeof(facts->why), "%.63s: %.150s", a->metrics[i].name, result->why);
	}
}

enum judged conducted_judge(struct conducted *one, bool judged, enum beside beside,
			    const uint64_t opened[PLAN_ARMS_MAX])
{
	const struct rollout_plan *plan = &one->record.plan;
	const struct sample none = {.trouble = JUDGED_NO_DATA};
	bool reference = rollout_wants_reference(plan, &one->record.rollout), arms = compares_arms(one);
	enum judged verdict;
	struct metric_result unused;

	for (size_t i = 0; i < plan->analysis.metric_count; i++) {
		one->stable[i] = one->samples[i][PARTY_STABLE];
		one->candidate[i] = one->samples[i][PARTY_CANDIDATE];
		if (arms)
			join_arms(one, i);
		if (judged && beside == BESIDE_REFERENCE && !one->baseline.referenced)
			judge_reference(&one->record.metrics[i]);
		if (judged)
			one->results[i] = unknown;
		if (judged && rollout_measures(plan, &one->record.rollout, &plan->analysis.metrics[i]))
			judge_one(one, i, beside);
		else if (reference)
			judge_metric(&plan->analysis, &plan->analysis.metrics[i], BESIDE_STABLE, &none, &one->stable[i],
				     &one->record.metrics[i], &unused);
	}
	conducted_find_winner(one);
	if (!judged)
		return JUDGED_NOTHING;
	one->baseline.referenced = beside == BESIDE_REFERENCE;
	one->analysed = true;
	check_ratio(one, opened);
	verdict = judge_all(&plan->analysis, one->results);
	if (one->ratio.is_void && verdict != JUDGED_FAIL && verdict != JUDGED_NOTHING)
		verdict = JUDGED_VOID;
	explain_verdict(one, verdict);
	return verdict;
}
