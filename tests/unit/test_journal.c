// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the journal keeps, tells and refuses. What it does when it is killed, or cannot write: test_journal_trouble.c.
 */
#include <math.h>
#include <unistd.h>

#include "journal_fixture.h"

static void assert_newest_is(struct fixture *f, const struct rollout_record *want)
{
	memset(f->again, 0x55, sizeof(*f->again));
	assert_int_equal(journal_newest(f->journal, want->rollout.service, f->again), 0);
	assert_memory_equal(f->again, want, sizeof(*want));
}

static void a_record_comes_back_as_it_was(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	for (unsigned int i = 0; i < 10; i++) {
		struct rollout_plan *plan = &f->record->plan;
		uint64_t id;

		do
			random_record(&f->seed, f->record);
		while (!i && (plan->analysis.metric_count < 2 || plan->arm_count < 2));
		assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
		assert_newest_is(f, f->record);

		id = f->record->rollout.id;
		random_bytes(&f->seed, f->record->metrics, plan->analysis.metric_count * sizeof(f->record->metrics[0]));
		f->record->rollout.state = ROLLOUT_ROLLING_BACK;
		f->record->rollout.step = plan->step_count;
		assert_int_equal(journal_transition(f->journal, f->record, ROLLOUT_PROGRESSING, 3, &by_daemon), 0);
		assert_newest_is(f, f->record);

		f->record->analysed_ms ^= 1;
		f->record->rollout.now_ns ^= 1;
		assert_int_equal(journal_keep(f->journal, f->record), 0);
		assert_int_equal(f->record->rollout.id, id);
		reopen(f);
		assert_newest_is(f, f->record);
	}
}

static void numbers_that_are_none_come_back(void **state)
{
	struct fixture *f = *state;
	struct evidence *e;

	reopen(f);
	small_record(f->record, "web");
	e = &f->record->metrics[0].compared;
	e->highest = INFINITY;
	e->mixed[0] = -INFINITY;
	e->mixed[1] = NAN;
	e->mixed[2] = -0.0;
	e->mixed[3] = 5e-324;
	e->mixed[4] = 0.1;
	f->record->rollout.now_ns = (1ULL << 53) + 1;
	f->record->rollout.began_ns = INT64_MAX;
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(journal_newest(f->journal, "web", f->again), 0);
	e = &f->again->metrics[0].compared;
	assert_true(e->highest == INFINITY);
	assert_true(e->mixed[0] == -INFINITY);
	assert_true(isnan(e->mixed[1]));
	assert_true(e->mixed[2] == 0 && signbit(e->mixed[2]));
	assert_true(e->mixed[3] == 5e-324);
	assert_true(e->mixed[4] == 0.1);
	assert_true(f->again->rollout.now_ns == (1ULL << 53) + 1);
	assert_true(f->again->rollout.began_ns == INT64_MAX);
}

static void a_service_has_one_rollout_at_a_time(void **state)
{
	struct fixture *f = *state;
	uint64_t first;

	reopen(f);
	assert_int_equal(journal_newest(f->journal, "web", f->again), -ENOENT);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	first = f->record->rollout.id;
	small_record(f->record, "web");
	f->record->rollout.id = 5;
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), -EBUSY);
	assert_int_equal(f->record->rollout.id, 5);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM rollouts"), 1);

	f->record->rollout.id = first;
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_ABORTED), 0);
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_true(f->record->rollout.id > first);
	assert_newest_is(f, f->record);
	small_record(f->record, "mail");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
}

static void note_service(void *context, const char *service)
{
	struct fixture *f = context;

	/* The journal can be used meanwhile. */
	assert_int_equal(journal_newest(f->journal, service, f->again), 0);
	assert_int_equal(journal_keep(f->journal, f->again), 0);
	strcat(f->record->rollout.cause, service);
	strcat(f->record->rollout.cause, " ");
}

