/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FRAGMENT_H
#define HEADGATE_FRAGMENT_H

/*
 * Fragments. The first one has the ports and is decided like any packet; what was decided is kept for the others. One
 * that comes before it is handed to the daemon, which sends it in again, once, a little later.
 */
#include "count.h"
#include "flow.h"

#define FRAGMENT_TICKS 30 /* a datagram is not put together for longer than about so many seconds */

/* The source MAC that the daemon gives a fragment that it sends in again: 02:68:67:00:00:02. */
static __always_inline bool fragment_again(const struct ethhdr *eth)
{
	return eth->h_source[0] == 0x02 && eth->h_source[1] == 0x68 && eth->h_source[2] == 0x67 && !eth->h_source[3] &&
	       !eth->h_source[4] && eth->h_source[5] == 0x02;
}

static __always_inline void fragment_key_of(const struct packet *p, struct fragment_key *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->source = p->source;
	ret->destination = p->destination;
	ret->id = p->fragment_id;
	ret->protocol = p->ipv6 ? 0 : p->protocol;
}

/* What became of the first fragment, or NULL. */
static __always_inline struct fragment *fragment_first(const struct packet *p)
{
	struct fragment_key key;
	struct fragment *first;

	fragment_key_of(p, &key);
	first = bpf_map_lookup_elem(&fragments, &key);
	return first && tick_now() - first->seen <= FRAGMENT_TICKS ? first : NULL;
}

static __always_inline void fragment_remember(const struct packet *p, const struct departure *to)
{
	struct fragment_key key;
	struct fragment first = {
		.client = to->reply ? to->tuple.destination : to->tuple.source,
		.backend = to->backend,
		.seen = tick_now(),
		.service = to->service,
		.reply = to->reply,
		.hash = to->hash,
	};

	fragment_key_of(p, &key);
	bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
}

/* A first fragment to a service's address, but not to its port, is this host's, and so are those that follow it. */
static __always_inline void fragment_passes(const struct packet *p)
{
	struct fragment first = {.seen = tick_now()};
	struct fragment_key key;

	if (!bpf_map_lookup_elem(&vip_addresses, &p->destination))
		return;
	fragment_key_of(p, &key);
	bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
}

/* A fragment whose first one is not known: it passes, unless it is to a service's address. */
static __always_inline enum verdict fragment_early(const struct frame *f, const struct packet *p)
{
	__u32 *service = bpf_map_lookup_elem(&vip_addresses, &p->destination);
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));

	if (!service || !eth)
		return VERDICT_PASS;
	if (p->malformed)
		return drop(*service, DROP_MALFORMED);
	if (fragment_again(eth) || p->frame_bytes > EARLY_FRAGMENT_BYTES)
		return drop(*service, DROP_LONE_FRAGMENT);
	return VERDICT_EARLY;
}

#endif
