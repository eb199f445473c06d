// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "requests.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>

#include "curl_loop.h"
#include "text.h"

#define ANSWER_FIRST_BYTES 4096U

struct request {
	LIST_ENTRY(request) link;
	struct requests *requests;
	answered_function done;
	void *context;
	uint32_t timeout_ms;
	CURL *easy;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	char *body; /* what was answered so far, and room for a NUL */
	size_t length, size;
	bool out_of_memory;
};

struct requests {
	struct curl_loop *curl;
	LIST_HEAD(, request) in_flight;
};

static void request_free(struct request *q)
{
	if (!q)
		return;
	if (q->easy) {
		curl_loop_remove(q->requests->curl, q->easy);
		curl_easy_cleanup(q->easy);
	}
	curl_slist_free_all(q->headers);
	free(q->body);
	free(q);
}
DEFINE_CLEANUP(struct request, request_free)

/* --- what was answered --- */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct request *q = context;
	size_t length = size * count;

	if (length > REQUEST_ANSWER_MAX - q->length)
		return 0;
	if (q->length + length >= q->size) {
		size_t more = q->size ? q->size : ANSWER_FIRST_BYTES;
		char *body;

		while (q->length + length >= more)
			more *= 2;
		body = realloc(q->body, more);
		if (!body) {
			q->out_of_memory = true;
			return 0;
		}
		q->body = body;
		q->size = more;
	}
	memcpy(q->body + q->length, data, length);
	q->length += length;
	q->body[q->length] = '\0';
	return length;
}

/* NULL: there is an answer. */
static const char *what_failed(const struct request *q, CURLcode code, long status, char text[WHY_SIZE])
{
	switch (code) {
	case CURLE_OK:
		if (status < 300 || status >= 400)
			return NULL;
		snprintf(text, WHY_SIZE, "status %ld: redirects are not followed", status);
		return text;
	case CURLE_WRITE_ERROR:
	case CURLE_FILESIZE_EXCEEDED:
		if (q->out_of_memory)
			return "out of memory";
		snprintf(text, WHY_SIZE, "its answer is longer than %u bytes", REQUEST_ANSWER_MAX);
		return text;
	default:
		return curl_loop_why(q->easy, code, q->timeout_ms, q->error, text);
	}
}

static void on_ended(void *context, CURLcode code)
{
	_cleanup_(request_freep) struct request *q = context;
	struct answer answer = {.body = q->body ?: "", .length = q->length};
	char text[WHY_SIZE];

	curl_easy_getinfo(q->easy, CURLINFO_EFFECTIVE_URL, &answer.url);
	curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	answer.error = what_failed(q, code, answer.status, text);
	LIST_REMOVE(q, link);
	q->done(q->context, &answer);
}

const char *answer_trouble(const struct answer *answer, char text[WHY_SIZE])
{
	if (answer->error)
		return answer->error;
	if (answer->status >= 200 && answer->status < 300)
		return NULL;
	snprintf(text, WHY_SIZE, "status %ld", answer->status);
	return text;
}

char *url_shown(const char *url, bool path, char ret[URL_SHOWN_SIZE])
{
	const char *host = strstr(url, "://");
	const char *end, *at;
	char whole[WHY_SIZE];

	host = host ? host + 3 : url;
	end = host + strcspn(host, "/?#");
	at = memrchr(host, '@', end - host);
	if (path)
		end += strcspn(end, "?#");
	snprintf(whole, sizeof(whole), "%.*s%.*s", (int)(host - url), url, (int)(end - (at ? at + 1 : host)),
		 at ? at + 1 : host);
	return text_show(whole, ret, URL_SHOWN_SIZE);
}

/* --- asking --- */

static int add_header(struct request *q, const char *header)
{
	struct curl_slist *headers = curl_slist_append(q->headers, header);

	if (!headers)
		return -ENOMEM;
	q->headers = headers;
	return 0;
}

static int set_body(struct request *q, const char *body)
{
	curl_easy_setopt(q->easy, CURLOPT_POST, 1L);
	if (curl_easy_setopt(q->easy, CURLOPT_COPYPOSTFIELDS, body))
		return -ENOMEM;
	return add_header(q, "Content-Type: application/json");
}

static int prepare(struct request *q, const char *url, const char *body)
{
	CURL *easy = q->easy;

	curl_loop_prepare(easy, q->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, q);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, q->error);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_MAXFILESIZE, (long)REQUEST_ANSWER_MAX);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, q);
	/* Without a folder of authorities beside their file curl reads them once a day and not, for some 30 ms in which
	 * the loop stands still, for each request. */
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	/* Or the loop would stand still when the time is over until a DNS server that does not answer is given up. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	if (curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") || curl_easy_setopt(easy, CURLOPT_URL, url) ||
	    add_header(q, "Accept: application/json") || add_header(q, "Connection: close") ||
	    (body && set_body(q, body)))
		return -ENOMEM;
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, q->headers);
	return 0;
}

int request_start(struct requests *r, const char *url, const char *body, uint32_t timeout_ms, answered_function done,
		  void *context, struct request **ret)
{
	_cleanup_(request_freep) struct request *q = calloc(1, sizeof(*q));
	int err;

	if (!q)
		return -ENOMEM;
	*q = (struct request){
		.requests = r,
		.done = done,
		.context = context,
		.timeout_ms = timeout_ms,
		.easy = curl_easy_init(),
	};
	if (!q->easy)
		return -ENOMEM;
	err = prepare(q, url, body);
	if (!err)
		err = curl_loop_add(r->curl, q->easy);
	if (err)
		return err;
	LIST_INSERT_HEAD(&r->in_flight, q, link);
	if (ret)
		*ret = q;
	q = NULL;
	return 0;
}

void request_cancel(struct request *q)
{
	if (!q)
		return;
	LIST_REMOVE(q, link);
	request_free(q);
}

int requests_create(sd_event *event, struct requests **ret)
{
	_cleanup_(requests_destroyp) struct requests *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	LIST_INIT(&r->in_flight);
	err = curl_loop_create(event, on_ended, &r->curl);
	if (err)
		return err;
	*ret = TAKE_PTR(r);
	return 0;
}

void requests_destroy(struct requests *r)
{
	if (!r)
		return;
	while (!LIST_EMPTY(&r->in_flight))
		request_cancel(LIST_FIRST(&r->in_flight));
	curl_loop_destroy(r->curl);
	free(r);
}
