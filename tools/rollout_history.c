// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headgate rollout history: what happened, as the journal has it. */
#include <string.h>

#include "rollout_actions.h"
#include "view.h"

/* The journal counts steps from 0. */
static unsigned long long step_of(const json_t *line)
{
	return member_count(line, "step") + 1;
}

static void print_list(const json_t *rollouts)
{
	static const char *const headings[] = {">ROLLOUT", "SERVICE", "STRATEGY", "STATE", "BEGAN",
					       "ENDED",    "BY",      "WHY",      NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *rollout;
	size_t i;

	json_array_foreach(rollouts, i, rollout)
	{
		listing_add(l, "%llu", member_count(rollout, "id"));
		for (size_t column = 1; column < ARRAY_SIZE(headings) - 1; column++) {
			static const char *const keys[] = {"",      "service", "strategy", "state",
							   "began", "ended",   "by",       "cause"};

			listing_add(l, "%s", member_text(rollout, keys[column]));
		}
	}
	view_listing(l);
}

static void print_transitions(const json_t *transitions)
{
	static const char *const headings[] = {"AT", "FROM", "TO", ">STEP", "BY", "WHY", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *line;
	size_t i;

	json_array_foreach(transitions, i, line)
	{
		listing_add(l, "%s", member_text(line, "at"));
		listing_add(l, "%s", member_text(line, "from"));
		listing_add(l, "%s", member_text(line, "to"));
		listing_add(l, "%llu", step_of(line));
		listing_add(l, "%s", member_text(line, "by"));
		listing_add(l, "%s", member_text(line, "cause"));
	}
	putchar('\n');
	view_listing(l);
}

/* What decided an analysis: of the first metric whose verdict is the whole's. */
static const char *why_of(const json_t *analysis)
{
	const json_t *metric;
	size_t i;

	json_array_foreach(json_object_get(analysis, "metrics"), i, metric)
	{
		if (!strcmp(member_text(metric, "verdict"), member_text(analysis, "verdict")) &&
		    !json_is_true(json_object_get(metric, "dry_run")))
			return member_text(metric, "why");
	}
	return "-";
}

static bool continues(const json_t *analysis, const json_t *before)
{
	return before && step_of(analysis) == step_of(before) &&
	       !strcmp(member_text(analysis, "verdict"), member_text(before, "verdict"));
}

/* Those in a row that came to the same in the same step are a line together. */
static void print_analyses(const json_t *analyses)
{
	static const char *const headings[] = {"FROM", "TO", ">STEP", ">ANALYSES", "VERDICT", "WHY, THE LAST TIME",
					       NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *first = NULL, *line;
	size_t i, count = 0;

	json_array_foreach(analyses, i, line)
	{
		if (!count++)
			first = line;
		if (continues(line, json_array_get(analyses, i + 1)))
			continue;
		listing_add(l, "%s", member_text(first, "at"));
		listing_add(l, "%s", member_text(line, "at"));
		listing_add(l, "%llu", step_of(line));
		listing_add(l, "%zu", count);
		listing_add(l, "%s", member_text(line, "verdict"));
		listing_add(l, "%s", why_of(line));
		count = 0;
	}
	if (!json_array_size(analyses))
		return;
	putchar('\n');
	view_listing(l);
}

static void print_audit(const json_t *audit)
{
	static const char *const headings[] = {"AT", "BY", "ASKED FOR", "REFUSED AS", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *line;
	size_t i;

	json_array_foreach(audit, i, line)
	{
		listing_add(l, "%s", member_text(line, "at"));
		listing_add(l, "%s", member_text(line, "by"));
		listing_add(l, "%s", member_text(line, "what"));
		listing_add(l, "%s", member_text(line, "error"));
	}
	if (!json_array_size(audit))
		return;
	putchar('\n');
	view_listing(l);
}

static void render(const struct invocation *call, const json_t *body)
{
	const json_t *rollouts = json_object_get(body, "rollouts"), *one = json_array_get(rollouts, 0);

	if (!one) {
		puts(call->rollout ? "there was no such rollout" : "there was no rollout");
		return;
	}
	print_list(rollouts);
	if (!call->rollout)
		return;
	print_transitions(json_object_get(one, "transitions"));
	print_analyses(json_object_get(one, "analyses"));
	print_audit(json_object_get(one, "audit"));
}

enum exit_code rollout_history(const struct invocation *call)
{
	_cleanup_free_ char *query = NULL, *path = NULL;

	if (call->samples && !call->json)
		return complain_usage(call, "--samples needs -o json");
	if (asprintf(&query, "/rollout/history?limit=%s&rollout=%s%s", call->limit ?: "20", call->rollout ?: "0",
		     call->samples ? "&samples=1" : "") < 0)
		return complain_memory();
	path = service_path(call->arguments[1], query);
	return converse(call, "GET", path, NULL, render);
}
