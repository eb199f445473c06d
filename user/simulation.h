/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SIMULATION_H
#define HEADGATE_SIMULATION_H

/*
 * A rollout in virtual time, by the same machine and the same judge as a real one, with measurements that are drawn or
 * were recorded. Pure: the same seed, the same rollout.
 *
 * What is assumed: hooks let everything pass, approval is given at once, all backends are healthy, weights are in force
 * at once. Numbers of connections are Poisson's, errors binomial, times log-normal, scores and values normal, scores
 * within their range. Above a variance of 100 Poisson's and binomial numbers are drawn as rounded normal ones.
 */
#include "rollout.h"

/* How one side does by one metric. */
struct behaviour {
	double from;         /* share 0..1; median in seconds; mean; the value */
	double to;           /* the same from @changes_ms on */
	uint64_t changes_ms; /* of virtual time; UINT64_MAX: never */
	double spread; /* standard deviation: of a time's logarithm, of a score, of a value; of counts: connections
			  in a row that fail together, from 1 to 1000 */
};

/* Samples of one analysis, metric by metric. */
struct recorded {
	struct sample candidate[PLAN_METRICS_MAX], stable[PLAN_METRICS_MAX];
};

/* Something that happened; for the time of the call. */
struct simulated {
	uint64_t at_ms;
	const struct rollout *rollout;
	bool analysed;       /* an analysis was made; else there was a transition */
	enum judged verdict; /* of all metrics together */
	const struct metric_result *results;
};

struct simulation {
	const struct rollout_plan *plan;
	const struct service_model *service;
	struct behaviour candidate[PLAN_METRICS_MAX], stable[PLAN_METRICS_MAX]; /* of the plan's metrics */
	double rate; /* connections a second that stable and candidate, or the arms, have
			together */
	uint64_t seed;
	const struct recorded *recording; /* analysis by analysis, instead of what would be drawn; or NULL */
	size_t recorded_count;
	void (*told)(void *context, const struct simulated *what); /* or NULL */
	void *context;
};

enum simulation_stop {
	SIMULATION_OVER,     /* the rollout is */
	SIMULATION_PAUSED,   /* a person would have to resume it */
	SIMULATION_UNPLAYED, /* the recording has no more */
	SIMULATION_ENDLESS,  /* after SIMULATION_MAX_MS it is still going on */
};

#define SIMULATION_MAX_MS (30ULL * 86400 * 1000)

struct simulation_end {
	enum simulation_stop stop;
	enum rollout_state state;
	enum judged failed_by; /* of a rollout that failed: the verdict; JUDGED_NOTHING: progress_deadline */
	uint64_t ran_ms;
	uint64_t to_candidate; /* connections; mirrored ones are not counted */
	uint64_t analyses;
	char cause[ROLLOUT_CAUSE_SIZE];
};

/* What a metric of the plan does unless it is said otherwise: well within its bounds, for both sides the same. */
struct behaviour behaviour_default(const struct metric_plan *m);

/**
 * behaviour_parse - read "error-rate=1%..5%@10m,first-byte=20ms~0.5"
 * @ret: [metric_count], changed where @spec names a metric
 *
 * METRIC=VALUE[..VALUE@TIME][~SPREAD], separated by commas. A metric that is a quantile may be named without its
 * "-p95". Return: 0, or -EINVAL with @why, and @ret as it was.
 */
int behaviour_parse(const char *spec, const struct analysis_plan *a, struct behaviour ret[PLAN_METRICS_MAX],
		    struct refusal *why);

/* 0; -ENOMEM; or as rollout_begin() refuses. */
int simulation_run(const struct simulation *s, struct simulation_end *ret, struct refusal *why);

#endif
