/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_COHORTS_H
#define HEADGATE_COHORTS_H

#include "splitter.h"

/*
 * Cohort rules in the kernel. A rule is like a slot: changing it tracks its members, so that connections older than the
 * change stay where they were, until it settles.
 */

/**
 * cohorts_apply - bring the rules of a service to what @s says
 * @resets: connections of members that are to be elsewhere now are reset, at the service's pace
 *
 * The tables of the variants are installed. Return: 0 or -errno.
 */
int cohorts_apply(struct splitter *sp, uint32_t service, const struct service_model *s, bool resets, uint64_t now_ns);

/* The rule that a client is under, or NULL. */
struct cohort_state *cohorts_find(struct splitter *sp, uint32_t service, const struct address *client);

/* Settles rules that may settle, by the last sweep, and gives back tables that no rule needs any more. */
void cohorts_settle(struct splitter *sp, uint32_t service, uint32_t now_s);

#endif
