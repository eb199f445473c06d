/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PLAIN_H
#define HEADGATE_PLAIN_H

/*
 * The short way, of nearly every packet: a plain one to a service that glance() has named, whose slot is settled or
 * whose flow is established. It is read into registers, and goes straight to its backend. Where anything else is to be
 * done, a flow written down, an answer or a drop, it takes the whole way (split.h), and nothing has been done to it
 * before.
 */
#include "split.h"

static __always_inline bool plain_ipv4(const struct frame *f, struct packet *ret)
{
	const struct iphdr *ip = frame_at(f, sizeof(struct ethhdr), sizeof(*ip));

	if (!ip)
		return false;
	address_from_ipv4(&ret->source, ip->saddr);
	address_from_ipv4(&ret->destination, ip->daddr);
	ret->hop_limit = ip->ttl;
	ret->traffic_class = ip->tos;
	ret->bytes = bpf_ntohs(ip->tot_len);
	ret->protocol = ip->protocol;
	ret->l4 = sizeof(struct ethhdr) + sizeof(*ip);
	return true;
}

static __always_inline bool plain_ipv6(const struct frame *f, struct packet *ret)
{
	const struct ipv6hdr *ip = frame_at(f, sizeof(struct ethhdr), sizeof(*ip));

	if (!ip)
		return false;
	__builtin_memcpy(&ret->source, &ip->saddr, sizeof(ret->source));
	__builtin_memcpy(&ret->destination, &ip->daddr, sizeof(ret->destination));
	ret->ipv6 = 1;
	ret->hop_limit = ip->hop_limit;
	ret->traffic_class = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	ret->bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	ret->protocol = ip->nexthdr;
	ret->l4 = sizeof(struct ethhdr) + sizeof(*ip);
	return !address_is_mapped(&ret->source) && !address_is_mapped(&ret->destination);
}

/**
 * plain_parse - read a packet that glance() found to be an IP header without more, and TCP or UDP, all in place
 * @ret: zeroed; a local one, so that it need not be in memory
 * Return: false: there is something about it that the whole way is for.
 */
static __always_inline bool plain_parse(const struct frame *f, bool ipv6, struct packet *ret)
{
	const struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));
	const __be16 *ports;
	__u32 l4_bytes;

	if (!eth || eth->h_dest[0] & 1 || !(ipv6 ? plain_ipv6(f, ret) : plain_ipv4(f, ret)))
		return false;
	ret->l3 = sizeof(*eth);
	ret->frame_bytes = f->bytes;
	ret->wire_bytes = ret->bytes;
	ports = frame_at(f, ret->l4, 2 * sizeof(*ports));
	if (!ports || ret->bytes < ret->l4 - sizeof(*eth))
		return false;
	ret->source_port = ports[0];
	ret->destination_port = ports[1];
	l4_bytes = ret->bytes - (ret->l4 - sizeof(*eth));
	if (ret->protocol == IPPROTO_TCP)
		parse_tcp(f, ret, l4_bytes);
	else
		parse_udp(f, ret, l4_bytes);
	return !ret->malformed && ret->hop_limit > 1;
}

/* What begins or ends a connection that is remembered, or measured, takes the whole way. */
static __always_inline bool plain_is_within(const struct packet *p)
{
	return !(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST));
}

/* False: somebody else's, or there is more to be done. */
static __always_inline bool plain_is_for(const struct service *s, const struct packet *p)
{
	if (s->flags & (SERVICE_COHORTS | SERVICE_QUIC | SERVICE_SHADOW_RULES) || !is_service_of(s, p))
		return false;
	return !(s->flags & SERVICE_SHADOW && mirror_takes(p) && mirror_samples(s, p));
}

/*
 * With what it says of its connection's progress: read anew where it is wanted, as all the others would carry it along
 * in memory.
 */
static __always_inline struct packet plain_whole(const struct frame *f, const struct packet *p)
{
	struct packet whole = *p;

	if (p->protocol == IPPROTO_TCP)
		parse_tcp(f, &whole, p->bytes - (p->l4 - p->l3));
	/* plain_is_within(): so clang leaves out what is done with the others. */
	whole.tcp_flags &= ~(TCP_SYN | TCP_FIN | TCP_RST);
	return whole;
}

/* The flow of a packet that changes nothing about it, or NULL. */
static __always_inline struct flow *plain_flow(const struct packet *p, __u32 service)
{
	struct flow_key key;
	struct sought sought;
	struct flow *f;

	if (!plain_is_within(p))
		return NULL;
	flow_key_of_request(p, service, &key);
	f = flow_find(&key, SEARCH_NEAREST, &sought);
	return f && !is_half_open(&sought) && !(f->flags & FLOW_ENDS) ? f : NULL;
}

/* What is to be kept of a packet that leaves. */
struct plain_traces {
	struct flow *flow;            /* its flow, or NULL */
	struct source_port *port;     /* nat: the flow's, of a packet that begins a request */
	struct sampled_flow *sampled; /* what it is measured by without one, or NULL */
};

