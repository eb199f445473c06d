// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>

#include "commands.h"
#include "view.h"

static void render_changed(const struct invocation *call, const json_t *body)
{
	json_auto_t *services = json_pack("[O]", json_object_get(body, "service"));

	(void)call;
	view_cohorts(services);
}

static void render_one(const struct invocation *call, const json_t *body)
{
	json_auto_t *services = json_pack("[O]", body);

	(void)call;
	view_cohorts(services);
}

static void render_all(const struct invocation *call, const json_t *body)
{
	(void)call;
	view_cohorts(json_object_get(body, "services"));
}

static enum exit_code add(const struct invocation *call)
{
	_cleanup_free_ char *path = service_path(call->arguments[1], "/cohorts");
	json_auto_t *request = json_pack("{s:s, s:s}", "source", call->arguments[2], "variant", call->arguments[3]);

	if (!request)
		return complain_usage(call, "an argument is not UTF-8");
	return converse(call, "POST", path, request, render_changed);
}

static enum exit_code remove_prefix(const struct invocation *call)
{
	_cleanup_free_ char *path = service_path(call->arguments[1], "/cohorts");
	json_auto_t *request = json_pack("{s:s}", "source", call->arguments[2]);

	if (!request)
		return complain_usage(call, "an argument is not UTF-8");
	return converse(call, "DELETE", path, request, render_changed);
}

static enum exit_code run(const struct invocation *call)
{
	static const char *const actions[] = {"add", "remove", "list", NULL};
	const char *action = call->arguments[0];

	if (!strcmp(action, "add") && call->argument_count == 4)
		return add(call);
	if (!strcmp(action, "remove") && call->argument_count == 3)
		return remove_prefix(call);
	if (!strcmp(action, "list") && call->argument_count <= 2)
		return converse_services(call, render_all, render_one);
	return complain_action(call, action, actions);
}

const struct command command_cohort = {
	.name = "cohort",
	.synopsis = "add SERVICE PREFIX VARIANT | remove SERVICE PREFIX | list [SERVICE]",
	.summary = "pin clients to a variant by their source prefix",
	.help = "Connections from PREFIX go to VARIANT whatever the weights say. Prefixes of one service may not\n"
		"overlap. Adding and removing a rule moves new connections only.\n\n"
		"Example:\n  headgate cohort add llm 10.9.0.0/16 canary",
	.arguments_min = 1,
	.arguments_max = 4,
	.run = run,
};