static void those_that_go_on_are_told(void **state)
{
	static const enum rollout_state states[ROLLOUT_STATES] = {
		ROLLOUT_INITIALIZED, ROLLOUT_PROGRESSING,  ROLLOUT_PAUSED, ROLLOUT_WAITING_APPROVAL, ROLLOUT_PROMOTING,
		ROLLOUT_SUCCEEDED,   ROLLOUT_ROLLING_BACK, ROLLOUT_FAILED, ROLLOUT_ABORTED,
	};
	struct fixture *f = *state;

	reopen(f);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		char service[NAME_SIZE];

		snprintf(service, sizeof(service), "s%zu", i);
		small_record(f->record, service);
		assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
		assert_int_equal(next_transition(f->journal, f->record, states[i]), 0);
	}
	f->record->rollout.cause[0] = '\0';
	assert_int_equal(journal_each_going_on(f->journal, note_service, f), 0);
	assert_string_equal(f->record->rollout.cause, "s0 s1 s2 s3 s4 s6 ");
}

static void what_an_older_daemon_did_not_write_is_zero(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	small_record(f->record, "web");
	f->record->metrics[0].compared.intervals = 4;
	f->record->metrics[0].compared.mixed[7] = 3;
	f->record->metrics[1].limited.highest = 7;
	f->record->plan.arm_count = 3;
	f->record->rollout.winner = 2;
	f->record->rollout.step_failures = 3;
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	sql(f, "UPDATE rollouts SET rollout = json_remove(rollout, '$.winner', '$.step_failures', '$.before'),"
	       " metrics = json_remove(metrics, '$[0].compared.intervals', '$[0].compared.mixed[7]', '$[1]'),"
	       " ratio = '{}', arms = '[]'");
	f->record->metrics[0].compared.intervals = 0;
	f->record->metrics[0].compared.mixed[7] = 0;
	f->record->metrics[1].limited.highest = 0;
	f->record->rollout.winner = -1;
	f->record->rollout.step_failures = 0;
	assert_newest_is(f, f->record);
}

/* And told of, and followed by another. */
static void assert_can_be_given_up(struct fixture *f)
{
	json_t *history, *told;

	assert_int_equal(journal_give_up(f->journal, "mail", "lost"), -ENOENT);
	assert_int_equal(journal_give_up(f->journal, "web", "lost"), 0);
	assert_int_equal(journal_give_up(f->journal, "web", "lost"), -ENOENT);
	history = journal_history(f->journal, "web", 0, 1, true);
	told = json_array_get(json_object_get(history, "rollouts"), 0);
	assert_string_equal(json_string_value(json_object_get(told, "state")), "Aborted");
	assert_string_equal(json_string_value(json_object_get(told, "cause")), "lost");
	assert_string_not_equal(json_string_value(json_object_get(told, "ended")) ?: "", "");
	json_decref(history);
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
}

static void a_record_that_makes_no_sense_is_not_obeyed(void **state)
{
	static const char *const damages[] = {
		"plan = json_set(plan, '$.strategy', 'rainbow')",
		"plan = 'x'",
		"rollout = json_set(rollout, '$.state', 'Dancing')",
		"rollout = json_set(rollout, '$.step', -1)",
		"rollout = json_set(rollout, '$.step', 1)", /* behind the last, and goes on */
		"rollout = json_set(rollout, '$.step', 2, '$.state', 'Succeeded')",
		"rollout = json_set(rollout, '$.winner', 0)",
		"rollout = json_set(rollout, '$.winner', -2)",
		"rollout = NULL",
		"metrics = json_set(metrics, '$[0].stable.trials', 'many')",
		"metrics = '[{}, {}, {}]'",
		"ratio = json_set(ratio, '$.opened', json('[1, 2, 3]'))",
		"arms = '[[{}]]'",
	};
	struct fixture *f = *state;

	reopen(f);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		char text[256];

		snprintf(text, sizeof(text), "UPDATE rollouts SET %s", damages[i]);
		sql(f, text);
		if (journal_newest(f->journal, "web", f->again) != -EBADMSG)
			fail_msg("%s", damages[i]);
		assert_can_be_given_up(f);
		sql(f, "DELETE FROM rollouts");
		assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	}
	sql(f, "DELETE FROM rollouts");
	assert_int_equal(journal_keep(f->journal, f->record), -ENOENT);
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PAUSED), -ENOENT);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM transitions"), 0);
}

