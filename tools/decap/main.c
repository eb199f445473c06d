// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headgate-decap: the command line. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "decap.h"
#include "text.h"
#include "util.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1, /* or failed; the reason is on stderr */
	EXIT_USAGE = 2,
};

static const char help[] =
	"usage: headgate-decap attach IFACE --vip ADDRESS [OPTION]...\n"
	"       headgate-decap status [-o table|json] [--pins DIR]\n"
	"       headgate-decap detach IFACE [--pins DIR]\n\n"
	"Takes the outer headers off what a Headgate splitter sends in the forwarding modes ipip and gue, on a\n"
	"backend whose kernel has no tunnel module. The command ends, what it attached stays.\n\n"
	"  --vip ADDRESS      decapsulate what is for this address inside; repeat for more\n"
	"  --address ADDRESS  .. and for this one outside; repeat for more (all addresses of IFACE)\n"
	"  --source PREFIX    only from outer sources in this prefix; repeat for more (any)\n"
	"  --port PORT        UDP port of GUE (6080)\n"
	"  --mode MODE        auto, native, generic or tc (auto: native, and tc where the driver has no XDP)\n"
	"  --pins DIR         folder in a bpffs for what stays (" DECAP_PINS_DEFAULT ")\n"
	"  -o, --output FORM  table or json (table)\n"
	"  --version, --help\n\n"
	"Attaching again replaces the program and its settings without a gap; its counters go on.\n\n"
	"Example:\n"
	"  sudo ip address add 10.0.0.10/32 dev lo\n"
	"  sudo headgate-decap attach eth0 --vip 10.0.0.10 --source 198.18.0.0/15\n";

struct call {
	struct decap decap; /* what attach wants */
	const char *pins;
	bool json;
	bool told; /* an option that only attach takes */
};

