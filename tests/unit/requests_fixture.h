/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REQUESTS_FIXTURE_H
#define HEADGATE_REQUESTS_FIXTURE_H

/* Requests in a loop of their own, whose turns are counted, and http_server.py to ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "child.h"
#include "own_network.h"
#include "requests.h"

#define TICK_MS 5
#define LATE_MS 200      /* for what never comes */
#define PATIENT_MS 15000 /* for what comes */
#define GIVE_UP_MS 30000 /* far beyond any timeout here: only what hangs gets there */

struct loop {
	sd_event *event;
	struct requests *requests;
	sd_event_source *timer;
	uint64_t ticks;
};

static struct child server = {.pid = -1, .input = -1};

static inline int start_server(void **state)
{
	static char *const serve[] = {"/usr/bin/python3", "tests/unit/http_server.py", NULL};

	(void)state;
	spawn(&server, ".", serve);
	await_port(&server, "PORT");
	return 0;
}

static inline int stop_server(void **state)
{
	(void)state;
	reap(&server, 0);
	return 0;
}

static inline int on_tick(sd_event_source *source, uint64_t usec, void *context)
{
	struct loop *l = context;

	(void)usec;
	l->ticks++;
	sd_event_source_set_time_relative(source, TICK_MS * 1000);
	return 0;
}

static inline int loop_open(void **state)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l || sd_event_new(&l->event) < 0 || requests_create(l->event, &l->requests) ||
	    sd_event_add_time_relative(l->event, &l->timer, CLOCK_MONOTONIC, 0, 1, on_tick, l) < 0 ||
	    sd_event_source_set_enabled(l->timer, SD_EVENT_ON) < 0)
		return -1;
	*state = l;
	return 0;
}

static inline int loop_close(void **state)
{
	struct loop *l = *state;

	requests_destroy(l->requests);
	sd_event_source_disable_unref(l->timer);
	sd_event_unref(l->event);
	free(l);
	return 0;
}

/* Runs the loop until @calls has become @want. */
static inline void await(struct loop *l, const int *calls, int want)
{
	uint64_t end_ms = now_ms() + GIVE_UP_MS;

	while (*calls < want) {
		assert_true(now_ms() < end_ms);
		assert_true(sd_event_run(l->event, 100000) >= 0);
	}
}

/* Lets the loop turn for so long. */
static inline void turn(struct loop *l, uint64_t ms)
{
	uint64_t end_ms = now_ms() + ms;

	while (now_ms() < end_ms)
		assert_true(sd_event_run(l->event, 10000) >= 0);
}

/* The server's URL with @path, in one of several texts that take turns. */
static inline const char *url_of(const char *path)
{
	static char texts[8][512];
	static size_t next;
	char *text = texts[next++ % 8];

	snprintf(text, sizeof(texts[0]), "http://127.0.0.1:%u%s", server.port, path);
	return text;
}

static inline void count_answer(void *context, const struct answer *answer)
{
	assert_null(answer->error);
	++*(int *)context;
}

/* "/hold" keeps back what is asked of "/held" from then on, until "/release". */
static inline void command(struct loop *l, const char *path)
{
	int answered = 0;

	assert_int_equal(request_start(l->requests, url_of(path), NULL, PATIENT_MS, count_answer, &answered, NULL), 0);
	await(l, &answered, 1);
}

#endif
