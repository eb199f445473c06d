/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SEGMENT_H
#define HEADGATE_SEGMENT_H

/* A frame with a TCP segment that is nothing but its header. Pure. */
#include <stdint.h>

#include "address.h"

#define SEGMENT_FRAME_BYTES 74 /* of IPv6: 14 + 40 + 20; IPv4's is 20 less */

struct segment {
	uint8_t from_mac[6];
	uint8_t to_mac[6];
	struct address from; /* both of one family */
	struct address to;
	__be16 from_port;
	__be16 to_port;
	uint32_t sequence;
	uint32_t acknowledged;
	uint8_t flags; /* TH_ACK, TH_RST */
};

/* Return: bytes written. */
uint32_t segment_write(const struct segment *s, uint8_t ret_frame[SEGMENT_FRAME_BYTES]);

#endif
