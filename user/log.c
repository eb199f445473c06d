// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

static enum log_level threshold = LOG_LEVEL_INFO;

static const char *const words[] = {"error", "warning", "info", "debug"};

int log_set_level(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i]))
			continue;
		threshold = i;
		return 0;
	}
	return -EINVAL;
}

void log_write(enum log_level level, const char *format, ...)
{
	static const int syslog_level[] = {3, 4, 6, 7}; /* sd-daemon(3) */
	va_list arguments;
	char line[1024];

	if (level > threshold)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	/* JOURNAL_STREAM: stderr is the journal's, which reads levels from a prefix. */
	if (getenv("JOURNAL_STREAM"))
		fprintf(stderr, "<%d>%s\n", syslog_level[level], line);
	else
		fprintf(stderr, "headgated: %s: %s\n", words[level], line);
}

void log_lines(enum log_level level, const char *text)
{
	while (text && *text) {
		int length = strcspn(text, "\n");

		log_write(level, "%.*s", length, text);
		text += length + (text[length] == '\n');
	}
}
