/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEXT_H
#define HEADGATE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A name of a service or a variant: [a-z0-9][a-z0-9-]*, shorter than NAME_SIZE. */
bool text_is_name(const char *text);

/**
 * text_number - read a whole decimal number
 *
 * Digits only: no sign, no space, and no leading zero, which some would read as octal.
 * Return: 0, or -EINVAL (also above @max) with @ret untouched.
 */
int text_number(const char *text, uint32_t max, uint32_t *ret);

/* Read "90s", "10m" or "2h4m" in seconds; units in the order h, m, s, each at most once. 0 or -EINVAL. */
int text_duration(const char *text, uint32_t max_s, uint32_t *ret_s);

/* Read "500ms", or like text_duration(), in milliseconds. 0 or -EINVAL. */
int text_time(const char *text, uint64_t max_ms, uint64_t *ret_ms);

/* Read "2", "-0.5" or "0.0125": at most 15 digits, no exponent, whatever the locale. 0 or -EINVAL. */
int text_decimal(const char *text, double *ret);

/* Read "2026-12-01" (its first second, UTC), "2026-12-01T10:00:00Z" or "..T10:00:00+02:00" (RFC 3339), after 1970, in
 * seconds of CLOCK_REALTIME. 0 or -EINVAL. */
int text_instant(const char *text, int64_t *ret_s);

#define INSTANT_SIZE 32
/* "2026-12-01T10:00:00Z". Returns @text. */
char *text_of_instant(int64_t s, char text[INSTANT_SIZE]);

/* Read "10", "12.5" or "0.01", with % behind or not, in hundredths of a percent; at most 100. 0 or -EINVAL. */
int text_percent(const char *text, uint32_t *ret);

/* Read "512KiB", "64MiB" or "1GiB". 0 or -EINVAL. */
int text_bytes(const char *text, uint64_t *ret_bytes);

/**
 * text_show - copy what somebody else wrote so that it can be shown
 * @text: UTF-8
 * @ret: whole characters of it, as many as there is room for; blanks for control characters, which a terminal would
 * obey
 *
 * Return: @ret.
 */
char *text_show(const char *text, char *ret, size_t bytes);

#endif
