/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ANSWER_H
#define HEADGATE_ANSWER_H

/*
 * Packets that Headgate sends of its own: each answers one that came, from the address that it was sent to, back to
 * where it came from. Here is what they share, and "too big" (RFC 1191, RFC 8201).
 */
#include "checksum.h"
#include "count.h"

#define ANSWER_HOP_LIMIT 64

/* How much of a packet that is too big is quoted: any IPv4 or IPv6 header with the TCP header behind it. */
#define QUOTE_BYTES 128U

/* "Too big" answers of one CPU: so many at once, and one more for each interval (Linux' icmp_msgs_per_sec is 1000). */
#define TOO_BIG_BURST 50U
#define TOO_BIG_INTERVAL_NS 1000000U

static __always_inline __u64 sum_words(const void *data, __u32 words)
{
	const __u32 *word = data;
	__u64 sum = 0;

	for (__u32 i = 0; i < words; i++)
		sum += word[i];
	return sum;
}

static __always_inline void swap_macs(struct ethhdr *eth)
{
	__u8 mac[6];

	__builtin_memcpy(mac, eth->h_dest, sizeof(mac));
	__builtin_memcpy(eth->h_dest, eth->h_source, sizeof(mac));
	__builtin_memcpy(eth->h_source, mac, sizeof(mac));
}

/* A whole IP header in front of @bytes of @protocol, from nothing but this. */
static __always_inline void write_ipv4(const struct address *source, const struct address *destination,
				       __u8 traffic_class, __u8 protocol, __u32 bytes, struct iphdr *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->version = 4;
	ret->ihl = sizeof(*ret) / 4;
	ret->tos = traffic_class;
	ret->tot_len = bpf_htons(sizeof(*ret) + bytes);
	ret->frag_off = bpf_htons(0x4000); /* don't fragment */
	ret->ttl = ANSWER_HOP_LIMIT;
	ret->protocol = protocol;
	ret->saddr = source->word[3];
	ret->daddr = destination->word[3];
	/* Applied to ~0: a checksum from nothing. */
	ret->check = checksum_apply(0xffff, sum_words(ret, sizeof(*ret) / 4));
}

static __always_inline void write_ipv6(const struct address *source, const struct address *destination,
				       __u8 traffic_class, __u8 protocol, __u32 bytes, struct ipv6hdr *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->version = 6;
	ret->priority = traffic_class >> 4;
	ret->flow_lbl[0] = traffic_class << 4;
	ret->payload_len = bpf_htons(bytes);
	ret->nexthdr = protocol;
	ret->hop_limit = ANSWER_HOP_LIMIT;
	__builtin_memcpy(&ret->saddr, source, sizeof(ret->saddr));
	__builtin_memcpy(&ret->daddr, destination, sizeof(ret->daddr));
}

/* The IP header of an answer that carries @bytes of @protocol. 0, or -1: the frame is too short for it. */
static __always_inline int answer_ip(const struct frame *f, const struct packet *p, __u8 protocol, __u32 bytes)
{
	void *ip = frame_at(f, p->l3, sizeof(struct iphdr));

	if (!p->ipv6 && ip) {
		write_ipv4(&p->destination, &p->source, p->answer_class, protocol, bytes, ip);
		return 0;
	}
	ip = frame_at(f, p->l3, sizeof(struct ipv6hdr));
	if (!ip)
		return -1;
	write_ipv6(&p->destination, &p->source, p->answer_class, protocol, bytes, ip);
	return 0;
}

/* What an answer's checksum covers of its addresses: both families' pseudo header (RFC 9293, 3.1; RFC 8200, 8.1). */
static __always_inline __u64 pseudo_sum(const struct packet *p, __u8 protocol, __u32 bytes)
{
	__u64 sum = (__u64)bpf_htons(protocol) + bpf_htons(bytes);

	if (p->ipv6)
		return sum + sum_words(&p->source, 4) + sum_words(&p->destination, 4);
	return sum + p->source.word[3] + p->destination.word[3];
}

/* --- too big --- */

struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 rest;
};

struct too_big_budget {
	__u64 refilled_ns;
	__u32 answers;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct too_big_budget);
} too_big_budget __weak SEC(".maps");

/* A token bucket: whether one more answer may be sent now. */
static __always_inline bool too_big_allowed(void)
{
	__u32 zero = 0;
	struct too_big_budget *budget = bpf_map_lookup_elem(&too_big_budget, &zero);
	__u64 now = bpf_ktime_get_ns();
	__u64 more;

	if (!budget)
		return false;
	more = (now - budget->refilled_ns) / TOO_BIG_INTERVAL_NS;
	if (more) {
		budget->refilled_ns = now;
		budget->answers = more + budget->answers > TOO_BIG_BURST ? TOO_BIG_BURST : more + budget->answers;
	}
	if (!budget->answers)
		return false;
	budget->answers--;
	return true;
}

/* How much longer the frame gets that quotes. */
static __always_inline __u32 too_big_room(const struct packet *p)
{
	return (p->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + sizeof(struct icmp_header);
}

/* Whether the sender of @p is to be told: not for later fragments, nor where the quotation would be cut short. */
static __always_inline bool too_big_is_told(const struct packet *p)
{
	return p->l4 && p->bytes >= QUOTE_BYTES && p->frame_bytes >= p->l3 + QUOTE_BYTES && too_big_allowed();
}

/**
 * too_big_write - fill the room that a hook has made in front of the quoted packet
 * @f: the frame now: too_big_room() and QUOTE_BYTES behind its Ethernet header, which is in place as it came
 * @mtu: how large a packet may be
 * @quote_sum: sum of the quoted packet's 32-bit words
 * Return: 0 or -1: the frame is too short for it.
 */
static __always_inline int too_big_write(const struct frame *f, const struct packet *p, __u32 mtu, __u64 quote_sum)
{
	__u8 protocol = p->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	__u32 bytes = sizeof(struct icmp_header) + QUOTE_BYTES;
	__u32 at = p->l3 + (p->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));
	struct icmp_header *icmp;
	__u64 sum;

	if (!eth || answer_ip(f, p, protocol, bytes))
		return -1;
	icmp = frame_at(f, at, sizeof(*icmp));
	if (!icmp)
		return -1;
	icmp->type = p->ipv6 ? 2 : 3; /* packet too big; unreachable: */
	icmp->code = p->ipv6 ? 0 : 4; /* fragmentation needed */
	icmp->check = 0;
	icmp->rest = bpf_htonl(mtu); /* in IPv4 its upper half is unused, and 0 */
	sum = sum_words(icmp, sizeof(*icmp) / 4) + quote_sum;
	if (p->ipv6)
		sum += pseudo_sum(p, protocol, bytes);
	icmp->check = checksum_apply(0xffff, sum);
	swap_macs(eth);
	return 0;
}

/* The sum of the quotation's words, @at in the frame. 0 with @ret set, or -1. */
static __always_inline int quote_sum(const struct frame *f, __u32 at, __u64 *ret)
{
	void *quote = frame_at(f, at, QUOTE_BYTES);

	if (!quote)
		return -1;
	*ret = sum_words(quote, QUOTE_BYTES / 4);
	return 0;
}

#endif
