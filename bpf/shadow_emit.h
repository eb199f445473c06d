/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_EMIT_H
#define HEADGATE_SHADOW_EMIT_H

/*
 * Segments to a shadow that are no client's frame any more: SYN, what waited in the stash, FIN, RST. The packet that
 * gave occasion is cut or grown to the size of each, filled anew, and a clone of it sent.
 */
#include "answer.h"
#include "shadow_stash.h"

#define SHADOW_WINDOW 65535U
#define SHADOW_WINDOW_SHIFT 7 /* 8 MB: whatever the shadow answers has room */
#define SYN_OPTIONS_BYTES 8U  /* MSS, window scale, NOP */
#define CHECKSUM_PIECE 512U   /* bpf_csum_diff()'s limit */

/* Which shadow the connection is with, and how frames get there. 0, or -1: it cannot be reached now. */
static __always_inline int emission_begin(struct emission *e, const struct shadow_flow *flow,
					  const struct flow_key *key)
{
	__u32 service = key->service;
	struct shadow *sh = bpf_map_lookup_elem(&shadows, &service);
	struct shadow_way way;

	if (shadow_way_of(flow, &way) || !sh)
		return -1;
	e->tuple = way.tuple;
	e->hop = *way.hop;
	e->service = service;
	e->ipv6 = !address_is_mapped(&way.tuple.destination);
	e->mss = (way.mtu ? way.mtu : 1500) - sizeof(struct tcphdr) -
		 (e->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	e->traffic_class = sh->traffic_class;
	e->data.serial = flow->serial;
	return 0;
}

static __always_inline void emit_tcp(struct tcphdr *tcp, const struct emission *e, __u32 header_bytes)
{
	__u8 *options = (void *)(tcp + 1);

	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = e->tuple.source_port;
	tcp->dest = e->tuple.destination_port;
	tcp->seq = bpf_htonl(e->sequence);
	tcp->ack_seq = e->tcp_flags & TCP_ACK ? bpf_htonl(e->acknowledged) : 0;
	tcp->doff = header_bytes / 4;
	((__u8 *)tcp)[13] = e->tcp_flags;
	tcp->window = bpf_htons(SHADOW_WINDOW);
	if (!(e->tcp_flags & TCP_SYN))
		return;
	options[0] = 2; /* MSS: RFC 9293, 3.7.1 */
	options[1] = 4;
	options[2] = e->mss >> 8;
	options[3] = e->mss;
	options[4] = 3; /* window scale: RFC 7323, 2.2 */
	options[5] = 3;
	options[6] = SHADOW_WINDOW_SHIFT;
	options[7] = 1;
}

/* The sum of a segment's data, up to its end: @bytes are in the stash, the word they end in filled up with zeros. */
static __always_inline __u32 emit_data_sum(const struct stash_segment *segment, __u32 bytes)
{
	__u32 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < (STASH_BYTES + CHECKSUM_PIECE - 1) / CHECKSUM_PIECE; i++) {
		__u32 at = i * CHECKSUM_PIECE;
		__u32 last = bytes - at - 1; /* of the piece: of nothing it is too high */

		if (bytes <= at)
			break;
		if (last >= CHECKSUM_PIECE)
			last = CHECKSUM_PIECE - 1;
		if (at + CHECKSUM_PIECE > STASH_BYTES && last >= STASH_BYTES - at)
			break;
		last >>= 2; /* of whole words */
		asm volatile("" : "+r"(last));
		sum = bpf_csum_diff(NULL, 0, (__be32 *)(segment->data + at), (last + 1) << 2, sum);
	}
	return sum;
}

/* The TCP checksum, of header and data. */
static __always_inline void emit_checksum(struct tcphdr *tcp, const struct emission *e, __u32 header_bytes,
					  __u32 data_sum)
{
	__u32 bytes = header_bytes + e->bytes;
	__u64 sum = (__u64)bpf_htons(IPPROTO_TCP) + bpf_htons(bytes) + data_sum;

	sum += sum_words(tcp, sizeof(*tcp) / 4);
	if (header_bytes > sizeof(*tcp))
		sum += sum_words(tcp + 1, SYN_OPTIONS_BYTES / 4);
	if (e->ipv6)
		sum += sum_words(&e->tuple.source, 4) + sum_words(&e->tuple.destination, 4);
	else
		sum += (__u64)e->tuple.source.word[3] + e->tuple.destination.word[3];
	tcp->check = checksum_apply(0xffff, sum);
}

