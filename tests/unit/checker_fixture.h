/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CHECKER_FIXTURE_H
#define HEADGATE_CHECKER_FIXTURE_H

/* A checker in a loop of its own, and what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "checker.h"
#include "own_network.h"

#define MARK 0x6867
#define GIVE_UP_MS 20000 /* far beyond any timeout here: only a checker that hangs gets there */

struct verdict {
	int calls;
	char why[320]; /* "good" when there is nothing wrong */
};

struct loop {
	sd_event *event;
	struct checker *checker;
};

static inline int loop_open(void **state)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l || sd_event_new(&l->event) < 0 || checker_create(l->event, MARK, &l->checker))
		return -1;
	*state = l;
	return 0;
}

static inline int loop_close(void **state)
{
	struct loop *l = *state;

	checker_destroy(l->checker);
	sd_event_unref(l->event);
	free(l);
	return 0;
}

static inline void on_verdict(void *context, const char *why)
{
	struct verdict *v = context;

	v->calls++;
	snprintf(v->why, sizeof(v->why), "%s", why ?: "good");
}

/* Runs the loop until each of @verdicts has been called. */
static inline void await(struct loop *l, const struct verdict *verdicts, size_t count)
{
	uint64_t end_ms = now_ms() + GIVE_UP_MS;
	size_t called;

	do {
		assert_true(now_ms() < end_ms);
		assert_true(sd_event_run(l->event, 100000) >= 0);
		called = 0;
		for (size_t i = 0; i < count; i++)
			called += verdicts[i].calls > 0;
	} while (called < count);
}

/* Checks "127.0.0.1" or "::1" once, and returns what was said, for as long as @v lives. */
static inline const char *check(struct loop *l, const struct health_model *m, const char *address, uint16_t port,
				struct verdict *v)
{
	struct endpoint backend = {.port = port};

	memset(v, 0, sizeof(*v));
	assert_int_equal(address_parse(address, &backend.address), 0);
	assert_int_equal(checker_start(l->checker, m, &backend, on_verdict, v), 0);
	assert_int_equal(v->calls, 0);
	await(l, v, 1);
	assert_int_equal(v->calls, 1);
	return v->why;
}

static inline struct health_model model(enum health_check check, const char *path)
{
	struct health_model m = {.check = check, .interval_ms = 10000, .timeout_ms = 5000, .rise = 1, .fall = 1};

	snprintf(m.path, sizeof(m.path), "%s", path);
	return m;
}

#endif
