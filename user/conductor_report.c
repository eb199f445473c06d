// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is told of a rollout: docs/api.md has the shape. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "backends.h"
#include "conductor_parts.h"
#include "json_fields.h"
#include "metrics.h"

static json_t *text_or_null(const char *text)
{
	return *text ? json_string(text) : json_null();
}

/* --- steps --- */

static const char *step_state(const struct rollout *r, size_t step)
{
	if (r->state == ROLLOUT_SUCCEEDED || step < r->step)
		return "done";
	return step == r->step ? "current" : "ahead";
}

static json_t *report_steps(const struct rollout_plan *plan, const struct rollout *r)
{
	json_t *steps = json_array();

	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step_plan *step = &plan->steps[i];
		bool has_share = step->kind == STEP_WEIGHT || step->kind == STEP_SHADOW;

		json_array_append_new(steps,
				      json_pack("{s:s, s:o, s:o, s:s}", "kind", name_of_step(step->kind), "share",
						has_share ? json_real(step->share / 100.0) : json_null(), "for_s",
						step->duration_ms ? json_real(step->duration_ms / 1e3) : json_null(),
						"state", step_state(r, i)));
	}
	return steps;
}

/* --- shares of the pair --- */

static uint64_t slots_of(const struct splitter *sp, const char *service, const char *variant)
{
	struct id_list ids = backends_of(sp, service, variant);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < ids.count; i++)
		sum += sp->backends[ids.id[i]].slots;
	return sum;
}

/* In percent of what both have. */
static json_t *share_of(uint64_t stable, uint64_t others)
{
	return stable + others ? json_real(100.0 * (double)others / (double)(stable + others)) : json_null();
}

static json_t *report_share(struct conducted *one)
{
	const struct rollout_plan *plan = &one->record.plan;
	const struct splitter *sp = one->conductor->daemon->splitter;
	const struct service_model *s = conducted_service(one);
	struct parties parties = parties_of(plan);
	uint64_t slots[2] = {}, opened[2] = {}, active[2] = {};
	struct available has = {};
	_cleanup_free_ struct look *look = calloc(1, sizeof(*look));

	if (!look)
		return NULL;
	if (s && !conducted_look(one, look))
		has = available_for(s->forward, s->protocol);
	for (size_t i = 0; s && i < parties.count; i++) {
		uint64_t counted = look->figures[i].traffic.opened, before = one->opened_before[i];

		slots[i > 0] += slots_of(sp, s->name, parties.name[i]);
		opened[i > 0] += counted > before ? counted - before : 0;
		active[i > 0] += look->figures[i].active;
	}
	return json_pack("{s:f, s:o, s:o, s:o}", "asked", rollout_share(plan, &one->record.rollout) / 100.0, "slots",
			 share_of(slots[0], slots[1]), "opened",
			 has.opened ? share_of(opened[0], opened[1]) : json_null(), "active",
			 has.active ? share_of(active[0], active[1]) : json_null());
}

/* --- analysis --- */

static json_t *report_metrics(const struct conducted *one)
{
	const struct analysis_plan *a = &one->record.plan.analysis;
	json_t *metrics;

	if (!one->analysed && one->results_kept)
		return json_incref(one->results_kept);
	metrics = json_array();
	for (size_t i = 0; i < a->metric_count; i++)
		json_array_append_new(metrics, metric_to_json(&a->metrics[i], &one->results[i]));
	return metrics;
}

static json_t *report_analysis(const struct conducted *one)
{
	const struct analysis_plan *a = &one->record.plan.analysis;
	const struct rollout *r = &one->record.rollout;
	const struct ratio_result *ratio = &one->ratio;
	uint64_t left_ms = conducted_interval_left_ms(one);

	return json_pack("{s:f, s:f, s:I, s:o, s:s, s:i, s:i, s:{s:b, s:s, s:o, s:o, s:b}, s:o}", "interval_s",
			 a->interval_ms / 1e3, "alpha", a->alpha, "made", (json_int_t)r->analyses, "next_in_s",
			 left_ms == UINT64_MAX ? json_null() : json_real(left_ms / 1e3), "last",
			 name_of_judged(r->last), "failures", (int)r->step_failures, "failure_limit",
			 (int)a->failure_limit, "ratio", "checked", ratio->checked, "why",
			 ratio->why ?: (one->analysed ? "" : "nothing was analysed yet"), "expected",
			 json_finite(one->analysed ? ratio->expected : NAN), "actual",
			 json_finite(one->analysed ? ratio->actual : NAN), "void", ratio->is_void, "metrics",
			 report_metrics(one));
}

