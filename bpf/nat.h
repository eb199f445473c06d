/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_NAT_H
#define HEADGATE_NAT_H

/*
 * Source rewriting. Each flow has a source port of its own towards its endpoint; being alone with it in source_ports is
 * what makes a port belong to one flow.
 */
#include "count.h"
#include "flow.h"
#include "forward.h"
#include "measuring.h"
#include "slot.h"

#define PORT_TRIES 32
#define PORT_IN_USE (BUCKET_NONE - 1)

/* What a packet of a NAT flow is rewritten to. */
struct nat_flow {
	__u32 backend;
	__u16 source;
	__be16 source_port;
};

static __always_inline int source_port_key_of(__u32 endpoint, __u32 source, __be16 port, struct source_port_key *ret)
{
	struct address *address = bpf_map_lookup_elem(&sources, &source);

	if (!address)
		return -1;
	ret->endpoint = endpoint;
	ret->source_fold = address_fold(address);
	ret->port = port;
	ret->zero = 0;
	return 0;
}

/* Looks for a print, which no two entries of a bucket of ports have. Return: as flow_search(). */
static __always_inline __u32 port_search(const struct bucket_tags *tags, __u32 print)
{
	__u32 free = BUCKET_ENTRIES;

	for (__u32 at = 0; at < BUCKET_ENTRIES; at++) {
		__u32 tag = tags->tag[at];

		free = free_one(free, at, tag);
		if (tag_has(tag, print))
			return at;
	}
	return BUCKET_ENTRIES + free;
}

static __always_inline struct place port_place(const struct flow_layout *layout, const struct source_port_key *key)
{
	return place_of(hash_source_port(key), layout->port_buckets);
}

static __always_inline struct port_bucket *port_bucket(__u32 number)
{
	return bpf_map_lookup_elem(&source_ports, &number);
}

/* What may be the port's entry: its tag says no more than that. NULL: there is none. */
static __always_inline struct source_port *port_find(const struct source_port_key *key, struct sought *ret)
{
	const struct flow_layout *layout = flow_layout_now();
	struct port_bucket *b;
	struct place place;
	__u32 at;

	*ret = (struct sought){};
	if (!layout)
		return NULL;
	place = port_place(layout, key);
	b = port_bucket(place.bucket);
	if (!b)
		return NULL;
	at = bucket_nearest(&b->tags, &place);
	ret->tag = &b->tags.tag[within(at)];
	ret->was = *(volatile __u32 *)ret->tag;
	if (!tag_may_be(ret->was, place.print) || b->entry[within(at)].port != key->port)
		return NULL;
	return &b->entry[within(at)];
}

/* An entry for a port, if no other one's has its print. Return: as bucket_take(); PORT_IN_USE: one has. */
__weak __noinline __u32 port_take(struct bucket_tags *tags, __u32 first, __u32 writing)
{
	__u32 print = writing & TAG_PRINT, free, at;

	if (!tags)
		return BUCKET_NONE;
	free = port_search(tags, print);
	if (free < BUCKET_ENTRIES)
		return PORT_IN_USE;
	at = bucket_take(tags, first, free - BUCKET_ENTRIES, writing);
	if (at == BUCKET_NONE || bucket_is_alone(tags, print))
		return at;
	tag_give_back(&tags->tag[within(at)]);
	return PORT_IN_USE;
}

/* An entry that is a port's from now on, and nobody else's. */
struct port_entry {
	struct source_port *port;
	__u32 *tag;
};

/* One that made room before any answer came: its connection failed, as far as is known. */
static __always_inline void port_evicted(const struct source_port *port)
{
	struct service *s = bpf_map_lookup_elem(&services, &(__u32){port->flow.service});
	struct measurements *m = measurements_of(port->backend);

	if (s && m && s->vip.protocol == IPPROTO_TCP && !(port->flags & (FLOW_REPLIED | FLOW_RESET)))
		m->given_up++;
}

