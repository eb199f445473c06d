/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_CONNECTION_H
#define HEADGATE_TEST_CONNECTION_H

/* One client's connection through a NAT service, packet by packet, and what the maps say of it. */
#include "world.h"

#define SERVER_SEQUENCE 0xfffffff0U /* of SYN-ACKs; acknowledging it wraps around */

struct connection {
	struct fixture *fixture;
	__u32 service;
	__u32 backend;      /* where it is expected */
	const char *client; /* NULL: the world's */
	__u16 client_port;
	const char *source; /* NAT's address; NULL: the world's */
	__u16 source_port;  /* of its last packet from the client */
};

/* Each sends one packet that must be forwarded, to @backend or to the client respectively. */
struct reading client_sends(struct connection *c, __u8 flags, __u32 acknowledged);
void server_sends(const struct connection *c, __u8 flags);

struct segment connection_request(const struct connection *c, __u8 flags);
struct segment connection_reply(const struct connection *c, __u8 flags);

/* SYN, SYN-ACK, ACK. */
void connection_open(struct connection *c);

/* Where its flow is kept, and its port entry. False, @ret untouched: not there. */
bool connection_half_open(const struct connection *c, struct flow *ret);
bool connection_established(const struct connection *c, struct flow *ret);
bool connection_port(const struct connection *c, struct source_port *ret);

#endif
