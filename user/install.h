/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_INSTALL_H
#define HEADGATE_INSTALL_H

/*
 * A service's tables, computed and put in force. A service's own takes three steps, so that of many services all are
 * computed first, then put in force one right after the other, and only then is what follows from it written down.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct placed_service;
struct slot_deadlines;
struct service_model;
struct splitter;

/* A table on its way into force. */
struct installation {
	uint32_t row;     /* that holds it; ROW_NONE: there is nothing to do */
	uint32_t old_row; /* in force until now, or ROW_NONE */
	bool old_is_base; /* nothing was tracked: whoever moves now has settled last where the old row says */
	bool whole;       /* all slots move */
	size_t moved_slots;
	struct slot_deadlines *first_deadlines; /* uncleared, for a table of which nothing was tracked; or NULL */
};

/* Tables of variants that cohorts point at, all steps of them. 0 or -errno. */
int install_cohort_tables(struct splitter *sp, const struct placed_service *s, uint32_t now_s);

/**
 * install_prepare - compute a service's own table
 * @s: its rotation is chosen, and its `main` set
 *
 * Return: 0; -ENOSPC: no row is free now, other tables must be put in force or given up first; -ENOMEM.
 */
int install_prepare(struct splitter *sp, struct placed_service *s);
void install_discard(struct splitter *sp, struct placed_service *s);

/* One store. */
void install_flip(struct splitter *sp, struct placed_service *s);

/* Deadlines, drains by reset, and whom how many slots name. */
void install_note(struct splitter *sp, struct placed_service *s, uint32_t now_s);

/* Who may be sent new connections, of all variants. */
void install_choose_rotation(struct splitter *sp, const struct placed_service *s);

/* Whether some cohort of the service points at variant @v. */
bool install_for_cohort(const struct service_model *s, size_t v);

#endif
