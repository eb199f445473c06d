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
					  const struct flow_key *key, const struct sought *missed,
					  struct service_counters *counters, bool *ret_opened)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct flow fresh = flow_begun(p, c->entry, now);
	bool opens = packet_opens(p), written = false;
	struct taken_flow taken;

	*ret_opened = opens && p->protocol == IPPROTO_TCP;
	if (p->protocol == IPPROTO_UDP && s->flags & SERVICE_UDP_MISS_BASE)
		fresh.backend = c->base;
	if (!opens)
		fresh.backend = c->base;
	if ((c->entry == c->base && !c->remember) || !backend_reachable(fresh.backend))
		return fresh.backend;
	/* What is older is written so that the daemon sees who still disagrees with the entry. */
	if (opens || !flow_flags_of(p, FLOW_CLIENT_FIN))
		written = flow_take(key, missed, now, &taken);
	if (written)
		flow_write(key, &fresh, !opens, &taken);
	if (!opens) {
		counters->flow_misses++;
		return c->base;
	}
	if (!written) {
		counters->flow_overflows++;
		return c->base;
	}
	*ret_opened = true;
	return fresh.backend;
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
	struct flow_key key;
	struct sought sought;
	struct flow *f;
	__u32 backend;

	if (!counters)
		return 0;
	counters->flow_lookups++;
	flow_key_of_request(p, service, &key);
	f = flow_find(&key, SEARCH_ALL, &sought);
	if (f && p->protocol == IPPROTO_TCP && packet_opens(p) &&
	    (f->flags & (FLOW_RESET | FLOW_CLIENT_FIN) || (is_half_open(&sought) && is_another_syn(p, &f->client)))) {
		entry_free(&sought);
		f = NULL;
	}
	if (!f)
		return tracked_miss(p, s, c, &key, &sought, counters, ret_opened);
	*ret_opened = false;
	backend = f->backend;
	flow_touch(f, p);
	if (is_half_open(&sought) && p->protocol == IPPROTO_TCP && packet_opens(p))
		entry_refresh(&sought);
	else if (is_half_open(&sought))
		entry_keep(&sought);
	return backend;
}

/**
 * tracked_reset - a backend's RST, all that a flow learns of replies: a SYN with its ports is a new connection's
 * @endpoint: the backend's
 */
static __always_inline void tracked_reset(const struct packet *p, __u32 service, __u32 endpoint)
{
	struct flow_key key = {.client = p->destination, .port = p->destination_port, .service = service};
	struct sought sought;
	struct flow *f = flow_find(&key, SEARCH_ALL, &sought);
	struct backend *b = f ? bpf_map_lookup_elem(&backends, &f->backend) : NULL;

	if (b && b->endpoint == endpoint)
		__sync_fetch_and_or(&f->flags, FLOW_RESET);
}

#endif
