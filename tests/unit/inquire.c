// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 *   inquire prometheus|webhook URL QUERY TIMEOUT_MS VARIANT...
 *
 * Asks once, as a rollout's analysis does, and prints a JSON list with what was said of each variant; "ticks" is how
 * often the loop turned for a timer of 10 ms meanwhile. For tests/lab/test_providers.sh.
 */
#include <string.h>

#include "inquiry.h"

static sd_event *event;
static uint64_t ticks;
static size_t variant_count;

static int on_tick(sd_event_source *source, uint64_t usec, void *context)
{
	(void)usec;
	(void)context;
	ticks++;
	return sd_event_source_set_time_relative(source, 10000);
}

static void on_inquired(void *context, const struct inquired *results)
{
	json_t *list = json_array();

	(void)context;
	for (size_t i = 0; i < variant_count; i++) {
		const char *trouble = results[i].sample.trouble == JUDGED_ERROR     ? "error"
				      : results[i].sample.trouble == JUDGED_NO_DATA ? "no_data"
										    : "";

		json_array_append_new(list, json_pack("{s:s, s:f, s:s, s:I}", "trouble", trouble, "value",
						      results[i].sample.value, "why", results[i].why, "ticks",
						      (json_int_t)ticks));
	}
	json_dumpf(list, stdout, 0);
	json_decref(list);
	sd_event_exit(event, 0);
}

static int inquire(char **arguments, struct requests *r)
{
	static struct analysis_plan plan = {.metric_count = 1};
	struct metric_plan *m = &plan.metrics[0];
	struct inquiry *q;

	m->source = strcmp(arguments[1], "prometheus") ? SOURCE_WEBHOOK : SOURCE_PROMETHEUS;
	m->kind = METRIC_VALUE;
	m->timeout_ms = atoi(arguments[4]);
	snprintf(m->url, sizeof(m->url), "%s", arguments[2]);
	snprintf(m->query, sizeof(m->query), "%s", arguments[3]);
	if (inquiry_start(r, &plan, "web", (const char *const *)arguments + 5, variant_count, on_inquired, NULL, &q))
		return -1;
	return sd_event_loop(event);
}

int main(int count, char **arguments)
{
	_cleanup_(requests_destroyp) struct requests *r = NULL;
	_cleanup_(sd_event_unrefp) sd_event *loop = NULL;
	_cleanup_(sd_event_source_unrefp) sd_event_source *timer = NULL;

	if (count < 6) {
		fprintf(stderr, "inquire prometheus|webhook URL QUERY TIMEOUT_MS VARIANT...\n");
		return 2;
	}
	variant_count = count - 5;
	if (sd_event_new(&loop) < 0 || requests_create(loop, &r) ||
	    sd_event_add_time_relative(loop, &timer, CLOCK_MONOTONIC, 0, 1, on_tick, NULL) < 0 ||
	    sd_event_source_set_enabled(timer, SD_EVENT_ON) < 0)
		return 1;
	event = loop;
	return inquire(arguments, r) ? 1 : 0;
}
