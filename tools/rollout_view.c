// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rollout_view.h"

#include <langinfo.h>
#include <string.h>

#include "client.h"

bool rollout_view_is_utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

static bool has_state(const json_t *rollout, const char *state)
{
	return !strcmp(member_text(rollout, "state"), state);
}

bool rollout_view_is_over(const json_t *rollout)
{
	return has_state(rollout, "Succeeded") || has_state(rollout, "Failed") || has_state(rollout, "Aborted");
}

bool rollout_view_is_frozen(const json_t *rollout)
{
	return has_state(rollout, "Failed") && member_number(json_object_get(rollout, "share"), "asked") > 0;
}

enum exit_code rollout_view_exit(const json_t *rollout)
{
	return has_state(rollout, "Succeeded") ? EXIT_DONE : EXIT_REFUSED;
}

/* A duration of a plan, as it would be written there: "500ms", "10m", "1h30m". */
static const char *format_planned(double seconds, char text[QUANTITY_SIZE])
{
	unsigned long long s = seconds;
	size_t length = 0;

	text[0] = '\0';
	if (seconds < 1)
		snprintf(text, QUANTITY_SIZE, "%.4gms", seconds * 1e3);
	if (s >= 3600)
		length = snprintf(text, QUANTITY_SIZE, "%lluh", s / 3600);
	if (s % 3600 >= 60)
		length += snprintf(text + length, QUANTITY_SIZE - length, "%llum", s % 3600 / 60);
	if (s % 60)
		snprintf(text + length, QUANTITY_SIZE - length, "%llus", s % 60);
	return text;
}

const char *rollout_view_step(const json_t *step, char text[STEP_TEXT_SIZE])
{
	const json_t *duration = json_object_get(step, "for_s"), *share = json_object_get(step, "share");
	const json_t *samples = json_object_get(step, "samples");
	char time[QUANTITY_SIZE];
	size_t length = snprintf(text, STEP_TEXT_SIZE, "%s", member_text(step, "kind"));

	if (json_is_number(share) && json_number_value(share) > 0 && length < STEP_TEXT_SIZE)
		length += snprintf(text + length, STEP_TEXT_SIZE - length, " %.4g %%", json_number_value(share));
	if (json_is_number(duration) && json_number_value(duration) > 0 && length < STEP_TEXT_SIZE)
		length += snprintf(text + length, STEP_TEXT_SIZE - length, " for %s",
				   format_planned(json_number_value(duration), time));
	if (json_integer_value(samples) > 0 && length < STEP_TEXT_SIZE)
		snprintf(text + length, STEP_TEXT_SIZE - length, " until %lld samples each",
			 (long long)json_integer_value(samples));
	return text;
}

size_t rollout_view_steps_done(const json_t *rollout)
{
	const json_t *step;
	size_t i, done = 0;

	json_array_foreach(json_object_get(rollout, "steps"), i, step)
	{
		done += !strcmp(member_text(step, "state"), "done");
	}
	return done;
}

enum rung rollout_view_rung(const json_t *rollout, const json_t *step)
{
	const char *state = member_text(step, "state");

	if (!strcmp(state, "done"))
		return RUNG_DONE;
	if (strcmp(state, "current"))
		return RUNG_AHEAD;
	return has_state(rollout, "RollingBack") || rollout_view_is_over(rollout) ? RUNG_FAILED : RUNG_CURRENT;
}

const char *rollout_view_mark(enum rung rung)
{
	static const char *const ascii[RUNGS] = {"x", ">", ".", "!"}, *const drawn[RUNGS] = {"✓", "▶", "·", "✗"};

	return rollout_view_is_utf8() ? drawn[rung] : ascii[rung];
}

const char *rollout_view_arm(const json_t *arm, size_t number)
{
	const char *verdict = member_text(arm, "verdict");

	if (!number)
		return "control";
	return !strcmp(verdict, "pass") ? "better" : !strcmp(verdict, "fail") ? "worse" : "not proven";
}

const char *rollout_view_percent(const json_t *value, char text[QUANTITY_SIZE])
{
	if (!json_is_number(value))
		return "-";
	snprintf(text, QUANTITY_SIZE, "%.1f %%", json_number_value(value));
	return text;
}

static bool has_candidate(const json_t *rollout)
{
	const char *candidate = json_string_value(json_object_get(rollout, "candidate"));

	return candidate && *candidate;
}

void rollout_view_summary(FILE *out, const json_t *rollout)
{
	const json_t *steps = json_object_get(rollout, "steps");
	const json_t *asked = json_object_get(json_object_get(rollout, "share"), "asked");
	size_t done = rollout_view_steps_done(rollout), count = json_array_size(steps);
	char text[STEP_TEXT_SIZE];

	fprintf(out, "%s", member_text(rollout, "state"));
	if (done < count)
		fprintf(out, ", step %zu of %zu (%s)", done + 1, count,
			rollout_view_step(json_array_get(steps, done), text));
	if (has_candidate(rollout) && json_is_number(asked))
		fprintf(out, ", %s %.4g %%", member_text(rollout, "candidate"), json_number_value(asked));
}

