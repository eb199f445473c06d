/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PLAN_H
#define HEADGATE_PLAN_H

/*
 * What a rollout is to do: its steps, and what it is judged by. Made by the configuration's reader, never changed
 * afterwards; a rollout goes on with the plan that it began with, whatever the file says meanwhile. Holds no pointers.
 *
 * Shares of traffic are in hundredths of a percent (PLAN_ALL is all), as samples of shadows are.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

#define PLAN_ALL 10000U
#define PLAN_STEPS_MAX 64U
#define PLAN_METRICS_MAX 16U
#define PLAN_HOOKS_MAX 8U
#define PLAN_ARMS_MAX 8U
#define PLAN_URL_SIZE 256
#define PLAN_QUERY_SIZE 512

enum strategy {
	STRATEGY_CANARY,
	STRATEGY_BLUE_GREEN,
	STRATEGY_AB_TEST,
	STRATEGY_SHADOW,
};

/*
 * A strategy's steps in full, as the machine goes through them: what blue_green and ab_test say with keys of their own
 * is steps here, too. A canary's last {weight: 100} is none: promotion does it.
 */
enum step_kind {
	STEP_WEIGHT,   /* @share of the pair's traffic to the candidate; ends when the analysis passes, at once without
			  one */
	STEP_PAUSE,    /* ends after @duration_ms, and when the analysis does not hold it */
	STEP_APPROVAL, /* ends by a person's word */
	STEP_SHADOW,   /* @share of connections mirrored for @duration_ms; judged by what the shadow did */
	STEP_ANALYSIS, /* ends after @duration_ms if the analysis passes then */
	STEP_HEALTHY,  /* ends when every backend of the candidate is healthy: before blue_green's switch */
	STEP_SWITCH,   /* all of the pair's traffic to the candidate; ends at once */
	STEP_WATCH,    /* @duration_ms behind a switch; judged beside what stable did before it */
	STEP_ARMS, /* A/B: the arms' shares for @duration_ms, or until each has @samples connections; the first of both
		      that is set and reached */
	STEP_KINDS,
};

struct step_plan {
	enum step_kind kind;
	uint32_t share; /* of PLAN_ALL */
	uint64_t duration_ms;
	uint64_t samples;
};

enum metric_source {
	SOURCE_DATAPLANE,
	SOURCE_PROMETHEUS,
	SOURCE_WEBHOOK,
	SOURCE_PUSH,
};

/* Figures of the data path, by the names in the configuration. */
enum measure {
	MEASURE_ERROR_RATE,        /* "error-rate": measured_error_rate() */
	MEASURE_FAILED_HANDSHAKES, /* "failed-handshakes": failed and refused, of all connections */
	MEASURE_RESETS,            /* "resets": reset by the server, of those established */
	MEASURE_5XX,               /* "5xx": of all responses with a status */
	MEASURE_HANDSHAKE,         /* "handshake", "handshake-p99": a quantile */
	MEASURE_FIRST_BYTE,        /* "first-byte", "first-byte-p50" */
	MEASURES,
};

/* How a metric is judged; see judge.h. */
enum metric_kind {
	METRIC_COUNTS, /* events of trials */
	METRIC_TIMES,  /* a quantile of a histogram */
	METRIC_SCORES, /* the mean of values in a known range */
	METRIC_VALUE,  /* one number an interval, of which nothing more is known */
};

struct metric_plan {
	char name[NAME_SIZE];
	enum metric_source source;
	enum metric_kind kind;
	enum measure measure; /* SOURCE_DATAPLANE */
	double quantile;      /* METRIC_TIMES: 0..1, 0.95 unless the name says so */
	bool has_min, has_max, compare;
	double min, max; /* shares 0..1, seconds, or the value's own unit */
	/* COUNTS: the candidate's odds may be so many times stable's, 1 or more. TIMES, SCORES and VALUE: it may be
	 * worse by this share of stable's, 0 or more. */
	double tolerance;
	uint32_t burst;               /* COUNTS: up to so many bad events come of one accident; 0 is 1 */
	bool lower_is_worse;          /* `worse: lower`, as for a success rate */
	double range_low, range_high; /* METRIC_SCORES: `range: [0, 1]` */
	bool dry_run;                 /* shown, never obeyed */
	char url[PLAN_URL_SIZE];      /* prometheus: of the server, "http://10.1.1.1:9090"; webhook: what is asked */
	char query[PLAN_QUERY_SIZE];  /* prometheus: "{{variant}}" and "{{service}}" stand for names */
	uint32_t timeout_ms;
};

/* What is done when an analysis comes to nothing. */
enum policy {
	POLICY_HOLD,     /* the step goes on until the next one comes to something, or until progress_deadline */
	POLICY_PAUSE,    /* a person has to resume */
	POLICY_ROLLBACK, /* as if it had failed */
};

enum failure_policy {
	FAILURE_ROLLBACK,
	FAILURE_FREEZE, /* the weights stay as they are, and a person decides */
};

struct analysis_plan {
	uint32_t interval_ms;
	uint32_t initial_delay_ms; /* after each change of weights; what is measured meanwhile is not judged */
	uint64_t min_samples;      /* of the candidate and of stable, since the step began, before anything passes */
	uint32_t failure_limit;    /* so many failed checks of values in a step are a failure; what is proven needs no
				      repetition */
	double alpha; /* of equal versions so many may be rolled back, over the whole rollout, all metrics */
	enum policy on_no_data, on_provider_error, on_inconclusive;
	struct metric_plan metrics[PLAN_METRICS_MAX];
	size_t metric_count; /* 0: nothing is judged */
};

/* Something asked over HTTP before or after each step, which can hold or fail it. */
struct hook_plan {
	bool after; /* else before */
	char url[PLAN_URL_SIZE];
	uint32_t timeout_ms;
};

/* Who is told; each transition. */
struct notify_plan {
	bool slack; /* {"text": ..}, as Slack's and Mattermost's incoming webhooks take it; else the transition as JSON
		     */
	char url[PLAN_URL_SIZE];
	uint32_t timeout_ms;
};

struct arm_plan {
	char variant[NAME_SIZE];
	uint32_t share; /* relative to the other arms' */
};

struct rollout_plan {
	enum strategy strategy;
	char stable[NAME_SIZE];
	char candidate[NAME_SIZE]; /* empty: ab_test, which has arms; and shadow, whose candidate is the service's
				      shadow */
	struct step_plan steps[PLAN_STEPS_MAX];
	size_t step_count; /* 1.. */
	struct analysis_plan analysis;
	uint64_t progress_deadline_ms; /* without a step's end for so long, the rollout fails; 0: never */
	enum failure_policy on_failure;
	struct hook_plan hooks[PLAN_HOOKS_MAX];
	size_t hook_count;
	struct notify_plan notify[PLAN_HOOKS_MAX];
	size_t notify_count;
	struct arm_plan arms[PLAN_ARMS_MAX]; /* ab_test: the first is the control */
	size_t arm_count;
	bool promote_winner; /* ab_test */
};

#endif
