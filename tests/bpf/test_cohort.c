// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Cohorts: sources pinned to a variant's table, and what a rule's coming and going means for older connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/bpf.h>
#include <string.h>

#include "world.h"

#define OUTSIDER4 "198.51.100.9"
#define OUTSIDER6 "2001:db8:1::9"

/* The main table is the first backend's, variant 1 the second's, variant 2 the third's. */
static void use_cohorts(struct fixture *f, __u32 service)
{
	struct service s = world_service_get(f, service);

	s.flags |= SERVICE_COHORTS;
	s.variant[1].entries = SECOND(service);
	s.variant[2].entries = THIRD(service);
	world_service_set(f, service, &s);
}

static void add_cohort(struct fixture *f, __u32 service, const char *prefix, __u32 bits, struct cohort cohort)
{
	struct cohort_key key = {
		.prefix_bits = 32 + (strchr(prefix, ':') ? bits : 96 + bits),
		.service = service,
		.source = address_of(prefix),
	};

	map_set(f->cohorts, &key, &cohort);
}

/* The life of a rule that pins to @variant. */
static struct cohort added(__u32 variant)
{
	return (struct cohort){.fresh = variant, .older = COHORT_SERVICE, .tracked = 1};
}

static struct cohort settled(__u32 variant)
{
	return (struct cohort){.fresh = variant};
}

static struct cohort removed(__u32 variant)
{
	return (struct cohort){.fresh = COHORT_SERVICE, .older = variant, .tracked = 1};
}

static __u32 goes_to(struct fixture *f, __u32 service, const char *client, __u16 port, __u8 flags)
{
	struct segment s = world_request(service);

	s.from = client;
	s.from_port = port;
	s.flags = flags;
	return world_backend_of(f, &s);
}

static const char *client_of(__u32 service)
{
	return world_is_ipv6(service) ? CLIENT6 : CLIENT4;
}

static void pin_clients(struct fixture *f, __u32 service, struct cohort cohort)
{
	if (world_is_ipv6(service))
		add_cohort(f, service, "2001:db8::", 64, cohort);
	else
		add_cohort(f, service, "192.0.2.0", 24, cohort);
}

static void members_of_a_settled_cohort_go_to_its_variant(void **state)
{
	struct fixture *f = *state;

	for (__u32 service = 1; service <= WORLD_SERVICES; service++) {
		use_cohorts(f, service);
		pin_clients(f, service, settled(1));
		assert_int_equal(goes_to(f, service, client_of(service), 1000, SYN), SECOND(service));
		assert_int_equal(goes_to(f, service, world_is_ipv6(service) ? OUTSIDER6 : OUTSIDER4, 1000, SYN),
				 service);
		if (!world_is_dnat(service))
			continue;
		assert_int_equal(goes_to(f, service, client_of(service), 1001, ACK), SECOND(service));
		assert_int_equal(fixture_service_counters(f, service).flow_lookups, 0);
	}
}

static void the_longest_prefix_decides(void **state)
{
	struct fixture *f = *state;

	use_cohorts(f, DNAT4_TCP);
	use_cohorts(f, DNAT6_TCP);
	add_cohort(f, DNAT4_TCP, "192.0.0.0", 16, settled(1));
	add_cohort(f, DNAT4_TCP, "192.0.2.7", 32, settled(2));
	add_cohort(f, DNAT6_TCP, "2001:db8::", 32, settled(1));
	add_cohort(f, DNAT6_TCP, "2001:db8::7", 128, settled(2));
	assert_int_equal(goes_to(f, DNAT4_TCP, "192.0.2.7", 1000, SYN), THIRD(DNAT4_TCP));
	assert_int_equal(goes_to(f, DNAT4_TCP, "192.0.2.6", 1000, SYN), SECOND(DNAT4_TCP));
	assert_int_equal(goes_to(f, DNAT4_TCP, "192.1.2.7", 1000, SYN), DNAT4_TCP);
	assert_int_equal(goes_to(f, DNAT6_TCP, "2001:db8::7", 1000, SYN), THIRD(DNAT6_TCP));
	assert_int_equal(goes_to(f, DNAT6_TCP, "2001:db8::6", 1000, SYN), SECOND(DNAT6_TCP));
	assert_int_equal(goes_to(f, DNAT6_TCP, "2001:db9::7", 1000, SYN), DNAT6_TCP);
}

/* Even one that holds every address. */
static void a_cohort_is_of_one_service(void **state)
{
	struct fixture *f = *state;

	use_cohorts(f, DNAT4_TCP);
	use_cohorts(f, DNAT4_UDP);
	add_cohort(f, DNAT4_UDP, "0.0.0.0", 0, settled(1));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1000, SYN), DNAT4_TCP);
	assert_int_equal(goes_to(f, DNAT4_UDP, CLIENT4, 1000, 0), SECOND(DNAT4_UDP));
}

static void a_service_without_the_flag_looks_for_no_cohorts(void **state)
{
	struct fixture *f = *state;
	struct service s;

	use_cohorts(f, DNAT4_TCP);
	add_cohort(f, DNAT4_TCP, "192.0.2.0", 24, settled(1));
	s = world_service_get(f, DNAT4_TCP);
	s.flags &= ~SERVICE_COHORTS;
	world_service_set(f, DNAT4_TCP, &s);
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1000, SYN), DNAT4_TCP);
}

