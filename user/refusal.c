// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>

int refuse(struct refusal *why, int code, const char *format, ...)
{
	va_list arguments;

	if (why) {
		va_start(arguments, format);
		vsnprintf(why->text, sizeof(why->text), format, arguments);
		va_end(arguments);
	}
	return -code;
}
