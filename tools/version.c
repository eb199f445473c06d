// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "client.h"
#include "commands.h"

#include <errno.h>
#include <stdio.h>

/* NULL when it does not say, with @why. */
static json_t *daemon_version(const struct invocation *call, struct refusal *why)
{
	json_auto_t *body = NULL;
	long status;

	if (client_call(call->socket, "GET", "/v1/version", NULL, why, &status, &body) < 0)
		return NULL;
	if (status != 200) {
		refuse(why, EPROTO, "%s answers with status %ld, so it is another program's socket", call->socket,
		       status);
		return NULL;
	}
	return TAKE_PTR(body);
}

static enum exit_code run(const struct invocation *call)
{
	struct refusal why;
	json_auto_t *daemon = daemon_version(call, &why);

	if (call->json) {
		json_auto_t *both = json_pack("{s:s, s:O?}", "headgate", HEADGATE_VERSION, "headgated", daemon);

		if (!both)
			return complain_memory();
		print_json(both);
		return EXIT_DONE;
	}
	puts("headgate " HEADGATE_VERSION);
	if (daemon)
		printf("headgated %s (ABI %llu)\n", member_text(daemon, "version"), member_count(daemon, "abi"));
	else
		puts(why.text);
	return EXIT_DONE;
}

const struct command command_version = {
	.name = "version",
	.synopsis = "",
	.summary = "versions of this command and of the daemon",
	.help = "A daemon that does not answer is named as such, and is no error.\n\n"
		"Example:\n  headgate version",
	.run = run,
};
