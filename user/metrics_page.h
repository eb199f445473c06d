/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_METRICS_PAGE_H
#define HEADGATE_METRICS_PAGE_H

/*
 * The parts of the page. A snapshot is flattened first: a family of metrics is a walk over all services, all variants
 * or all backends, and their labels are the same in each.
 */
#include "exposition.h"
#include "metrics.h"

/* Ends the HELP of what is scaled. */
#define ESTIMATE " Estimated from a sample where headgate_measured_ratio is below 1."

/* What a subject can have. A series needs one of these. */
enum figure {
	FIGURE_ANY = 1 << 0, /* every subject has it */
	FIGURE_REPLIES = 1 << 1,
	FIGURE_OPENED = 1 << 2,
	FIGURE_CONNECTIONS = 1 << 3,
	FIGURE_REQUESTS = 1 << 4,
	FIGURE_ACTIVE = 1 << 5,
	FIGURE_NAT = 1 << 6,       /* what only the mode with flow state can meet */
	FIGURE_STATELESS = 1 << 7, /* what only modes without it can meet */
	FIGURE_GUE = 1 << 8,       /* what gue can meet besides */
};

struct subject {
	char *labels;
	const struct metrics_service *service;
	const struct metrics_variant *variant; /* NULL for a service */
	const struct metrics_backend *backend; /* NULL for a service or variant */
	uint32_t figures;                      /* enum figure */
	uint32_t shift;                        /* 2^shift connections for each measured one */
};

struct subjects {
	struct subject *services, *variants, *backends;
	size_t service_count, variant_count, backend_count;
};

int subjects_create(const struct metrics_snapshot *s, struct subjects **ret); /* 0 or -ENOMEM; borrows @s */
void subjects_destroy(struct subjects *subjects);                             /* accepts NULL */
DEFINE_CLEANUP(struct subjects, subjects_destroy)

/* Counters and active connections of services, variants and backends; histograms of variants. */
void metrics_render_counted(struct exposition *e, const struct subjects *subjects);
void metrics_render_histograms(struct exposition *e, const struct subjects *subjects);

/* One histogram of the family that is under way. @labels: its subject's. */
void metrics_render_histogram(struct exposition *e, const struct histogram *h, const char *labels);

/* All of shadows, by service. */
void metrics_render_shadows(struct exposition *e, const struct subjects *subjects);

/* All of rollouts, by service. */
void metrics_render_rollouts(struct exposition *e, const struct subjects *subjects);

#endif
