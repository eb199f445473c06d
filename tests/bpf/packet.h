/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_PACKET_H
#define HEADGATE_TEST_PACKET_H

/*
 * Frames for the programs, built byte by byte: nothing here shares code or header layouts with bpf/, and checksums are
 * always computed in full, so that both ends of a rewrite are judged by an oracle of their own. reading.h is the way
 * back.
 */
#include <linux/types.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "abi.h"

#define FRAME_MAX 9100
#define ETHERNET_BYTES 14
#define VLAN_BYTES 4
#define HOP_LIMIT 64 /* of a segment that has taken no hop */
#define EXTENSIONS 10

/* TCP flags, as in the header's byte 13. */
#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

struct frame {
	__u32 bytes;
	__u8 data[FRAME_MAX];
};

/* An IPv6 extension header: IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING, or IPPROTO_FRAGMENT (of a whole packet).
 */
struct extension {
	__u8 type;
	__u8 units;         /* of 8 bytes, beyond the first */
	__u8 segments_left; /* of a routing header */
};

enum outer_kind { OUTER_NONE, OUTER_IPIP, OUTER_GUE };

/* The header (or headers) of a tunnel, in front of all of the segment's own IP packet. */
struct outer {
	enum outer_kind kind;
	struct address from;
	struct address to;
	__u16 from_port; /* gue; host byte order */
	__u16 to_port;
	__u32 flow_label; /* over IPv6 */
};

/* What a packet is to say. All that is left out gets a plausible value; the last fields make it lie. */
struct segment {
	const char *from; /* "192.0.2.7" or "2001:db8::7"; its form gives the family */
	const char *to;
	__u16 from_port; /* host byte order */
	__u16 to_port;
	__u8 to_mac;   /* last byte of 02:00:00:00:00:xx */
	__u8 from_mac; /* the same */
	bool again;    /* from 02:68:67:00:00:02, as the daemon sends a fragment in again */
	__u8 protocol; /* 0: IPPROTO_TCP */
	__u8 hops;     /* taken out of HOP_LIMIT */
	__u8 traffic_class;
	__u8 flags; /* TCP's */
	__u32 sequence;
	__u32 acknowledged;
	__u16 payload_bytes;
	__u16 payload_word;      /* the payload's first two bytes, if not 0 */
	const void *payload;     /* all of it, if not NULL */
	__u8 ip_option_bytes;    /* multiple of 4 */
	__u8 tcp_option_bytes;   /* multiple of 4 */
	const __u8 *tcp_options; /* so many; NULL: NOPs */
	__u16 window;
	bool closed;        /* a window of 0 */
	__u8 padding_bytes; /* of the frame, behind the IP packet */
	bool no_checksum;   /* UDP: 0 */

	__u8 icmp_type;
	__u8 icmp_code;
	__u32 icmp_rest;             /* the header's last four bytes, host byte order */
	const struct segment *inner; /* ICMP: its IP packet is the payload */
	__u16 inner_bytes;           /* how much of it; 0: all */

	__u16 vlan[2];   /* tags, the frame's first one first; 0: none */
	__u16 vlan_type; /* EtherType of the first tag; 0: 0x8100 */
	__u8 extensions; /* how many of the next ones it has */
	struct extension extension[EXTENSIONS];
	__u16 id;         /* IPv4's identification, IPv6's in a fragment header; 0: 0x1d1d */
	__u16 cut_offset; /* the fragment of it that begins here.. */
	__u16 cut_bytes;  /* ..and has so many bytes at most; 0: it is whole */
	__u8 cut_behind;  /* how many of the extension headers each fragment has */
	bool made_here;   /* an answer of Headgate's own: id and flow label are 0 */
	struct outer outer;

	__u16 fragment;      /* IPv4 flags and offset, host byte order */
	__u16 ether_type;    /* 0: the family's */
	__u8 version;        /* 0: the family's */
	__u8 ihl;            /* 0: the right one */
	__u8 doff;           /* 0: the right one */
	__s16 ip_length_off; /* added to the IP header's length field */
	__s16 udp_length_off;
	__u16 icmp_check_off; /* added to ICMP's checksum */
};

void frame_build(const struct segment *s, struct frame *ret);

bool frame_equal(const struct frame *a, const struct frame *b);

/* Both frames in hex on stderr, with the offsets that differ. */
void frame_print_difference(const struct frame *got, const struct frame *wanted);

/* In mapped form. Fails the test when @text is no address. */
struct address address_of(const char *text);
bool address_is_ipv6(const struct address *a);

/* Big-endian numbers, and RFC 1071's sum of big-endian words on top of @sum, folded to 16 bits. */
void put16(__u8 *to, __u32 value);
void put32(__u8 *to, __u32 value);
__u32 get16(const __u8 *from);
__u32 get32(const __u8 *from);
__u32 sum16(const __u8 *data, __u32 bytes, __u32 sum);

/* The sum of pseudo header and segment, checksum field included: 0xffff where it is right. @l3: the IP header. */
__u32 l4_sum(const __u8 *l3, const __u8 *l4, __u32 l4_bytes, __u8 protocol);

/* Sets TCP's, UDP's or ICMP's checksum field. */
void l4_set_checksum(const __u8 *l3, __u8 *l4, __u32 l4_bytes, __u8 protocol);
void ipv4_set_checksum(__u8 *l3);

#endif
