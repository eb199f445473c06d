/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_STATE_H
#define HEADGATE_STATE_H

#include "model.h"

/*
 * What operators decided at run time, over what the file says: weights, cohorts, drained backends and
 * shadows set by command; and which shadows the daemon has paused.
 * Kept in a JSON file that is replaced atomically (write, fsync, rename) before a change is applied, so that a daemon
 * that dies, or a host that reboots, comes back with the weights that were in force.
 *
 * The file wins where the operator edits it: each decision remembers what the file said when it was taken, and is
 * dropped when the file says something else now. A backend stays drained, and a shadow off or paused, while the file
 * has it.
 */

/* One thing that the merge did and a person may want to know; one line of text each, ended by \n. NULL: nothing. */
struct state_notes {
	char *text;
};

void state_notes_clear(struct state_notes *n);

/**
 * state_save - write the decisions that make @running differ from @configured
 * @path: of the state file; its folder must exist
 * @configured: what the configuration file says
 * @running: what is (about to be) in force
 *
 * Return: 0 or -errno; on error the old file is as it was.
 */
int state_save(const char *path, const struct model *configured, const struct model *running);

/**
 * state_merge - what is to be in force, from what the file says and what was decided
 * @path: of the state file; a missing one is no error
 * @now_s: CLOCK_REALTIME; cohorts that have expired by then are left out. Once that has been saved they stay out,
 *         whatever the clock is set to.
 * @notes: a line for each decision kept ("llm: weights blue=90 canary=10, set by command, stay in force; the file says
 *         blue=100") and for each dropped since the file changed or no longer has the variant, or since the state file
 *         cannot be read (a damaged one is set aside as PATH.damaged, never obeyed)
 * @ret: a new model
 *
 * Return: 0 or -errno.
 */
int state_merge(const char *path, const struct model *configured, int64_t now_s, struct state_notes *notes,
		struct model **ret);

#endif
