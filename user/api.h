/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_API_H
#define HEADGATE_API_H

/* The control API's requests, apart from how they arrive. docs/api.md is the contract. */
#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon.h"

#define API_BODY_MAX (1U << 20)

/* A status that is none: the answer comes later. */
#define API_LATER 0

struct api_request {
	const char *method;
	const char *path;
	const char *body; /* NULL when there is none */
	size_t body_bytes;
	/* A parameter of the query, or NULL. */
	const char *(*query)(void *context, const char *name);
	void *context;
	/* Answers later, with what @work makes of @input in another thread: the text of a JSON object. As
	 * errands_start(). */
	int (*later)(void *context, char *(*work)(void *input), void *input);
	pid_t peer_pid; /* for the audit log; 0 when unknown */
	uid_t peer_uid;
};

/**
 * api_handle - answer a request
 * @ret_body: the answer, always an object; NULL only when memory runs out, and with API_LATER
 * Return: HTTP status, or API_LATER.
 */
unsigned int api_handle(struct daemon *d, const struct api_request *request, json_t **ret_body);

#endif
