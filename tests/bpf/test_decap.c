// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Decapsulation, by both hooks: each row of a table goes through the XDP program and through the TC program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "decap_abi.h"
#include "decap.skel.h"
#include "fixture.h"
#include "random.h"
#include "reading.h"

#define VIP4 "10.0.0.10"
#define VIP6 "fd00:aa::10"
#define HOST4 "10.20.0.11" /* this host's outer addresses */
#define HOST6 "fd00:20::11"
#define SPLITTER4 "10.20.7.9"
#define SPLITTER6 "fd00:20:1::9"
#define CLIENT4 "192.0.2.7"
#define CLIENT6 "2001:db8::7"

#define PASSES DECAP_OUTCOMES /* untouched */
#define JUMBO_BYTES 6000

#define NOT_ECT 0
#define ECT_1 1
#define ECT_0 2
#define CE 3
#define INNER_DSCP (10 << 2) /* AF11 */
#define OUTER_DSCP (46 << 2) /* EF */

/* The two inner families, to the VIP; more fields may follow. */
#define INNER4 .from = CLIENT4, .to = VIP4, .from_port = 40000, .to_port = 8000
#define INNER6 .from = CLIENT6, .to = VIP6, .from_port = 40000, .to_port = 8000
/* The two outer families, to this host. */
#define OUTER4 .from = SPLITTER4, .to = HOST4
#define OUTER6 .from = SPLITTER6, .to = HOST6

struct decap_case {
	const char *what;
	struct segment inner;
	const char *from; /* outer */
	const char *to;
	bool gue;
	__u8 tags; /* VLAN */
	__u8 outer_ecn, inner_ecn, out_ecn;
	__u8 option_bytes; /* of an outer IPv4 header */
	__u16 fragment;    /* outer: flags and offset as in IPv4; over IPv6 a fragment header */
	__u8 protocol;     /* 0: that of the inner family */
	__u8 first_byte;   /* of GUE */
	__u16 gue_flags;
	__u16 port;   /* 0: GUE's */
	__u8 version; /* outer; 0: the family's */
	__u8 ihl;     /* outer; 0: the right one */
	__s16 ip_length_off;
	__s16 udp_length_off;
	__u8 padding_bytes;
	int outcome; /* enum decap_outcome, or PASSES */
};

struct programs {
	struct decap_bpf *skeleton;
	int xdp, tc, outcomes;
};

static bool is_ipv6(const char *address)
{
	return strchr(address, ':');
}

/* --- frames ------------------------------------------------------------------------------------------------------ */

static void set_traffic_class(struct frame *f, __u8 class)
{
	struct reading r;

	if (f->data[12] == 0x86) {
		f->data[14] = (f->data[14] & 0xf0) | class >> 4;
		f->data[15] = (f->data[15] & 0x0f) | class << 4;
	} else {
		f->data[15] = class;
		if (frame_read(f, &r) && !r.malformed)
			frame_fix_checksums(f, &r);
	}
}

/* Adds to a frame under construction. */
static __u8 *append(struct frame *f, __u32 bytes)
{
	__u8 *at = f->data + f->bytes;

	assert_true(f->bytes + bytes <= FRAME_MAX);
	memset(at, 0, bytes);
	f->bytes += bytes;
	return at;
}

/* MAC addresses and tags: what comes in and what goes out have them alike. */
static void append_link(struct frame *f, const struct frame *inner, __u8 tags, __u16 ether_type)
{
	memcpy(append(f, 12), inner->data, 12);
	for (__u8 i = 0; i < tags; i++) {
		__u8 *tag = append(f, 4);

		put16(tag, tags == 2 && i == 0 ? 0x88a8 : 0x8100);
		put16(tag + 2, 0x6000 | (100 + i));
	}
	put16(append(f, 2), ether_type);
}

