/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_NETLINK_MESSAGE_H
#define HEADGATE_NETLINK_MESSAGE_H

/* What one route-netlink message says, without the socket that it came from. Messages are the kernel's, whole. */
#include <linux/netlink.h>
#include <stdbool.h>

#include "routes.h"

/**
 * netlink_message_store - add what a message of a dump says to a picture of this host
 * @r: gains a link, address, route or neighbour; nothing, when the message is about none that counts (see routes.h)
 *
 * Return: 0 or -ENOMEM.
 */
int netlink_message_store(struct routes *r, const struct nlmsghdr *message);

/* True when a notification is about something that such a picture shows, or showed before. */
bool netlink_message_is_change(const struct nlmsghdr *message);

#endif
