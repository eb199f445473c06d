// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "api_exchange.h"

#include <errno.h>
#include <string.h>

#include "log.h"

unsigned int refused(struct exchange *x, unsigned int status, const char *format, ...)
{
	char text[768];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_decref(x->answer);
	x->answer = json_pack("{s:s}", "error", text);
	if (!x->answer) {
		/* What was asked for is no UTF-8, or was cut within a character. */
		for (char *c = text; *c; c++)
			if (*c & 0x80)
				*c = '?';
		x->answer = json_pack("{s:s}", "error", text);
	}
	return status;
}

/* What an errno of a refusal means over HTTP. */
static unsigned int status_of(int error)
{
	switch (-error) {
	case ENOENT:
		return 404;
	case EINVAL:
	case ENODEV:
	case E2BIG:
		return 400;
	case EEXIST:
	case EBUSY:
	case ENOSPC:
		return 409;
	default:
		return 500;
	}
}

unsigned int refused_why(struct exchange *x, int error, const struct refusal *why)
{
	return refused(x, status_of(error), "%s", why->text);
}

void audit(const struct exchange *x, const char *what, const struct refusal *why)
{
	const struct api_request *r = x->request;

	if (why)
		log_warning("uid %u (pid %d): %s refused: %s", r->peer_uid, r->peer_pid, what, why->text);
	else
		log_info("uid %u (pid %d): %s", r->peer_uid, r->peer_pid, what);
}

struct report_view view_of(const struct daemon *d)
{
	return (struct report_view){d->splitter, d->routes, d->patrol, d->rates, d->shadow_sweep, now_s()};
}

json_t *lines_to_array(const char *text)
{
	json_t *array = json_array();

	while (text && *text) {
		size_t length = strcspn(text, "\n");

		json_array_append_new(array, json_stringn(text, length));
		text += length + (text[length] == '\n');
	}
	return array;
}
