// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Intervals of an analysis: what was counted from their beginning to their end, what evaluators pushed meanwhile, and
 * what providers say at the end.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "conductor_parts.h"
#include "figures.h"
#include "measured_sample.h"
#include "shadow_figures.h"

struct parties parties_of(const struct rollout_plan *plan)
{
	struct parties parties = {};

	for (size_t i = 0; i < plan->arm_count; i++)
		parties.name[parties.count++] = plan->arms[i].variant;
	if (!parties.count && *plan->stable)
		parties.name[parties.count++] = plan->stable;
	if (parties.count == 1 && *plan->candidate)
		parties.name[parties.count++] = plan->candidate;
	return parties;
}

bool conducted_runs(const struct conducted *one, enum step_kind kind)
{
	const struct rollout_plan *plan = &one->record.plan;
	const struct rollout *r = &one->record.rollout;

	return !rollout_is_over(r->state) && rollout_target(plan, r) == TARGET_STEP &&
	       plan->steps[rollout_step_in_force(r)].kind == kind;
}

/* --- what was counted --- */

int conducted_look(struct conducted *one, struct look *ret)
{
	struct splitter *sp = one->conductor->daemon->splitter;
	const struct service_model *s = conducted_service(one);
	struct parties parties = parties_of(&one->record.plan);
	int error = s ? 0 : -ENOENT;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < parties.count && !error; i++)
		error = figures_of_variant(sp, s, parties.name[i], &ret->figures[i]);
	if (!error && s->shadow.present)
		error = shadow_figures(sp, splitter_service_id(sp, s), &ret->shadow);
	return error;
}

void conducted_note_opened(struct conducted *one)
{
	if (conducted_look(one, &one->upcoming))
		return;
	for (size_t i = 0; i < PLAN_ARMS_MAX; i++)
		one->opened_before[i] = one->upcoming.figures[i].traffic.opened;
}

static size_t baseline_bytes(const struct conducted *one)
{
	return offsetof(struct baseline, party[parties_of(&one->record.plan).count]);
}

int conducted_keep_baseline(struct conducted *one)
{
	int error = journal_set_baseline(one->conductor->journal, one->record.rollout.id, &one->baseline,
					 baseline_bytes(one));

	if (error)
		conducted_trouble(one, "what was measured is not kept, as the journal %s cannot be written: %s",
				  one->conductor->path, strerror(-error));
	return error;
}

void conducted_read_baseline(struct conducted *one)
{
	if (journal_baseline(one->conductor->journal, one->record.rollout.id, &one->baseline, baseline_bytes(one)))
		memset(&one->baseline, 0, sizeof(one->baseline));
}

static void take_look(struct baseline *b, const struct look *look)
{
	b->shadow = look->shadow;
	for (size_t i = 0; i < PLAN_ARMS_MAX; i++)
		b->party[i].figures = look->figures[i];
}

static uint64_t clock_ms(const struct conducted *one)
{
	return one->record.rollout.in_force_ns / NS_PER_MS;
}

void conducted_forget_interval(struct conducted *one)
{
	inquiry_cancel(one->inquiry);
	one->inquiry = NULL;
	one->baseline.there = false;
}

/* What is not known passes nothing: a pass of before must not end a step now. Said once, however long it lasts. */
static void miss_interval(struct conducted *one, int error)
{
	struct rollout_facts *facts = &one->facts;

	conducted_forget_interval(one);
	conducted_trouble(one, "what was measured cannot be read: %s; trying again", strerror(-error));
	if (one->record.rollout.last == JUDGED_ERROR)
		return;
	facts->verdict = JUDGED_ERROR;
	facts->proven = false;
	snprintf(facts->why, sizeof(facts->why), "what was measured cannot be read: %s", strerror(-error));
	conducted_advance(one, &(struct actor){.daemon = true}, NULL);
}

static void begin_interval(struct conducted *one, bool judged)
{
	int error = conducted_look(one, &one->upcoming);

	if (error) {
		miss_interval(one, error);
		return;
	}
	take_look(&one->baseline, &one->upcoming);
	one->record.analysed_ms = clock_ms(one);
	one->baseline.there = true;
	one->baseline.judged = judged;
	conducted_keep_baseline(one);
}

uint64_t conducted_fewest_opened(const struct conducted *one)
{
	uint64_t fewest = UINT64_MAX;

	for (size_t i = 0; i < one->record.plan.arm_count; i++)
		if (one->baseline.party[i].opened < fewest)
			fewest = one->baseline.party[i].opened;
	return fewest;
}

/* --- samples --- */

