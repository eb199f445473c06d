/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ICMP_H
#define HEADGATE_ICMP_H

/*
 * ICMP (RFC 792, RFC 4443). Errors about a connection go to the very backend, or client, of that connection, with
 * their inner headers as that one knows them (RFC 5508, 4). An echo request to a service's address is answered here.
 */
#include "split.h"

#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_PARAMETER_PROBLEM 4
#define ICMPV6_ECHO 128
#define ICMPV6_ECHO_REPLY 129

/* The packet that an error is about, as far as it is quoted: its addresses and at least 8 bytes of TCP or UDP. */
struct quoted {
	struct tuple tuple;
	__u32 l3; /* offsets in the frame */
	__u32 l4;
	__u8 protocol;
};

static __always_inline bool icmp_is_error(const struct packet *p, const struct icmp_header *icmp)
{
	if (p->ipv6)
		return icmp->type >= 1 && icmp->type <= ICMPV6_PARAMETER_PROBLEM;
	return icmp->type == ICMP_UNREACHABLE || icmp->type == ICMP_TIME_EXCEEDED ||
	       icmp->type == ICMP_PARAMETER_PROBLEM;
}

static __always_inline int quoted_ipv4(const struct frame *f, struct quoted *q)
{
	struct iphdr *ip = frame_at(f, q->l3, sizeof(*ip));

	if (!ip || ip->version != 4 || ip->ihl < 5 || ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return -1;
	q->l4 = q->l3 + ip->ihl * 4;
	q->protocol = ip->protocol;
	address_from_ipv4(&q->tuple.source, ip->saddr);
	address_from_ipv4(&q->tuple.destination, ip->daddr);
	return 0;
}

static __always_inline int quoted_ipv6(const struct frame *f, struct quoted *q)
{
	struct ipv6hdr *ip = frame_at(f, q->l3, sizeof(*ip));

	if (!ip || ip->version != 6)
		return -1;
	q->l4 = q->l3 + sizeof(*ip);
	q->protocol = ip->nexthdr;
	__builtin_memcpy(&q->tuple.source, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(&q->tuple.destination, &ip->daddr, sizeof(ip->daddr));
	return address_is_mapped(&q->tuple.source) || address_is_mapped(&q->tuple.destination) ? -1 : 0;
}

/* Reads what the error at p->l4 quotes. 0, or -1: nothing that a connection could be found by. */
static __always_inline int quoted_read(const struct frame *f, const struct packet *p, struct quoted *ret)
{
	__be16 *ports;

	ret->l3 = p->l4 + sizeof(struct icmp_header);
	if (p->ipv6 ? quoted_ipv6(f, ret) : quoted_ipv4(f, ret))
		return -1;
	if (ret->protocol != IPPROTO_TCP && ret->protocol != IPPROTO_UDP)
		return -1;
	ports = frame_at(f, ret->l4, 8);
	if (!ports || ret->l4 + 8 > p->l3 + p->bytes || ret->l4 + 8 > HEADERS_MAX)
		return -1;
	ret->tuple.source_port = ports[0];
	ret->tuple.destination_port = ports[1];
	return 0;
}

/* The quoted transport checksum, if the quotation goes that far. Returns what its change means to a sum over it. */
static __always_inline __u64 requote_checksum(const struct frame *f, const struct packet *p, const struct quoted *q,
					      __u64 difference)
{
	__u32 at = q->l4 + (q->protocol == IPPROTO_TCP ? 16 : 6);
	__sum16 *check = at < HEADERS_MAX ? frame_at(f, at, sizeof(*check)) : NULL;
	__sum16 before;

	if (!check || at + sizeof(*check) > p->l3 + p->bytes || (q->protocol == IPPROTO_UDP && !*check))
		return 0;
	before = *check;
	*check = checksum_apply(before, difference);
	return checksum_difference(before, *check);
}

static __always_inline __u64 tuple_difference(const struct tuple *from, const struct tuple *to, bool ipv6)
{
	return checksum_address_difference(&from->source, &to->source, ipv6) +
	       checksum_address_difference(&from->destination, &to->destination, ipv6);
}

/* The quoted IP header. Returns what all its changes mean to a sum over it. */
static __always_inline __u64 requote_ip(const struct frame *f, const struct quoted *q, const struct tuple *to,
					bool is_ipv6, __u64 addresses)
{
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;
	__sum16 before;

	if (is_ipv6) {
		ipv6 = frame_at(f, q->l3, sizeof(*ipv6));
		if (!ipv6)
			return 0;
		__builtin_memcpy(&ipv6->saddr, &to->source, sizeof(ipv6->saddr));
		__builtin_memcpy(&ipv6->daddr, &to->destination, sizeof(ipv6->daddr));
		return addresses;
	}
	ipv4 = frame_at(f, q->l3, sizeof(*ipv4));
	if (!ipv4)
		return 0;
	before = ipv4->check;
	ipv4->saddr = to->source.word[3];
	ipv4->daddr = to->destination.word[3];
	ipv4->check = checksum_apply(before, addresses);
	return addresses + checksum_difference(before, ipv4->check);
}

/**
 * icmp_rewrite - make an error say what its receiver knows
 * @q: as it is; @inner: as it is to be
 * @outer: the error's own addresses to be; ports are not read
 * Return: 0, or -1: not in the frame.
 */
static __always_inline int icmp_rewrite(const struct frame *f, const struct packet *p, const struct quoted *q,
					const struct tuple *inner, const struct tuple *outer)
{
	__u64 addresses = tuple_difference(&q->tuple, inner, p->ipv6);
	__u64 ports = checksum_difference(q->tuple.source_port, inner->source_port) +
		      checksum_difference(q->tuple.destination_port, inner->destination_port);
	struct icmp_header *icmp = frame_at(f, p->l4, sizeof(*icmp));
	__be16 *quoted_ports = frame_at(f, q->l4, 4);
	__u64 difference = ports;

	if (!icmp || !quoted_ports)
		return -1;
	difference += requote_checksum(f, p, q, addresses + ports);
	difference += requote_ip(f, q, inner, p->ipv6, addresses);
	quoted_ports[0] = inner->source_port;
	quoted_ports[1] = inner->destination_port;
	if (p->ipv6) /* its checksum is over the addresses too */
		difference += address_difference(p, outer);
	icmp->check = checksum_apply(icmp->check, difference);
	return rewrite_addresses(f, p, outer);
}

/*
 * The connection's backend, without writing anything down: that a router says something of a connection is no reason to
 * believe in it. @p names the client as its source. 0 or -(1 + enum drop_reason); NAT: ret's source is set too.
 */
static __always_inline int backend_of_connection(const struct packet *p, const struct service *s, __u32 service,
						 struct departure *ret)
{
	__u64 hash = client_hash(s, p);
	struct choice choice;
	struct address *source;
	struct flow_key key;
	struct sought sought;
	struct flow *flow;
	__u32 id;

	ret->hash = hash;
	choose(s, service, p, hash, &choice);
	ret->backend = choice.base;
	ret->tuple.source = p->source;
	ret->tuple.source_port = p->source_port;
	if (s->mode != FORWARD_NAT && !choice.tracked)
		return 0;
	flow_key_of_request(p, service, &key);
	flow = flow_find(&key, SEARCH_ALL, &sought);
	if (s->mode != FORWARD_NAT) {
		if (flow)
			ret->backend = flow->backend;
		return 0;
	}
	if (!flow)
		return -(1 + DROP_NO_FLOW);
	id = flow->source;
	source = bpf_map_lookup_elem(&sources, &id);
	if (!source)
		return -(1 + DROP_NO_SOURCE);
	ret->backend = flow->backend;
	ret->tuple.source = *source;
	ret->tuple.source_port = flow->source_port;
	return 0;
}

/* An error about a service's answer to a client: it is for the backend that gave it. */
static __always_inline enum verdict icmp_to_backend(const struct frame *f, struct packet *p, const struct quoted *q,
						    __u32 service, struct departure *ret)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	struct address router = p->source;
	struct tuple inner, outer;
	enum verdict verdict;
	struct backend *b;
	int error;

	if (!s)
		return VERDICT_PASS;
	if (p->hop_limit <= 1)
		return drop(service, DROP_TTL);
	ret->service = service;
	p->source = q->tuple.destination;
	p->source_port = q->tuple.destination_port;
	p->protocol = q->protocol;
	error = backend_of_connection(p, s, service, ret);
	if (error)
		return drop(service, -error - 1);
	b = ret->backend ? bpf_map_lookup_elem(&backends, &ret->backend) : NULL;
	if (!b)
		return drop(service, DROP_NO_BACKEND);
	verdict = depart_to_backend(p, s, b, ret);
	p->source = router;
	if (verdict != VERDICT_SEND)
		return VERDICT_DROP; /* no error about an error: RFC 1122, 3.2.2 */
	if (ret->edit != EDIT_TUPLE)
		return VERDICT_SEND;
	/* What the backend sent: from itself to the source that it knows. */
	inner.source = b->address;
	inner.source_port = b->port;
	inner.destination = ret->tuple.source;
	inner.destination_port = ret->tuple.source_port;
	outer.source = s->mode == FORWARD_NAT ? ret->tuple.source : router;
	outer.destination = b->address;
	ret->edit = EDIT_DONE;
	return icmp_rewrite(f, p, q, &inner, &outer) ? drop(service, DROP_MALFORMED) : VERDICT_SEND;
}

/* An error about a client's packet to a backend: it is for the client, and speaks of the service's address. */
static __always_inline enum verdict icmp_to_client(const struct frame *f, struct packet *p, const struct quoted *q,
						   const struct reply_origin *origin, struct departure *ret)
{
	struct address router = p->source, here = p->destination;
	__u32 endpoint = origin->backend, service;
	struct tuple inner, outer;
	struct source_port *port;
	enum verdict verdict;
	struct backend *b;

	p->destination = q->tuple.source;
	p->destination_port = q->tuple.source_port;
	b = bpf_map_lookup_elem(&backends, &endpoint);
	if (!b)
		return VERDICT_PASS;
	service = b->service;
	inner.source = q->tuple.source;
	inner.source_port = q->tuple.source_port;
	if (origin->mode != FORWARD_DNAT) {
		port = nat_reply(p, endpoint);
		if (!port)
			return VERDICT_PASS;
		inner.source = port->flow.client;
		inner.source_port = port->flow.port;
		service = port->flow.service;
		endpoint = port->backend;
	}
	verdict = reply_to(p, service, endpoint, &inner.source, inner.source_port, ret);
	p->destination = here;
	if (verdict != VERDICT_SEND)
		return verdict == VERDICT_PASS ? VERDICT_PASS : VERDICT_DROP;
	inner.destination = ret->tuple.source; /* the service's */
	inner.destination_port = ret->tuple.source_port;
	outer.source = router;
	if (address_same(&router, &b->address))
		outer.source = inner.destination;
	outer.destination = inner.source;
	ret->edit = EDIT_DONE;
	return icmp_rewrite(f, p, q, &inner, &outer) ? drop(service, DROP_MALFORMED) : VERDICT_SEND;
}

static __always_inline enum verdict split_icmp_error(const struct frame *f, struct packet *p, struct departure *ret)
{
	struct service_key key = {};
	struct reply_origin *origin;
	struct quoted q = {};
	__u32 *service;

	if (quoted_read(f, p, &q))
		return VERDICT_PASS;
	key.protocol = q.protocol;
	key.address = q.tuple.source;
	key.port = q.tuple.source_port;
	service = bpf_map_lookup_elem(&vips, &key);
	if (service && address_same(&p->destination, &q.tuple.source))
		return icmp_to_backend(f, p, &q, *service, ret);
	key.address = q.tuple.destination;
	key.port = q.tuple.destination_port;
	origin = bpf_map_lookup_elem(&reply_origins, &key);
	if (origin && address_same(&p->destination, &q.tuple.source))
		return icmp_to_client(f, p, &q, origin, ret);
	return VERDICT_PASS;
}

/* An IPv4 header without options whose checksum is right: an answer may be made of it. */
static __always_inline bool header_is_sound(const struct frame *f, const struct packet *p)
{
	__u32 *word = frame_at(f, p->l3, sizeof(struct iphdr));
	__u64 sum = 0;

	if (p->ipv6)
		return true;
	if (!word || p->l4 != p->l3 + sizeof(struct iphdr))
		return false;
#pragma unroll
	for (__u32 i = 0; i < sizeof(struct iphdr) / 4; i++)
		sum += word[i];
	return checksum_apply(0xffff, sum) == 0;
}

/* The request becomes its answer, in place. A wrong ICMP checksum stays as wrong as it was. 0 or -1. */
static __always_inline int echo_answer(const struct frame *f, const struct packet *p)
{
	struct icmp_header *icmp = frame_at(f, p->l4, sizeof(*icmp));
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;
	__u16 before;

	if (!icmp || !eth)
		return -1;
	before = *(__u16 *)icmp;
	icmp->type = p->ipv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY;
	icmp->check = checksum_apply(icmp->check, checksum_difference(before, *(__u16 *)icmp));
	if (p->ipv6) {
		ipv6 = frame_at(f, p->l3, sizeof(*ipv6));
		if (!ipv6)
			return -1;
		__builtin_memcpy(&ipv6->saddr, &p->destination, sizeof(ipv6->saddr));
		__builtin_memcpy(&ipv6->daddr, &p->source, sizeof(ipv6->daddr));
		ipv6->hop_limit = ANSWER_HOP_LIMIT;
	} else {
		ipv4 = frame_at(f, p->l3, sizeof(*ipv4));
		if (!ipv4)
			return -1;
		ipv4->saddr = p->destination.word[3];
		ipv4->daddr = p->source.word[3];
		ipv4->ttl = ANSWER_HOP_LIMIT;
		ipv4->check = checksum_apply(ipv4->check, checksum_difference(bpf_htons((__u32)p->hop_limit << 8),
									      bpf_htons((__u32)ANSWER_HOP_LIMIT << 8)));
	}
	swap_macs(eth);
	return 0;
}

/* An echo request to a service's address. */
static __always_inline enum verdict split_echo(const struct frame *f, const struct packet *p, __u32 service)
{
	struct service_counters *c = counters_of_service(service);

	if (!header_is_sound(f, p))
		return VERDICT_PASS;
	if (echo_answer(f, p) || !c)
		return VERDICT_DROP;
	c->echo_answers++;
	return VERDICT_ECHO;
}

/**
 * split_icmp - decide an ICMP frame
 * @p: filled from the frame
 * @ret: zeroed; set with VERDICT_SEND
 */
static __always_inline enum verdict split_icmp(const struct frame *f, struct packet *p, struct departure *ret)
{
	int protocol = parse_l3(f, p);
	struct icmp_header *icmp;
	__u32 *service;

	if (protocol != (p->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return VERDICT_PASS;
	p->wire_bytes = p->bytes;
	service = bpf_map_lookup_elem(&vip_addresses, &p->destination);
	icmp = frame_at(f, p->l4, sizeof(*icmp));
	if (!icmp || p->malformed || p->bytes < p->l4 - p->l3 + sizeof(*icmp))
		return service ? drop(*service, DROP_MALFORMED) : VERDICT_PASS;
	if (icmp_is_error(p, icmp))
		return split_icmp_error(f, p, ret);
	if (service && icmp->type == (p->ipv6 ? ICMPV6_ECHO : ICMP_ECHO) && icmp->code == 0)
		return split_echo(f, p, *service);
	return VERDICT_PASS;
}

#endif
