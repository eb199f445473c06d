// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* QUIC datagrams, written out byte by byte (RFC 9000, 17; RFC 9369, 3.2): which open a connection, and whom they name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

#define PAYLOAD 40
#define V1 0x00, 0x00, 0x00, 0x01
#define V2 0x6b, 0x33, 0x43, 0xcf
/* Connection ids of 8 bytes: one octet of the server's own, the server id of four, three more. */
#define ID(server) 8, 0x17, 0xa0, 0xa1, 0xa2, (server), 0x55, 0x66, 0x77
#define SHORT_ID(server) 0x17, 0xa0, 0xa1, 0xa2, (server), 0x55, 0x66, 0x77
#define KNOWN 0xa3
#define UNKNOWN 0xb3

struct datagram {
	const char *what;
	bool opens;
	bool names; /* a server, once the service reads ids */
	__u8 bytes[PAYLOAD];
	__u8 cut_at; /* 0: nothing is cut off */
};

static const struct datagram datagrams[] = {
	{.what = "v1 Initial", .opens = true, .bytes = {0xc3, V1, ID(KNOWN)}},
	{.what = "v1 0-RTT", .opens = true, .bytes = {0xd1, V1, ID(KNOWN)}},
	{.what = "v1 Handshake", .names = true, .bytes = {0xe2, V1, ID(KNOWN)}},
	{.what = "v1 Retry", .names = true, .bytes = {0xf0, V1, ID(KNOWN)}},
	{.what = "v2 Retry", .names = true, .bytes = {0xc3, V2, ID(KNOWN)}},
	{.what = "v2 Initial", .opens = true, .bytes = {0xd1, V2, ID(KNOWN)}},
	{.what = "v2 0-RTT", .opens = true, .bytes = {0xe2, V2, ID(KNOWN)}},
	{.what = "v2 Handshake", .names = true, .bytes = {0xf0, V2, ID(KNOWN)}},
	{.what = "an unknown version", .opens = true, .bytes = {0xe2, 0x1a, 0x2a, 0x3a, 0x4a, ID(KNOWN)}},
	{.what = "version negotiation", .opens = true, .bytes = {0xe2, 0, 0, 0, 0, ID(KNOWN)}},
	{.what = "a short header", .names = true, .bytes = {0x43, SHORT_ID(KNOWN)}},
	{.what = "a short header without the fixed bit", .names = true, .bytes = {0x03, SHORT_ID(KNOWN)}},
	{.what = "a Handshake to an unknown server", .bytes = {0xe2, V1, ID(UNKNOWN)}},
	{.what = "a short header to an unknown server", .bytes = {0x43, SHORT_ID(UNKNOWN)}},
	{.what = "a Handshake whose id is too short", .bytes = {0xe2, V1, 4, 0x17, 0xa0, 0xa1, 0xa2, KNOWN}},
	{.what = "a Handshake whose id just has it",
	 .names = true,
	 .bytes = {0xe2, V1, 5, 0x17, 0xa0, 0xa1, 0xa2, KNOWN}},
	{.what = "a Handshake, cut off in its id", .bytes = {0xe2, V1, ID(KNOWN)}, .cut_at = 10},
	{.what = "a short header, cut off in its id", .bytes = {0x43, SHORT_ID(KNOWN)}, .cut_at = 5},
	{.what = "a lone byte", .bytes = {0xc3}, .cut_at = 1},
	{.what = "nothing at all", .cut_at = PAYLOAD + 1},
};

static const __u32 services[] = {DNAT4_UDP, DNAT6_UDP};

static void make_quic(struct fixture *f, __u32 service, __u8 server_id_bytes)
{
	struct service s = world_service_get(f, service);

	s.flags |= SERVICE_QUIC;
	s.server_id_bytes = server_id_bytes;
	world_service_set(f, service, &s);
}

static void name_server(struct fixture *f, __u32 service, __u32 backend)
{
	struct server_id_key key = {.service = service, .server_id = {0xa0, 0xa1, 0xa2, KNOWN}};

	map_set(f->server_ids, &key, &backend);
}

static struct segment carrying(__u32 service, const struct datagram *d)
{
	struct segment s = world_request(service);

	s.payload = d->bytes;
	s.payload_bytes = !d->cut_at ? PAYLOAD : d->cut_at > PAYLOAD ? 0 : d->cut_at;
	return s;
}

static bool goes_to(struct fixture *f, __u32 service, __u32 backend, const struct datagram *d)
{
	struct segment in = carrying(service, d), out = world_split(service, backend, &in);

	return world_becomes(f, d->what, &in, SENT, &out);
}

#define EACH_DATAGRAM(d) (const struct datagram *d = datagrams; d < datagrams + sizeof(datagrams) / sizeof(*d); d++)

static void in_a_settled_slot_all_go_to_the_entry(void **state)
{
	for (__u32 service = 1; service <= WORLD_LAST; service = world_next(service)) {
		if (!world_is_udp(service))
			continue;
		make_quic(*state, service, 0);
		for
			EACH_DATAGRAM(d)
			{
				fixture_forget(*state);
				assert_true(goes_to(*state, service, service, d));
			}
	}
}

