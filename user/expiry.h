/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_EXPIRY_H
#define HEADGATE_EXPIRY_H

/* When a flow is over. Pure. */
#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

/* Seconds of silence after which a flow is forgotten. */
#define EXPIRY_RESET_S 10 /* after a RST: late segments of the other side */
#define EXPIRY_CLOSED_S                                                                                                \
	60 /* after both FINs: the servers' TIME_WAIT (Linux's TCP_TIMEWAIT_LEN), in which the port rests */
#define EXPIRY_CLOSING_S 300  /* after one FIN */
#define EXPIRY_HALF_OPEN_S 35 /* longer than the longest pause between a client's SYNs (Linux: 32 s) */
#define EXPIRY_UNREPLIED_S 5  /* a port whose half-open flow is gone and was never answered: a flood's */

/**
 * flow_expired - whether a flow has been silent for too long
 * @f: the forward direction
 * @port: the reverse one, or NULL in modes that have none
 * @half_open: its handshake is not complete
 * @protocol: IPPROTO_TCP or IPPROTO_UDP
 * @now_tick: in ticks of 2^30 ns
 * @idle_s: how long an established one may be silent
 */
bool flow_expired(const struct flow *f, const struct source_port *port, bool half_open, uint8_t protocol,
		  uint32_t now_tick, uint32_t idle_s);

/* Whether a source port whose flow is in no table may be given to another flow. */
bool source_port_expired(const struct source_port *port, uint32_t now_tick);

/* Ticks since @tick; 0 for one that is (by another CPU's clock) ahead. */
uint32_t ticks_since(uint32_t tick, uint32_t now_tick);

/* The tick of a CLOCK_MONOTONIC time. */
uint32_t tick_of_ns(uint64_t ns);

#endif
