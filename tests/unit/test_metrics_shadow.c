// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the page for Prometheus says of shadows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "metrics_fixture.h"
#include "util.h"

/* A service without a shadow, and one with. */
static struct metrics_snapshot make_snapshot(void)
{
	struct metrics_snapshot s = {.version = "1", .services = calloc(2, sizeof(*s.services)), .service_count = 2};
	struct metrics_shadow *shadow = calloc(1, sizeof(*shadow));

	for (size_t i = 0; i < 2; i++) {
		s.services[i].name = i ? "mirrored" : "plain";
		s.services[i].protocol = IPPROTO_TCP;
		s.services[i].variants = calloc(1, sizeof(*s.services[i].variants));
	}
	*shadow = (struct metrics_shadow){
		.state = SHADOW_PAUSED,
		.engine = SHADOW_REPLAY,
		.sample = 0.1,
		.mirroring = 4,
		.counters =
			{
				.eligible = 104,
				.ended = {[SHADOW_WHOLE] = 90, [SHADOW_OVER_CAP] = 10},
				.packets = 11,
				.bytes = 12,
				.repaired = 13,
				.clones_lost = 14,
				.stray = 15,
				.connected = 16,
				.requests = 17,
				.response_bytes = 19,
				.unanswered = 20,
				.status = {1, 2, 3, 4, 5, 6},
				.matrix = {[2] = {[2] = 7, [5] = 8}, [0] = {[1] = 9}},
				.difference = {[0] = 5, [3] = 2, [31] = 1, [32 + 4] = 6, [63] = 1},
				.connect = {.sum_ns = 3000000, .count = 2, .bucket = {[0] = 2}},
				.first_byte = {.sum_ns = 5000000, .count = 3, .bucket = {[0] = 3}},
				.production_first_byte = {.sum_ns = 7000000, .count = 4, .bucket = {[0] = 4}},
			},
	};
	s.services[1].shadow = shadow;
	return s;
}

#define OF "{service=\"mirrored\""

static const struct {
	const char *key;
	double want;
} figures[] = {
	{"headgate_shadow_info" OF ",state=\"paused\",engine=\"replay\"}", 1},
	{"headgate_shadow_sample_ratio" OF "}", 0.1},
	{"headgate_shadow_connections_total" OF "}", 104},
	{"headgate_shadow_connections_active" OF "}", 4},
	{"headgate_shadow_connections_accepted_total" OF "}", 16},
	{"headgate_shadow_connections_ended_total" OF ",reason=\"whole\"}", 90},
	{"headgate_shadow_connections_ended_total" OF ",reason=\"over_cap\"}", 10},
	{"headgate_shadow_connections_ended_total" OF ",reason=\"stopped\"}", 0},
	{"headgate_shadow_coverage_ratio" OF "}", 0.9},
	{"headgate_shadow_packets_total" OF "}", 11},
	{"headgate_shadow_bytes_total" OF "}", 12},
	{"headgate_shadow_repaired_total" OF "}", 13},
	{"headgate_shadow_copies_lost_total" OF "}", 14},
	{"headgate_shadow_stray_packets_total" OF "}", 15},
	{"headgate_shadow_requests_total" OF "}", 17},
	{"headgate_shadow_response_bytes_total" OF "}", 19},
	{"headgate_shadow_unanswered_total" OF "}", 20},
	{"headgate_shadow_responses_total" OF ",class=\"none\"}", 1},
	{"headgate_shadow_responses_total" OF ",class=\"1xx\"}", 2},
	{"headgate_shadow_responses_total" OF ",class=\"5xx\"}", 6},
	{"headgate_shadow_compared_total" OF ",production=\"2xx\",shadow=\"2xx\"}", 7},
	{"headgate_shadow_compared_total" OF ",production=\"2xx\",shadow=\"5xx\"}", 8},
	{"headgate_shadow_compared_total" OF ",production=\"none\",shadow=\"1xx\"}", 9},
	{"headgate_shadow_compared_total" OF ",production=\"5xx\",shadow=\"2xx\"}", 0},
	{"headgate_shadow_compared_lengths_total" OF ",shadow=\"equal\"}", 5},
	{"headgate_shadow_compared_lengths_total" OF ",shadow=\"longer\"}", 3},
	{"headgate_shadow_compared_lengths_total" OF ",shadow=\"shorter\"}", 7},
	{"headgate_shadow_connect_seconds_sum" OF "}", 0.003},
	{"headgate_shadow_connect_seconds_count" OF "}", 2},
	{"headgate_shadow_first_byte_seconds_sum" OF "}", 0.005},
	{"headgate_shadow_first_byte_seconds_bucket" OF ",le=\"+Inf\"}", 3},
	{"headgate_shadow_production_first_byte_seconds_count" OF "}", 4},
};

static void every_figure_of_a_shadow_stands_under_its_name(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (value_of(&page, figures[i].key) != figures[i].want)
			fail_msg("%s is %f", figures[i].key, value_of(&page, figures[i].key));
	free_page(&page);
	metrics_release(&s);
}

static void a_service_without_a_shadow_has_none_of_them(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	for (size_t i = 0; i < page.count; i++)
		assert_false(!strncmp(page.readings[i].name, "headgate_shadow", 15) &&
			     strstr(page.readings[i].key, "plain"));
	free_page(&page);
	free(text);
	free(s.services[1].shadow);
	s.services[1].shadow = NULL;
	text = render(&s, &page);
	assert_null(strstr(text, "headgate_shadow"));
	free_page(&page);
	metrics_release(&s);
}

static void there_is_no_coverage_before_a_connection_has_ended(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	s.services[1].shadow->mirroring = 104;
	text = render(&s, &page);
	assert_null(strstr(text, "headgate_shadow_coverage_ratio"));
	free_page(&page);
	metrics_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_figure_of_a_shadow_stands_under_its_name),
		cmocka_unit_test(a_service_without_a_shadow_has_none_of_them),
		cmocka_unit_test(there_is_no_coverage_before_a_connection_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
