// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* All connections: how they are found, and whose turn it is. */
#include "replay.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "replay_parts.h"

#define SEGMENTS_AT_ONCE 256U /* each is copied once, and written with what else there is of its connection */
#define EVENTS_AT_ONCE 64
#define LOOKS_AT_ONCE 512U
#define LOOK_EVERY_US 50000U
#define ACCURACY_US 5000U
#define CONNECTIONS_MAX 65536U
#define FLOWS_AT_ONCE 256U

static void begin_turn(struct replay *r)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	r->now_ns = t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* --- connections --- */

/* Serials are random. */
static struct replay_bucket *bucket_of(struct replay *r, uint32_t serial)
{
	return &r->buckets[serial & (r->bucket_count - 1)];
}

static struct replay_connection *find(struct replay *r, const struct flow_key *flow, uint32_t serial)
{
	struct replay_connection *c;

	LIST_FOREACH(c, bucket_of(r, serial), bucket)
	if (c->serial == serial && memcmp(&c->flow, flow, sizeof(*flow)) == 0)
		return c;
	return NULL;
}

void replay_forget(struct replay_connection *c)
{
	struct replay *r = c->replay;

	LIST_REMOVE(c, bucket);
	TAILQ_REMOVE(&r->line, c, line);
	if (c->is_due)
		TAILQ_REMOVE(&r->due, c, due);
	r->connections--;
	free(c);
}

/* Whether its end has been counted already: by the daemon that was here before. */
static bool is_over(struct replay *r, const struct replay_segment *segment)
{
	struct shadow_flow flow;

	return datapath_lookup(r->datapath, MAP_SHADOW_FLOWS, &segment->flow, &flow) == 0 &&
	       flow.serial == segment->serial && flow.flags & SHADOW_FLOW_OVER;
}

static void refuse_connection(struct replay *r, const struct replay_segment *segment)
{
	if (datapath_end_shadow_flow(r->datapath, &segment->flow, segment->serial,
				     SHADOW_FLOW_OVER | SHADOW_FLOW_DEGRADED) != -EALREADY)
		datapath_replay_counters(r->datapath, segment->flow.service)->ended[SHADOW_EVICTED]++;
}

static void open_connection(struct replay *r, const struct replay_segment *segment)
{
	struct replay_service *s = &r->services[segment->flow.service];
	_cleanup_free_ struct replay_connection *c = NULL;

	if (is_over(r, segment))
		return;
	if (r->connections < r->connections_max)
		c = calloc(1, sizeof(*c));
	if (!c || replay_stream_open(&c->stream, segment->sequence, s->settings.connection_memory_bytes, &s->budget)) {
		refuse_connection(r, segment);
		return;
	}
	c->replay = r;
	c->flow = segment->flow;
	c->serial = segment->serial;
	c->backend = segment->backend;
	c->fd = -1;
	c->heard_ns = r->now_ns;
	LIST_INSERT_HEAD(bucket_of(r, c->serial), c, bucket);
	TAILQ_INSERT_TAIL(&r->line, c, line);
	r->connections++;
	sd_event_source_set_enabled(r->looks, SD_EVENT_ONESHOT);
	c = NULL;
}

/* --- the ring buffer --- */

static bool is_valid(const struct replay *r, const struct replay_segment *segment, size_t size)
{
	const struct limits *l = datapath_limits(r->datapath);

	return size >= sizeof(*segment) && segment->bytes <= REPLAY_BYTES && segment->flow.service < l->services &&
	       segment->backend < l->backends;
}

/* A ring_buffer_sample_fn; -errno stops after this one. */
static int take(void *context, void *data, size_t size)
{
	const struct replay_segment *segment = data;
	struct replay *r = context;
	struct replay_connection *c;

	if (!is_valid(r, segment, size))
		return 0;
	c = find(r, &segment->flow, segment->serial);
	if (!c && segment->event == REPLAY_OPEN) {
		open_connection(r, segment);
	} else if (c) {
		if (!c->is_due)
			TAILQ_INSERT_TAIL(&r->due, c, due);
		c->is_due = true;
		replay_connection_take(c, segment);
	}
	return ++r->taken == SEGMENTS_AT_ONCE ? -EAGAIN : 0;
}

static int on_segments(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct replay *r = context;
	struct replay_connection *c;

	(void)source;
	(void)fd;
	(void)events;
	begin_turn(r);
	r->taken = 0;
	ring_buffer__consume(r->ring);
	while ((c = TAILQ_FIRST(&r->due))) {
		TAILQ_REMOVE(&r->due, c, due);
		c->is_due = false;
		replay_connection_work(c);
	}
	return 0;
}

/* --- sockets, and time --- */

static int on_sockets(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct epoll_event ready[EVENTS_AT_ONCE];
	struct replay *r = context;
	int count = epoll_wait(r->epoll, ready, EVENTS_AT_ONCE, 0);

	(void)source;
	(void)fd;
	(void)events;
	begin_turn(r);
	for (int i = 0; i < count; i++)
		replay_connection_ready(ready[i].data.ptr, ready[i].events);
	return 0;
}

