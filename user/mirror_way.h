/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MIRROR_WAY_H
#define HEADGATE_MIRROR_WAY_H

/*
 * Ways out that a packet and its copy can be sent by. Some drivers send what came in by them back out from an XDP
 * program, but take no frame that is redirected to them (ixgbevf, mlx4, nfp): with a broadcast to such a one and to the
 * mirror, the kernel would leave it out and give the mirror the packet itself.
 */
#include <stdbool.h>
#include <stdint.h>

/* False: the kernel says that the interface does not take frames. Before Linux 6.3 it says nothing. */
bool mirror_way_takes_frames(uint32_t ifindex);

#endif
