// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <arpa/inet.h>
#include <string.h>

#include "reading.h"

#define TCP_BYTES 20
#define UDP_BYTES 8
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define HEADERS_BYTES 512
#define EXTENSIONS_LIMIT 8

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

/* Return: EtherType behind at most two tags, 0 where there is none; r->l3 is set. */
static __u32 read_ethernet(const struct frame *f, struct reading *r)
{
	__u32 type = get16(f->data + 12), at = ETHERNET_BYTES;

	for (int tags = 0; tags < 2 && (type == 0x8100 || type == 0x88a8); tags++) {
		if (at + VLAN_BYTES > f->bytes)
			return 0;
		type = get16(f->data + at + 2);
		at += VLAN_BYTES;
	}
	r->l3 = at;
	return type;
}

static enum reading_kind read_ipv4(const struct frame *f, struct reading *r)
{
	const __u8 *l3 = f->data + r->l3;
	__u32 header_bytes = (l3[0] & 15) * 4;

	if (f->bytes < r->l3 + IPV4_BYTES || l3[0] >> 4 != 4)
		return READ_NOTHING;
	r->ip_bytes = get16(l3 + 2);
	r->traffic_class = l3[1];
	r->id = get16(l3 + 4);
	r->hop_limit = l3[8];
	r->protocol = l3[9];
	r->source = address_from_bytes(l3 + 12, false);
	r->destination = address_from_bytes(l3 + 16, false);
	if (header_bytes < IPV4_BYTES || r->l3 + header_bytes > f->bytes)
		return READ_BROKEN;
	r->l4 = r->l3 + header_bytes;
	r->first_fragment = get16(l3 + 6) & 0x2000;
	return get16(l3 + 6) & 0x1fff ? READ_LATER : READ_PORTS;
}

static bool is_extension(__u8 type)
{
	return type == IPPROTO_HOPOPTS || type == IPPROTO_DSTOPTS || type == IPPROTO_ROUTING ||
	       type == IPPROTO_FRAGMENT;
}

static enum reading_kind read_extensions(const struct frame *f, struct reading *r)
{
	for (int count = 0; is_extension(r->protocol); count++) {
		const __u8 *header = f->data + r->l4;
		__u8 type = r->protocol;

		if (count == EXTENSIONS_LIMIT || r->l4 + 8 > f->bytes)
			return READ_BROKEN;
		if (type == IPPROTO_ROUTING && header[3])
			return READ_BROKEN;
		r->protocol = header[0];
		r->l4 += type == IPPROTO_FRAGMENT ? 8 : (header[1] + 1) * 8;
		if (type == IPPROTO_FRAGMENT) {
			r->id = get32(header + 4);
			r->first_fragment = header[3] & 1;
			if (get16(header + 2) & 0xfff8)
				return READ_LATER;
		}
		if (r->l4 >= HEADERS_BYTES)
			return READ_BROKEN;
	}
	return READ_PORTS;
}

static enum reading_kind read_ipv6(const struct frame *f, struct reading *r)
{
	const __u8 *l3 = f->data + r->l3;

	if (f->bytes < r->l3 + IPV6_BYTES || l3[0] >> 4 != 6)
		return READ_NOTHING;
	r->ipv6 = true;
	r->l4 = r->l3 + IPV6_BYTES;
	r->ip_bytes = IPV6_BYTES + get16(l3 + 4);
	r->traffic_class = get16(l3) >> 4;
	r->protocol = l3[6];
	r->hop_limit = l3[7];
	r->source = address_from_bytes(l3 + 8, true);
	r->destination = address_from_bytes(l3 + 24, true);
	if (!address_is_ipv6(&r->source) || !address_is_ipv6(&r->destination))
		return READ_NOTHING;
	return read_extensions(f, r);
}

/* True when the lengths of the transport header fit the @room that the IP header and the frame leave. */
static bool l4_lengths_fit(const struct frame *f, const struct reading *r, __u32 room)
{
	const __u8 *l4 = f->data + r->l4;

	if (r->protocol == IPPROTO_TCP)
		return room >= TCP_BYTES && l4[12] >> 4 >= 5 && (l4[12] >> 4) * 4U <= room;
	return room >= UDP_BYTES && get16(l4 + 4) >= UDP_BYTES && (get16(l4 + 4) <= room || r->first_fragment);
}

enum reading_kind frame_classify(const struct frame *f, struct reading *ret)
{
	enum reading_kind kind = READ_NOTHING;
	struct reading r = {};
	__u32 type = read_ethernet(f, &r), end;

	if (type == 0x0800)
		kind = read_ipv4(f, &r);
	else if (type == 0x86dd)
		kind = read_ipv6(f, &r);
	end = r.l3 + r.ip_bytes;
	r.malformed = end > f->bytes || end < r.l4;
	if (kind == READ_PORTS && r.protocol == (r.ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		kind = READ_ICMP;
	} else if (kind == READ_PORTS && r.protocol != IPPROTO_TCP && r.protocol != IPPROTO_UDP) {
		kind = READ_OTHER;
	} else if (kind == READ_PORTS && r.l4 + 4 > f->bytes) {
		kind = READ_BROKEN;
	} else if (kind == READ_PORTS) {
		r.source_port = get16(f->data + r.l4);
		r.destination_port = get16(f->data + r.l4 + 2);
		if (r.protocol == IPPROTO_TCP && r.l4 + TCP_BYTES <= f->bytes)
			r.flags = f->data[r.l4 + 13];
		r.malformed = r.malformed || !l4_lengths_fit(f, &r, end - r.l4);
	}
	*ret = r;
	return kind;
}

bool frame_read(const struct frame *f, struct reading *ret)
{
	struct reading r;

	if (frame_classify(f, &r) != READ_PORTS)
		return false;
	*ret = r;
	return true;
}

/* What the transport checksum covers: UDP's own length counts, which may be shorter than the packet. */
static __u32 covered_bytes(const struct frame *f, const struct reading *r)
{
	if (r->protocol == IPPROTO_UDP && !r->first_fragment)
		return get16(f->data + r->l4 + 4);
	return r->l3 + r->ip_bytes - r->l4;
}

bool frame_ip_checksum_right(const struct frame *f, const struct reading *r)
{
	const __u8 *l3 = f->data + r->l3;

	return r->ipv6 || sum16(l3, (l3[0] & 15) * 4, 0) == 0xffff;
}

bool frame_checksums_right(const struct frame *f, const struct reading *r)
{
	const __u8 *l4 = f->data + r->l4;

	if (!frame_ip_checksum_right(f, r))
		return false;
	if (r->protocol == IPPROTO_UDP && get16(l4 + 6) == 0)
		return true;
	return l4_sum(f->data + r->l3, l4, covered_bytes(f, r), r->protocol) == 0xffff;
}

void frame_fix_checksums(struct frame *f, const struct reading *r)
{
	if (!r->ipv6)
		ipv4_set_checksum(f->data + r->l3);
	l4_set_checksum(f->data + r->l3, f->data + r->l4, covered_bytes(f, r), r->protocol);
}
