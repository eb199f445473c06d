// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "expiry.h"
#include "util.h"

#define NOW 1000000U
#define IDLE 7440U

struct expiry_case {
	const char *name;
	uint32_t silent;      /* ticks since the client's last packet */
	uint32_t port_silent; /* since the backend's */
	uint32_t flow_flags;
	uint32_t port_flags;
	bool has_port;
	bool half_open;
	uint8_t protocol;
	bool want;
};

static const struct expiry_case cases[] = {
	{"a busy flow lives", 0, 0, 0, 0, true, false, IPPROTO_TCP, false},
	{"a flow idle for its time still lives", IDLE, IDLE, 0, 0, true, false, IPPROTO_TCP, false},
	{"a flow idle for longer is over", IDLE + 1, IDLE + 1, 0, 0, true, false, IPPROTO_TCP, true},
	{"a flow that only the backend speaks on lives", IDLE + 1, 3, 0, 0, true, false, IPPROTO_TCP, false},
	{"a flow without reverse direction is judged by the client", IDLE + 1, 0, 0, 0, false, false, IPPROTO_TCP,
	 true},
	{"a reset by the client ends it soon", EXPIRY_RESET_S + 1, 99, FLOW_RESET, 0, true, false, IPPROTO_TCP, true},
	{"a reset by the server ends it soon", EXPIRY_RESET_S + 1, 99, 0, FLOW_RESET, true, false, IPPROTO_TCP, true},
	{"a reset flow waits for late segments", EXPIRY_RESET_S, 99, FLOW_RESET, 0, true, false, IPPROTO_TCP, false},
	{"both FINs end it after TIME_WAIT", EXPIRY_CLOSED_S + 1, EXPIRY_CLOSED_S + 1, FLOW_CLIENT_FIN, FLOW_SERVER_FIN,
	 true, false, IPPROTO_TCP, true},
	{"both FINs keep the port for TIME_WAIT", EXPIRY_CLOSED_S, EXPIRY_CLOSED_S, FLOW_CLIENT_FIN, FLOW_SERVER_FIN,
	 true, false, IPPROTO_TCP, false},
	{"one FIN leaves time for the other side's answer", EXPIRY_CLOSING_S, EXPIRY_CLOSING_S, FLOW_CLIENT_FIN, 0,
	 true, false, IPPROTO_TCP, false},
	{"one FIN and long silence end it", EXPIRY_CLOSING_S + 1, EXPIRY_CLOSING_S + 1, FLOW_CLIENT_FIN, 0, true, false,
	 IPPROTO_TCP, true},
	{"a half-open flow outlives a client's pauses between SYNs", 33, 33, 0, 0, true, true, IPPROTO_TCP, false},
	{"a half-open flow is given up", EXPIRY_HALF_OPEN_S + 1, EXPIRY_HALF_OPEN_S + 1, 0, 0, true, true, IPPROTO_TCP,
	 true},
};

static void flows_expire_by_what_was_seen_of_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct expiry_case *c = &cases[i];
		struct flow f = {.seen = NOW - c->silent, .flags = c->flow_flags};
		struct source_port port = {.seen = NOW - c->port_silent, .flags = c->port_flags};

		if (flow_expired(&f, c->has_port ? &port : NULL, c->half_open, c->protocol, NOW, IDLE) != c->want)
			fail_msg("%s", c->name);
	}
}

static void udp_flows_have_their_own_time(void **state)
{
	struct flow f = {.seen = NOW - 181};

	(void)state;
	assert_true(flow_expired(&f, NULL, false, IPPROTO_UDP, NOW, 180));
	f.seen = NOW - 180;
	assert_false(flow_expired(&f, NULL, false, IPPROTO_UDP, NOW, 180));
}

static void an_unanswered_port_without_flow_is_free_soon_an_answered_one_after_time_wait(void **state)
{
	struct source_port port = {.seen = NOW - EXPIRY_UNREPLIED_S - 1};

	(void)state;
	assert_true(source_port_expired(&port, NOW));
	port.flags = FLOW_REPLIED;
	assert_false(source_port_expired(&port, NOW));
	port.seen = NOW - EXPIRY_CLOSED_S - 1;
	assert_true(source_port_expired(&port, NOW));
}

static void a_stamp_that_is_ahead_is_no_silence(void **state)
{
	(void)state;
	assert_int_equal(ticks_since(NOW + 1, NOW), 0);
	assert_int_equal(ticks_since(UINT32_MAX, 4), 5); /* the counter wraps */
	assert_int_equal(tick_of_ns(3ULL << TICK_SHIFT), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_expire_by_what_was_seen_of_them),
		cmocka_unit_test(udp_flows_have_their_own_time),
		cmocka_unit_test(an_unanswered_port_without_flow_is_free_soon_an_answered_one_after_time_wait),
		cmocka_unit_test(a_stamp_that_is_ahead_is_no_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