/* NAT knows no base: what it does not know opens a flow. */
static void in_a_tracked_slot_what_opens_goes_to_the_entry_and_else_to_base(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		__u32 service = services[i];

		make_quic(*state, service, 0);
		world_track(*state, service, SECOND(service), service);
		for
			EACH_DATAGRAM(d)
			{
				fixture_forget(*state);
				assert_true(goes_to(*state, service, d->opens ? SECOND(service) : service, d));
			}
	}
}

static void what_has_opened_in_a_tracked_slot_is_followed(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		__u32 service = services[i];

		make_quic(*state, service, 0);
		world_track(*state, service, SECOND(service), service);
		fixture_forget(*state);
		assert_true(goes_to(*state, service, SECOND(service), &datagrams[0]));
		for
			EACH_DATAGRAM(d)
		assert_true(goes_to(*state, service, SECOND(service), d));
	}
}

static void what_is_older_than_a_change_stays_at_base(void **state)
{
	__u32 service = DNAT4_UDP;

	make_quic(*state, service, 0);
	world_track(*state, service, SECOND(service), service);
	assert_true(goes_to(*state, service, service, &datagrams[10]));
	for
		EACH_DATAGRAM(d)
	assert_true(goes_to(*state, service, service, d));
}

static void without_the_flag_any_datagram_of_a_tracked_slot_opens(void **state)
{
	world_track(*state, DNAT4_UDP, SECOND(DNAT4_UDP), DNAT4_UDP);
	for
		EACH_DATAGRAM(d)
		{
			fixture_forget(*state);
			assert_true(goes_to(*state, DNAT4_UDP, SECOND(DNAT4_UDP), d));
		}
}

/* Whether the slot is settled or not, and in NAT too, where it is for new flows. */
static void an_id_leads_to_the_server_that_it_names(void **state)
{
	static const __u32 both[] = {DNAT4_UDP, DNAT6_UDP, NAT4_UDP, NAT6_UDP};

	for (size_t i = 0; i < 4; i++) {
		__u32 service = both[i];

		make_quic(*state, service, 4);
		name_server(*state, service, THIRD(service));
		for
			EACH_DATAGRAM(d)
			{
				fixture_forget(*state);
				assert_true(goes_to(*state, service, d->names ? THIRD(service) : service, d));
			}
		if (!world_is_dnat(service))
			continue;
		world_track(*state, service, SECOND(service), service);
		for
			EACH_DATAGRAM(d)
			{
				fixture_forget(*state);
				assert_true(goes_to(*state, service,
						    d->names   ? THIRD(service)
						    : d->opens ? SECOND(service)
							       : service,
						    d));
			}
	}
}

static void an_id_of_another_service_names_nobody(void **state)
{
	make_quic(*state, DNAT4_UDP, 4);
	name_server(*state, DNAT6_UDP, THIRD(DNAT4_UDP));
	for
		EACH_DATAGRAM(d)
	assert_true(goes_to(*state, DNAT4_UDP, DNAT4_UDP, d));
}

/* 8 bytes of id: as long as they may be; 1: as short. */
static void ids_are_as_long_as_the_service_says(void **state)
{
	static const struct datagram longest = {"8 bytes", .bytes = {0xe2, V1, 9, 0x17, 1, 2, 3, 4, 5, 6, 7, 8}};
	static const struct datagram shortest = {"1 byte", .bytes = {0x43, 0x17, 9, 7, 7, 7}};
	struct server_id_key key = {.service = DNAT4_UDP, .server_id = {1, 2, 3, 4, 5, 6, 7, 8}};
	struct fixture *f = *state;
	__u32 backend = THIRD(DNAT4_UDP);

	map_set(f->server_ids, &key, &backend);
	key = (struct server_id_key){.service = DNAT4_UDP, .server_id = {9}};
	backend = SECOND(DNAT4_UDP);
	map_set(f->server_ids, &key, &backend);
	make_quic(f, DNAT4_UDP, 8);
	assert_true(goes_to(f, DNAT4_UDP, THIRD(DNAT4_UDP), &longest));
	assert_true(goes_to(f, DNAT4_UDP, DNAT4_UDP, &shortest));
	make_quic(f, DNAT4_UDP, 1);
	assert_true(goes_to(f, DNAT4_UDP, DNAT4_UDP, &longest));
	assert_true(goes_to(f, DNAT4_UDP, SECOND(DNAT4_UDP), &shortest));
}

static void a_named_server_that_is_gone_is_a_named_drop(void **state)
{
	struct segment s = carrying(DNAT4_UDP, &datagrams[10]);

	make_quic(*state, DNAT4_UDP, 4);
	name_server(*state, DNAT4_UDP, BACKENDS_MAX);
	world_send_dropped(*state, &s, DNAT4_UDP, DROP_NO_BACKEND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_a_settled_slot_all_go_to_the_entry),
		TEST(in_a_tracked_slot_what_opens_goes_to_the_entry_and_else_to_base),
		TEST(what_has_opened_in_a_tracked_slot_is_followed),
		TEST(what_is_older_than_a_change_stays_at_base),
		TEST(without_the_flag_any_datagram_of_a_tracked_slot_opens),
		TEST(an_id_leads_to_the_server_that_it_names),
		TEST(an_id_of_another_service_names_nobody),
		TEST(ids_are_as_long_as_the_service_says),
		TEST(a_named_server_that_is_gone_is_a_named_drop),
	};

	return run_on_every_hook(tests);
}
