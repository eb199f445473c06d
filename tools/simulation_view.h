/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SIMULATION_VIEW_H
#define HEADGATE_SIMULATION_VIEW_H

/* What a simulation says: one rollout as it went, or many as they ended. */
#include "simulation.h"
#include "tool.h"

/* One rollout and all that happened, for people or as JSON. */
enum exit_code simulation_view_one(struct simulation *s, bool json);

/* @runs rollouts with seeds from s->seed on: how many ended how, when, and how many connections the candidate got. */
enum exit_code simulation_view_many(struct simulation *s, uint64_t runs, bool json);

#endif
