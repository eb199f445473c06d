/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_JUDGE_H
#define HEADGATE_JUDGE_H

/*
 * Is the candidate worse than stable? Tests that may be looked at after every interval, for as long as one likes: under
 * the null hypothesis each has a probability of at most its level of ever failing. Pure.
 *
 * COUNTS, compared: in each interval, given how many errors there were in all, the candidate's number of them is
 * hypergeometric (Fisher's noncentral one) whatever the error rate was just then; the likelihood ratio of an odds ratio
 * above @tolerance against @tolerance is an e-value, and the product over intervals a test martingale (Ville 1939;
 * Robbins 1970; Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference", 2023). It is mixed over
 * odds ratios and over the interval in which things began to go wrong (Shiryaev 1963), so that a version that fails
 * late is not protected by the good that it did before. TIMES, compared: the same test of how many of the candidate's
 * times are above (1 + tolerance) * y, and of stable's above y, where y is stable's quantile by what came before;
 * bounds are those of the histogram's buckets. COUNTS and TIMES against min or max: the same of one binomial
 * proportion. SCORES: the same with factors of the empirical Bernstein kind (Waudby-Smith and Ramdas, "Estimating means
 * of bounded random variables by betting", 2024). VALUE: compared as it is, however few there were; nothing is proven,
 * failure_limit counts. After a switch, when stable has no traffic any more: against a bound of what it did before,
 * which is itself wrong with a tenth of the level.
 * COUNTS whose errors come in bursts: of accidents of up to @burst events each, as judge_counts.c says.
 *
 * The level of each test is alpha divided by the number of tests of the plan that are not dry (Bonferroni). What all of
 * this rests on, and how it does: docs/judging.md.
 */
#include "measure.h"
#include "plan.h"

enum judged {
	JUDGED_NOTHING, /* not yet, or not in this step */
	JUDGED_PASS,
	JUDGED_FAIL,         /* proven, or a value beyond its bounds */
	JUDGED_INCONCLUSIVE, /* too few samples, or worse than tolerated and not proven to be */
	JUDGED_NO_DATA,      /* no sample at all in the interval, or the provider knows no value */
	JUDGED_ERROR,        /* the provider did not answer, or nonsense */
	JUDGED_VOID,         /* the split was not the configured one: the analysis says nothing */
};

/* What one variant did in one interval, by one metric. */
struct sample {
	enum judged trouble;        /* JUDGED_NO_DATA or JUDGED_ERROR: nothing below is known; else JUDGED_NOTHING */
	uint64_t trials, events;    /* METRIC_COUNTS; events <= trials */
	struct histogram histogram; /* METRIC_TIMES */
	double sum, squares;        /* METRIC_SCORES, of @trials values: their sum, and of their squares */
	double value;               /* METRIC_VALUE */
};

/* Whom a candidate is compared with. */
enum beside {
	BESIDE_STABLE,    /* in the same interval */
	BESIDE_REFERENCE, /* stable before the switch: what it did is in the state, and it does nothing now */
};

#define JUDGE_RATIOS 8U /* alternatives that are mixed over */

/* What a test remembers between intervals; zeroed to begin. Kept in the journal, name by name. */
struct evidence {
	uint64_t intervals;
	double mixed[JUDGE_RATIOS]; /* by alternative: sum over beginnings of their prior times their likelihood ratio
				     */
	double highest;             /* e-value that was ever reached; it is what is compared with 1 / level */
};

struct arm_total {
	uint64_t trials, events;
	struct histogram histogram;       /* METRIC_TIMES */
	double sum, squares;              /* METRIC_SCORES */
	double weighted, weight, penalty; /* METRIC_SCORES: its confidence sequence, as judge_scores.c says */
	double value;                     /* METRIC_VALUE: the last one */
};

struct metric_state {
	struct evidence compared, limited;    /* beside stable; against min or max */
	struct arm_total candidate, stable;   /* since the rollout began, or since judge_reference() */
	uint64_t step_candidate, step_stable; /* trials that were judged in this step */
	/* How much worse than tolerated in this step, summed over its intervals: beside stable, above max, below min.
	 * Above 0: worse. */
	double step_compared, step_above, step_below;
};