void rollout_view_roles(FILE *out, const json_t *rollout)
{
	const json_t *result = json_object_get(rollout, "result"), *arm;
	const json_t *metric = json_array_get(json_object_get(result, "metrics"), 0);
	size_t i;

	if (has_candidate(rollout))
		fprintf(out, "%s -> %s", member_text(rollout, "stable"), member_text(rollout, "candidate"));
	else if (!json_is_object(result))
		fprintf(out, "%s beside its shadow", member_text(rollout, "stable"));
	else
		json_array_foreach(json_object_get(metric, "arms"), i, arm)
			fprintf(out, "%s%s", i ? " | " : "", member_text(arm, "variant"));
}

void rollout_view_advice(FILE *out, const json_t *report)
{
	const json_t *rollout = json_object_get(report, "rollout");
	const char *service = member_text(report, "service");

	if (has_state(rollout, "WaitingApproval"))
		fprintf(out, "`headgate rollout approve %s` goes on, `headgate rollout rollback %s` goes back", service,
			service);
	else if (has_state(rollout, "Paused"))
		fprintf(out, "`headgate rollout resume %s` goes on, `headgate rollout rollback %s` goes back", service,
			service);
	else if (rollout_view_is_frozen(rollout))
		fprintf(out, "the weights stay as they are: `headgate switch %s %s --rollback` goes back", service,
			member_text(rollout, "stable"));
	else if (has_state(rollout, "Succeeded"))
		fprintf(out, "`headgate rollout undo %s` has the weights as they were before", service);
	else if (rollout_view_is_over(rollout))
		fprintf(out, "`headgate rollout retry %s` begins it again, `headgate rollout history %s` says what was",
			service, service);
	else
		fprintf(out, "`headgate rollout watch %s` shows it", service);
}

const char *rollout_view_unit(const json_t *rollout, const char *name)
{
	const json_t *metrics = json_object_get(json_object_get(rollout, "analysis"), "metrics"), *metric;
	size_t i;

	json_array_foreach(metrics, i, metric)
	{
		if (!strcmp(member_text(metric, "name"), name))
			return member_text(metric, "unit");
	}
	return "";
}

const char *rollout_view_quantity(const char *unit, const json_t *value, char text[QUANTITY_SIZE])
{
	if (!json_is_number(value))
		return "-";
	if (!strcmp(unit, "share"))
		return format_share(json_number_value(value), text);
	if (!strcmp(unit, "s"))
		return format_duration(json_number_value(value), text);
	snprintf(text, QUANTITY_SIZE, "%.4g", json_number_value(value));
	return text;
}

const char *rollout_view_bounds(const char *unit, const json_t *low, const json_t *high, char text[BOUNDS_SIZE])
{
	char from[QUANTITY_SIZE], to[QUANTITY_SIZE];

	if (!json_is_number(low) && !json_is_number(high))
		return "-";
	snprintf(text, BOUNDS_SIZE, "%s..%s", json_is_number(low) ? rollout_view_quantity(unit, low, from) : "",
		 json_is_number(high) ? rollout_view_quantity(unit, high, to) : "");
	return text;
}

const char *rollout_view_evidence(const json_t *metric, char text[QUANTITY_SIZE])
{
	double evidence = member_number(metric, "evidence");

	if (!json_is_number(json_object_get(metric, "evidence")))
		return "-";
	snprintf(text, QUANTITY_SIZE, evidence > 1e6 ? ">1e6" : "%.3g", evidence);
	return text;
}

const char *rollout_view_last(const json_t *rollout)
{
	const char *last = json_string_value(json_object_get(json_object_get(rollout, "analysis"), "last"));

	return last && strcmp(last, "none") ? last : NULL;
}

const char *rollout_view_verdict(const json_t *metric, char text[VERDICT_SIZE])
{
	snprintf(text, VERDICT_SIZE, "%.24s%s%s", member_text(metric, "verdict"),
		 json_is_true(json_object_get(metric, "proven")) ? ", proven" : "",
		 json_is_true(json_object_get(metric, "dry_run")) ? ", dry" : "");
	return text;
}

void rollout_view_going_on(const struct invocation *call, const char *service)
{
	json_auto_t *body = NULL;
	const json_t *report;
	long status;
	size_t i;

	if (client_call(call->socket, "GET", "/v1/rollouts", NULL, NULL, &status, &body) < 0 || status != 200)
		return;
	json_array_foreach(json_object_get(body, "rollouts"), i, report)
	{
		const json_t *rollout = json_object_get(report, "rollout");

		if (!json_is_object(rollout) || (service && strcmp(service, member_text(report, "service"))) ||
		    (rollout_view_is_over(rollout) && !rollout_view_is_frozen(rollout)))
			continue;
		printf("%s: rollout %llu: ", member_text(report, "service"), member_count(rollout, "id"));
		rollout_view_summary(stdout, rollout);
		fputs("; ", stdout);
		rollout_view_advice(stdout, report);
		putchar('\n');
	}
}