static __always_inline void port_write(const struct port_entry *entry, const struct flow_key *key,
				       const struct flow *flow)
{
	struct source_port *port = entry->port;

	port->flow = *key;
	port->backend = flow->backend;
	port->seen = flow->seen;
	port->server_next = 0;
	port->flags = 0;
	port->source = flow->source;
	port->port = flow->source_port;
	port->server.opened_ns = bpf_ktime_get_ns();
	port->server.request_ns = 0;
	port->server.bytes = 0;
	tag_publish(entry->tag, false);
}

/* The source id of a try: one of the configured ones, or the backend's own. */
static __always_inline __u32 nat_source(const struct service *s, const struct backend *b, __u32 index)
{
	return s->source_count ? s->source[index & (SOURCES_MAX - 1)] : b->source;
}

/**
 * nat_allocate - a free source port towards a backend's endpoint
 * @ret: of the flow whose it will be: source and source_port are set
 * @ret_entry: taken, and not yet written
 *
 * Ports are tried from a random one on (RFC 6056, 3.3.1), each with every source in turn, a bounded number in all.
 * Return: 0 or -(1 + enum drop_reason).
 */
static __always_inline int nat_allocate(const struct service *s, const struct backend *b, __u64 now, struct flow *ret,
					struct port_entry *ret_entry)
{
	__u32 random = bpf_get_prandom_u32();
	__u32 ports = *(const volatile __u32 *)&s->port_min; /* both in one load, as they are stored */
	__u32 first_port = ports & 0xffff;
	__u32 span = (ports >> 16) - first_port + 1;
	__u32 sources_in_turn = s->source_count ? s->source_count : 1;
	const struct flow_layout *layout = flow_layout_now();
	struct port_bucket *bucket = NULL;
	__u32 at = PORT_IN_USE, source;
	struct source_port_key key;
	struct place place;

	if (!layout)
		return -(1 + DROP_FLOW_TABLE_FULL);
	for (__u32 i = 0; i < PORT_TRIES && (at == PORT_IN_USE || at == BUCKET_NONE); i++) {
		/* Linux 6.1 takes no loop that is entered in its middle, as clang would have it. */
		asm volatile("" : "+r"(i));
		source = nat_source(s, b, (random + i) % sources_in_turn);
		ret->source_port = bpf_htons(first_port + (random / SOURCES_MAX + i / sources_in_turn) % span);
		if (!source || source_port_key_of(b->endpoint, source, ret->source_port, &key) < 0)
			return -(1 + DROP_NO_SOURCE);
		ret->source = source;
		place = port_place(layout, &key);
		bucket = port_bucket(place.bucket);
		if (!bucket)
			break;
		at = port_take(&bucket->tags, place.first, tag_writing(place.print, now >> MOMENT_SHIFT));
	}
	if (!bucket || at == BUCKET_NONE)
		return -(1 + DROP_FLOW_TABLE_FULL);
	if (at == PORT_IN_USE)
		return -(1 + DROP_PORTS_EXHAUSTED);
	ret_entry->port = &bucket->entry[within(at)];
	ret_entry->tag = &bucket->tags.tag[within(at)];
	if (at & BUCKET_EVICTED)
		port_evicted(ret_entry->port);
	return 0;
}

/* The port entry of a flow, if it is still this flow's. */
static __always_inline struct source_port *nat_port_of(const struct flow_key *key, const struct flow *f,
						       struct sought *ret)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &f->backend);
	struct source_port_key port_key;
	struct source_port *port;

	if (!b || source_port_key_of(b->endpoint, f->source, f->source_port, &port_key) < 0)
		return NULL;
	port = port_find(&port_key, ret);
	return port && port->source == f->source && flow_key_same(&port->flow, key) ? port : NULL;
}

