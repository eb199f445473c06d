/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SEQUENCE_H
#define HEADGATE_SEQUENCE_H

/* Sequence numbers of TCP wrap: RFC 9293, 3.4. Shared by the programs and the daemon. Needs abi.h, nothing else. */
#include "abi.h"

static inline __attribute__((always_inline)) _Bool sequence_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

#endif
