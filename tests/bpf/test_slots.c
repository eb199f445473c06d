// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which slot a client falls in: the program and hash.h in user space agree on every one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>

#include "hash.h"
#include "random.h"
#include "world.h"

/* Prime, so that a backend tells of all the slot's bits. */
#define MANY 251U
#define FIRST 100U
#define MANY_ROW 41U

/* Slot s is owned by backend FIRST + s modulo MANY, at 10.0.2.x or fd00:2::x, x = s modulo MANY. */
static void spread(struct fixture *f, __u32 service, __u32 flags)
{
	struct service s = world_service_get(f, service);
	struct row *row = malloc(sizeof(*row));
	char address[32];

	assert_non_null(row);
	for (__u32 i = 0; i < MANY; i++) {
		snprintf(address, sizeof(address), world_is_ipv6(service) ? "fd00:2::%x" : "10.0.2.%u", i);
		world_add_backend(f, FIRST + i, service, address, FIRST + i, LOOPBACK);
	}
	for (__u32 slot = 0; slot < SLOTS; slot++)
		row->slot[slot] = FIRST + slot % MANY;
	map_set(f->rows, &(__u32){MANY_ROW}, row);
	free(row);
	s.main.entries = MANY_ROW;
	s.flags = flags;
	world_service_set(f, service, &s);
}

static __u32 wanted_slot(struct fixture *f, __u32 service, const struct segment *s, bool by_client_alone)
{
	struct address client = address_of(s->from);
	__u32 seed = world_service_get(f, service).seed;

	return hash_slot(hash_client(seed, &client, by_client_alone ? 0 : htons(s->from_port)));
}

static const char *random_client(struct random *random, bool ipv6, char text[INET6_ADDRSTRLEN])
{
	struct in6_addr bytes;

	for (size_t i = 0; i < sizeof(bytes.s6_addr); i++)
		bytes.s6_addr[i] = random_below(random, 256);
	bytes.s6_addr[0] = 0x20; /* a global address */
	assert_non_null(inet_ntop(ipv6 ? AF_INET6 : AF_INET, &bytes, text, INET6_ADDRSTRLEN));
	return text;
}

static void check_random_clients(struct fixture *f, __u32 service)
{
	struct random random = {.state = 0x5107 + service};
	char client[INET6_ADDRSTRLEN];

	spread(f, service, 0);
	for (int i = 0; i < 10000; i++) {
		struct segment s = world_request(service);

		s.from = random_client(&random, world_is_ipv6(service), client);
		s.from_port = 1 + random_below(&random, 65535);
		assert_int_equal(world_backend_of(f, &s), wanted_slot(f, service, &s, false) % MANY);
	}
}

static void the_program_s_slot_is_the_one_that_hash_h_says(void **state)
{
	check_random_clients(*state, DNAT4_TCP);
}

static void the_same_holds_for_ipv6(void **state)
{
	check_random_clients(*state, DNAT6_UDP);
}

static void all_ports_of_an_affine_client_have_one_backend(void **state)
{
	struct random random = {.state = 0xaff1};
	struct fixture *f = *state;
	char client[INET6_ADDRSTRLEN];

	spread(f, DNAT4_TCP, SERVICE_CLIENT_AFFINITY);
	for (int i = 0; i < 100; i++) {
		struct segment s = world_request(DNAT4_TCP);

		s.from = random_client(&random, false, client);
		for (int port = 0; port < 20; port++) {
			s.from_port = 1 + random_below(&random, 65535);
			assert_int_equal(world_backend_of(f, &s), wanted_slot(f, DNAT4_TCP, &s, true) % MANY);
		}
	}
}

static void the_ports_of_another_client_spread(void **state)
{
	struct fixture *f = *state;
	bool seen[MANY] = {};
	__u32 different = 0;

	spread(f, DNAT4_TCP, 0);
	for (__u16 port = 1; port <= 1000; port++) {
		struct segment s = world_request(DNAT4_TCP);
		__u32 backend;

		s.from_port = port;
		backend = world_backend_of(f, &s);
		different += !seen[backend];
		seen[backend] = true;
	}
	assert_in_range(different, 230, MANY); /* 246 expected: MANY * (1 - e^-4) */
}

/* All other slots are empty. */
static void first_and_last_slot_are_used(void **state)
{
	struct fixture *f = *state;
	struct segment s = world_request(DNAT4_TCP);
	struct row *row = calloc(1, sizeof(*row));
	__u32 hit = 0;

	assert_non_null(row);
	row->slot[0] = DNAT4_TCP;
	row->slot[SLOTS - 1] = DNAT4_TCP;
	map_set(f->rows, &(__u32){DNAT4_TCP}, row);
	free(row);
	for (__u32 last = 0; last < 10 && hit < 2; last++) {
		for (__u32 port = 1; port <= 65535; port++) {
			char client[INET_ADDRSTRLEN];
			__u32 slot;

			snprintf(client, sizeof(client), "192.0.2.%u", last);
			s.from = client;
			s.from_port = port;
			slot = wanted_slot(f, DNAT4_TCP, &s, false);
			if (slot != (hit ? SLOTS - 1 : 0))
				continue;
			assert_int_equal(world_backend_of(f, &s), DNAT4_TCP);
			hit++;
			break;
		}
	}
	assert_int_equal(hit, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_program_s_slot_is_the_one_that_hash_h_says),
		TEST(the_same_holds_for_ipv6),
		TEST(all_ports_of_an_affine_client_have_one_backend),
		TEST(the_ports_of_another_client_spread),
		TEST(first_and_last_slot_are_used),
	};

	return run_on_every_hook(tests);
}