static void append_outer_ipv4(struct frame *f, const struct decap_case *c, __u8 protocol, __u32 payload_bytes)
{
	__u32 header_bytes = 20 + c->option_bytes;
	__u8 *ip = append(f, header_bytes);

	ip[0] = (c->version ? c->version : 4) << 4 | (c->ihl ? c->ihl : header_bytes / 4);
	ip[1] = OUTER_DSCP | c->outer_ecn;
	put16(ip + 2, header_bytes + payload_bytes + c->ip_length_off);
	put16(ip + 6, c->fragment ? c->fragment : 0x4000);
	ip[8] = 61;
	ip[9] = protocol;
	assert_int_equal(inet_pton(AF_INET, c->from, ip + 12), 1);
	assert_int_equal(inet_pton(AF_INET, c->to, ip + 16), 1);
	memset(ip + 20, 1, c->option_bytes);
}

static void append_outer_ipv6(struct frame *f, const struct decap_case *c, __u8 protocol, __u32 payload_bytes)
{
	__u8 *ip = append(f, 40), *fragment;

	ip[0] = (c->version ? c->version : 6) << 4 | OUTER_DSCP >> 4;
	ip[1] = (OUTER_DSCP | c->outer_ecn) << 4;
	put16(ip + 4, payload_bytes + (c->fragment ? 8 : 0) + c->ip_length_off);
	ip[6] = c->fragment ? 44 : protocol;
	ip[7] = 61;
	assert_int_equal(inet_pton(AF_INET6, c->from, ip + 8), 1);
	assert_int_equal(inet_pton(AF_INET6, c->to, ip + 24), 1);
	if (c->fragment) {
		fragment = append(f, 8);
		fragment[0] = protocol;
		put16(fragment + 2, (c->fragment & 0x1fff) << 3 | !!(c->fragment & 0x2000));
	}
}

static void append_gue(struct frame *f, const struct decap_case *c, __u8 protocol, __u32 payload_bytes)
{
	__u8 *udp = append(f, 12);

	put16(udp, 51234);
	put16(udp + 2, c->port ? c->port : 6080);
	put16(udp + 4, 12 + payload_bytes + c->udp_length_off);
	udp[8] = c->first_byte;
	udp[9] = protocol;
	put16(udp + 10, c->gue_flags);
}

/**
 * build - both sides of a row
 * @ret_in: encapsulated
 * @ret_out: what is to be passed on when it is decapsulated
 */
static void build(const struct decap_case *c, struct frame *ret_in, struct frame *ret_out)
{
	bool inner_ipv6 = is_ipv6(c->inner.from);
	__u8 protocol = c->protocol ? c->protocol : inner_ipv6 ? 41 : 4;
	struct frame inner, in = {}, out = {};
	__u32 bytes;

	frame_build(&c->inner, &inner);
	bytes = inner.bytes - ETHERNET_BYTES;
	set_traffic_class(&inner, INNER_DSCP | c->inner_ecn);
	append_link(&in, &inner, c->tags, is_ipv6(c->to) ? 0x86dd : 0x0800);
	if (is_ipv6(c->to))
		append_outer_ipv6(&in, c, c->gue ? 17 : protocol, bytes + (c->gue ? 12 : 0));
	else
		append_outer_ipv4(&in, c, c->gue ? 17 : protocol, bytes + (c->gue ? 12 : 0));
	if (c->gue)
		append_gue(&in, c, protocol, bytes);
	memcpy(append(&in, bytes), inner.data + ETHERNET_BYTES, bytes);
	memset(append(&in, c->padding_bytes), 0xa5, c->padding_bytes);
	*ret_in = in;

	set_traffic_class(&inner, INNER_DSCP | c->out_ecn);
	append_link(&out, &inner, c->tags, inner_ipv6 ? 0x86dd : 0x0800);
	memcpy(append(&out, bytes), inner.data + ETHERNET_BYTES, bytes);
	memset(append(&out, c->padding_bytes), 0xa5, c->padding_bytes);
	*ret_out = out;
}

/* --- running ----------------------------------------------------------------------------------------------------- */

static void clear_outcomes(struct programs *p)
{
	__u64 zero[libbpf_num_possible_cpus()];

	memset(zero, 0, sizeof(zero));
	for (__u32 i = 0; i < DECAP_OUTCOMES; i++)
		map_set(p->outcomes, &i, zero);
}

