/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_READING_H
#define HEADGATE_TEST_READING_H

/* What a frame says, read without regard to bpf/. */
#include "packet.h"

enum reading_kind {
	READ_NOTHING, /* no IP packet whose addresses can be read */
	READ_BROKEN,  /* its addresses can, what follows cannot */
	READ_OTHER,   /* neither TCP, UDP nor ICMP of its family */
	READ_ICMP,
	READ_LATER, /* a fragment, not the first */
	READ_PORTS,
};

struct reading {
	bool ipv6;
	bool malformed;      /* lengths contradict each other or the frame */
	bool first_fragment; /* its checksum is of more than itself, and so judged as if it were of the fragment */
	__u8 protocol;
	__u8 hop_limit;
	__u8 traffic_class;
	__u8 flags;     /* TCP's */
	__u32 l3;       /* offset in the frame */
	__u32 l4;       /* the same; of a later fragment: where its part of the payload begins */
	__u32 ip_bytes; /* as the IP header says */
	__u32 id;       /* of a fragment */
	struct address source;
	struct address destination;
	__u16 source_port; /* host byte order */
	__u16 destination_port;
};

/* Up to two VLAN tags, IPv4 with options, IPv6 with up to 8 extension headers within the frame's first 512 bytes. */
enum reading_kind frame_classify(const struct frame *f, struct reading *ret);

/* False, with @ret untouched, when there are no TCP or UDP ports that can be read (later fragments among others). */
bool frame_read(const struct frame *f, struct reading *ret);

/* Of a frame with ports that is not malformed. A UDP checksum of 0, none, is right. */
bool frame_checksums_right(const struct frame *f, const struct reading *r);
void frame_fix_checksums(struct frame *f, const struct reading *r);

/* IPv6 has none: it is right. */
bool frame_ip_checksum_right(const struct frame *f, const struct reading *r);

#endif
