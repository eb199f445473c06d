// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Opening the journal: making it, bringing it up to date, setting a damaged one aside. */
#include "journal_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* How long another process may have the file locked before a call gives up: the daemon's loop stands still meanwhile.
 */
#define BUSY_MS 250

/* Pages in the file beside from which on SQLite moves them into the journal in the midst of whatever is written;
 * journal_keep() does it long before, when nobody waits. */
#define WAL_PAGES_MAX 8000
#define WAL_BYTES_KEPT (8 << 20)

#define APPLICATION_ID 0x68676a6c /* "hgjl" */

/* What brings a file of version N to N + 1; an empty file has 0. */
static const char *const upgrades[JOURNAL_VERSION] = {
	"CREATE TABLE rollouts (id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, strategy TEXT NOT NULL,"
	" state TEXT NOT NULL, cause TEXT NOT NULL, began TEXT NOT NULL, ended TEXT, uid INTEGER, pid INTEGER,"
	" plan TEXT NOT NULL, rollout TEXT, metrics TEXT, ratio TEXT, arms TEXT, analysed_ms INTEGER);"
	"CREATE INDEX rollouts_of_service ON rollouts (service, id);"
	"CREATE UNIQUE INDEX one_goes_on ON rollouts (service) WHERE ended IS NULL;"
	"CREATE TABLE transitions (rollout INTEGER, number INTEGER, at TEXT NOT NULL, from_state TEXT NOT NULL,"
	" to_state TEXT NOT NULL, from_step INTEGER NOT NULL, step INTEGER NOT NULL, phase TEXT NOT NULL,"
	" cause TEXT NOT NULL, uid INTEGER, pid INTEGER, PRIMARY KEY (rollout, number)) WITHOUT ROWID;"
	"CREATE TABLE analyses (id INTEGER PRIMARY KEY, service TEXT NOT NULL, number INTEGER NOT NULL,"
	" rollout INTEGER NOT NULL, at TEXT NOT NULL, step INTEGER NOT NULL, verdict TEXT NOT NULL,"
	" metrics TEXT NOT NULL, samples TEXT NOT NULL, UNIQUE (service, number));"
	"CREATE INDEX analyses_of_rollout ON analyses (rollout);"
	"CREATE TABLE roles (service TEXT PRIMARY KEY, file TEXT NOT NULL, stable TEXT NOT NULL,"
	" candidate TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE baselines (rollout INTEGER PRIMARY KEY, data BLOB NOT NULL);"
	"CREATE TABLE audit (id INTEGER PRIMARY KEY, at TEXT NOT NULL, service TEXT NOT NULL, rollout INTEGER,"
	" uid INTEGER, pid INTEGER, what TEXT NOT NULL, error TEXT);"
	"CREATE INDEX audit_of_rollout ON audit (rollout);",
};

void journal_close(struct journal *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(j->statements[i]);
	sqlite3_close(j->db);
	free(j);
}

bool journal_has_moved(struct journal *j)
{
	int moved = 0;

	return !sqlite3_file_control(j->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) && moved;
}

static int execute(struct journal *j, const char *sql)
{
	return journal_errno(j->db, sqlite3_exec(j->db, sql, NULL, NULL, NULL));
}

/* The first column of the first row: a number, or whether it is the text "ok". */
static int ask(struct journal *j, const char *sql, int *ret_number, bool *ret_ok)
{
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(j->db, sql, -1, &s, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	if (code == SQLITE_ROW && ret_number)
		*ret_number = sqlite3_column_int(s, 0);
	if (code == SQLITE_ROW && ret_ok)
		*ret_ok = !strcmp((const char *)sqlite3_column_text(s, 0) ?: "", "ok");
	code = code == SQLITE_ROW ? SQLITE_OK : code;
	sqlite3_finalize(s);
	return journal_errno(j->db, code);
}

/* Refuses what is not ours, or is of a newer daemon; -EBADMSG: damaged. */
static int check(struct journal *j, struct refusal *why)
{
	int application = 0, version = 0, tables = 0, err;
	bool whole = false;

	/* In this order, as somebody may be making it: with tables there is an id. */
	err = ask(j, "SELECT count(*) FROM sqlite_schema", &tables, NULL);
	if (!err)
		err = ask(j, "PRAGMA application_id", &application, NULL);
	if (!err)
		err = ask(j, "PRAGMA user_version", &version, NULL);
	if (err)
		return err;
	if (application != APPLICATION_ID && (application || tables))
		return refuse(why, EINVAL, "is another program's SQLite file");
	if (version > JOURNAL_VERSION)
		return refuse(
			why, ENOTSUP,
			"was written by a newer headgated (version %d, this one knows %d): install that one again, "
			"or move the file away, which forgets its rollouts",
			version, JOURNAL_VERSION);
	err = ask(j, "PRAGMA quick_check(1)", NULL, &whole);
	return err || whole ? err : -EBADMSG;
}

/* In one transaction. Writes in any case, so that a file that cannot be written is found out now; and so that the
 * beginning of the file beside, which SQLite waits for to reach the disk, is not written by a transition. */
static int upgrade(struct journal *j)
{
	char sql[96];
	int version = 0, err = execute(j, "BEGIN IMMEDIATE");

	if (err)
		return err;
	err = ask(j, "PRAGMA user_version", &version, NULL);
	for (; !err && version < JOURNAL_VERSION; version++)
		err = execute(j, upgrades[version]);
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
		 JOURNAL_VERSION);
	if (!err)
		err = execute(j, sql);
	if (!err)
		err = execute(j, "COMMIT");
	if (err)
		execute(j, "ROLLBACK");
	return err;
}

