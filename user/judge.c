// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "judge_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

/* One more interval of one metric: judge_metric()'s parameters. */
struct interval {
	const struct analysis_plan *a;
	const struct metric_plan *m;
	enum beside beside;
	const struct sample *candidate, *stable;
	struct metric_state *state;
	double level;
};

uint32_t judge_tests(const struct analysis_plan *a)
{
	uint32_t tests = 0;

	for (size_t i = 0; i < a->metric_count; i++) {
		const struct metric_plan *m = &a->metrics[i];

		if (!m->dry_run && m->kind != METRIC_VALUE)
			tests += m->compare + (m->has_min || m->has_max);
	}
	return tests ?: 1;
}

/* Events in the sense in which they are bad. */
static struct twofold bad_events(uint64_t events, uint64_t trials, bool lower_is_worse)
{
	if (events > trials)
		events = trials;
	return (struct twofold){.events = lower_is_worse ? trials - events : events, .trials = trials};
}

/* --- against min and max ------------------------------------------------------------------------------------------ */

/* How many more events there were than a limit has at most. */
static double over(const struct limit *l)
{
	return (double)l->counts.events - l->share * (double)l->counts.trials;
}

static bool limit_counts(const struct interval *in, double log_ratios[JUDGE_RATIOS])
{
	const struct metric_plan *m = in->m;
	struct metric_state *s = in->state;
	struct limit above, below;

	if (m->kind == METRIC_COUNTS) {
		above.counts = bad_events(in->candidate->events, in->candidate->trials, false);
		above.share = m->max;
		below.counts = bad_events(in->candidate->events, in->candidate->trials, true);
		below.share = 1 - m->min;
	} else {
		const struct histogram *h = &in->candidate->histogram;

		above.counts = (struct twofold){times_from(h, times_round_up(m->max * 1e9)), times_count(h)};
		above.share = 1 - m->quantile;
		below.counts =
			(struct twofold){histogram_count_below(h, times_round_down(m->min * 1e9)), times_count(h)};
		below.share = m->quantile;
	}
	s->step_above += m->has_max ? over(&above) : 0;
	s->step_below += m->has_min ? over(&below) : 0;
	return counts_limited(m->has_max ? &above : NULL, m->has_min ? &below : NULL, burst_of(m), log_ratios);
}

static bool limit_scores(const struct interval *in, double log_ratios[JUDGE_RATIOS])
{
	const struct metric_plan *m = in->m;
	double min = m->has_min ? scores_scale_one(m, m->min) : NAN;
	double max = m->has_max ? scores_scale_one(m, m->max) : NAN;
	struct scores one;

	if (!scores_scale(m, in->candidate, &one))
		return false;
	/* Where higher is worse, scaling turns them round. */
	if (m->has_min)
		in->state->step_below += (m->lower_is_worse ? 1 : -1) * ((double)one.trials * min - one.sum);
	if (m->has_max)
		in->state->step_above += (m->lower_is_worse ? 1 : -1) * (one.sum - (double)one.trials * max);
	return scores_limited(&one, &in->state->candidate, m->lower_is_worse ? min : max, m->lower_is_worse ? max : min,
			      log_ratios);
}

static void judge_limits(const struct interval *in)
{
	double log_ratios[JUDGE_RATIOS];
	bool known = in->m->kind == METRIC_SCORES ? limit_scores(in, log_ratios) : limit_counts(in, log_ratios);

	if (known)
		evidence_add(&in->state->limited, log_ratios);
}

/* --- beside stable ------------------------------------------------------------------------------------------------ */

/* Counts, or times as counts of those above a bound that is known from before. False: it is not known yet. */
static bool fourfold_of(const struct interval *in, struct fourfold *ret, double *ret_tolerance)
{
	const struct metric_plan *m = in->m;
	struct twofold candidate, stable;
	uint64_t bound_ns;

	if (m->kind == METRIC_COUNTS) {
		candidate = bad_events(in->candidate->events, in->candidate->trials, m->lower_is_worse);
		stable = bad_events(in->stable->events, in->stable->trials, m->lower_is_worse);
		*ret_tolerance = fmax(1, m->tolerance);
	} else {
		const struct histogram *c = &in->candidate->histogram, *s = &in->stable->histogram;

		if (times_quantile_bound(&in->state->stable.histogram, m->quantile, &bound_ns))
			return false;
		stable = (struct twofold){times_from(s, bound_ns), times_count(s)};
		bound_ns = times_round_up((1 + m->tolerance) * (double)bound_ns);
		candidate = (struct twofold){times_from(c, bound_ns), times_count(c)};
		*ret_tolerance = 1;
	}
	*ret = (struct fourfold){candidate.events, candidate.trials, stable.events, stable.trials};
	return true;
}

