/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FLOW_H
#define HEADGATE_FLOW_H

/*
 * The flow tables: half-open and established. A completed handshake promotes, so that a flood of SYNs evicts nothing
 * but other half-open flows.
 */
#include "count.h"
#include "ends.h"
#include "maps.h"
#include "parse.h"
#include "sequence.h"

static __always_inline __u32 tick_now(void)
{
	return bpf_ktime_get_coarse_ns() >> TICK_SHIFT;
}

static __always_inline void flow_key_of_request(const struct packet *p, __u32 service, struct flow_key *ret)
{
	ret->client = p->source;
	ret->port = p->source_port;
	ret->service = service;
}

static __always_inline struct flow *flow_find(const struct flow_key *key, bool *ret_half_open)
{
	struct flow *f = bpf_map_lookup_elem(&established, key);

	*ret_half_open = false;
	if (f)
		return f;
	*ret_half_open = true;
	return bpf_map_lookup_elem(&half_open, key);
}

/*
 * A client's RST that its server may believe is not far below what the client sent last; any other is forwarded and
 * ends nothing here, so that a blind one does not (RFC 5961, 3.2).
 */
static __always_inline bool reset_is_plausible(const struct packet *p, const struct client_progress *client)
{
	return client->next - p->sequence < 65536;
}

/* A client that gave up and tries again from the same port: another initial sequence number, another connection. */
static __always_inline bool is_another_syn(const struct packet *p, const struct client_progress *client)
{
	return p->sequence_next != client->next;
}

/* What a segment's flags say of its flow's end. */
static __always_inline __u32 flow_flags_of(const struct packet *p, __u32 fin)
{
	__u32 flags = 0;

	if (p->tcp_flags & TCP_FIN)
		flags |= fin;
	if (p->tcp_flags & TCP_RST)
		flags |= FLOW_RESET;
	return flags;
}

/* The same for a client's segment of a known flow. */
static __always_inline __u32 flow_ends(const struct packet *p, const struct client_progress *client)
{
	__u32 flags = flow_flags_of(p, FLOW_CLIENT_FIN);

	return reset_is_plausible(p, client) ? flags : flags & ~FLOW_RESET;
}

/* A client who goes on after a RST did not send it: it had another sequence number than its receiver believes (RFC
 * 5961). */
static __always_inline bool refutes_reset(const struct packet *p, __u32 flags)
{
	return flags & FLOW_RESET && (p->tcp_flags & (TCP_RST | TCP_ACK | TCP_SYN)) == TCP_ACK;
}

/* What a known flow's packet from the client leaves behind. */
static __always_inline void flow_touch(struct flow *f, const struct packet *p)
{
	__u32 flags = flow_ends(p, &f->client);

	f->seen = tick_now();
	f->client.bytes += p->bytes + p->more_bytes;
	if (p->protocol == IPPROTO_TCP && !(p->tcp_flags & TCP_RST) && sequence_after(p->sequence_next, f->client.next))
		f->client.next = p->sequence_next;
	if (refutes_reset(p, f->flags))
		__sync_fetch_and_and(&f->flags, ~FLOW_RESET);
	if (flags & ~f->flags)
		__sync_fetch_and_or(&f->flags, flags);
}

/* From half-open to established. When that is full the flow stays where it is, and goes on while nobody evicts it. */
static __always_inline void flow_promote(const struct flow_key *key, const struct flow *f)
{
	struct service_counters *counters;
	struct flow copy = *f;

	if (bpf_map_update_elem(&established, key, &copy, BPF_ANY) == 0) {
		bpf_map_delete_elem(&half_open, key);
		return;
	}
	counters = counters_of_service(key->service);
	if (counters)
		counters->flow_overflows++;
}

static __always_inline void flow_forget(const struct flow_key *key)
{
	bpf_map_delete_elem(&established, key);
	bpf_map_delete_elem(&half_open, key);
}

#endif
