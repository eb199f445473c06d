/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REPLAY_PARTS_H
#define HEADGATE_REPLAY_PARTS_H

/* What the engine's parts share: a mirrored connection, and all of them. */
#include <sys/queue.h>

#include "replay.h"
#include "replay_answers.h"
#include "replay_stream.h"

#define REPLAY_READ_BYTES 32768U

enum replay_state {
	REPLAY_SILENT, /* the client has not said anything yet */
	REPLAY_CONNECTING,
	REPLAY_CONNECTED,
	REPLAY_SETTLING, /* it is over and counted; production has not finished what is to be compared */
};

struct replay_connection {
	struct replay *replay;
	LIST_ENTRY(replay_connection) bucket;
	TAILQ_ENTRY(replay_connection) line; /* to be looked at */
	TAILQ_ENTRY(replay_connection) due;
	bool is_due; /* its client has sent something in this turn */

	struct flow_key flow;
	uint32_t serial;
	uint32_t backend;
	enum replay_state state;
	int fd;            /* -1: none */
	uint32_t watching; /* EPOLLIN, EPOLLOUT */
	bool ipv6;
	bool asked_production; /* when the client had ended: whether production had answered by then */
	bool production_answered;
	bool client_told; /* the shadow knows that the client has ended */
	bool shadow_ended;
	uint64_t connect_ns;
	uint64_t written_ns, answered_ns; /* the last time */
	uint64_t client_end_ns;           /* 0: it has not ended */
	uint64_t heard_ns;                /* of the client, or that its entry is still there */
	uint64_t over_ns;                 /* REPLAY_SETTLING: since then */
	struct replay_stream stream;
	struct replay_answers answers;
	uint32_t compared; /* pairs of responses */
};

struct replay_service {
	struct replay_budget budget;
	struct replay_settings settings;
};

LIST_HEAD(replay_bucket, replay_connection);
TAILQ_HEAD(replay_line, replay_connection);

struct replay {
	struct datapath *datapath;
	struct ring_buffer *ring;
	int epoll;
	sd_event_source *segments, *sockets, *looks;
	uint64_t now_ns;                 /* CLOCK_MONOTONIC, of this turn */
	struct replay_service *services; /* by id */
	uint32_t taken;                  /* segments, in this turn */
	uint32_t connections, connections_max;
	uint32_t descriptors, descriptors_max;
	struct replay_bucket *buckets;
	uint32_t bucket_count;   /* a power of two */
	struct replay_line line; /* looked at longest ago first */
	struct replay_line due;
	uint8_t read[REPLAY_READ_BYTES];
};

/* --- replay_connection.c: one connection. Each of these may end and free it: nothing of it is to be used after. --- */

/* An event of its client's. */
void replay_connection_take(struct replay_connection *c, const struct replay_segment *segment);

/* Writes what there is to write. */
void replay_connection_work(struct replay_connection *c);

/* Its socket is ready. @events: of epoll. */
void replay_connection_ready(struct replay_connection *c, uint32_t events);

/* What only time tells. */
void replay_connection_look(struct replay_connection *c);

/* Ends and counts it. */
void replay_connection_end(struct replay_connection *c, enum shadow_end end);

/* --- replay.c --- */

/* Takes a connection, without a socket, out of all lists. */
void replay_forget(struct replay_connection *c);

#endif
