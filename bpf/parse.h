/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PARSE_H
#define HEADGATE_PARSE_H

/*
 * From a frame to a struct packet. Two parsers share most of this: the quick one, for what nearly every packet is, and
 * the whole one (parse_rare.h), which knows fragments and IPv6 extension headers as well.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define HEADERS_MAX 512U /* where the transport header begins at the latest, in bytes from the frame's first */
#define VLAN_TAGS_MAX 2

#define IPV4_FRAGMENT 0x3fff /* more fragments, or an offset: host byte order */

/* TCP's flags as they stand in byte 13 of the header. */
enum tcp_flags {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
};

/* What a hook has of a frame. */
struct frame {
	void *data;      /* its Ethernet header */
	void *end;       /* one past the last byte that can be read in place */
	__u32 bytes;     /* of the whole frame */
	__u32 gso_bytes; /* TCP payload of each packet that the frame stands for; 0: it is one packet */
};

enum parsed {
	PARSED,   /* ports are known; headers that contradict each other are marked malformed */
	NOT_OURS, /* nothing that a service could be looked up by */
	BROKEN,   /* the addresses are known, and what follows cannot be right */
	RARE,     /* only the whole parser reads it */
	IS_ICMP,
};

enum fragment_kind {
	FRAGMENT_NONE,
	FRAGMENT_FIRST,
	FRAGMENT_LATER, /* has no ports */
};

/* What a packet says; no pointer, so that it can be kept where the stack is too small for it. */
struct packet {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 bytes;        /* of the IP packet, as its header says */
	__u32 frame_bytes;  /* of the whole frame */
	__u32 wire_bytes;   /* of the IP packet as it will leave: less than @bytes where it stands for several */
	__u32 more_packets; /* that it stands for, besides one, */
	__u32 more_bytes;   /* and what their headers would add to @bytes */
	__u16 l3;           /* offset of the IP header in the frame */
	__u16 l4;           /* and of the transport header; 0: in another fragment */
	__u8 ipv6;
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 hop_limit;
	__u8 traffic_class; /* IPv4: type of service */
	__u8 tcp_flags;     /* 0 for UDP */
	__u8 malformed;
	__u8 tcp_header_bytes;
	__u8 answer_class;   /* what an answer to it is marked with; 0: nothing */
	__u8 opens;          /* a connection's first packet: for UDP any may be */
	__u8 fragment;       /* enum fragment_kind */
	__be32 fragment_id;  /* with @fragment */
	__u32 payload_bytes; /* of TCP; 0 for UDP */
	__u32 sequence;      /* of TCP, host byte order */
	__u32 sequence_next; /* one past what the segment takes up: its data, SYN and FIN */
	__u32 acknowledged;  /* host byte order; meaningful with TCP_ACK */
};

static __always_inline bool packet_opens(const struct packet *p)
{
	return p->opens;
}

/**
 * frame_at - a header in the frame
 * @offset: below HEADERS_MAX, or it is another place that is read
 * Return: pointer to @bytes bytes, or NULL: the frame ends before.
 */
static __always_inline void *frame_at(const struct frame *f, __u32 offset, __u32 bytes)
{
	void *at;

	/* The verifier must see the bound, which clang may know already. */
	if (!__builtin_constant_p(offset)) {
		asm volatile("" : "+r"(offset));
		offset &= HEADERS_MAX - 1;
	}
	at = f->data + offset;
	return at + bytes > f->end ? NULL : at;
}

struct vlan_tag {
	__be16 id; /* and priority */
	__be16 type;
};

/* An Ethernet header with all the tags that it may have, kept while room is made behind it. */
struct link_header {
	__u16 word[(sizeof(struct ethhdr) + VLAN_TAGS_MAX * sizeof(struct vlan_tag)) / 2];
};

/* 0, or -1: the frame is shorter than that, and so carries nothing of ours. */
static __always_inline int link_header_save(const struct frame *f, struct link_header *ret)
{
	struct link_header *at = frame_at(f, 0, sizeof(*at));

	if (!at)
		return -1;
	*ret = *at;
	return 0;
}

