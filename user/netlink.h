/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_NETLINK_H
#define HEADGATE_NETLINK_H

#include "routes.h"

/* A route-netlink listener of the network namespace it was opened in. Never blocks but for its own dumps. */
struct netlink;

/* Subscribes to link, address, route and neighbour changes of both families. 0 or -errno. */
int netlink_open(struct netlink **ret);
void netlink_close(struct netlink *n); /* accepts NULL */
DEFINE_CLEANUP(struct netlink, netlink_close)

/* Readable when something may have changed. */
int netlink_fd(const struct netlink *n);

/**
 * netlink_drain - read what is waiting on the fd
 * Return: 1 when netlink_snapshot's picture may have changed, 0 when not, -errno. Lost messages (ENOBUFS) count as
 * changed.
 */
int netlink_drain(struct netlink *n);

/**
 * netlink_snapshot - dump links, addresses, main-table routes and neighbours
 * Neighbours are those with a usable MAC (REACHABLE, STALE, DELAY, PROBE, PERMANENT); VIPs on loopback are local
 * addresses.
 * Changes while it is taken are on the fd afterwards: drain first, then take the picture.
 * Return: 0 or -errno (-EAGAIN: changed so fast that no consistent picture could be had).
 */
int netlink_snapshot(struct netlink *n, struct routes **ret);

/**
 * netlink_probe - have the kernel find, or confirm, a neighbour's MAC now
 *
 * An unknown neighbour is asked for by broadcast; a known one by unicast, and forgotten when it does not answer: probe
 * once more then, as its MAC may have changed. Permanent neighbours stay as they are. Does not wait; the outcome is a
 * change on the fd. Return: 0 or -errno.
 */
int netlink_probe(struct netlink *n, uint32_t ifindex, const struct address *neighbour);

#endif