static int on_commit(void *context, sqlite3 *db, const char *name, int pages)
{
	struct journal *j = context;

	j->wal_pages = pages;
	return pages < WAL_PAGES_MAX ? SQLITE_OK
				     : sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static int open_file(const char *path, struct journal **ret, struct refusal *why)
{
	_cleanup_(journal_closep) struct journal *j = calloc(1, sizeof(*j));
	char sql[96];
	int code, err;

	if (!j)
		return -ENOMEM;
	code = sqlite3_open_v2(path, &j->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK)
		return journal_errno(j->db, code);
	sqlite3_busy_timeout(j->db, BUSY_MS);
	/* Closing would move what lies beside into a file that is refused or damaged. */
	sqlite3_db_config(j->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	err = check(j, why);
	if (err)
		return err;
	snprintf(sql, sizeof(sql), "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = %d", WAL_BYTES_KEPT);
	err = execute(j, "PRAGMA journal_mode = WAL");
	if (!err)
		err = execute(j, sql);
	sqlite3_wal_hook(j->db, on_commit, j);
	if (!err)
		err = upgrade(j);
	if (!err)
		err = journal_prepare(j);
	if (err)
		return err;
	sqlite3_db_config(j->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	*ret = TAKE_PTR(j);
	return 0;
}

int journal_open_reader(const char *path, struct journal **ret)
{
	_cleanup_(journal_closep) struct journal *j = calloc(1, sizeof(*j));
	int code;

	if (!j)
		return -ENOMEM;
	code = sqlite3_open_v2(path, &j->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK)
		return journal_errno(j->db, code);
	sqlite3_busy_timeout(j->db, BUSY_MS);
	*ret = TAKE_PTR(j);
	return 0;
}

/* SQLite would let others read it: it has the addresses of those who are notified, which may be secrets. What lies
 * beside it gets the same mode. */
static int make_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 && errno != EEXIST ? -errno : 0;
}

/* @suffix: of the file beside that is moved along; one without its journal is nothing, but beside a new journal it
 * would be taken for its own. */
static int move_aside(const char *path, const char *suffix)
{
	_cleanup_free_ char *from = NULL, *to = NULL;

	if (asprintf(&from, "%s%s", path, suffix) < 0) {
		from = NULL;
		return -ENOMEM;
	}
	if (asprintf(&to, "%s.damaged%s", path, suffix) < 0) {
		to = NULL;
		return -ENOMEM;
	}
	if (!rename(from, to))
		return 0;
	if (errno != ENOENT)
		return -errno;
	return unlink(to) && errno != ENOENT ? -errno : 0;
}

static int set_aside(const char *path)
{
	int err = move_aside(path, "-shm");

	if (!err)
		err = move_aside(path, "-wal");
	return err ?: move_aside(path, "");
}

int journal_open(const char *path, struct journal **ret, struct refusal *why)
{
	struct refusal reason = {};
	int err = make_file(path);

	if (!err)
		err = open_file(path, ret, &reason);
	if (err == -EBADMSG) {
		err = set_aside(path);
		if (err)
			return refuse(why, -err, "%s is damaged, and cannot be set aside: %s", path, strerror(-err));
		err = make_file(path);
		if (!err)
			err = open_file(path, ret, &reason);
		if (!err)
			refuse(why, 0, "%s was damaged, is %s.damaged now, and begins anew", path, path);
	} else if (!err && why) {
		why->text[0] = '\0';
	}
	if (err)
		return refuse(why, -err, "%s %s%s", path, reason.text[0] ? "" : "cannot be opened: ",
			      reason.text[0] ? reason.text : strerror(-err));
	return 0;
}
