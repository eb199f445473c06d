// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "datapath.h"

static void print_detached(const json_t *body)
{
	const json_t *interface;
	size_t i;

	json_array_foreach(json_object_get(body, "detached"), i, interface)
		printf("%s%s", i ? ", " : "took Headgate's programs off ", json_string_value(interface) ?: "-");
	puts(i ? "" : "no program was on any interface");
}

static void render(const struct invocation *call, const json_t *body)
{
	(void)call;
	print_detached(body);
	puts("removed every pin; headgated ends.\n"
	     "Packets for the services now go to this host itself, and connections through NAT have ended.\n"
	     "`systemctl start headgate` brings the data path back.");
}

static void add_interface(const char *interface, void *context)
{
	json_array_append_new(context, json_string(interface));
}

/* Without a daemon: what it would do, done here, with an answer of the same shape. */
static enum exit_code detach_pins(const struct invocation *call)
{
	json_auto_t *interfaces = json_array(), *body = json_pack("{s:O}", "detached", interfaces);
	int rc;

	if (!body)
		return complain_memory();
	datapath_each_interface(call->pins, add_interface, interfaces); /* only to say which: none is no error */
	rc = datapath_remove(call->pins);
	if (rc < 0 && rc != -ENOENT) {
		complain("cannot remove the pins in %s: %s%s", call->pins, strerror(-rc),
			 rc == -EACCES || rc == -EPERM ? "; run this with sudo" : "");
		return EXIT_REFUSED;
	}
	if (call->json) {
		print_json(body);
	} else if (rc == -ENOENT) {
		printf("nothing to do: no headgated answers on %s, and there are no pins in %s\n", call->socket,
		       call->pins);
	} else {
		print_detached(body);
		printf("removed every pin in %s; no headgated answered on %s.\n"
		       "Packets for the services now go to this host itself, and connections through NAT have ended.\n",
		       call->pins, call->socket);
	}
	return EXIT_DONE;
}

static enum exit_code run(const struct invocation *call)
{
	json_auto_t *version = NULL;
	struct refusal why;
	long status;

	if (client_call(call->socket, "GET", "/v1/version", NULL, &why, &status, &version) == -ECONNREFUSED)
		return detach_pins(call);
	return converse(call, "POST", "/v1/detach", NULL, render);
}

const struct command command_detach = {
	.name = "detach",
	.synopsis = "[--pins DIR]",
	.summary = "take Headgate off the interfaces and end the daemon",
	.help = "Takes the programs off every interface and removes all pinned state. A running headgated does it\n"
		"and ends; without one, this command does it itself (as root), in the folder that --pins names.\n"
		"Stopping headgated alone does not do this: its data path goes on.\n\n"
		"Example:\n  sudo headgate detach",
	.options = OPTION_PINS,
	.run = run,
};
