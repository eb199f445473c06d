// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A TCP check: whether connect() succeeds. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "checker_parts.h"

#define ACCURACY_US 1000U

static int connect_to(int fd, const struct endpoint *target)
{
	struct sockaddr_in ipv4 = {
		.sin_family = AF_INET,
		.sin_port = htons(target->port),
		.sin_addr.s_addr = target->address.word[3],
	};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(target->port)};
	int r;

	memcpy(&ipv6.sin6_addr, &target->address, sizeof(ipv6.sin6_addr));
	if (address_is_ipv4(&target->address))
		r = connect(fd, (struct sockaddr *)&ipv4, sizeof(ipv4));
	else
		r = connect(fd, (struct sockaddr *)&ipv6, sizeof(ipv6));
	return r ? errno : 0;
}

static int on_connected(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct check *check = context;
	int error = check->connect_error;
	socklen_t size = sizeof(error);
	char text[WHY_SIZE];

	(void)source;
	(void)events;
	if (!error && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		error = errno;
	check_end(check, error ? why_errno(error, text) : NULL);
	return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *context)
{
	struct check *check = context;
	char text[WHY_SIZE];

	(void)source;
	(void)usec;
	check_end(check, why_late(check->timeout_ms, text));
	return 0;
}

int tcp_check_start(struct check *check, const struct endpoint *target)
{
	/* Closed by RST, so that no check stays behind in TIME_WAIT, here or there. */
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	sd_event *event = check->checker->event;
	int error, r;

	if (setsockopt(check->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)))
		return -errno;
	/* What connect() finds out at once is told from the loop too: a socket that failed is always ready. */
	error = connect_to(check->fd, target);
	check->connect_error = error == EINPROGRESS ? 0 : error;
	r = sd_event_add_io(event, &check->connected, check->fd, EPOLLOUT, on_connected, check);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &check->late, CLOCK_MONOTONIC, check->timeout_ms * 1000ULL,
					       ACCURACY_US, on_late, check);
	return r < 0 ? r : 0;
}
