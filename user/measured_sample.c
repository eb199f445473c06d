// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "measured_sample.h"

#include <errno.h>
#include <string.h>

/* All are structs of counters and nothing else. False: one went back. */
static bool subtract(const void *now, const void *before, void *ret, size_t bytes)
{
	const __u64 *a = now, *b = before;
	__u64 *difference = ret;

	for (size_t i = 0; i < bytes / sizeof(*a); i++) {
		if (a[i] < b[i])
			return false;
		difference[i] = a[i] - b[i];
	}
	return true;
}

int measured_since(const struct measured *now, const struct measured *before, struct measured *ret)
{
	struct measured delta = {.active = now->active};

	if (!subtract(&now->traffic, &before->traffic, &delta.traffic, sizeof(delta.traffic)) ||
	    !subtract(&now->sampled, &before->sampled, &delta.sampled, sizeof(delta.sampled)) ||
	    !subtract(&now->silent, &before->silent, &delta.silent, sizeof(delta.silent)))
		return -ERANGE;
	*ret = delta;
	return 0;
}

int shadow_counted_since(const struct shadow_counters *now, const struct shadow_counters *before,
			 struct shadow_counters *ret)
{
	struct shadow_counters delta;

	if (!subtract(now, before, &delta, sizeof(delta)))
		return -ERANGE;
	*ret = delta;
	return 0;
}

static void set_counts(uint64_t events, uint64_t trials, struct sample *ret)
{
	*ret = (struct sample){.events = events, .trials = trials > events ? trials : events};
	if (!ret->trials)
		ret->trouble = JUDGED_NO_DATA;
}

static void set_times(const struct histogram *h, struct sample *ret)
{
	*ret = (struct sample){.histogram = *h};
	/* The programs count on while the histogram is read, and its count may be ahead of its buckets. */
	ret->histogram.count = 0;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		ret->histogram.count += h->bucket[i];
	if (!ret->histogram.count)
		ret->trouble = JUDGED_NO_DATA;
}

/* Responses with a status. */
static uint64_t with_status(const __u64 status[STATUS_CLASSES])
{
	uint64_t sum = 0;

	for (size_t i = 1; i < STATUS_CLASSES; i++)
		sum += status[i];
	return sum;
}

void measured_sample(const struct metric_plan *m, const struct measured *delta, struct sample *ret)
{
	const struct measurements *s = &delta->sampled;
	uint64_t failed = delta->silent.failed + s->refused;

	switch (m->measure) {
	case MEASURE_ERROR_RATE: /* as measured_error_rate() */
		set_counts(failed + s->reset_by_server + s->status[5], failed + s->established + s->responses, ret);
		return;
	case MEASURE_FAILED_HANDSHAKES:
		set_counts(failed, failed + s->established, ret);
		return;
	case MEASURE_RESETS:
		set_counts(s->reset_by_server, s->established, ret);
		return;
	case MEASURE_5XX:
		set_counts(s->status[5], with_status(s->status), ret);
		return;
	case MEASURE_HANDSHAKE:
		set_times(&s->handshake, ret);
		return;
	case MEASURE_FIRST_BYTE:
		set_times(&s->first_byte, ret);
		return;
	case MEASURES:
		break;
	}
	*ret = (struct sample){.trouble = JUDGED_NO_DATA};
}

/* Requests by the class of either response, of those that both answered. */
static void sum_matrix(const struct shadow_counters *delta, __u64 shadow[STATUS_CLASSES],
		       __u64 production[STATUS_CLASSES])
{
	memset(shadow, 0, STATUS_CLASSES * sizeof(*shadow));
	memset(production, 0, STATUS_CLASSES * sizeof(*production));
	for (size_t p = 0; p < STATUS_CLASSES; p++)
		for (size_t s = 0; s < STATUS_CLASSES; s++) {
			shadow[s] += delta->matrix[p][s];
			production[p] += delta->matrix[p][s];
		}
}

void shadow_sample(const struct metric_plan *m, const struct shadow_counters *delta, struct sample *ret_shadow,
		   struct sample *ret_production)
{
	uint64_t not_answered = delta->unanswered + delta->ended[SHADOW_NO_ANSWER] + delta->ended[SHADOW_REFUSED] +
				delta->ended[SHADOW_RESET];
	__u64 shadow[STATUS_CLASSES], production[STATUS_CLASSES];

	sum_matrix(delta, shadow, production);
	switch (m->measure) {
	case MEASURE_ERROR_RATE:
		set_counts(shadow[5] + not_answered, delta->compared + not_answered, ret_shadow);
		set_counts(production[5], delta->compared + not_answered, ret_production);
		return;
	case MEASURE_5XX:
		set_counts(shadow[5], with_status(shadow), ret_shadow);
		set_counts(production[5], with_status(production), ret_production);
		return;
	case MEASURE_FIRST_BYTE:
		set_times(&delta->first_byte, ret_shadow);
		set_times(&delta->production_first_byte, ret_production);
		return;
	default:
		*ret_shadow = *ret_production = (struct sample){.trouble = JUDGED_NO_DATA};
	}
}
