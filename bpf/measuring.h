/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MEASURING_H
#define HEADGATE_MEASURING_H

/*
 * What TCP connections met, from their segments. Each direction has its own memory; all that crosses over is when a
 * request began. A request is client data after server data: its first segment acknowledges something that the one of
 * the request before did not.
 */
#include "flow.h"
#include "histogram.h"
#include "maps.h"
#include "parse.h"

static __always_inline struct measurements *measurements_of(__u32 backend)
{
	return bpf_map_lookup_elem(&measurements, &backend);
}

static __always_inline __u64 since(__u64 then_ns)
{
	__u64 now = bpf_ktime_get_ns();

	return now > then_ns ? now - then_ns : 0;
}

/* What a RST carries is no data (RFC 9293, 3.5.2), and must not move the mark that RSTs are judged by. */
static __always_inline bool carries_data(const struct packet *p)
{
	return p->payload_bytes && !(p->tcp_flags & TCP_RST);
}

/* Whether a client's segment with data begins a request. */
static __always_inline bool data_begins_request(const struct packet *p, const struct client_progress *client,
						__u32 flags)
{
	if (!(flags & FLOW_REQUESTED))
		return true;
	return p->acknowledged != client->request_ack && sequence_after(p->sequence + p->payload_bytes, client->next);
}

/**
 * measure_client - a segment with data from the client
 * @client, @flags: of its connection
 * Return: true when it begins a request, which the caller notes for the other direction.
 */
static __always_inline bool measure_client(const struct packet *p, struct client_progress *client, __u32 *flags,
					   __u32 backend)
{
	__u32 next = p->sequence + p->payload_bytes;
	struct measurements *m;
	bool begins;

	if (!carries_data(p))
		return false;
	begins = data_begins_request(p, client, *flags);
	if (*flags & FLOW_REQUESTED && !sequence_after(next, client->next)) {
		m = measurements_of(backend);
		if (m)
			m->client_retransmissions++;
		return false;
	}
	client->next = next;
	if (!begins)
		return false;
	client->request_ack = p->acknowledged;
	if (!(*flags & FLOW_REQUESTED))
		__sync_fetch_and_or(flags, FLOW_REQUESTED);
	m = measurements_of(backend);
	if (m)
		m->requests++;
	return true;
}

/* The class of a response that begins with an HTTP/1 status line, "HTTP/1.1 200": 1 to 5; 0 for any other. */
static __always_inline __u32 status_class(const struct frame *f, const struct packet *p)
{
	__u32 at = p->l4 + p->tcp_header_bytes;
	const __u8 *line = at < HEADERS_MAX ? frame_at(f, at, 12) : NULL;

	if (!line || p->payload_bytes < 12)
		return 0;
	if (line[0] != 'H' || line[1] != 'T' || line[2] != 'T' || line[3] != 'P' || line[4] != '/' || line[5] != '1' ||
	    line[6] != '.' || line[8] != ' ' || line[9] < '1' || line[9] > '5')
		return 0;
	return line[9] - '0';
}

/**
 * measure_server - a segment with data from the server
 * @server, @server_next: of its connection
 */
static __always_inline void measure_server(const struct frame *f, const struct packet *p,
					   struct server_progress *server, __u32 *server_next, __u32 backend)
{
	__u32 next = p->sequence + p->payload_bytes;
	__u64 request_ns = server->request_ns;
	struct measurements *m;
	__u32 class;

	if (!p->payload_bytes)
		return;
	if (!sequence_after(next, *server_next)) {
		m = measurements_of(backend);
		if (m)
			m->server_retransmissions++;
		return;
	}
	*server_next = next;
	if (!request_ns)
		return;
	server->request_ns = 0;
	m = measurements_of(backend);
	if (!m)
		return;
	m->responses++;
	class = status_class(f, p);
	if (class < STATUS_CLASSES)
		m->status[class]++;
	histogram_add(&m->first_byte, since(request_ns));
}

static __always_inline void measure_opened(__u32 backend)
{
	struct measurements *m = measurements_of(backend);

	if (m)
		m->measured++;
}

static __always_inline void measure_established(__u32 backend)
{
	struct measurements *m = measurements_of(backend);

	if (m)
		m->established++;
}

static __always_inline bool is_syn_ack(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
}

/* The first SYN-ACK: how long the server took. */
static __always_inline void measure_syn_ack(const struct server_progress *server, __u32 backend)
{
	struct measurements *m = measurements_of(backend);

	if (m)
		histogram_add(&m->handshake, since(server->opened_ns));
}

/*
 * Whether a client's segment proves that it saw the SYN-ACK, so that blind segments establish nothing: it acknowledges
 * what the server has sent, a FIN included, or not much less (with TCP Fast Open, data may be on its way).
 */
static __always_inline bool acknowledges_server(const struct packet *p, __u32 server_next)
{
	return p->tcp_flags & TCP_ACK && server_next + 1 - p->acknowledged < 65536;
}

/**
 * measure_end - flags that end a connection, or half of it, have been set
 * @flags: the connection's; that it ended is counted once, whatever comes late
 * @before, @ends: its flags without them, and them
 * @by_client: who sent it
 */
static __always_inline void measure_end(__u32 *flags, __u32 before, __u32 ends, bool by_client, __u64 opened_ns,
					__u32 backend)
{
	struct measurements *m;

	if (flow_is_over(before) || !flow_is_over(before | ends))
		return;
	if (__sync_fetch_and_or(flags, FLOW_ENDED) & FLOW_ENDED)
		return;
	m = measurements_of(backend);
	if (!m)
		return;
	if (!((before | ends) & FLOW_RESET))
		m->closed++;
	else if (by_client)
		m->reset_by_client++;
	else if (before & FLOW_REPLIED)
		m->reset_by_server++;
	else
		m->refused++;
	histogram_add(&m->duration, since(opened_ns));
}

#endif
