// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The picture of `headgate rollout watch`, from the top: who and in what state; the ladder of steps beside the shares;
 * the metrics with their bounds; what it waits for; what happened; the keys. What has no room is left out, the ladder's
 * far ends and old lines first.
 */
#include <math.h>
#include <ncurses.h>
#include <string.h>

#include "rollout_watch.h"

#define LADDER_WIDTH 36
#define SHARES_ROWS 7
#define TEXT_SIZE 1024

/* --- a piece of text, and a bar ----------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 text's first @width characters; the rest is cut off. Without UTF-8, each other character is '?'.
 */
static int fit(char *text, int width)
{
	bool utf8 = rollout_view_is_utf8();
	char *to = text;

	for (const char *from = text; *from; from++) {
		bool continues = (*from & 0xc0) == 0x80;

		if (!continues && !width--)
			break;
		if (!continues || utf8)
			*to++ = (*from & 0x80) && !utf8 ? '?' : *from;
	}
	*to = '\0';
	return to - text;
}

/* At most @width columns, none beyond the screen. */
static void put(int y, int x, int width, attr_t look, const char *format, ...) __attribute__((format(printf, 5, 6)));

static void put(int y, int x, int width, attr_t look, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list arguments;

	if (y < 0 || y >= LINES || x >= COLS)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	attron(look);
	mvaddnstr(y, x, text, fit(text, width < COLS - x ? width : COLS - x));
	attroff(look);
}

/* A sentence that may need a second line; broken between words. */
static void put_in_two(int y, attr_t look, const char *text)
{
	int cut = strlen(text);

	if (cut > COLS) {
		for (cut = COLS; cut && text[cut] != ' ';)
			cut--;
		cut = cut ?: COLS;
		put(y + 1, 0, COLS, look, "%s", text + cut + (text[cut] == ' '));
	}
	put(y, 0, COLS, look, "%.*s", cut, text);
}

static attr_t color(short number)
{
	return has_colors() ? COLOR_PAIR(number) : A_NORMAL;
}

static attr_t look_of_verdict(const char *verdict)
{
	if (!strcmp(verdict, "pass") || !strcmp(verdict, "better"))
		return color(COLOR_GREEN);
	if (!strcmp(verdict, "fail") || !strcmp(verdict, "worse"))
		return color(COLOR_RED) | A_BOLD;
	if (!strcmp(verdict, "inconclusive") || !strcmp(verdict, "not proven"))
		return color(COLOR_YELLOW);
	return *verdict && strcmp(verdict, "none") && strcmp(verdict, "control") ? color(COLOR_MAGENTA) : A_NORMAL;
}

static attr_t look_of_state(const char *state)
{
	if (!strcmp(state, "Succeeded"))
		return color(COLOR_GREEN) | A_BOLD;
	if (!strcmp(state, "Failed") || !strcmp(state, "RollingBack") || !strcmp(state, "Aborted"))
		return color(COLOR_RED) | A_BOLD;
	if (!strcmp(state, "Paused") || !strcmp(state, "WaitingApproval"))
		return color(COLOR_YELLOW) | A_BOLD;
	return color(COLOR_CYAN) | A_BOLD;
}

/* A part 0..1 of @width columns. */
static void put_part(int y, int x, int width, double part)
{
	const char *full = rollout_view_is_utf8() ? "█" : "#", *empty = rollout_view_is_utf8() ? "░" : "-";
	int filled = part > 0 ? (int)lround(fmin(part, 1) * width) : 0;

	for (int i = 0; i < width; i++)
		put(y, x + i, 1, i < filled ? A_NORMAL : A_DIM, "%s", i < filled ? full : empty);
}

/* --- what it is, and its steps ------------------------------------------------------------------------------------ */

static void draw_head(const struct watch *w, const json_t *rollout)
{
	const char *state = member_text(rollout, "state");
	char roles[TEXT_SIZE] = "", summary[TEXT_SIZE] = "";
	FILE *out = fmemopen(roles, sizeof(roles), "w");

	if (out) {
		rollout_view_roles(out, rollout);
		fclose(out);
	}
	out = fmemopen(summary, sizeof(summary), "w");
	if (out) {
		rollout_view_summary(out, rollout);
		fclose(out);
	}
	put(0, 0, COLS, A_BOLD, "%s: rollout %llu, %s, %s", w->call->arguments[1], member_count(rollout, "id"),
	    member_text(rollout, "strategy"), roles);
	put(1, 0, COLS, look_of_state(state), "%s", summary);
	if (w->away)
		put(1, COLS > 44 ? COLS - 44 : 0, 44, color(COLOR_RED) | A_BOLD,
		    " headgated has not answered for %.0f s; waiting", watch_now_s() - w->away_s);
	put_in_two(2, A_DIM, member_text(rollout, "cause"));
}

