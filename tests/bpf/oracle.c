// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

#define ICMP_BYTES 8
#define FIRSTS 16384 /* more than frames between two calls of oracle_forget() */

/* A first fragment: whose it is, and between whom it went on. */
struct first {
	struct address source, destination;
	__u32 id;
	__u8 protocol;
	bool used;
	bool passed;
	bool reply;
	__u32 service;
	struct address new_source, new_destination;
};

struct oracle {
	struct fixture *fixture;
	struct address vip4, vip6;
	struct first first[FIRSTS];
};

struct oracle *oracle_new(struct fixture *f)
{
	struct oracle *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	o->fixture = f;
	o->vip4 = address_of(VIP4);
	o->vip6 = address_of(VIP6);
	return o;
}

void oracle_free(struct oracle *o)
{
	free(o);
}

void oracle_forget(struct oracle *o)
{
	memset(o->first, 0, sizeof(o->first));
}

static bool same_address(const struct address *a, const struct address *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static bool is_vip(const struct oracle *o, const struct address *a)
{
	return same_address(a, &o->vip4) || same_address(a, &o->vip6);
}

/* --- fragments --- */

/* The entry of @r's first fragment, or the free one where it belongs. */
static struct first *first_of(struct oracle *o, const struct reading *r)
{
	__u8 protocol = r->ipv6 ? 0 : r->protocol;
	__u32 at = r->id * 2654435761U + r->source.word[3] + 31 * r->destination.word[3] + protocol;
	struct first *f;

	for (;; at++) {
		f = &o->first[at % FIRSTS];
		if (!f->used || (f->id == r->id && f->protocol == protocol && same_address(&f->source, &r->source) &&
				 same_address(&f->destination, &r->destination)))
			return f;
	}
}

static void remember(struct oracle *o, const struct reading *r, const struct first *what)
{
	struct first *f = first_of(o, r);

	*f = *what;
	f->used = true;
	f->source = r->source;
	f->destination = r->destination;
	f->id = r->id;
	f->protocol = r->ipv6 ? 0 : r->protocol;
}

/* --- what was sent --- */

/* One's complement sums have two zeros. */
static bool same_sum(__u32 a, __u32 b)
{
	return a % 0xffff == b % 0xffff;
}

static bool is_tunnel(__u32 service)
{
	return world_mode(service) == FORWARD_IPIP || world_mode(service) == FORWARD_GUE;
}

static bool is_rewriting(__u32 service)
{
	return world_mode(service) == FORWARD_NAT || world_mode(service) == FORWARD_DNAT;
}

/* What is in front of the inner packet, but for the bits that the flow's hash fills. */
static const char *wrong_with_outer(const __u8 *outer, const struct reading *r, __u32 service, bool ipv6, __u32 bytes)
{
	bool gue = world_mode(service) == FORWARD_GUE;
	struct address to = address_of(world_backend_address(service));
	struct address from = address_of(gue ? (ipv6 ? SPLITTER6 : SPLITTER4) : (ipv6 ? OUTER6 : OUTER4));
	__u8 inner = r->ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	const __u8 *udp = outer + (ipv6 ? 40 : 20);
	__u32 from_bytes = ipv6 ? (gue ? 16 : 12) : gue ? 4 : 2;

	if (ipv6 && (outer[0] >> 4 != 6 || (__u8)(get16(outer) >> 4) != r->traffic_class ||
		     get16(outer + 4) != bytes - 40 + r->ip_bytes || outer[6] != (gue ? IPPROTO_UDP : inner) ||
		     outer[7] != 64 || memcmp(outer + 8, &from, from_bytes) || memcmp(outer + 24, &to, 16)))
		return "the outer IPv6 header is wrong";
	if (!ipv6 && (outer[0] != 0x45 || outer[1] != r->traffic_class || get16(outer + 2) != bytes + r->ip_bytes ||
		      get32(outer + 4) != 0x4000 || outer[8] != 64 || outer[9] != (gue ? IPPROTO_UDP : inner) ||
		      memcmp(outer + 12, &from.word[3], from_bytes) || memcmp(outer + 16, &to.word[3], 4) ||
		      sum16(outer, 20, 0) != 0xffff))
		return "the outer IPv4 header is wrong";
	if (gue && (get16(udp) < 0xc000 || get16(udp + 2) != TUNNEL_PORT || get16(udp + 4) != 12 + r->ip_bytes ||
		    get16(udp + 6) || udp[8] || udp[9] != inner || get16(udp + 10)))
		return "the outer UDP header is wrong";
	return NULL;
}

/* Takes a tunnel's headers off, so that @ret is to compare with @in. */
static const char *strip(const struct frame *in, const struct frame *out, const struct reading *r, __u32 service,
			 struct frame *ret)
{
	bool ipv6 = strchr(world_backend_address(service), ':');
	__u32 bytes = (ipv6 ? 40 : 20) + (world_mode(service) == FORWARD_GUE ? 12 : 0);
	const char *wrong;

	if (out->bytes != in->bytes + bytes)
		return "it has not become longer by its outer headers";
	if (memcmp(in->data + 12, out->data + 12, r->l3 - ETHERNET_BYTES) ||
	    get16(out->data + r->l3 - 2) != (ipv6 ? 0x86dd : 0x0800))
		return "the tags or the EtherType before the outer header are wrong";
	wrong = wrong_with_outer(out->data + r->l3, r, service, ipv6, bytes);
	ret->bytes = in->bytes;
	memcpy(ret->data, out->data, 12);
	memcpy(ret->data + 12, in->data + 12, r->l3 - 12);
	memcpy(ret->data + r->l3, out->data + r->l3 + bytes, in->bytes - r->l3);
	return wrong;
}

/* Nothing but MACs, hop limit and IPv4's checksum may differ, and, if @rewritten, addresses, ports and checksum. */
static bool only_allowed_fields_differ(const struct frame *in, const struct frame *out, const struct reading *r,
				       bool rewritten, bool ports)
{
	static struct frame masked;
	__u32 check = r->l4 + (r->protocol == IPPROTO_TCP ? 16 : 6);
	const struct {
		__u32 at;
		__u32 bytes;
	} allowed[] = {
		{0, 12},
		{r->l3 + (r->ipv6 ? 7 : 8), 1},
		{r->l3 + 10, r->ipv6 ? 0 : 2},
		{r->l3 + (r->ipv6 ? 8 : 12), !rewritten ? 0
					     : r->ipv6  ? 32
							: 8},
		{r->l4, rewritten && ports ? 4 : 0},
		{check, rewritten && ports ? 2 : 0},
	};

	masked.bytes = out->bytes;
	memcpy(masked.data, out->data, out->bytes);
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		memcpy(masked.data + allowed[i].at, in->data + allowed[i].at, allowed[i].bytes);
	return frame_equal(in, &masked);
}

/* Sums over all that checksums cover, these included, must be what they were: right stays right, and wrong wrong. */
static bool sums_are_kept(const struct frame *in, const struct frame *out, const struct reading *r, bool ports)
{
	const __u8 *before = in->data + r->l3, *after = out->data + r->l3;
	const __u8 *l4_before = in->data + r->l4, *l4_after = out->data + r->l4;
	__u32 bytes = r->l3 + r->ip_bytes - r->l4;

	if (!r->ipv6 && !same_sum(sum16(before, r->l4 - r->l3, 0), sum16(after, r->l4 - r->l3, 0)))
		return false;
	if (!ports)
		return true;
	if (r->protocol == IPPROTO_UDP && !get16(l4_before + 6))
		return !get16(l4_after + 6);
	if (r->protocol == IPPROTO_UDP && !get16(l4_after + 6))
		return false;
	return same_sum(l4_sum(before, l4_before, bytes, r->protocol), l4_sum(after, l4_after, bytes, r->protocol));
}

static bool is_endpoint(const struct address *got, __u16 got_port, const char *address, __u16 port)
{
	struct address wanted = address_of(address);

	return got_port == port && same_address(got, &wanted);
}

/* True when a packet with ports names the ends that it should. NAT's other end is its own choice. */
static bool ends_are_right(const struct reading *before, const struct reading *after, __u32 service, bool reply)
{
	bool source_kept = same_address(&after->source, &before->source) && after->source_port == before->source_port;
	bool destination_kept = same_address(&after->destination, &before->destination) &&
				after->destination_port == before->destination_port;
	bool dnat = world_is_dnat(service);

	if (!is_rewriting(service))
		return source_kept && destination_kept;
	if (reply)
		return is_endpoint(&after->source, after->source_port, world_is_ipv6(service) ? VIP6 : VIP4,
				   dnat ? DNAT_PORT : NAT_PORT) &&
		       (!dnat || destination_kept);
	return is_endpoint(&after->destination, after->destination_port, world_backend_address(service),
			   BACKEND_PORT) &&
	       (!dnat || source_kept);
}

/* @first: of a later fragment, where its first one went; else NULL. @ret: as it left, without its tunnel. */
static const char *wrong_with_sent(const struct frame *in, const struct frame *out, const struct reading *r,
				   __u32 service, bool reply, const struct first *first, struct reading *ret)
{
	static struct frame stripped;
	const char *wrong = NULL;

	if (r->malformed)
		return "a malformed packet was sent";
	if (r->hop_limit <= 1)
		return "a packet without a hop left was sent";
	if (is_tunnel(service)) {
		wrong = strip(in, out, r, service, &stripped);
		out = &stripped;
	}
	if (wrong)
		return wrong;
	if (out->bytes != in->bytes || frame_classify(out, ret) != (first ? READ_LATER : READ_PORTS) ||
	    ret->malformed || ret->ip_bytes != r->ip_bytes || ret->l3 != r->l3 || ret->l4 != r->l4)
		return "lengths changed";
	if (ret->hop_limit != r->hop_limit - 1)
		return "hop limit is not one less";
	if (!only_allowed_fields_differ(in, out, r, is_rewriting(service), !first))
		return "a field that is none of ours changed";
	if (!sums_are_kept(in, out, r, !first))
		return "a checksum covers something else now";
	if (out->data[11] != MAC_SPLITTER || (!reply && out->data[5] != service))
		return "MACs are wrong";
	if (first ? !same_address(&ret->source, &first->new_source) ||
			    !same_address(&ret->destination, &first->new_destination)
		  : !ends_are_right(r, ret, service, reply))
		return "addresses or ports are wrong";
	return NULL;
}

/* --- each kind --- */

static __u32 map_id(int map, const struct address *address, __u16 port, __u8 protocol, struct reply_origin *origin)
{
	struct service_key key = {.address = *address, .port = htons(port), .protocol = protocol};
	__u32 service = 0;

	if (!origin)
		return map_get(map, &key, &service) ? service : 0;
	return map_get(map, &key, origin) ? origin->backend : 0;
}

static const char *judge_later(struct oracle *o, const struct frame *in, const struct frame *out,
			       const struct reading *r, enum outcome outcome)
{
	const struct first *first = first_of(o, r);
	struct reading after;

	if (!first->used)
		return outcome == (is_vip(o, &r->destination) ? DROPPED : PASSED) ? NULL : "a fragment without a first";
	if (first->passed)
		return outcome == PASSED ? NULL : "a fragment did not pass as its first had";
	if (outcome != SENT)
		return outcome == DROPPED && (r->malformed || r->hop_limit <= 1) ? NULL
										 : "a fragment was kept from its first";
	return wrong_with_sent(in, out, r, first->service, first->reply, first, &after);
}

static const char *judge_ports(struct oracle *o, const struct frame *in, const struct frame *out,
			       const struct reading *r, enum outcome outcome)
{
	struct fixture *f = o->fixture;
	struct reply_origin origin = {};
	__u32 asked = map_id(f->vips, &r->destination, r->destination_port, r->protocol, NULL);
	__u32 answering = asked ? 0 : map_id(f->reply_origins, &r->source, r->source_port, r->protocol, &origin);
	bool good = !r->malformed && r->hop_limit > 1;
	struct first first = {.passed = outcome == PASSED, .reply = answering, .service = asked ? asked : answering};
	const char *wrong = NULL;
	struct reading after;

	if (!asked && !answering && outcome != PASSED)
		return "what is not ours did not pass";
	if (asked && outcome == PASSED)
		return "what is for a service passed";
	if (asked && good && outcome == DROPPED && world_mode(asked) != FORWARD_NAT)
		return "a good packet was dropped";
	if (outcome == SENT) {
		wrong = wrong_with_sent(in, out, r, first.service, answering, NULL, &after);
		first.new_source = after.source;
		first.new_destination = after.destination;
	}
	if (r->first_fragment && !wrong &&
	    (outcome == SENT || (outcome == PASSED && !answering && is_vip(o, &r->destination))))
		remember(o, r, &first);
	return wrong;
}

static const char *judge_echo(const struct frame *in, const struct frame *out, const struct reading *r,
			      enum outcome outcome)
{
	bool sound = r->ipv6 || (r->l4 - r->l3 == 20 && frame_ip_checksum_right(in, r));
	struct reading after;

	if (outcome != (sound ? SENT : PASSED))
		return "an echo request was not answered, or answered though it is not sound";
	if (!sound)
		return NULL;
	if (out->bytes != in->bytes || frame_classify(out, &after) != READ_ICMP || after.ip_bytes != r->ip_bytes ||
	    after.hop_limit != 64 || out->data[r->l4] != (r->ipv6 ? 129 : 0))
		return "an echo answer's header is wrong";
	if (!same_address(&after.source, &r->destination) || !same_address(&after.destination, &r->source) ||
	    memcmp(in->data, out->data + 6, 6) || memcmp(in->data + 6, out->data, 6))
		return "an echo answer does not go back";
	if (memcmp(in->data + r->l4 + 4, out->data + r->l4 + 4, in->bytes - r->l4 - 4))
		return "an echo answer has other data";
	return sums_are_kept(in, out, r, true) ? NULL : "an echo answer's checksum is wrong";
}

/* True when what an error quotes is a packet to a backend of the rewriting modes. */
static bool quotes_backend(struct oracle *o, const struct frame *in, const struct reading *r)
{
	struct reply_origin origin;
	struct frame quoted = {.bytes = ETHERNET_BYTES};
	struct reading inner;

	memcpy(quoted.data + 12, r->ipv6 ? "\x86\xdd" : "\x08\x00", 2);
	memcpy(quoted.data + ETHERNET_BYTES, in->data + r->l4 + ICMP_BYTES, in->bytes - r->l4 - ICMP_BYTES);
	quoted.bytes += in->bytes - r->l4 - ICMP_BYTES;
	return frame_classify(&quoted, &inner) == READ_PORTS && same_address(&inner.source, &r->destination) &&
	       map_id(o->fixture->reply_origins, &inner.destination, inner.destination_port, inner.protocol, &origin);
}

/* Which service it is about the tunnel tells; it is enough that one would have sent it so. */
static const char *wrong_with_sent_error(const struct frame *in, const struct frame *out, const struct reading *r)
{
	static struct frame stripped;
	struct reading after;

	if (r->hop_limit <= 1)
		return "an error without a hop left was sent";
	if (out->bytes != in->bytes) {
		if (out->data[5] < IPIP44_TCP || out->data[5] > WORLD_LAST ||
		    strip(in, out, r, out->data[5], &stripped))
			return "an error has wrong outer headers";
		out = &stripped;
	}
	if (frame_classify(out, &after) != READ_ICMP || after.malformed || after.ip_bytes != r->ip_bytes ||
	    after.hop_limit != r->hop_limit - 1 || after.l4 != r->l4 ||
	    get16(out->data + r->l4) != get16(in->data + r->l4))
		return "an error's header is wrong";
	return sums_are_kept(in, out, r, true) ? NULL : "an error's checksum is wrong";
}

static const char *judge_icmp(struct oracle *o, const struct frame *in, const struct frame *out,
			      const struct reading *r, enum outcome outcome)
{
	__u8 type = in->data[r->l4], code = in->data[r->l4 + 1];
	bool vip = is_vip(o, &r->destination);
	bool error = r->ipv6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;

	if (r->malformed || r->l4 + ICMP_BYTES > in->bytes || r->l3 + r->ip_bytes < r->l4 + ICMP_BYTES)
		return outcome == (vip ? DROPPED : PASSED) ? NULL : "malformed ICMP";
	if (error && outcome == SENT)
		return vip || quotes_backend(o, in, r) ? wrong_with_sent_error(in, out, r) : "another's error was sent";
	if (error)
		return outcome == PASSED || vip || quotes_backend(o, in, r) ? NULL : "another's error was dropped";
	if (vip && type == (r->ipv6 ? 128 : 8) && !code)
		return judge_echo(in, out, r, outcome);
	return outcome == PASSED ? NULL : "ICMP that is not ours did not pass";
}

/* ICMP in fragments or behind extension headers is left to this host. */
static bool is_plain(const struct frame *in, const struct reading *r)
{
	return r->ipv6 ? r->l4 == r->l3 + 40 : !(get16(in->data + r->l3 + 6) & 0x3fff);
}

const char *oracle_judge(struct oracle *o, const struct frame *in, const struct frame *out, enum outcome outcome)
{
	struct reading r;
	enum reading_kind kind = frame_classify(in, &r);

	if (outcome != SENT && !frame_equal(in, out))
		return "changed, but not sent";
	if (in->data[0] & 1)
		return outcome == PASSED ? NULL : "what is for a group of hosts did not pass";
	switch (kind) {
	case READ_NOTHING:
		return outcome == PASSED ? NULL : "what cannot be read did not pass";
	case READ_BROKEN:
		return outcome == (is_vip(o, &r.destination) ? DROPPED : PASSED) ? NULL : "what is broken";
	case READ_LATER:
		return judge_later(o, in, out, &r, outcome);
	case READ_PORTS:
		return judge_ports(o, in, out, &r, outcome);
	case READ_ICMP:
		if (is_plain(in, &r))
			return judge_icmp(o, in, out, &r, outcome);
		/* fall through */
	default:
		if (r.first_fragment && is_vip(o, &r.destination))
			remember(o, &r, &(struct first){.passed = true});
		return outcome == PASSED ? NULL : "another protocol did not pass";
	}
}
