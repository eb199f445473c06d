// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "nearest.h"

static void complain_list(const char *format, va_list arguments)
{
	fputs("headgate: ", stderr);
	vfprintf(stderr, format, arguments);
}

void complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_list(format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

enum exit_code complain_usage(const struct invocation *call, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_list(format, arguments);
	va_end(arguments);
	if (call->command)
		fprintf(stderr, "; see `headgate %s --help`\n", call->command->name);
	else
		fputs("; see `headgate --help`\n", stderr);
	return EXIT_USAGE;
}

enum exit_code complain_action(const struct invocation *call, const char *action, const char *const actions[])
{
	const char *command = call->command->name, *nearest = nearest_word(action, actions);

	if (nearest && strcmp(nearest, action))
		return complain_usage(call, "there is no `headgate %s %s`; did you mean `headgate %s %s`?", command,
				      action, command, nearest);
	return complain_usage(call, "usage: headgate %s %s", command, call->command->synopsis);
}

enum exit_code complain_memory(void)
{
	complain("out of memory");
	return EXIT_REFUSED;
}

void print_json(const json_t *value)
{
	/* 15 digits: a decimal fraction comes out as it was written, not as 0.89999399999999998. */
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15) | JSON_ENCODE_ANY);
	putchar('\n');
}

/* A refusal of headgated's, as it is, and the single mistakes where it lists them. */
static void complain_refusal(const struct invocation *call, long status, const json_t *body)
{
	const char *error = json_string_value(json_object_get(body, "error"));
	const json_t *problem;
	size_t i;

	if (call->json)
		print_json(body);
	if (error)
		complain("%s", error);
	else
		complain("headgated refused with status %ld and gave no reason", status);
	json_array_foreach(json_object_get(body, "problems"), i, problem)
		fprintf(stderr, "%s\n", json_string_value(problem) ?: "");
}

enum exit_code converse(const struct invocation *call, const char *method, const char *path, const json_t *request,
			void (*render)(const struct invocation *call, const json_t *body))
{
	json_auto_t *body = NULL;
	struct refusal why;
	long status;

	if (!path)
		return complain_memory();
	if (client_call(call->socket, method, path, request, &why, &status, &body) < 0) {
		complain("%s", why.text);
		return EXIT_REFUSED;
	}
	if (status < 200 || status > 299) {
		complain_refusal(call, status, body);
		return EXIT_REFUSED;
	}
	if (call->json)
		print_json(body);
	else
		render(call, body);
	return EXIT_DONE;
}

char *service_path(const char *name, const char *rest)
{
	_cleanup_free_ char *escaped = client_escape(name);
	char *path;

	if (!escaped || asprintf(&path, "/v1/services/%s%s", escaped, rest) < 0)
		return NULL;
	return path;
}

const char *member_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "-";
}

unsigned long long member_count(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

double member_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

enum exit_code converse_services(const struct invocation *call,
				 void (*render_all)(const struct invocation *call, const json_t *body),
				 void (*render_one)(const struct invocation *call, const json_t *body))
{
	_cleanup_free_ char *path = NULL;

	if (call->argument_count == 1)
		return converse(call, "GET", "/v1/services", NULL, render_all);
	path = service_path(call->arguments[1], "");
	return converse(call, "GET", path, NULL, render_one);
}
