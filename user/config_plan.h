/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CONFIG_PLAN_H
#define HEADGATE_CONFIG_PLAN_H

/* What the parts of a rollout plan's reading share. */
#include "config_reader.h"
#include "model.h"

#define PLAN_TITLE_SIZE (NAME_SIZE + 48)   /* "metric 16 of rollout of web" */
#define PLAN_TIME_MAX_MS (720 * 3600000UL) /* of whatever a rollout does */

struct plan_builder {
	struct reader *reader;
	const struct service_model *service;
	/* Of the service: what a plan is judged by, unless it is a mistake itself. */
	bool variants_known, forward_known;
	struct rollout_plan *plan; /* begins as zeroes, so that plans can be compared as bytes */
	/* Metrics that are obeyed are written, though they may be mistakes; and not all of them are counted in traffic.
	 */
	bool has_metrics, has_metrics_without_traffic;
};

/* "analysis" of a rollout. After its strategy, before its steps. */
void plan_read_analysis(struct plan_builder *p, const struct field *f);

/* One of the analysis' metrics, the plan's next. @f: an item of the list. */
void plan_read_metric(struct plan_builder *p, const struct field *f);

/* What a canary, blue_green or shadow goes through. @max_weight: of a canary, PLAN_ALL unless it is written. */
void plan_read_steps(struct plan_builder *p, const struct field *f, uint32_t max_weight);

/* A canary's steps of one size up to max_weight. */
void plan_read_step_weight(struct plan_builder *p, const struct field *f, uint32_t max_weight);

/* Adds a step. False: it is one too many, which has been said. */
bool plan_add_step(struct plan_builder *p, yaml_mark_t at, enum step_kind kind, uint32_t share, uint64_t duration_ms);

/* "hooks" and "notify" of a rollout. */
void plan_read_hooks(struct plan_builder *p, const struct field *f);
void plan_read_notify(struct plan_builder *p, const struct field *f);

/* A share of traffic above 0, of PLAN_ALL. As the reader's functions. */
int plan_read_share(struct plan_builder *p, const struct field *f, uint32_t *ret);

/* An URL that is asked. @names: "{{variant}}" and "{{service}}" may stand in it. As the reader's functions. */
int plan_read_url(struct plan_builder *p, const struct field *f, bool names, char ret[PLAN_URL_SIZE]);

/* A number of milliseconds that a uint32_t holds. As the reader's functions. */
int plan_read_time(struct plan_builder *p, const struct field *f, uint32_t min_ms, uint32_t max_ms, uint32_t *ret_ms);

/* true or false. */
void plan_read_bool(struct plan_builder *p, const struct field *f, bool *ret);

#endif
