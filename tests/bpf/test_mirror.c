// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Copies for the shadow: of which packets, and what is on them. XDP's own copy is the frame that leaves, with the
 * metadata in front of it; TC's is sent out of the mirror, which here is the loopback interface of a network namespace
 * of this program's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "headgate.skel.h"
#include "world.h"

#define CONNECTIONS 10000U
#define LARGEST_COPY 3072U /* of a frame that XDP copies */
#define NO_INTERFACE 4711

static int on_the_mirror = -1; /* a packet socket on the loopback interface */

static int begin(void **state)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = 1};

	(void)state;
	if (on_the_mirror >= 0)
		return 0;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(system("ip link set lo up"), 0);
	on_the_mirror = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
	assert_int_equal(bind(on_the_mirror, (struct sockaddr *)&address, sizeof(address)), 0);
	return 0;
}

/* --- setting up --- */

static void set_shadow(struct fixture *f, __u32 service, __u32 flags, __u16 sample)
{
	struct service s = world_service_get(f, service);

	s.flags = (s.flags & ~(SERVICE_SHADOW | SERVICE_SHADOW_RULES)) | flags;
	s.shadow_sample = sample;
	world_service_set(f, service, &s);
}

/* What leaves by loopback goes to the mirror too. @near: 0: there is none. */
static void set_mirror(struct fixture *f, __u32 near)
{
	int mirrors = bpf_map__fd(f->skeleton->maps.mirrors);
	__u32 first = 0, second = 1, last = MIRROR_WAYS_MAX - 1, out = LOOPBACK;
	struct shadow_guard guard = {.mirror = near, .way_out[MIRROR_WAYS_MAX - 1] = near ? out : 0};
	int both;

	map_set(bpf_map__fd(f->skeleton->maps.shadow_guard), &first, &guard);
	if (!near) {
		bpf_map_delete_elem(mirrors, &last);
		return;
	}
	both = bpf_map_create(BPF_MAP_TYPE_DEVMAP, "both", sizeof(__u32), sizeof(__u32), MIRROR_DEVICES, NULL);
	assert_true(both >= 0);
	map_set(both, &first, &out);
	map_set(both, &second, &out);
	map_set(mirrors, &last, &both);
	close(both);
}

static void add_rule(struct fixture *f, __u32 service, const char *prefix, __u32 bits, __u32 rule)
{
	struct cohort_key key = {
		.prefix_bits = 32 + (strchr(prefix, ':') ? bits : 96 + bits),
		.service = service,
		.source = address_of(prefix),
	};

	map_set(bpf_map__fd(f->skeleton->maps.shadow_rules), &key, &rule);
}

/* --- sending, and looking --- */

struct copy {
	bool made;
	struct mirrored says; /* XDP */
	struct frame frame;   /* whole, as it is on the mirror */
};

static enum outcome run_xdp(struct fixture *f, const struct frame *in, struct frame *ret, struct copy *ret_copy)
{
	struct xdp_md before = {.data_end = in->bytes}, after = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->data, .data_size_in = in->bytes, .data_out = ret->data,
		    .data_size_out = sizeof(ret->data), .ctx_in = &before, .ctx_size_in = sizeof(before),
		    .ctx_out = &after, .ctx_size_out = sizeof(after));

	if (bpf_prog_test_run_opts(f->program, &opts))
		fail_msg("test run of %u bytes: %s", in->bytes, strerror(errno));
	ret->bytes = opts.data_size_out - after.data;
	ret_copy->made = after.data;
	if (after.data) {
		assert_int_equal(after.data, sizeof(ret_copy->says));
		assert_int_equal(opts.retval, XDP_REDIRECT);
		memcpy(&ret_copy->says, ret->data, sizeof(ret_copy->says));
		memmove(ret->data, ret->data + after.data, ret->bytes);
		ret_copy->frame = *ret;
	}
	return opts.retval == XDP_TX || opts.retval == XDP_REDIRECT ? SENT : opts.retval == XDP_PASS ? PASSED : DROPPED;
}

/* What has been sent since the last look: at most one frame. */
static void look_at_mirror(struct copy *ret)
{
	struct sockaddr_ll from;
	socklen_t length;
	struct frame got;
	ssize_t bytes;

	for (;;) {
		length = sizeof(from);
		bytes = recvfrom(on_the_mirror, got.data, sizeof(got.data), 0, (struct sockaddr *)&from, &length);
		if (bytes < 0)
			return;
		if (from.sll_pkttype != PACKET_OUTGOING)
			continue;
		assert_false(ret->made);
		got.bytes = bytes;
		ret->made = true;
		ret->frame = got;
	}
}