static void draw_ladder(const json_t *rollout, int y, int rows)
{
	static const attr_t looks[RUNGS] = {
		[RUNG_DONE] = A_NORMAL, [RUNG_CURRENT] = A_BOLD, [RUNG_AHEAD] = A_DIM, [RUNG_FAILED] = A_BOLD};
	const json_t *steps = json_object_get(rollout, "steps");
	int count = json_array_size(steps), first = (int)rollout_view_steps_done(rollout) - rows / 2;
	char text[STEP_TEXT_SIZE];

	if (first > count - rows)
		first = count - rows;
	if (first < 0)
		first = 0;
	for (int i = first; i < count && i < first + rows; i++) {
		const json_t *step = json_array_get(steps, i);
		enum rung rung = rollout_view_rung(rollout, step);

		put(y + i - first, 0, LADDER_WIDTH - 1, looks[rung] | (rung == RUNG_FAILED ? color(COLOR_RED) : 0),
		    "%s %2d  %s", rollout_view_mark(rung), i + 1, rollout_view_step(step, text));
	}
}

/* --- shares and clocks -------------------------------------------------------------------------------------------- */

static void draw_shares(const json_t *rollout, int y)
{
	static const char *const keys[] = {"asked", "slots", "opened", "active"};
	const json_t *share = json_object_get(rollout, "share");
	int width = COLS - LADDER_WIDTH - 18;
	char text[QUANTITY_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const json_t *value = json_object_get(share, keys[i]);

		put(y + i, LADDER_WIDTH, 18, A_NORMAL, "%-7s%8s", keys[i], rollout_view_percent(value, text));
		if (json_is_number(value))
			put_part(y + i, LADDER_WIDTH + 17, width, json_number_value(value) / 100);
	}
}

/* What is left of a clock that has run on since the report came. */
static double left_of(const struct watch *w, const json_t *value)
{
	return fmax(json_number_value(value) - (watch_now_s() - w->report_s), 0);
}

static void draw_clocks(const struct watch *w, const json_t *rollout, int y)
{
	const json_t *analysis = json_object_get(rollout, "analysis"), *next = json_object_get(analysis, "next_in_s");
	const json_t *deadline = json_object_get(rollout, "deadline_in_s");
	double interval = member_number(analysis, "interval_s");
	char text[QUANTITY_SIZE], step[QUANTITY_SIZE];
	const char *last = rollout_view_last(rollout) ?: "";

	put(y, LADDER_WIDTH, COLS, look_of_verdict(last), "analysis %llu%s%s", member_count(analysis, "made"),
	    *last ? ": " : "", last);
	put(y, LADDER_WIDTH + 28, COLS, A_NORMAL, "failed checks %llu of %llu", member_count(analysis, "failures"),
	    member_count(analysis, "failure_limit"));
	if (json_is_number(next) && interval > 0) {
		double left = left_of(w, next);

		put(y + 1, LADDER_WIDTH, 18, A_NORMAL, "next%11s", format_duration(left, text));
		put_part(y + 1, LADDER_WIDTH + 17, COLS - LADDER_WIDTH - 18, 1 - left / interval);
	}
	if (rollout_view_is_over(rollout))
		return;
	put(y + 2, LADDER_WIDTH, COLS, A_NORMAL, "step for %s",
	    format_duration(member_number(rollout, "step_ran_s"), step));
	if (json_is_number(deadline))
		put(y + 2, LADDER_WIDTH + 28, COLS, A_NORMAL, "must end in %s",
		    format_duration(left_of(w, deadline), text));
}

/* --- metrics ------------------------------------------------------------------------------------------------------ */

/* What both intervals of a metric lie in. */
struct scale {
	double low, high;
};

static void stretch(struct scale *s, const json_t *value)
{
	double number = json_number_value(value);

	if (!json_is_number(value))
		return;
	s->low = fmin(s->low, number);
	s->high = fmax(s->high, number);
}

