// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headgate: the operator's command. Reads the command line and calls one subcommand. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "nearest.h"
#include "pins.h"
#include "text.h"

#define TIMEOUT_MAX_S (366U * 86400)

static const struct command *const commands[] = {
	&command_status, &command_services, &command_weights, &command_switch,  &command_backend,
	&command_cohort, &command_shadow,   &command_rollout, &command_explain, &command_flows,
	&command_check,  &command_reload,   &command_detach,  &command_doctor,  &command_version,
};

static const struct {
	const char *text, *meaning; /* as in --help */
	unsigned int option;
} option_help[] = {
	{"--service NAME", "only this service", OPTION_SERVICE},
	{"--source ADDR", "the client's address", OPTION_SOURCE},
	{"--variant NAME", "only this variant", OPTION_VARIANT},
	{"--backend ADDR:PORT", "only this backend", OPTION_BACKEND},
	{"--state STATE", "only half-open, established or closing ones", OPTION_STATE},
	{"--limit N", "show at most N", OPTION_LIMIT},
	{"--rollback", "treat older connections as drain.on_rollback says, not as drain.on_change", OPTION_ROLLBACK},
	{"--pins DIR", "folder of the pinned data path (" PINS_DEFAULT ")", OPTION_PINS},
	{"--config FILE", "configuration (" DEFAULT_CONFIG ")", OPTION_CONFIG},
	{"--plan FILE", "a rollout's plan; without it the configuration's", OPTION_PLAN},
	{"--all", "every service that has such a variant", OPTION_ALL},
	{"--full", "all steps that are left end now", OPTION_FULL},
	{"--rollout ID", "only this rollout", OPTION_ROLLOUT},
	{"--samples", "with what was measured, as `rollout simulate --recorded` reads it (with -o json)",
	 OPTION_SAMPLES},
	{"--timeout TIME", "give up after so long: 90s, 10m or 2h", OPTION_TIMEOUT},
	{"--recorded FILE", "measurements: what `rollout history SERVICE --samples -o json` gave", OPTION_RECORDED},
	{"--stable SPEC", "what stable does: error-rate=1%,first-byte=20ms~0.5", OPTION_STABLE},
	{"--candidate SPEC", "what the candidate does, else as stable: error-rate=1%..5%@10m", OPTION_CANDIDATE},
	{"--rate N", "connections a second that both have together (100)", OPTION_RATE},
	{"--seed N", "other random numbers (1)", OPTION_SEED},
	{"--runs N", "so many rollouts, and how they end", OPTION_RUNS},
	{"--owner NAME", "whose it is", OPTION_OWNER},
	{"--note TEXT", "what it is for", OPTION_NOTE},
	{"--expires TIME", "when it goes by itself: 2h, 2026-12-01T10:00:00Z, or never", OPTION_EXPIRES},
	{"--socket PATH", "control socket of headgated (" DEFAULT_SOCKET ", or $HEADGATE_SOCKET)", OPTION_COMMON},
	{"-o FORMAT", "table (default) or json", OPTION_COMMON},
	{"--help", "this text", OPTION_COMMON},
};

static void print_options(unsigned int options)
{
	for (size_t i = 0; i < ARRAY_SIZE(option_help); i++)
		if ((options | OPTION_COMMON) & option_help[i].option)
			printf("  %-20s %s\n", option_help[i].text, option_help[i].meaning);
}

static void print_help(void)
{
	puts("Usage: headgate [--socket PATH] [-o table|json] [--help] COMMAND ...\n\n"
	     "Splits the traffic of services between their variants, together with headgated.\n\nCommands:");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-9s %s\n", commands[i]->name, commands[i]->summary);
	puts("\nOptions, before or after the command:");
	print_options(0);
	puts("\nExits with 0 when done, 1 when refused or failed (the reason is on stderr), 2 when called wrongly.\n"
	     "`headgate COMMAND --help` says more about one command.\n\nExample:\n  headgate status");
}

