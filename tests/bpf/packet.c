// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "packet.h"

#define TCP_BYTES 20
#define UDP_BYTES 8
#define IPV4_BYTES 20
#define IPV6_BYTES 40

static void put16(__u8 *to, __u32 value)
{
	to[0] = value >> 8;
	to[1] = value;
}

static void put32(__u8 *to, __u32 value)
{
	put16(to, value >> 16);
	put16(to + 2, value);
}

static __u32 get16(const __u8 *from)
{
	return (__u32)from[0] << 8 | from[1];
}

/* RFC 1071, by the book: 16-bit words in network order, an odd last byte padded with zero. */
static __u32 sum16(const __u8 *data, __u32 bytes, __u32 sum)
{
	for (__u32 i = 0; i + 1 < bytes; i += 2)
		sum += get16(data + i);
	if (bytes & 1)
		sum += (__u32)data[bytes - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The sum of pseudo header and segment, checksum field included. */
static __u32 l4_sum(const __u8 *l3, bool ipv6, const __u8 *l4, __u32 l4_bytes, __u8 protocol)
{
	__u32 sum = sum16(ipv6 ? l3 + 8 : l3 + 12, ipv6 ? 32 : 8, 0);

	return sum16(l4, l4_bytes, sum + protocol + l4_bytes);
}

static void set_checksums(__u8 *l3, bool ipv6, __u8 *l4, __u32 l4_bytes, __u8 protocol, bool no_udp_checksum)
{
	__u32 check;

	if (!ipv6) {
		put16(l3 + 10, 0);
		put16(l3 + 10, ~sum16(l3, l4 - l3, 0));
	}
	if (protocol == IPPROTO_TCP) {
		put16(l4 + 16, 0);
		put16(l4 + 16, ~l4_sum(l3, ipv6, l4, l4_bytes, protocol));
	} else if (protocol == IPPROTO_UDP) {
		put16(l4 + 6, 0);
		check = ~l4_sum(l3, ipv6, l4, l4_bytes, protocol) & 0xffff;
		if (!no_udp_checksum)
			put16(l4 + 6, check ? check : 0xffff);
	}
}

static void build_tcp(const struct segment *s, __u8 *l4)
{
	put16(l4, s->from_port);
	put16(l4 + 2, s->to_port);
	put32(l4 + 4, s->sequence);
	put32(l4 + 8, s->acknowledged);
	l4[12] = (s->doff ? s->doff : (TCP_BYTES + s->tcp_option_bytes) / 4) << 4;
	l4[13] = s->flags;
	put16(l4 + 14, 0xfaf0);
	memset(l4 + TCP_BYTES, 1, s->tcp_option_bytes); /* NOP */
}

static void build_udp(const struct segment *s, __u8 *l4)
{
	put16(l4, s->from_port);
	put16(l4 + 2, s->to_port);
	put16(l4 + 4, UDP_BYTES + s->payload_bytes + s->udp_length_off);
}

static void build_ipv4(const struct segment *s, __u8 *l3, __u32 header_bytes, __u32 l4_bytes, __u8 protocol)
{
	l3[0] = (s->version ? s->version : 4) << 4 | (s->ihl ? s->ihl : header_bytes / 4);
	put16(l3 + 2, header_bytes + l4_bytes + s->ip_length_off);
	put16(l3 + 4, 0x1d1d);
	put16(l3 + 6, s->fragment ? s->fragment : 0x4000);
	l3[8] = HOP_LIMIT - s->hops;
	l3[9] = protocol;
	assert_int_equal(inet_pton(AF_INET, s->from, l3 + 12), 1);
	assert_int_equal(inet_pton(AF_INET, s->to, l3 + 16), 1);
	memset(l3 + IPV4_BYTES, 1, s->ip_option_bytes); /* NOP */
}

static void build_ipv6(const struct segment *s, __u8 *l3, __u32 l4_bytes, __u8 protocol)
{
	put32(l3, (s->version ? s->version : 6U) << 28 | 0x12345);
	put16(l3 + 4, l4_bytes + s->ip_length_off);
	l3[6] = protocol;
	l3[7] = HOP_LIMIT - s->hops;
	assert_int_equal(inet_pton(AF_INET6, s->from, l3 + 8), 1);
	assert_int_equal(inet_pton(AF_INET6, s->to, l3 + 24), 1);
}

static void build_ethernet(const struct segment *s, __u8 *to, bool ipv6)
{
	to[0] = 2;
	to[5] = s->to_mac;
	to[6] = 2;
	to[11] = s->from_mac;
	put16(to + 12, s->ether_type ? s->ether_type : ipv6 ? 0x86dd : 0x0800);
}

void frame_build(const struct segment *s, struct frame *ret)
{
	bool ipv6 = strchr(s->from, ':');
	__u8 protocol = s->protocol ? s->protocol : IPPROTO_TCP;
	__u32 l3_bytes = ipv6 ? IPV6_BYTES : IPV4_BYTES + s->ip_option_bytes;
	__u32 header_bytes = protocol == IPPROTO_TCP   ? TCP_BYTES + s->tcp_option_bytes
			     : protocol == IPPROTO_UDP ? UDP_BYTES
						       : 0;
	__u32 l4_bytes = header_bytes + s->payload_bytes;
	struct frame f = {.bytes = ETHERNET_BYTES + l3_bytes + l4_bytes + s->padding_bytes};
	__u8 *l3 = f.data + ETHERNET_BYTES;
	__u8 *l4 = l3 + l3_bytes;

	assert_true(f.bytes <= FRAME_MAX);
	build_ethernet(s, f.data, ipv6);
	if (ipv6)
		build_ipv6(s, l3, l4_bytes, protocol);
	else
		build_ipv4(s, l3, l3_bytes, l4_bytes, protocol);
	for (__u32 i = 0; i < s->payload_bytes; i++)
		l4[header_bytes + i] = i * 29 + 3;
	if (s->payload)
		memcpy(l4 + header_bytes, s->payload, s->payload_bytes);
	if (s->payload_word)
		put16(l4 + header_bytes, s->payload_word);
	if (protocol == IPPROTO_TCP)
		build_tcp(s, l4);
	else if (protocol == IPPROTO_UDP)
		build_udp(s, l4);
	set_checksums(l3, ipv6, l4, l4_bytes, protocol, s->no_checksum);
	memset(f.data + f.bytes - s->padding_bytes, 0xa5, s->padding_bytes);
	*ret = f;
}

static struct address address_from_bytes(const __u8 *from, bool ipv6)
{
	struct address a = {};

	if (ipv6) {
		memcpy(&a, from, 16);
	} else {
		a.word[2] = htonl(0xffff);
		memcpy(&a.word[3], from, 4);
	}
	return a;
}

static bool read_ipv4(const struct frame *f, struct reading *r)
{
	const __u8 *l3 = f->data + ETHERNET_BYTES;

	if (f->bytes < ETHERNET_BYTES + IPV4_BYTES || l3[0] >> 4 != 4 || get16(l3 + 6) & 0x1fff)
		return false;
	r->l4 = ETHERNET_BYTES + (l3[0] & 15) * 4;
	if (r->l4 < ETHERNET_BYTES + IPV4_BYTES)
		return false;
	r->ip_bytes = get16(l3 + 2);
	r->first_fragment = get16(l3 + 6) & 0x2000;
	r->hop_limit = l3[8];
	r->protocol = l3[9];
	r->source = address_from_bytes(l3 + 12, false);
	r->destination = address_from_bytes(l3 + 16, false);
	return true;
}

static bool read_ipv6(const struct frame *f, struct reading *r)
{
	const __u8 *l3 = f->data + ETHERNET_BYTES;

	if (f->bytes < ETHERNET_BYTES + IPV6_BYTES || l3[0] >> 4 != 6)
		return false;
	r->ipv6 = true;
	r->l4 = ETHERNET_BYTES + IPV6_BYTES;
	r->ip_bytes = IPV6_BYTES + get16(l3 + 4);
	r->protocol = l3[6];
	r->hop_limit = l3[7];
	r->source = address_from_bytes(l3 + 8, true);
	r->destination = address_from_bytes(l3 + 24, true);
	return true;
}

/* True when the lengths of the transport header fit the @room that the IP header and the frame leave. */
static bool l4_lengths_fit(const struct frame *f, const struct reading *r, __u32 room)
{
	const __u8 *l4 = f->data + r->l4;

	if (r->protocol == IPPROTO_TCP)
		return room >= TCP_BYTES && l4[12] >> 4 >= 5 && (l4[12] >> 4) * 4U <= room;
	return room >= UDP_BYTES && get16(l4 + 4) >= UDP_BYTES && (get16(l4 + 4) <= room || r->first_fragment);
}

bool frame_read(const struct frame *f, struct reading *ret)
{
	struct reading r = {};
	__u32 type = get16(f->data + 12);
	__u32 packet_end;

	if (type == 0x0800 ? !read_ipv4(f, &r) : type == 0x86dd ? !read_ipv6(f, &r) : true)
		return false;
	if ((r.protocol != IPPROTO_TCP && r.protocol != IPPROTO_UDP) || r.l4 + 4 > f->bytes)
		return false;
	r.source_port = get16(f->data + r.l4);
	r.destination_port = get16(f->data + r.l4 + 2);
	packet_end = ETHERNET_BYTES + r.ip_bytes;
	r.malformed = packet_end > f->bytes || packet_end < r.l4 || !l4_lengths_fit(f, &r, packet_end - r.l4);
	if (r.protocol == IPPROTO_TCP && r.l4 + TCP_BYTES <= f->bytes)
		r.flags = f->data[r.l4 + 13];
	*ret = r;
	return true;
}

/* What the transport checksum covers: UDP's own length counts, which may be shorter than the packet. */
static __u32 covered_bytes(const struct frame *f, const struct reading *r)
{
	if (r->protocol == IPPROTO_UDP && !r->first_fragment)
		return get16(f->data + r->l4 + 4);
	return ETHERNET_BYTES + r->ip_bytes - r->l4;
}

bool frame_checksums_right(const struct frame *f, const struct reading *r)
{
	const __u8 *l3 = f->data + ETHERNET_BYTES;
	const __u8 *l4 = f->data + r->l4;

	if (!r->ipv6 && sum16(l3, l4 - l3, 0) != 0xffff)
		return false;
	if (r->protocol == IPPROTO_UDP && get16(l4 + 6) == 0)
		return true;
	return l4_sum(l3, r->ipv6, l4, covered_bytes(f, r), r->protocol) == 0xffff;
}

void frame_fix_checksums(struct frame *f, const struct reading *r)
{
	set_checksums(f->data + ETHERNET_BYTES, r->ipv6, f->data + r->l4, covered_bytes(f, r), r->protocol, false);
}

bool frame_equal(const struct frame *a, const struct frame *b)
{
	return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

static void print_hex(const char *name, const struct frame *f)
{
	fprintf(stderr, "%s, %u bytes:", name, f->bytes);
	for (__u32 i = 0; i < f->bytes; i++)
		fprintf(stderr, "%s%02x", i % 2 ? "" : " ", f->data[i]);
	fputc('\n', stderr);
}

void frame_print_difference(const struct frame *got, const struct frame *wanted)
{
	print_hex("got   ", got);
	print_hex("wanted", wanted);
	fprintf(stderr, "differ at:");
	for (__u32 i = 0; i < got->bytes && i < wanted->bytes; i++) {
		if (got->data[i] != wanted->data[i])
			fprintf(stderr, " %u", i);
	}
	fputc('\n', stderr);
}

struct address address_of(const char *text)
{
	bool ipv6 = strchr(text, ':');
	__u8 bytes[16];

	assert_int_equal(inet_pton(ipv6 ? AF_INET6 : AF_INET, text, bytes), 1);
	return address_from_bytes(bytes, ipv6);
}