/* False: something was counted back, and nothing is known. */
static bool count_interval(struct conducted *one, struct measured *delta, struct shadow_counters *shadow)
{
	const struct look *now = &one->upcoming;
	const struct baseline *before = &one->baseline;

	for (size_t i = 0; i < PLAN_ARMS_MAX; i++)
		if (measured_since(&now->figures[i], &before->party[i].figures, &delta[i]))
			return false;
	return !shadow_counted_since(&now->shadow, &before->shadow, shadow);
}

static void take_dataplane(struct conducted *one, size_t metric, const struct measured *delta,
			   const struct shadow_counters *shadow)
{
	const struct metric_plan *m = &one->record.plan.analysis.metrics[metric];
	struct sample *samples = one->samples[metric];

	if (!delta)
		for (size_t i = 0; i < PLAN_ARMS_MAX; i++)
			samples[i] = (struct sample){.trouble = JUDGED_NO_DATA};
	else if (conducted_runs(one, STEP_SHADOW))
		shadow_sample(m, shadow, &samples[PARTY_CANDIDATE], &samples[PARTY_STABLE]);
	else
		for (size_t i = 0; i < PLAN_ARMS_MAX; i++)
			measured_sample(m, &delta[i], &samples[i]);
}

static void take_pushed(struct conducted *one, size_t metric)
{
	for (size_t i = 0; i < PLAN_ARMS_MAX; i++)
		provider_take_pushed(&one->baseline.party[i].pushed[metric], &one->samples[metric][i]);
}

static void take_asked(struct conducted *one, size_t metric, const struct inquired *asked)
{
	size_t count = parties_of(&one->record.plan).count;

	for (size_t i = 0; i < PLAN_ARMS_MAX; i++) {
		one->samples[metric][i] = (struct sample){.trouble = JUDGED_NO_DATA};
		if (!asked || i >= count)
			continue;
		one->samples[metric][i] = asked[metric * count + i].sample;
		if (*asked[metric * count + i].why && !*one->trouble_of[metric])
			memcpy(one->trouble_of[metric], asked[metric * count + i].why, PROVIDER_WHY_SIZE);
	}
}

/* A shadow that gets nothing cannot be judged, and says why. */
static void take_pause(struct conducted *one)
{
	const struct service_model *s = conducted_service(one);

	if (!conducted_runs(one, STEP_SHADOW) || !s || s->shadow.state != SHADOW_PAUSED)
		return;
	for (size_t metric = 0; metric < one->record.plan.analysis.metric_count; metric++) {
		for (size_t i = 0; i < PLAN_ARMS_MAX; i++)
			one->samples[metric][i] = (struct sample){.trouble = JUDGED_ERROR};
		snprintf(one->trouble_of[metric], PROVIDER_WHY_SIZE, "the shadow is paused: %.130s", s->shadow.reason);
	}
}

static void take_samples(struct conducted *one, const struct measured *delta, const struct shadow_counters *shadow,
			 const struct inquired *asked)
{
	const struct analysis_plan *a = &one->record.plan.analysis;

	memset(one->trouble_of, 0, sizeof(one->trouble_of));
	for (size_t i = 0; i < a->metric_count; i++) {
		if (a->metrics[i].source == SOURCE_DATAPLANE)
			take_dataplane(one, i, delta, shadow);
		else if (a->metrics[i].source == SOURCE_PUSH)
			take_pushed(one, i);
		else
			take_asked(one, i, asked);
	}
	take_pause(one);
}

/* --- the end of an interval --- */

/* All that is known of the interval is there: it is judged, and the next one has begun when it was counted. */
static void end_interval(struct conducted *one, const struct inquired *asked)
{
	_cleanup_free_ struct measured *delta = calloc(PLAN_ARMS_MAX, sizeof(*delta));
	_cleanup_free_ struct shadow_counters *shadow = calloc(1, sizeof(*shadow));
	const struct rollout_plan *plan = &one->record.plan;
	uint64_t opened[PLAN_ARMS_MAX] = {};
	enum beside beside = BESIDE_STABLE;
	bool judged = rollout_is_judged(plan, &one->record.rollout, &beside), known;

	known = delta && shadow && count_interval(one, delta, shadow);
	take_samples(one, known ? delta : NULL, shadow, asked);
	for (size_t i = 0; known && i < PLAN_ARMS_MAX; i++) {
		opened[i] = delta[i].traffic.opened;
		one->baseline.party[i].opened += opened[i];
	}
	take_look(&one->baseline, &one->upcoming);
	one->record.analysed_ms = one->upcoming_ms;
	one->facts.verdict = conducted_judge(one, judged, beside, opened);
	/* Before the record that has it, so that nothing is counted twice. */
	conducted_keep_baseline(one);
	if (one->facts.verdict && journal_analysis(one->conductor->journal, &one->record, one->candidate, one->stable,
						   one->results, one->facts.verdict))
		conducted_trouble(one, "its analyses are not kept, as the journal %s cannot be written",
				  one->conductor->path);
	conducted_advance(one, &(struct actor){.daemon = true}, NULL);
}

