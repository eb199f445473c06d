// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headgate rollout status: where the rollouts are. */
#include <string.h>

#include "rollout_actions.h"
#include "rollout_view.h"
#include "view.h"

static void print_head(const json_t *report)
{
	const json_t *rollout = json_object_get(report, "rollout");
	const json_t *deadline = json_object_get(rollout, "deadline_in_s");
	bool over = rollout_view_is_over(rollout);
	char text[QUANTITY_SIZE];

	printf("%s: rollout %llu, %s, ", member_text(report, "service"), member_count(rollout, "id"),
	       member_text(rollout, "strategy"));
	rollout_view_roles(stdout, rollout);
	fputs(": ", stdout);
	rollout_view_summary(stdout, rollout);
	printf("\nbegan %s by %s", member_text(rollout, "began"), member_text(rollout, "by"));
	if (over)
		printf(", ended %s", member_text(rollout, "ended"));
	else
		printf("; in this step for %s", format_duration(member_number(rollout, "step_ran_s"), text));
	if (!over && json_is_number(deadline))
		printf("; fails if it does not end within %s", format_duration(json_number_value(deadline), text));
	printf("\ncause: %s\n", member_text(rollout, "cause"));
}

static void print_ladder(const json_t *rollout)
{
	const json_t *step;
	char text[STEP_TEXT_SIZE];
	size_t i;

	putchar('\n');
	json_array_foreach(json_object_get(rollout, "steps"), i, step)
		printf("  %s %zu  %s\n", rollout_view_mark(rollout_view_rung(rollout, step)), i + 1,
		       rollout_view_step(step, text));
}

static void print_share(const json_t *rollout)
{
	static const char *const headings[] = {"CANDIDATE", ">ASKED", ">SLOTS", ">OPENED", ">ACTIVE", NULL};
	static const char *const keys[] = {"asked", "slots", "opened", "active"};
	const json_t *share = json_object_get(rollout, "share");
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const char *candidate = member_text(rollout, "candidate");
	char text[QUANTITY_SIZE];

	listing_add(l, "%s", *candidate ? candidate : "-");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		listing_add(l, "%s", rollout_view_percent(json_object_get(share, keys[i]), text));
	putchar('\n');
	view_listing(l);
}

static void add_side(struct listing *l, const json_t *metric, const char *side)
{
	const char *unit = member_text(metric, "unit");
	const json_t *low, *high;
	char key[32], text[QUANTITY_SIZE], bounds[BOUNDS_SIZE];

	listing_add(l, "%s", rollout_view_quantity(unit, json_object_get(metric, side), text));
	snprintf(key, sizeof(key), "%s_low", side);
	low = json_object_get(metric, key);
	snprintf(key, sizeof(key), "%s_high", side);
	high = json_object_get(metric, key);
	listing_add(l, "%s", rollout_view_bounds(unit, low, high, bounds));
	snprintf(key, sizeof(key), "%s_samples", side);
	listing_add(l, "%s", format_count(member_count(metric, key), text));
}

