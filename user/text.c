// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <linux/types.h>
#include <string.h>
#include <time.h>

#include "abi.h"

bool text_is_name(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length < NAME_SIZE && text[0] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

/* Reads digits off @text and leaves it after them. */
static int take_number(const char **text, uint32_t max, uint32_t *ret)
{
	const char *p = *text;
	uint64_t number = 0;

	if (!isdigit((unsigned char)*p) || (p[0] == '0' && isdigit((unsigned char)p[1])))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		number = number * 10 + (*p - '0');
		if (number > max)
			return -EINVAL;
	}
	*text = p;
	*ret = number;
	return 0;
}

int text_number(const char *text, uint32_t max, uint32_t *ret)
{
	uint32_t number;

	if (take_number(&text, max, &number) || *text)
		return -EINVAL;
	*ret = number;
	return 0;
}

int text_duration(const char *text, uint32_t max_s, uint32_t *ret_s)
{
	static const struct {
		char name;
		uint32_t seconds;
	} units[] = {{'h', 3600}, {'m', 60}, {'s', 1}};
	uint64_t total_s = 0;
	size_t unit = 0;

	if (!*text)
		return -EINVAL;
	while (*text) {
		uint32_t number;

		if (take_number(&text, max_s, &number))
			return -EINVAL;
		while (unit < 3 && units[unit].name != *text)
			unit++;
		if (unit == 3)
			return -EINVAL;
		text++;
		total_s += (uint64_t)number * units[unit++].seconds;
		if (total_s > max_s)
			return -EINVAL;
	}
	*ret_s = total_s;
	return 0;
}

int text_time(const char *text, uint64_t max_ms, uint64_t *ret_ms)
{
	const char *unit = text;
	uint32_t number;
	uint64_t ms;

	if (!take_number(&unit, UINT32_MAX, &number) && !strcmp(unit, "ms")) {
		ms = number;
	} else {
		if (text_duration(text, UINT32_MAX, &number))
			return -EINVAL;
		ms = number * 1000ULL;
	}
	if (ms > max_ms)
		return -EINVAL;
	*ret_ms = ms;
	return 0;
}

/* What 15 digits say, and ten to that, are doubles, so that one division rounds rightly. */
int text_decimal(const char *text, double *ret)
{
	bool negative = *text == '-';
	const char *p = text + negative;
	uint64_t digits = 0, divisor = 1;
	size_t count = 0;
	bool point = false;

	for (; isdigit((unsigned char)*p) || (*p == '.' && !point && count); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		if (++count > 15)
			return -EINVAL;
		digits = digits * 10 + (*p - '0');
		divisor *= point ? 10 : 1;
	}
	if (*p || !count || p[-1] == '.')
		return -EINVAL;
	*ret = (negative ? -(double)digits : (double)digits) / divisor;
	return 0;
}

/* Reads @count digits off @text. */
static int take_digits(const char **text, size_t count, int *ret)
{
	int number = 0;

	for (size_t i = 0; i < count; i++) {
		if (!isdigit((unsigned char)(*text)[i]))
			return -EINVAL;
		number = number * 10 + ((*text)[i] - '0');
	}
	*text += count;
	*ret = number;
	return 0;
}

static int take_character(const char **text, char wanted)
{
	if (**text != wanted)
		return -EINVAL;
	(*text)++;
	return 0;
}

/* "T10:00:00", a part of a second or none, and "Z" or "+02:00". */
static int take_time(const char **text, struct tm *tm, int *ret_offset_s)
{
	int hours, minutes, sign;

	if (take_character(text, 'T') || take_digits(text, 2, &tm->tm_hour) || take_character(text, ':') ||
	    take_digits(text, 2, &tm->tm_min) || take_character(text, ':') || take_digits(text, 2, &tm->tm_sec))
		return -EINVAL;
	if (**text == '.' && isdigit((unsigned char)(*text)[1]))
		*text += 1 + strspn(*text + 1, "0123456789");
	if (!take_character(text, 'Z'))
		return 0;
	sign = **text == '-' ? -1 : 1;
	if (take_character(text, sign < 0 ? '-' : '+') || take_digits(text, 2, &hours) || take_character(text, ':') ||
	    take_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
		return -EINVAL;
	*ret_offset_s = sign * (hours * 3600 + minutes * 60);
	return 0;
}

int text_instant(const char *text, int64_t *ret_s)
{
	struct tm tm = {}, whole;
	int offset_s = 0;
	int64_t s;

	if (take_digits(&text, 4, &tm.tm_year) || take_character(&text, '-') || take_digits(&text, 2, &tm.tm_mon) ||
	    take_character(&text, '-') || take_digits(&text, 2, &tm.tm_mday))
		return -EINVAL;
	if (*text && take_time(&text, &tm, &offset_s))
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	whole = tm;
	s = timegm(&whole);
	/* The 31st of a month of 30 days comes back as another day. */
	if (*text || whole.tm_mon != tm.tm_mon || whole.tm_mday != tm.tm_mday || whole.tm_hour != tm.tm_hour ||
	    whole.tm_min != tm.tm_min || whole.tm_sec != tm.tm_sec || s - offset_s <= 0)
		return -EINVAL;
	*ret_s = s - offset_s;
	return 0;
}

char *text_of_instant(int64_t s, char text[INSTANT_SIZE])
{
	time_t time = s;
	struct tm tm;

	if (!gmtime_r(&time, &tm) || !strftime(text, INSTANT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
		text[0] = '\0';
	return text;
}

int text_percent(const char *text, uint32_t *ret)
{
	uint32_t percent, hundredths = 0;

	if (take_number(&text, 100, &percent))
		return -EINVAL;
	if (*text == '.') {
		uint32_t digits = 0;

		for (text++; digits < 2 && isdigit((unsigned char)*text); digits++)
			hundredths = hundredths * 10 + (*text++ - '0');
		if (!digits)
			return -EINVAL;
		if (digits == 1)
			hundredths *= 10;
	}
	if (*text == '%')
		text++;
	if (*text || (percent == 100 && hundredths))
		return -EINVAL;
	*ret = percent * 100 + hundredths;
	return 0;
}

int text_bytes(const char *text, uint64_t *ret_bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB"};
	uint32_t number;

	if (take_number(&text, UINT32_MAX, &number))
		return -EINVAL;
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(text, units[i]))
			continue;
		*ret_bytes = (uint64_t)number << (10 * (i + 1));
		return 0;
	}
	return -EINVAL;
}

/* Bytes of the character at @c; 0: it is none, or not whole. */
static size_t character_bytes(const uint8_t *c)
{
	size_t bytes = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < bytes; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	return bytes;
}

/* ASCII's and Latin-1's. */
static bool is_control(const uint8_t *c)
{
	return c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0);
}

char *text_show(const char *text, char *ret, size_t bytes)
{
	const uint8_t *c = (const uint8_t *)text;
	size_t at = 0;

	while (*c) {
		size_t length = character_bytes(c);

		if (at + (length ?: 1) >= bytes)
			break;
		if (!length)
			ret[at++] = '?';
		else if (is_control(c))
			ret[at++] = ' ';
		else
			at = mempcpy(ret + at, c, length) - (void *)ret;
		c += length ?: 1;
	}
	ret[at] = '\0';
	return ret;
}
