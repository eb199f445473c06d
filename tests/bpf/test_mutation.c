// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Many damaged packets, the same in every run: what the programs do with each is judged by an oracle of our own.
 * HEADGATE_MUTATIONS=10000000 makes it that many for each hook.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "oracle.h"
#include "random.h"

#define PACKETS 200000
#define EPOCH 8192 /* packets between two fresh starts, lest tables fill up or fragments age */
#define SAMPLES 400

struct samples {
	__u32 count;
	struct frame frame[SAMPLES];
};

static void add(struct samples *all, const struct segment *s)
{
	assert_true(all->count < SAMPLES);
	frame_build(s, &all->frame[all->count++]);
}

static void add_fragments(struct samples *all, struct segment s)
{
	s.payload_bytes = 50;
	s.cut_bytes = 32;
	for (s.cut_offset = 0; s.cut_offset <= 32; s.cut_offset += 32)
		add(all, &s);
}

/* With tags, IPv4 options and IPv6 extension headers, each in some. */
static void add_variants(struct samples *all, struct segment s, __u32 service)
{
	add(all, &s);
	s.vlan[service % 2] = 100;
	add(all, &s);
	add_fragments(all, s);
	s.vlan[0] = s.vlan[1] = 7;
	if (world_is_ipv6(service)) {
		s.extensions = 3;
		s.extension[0] = (struct extension){.type = IPPROTO_HOPOPTS, .units = 1};
		s.extension[1] = (struct extension){.type = IPPROTO_ROUTING};
		s.extension[2] = (struct extension){.type = IPPROTO_DSTOPTS};
	} else {
		s.ip_option_bytes = 8;
	}
	add(all, &s);
	add_fragments(all, s);
}

/* What routers and hosts say of the service's packets, and of clients' to its backend. */
static void add_icmp(struct samples *all, __u32 service, const struct segment *forwarded)
{
	bool ipv6 = world_is_ipv6(service);
	struct segment said = world_answered(service);
	struct segment error = {
		.from = ipv6 ? ROUTER6 : ROUTER4,
		.to = said.from,
		.protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		.icmp_type = ipv6 ? 2 : 3,
		.icmp_code = ipv6 ? 0 : 4,
		.icmp_rest = 1400,
		.inner = &said,
	};

	add(all, &error);
	if (service > WORLD_SERVICES)
		return;
	error.from = forwarded->to;
	error.to = forwarded->from;
	error.inner = forwarded;
	add(all, &error);
	error.to = said.from;
	error.icmp_type = ipv6 ? 128 : 8;
	error.icmp_code = 0;
	error.inner = NULL;
	add(all, &error);
	add_fragments(all, error);
}

/* The replies of NAT's services are those of a flow that is open. */
static void make_samples(struct fixture *f, struct samples *ret)
{
	ret->count = 0;
	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		struct segment request = world_request(service), forwarded = world_forwarded(service, service), reply;

		add_variants(ret, request, service);
		if (service <= WORLD_SERVICES) {
			reply = world_reply(service, service);
			if (!world_is_dnat(service))
				reply.to_port = forwarded.from_port = world_send(f, &request).source_port;
			add_variants(ret, reply, service);
		}
		forwarded.outer.kind = OUTER_NONE;
		add_icmp(ret, service, &forwarded);
	}
}

/* One to three bytes are changed, the frame cut or padded now and then, half of the checksums put right again. */
static void mutate(struct random *random, struct frame *frame)
{
	__u32 changes = 1 + random_below(random, 3);
	struct reading r;

	if (random_below(random, 8) == 0)
		frame->bytes = ETHERNET_BYTES + random_below(random, frame->bytes - ETHERNET_BYTES);
	else if (random_below(random, 8) == 0)
		frame->bytes += random_below(random, 40);
	for (__u32 i = 0; i < changes; i++) {
		__u32 at = random_below(random, frame->bytes);

		if (random_below(random, 2))
			frame->data[at] ^= 1 << random_below(random, 8);
		else
			frame->data[at] = random_below(random, 256);
	}
	if (random_below(random, 2) && frame_read(frame, &r) && !r.malformed)
		frame_fix_checksums(frame, &r);
}

static __u64 packets_asked_for(void)
{
	const char *text = getenv("HEADGATE_MUTATIONS");

	return text ? strtoull(text, NULL, 10) : PACKETS;
}

static void run_one(struct fixture *f, struct oracle *oracle, const struct frame *in, __u64 number, __u64 *outcomes)
{
	static struct frame out;
	enum outcome outcome;
	const char *wrong;

	if (!fixture_takes(in))
		return;
	outcome = fixture_run(f, in, &out);
	wrong = oracle_judge(oracle, in, &out, outcome);
	if (wrong) {
		frame_print_difference(&out, in);
		oracle_free(oracle);
		fail_msg("packet %llu, outcome %d: %s", (unsigned long long)number, outcome, wrong);
	}
	outcomes[outcome]++;
}

static void damaged_packets_are_judged_as_they_should_be(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.buckets = {8192, 8192}});
	struct oracle *oracle = oracle_new(f);
	struct random random = {.state = 0x9ad6e};
	__u64 outcomes[OUTCOMES] = {}, packets = packets_asked_for();
	static struct samples samples;
	static struct frame in;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		if (!world_is_dnat(service))
			world_set_ports(f, service, 1024, 65535);
	}
	for (__u64 i = 0; i < packets; i++) {
		const struct frame *sample;

		if (i % EPOCH == 0) {
			fixture_forget(f);
			oracle_forget(oracle);
			make_samples(f, &samples);
		}
		sample = &samples.frame[random_below(&random, samples.count)];
		in.bytes = sample->bytes;
		memset(in.data, 0, 512);
		memcpy(in.data, sample->data, sample->bytes);
		mutate(&random, &in);
		run_one(f, oracle, &in, i, outcomes);
	}
	oracle_free(oracle);
	print_message("%llu passed, %llu dropped, %llu sent\n", (unsigned long long)outcomes[PASSED],
		      (unsigned long long)outcomes[DROPPED], (unsigned long long)outcomes[SENT]);
	/* A run that sends, drops or passes next to nothing would prove nothing. */
	assert_true(outcomes[PASSED] > packets / 10);
	assert_true(outcomes[DROPPED] > packets / 20);
	assert_true(outcomes[SENT] > packets / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(damaged_packets_are_judged_as_they_should_be, world_setup_own,
						world_teardown),
	};

	return run_on_every_hook(tests);
}
