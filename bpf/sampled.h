/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SAMPLED_H
#define HEADGATE_SAMPLED_H

/*
 * Measuring where flows have no state: a hash sample of TCP connections gets an entry in a table of its own, which
 * decides nothing. Both directions find it by the client's address and port.
 */
#include "measuring.h"
#include "slot.h"

static __always_inline struct place sampled_place(const struct flow_layout *layout, const struct flow_key *key)
{
	return place_of(hash_flow(layout->secret, key), layout->sampled_buckets);
}

static __always_inline struct sampled_bucket *sampled_bucket(__u32 number)
{
	return bpf_map_lookup_elem(&sampled_flows, &number);
}

/* Looks at all entries of a bucket. Return: as flow_search(). */
__weak __noinline __u32 sampled_search(const struct sampled_bucket *b, const struct flow_key *key, __u32 print)
{
	__u32 free = BUCKET_ENTRIES;

	if (!b || !key)
		return BUCKET_NONE;
	for (__u32 at = 0; at < BUCKET_ENTRIES; at++) {
		__u32 tag = b->tags.tag[at];

		free = free_one(free, at, tag);
		if (tag_may_be(tag, print) && flow_key_same(&b->entry[at].key, key))
			return at;
	}
	return BUCKET_ENTRIES + free;
}

/* As flow_find(). */
static __always_inline struct sampled_flow *sampled_find(const struct flow_key *key, enum search search,
							 struct sought *ret)
{
	const struct flow_layout *layout = flow_layout_now();
	struct sampled_bucket *b;
	__u32 at;

	*ret = (struct sought){.free = BUCKET_ENTRIES};
	if (!layout)
		return NULL;
	ret->place = sampled_place(layout, key);
	b = sampled_bucket(ret->place.bucket);
	if (!b)
		return NULL;
	at = search == SEARCH_NEAREST ? bucket_nearest(&b->tags, &ret->place) : ret->place.first;
	ret->doubtful = tag_may_be(b->tags.tag[within(at)], ret->place.print);
	if (ret->doubtful && flow_key_same(&b->entry[within(at)].key, key))
		return &b->entry[within(at)].flow;
	if (search == SEARCH_NEAREST)
		return NULL;
	at = sampled_search(b, key, ret->place.print);
	if (at < BUCKET_ENTRIES)
		return &b->entry[within(at)].flow;
	ret->free = at - BUCKET_ENTRIES;
	return NULL;
}

/* Return: false: there is no room. */
static __always_inline bool sampled_write(const struct flow_key *key, const struct sought *missed,
					  const struct sampled_flow *flow)
{
	const struct place *place = &missed->place;
	struct sampled_bucket *b = sampled_bucket(place->bucket);
	struct sampled_entry *entry;
	__u32 at;

	if (!b)
		return false;
	at = entry_take(&b->tags, place->first, missed->free, tag_writing(place->print, moment_now()));
	if (at == BUCKET_NONE)
		return false;
	entry = &b->entry[within(at)];
	entry->key = *key;
	entry->flow = *flow;
	tag_publish(&b->tags.tag[within(at)], true);
	return true;
}

/* @client, @port: of the client, whichever direction the packet goes. */
static __always_inline bool is_sampled(const struct service *s, const struct packet *p, const struct address *client,
				       __be16 port)
{
	return p->protocol == IPPROTO_TCP && !(hash_client(s->seed, client, port) & s->measure_mask);
}

/* Whether a SYN is but another copy of a known connection's, or one within it. */
static __always_inline bool sampled_is_known(const struct packet *p, const struct sampled_flow *known)
{
	if (flow_is_over(known->flags))
		return false;
	return known->flags & FLOW_ESTABLISHED || !is_another_syn(p, &known->client);
}

/* A new connection's SYN; @known: the entry of one before it with the same ports, or NULL: then @missed is where it
 * was looked for. */
