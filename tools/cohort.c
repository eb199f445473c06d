// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>
#include <time.h>

#include "commands.h"
#include "text.h"
#include "view.h"

#define EXPIRES_MAX_S (10U * 365 * 86400)

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

/* When a cohort expires, as headgated takes it: a time from now on becomes an instant. NULL: it is none. */
static const char *expiry(const char *given, char instant[INSTANT_SIZE])
{
	uint32_t in_s;

	if (!given || text_duration(given, EXPIRES_MAX_S, &in_s))
		return given;
	return in_s ? text_of_instant(time(NULL) + in_s, instant) : NULL;
}

static enum exit_code add(const struct invocation *call)
{
	_cleanup_free_ char *path = service_path(call->arguments[1], "/cohorts");
	char instant[INSTANT_SIZE];
	const char *expires = expiry(call->expires, instant);
	json_auto_t *request =
		json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "source", call->arguments[2], "variant", call->arguments[3],
			  "owner", call->owner, "note", call->note, "expires", expires);

	if (call->expires && !expires)
		return complain_usage(call, "--expires takes a time as 2h, 2026-12-01T10:00:00Z or never, not \"%s\"",
				      call->expires);
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
	if (call->options)
		return complain_usage(call, "--owner, --note and --expires are of `headgate cohort add`");
	if (!strcmp(action, "remove") && call->argument_count == 3)
		return remove_prefix(call);
	if (!strcmp(action, "list") && call->argument_count <= 2)
		return converse_services(call, render_all, render_one);
	return complain_action(call, action, actions);
}

const struct command command_cohort = {
	.name = "cohort",
	.synopsis = "add SERVICE PREFIX VARIANT [--owner NAME] [--note TEXT] [--expires TIME] | remove SERVICE PREFIX "
		    "| list [SERVICE]",
	.summary = "pin clients to a variant by their source prefix",
	.help = "Connections from PREFIX go to VARIANT whatever the weights say. Prefixes of one service may not\n"
		"overlap. When a rule comes or goes, older connections do as drain.on_change says. headgated removes\n"
		"a rule that expires. Adding one again changes the options that are given; \"\" takes an owner or a\n"
		"note away.\n\n"
		"Example:\n  headgate cohort add llm 10.9.0.0/16 canary --owner search --expires 2h",
	.options = OPTION_OWNER | OPTION_NOTE | OPTION_EXPIRES,
	.arguments_min = 1,
	.arguments_max = 4,
	.run = run,
};