/* The one outcome that was counted once; PASSES: none was. Fails when more was counted. */
static int counted(struct programs *p)
{
	int cpus = libbpf_num_possible_cpus(), found = PASSES;
	__u64 value[cpus];

	for (__u32 i = 0; i < DECAP_OUTCOMES; i++) {
		__u64 sum = 0;

		assert_true(map_get(p->outcomes, &i, value));
		for (int cpu = 0; cpu < cpus; cpu++)
			sum += value[cpu];
		assert_true(sum == 0 || (sum == 1 && found == PASSES));
		if (sum)
			found = i;
	}
	return found;
}

/**
 * run - one frame through one of the programs
 * @ret: as it comes out
 * Return: the outcome that was counted, checked against the verdict.
 */
static int run(struct programs *p, int program, const struct frame *in, struct frame *ret)
{
	struct frame out = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->data, .data_size_in = in->bytes, .data_out = out.data,
		    .data_size_out = sizeof(out.data));
	int outcome, passes;

	clear_outcomes(p);
	if (bpf_prog_test_run_opts(program, &opts))
		fail_msg("test run of %u bytes: %s", in->bytes, strerror(errno));
	out.bytes = opts.data_size_out;
	outcome = counted(p);
	passes = outcome == PASSES || outcome <= DECAP_GUE;
	if (program == p->xdp)
		assert_int_equal(opts.retval, passes ? XDP_PASS : XDP_DROP);
	else
		assert_int_equal((int)opts.retval, passes ? TC_ACT_UNSPEC : TC_ACT_SHOT);
	*ret = out;
	return outcome;
}

/* Prints what is wrong and returns false. */
static bool goes(struct programs *p, int program, const char *what, const struct frame *in, int outcome,
		 const struct frame *wanted)
{
	const char *hook = program == p->xdp ? "xdp" : "tc";
	struct frame out;
	int got = run(p, program, in, &out);

	if (got != outcome) {
		fprintf(stderr, "%s: %s: outcome %d, wanted %d\n", hook, what, got, outcome);
		return false;
	}
	if ((outcome == PASSES || outcome <= DECAP_GUE) && !frame_equal(&out, wanted)) {
		fprintf(stderr, "%s: %s:\n", hook, what);
		frame_print_difference(&out, wanted);
		return false;
	}
	return true;
}

/* TC leaves a frame with tags alone: the kernel would have taken the first one off before. */
static bool case_holds(struct programs *p, const struct decap_case *c)
{
	struct frame in, out;
	bool holds;

	build(c, &in, &out);
	holds = goes(p, p->xdp, c->what, &in, c->outcome, c->outcome == PASSES ? &in : &out);
	if (c->tags)
		return goes(p, p->tc, c->what, &in, PASSES, &in) && holds;
	return goes(p, p->tc, c->what, &in, c->outcome, c->outcome == PASSES ? &in : &out) && holds;
}

static void check_cases(struct programs *p, const struct decap_case *cases, size_t count)
{
	size_t wrong = 0;

	for (size_t i = 0; i < count; i++)
		wrong += !case_holds(p, &cases[i]);
	assert_int_equal(wrong, 0);
}

#define CHECK_CASES(p, cases) check_cases(p, cases, sizeof(cases) / sizeof((cases)[0]))

/* --- what is decapsulated ---------------------------------------------------------------------------------------- */

static const struct decap_case every_kind[] = {
	{"4 in 4", {INNER4, .payload_bytes = 30}, OUTER4, .outcome = DECAP_IPIP},
	{"6 in 4", {INNER6, .payload_bytes = 30}, OUTER4, .outcome = DECAP_IPIP},
	{"4 in 6", {INNER4, .payload_bytes = 30}, OUTER6, .outcome = DECAP_IPIP},
	{"6 in 6", {INNER6, .payload_bytes = 30}, OUTER6, .outcome = DECAP_IPIP},
	{"4 in GUE over 4", {INNER4, .payload_bytes = 30}, OUTER4, .gue = true, .outcome = DECAP_GUE},
	{"6 in GUE over 4", {INNER6, .payload_bytes = 30}, OUTER4, .gue = true, .outcome = DECAP_GUE},
	{"4 in GUE over 6", {INNER4, .payload_bytes = 30}, OUTER6, .gue = true, .outcome = DECAP_GUE},
	{"6 in GUE over 6", {INNER6, .payload_bytes = 30}, OUTER6, .gue = true, .outcome = DECAP_GUE},
};