static __always_inline void sampled_open(const struct packet *p, const struct flow_key *key, struct sampled_flow *known,
					 const struct sought *missed, __u32 backend)
{
	struct measurements *m = measurements_of(backend);
	struct sampled_flow fresh = {
		.server.opened_ns = bpf_ktime_get_ns(),
		.client = {.bytes = p->bytes, .next = p->sequence_next},
		.backend = backend,
		.seen = tick_now(),
	};
	__u32 given_up;

	if (!m)
		return;
	given_up = known && !flow_is_over(known->flags) && !(known->flags & FLOW_REPLIED) ? known->backend : 0;
	if (known) {
		*known = fresh;
	} else if (!sampled_write(key, missed, &fresh)) {
		m->unmeasured++;
		return;
	}
	m->measured++;
	m = given_up ? measurements_of(given_up) : NULL;
	if (m)
		m->given_up++;
}

/* Sets flags; what they end is counted once. */
static __always_inline void sampled_set(struct sampled_flow *f, __u32 flags, bool by_client)
{
	__u32 before;

	if (!(flags & ~f->flags))
		return;
	before = __sync_fetch_and_or(&f->flags, flags);
	measure_end(&f->flags, before, flags, by_client, f->server.opened_ns, f->backend);
}

/* The client's first acknowledgement of the SYN-ACK. */
static __always_inline void sampled_establish(const struct packet *p, struct sampled_flow *f)
{
	if ((f->flags & (FLOW_REPLIED | FLOW_ESTABLISHED)) != FLOW_REPLIED || !acknowledges_server(p, f->server_next))
		return;
	if (!(__sync_fetch_and_or(&f->flags, FLOW_ESTABLISHED) & FLOW_ESTABLISHED))
		measure_established(f->backend);
}

/* A client's packet within a known connection. */
static __always_inline void sampled_request_seen(const struct packet *p, struct sampled_flow *f)
{
	__u32 ends;

	f->client.bytes += p->bytes + p->more_bytes;
	sampled_establish(p, f);
	ends = flow_ends(p, &f->client);
	if (measure_client(p, &f->client, &f->flags, f->backend)) {
		/* One clock is enough. */
		f->server.request_ns = bpf_ktime_get_ns();
		f->seen = f->server.request_ns >> TICK_SHIFT;
	} else {
		f->seen = tick_now();
	}
	if (!(p->tcp_flags & TCP_RST) && sequence_after(p->sequence_next, f->client.next))
		f->client.next = p->sequence_next;
	sampled_set(f, ends, true);
}

/**
 * sampled_request - a client's packet of a sampled connection
 * @backend: where it goes
 * Return: false for a SYN that is but another copy of a known one.
 */
static __always_inline bool sampled_request(const struct packet *p, __u32 service, __u32 backend)
{
	struct sampled_flow *f;
	struct sought sought;
	struct flow_key key;

	flow_key_of_request(p, service, &key);
	f = sampled_find(&key, SEARCH_ALL, &sought);
	if (packet_opens(p) && !(f && sampled_is_known(p, f))) {
		sampled_open(p, &key, f, &sought, backend);
		return true;
	}
	if (!f)
		return true;
	if (packet_opens(p)) {
		f->client.bytes += p->bytes + p->more_bytes;
		f->seen = tick_now();
		return false;
	}
	sampled_request_seen(p, f);
	return true;
}

static __always_inline void sampled_key_of_reply(const struct packet *p, __u32 service, struct flow_key *ret)
{
	ret->client = p->destination;
	ret->port = p->destination_port;
	ret->service = service;
}

/* The connection that a backend's packet is of, or NULL. */
static __always_inline struct sampled_flow *sampled_of_reply(const struct packet *p, __u32 service)
{
	struct flow_key key;
	struct sought sought;

	sampled_key_of_reply(p, service, &key);
	return sampled_find(&key, SEARCH_ALL, &sought);
}

/* A backend's packet of a known connection. */
static __always_inline void sampled_reply_seen(const struct frame *frame, const struct packet *p,
					       struct sampled_flow *f)
{
	f->seen = tick_now();
	f->server.bytes += p->bytes + p->more_bytes;
	if (is_syn_ack(p) && !(f->flags & FLOW_REPLIED)) {
		f->server_next = p->sequence + 1;
		measure_syn_ack(&f->server, f->backend);
		__sync_fetch_and_or(&f->flags, FLOW_REPLIED);
	}
	measure_server(frame, p, &f->server, &f->server_next, f->backend);
	sampled_set(f, flow_flags_of(p, FLOW_SERVER_FIN), false);
}

#endif
