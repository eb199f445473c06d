/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_CONNECTION_H
#define HEADGATE_TEST_CONNECTION_H

/* One client's connection through a TCP service (or a datagram's flow), packet by packet, and what the maps say of it.
 */
#include "world.h"

#define SERVER_SEQUENCE 0xfffffff0U /* of SYN-ACKs; acknowledging it wraps around */
#define CLIENT_SEQUENCE 0xffffff80U /* of SYNs, in connection_begin() */

struct connection {
	struct fixture *fixture;
	__u32 service;
	__u32 backend;      /* where it is expected */
	const char *client; /* NULL: the world's */
	__u16 client_port;
	const char *source; /* NAT's address; NULL: the world's */
	__u16 source_port;  /* of its last packet from the client */
	__u32 client_next;  /* sequence numbers of the next byte; set by connection_begin() */
	__u32 server_next;
};

/* Each sends one packet that must be forwarded, to @backend or to the client respectively. */
struct reading client_sends(struct connection *c, __u8 flags, __u32 acknowledged);
void server_sends(const struct connection *c, __u8 flags);

struct segment connection_request(const struct connection *c, __u8 flags);
struct segment connection_reply(const struct connection *c, __u8 flags);

/* SYN, SYN-ACK, ACK. */
void connection_open(struct connection *c);

/*
 * The same with sequence numbers that go on, as hosts' do. Each of the last ones sends one segment from where its side
 * is, acknowledging all that the other one has sent.
 */
void connection_begin(struct connection *c); /* SYN, SYN-ACK, ACK */
void client_says(struct connection *c, __u8 flags, __u16 payload_bytes);
void server_says(struct connection *c, __u8 flags, const char *payload); /* NULL: none */

/* What either would send next, without sending it. */
struct segment client_segment(const struct connection *c, __u8 flags, __u16 payload_bytes);
struct segment server_segment(const struct connection *c, __u8 flags, const char *payload);

/* Where its flow is kept, and its port entry. False, @ret untouched: not there. */
bool connection_half_open(const struct connection *c, struct flow *ret);
bool connection_established(const struct connection *c, struct flow *ret);
bool connection_port(const struct connection *c, struct source_port *ret);

struct source_port_key connection_port_key(const struct connection *c);

#endif
