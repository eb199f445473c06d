/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOWS_H
#define HEADGATE_SHADOWS_H

/*
 * Shadows in the kernel: who mirrors a service and which of its connections, and the guard, by which programs know
 * what comes from a shadow.
 *
 * Shadows have ids and next hops as backends have, in no variant: SHADOW_VARIANT is in their identities. An address
 * that was a backend's until just now is a shadow's only when that one's connections are over; until then replies are
 * production's, and nothing is mirrored.
 */
#include "splitter.h"

/**
 * shadows_refresh - make shadows those of a model that is in force otherwise
 *
 * A packet sees no shadow before all of it is there, nor a part of one that goes.
 * Return: 0 or -errno.
 */
int shadows_refresh(struct splitter *sp, const struct model *model);

/* Who may come from a shadow: by ids, their addresses and backend_state's guarded_mac. 0 or -errno. */
int shadows_refresh_guard(struct splitter *sp);

/* Whether a shadow waits for the connections of a backend that has its address. */
bool shadows_waits(const struct splitter *sp, uint32_t id);

/* Marks whom mirrored connections name: backends and services by id. Either may be NULL. 0 or -errno. */
int shadows_mark_mirrored(struct splitter *sp, bool *ret_backends, bool *ret_services);

/* Forgets what a service whose id is about to be free had. */
void shadows_forget_service(struct splitter *sp, uint32_t service);

#endif
