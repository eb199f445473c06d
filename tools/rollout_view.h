/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ROLLOUT_VIEW_H
#define HEADGATE_ROLLOUT_VIEW_H

/*
 * A rollout in words, for whoever shows one. @report is the API's REPORT ({"service", "rollout"}), @rollout its member,
 * an object (docs/api.md).
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "render.h"
#include "tool.h"

#define STEP_TEXT_SIZE 96

/* "weight 5 %", "pause for 10m", "approval". Returns @text. */
const char *rollout_view_step(const json_t *step, char text[STEP_TEXT_SIZE]);

/* How a step of the ladder is marked. */
enum rung {
	RUNG_DONE,
	RUNG_CURRENT,
	RUNG_AHEAD,
	RUNG_FAILED, /* the rollout came to its end here, and not by success */
	RUNGS,
};
enum rung rollout_view_rung(const json_t *rollout, const json_t *step);
const char *rollout_view_mark(enum rung rung); /* one character, by the locale */

/* What an A/B test says of an arm: "better", "worse" or "not proven"; of the first: "control". */
const char *rollout_view_arm(const json_t *arm, size_t number);

/* Where it stands among its steps: those behind it, at most all. */
size_t rollout_view_steps_done(const json_t *rollout);

bool rollout_view_is_over(const json_t *rollout);

/* Failed, and its weights are left as they were for a person to decide (on_failure: freeze). */
bool rollout_view_is_frozen(const json_t *rollout);

/* What a process exits with that waited for it: EXIT_DONE only when it has succeeded. */
enum exit_code rollout_view_exit(const json_t *rollout);

/* "Progressing, step 2 of 5 (weight 5 %), canary 5 %" */
void rollout_view_summary(FILE *out, const json_t *rollout);

/* "blue -> canary", "blue, green" of an A/B test, or just "blue". */
void rollout_view_roles(FILE *out, const json_t *rollout);

/* What a person may type now: "`headgate rollout approve web` goes on". */
void rollout_view_advice(FILE *out, const json_t *report);

/* What a metric is measured in: "share", "s" or "". */
const char *rollout_view_unit(const json_t *rollout, const char *metric);

/* A number in such a unit, "-" when it is not known. Returns @text or a constant. */
const char *rollout_view_quantity(const char *unit, const json_t *value, char text[QUANTITY_SIZE]);

/* "0.21 %..1.40 %", or "-". */
#define BOUNDS_SIZE (2 * QUANTITY_SIZE + 4)
const char *rollout_view_bounds(const char *unit, const json_t *low, const json_t *high, char text[BOUNDS_SIZE]);

/* An e-value: "12.3", ">1e6". */
const char *rollout_view_evidence(const json_t *metric, char text[QUANTITY_SIZE]);

/* Verdict of the newest analysis in this step; NULL: there was none. */
const char *rollout_view_last(const json_t *rollout);

/* "fail, proven", "pass, dry" */
#define VERDICT_SIZE 48
const char *rollout_view_verdict(const json_t *metric, char text[VERDICT_SIZE]);

/* Percent of traffic, "-" when it is not known. */
const char *rollout_view_percent(const json_t *value, char text[QUANTITY_SIZE]);

/* Whether the locale's characters are UTF-8: else only ASCII is drawn. */
bool rollout_view_is_utf8(void);

/* A line for each rollout that is going on, or frozen: of all services, or of @service. Silent when headgated does not
 * say. */
void rollout_view_going_on(const struct invocation *call, const char *service);

#endif