#define KINDS (sizeof(every_kind) / sizeof(every_kind[0]))

static void every_family_and_kind_is_stripped_with_and_without_tags(void **state)
{
	for (size_t i = 0; i < KINDS; i++) {
		for (__u8 tags = 0; tags <= 2; tags++) {
			struct decap_case c = every_kind[i];

			c.tags = tags;
			assert_true(case_holds(*state, &c));
		}
	}
}

static void odd_but_valid_packets_are_stripped(void **state)
{
	static const struct decap_case cases[] = {
		{"an inner packet shorter than an IPv6 header",
		 {INNER4, .protocol = IPPROTO_UDP},
		 OUTER6,
		 .outcome = DECAP_IPIP},
		{"the same in GUE", {INNER4, .protocol = IPPROTO_UDP}, OUTER6, .gue = true, .outcome = DECAP_GUE},
		{"inner headers alone", {INNER4, .protocol = 89}, OUTER4, .outcome = DECAP_IPIP},
		{"IPv6 headers alone", {INNER6, .protocol = 59}, OUTER4, .outcome = DECAP_IPIP},
		{"outer IPv4 options", {INNER6, .payload_bytes = 9}, OUTER4, .option_bytes = 40, .outcome = DECAP_IPIP},
		{"outer IPv4 options before GUE",
		 {INNER4, .payload_bytes = 9},
		 OUTER4,
		 .option_bytes = 12,
		 .gue = true,
		 .outcome = DECAP_GUE},
		{"inner IPv4 options", {INNER4, .ip_option_bytes = 40}, OUTER6, .outcome = DECAP_IPIP},
		{"an inner fragment", {INNER4, .fragment = 0x2003, .payload_bytes = 8}, OUTER4, .outcome = DECAP_IPIP},
		{"a padded frame",
		 {INNER4, .protocol = IPPROTO_UDP},
		 OUTER4,
		 .padding_bytes = 7,
		 .outcome = DECAP_IPIP},
		{"DF alone is no fragment", {INNER4}, OUTER4, .fragment = 0x4000, .outcome = DECAP_IPIP},
		{"a UDP datagram shorter than its packet",
		 {INNER4, .ip_length_off = -4},
		 OUTER6,
		 .gue = true,
		 .udp_length_off = -4,
		 .outcome = DECAP_GUE},
		{"another source of the prefix", {INNER4}, .from = "10.20.0.0", .to = HOST4, .outcome = DECAP_IPIP},
	};

	CHECK_CASES(*state, cases);
}

/* RFC 6040, figure 4. */
static void congestion_marks_reach_the_inner_packet(void **state)
{
	static const struct {
		__u8 inner, outer;
		int out; /* -1: dropped */
	} figure[] = {
		{NOT_ECT, NOT_ECT, NOT_ECT}, {NOT_ECT, ECT_0, NOT_ECT}, {NOT_ECT, ECT_1, NOT_ECT}, {NOT_ECT, CE, -1},
		{ECT_0, NOT_ECT, ECT_0},     {ECT_0, ECT_0, ECT_0},     {ECT_0, ECT_1, ECT_1},     {ECT_0, CE, CE},
		{ECT_1, NOT_ECT, ECT_1},     {ECT_1, ECT_0, ECT_1},     {ECT_1, ECT_1, ECT_1},     {ECT_1, CE, CE},
		{CE, NOT_ECT, CE},           {CE, ECT_0, CE},           {CE, ECT_1, CE},           {CE, CE, CE},
	};

	for (size_t kind = 0; kind < KINDS; kind++) {
		for (size_t i = 0; i < sizeof(figure) / sizeof(figure[0]); i++) {
			struct decap_case c = every_kind[kind];

			c.inner_ecn = figure[i].inner;
			c.outer_ecn = figure[i].outer;
			c.out_ecn = figure[i].out;
			if (figure[i].out < 0)
				c.outcome = DECAP_DROP_ECN;
			assert_true(case_holds(*state, &c));
		}
	}
}

/* --- what is left alone, and what is dropped --------------------------------------------------------------------- */

