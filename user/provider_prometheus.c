// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Answers of /api/v1/query: prometheus.io/docs/prometheus/latest/querying/api, "Instant queries". */
#include <math.h>
#include <string.h>

#include "provider.h"
#include "text.h"

static void trouble(struct sample *ret, enum judged kind, char why[PROVIDER_WHY_SIZE], const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static void trouble(struct sample *ret, enum judged kind, char why[PROVIDER_WHY_SIZE], const char *format, ...)
{
	char text[WHY_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	text_show(text, why, PROVIDER_WHY_SIZE);
	ret->trouble = kind;
}

/* @point: [when, "value"] */
static void read_point(const json_t *point, struct sample *ret, char why[PROVIDER_WHY_SIZE])
{
	const char *text = json_string_value(json_array_get(point, 1));
	char *end = NULL;
	double value = text ? strtod(text, &end) : NAN;

	if (!text)
		trouble(ret, JUDGED_ERROR, why, "its answer has no value (is it a native histogram?)");
	else if (end == text || *end)
		trouble(ret, JUDGED_ERROR, why, "its value is no number: %.60s", text);
	else if (!isfinite(value))
		trouble(ret, JUDGED_NO_DATA, why, "its value is %s", isnan(value) ? "NaN" : "infinite");
	else
		ret->value = value;
}

static void read_vector(const json_t *vector, struct sample *ret, char why[PROVIDER_WHY_SIZE])
{
	size_t count = json_array_size(vector);

	if (!json_is_array(vector))
		trouble(ret, JUDGED_ERROR, why, "its answer is none of a query");
	else if (!count)
		trouble(ret, JUDGED_NO_DATA, why, "the query has no result");
	else if (count > 1)
		trouble(ret, JUDGED_ERROR, why, "the query has %zu results, and not one: sum() or max() makes one",
			count);
	else
		read_point(json_object_get(json_array_get(vector, 0), "value"), ret, why);
}

static void read_data(const json_t *data, struct sample *ret, char why[PROVIDER_WHY_SIZE])
{
	const char *type = json_string_value(json_object_get(data, "resultType"));
	const json_t *result = json_object_get(data, "result");

	if (!type)
		trouble(ret, JUDGED_ERROR, why, "its answer is none of a query");
	else if (!strcmp(type, "vector"))
		read_vector(result, ret, why);
	else if (!strcmp(type, "scalar"))
		read_point(result, ret, why);
	else
		trouble(ret, JUDGED_ERROR, why, "the query's result is a %.20s, and neither vector nor scalar", type);
}

/* Statuses of 400, 422 and 503 have a body that says more. */
static void read_failure(const struct answer *answer, const json_t *body, struct sample *ret,
			 char why[PROVIDER_WHY_SIZE])
{
	const char *error = json_string_value(json_object_get(body, "error"));
	char text[WHY_SIZE];
	const char *status = answer_trouble(answer, text);

	if (!answer->error && error)
		trouble(ret, JUDGED_ERROR, why, "%s%s%s", status ?: "", status ? ": " : "", error);
	else
		trouble(ret, JUDGED_ERROR, why, "%s", status ?: "its answer is none of a query");
}

void provider_prometheus(const struct answer *answer, struct sample *ret, char why[PROVIDER_WHY_SIZE])
{
	json_t *body = json_loadb(answer->body, answer->length, 0, NULL);
	const char *status = json_string_value(json_object_get(body, "status"));
	const char *warning = json_string_value(json_array_get(json_object_get(body, "warnings"), 0));
	char text[WHY_SIZE];

	memset(ret, 0, sizeof(*ret));
	why[0] = '\0';
	if (answer_trouble(answer, text) || !status || strcmp(status, "success"))
		read_failure(answer, body, ret, why);
	else
		read_data(json_object_get(body, "data"), ret, why);
	if (warning && !why[0]) {
		snprintf(text, sizeof(text), "it warns: %s", warning);
		text_show(text, why, PROVIDER_WHY_SIZE);
	}
	json_decref(body);
}
