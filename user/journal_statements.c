// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "journal_parts.h"

#include <errno.h>
#include <time.h>

static const char *const texts[STATEMENTS] = {
	[STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
	[STATEMENT_COMMIT] = "COMMIT",
	[STATEMENT_ROLLBACK] = "ROLLBACK",
	[STATEMENT_NEW_ROLLOUT] = "INSERT INTO rollouts (service, strategy, state, cause, began, uid, pid, plan)"
				  " VALUES (?1, ?2, '', '', ?3, ?4, ?5, ?6)",
	/* The time of its end is that of the first record in which it was over. */
	[STATEMENT_RECORD] = "UPDATE rollouts SET state = ?2, cause = ?3, rollout = ?4, metrics = ?5, ratio = ?6,"
			     " arms = ?7, analysed_ms = ?8, ended = CASE WHEN ?9 THEN coalesce(ended, ?10) END"
			     " WHERE id = ?1",
	[STATEMENT_TRANSITION] = "INSERT OR REPLACE INTO transitions"
				 " (rollout, number, at, from_state, to_state, from_step, step, phase, cause, uid, pid)"
				 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
	[STATEMENT_OLD_TRANSITIONS] = "DELETE FROM transitions WHERE rollout = ?1 AND number <= ?2",
	[STATEMENT_ANALYSIS] =
		"INSERT INTO analyses (service, number, rollout, at, step, verdict, metrics, samples)"
		" SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7 FROM analyses WHERE service = ?1",
	[STATEMENT_OLD_ANALYSES] = "DELETE FROM analyses WHERE service = ?1 AND number <="
				   " (SELECT max(number) FROM analyses WHERE service = ?1) - ?2",
	/* The oldest one of those that are too many. */
	[STATEMENT_SURPLUS] = "SELECT id FROM rollouts WHERE service = ?1 AND ended IS NOT NULL AND id <="
			      " (SELECT id FROM rollouts WHERE service = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
			      " ORDER BY id LIMIT 1",
	[STATEMENT_SURPLUS_ANALYSES] =
		"DELETE FROM analyses WHERE id IN (SELECT id FROM analyses WHERE rollout = ?1 LIMIT ?2)",
	[STATEMENT_SURPLUS_TRANSITIONS] = "DELETE FROM transitions WHERE rollout = ?1 AND number IN"
					  " (SELECT number FROM transitions WHERE rollout = ?1 LIMIT ?2)",
	[STATEMENT_SURPLUS_BASELINE] = "DELETE FROM baselines WHERE rollout = ?1",
	[STATEMENT_SURPLUS_ROLLOUT] = "DELETE FROM rollouts WHERE id = ?1",
	[STATEMENT_NEWEST] = "SELECT plan, rollout, metrics, ratio, arms, analysed_ms FROM rollouts"
			     " WHERE service = ?1 ORDER BY id DESC LIMIT 1",
	[STATEMENT_GOING_ON] = "SELECT service FROM rollouts WHERE ended IS NULL ORDER BY service",
	[STATEMENT_GIVE_UP] =
		"UPDATE rollouts SET state = ?2, cause = ?3, ended = ?4 WHERE service = ?1 AND ended IS NULL",
	[STATEMENT_SET_ROLES] =
		"INSERT OR REPLACE INTO roles (service, file, stable, candidate) VALUES (?1, ?2, ?3, ?4)",
	[STATEMENT_ROLES] = "SELECT file, stable, candidate FROM roles WHERE service = ?1",
	[STATEMENT_SET_BASELINE] = "INSERT OR REPLACE INTO baselines (rollout, data) VALUES (?1, ?2)",
	[STATEMENT_BASELINE] = "SELECT data FROM baselines WHERE rollout = ?1",
	[STATEMENT_AUDIT] = "INSERT INTO audit (at, service, rollout, uid, pid, what, error)"
			    " VALUES (?1, ?2, (SELECT max(id) FROM rollouts WHERE service = ?2), ?3, ?4, ?5, ?6)",
	[STATEMENT_OLD_AUDIT] = "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?1",
};

int journal_errno(sqlite3 *db, int code)
{
	int system = db ? sqlite3_system_errno(db) : 0;

	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
	case SQLITE_PERM:
		return system ? -system : -EIO;
	default:
		return -EIO;
	}
}

static int bind_one(sqlite3_stmt *s, int index, const struct value *v)
{
	switch (v->kind) {
	case VALUE_INTEGER:
		return sqlite3_bind_int64(s, index, v->integer);
	case VALUE_TEXT:
		return sqlite3_bind_text(s, index, v->data, -1, SQLITE_STATIC);
	case VALUE_BLOB:
		return sqlite3_bind_blob64(s, index, v->data, v->bytes, SQLITE_STATIC);
	default:
		return sqlite3_bind_null(s, index);
	}
}

int journal_bind(struct journal *j, sqlite3_stmt *s, const struct value *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int code = bind_one(s, (int)i + 1, &values[i]);

		if (code != SQLITE_OK)
			return journal_errno(j->db, code);
	}
	return 0;
}

void journal_reset(sqlite3_stmt **s)
{
	sqlite3_reset(*s);
	sqlite3_clear_bindings(*s);
}

int journal_run(struct journal *j, enum statement statement, const struct value *values, size_t count)
{
	_cleanup_(journal_reset) sqlite3_stmt *s = j->statements[statement];
	int err = journal_bind(j, s, values, count);

	return err ?: journal_errno(j->db, sqlite3_step(s));
}

int journal_lock(struct journal *j)
{
	return journal_run(j, STATEMENT_BEGIN, NULL, 0);
}

int journal_end(struct journal *j, int err)
{
	if (!err)
		err = journal_run(j, STATEMENT_COMMIT, NULL, 0);
	/* SQLite has taken some failed transactions back by itself. */
	if (err && !sqlite3_get_autocommit(j->db))
		journal_run(j, STATEMENT_ROLLBACK, NULL, 0);
	return err;
}

int journal_prepare(struct journal *j)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		int code = sqlite3_prepare_v3(j->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &j->statements[i], NULL);

		if (code == SQLITE_ERROR) /* no such table, no such column */
			return -EBADMSG;
		if (code != SQLITE_OK)
			return journal_errno(j->db, code);
	}
	return 0;
}

const char *journal_time(char text[TIME_TEXT_SIZE])
{
	struct timespec now;
	struct tm utc;
	size_t length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	length = strftime(text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + length, TIME_TEXT_SIZE - length, ".%03dZ", (int)(now.tv_nsec / 1000000) % 1000);
	return text;
}
