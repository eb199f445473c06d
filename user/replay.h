/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REPLAY_H
#define HEADGATE_REPLAY_H

/*
 * Engine replay: what clients of mirrored connections send comes from the programs by a ring buffer, is put in order,
 * and goes to the shadow over an ordinary connection of the daemon's own. What the shadow answers is measured and
 * thrown away.
 *
 * It lives in the daemon's loop, at the lowest priority, and does a bounded piece of work at a time. What it meets is
 * counted in datapath_replay_counters(), connection by connection:
 *
 *   - It connects when the client has said something, or has ended: a flood of SYNs reaches no shadow.
 *   - The client's end is passed on once the shadow has answered what production had answered by then, and once the
 *     shadow is quiet where the protocol does not tell that; a reset is passed on as one.
 *   - A connection whose service is no longer mirrored this way is reset, unless its client has ended.
 *
 * A daemon that ends, however it ends, ends its connections: they are SHADOW_STOPPED, counted by it or by the next one.
 */
#include <systemd/sd-event.h>

#include "datapath.h"

struct replay;

/* Of one service. */
struct replay_settings {
	size_t memory_bytes;            /* of all that waits to be written, or for what is missing before it */
	size_t connection_memory_bytes; /* of the same, of one connection */
	uint64_t linger_ns;             /* how long a shadow may go on after the client has ended */
};
#define REPLAY_DEFAULTS                                                                                                \
	((struct replay_settings){                                                                                     \
		.memory_bytes = 64U << 20, .connection_memory_bytes = 16U << 20, .linger_ns = 10000000000ULL})

/* 0 or -errno. Services have REPLAY_DEFAULTS. */
int replay_create(sd_event *event, struct datapath *dp, struct replay **ret);
void replay_destroy(struct replay *r); /* accepts NULL; before the data path's close */
DEFINE_CLEANUP(struct replay, replay_destroy)

/* Changes a service's settings; those of a connection from its beginning on. */
void replay_configure(struct replay *r, uint32_t service, const struct replay_settings *settings);

#endif
