// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "model.h"
#include "view.h"

static void render_current(const struct invocation *call, const json_t *body)
{
	static const char *const headings[] = {"VARIANT", ">WEIGHT", ">SHARE", ">SLOTS", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *variant;
	char share[QUANTITY_SIZE];
	size_t i;

	(void)call;
	json_array_foreach(json_object_get(body, "variants"), i, variant)
	{
		listing_add(l, "%s", member_text(variant, "name"));
		listing_add(l, "%llu", member_count(variant, "weight"));
		listing_add(l, "%s", format_share(member_number(variant, "share"), share));
		listing_add(l, "%llu", member_count(variant, "slots"));
	}
	view_listing(l);
	view_tracked(body);
}

/* Puts one "VARIANT=WEIGHT" into @weights. */
static enum exit_code add_weight(const struct invocation *call, const char *text, json_t *weights)
{
	const char *equals = strrchr(text, '=');
	_cleanup_free_ char *variant = NULL;
	unsigned long weight = 0;
	char *end = NULL;

	errno = 0;
	if (equals && isdigit((unsigned char)equals[1]))
		weight = strtoul(equals + 1, &end, 10);
	if (!end || *end || errno || equals == text || weight > WEIGHT_MAX)
		return complain_usage(call, "\"%s\" is not VARIANT=WEIGHT with a whole number from 0 to %u", text,
				      WEIGHT_MAX);
	variant = strndup(text, equals - text);
	if (!variant)
		return complain_memory();
	if (json_object_get(weights, variant))
		return complain_usage(call, "%s is given two weights", variant);
	if (json_object_set_new(weights, variant, json_integer(weight)) < 0)
		return complain_usage(call, "the name in \"%s\" is not UTF-8", text);
	return EXIT_DONE;
}

static enum exit_code run(const struct invocation *call)
{
	json_auto_t *weights = json_object(), *request = NULL;
	_cleanup_free_ char *path = NULL;

	if (call->argument_count == 1 && call->rollback)
		return complain_usage(call, "--rollback needs the weights to go back to: VARIANT=WEIGHT ...");
	if (call->argument_count == 1) {
		path = service_path(call->arguments[0], "");
		return converse(call, "GET", path, NULL, render_current);
	}
	for (size_t i = 1; i < call->argument_count; i++) {
		enum exit_code code = add_weight(call, call->arguments[i], weights);

		if (code != EXIT_DONE)
			return code;
	}
	request = json_pack("{s:O}", "weights", weights);
	path = service_path(call->arguments[0], "/weights");
	if (!request)
		return complain_memory();
	if (call->rollback)
		json_object_set_new(request, "rollback", json_true());
	return converse(call, "PUT", path, request, view_change);
}

const struct command command_weights = {
	.name = "weights",
	.synopsis = "SERVICE [VARIANT=WEIGHT ... [--rollback]]",
	.summary = "show or change how a service's new connections are split",
	.help = "Weights are whole numbers from 0 to 1000000, relative to one another. A variant that is not\n"
		"named gets 0, but one that has weight now must be named. Without VARIANT=WEIGHT: shows the weights.\n"
		"New connections follow a change at once. What becomes of older ones whose slot moves is the\n"
		"configuration's to say: drain.on_change, or drain.on_rollback with --rollback.\n\n"
		"Examples:\n  headgate weights llm blue=95 canary=5\n"
		"  headgate weights llm blue=100 canary=0 --rollback",
	.options = OPTION_ROLLBACK,
	.arguments_min = 1,
	.arguments_max = 1 + VARIANTS_MAX,
	.run = run,
};
