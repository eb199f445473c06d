// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "exposition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 65536U
#define NUMBER_SIZE 40U /* of any 128-bit number in decimal, its NUL included */
#define NS_PER_S 1000000000U

/* Room for @length bytes more; NULL when memory has run out. */
static char *reserve(struct exposition *e, size_t length)
{
	size_t size = e->size ? e->size : FIRST_SIZE;
	char *text;

	if (e->failed)
		return NULL;
	if (e->size - e->length >= length)
		return e->text + e->length;
	while (size - e->length < length)
		size *= 2;
	text = realloc(e->text, size);
	if (!text) {
		e->failed = true;
		return NULL;
	}
	e->text = text;
	e->size = size;
	return text + e->length;
}

static char *put(char *at, const char *text, size_t length)
{
	memcpy(at, text, length);
	return at + length;
}

static char *put_integer(char *at, unsigned __int128 value)
{
	char digits[NUMBER_SIZE];
	char *first = digits + sizeof(digits);
	uint64_t low;

	for (; value > UINT64_MAX; value /= 10)
		*--first = '0' + (char)(value % 10);
	low = value;
	do {
		*--first = '0' + low % 10;
		low /= 10;
	} while (low);
	return put(at, first, digits + sizeof(digits) - first);
}

size_t seconds_format(unsigned __int128 ns, char text[SECONDS_TEXT_SIZE])
{
	char *end = put_integer(text, ns / NS_PER_S);
	uint32_t fraction = ns % NS_PER_S;

	if (fraction) {
		*end++ = '.';
		for (uint32_t unit = NS_PER_S / 10; fraction; unit /= 10) {
			*end++ = '0' + fraction / unit;
			fraction %= unit;
		}
	}
	*end = '\0';
	return end - text;
}

static void announce(struct exposition *e)
{
	static const char *const types[] = {
		[FAMILY_COUNTER] = "counter",
		[FAMILY_GAUGE] = "gauge",
		[FAMILY_HISTOGRAM] = "histogram",
	};
	const struct family *f = e->family;
	size_t length = 2 * strlen(f->name) + strlen(f->help) + 64;
	char *at = reserve(e, length);

	if (!at)
		return;
	e->length += snprintf(at, length, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, types[f->type]);
	e->announced = true;
}

void exposition_family(struct exposition *e, const struct family *family)
{
	e->family = family;
	e->announced = false;
}

static void sample(struct exposition *e, const char *suffix, const char *labels, const char *extra, const char *value,
		   size_t value_length)
{
	size_t name_length = strlen(e->family->name), suffix_length = strlen(suffix), labels_length = strlen(labels);
	size_t extra_length = extra ? strlen(extra) : 0;
	char *at;

	if (!e->announced)
		announce(e);
	at = reserve(e, name_length + suffix_length + labels_length + extra_length + value_length + 5);
	if (!at)
		return;
	at = put(at, e->family->name, name_length);
	at = put(at, suffix, suffix_length);
	if (labels_length || extra_length) {
		*at++ = '{';
		at = put(at, labels, labels_length);
		if (labels_length && extra_length)
			*at++ = ',';
		at = put(at, extra ? extra : "", extra_length);
		*at++ = '}';
	}
	*at++ = ' ';
	at = put(at, value, value_length);
	*at++ = '\n';
	e->length = at - e->text;
}

void exposition_integer(struct exposition *e, const char *suffix, const char *labels, const char *extra, uint64_t value)
{
	char text[NUMBER_SIZE];

	sample(e, suffix, labels, extra, text, put_integer(text, value) - text);
}

void exposition_seconds(struct exposition *e, const char *suffix, const char *labels, const char *extra,
			unsigned __int128 ns)
{
	char text[SECONDS_TEXT_SIZE];

	sample(e, suffix, labels, extra, text, seconds_format(ns, text));
}

void exposition_real(struct exposition *e, const char *suffix, const char *labels, const char *extra, double value)
{
	char text[32]; /* "%.15g" has at most 22 characters */

	sample(e, suffix, labels, extra, text, snprintf(text, sizeof(text), "%.15g", value));
}

int exposition_finish(struct exposition *e)
{
	char *at = reserve(e, 1);

	if (!at)
		return -ENOMEM;
	*at = '\0';
	return 0;
}

static char *put_escaped(char *at, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"' || *value == '\n')
			*at++ = '\\';
		*at++ = *value == '\n' ? 'n' : *value;
	}
	return at;
}

char *exposition_labels(const struct label *labels, size_t count)
{
	size_t size = 1;
	char *text, *at;

	for (size_t i = 0; i < count; i++)
		size += strlen(labels[i].name) + 2 * strlen(labels[i].value) + strlen(",=\"\"");
	at = text = malloc(size);
	if (!text)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (i)
			*at++ = ',';
		at = put(at, labels[i].name, strlen(labels[i].name));
		*at++ = '=';
		*at++ = '"';
		at = put_escaped(at, labels[i].value);
		*at++ = '"';
	}
	*at = '\0';
	return text;
}
