/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SWEEP_H
#define HEADGATE_SWEEP_H

/*
 * Going through the flow tables: what is over is taken out, what lives is counted. After a whole pass slots and cohorts
 * settle that may, and ids that nothing uses any more become free.
 */
#include <stdbool.h>
#include <stdint.h>

struct splitter;
struct sweep;

int sweep_create(struct sweep **ret);    /* 0 or -ENOMEM */
void sweep_destroy(struct sweep *sweep); /* accepts NULL */

/**
 * sweep_step - go on for a bounded number of entries
 * @now_s, @now_tick: the same moment, in both clocks
 *
 * Return: 1 when this step ended a pass, 0 when there is more to do, -errno.
 */
int sweep_step(struct splitter *sp, uint32_t now_s, uint32_t now_tick);

/* A whole pass now, for tests and for the end of a change that must not wait. 0 or -errno. */
int sweep_whole(struct splitter *sp, uint32_t now_s, uint32_t now_tick);

#endif
