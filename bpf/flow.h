/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FLOW_H
#define HEADGATE_FLOW_H

/*
 * The flow table. A completed handshake keeps a flow, so that a flood of SYNs evicts nothing but other half-open ones.
 */
#include "bucket.h"
#include "count.h"
#include "ends.h"
#include "hash.h"
#include "maps.h"
#include "parse.h"
#include "sequence.h"

static __always_inline __u32 tick_now(void)
{
	return bpf_ktime_get_coarse_ns() >> TICK_SHIFT;
}

/* Finer: the time that tags have. */
static __always_inline __u32 moment_now(void)
{
	return bpf_ktime_get_coarse_ns() >> MOMENT_SHIFT;
}

static __always_inline void flow_key_of_request(const struct packet *p, __u32 service, struct flow_key *ret)
{
	ret->client = p->source;
	ret->port = p->source_port;
	ret->service = service;
}

/* Where an entry was looked for. */
struct sought {
	struct place place;
	__u32 free;    /* an entry that was free then, or none; or the one that was found, should it be freed */
	bool doubtful; /* not found: the one that was looked at has the same print, so that it may be another one */
	__u32 was;     /* found: its tag then, */
	__u32 *tag;    /* and where that is */
};

static __always_inline bool is_half_open(const struct sought *found)
{
	return !tag_is_kept(found->was);
}

static __always_inline bool flow_key_same(const struct flow_key *a, const struct flow_key *b)
{
	const __u32 *x = a->client.word, *y = b->client.word;

	/* One branch, where as many as there are words would be as many paths for the verifier. */
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (a->port ^ b->port) |
		 (a->service ^ b->service));
}

static __always_inline const struct flow_layout *flow_layout_now(void)
{
	return bpf_map_lookup_elem(&flow_layout, &(__u32){0});
}

static __always_inline struct place flow_place(const struct flow_layout *layout, const struct flow_key *key)
{
	return place_of(hash_flow(layout->secret, key), layout->flow_buckets);
}

static __always_inline struct flow_bucket *flow_bucket(__u32 number)
{
	return bpf_map_lookup_elem(&flows, &number);
}

/* Looks at all entries of a bucket. Return: one's number, or BUCKET_ENTRIES and above: that less is a free one's. */
__weak __noinline __u32 flow_search(const struct flow_bucket *b, const struct flow_key *key, __u32 print)
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

/* bucket_take() */
__weak __noinline __u32 entry_take(struct bucket_tags *tags, __u32 first, __u32 free, __u32 writing)
{
	return tags ? bucket_take(tags, first, free, writing) : BUCKET_NONE;
}

/* Whether somebody else has an entry for the same flow, or writes one that may be. */
__weak __noinline __u32 flow_is_double(const struct flow_bucket *b, const struct flow_key *key, __u32 print)
{
	const __u32 writing = TAG_WRITTEN | print;
	__s64 others = -1;

	if (!b || !key || bucket_is_alone(&b->tags, print))
		return 0;
	for (__u32 at = 0; at < BUCKET_ENTRIES; at++) {
		__u32 tag = *(const volatile __u32 *)&b->tags.tag[at];

		others -= where_negative((__s64)((tag & ~TAG_MOMENT) ^ writing) - 1);
		if (tag_may_be(tag, print) && flow_key_same(&b->entry[at].key, key))
			return 1;
	}
	return !!others;
}

/**
 * flow_find - a flow's entry
 * @ret: where it is; or, where all of the bucket was looked at, where it would be
 * Return: NULL: there is none as far as it was looked for.
 */
static __always_inline struct flow *flow_find(const struct flow_key *key, enum search search, struct sought *ret)
{
	const struct flow_layout *layout = flow_layout_now();
	struct flow_bucket *b;
	__u32 at;

	*ret = (struct sought){.free = BUCKET_ENTRIES};
	if (!layout)
		return NULL;
	ret->place = flow_place(layout, key);
	b = flow_bucket(ret->place.bucket);
	if (!b)
		return NULL;
	at = search == SEARCH_NEAREST ? bucket_nearest(&b->tags, &ret->place) : ret->place.first;
	ret->doubtful = tag_may_be(b->tags.tag[within(at)], ret->place.print);
	if (!ret->doubtful || !flow_key_same(&b->entry[within(at)].key, key)) {
		if (search == SEARCH_NEAREST)
			return NULL;
		at = flow_search(b, key, ret->place.print);
	}
	if (at >= BUCKET_ENTRIES) {
		ret->free = at - BUCKET_ENTRIES;
		return NULL;
	}
	ret->free = at;
	ret->tag = &b->tags.tag[within(at)];
	ret->was = *(volatile __u32 *)ret->tag;
	return tag_may_be(ret->was, ret->place.print) ? &b->entry[within(at)].flow : NULL;
}

/* What is known of a new flow when its first packet comes. @now: bpf_ktime_get_coarse_ns() */
static __always_inline struct flow flow_begun(const struct packet *p, __u32 backend, __u64 now)
{
	return (struct flow){
		.backend = backend,
		.seen = now >> TICK_SHIFT,
		.opened = now >> TICK_SHIFT,
		.client = {.bytes = p->bytes, .next = p->sequence_next},
	};
}

/* An entry that is written next, and seen by nobody until its tag is published. */
struct taken_flow {
	struct flow_entry *entry;
	__u32 *tag;
};

/**
 * flow_take - an entry for a new flow
 * @missed: it was looked for there
 * @now: as in flow_begun()
 * Return: false: there is no room for it, or another CPU was first with this flow.
 */
static __always_inline bool flow_take(const struct flow_key *key, const struct sought *missed, __u64 now,
				      struct taken_flow *ret)
{
	const struct place *place = &missed->place;
	struct flow_bucket *b = flow_bucket(place->bucket);
	__u32 at;

	if (!b)
		return false;
	at = entry_take(&b->tags, place->first, missed->free, tag_writing(place->print, now >> MOMENT_SHIFT));
	if (at == BUCKET_NONE)
		return false;
	ret->entry = &b->entry[within(at)];
	ret->tag = &b->tags.tag[within(at)];
	if (!flow_is_double(b, key, place->print))
		return true;
	tag_give_back(ret->tag);
	return false;
}

/* @kept: it is established, or as good as that */
static __always_inline void flow_write(const struct flow_key *key, const struct flow *flow, bool kept,
				       const struct taken_flow *to)
{
	to->entry->key = *key;
	to->entry->flow = *flow;
	tag_publish(to->tag, kept);
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

/* From half-open to established. Return: whether it is: it may just have made room for another one, or been seen. */
static __always_inline bool entry_keep(const struct sought *found)
{
	return tag_is_kept(found->was) || tag_swap(found->tag, found->was, found->was | TAG_KEPT);
}

/* Unless it is another one by now. */
static __always_inline void entry_free(const struct sought *found)
{
	tag_swap(found->tag, found->was, 0);
}

/* That it was seen: who is half-open and silent makes room first. */
static __always_inline void entry_refresh(const struct sought *found)
{
	__u32 moment = moment_now() & TAG_MOMENT;

	if ((found->was & TAG_MOMENT) != moment)
		tag_swap(found->tag, found->was, (found->was & ~TAG_MOMENT) | moment);
}

#endif
