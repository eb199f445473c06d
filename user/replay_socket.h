/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REPLAY_SOCKET_H
#define HEADGATE_REPLAY_SOCKET_H

/* TCP connections to shadows. */
#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>

#include "address.h"

/**
 * replay_socket_connect - begin a connection, without waiting
 * @source: address to come from; zero: any
 * @traffic_class: of its packets
 * Return: a descriptor, writable once it is known how that went, or -errno.
 */
int replay_socket_connect(const struct endpoint *to, const struct address *source, uint8_t traffic_class);

/* The errno that it failed with since it was asked last, or 0. */
int replay_socket_error(int fd);

/* Whether the other side has acknowledged all that was written. */
bool replay_socket_is_acknowledged(int fd);

/* Adds what it has sent. */
void replay_socket_count(int fd, bool ipv6, struct shadow_counters *c);

/* Has close() reset the connection instead of ending it. */
void replay_socket_reset(int fd);

#endif
