// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "client.h"
#include "commands.h"
#include "view.h"

static void render(const struct invocation *call, const json_t *body)
{
	static const char *const headings[] = {"SERVICE", "CLIENT", "VARIANT", "BACKEND", "STATE",
					       "SOURCE",  ">AGE",   ">IDLE",   NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *flow;
	char text[QUANTITY_SIZE];
	size_t i;

	(void)call;
	json_array_foreach(json_object_get(body, "flows"), i, flow)
	{
		listing_add(l, "%s", member_text(flow, "service"));
		listing_add(l, "%s", member_text(flow, "client"));
		listing_add(l, "%s", member_text(flow, "variant"));
		listing_add(l, "%s", member_text(flow, "backend"));
		listing_add(l, "%s", member_text(flow, "state"));
		listing_add(l, "%s", member_text(flow, "source"));
		listing_add(l, "%s", format_seconds(member_number(flow, "age_s"), text));
		listing_add(l, "%s", format_seconds(member_number(flow, "idle_s"), text));
	}
	if (i)
		view_listing(l);
	printf("%s%llu of %llu flows shown\n", i ? "\n" : "", member_count(body, "shown"), member_count(body, "total"));
}

static enum exit_code run(const struct invocation *call)
{
	_cleanup_free_ char *service = call->service ? client_escape(call->service) : NULL;
	_cleanup_free_ char *source = call->source ? client_escape(call->source) : NULL;
	_cleanup_free_ char *path = NULL;

	if ((call->service && !service) || (call->source && !source))
		return complain_memory();
	if (asprintf(&path, "/v1/flows?limit=%s%s%s%s%s", call->limit ?: "1000", service ? "&service=" : "",
		     service ?: "", source ? "&source=" : "", source ?: "") < 0)
		return complain_memory();
	return converse(call, "GET", path, NULL, render);
}

const struct command command_flows = {
	.name = "flows",
	.synopsis = "[--service NAME] [--source ADDR] [--limit N]",
	.summary = "the connections that are remembered",
	.help = "Lists connections with state: every one through nat, and those in tracked slots. At most 1000\n"
		"unless --limit says otherwise.\n\n"
		"Example:\n  headgate flows --service llm --source 10.1.2.3",
	.options = OPTION_SERVICE | OPTION_SOURCE | OPTION_LIMIT,
	.run = run,
};
