/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_VERDICT_H
#define HEADGATE_VERDICT_H

/* What is to become of a packet; each hook has its own way of doing it. */
#include "abi.h"

enum verdict {
	VERDICT_PASS,    /* not ours: to this host, untouched */
	VERDICT_DROP,    /* counted under a reason */
	VERDICT_RESET,   /* answered with a RST to its sender */
	VERDICT_TOO_BIG, /* answered with "fragmentation needed" or "packet too big" */
	VERDICT_ECHO,    /* the echo request is answered */
	VERDICT_SEND,    /* edited; out of the interface that was named */
	VERDICT_MIRROR,  /* the same, and a copy goes to the mirror */
	/* Decided by another program of the same hook. */
	VERDICT_REPLY,
	VERDICT_RARE,
	VERDICT_ICMP,
	VERDICT_SHADOW,
	VERDICT_EARLY,       /* a fragment for the daemon to send in again */
	VERDICT_ACKNOWLEDGE, /* a shadow's segment is answered with an acknowledgement */
	VERDICT_HAND_OVER,   /* a shadow's packet goes to the program behind the mirror */
};

/* The four fields that name a connection, as a packet is to carry them. */
struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
};

enum edit {
	EDIT_NONE,  /* one hop later, and else as it is */
	EDIT_TUPLE, /* other addresses, and ports where it has any */
	EDIT_IPIP,  /* into an outer packet */
	EDIT_GUE,
	EDIT_DONE, /* has been edited already */
};

/* How a packet leaves. */
struct departure {
	const struct next_hop *hop;
	struct tuple tuple; /* EDIT_TUPLE: what it is to carry; EDIT_IPIP, EDIT_GUE: the outer packet's */
	__u32 service;
	__u32 backend;
	__u32 hash;
	__u32 sequence; /* VERDICT_ACKNOWLEDGE: what the answer carries */
	__u32 acknowledged;
	__u16 mtu;       /* VERDICT_TOO_BIG: how large a packet may be */
	__u8 edit;       /* enum edit */
	__u8 outer_ipv6; /* EDIT_IPIP, EDIT_GUE: the outer packet's family */
	__u8 reply;
	__u8 opened; /* it counts as a connection's first */
};

#endif
