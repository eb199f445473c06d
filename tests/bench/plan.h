/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_BENCH_PLAN_H
#define HEADGATE_BENCH_PLAN_H

/* What the wrapper and the program that drives it say to each other. The includer provides __u8.. */

#define PLAN_WORDS 20U /* of 4 bytes, behind the Ethernet header: any headers that are measured, and some payload */
#define PLAN_FRAME_BYTES (14U + 4U * PLAN_WORDS)

/* What the wrapper calls; the index in its program array. */
enum plan_program {
	PLAN_NOTHING, /* returns at once: what is left is the wrapper's own cost */
	PLAN_FLOOR,   /* encapsulates, and looks at nothing */
	PLAN_SWAP,    /* swaps MACs */
	PLAN_MEASURED,
	PLAN_AGAINST, /* another build of the same */
	PLAN_PROGRAMS
};

/* What flow number n's address and port are. */
enum plan_numbering {
	PLAN_CLIENTS, /* the port is n's lowest 14 bits, the address the rest */
	PLAN_SOURCES, /* the address is n's lowest 4 bits, the port the rest: those that NAT gave */
};

/* One kind of packet, as it is before each run. Ports and addresses are in host byte order. */
struct plan {
	__u8 frame[PLAN_FRAME_BYTES];
	__u16 ports_at;   /* both ports' offset in the frame; TCP's sequence numbers follow */
	__u16 address_at; /* offset of the last four bytes of the address that is the flow's */
	__u16 port_first; /* of the flows' ports */
	__u16 service_port_first;
	__u32 address_first;
	__u32 flows;           /* 0: each packet is of another one */
	__u32 services;        /* with ports that follow one another; a flow is of one of them */
	__u32 program;         /* enum plan_program */
	__u32 numbering;       /* enum plan_numbering */
	__u32 flow_is_source;  /* the flow's port is the source's; else the destination's */
	__u32 makes_room;      /* the program under measurement moves the frame's beginning */
	__u32 writes_metadata; /* ..and puts something in front of it */
	__u32 goes_on;         /* each packet's sequence numbers are above all before */
};

#endif