static int analyse(struct fixture *f, enum judged verdict)
{
	struct sample candidate[PLAN_METRICS_MAX] = {{.trials = 100, .events = 3}};
	struct sample stable[PLAN_METRICS_MAX] = {{.trials = 1900, .events = 2}, {.trouble = JUDGED_NO_DATA}};
	struct metric_result results[PLAN_METRICS_MAX] = {
		{.verdict = JUDGED_FAIL,
		 .proven = true,
		 .candidate = 0.03,
		 .candidate_low = 0.01,
		 .candidate_high = 0.25,
		 .stable = 0.5,
		 .stable_low = 0.25,
		 .stable_high = NAN,
		 .candidate_samples = 100,
		 .stable_samples = 1900,
		 .evidence = INFINITY,
		 .needed = 200,
		 .why = "it fails"},
		{.verdict = JUDGED_NO_DATA},
	};

	candidate[1].histogram.sum_ns = 5000;
	candidate[1].histogram.count = 1;
	candidate[1].histogram.bucket[7] = 1;
	return journal_analysis(f->journal, f->record, candidate, stable, results, verdict);
}

/* Takes every "at", "began" and "ended" out, which must be times. */
static void take_times(json_t *json)
{
	static const char *const names[] = {"at", "began", "ended"};
	const char *key;
	json_t *value;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		const char *text = json_string_value(json_object_get(json, names[i]));

		if (!text)
			continue;
		assert_int_equal(strlen(text), strlen("2026-03-01T12:00:00.000Z"));
		assert_true(text[10] == 'T' && text[19] == '.' && text[23] == 'Z');
		json_object_set_new(json, names[i], json_string("t"));
	}
	json_object_foreach(json, key, value) take_times(value);
	json_array_foreach(json, i, value) take_times(value);
}

static void assert_history(struct fixture *f, const char *service, uint64_t rollout, uint32_t limit, bool samples,
			   const char *want)
{
	json_t *is = journal_history(f->journal, service, rollout, limit, samples);
	json_t *wanted = json_loads(want, JSON_DECODE_ANY, NULL);
	char *text;

	assert_non_null(is);
	assert_non_null(wanted);
	take_times(is);
	text = json_dumps(is, 0);
	if (!json_equal(is, wanted))
		fail_msg("%s", text);
	free(text);
	json_decref(is);
	json_decref(wanted);
}

#define WEB_HEAD                                                                                                       \
	"{\"id\": 1, \"service\": \"web\", \"strategy\": \"canary\", \"began\": \"t\", \"ended\": \"t\","              \
	" \"state\": \"Failed\", \"cause\": \"transition 2\", \"by\": \"uid 1000\", "
#define WEB_TRANSITIONS                                                                                                \
	"\"transitions\": [{\"at\": \"t\", \"from\": \"Initialized\", \"to\": \"Progressing\", \"from_step\": 0,"      \
	" \"step\": 0, \"cause\": \"transition 1\", \"by\": \"headgated\"},"                                           \
	" {\"at\": \"t\", \"from\": \"Progressing\", \"to\": \"Failed\", \"from_step\": 1, \"step\": 1,"               \
	" \"cause\": \"transition 2\", \"by\": \"headgated\"}], "