static int column_of(const struct scale *s, double value, int width)
{
	double range = s->high - s->low;

	return range > 0 ? (int)lround((value - s->low) / range * (width - 1)) : width / 2;
}

/* |----o-------|, from the lower bound to the upper one; without an upper one to the end. */
static void put_interval(int y, int x, int width, const struct scale *s, const json_t *low, const json_t *value,
			 const json_t *high)
{
	static const char *const drawn[] = {"├", "─", "┤", "●"}, *const ascii[] = {"|", "-", "|", "o"};
	const char *const *marks = rollout_view_is_utf8() ? drawn : ascii;

	if (json_is_number(low)) {
		int from = column_of(s, json_number_value(low), width);
		int to = json_is_number(high) ? column_of(s, json_number_value(high), width) : width - 1;

		for (int i = from; i <= to; i++)
			put(y, x + i, 1, A_DIM, "%s", marks[i == from ? 0 : i == to && json_is_number(high) ? 2 : 1]);
	}
	if (json_is_number(value))
		put(y, x + column_of(s, json_number_value(value), width), 1, A_BOLD, "%s", marks[3]);
}

/* One side of a row: a value and its interval. */
struct side {
	const json_t *low, *value, *high;
};

static struct side side_of(const json_t *object, const char *low, const char *value, const char *high)
{
	return (struct side){json_object_get(object, low), json_object_get(object, value),
			     json_object_get(object, high)};
}

static void stretch_side(struct scale *s, const struct side *side)
{
	stretch(s, side->low);
	stretch(s, side->value);
	stretch(s, side->high);
}

#define NAME_WIDTH 18
#define VERDICT_WIDTH 18
#define VALUE_WIDTH 9

static int bar_width(void)
{
	int width = (COLS - NAME_WIDTH - VERDICT_WIDTH - 2 * (VALUE_WIDTH + 2)) / 2;

	return width > 60 ? 60 : width;
}

static void draw_side(int y, int x, const char *unit, const struct scale *s, const struct side *side)
{
	char text[QUANTITY_SIZE];

	put(y, x, VALUE_WIDTH, A_NORMAL, "%*s", VALUE_WIDTH, rollout_view_quantity(unit, side->value, text));
	if (bar_width() > 3)
		put_interval(y, x + VALUE_WIDTH + 1, bar_width(), s, side->low, side->value, side->high);
}

static int second_side(void)
{
	int width = bar_width() > 3 ? bar_width() : 0;

	return NAME_WIDTH + VERDICT_WIDTH + VALUE_WIDTH + 2 + width;
}

static void draw_metric(int y, const json_t *metric)
{
	struct side candidate = side_of(metric, "candidate_low", "candidate", "candidate_high");
	struct side stable = side_of(metric, "stable_low", "stable", "stable_high");
	const char *unit = member_text(metric, "unit");
	struct scale s = {INFINITY, -INFINITY};
	char verdict[VERDICT_SIZE];

	stretch_side(&s, &candidate);
	stretch_side(&s, &stable);
	put(y, 0, NAME_WIDTH - 1, A_NORMAL, "%s", member_text(metric, "name"));
	put(y, NAME_WIDTH, VERDICT_WIDTH - 1, look_of_verdict(member_text(metric, "verdict")), "%s",
	    rollout_view_verdict(metric, verdict));
	draw_side(y, NAME_WIDTH + VERDICT_WIDTH, unit, &s, &candidate);
	draw_side(y, second_side(), unit, &s, &stable);
}

static void draw_headings(int y, const char *first, const char *second)
{
	put(y, 0, NAME_WIDTH, A_BOLD, "METRIC");
	put(y, NAME_WIDTH, VERDICT_WIDTH, A_BOLD, "VERDICT");
	put(y, NAME_WIDTH + VERDICT_WIDTH, COLS, A_BOLD, "%*s", VALUE_WIDTH, first);
	put(y, second_side(), COLS, A_BOLD, "%*s", VALUE_WIDTH, second);
}

/* Rows that it took, at most @rows. */
static int draw_metrics(const json_t *rollout, int y, int rows)
{
	const json_t *metrics = json_object_get(json_object_get(rollout, "analysis"), "metrics"), *metric;
	int count = json_array_size(metrics), line = y + 1;
	bool explained = rows > 2 * count; /* there is room for a sentence under each */
	size_t i;

	if (!count) {
		put(y, 0, COLS, A_DIM, "nothing is judged: time alone decides");
		return 1;
	}
	draw_headings(y, "CANDIDATE", "STABLE");
	json_array_foreach(metrics, i, metric)
	{
		if (line >= y + rows)
			break;
		draw_metric(line++, metric);
		if (explained)
			put(line++, 2, COLS, A_DIM, "%s", member_text(metric, "why"));
	}
	return line - y;
}

