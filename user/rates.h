/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_RATES_H
#define HEADGATE_RATES_H

/* How many connections were opened lately, and since the daemon started: by backend id. */
#include "splitter.h"

struct rates;

int rates_create(uint32_t backends, struct rates **ret); /* 0 or -ENOMEM */
void rates_destroy(struct rates *r);                     /* accepts NULL */

/* Reads the counters; once a second or so. */
void rates_sample(struct rates *r, struct splitter *sp, uint64_t now_ns);

/* Connections a second over the last ten seconds (fewer after a start). */
double rates_of(const struct rates *r, uint32_t id);

/* Connections opened since the first sample. */
uint64_t rates_since_start(const struct rates *r, uint32_t id);

#endif