static __always_inline bool plain_begins_request(const struct frame *f, const struct packet *p, const struct flow *flow)
{
	struct packet whole = plain_whole(f, p);

	return data_begins_request(&whole, &flow->client, flow->flags);
}

/* The other direction's memory of a flow that is well. */
static __always_inline struct source_port *plain_port(const struct packet *p, __u32 service, const struct flow *flow)
{
	struct source_port *port;
	struct flow_key key;
	struct sought sought;

	flow_key_of_request(p, service, &key);
	port = nat_port_of(&key, flow, &sought);
	return port && !(port->flags & FLOW_ENDS) ? port : NULL;
}

/* Destination and source as the flow has them. Return: its backend, or 0: the whole way. */
static __always_inline __u32 plain_nat(const struct frame *f, const struct packet *p, struct departure *ret,
				       struct plain_traces *ret_traces)
{
	struct flow *flow = plain_flow(p, ret->service);
	__u32 id = flow ? flow->source : 0;
	struct address *source = bpf_map_lookup_elem(&sources, &id);

	if (!flow || !source)
		return 0;
	if (carries_data(p) && plain_begins_request(f, p, flow)) {
		ret_traces->port = plain_port(p, ret->service, flow);
		if (!ret_traces->port)
			return 0;
	}
	ret_traces->flow = flow;
	ret->tuple.source = *source;
	ret->tuple.source_port = flow->source_port;
	return flow->backend;
}

/* @ret: what a connection is measured by, or NULL. Return: false: that takes the whole way to find out. */
static __always_inline bool plain_sampled(const struct flow_key *key, struct sampled_flow **ret)
{
	struct sought sought;

	*ret = sampled_find(key, SEARCH_NEAREST, &sought);
	return *ret || !sought.doubtful;
}

static __always_inline bool plain_sampled_request(const struct packet *p, __u32 service, struct sampled_flow **ret)
{
	struct flow_key key;

	flow_key_of_request(p, service, &key);
	return plain_is_within(p) && plain_sampled(&key, ret);
}

/* Where the packet's slot, or its flow, sends it. Return: a backend, or 0: the whole way. */
static __always_inline __u32 plain_backend(const struct frame *f, const struct packet *p, const struct service *s,
					   enum forward_mode mode, struct departure *ret,
					   struct plain_traces *ret_traces)
{
	slot_entry entry;
	__u64 own, hash;

	if (mode == FORWARD_NAT)
		return plain_nat(f, p, ret, ret_traces);
	own = hash_client(s->seed, &p->source, p->source_port);
	hash = s->flags & SERVICE_CLIENT_AFFINITY ? hash_client(s->seed, &p->source, 0) : own;
	entry = table_entry(&s->main, hash_slot(hash));
	ret->hash = hash;
	ret->tuple.source = p->source;
	ret->tuple.source_port = p->source_port;
	if (mode == FORWARD_DNAT && p->protocol == IPPROTO_TCP && !(own & s->measure_mask) &&
	    !plain_sampled_request(p, ret->service, &ret_traces->sampled))
		return 0;
	if (!(entry & SLOT_TRACKED)) {
		ret->opened = p->protocol == IPPROTO_TCP && packet_opens(p);
		return entry & SLOT_BACKEND;
	}
	ret_traces->flow = plain_flow(p, ret->service);
	return ret_traces->flow ? ret_traces->flow->backend : 0;
}

static __always_inline void plain_leave_traces(const struct frame *f, const struct packet *p, enum forward_mode mode,
					       const struct departure *to, const struct plain_traces *traces)
{
	struct packet whole = plain_whole(f, p);
	struct service_counters *counters;

	if (traces->flow && mode != FORWARD_NAT) {
		counters = counters_of_service(to->service);
		if (counters)
			counters->flow_lookups++;
	}
	if (traces->flow && mode == FORWARD_NAT)
		measure_client(&whole, &traces->flow->client, &traces->flow->flags, to->backend);
	if (traces->port)
		traces->port->server.request_ns = bpf_ktime_get_ns();
	if (traces->flow)
		flow_touch(traces->flow, &whole);
	if (traces->sampled)
		sampled_request_seen(&whole, traces->sampled);
}

/**
 * plain_split - decide a packet that nothing else has to be done to
 * @p: plain_parse()
 * @s, @mode: its service, and that one's mode, which is known beforehand: what the others need is left out
 * @ret: zeroed but for the service; how it leaves
 */
static __always_inline bool plain_split(const struct frame *f, const struct packet *p, const struct service *s,
					enum forward_mode mode, struct departure *ret)
{
	struct plain_traces traces = {};
	__u32 backend = plain_backend(f, p, s, mode, ret, &traces);
	struct backend *b = backend ? bpf_map_lookup_elem(&backends, &backend) : NULL;

	if (!b || (traces.flow && b->reset_below))
		return false;
	ret->backend = backend;
	if (plan_to_backend(p, s, mode, b, ret))
		return false;
	if (traces.flow || traces.sampled)
		plain_leave_traces(f, p, mode, ret, &traces);
	return true;
}

#endif
