// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the journal tells, as JSON. */
#include "journal_parts.h"

#include "json_fields.h"

/* How a column is told, under the column's own name. */
enum telling {
	TELL_TEXT, /* NULL is null */
	TELL_INTEGER,
	TELL_JSON, /* text that is JSON; null if it is none */
	TELL_BY,   /* a uid, as text; NULL is the daemon */
};

static json_t *tell_column(sqlite3_stmt *s, int column, enum telling how)
{
	const char *text = (const char *)sqlite3_column_text(s, column);
	char by[32];

	switch (how) {
	case TELL_TEXT:
		return text ? json_text(text) : json_null();
	case TELL_INTEGER:
		return json_integer(sqlite3_column_int64(s, column));
	case TELL_JSON:
		return (text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL) ?: json_null();
	default:
		snprintf(by, sizeof(by), "uid %s", text);
		return json_string(text ? by : "headgated");
	}
}

/**
 * tell_rows - rows of a query as objects
 * @how: of its columns, in their order
 * Return: an array; NULL on any error.
 */
static json_t *tell_rows(struct journal *j, const char *sql, const struct value *values, size_t count,
			 const enum telling *how)
{
	_cleanup_(json_decrefp) json_t *rows = json_array();
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(j->db, sql, -1, &s, NULL);

	if (code == SQLITE_OK && journal_bind(j, s, values, count))
		code = SQLITE_ERROR;
	while ((code == SQLITE_OK || code == SQLITE_ROW) && (code = sqlite3_step(s)) == SQLITE_ROW) {
		json_t *row = json_object();

		for (int i = 0; i < sqlite3_column_count(s); i++) {
			if (json_object_set_new(row, sqlite3_column_name(s, i), tell_column(s, i, how[i])))
				code = SQLITE_NOMEM;
		}
		if (json_array_append_new(rows, row))
			code = SQLITE_NOMEM;
	}
	sqlite3_finalize(s);
	return code == SQLITE_DONE ? TAKE_PTR(rows) : NULL;
}

static json_t *transitions_of(struct journal *j, json_int_t rollout)
{
	static const enum telling how[] = {TELL_TEXT,    TELL_TEXT, TELL_TEXT, TELL_INTEGER,
					   TELL_INTEGER, TELL_TEXT, TELL_BY};

	return tell_rows(j,
			 "SELECT at, from_state AS 'from', to_state AS 'to', from_step, step, cause, uid AS 'by'"
			 " FROM transitions WHERE rollout = ?1 ORDER BY number",
			 VALUES(INTEGER(rollout)), how);
}

static json_t *analyses_of(struct journal *j, json_int_t rollout, int64_t limit, bool samples)
{
	static const enum telling how[] = {TELL_TEXT, TELL_INTEGER, TELL_TEXT, TELL_JSON, TELL_JSON};

	return tell_rows(j,
			 samples ? "SELECT at, step, verdict, metrics, samples FROM"
				   " (SELECT * FROM analyses WHERE rollout = ?1 ORDER BY id DESC LIMIT ?2) ORDER BY id"
				 : "SELECT at, step, verdict, metrics FROM"
				   " (SELECT * FROM analyses WHERE rollout = ?1 ORDER BY id DESC LIMIT ?2) ORDER BY id",
			 VALUES(INTEGER(rollout), INTEGER(limit)), how);
}

static json_t *audit_of(struct journal *j, json_int_t rollout)
{
	static const enum telling how[] = {TELL_TEXT, TELL_BY, TELL_TEXT, TELL_TEXT};

	return tell_rows(j, "SELECT at, uid AS 'by', what, error FROM audit WHERE rollout = ?1 ORDER BY id",
			 VALUES(INTEGER(rollout)), how);
}

json_t *journal_history(struct journal *j, const char *service, uint64_t rollout, uint32_t limit, bool samples)
{
	static const enum telling how[] = {TELL_INTEGER, TELL_TEXT, TELL_TEXT, TELL_TEXT, TELL_TEXT,
					   TELL_TEXT,    TELL_TEXT, TELL_BY,   TELL_JSON};
	_cleanup_(json_decrefp) json_t *rollouts =
		tell_rows(j,
			  "SELECT id, service, strategy, began, ended, state, cause, uid AS 'by', plan FROM rollouts"
			  " WHERE (?1 IS NULL OR service = ?1) AND (?2 = 0 OR id = ?2) ORDER BY id DESC LIMIT ?3",
			  VALUES(TEXT(service), INTEGER(rollout), INTEGER(limit)), how);
	int64_t analyses = rollout || samples ? INT64_MAX : HISTORY_ANALYSES;
	json_t *one;
	size_t i;

	if (!rollouts)
		return NULL;
	json_array_foreach(rollouts, i, one)
	{
		json_int_t id = json_integer_value(json_object_get(one, "id"));

		if (!samples)
			json_object_del(one, "plan");
		if (json_object_set_new(one, "transitions", transitions_of(j, id)) ||
		    json_object_set_new(one, "analyses", analyses_of(j, id, analyses, samples)) ||
		    json_object_set_new(one, "audit", audit_of(j, id)))
			return NULL;
	}
	return json_pack("{s:O}", "rollouts", rollouts);
}
