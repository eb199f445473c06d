// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* HTTP, HTTPS and gRPC checks: one curl multi handle whose sockets and timer are the event loop's. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "checker_grpc.h"
#include "checker_parts.h"

#define RECEIVED_MAX 65536U /* what comes after that is not waited for */
#define BUFFER_BYTES 4096L  /* for each check in flight; curl's own choice is 16 KiB */

/* --- what was answered --------------------------------------------------------------------------------------------
 */

/* Good is a status from 200 to @last. */
static const char *judge_status(const struct check *check, long last, char text[WHY_SIZE])
{
	long status = 0;

	curl_easy_getinfo(check->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status <= last)
		return NULL;
	snprintf(text, WHY_SIZE, "status %ld", status);
	return text;
}

static const char *judge_grpc(const struct check *check, char text[WHY_SIZE])
{
	const char *why = judge_status(check, 299, text);
	struct curl_header *status;

	if (why)
		return why;
	/* A trailer, but in an answer without a message, where it is a header. */
	if (curl_easy_header(check->easy, "grpc-status", 0, CURLH_HEADER | CURLH_TRAILER, -1, &status))
		return "its answer has no grpc-status";
	if (strcmp(status->value, "0")) {
		snprintf(text, WHY_SIZE, "grpc-status %.32s", status->value);
		return text;
	}
	return grpc_health_judge(check->answer, check->answer_length);
}

static const char *judge(const struct check *check, CURLcode code, char text[WHY_SIZE])
{
	long error = 0;

	switch (code) {
	case CURLE_OK:
		return check->kind == HEALTH_GRPC ? judge_grpc(check, text) : judge_status(check, 399, text);
	case CURLE_WRITE_ERROR:
		/* We stopped reading. */
		return check->kind == HEALTH_GRPC ? "its answer is too long" : judge_status(check, 399, text);
	case CURLE_OPERATION_TIMEDOUT:
		return check_late(check, text);
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(check->easy, CURLINFO_OS_ERRNO, &error);
		if (error)
			return check_errno(error, text);
		break;
	default:
		break;
	}
	snprintf(text, WHY_SIZE, "%s", check->error[0] ? check->error : curl_easy_strerror(code));
	return text;
}

/* Ends what curl is done with. */
static void collect(struct checker *c)
{
	const CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left))) {
		CURLcode code = message->data.result;
		struct check *check = NULL;
		char text[WHY_SIZE];

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &check);
		check_end(check, judge(check, code, text));
	}
}

/* --- curl and the loop --------------------------------------------------------------------------------------------
 */

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct checker *c = context;
	int what = 0, running;

	(void)source;
	if (events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR;
	curl_multi_socket_action(c->multi, fd, what, &running);
	collect(c);
	return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *context)
{
	struct checker *c = context;
	int running;

	(void)source;
	(void)usec;
	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(c);
	return 0;
}

/* What curl waits for at a socket. @watch: what was assigned to it before, NULL at first. Returns 0, or -1: failed. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *watch)
{
	static const uint32_t events[] = {
		[CURL_POLL_NONE] = 0,
		[CURL_POLL_IN] = EPOLLIN,
		[CURL_POLL_OUT] = EPOLLOUT,
		[CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT,
	};
	struct checker *c = context;
	sd_event_source *source = watch;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		sd_event_source_disable_unref(source);
		return 0;
	}
	if (source)
		return sd_event_source_set_io_events(source, events[what]) < 0 ? -1 : 0;
	if (sd_event_add_io(c->event, &source, fd, events[what], on_ready, c) < 0)
		return -1;
	curl_multi_assign(c->multi, fd, source);
	return 0;
}

static int on_timer_set(CURLM *multi, long timeout_ms, void *context)
{
	struct checker *c = context;

	(void)multi;
	if (timeout_ms < 0)
		return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
	if (sd_event_source_set_time_relative(c->timer, timeout_ms * 1000ULL) < 0 ||
	    sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT) < 0)
		return -1;
	return 0;
}

int curl_checks_open(struct checker *c)
{
	int r = sd_event_add_time_relative(c->event, &c->timer, CLOCK_MONOTONIC, 0, CHECK_ACCURACY_US, on_time, c);

	if (r >= 0)
		r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	c->multi = curl_multi_init();
	if (!c->multi) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_set);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING); /* a connection for each check */
	return 0;
}