#define WEB_ANALYSIS                                                                                                   \
	"\"analyses\": [{\"at\": \"t\", \"step\": 1, \"verdict\": \"fail\", \"metrics\": ["                            \
	"{\"name\": \"error-rate\", \"source\": \"dataplane\", \"kind\": \"counts\", \"unit\": \"share\","             \
	" \"dry_run\": false, \"verdict\": \"fail\", \"proven\": true, \"limit\": \"1.25 x stable\","                  \
	" \"candidate\": 0.03, \"candidate_low\": 0.01, \"candidate_high\": 0.25, \"stable\": 0.5,"                    \
	" \"stable_low\": 0.25, \"stable_high\": null, \"candidate_samples\": 100, \"stable_samples\": 1900,"          \
	" \"evidence\": null, \"needed\": 200.0, \"why\": \"it fails\"},"                                              \
	"{\"name\": \"first-byte\", \"source\": \"dataplane\", \"kind\": \"times\", \"unit\": \"s\","                  \
	" \"dry_run\": false, \"verdict\": \"no_data\", \"proven\": false, \"limit\": \"at most 0.25\","               \
	" \"candidate\": 0.0, \"candidate_low\": 0.0, \"candidate_high\": 0.0, \"stable\": 0.0,"                       \
	" \"stable_low\": 0.0, \"stable_high\": 0.0, \"candidate_samples\": 0, \"stable_samples\": 0,"                 \
	" \"evidence\": 0.0, \"needed\": 0.0, \"why\": \"\"}]"
#define WEB_SAMPLES                                                                                                    \
	"\"samples\": [{\"metric\": \"error-rate\", \"candidate\": {\"trials\": 100, \"events\": 3},"                  \
	" \"stable\": {\"trials\": 1900, \"events\": 2}}, {\"metric\": \"first-byte\", \"candidate\":"                 \
	" {\"histogram\": {\"sum_ns\": 5000, \"count\": 1, \"buckets\": [[7, 1]]}},"                                   \
	" \"stable\": {\"trouble\": \"no_data\"}}]"
#define WEB_AUDIT                                                                                                      \
	"}], \"audit\": [{\"at\": \"t\", \"by\": \"uid 1000\", \"what\": \"start\", \"error\": null},"                 \
	" {\"at\": \"t\", \"by\": \"uid 1000\", \"what\": \"promote\", \"error\": \"is not possible\"}]}"
#define MAIL                                                                                                           \
	"{\"id\": 2, \"service\": \"mail\", \"strategy\": \"canary\", \"began\": \"t\", \"ended\": null,"              \
	" \"state\": \"Initialized\", \"cause\": \"begun\", \"by\": \"headgated\","                                    \
	" \"transitions\": [], \"analyses\": [], \"audit\": []}"

static void history_tells_what_happened(void **state)
{
	struct fixture *f = *state;
	json_t *history;
	json_t *plan;

	reopen(f);
	small_record(f->record, "web");
	assert_int_equal(journal_audit(f->journal, "web", &by_person, "start", "there is no plan"), 0);
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(journal_audit(f->journal, "web", &by_person, "start", NULL), 0);
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PROGRESSING), 0);
	f->record->rollout.step = 1;
	assert_int_equal(analyse(f, JUDGED_FAIL), 0);
	assert_int_equal(journal_audit(f->journal, "web", &by_person, "promote", "is not possible"), 0);
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_FAILED), 0);
	small_record(f->again, "mail");
	assert_int_equal(journal_begin(f->journal, f->again, &by_daemon), 0);

	assert_history(f, NULL, 0, 10, false,
		       "{\"rollouts\": [" MAIL ", " WEB_HEAD WEB_TRANSITIONS WEB_ANALYSIS WEB_AUDIT "]}");
	assert_history(f, NULL, 0, 1, false, "{\"rollouts\": [" MAIL "]}");
	assert_history(f, NULL, 2, 10, false, "{\"rollouts\": [" MAIL "]}");
	assert_history(f, "web", 0, 10, false, "{\"rollouts\": [" WEB_HEAD WEB_TRANSITIONS WEB_ANALYSIS WEB_AUDIT "]}");
	assert_history(f, "web", 2, 10, false, "{\"rollouts\": []}");
	assert_history(f, "nobody", 0, 10, true, "{\"rollouts\": []}");

	history = journal_history(f->journal, "web", 1, 10, true);
	plan = json_object_get(json_array_get(json_object_get(history, "rollouts"), 0), "plan");
	assert_int_equal(plan_from_json(plan, &f->again->plan), 0);
	assert_memory_equal(&f->again->plan, &f->record->plan, sizeof(f->record->plan));
	json_decref(history);
}