static void what_is_not_for_this_host_passes_untouched(void **state)
{
	static const struct decap_case cases[] = {
		{"another IPv4 address", {INNER4}, .from = SPLITTER4, .to = "10.20.0.12", .outcome = PASSES},
		{"another IPv6 address", {INNER4}, .from = SPLITTER6, .to = "fd00:20::12", .outcome = PASSES},
		{"an IPv4 address mapped into IPv6",
		 {INNER4},
		 .from = SPLITTER6,
		 .to = "::ffff:" HOST4,
		 .outcome = PASSES},
		{"the VIP itself outside", {INNER4}, .from = SPLITTER4, .to = VIP4, .outcome = PASSES},
		{"another UDP port", {INNER4}, OUTER4, .gue = true, .port = 6081, .outcome = PASSES},
		{"TCP", {INNER4}, OUTER4, .protocol = 6, .outcome = PASSES},
		{"GRE", {INNER4}, OUTER6, .protocol = 47, .outcome = PASSES},
		{"an IPv6 packet with options", {INNER4}, OUTER6, .protocol = 60, .outcome = PASSES},
		{"outer version 5", {INNER4}, OUTER4, .version = 5, .outcome = PASSES},
		{"outer version 4 as IPv6", {INNER4}, OUTER6, .version = 4, .outcome = PASSES},
		{"an outer header of 16 bytes", {INNER4}, OUTER4, .ihl = 4, .outcome = PASSES},
		{"a later fragment of UDP", {INNER4}, OUTER4, .gue = true, .fragment = 5, .outcome = PASSES},
		{"a later fragment of UDP over IPv6", {INNER4}, OUTER6, .gue = true, .fragment = 5, .outcome = PASSES},
	};

	CHECK_CASES(*state, cases);
}

static void what_contradicts_itself_is_dropped_by_name(void **state)
{
	static const struct decap_case cases[] = {
		{"outer IPv4 longer than the frame",
		 {INNER4},
		 OUTER4,
		 .ip_length_off = 1,
		 .outcome = DECAP_DROP_MALFORMED},
		{"outer IPv6 longer than the frame",
		 {INNER4},
		 OUTER6,
		 .ip_length_off = 1,
		 .outcome = DECAP_DROP_MALFORMED},
		{"outer IPv4 shorter than its header",
		 {INNER4, .protocol = IPPROTO_UDP},
		 OUTER4,
		 .ip_length_off = -29,
		 .outcome = DECAP_DROP_MALFORMED},
		{"inner IPv4 longer than the outer",
		 {INNER4},
		 OUTER4,
		 .ip_length_off = -1,
		 .outcome = DECAP_DROP_MALFORMED},
		{"inner IPv6 longer than the outer",
		 {INNER6},
		 OUTER6,
		 .ip_length_off = -1,
		 .outcome = DECAP_DROP_MALFORMED},
		{"inner IPv4 longer than it is",
		 {INNER4, .ip_length_off = 1},
		 OUTER6,
		 .padding_bytes = 4,
		 .outcome = DECAP_DROP_MALFORMED},
		{"inner IPv4 shorter than its header",
		 {INNER4, .ip_length_off = -21},
		 OUTER4,
		 .outcome = DECAP_DROP_MALFORMED},
		{"an inner header of 16 bytes", {INNER4, .ihl = 4}, OUTER4, .outcome = DECAP_DROP_MALFORMED},
		{"UDP longer than its packet",
		 {INNER4},
		 OUTER4,
		 .gue = true,
		 .udp_length_off = 1,
		 .padding_bytes = 4,
		 .outcome = DECAP_DROP_MALFORMED},
		{"UDP shorter than GUE",
		 {INNER4},
		 OUTER4,
		 .gue = true,
		 .udp_length_off = -41,
		 .outcome = DECAP_DROP_MALFORMED},
		{"an inner packet longer than UDP",
		 {INNER4},
		 OUTER6,
		 .gue = true,
		 .udp_length_off = -1,
		 .outcome = DECAP_DROP_MALFORMED},
		{"inner version 6 as IPv4", {INNER4, .version = 6}, OUTER4, .outcome = DECAP_DROP_VERSION},
		{"IPv4 said to be IPv6",
		 {INNER4, .payload_bytes = 40},
		 OUTER4,
		 .protocol = 41,
		 .outcome = DECAP_DROP_VERSION},
		{"IPv6 said to be IPv4", {INNER6}, OUTER6, .protocol = 4, .outcome = DECAP_DROP_VERSION},
		{"IPv6 in GUE said to be IPv4",
		 {INNER6},
		 OUTER6,
		 .gue = true,
		 .protocol = 4,
		 .outcome = DECAP_DROP_VERSION},
	};

	CHECK_CASES(*state, cases);
}

