/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CLIENT_H
#define HEADGATE_CLIENT_H

#include <jansson.h>

#include "refusal.h"

#define CLIENT_TIMEOUT_S 30L

/**
 * client_call - one request over the control socket
 * @socket: path of the Unix socket
 * @request: the body, or NULL
 * @ret_status: HTTP status of the answer, a refusal's too
 * @ret_body: the answer, always an object; the caller's to release
 *
 * Return: 0 with any well-formed answer; -ECONNREFUSED when no daemon listens there, -EACCES, -ETIMEDOUT, -EPROTO (not
 * headgated's kind of answer), -ENOMEM or another -errno, with @why set.
 */
int client_call(const char *socket, const char *method, const char *path, const json_t *request, struct refusal *why,
		long *ret_status, json_t **ret_body);

/* The same for those that would rather ask again than wait: at most @timeout_ms. */
int client_call_within(long timeout_ms, const char *socket, const char *method, const char *path, const json_t *request,
		       struct refusal *why, long *ret_status, json_t **ret_body);

/* Text as it may stand in a path or query. To be freed; NULL: out of memory. */
char *client_escape(const char *text);

#endif
