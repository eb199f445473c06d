/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ENDS_H
#define HEADGATE_ENDS_H

/*
 * How a connection ends, by its enum flow_flags, and when a drain has it end. Shared by the programs and the daemon.
 * Needs abi.h, nothing else.
 */
#include "abi.h"

/* Both sides have said that they are done. */
static inline __attribute__((always_inline)) _Bool flow_is_closed(__u32 flags)
{
	const __u32 both = FLOW_CLIENT_FIN | FLOW_SERVER_FIN;

	return (flags & both) == both;
}

/* Nothing more is to come, so that a SYN with the same ports is a new connection. */
static inline __attribute__((always_inline)) _Bool flow_is_over(__u32 flags)
{
	return flags & FLOW_RESET || flow_is_closed(flags);
}

/* Whether the pace of a drain has come to a connection of this client_hash(). @below: struct backend's reset_below. */
static inline __attribute__((always_inline)) _Bool reset_has_come(__u32 below, __u64 hash)
{
	return below == RESET_EVERYONE || (hash & 0xffff) < below;
}

#endif
