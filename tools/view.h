/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_VIEW_H
#define HEADGATE_VIEW_H

/* Parts of a service that more than one subcommand shows. */
#include <jansson.h>

#include "figures.h"
#include "render.h"
#include "tool.h"

/* Prints a listing on stdout; complains when there was no memory for it. */
void view_listing(const struct listing *l);

/**
 * view_variants - a table of figures, an empty line and a row for each variant
 * @services: array
 * @named: whether rows begin with the service's name
 *
 * Prints nothing when no variant has the first figure.
 */
void view_variants(const json_t *services, bool named, const struct figure figures[], size_t count);

/* The same with what each variant is to get, what it gets, and how it does. */
void view_split(const json_t *services, bool named);

/* What "~" means, or nothing when none of @services has estimates. */
void view_estimates(const json_t *services);

#define POLICY_SIZE 64

/* What connections do whose slot moved: "stay until they end", "are reset, .."; @occasion: on_change or on_rollback. */
const char *view_policy(const json_t *service, const char *occasion, char text[POLICY_SIZE]);

/* "NAME: live connections that are not where their slot points now: 12", or nothing. */
void view_leftover(const json_t *service);

/* "NAME: 6554 of 65536 slots are tracked and settle in 9m53s", or nothing when none is tracked. */
void view_tracked(const json_t *service);

/* "NAME: dropped: ttl 3, no_flow 4", or nothing. */
void view_drops(const json_t *service);

/* The answer to a change of weights. */
void view_change(const struct invocation *call, const json_t *body);

/* Cohorts of @services, an array; says so when there is none. */
void view_cohorts(const json_t *services);

#endif