static json_t *report_arm(const char *variant, const struct arm_result *arm)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "variant", variant, "value",
			 json_finite(arm->value), "low", json_finite(arm->low), "high", json_finite(arm->high),
			 "difference", json_finite(arm->difference), "difference_low", json_finite(arm->difference_low),
			 "difference_high", json_finite(arm->difference_high), "verdict", name_of_judged(arm->verdict));
}

/* Of an A/B test. What was measured is in the record: a daemon that took it up knows it, too. */
static json_t *report_result(const struct conducted *one)
{
	const struct rollout_plan *plan = &one->record.plan;
	int winner = one->record.rollout.winner >= 0 ? one->record.rollout.winner : one->facts.winner;
	json_t *metrics;

	if (plan->strategy != STRATEGY_AB_TEST)
		return json_null();
	metrics = json_array();
	for (size_t i = 0; i < plan->analysis.metric_count; i++) {
		json_t *arms = json_array();

		for (size_t arm = 0; arm < plan->arm_count; arm++)
			json_array_append_new(arms, report_arm(plan->arms[arm].variant, &one->arms[i][arm]));
		json_array_append_new(metrics,
				      json_pack("{s:s, s:o}", "name", plan->analysis.metrics[i].name, "arms", arms));
	}
	return json_pack("{s:o, s:o}", "metrics", metrics, "winner",
			 winner >= 0 ? json_string(plan->arms[winner].variant) : json_null());
}

/* --- what it waits for --- */

static json_t *wait_for_switch(const struct conducted *one)
{
	const struct analysis_plan *a = &one->record.plan.analysis;
	const char *lacks = conducted_lacks_health(one);

	for (size_t i = 0; !lacks && i < a->metric_count; i++) {
		uint64_t trials = one->record.metrics[i].stable.trials;
		uint64_t needed = conducted_reference_needed(a, &a->metrics[i]);

		if (trials < needed)
			return json_sprintf("samples of %s for the time behind the switch: %s has %llu of %llu",
					    one->record.plan.stable, a->metrics[i].name, (unsigned long long)trials,
					    (unsigned long long)needed);
	}
	return json_sprintf("the backends of %s %s", one->record.plan.candidate, lacks ?: "to be switched to");
}

static json_t *wait_for_pass(const struct conducted *one)
{
	const struct analysis_plan *a = &one->record.plan.analysis;

	for (size_t i = 0; one->analysed && i < a->metric_count; i++) {
		const struct metric_result *result = &one->results[i];

		if (!a->metrics[i].dry_run && result->verdict > JUDGED_PASS)
			return json_sprintf("an analysis that passes; %s: %s", a->metrics[i].name, result->why);
	}
	return json_string("an analysis that passes");
}

static json_t *wait_for_time(const struct conducted *one, const struct step_plan *step)
{
	uint64_t ran_ms = one->record.rollout.step_ran_ns / NS_PER_MS;
	char left[DURATION_TEXT_SIZE];

	if (ran_ms >= step->duration_ms)
		return NULL;
	return json_sprintf("the end of its time, in %s",
			    rollout_duration_text((step->duration_ms - ran_ms + 999) / 1000 * 1000, left));
}

static json_t *wait_for_arms(const struct conducted *one, const struct step_plan *step)
{
	json_t *time = wait_for_time(one, step), *both;

	if (!step->samples)
		return time;
	both = json_sprintf("%llu connections of each arm, of which one has %llu%s%s",
			    (unsigned long long)step->samples, (unsigned long long)conducted_fewest_opened(one),
			    time ? ", or " : "", time ? json_string_value(time) : "");
	json_decref(time);
	return both;
}

