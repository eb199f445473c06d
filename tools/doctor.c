// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "config.h"
#include "view.h"

/* Text as JSON; what is not UTF-8 (a file name may be anything) becomes null. */
static json_t *format_json(const char *format, va_list arguments)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, arguments) < 0)
		return NULL;
	return json_string(text) ?: json_null();
}

void doctor_find(struct doctor *d, enum finding finding, const char *name, const char *format, ...)
{
	static const char *const results[] = {"ok", "warn", "fail"};
	va_list arguments;
	json_t *what;

	va_start(arguments, format);
	what = format_json(format, arguments);
	va_end(arguments);
	json_array_append_new(d->checks, json_pack("{s:s, s:s, s:o, s:n}", "name", name, "result", results[finding],
						   "what", what, "mend"));
	d->failed |= finding == FINDING_FAIL;
}

void doctor_mend(struct doctor *d, const char *format, ...)
{
	json_t *last = json_array_get(d->checks, json_array_size(d->checks) - 1);
	va_list arguments;

	va_start(arguments, format);
	json_object_set_new(last, "mend", format_json(format, arguments));
	va_end(arguments);
}

int doctor_sysctl(const char *path, char *text, size_t size)
{
	_cleanup_free_ char *full = NULL;
	_cleanup_fclose_ FILE *file = NULL;

	if (asprintf(&full, "/proc/sys/%s", path) < 0)
		return -ENOMEM;
	file = fopen(full, "re");
	if (!file)
		return -errno;
	if (!fgets(text, size, file))
		text[0] = '\0'; /* some are empty */
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

int doctor_sysctl_number(const char *path, long *ret)
{
	char text[32], *end;
	int rc = doctor_sysctl(path, text, sizeof(text));
	long value;

	if (rc < 0)
		return rc;
	value = strtol(text, &end, 10);
	if (end == text)
		return -EINVAL;
	*ret = value;
	return 0;
}

/* Asks headgated for its status: whether it runs, and what it warns of. @ret is set only when it answers. */
static void check_daemon(struct doctor *d, const struct invocation *call, json_t **ret)
{
	json_auto_t *body = NULL;
	const json_t *warning;
	struct refusal why;
	long status = 0;
	size_t i;
	int rc = client_call(call->socket, "GET", "/v1/status", NULL, &why, &status, &body);

	if (rc == -ECONNREFUSED) {
		doctor_find(d, FINDING_WARN, "daemon", "no headgated answers on %s", call->socket);
		doctor_mend(d, "systemctl start headgate");
		return;
	}
	if (rc < 0) {
		doctor_find(d, FINDING_FAIL, "daemon", "%s", why.text);
		return;
	}
	if (status != 200) {
		doctor_find(d, FINDING_FAIL, "daemon", "headgated answers with status %ld", status);
		doctor_mend(d, "journalctl -u headgate");
		return;
	}
	doctor_find(d, FINDING_OK, "daemon", "headgated %s answers on %s", member_text(body, "version"), call->socket);
	doctor_find(d, FINDING_OK, "memory", "the kernel's tables take %.1f MB",
		    json_integer_value(json_object_get(body, "memory_bytes")) / 1e6);
	json_array_foreach(json_object_get(body, "warnings"), i, warning)
		doctor_find(d, FINDING_WARN, "daemon", "%s", json_string_value(warning) ?: "-");
	*ret = TAKE_PTR(body);
}

static void check_config(struct doctor *d, const char *path, struct model **ret)
{
	_cleanup_(problems_clear) struct problems problems = {0};
	int rc = config_load(path, &problems, ret);

	if (rc == 0) {
		doctor_find(d, FINDING_OK, "config", "%s is valid", path);
		return;
	}
	doctor_find(d, FINDING_FAIL, "config", "%.*s", (int)strcspn(problems.text ?: "", "\n"),
		    problems.text ?: strerror(-rc));
	if (problems.count > 1)
		doctor_mend(d, "headgate check %s    (%zu mistakes)", path, problems.count);
	else
		doctor_mend(d, "headgate check %s", path);
}

static void print_checks(const json_t *checks)
{
	static const char *const headings[] = {"RESULT", "CHECK", "WHAT", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *check;
	size_t i;

	json_array_foreach(checks, i, check)
	{
		listing_add(l, "%s", member_text(check, "result"));
		listing_add(l, "%s", member_text(check, "name"));
		listing_add(l, "%s", member_text(check, "what"));
		if (!json_is_string(json_object_get(check, "mend")))
			continue;
		listing_add(l, "%s", "");
		listing_add(l, "%s", "");
		listing_add(l, "-> %s", member_text(check, "mend"));
	}
	view_listing(l);
}

/* The file that was asked for, else the running daemon's, else the usual one. */
static const char *config_path(const struct invocation *call, const json_t *status)
{
	const char *running = json_string_value(json_object_get(status, "config"));

	if (call->config)
		return call->config;
	return running && running[0] == '/' ? running : DEFAULT_CONFIG;
}

static enum exit_code run(const struct invocation *call)
{
	_cleanup_(model_freep) struct model *model = NULL;
	json_auto_t *checks = json_array(), *status = NULL, *result = NULL;
	struct doctor d = {.checks = checks, .pins = call->pins};

	doctor_check_host(&d);
	check_daemon(&d, call, &status);
	if (status)
		doctor_check_rollouts(&d, call->socket);
	check_config(&d, config_path(call, status), &model);
	if (model) {
		doctor_check_interfaces(&d, model);
		doctor_check_services(&d, model);
		doctor_check_modes(&d, model);
		doctor_check_shadows(&d, model, status);
	}
	if (call->json) {
		result = json_pack("{s:O}", "checks", checks);
		if (!result)
			return complain_memory();
		print_json(result);
	} else {
		print_checks(checks);
	}
	return d.failed ? EXIT_REFUSED : EXIT_DONE;
}

const struct command command_doctor = {
	.name = "doctor",
	.synopsis = "[--config FILE] [--pins DIR]",
	.summary = "look for what keeps Headgate from working on this host",
	.help = "Looks at the kernel, the configuration, its interfaces and addresses, and the daemon when it runs.\n"
		"What is wrong comes with the command that mends it; nothing is changed. Without --config it reads\n"
		"what the running daemon reads. Exits with 1 when a check failed; warnings do not count.\n\n"
		"Example:\n  sudo headgate doctor --config /etc/headgate/headgate.yaml",
	.options = OPTION_CONFIG | OPTION_PINS,
	.run = run,
};
