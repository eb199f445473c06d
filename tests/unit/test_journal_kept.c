// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the journal keeps beside rollouts, and how much of all it keeps. */
#include "journal_fixture.h"

static void assert_roles(struct fixture *f, const char *service, const struct rollout_plan *file, const char *stable,
			 const char *candidate)
{
	struct rollout_plan *plan = &f->again->plan;

	*plan = *file;
	assert_int_equal(journal_apply_roles(f->journal, service, plan), 0);
	assert_string_equal(plan->stable, stable);
	assert_string_equal(plan->candidate, candidate);
	memcpy(plan->stable, file->stable, NAME_SIZE);
	memcpy(plan->candidate, file->candidate, NAME_SIZE);
	assert_memory_equal(plan, file, sizeof(*plan));
}

static void roles_hold_while_the_file_says_the_same(void **state)
{
	struct fixture *f = *state;
	struct rollout_plan *file = &f->record->plan;

	reopen(f);
	small_record(f->record, "web");
	assert_roles(f, "web", file, "blue", "canary");
	assert_int_equal(journal_set_roles(f->journal, "web", file, "canary", "blue"), 0);
	assert_roles(f, "web", file, "canary", "blue");
	assert_roles(f, "mail", file, "blue", "canary");
	reopen(f);
	assert_roles(f, "web", file, "canary", "blue");
	assert_int_equal(journal_set_roles(f->journal, "web", file, "blue", "canary"), 0);
	assert_roles(f, "web", file, "blue", "canary");
	assert_int_equal(journal_set_roles(f->journal, "web", file, "canary", "blue"), 0);

	/* What the daemon did not know yet when it wrote them is no difference. */
	sql(f, "UPDATE roles SET file = json_remove(file, '$.progress_deadline_ms', '$.analysis.metrics[0].min')");
	assert_roles(f, "web", file, "canary", "blue");
	file->analysis.metrics[1].max = 0.26;
	assert_roles(f, "web", file, "blue", "canary");
	file->analysis.metrics[1].max = 0.25;
	strcpy(file->stable, "canary");
	assert_roles(f, "web", file, "canary", "canary");
}

static void a_baseline_is_that_of_its_rollout(void **state)
{
	static const char one[] = {0, 1, 2, 0, 4}, two[] = {9, 8, 7, 6, 5};
	struct fixture *f = *state;
	char is[5];

	reopen(f);
	assert_int_equal(journal_baseline(f->journal, 1, is, sizeof(is)), -ENOENT);
	assert_int_equal(journal_set_baseline(f->journal, 1, two, sizeof(two)), 0);
	assert_int_equal(journal_set_baseline(f->journal, 1, one, sizeof(one)), 0);
	assert_int_equal(journal_set_baseline(f->journal, 2, two, sizeof(two)), 0);
	reopen(f);
	assert_int_equal(journal_baseline(f->journal, 1, is, sizeof(is)), 0);
	assert_memory_equal(is, one, sizeof(one));
	assert_int_equal(journal_baseline(f->journal, 1, is, sizeof(is) - 1), -EINVAL);
	assert_int_equal(journal_baseline(f->journal, 2, is, sizeof(is)), 0);
	assert_memory_equal(is, two, sizeof(two));
}

static void the_audit_says_who_asked_for_what(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	assert_int_equal(journal_audit(f->journal, "web", &by_person, "start", "there is no plan"), 0);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(journal_audit(f->journal, "web", &by_daemon, "abort", NULL), 0);
	assert_sql(f,
		   "SELECT group_concat(format('%s %s %s %s %s %s', service, rollout, uid, pid, what, error), ';')"
		   " FROM (SELECT * FROM audit ORDER BY id)",
		   "web  1000 77 start there is no plan;web 1   abort ");
}

/* Numbers that begin at 1 and are followed by as many as have to be there before the oldest goes. */
#define NUMBERS_TO(n) "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " #n ") "

