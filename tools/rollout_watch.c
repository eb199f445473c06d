// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headgate rollout watch: what is new, until the rollout is over; a line each where there is no terminal. */
#include "rollout_watch.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "rollout_actions.h"

#define ASK_TIMEOUT_MS 2000

double watch_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

bool watch_timed_out(const struct watch *w)
{
	return w->call->timeout_s && watch_now_s() - w->began_s >= w->call->timeout_s;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
	return !strcmp(member_text(a, key), member_text(b, key));
}

static bool same_count(const json_t *a, const json_t *b, const char *key)
{
	return member_count(a, key) == member_count(b, key);
}

static bool has_moved(const json_t *before, const json_t *rollout)
{
	return !same_text(before, rollout, "state") || !same_count(before, rollout, "step");
}

static bool has_analysed(const json_t *before, const json_t *rollout)
{
	return !same_count(json_object_get(before, "analysis"), json_object_get(rollout, "analysis"), "made");
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static enum watch_outcome is_away(struct watch *w)
{
	if (!w->away)
		w->away_s = watch_now_s();
	w->away = true;
	return WATCH_AWAY;
}

static enum watch_outcome take_report(struct watch *w, json_t *report, json_t **ret_before)
{
	const json_t *before = watch_rollout(w), *rollout = json_object_get(report, "rollout");
	bool news = !w->report || !same_count(before, rollout, "id") || has_moved(before, rollout) ||
		    has_analysed(before, rollout);

	w->away = false;
	if (news)
		*ret_before = w->report;
	else
		json_decref(w->report);
	w->report = json_incref(report);
	w->report_s = watch_now_s();
	return news ? WATCH_NEWS : WATCH_SAME;
}

enum watch_outcome watch_ask(struct watch *w, json_t **ret_before)
{
	const char *service = w->call->arguments[1];
	json_auto_t *body = NULL;
	long status;

	if (client_call_within(ASK_TIMEOUT_MS, w->call->socket, "GET", w->path, NULL, &w->why, &status, &body) < 0)
		return is_away(w);
	if (status != 200) {
		refuse(&w->why, EPROTO, "%s", member_text(body, "error"));
		return WATCH_REFUSED;
	}
	if (json_is_object(json_object_get(body, "rollout")))
		return take_report(w, body, ret_before);
	refuse(&w->why, ENOENT, "%s has had no rollout; `headgate rollout start %s` begins one", service, service);
	return WATCH_REFUSED;
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static void print_move(FILE *out, const json_t *rollout)
{
	fprintf(out, "rollout %llu: ", member_count(rollout, "id"));
	rollout_view_summary(out, rollout);
	fprintf(out, ": %s", member_text(rollout, "cause"));
}

/* With what the metrics say that kept it from passing. */
static void print_analysis(FILE *out, const json_t *rollout)
{
	const json_t *analysis = json_object_get(rollout, "analysis"), *metric;
	const char *verdict = member_text(analysis, "last");
	size_t i;

	fprintf(out, "rollout %llu: analysis %llu: %s", member_count(rollout, "id"), member_count(analysis, "made"),
		verdict);
	json_array_foreach(json_object_get(analysis, "metrics"), i, metric)
	{
		if (strcmp(verdict, "pass") && !strcmp(member_text(metric, "verdict"), verdict))
			fprintf(out, "; %s: %s", member_text(metric, "name"), member_text(metric, "why"));
	}
}

static void tell_one(void (*print)(FILE *out, const json_t *rollout), const json_t *rollout,
		     void (*tell)(void *context, const char *line), void *context)
{
	char line[LOG_LINE_SIZE] = "";
	FILE *out = fmemopen(line, sizeof(line), "w");

	if (!out)
		return;
	print(out, rollout);
	fclose(out);
	line[sizeof(line) - 1] = '\0';
	tell(context, line);
}

void watch_tell(const json_t *before, const json_t *report, void (*tell)(void *context, const char *line),
		void *context)
{
	const json_t *was = json_object_get(before, "rollout"), *is = json_object_get(report, "rollout");
	bool other = !was || !same_count(was, is, "id");

	/* Of the one that ended a step, the step's end tells. */
	if (!other && has_analysed(was, is) && same_count(was, is, "step"))
		tell_one(print_analysis, is, tell, context);
	if (other || has_moved(was, is))
		tell_one(print_move, is, tell, context);
}

/* --- a line each -------------------------------------------------------------------------------------------------- */

static void print_line(void *context, const char *line)
{
	const struct watch *w = context;
	char at[32];
	time_t now = time(NULL);
	struct tm utc;

	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	printf("%s %s: %s\n", at, w->call->arguments[1], line);
}

static void print_news(struct watch *w, const json_t *before)
{
	if (!w->call->json) {
		watch_tell(before, w->report, print_line, w);
	} else {
		json_dumpf(w->report, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
		putchar('\n');
	}
	fflush(stdout);
}

static enum exit_code watch_by_lines(struct watch *w)
{
	const struct timespec pause = {.tv_nsec = WATCH_EVERY_MS * 1000000L};

	while (!ferror(stdout)) {
		json_auto_t *before = NULL;
		bool was_away = w->away;
		enum watch_outcome outcome = watch_ask(w, &before);

		if (outcome == WATCH_REFUSED || (outcome == WATCH_AWAY && !w->report)) {
			complain("%s", w->why.text);
			return EXIT_REFUSED;
		}
		if (outcome == WATCH_AWAY && !was_away)
			complain("%s; waiting for it", w->why.text);
		if (outcome != WATCH_AWAY && was_away)
			complain("headgated answers again");
		if (outcome == WATCH_NEWS)
			print_news(w, before);
		if (outcome != WATCH_AWAY && rollout_view_is_over(watch_rollout(w)))
			return rollout_view_exit(watch_rollout(w));
		if (watch_timed_out(w)) {
			complain("the rollout is not over after %u s", w->call->timeout_s);
			return EXIT_REFUSED;
		}
		nanosleep(&pause, NULL);
	}
	return EXIT_REFUSED;
}

static bool is_terminal(const struct invocation *call)
{
	const char *term = getenv("TERM");

	return !call->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb");
}

enum exit_code rollout_watch(const struct invocation *call)
{
	_cleanup_free_ char *path = service_path(call->arguments[1], "/rollout");
	struct watch w = {.call = call, .path = path, .began_s = watch_now_s()};
	enum exit_code code;

	if (!path)
		return complain_memory();
	code = is_terminal(call) ? watch_on_terminal(&w) : watch_by_lines(&w);
	json_decref(w.report);
	return code;
}