/* What an operator is shown. Numbers that are not known are NAN. */
struct metric_result {
	enum judged verdict;
	bool proven;                                     /* JUDGED_FAIL by a test: no repetition is needed */
	double candidate, candidate_low, candidate_high; /* in the metric's unit, with bounds that hold at all times */
	double stable, stable_low, stable_high;
	uint64_t candidate_samples, stable_samples; /* since the rollout began */
	double evidence;                            /* e-value against the candidate */
	double needed;                              /* proven from here on: 1 / level */
	char why[200];                              /* one sentence for people, with the numbers that decided */
};

/* Number of tests among which alpha is divided; at least 1. */
uint32_t judge_tests(const struct analysis_plan *a);

/**
 * judge_metric - one more interval of one metric
 * @m: of @a
 * @min_samples: as in the plan; of each side that the metric needs
 * @state: brought up to date
 *
 * Never fails: what cannot be judged is JUDGED_NO_DATA or JUDGED_ERROR, and leaves the evidence as it was; but what has
 * a min or max is held against it while only stable has no samples. TIMES are INCONCLUSIVE in the first interval of
 * all, as nothing is known of stable yet. @m's lower_is_worse means nothing for TIMES.
 */
void judge_metric(const struct analysis_plan *a, const struct metric_plan *m, enum beside beside,
		  const struct sample *candidate, const struct sample *stable, struct metric_state *state,
		  struct metric_result *ret);

/* A new step: its samples are counted from here. The evidence goes on. */
void judge_new_step(struct metric_state *state);

/* Keeps what stable did so far as the reference, and forgets what the candidate did, but not the evidence: before the
 * first interval that is judged BESIDE_REFERENCE. */
void judge_reference(struct metric_state *state);

/**
 * judge_all - what an analysis comes to
 * @results: of @a's metrics; dry ones are left out
 * Return: the first of FAIL, VOID, ERROR, NO_DATA, INCONCLUSIVE, PASS that any has; JUDGED_NOTHING without a metric.
 */
enum judged judge_all(const struct analysis_plan *a, const struct metric_result *results);

/*
 * Sample ratio: did each variant get its share of the new connections? Lindon and Malek, "Anytime-valid inference for
 * multinomial count data", 2022: the Bayes factor of a Dirichlet prior around the configured shares, which is a test
 * martingale.
 */
struct ratio_state {
	uint64_t opened[2]; /* stable, candidate; since the last change of weights */
	double highest;     /* Bayes factor ever reached */
};

#define RATIO_LEVEL 0.0001 /* of sample ratios that are right, so many are called wrong, ever */

/* One more interval: @opened connections of stable and candidate, whose shares are @share and add up to 1. True: the
 * split is not the configured one. */
bool judge_ratio(struct ratio_state *state, const uint64_t opened[2], const double share[2]);

/* An A/B test's result: one arm beside the control, with confidence sequences at level alpha / (tests * arms). */
struct arm_result {
	double value, low, high;
	double difference, difference_low,
		difference_high; /* from the control's, relative to it; NAN for the control */
	enum judged verdict;     /* PASS: better, FAIL: worse, INCONCLUSIVE: neither is proven */
};

/* @arms: one an arm, the control first; brought up to date by judge_arm(). */
void judge_arm(const struct metric_plan *m, const struct sample *one, struct arm_total *state);
void judge_arms(const struct analysis_plan *a, const struct metric_plan *m, const struct arm_total *arms, size_t count,
		struct arm_result *ret);
/* The arm that is proven better than the control by a metric and worse by none, or -1. Of several it is the one whose
 * value is best by the first metric that proves any of them better; and of equals the first. @results: of @a's metrics;
 * dry ones do not count. */
int judge_winner(const struct analysis_plan *a, const struct arm_result (*results)[PLAN_ARMS_MAX], size_t count);

/* Confidence bounds of a proportion that hold at all times (Robbins' beta-binomial mixture; Howard and Ramdas 2022),
 * and of a histogram's quantile, in seconds. @level 0..1; without trials 0..1 and 0..INFINITY. Where N trials may
 * agree, both are given divided by N. */
void bounds_of_share(double events, double trials, double level, double *ret_low, double *ret_high);
void bounds_of_quantile(const struct histogram *h, double q, double level, double *ret_low_s, double *ret_high_s);

#endif
