/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_SHADOW_SERVER_H
#define HEADGATE_TEST_SHADOW_SERVER_H

/* A real server on loopback, in a thread of its own, that writes down what it met. */
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define SERVED_MAX 4096

enum service_kind {
	SERVES_DIGESTS,  /* reads to the end, and then answers with one line */
	SERVES_HTTP,     /* answers each request after @delay_ms, and closes when the client has ended */
	SERVES_NOTHING,  /* never reads */
	SERVES_RESETS,   /* the first bytes are answered by a reset */
	SERVES_FOR_EVER, /* the first bytes are answered by bytes that do not end */
	SERVES_FAREWELL, /* answers the first request, and closes at once */
	SERVES_DEAFLY,   /* reads all, and neither answers nor closes */
};

struct served {
	int fd;
	uint64_t bytes;
	uint64_t digest;
	uint32_t requests;
	uint32_t answered;
	uint64_t answer_ms;    /* when the next answer is due */
	bool ended;            /* the client's end was read */
	bool ended_unanswered; /* when there were still requests to be answered */
	bool reset;
	struct in6_addr peer;
	int traffic_class;
	char last[4]; /* bytes, to find where requests end */
};

struct shadow_server {
	enum service_kind kind;
	uint32_t delay_ms;
	uint16_t port;
	int fd;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below */
	bool stop;
	uint32_t count;
	struct served served[SERVED_MAX];
};

/* FNV-1a's 64 bits: of the bytes so far. */
#define DIGEST_BEGIN 0xcbf29ce484222325ULL
uint64_t digest_add(uint64_t digest, const void *data, size_t bytes);

/* On 127.0.0.1 or ::1, on a port of its own. Fails the test when it cannot. */
struct shadow_server *shadow_server_start(int family, enum service_kind kind, uint32_t delay_ms);
void shadow_server_stop(struct shadow_server *s);

/* What it has met on its @number-th connection, counted from 0; all zero: none yet. */
struct served shadow_server_served(struct shadow_server *s, uint32_t number);
uint32_t shadow_server_count(struct shadow_server *s);

/* Of an answer by SERVES_HTTP. */
#define HTTP_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"

#endif
