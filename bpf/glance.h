/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_GLANCE_H
#define HEADGATE_GLANCE_H

/*
 * One look at a packet before any other: nobody's business here, as most that is not for a service, or nearly certainly
 * a service's. A plain TCP or UDP packet's two ends are looked for in a table that several ends may share places of (a
 * Bloom filter of one hash: Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", CACM 13(7), 1970),
 * where a service that has its place for itself has left its id.
 */
#include <bpf/bpf_endian.h>

#include "guard.h"
#include "hash.h"

/* What a place says: 0: nobody. */
static __always_inline __u32 end_at(const struct known_ends *known, __u32 folded, __be16 port, __u8 protocol)
{
	__u32 at = hash_end(folded, port, protocol);

	asm volatile("" : "+r"(at));
	return known->end[at & (ENDS - 1)];
}

/* The ends of a packet of which this is all that has to be known. */
struct plain_ends {
	__u32 source; /* address_fold() */
	__u32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 source_octet; /* the last of the address */
	__u32 bytes;       /* of the IP packet */
};

enum sight {
	SIGHT_STRANGER,    /* passes, without a closer look */
	SIGHT_REQUEST,     /* from a client, and so plain that the short way may do */
	SIGHT_PLAIN_REPLY, /* comes from a backend that is named, and is as plain */
	SIGHT_REPLY,       /* comes from a backend, if it is anything of ours */
	SIGHT_OTHER,       /* takes a closer look */
};

/* What is known of one that takes a closer look. */
enum seen {
	SEEN_END = 0xffff,        /* as struct known_ends has it: the destination's, or the source's of a reply */
	SEEN_WHOLE = 1 << 16,     /* the frame that was glanced at is all of it */
	SEEN_NO_SHADOW = 1 << 17, /* it does not come from one */
	SEEN_IPV6 = 1 << 18,
	SEEN_NOTHING = END_LOOK_UP /* nobody has glanced at it */
};

/* False: it is not so plain. */
static __always_inline bool ends_of_ipv4(const struct iphdr *ip, void *end, struct plain_ends *ret)
{
	const __be16 *ports = (void *)(ip + 1);

	if ((void *)(ports + 2) > end || *(const __u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IPV4_FRAGMENT))
		return false;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return false;
	/* As address_fold() of the mapped ones. */
	ret->source = ip->saddr ^ bpf_htonl(0xffff);
	ret->destination = ip->daddr ^ bpf_htonl(0xffff);
	ret->protocol = ip->protocol;
	ret->source_octet = bpf_ntohl(ip->saddr);
	ret->source_port = ports[0];
	ret->destination_port = ports[1];
	ret->bytes = bpf_ntohs(ip->tot_len);
	return true;
}

static __always_inline bool ends_of_ipv6(const struct ipv6hdr *ip, void *end, struct plain_ends *ret)
{
	const __be16 *ports = (void *)(ip + 1);
	struct address source, destination;

	if ((void *)(ports + 2) > end || ip->version != 6)
		return false;
	if (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP)
		return false;
	__builtin_memcpy(&source, &ip->saddr, sizeof(source));
	__builtin_memcpy(&destination, &ip->daddr, sizeof(destination));
	ret->source = address_fold(&source);
	ret->destination = address_fold(&destination);
	ret->protocol = ip->nexthdr;
	ret->source_octet = bpf_ntohl(source.word[3]);
	ret->source_port = ports[0];
	ret->destination_port = ports[1];
	ret->bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	return true;
}

/* False: not so plain. */
static __always_inline bool ends_of(const struct ethhdr *eth, void *end, struct plain_ends *ret)
{
	const void *ip = eth + 1;

	if (ip + sizeof(struct iphdr) > end)
		return false;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return ends_of_ipv4(ip, end, ret);
	return eth->h_proto == bpf_htons(ETH_P_IPV6) && ends_of_ipv6(ip, end, ret);
}

/**
 * glance - what a packet is at first sight
 * @ret: enum seen, but of a stranger
 */
static __always_inline enum sight glance(const struct frame *f, __u32 *ret)
{
	struct known_ends *known = bpf_map_lookup_elem(&known_ends, &(__u32){0});
	struct shadow_guard *guard = bpf_map_lookup_elem(&shadow_guard, &(__u32){0});
	struct ethhdr *eth = f->data;
	struct plain_ends ends;
	bool may_shadow, plain;
	__u32 to, from, flags;

	*ret = SEEN_NOTHING;
	if (!known || !guard || !ends_of(eth, f->end, &ends))
		return SIGHT_OTHER;
	may_shadow = guard->on &&
		     (guard_bit(guard->macs, eth->h_source[5]) || guard_bit(guard->addresses, ends.source_octet));
	to = end_at(known, ends.destination, ends.destination_port, ends.protocol);
	plain = ends.bytes <= f->bytes - sizeof(*eth);
	flags = eth->h_proto == bpf_htons(ETH_P_IPV6) ? SEEN_IPV6 : 0;
	if (!to && !may_shadow) {
		from = end_at(known, ends.source, ends.source_port, ends.protocol);
		if (!from)
			return SIGHT_STRANGER;
		*ret = flags | from;
		return plain && from & END_BACKEND && from != END_LOOK_UP ? SIGHT_PLAIN_REPLY : SIGHT_REPLY;
	}
	flags |= to | (plain ? SEEN_WHOLE : 0);
	*ret = may_shadow ? flags : flags | SEEN_NO_SHADOW;
	return plain && !may_shadow ? SIGHT_REQUEST : SIGHT_OTHER;
}

#endif
