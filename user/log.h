/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_LOG_H
#define HEADGATE_LOG_H

/* The daemon's words, to stderr; under systemd with its "<N>" level prefixes. Only main.c, daemon.c, conductor*.c and
 * api_exchange.c log. */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* 0, or -EINVAL for an unknown word (error, warning, info, debug). */
int log_set_level(const char *word);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Each line of a text with newlines as a message of its own. @text may be NULL. */
void log_lines(enum log_level level, const char *text);

#endif
