// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>

#include "commands.h"
#include "nearest.h"
#include "shadow_status.h"
#include "text.h"

static void print_backends(const json_t *shadow)
{
	const json_t *backend;
	size_t i;

	json_array_foreach(json_object_get(shadow, "backends"), i, backend)
		printf("%s%s%s", i ? ", " : "", member_text(backend, "address"),
		       strcmp(member_text(backend, "hop"), "reachable") ? " (its MAC is not known yet)" : "");
}

static void render_change(const struct invocation *call, const json_t *body)
{
	const json_t *shadow = json_object_get(json_object_get(body, "service"), "shadow");
	const char *service = call->arguments[0], *state = member_text(shadow, "state");

	if (!strcmp(state, "on")) {
		printf("%s: %g%% of new connections are mirrored to ", service, member_number(shadow, "sample"));
		print_backends(shadow);
		printf(" (%s)\n", member_text(shadow, "engine"));
		return;
	}
	if (!strcmp(call->arguments[1], "sample"))
		printf("%s: the sample is %g%%; ", service, member_number(shadow, "sample"));
	else
		printf("%s: ", service);
	printf("nothing is mirrored, as the shadow is %s; `headgate shadow %s on` has it mirror\n", state, service);
}

static enum exit_code change(const struct invocation *call, json_t *request)
{
	_cleanup_free_ char *path = service_path(call->arguments[0], "/shadow");
	enum exit_code code;

	if (!request)
		return complain_memory();
	code = converse(call, "PUT", path, request, render_change);
	json_decref(request);
	return code;
}

static enum exit_code set_state(const struct invocation *call)
{
	return change(call, json_pack("{s:s}", "state", call->arguments[1]));
}

static enum exit_code set_sample(const struct invocation *call)
{
	uint32_t hundredths;

	if (text_percent(call->arguments[2], &hundredths))
		return complain_usage(call, "\"%s\" is no percentage from 0 to 100 in steps of 0.01, as 10 or 0.5",
				      call->arguments[2]);
	return change(call, json_pack("{s:f}", "sample", hundredths / 100.0));
}

static const struct {
	const char *name;
	size_t arguments; /* with the service and the name itself */
	enum exit_code (*run)(const struct invocation *call);
} actions[] = {
	{"status", 2, shadow_status},
	{"on", 2, set_state},
	{"off", 2, set_state},
	{"sample", 3, set_sample},
};

static enum exit_code run(const struct invocation *call)
{
	const char *names[ARRAY_SIZE(actions) + 1] = {NULL}, *service = call->arguments[0],
						*action = call->arguments[1];
	const char *nearest;

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		names[i] = actions[i].name;
		if (!strcmp(action, actions[i].name) && call->argument_count == actions[i].arguments)
			return actions[i].run(call);
	}
	nearest = nearest_word(action, names);
	if (nearest && strcmp(nearest, action))
		return complain_usage(call,
				      "there is no `headgate shadow %s %s`; did you mean `headgate shadow %s %s`?",
				      service, action, service, nearest);
	return complain_usage(call, "usage: headgate shadow %s", call->command->synopsis);
}

const struct command command_shadow = {
	.name = "shadow",
	.synopsis = "SERVICE status | SERVICE on|off | SERVICE sample PERCENT",
	.summary = "copy connections to a shadow, or stop it; how it does",
	.help = "A shadow gets copies of a sample of a service's connections, and what it answers reaches nobody.\n"
		"status: how many were mirrored whole, what the shadow answered and how fast, and how that compares\n"
		"with production.\n"
		"Who it is stands in the configuration. off: nothing is mirrored until on; on resumes a paused one,\n"
		"too. PERCENT is from 0 to 100 in steps of 0.01. A restart and a reload keep both, as long as the\n"
		"file does not say another sample.\n\n"
		"Examples:\n  headgate shadow llm status\n  headgate shadow llm sample 10\n  headgate shadow llm off",
	.arguments_min = 2,
	.arguments_max = 3,
	.run = run,
};
