/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_HEALTH_H
#define HEADGATE_HEALTH_H

/*
 * Whether a backend is fit for new connections, judged from check results and from what real connections met. Pure:
 * time and results come in as parameters.
 */
#include <stdbool.h>
#include <stdint.h>

#include "model.h"

enum health_state {
	HEALTH_UNKNOWN, /* not checked yet: in rotation, so that a start of the daemon takes nobody out */
	HEALTH_UP,
	HEALTH_DOWN,
};

struct health {
	enum health_state state;
	uint32_t good; /* in a row */
	uint32_t bad;  /* in a row */
	uint32_t passive_bad;
	uint64_t changed_ns;    /* when the state last changed */
	uint32_t flaps;         /* ways out and back lately, each within ten minutes of the one before */
	uint64_t down_until_ns; /* damping: not up before that */
};

/**
 * health_checked - a check has ended
 * @ok: the backend answered as it should, in time
 *
 * A backend that has flapped needs longer to come back: going out as the nth change, each within ten minutes of the one
 * before, the way back takes rise good checks and at least interval x 2^n (at most 5 minutes).
 * Return: true when the state changed.
 */
bool health_checked(struct health *h, const struct health_model *m, bool ok, uint64_t now_ns);

/**
 * health_observed - what real connections met since the last call
 * @good: connections that were established
 * @bad: connections that were refused or not answered
 *
 * Takes a backend out when `passive` bad ones came in a row: a call with a good one counts anew from 0, as it does not
 * tell which came last. Checks bring it back; without checks it is tried again (HEALTH_UNKNOWN) after 30 s, by a call
 * that may have seen nothing at all. Return: true when the state changed.
 */
bool health_observed(struct health *h, const struct health_model *m, uint64_t good, uint64_t bad, uint64_t now_ns);

/**
 * health_panic - whether a variant's verdicts must be ignored
 * @down: how many of its backends are down
 * @count: how many it has
 *
 * True when all are down: its last backend is never taken out, since nobody would be left; the caller says so.
 */
bool health_panic(size_t down, size_t count);

const char *health_state_name(enum health_state state); /* "unknown", "up", "down" */

#endif
