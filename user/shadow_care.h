/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_CARE_H
#define HEADGATE_SHADOW_CARE_H

/*
 * What only time tells of a mirrored connection: the programs that keep it have no timer. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

#define CARE_SYN_NS 1000000000ULL         /* before the first SYN is sent again; then twice as long, and so on */
#define CARE_REPAIR_NS 200000000ULL       /* the same for data and FIN, */
#define CARE_REPAIR_MOST_NS 2000000000ULL /* up to this */
#define CARE_NO_ANSWER_NS 10000000000ULL
#define CARE_MISSING_NS 1000000000ULL /* a segment that has not come by then does not come any more */
#define CARE_QUIET_NS 200000000ULL    /* a shadow that has answered everything has nothing more to say */
#define CARE_SILENT_NS 1000000000ULL  /* likewise one that has answered something, nobody knows how much */
#define CARE_OVER_TICKS 2U            /* how long an ended connection is remembered: for production's last answer */
#define CARE_REPLAY_NS 10000000000ULL /* the same in engine replay, beyond the time that a shadow may linger */

enum shadow_care {
	CARE_NOTHING,
	CARE_REPAIR,
	CARE_FINISH,
	CARE_ABORT,
	CARE_FORGET,
};

/* What holds for all connections of a service, or for all. Times are CLOCK_MONOTONIC. */
struct care_limits {
	uint64_t began_ns; /* when somebody began to care: nothing is held against a connection that was before */
	uint64_t linger_ns;
	uint32_t idle_s;
};

/* Whether the stash has to be asked for the segment that begins at flow->sent: without it nothing goes on. */
bool care_may_miss(const struct shadow_flow *flow, uint64_t now_ns);

/**
 * shadow_care - what is to be done for a connection
 * @wanted: it is still to be mirrored, or nobody cares any more
 * @missing: what care_may_miss() asks for is not there
 * @previous_ns: when this was last asked, for all connections: what is due between then and @now_ns is due now
 * @ret_reason: with CARE_ABORT
 */
enum shadow_care shadow_care(const struct shadow_flow *flow, const struct care_limits *limits, bool wanted,
			     bool missing, uint64_t previous_ns, uint64_t now_ns, enum shadow_end *ret_reason);

#endif