/* Too much of it, where there are fewer tags, is written over afterwards. */
static __always_inline int link_header_put(const struct frame *f, const struct link_header *link)
{
	struct link_header *at = frame_at(f, 0, sizeof(*at));

	if (!at)
		return -1;
	*at = *link;
	return 0;
}

static __always_inline bool is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/**
 * parse_ethernet - the Ethernet header and up to two VLAN tags (IEEE 802.1Q, 802.1ad)
 * Return: EtherType in host byte order of what they carry, or -NOT_OURS; p->l3 is set.
 */
static __always_inline int parse_ethernet(const struct frame *f, struct packet *p)
{
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));
	__u32 l3 = sizeof(*eth);
	__be16 type;

	/* What is sent to a group is not forwarded (RFC 1812, 5.3.4), nor answered from the group's address. */
	if (!eth || eth->h_dest[0] & 1)
		return -NOT_OURS;
	type = eth->h_proto;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		struct vlan_tag *tag = (void *)eth + sizeof(*eth) + i * sizeof(*tag);

		if (!is_vlan(type))
			break;
		if ((void *)(tag + 1) > f->end)
			return -NOT_OURS;
		type = tag->type;
		l3 += sizeof(*tag);
	}
	/* From here on it is one number that is read from memory, and one way for the verifier to go. */
	*(volatile __u16 *)&p->l3 = l3;
	return bpf_ntohs(type);
}

static __always_inline void address_from_ipv4(struct address *to, __be32 from)
{
	to->word[0] = 0;
	to->word[1] = 0;
	to->word[2] = bpf_htonl(0xffff);
	to->word[3] = from;
}

/**
 * parse_ipv4 - read an IPv4 header; options are skipped
 * Return: L4 protocol, or -enum parsed.
 */
static __always_inline int parse_ipv4(const struct frame *f, struct packet *p)
{
	__u32 l3 = *(volatile __u16 *)&p->l3;
	struct iphdr *ip = frame_at(f, l3, sizeof(*ip));
	__u32 header_bytes;

	if (!ip || ip->version != 4)
		return -NOT_OURS;
	address_from_ipv4(&p->source, ip->saddr);
	address_from_ipv4(&p->destination, ip->daddr);
	header_bytes = ip->ihl * 4;
	p->ipv6 = 0;
	p->hop_limit = ip->ttl;
	p->traffic_class = ip->tos;
	p->bytes = bpf_ntohs(ip->tot_len);
	p->l4 = l3 + header_bytes;
	if (header_bytes < sizeof(*ip) || p->l4 > f->bytes)
		return -BROKEN;
	p->malformed = p->bytes < header_bytes || l3 + p->bytes > f->bytes;
	p->fragment_id = ip->id;
	p->protocol = ip->protocol;
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT))
		return -RARE;
	return ip->protocol;
}

/* IPv4 addresses are mapped into IPv6's in every key, so such addresses in a real IPv6 packet must not be looked up. */
static __always_inline bool address_is_mapped(const struct address *a)
{
	return !a->word[0] && !a->word[1] && a->word[2] == bpf_htonl(0xffff);
}

static __always_inline bool address_same(const struct address *a, const struct address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
	       a->word[3] == b->word[3];
}

static __always_inline bool is_extension(__u32 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_FRAGMENT ||
	       next == IPPROTO_DSTOPTS;
}

/**
 * parse_ipv6 - read an IPv6 header
 * Return: next header, or -enum parsed: RARE with p->protocol set to it when it is an extension header.
 */
static __always_inline int parse_ipv6(const struct frame *f, struct packet *p)
{
	__u32 l3 = *(volatile __u16 *)&p->l3;
	struct ipv6hdr *ip = frame_at(f, l3, sizeof(*ip));

	if (!ip || ip->version != 6)
		return -NOT_OURS;
	__builtin_memcpy(&p->source, &ip->saddr, sizeof(p->source));
	__builtin_memcpy(&p->destination, &ip->daddr, sizeof(p->destination));
	if (address_is_mapped(&p->source) || address_is_mapped(&p->destination))
		return -NOT_OURS;
	p->ipv6 = 1;
	p->hop_limit = ip->hop_limit;
	p->traffic_class = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	p->bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->l4 = l3 + sizeof(*ip);
	p->malformed = l3 + p->bytes > f->bytes;
	p->protocol = ip->nexthdr;
	return is_extension(ip->nexthdr) ? -RARE : ip->nexthdr;
}

