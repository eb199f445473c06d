// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "journal_parts.h"

#include <errno.h>
#include <string.h>

#include "json_fields.h"
#include "rollout_json.h"

/* How much is kept. One analysis, transition or line that is new takes the oldest one away; of rollouts that are too
 * many a little is taken away each time. */
#define ANALYSES_KEPT 10000    /* of a service */
#define TRANSITIONS_KEPT 10000 /* of a rollout */
#define ROLLOUTS_KEPT 100      /* of a service */
#define SURPLUS_AT_ONCE 50     /* rows */

#define CHECKPOINT_PAGES 1000

/* Writes the record of a rollout that is there. */
static int write_record(struct journal *j, const struct rollout_record *record)
{
	_cleanup_(record_texts_clear) struct record_texts texts = {};
	const struct rollout *r = &record->rollout;
	char now[TIME_TEXT_SIZE];
	int err = record_to_texts(record, &texts);

	if (!err)
		err = journal_run(j, STATEMENT_RECORD,
				  VALUES(INTEGER(r->id), TEXT(name_of_rollout_state(r->state)), TEXT(r->cause),
					 TEXT(texts.rollout), TEXT(texts.metrics), TEXT(texts.ratio), TEXT(texts.arms),
					 INTEGER(record->analysed_ms), INTEGER(rollout_is_over(r->state)),
					 TEXT(journal_time(now))));
	if (!err && !sqlite3_changes(j->db))
		return -ENOENT;
	return err;
}

/* Takes a little of the oldest rollout that is one too many. */
static int drop_surplus(struct journal *j, const char *service)
{
	static const enum statement parts[] = {STATEMENT_SURPLUS_ANALYSES, STATEMENT_SURPLUS_TRANSITIONS};
	int64_t rollout = -1;
	int err;

	{
		_cleanup_(journal_reset) sqlite3_stmt *s = j->statements[STATEMENT_SURPLUS];

		err = journal_bind(j, s, VALUES(TEXT(service), INTEGER(ROLLOUTS_KEPT)));
		if (!err)
			err = journal_errno(j->db, sqlite3_step(s));
		if (!err && sqlite3_data_count(s))
			rollout = sqlite3_column_int64(s, 0);
	}
	if (err || rollout < 0)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		err = journal_run(j, parts[i], VALUES(INTEGER(rollout), INTEGER(SURPLUS_AT_ONCE)));
		if (err || sqlite3_changes(j->db) == SURPLUS_AT_ONCE)
			return err;
	}
	err = journal_run(j, STATEMENT_SURPLUS_BASELINE, VALUES(INTEGER(rollout)));
	return err ?: journal_run(j, STATEMENT_SURPLUS_ROLLOUT, VALUES(INTEGER(rollout)));
}

/* In a transaction. -EBUSY: one goes on. */
static int insert_rollout(struct journal *j, struct rollout_record *record, const struct actor *by)
{
	_cleanup_free_ char *plan = json_text_of(plan_to_json(&record->plan));
	char now[TIME_TEXT_SIZE];
	int err;

	if (!plan)
		return -ENOMEM;
	err = journal_run(j, STATEMENT_NEW_ROLLOUT,
			  VALUES(TEXT(record->rollout.service), TEXT(name_of_strategy(record->plan.strategy)),
				 TEXT(journal_time(now)), ACTOR_UID(by), ACTOR_PID(by), TEXT(plan)));
	if (err)
		return err == -EEXIST ? -EBUSY : err;
	record->rollout.id = sqlite3_last_insert_rowid(j->db);
	return write_record(j, record);
}

int journal_begin(struct journal *j, struct rollout_record *record, const struct actor *by)
{
	uint64_t before = record->rollout.id;
	int err = journal_lock(j);

	if (err)
		return err;
	err = insert_rollout(j, record, by);
	if (!err)
		err = drop_surplus(j, record->rollout.service);
	err = journal_end(j, err);
	if (err)
		record->rollout.id = before;
	return err;
}

int journal_transition(struct journal *j, const struct rollout_record *record, enum rollout_state from,
		       uint32_t from_step, const struct actor *by)
{
	const struct rollout *r = &record->rollout;
	char now[TIME_TEXT_SIZE];
	int err = journal_lock(j);

	if (err)
		return err;
	err = write_record(j, record);
	if (!err)
		err = journal_run(j, STATEMENT_TRANSITION,
				  VALUES(INTEGER(r->id), INTEGER(r->transitions), TEXT(journal_time(now)),
					 TEXT(name_of_rollout_state(from)), TEXT(name_of_rollout_state(r->state)),
					 INTEGER(from_step), INTEGER(r->step), TEXT(name_of_step_phase(r->phase)),
					 TEXT(r->cause), ACTOR_UID(by), ACTOR_PID(by)));
	if (!err && r->transitions > TRANSITIONS_KEPT)
		err = journal_run(j, STATEMENT_OLD_TRANSITIONS,
				  VALUES(INTEGER(r->id), INTEGER(r->transitions - TRANSITIONS_KEPT)));
	return journal_end(j, err);
}