static enum outcome run(struct fixture *f, const struct frame *in, struct frame *ret, struct copy *ret_copy)
{
	struct copy dummy = {};
	enum outcome outcome;

	memset(ret_copy, 0, sizeof(*ret_copy));
	if (fixture_hook == HOOK_XDP)
		return run_xdp(f, in, ret, ret_copy);
	look_at_mirror(&dummy);
	outcome = fixture_run(f, in, ret);
	look_at_mirror(ret_copy);
	return outcome;
}

/* Whether a packet that must be sent is copied as well. */
static bool is_copied(struct fixture *f, const struct segment *s)
{
	struct frame in, out;
	struct copy copy;

	frame_build(s, &in);
	assert_int_equal(run(f, &in, &out, &copy), SENT);
	return copy.made;
}

static __u64 clones_lost(struct fixture *f, __u32 service)
{
	return fixture_shadow_counters(f, service).clones_lost;
}

/* --- the copy --- */

/* XDP: as it leaves; the client is in the metadata, and where its packet begins. */
static bool describes(const struct copy *copy, __u32 service, const struct segment *in, const struct segment *out)
{
	struct flow_key flow = world_flow_key(service, in->from, in->from_port);
	__u32 l2 = ETHERNET_BYTES + (in->vlan[0] ? VLAN_BYTES : 0) + (in->vlan[1] ? VLAN_BYTES : 0);
	struct segment bare = *out;
	struct frame inner;

	bare.outer.kind = OUTER_NONE;
	frame_build(&bare, &inner);
	return copy->says.magic == MIRRORED_MAGIC && copy->says.l3 >= l2 && !copy->says.zero &&
	       memcmp(&copy->says.flow, &flow, sizeof(flow)) == 0 &&
	       copy->frame.bytes - copy->says.l3 == inner.bytes - l2 &&
	       memcmp(copy->frame.data + copy->says.l3, inner.data + l2, inner.bytes - l2) == 0;
}

/* TC: as it came, but for the MACs. */
static bool is_addressed(const struct copy *copy, __u32 service, const struct frame *in)
{
	const __u8 mac[6] = {0x02, 'h', 'g', MIRROR_CLIENT, service >> 8, service};

	return copy->frame.bytes == in->bytes && memcmp(copy->frame.data, mac, sizeof(mac)) == 0 &&
	       memcmp(copy->frame.data + 12, in->data + 12, in->bytes - 12) == 0;
}

static bool copy_is_right(struct fixture *f, __u32 service, const struct segment *in)
{
	struct segment leaves = world_split(service, service, in);
	struct frame given, expected, out;
	struct copy copy;

	frame_build(in, &given);
	frame_build(&leaves, &expected);
	if (run(f, &given, &out, &copy) != SENT || !frame_equal(&out, &expected)) {
		frame_print_difference(&out, &expected);
		return false;
	}
	if (!copy.made)
		return false;
	return fixture_hook == HOOK_XDP ? describes(&copy, service, in, &leaves) : is_addressed(&copy, service, &given);
}

