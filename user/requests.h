/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REQUESTS_H
#define HEADGATE_REQUESTS_H

/* HTTP requests that do not block: libcurl's multi interface, run by sd-event. */
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "util.h"
#include "why.h"

struct requests;
struct request;

#define REQUEST_ANSWER_MAX (1U << 20) /* bytes; a longer answer is a failure */

int requests_create(sd_event *event, struct requests **ret); /* 0 or -errno */
void requests_destroy(struct requests *r);                   /* ends all without a call; accepts NULL */
DEFINE_CLEANUP(struct requests, requests_destroy)

struct answer {
	const char *url; /* that was asked */
	const char
		*error; /* NULL, or why there is no answer: "connection refused", "no answer in 5 s"; a redirect, too */
	long status;    /* of HTTP; 0 when there is none */
	const char *body; /* ends with a NUL that @length does not count */
	size_t length;
};

/* @answer: for the time of the call. May start and cancel other requests, may not destroy @requests. */
typedef void (*answered_function)(void *context, const struct answer *answer);

/**
 * request_start - ask once
 * @url: http:// or https:// (certificates are verified); no proxy, no redirects
 * @body: JSON, sent by POST; NULL: GET
 * @done: called exactly once, from the event loop, within @timeout_ms, unless it is cancelled
 * @ret: to cancel it with; may be NULL
 * Return: 0 or -errno (then @done is not called).
 */
int request_start(struct requests *r, const char *url, const char *body, uint32_t timeout_ms, answered_function done,
		  void *context, struct request **ret);
void request_cancel(struct request *request); /* accepts NULL; not after it was answered */

/* NULL when a status of 200..299 was answered, else what was wrong: @text or a constant. */
const char *answer_trouble(const struct answer *answer, char text[WHY_SIZE]);

#define URL_SHOWN_SIZE 80

/**
 * url_shown - a URL without user, password and query, which may be secrets
 * @path: with its path, which is one in Slack's URLs
 * Return: @ret.
 */
char *url_shown(const char *url, bool path, char ret[URL_SHOWN_SIZE]);

#endif
