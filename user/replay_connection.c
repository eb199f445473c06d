// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One connection: from its client's first bytes to its end. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/types.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "histogram.h"
#include "replay_parts.h"
#include "replay_socket.h"
#include "shadow_compare.h"

#define SECOND_NS 1000000000ULL
#define CONNECT_NS (10 * SECOND_NS)
#define HOLE_NS (5 * SECOND_NS)   /* clients repeat what was lost on their way; what was lost on ours never comes */
#define QUIET_NS (SECOND_NS / 2)  /* of a shadow, at most: its response is over, where nothing else tells */
#define SETTLE_NS (2 * SECOND_NS) /* production's end may come a little later than the client's */
#define ASK_NS SECOND_NS
#define PIECES_AT_ONCE 64
#define WRITES_AT_ONCE 4
#define READS_AT_ONCE 2

static struct shadow_counters *counters_of(const struct replay_connection *c)
{
	return datapath_replay_counters(c->replay->datapath, c->flow.service);
}

static const struct replay_settings *settings_of(const struct replay_connection *c)
{
	return &c->replay->services[c->flow.service].settings;
}

static uint64_t since(const struct replay_connection *c, uint64_t then_ns)
{
	return c->replay->now_ns > then_ns ? c->replay->now_ns - then_ns : 0;
}

/* Its entry, which production's responses are in. False: the data path knows it no more. */
static bool find_flow(const struct replay_connection *c, struct shadow_flow *ret)
{
	return datapath_lookup(c->replay->datapath, MAP_SHADOW_FLOWS, &c->flow, ret) == 0 && ret->serial == c->serial;
}

static void watch(struct replay_connection *c, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	if (events == c->watching)
		return;
	epoll_ctl(c->replay->epoll, EPOLL_CTL_MOD, c->fd, &event);
	c->watching = events;
}

/* --- its end --- */

static void close_socket(struct replay_connection *c)
{
	if (c->fd < 0)
		return;
	replay_socket_count(c->fd, c->ipv6, counters_of(c));
	if (!c->client_told || !c->shadow_ended)
		replay_socket_reset(c->fd);
	close(c->fd);
	c->fd = -1;
	c->replay->descriptors--;
}

/* True: production has not finished yet what the shadow has. */
static bool compare(struct replay_connection *c, struct shadow_flow *flow)
{
	return replay_answers_compare(&c->answers, flow, &c->compared, counters_of(c));
}

void replay_connection_end(struct replay_connection *c, enum shadow_end end)
{
	struct shadow_counters *counters = counters_of(c);
	struct comparison unanswered = {};
	bool waits = false, known;
	struct shadow_flow flow;

	known = find_flow(c, &flow);
	if (c->shadow_ended)
		replay_answers_end(&c->answers, counters);
	if (known) {
		flow.shadow = c->answers.side;
		compare_end(&flow, end, &unanswered);
		counters->unanswered += unanswered.unanswered;
		waits = compare(c, &flow);
	}
	close_socket(c);
	replay_stream_close(&c->stream);
	if (datapath_end_shadow_flow(c->replay->datapath, &c->flow, c->serial,
				     SHADOW_FLOW_OVER | (end == SHADOW_WHOLE ? 0 : SHADOW_FLOW_DEGRADED)) != -EALREADY)
		counters->ended[end]++;
	if (waits && end == SHADOW_WHOLE) {
		c->state = REPLAY_SETTLING;
		c->over_ns = c->replay->now_ns;
		return;
	}
	replay_forget(c);
}

static void settle(struct replay_connection *c)
{
	struct shadow_flow flow;

	if (find_flow(c, &flow) && compare(c, &flow) && since(c, c->over_ns) < SETTLE_NS)
		return;
	replay_forget(c);
}

static enum shadow_end end_of_errno(int error, bool connected)
{
	switch (error) {
	case ETIMEDOUT:
		return SHADOW_NO_ANSWER;
	case ECONNREFUSED:
		return SHADOW_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return connected ? SHADOW_RESET : SHADOW_REFUSED;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EAGAIN:
	case EADDRINUSE:
	case EADDRNOTAVAIL: /* of connect(): no port is free */
		return SHADOW_EVICTED;
	default:
		return SHADOW_UNREACHABLE;
	}
}

/* The socket has failed. One that was told of the client's end may answer by a reset. */
static void fail(struct replay_connection *c, int error)
{
	enum shadow_end end = end_of_errno(error, c->state == REPLAY_CONNECTED);

	if (end == SHADOW_RESET && c->client_told)
		end = SHADOW_WHOLE;
	replay_connection_end(c, end);
}

/* --- the client's end --- */

/* Whether production had answered what the client asked when that ended. If not, its end is part of what it asked. */
static bool production_had_answered(struct replay_connection *c)
{
	struct shadow_flow flow;

	if (!c->asked_production) {
		c->asked_production = true;
		c->production_answered = !find_flow(c, &flow) || !(flow.production.flags & SHADOW_SIDE_OPEN) ||
					 flow.production.answered >= c->stream.requests;
	}
	return c->production_answered;
}

