/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_KICK_H
#define HEADGATE_SHADOW_KICK_H

/* Frames on the mirror by which the daemon has the programs behind it do something for one connection. */
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

/* A socket for them, or -errno. */
int shadow_kick_open(void);

/* @mirror: ifindex of the near end. 0 or -errno. */
int shadow_kick_send(int fd, uint32_t mirror, const struct mirror_kick *kick);

#endif
