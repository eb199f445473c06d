/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_PACKET_H
#define HEADGATE_TEST_PACKET_H

/*
 * Frames for the programs, built and read byte by byte: nothing here shares code or header layouts with bpf/, and
 * checksums are always computed in full, so that both ends of a rewrite are judged by an oracle of their own.
 */
#include <linux/types.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "abi.h"

#define FRAME_MAX 512
#define ETHERNET_BYTES 14
#define HOP_LIMIT 64 /* of a segment that has taken no hop */

/* TCP flags, as in the header's byte 13. */
#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

struct frame {
	__u32 bytes;
	__u8 data[FRAME_MAX];
};

/* What a packet is to say. All that is left out gets a plausible value; the last fields make it lie. */
struct segment {
	const char *from; /* "192.0.2.7" or "2001:db8::7"; its form gives the family */
	const char *to;
	__u16 from_port; /* host byte order */
	__u16 to_port;
	__u8 to_mac;   /* last byte of 02:00:00:00:00:xx */
	__u8 from_mac; /* the same */
	__u8 protocol; /* 0: IPPROTO_TCP */
	__u8 hops;     /* taken out of HOP_LIMIT */
	__u8 flags;    /* TCP's */
	__u32 sequence;
	__u32 acknowledged;
	__u16 payload_bytes;
	__u16 payload_word;    /* the payload's first two bytes, if not 0 */
	const char *payload;   /* all of it, if not NULL */
	__u8 ip_option_bytes;  /* multiple of 4 */
	__u8 tcp_option_bytes; /* multiple of 4 */
	__u8 padding_bytes;    /* of the frame, behind the IP packet */
	bool no_checksum;      /* UDP: 0 */
	__u16 fragment;        /* IPv4 flags and offset, host byte order */
	__u16 ether_type;      /* 0: the family's */
	__u8 version;          /* 0: the family's */
	__u8 ihl;              /* 0: the right one */
	__u8 doff;             /* 0: the right one */
	__s16 ip_length_off;   /* added to the IP header's length field */
	__s16 udp_length_off;
};

void frame_build(const struct segment *s, struct frame *ret);

/* What a frame says, read without regard to bpf/. */
struct reading {
	bool ipv6;
	bool malformed;      /* lengths contradict each other or the frame */
	bool first_fragment; /* IPv4: its checksum is of more than itself, and so judged as if it were of the fragment
			      */
	__u8 protocol;       /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 hop_limit;
	__u8 flags;     /* TCP's */
	__u32 l4;       /* offset in the frame */
	__u32 ip_bytes; /* as the IP header says */
	struct address source;
	struct address destination;
	__u16 source_port; /* host byte order */
	__u16 destination_port;
};

/* False, with @ret untouched, when there are no TCP or UDP ports that can be read (later fragments among others). */
bool frame_read(const struct frame *f, struct reading *ret);

/* Of a frame that is not malformed. A UDP checksum of 0, none, is right. */
bool frame_checksums_right(const struct frame *f, const struct reading *r);
void frame_fix_checksums(struct frame *f, const struct reading *r);

bool frame_equal(const struct frame *a, const struct frame *b);

/* Both frames in hex on stderr, with the offsets that differ. */
void frame_print_difference(const struct frame *got, const struct frame *wanted);

/* In mapped form. Fails the test when @text is no address. */
struct address address_of(const char *text);

#endif
