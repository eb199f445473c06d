/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_BENCH_WIRE_H
#define HEADGATE_BENCH_WIRE_H

/* What the sender, the receiver and the program that drives both say to each other. The includer provides __u8.. */

#define HEADER_WORDS 10U /* of 4 bytes, behind the Ethernet header: IPv4, and TCP or UDP and 12 bytes of payload */
#define HEADER_BYTES (14U + 4U * HEADER_WORDS)
#define SPARE_BYTES 2 /* in front of a frame: its IP header is aligned */
#define FLOW_PORT_FIRST 16384U
#define RECEIVER_SEQUENCE 1000U

/* What the receiver is known by: the last byte of its MAC. */
#define SHADOW_MAC_END 0x21

/* What is sent. */
struct sending {
	__u8 ethernet[16];          /* the header, and two bytes that are not used */
	__u32 header[HEADER_WORDS]; /* with a source port and a checksum of zero */
	__u32 checksum;             /* the sum, of 16-bit words, of all that it covers but the source port */
	__u32 udp;                  /* else TCP: says where the checksum is */
	__u32 flows;                /* which differ in their source ports */
	__u32 in_turn;              /* one flow after the other; else in random order */
	__u32 ifindex;
};

/* In which form a packet came to the receiver. */
enum form {
	FORM_AS_SENT,    /* to the virtual address: by MAC alone */
	FORM_TUNNEL,     /* in an IP packet */
	FORM_ROUTED,     /* to another address, from the client's */
	FORM_TRANSLATED, /* to another address, from another one */
	FORM_ELSE,
	FORMS
};

#endif
