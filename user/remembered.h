/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REMEMBERED_H
#define HEADGATE_REMEMBERED_H

/*
 * What removed backends had counted, by service and variant: a variant's counters never go back because one of its
 * backends has gone. They live in a map of their own, as no program counts there.
 */
#include "measure.h"
#include "splitter.h"

/* The counts of a variant's removed backends; zeros if there are none. 0 or -errno. */
int remembered_read(struct splitter *sp, const char *service, const char *variant, struct measured *ret);

/**
 * remembered_take - move the counts of an id on which no program counts any more to its variant's, and free the id
 *
 * The counts of a variant that is no longer in the model are dropped.
 *
 * Return: 0 or -errno, and then the id is as it was. An id that was moved and then could not be zeroed is ID_MOVED: the
 * next move in its variant tries again, or the next daemon.
 */
int remembered_take(struct splitter *sp, uint32_t id);

/* Ends what a daemon had begun that was killed amid remembered_take(). Before ids are adopted. 0 or -errno. */
int remembered_adopt(struct splitter *sp);

/* Forgets variants that are neither in the model nor have a backend that drains. */
void remembered_prune(struct splitter *sp);

#endif
