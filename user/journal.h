/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_JOURNAL_H
#define HEADGATE_JOURNAL_H

/*
 * What rollouts decided, written before it is done: an SQLite file (WAL), that people may read with sqlite3 while the
 * daemon writes. docs/journal.md describes its tables, and how much is kept. A record that was written is there after a
 * kill -9; after a loss of power the newest may be missing, and then the rollout is a little further back, which is as
 * good.
 *
 * Of the errors: -EBUSY: another process has the file locked (it is waited for 250 ms at most); -ENOSPC; -EROFS; -EIO;
 * -EBADMSG: damaged; -ENOTSUP: of a newer daemon; -ENOENT: somebody took the rollout out of the file. After an error
 * nothing was written: what was to be journalled must not be applied, but for a rollout's way back.
 */
#include <jansson.h>

#include "rollout.h"

struct journal;

#define JOURNAL_VERSION 1 /* PRAGMA user_version; a newer file is refused, an older one brought up to date */

/**
 * journal_open - open or make the file
 * @path: its folder must exist; a file that is damaged or no SQLite file is set aside as PATH.damaged; another
 *        program's SQLite file, and one of a newer daemon, is refused
 * @why: also filled, beside 0, when a damaged file was set aside; else empty then. May be NULL.
 *
 * Return: 0 or -errno with @why.
 */
int journal_open(const char *path, struct journal **ret, struct refusal *why);
/* For journal_history() alone, in a thread or a program of its own: nothing is checked, made or changed. */
int journal_open_reader(const char *path, struct journal **ret); /* 0; -ENOENT; -errno */
void journal_close(struct journal *j);                           /* accepts NULL */
DEFINE_CLEANUP(struct journal, journal_close)

/* Whether the file was deleted or moved since it was opened: what is written goes into one that nobody will find. */
bool journal_has_moved(struct journal *j);

/* All that a daemon needs to go on with a rollout. */
struct rollout_record {
	struct rollout_plan plan;
	struct rollout rollout;
	struct metric_state metrics[PLAN_METRICS_MAX];
	struct ratio_state ratio;
	struct arm_total arms[PLAN_METRICS_MAX][PLAN_ARMS_MAX]; /* ab_test */
	uint64_t analysed_ms; /* of rollout.in_force_ns: when the running interval began */
};

/* Who did something, for the audit. */
struct actor {
	uint32_t uid;
	int32_t pid;
	bool daemon; /* the daemon itself; no uid */
};

/**
 * journal_begin - a new rollout
 * @record: its rollout.id is set
 * Return: 0 or -errno; -EBUSY: the service has one that is not over.
 */
int journal_begin(struct journal *j, struct rollout_record *record, const struct actor *by);

/* A transition: the whole record and a line of history, in one transaction. @from: the state and step before. 0 or
 * -errno. */
int journal_transition(struct journal *j, const struct rollout_record *record, enum rollout_state from,
		       uint32_t from_step, const struct actor *by);

/* An analysis: the whole record, the results, and the samples that they came from (what `simulate --recorded` reads),
 * in one transaction. @candidate and @stable: [plan.analysis.metric_count]. 0 or -errno. */
int journal_analysis(struct journal *j, const struct rollout_record *record, const struct sample *candidate,
		     const struct sample *stable, const struct metric_result *results, enum judged verdict);

/* Just the record: its clocks. To be called every few seconds while a rollout goes on, when nothing waits for it: it
 * also tidies the file up, and may wait for the disk. 0 or -errno. */
int journal_keep(struct journal *j, const struct rollout_record *record);

/* The newest rollout of a service. 0; -ENOENT; -EBADMSG: it makes no sense; -errno. @ret is big: not on the stack. */
int journal_newest(struct journal *j, const char *service, struct rollout_record *ret);

/* Services whose newest rollout is not over: each is called with the name. 0 or -errno. */
int journal_each_going_on(struct journal *j, void (*each)(void *context, const char *service), void *context);

/* Ends, as Aborted, a service's rollout that cannot be read. 0; -ENOENT: none goes on; -errno. */
int journal_give_up(struct journal *j, const char *service, const char *cause);

/*
 * Roles: after a promotion stable and candidate are the other way round for the next release. They hold as long as the
 * file says the same as when it was promoted.
 */
int journal_set_roles(struct journal *j, const char *service, const struct rollout_plan *file, const char *stable,
		      const char *candidate);
/* Changes @plan's names, if there are roles and the file still says what it said. 0 or -errno. */
int journal_apply_roles(struct journal *j, const char *service, struct rollout_plan *plan);

/* What was counted when the running interval began, and pushed since: the conductor's own. 0 or -errno. */
int journal_set_baseline(struct journal *j, uint64_t rollout, const void *data, size_t bytes);
int journal_baseline(struct journal *j, uint64_t rollout, void *ret, size_t bytes); /* -ENOENT; -EINVAL: another size */

/* One line of the audit, for what people asked for, done or refused (@error: NULL or why not). 0 or -errno. */
int journal_audit(struct journal *j, const char *service, const struct actor *by, const char *what, const char *error);

/**
 * journal_history - what happened, newest rollout first
 * @service: or NULL for all
 * @rollout: an id, or 0 for all
 * @limit: rollouts
 * @samples: with each rollout's plan and each analysis' samples, too
 * Return: {"rollouts": [..]} as docs/api.md says, or NULL (out of memory, or the file cannot be read). Without @rollout
 * and @samples only the newest HISTORY_ANALYSES of each are told. With them there may be 10 000, which takes seconds:
 * such a question is for a reader in another thread than the one that has to roll back.
 */
#define HISTORY_ANALYSES 20
json_t *journal_history(struct journal *j, const char *service, uint64_t rollout, uint32_t limit, bool samples);

/* A metric of a report: {"name", "source", "kind", "unit", "limit", "verdict", .., "why"}, as docs/api.md says. NULL:
 * out of memory. */
json_t *metric_to_json(const struct metric_plan *m, const struct metric_result *result);

/* Records as JSON, by the names of the C fields: what the journal keeps, and what the simulation reads. */
json_t *plan_to_json(const struct rollout_plan *plan);
int plan_from_json(const json_t *json, struct rollout_plan *ret); /* 0 or -EINVAL */
json_t *sample_to_json(const struct metric_plan *m, const struct sample *sample);
int sample_from_json(const struct metric_plan *m, const json_t *json, struct sample *ret); /* 0 or -EINVAL */

#endif
