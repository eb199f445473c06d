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
#define ICMP_BYTES 8
#define GUE_BYTES 4
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define FRAGMENT_BYTES 8
#define FLOW_LABEL 0x12345
#define DONT_FRAGMENT 0x4000
#define MORE_FRAGMENTS 0x2000

void put16(__u8 *to, __u32 value)
{
	to[0] = value >> 8;
	to[1] = value;
}

void put32(__u8 *to, __u32 value)
{
	put16(to, value >> 16);
	put16(to + 2, value);
}

__u32 get16(const __u8 *from)
{
	return (__u32)from[0] << 8 | from[1];
}

__u32 get32(const __u8 *from)
{
	return get16(from) << 16 | get16(from + 2);
}

/* By the book: 16-bit words in network order, an odd last byte padded with zero. */
__u32 sum16(const __u8 *data, __u32 bytes, __u32 sum)
{
	for (__u32 i = 0; i + 1 < bytes; i += 2)
		sum += get16(data + i);
	if (bytes & 1)
		sum += (__u32)data[bytes - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

__u32 l4_sum(const __u8 *l3, const __u8 *l4, __u32 l4_bytes, __u8 protocol)
{
	bool ipv6 = l3[0] >> 4 == 6;
	__u32 sum = sum16(ipv6 ? l3 + 8 : l3 + 12, ipv6 ? 32 : 8, 0);

	return sum16(l4, l4_bytes, protocol == IPPROTO_ICMP ? 0 : sum + protocol + l4_bytes);
}

void l4_set_checksum(const __u8 *l3, __u8 *l4, __u32 l4_bytes, __u8 protocol)
{
	__u8 *field = l4 + (protocol == IPPROTO_TCP ? 16 : protocol == IPPROTO_UDP ? 6 : 2);
	__u32 check;

	put16(field, 0);
	check = ~l4_sum(l3, l4, l4_bytes, protocol) & 0xffff;
	put16(field, protocol == IPPROTO_UDP && !check ? 0xffff : check);
}

void ipv4_set_checksum(__u8 *l3)
{
	put16(l3 + 10, 0);
	put16(l3 + 10, ~sum16(l3, (l3[0] & 15) * 4, 0));
}

/* Room for @bytes zeros at the front of what there is. */
static __u8 *push(struct frame *f, __u32 bytes)
{
	assert_true(f->bytes + bytes <= FRAME_MAX);
	memmove(f->data + bytes, f->data, f->bytes);
	memset(f->data, 0, bytes);
	f->bytes += bytes;
	return f->data;
}

static void build_packet(const struct segment *s, struct frame *f);

static void build_payload(const struct segment *s, struct frame *f)
{
	if (s->inner) {
		build_packet(s->inner, f);
		if (s->inner_bytes && s->inner_bytes < f->bytes)
			f->bytes = s->inner_bytes;
		return;
	}
	push(f, s->payload_bytes);
	for (__u32 i = 0; i < s->payload_bytes; i++)
		f->data[i] = i * 29 + 3;
	if (s->payload)
		memcpy(f->data, s->payload, s->payload_bytes);
	if (s->payload_word)
		put16(f->data, s->payload_word);
}

static void push_tcp(const struct segment *s, struct frame *f)
{
	__u8 *l4 = push(f, TCP_BYTES + s->tcp_option_bytes);

	put16(l4, s->from_port);
	put16(l4 + 2, s->to_port);
	put32(l4 + 4, s->sequence);
	put32(l4 + 8, s->acknowledged);
	l4[12] = (s->doff ? s->doff : (TCP_BYTES + s->tcp_option_bytes) / 4) << 4;
	l4[13] = s->flags;
	put16(l4 + 14, s->closed ? 0 : s->window ? s->window : 0xfaf0);
	memset(l4 + TCP_BYTES, 1, s->tcp_option_bytes); /* NOP */
	if (s->tcp_options)
		memcpy(l4 + TCP_BYTES, s->tcp_options, s->tcp_option_bytes);
}

static void push_udp(const struct segment *s, struct frame *f)
{
	__u8 *l4 = push(f, UDP_BYTES);

	put16(l4, s->from_port);
	put16(l4 + 2, s->to_port);
	put16(l4 + 4, f->bytes + s->udp_length_off);
}

static void push_icmp(const struct segment *s, struct frame *f)
{
	__u8 *l4 = push(f, ICMP_BYTES);

	l4[0] = s->icmp_type;
	l4[1] = s->icmp_code;
	put32(l4 + 4, s->icmp_rest);
}

static __u32 id_of(const struct segment *s)
{
	return s->id ? s->id : s->made_here ? 0 : 0x1d1d;
}

static void push_ipv4(const struct segment *s, struct frame *f, __u8 protocol)
{
	__u32 header_bytes = IPV4_BYTES + s->ip_option_bytes;
	__u8 *l3 = push(f, header_bytes);

	l3[0] = (s->version ? s->version : 4) << 4 | (s->ihl ? s->ihl : header_bytes / 4);
	l3[1] = s->traffic_class;
	put16(l3 + 2, f->bytes + s->ip_length_off);
	put16(l3 + 4, id_of(s));
	put16(l3 + 6, s->fragment ? s->fragment : DONT_FRAGMENT);
	l3[8] = HOP_LIMIT - s->hops;
	l3[9] = protocol;
	assert_int_equal(inet_pton(AF_INET, s->from, l3 + 12), 1);
	assert_int_equal(inet_pton(AF_INET, s->to, l3 + 16), 1);
	memset(l3 + IPV4_BYTES, 1, s->ip_option_bytes); /* NOP */
	put16(l3 + 10, ~sum16(l3, header_bytes, 0));
}

/* Return: the type of the header that now is in front. */
static __u8 push_extension(const struct segment *s, struct frame *f, const struct extension *e, __u8 next)
{
	__u32 bytes = (e->units + 1) * 8;
	__u8 *header = push(f, bytes);

	header[0] = next;
	header[1] = e->type == IPPROTO_FRAGMENT ? 0 : e->units;
	if (e->type == IPPROTO_FRAGMENT) {
		put32(header + 4, id_of(s));
	} else if (e->type == IPPROTO_ROUTING) {
		header[2] = 4;
		header[3] = e->segments_left;
	} else {
		header[2] = 0x1e; /* an option for experiments (RFC 4727), of all there is */
		header[3] = bytes > 8 ? 255 : 4;
	}
	return e->type;
}

static void push_ipv6(const struct segment *s, struct frame *f, __u8 protocol)
{
	__u8 *l3;

	for (__u32 i = s->extensions; i--;)
		protocol = push_extension(s, f, &s->extension[i], protocol);
	l3 = push(f, IPV6_BYTES);
	put32(l3,
	      (s->version ? s->version : 6U) << 28 | (__u32)s->traffic_class << 20 | (s->made_here ? 0 : FLOW_LABEL));
	put16(l3 + 4, f->bytes - IPV6_BYTES + s->ip_length_off);
	l3[6] = protocol;
	l3[7] = HOP_LIMIT - s->hops;
	assert_int_equal(inet_pton(AF_INET6, s->from, l3 + 8), 1);
	assert_int_equal(inet_pton(AF_INET6, s->to, l3 + 24), 1);
}

/* A fragment header behind what each fragment has; the header before it says so. */
static void insert_fragment_header(const struct segment *s, struct frame *f, __u32 at, bool more)
{
	__u32 last_bytes = s->cut_behind ? (s->extension[s->cut_behind - 1].units + 1) * 8 : 0;
	__u8 *next = s->cut_behind ? f->data + at - last_bytes : f->data + 6;
	__u8 *header = f->data + at;

	memmove(header + FRAGMENT_BYTES, header, f->bytes - at);
	f->bytes += FRAGMENT_BYTES;
	memset(header, 0, FRAGMENT_BYTES);
	header[0] = *next;
	put16(header + 2, s->cut_offset | more);
	put32(header + 4, id_of(s));
	*next = IPPROTO_FRAGMENT;
	put16(f->data + 4, f->bytes - IPV6_BYTES + s->ip_length_off);
}

/* Keeps the headers that each fragment has, and the part that was asked for of what is behind them. */
static void cut_fragment(const struct segment *s, struct frame *f, bool ipv6)
{
	__u32 header_bytes = ipv6 ? IPV6_BYTES : IPV4_BYTES + s->ip_option_bytes;
	__u32 left, bytes;
	__u8 *part;

	for (__u32 i = 0; i < s->cut_behind; i++)
		header_bytes += (s->extension[i].units + 1) * 8;
	assert_true(s->cut_offset % 8 == 0 && header_bytes + s->cut_offset < f->bytes);
	left = f->bytes - header_bytes - s->cut_offset;
	bytes = left < s->cut_bytes ? left : s->cut_bytes;
	part = f->data + header_bytes;
	memmove(part, part + s->cut_offset, bytes);
	f->bytes = header_bytes + bytes;
	if (ipv6) {
		insert_fragment_header(s, f, header_bytes, bytes < left);
	} else {
		put16(f->data + 2, f->bytes + s->ip_length_off);
		put16(f->data + 6, (bytes < left ? MORE_FRAGMENTS : 0) | s->cut_offset / 8);
		ipv4_set_checksum(f->data);
	}
}

/* An IP packet, from its payload outwards. */
static void build_packet(const struct segment *s, struct frame *f)
{
	__u8 protocol = s->protocol ? s->protocol : IPPROTO_TCP;
	bool ipv6 = strchr(s->from, ':');
	__u32 l4_bytes;
	__u8 *l4;

	build_payload(s, f);
	if (protocol == IPPROTO_TCP)
		push_tcp(s, f);
	else if (protocol == IPPROTO_UDP)
		push_udp(s, f);
	else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		push_icmp(s, f);
	l4_bytes = f->bytes;
	if (ipv6)
		push_ipv6(s, f, protocol);
	else
		push_ipv4(s, f, protocol);
	l4 = f->data + f->bytes - l4_bytes;
	if (protocol == IPPROTO_TCP || (protocol == IPPROTO_UDP && !s->no_checksum))
		l4_set_checksum(f->data, l4, l4_bytes, protocol);
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) {
		l4_set_checksum(f->data, l4, l4_bytes, protocol);
		put16(l4 + 2, get16(l4 + 2) + s->icmp_check_off);
	}
	if (s->cut_bytes)
		cut_fragment(s, f, ipv6);
}

static void push_outer(const struct segment *s, struct frame *f)
{
	bool inner_ipv6 = strchr(s->from, ':'), ipv6 = address_is_ipv6(&s->outer.to);
	__u8 inner = inner_ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP, *at;

	if (s->outer.kind == OUTER_GUE) {
		at = push(f, UDP_BYTES + GUE_BYTES);
		put16(at, s->outer.from_port);
		put16(at + 2, s->outer.to_port);
		put16(at + 4, f->bytes);
		at[UDP_BYTES + 1] = inner;
		inner = IPPROTO_UDP;
	}
	at = push(f, ipv6 ? IPV6_BYTES : IPV4_BYTES);
	if (ipv6) {
		put32(at, 6U << 28 | (__u32)s->traffic_class << 20 | s->outer.flow_label);
		put16(at + 4, f->bytes - IPV6_BYTES);
		at[6] = inner;
		at[7] = 64;
		memcpy(at + 8, &s->outer.from, 16);
		memcpy(at + 24, &s->outer.to, 16);
		return;
	}
	at[0] = 0x45;
	at[1] = s->traffic_class;
	put16(at + 2, f->bytes);
	put16(at + 6, DONT_FRAGMENT);
	at[8] = 64;
	at[9] = inner;
	memcpy(at + 12, &s->outer.from.word[3], 4);
	memcpy(at + 16, &s->outer.to.word[3], 4);
	ipv4_set_checksum(at);
}

static void push_ethernet(const struct segment *s, struct frame *f)
{
	static const __u8 again[] = {0x02, 0x68, 0x67, 0, 0, 0x02};
	__u32 type = s->ether_type ? s->ether_type : f->data[0] >> 4 == 6 ? 0x86dd : 0x0800;
	__u8 *at;

	if (!s->ether_type && s->outer.kind == OUTER_NONE)
		type = strchr(s->from, ':') ? 0x86dd : 0x0800;
	for (int i = 1; i >= 0; i--) {
		if (!s->vlan[i])
			continue;
		at = push(f, VLAN_BYTES);
		put16(at, s->vlan[i]);
		put16(at + 2, type);
		type = i == 0 && s->vlan_type ? s->vlan_type : 0x8100;
	}
	at = push(f, ETHERNET_BYTES);
	at[0] = 2;
	at[5] = s->to_mac;
	at[6] = 2;
	at[11] = s->from_mac;
	if (s->again)
		memcpy(at + 6, again, sizeof(again));
	put16(at + 12, type);
}

void frame_build(const struct segment *s, struct frame *ret)
{
	struct frame f = {.bytes = 0};

	build_packet(s, &f);
	if (s->outer.kind != OUTER_NONE)
		push_outer(s, &f);
	push_ethernet(s, &f);
	assert_true(f.bytes + s->padding_bytes <= FRAME_MAX);
	memset(f.data + f.bytes, 0xa5, s->padding_bytes);
	f.bytes += s->padding_bytes;
	*ret = f;
}

bool frame_equal(const struct frame *a, const struct frame *b)
{
	return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

static void print_hex(const char *name, const struct frame *f)
{
	fprintf(stderr, "%s, %u bytes:", name, f->bytes);
	for (__u32 i = 0; i < f->bytes && i < 256; i++)
		fprintf(stderr, "%s%02x", i % 2 ? "" : " ", f->data[i]);
	fputs(f->bytes > 256 ? " ..\n" : "\n", stderr);
}

void frame_print_difference(const struct frame *got, const struct frame *wanted)
{
	int differ = 0;

	print_hex("got   ", got);
	print_hex("wanted", wanted);
	fprintf(stderr, "differ at:");
	for (__u32 i = 0; i < got->bytes && i < wanted->bytes && differ < 64; i++) {
		if (got->data[i] != wanted->data[i]) {
			fprintf(stderr, " %u", i);
			differ++;
		}
	}
	fputc('\n', stderr);
}

struct address address_of(const char *text)
{
	struct address a = {};

	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	} else {
		a.word[2] = htonl(0xffff);
		assert_int_equal(inet_pton(AF_INET, text, &a.word[3]), 1);
	}
	return a;
}

bool address_is_ipv6(const struct address *a)
{
	return a->word[0] || a->word[1] || a->word[2] != htonl(0xffff);
}