static void print_command_help(const struct command *command)
{
	printf("Usage: headgate %s%s%s\n\n%s\n\nOptions:\n", command->name, *command->synopsis ? " " : "",
	       command->synopsis, command->help);
	print_options(command->options);
}

static enum exit_code complain_command(const struct invocation *call, const char *name)
{
	const char *names[ARRAY_SIZE(commands) + 1] = {NULL}, *nearest;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		names[i] = commands[i]->name;
	nearest = nearest_word(name, names);
	if (nearest)
		return complain_usage(call, "there is no command \"%s\"; did you mean `headgate %s`?", name, nearest);
	return complain_usage(call, "there is no command \"%s\"", name);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static enum exit_code parse_count(struct invocation *call, const char *option, const char *text, const char **ret)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || !value)
		return complain_usage(call, "%s takes a whole number from 1 on, not \"%s\"", option, text);
	*ret = text;
	return EXIT_DONE;
}

static enum exit_code parse_timeout(struct invocation *call, const char *text)
{
	uint32_t seconds;

	if (text_duration(text, TIMEOUT_MAX_S, &seconds) || !seconds)
		return complain_usage(call, "--timeout takes a time as 90s, 10m or 2h, not \"%s\"", text);
	call->timeout_s = seconds;
	return EXIT_DONE;
}

static enum exit_code parse_format(struct invocation *call, const char *text)
{
	if (strcmp(text, "json") && strcmp(text, "table"))
		return complain_usage(call, "-o takes table or json, not \"%s\"", text);
	call->json = !strcmp(text, "json");
	return EXIT_DONE;
}

/* Where the value of an option goes that any text may follow, or NULL. */
static const char **option_value(struct invocation *call, int option)
{
	switch (option) {
	case 's':
		return &call->socket;
	case OPTION_SERVICE:
		return &call->service;
	case OPTION_SOURCE:
		return &call->source;
	case OPTION_VARIANT:
		return &call->variant;
	case OPTION_BACKEND:
		return &call->backend;
	case OPTION_STATE:
		return &call->state;
	case OPTION_PINS:
		return &call->pins;
	case OPTION_CONFIG:
		return &call->config;
	case OPTION_PLAN:
		return &call->plan;
	case OPTION_RECORDED:
		return &call->recorded;
	case OPTION_STABLE:
		return &call->stable;
	case OPTION_CANDIDATE:
		return &call->candidate;
	case OPTION_RATE:
		return &call->rate;
	case OPTION_SEED:
		return &call->seed;
	case OPTION_OWNER:
		return &call->owner;
	case OPTION_NOTE:
		return &call->note;
	case OPTION_EXPIRES:
		return &call->expires;
	}
	return NULL;
}

static enum exit_code take_option(struct invocation *call, int option, const char *value, bool *help)
{
	const char **text = option_value(call, option);

	if (option >= OPTION_FIRST)
		call->options |= option;
	if (text)
		*text = value;
	else if (option == OPTION_LIMIT)
		return parse_count(call, "--limit", value, &call->limit);
	else if (option == OPTION_RUNS)
		return parse_count(call, "--runs", value, &call->runs);
	else if (option == OPTION_ROLLOUT)
		return parse_count(call, "--rollout", value, &call->rollout);
	else if (option == OPTION_TIMEOUT)
		return parse_timeout(call, value);
	else if (option == OPTION_ALL)
		call->all = true;
	else if (option == OPTION_FULL)
		call->full = true;
	else if (option == OPTION_SAMPLES)
		call->samples = true;
	else if (option == OPTION_ROLLBACK)
		call->rollback = true;
	else if (option == 'o')
		return parse_format(call, value);
	else if (option == 'h')
		*help = true;
	return EXIT_DONE;
}

