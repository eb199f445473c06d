/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_BENCH_KINDS_H
#define HEADGATE_BENCH_KINDS_H

/* What is measured: kinds of packets, each for some numbers of flows. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "plan.h"
#include "scene.h"

#define COLUMNS 4
extern const uint32_t column_flows[COLUMNS]; /* 1, 1 000, 100 000, 1 000 000 */

enum columns {
	FLOWS_1 = 1 << 0,
	FLOWS_1K = 1 << 1,
	FLOWS_100K = 1 << 2,
	FLOWS_1M = 1 << 3,
	FLOWS_ALL = FLOWS_1 | FLOWS_1K | FLOWS_100K | FLOWS_1M,
	FLOWS_KNOWN = FLOWS_1 | FLOWS_1K | FLOWS_100K, /* where the scene knows no more */
};

#define KIND_ANY_VERDICT ~0U

struct kind {
	const char *name;
	enum plan_program program;
	uint32_t columns;
	enum scene_service service;
	uint32_t services; /* of which it is the first; 0: one */
	bool reply;        /* from the backend */
	bool opens;        /* a SYN, and of a flow that was never seen before */
	bool data;         /* with payload, each behind all before it; else a bare acknowledgement */
	bool stranger;     /* to no service */
	bool shadows;      /* some service has a shadow */
	bool makes_room;   /* encapsulates */
	bool writes_metadata;
	bool forwards;    /* counted at a backend */
	uint32_t verdict; /* XDP's, or KIND_ANY_VERDICT */
};

extern const struct kind kinds[];
extern const size_t kind_count;
extern const struct kind flood_kind; /* new connections that fill the tables */

/* @flows: 0: each packet is of a flow that was never seen before. */
struct plan kind_plan(const struct kind *kind, uint32_t flows);

#endif
