/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_KNOWN_H
#define HEADGATE_KNOWN_H

/* Which bits of struct known_ends are set: those of every end that is there, counted, as several share one. */
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

struct known {
	uint32_t count[KNOWN_BITS];
};

/* An end has come. @bits: for the programs. */
void known_add(struct known *k, struct known_ends *bits, const struct service_key *end);

/* One that had come has gone. */
void known_remove(struct known *k, struct known_ends *bits, const struct service_key *end);

#endif