static char *results_to_text(const struct analysis_plan *a, const struct metric_result *results)
{
	_cleanup_(json_decrefp) json_t *list = json_array();

	for (size_t i = 0; i < a->metric_count; i++) {
		if (json_array_append_new(list, metric_to_json(&a->metrics[i], &results[i])))
			return NULL;
	}
	return json_text_of(TAKE_PTR(list));
}

static char *samples_to_text(const struct analysis_plan *a, const struct sample *candidate, const struct sample *stable)
{
	_cleanup_(json_decrefp) json_t *list = json_array();

	for (size_t i = 0; i < a->metric_count; i++) {
		const struct metric_plan *m = &a->metrics[i];

		if (json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "metric", json_text(m->name), "candidate",
							  sample_to_json(m, &candidate[i]), "stable",
							  sample_to_json(m, &stable[i]))))
			return NULL;
	}
	return json_text_of(TAKE_PTR(list));
}

int journal_analysis(struct journal *j, const struct rollout_record *record, const struct sample *candidate,
		     const struct sample *stable, const struct metric_result *results, enum judged verdict)
{
	const struct analysis_plan *a = &record->plan.analysis;
	const struct rollout *r = &record->rollout;
	_cleanup_free_ char *metrics = results_to_text(a, results);
	_cleanup_free_ char *samples = samples_to_text(a, candidate, stable);
	char now[TIME_TEXT_SIZE];
	int err;

	if (!metrics || !samples)
		return -ENOMEM;
	err = journal_lock(j);
	if (err)
		return err;
	err = write_record(j, record);
	if (!err)
		err = journal_run(j, STATEMENT_ANALYSIS,
				  VALUES(TEXT(r->service), INTEGER(r->id), TEXT(journal_time(now)), INTEGER(r->step),
					 TEXT(name_of_judged(verdict)), TEXT(metrics), TEXT(samples)));
	if (!err)
		err = journal_run(j, STATEMENT_OLD_ANALYSES, VALUES(TEXT(r->service), INTEGER(ANALYSES_KEPT)));
	return journal_end(j, err);
}

int journal_keep(struct journal *j, const struct rollout_record *record)
{
	int err;

	/* What waits for the disk is done here, and not by a transition that a rollback waits for. The write below
	 * begins the file beside anew, which waits for the disk, too. */
	if (j->wal_pages >= CHECKPOINT_PAGES)
		sqlite3_wal_checkpoint_v2(j->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	err = journal_lock(j);
	if (err)
		return err;
	err = write_record(j, record);
	if (!err)
		err = drop_surplus(j, record->rollout.service);
	return journal_end(j, err);
}

static const char *column(sqlite3_stmt *s, int index)
{
	return (const char *)sqlite3_column_text(s, index);
}

static int read_record(sqlite3_stmt *s, struct rollout_record *ret)
{
	_cleanup_(json_decrefp) json_t *plan = json_loads(column(s, 0) ?: "", JSON_REJECT_DUPLICATES, NULL);
	/* They stay SQLite's: nothing is changed or freed. */
	const struct record_texts texts = {
		.rollout = (char *)column(s, 1),
		.metrics = (char *)column(s, 2),
		.ratio = (char *)column(s, 3),
		.arms = (char *)column(s, 4),
	};
	_cleanup_free_ struct rollout_record *record = calloc(1, sizeof(*record));
	int err;

	if (!record)
		return -ENOMEM;
	err = plan_from_json(plan, &record->plan);
	if (!err)
		err = record_from_texts(&texts, record);
	if (err)
		return err == -EINVAL ? -EBADMSG : err;
	record->analysed_ms = sqlite3_column_int64(s, 5);
	*ret = *record;
	return 0;
}

int journal_newest(struct journal *j, const char *service, struct rollout_record *ret)
{
	_cleanup_(journal_reset) sqlite3_stmt *s = j->statements[STATEMENT_NEWEST];
	int code, err = journal_bind(j, s, VALUES(TEXT(service)));

	if (err)
		return err;
	code = sqlite3_step(s);
	if (code == SQLITE_DONE)
		return -ENOENT;
	return code == SQLITE_ROW ? read_record(s, ret) : journal_errno(j->db, code);
}

/* All are read before the first is told, so that @each may use the journal. */
int journal_each_going_on(struct journal *j, void (*each)(void *context, const char *service), void *context)
{
	_cleanup_(json_decrefp) json_t *services = json_array();
	const json_t *service;
	size_t i;
	int code;

	if (!services)
		return -ENOMEM;
	{
		_cleanup_(journal_reset) sqlite3_stmt *s = j->statements[STATEMENT_GOING_ON];

		while ((code = sqlite3_step(s)) == SQLITE_ROW) {
			if (json_array_append_new(services, json_string(column(s, 0) ?: "")))
				return -ENOMEM;
		}
	}
	if (code != SQLITE_DONE)
		return journal_errno(j->db, code);
	json_array_foreach(services, i, service) each(context, json_string_value(service));
	return 0;
}

int journal_give_up(struct journal *j, const char *service, const char *cause)
{
	char now[TIME_TEXT_SIZE];
	int err = journal_run(j, STATEMENT_GIVE_UP,
			      VALUES(TEXT(service), TEXT(name_of_rollout_state(ROLLOUT_ABORTED)), TEXT(cause),
				     TEXT(journal_time(now))));

	return err || sqlite3_changes(j->db) ? err : -ENOENT;
}
