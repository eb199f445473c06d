/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_QUIC_H
#define HEADGATE_QUIC_H

/*
 * What of QUIC can be read from outside (RFC 8999; RFC 9000, 17; RFC 9369, 3.2): which datagrams open a connection, and
 * the destination's connection id, in which servers may have put who they are.
 */
#include "maps.h"
#include "parse.h"

#define QUIC_LONG 0x80
#define QUIC_V1 0x00000001U
#define QUIC_V2 0x6b3343cfU

/* A long header up to its destination connection id. */
struct quic_long {
	__u8 first;
	__be32 version;
	__u8 id_bytes;
} __attribute__((packed));

static __always_inline void *quic_payload(const struct frame *f, const struct packet *p, __u32 bytes)
{
	void *udp = frame_at(f, p->l4, sizeof(struct udphdr) + bytes);

	return udp ? udp + sizeof(struct udphdr) : NULL;
}

/*
 * An Initial opens, and 0-RTT data, which may overtake it: their connection ids are the client's own choice. A version
 * that is not known here is to be negotiated, which is an opening too.
 */
static __always_inline bool quic_opens(const struct frame *f, const struct packet *p)
{
	struct quic_long *header = quic_payload(f, p, sizeof(*header));
	__u32 version, type;

	if (!header || !(header->first & QUIC_LONG))
		return false;
	version = bpf_ntohl(header->version);
	type = header->first >> 4 & 3;
	if (version == QUIC_V1)
		return type <= 1;
	if (version == QUIC_V2)
		return type == 1 || type == 2;
	return true;
}

/**
 * quic_backend - the backend that a datagram's connection id names
 * Return: its id; 0: the datagram opens a connection, is too short, or names nobody.
 */
static __always_inline __u32 quic_backend(const struct frame *f, const struct packet *p, const struct service *s,
					  __u32 service)
{
	struct server_id_key key = {.service = service};
	__u32 at = 1, *backend;
	__u8 *header;

	if (!s->server_id_bytes || p->opens)
		return 0;
	header = quic_payload(f, p, sizeof(struct quic_long));
	if (!header)
		return 0;
	if (*header & QUIC_LONG) {
		if (header[5] <= s->server_id_bytes)
			return 0;
		at = sizeof(struct quic_long);
	}
	/* The id's first octet tells of rotation and length. */
	header = quic_payload(f, p, sizeof(struct quic_long) + 1 + SERVER_ID_MAX);
	if (!header)
		return 0;
	header += at == 1 ? 2 : sizeof(struct quic_long) + 1;
#pragma unroll
	for (__u32 i = 0; i < SERVER_ID_MAX; i++)
		if (i < s->server_id_bytes)
			key.server_id[i] = header[i];
	backend = bpf_map_lookup_elem(&server_ids, &key);
	return backend ? *backend : 0;
}

#endif
