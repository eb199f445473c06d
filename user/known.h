/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_KNOWN_H
#define HEADGATE_KNOWN_H

/* What struct known_ends says: of every end that is there. They are counted, as several may share a place. */
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

struct known {
	uint32_t count[ENDS];
};

/**
 * known_add - an end has come
 * @ends: for the programs
 * @named: whose it is, as struct known_ends has it; 0: that is to be looked up
 */
void known_add(struct known *k, struct known_ends *ends, const struct service_key *end, uint32_t named);

/* One that had come is another's now. */
void known_change(struct known *k, struct known_ends *ends, const struct service_key *end, uint32_t named);

/* One that had come has gone. */
void known_remove(struct known *k, struct known_ends *ends, const struct service_key *end);

#endif
