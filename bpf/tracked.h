/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TRACKED_H
#define HEADGATE_TRACKED_H

/*
 * Tracked slots of stateless modes. Who is in the flow table stays where it was; who opens a connection goes to the
 * entry and is written down; who is in mid-connection and unknown is older than the change, and goes to base.
 */
#include "count.h"
#include "flow.h"
#include "forward.h"
#include "slot.h"

/* A backend that cannot be reached now gets no flow: its packet is dropped, and the client will try again. */
static __always_inline bool backend_reachable(__u32 id)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &id);

	return b && backend_hop(b);
}

/*
 * A flow that is in no table. New connections that cannot be written down go to base, since that is where their later
 * packets, unknown, would be sent. Datagrams count as an opening only where one is written, TCP's SYNs always.
 */
static __always_inline __u32 tracked_miss(const struct packet *p, const struct service *s, const struct choice *c,
					  const struct flow_key *key, struct service_counters *counters,
					  bool *ret_opened)
{
	struct flow fresh = {
		.backend = c->entry,
		.seen = tick_now(),
		.opened = tick_now(),
		.client = {.bytes = p->bytes, .next = p->sequence_next},
	};
	bool opens = packet_opens(p);

	*ret_opened = opens && p->protocol == IPPROTO_TCP;
	if (p->protocol == IPPROTO_UDP && s->flags & SERVICE_UDP_MISS_BASE)
		fresh.backend = c->base;
	if (!opens)
		fresh.backend = c->base;
	if ((c->entry == c->base && !c->remember) || !backend_reachable(fresh.backend))
		return fresh.backend;
	if (opens) {
		if (bpf_map_update_elem(&half_open, key, &fresh, BPF_ANY) == 0) {
			*ret_opened = true;
			return fresh.backend;
		}
		counters->flow_overflows++;
		return c->base;
	}
	counters->flow_misses++;
	/* Written so that the daemon sees who still disagrees with the entry; where it does not fit, base it stays. */
	if (!flow_flags_of(p, FLOW_CLIENT_FIN))
		bpf_map_update_elem(&established, key, &fresh, BPF_NOEXIST);
	return c->base;
}

/**
 * tracked_backend - the backend of a packet whose slot is tracked
 * @ret_opened: true when it opens a connection
 * Return: backend id.
 */
static __always_inline __u32 tracked_backend(const struct packet *p, const struct service *s, __u32 service,
					     const struct choice *c, bool *ret_opened)
{
	struct service_counters *counters = counters_of_service(service);
	bool half_open_hit;
	struct flow_key key;
	struct flow *f;
	__u32 backend;

	if (!counters)
		return 0;
	counters->flow_lookups++;
	flow_key_of_request(p, service, &key);
	f = flow_find(&key, &half_open_hit);
	if (f && p->protocol == IPPROTO_TCP && packet_opens(p) &&
	    (f->flags & (FLOW_RESET | FLOW_CLIENT_FIN) || (half_open_hit && is_another_syn(p, &f->client)))) {
		flow_forget(&key);
		f = NULL;
	}
	if (!f)
		return tracked_miss(p, s, c, &key, counters, ret_opened);
	*ret_opened = false;
	backend = f->backend;
	flow_touch(f, p);
	if (half_open_hit && !(p->protocol == IPPROTO_TCP && packet_opens(p)))
		flow_promote(&key, f);
	return backend;
}

/**
 * tracked_reset - a backend's RST, all that a flow learns of replies: a SYN with its ports is a new connection's
 * @endpoint: the backend's
 */
static __always_inline void tracked_reset(const struct packet *p, __u32 service, __u32 endpoint)
{
	struct flow_key key = {.client = p->destination, .port = p->destination_port, .service = service};
	bool half_open_hit;
	struct flow *f = flow_find(&key, &half_open_hit);
	struct backend *b = f ? bpf_map_lookup_elem(&backends, &f->backend) : NULL;

	if (b && b->endpoint == endpoint)
		__sync_fetch_and_or(&f->flags, FLOW_RESET);
}

#endif