/* Options in any place; whatever is none is collected in call->arguments, the command's name first. */
static enum exit_code parse_options(int argc, char **argv, struct invocation *call, bool *help)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"output", required_argument, NULL, 'o'},
		{"socket", required_argument, NULL, 's'},
		{"service", required_argument, NULL, OPTION_SERVICE},
		{"source", required_argument, NULL, OPTION_SOURCE},
		{"variant", required_argument, NULL, OPTION_VARIANT},
		{"backend", required_argument, NULL, OPTION_BACKEND},
		{"state", required_argument, NULL, OPTION_STATE},
		{"limit", required_argument, NULL, OPTION_LIMIT},
		{"rollback", no_argument, NULL, OPTION_ROLLBACK},
		{"pins", required_argument, NULL, OPTION_PINS},
		{"config", required_argument, NULL, OPTION_CONFIG},
		{"plan", required_argument, NULL, OPTION_PLAN},
		{"all", no_argument, NULL, OPTION_ALL},
		{"full", no_argument, NULL, OPTION_FULL},
		{"rollout", required_argument, NULL, OPTION_ROLLOUT},
		{"samples", no_argument, NULL, OPTION_SAMPLES},
		{"timeout", required_argument, NULL, OPTION_TIMEOUT},
		{"recorded", required_argument, NULL, OPTION_RECORDED},
		{"stable", required_argument, NULL, OPTION_STABLE},
		{"candidate", required_argument, NULL, OPTION_CANDIDATE},
		{"rate", required_argument, NULL, OPTION_RATE},
		{"seed", required_argument, NULL, OPTION_SEED},
		{"runs", required_argument, NULL, OPTION_RUNS},
		{"owner", required_argument, NULL, OPTION_OWNER},
		{"note", required_argument, NULL, OPTION_NOTE},
		{"expires", required_argument, NULL, OPTION_EXPIRES},
		{NULL, 0, NULL, 0},
	};
	int option;

	/* '-': an argument comes as option 1, in its place; ':': getopt itself says nothing. */
	while ((option = getopt_long(argc, argv, "-:ho:", options, NULL)) != -1) {
		if (option == ':')
			return complain_usage(call, "%s needs a value", argv[optind - 1]);
		if (option == '?')
			return complain_usage(call, "there is no option %s", argv[optind - 1]);
		if (option == 1)
			call->arguments[call->argument_count++] = optarg;
		else if (take_option(call, option, optarg, help) != EXIT_DONE)
			return EXIT_USAGE;
	}
	while (optind < argc)
		call->arguments[call->argument_count++] = argv[optind++];
	return EXIT_DONE;
}

static enum exit_code check_call(const struct invocation *call)
{
	const struct command *command = call->command;

	if (call->options & ~command->options)
		return complain_usage(call, "an option was given that `headgate %s` does not take", command->name);
	if (call->argument_count < command->arguments_min || call->argument_count > command->arguments_max)
		return complain_usage(call, "usage: headgate %s%s%s", command->name, *command->synopsis ? " " : "",
				      command->synopsis);
	return EXIT_DONE;
}

static enum exit_code run(int argc, char **argv, struct invocation *call)
{
	bool help = false;

	if (parse_options(argc, argv, call, &help) != EXIT_DONE)
		return EXIT_USAGE;
	if (call->argument_count) {
		const char *name = *call->arguments++;

		call->argument_count--;
		call->command = find_command(name);
		if (!call->command)
			return complain_command(call, name);
	}
	if (help) {
		if (call->command)
			print_command_help(call->command);
		else
			print_help();
		return EXIT_DONE;
	}
	if (!call->command)
		return complain_usage(call, "say what to do: headgate COMMAND");
	if (check_call(call) != EXIT_DONE)
		return EXIT_USAGE;
	return call->command->run(call);
}

int main(int argc, char **argv)
{
	_cleanup_free_ char **arguments = calloc(argc + 1, sizeof(*arguments));
	const char *socket = getenv("HEADGATE_SOCKET");
	struct invocation call = {
		.arguments = arguments,
		.socket = socket && *socket ? socket : DEFAULT_SOCKET,
		.pins = PINS_DEFAULT,
	};
	enum exit_code code;

	if (!arguments)
		return complain_memory();
	setlocale(LC_CTYPE, ""); /* what may be drawn; numbers stay as they are */
	code = run(argc, argv, &call);
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write the output: %s", strerror(errno));
		return code == EXIT_DONE ? EXIT_REFUSED : code;
	}
	return code;
}
