// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Drives a rollout as the daemon does, but for its time and its measurements. */
#include "simulation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "simulation_parts.h"

#define NS_PER_MS 1000000ULL

/* One rollout on its way. */
struct run {
	const struct simulation *s;
	struct rollout r;
	struct draws draws;
	uint64_t began_ns;
	uint64_t analysed_ns;                    /* of in_force_ns: when the running interval began */
	uint64_t connections[PLAN_ARMS_MAX];     /* in this interval: stable and candidate, or by arm */
	uint64_t arm_connections[PLAN_ARMS_MAX]; /* since the step began */
	size_t played;                           /* of the recording */
	bool beside_reference;
	struct metric_state states[PLAN_METRICS_MAX];
	struct metric_result results[PLAN_METRICS_MAX];
	struct sample candidate[PLAN_METRICS_MAX], stable[PLAN_METRICS_MAX];
	struct arm_total arms[PLAN_METRICS_MAX][PLAN_ARMS_MAX];
	int winner;
	struct simulation_end end;
};

static uint64_t virtual_ms(const struct run *run)
{
	return (run->r.now_ns - run->began_ns) / NS_PER_MS;
}

static void tell(const struct run *run, bool analysed, enum judged verdict)
{
	const struct simulated what = {.at_ms = virtual_ms(run),
				       .rollout = &run->r,
				       .analysed = analysed,
				       .verdict = verdict,
				       .results = run->results};

	if (run->s->told)
		run->s->told(run->s->context, &what);
}

static enum step_kind running_kind(const struct run *run)
{
	const struct rollout *r = &run->r;

	return r->step < run->s->plan->step_count ? run->s->plan->steps[r->step].kind : STEP_KINDS;
}

static bool arms_run(const struct run *run)
{
	return running_kind(run) == STEP_ARMS && run->r.phase == PHASE_RUNNING && run->r.state == ROLLOUT_PROGRESSING;
}

/* --- traffic ------------------------------------------------------------------------------------------------------ */

/* New connections in so much time go where the weights have them go. */
static void let_connect(struct run *run, uint64_t passed_ns)
{
	const struct rollout_plan *plan = run->s->plan;
	uint64_t all = draw_poisson(&run->draws, run->s->rate * (double)passed_ns / 1e9), candidate, left = 0;

	if (!arms_run(run)) {
		candidate = draw_binomial(&run->draws, all, (double)rollout_share(plan, &run->r) / PLAN_ALL);
		run->connections[0] += all - candidate;
		run->connections[1] += candidate;
		run->end.to_candidate += candidate;
		return;
	}
	for (size_t i = 0; i < plan->arm_count; i++)
		left += plan->arms[i].share;
	for (size_t i = 0; i < plan->arm_count; i++) {
		uint64_t here = draw_binomial(&run->draws, all, (double)plan->arms[i].share / (double)left);

		run->connections[i] += here;
		run->arm_connections[i] += here;
		run->end.to_candidate += i ? here : 0;
		all -= here;
		left -= plan->arms[i].share;
	}
}

static uint64_t fewest_connections(const struct run *run)
{
	uint64_t fewest = UINT64_MAX;

	for (size_t i = 0; i < run->s->plan->arm_count; i++)
		if (run->arm_connections[i] < fewest)
			fewest = run->arm_connections[i];
	return fewest;
}

/* --- analyses ----------------------------------------------------------------------------------------------------- */

static bool play(struct run *run)
{
	const struct simulation *s = run->s;

	if (run->played >= s->recorded_count) {
		run->end.stop = SIMULATION_UNPLAYED;
		return false;
	}
	memcpy(run->candidate, s->recording[run->played].candidate, sizeof(run->candidate));
	memcpy(run->stable, s->recording[run->played++].stable, sizeof(run->stable));
	return true;
}

/* Of a shadow so many were mirrored; an evaluator that judges a candidate without traffic looks at as many as of
 * stable. */
static uint64_t of_candidate(struct run *run, const struct metric_plan *m)
{
	const struct step_plan *step = &run->s->plan->steps[run->r.step];

	if (step->kind == STEP_SHADOW)
		return draw_binomial(&run->draws, run->connections[0] + run->connections[1],
				     (double)step->share / PLAN_ALL);
	if (m->source != SOURCE_DATAPLANE && !rollout_share(run->s->plan, &run->r))
		return run->connections[0];
	return run->connections[1];
}

