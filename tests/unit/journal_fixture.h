/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TESTS_JOURNAL_FIXTURE_H
#define HEADGATE_TESTS_JOURNAL_FIXTURE_H

/* A journal in a folder of its own, and SQL beside it: what people see with sqlite3. */
#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "random_record.h"

struct fixture {
	char folder[64], path[96], damaged[128];
	uint64_t seed;
	struct journal *journal;
	struct rollout_record *record, *again;
};

static const struct actor by_person = {.uid = 1000, .pid = 77};
static const struct actor by_daemon = {.daemon = true};

static inline int journal_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->folder, "/tmp/headgate-test-journal-XXXXXX");
	if (!mkdtemp(f->folder))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/rollouts.db", f->folder);
	snprintf(f->damaged, sizeof(f->damaged), "%s.damaged", f->path);
	f->record = calloc(1, sizeof(*f->record));
	f->again = calloc(1, sizeof(*f->again));
	f->seed = 1;
	*state = f;
	return 0;
}

static inline int journal_teardown(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", ".damaged", ".damaged-wal", ".damaged-shm"};
	struct fixture *f = *state;
	char path[160];
	int err;

	journal_close(f->journal);
	chmod(f->folder, 0700);
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
		unlink(path);
	}
	err = rmdir(f->folder); /* fails, and with it the test, if anything else was left there */
	free(f->record);
	free(f->again);
	free(f);
	return err;
}

static inline void reopen(struct fixture *f)
{
	struct refusal why = {};

	journal_close(f->journal);
	f->journal = NULL;
	if (journal_open(f->path, &f->journal, &why))
		fail_msg("%s", why.text);
	assert_string_equal(why.text, "");
}

static inline sqlite3 *beside(const struct fixture *f)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	return db;
}

static inline void sql(const struct fixture *f, const char *text)
{
	sqlite3 *db = beside(f);
	char *error = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", text, error);
	sqlite3_close(db);
}

/* The first column of the first row; NULL is "". */
static inline void sql_text(const struct fixture *f, const char *text, char *ret, size_t bytes)
{
	sqlite3 *db = beside(f);
	sqlite3_stmt *s = NULL;

	if (sqlite3_prepare_v2(db, text, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	snprintf(ret, bytes, "%s", (const char *)sqlite3_column_text(s, 0) ?: "");
	sqlite3_finalize(s);
	sqlite3_close(db);
}

static inline int64_t sql_number(const struct fixture *f, const char *text)
{
	char number[32];

	sql_text(f, text, number, sizeof(number));
	return atoll(number);
}

static inline void assert_sql(const struct fixture *f, const char *text, const char *want)
{
	char is[256];

	sql_text(f, text, is, sizeof(is));
	assert_string_equal(is, want);
}

/* A small rollout of a service, as most are: what is judged is one count and one time. */
static inline void small_record(struct rollout_record *record, const char *service)
{
	static const struct metric_plan metrics[] = {
		{.name = "error-rate", .compare = true, .tolerance = 1.25, .timeout_ms = 1000},
		{.name = "first-byte",
		 .kind = METRIC_TIMES,
		 .measure = MEASURE_FIRST_BYTE,
		 .quantile = 0.95,
		 .has_max = true,
		 .max = 0.25},
	};

	memset(record, 0, sizeof(*record));
	record->plan.step_count = 1;
	strcpy(record->plan.stable, "blue");
	strcpy(record->plan.candidate, "canary");
	memcpy(record->plan.analysis.metrics, metrics, sizeof(metrics));
	record->plan.analysis.metric_count = ARRAY_SIZE(metrics);
	strcpy(record->rollout.service, service);
	strcpy(record->rollout.cause, "begun");
	record->rollout.winner = -1;
}

/* The same record in its next state, written. */
static inline int next_transition(struct journal *j, struct rollout_record *record, enum rollout_state state)
{
	enum rollout_state from = record->rollout.state;

	record->rollout.state = state;
	record->rollout.transitions++;
	snprintf(record->rollout.cause, sizeof(record->rollout.cause), "transition %u", record->rollout.transitions);
	return journal_transition(j, record, from, record->rollout.step, &by_daemon);
}

#endif