static void on_inquired(void *context, const struct inquired *results)
{
	struct conducted *one = context;

	one->inquiry = NULL;
	if (one->conductor->daemon->ending)
		return;
	end_interval(one, results);
	sd_event_source_set_time(one->timer, 0);
}

static void close_interval(struct conducted *one)
{
	struct parties parties = parties_of(&one->record.plan);
	int error = conducted_look(one, &one->upcoming);

	if (error) {
		miss_interval(one, error);
		return;
	}
	one->upcoming_ms = clock_ms(one);
	if (!conducted_runs(one, STEP_SHADOW) && parties.count)
		error = inquiry_start(one->conductor->requests, &one->record.plan.analysis, one->record.rollout.service,
				      parties.name, parties.count, on_inquired, one, &one->inquiry);
	if (error)
		conducted_trouble(one, "its providers cannot be asked: %s; trying again", strerror(-error));
	if (!one->inquiry)
		end_interval(one, NULL);
}

/* Whether an A/B test counts its connections now, be there metrics or not. */
static bool counts_arms(const struct conducted *one)
{
	return conducted_runs(one, STEP_ARMS) &&
	       one->record.rollout.in_force_ns >= rollout_delay_ns(&one->record.plan, &one->record.rollout);
}

uint64_t conducted_interval_left_ms(const struct conducted *one)
{
	uint64_t interval_ms = one->record.plan.analysis.interval_ms, into_ms;

	if (!one->baseline.there || one->inquiry)
		return UINT64_MAX;
	into_ms = clock_ms(one) - one->record.analysed_ms;
	return into_ms < interval_ms ? interval_ms - into_ms : 0;
}

void conducted_measure(struct conducted *one)
{
	const struct rollout_plan *plan = &one->record.plan;
	const struct rollout *r = &one->record.rollout;
	enum beside beside;
	bool judged = rollout_is_judged(plan, r, &beside) || counts_arms(one);

	if (!judged && !rollout_wants_reference(plan, r)) {
		conducted_forget_interval(one);
		return;
	}
	if (!conducted_in_force(one) || one->inquiry)
		return;
	/* What was measured during the initial delay is not judged. */
	if (!one->baseline.there || one->baseline.judged != judged)
		begin_interval(one, judged);
	else if (!conducted_interval_left_ms(one))
		close_interval(one);
}

/* --- what evaluators push --- */

/* Index of a party, or -1. */
static int find_party(const struct rollout_plan *plan, const char *variant)
{
	struct parties parties = parties_of(plan);

	for (size_t i = 0; i < parties.count; i++)
		if (!strcmp(parties.name[i], variant))
			return i;
	return -1;
}

static int find_metric(const struct analysis_plan *a, const char *name)
{
	for (size_t i = 0; i < a->metric_count; i++)
		if (a->metrics[i].source == SOURCE_PUSH && !strcmp(a->metrics[i].name, name))
			return i;
	return -1;
}

int conductor_push(struct conductor *c, const char *service, const char *metric, const char *variant,
		   const json_t *input, struct refusal *why)
{
	struct conducted *one = conductor_going_on(c, service);
	int m = one ? find_metric(&one->record.plan.analysis, metric) : -1;
	int party = one ? find_party(&one->record.plan, variant) : -1;
	struct pushed *p, before;
	uint64_t taken;
	int error;

	if (!one)
		return refuse(why, ENOENT, "no rollout of %s is going on: nothing is measured", service);
	if (m < 0)
		return refuse(why, ENOENT, "the rollout of %s has no metric %.64s with source push", service, metric);
	if (party < 0)
		return refuse(why, ENOENT, "the rollout of %s does not compare %.64s", service, variant);
	p = &one->baseline.party[party].pushed[m];
	before = *p;
	error = provider_push(&one->record.plan.analysis.metrics[m], input, p, why);
	if (error)
		return error;
	taken = p->trials - before.trials;
	error = conducted_keep_baseline(one);
	if (!error)
		return taken < INT32_MAX ? (int)taken : INT32_MAX;
	*p = before;
	return refuse(why, -error, "the journal %s cannot be written: %s; nothing was taken", c->path,
		      strerror(-error));
}
