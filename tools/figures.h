/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FIGURES_H
#define HEADGATE_FIGURES_H

/* Tables of figures of variants and backends, as data. A figure that the API leaves out, or gives as null, is "-". */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "render.h"

enum figure_kind {
	FIGURE_TEXT,
	FIGURE_FLAG, /* yes or no */
	FIGURE_COUNT,
	FIGURE_ESTIMATE, /* a count of measured connections: with "~" where only a sample of them is measured */
	FIGURE_BYTES,
	FIGURE_SHARE,
	FIGURE_RATE, /* per second */
	FIGURE_TIME, /* in seconds */
};

struct figure {
	const char *heading; /* as in listing_open() */
	enum figure_kind kind;
	const char *path; /* of keys, with dots between them */
};

/* A listing with columns for @leading (ends with NULL) and then for @figures. NULL: out of memory. */
struct listing *figures_open(const char *const leading[], const struct figure figures[], size_t count);

/* One cell for each figure of @object, a variant or backend of @service. */
void figures_add(struct listing *l, const struct figure figures[], size_t count, const json_t *service,
		 const json_t *object);

/* One figure; @text is written to and may be returned. */
const char *figure_format(const struct figure *figure, const json_t *service, const json_t *object,
			  char text[QUANTITY_SIZE]);

/* What @path leads to from @object, or NULL. */
const json_t *figure_at(const json_t *object, const char *path);

#endif
