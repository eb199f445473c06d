// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "figures.h"

#include <string.h>

#include "tool.h"

#define COLUMNS_MAX 24

struct listing *figures_open(const char *const leading[], const struct figure figures[], size_t count)
{
	const char *headings[COLUMNS_MAX + 1] = {NULL};
	size_t columns = 0;

	while (*leading && columns < COLUMNS_MAX)
		headings[columns++] = *leading++;
	for (size_t i = 0; i < count && columns < COLUMNS_MAX; i++)
		headings[columns++] = figures[i].heading;
	return listing_open(headings);
}

const json_t *figure_at(const json_t *object, const char *path)
{
	while (*path && object) {
		size_t length = strcspn(path, ".");

		object = json_object_getn(object, path, length);
		path += length + !!path[length];
	}
	return object;
}

static const char *format_estimate(const json_t *service, uint64_t count, char text[QUANTITY_SIZE])
{
	char number[QUANTITY_SIZE];
	bool scaled = json_is_false(figure_at(service, "sampled.exact"));

	snprintf(text, QUANTITY_SIZE, "%s%.*s", scaled ? "~" : "", QUANTITY_SIZE - 2, format_count(count, number));
	return text;
}

static const char *format_number(enum figure_kind kind, const json_t *service, const json_t *value,
				 char text[QUANTITY_SIZE])
{
	switch (kind) {
	case FIGURE_ESTIMATE:
		return format_estimate(service, json_integer_value(value), text);
	case FIGURE_BYTES:
		return format_bytes(json_integer_value(value), text);
	case FIGURE_SHARE:
		return format_share(json_number_value(value), text);
	case FIGURE_RATE:
		snprintf(text, QUANTITY_SIZE, "%.1f/s", json_number_value(value));
		return text;
	case FIGURE_TIME:
		return format_duration(json_number_value(value), text);
	default:
		return format_count(json_integer_value(value), text);
	}
}

const char *figure_format(const struct figure *figure, const json_t *service, const json_t *object,
			  char text[QUANTITY_SIZE])
{
	const json_t *value = figure_at(object, figure->path);

	if (figure->kind == FIGURE_TEXT)
		return json_string_value(value) ?: "-";
	if (figure->kind == FIGURE_FLAG && json_is_boolean(value))
		return json_is_true(value) ? "yes" : "no";
	if (figure->kind == FIGURE_FLAG || !json_is_number(value))
		return "-";
	return format_number(figure->kind, service, value, text);
}

void figures_add(struct listing *l, const struct figure figures[], size_t count, const json_t *service,
		 const json_t *object)
{
	char text[QUANTITY_SIZE];

	for (size_t i = 0; i < count; i++)
		listing_add(l, "%s", figure_format(&figures[i], service, object, text));
}