static bool is_quiet(const struct replay_connection *c)
{
	uint64_t quiet_ns = settings_of(c)->linger_ns / 4;

	if (quiet_ns > QUIET_NS)
		quiet_ns = QUIET_NS;
	return since(c, c->written_ns) >= quiet_ns && since(c, c->answered_ns) >= quiet_ns &&
	       since(c, c->client_end_ns) >= quiet_ns;
}

/* Whether the shadow may know that the client has ended. */
static bool may_tell(struct replay_connection *c)
{
	if (!production_had_answered(c) || c->shadow_ended || replay_answers_are_whole(&c->answers))
		return true;
	if (!is_quiet(c))
		return false;
	/* Half of the time is left for who waits for the end before he answers. */
	return replay_answers_may_be_whole(&c->answers) || since(c, c->client_end_ns) >= settings_of(c)->linger_ns / 2;
}

/* All that the client said has been written: passes its end on when it is time. */
static void tell_end(struct replay_connection *c)
{
	if (c->client_told || !may_tell(c))
		return;
	if (c->stream.reset || c->shadow_ended) {
		if (replay_socket_is_acknowledged(c->fd))
			replay_connection_end(c, SHADOW_WHOLE);
		return;
	}
	shutdown(c->fd, SHUT_WR);
	c->client_told = true;
}

/* The client has ended long ago. */
static void give_up(struct replay_connection *c)
{
	if (c->state == REPLAY_CONNECTING)
		replay_connection_end(c, SHADOW_NO_ANSWER);
	else if (c->stream.hole_ns)
		replay_connection_end(c, SHADOW_LOST);
	else if (replay_stream_is_over(&c->stream) && !c->client_told && is_quiet(c) &&
		 !replay_socket_is_acknowledged(c->fd))
		replay_connection_end(c, SHADOW_NO_ANSWER);
	else
		replay_connection_end(c, SHADOW_LINGERED);
}

/* --- writing --- */

static void choose_source(const struct replay_connection *c, const struct backend *to, struct address *ret)
{
	const struct shadow *sh = datapath_shadow(c->replay->datapath, c->flow.service);
	uint32_t id = sh->source_count ? sh->source[c->serial % sh->source_count % SOURCES_MAX] : to->source;

	*ret = (struct address){};
	if (id)
		datapath_lookup(c->replay->datapath, MAP_SOURCES, &id, ret);
}

/* 0 or -errno. */
static int connect_to_shadow(struct replay_connection *c)
{
	struct replay *r = c->replay;
	const struct backend *b = datapath_backend(r->datapath, c->backend);
	struct endpoint to = {.address = b->address, .port = ntohs(b->port)};
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
	struct address source;
	int fd;

	if (r->descriptors == r->descriptors_max)
		return -EMFILE;
	if (address_is_zero(&to.address))
		return -EHOSTUNREACH;
	choose_source(c, b, &source);
	fd = replay_socket_connect(&to, &source, datapath_shadow(r->datapath, c->flow.service)->traffic_class);
	if (fd < 0)
		return fd;
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event)) {
		close(fd);
		return -ENOMEM;
	}
	r->descriptors++;
	c->fd = fd;
	c->watching = event.events;
	c->ipv6 = !address_is_ipv4(&to.address);
	c->connect_ns = r->now_ns;
	c->state = REPLAY_CONNECTING;
	return 0;
}

