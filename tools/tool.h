/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TOOL_H
#define HEADGATE_TOOL_H

/*
 * What every subcommand of `headgate` shares: how it was called, how it asks headgated, how it speaks.
 */
#include <jansson.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "util.h"

#define DEFAULT_SOCKET "/run/headgate/api.sock"
#define DEFAULT_CONFIG "/etc/headgate/headgate.yaml"

/* What the process exits with, and what a subcommand returns. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1, /* or failed; the reason is on stderr */
	EXIT_USAGE = 2,
};

/* Options that only some subcommands take. Above every character, since getopt_long() returns either. */
enum command_options {
	OPTION_COMMON = 1 << 0, /* stands for those that all take; never returned */
	OPTION_FIRST = 1 << 7,
	OPTION_ALL = OPTION_FIRST,
	OPTION_SERVICE = 1 << 8,
	OPTION_SOURCE = 1 << 9,
	OPTION_VARIANT = 1 << 10,
	OPTION_BACKEND = 1 << 11,
	OPTION_STATE = 1 << 12,
	OPTION_LIMIT = 1 << 13,
	OPTION_ROLLBACK = 1 << 14,
	OPTION_PINS = 1 << 15,
	OPTION_CONFIG = 1 << 16,
	OPTION_SAMPLES = 1 << 17,
	OPTION_PLAN = 1 << 18,
	OPTION_FULL = 1 << 19,
	OPTION_ROLLOUT = 1 << 20,
	OPTION_TIMEOUT = 1 << 21,
	OPTION_RECORDED = 1 << 22,
	OPTION_STABLE = 1 << 23,
	OPTION_CANDIDATE = 1 << 24,
	OPTION_RATE = 1 << 25,
	OPTION_SEED = 1 << 26,
	OPTION_RUNS = 1 << 27,
	OPTION_OWNER = 1 << 28,
	OPTION_NOTE = 1 << 29,
	OPTION_EXPIRES = 1 << 30,
};

struct command;

/* One call of the command line, parsed. Texts that were not given are NULL, but for those with a default. */
struct invocation {
	const struct command *command;
	unsigned int options; /* enum command_options that were given */
	char **arguments;     /* what is neither option nor the subcommand's name */
	size_t argument_count;
	bool json;
	const char *socket; /* never NULL */
	const char *service;
	const char *source;
	const char *variant;
	const char *backend;
	const char *state;
	const char *limit; /* decimal, at least 1 */
	bool rollback;
	bool all;
	const char *pins; /* never NULL */
	const char *config;
	const char *plan;
	bool full;
	const char *rollout; /* decimal, at least 1 */
	bool samples;
	uint32_t timeout_s; /* 0: none */
	const char *recorded;
	const char *stable;
	const char *candidate;
	const char *rate;
	const char *seed;
	const char *runs; /* decimal, at least 1 */
	const char *owner;
	const char *note;
	const char *expires;
};

struct command {
	const char *name;
	const char *synopsis; /* what follows the name */
	const char *summary;  /* one line, for the list of commands */
	const char *help;     /* the rest of --help, ends with an example and a newline */
	unsigned int options; /* enum command_options */
	size_t arguments_min, arguments_max;
	enum exit_code (*run)(const struct invocation *call);
};

/* "headgate: ...\n" on stderr. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same with where to read more. Return: EXIT_USAGE. */
enum exit_code complain_usage(const struct invocation *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * complain_action - an action of a subcommand that does not exist, or has the wrong number of arguments
 * @actions: those that exist; ends with NULL
 * Return: EXIT_USAGE.
 */
enum exit_code complain_action(const struct invocation *call, const char *action, const char *const actions[]);

/* Return: EXIT_REFUSED. */
enum exit_code complain_memory(void);

/* Indented, keys in the order they came in. */
void print_json(const json_t *value);

/**
 * converse - ask headgated one thing and print the answer
 * @method: "GET", "PUT", ..
 * @path: from "/v1" on, query included; NULL (its allocation failed) is refused as out of memory
 * @request: the body, or NULL
 * @render: prints the answer's body for people; with -o json the body is printed instead
 *
 * A refusal is printed on stderr with its problems, and with -o json its body on stdout.
 */
enum exit_code converse(const struct invocation *call, const char *method, const char *path, const json_t *request,
			void (*render)(const struct invocation *call, const json_t *body));

/* "list" and "list SERVICE" of a command: asks for all services, or for the one that the second argument names. */
enum exit_code converse_services(const struct invocation *call,
				 void (*render_all)(const struct invocation *call, const json_t *body),
				 void (*render_one)(const struct invocation *call, const json_t *body));

/* "/v1/services/NAME" and @rest, the name escaped. To be freed; NULL: out of memory. */
char *service_path(const char *name, const char *rest);

/* Text of @object's member, "-" when it is missing or null. */
const char *member_text(const json_t *object, const char *key);
/* A whole number; 0 when it is missing. */
unsigned long long member_count(const json_t *object, const char *key);
/* Any number; 0 when it is missing. */
double member_number(const json_t *object, const char *key);

#endif