static void fragments_of_the_outer_packet_are_dropped_by_name(void **state)
{
	static const struct decap_case cases[] = {
		{"a first fragment", {INNER4}, OUTER4, .fragment = 0x2000, .outcome = DECAP_DROP_FRAGMENT},
		{"a later fragment", {INNER4}, OUTER4, .fragment = 0x2005, .outcome = DECAP_DROP_FRAGMENT},
		{"the last fragment", {INNER4}, OUTER4, .fragment = 5, .outcome = DECAP_DROP_FRAGMENT},
		{"a first fragment over IPv6", {INNER6}, OUTER6, .fragment = 0x2000, .outcome = DECAP_DROP_FRAGMENT},
		{"the last fragment over IPv6", {INNER6}, OUTER6, .fragment = 5, .outcome = DECAP_DROP_FRAGMENT},
		{"GUE's first fragment",
		 {INNER6},
		 OUTER4,
		 .gue = true,
		 .fragment = 0x2000,
		 .outcome = DECAP_DROP_FRAGMENT},
		{"GUE's first fragment over IPv6",
		 {INNER6},
		 OUTER6,
		 .gue = true,
		 .fragment = 0x2000,
		 .outcome = DECAP_DROP_FRAGMENT},
	};

	CHECK_CASES(*state, cases);
}

static void other_kinds_of_gue_are_dropped_by_name(void **state)
{
	static const struct decap_case cases[] = {
		{"variant 1", {INNER4}, OUTER4, .gue = true, .first_byte = 0x45, .outcome = DECAP_DROP_GUE_VERSION},
		{"version 3", {INNER4}, OUTER6, .gue = true, .first_byte = 0xc0, .outcome = DECAP_DROP_GUE_VERSION},
		{"a control message",
		 {INNER4},
		 OUTER4,
		 .gue = true,
		 .first_byte = 0x20,
		 .outcome = DECAP_DROP_GUE_CONTROL},
		{"a header of 8 bytes",
		 {INNER4},
		 OUTER4,
		 .gue = true,
		 .first_byte = 1,
		 .outcome = DECAP_DROP_GUE_OPTIONS},
		{"the longest header",
		 {INNER4},
		 OUTER6,
		 .gue = true,
		 .first_byte = 0x1f,
		 .outcome = DECAP_DROP_GUE_OPTIONS},
		{"a flag", {INNER4}, OUTER4, .gue = true, .gue_flags = 1, .outcome = DECAP_DROP_GUE_OPTIONS},
		{"another flag", {INNER6}, OUTER6, .gue = true, .gue_flags = 0x8000, .outcome = DECAP_DROP_GUE_OPTIONS},
		{"Ethernet inside", {INNER4}, OUTER4, .gue = true, .protocol = 97, .outcome = DECAP_DROP_PROTOCOL},
		{"UDP inside", {INNER4}, OUTER6, .gue = true, .protocol = 17, .outcome = DECAP_DROP_PROTOCOL},
	};

	CHECK_CASES(*state, cases);
}