static void draw_samples(struct run *run)
{
	const struct simulation *s = run->s;
	uint64_t at_ms = virtual_ms(run);

	for (size_t i = 0; i < s->plan->analysis.metric_count; i++) {
		const struct metric_plan *m = &s->plan->analysis.metrics[i];

		simulation_sample(&run->draws, m, &s->candidate[i], at_ms, of_candidate(run, m), &run->candidate[i]);
		simulation_sample(&run->draws, m, &s->stable[i], at_ms, run->connections[0], &run->stable[i]);
	}
}

static enum judged judge(struct run *run, enum beside beside)
{
	const struct rollout_plan *plan = run->s->plan;
	const struct analysis_plan *a = &plan->analysis;

	for (size_t i = 0; i < a->metric_count; i++) {
		if (beside == BESIDE_REFERENCE && !run->beside_reference)
			judge_reference(&run->states[i]);
		run->results[i] = (struct metric_result){.verdict = JUDGED_NOTHING};
		if (rollout_measures(plan, &run->r, &a->metrics[i]))
			judge_metric(a, &a->metrics[i], beside, &run->candidate[i], &run->stable[i], &run->states[i],
				     &run->results[i]);
	}
	run->beside_reference = beside == BESIDE_REFERENCE;
	return judge_all(a, run->results);
}

/* Stable is measured for the time behind the switch. */
static void measure_reference(struct run *run)
{
	const struct analysis_plan *a = &run->s->plan->analysis;
	const struct sample none = {.trouble = JUDGED_NO_DATA};
	struct metric_result result;

	for (size_t i = 0; i < a->metric_count; i++)
		judge_metric(a, &a->metrics[i], BESIDE_STABLE, &none, &run->stable[i], &run->states[i], &result);
}

static bool reference_is_there(const struct run *run)
{
	const struct analysis_plan *a = &run->s->plan->analysis;

	for (size_t i = 0; i < a->metric_count; i++)
		if (a->metrics[i].compare && a->metrics[i].kind != METRIC_VALUE &&
		    run->states[i].stable.trials < a->min_samples)
			return false;
	return true;
}

static void find_winner(struct run *run)
{
	const struct rollout_plan *plan = run->s->plan;
	struct arm_result results[PLAN_METRICS_MAX][PLAN_ARMS_MAX];

	for (size_t i = 0; i < plan->analysis.metric_count; i++) {
		const struct metric_plan *m = &plan->analysis.metrics[i];

		for (size_t arm = 0; arm < plan->arm_count; arm++) {
			struct sample one;

			simulation_sample(&run->draws, m, arm ? &run->s->candidate[i] : &run->s->stable[i],
					  virtual_ms(run), run->connections[arm], &one);
			judge_arm(m, &one, &run->arms[i][arm]);
		}
		judge_arms(&plan->analysis, m, run->arms[i], plan->arm_count, results[i]);
	}
	run->winner = judge_winner(&plan->analysis, results, plan->arm_count);
}

static void begin_interval(struct run *run)
{
	run->analysed_ns = run->r.in_force_ns;
	memset(run->connections, 0, sizeof(run->connections));
}

/* An interval is over. The verdict that comes of it, if one does. */
static enum judged analyse(struct run *run)
{
	const struct rollout_plan *plan = run->s->plan;
	enum judged verdict = JUDGED_NOTHING;
	enum beside beside;