/* The client has proved that it saw the answer, so that blind segments fill no table. UDP's answer is all there is. */
static __always_inline bool nat_handshake_done(const struct packet *p, const struct source_port *port)
{
	if (!(port->flags & FLOW_REPLIED))
		return false;
	return p->protocol == IPPROTO_UDP || acknowledges_server(p, port->server_next);
}

/* A first packet: choose, allocate, write down. 0 or -(1 + enum drop_reason). */
static __always_inline int nat_open(const struct packet *p, const struct service *s, const struct choice *c,
				    const struct flow_key *key, const struct sought *missed, struct nat_flow *ret)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct flow fresh = flow_begun(p, c->entry, now);
	struct backend *b = bpf_map_lookup_elem(&backends, &c->entry);
	struct taken_flow flow;
	struct port_entry port;
	int error;

	if (!b || !c->entry)
		return -(1 + DROP_NO_BACKEND);
	if (!backend_hop(b))
		return -(1 + DROP_NO_NEXT_HOP);
	error = nat_allocate(s, b, now, &fresh, &port);
	if (error)
		return error;
	if (!flow_take(key, missed, now, &flow)) {
		tag_give_back(port.tag);
		return -(1 + DROP_FLOW_TABLE_FULL);
	}
	/* The port first, as a flow without one is forgotten by whoever finds it. */
	port_write(&port, key, &fresh);
	flow_write(key, &fresh, false, &flow);
	if (p->protocol == IPPROTO_TCP)
		measure_opened(c->entry);
	ret->backend = c->entry;
	ret->source = fresh.source;
	ret->source_port = fresh.source_port;
	return 0;
}

/*
 * Rare packets of a known flow: those before it is established, those that begin a request, and those that end it. The
 * reverse direction is told; a port that is no longer this flow's (its entry was swept) makes the flow unknown.
 */
static __always_inline int nat_transition(const struct packet *p, const struct flow_key *key, struct flow *f,
					  const struct sought *sought, bool request_begins)
{
	struct sought sought_port;
	struct source_port *port = nat_port_of(key, f, &sought_port);
	__u32 ends = flow_ends(p, &f->client);
	__u32 before;

	if (!port) {
		entry_free(sought);
		return -(1 + DROP_NO_FLOW);
	}
	if (refutes_reset(p, port->flags))
		__sync_fetch_and_and(&port->flags, ~FLOW_RESET);
	if (request_begins)
		port->server.request_ns = bpf_ktime_get_ns();
	if (ends & ~port->flags) {
		before = __sync_fetch_and_or(&port->flags, ends);
		measure_end(&port->flags, before, ends, true, port->server.opened_ns, f->backend);
	}
	if (!is_half_open(sought))
		return 0;
	if (!nat_handshake_done(p, port)) {
		entry_refresh(sought);
		entry_refresh(&sought_port);
		return 0;
	}
	if (p->protocol == IPPROTO_TCP && !(port->flags & FLOW_ESTABLISHED) &&
	    !(__sync_fetch_and_or(&port->flags, FLOW_ESTABLISHED) & FLOW_ESTABLISHED))
		measure_established(f->backend);
	/* No flow without its port: where another CPU was in between, the next packet comes by here again. */
	if (entry_keep(&sought_port))
		entry_keep(sought);
	return 0;
}

/* Whether a packet of a known flow is another connection's, or the same one's, whose port has made room. */
static __always_inline bool nat_begins_anew(const struct packet *p, const struct flow_key *key, const struct flow *f,
					    const struct sought *sought)
{
	struct sought sought_port;

	if (p->protocol == IPPROTO_TCP && !packet_opens(p))
		return false;
	if (p->protocol == IPPROTO_TCP && flow_is_over(f->flags))
		return true;
	if (!is_half_open(sought))
		return false;
	return (p->protocol == IPPROTO_TCP && is_another_syn(p, &f->client)) || !nat_port_of(key, f, &sought_port);
}

