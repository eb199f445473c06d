/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DECAP_H
#define HEADGATE_DECAP_H

/*
 * A backend's end of the tunnels ipip and gue: reads what stands before the inner packet, and decides. Each hook then
 * takes it off in its own way.
 *
 * Neither the outer IPv4 header's checksum nor the outer UDP checksum is looked at: the inner packet has its own.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "checksum.h"
#include "decap_abi.h"
#include "parse.h"

#define ENOTOURS 1 /* to be left alone */

#define LINK_BYTES_MAX (sizeof(struct ethhdr) + VLAN_TAGS_MAX * sizeof(struct vlan_tag))

/* An IPv4 header with all its options, a UDP and a GUE header, an IPv6 header. */
#define HEADERS_BYTES_MAX (sizeof(struct ethhdr) + 60 + sizeof(struct udphdr) + sizeof(struct gue) + 40)

#define GUE_VERSION_SHIFT 6
#define GUE_CONTROL 0x20
#define GUE_OPTION_WORDS 0x1f

#define ECN_MASK 3
#define ECN_NOT_ECT 0
#define ECN_ECT_1 1
#define ECN_CE 3

struct cursor {
	void *pos;
	void *end; /* one past the last byte that can be read */
};

struct ipv6_fragment {
	__u8 protocol;
	__u8 reserved;
	__be16 offset; /* in bits 3..15 */
	__be32 id;
};

/* draft-ietf-intarea-gue-09, 3.1. */
struct gue {
	__u8 version_control_length;
	__u8 protocol;
	__be16 flags;
};

/* What stands before an inner packet. */
struct outer {
	__be16 *ether_type; /* the last one, of the outer packet */
	void *l3;
	struct address source;
	struct address destination;
	__u32 bytes;       /* from @l3 to the inner packet */
	__u32 frame_bytes; /* from @l3 to the frame's end, which may be behind the last byte that can be read */
	__u32 left_bytes;  /* that the headers so far leave for what follows them */
	__u32 difference;  /* to the inner packet's sum, by a change of its header: as of bpf_csum_diff() */
	__u8 link_bytes;   /* Ethernet header and VLAN tags */
	__u8 ecn;
	__u8 ipv6;
	__u8 inner_ipv6;
	__u8 malformed;
	__u8 fragment;
	__u8 later_fragment; /* has no ports */
};

volatile const struct decap_settings settings;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, __u8);
} outer_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, __u8);
} inner_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct decap_source_key);
	__type(value, __u8);
} outer_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DECAP_OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static __always_inline void count_outcome(__u32 outcome)
{
	__u64 *count = bpf_map_lookup_elem(&outcomes, &outcome);

	if (count)
		(*count)++;
}

/* --- the outer headers ------------------------------------------------------------------------------------------- */

/**
 * take_link - take the Ethernet header and at most VLAN_TAGS_MAX tags off the cursor
 * Return: 0, or -ENOTOURS (too short).
 */
static __always_inline int take_link(struct cursor *c, struct outer *o)
{
	struct ethhdr *ethernet = c->pos;
	struct vlan_tag *tag;

	if ((void *)(ethernet + 1) > c->end)
		return -ENOTOURS;
	o->ether_type = &ethernet->h_proto;
	o->link_bytes = sizeof(*ethernet);
	c->pos = ethernet + 1;
	for (int i = 0; i < VLAN_TAGS_MAX && is_vlan(*o->ether_type); i++) {
		tag = c->pos;
		if ((void *)(tag + 1) > c->end)
			return -ENOTOURS;
		o->ether_type = &tag->type;
		o->link_bytes += sizeof(*tag);
		c->pos = tag + 1;
	}
	o->l3 = c->pos;
	o->frame_bytes -= o->link_bytes;
	return 0;
}

/* Return: what follows the header, or -ENOTOURS (too short, or no such header). */
static __always_inline int take_outer_ipv4(struct cursor *c, struct outer *o)
{
	struct iphdr *ip = c->pos;
	__u32 header_bytes, bytes;

	if ((void *)(ip + 1) > c->end)
		return -ENOTOURS;
	header_bytes = ip->ihl * 4;
	if (ip->version != 4 || header_bytes < sizeof(*ip) || c->pos + header_bytes > c->end)
		return -ENOTOURS;
	bytes = bpf_ntohs(ip->tot_len);
	o->malformed = bytes < header_bytes || bytes > o->frame_bytes;
	o->left_bytes = bytes - header_bytes;
	o->fragment = !!(ip->frag_off & bpf_htons(IPV4_FRAGMENT));
	o->later_fragment = !!(ip->frag_off & bpf_htons(0x1fff));
	o->ecn = ip->tos & ECN_MASK;
	address_from_ipv4(&o->source, ip->saddr);
	address_from_ipv4(&o->destination, ip->daddr);
	c->pos += header_bytes;
	return ip->protocol;
}

