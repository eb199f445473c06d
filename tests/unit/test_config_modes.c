// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a configuration says of modes that do not rewrite packets, of tunnels, QUIC, and interfaces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "model_diff.h"

#define TOP "interfaces: [eth0]\nservices:\n"
#define SERVICE(name, address, options, backends)                                                                      \
	"  " name ": {address: \"" address "\", port: 8000, " options                                                  \
	", variants: {blue: {weight: 1, backends: [" backends "]}}}\n"

static void assert_backend(const struct service_model *s, size_t index, const char *want)
{
	const struct endpoint *e = &s->variants[0].backends[index].endpoint;
	char text[ADDRESS_TEXT_SIZE];

	assert_string_equal(endpoint_format(&e->address, e->port, text), want);
}

static void assert_source(const struct prefix *source, const char *want)
{
	char text[ADDRESS_TEXT_SIZE];

	assert_string_equal(prefix_format(source, text), want);
}

static void a_backend_has_the_services_port_where_packets_are_not_rewritten(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(
		TOP SERVICE("a", "10.0.0.10", "forward: l2dsr", "10.0.1.11, 10.0.1.12:8000")
			SERVICE("b", "fd00::10", "forward: l2dsr", "fd00::11, \"[fd00::12]\", \"[fd00::13]:8000\""));

	(void)state;
	assert_int_equal(m->services[0].forward, FORWARD_L2DSR);
	assert_backend(&m->services[0], 0, "10.0.1.11:8000");
	assert_backend(&m->services[0], 1, "10.0.1.12:8000");
	assert_backend(&m->services[1], 0, "[fd00::11]:8000");
	assert_backend(&m->services[1], 1, "[fd00::12]:8000");
	assert_backend(&m->services[1], 2, "[fd00::13]:8000");
}

static void a_tunnel_leads_to_either_family(void **state)
{
	_cleanup_(model_freep) struct model *m =
		parse(TOP SERVICE("a", "10.0.0.10", "forward: ipip", "10.0.1.11, fd00::11")
			      SERVICE("b", "fd00::10", "forward: gue", "10.0.1.11, fd00::11"));

	(void)state;
	assert_int_equal(m->services[0].forward, FORWARD_IPIP);
	assert_int_equal(m->services[1].forward, FORWARD_GUE);
	for (size_t i = 0; i < 2; i++) {
		assert_backend(&m->services[i], 0, "10.0.1.11:8000");
		assert_backend(&m->services[i], 1, "[fd00::11]:8000");
	}
}

static void outer_sources_are_nobodys_in_ipip_and_our_own_in_gue(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(TOP SERVICE("a", "10.0.0.10", "forward: ipip", "10.0.1.11")
							       SERVICE("b", "10.0.0.11", "forward: gue", "10.0.1.11"));

	(void)state;
	assert_source(&m->services[0].tunnel_source[0], "198.18.0.0/15");
	assert_source(&m->services[0].tunnel_source[1], "100::/64");
	assert_int_equal(m->services[0].tunnel_port, 0);
	assert_true(address_is_zero(&m->services[1].tunnel_source[0].address));
	assert_true(address_is_zero(&m->services[1].tunnel_source[1].address));
	assert_int_equal(m->services[1].tunnel_port, 6080);
}

static void a_tunnels_sources_and_port_are_taken(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(
		TOP SERVICE("a", "10.0.0.10", "forward: ipip, tunnel: {source: 10.7.0.0/16}", "10.0.1.11")
			SERVICE("b", "10.0.0.11",
				"forward: gue, tunnel: {source: [\"fd07::/96\", 10.7.0.1], port: 5555}", "10.0.1.11"));

	(void)state;
	assert_source(&m->services[0].tunnel_source[0], "10.7.0.0/16");
	assert_source(&m->services[0].tunnel_source[1], "100::/64");
	assert_source(&m->services[1].tunnel_source[0], "10.7.0.1/32");
	assert_source(&m->services[1].tunnel_source[1], "fd07::/96");
	assert_int_equal(m->services[1].tunnel_port, 5555);
}

static void quic_is_asked_for(void **state)
{
	_cleanup_(model_freep) struct model *m =
		parse(TOP SERVICE("a", "10.0.0.10", "protocol: udp, forward: nat, quic: true", "10.0.1.11:443")
			      SERVICE("b", "10.0.0.11", "protocol: udp, forward: nat, quic: false", "10.0.1.11:443")
				      SERVICE("c", "10.0.0.12", "protocol: udp, forward: gue", "10.0.1.11"));

	(void)state;
	assert_true(m->services[0].quic);
	assert_int_equal(m->services[0].server_id_bytes, 0);
	assert_false(m->services[1].quic);
	assert_false(m->services[2].quic);
}