/* What a packet with so much payload was before the kernel merged it from several (GRO), and will be again (GSO). */
static __always_inline void unmerge(const struct frame *f, struct packet *p, __u32 payload_bytes)
{
	if (!f->gso_bytes || f->gso_bytes >= payload_bytes)
		return;
	p->wire_bytes = p->bytes - payload_bytes + f->gso_bytes;
	p->more_packets = (payload_bytes - 1) / f->gso_bytes;
	p->more_bytes = p->more_packets * (p->bytes - payload_bytes);
}

/* Reads what TCP says of itself; @l4_bytes is what the IP header leaves for it. */
static __always_inline void parse_tcp(const struct frame *f, struct packet *p, __u32 l4_bytes)
{
	struct tcphdr *tcp = frame_at(f, p->l4, sizeof(*tcp));
	__u32 header_bytes;

	if (!tcp) {
		p->malformed = 1;
		return;
	}
	header_bytes = tcp->doff * 4;
	if (header_bytes < sizeof(*tcp) || header_bytes > l4_bytes)
		p->malformed = 1;
	p->tcp_header_bytes = header_bytes;
	p->payload_bytes = l4_bytes - header_bytes;
	p->tcp_flags = ((__u8 *)tcp)[13];
	p->opens = (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	p->sequence = bpf_ntohl(tcp->seq);
	p->sequence_next =
		p->sequence + (l4_bytes - header_bytes) + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
	p->acknowledged = bpf_ntohl(tcp->ack_seq);
	unmerge(f, p, p->payload_bytes);
}

/* A first fragment holds less than its datagram. */
static __always_inline void parse_udp(const struct frame *f, struct packet *p, __u32 l4_bytes)
{
	struct udphdr *udp = frame_at(f, p->l4, sizeof(*udp));
	__u32 bytes;

	p->opens = 1;
	if (!udp) {
		p->malformed = 1;
		return;
	}
	bytes = bpf_ntohs(udp->len);
	if (bytes < sizeof(*udp) || l4_bytes < sizeof(*udp) || (bytes > l4_bytes && p->fragment == FRAGMENT_NONE))
		p->malformed = 1;
	if (l4_bytes > sizeof(*udp))
		unmerge(f, p, l4_bytes - sizeof(*udp));
}

/**
 * parse_l4 - read the transport header at p->l4
 * Return: PARSED, or BROKEN: the frame ends before the ports do; NOT_OURS: neither TCP nor UDP.
 */
static __always_inline enum parsed parse_l4(const struct frame *f, struct packet *p, int protocol)
{
	__u32 before = p->l4 - p->l3;
	__u32 l4_bytes = p->bytes > before ? p->bytes - before : 0;
	__be16 *ports;

	if (protocol == (p->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return IS_ICMP;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return NOT_OURS;
	ports = frame_at(f, p->l4, 2 * sizeof(*ports));
	if (!ports || p->l4 >= HEADERS_MAX)
		return BROKEN;
	p->protocol = protocol;
	p->source_port = ports[0];
	p->destination_port = ports[1];
	p->wire_bytes = p->bytes;
	if (protocol == IPPROTO_TCP)
		parse_tcp(f, p, l4_bytes);
	else
		parse_udp(f, p, l4_bytes);
	return PARSED;
}

/* Up to the IP header. Return: L4 protocol, or -enum parsed. */
static __always_inline int parse_l3(const struct frame *f, struct packet *p)
{
	int type;

	__builtin_memset(p, 0, sizeof(*p));
	p->frame_bytes = f->bytes;
	type = parse_ethernet(f, p);
	if (type == ETH_P_IP)
		return parse_ipv4(f, p);
	if (type == ETH_P_IPV6)
		return parse_ipv6(f, p);
	return -NOT_OURS;
}

/* The quick parser: fills @p from the frame. */
static __always_inline enum parsed parse(const struct frame *f, struct packet *p)
{
	int protocol = parse_l3(f, p);

	return protocol < 0 ? -protocol : parse_l4(f, p, protocol);
}

#endif