static enum exit_code complain(enum exit_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

static enum exit_code complain(enum exit_code code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("headgate-decap: ", stderr);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs(code == EXIT_USAGE ? "; see headgate-decap --help\n" : "\n", stderr);
	return code;
}

bool prefixes_add(struct prefixes *list, const struct prefix *p)
{
	if (list->count == ARRAY_SIZE(list->item))
		return false;
	list->item[list->count++] = *p;
	return true;
}

bool prefixes_have(const struct prefixes *list, const struct address *a)
{
	for (size_t i = 0; i < list->count; i++)
		if (prefix_contains(&list->item[i], a))
			return true;
	return false;
}

/* --- options ----------------------------------------------------------------------------------------------------- */

static enum exit_code take_address(const char *option, const char *text, struct prefixes *list)
{
	struct prefix p = {.bits = 128};

	if (address_parse(text, &p.address))
		return complain(EXIT_USAGE, "--%s %s: not an IPv4 or IPv6 address", option, text);
	if (!prefixes_add(list, &p))
		return complain(EXIT_USAGE, "--%s %s: more than %d", option, text, DECAP_PREFIXES_MAX);
	return EXIT_DONE;
}

static enum exit_code take_source(const char *text, struct prefixes *list)
{
	struct prefix p;

	if (prefix_parse(text, &p))
		return complain(EXIT_USAGE,
				"--source %s: not a prefix like 10.1.0.0/24 or fd00:1::/64 (with no bits behind it)",
				text);
	if (!prefixes_add(list, &p))
		return complain(EXIT_USAGE, "--source %s: more than %d", text, DECAP_PREFIXES_MAX);
	return EXIT_DONE;
}

static enum exit_code take_port(const char *text, uint16_t *ret)
{
	uint32_t port;

	if (text_number(text, UINT16_MAX, &port) || !port)
		return complain(EXIT_USAGE, "--port %s: not a port, 1 to 65535", text);
	*ret = port;
	return EXIT_DONE;
}

static enum exit_code take_mode(const char *text, enum decap_mode *ret)
{
	for (enum decap_mode mode = MODE_AUTO; mode < MODE_NONE; mode++) {
		if (strcmp(text, name_of_mode(mode)) == 0) {
			*ret = mode;
			return EXIT_DONE;
		}
	}
	return complain(EXIT_USAGE, "--mode %s: must be auto, native, generic or tc", text);
}

static enum exit_code take_output(const char *text, bool *ret_json)
{
	if (strcmp(text, "table") && strcmp(text, "json"))
		return complain(EXIT_USAGE, "-o %s: must be table or json", text);
	*ret_json = strcmp(text, "json") == 0;
	return EXIT_DONE;
}

static enum exit_code take_option(int option, const char *text, struct call *call)
{
	if (strchr("vasPm", option))
		call->told = true;
	switch (option) {
	case 'v':
		return take_address("vip", text, &call->decap.vips);
	case 'a':
		return take_address("address", text, &call->decap.addresses);
	case 's':
		return take_source(text, &call->decap.sources);
	case 'P':
		return take_port(text, &call->decap.port);
	case 'm':
		return take_mode(text, &call->decap.mode);
	case 'o':
		return take_output(text, &call->json);
	case 'p':
		call->pins = text;
		return EXIT_DONE;
	case 'h':
		fputs(help, stdout);
		exit(EXIT_DONE);
	case 'V':
		puts("headgate-decap " HEADGATE_VERSION);
		exit(EXIT_DONE);
	default:
		return complain(EXIT_USAGE, "wrong option");
	}
}

static enum exit_code take_options(int argc, char **argv, struct call *call)
{
	static const struct option options[] = {
		{"vip", required_argument, NULL, 'v'},    {"address", required_argument, NULL, 'a'},
		{"source", required_argument, NULL, 's'}, {"port", required_argument, NULL, 'P'},
		{"mode", required_argument, NULL, 'm'},   {"pins", required_argument, NULL, 'p'},
		{"output", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},      {},
	};
	enum exit_code code = EXIT_DONE;
	int option;

	while (!code && (option = getopt_long(argc, argv, "o:h", options, NULL)) >= 0)
		code = take_option(option, optarg, call);
	return code;
}

/* --- subcommands ------------------------------------------------------------------------------------------------- */

static void print(json_t *body, json_t *interfaces, bool json)
{
	if (!json) {
		print_table(interfaces);
		return;
	}
	json_dumpf(body, stdout, JSON_INDENT(2));
	putchar('\n');
}

static enum exit_code attach(struct call *call)
{
	json_auto_t *interfaces = json_array(), *body = json_pack("{s:O}", "interfaces", interfaces);
	_cleanup_free_ struct decap *now = malloc(sizeof(*now));
	struct refusal why;

	if (!call->decap.vips.count)
		return complain(EXIT_USAGE, "attach: which addresses are to be let in? say --vip ADDRESS");
	if (decap_attach(call->pins, &call->decap, &why))
		return complain(EXIT_REFUSED, "%s", why.text);
	if (!now || decap_read(call->pins, call->decap.interface, now))
		return complain(EXIT_REFUSED, "attached to %s, but what is in force cannot be read in %s",
				call->decap.interface, call->pins);
	json_array_append_new(interfaces, decap_json(now));
	print(body, interfaces, call->json);
	return EXIT_DONE;
}

static enum exit_code detach(struct call *call)
{
	struct refusal why;

	if (decap_detach(call->pins, call->decap.interface, &why))
		return complain(EXIT_REFUSED, "%s", why.text);
	printf("%s: decapsulates no more\n", call->decap.interface);
	return EXIT_DONE;
}

struct listing {
	const char *pins;
	json_t *interfaces;
};

static int list_interface(const char *interface, void *context)
{
	_cleanup_free_ struct decap *d = malloc(sizeof(*d));
	struct listing *l = context;
	int error = d ? decap_read(l->pins, interface, d) : -ENOMEM;

	/* A folder without a map is another command's at work. */
	if (error == -ENOENT)
		return 0;
	if (!error)
		json_array_append_new(l->interfaces, decap_json(d));
	return error;
}

static enum exit_code status(struct call *call)
{
	json_auto_t *interfaces = json_array(), *body = json_pack("{s:O}", "interfaces", interfaces);
	struct listing listing = {call->pins, interfaces};
	int error = decap_each(call->pins, list_interface, &listing);

	if (error && error != -ENOENT)
		return complain(EXIT_REFUSED, "cannot read what is pinned in %s: %s%s", call->pins, strerror(-error),
				error == -EACCES || error == -EPERM ? "; run this with sudo" : "");
	print(body, interfaces, call->json);
	return EXIT_DONE;
}

static const struct {
	const char *name;
	bool interface; /* is to be named */
	bool options;   /* those of attach */
	enum exit_code (*run)(struct call *call);
} subcommands[] = {
	{"attach", true, true, attach},
	{"status", false, false, status},
	{"detach", true, false, detach},
};

/* @arguments: what is no option, the subcommand's name first; ends with NULL. */
static enum exit_code run(char **arguments, struct call *call)
{
	for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++) {
		const char *name = subcommands[i].name, *interface = arguments[1];

		if (strcmp(arguments[0], name))
			continue;
		if (call->told && !subcommands[i].options)
			return complain(EXIT_USAGE, "%s takes none of attach's options", name);
		if (!subcommands[i].interface)
			return interface ? complain(EXIT_USAGE, "%s %s: takes no argument", name, interface)
					 : subcommands[i].run(call);
		if (!interface)
			return complain(EXIT_USAGE, "%s: on which interface?", name);
		if (arguments[2])
			return complain(EXIT_USAGE,
					"%s %s %s: one interface at a time; options that take several values are "
					"repeated",
					name, interface, arguments[2]);
		if (strlen(interface) >= IF_NAMESIZE || strchr(interface, '/'))
			return complain(EXIT_REFUSED, "%s cannot be an interface's name", interface);
		strcpy(call->decap.interface, interface);
		return subcommands[i].run(call);
	}
	return complain(EXIT_USAGE, "there is no %s; there are attach, status and detach", arguments[0]);
}

int main(int argc, char **argv)
{
	static struct call call = {.pins = DECAP_PINS_DEFAULT, .decap.port = DECAP_PORT_DEFAULT};
	enum exit_code code = take_options(argc, argv, &call);

	if (code)
		return code;
	if (optind == argc)
		return complain(EXIT_USAGE, "what is to be done? attach, status or detach");
	return run(argv + optind, &call);
}