static struct side value_of(const json_t *arm)
{
	return side_of(arm, "low", "value", "high");
}

static struct side difference_of(const json_t *arm)
{
	return side_of(arm, "difference_low", "difference", "difference_high");
}

/* One metric of an A/B test: each arm, and how it differs from the control. Rows that it took. */
static int draw_arms_of(int y, int rows, const char *unit, const json_t *metric)
{
	const json_t *arms = json_object_get(metric, "arms"), *arm;
	struct scale values = {INFINITY, -INFINITY}, differences = values;
	size_t i;

	json_array_foreach(arms, i, arm)
	{
		struct side value = value_of(arm), difference = difference_of(arm);

		stretch_side(&values, &value);
		stretch_side(&differences, &difference);
	}
	json_array_foreach(arms, i, arm)
	{
		struct side value = value_of(arm), difference = difference_of(arm);
		const char *verdict = rollout_view_arm(arm, i);

		if ((int)i >= rows)
			return rows;
		put(y, 0, NAME_WIDTH - 1, A_NORMAL, "%s %s", member_text(arm, "variant"), member_text(metric, "name"));
		put(y, NAME_WIDTH, VERDICT_WIDTH - 1, look_of_verdict(verdict), "%s", verdict);
		draw_side(y, NAME_WIDTH + VERDICT_WIDTH, unit, &values, &value);
		draw_side(y++, second_side(), "share", &differences, &difference);
	}
	return i;
}

static int draw_arms(const json_t *rollout, int y, int rows)
{
	const json_t *metric;
	int drawn = 1;
	size_t i;

	draw_headings(y, "VALUE", "DIFFERENCE");
	json_array_foreach(json_object_get(json_object_get(rollout, "result"), "metrics"), i, metric)
	{
		drawn += draw_arms_of(y + drawn, rows - drawn, rollout_view_unit(rollout, member_text(metric, "name")),
				      metric);
	}
	return drawn;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static void draw_log(const struct watch_log *log, int y, int rows)
{
	int kept = log->count < LOG_LINES ? log->count : LOG_LINES, shown = rows < kept ? rows : kept;

	for (int i = 0; i < shown; i++)
		put(y + i, 0, COLS, A_NORMAL, "%s", log->line[(log->count - shown + i) % LOG_LINES]);
}

static void draw_foot(const json_t *rollout, const char *message)
{
	const char *state = member_text(rollout, "state");

	if (rollout_view_is_over(rollout))
		put(LINES - 1, 0, COLS, look_of_state(state), "the rollout is over: %s; press a key", state);
	else if (*message)
		put(LINES - 1, 0, COLS, A_BOLD, "%s", message);
	else
		put(LINES - 1, 0, COLS, A_REVERSE, "q leave   %s   %sx roll back",
		    !strcmp(state, "Paused") ? "p resume" : "p pause",
		    !strcmp(state, "WaitingApproval") ? "a approve   " : "");
}

void watch_draw(const struct watch *w, const struct watch_log *log, const char *message)
{
	const json_t *rollout = watch_rollout(w), *waits = json_object_get(rollout, "waits_for");
	int steps = json_array_size(json_object_get(rollout, "steps")), y = LINES < 28 ? 4 : 5, rows = LINES - 10 - y;

	erase();
	draw_head(w, rollout);
	rows = steps < rows ? steps : rows;
	rows = rows > SHARES_ROWS ? rows : SHARES_ROWS;
	draw_ladder(rollout, y, rows);
	draw_shares(rollout, y);
	draw_clocks(w, rollout, y + 4);
	y += rows + 1;
	if (json_is_object(json_object_get(rollout, "result")))
		y += draw_arms(rollout, y, LINES - y - 4);
	else
		y += draw_metrics(rollout, y, LINES - y - 4);
	if (json_is_string(waits) && !rollout_view_is_over(rollout))
		put(y++, 0, COLS, A_NORMAL, "waits for %s", json_string_value(waits));
	draw_log(log, y + 1, LINES - y - 2);
	draw_foot(rollout, message);
	refresh();
}
