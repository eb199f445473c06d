// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "replay_answers.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shadow_compare.h"

#define VERSION "HTTP/1."
#define STATUS_AT (sizeof("HTTP/1.1 ") - 1)

void replay_answers_request(struct replay_answers *a, const void *data, size_t bytes, uint64_t now_ns)
{
	uint32_t at = a->requests++ % REPLAY_REQUESTS;

	a->request_ns[at] = now_ns;
	a->heads &= ~(1U << at);
	if (bytes >= 5 && memcmp(data, "HEAD ", 5) == 0)
		a->heads |= 1U << at;
}

/* A response has begun, with the byte at a->begun. */
static void begin(struct replay_answers *a, uint8_t class, struct shadow_counters *c)
{
	uint32_t request = a->side.answered;
	uint64_t request_ns;

	compare_finish(&a->side, a->begun);
	a->side.start = a->begun;
	a->side.status[a->side.begun % SHADOW_RESPONSES] = class;
	a->side.begun++;
	c->responses++;
	c->status[class]++;
	if (request == a->requests)
		return;
	a->side.answered++;
	if (a->requests - request > REPLAY_REQUESTS)
		return;
	request_ns = a->request_ns[request % REPLAY_REQUESTS];
	histogram_add(&c->first_byte, a->begun_ns > request_ns ? a->begun_ns - request_ns : 0);
}

static void begin_unknown(struct replay_answers *a, struct shadow_counters *c)
{
	a->reading = NOT_HTTP;
	if (a->side.answered != a->requests)
		begin(a, 0, c);
}

/* Whether the response that goes on is to a request without a body in its response. */
static bool is_of_head(const struct replay_answers *a)
{
	uint32_t request = a->side.answered - 1;

	return a->side.answered && a->requests - request <= REPLAY_REQUESTS &&
	       a->heads & 1U << request % REPLAY_REQUESTS;
}

/* --- a message --- */

static void read_status_line(struct replay_answers *a, struct shadow_counters *c)
{
	const char *digits = a->line + STATUS_AT;

	if (a->line_bytes < STATUS_AT + 3 || a->line[STATUS_AT - 1] != ' ' || digits[0] < '1' || digits[0] > '5' ||
	    !isdigit((unsigned char)digits[1]) || !isdigit((unsigned char)digits[2])) {
		begin_unknown(a, c);
		return;
	}
	a->status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + digits[2] - '0';
	a->chunked = a->sized = false;
	a->left = 0;
	a->reading = IN_HEADERS;
	begin(a, digits[0] - '0', c);
}

static const char *value_of(const char *line, const char *name)
{
	size_t length = strlen(name);

	return strncasecmp(line, name, length) == 0 && line[length] == ':' ? line + length + 1 : NULL;
}

