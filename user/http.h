/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_HTTP_H
#define HEADGATE_HTTP_H

#include "daemon.h"

/* The HTTP server of the control socket, run by the daemon's event loop. */
struct http;

/**
 * http_listen - serve the control API on a Unix socket
 * @path: a stale socket of a daemon that is gone is replaced; one that answers is another daemon: -EADDRINUSE
 *
 * Return: 0 or -errno with @why.
 */
int http_listen(struct daemon *d, const char *path, struct http **ret, struct refusal *why);
/* Serves GET /metrics on a loopback address; read-only. 0 or -errno with @why. */
int http_listen_metrics(struct daemon *d, const struct endpoint *at, struct http **ret, struct refusal *why);

void http_close(struct http *h); /* removes the socket; accepts NULL */

#endif
