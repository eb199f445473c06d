/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SERVICE_H
#define HEADGATE_SERVICE_H

#include "splitter.h"

/**
 * service_write - write what the programs read of a service, but for its tables
 * @id: its own already
 * @fresh: nothing of it is there yet: no packet reads it before its address leads to it
 *
 * Return: 0, or -ENOSPC without room for its NAT sources.
 */
int service_write(struct splitter *sp, uint32_t id, const struct service_model *s, bool fresh, struct refusal *why);

#endif
