// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <string.h>

#include "provider.h"

/* What a number of values adds to a sample. */
struct values {
	double sum, squares, last;
};

static int too_many(const struct metric_plan *m, struct refusal *why)
{
	return refuse(why, EINVAL, "%s: more than %g of a variant between two analyses", m->name, PROVIDER_COUNT_MAX);
}

static bool is_count(const json_t *number)
{
	double value = json_number_value(number);

	return json_is_number(number) && value >= 0 && value == floor(value);
}

static int push_counts(const struct metric_plan *m, const json_t *input, struct pushed *pending, struct refusal *why)
{
	const json_t *events_json = json_object_get(input, "events");
	const json_t *trials_json = json_object_get(input, "trials");
	double events = json_number_value(events_json);
	double trials = json_number_value(trials_json);

	if (!events_json || !trials_json)
		return refuse(why, EINVAL, "%s takes {\"events\": N, \"trials\": N}", m->name);
	if (!is_count(events_json) || !is_count(trials_json))
		return refuse(why, EINVAL, "%s: events and trials must be whole numbers, not below 0", m->name);
	if (events > trials)
		return refuse(why, EINVAL, "%s: %g events are more than %g trials", m->name, events, trials);
	if (pending->trials + trials > PROVIDER_COUNT_MAX)
		return too_many(m, why);
	pending->events += events;
	pending->trials += trials;
	return 0;
}

static int add_value(const struct metric_plan *m, const json_t *json, struct values *sum, struct refusal *why)
{
	double value = json_number_value(json);

	if (!json_is_number(json))
		return refuse(why, EINVAL, "%s: a value is no number", m->name);
	if (m->kind == METRIC_SCORES && (value < m->range_low || value > m->range_high))
		return refuse(why, EINVAL, "%s: %g is not within its range, %g to %g", m->name, value, m->range_low,
			      m->range_high);
	sum->sum += value;
	sum->squares += value * value;
	sum->last = value;
	return 0;
}

static int add_values(const struct metric_plan *m, const json_t *array, struct values *sum, struct refusal *why)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		int err = add_value(m, json_array_get(array, i), sum, why);

		if (err)
			return err;
	}
	return 0;
}

static int push_values(const struct metric_plan *m, const json_t *input, struct pushed *pending, struct refusal *why)
{
	const json_t *one = json_object_get(input, "value");
	const json_t *many = json_object_get(input, "values");
	struct values sum = {};
	uint64_t count = one ? 1 : json_array_size(many);
	int err;

	if (!one == !many || (many && !json_is_array(many)))
		return refuse(why, EINVAL, "%s takes {\"value\": X} or {\"values\": [X, ..]}", m->name);
	err = one ? add_value(m, one, &sum, why) : add_values(m, many, &sum, why);
	if (err)
		return err;
	if (pending->trials + count > PROVIDER_COUNT_MAX)
		return too_many(m, why);
	if (!count)
		return 0;
	pending->trials += count;
	if (m->kind == METRIC_VALUE) {
		pending->value = sum.last;
	} else {
		pending->sum += sum.sum;
		pending->squares += sum.squares;
	}
	return 0;
}

int provider_push(const struct metric_plan *m, const json_t *input, struct pushed *pending, struct refusal *why)
{
	return (m->kind == METRIC_COUNTS ? push_counts : push_values)(m, input, pending, why);
}

void provider_take_pushed(struct pushed *pending, struct sample *ret)
{
	*ret = (struct sample){
		.trouble = pending->trials ? JUDGED_NOTHING : JUDGED_NO_DATA,
		.trials = pending->trials,
		.events = pending->events,
		.sum = pending->sum,
		.squares = pending->squares,
		.value = pending->value,
	};
	memset(pending, 0, sizeof(*pending));
}