/* 0 or -EINVAL. */
static int parse_number(const char *text, int base, uint64_t *ret)
{
	char *end;

	text += strspn(text, " \t");
	if (!isxdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*ret = strtoull(text, &end, base);
	return errno || end == text || !strchr(" \t;", *end) ? -EINVAL : 0;
}

static void read_header(struct replay_answers *a)
{
	const char *value = value_of(a->line, "Content-Length");

	if (value)
		a->sized = parse_number(value, 10, &a->left) == 0;
	value = value_of(a->line, "Transfer-Encoding");
	if (value && strcasestr(value, "chunked"))
		a->chunked = true;
}

static void read_end_of_headers(struct replay_answers *a)
{
	if (a->status == 101)
		a->reading = NOT_HTTP;
	else if (a->status < 200 || a->status == 204 || a->status == 304 || is_of_head(a))
		a->reading = AT_START;
	else if (a->chunked)
		a->reading = AT_CHUNK;
	else if (a->sized)
		a->reading = a->left ? IN_BODY : AT_START;
	else
		a->reading = TO_THE_END;
}

static void read_chunk_size(struct replay_answers *a)
{
	if (parse_number(a->line, 16, &a->left))
		a->reading = TO_THE_END;
	else
		a->reading = a->left ? IN_CHUNK : IN_TRAILERS;
}

static void read_line(struct replay_answers *a, struct shadow_counters *c)
{
	bool empty;

	if (a->line_bytes && a->line[a->line_bytes - 1] == '\r')
		a->line_bytes--;
	a->line[a->line_bytes] = '\0';
	empty = !a->line_bytes;
	if (a->reading == AT_START)
		read_status_line(a, c);
	else if (a->reading == IN_HEADERS && empty)
		read_end_of_headers(a);
	else if (a->reading == IN_HEADERS)
		read_header(a);
	else if (a->reading == AT_CHUNK)
		read_chunk_size(a);
	else if (a->reading == BEHIND_CHUNK)
		a->reading = AT_CHUNK;
	else if (a->reading == IN_TRAILERS && empty)
		a->reading = AT_START;
	a->line_bytes = 0;
}

/* Whether what there is of a line can still become a status line. */
static bool may_be_http(const struct replay_answers *a)
{
	size_t known = sizeof(VERSION) - 1;

	return memcmp(a->line, VERSION, a->line_bytes < known ? a->line_bytes : known) == 0;
}

/* Takes bytes up to a line's end, or all. */
static size_t take_line(struct replay_answers *a, const char *data, size_t bytes, uint64_t now_ns,
			struct shadow_counters *c)
{
	const char *end = memchr(data, '\n', bytes);
	size_t taken = end ? (size_t)(end - data) : bytes;
	size_t room = sizeof(a->line) - 1 - a->line_bytes;

	if (a->reading == AT_START && !a->line_bytes) {
		a->begun = a->side.next;
		a->begun_ns = now_ns;
	}
	memcpy(a->line + a->line_bytes, data, taken < room ? taken : room);
	a->line_bytes += taken < room ? taken : room;
	if (a->reading == AT_START && !may_be_http(a))
		begin_unknown(a, c);
	else if (end)
		read_line(a, c);
	return end ? taken + 1 : taken;
}

static size_t take_body(struct replay_answers *a, size_t bytes)
{
	size_t taken = bytes < a->left ? bytes : a->left;

	a->left -= taken;
	if (!a->left)
		a->reading = a->reading == IN_CHUNK ? BEHIND_CHUNK : AT_START;
	return taken;
}

void replay_answers_take(struct replay_answers *a, const void *data, size_t bytes, uint64_t now_ns,
			 struct shadow_counters *c)
{
	const char *next = data;
	size_t taken;

	c->response_bytes += bytes;
	if (a->reading == NOT_HTTP) {
		a->begun = a->side.next;
		a->begun_ns = now_ns;
		begin_unknown(a, c);
	}
	while (bytes) {
		if (a->reading == NOT_HTTP || a->reading == TO_THE_END)
			taken = bytes;
		else if (a->reading == IN_BODY || a->reading == IN_CHUNK)
			taken = take_body(a, bytes);
		else
			taken = take_line(a, next, bytes, now_ns, c);
		a->side.next += taken;
		next += taken;
		bytes -= taken;
	}
}

void replay_answers_end(struct replay_answers *a, struct shadow_counters *c)
{
	if (a->side.flags & SHADOW_SIDE_DONE)
		return;
	if (a->reading == AT_START && a->line_bytes)
		begin_unknown(a, c);
	compare_finish(&a->side, a->side.next);
	a->side.flags |= SHADOW_SIDE_DONE;
}

bool replay_answers_are_whole(const struct replay_answers *a)
{
	if (a->side.answered != a->requests)
		return false;
	return !a->side.begun || (a->reading == AT_START && !a->line_bytes && a->status >= 200);
}

/* A response has begun that is not whole yet, as its framing tells. */
static bool goes_on(const struct replay_answers *a)
{
	return a->reading != NOT_HTTP && a->reading != TO_THE_END && a->side.begun &&
	       (a->reading != AT_START || a->line_bytes);
}

bool replay_answers_may_be_whole(const struct replay_answers *a)
{
	return a->side.answered == a->requests && !goes_on(a);
}

bool replay_answers_compare(const struct replay_answers *a, const struct shadow_flow *flow, uint32_t *compared,
			    struct shadow_counters *c)
{
	struct shadow_flow both = *flow;
	struct compared_pair pair;

	both.shadow = a->side;
	both.compared = *compared;
	if (a->reading == AT_START && !a->line_bytes && a->side.begun) { /* nothing goes on */
		compare_finish(&both.shadow, both.shadow.next);
		both.shadow.flags |= SHADOW_SIDE_DONE;
	}
	do {
		pair = (struct compared_pair){};
		compare_pair(&both, &pair);
		compared_pair_add(c, &pair);
	} while (pair.known);
	*compared = both.compared;
	return compare_finished(&both.shadow) > both.compared &&
	       (both.production.flags & (SHADOW_SIDE_OPEN | SHADOW_SIDE_DONE)) == SHADOW_SIDE_OPEN;
}