/* Where the ECN field is in a traffic class that two other fields share a byte with each half of. */
static __always_inline __u8 ipv6_ecn(const struct ipv6hdr *ip)
{
	return ip->flow_lbl[0] >> 4 & ECN_MASK;
}

static __always_inline int take_outer_ipv6(struct cursor *c, struct outer *o)
{
	struct ipv6hdr *ip = c->pos;
	struct ipv6_fragment *fragment = (void *)(ip + 1);

	if ((void *)(ip + 1) > c->end || ip->version != 6)
		return -ENOTOURS;
	o->ipv6 = 1;
	o->left_bytes = bpf_ntohs(ip->payload_len);
	o->malformed = o->left_bytes > o->frame_bytes - sizeof(*ip);
	o->ecn = ipv6_ecn(ip);
	__builtin_memcpy(&o->source, &ip->saddr, sizeof(o->source));
	__builtin_memcpy(&o->destination, &ip->daddr, sizeof(o->destination));
	if (address_is_mapped(&o->destination))
		return -ENOTOURS;
	c->pos = ip + 1;
	if (ip->nexthdr != IPPROTO_FRAGMENT)
		return ip->nexthdr;
	if ((void *)(fragment + 1) > c->end)
		return -ENOTOURS;
	o->fragment = 1;
	o->later_fragment = !!(fragment->offset & bpf_htons(0xfff8));
	c->pos = fragment + 1;
	return fragment->protocol;
}

static __always_inline int take_outer(struct cursor *c, struct outer *o)
{
	if (*o->ether_type == bpf_htons(ETH_P_IP))
		return take_outer_ipv4(c, o);
	if (*o->ether_type == bpf_htons(ETH_P_IPV6))
		return take_outer_ipv6(c, o);
	return -ENOTOURS;
}

/* True for a UDP packet that has GUE's port; what has no port may be another's, and the host's stack will see. */
static __always_inline bool is_gue(const struct cursor *c, const struct outer *o)
{
	__be16 *ports = c->pos;

	return !o->later_fragment && (void *)(ports + 2) <= c->end && ports[1] == settings.port;
}

/**
 * take_gue - take a UDP and a GUE header off the cursor
 * @ret_protocol: set only on success
 * Return: DECAP_GUE or why it is dropped.
 */
static __always_inline int take_gue(struct cursor *c, struct outer *o, int *ret_protocol)
{
	struct udphdr *udp = c->pos;
	struct gue *gue = (void *)(udp + 1);
	__u32 bytes;

	if ((void *)(gue + 1) > c->end)
		return DECAP_DROP_MALFORMED;
	bytes = bpf_ntohs(udp->len);
	if (bytes < sizeof(*udp) + sizeof(*gue) || bytes > o->left_bytes)
		return DECAP_DROP_MALFORMED;
	if (gue->version_control_length >> GUE_VERSION_SHIFT)
		return DECAP_DROP_GUE_VERSION;
	if (gue->version_control_length & GUE_CONTROL)
		return DECAP_DROP_GUE_CONTROL;
	if (gue->version_control_length & GUE_OPTION_WORDS || gue->flags)
		return DECAP_DROP_GUE_OPTIONS;
	if (gue->protocol != IPPROTO_IPIP && gue->protocol != IPPROTO_IPV6)
		return DECAP_DROP_PROTOCOL;
	o->left_bytes = bytes - sizeof(*udp) - sizeof(*gue);
	c->pos = gue + 1;
	*ret_protocol = gue->protocol;
	return DECAP_GUE;
}

/* --- the inner packet -------------------------------------------------------------------------------------------- */

/**
 * combined_ecn - what the inner packet is to say of congestion (RFC 6040, figure 4)
 * Return: an ECN field, or -1: to be dropped, as the sender would never know.
 */
static __always_inline int combined_ecn(__u8 inner, __u8 outer)
{
	if (outer == ECN_CE)
		return inner == ECN_NOT_ECT ? -1 : ECN_CE;
	if (outer == ECN_ECT_1 && inner != ECN_NOT_ECT && inner != ECN_CE)
		return ECN_ECT_1;
	return inner;
}

/* Return: 0, or why it is dropped. */
static __always_inline int check_inner(const struct outer *o, const struct address *destination, __u32 bytes)
{
	if (bytes > o->left_bytes)
		return DECAP_DROP_MALFORMED;
	return bpf_map_lookup_elem(&inner_addresses, destination) ? 0 : DECAP_DROP_DESTINATION;
}