static void copies_are_right_in_every_mode(void **state)
{
	struct fixture *f = *state;
	__u32 wrong = 0;

	set_mirror(f, LOOPBACK);
	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		set_shadow(f, service, SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
		for (__u32 tags = 0; tags <= 2; tags++) {
			struct segment in = world_request(service);

			fixture_forget(f);
			for (__u32 i = 0; i < tags; i++)
				in.vlan[i] = 100 + i;
			in.payload_bytes = 700 + tags; /* odd, too */
			in.ip_option_bytes = world_is_ipv6(service) ? 0 : 4 * tags;
			if (copy_is_right(f, service, &in))
				continue;
			wrong++;
			fprintf(stderr, "service %u, %u tags: its copy is not right\n", service, tags);
		}
		assert_int_equal(clones_lost(f, service), 0);
		assert_int_equal(fixture_backend_counters(f, service).client_packets, 3);
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(fixture_drops(f), 0);
}

/* --- which packets --- */

static void what_only_acknowledges_is_not_copied(void **state)
{
	static const struct {
		__u8 flags;
		__u16 payload_bytes;
		bool copied;
	} packets[] = {
		{SYN, 0, true},       {ACK, 0, false},      {ACK, 1, true}, {ACK, 0, false},      {ACK, 1400, true},
		{FIN | ACK, 0, true}, {FIN | ACK, 3, true}, {RST, 0, true}, {RST | ACK, 0, true},
	};
	static const __u32 services[] = {NAT4_TCP, DNAT6_TCP, L2DSR4_TCP, IPIP66_TCP, GUE46_TCP};
	struct fixture *f = *state;

	set_mirror(f, LOOPBACK);
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		set_shadow(f, services[i], SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
		for (size_t n = 0; n < sizeof(packets) / sizeof(packets[0]); n++) {
			struct segment s = world_request(services[i]);

			s.flags = packets[n].flags;
			s.payload_bytes = packets[n].payload_bytes;
			assert_int_equal(is_copied(f, &s), packets[n].copied);
		}
		assert_int_equal(clones_lost(f, services[i]), 0);
	}
}

static void every_datagram_is_copied(void **state)
{
	struct fixture *f = *state;
	struct segment s = world_request(NAT6_UDP);

	set_mirror(f, LOOPBACK);
	set_shadow(f, NAT6_UDP, SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
	assert_true(is_copied(f, &s));
	s.payload_bytes = 0;
	assert_true(is_copied(f, &s));
}

static void pieces_and_extension_headers_are_not_copied(void **state)
{
	struct fixture *f = *state;
	struct segment fragment = world_request(DNAT4_UDP), extended = world_request(DNAT6_TCP);

	set_mirror(f, LOOPBACK);
	set_shadow(f, DNAT4_UDP, SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
	set_shadow(f, DNAT6_TCP, SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
	fragment.payload_bytes = 1000;
	fragment.cut_bytes = 512;
	assert_false(is_copied(f, &fragment));
	fragment.cut_offset = 512;
	assert_false(is_copied(f, &fragment));
	extended.extensions = 1;
	extended.extension[0].type = IPPROTO_HOPOPTS;
	assert_false(is_copied(f, &extended));
	assert_int_equal(clones_lost(f, DNAT4_UDP) + clones_lost(f, DNAT6_TCP), 0);
}

static void a_service_without_a_shadow_copies_nothing(void **state)
{
	struct fixture *f = *state;

	set_mirror(f, LOOPBACK);
	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		struct segment s = world_request(service);

		set_shadow(f, service, SERVICE_SHADOW_RULES, SHADOW_SAMPLE_ALL);
		add_rule(f, service, s.from, world_is_ipv6(service) ? 128 : 32, SHADOW_ALWAYS);
		assert_false(is_copied(f, &s));
		assert_int_equal(clones_lost(f, service), 0);
	}
}

static void replies_are_not_copied(void **state)
{
	static const __u32 services[] = {NAT4_TCP, NAT6_UDP, DNAT4_UDP, DNAT6_TCP};
	struct fixture *f = *state;

	set_mirror(f, LOOPBACK);
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		struct segment request = world_request(services[i]), reply = world_reply(services[i], services[i]);

		set_shadow(f, services[i], SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
		assert_true(is_copied(f, &request));
		assert_false(is_copied(f, &reply));
		assert_int_equal(clones_lost(f, services[i]), 0);
	}
}

static void what_is_not_sent_is_not_copied(void **state)
{
	struct fixture *f = *state;
	struct segment s = world_request(IPIP44_TCP);
	struct frame in, out;
	struct copy copy;

	set_mirror(f, LOOPBACK);
	set_shadow(f, IPIP44_TCP, SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
	s.hops = HOP_LIMIT - 1;
	frame_build(&s, &in);
	assert_int_equal(run(f, &in, &out, &copy), DROPPED);
	assert_false(copy.made);
	world_set_mtu(f, IPIP44_TCP, 100);
	s.hops = 0;
	s.payload_bytes = 200;
	frame_build(&s, &in);
	assert_int_equal(run(f, &in, &out, &copy), SENT); /* "fragmentation needed", to its sender */
	assert_false(copy.made);
	assert_int_equal(clones_lost(f, IPIP44_TCP), 0);
}

/* --- which connections --- */

static bool wanted[CONNECTIONS];

/* The @i-th of many connections: 100 clients, with 100 ports each. */
static struct segment connection(__u32 service, __u32 i, char from[32])
{
	struct segment s = world_request(service);

	snprintf(from, 32, world_is_ipv6(service) ? "2001:db8::%x" : "192.0.2.%u", 1 + i % 100);
	s.from = from;
	s.from_port = 1024 + i / 100;
	return s;
}

/* Which are to be mirrored: there is no mirror, and so every copy is lost. Return: how many. */
static __u32 sample_connections(struct fixture *f, __u32 service, bool ret[CONNECTIONS])
{
	__u64 lost = clones_lost(f, service), begun = lost, now;

	for (__u32 i = 0; i < CONNECTIONS; i++) {
		char from[32];
		struct segment s = connection(service, i, from);
		struct frame in, out;

		frame_build(&s, &in);
		assert_int_equal(fixture_run(f, &in, &out), SENT);
		now = clones_lost(f, service);
		ret[i] = now != lost;
		lost = now;
	}
	return lost - begun;
}

/* Five standard deviations of a binomial distribution each way; of one in 10 000 connections on average, up to 8. */
static void the_sample_is_as_large_as_asked_for(void **state)
{
	static const struct {
		__u16 sample;
		__u32 least, most;
	} samples[] = {{0, 0, 0}, {1, 0, 8}, {1000, 850, 1150}, {5000, 4750, 5250}, {10000, 10000, 10000}};
	static const __u32 services[] = {L2DSR4_TCP, L2DSR6_UDP};
	struct fixture *f = *state;
	static bool again[CONNECTIONS], smaller[CONNECTIONS];

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		memset(smaller, 0, sizeof(smaller));
		for (size_t n = 0; n < sizeof(samples) / sizeof(samples[0]); n++) {
			set_shadow(f, services[i], SERVICE_SHADOW, samples[n].sample);
			assert_in_range(sample_connections(f, services[i], wanted), samples[n].least, samples[n].most);
			sample_connections(f, services[i], again);
			assert_memory_equal(wanted, again, sizeof(wanted));
			/* Who is in a sample is in every larger one. */
			for (__u32 c = 0; c < CONNECTIONS; c++)
				assert_true(wanted[c] || !smaller[c]);
			memcpy(smaller, wanted, sizeof(smaller));
		}
	}
}

static void the_sample_is_of_connections_where_affinity_is_of_clients(void **state)
{
	struct fixture *f = *state;
	struct service s = world_service_get(f, L2DSR4_TCP);
	__u32 of_first = 0;

	s.flags |= SERVICE_CLIENT_AFFINITY;
	world_service_set(f, L2DSR4_TCP, &s);
	set_shadow(f, L2DSR4_TCP, SERVICE_SHADOW, 5000);
	assert_in_range(sample_connections(f, L2DSR4_TCP, wanted), 4750, 5250);
	for (__u32 i = 0; i < CONNECTIONS; i += 100)
		of_first += wanted[i];
	assert_in_range(of_first, 20, 80);
}

/* Both halves of the slots have their share of the sample: else some backends would have no part in it. */
static void the_sample_has_nothing_to_do_with_slots(void **state)
{
	struct fixture *f = *state;
	struct row *row = malloc(sizeof(*row));
	struct service s = world_service_get(f, DNAT4_UDP);
	__u32 of_first = 0, of_second = 0, first_sampled = 0, second_sampled = 0;

	assert_non_null(row);
	for (__u32 i = 0; i < SLOTS; i++)
		row->slot[i] = i < SLOTS / 2 ? DNAT4_UDP : SECOND(DNAT4_UDP);
	map_set(f->rows, &(__u32){TRACKED_ROW}, row);
	free(row);
	s.main.entries = TRACKED_ROW;
	world_service_set(f, DNAT4_UDP, &s);
	set_shadow(f, DNAT4_UDP, SERVICE_SHADOW, 5000);
	sample_connections(f, DNAT4_UDP, wanted);
	for (__u32 i = 0; i < CONNECTIONS; i++) {
		char from[32];
		struct segment segment = connection(DNAT4_UDP, i, from);
		bool first = world_backend_of(f, &segment) == DNAT4_UDP;

		of_first += first;
		of_second += !first;
		first_sampled += first && wanted[i];
		second_sampled += !first && wanted[i];
	}
	assert_in_range(of_first, 4750, 5250);
	assert_in_range(first_sampled * 100 / of_first, 46, 54);
	assert_in_range(second_sampled * 100 / of_second, 46, 54);
}

static void rules_come_before_the_sample(void **state)
{
	struct fixture *f = *state;
	struct segment s = world_request(L2DSR4_TCP), other = world_request(IPIP44_TCP);

	set_mirror(f, LOOPBACK);
	set_shadow(f, L2DSR4_TCP, SERVICE_SHADOW | SERVICE_SHADOW_RULES, 0);
	set_shadow(f, IPIP44_TCP, SERVICE_SHADOW | SERVICE_SHADOW_RULES, 0);
	assert_false(is_copied(f, &s));
	add_rule(f, L2DSR4_TCP, "192.0.0.0", 16, SHADOW_ALWAYS);
	add_rule(f, L2DSR4_TCP, "192.0.2.0", 24, SHADOW_ALWAYS);
	assert_true(is_copied(f, &s));
	assert_false(is_copied(f, &other)); /* of another service */
	set_shadow(f, L2DSR4_TCP, SERVICE_SHADOW | SERVICE_SHADOW_RULES, SHADOW_SAMPLE_ALL);
	add_rule(f, L2DSR4_TCP, "192.0.2.0", 25, SHADOW_NEVER);
	assert_false(is_copied(f, &s));
	s.from = "192.0.2.200";
	assert_true(is_copied(f, &s));
	set_shadow(f, L2DSR4_TCP, SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
	s.from = CLIENT4;
	assert_true(is_copied(f, &s)); /* rules that nobody is said to have */
}

static void rules_are_of_ipv6_too(void **state)
{
	struct fixture *f = *state;
	struct segment s = world_request(NAT6_TCP);

	set_mirror(f, LOOPBACK);
	set_shadow(f, NAT6_TCP, SERVICE_SHADOW | SERVICE_SHADOW_RULES, 0);
	add_rule(f, NAT6_TCP, "2001:db8::", 32, SHADOW_ALWAYS);
	assert_true(is_copied(f, &s));
	add_rule(f, NAT6_TCP, CLIENT6, 128, SHADOW_NEVER);
	assert_false(is_copied(f, &s));
}

/* --- where it cannot be made --- */

static void check_goes_alone(struct fixture *f, __u32 service, __u16 payload_bytes)
{
	struct segment in = world_request(service), out;
	__u64 before = clones_lost(f, service);

	in.payload_bytes = payload_bytes;
	out = world_split(service, service, &in);
	assert_true(world_becomes(f, "without a copy", &in, SENT, &out));
	assert_int_equal(clones_lost(f, service), before + 1);
}

static void production_goes_on_without_a_mirror(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		set_shadow(f, service, SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
		check_goes_alone(f, service, 21);
		if (fixture_hook == HOOK_XDP)
			continue;
		set_mirror(f, NO_INTERFACE); /* it was deleted a moment ago */
		check_goes_alone(f, service, 21);
		set_mirror(f, 0);
	}
	assert_int_equal(fixture_drops(f), 0);
}

/* Where the kernel could not copy it, it would drop it. */
static void what_does_not_fit_a_page_goes_alone(void **state)
{
	const __u32 headers = ETHERNET_BYTES + 20 + 20;
	struct fixture *f = *state;
	struct segment s = world_request(DNAT4_TCP);

	if (fixture_hook == HOOK_TC)
		skip();
	set_mirror(f, LOOPBACK);
	set_shadow(f, DNAT4_TCP, SERVICE_SHADOW, SHADOW_SAMPLE_ALL);
	s.payload_bytes = LARGEST_COPY - headers;
	assert_true(is_copied(f, &s));
	check_goes_alone(f, DNAT4_TCP, LARGEST_COPY - headers + 1);
	check_goes_alone(f, DNAT4_TCP, 8000); /* in several pieces */
}

static int end(void **state)
{
	struct fixture *f = *state;

	set_mirror(f, 0);
	return world_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(copies_are_right_in_every_mode),
		TEST(what_only_acknowledges_is_not_copied),
		TEST(every_datagram_is_copied),
		TEST(pieces_and_extension_headers_are_not_copied),
		TEST(a_service_without_a_shadow_copies_nothing),
		TEST(replies_are_not_copied),
		TEST(what_is_not_sent_is_not_copied),
		TEST(the_sample_is_as_large_as_asked_for),
		TEST(the_sample_is_of_connections_where_affinity_is_of_clients),
		TEST(the_sample_has_nothing_to_do_with_slots),
		TEST(rules_come_before_the_sample),
		TEST(rules_are_of_ipv6_too),
		TEST(production_goes_on_without_a_mirror),
		TEST(what_does_not_fit_a_page_goes_alone),
	};

	begin(NULL);
	return run_on_every_hook(tests);
}