/* Mantel and Haenszel's estimate of a common odds ratio is above the tolerated one where the sum of these is above 0.
 */
static double mantel_haenszel(const struct fourfold *f, double tolerance)
{
	double candidate = f->candidate_trials, stable = f->stable_trials;
	double worse = (double)f->candidate_events * (stable - (double)f->stable_events);
	double better = (double)f->stable_events * (candidate - (double)f->candidate_events);

	return (worse - tolerance * better) / (candidate + stable);
}

static bool beside_counts(const struct interval *in, double log_ratios[JUDGE_RATIOS], bool *ret_known)
{
	double tolerance;
	struct fourfold f;

	if (!fourfold_of(in, &f, &tolerance))
		return false;
	in->state->step_compared += mantel_haenszel(&f, tolerance);
	*ret_known = counts_compared(&f, tolerance, burst_of(in->m), log_ratios);
	return true;
}

static bool beside_scores(const struct interval *in, double log_ratios[JUDGE_RATIOS], bool *ret_known)
{
	struct tolerated tolerated = scores_tolerated(in->m);
	struct scores candidate, stable;
	double least, weight;

	if (!scores_scale(in->m, in->candidate, &candidate) || !scores_scale(in->m, in->stable, &stable))
		return false;
	least = tolerated.slope * stable.sum / (double)stable.trials + tolerated.offset;
	weight = 1 / (1 + (double)candidate.trials / (double)stable.trials);
	in->state->step_compared += weight * ((double)candidate.trials * least - candidate.sum);
	*ret_known =
		scores_compared(&candidate, &stable, &in->state->candidate, &in->state->stable, tolerated, log_ratios);
	return true;
}

/* --- beside what stable did before the switch ----------------------------------------------------------------------
 */

/* The share that has @tolerance times the odds. */
static double share_of_odds(double share, double tolerance)
{
	return tolerance * share / (1 - share + tolerance * share);
}

/*
 * As against a limit, which is a bound of what stable did. The bound is wrong with JUDGE_REFERENCE_PART of the level,
 * which is why the test has the rest.
 */
static bool reference_counts(const struct interval *in, double level, double log_ratios[JUDGE_RATIOS])
{
	const struct arm_total *stable = &in->state->stable;
	const struct metric_plan *m = in->m;
	struct twofold before = bad_events(stable->events, stable->trials, m->lower_is_worse);
	struct limit limit = {.counts = bad_events(in->candidate->events, in->candidate->trials, m->lower_is_worse)};
	double burst = burst_of(m), low, high;

	bounds_of_share((double)before.events / burst, (double)before.trials / burst, level, &low, &high);
	limit.share = share_of_odds((double)before.events / (double)before.trials, fmax(1, m->tolerance));
	in->state->step_compared += over(&limit);
	limit.share = share_of_odds(high, fmax(1, m->tolerance));
	return counts_limited(&limit, NULL, burst, log_ratios);
}

static bool reference_times(const struct interval *in, double level, double log_ratios[JUDGE_RATIOS])
{
	const struct metric_plan *m = in->m;
	const struct histogram *one = &in->candidate->histogram, *before = &in->state->stable.histogram;
	struct limit limit = {.counts.trials = times_count(one), .share = 1 - m->quantile};
	uint64_t bound_ns;
	double low_s, high_s;

	if (times_quantile_bound(before, m->quantile, &bound_ns))
		return false;
	limit.counts.events = times_from(one, times_round_up((1 + m->tolerance) * (double)bound_ns));
	in->state->step_compared += over(&limit);
	bounds_of_quantile(before, m->quantile, level, &low_s, &high_s);
	limit.counts.events = times_from(one, times_round_up((1 + m->tolerance) * high_s * 1e9));
	return counts_limited(&limit, NULL, 1, log_ratios);
}

static bool reference_scores(const struct interval *in, double level, double log_ratios[JUDGE_RATIOS])
{
	const struct arm_total *stable = &in->state->stable;
	struct tolerated tolerated = scores_tolerated(in->m);
	double low, high, least;
	struct scores one;

	if (!scores_scale(in->m, in->candidate, &one))
		return false;
	least = tolerated.slope * stable->sum / (double)stable->trials + tolerated.offset;
	in->state->step_compared += (double)one.trials * least - one.sum;
	bounds_of_mean(stable, level, &low, &high);
	return scores_limited(&one, &in->state->candidate, tolerated.slope * low + tolerated.offset, NAN, log_ratios);
}

