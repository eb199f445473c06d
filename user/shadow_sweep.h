/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_SWEEP_H
#define HEADGATE_SHADOW_SWEEP_H

/* Looks after mirrored connections, over and over: what shadow_care() says is done. Pauses shadows that fail. */
#include "splitter.h"

#define SHADOW_SWEEP_US 100000U       /* between two looks, */
#define SHADOW_SWEEP_IDLE_US 1000000U /* where nothing is mirrored */

struct shadow_sweep;

/**
 * shadow_sweep_create - begin to look after the connections that are there
 * @pause: called with @context when a service's shadow is to be paused, and why
 */
int shadow_sweep_create(struct splitter *sp, uint64_t now_ns,
			void (*pause)(void *context, const char *service, const char *reason), void *context,
			struct shadow_sweep **ret);
void shadow_sweep_destroy(struct shadow_sweep *sweep); /* accepts NULL */

/* The next part of a pass: a few milliseconds at most. Return: how long to wait, in us, before the next one. */
uint64_t shadow_sweep_step(struct shadow_sweep *sweep, uint64_t now_ns);

/* Connections of a service that are being mirrored, by the last whole pass. */
uint64_t shadow_sweep_mirroring(const struct shadow_sweep *sweep, uint32_t service);

#endif
