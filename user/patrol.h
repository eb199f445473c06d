/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PATROL_H
#define HEADGATE_PATROL_H

/*
 * The rounds that health checks go: which backend is due, what its check and its real connections say, and whether that
 * changes who is in rotation.
 */
#include <systemd/sd-event.h>

#include "health.h"
#include "splitter.h"

struct patrol;

/* @changed is called when the health of at least one backend has changed and tables must be computed anew. 0 or -errno.
 */
int patrol_create(sd_event *event, struct splitter *sp, void (*changed)(void *context), void *context,
		  struct patrol **ret);
void patrol_destroy(struct patrol *p); /* accepts NULL */
DEFINE_CLEANUP(struct patrol, patrol_destroy)

/* Starts the checks that are due. Called some times a second. */
void patrol_step(struct patrol *p, uint64_t now_ns);

/* Looks at what real connections met since the last call. Called once a second or so. */
void patrol_observe(struct patrol *p, uint64_t now_ns);

/* Calls @warn with a line for each backend that is down. */
void patrol_warn(const struct patrol *p, void (*warn)(void *context, const char *text), void *context);

/* What is known of a backend id; NULL for one that is not watched. @ret_why: what its last bad check said, or NULL. */
const struct health *patrol_health(const struct patrol *p, uint32_t id, const char **ret_why);

#endif
