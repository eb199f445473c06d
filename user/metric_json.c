// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a metric measured and came to, as JSON. */
#include "journal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "json_fields.h"

WORDS(troubles, enum judged, name_of_judged, JUDGED_VOID + 1);

/* Of a sample only what a metric of its kind has. */
/* clang-format off */
FIELDS(trouble_fields,
	WORD(struct sample, trouble, troubles));

FIELDS(counts_fields,
	PLAIN(struct sample, trials),
	PLAIN(struct sample, events));

FIELDS(times_fields,
	HISTOGRAM(struct sample, histogram));

FIELDS(scores_fields,
	PLAIN(struct sample, trials),
	PLAIN(struct sample, sum),
	PLAIN(struct sample, squares));

FIELDS(value_fields,
	PLAIN(struct sample, value));
/* clang-format on */

static const struct fields *fields_of(enum metric_kind kind)
{
	switch (kind) {
	case METRIC_COUNTS:
		return &counts_fields;
	case METRIC_TIMES:
		return &times_fields;
	case METRIC_SCORES:
		return &scores_fields;
	default:
		return &value_fields;
	}
}

json_t *sample_to_json(const struct metric_plan *m, const struct sample *sample)
{
	return fields_to_json(sample->trouble ? &trouble_fields : fields_of(m->kind), sample);
}

int sample_from_json(const struct metric_plan *m, const json_t *json, struct sample *ret)
{
	struct sample sample = {};
	int err = fields_from_json(&trouble_fields, json, &sample);

	if (!err && !sample.trouble)
		err = fields_from_json(fields_of(m->kind), json, &sample);
	if (err)
		return err;
	if (sample.trouble && sample.trouble != JUDGED_NO_DATA && sample.trouble != JUDGED_ERROR)
		return -EINVAL;
	if (sample.events > sample.trials || !isfinite(sample.sum) || !isfinite(sample.squares) ||
	    !isfinite(sample.value))
		return -EINVAL;
	*ret = sample;
	return 0;
}

static const char *unit_of(enum metric_kind kind)
{
	switch (kind) {
	case METRIC_COUNTS:
		return "share";
	case METRIC_TIMES:
		return "s";
	default:
		return "";
	}
}

/* "1.25 x stable, at most 0.01" */
static void format_limit(const struct metric_plan *m, char *text, size_t bytes)
{
	char compared[64] = "", least[64] = "", most[64] = "";

	if (m->compare && m->kind == METRIC_COUNTS)
		snprintf(compared, sizeof(compared), ", %.6g x stable", m->tolerance);
	else if (m->compare && m->lower_is_worse)
		snprintf(compared, sizeof(compared), ", at least %.6g x stable", 1 - m->tolerance);
	else if (m->compare)
		snprintf(compared, sizeof(compared), ", %.6g x stable", 1 + m->tolerance);
	if (m->has_min)
		snprintf(least, sizeof(least), ", at least %.6g", m->min);
	if (m->has_max)
		snprintf(most, sizeof(most), ", at most %.6g", m->max);
	snprintf(text, bytes, "%s%s%s", compared, least, most);
	if (*text)
		memmove(text, text + 2, strlen(text + 2) + 1);
}

static int put_numbers(json_t *object, const struct metric_result *r)
{
	const struct {
		const char *name;
		double value;
	} numbers[] = {
		{"candidate", r->candidate},
		{"candidate_low", r->candidate_low},
		{"candidate_high", r->candidate_high},
		{"stable", r->stable},
		{"stable_low", r->stable_low},
		{"stable_high", r->stable_high},
		{"evidence", r->evidence},
		{"needed", r->needed},
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (json_object_set_new(object, numbers[i].name, json_finite(numbers[i].value)))
			return -ENOMEM;
	}
	return 0;
}

json_t *metric_to_json(const struct metric_plan *m, const struct metric_result *result)
{
	char limit[256];
	_cleanup_(json_decrefp) json_t *object = NULL;

	format_limit(m, limit, sizeof(limit));
	object =
		json_pack("{s:o, s:s, s:s, s:s, s:b, s:s, s:b, s:s, s:I, s:I, s:o}", "name", json_text(m->name),
			  "source", name_of_metric_source(m->source), "kind", name_of_metric_kind(m->kind), "unit",
			  unit_of(m->kind), "dry_run", m->dry_run, "verdict", name_of_judged(result->verdict), "proven",
			  result->proven, "limit", limit, "candidate_samples", (json_int_t)result->candidate_samples,
			  "stable_samples", (json_int_t)result->stable_samples, "why", json_text(result->why));
	if (!object || put_numbers(object, result))
		return NULL;
	return TAKE_PTR(object);
}
