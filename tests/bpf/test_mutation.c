// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Many damaged packets, the same in every run: what the program does with each is judged by an oracle of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "connection.h"
#include "random.h"

#define PACKETS 200000
#define SAMPLES (WORLD_SERVICES * 2)

static struct service_key endpoint_of(const struct address *address, __u16 port, __u8 protocol)
{
	return (struct service_key){.address = *address, .port = htons(port), .protocol = protocol};
}

/* The service that a packet is for; 0: none. */
static __u32 service_asked(struct fixture *f, const struct reading *r)
{
	struct service_key key = endpoint_of(&r->destination, r->destination_port, r->protocol);
	__u32 service = 0;

	map_get(f->vips, &key, &service);
	return service;
}

/* The service whose backend a packet is from: only first backends are in force. 0: none. */
static __u32 service_answering(struct fixture *f, const struct reading *r)
{
	struct service_key key = endpoint_of(&r->source, r->source_port, r->protocol);
	struct reply_origin origin = {};

	map_get(f->reply_origins, &key, &origin);
	return origin.backend;
}

/* A request and a reply of every service; the replies of NAT's are those of a flow that is open. */
static void make_samples(struct fixture *f, struct frame samples[SAMPLES])
{
	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		struct segment request = world_request(service);
		struct segment reply = world_reply(service, service);

		request.payload_bytes = 30;
		if (service & 1 && !world_is_ipv6(service))
			request.ip_option_bytes = 8;
		if (!world_is_dnat(service)) {
			world_set_ports(f, service, 1024, 65535);
			reply.to_port = world_send(f, &request).source_port;
		}
		frame_build(&request, &samples[2 * (service - 1)]);
		frame_build(&reply, &samples[2 * (service - 1) + 1]);
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
	/* Fragments, which depend on one another, have tests of their own. */
	if (frame->data[12] == 8 && frame->data[13] == 0) {
		frame->data[20] &= 0xc0;
		frame->data[21] = 0;
	}
	if (random_below(random, 2) && frame_read(frame, &r) && !r.malformed)
		frame_fix_checksums(frame, &r);
}

/* Nothing but MACs, hop limit, addresses, ports and checksums may differ. */
static bool only_rewritten_fields_differ(const struct frame *in, const struct frame *out, const struct reading *r)
{
	struct frame masked = *out;
	__u32 l4_check = r->l4 + (r->protocol == IPPROTO_TCP ? 16 : 6);
	const struct {
		__u32 at;
		__u32 bytes;
	} rewritten[] = {
		{0, 12}, {r->ipv6 ? 21 : 22, 1}, {r->ipv6 ? 22 : 24, r->ipv6 ? 32 : 10}, {r->l4, 4}, {l4_check, 2},
	};

	for (size_t i = 0; i < sizeof(rewritten) / sizeof(rewritten[0]); i++)
		memcpy(masked.data + rewritten[i].at, in->data + rewritten[i].at, rewritten[i].bytes);
	return frame_equal(in, &masked);
}

static bool is_endpoint(const struct address *got, __u16 got_port, const char *address, __u16 port)
{
	struct address wanted = address_of(address);

	return got_port == port && memcmp(got, &wanted, sizeof(wanted)) == 0;
}

/* True when a sent packet names the ends that it should. */
static bool ends_are_right(const struct reading *before, const struct reading *after, __u32 asked, __u32 answering)
{
	bool dnat = world_is_dnat(asked ? asked : answering);

	if (asked)
		return is_endpoint(&after->destination, after->destination_port, world_backend_address(asked),
				   BACKEND_PORT) &&
		       (!dnat || (memcmp(&after->source, &before->source, sizeof(before->source)) == 0 &&
				  after->source_port == before->source_port));
	return is_endpoint(&after->source, after->source_port, world_is_ipv6(answering) ? VIP6 : VIP4,
			   dnat ? DNAT_PORT : NAT_PORT) &&
	       (!dnat || (memcmp(&after->destination, &before->destination, sizeof(before->destination)) == 0 &&
			  after->destination_port == before->destination_port));
}

/* NULL, or what is wrong with a packet that was sent. */
static const char *wrong_with_sent(const struct frame *in, const struct frame *out, const struct reading *r,
				   __u32 asked, __u32 answering)
{
	struct reading after;

	if (r->malformed)
		return "a malformed packet was sent";
	if (r->hop_limit <= 1)
		return "a packet without a hop left was sent";
	if (out->bytes != in->bytes || !frame_read(out, &after) || after.malformed || after.ip_bytes != r->ip_bytes)
		return "lengths changed";
	if (after.hop_limit != r->hop_limit - 1)
		return "hop limit is not one less";
	if (!only_rewritten_fields_differ(in, out, r))
		return "a field that is none of ours changed";
	if (frame_checksums_right(in, r) != frame_checksums_right(out, &after))
		return "right checksums became wrong, or wrong ones right";
	if (!ends_are_right(r, &after, asked, answering))
		return "addresses or ports are wrong";
	return NULL;
}

/* NULL, or what is wrong with what the program did. */
static const char *wrong_with(struct fixture *f, const struct frame *in, const struct frame *out, int verdict)
{
	struct reading r = {};
	bool readable = frame_read(in, &r);
	__u32 asked = readable ? service_asked(f, &r) : 0;
	__u32 answering = readable && !asked ? service_answering(f, &r) : 0;

	if (verdict == SENT)
		return asked || answering ? wrong_with_sent(in, out, &r, asked, answering)
					  : "what is not ours was sent";
	if (!frame_equal(in, out))
		return "changed, but not sent";
	if (verdict == DROPPED && !asked && !answering)
		return "what is not ours was dropped";
	if (verdict == PASSED && asked)
		return "what is for a service passed";
	if (verdict == DROPPED && asked && world_is_dnat(asked) && !r.malformed && r.hop_limit > 1)
		return "a good packet was dropped";
	return NULL;
}

static void damaged_packets_are_judged_as_they_should_be(void **state)
{
	struct fixture *f = *state = world_new(&(struct fixture_sizes){.source_ports = 65536, .established = 65536});
	struct random random = {.state = 0x9ad6e};
	struct frame samples[SAMPLES];
	__u32 verdicts[OUTCOMES] = {};

	make_samples(f, samples);
	for (int i = 0; i < PACKETS; i++) {
		struct frame in = samples[random_below(&random, SAMPLES)];
		struct frame out;
		const char *wrong;
		int verdict;

		mutate(&random, &in);
		verdict = fixture_run(f, &in, &out);
		wrong = wrong_with(f, &in, &out, verdict);
		if (wrong) {
			frame_print_difference(&out, &in);
			fail_msg("packet %d, verdict %d: %s", i, verdict, wrong);
		}
		verdicts[verdict]++;
	}
	print_message("%u passed, %u dropped, %u sent\n", verdicts[PASSED], verdicts[DROPPED], verdicts[SENT]);
	/* A run that sends, drops or passes next to nothing would prove nothing. */
	assert_true(verdicts[PASSED] > PACKETS / 10);
	assert_true(verdicts[DROPPED] > PACKETS / 20);
	assert_true(verdicts[SENT] > PACKETS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(damaged_packets_are_judged_as_they_should_be, world_setup_own,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
