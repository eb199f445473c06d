// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Begin and end of a check, whatever its kind. */
#include "checker.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "checker_parts.h"

static void check_free(struct check *check)
{
	if (!check)
		return;
	sd_event_source_disable_unref(check->connected);
	sd_event_source_disable_unref(check->late);
	http_check_release(check);
	if (check->fd >= 0)
		close(check->fd);
	free(check);
}
DEFINE_CLEANUP(struct check, check_free)

void check_end(struct check *check, const char *why)
{
	checked_function done = check->done;
	void *context = check->context;

	LIST_REMOVE(check, link);
	check_free(check);
	done(context, why);
}

/* A socket is made before anything else, so that a lack of them is this host's error and not the backend's. */
static int open_socket(const struct checker *c, const struct endpoint *target)
{
	int family = address_is_ipv4(&target->address) ? AF_INET : AF_INET6;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	/* Without CAP_NET_ADMIN checks are not marked, and good all the same. */
	if (c->mark)
		(void)setsockopt(fd, SOL_SOCKET, SO_MARK, &c->mark, sizeof(c->mark));
	return fd;
}

int checker_start(struct checker *c, const struct health_model *m, const struct endpoint *backend,
		  checked_function done, void *context)
{
	struct endpoint target = {.address = backend->address, .port = m->port ?: backend->port};
	_cleanup_(check_freep) struct check *check = calloc(1, sizeof(*check));
	int err;

	if (!check)
		return -ENOMEM;
	*check = (struct check){
		.checker = c,
		.kind = m->check,
		.timeout_ms = m->timeout_ms,
		.done = done,
		.context = context,
		.fd = -1,
	};
	if (m->check == HEALTH_NONE)
		return -EINVAL;
	check->fd = open_socket(c, &target);
	if (check->fd < 0)
		return check->fd;
	err = m->check == HEALTH_TCP ? tcp_check_start(check, &target) : http_check_start(check, m, &target);
	if (err)
		return err;
	LIST_INSERT_HEAD(&c->in_flight, check, link);
	check = NULL;
	return 0;
}

int checker_create(sd_event *event, uint32_t mark, struct checker **ret)
{
	_cleanup_(checker_destroyp) struct checker *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->event = sd_event_ref(event);
	c->mark = mark;
	LIST_INIT(&c->in_flight);
	err = curl_loop_create(event, http_check_ended, &c->curl);
	if (err)
		return err;
	*ret = TAKE_PTR(c);
	return 0;
}

void checker_destroy(struct checker *c)
{
	if (!c)
		return;
	while (!LIST_EMPTY(&c->in_flight)) {
		struct check *check = LIST_FIRST(&c->in_flight);

		LIST_REMOVE(check, link);
		check_free(check);
	}
	curl_loop_destroy(c->curl);
	sd_event_unref(c->event);
	free(c);
}
