// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <string.h>

#include "connection.h"
#include "flows.h"
#include "hash.h"

static const char *client_of(const struct connection *c)
{
	if (c->client)
		return c->client;
	return world_is_ipv6(c->service) ? CLIENT6 : CLIENT4;
}

static const char *source_of(const struct connection *c)
{
	if (world_is_dnat(c->service))
		return client_of(c);
	if (c->source)
		return c->source;
	return world_is_ipv6(c->service) ? SPLITTER6 : SPLITTER4;
}

static void assert_address(const struct address *got, const char *wanted)
{
	struct address a = address_of(wanted);

	assert_memory_equal(got, &a, sizeof(a));
}

struct segment connection_request(const struct connection *c, __u8 flags)
{
	struct segment s = world_request(c->service);

	s.from = client_of(c);
	s.from_port = c->client_port;
	s.flags = flags;
	s.payload_bytes = 0;
	return s;
}

struct segment connection_reply(const struct connection *c, __u8 flags)
{
	struct segment s = world_reply(c->service, c->backend);

	s.to = source_of(c);
	s.to_port = c->source_port;
	s.flags = flags;
	s.sequence = SERVER_SEQUENCE;
	s.payload_bytes = 0;
	return s;
}

struct reading client_sends(struct connection *c, __u8 flags, __u32 acknowledged)
{
	struct segment s = connection_request(c, flags);
	struct reading r;

	s.acknowledged = acknowledged;
	r = world_send(c->fixture, &s);
	assert_address(&r.destination, world_backend_address(c->backend));
	c->source_port = r.source_port;
	return r;
}

static void send_to_client(const struct connection *c, const struct segment *s)
{
	struct segment wanted = world_answered(c->service);
	struct reading r = world_send(c->fixture, s);

	assert_address(&r.destination, client_of(c));
	assert_int_equal(r.destination_port, c->client_port);
	assert_address(&r.source, wanted.from);
	assert_int_equal(r.source_port, wanted.from_port);
}

void server_sends(const struct connection *c, __u8 flags)
{
	struct segment s = connection_reply(c, flags);

	send_to_client(c, &s);
}

void connection_open(struct connection *c)
{
	client_sends(c, SYN, 0);
	server_sends(c, SYN | ACK);
	client_sends(c, ACK, SERVER_SEQUENCE + 1);
}

struct segment client_segment(const struct connection *c, __u8 flags, __u16 payload_bytes)
{
	struct segment s = connection_request(c, flags);

	s.sequence = c->client_next;
	s.acknowledged = flags & ACK ? c->server_next : 0;
	s.payload_bytes = payload_bytes;
	return s;
}

struct segment server_segment(const struct connection *c, __u8 flags, const char *payload)
{
	struct segment s = connection_reply(c, flags);

	s.sequence = c->server_next;
	s.acknowledged = flags & ACK ? c->client_next : 0;
	s.payload = payload;
	s.payload_bytes = payload ? strlen(payload) : 0;
	return s;
}

void client_says(struct connection *c, __u8 flags, __u16 payload_bytes)
{
	struct segment s = client_segment(c, flags, payload_bytes);
	struct reading r = world_send(c->fixture, &s);

	assert_address(&r.destination, world_backend_address(c->backend));
	c->source_port = r.source_port;
	c->client_next += payload_bytes + !!(flags & SYN) + !!(flags & FIN);
}

void server_says(struct connection *c, __u8 flags, const char *payload)
{
	struct segment s = server_segment(c, flags, payload);

	send_to_client(c, &s);
	c->server_next += s.payload_bytes + !!(flags & SYN) + !!(flags & FIN);
}

void connection_begin(struct connection *c)
{
	c->client_next = CLIENT_SEQUENCE;
	c->server_next = SERVER_SEQUENCE;
	client_says(c, SYN, 0);
	server_says(c, SYN | ACK, NULL);
	client_says(c, ACK, 0);
}

bool connection_half_open(const struct connection *c, struct flow *ret)
{
	struct flow_key key = world_flow_key(c->service, client_of(c), c->client_port);

	return flow_half_open(c->fixture, &key, ret);
}

bool connection_established(const struct connection *c, struct flow *ret)
{
	struct flow_key key = world_flow_key(c->service, client_of(c), c->client_port);

	return flow_established(c->fixture, &key, ret);
}

struct source_port_key connection_port_key(const struct connection *c)
{
	struct address source = address_of(source_of(c));

	return (struct source_port_key){
		.endpoint = c->backend,
		.source_fold = address_fold(&source),
		.port = htons(c->source_port),
	};
}

bool connection_port(const struct connection *c, struct source_port *ret)
{
	struct source_port_key key = connection_port_key(c);

	return flow_port(c->fixture, &key, ret);
}
