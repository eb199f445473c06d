/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_LEFTOVER_H
#define HEADGATE_SHADOW_LEFTOVER_H

/*
 * Segments whose connection is gone are cleared out of the stash. They are listed before connections are looked for: a
 * connection is there before its first segment is.
 */
#include "datapath.h"

/* All zero: nothing is listed. */
struct shadow_leftover {
	bool listed;
	struct stash_key *keys;
	size_t key_count, key_room;
	uint32_t *serials; /* of connections that are there */
	size_t serial_count, serial_room;
};

void shadow_leftover_list(struct shadow_leftover *s, struct datapath *dp);
void shadow_leftover_meet(struct shadow_leftover *s, uint32_t serial);
/* Clears away what was listed and is nobody's that was met. */
void shadow_leftover_clear(struct shadow_leftover *s, struct datapath *dp);
/* Forgets the list. */
void shadow_leftover_release(struct shadow_leftover *s);

#endif