static __always_inline int enter_ipv4(struct cursor *c, struct outer *o)
{
	struct iphdr *ip = c->pos;
	struct address destination;
	__u32 *first_word = c->pos, before;
	int why, ecn;

	if ((void *)(ip + 1) > c->end)
		return DECAP_DROP_MALFORMED;
	if (ip->version != 4)
		return DECAP_DROP_VERSION;
	if (ip->ihl * 4 < sizeof(*ip) || bpf_ntohs(ip->tot_len) < ip->ihl * 4)
		return DECAP_DROP_MALFORMED;
	address_from_ipv4(&destination, ip->daddr);
	why = check_inner(o, &destination, bpf_ntohs(ip->tot_len));
	if (why)
		return why;
	ecn = combined_ecn(ip->tos & ECN_MASK, o->ecn);
	if (ecn < 0)
		return DECAP_DROP_ECN;
	before = *first_word;
	ip->tos = (ip->tos & ~ECN_MASK) | ecn;
	ip->check = checksum_apply(ip->check, checksum_difference(before, *first_word));
	*o->ether_type = bpf_htons(ETH_P_IP);
	return 0;
}

static __always_inline int enter_ipv6(struct cursor *c, struct outer *o)
{
	struct ipv6hdr *ip = c->pos;
	struct address destination;
	__u32 *first_word = c->pos, before;
	__u64 difference;
	int why, ecn;

	if ((void *)(ip + 1) > c->end)
		return DECAP_DROP_MALFORMED;
	if (ip->version != 6)
		return DECAP_DROP_VERSION;
	__builtin_memcpy(&destination, &ip->daddr, sizeof(destination));
	if (address_is_mapped(&destination))
		return DECAP_DROP_DESTINATION;
	why = check_inner(o, &destination, sizeof(*ip) + bpf_ntohs(ip->payload_len));
	if (why)
		return why;
	ecn = combined_ecn(ipv6_ecn(ip), o->ecn);
	if (ecn < 0)
		return DECAP_DROP_ECN;
	before = *first_word;
	ip->flow_lbl[0] = (ip->flow_lbl[0] & ~(ECN_MASK << 4)) | ecn << 4;
	difference = checksum_difference(before, *first_word);
	o->difference = (__u32)difference + (__u32)(difference >> 32);
	o->inner_ipv6 = 1;
	*o->ether_type = bpf_htons(ETH_P_IPV6);
	return 0;
}

static __always_inline bool source_is_allowed(const struct outer *o)
{
	struct decap_source_key key = {.prefix_bits = 128, .address = o->source};

	if (!settings.source_limited)
		return true;
	/* A mapped address in a real IPv6 packet must not be looked up as IPv4's. */
	return !(o->ipv6 && address_is_mapped(&o->source)) && bpf_map_lookup_elem(&outer_sources, &key);
}

/**
 * decapsulate - read a frame, and make its inner packet ready to stand alone
 * @end: of what can be read
 * @o: zeroed but for frame_bytes, which is of the whole frame
 *
 * With DECAP_IPIP and DECAP_GUE the inner packet has its ECN field and the frame its EtherType, and o->bytes are to be
 * taken off behind the first o->link_bytes. Return: enum decap_outcome, or -ENOTOURS: to be left alone.
 */
static __always_inline int decapsulate(void *data, void *end, struct outer *o)
{
	struct cursor c = {.pos = data, .end = end};
	int protocol, why, outcome = DECAP_IPIP;

	if (take_link(&c, o))
		return -ENOTOURS;
	protocol = take_outer(&c, o);
	if (protocol != IPPROTO_IPIP && protocol != IPPROTO_IPV6 && protocol != IPPROTO_UDP)
		return -ENOTOURS;
	if (!bpf_map_lookup_elem(&outer_addresses, &o->destination))
		return -ENOTOURS;
	if (protocol == IPPROTO_UDP && !is_gue(&c, o))
		return -ENOTOURS;
	if (!source_is_allowed(o))
		return DECAP_DROP_SOURCE;
	if (o->malformed)
		return DECAP_DROP_MALFORMED;
	if (o->fragment)
		return DECAP_DROP_FRAGMENT;
	if (protocol == IPPROTO_UDP)
		outcome = take_gue(&c, o, &protocol);
	if (outcome > DECAP_GUE)
		return outcome;
	o->bytes = c.pos - o->l3;
	why = protocol == IPPROTO_IPV6 ? enter_ipv6(&c, o) : enter_ipv4(&c, o);
	return why ? why : outcome;
}

#endif
