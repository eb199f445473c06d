// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* HTTP, HTTPS and gRPC checks. */
#include <errno.h>
#include <string.h>

#include "checker_grpc.h"
#include "checker_parts.h"

#define RECEIVED_MAX 65536U /* what comes after that is not waited for */

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
	switch (code) {
	case CURLE_OK:
		return check->kind == HEALTH_GRPC ? judge_grpc(check, text) : judge_status(check, 399, text);
	case CURLE_WRITE_ERROR:
		/* We stopped reading. */
		return check->kind == HEALTH_GRPC ? "its answer is too long" : judge_status(check, 399, text);
	default:
		return curl_loop_why(check->easy, code, check->timeout_ms, check->error, text);
	}
}

void http_check_ended(void *context, CURLcode code)
{
	struct check *check = context;
	char text[WHY_SIZE];

	check_end(check, judge(check, code, text));
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

	curl_loop_prepare(easy, check->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, check);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, check->error);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
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
	return curl_loop_add(check->checker->curl, check->easy);
}

void http_check_release(struct check *check)
{
	if (check->easy) {
		curl_loop_remove(check->checker->curl, check->easy);
		curl_easy_cleanup(check->easy);
	}
	curl_slist_free_all(check->headers);
}