static void strangers_are_dropped_by_name(void **state)
{
	static const struct decap_case cases[] = {
		{"to another IPv4 address",
		 {.from = CLIENT4, .to = "10.0.0.11"},
		 OUTER4,
		 .outcome = DECAP_DROP_DESTINATION},
		{"to another IPv6 address",
		 {.from = CLIENT6, .to = "fd00:aa::11"},
		 OUTER4,
		 .outcome = DECAP_DROP_DESTINATION},
		{"to this host itself",
		 {.from = CLIENT4, .to = HOST4},
		 OUTER6,
		 .gue = true,
		 .outcome = DECAP_DROP_DESTINATION},
		{"to a VIP mapped into IPv6",
		 {.from = CLIENT6, .to = "::ffff:" VIP4},
		 OUTER6,
		 .outcome = DECAP_DROP_DESTINATION},
		{"from another IPv4 network", {INNER4}, .from = "10.21.0.1", .to = HOST4, .outcome = DECAP_DROP_SOURCE},
		{"from another IPv6 network",
		 {INNER4},
		 .from = "fd00:21::1",
		 .to = HOST6,
		 .gue = true,
		 .outcome = DECAP_DROP_SOURCE},
		{"from a splitter mapped into IPv6",
		 {INNER4},
		 .from = "::ffff:" SPLITTER4,
		 .to = HOST6,
		 .outcome = DECAP_DROP_SOURCE},
	};

	CHECK_CASES(*state, cases);
}

/* --- cut short, and at random ------------------------------------------------------------------------------------ */

/* Until it can be read that the frame is for us it is left alone; from there on it is dropped. */
static void a_frame_cut_anywhere_is_left_alone_or_dropped(void **state)
{
	struct programs *p = *state;

	for (size_t kind = 0; kind < KINDS; kind++) {
		const struct decap_case *c = &every_kind[kind];
		__u32 l4 = ETHERNET_BYTES + (is_ipv6(c->to) ? 40 : 20);
		__u32 ours = l4 + (c->gue ? 4 : 0);
		struct frame in, out;

		build(c, &in, &out);
		for (__u32 bytes = in.bytes - 1; bytes > ETHERNET_BYTES; bytes--) {
			int outcome = bytes < ours ? PASSES : DECAP_DROP_MALFORMED;

			in.bytes = bytes;
			memset(in.data + bytes, 0, sizeof(in.data) - bytes);
			assert_true(goes(p, p->xdp, c->what, &in, outcome, &in));
			/* The kernel refuses a test run of less than an IP header. */
			if (bytes >= l4)
				assert_true(goes(p, p->tc, c->what, &in, outcome, &in));
		}
	}
}

/* The same with outer lengths that are right for what is left. */
static void an_inner_packet_cut_anywhere_is_dropped(void **state)
{
	struct programs *p = *state;

	for (size_t kind = 0; kind < KINDS; kind++) {
		const struct decap_case *c = &every_kind[kind];
		__u32 outer = (is_ipv6(c->to) ? 40 : 20) + (c->gue ? 12 : 0);
		struct decap_case cut = *c;
		struct frame in, out;

		build(c, &in, &out);
		for (__u32 bytes = out.bytes - ETHERNET_BYTES; bytes-- > 0;) {
			cut.ip_length_off = cut.udp_length_off = (int)bytes - (int)(out.bytes - ETHERNET_BYTES);
			build(&cut, &in, &(struct frame){});
			in.bytes = ETHERNET_BYTES + outer + bytes;
			assert_true(goes(p, p->xdp, c->what, &in, DECAP_DROP_MALFORMED, &in));
			assert_true(goes(p, p->tc, c->what, &in, DECAP_DROP_MALFORMED, &in));
		}
	}
}

/* Valid packets with a few bytes changed at random: what one hook does the other does too, byte for byte. */
static void both_hooks_agree_on_damaged_packets(void **state)
{
	struct programs *p = *state;
	struct random r = {6080};
	unsigned int stripped = 0, dropped = 0;

	for (unsigned int round = 0; round < 8000; round++) {
		struct frame in, out, by_xdp, by_tc;
		int outcome;

		build(&every_kind[round % KINDS], &in, &out);
		for (__u32 flips = 1 + random_below(&r, 2); flips; flips--)
			in.data[ETHERNET_BYTES + random_below(&r, in.bytes - ETHERNET_BYTES)] ^= 1
												 << random_below(&r, 8);
		outcome = run(p, p->xdp, &in, &by_xdp);
		assert_int_equal(run(p, p->tc, &in, &by_tc), outcome);
		stripped += outcome <= DECAP_GUE;
		dropped += outcome > DECAP_GUE && outcome != PASSES;
		if (outcome > DECAP_GUE && outcome != PASSES)
			continue;
		assert_true(frame_equal(&by_xdp, &by_tc));
		assert_int_equal(by_xdp.bytes, outcome == PASSES ? in.bytes : out.bytes);
	}
	assert_true(stripped > 1000 && dropped > 1000);
}