static json_t *wait_for_step(const struct conducted *one)
{
	const struct rollout_plan *plan = &one->record.plan;
	const struct step_plan *step = &plan->steps[one->record.rollout.step];
	json_t *text;

	if (step->kind == STEP_HEALTHY)
		return wait_for_switch(one);
	text = step->kind == STEP_ARMS ? wait_for_arms(one, step) : wait_for_time(one, step);
	if (!text && rollout_needs_pass(plan, &one->record.rollout))
		text = wait_for_pass(one);
	return text;
}

/* NULL: nothing, or it is over. */
static json_t *waits_for(const struct conducted *one)
{
	const struct rollout *r = &one->record.rollout;
	bool after;

	if (*one->trouble)
		return json_string(one->trouble);
	if (rollout_is_over(r->state))
		return NULL;
	if (r->state == ROLLOUT_PAUSED)
		return json_sprintf("`headgate rollout resume %s`", r->service);
	if (r->state == ROLLOUT_WAITING_APPROVAL)
		return json_sprintf("approval: `headgate rollout approve %s`", r->service);
	if (rollout_asks_hooks(&one->record.plan, r, &after))
		return json_sprintf("hooks %s the step%s%s", after ? "after" : "before",
				    *one->facts.hook_why ? ": " : "", one->facts.hook_why);
	return r->step < one->record.plan.step_count ? wait_for_step(one) : NULL;
}

/* --- all of it --- */

static json_t *deadline_in(const struct conducted *one)
{
	const struct rollout *r = &one->record.rollout;
	uint64_t deadline_ns = one->record.plan.progress_deadline_ms * NS_PER_MS;

	if (!deadline_ns || rollout_is_over(r->state))
		return json_null();
	return json_real(deadline_ns > r->without_progress_ns ? (deadline_ns - r->without_progress_ns) / 1e9 : 0);
}

static json_t *report_rollout(struct conducted *one)
{
	const struct rollout_plan *plan = &one->record.plan;
	const struct rollout *r = &one->record.rollout;
	json_t *waits = waits_for(one);

	return json_pack("{s:I, s:s, s:s, s:s, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "id", (json_int_t)r->id, "strategy", name_of_strategy(plan->strategy), "state",
			 name_of_rollout_state(r->state), "phase", name_of_step_phase(r->phase), "cause",
			 json_text(r->cause), "stable", text_or_null(plan->stable), "candidate",
			 text_or_null(plan->candidate), "step", (int)r->step, "steps", report_steps(plan, r), "began",
			 text_or_null(one->began), "ended", text_or_null(one->ended), "step_ran_s",
			 r->step_ran_ns / 1e9, "deadline_in_s", deadline_in(one), "by", text_or_null(one->by), "share",
			 report_share(one), "analysis", report_analysis(one), "waits_for", waits ?: json_null(),
			 "result", report_result(one));
}

json_t *conductor_report(struct conductor *c, const char *service)
{
	struct conducted *one = conductor_find(c, service);

	return json_pack("{s:s, s:o}", "service", service, "rollout", one ? report_rollout(one) : json_null());
}

json_t *conductor_report_all(struct conductor *c)
{
	const struct model *model = c->daemon->splitter->model;
	json_t *reports = json_array();

	for (size_t i = 0; i < model->service_count; i++)
		if (conductor_find(c, model->services[i].name))
			json_array_append_new(reports, conductor_report(c, model->services[i].name));
	return reports;
}

int conductor_metrics(const struct conductor *c, const char *service, struct metrics_rollout **ret)
{
	const struct conducted *one = c->first;
	struct metrics_rollout *m;

	while (one && strcmp(one->record.rollout.service, service))
		one = one->next;
	if (!one)
		return 0;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->state = one->record.rollout.state;
	m->step = one->record.rollout.step;
	m->step_count = one->record.plan.step_count;
	m->share = (double)rollout_share(&one->record.plan, &one->record.rollout) / PLAN_ALL;
	m->analyses = one->record.rollout.analyses;
	m->troubled = *one->trouble;
	m->metric_count = one->record.plan.analysis.metric_count;
	for (size_t i = 0; i < m->metric_count; i++) {
		memcpy(m->metrics[i].name, one->record.plan.analysis.metrics[i].name, NAME_SIZE);
		m->metrics[i].verdict = one->results[i].verdict;
		m->metrics[i].evidence = one->results[i].evidence;
		m->metrics[i].needed = one->results[i].needed;
	}
	*ret = m;
	return 0;
}