/**
 * nat_request - the flow of a client's packet
 * @c: where its slot points; only a new flow goes there
 * @ret_opened: true when the packet opens the flow
 * Return: 0 or -(1 + enum drop_reason).
 */
static __always_inline int nat_request(const struct packet *p, const struct service *s, __u32 service,
				       const struct choice *c, struct nat_flow *ret, bool *ret_opened)
{
	bool request_begins, rare;
	struct flow_key key;
	struct sought sought;
	struct flow *f;

	flow_key_of_request(p, service, &key);
	f = flow_find(&key, SEARCH_ALL, &sought);
	if (f && nat_begins_anew(p, &key, f, &sought)) {
		entry_free(&sought);
		f = NULL;
	}
	*ret_opened = !f;
	if (!f)
		return packet_opens(p) || p->protocol == IPPROTO_UDP ? nat_open(p, s, c, &key, &sought, ret)
								     : -(1 + DROP_NO_FLOW);
	ret->backend = f->backend;
	ret->source = f->source;
	ret->source_port = f->source_port;
	rare = is_half_open(&sought) || p->tcp_flags & (TCP_FIN | TCP_RST) || f->flags & FLOW_ENDS;
	request_begins = measure_client(p, &f->client, &f->flags, f->backend);
	flow_touch(f, p);
	if (rare || request_begins)
		return nat_transition(p, &key, f, &sought, request_begins);
	return 0;
}

/* Both directions remember the end. The client may have opened another connection since, with another source port. */
static __always_inline void nat_tell_client_side(const struct packet *p, const struct source_port *port, __u32 flags)
{
	struct flow_key key = port->flow;
	struct sought sought;
	struct flow *f = flow_find(&key, SEARCH_ALL, &sought);

	if (f && f->source_port == p->destination_port && f->source == port->source)
		__sync_fetch_and_or(&f->flags, flags);
}

/* What a backend's packet says of its flow: a first answer, data, or the end. */
static __always_inline void nat_reply_seen(const struct frame *f, const struct packet *p, struct source_port *port)
{
	__u32 flags = flow_flags_of(p, FLOW_SERVER_FIN);
	__u32 before;

	port->seen = tick_now();
	port->server.bytes += p->bytes + p->more_bytes;
	measure_server(f, p, &port->server, &port->server_next, port->backend);
	if (p->protocol == IPPROTO_UDP || is_syn_ack(p))
		flags |= FLOW_REPLIED;
	if (!(flags & ~port->flags))
		return;
	if (is_syn_ack(p))
		port->server_next = p->sequence_next;
	before = __sync_fetch_and_or(&port->flags, flags);
	if (is_syn_ack(p) && !(before & FLOW_REPLIED))
		measure_syn_ack(&port->server, port->backend);
	if (!(flags & FLOW_ENDS))
		return;
	if (p->protocol == IPPROTO_TCP)
		measure_end(&port->flags, before, flags & FLOW_ENDS, false, port->server.opened_ns, port->backend);
	nat_tell_client_side(p, port, flags & FLOW_ENDS);
}

/**
 * nat_reply - the flow that a packet from a backend belongs to
 * @endpoint: the backend's
 * Return: its port entry, or NULL: the packet is no flow's of ours, and passes.
 */
static __always_inline struct source_port *nat_reply(const struct packet *p, __u32 endpoint)
{
	struct source_port_key key = {
		.endpoint = endpoint,
		.source_fold = address_fold(&p->destination),
		.port = p->destination_port,
	};
	struct sought sought;
	struct source_port *port = port_find(&key, &sought);
	struct address *source;
	struct backend *b;
	__u32 id;

	if (!port)
		return NULL;
	id = port->source;
	source = bpf_map_lookup_elem(&sources, &id);
	id = port->backend;
	b = bpf_map_lookup_elem(&backends, &id);
	if (!source || !b || b->endpoint != endpoint || !address_same(source, &p->destination))
		return NULL;
	return port;
}

#endif