void curl_checks_close(struct checker *c)
{
	if (c->multi) {
		curl_multi_cleanup(c->multi);
		curl_global_cleanup();
	}
	sd_event_source_disable_unref(c->timer);
}

/* --- one check ----------------------------------------------------------------------------------------------------
 */

static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct check *check = context;

	(void)purpose;
	(void)address;
	return TAKE_FD(check->fd); /* -1 is CURL_SOCKET_BAD */
}

static bool is_too_much(struct check *check, size_t length)
{
	check->received += length;
	return check->received > RECEIVED_MAX;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
	(void)data;
	return is_too_much(context, size * count) ? 0 : size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct check *check = context;
	size_t length = size * count;

	if (is_too_much(check, length))
		return 0;
	if (check->kind != HEALTH_GRPC)
		return length;
	if (length > sizeof(check->answer) - check->answer_length)
		return 0;
	memcpy(check->answer + check->answer_length, data, length);
	check->answer_length += length;
	return length;
}

/* Appends to a check's headers. */
static int add_header(struct check *check, const char *header)
{
	struct curl_slist *headers = curl_slist_append(check->headers, header);

	if (!headers)
		return -ENOMEM;
	check->headers = headers;
	return 0;
}

static int set_url(const struct check *check, const struct endpoint *target, const char *path)
{
	char place[ADDRESS_TEXT_SIZE], url[ADDRESS_TEXT_SIZE + HEALTH_TEXT_SIZE + 16];

	snprintf(url, sizeof(url), "%s://%s%s", check->kind == HEALTH_HTTPS ? "https" : "http",
		 endpoint_format(&target->address, target->port, place), path);
	return curl_easy_setopt(check->easy, CURLOPT_URL, url) ? -ENOMEM : 0;
}

static int set_get(struct check *check)
{
	curl_easy_setopt(check->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	return add_header(check, "Connection: close");
}

static int set_grpc(struct check *check, const char *service)
{
	uint8_t request[GRPC_HEALTH_REQUEST_SIZE];
	size_t length = grpc_health_request(service, request);

	curl_easy_setopt(check->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	curl_easy_setopt(check->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(check->easy, CURLOPT_POSTFIELDSIZE, (long)length);
	if (curl_easy_setopt(check->easy, CURLOPT_COPYPOSTFIELDS, request) ||
	    add_header(check, "Content-Type: application/grpc") || add_header(check, "TE: trailers"))
		return -ENOMEM;
	return 0;
}

/* Options that are the same for each check; redirects are not followed, as curl does unless told. */
static void set_common(struct check *check)
{
	CURL *easy = check->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, check);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, check->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)check->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "headgate/" HEADGATE_VERSION);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, check);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, check);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, check);
	/* No authority is asked, so that none need be read from disk. */
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

int http_check_start(struct check *check, const struct health_model *m, const struct endpoint *target)
{
	bool grpc = check->kind == HEALTH_GRPC;
	int err;

	check->easy = curl_easy_init();
	if (!check->easy)
		return -ENOMEM;
	set_common(check);
	err = set_url(check, target, grpc ? "/grpc.health.v1.Health/Check" : m->path);
	if (!err)
		err = grpc ? set_grpc(check, m->path) : set_get(check);
	if (err)
		return err;
	curl_easy_setopt(check->easy, CURLOPT_HTTPHEADER, check->headers);
	return curl_multi_add_handle(check->checker->multi, check->easy) ? -ENOMEM : 0;
}

void http_check_release(struct check *check)
{
	if (check->easy) {
		curl_multi_remove_handle(check->checker->multi, check->easy);
		curl_easy_cleanup(check->easy);
	}
	curl_slist_free_all(check->headers);
}