/* In several pages, of which only the first can be read. */
static void a_jumbo_frame_is_stripped_in_xdp(void **state)
{
	static __u8 in[JUMBO_BYTES], out[JUMBO_BYTES];
	const __u32 outer = 20, stripped = JUMBO_BYTES - outer;
	struct programs *p = *state;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = sizeof(in), .data_out = out,
		    .data_size_out = sizeof(out));
	struct frame first, wanted;

	build(&every_kind[0], &first, &wanted);
	for (__u32 i = 0; i < sizeof(in); i++)
		in[i] = i * 7;
	memcpy(in, first.data, first.bytes);
	put16(in + ETHERNET_BYTES + 2, JUMBO_BYTES - ETHERNET_BYTES);
	put16(in + ETHERNET_BYTES + outer + 2, stripped - ETHERNET_BYTES);
	clear_outcomes(p);
	assert_int_equal(bpf_prog_test_run_opts(p->xdp, &opts), 0);
	assert_int_equal(opts.retval, XDP_PASS);
	assert_int_equal(counted(p), DECAP_IPIP);
	assert_int_equal(opts.data_size_out, stripped);
	assert_memory_equal(out, wanted.data, ETHERNET_BYTES);
	assert_memory_equal(out + ETHERNET_BYTES, in + ETHERNET_BYTES + outer, stripped - ETHERNET_BYTES);
}

/* --- */

static void allow_source(struct programs *p, const char *address, __u32 prefix_bits)
{
	struct decap_source_key key = {prefix_bits, address_of(address)};

	map_set(bpf_map__fd(p->skeleton->maps.outer_sources), &key, &(__u8){1});
}

static int load(void **state)
{
	static const char *const inner[] = {VIP4, VIP6}, *const outer[] = {HOST4, HOST6};
	struct programs *p = calloc(1, sizeof(*p));
	struct decap_bpf *s = decap_bpf__open();

	assert_non_null(p);
	assert_non_null(s);
	*(struct decap_settings *)&s->rodata->settings =
		(struct decap_settings){.port = htons(6080), .source_limited = 1};
	if (decap_bpf__load(s))
		fail_msg("the programs do not load: %s (are you root?)", strerror(errno));
	*p = (struct programs){s, bpf_program__fd(s->progs.decap_xdp), bpf_program__fd(s->progs.decap_tc),
			       bpf_map__fd(s->maps.outcomes)};
	for (int i = 0; i < 2; i++) {
		struct address to = address_of(inner[i]), host = address_of(outer[i]);

		map_set(bpf_map__fd(s->maps.inner_addresses), &to, &(__u8){1});
		map_set(bpf_map__fd(s->maps.outer_addresses), &host, &(__u8){1});
	}
	allow_source(p, "10.20.0.0", 96 + 16);
	allow_source(p, "fd00:20::", 32);
	*state = p;
	return 0;
}

static int unload(void **state)
{
	struct programs *p = *state;

	decap_bpf__destroy(p->skeleton);
	free(p);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_family_and_kind_is_stripped_with_and_without_tags),
		cmocka_unit_test(odd_but_valid_packets_are_stripped),
		cmocka_unit_test(congestion_marks_reach_the_inner_packet),
		cmocka_unit_test(what_is_not_for_this_host_passes_untouched),
		cmocka_unit_test(what_contradicts_itself_is_dropped_by_name),
		cmocka_unit_test(fragments_of_the_outer_packet_are_dropped_by_name),
		cmocka_unit_test(other_kinds_of_gue_are_dropped_by_name),
		cmocka_unit_test(strangers_are_dropped_by_name),
		cmocka_unit_test(a_frame_cut_anywhere_is_left_alone_or_dropped),
		cmocka_unit_test(an_inner_packet_cut_anywhere_is_dropped),
		cmocka_unit_test(both_hooks_agree_on_damaged_packets),
		cmocka_unit_test(a_jumbo_frame_is_stripped_in_xdp),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
