/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CURL_LOOP_H
#define HEADGATE_CURL_LOOP_H

/* A curl multi handle whose sockets and timer are the event loop's: what health checks and other requests run in. */
#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "util.h"
#include "why.h"

struct curl_loop;

/* A transfer is over; @context is the transfer's CURLOPT_PRIVATE. Removes it; may add and remove others. */
typedef void (*curl_ended_function)(void *context, CURLcode code);

int curl_loop_create(sd_event *event, curl_ended_function ended, struct curl_loop **ret); /* 0 or -errno */
void curl_loop_destroy(struct curl_loop *l); /* accepts NULL; transfers have to be removed before */
DEFINE_CLEANUP(struct curl_loop, curl_loop_destroy)

/* Sets what is the same for all: a connection for each transfer, no proxy, no signals, @timeout_ms from end to end. */
void curl_loop_prepare(CURL *easy, uint32_t timeout_ms);

int curl_loop_add(struct curl_loop *l, CURL *easy); /* 0 or -ENOMEM; it is never over before this returns */
void curl_loop_remove(struct curl_loop *l, CURL *easy);

/**
 * curl_loop_why - why a transfer failed, for people
 * @detail: its CURLOPT_ERRORBUFFER
 * @text: for what is returned
 */
const char *curl_loop_why(CURL *easy, CURLcode code, uint32_t timeout_ms, const char *detail, char text[WHY_SIZE]);

#endif
