/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PARSE_H
#define HEADGATE_PARSE_H

/*
 * From a frame to a struct packet. What has no ports that can be read is not ours and passes; what has ports but
 * headers that contradict each other is marked malformed, and dropped only once it is known to be for a service.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define ENOTOURS 1 /* parse: nothing that a service could be looked up by */

#define IPV4_FRAGMENT 0x3fff /* more fragments, or an offset: host byte order */

/* TCP's flags as they stand in byte 13 of the header. */
enum tcp_flags {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

struct cursor {
	void *pos;
	void *end; /* one past the frame's last byte */
};

struct packet {
	void *end;
	struct ethhdr *ethernet;
	void *l3; /* struct iphdr or struct ipv6hdr, by @ipv6 */
	void *l4; /* struct tcphdr or struct udphdr, by @protocol; only its ports are known to be in the frame */
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 bytes;       /* of the IP packet, as its header says */
	__u32 frame_bytes; /* of the whole frame */
	__u8 ipv6;
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 hop_limit;
	__u8 tcp_flags; /* 0 for UDP */
	__u8 malformed;
	__u8 tcp_header_bytes;
	__u32 payload_bytes; /* of TCP; 0 for UDP */
	__u32 sequence;      /* of TCP, host byte order */
	__u32 sequence_next; /* one past what the segment takes up: its data, SYN and FIN */
};

/* A connection's first packet: for UDP any may be. */
static __always_inline bool packet_opens(const struct packet *p)
{
	return p->protocol == IPPROTO_UDP || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/**
 * parse_ethernet - take an Ethernet header off the cursor
 * Return: EtherType in host byte order, or -ENOTOURS.
 */
static __always_inline int parse_ethernet(struct cursor *c, struct ethhdr **ret)
{
	struct ethhdr *eth = c->pos;

	if ((void *)(eth + 1) > c->end)
		return -ENOTOURS;
	c->pos = eth + 1;
	*ret = eth;
	return bpf_ntohs(eth->h_proto);
}

static __always_inline void address_from_ipv4(struct address *to, __be32 from)
{
	to->word[0] = 0;
	to->word[1] = 0;
	to->word[2] = bpf_htonl(0xffff);
	to->word[3] = from;
}

/**
 * parse_ipv4 - take an IPv4 header, options included, off the cursor, and fill @p from it
 * Return: L4 protocol, or -ENOTOURS (too short, a fragment).
 */
static __always_inline int parse_ipv4(struct cursor *c, struct packet *p)
{
	struct iphdr *ip = c->pos;
	__u32 header_bytes;

	if ((void *)(ip + 1) > c->end)
		return -ENOTOURS;
	header_bytes = ip->ihl * 4;
	if (ip->version != 4 || header_bytes < sizeof(*ip) || c->pos + header_bytes > c->end)
		return -ENOTOURS;
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT))
		return -ENOTOURS;
	p->l3 = ip;
	p->ipv6 = 0;
	p->hop_limit = ip->ttl;
	p->bytes = bpf_ntohs(ip->tot_len);
	p->malformed = p->bytes < header_bytes || p->bytes > c->end - c->pos;
	address_from_ipv4(&p->source, ip->saddr);
	address_from_ipv4(&p->destination, ip->daddr);
	c->pos += header_bytes;
	return ip->protocol;
}

/* IPv4 addresses are mapped into IPv6's in every key, so such addresses in a real IPv6 packet must not be looked up. */
static __always_inline bool address_is_mapped(const struct address *a)
{
	return !a->word[0] && !a->word[1] && a->word[2] == bpf_htonl(0xffff);
}

/**
 * parse_ipv6 - take an IPv6 header off the cursor, and fill @p from it
 * Return: next header, or -ENOTOURS (too short, an IPv4-mapped address).
 */
static __always_inline int parse_ipv6(struct cursor *c, struct packet *p)
{
	struct ipv6hdr *ip = c->pos;

	if ((void *)(ip + 1) > c->end || ip->version != 6)
		return -ENOTOURS;
	p->l3 = ip;
	p->ipv6 = 1;
	p->hop_limit = ip->hop_limit;
	p->bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->malformed = p->bytes > c->end - c->pos;
	__builtin_memcpy(&p->source, &ip->saddr, sizeof(p->source));
	__builtin_memcpy(&p->destination, &ip->daddr, sizeof(p->destination));
	if (address_is_mapped(&p->source) || address_is_mapped(&p->destination))
		return -ENOTOURS;
	c->pos = ip + 1;
	return ip->nexthdr;
}

/* Reads what TCP says of itself; @l4_bytes is what the IP header leaves for it. */
static __always_inline void parse_tcp(struct packet *p, __u32 l4_bytes)
{
	struct tcphdr *tcp = p->l4;
	__u32 header_bytes;

	if ((void *)(tcp + 1) > p->end) {
		p->malformed = 1;
		return;
	}
	header_bytes = tcp->doff * 4;
	if (header_bytes < sizeof(*tcp) || header_bytes > l4_bytes)
		p->malformed = 1;
	p->tcp_header_bytes = header_bytes;
	p->payload_bytes = l4_bytes - header_bytes;
	p->tcp_flags = ((__u8 *)tcp)[13];
	p->sequence = bpf_ntohl(tcp->seq);
	p->sequence_next =
		p->sequence + (l4_bytes - header_bytes) + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
}

static __always_inline void parse_udp(struct packet *p, __u32 l4_bytes)
{
	struct udphdr *udp = p->l4;
	__u32 bytes;

	if ((void *)(udp + 1) > p->end) {
		p->malformed = 1;
		return;
	}
	bytes = bpf_ntohs(udp->len);
	if (bytes < sizeof(*udp) || bytes > l4_bytes)
		p->malformed = 1;
}

/**
 * parse_l4 - fill @p from the transport header at the cursor
 * @protocol: as the IP header says
 * Return: 0, or -ENOTOURS (neither TCP nor UDP, or the frame ends before the ports do).
 */
static __always_inline int parse_l4(struct cursor *c, struct packet *p, int protocol)
{
	__be16 *ports = c->pos;
	__u32 before = c->pos - p->l3;
	__u32 l4_bytes = p->bytes > before ? p->bytes - before : 0;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return -ENOTOURS;
	if ((void *)(ports + 2) > c->end)
		return -ENOTOURS;
	p->l4 = ports;
	p->protocol = protocol;
	p->source_port = ports[0];
	p->destination_port = ports[1];
	if (protocol == IPPROTO_TCP)
		parse_tcp(p, l4_bytes);
	else
		parse_udp(p, l4_bytes);
	return 0;
}

/**
 * parse - read a frame's headers
 * @p: zeroed by the caller
 * Return: 0 with @p filled, or -ENOTOURS.
 */
static __always_inline int parse(void *data, void *end, struct packet *p)
{
	struct cursor c = {.pos = data, .end = end};
	int next = parse_ethernet(&c, &p->ethernet);

	p->end = end;
	p->frame_bytes = end - data;
	if (next == ETH_P_IP)
		next = parse_ipv4(&c, p);
	else if (next == ETH_P_IPV6)
		next = parse_ipv6(&c, p);
	else
		return -ENOTOURS;
	if (next < 0)
		return next;
	return parse_l4(&c, p, next);
}

#endif
