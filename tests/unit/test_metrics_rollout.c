// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the page for Prometheus says of rollouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "metrics_fixture.h"
#include "util.h"

/* A service without a rollout, and one in the second of four steps. */
static struct metrics_snapshot make_snapshot(void)
{
	struct metrics_snapshot s = {.version = "1", .services = calloc(2, sizeof(*s.services)), .service_count = 2};
	struct metrics_rollout *rollout = calloc(1, sizeof(*rollout));

	for (size_t i = 0; i < 2; i++) {
		s.services[i].name = i ? "moving" : "plain";
		s.services[i].protocol = IPPROTO_TCP;
		s.services[i].variants = calloc(1, sizeof(*s.services[i].variants));
	}
	*rollout = (struct metrics_rollout){
		.state = ROLLOUT_WAITING_APPROVAL,
		.step = 1,
		.step_count = 4,
		.share = 0.25,
		.analyses = 17,
		.troubled = true,
		.metrics = {{"error-rate", JUDGED_PASS, 1.5, 200}, {"cost", JUDGED_NO_DATA, NAN, NAN}},
		.metric_count = 2,
	};
	s.services[1].rollout = rollout;
	return s;
}

#define OF "{service=\"moving\""

static const struct {
	const char *key;
	double want;
} figures[] = {
	{"headgate_rollout_state" OF ",state=\"WaitingApproval\"}", 1},
	{"headgate_rollout_state" OF ",state=\"Initialized\"}", 0},
	{"headgate_rollout_state" OF ",state=\"Progressing\"}", 0},
	{"headgate_rollout_state" OF ",state=\"Aborted\"}", 0},
	{"headgate_rollout_step" OF "}", 2},
	{"headgate_rollout_steps" OF "}", 4},
	{"headgate_rollout_share_ratio" OF "}", 0.25},
	{"headgate_rollout_analyses_total" OF "}", 17},
	{"headgate_rollout_troubled" OF "}", 1},
	{"headgate_rollout_metric_verdict" OF ",metric=\"error-rate\",verdict=\"pass\"}", 1},
	{"headgate_rollout_metric_verdict" OF ",metric=\"error-rate\",verdict=\"fail\"}", 0},
	{"headgate_rollout_metric_verdict" OF ",metric=\"cost\",verdict=\"no_data\"}", 1},
	{"headgate_rollout_metric_verdict" OF ",metric=\"cost\",verdict=\"none\"}", 0},
	{"headgate_rollout_metric_evidence" OF ",metric=\"error-rate\"}", 1.5},
	{"headgate_rollout_metric_evidence_needed" OF ",metric=\"error-rate\"}", 200},
};

static void every_figure_of_a_rollout_stands_under_its_name(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		assert_true(value_of(&page, figures[i].key) == figures[i].want);
	free_page(&page);
	metrics_release(&s);
}

static void a_rollout_is_in_one_state_and_a_metric_has_one_verdict(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	double states = 0, verdicts = 0;
	struct page page;

	(void)state;
	text = render(&s, &page);
	for (size_t i = 0; i < page.count; i++) {
		states += !strcmp(page.readings[i].name, "headgate_rollout_state") ? page.readings[i].value : 0;
		verdicts +=
			!strcmp(page.readings[i].name, "headgate_rollout_metric_verdict") ? page.readings[i].value : 0;
	}
	assert_true(states == 1);
	assert_true(verdicts == 2);
	free_page(&page);
	metrics_release(&s);
}

static void a_value_has_no_evidence_and_a_service_without_a_rollout_nothing(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	for (size_t i = 0; i < page.count; i++) {
		const char *name = page.readings[i].name, *key = page.readings[i].key;

		assert_false(!strncmp(name, "headgate_rollout", 16) && strstr(key, "plain"));
		assert_false(!strncmp(name, "headgate_rollout_metric_evidence", 32) && strstr(key, "cost"));
	}
	free_page(&page);
	metrics_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_figure_of_a_rollout_stands_under_its_name),
		cmocka_unit_test(a_rollout_is_in_one_state_and_a_metric_has_one_verdict),
		cmocka_unit_test(a_value_has_no_evidence_and_a_service_without_a_rollout_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