/* Writes as much as goes at once, of one request at most. Bytes, 0: nothing goes now, or -errno. */
static ssize_t write_some(struct replay_connection *c)
{
	struct iovec pieces[PIECES_AT_ONCE];
	struct msghdr message = {.msg_iov = pieces};
	ssize_t written;
	bool begins;

	message.msg_iovlen = replay_stream_peek(&c->stream, pieces, PIECES_AT_ONCE, &begins);
	if (!message.msg_iovlen)
		return 0;
	written = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (written < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (begins)
		replay_answers_request(&c->answers, pieces[0].iov_base, pieces[0].iov_len, c->replay->now_ns);
	c->written_ns = c->replay->now_ns;
	replay_stream_written(&c->stream, written);
	return written;
}

void replay_connection_work(struct replay_connection *c)
{
	ssize_t written = 1;
	int error;

	if (c->state == REPLAY_SILENT && c->stream.reset && replay_stream_is_over(&c->stream)) {
		replay_connection_end(c, SHADOW_WHOLE);
		return;
	}
	if (c->state == REPLAY_SILENT && (!replay_stream_is_empty(&c->stream) || replay_stream_is_over(&c->stream))) {
		error = connect_to_shadow(c);
		if (error)
			replay_connection_end(c, end_of_errno(-error, false));
		return;
	}
	if (c->state != REPLAY_CONNECTED)
		return;
	for (int i = 0; i < WRITES_AT_ONCE && written > 0; i++)
		written = write_some(c);
	/* A socket that has failed still has what the shadow had said before: it is ready, and will be read. */
	watch(c, (c->shadow_ended ? 0 : EPOLLIN) | (replay_stream_is_empty(&c->stream) || written < 0 ? 0 : EPOLLOUT));
	if (replay_stream_is_over(&c->stream))
		tell_end(c);
}

/* --- reading --- */

/* False: the connection is no more. */
static bool read_some(struct replay_connection *c)
{
	struct replay *r = c->replay;
	uint32_t begun = c->answers.side.begun;
	struct shadow_flow flow;
	ssize_t got;

	got = recv(c->fd, r->read, sizeof(r->read), MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return true;
	if (got < 0) {
		fail(c, errno);
		return false;
	}
	if (got == 0) {
		c->shadow_ended = true;
		if (!c->client_told)
			return true;
		replay_connection_end(c, SHADOW_WHOLE);
		return false;
	}
	c->answered_ns = r->now_ns;
	replay_answers_take(&c->answers, r->read, got, r->now_ns, counters_of(c));
	if (begun && begun != c->answers.side.begun && find_flow(c, &flow))
		compare(c, &flow);
	return true;
}

/* False: the connection is no more. */
static bool finish_connect(struct replay_connection *c)
{
	struct shadow_counters *counters = counters_of(c);
	int error = replay_socket_error(c->fd);

	if (error) {
		fail(c, error);
		return false;
	}
	c->state = REPLAY_CONNECTED;
	counters->connected++;
	histogram_add(&counters->connect, since(c, c->connect_ns));
	return true;
}

void replay_connection_ready(struct replay_connection *c, uint32_t events)
{
	if (c->state == REPLAY_CONNECTING && !finish_connect(c))
		return;
	for (int i = 0; i < READS_AT_ONCE && events & (EPOLLIN | EPOLLERR | EPOLLHUP) && !c->shadow_ended; i++)
		if (!read_some(c))
			return;
	if (c->shadow_ended && events & (EPOLLERR | EPOLLHUP))
		fail(c, replay_socket_error(c->fd) ?: ECONNRESET);
	else
		replay_connection_work(c);
}

/* --- the client --- */

static void end_client(struct replay_connection *c, uint32_t sequence, bool reset)
{
	replay_stream_end(&c->stream, sequence, reset, c->replay->now_ns);
	if (!c->client_end_ns)
		c->client_end_ns = c->replay->now_ns;
}

void replay_connection_take(struct replay_connection *c, const struct replay_segment *segment)
{
	enum shadow_end broken = SHADOW_WHOLE;

	if (c->state == REPLAY_SETTLING)
		return;
	c->heard_ns = c->replay->now_ns;
	if (segment->event == REPLAY_DATA)
		broken = replay_stream_take(&c->stream, segment->sequence, segment->acknowledged, segment->data,
					    segment->bytes, c->replay->now_ns);
	else if (segment->event == REPLAY_FIN || segment->event == REPLAY_RESET)
		end_client(c, segment->sequence, segment->event == REPLAY_RESET);
	if (broken)
		replay_connection_end(c, broken);
}

/*
 * A client that has been silent for a while: it may have ended without a word getting here. False: its connection is
 * no more.
 */
static bool ask_for_client(struct replay_connection *c)
{
	struct shadow_flow flow;

	if (c->client_end_ns || since(c, c->heard_ns) < ASK_NS)
		return true;
	c->heard_ns = c->replay->now_ns;
	if (!find_flow(c, &flow)) {
		end_client(c, c->stream.next, true);
	} else if (flow.flags & SHADOW_FLOW_OVER) { /* the sweep has ended and counted it */
		close_socket(c);
		replay_stream_close(&c->stream);
		replay_forget(c);
		return false;
	} else if (flow.flags & SHADOW_FLOW_FIN) {
		end_client(c, flow.client_next, false);
	}
	return true;
}

/* Whether its service is mirrored by this engine. */
static bool is_wanted(const struct replay_connection *c)
{
	struct datapath *dp = c->replay->datapath;

	return datapath_service(dp, c->flow.service)->flags & SERVICE_SHADOW &&
	       datapath_shadow(dp, c->flow.service)->engine == SHADOW_REPLAY;
}

void replay_connection_look(struct replay_connection *c)
{
	if (c->state == REPLAY_SETTLING)
		settle(c);
	else if (!c->client_end_ns && !is_wanted(c))
		replay_connection_end(c, SHADOW_STOPPED);
	else if (replay_stream_is_lost(&c->stream, c->replay->now_ns, HOLE_NS))
		replay_connection_end(c, SHADOW_LOST);
	else if (c->state == REPLAY_CONNECTING && since(c, c->connect_ns) >= CONNECT_NS)
		replay_connection_end(c, SHADOW_NO_ANSWER);
	else if (c->client_end_ns && since(c, c->client_end_ns) >= settings_of(c)->linger_ns)
		give_up(c);
	else if (ask_for_client(c))
		replay_connection_work(c);
}
