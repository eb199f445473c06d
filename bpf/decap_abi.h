/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DECAP_ABI_H
#define HEADGATE_DECAP_ABI_H

/*
 * What the decapsulating programs and `headgate-decap` say to each other. The includer provides __u8.. and __be16
 * (vmlinux.h or linux/types.h).
 */
#include "abi.h"

/* How a decapsulated packet came, and why one for an outer address was dropped instead. Keys of the counters. */
enum decap_outcome {
	DECAP_IPIP,
	DECAP_GUE,
	DECAP_DROP_MALFORMED,   /* lengths of the headers contradict each other or the frame */
	DECAP_DROP_FRAGMENT,    /* the outer packet is a fragment */
	DECAP_DROP_GUE_VERSION, /* not 0 */
	DECAP_DROP_GUE_CONTROL, /* a control message */
	DECAP_DROP_GUE_OPTIONS, /* flags, or fields behind the header */
	DECAP_DROP_PROTOCOL,    /* GUE with something that is neither IPv4 nor IPv6 */
	DECAP_DROP_VERSION,     /* the inner packet is not of the version that the outer header says */
	DECAP_DROP_DESTINATION, /* the inner destination is no VIP */
	DECAP_DROP_SOURCE,      /* the outer source is in none of the prefixes */
	DECAP_DROP_ECN,         /* congestion experienced, and the inner packet can't carry that (RFC 6040) */
	DECAP_DROP_AGGREGATED,  /* TC: datagrams that the kernel has merged */
	DECAP_DROP_FAILED,      /* the kernel did not take the headers off */
	DECAP_OUTCOMES
};

/* The programs' constants, and for the command what is in force: all of .rodata. */
struct decap_settings {
	__be16 port;         /* UDP destination of GUE */
	__u8 source_limited; /* outer sources must be in a prefix of the map */
	__u8 zero;
};
_Static_assert(sizeof(struct decap_settings) == 4, "ABI");

/* Of the map of prefixes that outer sources must be in. */
struct decap_source_key {
	__u32 prefix_bits; /* of the (mapped) address */
	struct address address;
};
_Static_assert(sizeof(struct decap_source_key) == 20, "ABI");

#endif
