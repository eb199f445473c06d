/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_METRICS_H
#define HEADGATE_METRICS_H

/*
 * What was counted and what is in force, as a page for Prometheus; docs/metrics.md lists it. Pure: the daemon fills a
 * snapshot, and this makes text of it. What a service cannot have (available_for()) is left out, not shown as 0.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "health.h"
#include "measure.h"
#include "rollout.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_backend {
	char address[ADDRESS_TEXT_SIZE]; /* "10.0.1.11:8000"; once in a variant */
	struct backend_counters traffic;
	uint64_t active;  /* connections now; already scaled */
	uint64_t failed;  /* struct silent_counters'; of measured connections */
	uint64_t refused; /* struct measurements'; of measured connections */
	enum health_state health;
	bool in_rotation; /* new connections may go there */
	bool drained;     /* by command */
};

struct metrics_variant {
	const char *name;
	uint32_t weight;
	double share;          /* of the service's slots, 0..1 */
	struct measured total; /* backends that are gone included */
	struct metrics_backend *backends;
	size_t backend_count;
};

/* Of a service that has one. */
struct metrics_shadow {
	enum shadow_state state;
	enum shadow_engine engine;
	double sample;      /* 0..1 */
	uint64_t mirroring; /* connections now, by the last sweep */
	struct shadow_counters counters;
};

/* Of a service that has had one: the newest. */
struct metrics_rollout {
	enum rollout_state state;
	uint32_t step, step_count; /* from 0; step_count: behind the last */
	double share;              /* 0..1: the candidate's, as it is to be */
	uint64_t analyses;
	bool troubled;
	struct metrics_rollout_metric {
		char name[NAME_SIZE];
		enum judged verdict;
		double evidence, needed; /* NAN: none */
	} metrics[PLAN_METRICS_MAX];
	size_t metric_count;
};

struct metrics_service {
	const char *name;
	char vip[ADDRESS_TEXT_SIZE]; /* "10.0.0.10:8000" */
	uint8_t protocol;            /* IPPROTO_TCP, IPPROTO_UDP */
	enum forward_mode forward;
	struct service_counters counters;
	bool sampled; /* 1 in 2^measure_shift connections is measured; false: all are, whatever measure_shift says */
	uint32_t measure_shift; /* below 32 */
	struct metrics_variant *variants;
	size_t variant_count;
	struct metrics_shadow *shadow;   /* or NULL */
	struct metrics_rollout *rollout; /* or NULL */
};

#define METRICS_TABLES_MAX 8

struct metrics_flow_table {
	const char *name; /* "half_open", "established", "source_ports", "sampled" */
	uint64_t entries; /* by the last sweep */
	uint64_t size;
};

/* Names are borrowed; the arrays are owned. */
struct metrics_snapshot {
	const char *version;
	uint32_t abi;
	double uptime_s;
	bool adopted;          /* the data path is older than this daemon */
	uint64_t early_resent; /* struct early_counts' */
	uint64_t early_dropped;
	struct metrics_service *services;
	size_t service_count;
	struct metrics_flow_table tables[METRICS_TABLES_MAX];
	size_t table_count;
};

/* Frees the arrays, not @s; those of an all-zero or half-filled snapshot, too. */
void metrics_release(struct metrics_snapshot *s);

/**
 * metrics_render - a snapshot as text, in METRICS_CONTENT_TYPE
 * @ret_text: to be freed; ends with a NUL that @ret_length does not count
 *
 * Return: 0 or -ENOMEM.
 */
int metrics_render(const struct metrics_snapshot *s, char **ret_text, size_t *ret_length);

#endif
