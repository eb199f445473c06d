/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_JOURNAL_PARTS_H
#define HEADGATE_JOURNAL_PARTS_H

/* What the journal's parts share: statements that are prepared once, and how values get into them. */
#include <sqlite3.h>

#include "journal.h"

#define TIME_TEXT_SIZE 32 /* "2026-03-01T12:00:00.000Z" */

enum statement {
	STATEMENT_BEGIN,
	STATEMENT_COMMIT,
	STATEMENT_ROLLBACK,
	STATEMENT_NEW_ROLLOUT,
	STATEMENT_RECORD,
	STATEMENT_TRANSITION,
	STATEMENT_OLD_TRANSITIONS,
	STATEMENT_ANALYSIS,
	STATEMENT_OLD_ANALYSES,
	STATEMENT_SURPLUS,
	STATEMENT_SURPLUS_ANALYSES,
	STATEMENT_SURPLUS_TRANSITIONS,
	STATEMENT_SURPLUS_BASELINE,
	STATEMENT_SURPLUS_ROLLOUT,
	STATEMENT_NEWEST,
	STATEMENT_GOING_ON,
	STATEMENT_GIVE_UP,
	STATEMENT_SET_ROLES,
	STATEMENT_ROLES,
	STATEMENT_SET_BASELINE,
	STATEMENT_BASELINE,
	STATEMENT_AUDIT,
	STATEMENT_OLD_AUDIT,
	STATEMENTS,
};

struct journal {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	int wal_pages; /* in the file beside, not yet in the journal itself */
};

/* What a statement's ?1, ?2, .. stand for; has to stay until it has run. */
struct value {
	enum { VALUE_NULL, VALUE_INTEGER, VALUE_TEXT, VALUE_BLOB } kind;
	int64_t integer;
	const void *data; /* NULL is SQL's NULL */
	size_t bytes;
};

#define INTEGER(number) ((struct value){.kind = VALUE_INTEGER, .integer = (int64_t)(number)})
#define TEXT(text) ((struct value){.kind = VALUE_TEXT, .data = (text)})
#define BLOB(blob, size) ((struct value){.kind = VALUE_BLOB, .data = (blob), .bytes = (size)})
#define VALUES(...) (const struct value[]){__VA_ARGS__}, ARRAY_SIZE(((const struct value[]){__VA_ARGS__}))

/* NULL where the daemon itself did it. */
#define ACTOR_UID(by) ((by)->daemon ? (struct value){} : INTEGER((by)->uid))
#define ACTOR_PID(by) ((by)->daemon ? (struct value){} : INTEGER((by)->pid))

/* -errno for what SQLite said last: -EBUSY: locked by others; -ENOSPC; -EROFS; -EBADMSG: damaged; .. */
int journal_errno(sqlite3 *db, int code);

/* Binds values; to be stepped, and reset by journal_reset(). 0 or -errno. */
int journal_bind(struct journal *j, sqlite3_stmt *s, const struct value *values, size_t count);
void journal_reset(sqlite3_stmt **s); /* for _cleanup_ */

/* Runs a statement that returns no rows. 0 or -errno. */
int journal_run(struct journal *j, enum statement statement, const struct value *values, size_t count);

/* Writes only in between: readers are let in, other writers are not. journal_end() commits if @err is 0, else takes all
 * back, and returns the first error. */
int journal_lock(struct journal *j);
int journal_end(struct journal *j, int err);

/* Prepares all statements. 0 or -errno. */
int journal_prepare(struct journal *j);

/* Now, in UTC. */
const char *journal_time(char text[TIME_TEXT_SIZE]);

#endif
