/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PLACEMENT_H
#define HEADGATE_PLACEMENT_H

/* Which ids a model's services, variants and backends have in the kernel, and what of it is as in the model in force.
 */
#include "install.h"
#include "splitter.h"

/* A service of the model, and where it lives. */
struct placed_service {
	const struct service_model *model;
	uint32_t id;
	bool resets; /* connections whose slot moves are reset, at the service's pace */
	uint64_t now_ns;
	bool fresh;                      /* the id is new, or was another's */
	bool same_backends;              /* all that the programs read of them is as in the model in force */
	bool same_tables;                /* as in the model in force, so that nothing need be computed */
	bool unchanged;                  /* wholly as in the model in force: there is nothing to do */
	uint32_t variant[VARIANTS_MAX];  /* index in the kernel, by position in the model */
	uint32_t *backend[VARIANTS_MAX]; /* ids, by position in the model */
	uint32_t shadow[SHADOW_BACKENDS_MAX];
	struct installation main; /* of its own table */
};

struct placement {
	struct placed_service *services;
	size_t count;
	/* Ids that were free, to be free again if anything is refused. */
	uint32_t *taken_backends;
	size_t taken_backend_count;
	bool *backend_placed; /* by id */
};

/**
 * placement_make - find or take the ids of a model, and see that all of it fits
 * @ret: for placement_free(), refused or not
 *
 * 0 or -errno with @why; then nothing has been taken.
 */
int placement_make(struct splitter *sp, const struct model *model, struct placement **ret, struct refusal *why);
void placement_free(struct placement *p); /* ids stay taken; accepts NULL */
DEFINE_CLEANUP(struct placement, placement_free)

#endif