static void print_metrics(const json_t *metrics)
{
	static const char *const headings[] = {"METRIC", "VERDICT",  ">CANDIDATE", "BOUNDS",    ">SAMPLES",   ">STABLE",
					       "BOUNDS", ">SAMPLES", "ALLOWED",    ">EVIDENCE", ">PROVEN AT", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	char verdict[VERDICT_SIZE], text[QUANTITY_SIZE];
	const json_t *metric;
	size_t i;

	if (!json_array_size(metrics))
		return;
	json_array_foreach(metrics, i, metric)
	{
		listing_add(l, "%s", member_text(metric, "name"));
		listing_add(l, "%s", rollout_view_verdict(metric, verdict));
		add_side(l, metric, "candidate");
		add_side(l, metric, "stable");
		listing_add(l, "%s", member_text(metric, "limit"));
		listing_add(l, "%s", rollout_view_evidence(metric, text));
		listing_add(l, "%.4g", member_number(metric, "needed"));
	}
	putchar('\n');
	view_listing(l);
	putchar('\n');
	json_array_foreach(metrics, i, metric)
		printf("%s: %s\n", member_text(metric, "name"), member_text(metric, "why"));
}

static void add_arm(struct listing *l, const char *unit, const json_t *arm, size_t number)
{
	char text[QUANTITY_SIZE], bounds[BOUNDS_SIZE];

	listing_add(l, "%s", member_text(arm, "variant"));
	listing_add(l, "%s", rollout_view_quantity(unit, json_object_get(arm, "value"), text));
	listing_add(l, "%s",
		    rollout_view_bounds(unit, json_object_get(arm, "low"), json_object_get(arm, "high"), bounds));
	listing_add(l, "%s", rollout_view_quantity("share", json_object_get(arm, "difference"), text));
	listing_add(l, "%s",
		    rollout_view_bounds("share", json_object_get(arm, "difference_low"),
					json_object_get(arm, "difference_high"), bounds));
	listing_add(l, "%s", rollout_view_arm(arm, number));
}

/* What an A/B test has come to: each arm beside the control. */
static void print_result(const json_t *rollout)
{
	static const char *const headings[] = {"METRIC",      "ARM",    ">VALUE",  "BOUNDS",
					       ">DIFFERENCE", "BOUNDS", "VERDICT", NULL};
	const json_t *result = json_object_get(rollout, "result"), *metric, *arm;
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	size_t i, j;

	json_array_foreach(json_object_get(result, "metrics"), i, metric)
	{
		const char *name = member_text(metric, "name");

		json_array_foreach(json_object_get(metric, "arms"), j, arm)
		{
			listing_add(l, "%s", name);
			add_arm(l, rollout_view_unit(rollout, name), arm, j);
		}
	}
	putchar('\n');
	view_listing(l);
	printf("winner: %s\n", json_string_value(json_object_get(result, "winner")) ?: "none is proven");
}

static void print_ratio(const json_t *ratio)
{
	if (json_is_true(json_object_get(ratio, "void")))
		printf("split: the candidate has %.2f %% of the new connections instead of %.2f %%: no analysis "
		       "counts\n",
		       member_number(ratio, "actual") * 100, member_number(ratio, "expected") * 100);
	else if (json_is_false(json_object_get(ratio, "checked")))
		printf("split: not checked: %s\n", member_text(ratio, "why"));
}

static void print_analysis(const json_t *rollout)
{
	const json_t *analysis = json_object_get(rollout, "analysis");
	const json_t *next = json_object_get(analysis, "next_in_s");
	char text[QUANTITY_SIZE];

	if (!json_array_size(json_object_get(analysis, "metrics"))) {
		puts("\nnothing is judged: time alone decides");
		return;
	}
	print_metrics(json_object_get(analysis, "metrics"));
	printf("analyses: %llu", member_count(analysis, "made"));
	if (rollout_view_last(rollout))
		printf(", the last in this step: %s", rollout_view_last(rollout));
	printf(", failed checks: %llu of %llu", member_count(analysis, "failures"),
	       member_count(analysis, "failure_limit"));
	if (json_is_number(next))
		printf("; the next in %s", format_duration(json_number_value(next), text));
	putchar('\n');
	print_ratio(json_object_get(analysis, "ratio"));
}

static void render_one(const struct invocation *call, const json_t *report)
{
	const json_t *rollout = json_object_get(report, "rollout");

	if (!json_is_object(rollout)) {
		printf("%s has had no rollout; `headgate rollout start %s` begins one\n", call->arguments[1],
		       call->arguments[1]);
		return;
	}
	print_head(report);
	print_ladder(rollout);
	print_share(rollout);
	print_analysis(rollout);
	if (json_is_object(json_object_get(rollout, "result")))
		print_result(rollout);
	if (json_is_string(json_object_get(rollout, "waits_for")))
		printf("waits for: %s\n", member_text(rollout, "waits_for"));
	fputs("next: ", stdout);
	rollout_view_advice(stdout, report);
	putchar('\n');
}

static void add_row(struct listing *l, const json_t *report)
{
	const json_t *rollout = json_object_get(report, "rollout");
	size_t done = rollout_view_steps_done(rollout), count = json_array_size(json_object_get(rollout, "steps"));
	const char *waits = json_string_value(json_object_get(rollout, "waits_for"));
	char text[QUANTITY_SIZE];

	listing_add(l, "%s", member_text(report, "service"));
	listing_add(l, "%llu", member_count(rollout, "id"));
	listing_add(l, "%s", member_text(rollout, "strategy"));
	listing_add(l, "%s", member_text(rollout, "state"));
	listing_add(l, "%zu/%zu", done < count ? done + 1 : count, count);
	listing_add(l, "%s", member_text(rollout, "candidate"));
	listing_add(l, "%s", rollout_view_percent(json_object_get(json_object_get(rollout, "share"), "asked"), text));
	if (waits && !rollout_view_is_over(rollout))
		listing_add(l, "waits for %s", waits);
	else
		listing_add(l, "%s", member_text(rollout, "cause"));
}

static void render_all(const struct invocation *call, const json_t *body)
{
	static const char *const headings[] = {"SERVICE",   ">ROLLOUT", "STRATEGY", "STATE", ">STEP",
					       "CANDIDATE", ">SHARE",   "WHY",      NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *report;
	size_t i, count = 0;

	(void)call;
	json_array_foreach(json_object_get(body, "rollouts"), i, report)
	{
		if (!json_is_object(json_object_get(report, "rollout")))
			continue;
		add_row(l, report);
		count++;
	}
	if (count)
		view_listing(l);
	else
		puts("no service has had a rollout; `headgate rollout start SERVICE` begins one");
}

enum exit_code rollout_status(const struct invocation *call)
{
	_cleanup_free_ char *path = NULL;

	if (call->argument_count == 1)
		return converse(call, "GET", "/v1/rollouts", NULL, render_all);
	path = service_path(call->arguments[1], "/rollout");
	return converse(call, "GET", path, NULL, render_one);
}
