// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

struct listing {
	const char **headings;
	size_t columns;
	char **cells; /* row by row */
	size_t count;
	bool out_of_memory;
};

struct listing *listing_open(const char *const headings[])
{
	_cleanup_(listing_freep) struct listing *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	while (headings[l->columns])
		l->columns++;
	l->headings = calloc(l->columns, sizeof(*l->headings));
	if (!l->headings)
		return NULL;
	memcpy(l->headings, headings, l->columns * sizeof(*headings));
	return TAKE_PTR(l);
}

void listing_free(struct listing *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->count; i++)
		free(l->cells[i]);
	free(l->cells);
	free(l->headings);
	free(l);
}

void listing_add(struct listing *l, const char *format, ...)
{
	va_list arguments;
	char **cells, *cell;
	int rc;

	if (!l || l->out_of_memory)
		return;
	l->out_of_memory = true;
	cells = reallocarray(l->cells, l->count + 1, sizeof(*cells));
	if (!cells)
		return;
	l->cells = cells;
	va_start(arguments, format);
	rc = vasprintf(&cell, format, arguments);
	va_end(arguments);
	if (rc < 0)
		return;
	l->cells[l->count++] = cell;
	l->out_of_memory = false;
}

/* Characters of UTF-8 text: its bytes but for continuation bytes. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

static bool is_right(const char *heading)
{
	return heading[0] == '>';
}

static const char *heading_text(const char *heading)
{
	return heading + is_right(heading);
}

static void print_cell(FILE *out, const char *text, size_t width, bool right, bool last)
{
	int padding = width - text_width(text);

	if (right)
		fprintf(out, "%*s", padding, "");
	fputs(text, out);
	if (!right && !last)
		fprintf(out, "%*s", padding, "");
	if (!last)
		fputs("  ", out);
}

int listing_print(const struct listing *l, FILE *out)
{
	bool bold = isatty(fileno(out)) && !getenv("NO_COLOR");
	_cleanup_free_ size_t *widths = NULL;

	if (!l || l->out_of_memory)
		return -ENOMEM;
	widths = calloc(l->columns, sizeof(*widths));
	if (!widths)
		return -ENOMEM;
	for (size_t i = 0; i < l->columns; i++)
		widths[i] = text_width(heading_text(l->headings[i]));
	for (size_t i = 0; i < l->count; i++) {
		size_t width = text_width(l->cells[i]);

		if (width > widths[i % l->columns])
			widths[i % l->columns] = width;
	}

	fputs(bold ? "\033[1m" : "", out);
	for (size_t i = 0; i < l->columns; i++)
		print_cell(out, heading_text(l->headings[i]), widths[i], is_right(l->headings[i]), i + 1 == l->columns);
	fputs(bold ? "\033[0m\n" : "\n", out);
	for (size_t i = 0; i < l->count; i++) {
		size_t column = i % l->columns;

		print_cell(out, l->cells[i], widths[column], is_right(l->headings[column]), column + 1 == l->columns);
		if (column + 1 == l->columns)
			fputc('\n', out);
	}
	return 0;
}

const char *format_bytes(uint64_t bytes, char text[QUANTITY_SIZE])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = bytes;
	size_t unit = 0;

	/* 1023.95 would be printed as 1024.0 of the smaller unit. */
	while (value >= 1023.95 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(text, QUANTITY_SIZE, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

const char *format_count(uint64_t count, char text[QUANTITY_SIZE])
{
	static const char *const units[] = {"M", "G", "T", "P", "E"};
	double value = count / 1e6;
	size_t unit = 0;

	if (count < 1000000) {
		snprintf(text, QUANTITY_SIZE, "%llu", (unsigned long long)count);
		return text;
	}
	while (value >= 999.995 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1000;
		unit++;
	}
	snprintf(text, QUANTITY_SIZE, "%.2f %s", value, units[unit]);
	return text;
}

const char *format_share(double share, char text[QUANTITY_SIZE])
{
	snprintf(text, QUANTITY_SIZE, "%.2f %%", share * 100);
	return text;
}

const char *format_duration(double seconds, char text[QUANTITY_SIZE])
{
	static const struct {
		const char *name;
		double per_second;
	} units[] = {{"\u00b5s", 1e6}, {"ms", 1e3}, {"s", 1}};

	/* 9.95 would be printed as 10.0, and 999.5 as 1000 of the smaller unit. */
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		double value = seconds * units[i].per_second;

		if (value >= (units[i].per_second > 1 ? 999.5 : 59.5))
			continue;
		snprintf(text, QUANTITY_SIZE, value < 9.95 ? "%.1f%s" : "%.0f%s", value, units[i].name);
		return text;
	}
	return format_seconds(seconds + 0.5, text);
}

const char *format_seconds(double seconds, char text[QUANTITY_SIZE])
{
	unsigned long long s = seconds > 0 ? seconds : 0;

	if (s < 60)
		snprintf(text, QUANTITY_SIZE, "%llus", s);
	else if (s < 3600)
		snprintf(text, QUANTITY_SIZE, "%llum%llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, QUANTITY_SIZE, "%lluh%llum", s / 3600, s / 60 % 60);
	else
		snprintf(text, QUANTITY_SIZE, "%llud%lluh", s / 86400, s / 3600 % 24);
	return text;
}
