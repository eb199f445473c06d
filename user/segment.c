// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "segment.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#define HOP_LIMIT 64

/* RFC 1071, of an even number of bytes, as they stand. */
static uint32_t sum(const void *data, size_t bytes)
{
	uint32_t total = 0;
	uint16_t word;

	for (size_t at = 0; at < bytes; at += sizeof(word)) {
		memcpy(&word, (const uint8_t *)data + at, sizeof(word));
		total += word;
	}
	return total;
}

static uint16_t complement(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return ~total;
}

static size_t write_ipv4(const struct segment *s, uint8_t *at)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = htons(sizeof(ip) + sizeof(struct tcphdr)),
		.frag_off = htons(IP_DF),
		.ttl = HOP_LIMIT,
		.protocol = IPPROTO_TCP,
		.saddr = s->from.word[3],
		.daddr = s->to.word[3],
	};

	ip.check = complement(sum(&ip, sizeof(ip)));
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

static size_t write_ipv6(const struct segment *s, uint8_t *at)
{
	struct ip6_hdr ip = {
		.ip6_flow = htonl(6U << 28),
		.ip6_plen = htons(sizeof(struct tcphdr)),
		.ip6_nxt = IPPROTO_TCP,
		.ip6_hlim = HOP_LIMIT,
	};

	memcpy(&ip.ip6_src, &s->from, sizeof(ip.ip6_src));
	memcpy(&ip.ip6_dst, &s->to, sizeof(ip.ip6_dst));
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

uint32_t segment_write(const struct segment *s, uint8_t ret_frame[SEGMENT_FRAME_BYTES])
{
	bool ipv4 = address_is_ipv4(&s->from);
	struct ether_header ethernet = {.ether_type = htons(ipv4 ? ETHERTYPE_IP : ETHERTYPE_IPV6)};
	size_t from = ipv4 ? 3 : 0; /* the pseudo header has an address as it is in the packet */
	struct tcphdr tcp = {
		.th_sport = s->from_port,
		.th_dport = s->to_port,
		.th_seq = htonl(s->sequence),
		.th_ack = htonl(s->acknowledged),
		.th_off = sizeof(tcp) / 4,
		.th_flags = s->flags,
	};
	size_t l4;

	memcpy(ethernet.ether_dhost, s->to_mac, sizeof(s->to_mac));
	memcpy(ethernet.ether_shost, s->from_mac, sizeof(s->from_mac));
	memcpy(ret_frame, &ethernet, sizeof(ethernet));
	l4 = sizeof(ethernet);
	l4 += ipv4 ? write_ipv4(s, ret_frame + l4) : write_ipv6(s, ret_frame + l4);
	tcp.th_sum = complement(sum(&s->from.word[from], (4 - from) * 4) + sum(&s->to.word[from], (4 - from) * 4) +
				htons(IPPROTO_TCP) + htons(sizeof(tcp)) + sum(&tcp, sizeof(tcp)));
	memcpy(ret_frame + l4, &tcp, sizeof(tcp));
	return l4 + sizeof(tcp);
}
