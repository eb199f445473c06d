// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <time.h>

#include "netlink_message.h"

#define BUFFER_BYTES 65536
#define RECEIVE_BUFFER_BYTES (4 << 20) /* of notifications: a burst of some ten thousand routes */
#define DUMP_ATTEMPTS 5

struct netlink {
	struct mnl_socket *changes;  /* notifications only, so that no dump's answers come between them */
	struct mnl_socket *requests; /* dumps and changes of our own */
	uint32_t sequence;
	char buffer[BUFFER_BYTES];
};

void netlink_close(struct netlink *n)
{
	if (!n)
		return;
	if (n->changes)
		mnl_socket_close(n->changes);
	if (n->requests)
		mnl_socket_close(n->requests);
	free(n);
}

int netlink_open(struct netlink **ret)
{
	const unsigned int groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
				    RTMGRP_IPV6_ROUTE | RTMGRP_NEIGH;
	_cleanup_(netlink_closep) struct netlink *n = calloc(1, sizeof(*n));
	const int size = RECEIVE_BUFFER_BYTES;
	int fd;

	if (!n)
		return -ENOMEM;
	n->sequence = time(NULL);
	n->changes = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!n->changes)
		return -errno;
	fd = mnl_socket_get_fd(n->changes);
	/* Beyond rmem_max when privileged. A small buffer is no error: what is lost counts as a change. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_bind(n->changes, groups, MNL_SOCKET_AUTOPID))
		return -errno;
	n->requests = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!n->requests || mnl_socket_bind(n->requests, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	*ret = TAKE_PTR(n);
	return 0;
}

int netlink_fd(const struct netlink *n)
{
	return mnl_socket_get_fd(n->changes);
}

int netlink_drain(struct netlink *n)
{
	bool changed = false;

	for (;;) {
		ssize_t length = mnl_socket_recvfrom(n->changes, n->buffer, sizeof(n->buffer));
		const struct nlmsghdr *message = (const void *)n->buffer;
		int left = length;

		if (length < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOSPC)) {
			if (errno == EAGAIN)
				return changed;
			/* Lost or too long to be read: whatever it was, it was a change. */
			changed |= errno != EINTR;
			continue;
		}
		if (length < 0)
			return -errno;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			changed |= netlink_message_is_change(message);
	}
}

static struct nlmsghdr *begin_request(struct netlink *n, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(n->buffer);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = ++n->sequence;
	return message;
}

/**
 * exchange - send a request and read its whole answer
 * @visit: called for each message of the answer; what it returns but 0 ends in the return value. May be NULL
 *
 * Reads to the end whatever happens, so that the next answer is not mixed with what is left of this one.
 * Return: 0, -errno, -EINTR when the kernel's tables changed under a dump.
 */
static int exchange(struct netlink *n, struct nlmsghdr *request,
		    int (*visit)(void *context, const struct nlmsghdr *message), void *context)
{
	uint32_t sequence = request->nlmsg_seq;
	bool one = !(request->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK));
	int error = 0;

	if (mnl_socket_sendto(n->requests, request, request->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t length = mnl_socket_recvfrom(n->requests, n->buffer, sizeof(n->buffer));
		const struct nlmsghdr *message = (const void *)n->buffer;
		int left = length;

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -errno;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			const int *code = mnl_nlmsg_get_payload(message); /* of ERROR and DONE: -errno or 0 */

			if (message->nlmsg_seq != sequence)
				continue;
			if (message->nlmsg_flags & NLM_F_DUMP_INTR && !error)
				error = -EINTR;
			if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE)
				return error ? error : *code;
			if (!error && visit)
				error = visit(context, message);
			if (one)
				return error;
		}
	}
}

static int store_message(void *context, const struct nlmsghdr *message)
{
	return netlink_message_store(context, message);
}

/* All of one kind, both families. The request's header is as long as the kind's own, as strict kernels want it. */
static int dump(struct netlink *n, uint16_t type, size_t header_bytes, struct routes *r)
{
	struct nlmsghdr *request = begin_request(n, type, NLM_F_DUMP);

	/* All zero: family AF_UNSPEC, no filter. */
	mnl_nlmsg_put_extra_header(request, header_bytes);
	return exchange(n, request, store_message, r);
}

static int snapshot_once(struct netlink *n, struct routes **ret)
{
	static const struct {
		uint16_t type;
		size_t header_bytes;
	} kinds[] = {
		{RTM_GETLINK, sizeof(struct ifinfomsg)},
		{RTM_GETADDR, sizeof(struct ifaddrmsg)},
		{RTM_GETROUTE, sizeof(struct rtmsg)},
		{RTM_GETNEIGH, sizeof(struct ndmsg)},
	};
	_cleanup_(routes_freep) struct routes *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int error = dump(n, kinds[i].type, kinds[i].header_bytes, r);

		if (error)
			return error;
	}
	routes_sort(r);
	*ret = TAKE_PTR(r);
	return 0;
}

int netlink_snapshot(struct netlink *n, struct routes **ret)
{
	for (int attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
		int error = snapshot_once(n, ret);

		if (error != -EINTR)
			return error;
	}
	return -EAGAIN;
}

static void put_neighbour(struct nlmsghdr *message, uint32_t ifindex, const struct address *a, uint16_t state,
			  uint8_t flags)
{
	struct ndmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	bool ipv4 = address_is_ipv4(a);

	header->ndm_family = ipv4 ? AF_INET : AF_INET6;
	header->ndm_ifindex = ifindex;
	header->ndm_state = state;
	header->ndm_flags = flags;
	mnl_attr_put(message, NDA_DST, ipv4 ? 4 : sizeof(*a), ipv4 ? &a->word[3] : &a->word[0]);
}

static int take_state(void *context, const struct nlmsghdr *message)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);

	if (message->nlmsg_type == RTM_NEWNEIGH)
		*(uint16_t *)context = header->ndm_state;
	return 0;
}

int netlink_probe(struct netlink *n, uint32_t ifindex, const struct address *neighbour)
{
	struct nlmsghdr *request = begin_request(n, RTM_GETNEIGH, 0);
	uint16_t state = NUD_NONE;
	int error;

	put_neighbour(request, ifindex, neighbour, 0, 0);
	error = exchange(n, request, take_state, &state);
	if (error && error != -ENOENT)
		return error;
	if (state & (NUD_PERMANENT | NUD_NOARP | NUD_PROBE | NUD_INCOMPLETE))
		return 0; /* nothing to ask, or being asked */
	if (state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY)) {
		/* NTF_USE would wait for a confirmation by traffic first, which never comes: XDP bypasses the stack. */
		request = begin_request(n, RTM_NEWNEIGH, NLM_F_ACK);
		put_neighbour(request, ifindex, neighbour, NUD_PROBE, 0);
		error = exchange(n, request, NULL, NULL);
		/* Gone or without a MAC since it was looked up: unknown, then. */
		if (error != -ENOENT && error != -EINVAL)
			return error;
	}
	request = begin_request(n, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK);
	put_neighbour(request, ifindex, neighbour, NUD_NONE, NTF_USE);
	return exchange(n, request, NULL, NULL);
}