static void a_cohort_s_own_table_may_be_changing(void **state)
{
	struct fixture *f = *state;
	struct service s;

	use_cohorts(f, DNAT4_TCP);
	s = world_service_get(f, DNAT4_TCP);
	fixture_fill_row(f, TRACKED_ROW, THIRD(DNAT4_TCP) | SLOT_TRACKED);
	s.variant[1] = (struct table){.entries = TRACKED_ROW, .base = SECOND(DNAT4_TCP)};
	world_service_set(f, DNAT4_TCP, &s);
	add_cohort(f, DNAT4_TCP, "192.0.2.0", 24, settled(1));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1000, SYN), THIRD(DNAT4_TCP));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1001, ACK), SECOND(DNAT4_TCP));
}

/* From the day before the rule to the day after it, in a stateless mode. */
static void connections_outlive_a_rule_in_dnat(void **state)
{
	struct fixture *f = *state;
	const __u32 main = DNAT4_TCP, variant = SECOND(DNAT4_TCP);

	use_cohorts(f, DNAT4_TCP);
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1000, SYN), main);
	add_cohort(f, DNAT4_TCP, "192.0.2.0", 24, added(1));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1000, ACK), main);
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1001, SYN), variant);
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1001, ACK), variant);
	assert_int_equal(goes_to(f, DNAT4_TCP, OUTSIDER4, 1001, SYN), main);
	add_cohort(f, DNAT4_TCP, "192.0.2.0", 24, settled(1));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1001, ACK), variant);
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1002, SYN), variant);
	add_cohort(f, DNAT4_TCP, "192.0.2.0", 24, removed(1));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1001, ACK), variant); /* written down while the rule was new */
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1002, ACK), variant); /* older, by the table */
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1003, SYN), main);
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1003, ACK), main);
	assert_int_equal(fixture_service_counters(f, DNAT4_TCP).flow_misses, 2);
}

static void a_rule_that_changes_its_variant_keeps_older_connections(void **state)
{
	struct fixture *f = *state;

	use_cohorts(f, DNAT4_TCP);
	add_cohort(f, DNAT4_TCP, "192.0.2.0", 24, settled(1));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1000, SYN), SECOND(DNAT4_TCP));
	add_cohort(f, DNAT4_TCP, "192.0.2.0", 24, (struct cohort){.fresh = 2, .older = 1, .tracked = 1});
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1000, ACK), SECOND(DNAT4_TCP));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1001, SYN), THIRD(DNAT4_TCP));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1001, ACK), THIRD(DNAT4_TCP));
}

/* A rule that comes while weights move: its members' older connections are where the moving slot settled last. */
static void a_rule_that_comes_amid_a_change_keeps_base(void **state)
{
	struct fixture *f = *state;

	use_cohorts(f, DNAT4_TCP);
	world_track(f, DNAT4_TCP, SECOND(DNAT4_TCP), DNAT4_TCP);
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1000, SYN), SECOND(DNAT4_TCP));
	add_cohort(f, DNAT4_TCP, "192.0.2.0", 24, added(2));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1000, ACK), SECOND(DNAT4_TCP));
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1001, ACK), DNAT4_TCP);
	assert_int_equal(goes_to(f, DNAT4_TCP, CLIENT4, 1002, SYN), THIRD(DNAT4_TCP));
}

/* In NAT every flow is known: only new ones follow the rule. */
static void connections_outlive_a_rule_in_nat(void **state)
{
	struct fixture *f = *state;
	const __u32 main = NAT4_TCP, variant = SECOND(NAT4_TCP);

	use_cohorts(f, NAT4_TCP);
	world_set_ports(f, NAT4_TCP, 20000, 29999);
	assert_int_equal(goes_to(f, NAT4_TCP, CLIENT4, 1000, SYN), main);
	add_cohort(f, NAT4_TCP, "192.0.2.0", 24, added(1));
	assert_int_equal(goes_to(f, NAT4_TCP, CLIENT4, 1000, ACK), main);
	assert_int_equal(goes_to(f, NAT4_TCP, CLIENT4, 1001, SYN), variant);
	add_cohort(f, NAT4_TCP, "192.0.2.0", 24, settled(1));
	assert_int_equal(goes_to(f, NAT4_TCP, CLIENT4, 1000, ACK), main);
	assert_int_equal(goes_to(f, NAT4_TCP, CLIENT4, 1001, ACK), variant);
	assert_int_equal(goes_to(f, NAT4_TCP, CLIENT4, 1002, SYN), variant);
	add_cohort(f, NAT4_TCP, "192.0.2.0", 24, removed(1));
	assert_int_equal(goes_to(f, NAT4_TCP, CLIENT4, 1002, ACK), variant);
	assert_int_equal(goes_to(f, NAT4_TCP, CLIENT4, 1003, SYN), main);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(members_of_a_settled_cohort_go_to_its_variant),
		TEST(the_longest_prefix_decides),
		TEST(a_cohort_is_of_one_service),
		TEST(a_service_without_the_flag_looks_for_no_cohorts),
		TEST(a_cohort_s_own_table_may_be_changing),
		TEST(connections_outlive_a_rule_in_dnat),
		TEST(a_rule_that_changes_its_variant_keeps_older_connections),
		TEST(a_rule_that_comes_amid_a_change_keeps_base),
		TEST(connections_outlive_a_rule_in_nat),
	};

	return run_on_every_hook(tests);
}
