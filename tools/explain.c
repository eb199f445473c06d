// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "client.h"
#include "commands.h"
#include "view.h"

static void print_flow(const json_t *flow)
{
	char age[QUANTITY_SIZE], idle[QUANTITY_SIZE];

	if (!json_is_object(flow)) {
		puts("this connection  has no state");
		return;
	}
	printf("this connection  goes to %s at %s: %s", member_text(flow, "variant"), member_text(flow, "backend"),
	       member_text(flow, "state"));
	if (json_is_string(json_object_get(flow, "source")))
		printf(", from %s there", member_text(flow, "source"));
	printf(", %s old, idle for %s\n", format_seconds(member_number(flow, "age_s"), age),
	       format_seconds(member_number(flow, "idle_s"), idle));
}

static void render(const struct invocation *call, const json_t *body)
{
	const json_t *base = json_object_get(body, "base"), *reason;
	size_t i;

	(void)call;
	printf("%s from %s: slot %llu, decided by %s", member_text(body, "service"), member_text(body, "source"),
	       member_count(body, "slot"), member_text(body, "decided_by"));
	if (json_is_string(json_object_get(body, "cohort")))
		printf(" %s", member_text(body, "cohort"));
	puts("\n");
	print_flow(json_object_get(body, "flow"));
	printf("a new one        goes to %s at %s, by way of %s on %s\n", member_text(body, "variant"),
	       member_text(body, "backend"), member_text(body, "next_hop"), member_text(body, "interface"));
	if (json_is_object(base))
		printf("an unknown older one goes to %s at %s: the slot is tracked\n", member_text(base, "variant"),
		       member_text(base, "backend"));
	puts("\nwhy:");
	json_array_foreach(json_object_get(body, "why"), i, reason) printf("  %s\n", json_string_value(reason) ?: "-");
}

static enum exit_code run(const struct invocation *call)
{
	_cleanup_free_ char *source = NULL, *rest = NULL, *path = NULL;

	if (!call->source)
		return complain_usage(call, "say whose connection: --source ADDR:PORT");
	source = client_escape(call->source);
	if (!source || asprintf(&rest, "/explain?source=%s", source) < 0)
		return complain_memory();
	path = service_path(call->arguments[0], rest);
	return converse(call, "GET", path, NULL, render);
}

const struct command command_explain = {
	.name = "explain",
	.synopsis = "SERVICE --source ADDR:PORT",
	.summary = "which variant and backend a client gets, and why",
	.help = "Says where this very connection goes when it is known, where a new one from the same address and\n"
		"port goes, and the steps that lead there.\n\n"
		"Examples:\n  headgate explain llm --source 10.1.2.3:4567\n"
		"  headgate explain llm --source [fd00::1]:4567",
	.options = OPTION_SOURCE,
	.arguments_min = 1,
	.arguments_max = 1,
	.run = run,
};
