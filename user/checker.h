/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CHECKER_H
#define HEADGATE_CHECKER_H

/* Health checks on the wire, none of which blocks: connect() and libcurl's multi interface, run by sd-event. */
#include <systemd/sd-event.h>

#include "model.h"
#include "util.h"

struct checker;

/**
 * checker_create
 * @mark: SO_MARK of every check's socket, so that routing and firewalls can tell checks from traffic; 0: none
 * Return: 0 or -errno.
 */
int checker_create(sd_event *event, uint32_t mark, struct checker **ret);
void checker_destroy(struct checker *c); /* ends all checks without a call; accepts NULL */
DEFINE_CLEANUP(struct checker, checker_destroy)

/*
 * @why: NULL when the check was good, else what was wrong ("connection refused", "status 503", "no answer in 1 s"); for
 * the time of the call. May start checks, may not destroy the checker.
 */
typedef void (*checked_function)(void *context, const char *why);

/**
 * checker_start - check one backend once
 * @done: called exactly once, from the event loop, within the model's timeout (plus the loop's own delay)
 * Return: 0, or -errno (then @done is not called): nothing is known of the backend, as this host is out of sockets or
 * memory; -EINVAL for HEALTH_NONE.
 */
int checker_start(struct checker *c, const struct health_model *m, const struct endpoint *backend,
		  checked_function done, void *context);

#endif
