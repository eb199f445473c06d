/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PARSE_RARE_H
#define HEADGATE_PARSE_RARE_H

/* The whole parser: what parse.h reads, and fragments and IPv6 extension headers too (RFC 8200, 4). */
#include "parse.h"

#define EXTENSIONS_MAX 8

#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV6_FRAGMENT_OFFSET 0xfff8

struct extension {
	__u8 next;
	__u8 units; /* of 8 bytes, without the first one */
	__be16 fragment;
	__be32 fragment_id;
};

static __always_inline void set_fragment(struct packet *p, bool has_offset, bool more)
{
	p->fragment = has_offset ? FRAGMENT_LATER : more ? FRAGMENT_FIRST : FRAGMENT_NONE;
}

/* An IPv4 fragment: parse_ipv4() has read all but which one it is. */
static __always_inline int parse_ipv4_fragment(const struct frame *f, struct packet *p)
{
	struct iphdr *ip = frame_at(f, p->l3, sizeof(*ip));
	__u32 where;

	if (!ip)
		return -NOT_OURS;
	where = bpf_ntohs(ip->frag_off);
	set_fragment(p, where & IPV4_FRAGMENT_OFFSET, where & IPV4_MORE_FRAGMENTS);
	return p->protocol;
}

/**
 * parse_extensions - walk the extension headers from p->l4 on
 * Return: L4 protocol with p->l4 behind them, or -BROKEN: cut off, too many, or a routing header that leads elsewhere.
 */
static __always_inline int parse_extensions(const struct frame *f, struct packet *p)
{
	__u32 next = p->protocol, at = p->l4;

	/* Linux 6.1 takes no loop that is entered in its middle, as clang may lay it out. */
#pragma unroll
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		struct extension *e = frame_at(f, at, sizeof(*e));
		__u32 where;

		if (!is_extension(next))
			break;
		if (!e)
			return -BROKEN;
		if (next == IPPROTO_FRAGMENT) {
			where = bpf_ntohs(e->fragment);
			set_fragment(p, where & IPV6_FRAGMENT_OFFSET, where & IPV6_MORE_FRAGMENTS);
			p->fragment_id = e->fragment_id;
			at += sizeof(*e);
			if (p->fragment == FRAGMENT_LATER) {
				p->l4 = at;
				return e->next;
			}
		} else if (next == IPPROTO_ROUTING && ((__u8 *)e)[3]) {
			return -BROKEN; /* segments left: it is not for this address yet */
		} else {
			at += (e->units + 1) * 8;
		}
		if (at >= HEADERS_MAX)
			return -BROKEN;
		next = e->next;
	}
	p->l4 = at;
	return is_extension(next) ? -BROKEN : next;
}

/* Fills @p from any frame. A later fragment is PARSED too, without ports. */
static __always_inline enum parsed parse_whole(const struct frame *f, struct packet *p)
{
	int protocol = parse_l3(f, p);

	if (protocol == -RARE)
		protocol = p->ipv6 ? parse_extensions(f, p) : parse_ipv4_fragment(f, p);
	if (protocol < 0)
		return -protocol;
	if (p->fragment == FRAGMENT_LATER) {
		p->wire_bytes = p->bytes;
		p->protocol = protocol;
		p->malformed |= p->bytes < p->l4 - p->l3;
		p->l4 = 0;
		return PARSED;
	}
	return parse_l4(f, p, protocol);
}

#endif