static bool beside_reference(const struct interval *in, double log_ratios[JUDGE_RATIOS])
{
	double level = JUDGE_REFERENCE_PART * in->level;

	switch (in->m->kind) {
	case METRIC_COUNTS:
		return reference_counts(in, level, log_ratios);
	case METRIC_TIMES:
		return reference_times(in, level, log_ratios);
	case METRIC_SCORES:
		return reference_scores(in, level, log_ratios);
	case METRIC_VALUE:
		break;
	}
	return false;
}

/* Whether there was something to compare with. */
static bool judge_compared(const struct interval *in)
{
	double log_ratios[JUDGE_RATIOS];
	bool known = false, compared = true;

	if (in->beside == BESIDE_REFERENCE)
		known = beside_reference(in, log_ratios);
	else if (in->m->kind == METRIC_SCORES)
		compared = beside_scores(in, log_ratios, &known);
	else
		compared = beside_counts(in, log_ratios, &known);
	if (known)
		evidence_add(&in->state->compared, log_ratios);
	return compared;
}

/* --- a verdict ---------------------------------------------------------------------------------------------------- */

/* The side that lacks what is needed, and how. JUDGED_NOTHING: none does. */
static enum judged missing(const struct interval *in, const char **ret_whose)
{
	const struct metric_plan *m = in->m;

	*ret_whose = "the candidate";
	if (in->candidate->trouble == JUDGED_ERROR)
		return JUDGED_ERROR;
	if (!sample_count(m, in->candidate))
		return JUDGED_NO_DATA;
	*ret_whose = "stable";
	if (!m->compare)
		return JUDGED_NOTHING;
	if (in->beside == BESIDE_REFERENCE)
		return in->state->stable.trials ? JUDGED_NOTHING : JUDGED_NO_DATA;
	if (in->stable->trouble == JUDGED_ERROR)
		return JUDGED_ERROR;
	return sample_count(m, in->stable) ? JUDGED_NOTHING : JUDGED_NO_DATA;
}

static void explain_missing(const char *whose, struct metric_result *ret)
{
	if (ret->verdict == JUDGED_ERROR)
		snprintf(ret->why, sizeof(ret->why), "no usable answer for %s", whose);
	else
		snprintf(ret->why, sizeof(ret->why), "nothing was measured of %s in this interval", whose);
}

/* The test that is nearer to its proof is the one that is shown. True: it is the one against min or max. */
static bool show_evidence(const struct interval *in, struct metric_result *ret)
{
	const struct metric_plan *m = in->m;
	double part = (1 - JUDGE_REFERENCE_PART) * in->level;
	const struct evidence *compared = &in->state->compared, *limited = &in->state->limited;
	bool limit = m->has_min || m->has_max;

	if (m->kind == METRIC_VALUE || (!limit && !m->compare))
		return limit;
	if (m->compare && limit) {
		bool proven = fmax(compared->highest * part, limited->highest * in->level) >= 1;

		limit = proven ? limited->highest * in->level >= compared->highest * part
			       : evidence_now(limited) * in->level > evidence_now(compared) * part;
	}
	ret->needed = 1 / (limit ? in->level : part);
	ret->proven = (limit ? limited : compared)->highest >= ret->needed;
	ret->evidence = ret->proven ? (limit ? limited : compared)->highest : evidence_now(limit ? limited : compared);
	return limit;
}

static void show_totals(const struct interval *in, struct metric_result *ret)
{
	const struct metric_state *s = in->state;

	total_shown(in->m, &s->candidate, in->level, &ret->candidate, &ret->candidate_low, &ret->candidate_high);
	total_shown(in->m, &s->stable, in->level, &ret->stable, &ret->stable_low, &ret->stable_high);
	ret->candidate_samples = s->candidate.trials;
	ret->stable_samples = s->stable.trials;
	ret->evidence = ret->needed = NAN;
}

/* Samples in this step are too few for a pass. */
static bool too_few(const struct interval *in)
{
	uint64_t needed = in->a->min_samples ?: 1, stable = in->state->step_stable;

	if (in->beside == BESIDE_REFERENCE)
		stable = in->state->stable.trials;
	return in->state->step_candidate < needed || (in->m->compare && stable < needed);
}

