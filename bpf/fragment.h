/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FRAGMENT_H
#define HEADGATE_FRAGMENT_H

/*
 * Fragments. The first one has the ports and is decided like any packet; what was decided is kept for the others. One
 * that comes before it is handed to the daemon, which has it come in again, once, a little later.
 */
#include "count.h"
#include "flow.h"

#define FRAGMENT_TICKS 30 /* a datagram is not put together for longer than about so many seconds */

/* The source MAC that the daemon gives a fragment that it sends in again: EARLY_FRAGMENT_MAC. */
static __always_inline bool fragment_again(const struct ethhdr *eth)
{
	static const __u8 again[] = EARLY_FRAGMENT_MAC;

	for (__u32 i = 0; i < sizeof(again); i++)
		if (eth->h_source[i] != again[i])
			return false;
	return true;
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

static __always_inline void fragment_keep(const struct packet *p, const struct fragment *first)
{
	struct fragment_key key;

	fragment_key_of(p, &key);
	bpf_map_update_elem(&fragments, &key, first, BPF_ANY);
}

static __always_inline void fragment_remember(const struct packet *p, const struct departure *to)
{
	struct fragment first = {
		.client = to->reply ? to->tuple.destination : to->tuple.source,
		.backend = to->backend,
		.seen = tick_now(),
		.service = to->service,
		.reply = to->reply,
		.hash = to->hash,
	};

	fragment_keep(p, &first);
}

/* Whether fragments from or to these addresses may be of a service: to its address, or from one of its backends'. */
static __always_inline bool fragment_concerns(const struct packet *p)
{
	return bpf_map_lookup_elem(&vip_addresses, &p->destination) ||
	       bpf_map_lookup_elem(&reply_addresses, &p->source);
}

/* A first fragment that is none of a service's, though by its addresses it could be: so are those that follow it. */
static __always_inline void fragment_passes(const struct packet *p)
{
	struct fragment first = {.seen = tick_now()};

	if (fragment_concerns(p))
		fragment_keep(p, &first);
}

/**
 * fragment_early - a fragment whose first one is not known
 * @ret: with VERDICT_EARLY, ret->service is the one that counts the fragment if it cannot be held; 0: it passes then
 *
 * What a backend sends need not be a reply, so it passes when its first one has not come in time.
 */
static __always_inline enum verdict fragment_early(const struct frame *f, const struct packet *p, struct departure *ret)
{
	__u32 *service = bpf_map_lookup_elem(&vip_addresses, &p->destination);
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));
	bool once_only = !eth || fragment_again(eth) || p->frame_bytes > EARLY_FRAGMENT_BYTES;

	if (service) {
		if (p->malformed)
			return drop(*service, DROP_MALFORMED);
		if (once_only)
			return drop(*service, DROP_LONE_FRAGMENT);
		ret->service = *service;
		return VERDICT_EARLY;
	}
	if (once_only || p->malformed || !bpf_map_lookup_elem(&reply_addresses, &p->source))
		return VERDICT_PASS;
	return VERDICT_EARLY;
}

/* What becomes of one that there was no room to hold; @service: by fragment_early(). */
static __always_inline enum verdict fragment_not_held(__u32 service)
{
	return service ? drop(service, DROP_LONE_FRAGMENT) : VERDICT_PASS;
}

#endif
