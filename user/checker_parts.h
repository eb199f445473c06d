/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CHECKER_PARTS_H
#define HEADGATE_CHECKER_PARTS_H

/* What the checker's parts share: checks in flight, and how they begin and end. */
#include <curl/curl.h>
#include <sys/queue.h>

#include "checker.h"

#define WHY_SIZE 320 /* curl's longest message and what it is about */
#define CHECK_ACCURACY_US 1000U

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
	CURLM *multi;
	sd_event_source *timer; /* curl's one */
};

/* Forgets a check, and then tells who asked for it. @why: NULL, or text that is not in @check. */
void check_end(struct check *check, const char *why);

/* "no answer in 1 s" and "connection refused", for check_end(). Both return @text. */
const char *check_late(const struct check *check, char text[WHY_SIZE]);
const char *check_errno(int error, char text[WHY_SIZE]);

/* Watch a check's socket on its way to @target. 0 or -errno, with nothing of it left running. */
int tcp_check_start(struct check *check, const struct endpoint *target);
int http_check_start(struct check *check, const struct health_model *m, const struct endpoint *target);

/* The one curl handle that all checks but TCP run in. */
int curl_checks_open(struct checker *c);
void curl_checks_close(struct checker *c);
void http_check_release(struct check *check);

#endif
