// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "commands.h"
#include "view.h"

static enum exit_code run(const struct invocation *call)
{
	_cleanup_free_ char *path = service_path(call->arguments[0], "/switch");
	json_auto_t *request = json_pack("{s:s}", "to", call->arguments[1]);

	if (!request)
		return complain_usage(call, "the variant's name is not UTF-8");
	if (call->rollback)
		json_object_set_new(request, "rollback", json_true());
	return converse(call, "POST", path, request, view_change);
}

const struct command command_switch = {
	.name = "switch",
	.synopsis = "SERVICE VARIANT [--rollback]",
	.summary = "give one variant all new connections at once",
	.help = "VARIANT gets all the weight, the others none, in one step that no packet sees half done. Switching\n"
		"back is the same command with the other name. What becomes of older connections whose slot moves is\n"
		"the configuration's to say: drain.on_change, or drain.on_rollback with --rollback.\n\n"
		"Examples:\n  headgate switch llm green\n  headgate switch llm blue --rollback",
	.options = OPTION_ROLLBACK,
	.arguments_min = 2,
	.arguments_max = 2,
	.run = run,
};