static int on_looks(sd_event_source *source, uint64_t usec, void *context)
{
	struct replay *r = context;
	uint32_t count = r->connections < LOOKS_AT_ONCE ? r->connections : LOOKS_AT_ONCE;
	struct replay_connection *c;

	(void)usec;
	begin_turn(r);
	for (uint32_t i = 0; i < count; i++) {
		c = TAILQ_FIRST(&r->line);
		TAILQ_REMOVE(&r->line, c, line);
		TAILQ_INSERT_TAIL(&r->line, c, line);
		replay_connection_look(c);
	}
	sd_event_source_set_time_relative(source, LOOK_EVERY_US);
	return sd_event_source_set_enabled(source, r->connections ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* --- beginning and end --- */

/* What the data path has of connections is as if their daemon had ended them. */
static int end_those_before(struct replay *r)
{
	_cleanup_free_ struct flow_key *keys = malloc(FLOWS_AT_ONCE * sizeof(*keys));
	_cleanup_free_ struct shadow_flow *flows = malloc(FLOWS_AT_ONCE * sizeof(*flows));
	struct datapath_cursor cursor = {};
	int result;

	if (!keys || !flows)
		return -ENOMEM;
	do {
		uint32_t count = FLOWS_AT_ONCE;

		result = datapath_batch(r->datapath, MAP_SHADOW_FLOWS, &cursor, keys, flows, &count);
		for (uint32_t i = 0; result >= 0 && i < count; i++) {
			if ((flows[i].flags & (SHADOW_FLOW_REPLAY | SHADOW_FLOW_OVER)) != SHADOW_FLOW_REPLAY)
				continue;
			datapath_replay_counters(r->datapath, keys[i].service)->ended[SHADOW_STOPPED]++;
			datapath_end_shadow_flow(r->datapath, &keys[i], flows[i].serial,
						 SHADOW_FLOW_OVER | SHADOW_FLOW_DEGRADED);
		}
	} while (result == 0);
	return result < 0 ? result : 0;
}

static int make_tables(struct replay *r)
{
	const struct limits *l = datapath_limits(r->datapath);
	struct rlimit descriptors;

	if (getrlimit(RLIMIT_NOFILE, &descriptors))
		return -errno;
	r->descriptors_max = descriptors.rlim_cur / 2 < CONNECTIONS_MAX ? descriptors.rlim_cur / 2 : CONNECTIONS_MAX;
	r->connections_max = l->shadow_flows < CONNECTIONS_MAX ? l->shadow_flows : CONNECTIONS_MAX;
	r->bucket_count = 1;
	while (r->bucket_count < r->connections_max)
		r->bucket_count *= 2;
	r->buckets = calloc(r->bucket_count, sizeof(*r->buckets));
	r->services = calloc(l->services, sizeof(*r->services));
	if (!r->buckets || !r->services)
		return -ENOMEM;
	for (uint32_t id = 0; id < l->services; id++)
		replay_configure(r, id, &REPLAY_DEFAULTS);
	return 0;
}

static int add_events(struct replay *r, sd_event *event)
{
	int e = sd_event_add_io(event, &r->segments, ring_buffer__epoll_fd(r->ring), EPOLLIN, on_segments, r);

	if (e >= 0)
		e = sd_event_add_io(event, &r->sockets, r->epoll, EPOLLIN, on_sockets, r);
	if (e >= 0)
		e = sd_event_add_time(event, &r->looks, CLOCK_MONOTONIC, 0, ACCURACY_US, on_looks, r);
	if (e >= 0)
		e = sd_event_source_set_enabled(r->looks, SD_EVENT_OFF);
	/* Nobody waits for a shadow. */
	if (e >= 0)
		e = sd_event_source_set_priority(r->segments, SD_EVENT_PRIORITY_IDLE);
	if (e >= 0)
		e = sd_event_source_set_priority(r->sockets, SD_EVENT_PRIORITY_IDLE);
	if (e >= 0)
		e = sd_event_source_set_priority(r->looks, SD_EVENT_PRIORITY_IDLE);
	return e < 0 ? e : 0;
}

int replay_create(sd_event *event, struct datapath *dp, struct replay **ret)
{
	_cleanup_(replay_destroyp) struct replay *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return -ENOMEM;
	r->datapath = dp;
	TAILQ_INIT(&r->line);
	TAILQ_INIT(&r->due);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll < 0)
		return -errno;
	r->ring = ring_buffer__new(datapath_replay_segments(dp), take, r, NULL);
	if (!r->ring)
		return -errno;
	error = make_tables(r);
	if (!error)
		error = end_those_before(r);
	if (!error)
		error = add_events(r, event);
	if (error)
		return error;
	*ret = TAKE_PTR(r);
	return 0;
}

void replay_destroy(struct replay *r)
{
	struct replay_connection *c;

	if (!r)
		return;
	sd_event_source_disable_unref(r->segments);
	sd_event_source_disable_unref(r->sockets);
	sd_event_source_disable_unref(r->looks);
	while ((c = TAILQ_FIRST(&r->line))) {
		if (c->state == REPLAY_SETTLING)
			replay_forget(c);
		else
			replay_connection_end(c, SHADOW_STOPPED);
	}
	ring_buffer__free(r->ring);
	closep(&r->epoll);
	free(r->buckets);
	free(r->services);
	free(r);
}

void replay_configure(struct replay *r, uint32_t service, const struct replay_settings *settings)
{
	r->services[service].settings = *settings;
	r->services[service].budget.limit_bytes = settings->memory_bytes;
}
