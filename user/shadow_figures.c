// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_figures.h"

#include <errno.h>

#include "measure.h"
#include "names.h"

int shadow_figures(struct splitter *sp, uint32_t service, struct shadow_counters *ret)
{
	return datapath_shadow_counters(sp->datapath, service, ret);
}

uint64_t shadow_figures_ended(const struct shadow_counters *c)
{
	uint64_t ended = 0;

	for (size_t end = 0; end < SHADOW_ENDS; end++)
		ended += c->ended[end];
	return ended;
}

int shadow_figures_coverage(const struct shadow_counters *c, uint64_t mirroring, double *ret)
{
	uint64_t whole = c->ended[SHADOW_WHOLE], done;

	if (c->eligible <= mirroring)
		return -ENODATA;
	done = c->eligible - mirroring;
	*ret = whole < done ? (double)whole / done : 1; /* the programs go on while all this is read */
	return 0;
}

uint64_t shadow_figures_same_status(const struct shadow_counters *c)
{
	uint64_t same = 0;

	for (size_t class = 0; class < STATUS_CLASSES; class ++)
		same += c->matrix[class][class];
	return same;
}

void shadow_figures_difference(uint32_t bucket, int64_t *ret_from, int64_t *ret_to)
{
	bool shorter = bucket >= LENGTH_DIFFERENCES / 2;
	uint32_t bits = bucket % (LENGTH_DIFFERENCES / 2);
	int64_t least = bits ? 1LL << (bits - 1) : 0, most = bits ? (1LL << bits) - 1 : 0;

	if (bits == LENGTH_DIFFERENCES / 2 - 1)
		most = UINT32_MAX; /* all that a length can be */
	*ret_from = shorter ? -most : least;
	*ret_to = shorter ? -least : most;
}

const char *shadow_figures_class(size_t class)
{
	static const char *const names[STATUS_CLASSES] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};

	return names[class];
}

/* --- as JSON --- */

static json_t *report_ends(const struct shadow_counters *c)
{
	json_t *object = json_object();

	for (enum shadow_end end = SHADOW_WHOLE + 1; end < SHADOW_ENDS; end++)
		json_object_set_new(object, name_of_shadow_end(end), json_integer(c->ended[end]));
	return object;
}

static json_t *report_statuses(const struct shadow_counters *c)
{
	json_t *object = json_object();

	for (size_t i = 1; i <= STATUS_CLASSES; i++) {
		size_t class = i % STATUS_CLASSES; /* those without a status last */

		json_object_set_new(object, shadow_figures_class(class), json_integer(c->status[class]));
	}
	return object;
}

static json_t *quantile_ms(const struct histogram *h, double q)
{
	uint64_t ns;

	return histogram_quantile(h, q, &ns) ? json_null() : json_real(ns / 1e6);
}

static json_t *report_times(const struct histogram *h)
{
	return json_pack("{s:o, s:o, s:o}", "p50", quantile_ms(h, 0.5), "p90", quantile_ms(h, 0.9), "p99",
			 quantile_ms(h, 0.99));
}

static json_t *report_matrix(const struct shadow_counters *c)
{
	json_t *array = json_array();

	for (size_t production = 0; production < STATUS_CLASSES; production++)
		for (size_t shadow = 0; shadow < STATUS_CLASSES; shadow++)
			if (c->matrix[production][shadow])
				json_array_append_new(array, json_pack("{s:s, s:s, s:I}", "production",
								       shadow_figures_class(production), "shadow",
								       shadow_figures_class(shadow), "requests",
								       (json_int_t)c->matrix[production][shadow]));
	return array;
}

/* From the shortest to the longest. */
static json_t *report_differences(const struct shadow_counters *c)
{
	json_t *array = json_array();

	for (uint32_t i = 1; i < LENGTH_DIFFERENCES; i++) {
		uint32_t bucket = i < LENGTH_DIFFERENCES / 2 ? LENGTH_DIFFERENCES - i : i - LENGTH_DIFFERENCES / 2;
		int64_t from, to;

		if (!c->difference[bucket])
			continue;
		shadow_figures_difference(bucket, &from, &to);
		json_array_append_new(array, json_pack("{s:I, s:I, s:I}", "from", (json_int_t)from, "to",
						       (json_int_t)to, "requests", (json_int_t)c->difference[bucket]));
	}
	return array;
}

void shadow_figures_set(const struct shadow_counters *c, uint64_t mirroring, json_t *object)
{
	const struct {
		const char *name;
		uint64_t count;
	} counts[] = {
		{"eligible", c->eligible},
		{"mirroring", mirroring},
		{"whole", c->ended[SHADOW_WHOLE]},
		{"packets", c->packets},
		{"bytes", c->bytes},
		{"repaired", c->repaired},
		{"clones_lost", c->clones_lost},
		{"stray", c->stray},
		{"connected", c->connected},
		{"requests", c->requests},
		{"responses", c->responses},
		{"response_bytes", c->response_bytes},
		{"unanswered", c->unanswered},
		{"compared", c->compared},
		{"same_status", shadow_figures_same_status(c)},
	};
	double coverage;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		json_object_set_new(object, counts[i].name, json_integer(counts[i].count));
	json_object_set_new(object, "coverage",
			    shadow_figures_coverage(c, mirroring, &coverage) ? json_null() : json_real(coverage));
	json_object_set_new(object, "ended", report_ends(c));
	json_object_set_new(object, "status", report_statuses(c));
	json_object_set_new(object, "connect_ms", report_times(&c->connect));
	json_object_set_new(object, "first_byte_ms", report_times(&c->first_byte));
	json_object_set_new(object, "production_first_byte_ms", report_times(&c->production_first_byte));
	json_object_set_new(object, "matrix", report_matrix(c));
	json_object_set_new(object, "length_difference", report_differences(c));
}
