// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>

#include "client.h"
#include "commands.h"
#include "nearest.h"
#include "view.h"

static const char *age_text(const json_t *flow, const char *key, char text[QUANTITY_SIZE])
{
	const json_t *seconds = json_object_get(flow, key);

	return json_is_number(seconds) ? format_seconds(json_number_value(seconds), text) : "-";
}

static const struct figure bytes[] = {
	{">CLIENT BYTES", FIGURE_BYTES, "client_bytes"},
	{">SERVER BYTES", FIGURE_BYTES, "server_bytes"},
};

static void render(const struct invocation *call, const json_t *body)
{
	static const char *const leading[] = {"SERVICE", "CLIENT", "VARIANT", "BACKEND", "STATE",
					      "SOURCE",  ">AGE",   ">IDLE",   NULL};
	const json_t *flows = json_object_get(body, "flows"), *flow;
	_cleanup_(listing_freep) struct listing *l = figures_open(leading, bytes, ARRAY_SIZE(bytes));
	char text[QUANTITY_SIZE];
	size_t i;

	(void)call;
	json_array_foreach(flows, i, flow)
	{
		listing_add(l, "%s", member_text(flow, "service"));
		listing_add(l, "%s", member_text(flow, "client"));
		listing_add(l, "%s", member_text(flow, "variant"));
		listing_add(l, "%s", member_text(flow, "backend"));
		listing_add(l, "%s", member_text(flow, "state"));
		listing_add(l, "%s", member_text(flow, "source"));
		listing_add(l, "%s", age_text(flow, "age_s", text));
		listing_add(l, "%s", age_text(flow, "idle_s", text));
		figures_add(l, bytes, ARRAY_SIZE(bytes), NULL, flow);
	}
	if (i)
		view_listing(l);
	printf("%s%llu of %llu flows shown\n", i ? "\n" : "", member_count(body, "shown"), member_count(body, "total"));
}

static enum exit_code check_state(const struct invocation *call)
{
	static const char *const states[] = {"half-open", "established", "closing", NULL};
	const char *nearest;

	for (size_t i = 0; states[i]; i++)
		if (!call->state || !strcmp(call->state, states[i]))
			return EXIT_DONE;
	nearest = nearest_word(call->state, states);
	if (nearest)
		return complain_usage(call, "there is no state \"%s\"; did you mean %s?", call->state, nearest);
	return complain_usage(call, "--state takes half-open, established or closing, not \"%s\"", call->state);
}

/* To be freed; NULL: out of memory. */
static char *flows_path(const struct invocation *call)
{
	const struct {
		const char *name, *value;
	} filters[] = {
		{"service", call->service}, {"source", call->source}, {"variant", call->variant},
		{"backend", call->backend}, {"state", call->state},
	};
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "/v1/flows?limit=%s", call->limit ?: "1000") < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		_cleanup_free_ char *value = NULL, *shorter = TAKE_PTR(path);

		if (filters[i].value)
			value = client_escape(filters[i].value);
		if (filters[i].value && !value)
			return NULL;
		if (asprintf(&path, value ? "%s&%s=%s" : "%s", shorter, filters[i].name, value) < 0)
			return NULL;
	}
	return TAKE_PTR(path);
}

static enum exit_code run(const struct invocation *call)
{
	_cleanup_free_ char *path = NULL;

	if (check_state(call) != EXIT_DONE)
		return EXIT_USAGE;
	path = flows_path(call);
	return converse(call, "GET", path, NULL, render);
}

const struct command command_flows = {
	.name = "flows",
	.synopsis =
		"[--service NAME] [--source ADDR] [--variant NAME] [--backend ADDR:PORT] [--state STATE] [--limit N]",
	.summary = "the connections that are remembered",
	.help = "Lists connections with state: every one through nat, and those in tracked slots. At most 1000\n"
		"unless --limit says otherwise.\n\n"
		"Examples:\n  headgate flows --service llm --source 10.1.2.3\n"
		"  headgate flows --backend 10.0.1.11:8000 --state established",
	.options = OPTION_SERVICE | OPTION_SOURCE | OPTION_VARIANT | OPTION_BACKEND | OPTION_STATE | OPTION_LIMIT,
	.run = run,
};
