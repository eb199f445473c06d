// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "commands.h"
#include "view.h"

static void print_lines(const char *heading, const json_t *lines)
{
	const json_t *line;
	size_t i;

	json_array_foreach(lines, i, line) printf("%s %s\n", heading, json_string_value(line) ?: "-");
}

static void render(const struct invocation *call, const json_t *body)
{
	const json_t *changed = json_object_get(body, "changed");

	(void)call;
	if (!json_array_size(changed))
		puts("nothing changed");
	print_lines("changed:", changed);
	print_lines("kept:   ", json_object_get(body, "kept"));
}

static enum exit_code run(const struct invocation *call)
{
	return converse(call, "POST", "/v1/reload", NULL, render);
}

const struct command command_reload = {
	.name = "reload",
	.synopsis = "",
	.summary = "have headgated read its configuration again",
	.help = "Says what changed, and which weights and cohorts set by command stay in force over what the file\n"
		"says. A file with a mistake changes nothing; every mistake is shown.\n\n"
		"Example:\n  headgate reload",
	.run = run,
};