	if (arms_run(run)) {
		find_winner(run);
	} else if (rollout_is_judged(plan, &run->r, &beside)) {
		if (!run->s->recording)
			draw_samples(run);
		else if (!play(run))
			return JUDGED_NOTHING;
		verdict = judge(run, beside);
		tell(run, true, verdict);
	} else if (rollout_wants_reference(plan, &run->r)) {
		draw_samples(run);
		measure_reference(run);
	}
	begin_interval(run);
	return verdict;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void explain_verdict(const struct run *run, enum judged verdict, struct rollout_facts *facts)
{
	const struct analysis_plan *a = &run->s->plan->analysis;

	facts->verdict = verdict;
	for (size_t i = 0; verdict && i < a->metric_count; i++) {
		if (a->metrics[i].dry_run || run->results[i].verdict != verdict)
			continue;
		facts->proven |= run->results[i].proven;
		if (!*facts->why || run->results[i].proven)
			snprintf(facts->why, sizeof(facts->why), "%.63s %.150s", a->metrics[i].name,
				 run->results[i].why);
	}
}

static bool is_failing(enum rollout_state state)
{
	return state == ROLLOUT_ROLLING_BACK || state == ROLLOUT_FAILED;
}

/* Brings the machine to where nothing more happens. */
static void advance(struct run *run, uint64_t now_ns, enum judged verdict)
{
	const struct rollout_plan *plan = run->s->plan;
	struct rollout_facts facts = {.now_ns = now_ns, .in_force = true, .winner = run->winner};
	enum rollout_state was;

	explain_verdict(run, verdict, &facts);
	do {
		was = run->r.state;
		facts.arm_samples = fewest_connections(run);
		facts.healthy = reference_is_there(run);
		facts.hook = HOOK_GO;
		if (was == ROLLOUT_WAITING_APPROVAL && !facts.verdict) {
			facts.command = COMMAND_APPROVE;
			strcpy(facts.who, "the simulation");
		}
		if (rollout_advance(plan, &facts, &run->r, NULL) == 1) {
			if (is_failing(run->r.state) && !is_failing(was))
				run->end.failed_by = facts.verdict;
			tell(run, false, JUDGED_NOTHING);
		} else if (!facts.verdict) {
			return;
		}
		if (run->r.phase == PHASE_RUNNING && !run->r.in_force_ns) {
			for (size_t i = 0; i < plan->analysis.metric_count; i++)
				judge_new_step(&run->states[i]);
			memset(run->arm_connections, 0, sizeof(run->arm_connections));
			begin_interval(run);
		}
		facts.verdict = JUDGED_NOTHING;
		facts.command = COMMAND_NONE;
	} while (!rollout_is_over(run->r.state));
}

/* Time in which nothing happens by itself, at most until the interval is over. */
static uint64_t time_to_pass(const struct run *run)
{
	uint64_t step_ns = rollout_next_ns(run->s->plan, &run->r) - run->r.now_ns;
	uint64_t interval_ns = run->s->plan->analysis.interval_ms * NS_PER_MS;
	uint64_t into_ns = run->r.in_force_ns - run->analysed_ns;

	if (into_ns < interval_ns && interval_ns - into_ns < step_ns)
		step_ns = interval_ns - into_ns;
	return step_ns;
}

static void pass_time(struct run *run)
{
	const struct rollout_plan *plan = run->s->plan;
	uint64_t step_ns = time_to_pass(run), interval_ns = plan->analysis.interval_ms * NS_PER_MS;
	enum judged verdict;
	enum beside beside;

	let_connect(run, step_ns);
	advance(run, run->r.now_ns + step_ns, JUDGED_NOTHING);
	if (!arms_run(run) && !rollout_is_judged(plan, &run->r, &beside) && !rollout_wants_reference(plan, &run->r)) {
		begin_interval(run);
	} else if (run->r.in_force_ns - run->analysed_ns >= interval_ns) {
		verdict = analyse(run);
		advance(run, run->r.now_ns, verdict);
	}
}

static void run_to_the_end(struct run *run)
{
	tell(run, false, JUDGED_NOTHING);
	advance(run, run->began_ns, JUDGED_NOTHING);
	for (;;) {
		if (rollout_is_over(run->r.state))
			run->end.stop = SIMULATION_OVER;
		else if (run->r.state == ROLLOUT_PAUSED)
			run->end.stop = SIMULATION_PAUSED;
		else if (virtual_ms(run) >= SIMULATION_MAX_MS)
			run->end.stop = SIMULATION_ENDLESS;
		else if (run->end.stop != SIMULATION_UNPLAYED) {
			pass_time(run);
			continue;
		}
		return;
	}
}

int simulation_run(const struct simulation *s, struct simulation_end *ret, struct refusal *why)
{
	_cleanup_free_ struct run *run = calloc(1, sizeof(*run));
	int err;

	if (!run)
		return refuse(why, ENOMEM, "out of memory");
	run->s = s;
	run->winner = -1;
	run->began_ns = NS_PER_MS;
	run->end.stop = SIMULATION_OVER;
	draws_begin(&run->draws, s->seed);
	err = rollout_begin(s->plan, s->service, run->began_ns, &run->r, why);
	if (err)
		return err;
	run_to_the_end(run);
	run->end.state = run->r.state;
	run->end.ran_ms = virtual_ms(run);
	run->end.analyses = run->r.analyses;
	memcpy(run->end.cause, run->r.cause, sizeof(run->end.cause));
	*ret = run->end;
	return 0;
}
