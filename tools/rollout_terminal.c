// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The terminal of `headgate rollout watch`: keys, signals, and how it is left as it was. */
#include <ncurses.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "rollout_watch.h"

#define COMMAND_TIMEOUT_MS 10000
#define MESSAGE_SIZE 640

static volatile sig_atomic_t caught; /* the signal that ends it */

static void on_signal(int number)
{
	caught = number;
}

struct terminal {
	struct watch *watch;
	struct watch_log log;
	char message[MESSAGE_SIZE];
	bool asks; /* whether to roll back: the next key answers */
	bool left;
};

/* Signals that would end it end the loop, so that the terminal is put back first. */
static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action = {.sa_handler = on_signal};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &action, NULL);
}

static void add_line(void *context, const char *line)
{
	struct watch_log *log = context;
	char at[16];
	time_t now = time(NULL);
	struct tm local;

	strftime(at, sizeof(at), "%H:%M:%S", localtime_r(&now, &local));
	snprintf(log->line[log->count++ % LOG_LINES], LOG_LINE_SIZE, "%.8s %.*s", at, LOG_LINE_SIZE - 10, line);
}

static void ask(struct terminal *t)
{
	json_auto_t *before = NULL;
	bool was_away = t->watch->away;
	enum watch_outcome outcome = watch_ask(t->watch, &before);

	if (was_away && outcome != WATCH_AWAY)
		add_line(&t->log, "headgated answers again");
	if (!was_away && outcome == WATCH_AWAY)
		add_line(&t->log, "headgated does not answer");
	if (outcome == WATCH_REFUSED)
		snprintf(t->message, sizeof(t->message), "%s", t->watch->why.text);
	if (outcome == WATCH_NEWS)
		watch_tell(before, t->watch->report, add_line, &t->log);
}

static void say(struct terminal *t, const char *action)
{
	json_auto_t *request = json_pack("{s:s}", "action", action), *body = NULL;
	struct refusal why;
	long status;

	if (!request)
		return;
	if (client_call_within(COMMAND_TIMEOUT_MS, t->watch->call->socket, "POST", t->watch->path, request, &why,
			       &status, &body) < 0)
		snprintf(t->message, sizeof(t->message), "%s", why.text);
	else if (status != 200)
		snprintf(t->message, sizeof(t->message), "refused: %s", member_text(body, "error"));
	else
		snprintf(t->message, sizeof(t->message), "%s: done", action);
	ask(t);
}

static void take_key(struct terminal *t, int key)
{
	const json_t *rollout = watch_rollout(t->watch);
	bool paused = !strcmp(member_text(rollout, "state"), "Paused");

	if (key == ERR || key == KEY_RESIZE)
		return;
	t->message[0] = '\0';
	if (t->asks) {
		t->asks = false;
		if (key == 'y' || key == 'Y')
			say(t, "rollback");
	} else if (key == 'q' || rollout_view_is_over(rollout)) {
		t->left = true;
	} else if (key == 'a') {
		say(t, "approve");
	} else if (key == 'p') {
		say(t, paused ? "resume" : "pause");
	} else if (key == 'x') {
		t->asks = true;
		snprintf(t->message, sizeof(t->message), "go back to the weights before this rollout? y or n");
	}
}

static void show(struct terminal *t)
{
	double next_s = 0;

	while (!t->left && !caught && !watch_timed_out(t->watch)) {
		if (watch_now_s() >= next_s) {
			ask(t);
			next_s = watch_now_s() + WATCH_EVERY_MS / 1e3;
		}
		watch_draw(t->watch, &t->log, t->message);
		take_key(t, getch());
	}
}

static void begin_screen(void)
{
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	timeout(WATCH_EVERY_MS / 2);
	if (!has_colors() || getenv("NO_COLOR"))
		return;
	start_color();
	use_default_colors();
	for (short color = COLOR_RED; color <= COLOR_WHITE; color++)
		init_pair(color, color, -1);
}

enum exit_code watch_on_terminal(struct watch *w)
{
	_cleanup_free_ struct terminal *t = calloc(1, sizeof(*t));
	json_auto_t *before = NULL;
	SCREEN *screen;

	if (!t)
		return complain_memory();
	t->watch = w;
	if (watch_ask(w, &before) != WATCH_NEWS) {
		complain("%s", w->why.text);
		return EXIT_REFUSED;
	}
	watch_tell(NULL, w->report, add_line, &t->log);
	catch_signals();
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		complain("there is no description of the terminal %s; TERM=dumb prints lines instead", getenv("TERM"));
		return EXIT_REFUSED;
	}
	begin_screen();
	show(t);
	endwin();
	delscreen(screen);
	if (caught) {
		signal(caught, SIG_DFL);
		raise(caught);
	}
	return rollout_view_exit(watch_rollout(w));
}
