// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* "health" of a service: how its backends are checked. */
#include "config_build.h"

#include <netinet/in.h>
#include <string.h>

#include "names.h"

#define PATH_HINT "a path as in a URL, as /health"
#define SERVICE_HINT "a service's name, as inference.v1.Completions, or leave it out for the whole server"
#define TIME_MIN_MS 10U
#define INTERVAL_MIN_MS 100U
#define TIME_MAX_MS 3600000U
#define STREAK_MAX 100
#define PASSIVE_MAX 1000000
#define URL_CHARACTERS /* RFC 3986: what a path and a query are made of */                                             \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?%"

enum { CHECK, PORT, PATH, SERVICE, VERIFY, INTERVAL, TIMEOUT, RISE, FALL, PASSIVE, KEYS };

static const char *const checks[] = {
	[HEALTH_NONE] = "none",   [HEALTH_TCP] = "tcp",   [HEALTH_HTTP] = "http",
	[HEALTH_HTTPS] = "https", [HEALTH_GRPC] = "grpc",
};

static int read_time(struct builder *b, const struct field *f, uint32_t *ret_ms)
{
	uint64_t ms;
	int err = reader_time(b->reader, f, TIME_MIN_MS, TIME_MAX_MS, &ms);

	if (!err)
		*ret_ms = ms;
	return err;
}

static void read_times(struct builder *b, struct health_model *h, const struct field fields[KEYS])
{
	const struct field *interval = &fields[INTERVAL], *timeout = &fields[TIMEOUT];

	if (!read_time(b, interval, &h->interval_ms) && h->interval_ms < INTERVAL_MIN_MS)
		reader_problem(b->reader, interval->node->start_mark, "interval of %s is %ums: write 100ms or more",
			       interval->of, h->interval_ms);
	/* A timeout that is not written gives way to a short interval; one that is written must fit it. */
	if (h->timeout_ms > h->interval_ms)
		h->timeout_ms = h->interval_ms;
	if (!read_time(b, timeout, &h->timeout_ms) && h->timeout_ms > h->interval_ms)
		reader_problem(b->reader, timeout->node->start_mark,
			       "timeout of %s is longer than its interval (%ums): write at most as much", timeout->of,
			       h->interval_ms);
}

/* A text that is put into requests as it is: of @characters only (NULL: any that is printed, but space). */
static void read_request_text(struct builder *b, struct health_model *h, const struct field *f, const char *characters,
			      const char *hint)
{
	const char *text;
	size_t length = 0;

	if (reader_text(b->reader, f, hint, &text))
		return;
	if (characters)
		length = strspn(text, characters);
	else
		while (text[length] > ' ' && text[length] <= '~')
			length++;
	if (text[length] || length >= sizeof(h->path) || (characters && text[0] != '/'))
		reader_refuse(b->reader, f, hint);
	else
		strcpy(h->path, text);
}

/* Keys that only some checks know. */
static void read_request(struct builder *b, struct health_model *h, const struct field fields[KEYS])
{
	static const char *const verifies[] = {"none"};
	bool http = h->check == HEALTH_HTTP || h->check == HEALTH_HTTPS;
	const bool known[KEYS] = {
		[PORT] = h->check != HEALTH_NONE,
		[PATH] = http,
		[SERVICE] = h->check == HEALTH_GRPC,
		[VERIFY] = h->check == HEALTH_HTTPS,
	};
	int choice;

	for (size_t i = PORT; i <= VERIFY; i++) {
		if (fields[i].node && !known[i])
			reader_problem(b->reader, fields[i].at, "%s of %s has no meaning with check: %s: remove it",
				       fields[i].key, fields[i].of, checks[h->check]);
	}
	if (http) {
		strcpy(h->path, "/");
		read_request_text(b, h, &fields[PATH], URL_CHARACTERS, PATH_HINT);
	}
	if (h->check == HEALTH_GRPC)
		read_request_text(b, h, &fields[SERVICE], NULL, SERVICE_HINT);
	if (h->check == HEALTH_HTTPS)
		reader_choice(b->reader, &fields[VERIFY], verifies, ARRAY_SIZE(verifies), &choice);
}

/* What the keys say together. */
static void check_health(struct builder *b, const struct service_model *s, const struct field fields[KEYS])
{
	const struct health_model *h = &s->health;
	const struct field *check = &fields[CHECK];

	if (h->check == HEALTH_HTTPS && !fields[VERIFY].node)
		reader_problem(b->reader, check->node->start_mark,
			       "%s checks over https, and does not verify the certificates that backends "
			       "show: write verify: none to say that this is known",
			       check->of);
	if (fields[PASSIVE].node && !forward_sees_replies(s->forward))
		reader_problem(b->reader, fields[PASSIVE].at,
			       "%s of %s has no meaning with forward: %s, which sees no replies: remove it",
			       fields[PASSIVE].key, fields[PASSIVE].of, name_of_forward(s->forward));
	if (s->protocol == IPPROTO_TCP)
		return;
	if (h->check != HEALTH_NONE && !fields[PORT].node)
		reader_problem(b->reader, check->node->start_mark,
			       "%s checks with %s, and its backends serve udp: write port: with a TCP port of "
			       "theirs that tells how they are, or check: none",
			       check->of, checks[h->check]);
	if (h->passive)
		reader_problem(b->reader, fields[PASSIVE].at,
			       "%s of %s has no meaning for udp, which has no connections: remove it",
			       fields[PASSIVE].key, fields[PASSIVE].of);
}

void build_health(struct builder *b, struct service_model *s, const struct field *f)
{
	struct field fields[KEYS] = {
		[CHECK] = {.key = "check", .required = "check: http (or https, tcp, grpc), or check: none"},
		[PORT] = {.key = "port"},
		[PATH] = {.key = "path"},
		[SERVICE] = {.key = "service"},
		[VERIFY] = {.key = "verify"},
		[INTERVAL] = {.key = "interval"},
		[TIMEOUT] = {.key = "timeout"},
		[RISE] = {.key = "rise"},
		[FALL] = {.key = "fall"},
		[PASSIVE] = {.key = "passive"},
	};
	struct health_model *h = &s->health;
	char title[NAME_SIZE + 32];
	int choice = HEALTH_NONE;
	uint32_t port = 0;

	*h = (struct health_model){.interval_ms = 2000, .timeout_ms = 1000, .rise = 2, .fall = 3};
	snprintf(title, sizeof(title), "health of %s", s->name);
	if (reader_fields(b->reader, f, title, fields, KEYS))
		return;
	read_times(b, h, fields);
	reader_number(b->reader, &fields[PORT], 1, UINT16_MAX, &port);
	reader_number(b->reader, &fields[RISE], 1, STREAK_MAX, &h->rise);
	reader_number(b->reader, &fields[FALL], 1, STREAK_MAX, &h->fall);
	reader_number(b->reader, &fields[PASSIVE], 0, PASSIVE_MAX, &h->passive);
	h->port = port;
	if (reader_choice(b->reader, &fields[CHECK], checks, ARRAY_SIZE(checks), &choice))
		return;
	h->check = choice;
	read_request(b, h, fields);
	check_health(b, s, fields);
}
