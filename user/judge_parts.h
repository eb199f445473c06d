/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_JUDGE_PARTS_H
#define HEADGATE_JUDGE_PARTS_H

/* What judge*.c share among themselves. */
#include "judge.h"

/*
 * Of the level of a comparison with stable so much is kept for what must be known of stable before a switch: the bound
 * that the candidate is judged by afterwards holds with 1 - JUDGE_REFERENCE_PART * level, the test itself has the rest.
 */
#define JUDGE_REFERENCE_PART 0.1

/* Events of trials, on both sides, in the sense in which events are bad. */
struct fourfold {
	uint64_t candidate_events, candidate_trials, stable_events, stable_trials;
};

/* One side. */
struct twofold {
	uint64_t events, trials;
};

/* --- judge_evidence.c ------------------------------------------------------------------------------------------------
 * @log_ratios: by alternative: log of this interval's likelihood ratio, whose expectation is at most 1 when the null
 * hypothesis is true, whatever was before. Not to be called with an interval that cannot say anything. */
void evidence_add(struct evidence *e, const double log_ratios[JUDGE_RATIOS]);

/* The e-value now: 1 to begin. */
double evidence_now(const struct evidence *e);

/* --- judge_counts.c --------------------------------------------------------------------------------------------------
 * Odds ratio of the candidate's events above @tolerance. @burst: events of one accident at most, 1 or more. False: the
 * interval says nothing. */
bool counts_compared(const struct fourfold *f, double tolerance, double burst, double log_ratios[JUDGE_RATIOS]);

/* A share of events above @max, or below @min where @events are those of @below; either may be NULL. */
struct limit {
	struct twofold counts;
	double share; /* that events may have at most */
};
bool counts_limited(const struct limit *above, const struct limit *below, double burst,
		    double log_ratios[JUDGE_RATIOS]);

/* --- judge_scores.c --------------------------------------------------------------------------------------------------
 * Values scaled to 0..1, where lower is worse: how many, their sum, and of their squares. */
struct scores {
	uint64_t trials;
	double sum, squares;
};

/* False: not numbers, or none at all. What cannot be is brought to the nearest that can. */
bool scores_scale(const struct metric_plan *m, const struct sample *sample, struct scores *ret);
/* What a scaled mean is in the metric's own unit, and back. */
double scores_unscale(const struct metric_plan *m, double mean);
double scores_scale_one(const struct metric_plan *m, double value);

/* The candidate's mean is tolerated from @slope * stable's + @offset on, in scaled values. */
struct tolerated {
	double slope, offset;
};
struct tolerated scores_tolerated(const struct metric_plan *m);

bool scores_compared(const struct scores *candidate, const struct scores *stable,
		     const struct arm_total *candidate_before, const struct arm_total *stable_before,
		     struct tolerated tolerated, double log_ratios[JUDGE_RATIOS]);
/* @least and @most: of the mean; NAN where there is no such bound. */
bool scores_limited(const struct scores *one, const struct arm_total *before, double least, double most,
		    double log_ratios[JUDGE_RATIOS]);
/* All but the number of trials, which the caller adds. */
void scores_add(struct arm_total *total, const struct scores *one);
void bounds_of_mean(const struct arm_total *total, double level, double *ret_low, double *ret_high);

/* --- judge_times.c ---------------------------------------------------------------------------------------------------
 * Samples, and those of them in buckets that lie at or above, or below, a bucket's bound. */
uint64_t times_count(const struct histogram *h);
uint64_t times_from(const struct histogram *h, uint64_t bound_ns);
/* The next bucket's bound at or above @ns, or at or below it. */
uint64_t times_round_up(double ns);
uint64_t times_round_down(double ns);
/* Upper bound of the bucket that holds the quantile. 0, or -ENODATA. */
int times_quantile_bound(const struct histogram *h, double q, uint64_t *ret_ns);

/* --- judge_arms.c ----------------------------------------------------------------------------------------------------
 * Trials of a sample; 0: it says nothing. */
uint64_t sample_count(const struct metric_plan *m, const struct sample *one);

/* Events of one accident at most, 1 or more. */
double burst_of(const struct metric_plan *m);

/* A total as people are shown it, in the metric's own unit, with bounds at @level. NAN: not known. */
void total_shown(const struct metric_plan *m, const struct arm_total *total, double level, double *ret_value,
		 double *ret_low, double *ret_high);

/* --- judge_words.c ---------------------------------------------------------------------------------------------------
 * Writes ret->why from the numbers of @ret. @limited: min or max decided, rather than stable. */
void judge_explain(const struct metric_plan *m, enum beside beside, bool limited, struct metric_result *ret);
void judge_explain_few(const struct metric_state *state, uint64_t needed, bool compared, struct metric_result *ret);

#endif