static void judge_samples(const struct interval *in, struct metric_result *ret)
{
	bool beside_stable = in->m->compare && in->beside == BESIDE_STABLE, compared = false, limit;
	struct metric_state *s = in->state;
	const char *whose;
	enum judged lacks = missing(in, &whose);
	uint64_t candidate = sample_count(in->m, in->candidate);

	if (candidate && (in->m->has_min || in->m->has_max))
		judge_limits(in);
	if (lacks == JUDGED_NOTHING && in->m->compare)
		compared = judge_compared(in);
	judge_arm(in->m, in->candidate, &s->candidate);
	if (in->beside == BESIDE_STABLE)
		judge_arm(in->m, in->stable, &s->stable);
	if (lacks == JUDGED_NOTHING && (compared || !in->m->compare)) {
		s->step_candidate += candidate;
		s->step_stable += beside_stable ? sample_count(in->m, in->stable) : 0;
	}
	show_totals(in, ret);
	limit = show_evidence(in, ret);
	ret->verdict = JUDGED_PASS;
	if (ret->proven)
		ret->verdict = JUDGED_FAIL;
	else if (lacks != JUDGED_NOTHING)
		ret->verdict = lacks;
	else if (too_few(in) || s->step_compared > 0 || s->step_above > 0 || s->step_below > 0) {
		ret->verdict = JUDGED_INCONCLUSIVE;
		limit = !(s->step_compared > 0);
	}
	if (!ret->proven && lacks != JUDGED_NOTHING)
		explain_missing(whose, ret);
	else if (!ret->proven && too_few(in))
		judge_explain_few(s, in->a->min_samples, beside_stable, ret);
	else
		judge_explain(in->m, in->beside, limit, ret);
}

static bool value_is_worse(const struct interval *in)
{
	const struct metric_plan *m = in->m;
	double value = in->candidate->value, beside = in->state->stable.value;
	double tolerated = m->tolerance * fabs(beside);

	if (!m->compare)
		return false;
	return m->lower_is_worse ? value < beside - tolerated : value > beside + tolerated;
}

static void judge_value(const struct interval *in, struct metric_result *ret)
{
	const struct metric_plan *m = in->m;
	double value = in->candidate->value;
	const char *whose;
	enum judged lacks = missing(in, &whose);
	bool beyond = (m->has_max && value > m->max) || (m->has_min && value < m->min);

	judge_arm(m, in->candidate, &in->state->candidate);
	if (in->beside == BESIDE_STABLE)
		judge_arm(m, in->stable, &in->state->stable);
	show_totals(in, ret);
	if (lacks != JUDGED_NOTHING) {
		ret->verdict = lacks;
		explain_missing(whose, ret);
		return;
	}
	ret->verdict = beyond || value_is_worse(in) ? JUDGED_FAIL : JUDGED_PASS;
	judge_explain(m, in->beside, beyond || !m->compare, ret);
}

void judge_metric(const struct analysis_plan *a, const struct metric_plan *m, enum beside beside,
		  const struct sample *candidate, const struct sample *stable, struct metric_state *state,
		  struct metric_result *ret)
{
	struct interval in = {
		.a = a,
		.m = m,
		.beside = beside,
		.candidate = candidate,
		.stable = stable,
		.state = state,
		.level = a->alpha / judge_tests(a),
	};

	memset(ret, 0, sizeof(*ret));
	if (m->kind == METRIC_VALUE)
		judge_value(&in, ret);
	else
		judge_samples(&in, ret);
}

void judge_new_step(struct metric_state *state)
{
	state->step_candidate = state->step_stable = 0;
	state->step_compared = state->step_above = state->step_below = 0;
}

void judge_reference(struct metric_state *state)
{
	memset(&state->candidate, 0, sizeof(state->candidate));
	judge_new_step(state);
}

enum judged judge_all(const struct analysis_plan *a, const struct metric_result *results)
{
	static const enum judged order[] = {JUDGED_FAIL,    JUDGED_VOID,         JUDGED_ERROR,
					    JUDGED_NO_DATA, JUDGED_INCONCLUSIVE, JUDGED_PASS};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		for (size_t k = 0; k < a->metric_count; k++) {
			if (!a->metrics[k].dry_run && results[k].verdict == order[i])
				return order[i];
		}
	}
	return JUDGED_NOTHING;
}