static void samples_are_told_when_asked_for(void **state)
{
	struct fixture *f = *state;
	json_t *history, *wanted, *analysis;

	reopen(f);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(analyse(f, JUDGED_PASS), 0);
	history = journal_history(f->journal, "web", 0, 1, true);
	wanted = json_loads("{" WEB_SAMPLES "}", 0, NULL);
	assert_non_null(wanted);
	analysis = json_array_get(json_object_get(history, "rollouts"), 0);
	analysis = json_array_get(json_object_get(analysis, "analyses"), 0);
	assert_true(json_equal(json_object_get(analysis, "samples"), json_object_get(wanted, "samples")));
	json_decref(history);
	json_decref(wanted);
}

/* A call that is in the way of whatever else the daemon does. */
static void history_is_short_unless_one_rollout_is_asked_for(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	for (unsigned int i = 0; i < HISTORY_ANALYSES + 5; i++) {
		f->record->rollout.step = i;
		assert_int_equal(analyse(f, JUDGED_PASS), 0);
	}
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t id = i & 1 ? f->record->rollout.id : 0;
		json_t *history = journal_history(f->journal, "web", id, 1, i & 2);
		json_t *analyses = json_object_get(json_array_get(json_object_get(history, "rollouts"), 0), "analyses");
		size_t told = i ? HISTORY_ANALYSES + 5 : HISTORY_ANALYSES;
		json_t *first = json_array_get(analyses, 0), *last = json_array_get(analyses, told - 1);

		assert_int_equal(json_array_size(analyses), told);
		assert_int_equal(json_integer_value(json_object_get(first, "step")), HISTORY_ANALYSES + 5 - told);
		assert_int_equal(json_integer_value(json_object_get(last, "step")), HISTORY_ANALYSES + 4);
		json_decref(history);
	}
}

static void a_reader_tells_the_same_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct journal *reader = NULL;
	json_t *one, *other;

	assert_int_equal(journal_open_reader(f->path, &reader), -ENOENT);
	assert_null(reader);
	assert_int_not_equal(access(f->path, F_OK), 0);
	reopen(f);
	assert_int_equal(journal_open_reader(f->path, &reader), 0);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(analyse(f, JUDGED_PASS), 0);
	one = journal_history(f->journal, NULL, 0, 10, true);
	other = journal_history(reader, NULL, 0, 10, true);
	assert_non_null(one);
	assert_true(json_equal(one, other));
	json_decref(one);
	json_decref(other);
	journal_close(reader);
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PAUSED), 0);
}

static void people_can_read_it_with_sqlite3(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	small_record(f->record, "web");
	f->record->metrics[0].candidate.trials = 12;
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(analyse(f, JUDGED_FAIL), 0);
	assert_sql(f, "SELECT json_extract(plan, '$.analysis.metrics[1].measure') FROM rollouts", "first-byte");
	assert_sql(f, "SELECT json_extract(rollout, '$.state') FROM rollouts", "Initialized");
	assert_sql(f, "SELECT json_extract(metrics, '$[0].candidate.trials') FROM rollouts", "12");
	assert_sql(f, "SELECT json_extract(samples, '$[0].candidate.events') FROM analyses", "3");
	assert_sql(f, "SELECT uid || ' ' || pid FROM rollouts", "1000 77");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_record_comes_back_as_it_was, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(numbers_that_are_none_come_back, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(a_service_has_one_rollout_at_a_time, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(those_that_go_on_are_told, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(what_an_older_daemon_did_not_write_is_zero, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_record_that_makes_no_sense_is_not_obeyed, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(history_tells_what_happened, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(samples_are_told_when_asked_for, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(history_is_short_unless_one_rollout_is_asked_for, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_reader_tells_the_same_and_changes_nothing, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(people_can_read_it_with_sqlite3, journal_setup, journal_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