/* The headers, put together in e->header. Returns how long they are. */
static __always_inline __u32 emit_headers(struct emission *e, __u32 data_sum)
{
	__u32 tcp_bytes = sizeof(struct tcphdr) + (e->tcp_flags & TCP_SYN ? SYN_OPTIONS_BYTES : 0);
	struct ethhdr *eth = (void *)(e->header + 2);
	void *ip = e->header + 2 + sizeof(*eth);
	struct tcphdr *tcp;

	__builtin_memcpy(eth->h_dest, e->hop.destination_mac, sizeof(eth->h_dest));
	__builtin_memcpy(eth->h_source, e->hop.source_mac, sizeof(eth->h_source));
	if (e->ipv6) {
		eth->h_proto = bpf_htons(ETH_P_IPV6);
		write_ipv6(&e->tuple.source, &e->tuple.destination, e->traffic_class, IPPROTO_TCP, tcp_bytes + e->bytes,
			   ip);
		tcp = ip + sizeof(struct ipv6hdr);
		emit_tcp(tcp, e, tcp_bytes);
		emit_checksum(tcp, e, tcp_bytes, data_sum);
		return sizeof(*eth) + sizeof(struct ipv6hdr) + tcp_bytes;
	}
	eth->h_proto = bpf_htons(ETH_P_IP);
	write_ipv4(&e->tuple.source, &e->tuple.destination, e->traffic_class, IPPROTO_TCP, tcp_bytes + e->bytes, ip);
	tcp = ip + sizeof(struct iphdr);
	emit_tcp(tcp, e, tcp_bytes);
	emit_checksum(tcp, e, tcp_bytes, data_sum);
	return sizeof(*eth) + sizeof(struct iphdr) + tcp_bytes;
}

/**
 * shadow_emit - send what the CPU's struct emission says
 *
 * A function of its own to the verifier, which walks through it once. What the packet was before is gone afterwards.
 * Return: 0, or -1: nothing was sent.
 */
__noinline int shadow_emit(struct __sk_buff *skb)
{
	struct shadow_scratch *space = shadow_space();
	struct stash_segment *segment = NULL;
	struct emission *e;
	__u32 headers, last;

	if (!space)
		return -1;
	e = &space->emission;
	last = e->bytes - 1;
	if (e->bytes) {
		segment = bpf_map_lookup_elem(&stash, &e->data);
		if (!segment || last >= STASH_BYTES)
			return -1;
	}
	headers = emit_headers(e, segment ? emit_data_sum(segment, e->bytes) : 0);
	if (headers > EMITTED_HEADERS_MAX || bpf_skb_change_tail(skb, headers + e->bytes, 0))
		return -1;
	asm volatile("" : "+r"(last), "+r"(headers));
	if (headers - 1 >= EMITTED_HEADERS_MAX || bpf_skb_store_bytes(skb, 0, e->header + 2, headers, 0))
		return -1;
	if (segment && bpf_skb_store_bytes(skb, headers, segment->data, last + 1, 0))
		return -1;
	if (bpf_clone_redirect(skb, e->hop.ifindex, 0))
		return -1;
	shadow_count_sent(e->service, headers + e->bytes - sizeof(struct ethhdr), 0);
	return 0;
}

/* One segment without data. */
static __always_inline int emit_bare(struct __sk_buff *skb, struct emission *e, __u8 tcp_flags, __u32 sequence,
				     __u32 acknowledged)
{
	e->bytes = 0;
	e->tcp_flags = tcp_flags;
	e->sequence = sequence;
	e->acknowledged = acknowledged;
	return shadow_emit(skb);
}

/* One with what is in the stash from @sequence on. */
static __always_inline int emit_data(struct __sk_buff *skb, struct emission *e, __u32 sequence, __u32 bytes, bool push,
				     __u32 acknowledged)
{
	e->bytes = bytes;
	e->data.sequence = sequence;
	e->tcp_flags = push ? TCP_ACK | TCP_PSH : TCP_ACK;
	e->sequence = sequence;
	e->acknowledged = acknowledged;
	return shadow_emit(skb);
}

#endif
