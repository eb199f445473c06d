/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ROLLOUT_WATCH_H
#define HEADGATE_ROLLOUT_WATCH_H

/* `headgate rollout watch`: asks again and again, and tells what is new. */
#include "refusal.h"
#include "rollout_view.h"

#define WATCH_EVERY_MS 200

struct watch {
	const struct invocation *call;
	char *path;                       /* of the REPORT */
	json_t *report;                   /* the newest that there was; NULL: none yet */
	double report_s, began_s, away_s; /* CLOCK_MONOTONIC: of @report, of the watch, since when nothing answers */
	bool away;
	struct refusal why; /* nothing answers, or it is refused */
};

enum watch_outcome {
	WATCH_SAME, /* as far as watch_tell() would tell */
	WATCH_NEWS,
	WATCH_AWAY,    /* headgated does not answer; it may come back */
	WATCH_REFUSED, /* it answers that there is nothing to watch */
};

/* Asks once. @ret_before: what was known, to be released; set with WATCH_NEWS. */
enum watch_outcome watch_ask(struct watch *w, json_t **ret_before);

/* Calls @tell with a line for each thing that is new between two reports; @before may be NULL. */
void watch_tell(const json_t *before, const json_t *report, void (*tell)(void *context, const char *line),
		void *context);

static inline const json_t *watch_rollout(const struct watch *w)
{
	return json_object_get(w->report, "rollout");
}

bool watch_timed_out(const struct watch *w);

double watch_now_s(void);

/* Draws on the terminal until the rollout is over and a key was pressed, or until it is left. */
enum exit_code watch_on_terminal(struct watch *w);

/* One picture of what is known, on ncurses' screen. */
struct watch_log;
void watch_draw(const struct watch *w, const struct watch_log *log, const char *message);

#define LOG_LINES 64
#define LOG_LINE_SIZE 512

/* The newest lines; those before them are gone. */
struct watch_log {
	char line[LOG_LINES][LOG_LINE_SIZE];
	size_t count; /* that there ever were */
};

#endif