static void the_newest_analyses_of_a_service_are_kept(void **state)
{
	struct sample samples[PLAN_METRICS_MAX] = {};
	struct metric_result results[PLAN_METRICS_MAX] = {};
	struct fixture *f = *state;

	reopen(f);
	small_record(f->record, "mail");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(journal_analysis(f->journal, f->record, samples, samples, results, JUDGED_PASS), 0);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	sql(f, NUMBERS_TO(9999) "INSERT INTO analyses (service, number, rollout, at, step, verdict, metrics, samples)"
				" SELECT 'web', i, 2, '', 0, 'pass', '[]', '[]' FROM n");
	assert_int_equal(journal_analysis(f->journal, f->record, samples, samples, results, JUDGED_PASS), 0);
	assert_sql(f, "SELECT min(number) || ' ' || max(number) FROM analyses WHERE service = 'web'", "1 10000");
	/* Also those of its next rollout. */
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_ABORTED), 0);
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(journal_analysis(f->journal, f->record, samples, samples, results, JUDGED_PASS), 0);
	assert_sql(f, "SELECT min(number) || ' ' || max(number) FROM analyses WHERE service = 'web'", "4 10003");
	assert_int_equal(sql_number(f, "SELECT count(*) FROM analyses WHERE rollout = 3"), 3);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM analyses WHERE service = 'mail'"), 1);
}

static void the_newest_transitions_and_lines_of_audit_are_kept(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	sql(f, NUMBERS_TO(9999) "INSERT INTO transitions SELECT 1, i, '', '', '', 0, 0, '', '', 0, 0 FROM n");
	f->record->rollout.transitions = 9999;
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PAUSED), 0);
	assert_sql(f, "SELECT min(number) || ' ' || max(number) FROM transitions", "1 10000");
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PROGRESSING), 0);
	assert_sql(f, "SELECT min(number) || ' ' || max(number) FROM transitions", "2 10001");

	sql(f, NUMBERS_TO(99999) "INSERT INTO audit SELECT i, '', 'web', 1, 0, 0, '', NULL FROM n");
	assert_int_equal(journal_audit(f->journal, "web", &by_person, "pause", NULL), 0);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM audit"), 100000);
	assert_int_equal(journal_audit(f->journal, "web", &by_person, "resume", NULL), 0);
	assert_sql(f, "SELECT min(id) || ' ' || max(id) FROM audit", "2 100001");
}

static void the_newest_rollouts_of_a_service_are_kept(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	small_record(f->record, "mail");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	for (unsigned int i = 0; i < 101; i++) {
		small_record(f->record, "web");
		assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
		assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_ABORTED), 0);
		assert_int_equal(journal_set_baseline(f->journal, f->record->rollout.id, "x", 1), 0);
	}
	assert_sql(f, "SELECT min(id) || ' ' || max(id) || ' ' || count(*) FROM rollouts WHERE service = 'web'",
		   "3 102 100");
	assert_sql(f, "SELECT min(rollout) || ' ' || max(rollout) FROM transitions", "3 102");
	assert_int_equal(sql_number(f, "SELECT count(*) FROM rollouts WHERE service = 'mail'"), 1);

	/* Much is not taken away at once: a transition would have to wait for it. */
	sql(f, NUMBERS_TO(70) "INSERT INTO analyses (service, number, rollout, at, step, verdict, metrics, samples)"
			      " SELECT 'web', i, 3, '', 0, 'pass', '[]', '[]' FROM n");
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM analyses"), 20);
	assert_int_equal(sql_number(f, "SELECT min(id) FROM rollouts WHERE service = 'web'"), 3);
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PAUSED), 0);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM analyses"), 20);
	assert_int_equal(journal_keep(f->journal, f->record), 0);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM analyses"), 0);
	assert_int_equal(sql_number(f, "SELECT min(id) FROM rollouts WHERE service = 'web'"), 4);
	assert_int_equal(sql_number(f, "SELECT min(rollout) FROM transitions"), 4);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM baselines WHERE rollout < 4"), 0);
	assert_int_equal(journal_keep(f->journal, f->record), 0);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM rollouts WHERE service = 'web'"), 100);
}

/* Not even when it was taken out: what people wrote down stays true. */
static void the_number_of_a_rollout_is_not_given_twice(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	sql(f, "DELETE FROM rollouts");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(f->record->rollout.id, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(roles_hold_while_the_file_says_the_same, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_baseline_is_that_of_its_rollout, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(the_audit_says_who_asked_for_what, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(the_newest_analyses_of_a_service_are_kept, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(the_newest_transitions_and_lines_of_audit_are_kept, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(the_newest_rollouts_of_a_service_are_kept, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(the_number_of_a_rollout_is_not_given_twice, journal_setup,
						journal_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
