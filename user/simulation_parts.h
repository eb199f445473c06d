/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SIMULATION_PARTS_H
#define HEADGATE_SIMULATION_PARTS_H

#include "draws.h"
#include "simulation.h"

/* What a side that did so at @at_ms measured of so many connections. */
void simulation_sample(struct draws *d, const struct metric_plan *m, const struct behaviour *b, uint64_t at_ms,
		       uint64_t connections, struct sample *ret);

#endif
