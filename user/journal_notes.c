// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the journal keeps beside the records: roles, baselines, and who asked for what. */
#include "journal_parts.h"

#include <errno.h>
#include <string.h>

#include "rollout_json.h"

#define AUDIT_KEPT 100000 /* lines; one that is new takes the oldest one away */

int journal_set_roles(struct journal *j, const char *service, const struct rollout_plan *file, const char *stable,
		      const char *candidate)
{
	_cleanup_free_ char *text = json_text_of(plan_to_json(file));

	if (!text)
		return -ENOMEM;
	return journal_run(j, STATEMENT_SET_ROLES, VALUES(TEXT(service), TEXT(text), TEXT(stable), TEXT(candidate)));
}

/* Whether a plan that was kept is @plan. It is read and written anew, as an older daemon knew fewer fields. */
static int is_same_plan(const char *kept, const struct rollout_plan *plan, bool *ret)
{
	_cleanup_(json_decrefp) json_t *json = json_loads(kept, JSON_REJECT_DUPLICATES, NULL);
	_cleanup_free_ struct rollout_plan *old = calloc(1, sizeof(*old));
	_cleanup_free_ char *now_text = json_text_of(plan_to_json(plan));
	_cleanup_free_ char *old_text = NULL;
	int err;

	if (!old || !now_text)
		return -ENOMEM;
	err = plan_from_json(json, old);
	if (err)
		return err == -EINVAL ? -EBADMSG : err;
	old_text = json_text_of(plan_to_json(old));
	if (!old_text)
		return -ENOMEM;
	*ret = !strcmp(old_text, now_text);
	return 0;
}

int journal_apply_roles(struct journal *j, const char *service, struct rollout_plan *plan)
{
	_cleanup_(journal_reset) sqlite3_stmt *s = j->statements[STATEMENT_ROLES];
	const char *names[2];
	bool same = false;
	int code, err = journal_bind(j, s, VALUES(TEXT(service)));

	if (err)
		return err;
	code = sqlite3_step(s);
	if (code != SQLITE_ROW)
		return journal_errno(j->db, code);
	err = is_same_plan((const char *)sqlite3_column_text(s, 0) ?: "", plan, &same);
	if (err || !same)
		return err;
	for (int i = 0; i < 2; i++) {
		names[i] = (const char *)sqlite3_column_text(s, 1 + i) ?: "";
		if (strlen(names[i]) >= NAME_SIZE)
			return -EBADMSG;
	}
	strcpy(plan->stable, names[0]);
	strcpy(plan->candidate, names[1]);
	return 0;
}

int journal_set_baseline(struct journal *j, uint64_t rollout, const void *data, size_t bytes)
{
	return journal_run(j, STATEMENT_SET_BASELINE, VALUES(INTEGER(rollout), BLOB(data, bytes)));
}

int journal_baseline(struct journal *j, uint64_t rollout, void *ret, size_t bytes)
{
	_cleanup_(journal_reset) sqlite3_stmt *s = j->statements[STATEMENT_BASELINE];
	int code, err = journal_bind(j, s, VALUES(INTEGER(rollout)));

	if (err)
		return err;
	code = sqlite3_step(s);
	if (code == SQLITE_DONE)
		return -ENOENT;
	if (code != SQLITE_ROW)
		return journal_errno(j->db, code);
	if ((size_t)sqlite3_column_bytes(s, 0) != bytes)
		return -EINVAL;
	memcpy(ret, sqlite3_column_blob(s, 0), bytes);
	return 0;
}

int journal_audit(struct journal *j, const char *service, const struct actor *by, const char *what, const char *error)
{
	char now[TIME_TEXT_SIZE];
	int err = journal_lock(j);

	if (err)
		return err;
	err = journal_run(j, STATEMENT_AUDIT,
			  VALUES(TEXT(journal_time(now)), TEXT(service), ACTOR_UID(by), ACTOR_PID(by), TEXT(what),
				 TEXT(error)));
	if (!err)
		err = journal_run(j, STATEMENT_OLD_AUDIT, VALUES(INTEGER(AUDIT_KEPT)));
	return journal_end(j, err);
}