static void server_ids_are_bytes(void **state)
{
	static const uint8_t want[2][SERVER_ID_MAX] = {{0x00, 0x11, 0xab}, {0xcd, 0xef, 0x01}};
	_cleanup_(model_freep) struct model *m = parse(
		TOP SERVICE("a", "10.0.0.10", "protocol: udp, forward: gue, quic: {server_id_length: 3}",
			    "{address: 10.0.1.11, server_id: 0x0011aB}, {address: fd00::1, server_id: \"CDEF01\"}"));
	const struct service_model *s = &m->services[0];

	(void)state;
	assert_true(s->quic);
	assert_int_equal(s->server_id_bytes, 3);
	for (size_t i = 0; i < 2; i++)
		assert_memory_equal(s->variants[0].backends[i].server_id, want[i], SERVER_ID_MAX);
}

static void one_server_in_two_variants_may_have_one_server_id(void **state)
{
	_cleanup_(model_freep) struct model *m =
		parse(TOP "  a: {address: 10.0.0.10, port: 443, protocol: udp, forward: gue, quic: {server_id_length: "
			  "1}, variants: {blue: {weight: 1, backends: &b [{address: 10.0.1.11, server_id: 0x01}]}, "
			  "green: {weight: 1, backends: *b}}}\n"
			  "  b: {address: 10.0.0.11, port: 443, protocol: udp, forward: gue, quic: {server_id_length: "
			  "1}, variants: {blue: {weight: 1, backends: [{address: 10.0.1.12, server_id: 0x01}]}}}\n");

	(void)state;
	assert_int_equal(m->services[0].variants[1].backends[0].server_id[0], 1);
	assert_int_equal(m->services[1].variants[0].backends[0].server_id[0], 1);
}

static void backends_whose_replies_do_not_come_by_may_be_shared_with_dnat(void **state)
{
	_cleanup_(model_freep) struct model *m =
		parse(TOP SERVICE("a", "10.0.0.10", "forward: dnat", "10.0.1.11:8000")
			      SERVICE("b", "10.0.0.11", "forward: ipip", "10.0.1.11")
				      SERVICE("c", "10.0.0.12", "forward: l2dsr", "10.0.1.11"));

	(void)state;
	assert_int_equal(m->service_count, 3);
}

static void an_interface_says_how_the_program_is_attached(void **state)
{
	_cleanup_(model_freep) struct model *m = parse("interfaces: [eth0, {name: eth1, attach: tc}, {name: eth2, "
						       "existing: chain}, {name: eth3, existing: refuse}]\n"
						       "services: {}\n");

	(void)state;
	assert_int_equal(m->interfaces[0].existing, EXISTING_REFUSE);
	assert_int_equal(m->interfaces[1].attach, ATTACH_TC);
	assert_int_equal(m->interfaces[2].existing, EXISTING_CHAIN);
	assert_int_equal(m->interfaces[3].existing, EXISTING_REFUSE);
}

static void what_changes_is_told(void **state)
{
	_cleanup_(model_freep) struct model *before = parse(
		TOP SERVICE("a", "10.0.0.10", "forward: dnat, measure: all", "10.0.1.11:8000")
			SERVICE("b", "10.0.0.11", "forward: gue", "10.0.1.12")
				SERVICE("c", "10.0.0.12", "protocol: udp, forward: gue, quic: {server_id_length: 1}",
					"{address: 10.0.1.12, server_id: 0x01}"));
	_cleanup_(model_freep) struct model *after =
		parse("interfaces: [{name: eth0, existing: chain}]\nservices:\n" SERVICE("a", "10.0.0.10",
											 "forward: ipip", "10.0.1.11")
			      SERVICE("b", "10.0.0.11", "forward: gue, tunnel: {source: 10.7.0.0/16, port: 7000}",
				      "10.0.1.12") SERVICE("c", "10.0.0.12",
							   "protocol: udp, forward: gue, quic: {server_id_length: 1}",
							   "{address: 10.0.1.12, server_id: 0x02}"));
	_cleanup_free_ char *told = NULL;

	(void)state;
	assert_int_equal(model_diff(before, after, &told), 0);
	assert_string_equal(told, "interface eth0 (auto) removed\n"
				  "interface eth0 (auto, chain) added\n"
				  "a: forward is now ipip; connections that were open end\n"
				  "b: tunnel sources changed\n"
				  "b: tunnel port is now 7000\n"
				  "c: backend 10.0.1.12:8000 of blue has another server id\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backend_has_the_services_port_where_packets_are_not_rewritten),
		cmocka_unit_test(a_tunnel_leads_to_either_family),
		cmocka_unit_test(outer_sources_are_nobodys_in_ipip_and_our_own_in_gue),
		cmocka_unit_test(a_tunnels_sources_and_port_are_taken),
		cmocka_unit_test(quic_is_asked_for),
		cmocka_unit_test(server_ids_are_bytes),
		cmocka_unit_test(one_server_in_two_variants_may_have_one_server_id),
		cmocka_unit_test(backends_whose_replies_do_not_come_by_may_be_shared_with_dnat),
		cmocka_unit_test(an_interface_says_how_the_program_is_attached),
		cmocka_unit_test(what_changes_is_told),
	};

	return cmocka_run_group_tests_name("modes in a configuration", tests, NULL, NULL);
}
