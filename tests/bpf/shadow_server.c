// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TURN_MS 5

uint64_t digest_add(uint64_t digest, const void *data, size_t bytes)
{
	for (const uint8_t *b = data; bytes--; b++)
		digest = (digest ^ *b) * 0x100000001b3ULL;
	return digest;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static void say(struct served *c, const char *text)
{
	(void)!send(c->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void hang_up(struct served *c)
{
	close(c->fd);
	c->fd = -1;
}

static void hang_up_by_reset(struct served *c)
{
	struct linger reset = {.l_onoff = 1};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	hang_up(c);
}

static int traffic_class_of(int fd)
{
	char options[CMSG_SPACE(sizeof(int)) * 4];
	socklen_t size = sizeof(options);
	struct msghdr message = {.msg_control = options};

	if (getsockopt(fd, IPPROTO_IP, IP_PKTOPTIONS, options, &size))
		return -1;
	message.msg_controllen = size;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
			return *(uint8_t *)CMSG_DATA(c);
	return -1;
}

static void take_connections(struct shadow_server *s)
{
	struct sockaddr_in6 peer = {};
	socklen_t size = sizeof(peer);
	int fd;

	while (s->count < SERVED_MAX && (fd = accept4(s->fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC)) >= 0) {
		struct served *c = &s->served[s->count++];

		*c = (struct served){.fd = fd, .digest = DIGEST_BEGIN, .traffic_class = traffic_class_of(fd)};
		if (peer.sin6_family == AF_INET6)
			c->peer = peer.sin6_addr;
		else
			memcpy(&c->peer.s6_addr[12], &((struct sockaddr_in *)&peer)->sin_addr, 4);
	}
}

static void find_requests(struct shadow_server *s, struct served *c, const char *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		memmove(c->last, c->last + 1, 3);
		c->last[3] = data[i];
		if (memcmp(c->last, "\r\n\r\n", 4) == 0 && c->requests++ == c->answered)
			c->answer_ms = now_ms() + s->delay_ms;
	}
}

static void take_end(struct shadow_server *s, struct served *c)
{
	c->ended = true;
	c->ended_unanswered = c->answered < c->requests;
	if (s->kind == SERVES_DIGESTS) {
		say(c, "whole\n");
		hang_up(c);
	}
}

static void take_bytes(struct shadow_server *s, struct served *c)
{
	static char data[65536];
	ssize_t got = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got < 0) {
		c->reset = true;
		hang_up(c);
		return;
	}
	if (got == 0) {
		if (!c->ended)
			take_end(s, c);
		return;
	}
	c->bytes += got;
	c->digest = digest_add(c->digest, data, got);
	find_requests(s, c, data, got);
	if (s->kind == SERVES_RESETS)
		hang_up_by_reset(c);
}

/* What is due without anything having come. */
static void serve(struct shadow_server *s, struct served *c)
{
	if (c->fd < 0)
		return;
	if (s->kind == SERVES_FOR_EVER && c->bytes)
		say(c, "and so on, ");
	if (s->kind != SERVES_HTTP && s->kind != SERVES_FAREWELL)
		return;
	if (c->answered < c->requests && now_ms() >= c->answer_ms) {
		say(c, HTTP_ANSWER);
		c->answered++;
		c->answer_ms = now_ms() + s->delay_ms;
		if (s->kind == SERVES_FAREWELL)
			hang_up(c);
	} else if (c->ended && c->answered == c->requests) {
		hang_up(c);
	}
}

static void *run(void *context)
{
	static struct pollfd fds[SERVED_MAX + 1];
	struct shadow_server *s = context;
	bool stop = false;

	while (!stop) {
		for (uint32_t i = 0; i < s->count; i++)
			fds[i] = (struct pollfd){
				.fd = s->kind == SERVES_NOTHING || s->served[i].ended ? -1 : s->served[i].fd,
				.events = POLLIN};
		fds[s->count] = (struct pollfd){.fd = s->fd, .events = POLLIN};
		poll(fds, s->count + 1, TURN_MS);
		pthread_mutex_lock(&s->lock);
		for (uint32_t i = 0; i < s->count; i++) {
			if (fds[i].fd >= 0 && fds[i].revents)
				take_bytes(s, &s->served[i]);
			serve(s, &s->served[i]);
		}
		take_connections(s);
		stop = s->stop;
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

struct shadow_server *shadow_server_start(int family, enum service_kind kind, uint32_t delay_ms)
{
	struct shadow_server *s = calloc(1, sizeof(*s));
	struct sockaddr_in6 name = {.sin6_family = family};
	socklen_t size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(name);
	int on = 1;

	assert_non_null(s);
	s->kind = kind;
	s->delay_ms = delay_ms;
	pthread_mutex_init(&s->lock, NULL);
	s->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (family == AF_INET)
		((struct sockaddr_in *)&name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		name.sin6_addr = in6addr_loopback;
	if (family == AF_INET)
		assert_int_equal(setsockopt(s->fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)), 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&name, size), 0);
	assert_int_equal(listen(s->fd, SERVED_MAX), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&name, &size), 0);
	s->port = ntohs(name.sin6_port);
	assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
	return s;
}

void shadow_server_stop(struct shadow_server *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	for (uint32_t i = 0; i < s->count; i++)
		if (s->served[i].fd >= 0)
			close(s->served[i].fd);
	close(s->fd);
	free(s);
}

struct served shadow_server_served(struct shadow_server *s, uint32_t number)
{
	struct served ret = {};

	pthread_mutex_lock(&s->lock);
	if (number < s->count)
		ret = s->served[number];
	pthread_mutex_unlock(&s->lock);
	return ret;
}

uint32_t shadow_server_count(struct shadow_server *s)
{
	uint32_t count;

	pthread_mutex_lock(&s->lock);
	count = s->count;
	pthread_mutex_unlock(&s->lock);
	return count;
}
