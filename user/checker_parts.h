/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CHECKER_PARTS_H
#define HEADGATE_CHECKER_PARTS_H

/* What the checker's parts share: checks in flight, and how they begin and end. */
#include <sys/queue.h>

#include "checker.h"
#include "curl_loop.h"

struct check {
	LIST_ENTRY(check) link;
	struct checker *checker;
	enum health_check kind;
	uint32_t timeout_ms;
	checked_function done;
	void *context;
	int fd; /* -1 once curl has taken it over */

	/* TCP */
	int connect_error; /* errno of connect() itself, 0 while SO_ERROR is to tell */
	sd_event_source *connected;
	sd_event_source *late;

	/* HTTP, HTTPS, gRPC */
	CURL *easy;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	size_t received; /* bytes of headers and body */
	uint8_t answer[64];
	size_t answer_length; /* gRPC: of @answer */
};

struct checker {
	sd_event *event;
	uint32_t mark;
	LIST_HEAD(, check) in_flight;
	struct curl_loop *curl; /* what all checks but TCP run in */
};

/* Forgets a check, and then tells who asked for it. @why: NULL, or text that is not in @check. */
void check_end(struct check *check, const char *why);

/* Watch a check's socket on its way to @target. 0 or -errno, with nothing of it left running. */
int tcp_check_start(struct check *check, const struct endpoint *target);
int http_check_start(struct check *check, const struct health_model *m, const struct endpoint *target);

void http_check_ended(void *context, CURLcode code);
void http_check_release(struct check *check);

#endif
