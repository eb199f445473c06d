// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "curl_loop.h"

#include <errno.h>
#include <sys/epoll.h>

#define ACCURACY_US 1000U
#define BUFFER_BYTES 4096L /* for each transfer; curl's own choice is 16 KiB */

struct curl_loop {
	sd_event *event;
	CURLM *multi;
	sd_event_source *timer; /* curl's one */
	curl_ended_function ended;
};

/* Hands over what curl is done with. */
static void collect(struct curl_loop *l)
{
	const CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(l->multi, &left))) {
		CURLcode code = message->data.result;
		void *context = NULL;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &context);
		l->ended(context, code);
	}
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct curl_loop *l = context;
	int what = 0, running;

	(void)source;
	if (events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	/* Reading tells what the error is; by CURL_CSELECT_ERR alone curl would only know that there is one. */
	if (events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
	curl_multi_socket_action(l->multi, fd, what, &running);
	collect(l);
	return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *context)
{
	struct curl_loop *l = context;
	int running;

	(void)source;
	(void)usec;
	curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(l);
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
	struct curl_loop *l = context;
	sd_event_source *source = watch;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		sd_event_source_disable_unref(source);
		return 0;
	}
	if (source)
		return sd_event_source_set_io_events(source, events[what]) < 0 ? -1 : 0;
	if (sd_event_add_io(l->event, &source, fd, events[what], on_ready, l) < 0)
		return -1;
	curl_multi_assign(l->multi, fd, source);
	return 0;
}

static int on_timer_set(CURLM *multi, long timeout_ms, void *context)
{
	struct curl_loop *l = context;

	(void)multi;
	if (timeout_ms < 0)
		return sd_event_source_set_enabled(l->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
	if (sd_event_source_set_time_relative(l->timer, timeout_ms * 1000ULL) < 0 ||
	    sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT) < 0)
		return -1;
	return 0;
}

int curl_loop_create(sd_event *event, curl_ended_function ended, struct curl_loop **ret)
{
	_cleanup_(curl_loop_destroyp) struct curl_loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->event = sd_event_ref(event);
	l->ended = ended;
	r = sd_event_add_time_relative(event, &l->timer, CLOCK_MONOTONIC, 0, ACCURACY_US, on_time, l);
	if (r >= 0)
		r = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	l->multi = curl_multi_init();
	if (!l->multi) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer_set);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING); /* a connection for each transfer */
	*ret = TAKE_PTR(l);
	return 0;
}

void curl_loop_destroy(struct curl_loop *l)
{
	if (!l)
		return;
	if (l->multi) {
		curl_multi_cleanup(l->multi);
		curl_global_cleanup();
	}
	sd_event_source_disable_unref(l->timer);
	sd_event_unref(l->event);
	free(l);
}

void curl_loop_prepare(CURL *easy, uint32_t timeout_ms)
{
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "headgate/" HEADGATE_VERSION);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
}

int curl_loop_add(struct curl_loop *l, CURL *easy)
{
	return curl_multi_add_handle(l->multi, easy) ? -ENOMEM : 0;
}

void curl_loop_remove(struct curl_loop *l, CURL *easy)
{
	curl_multi_remove_handle(l->multi, easy);
}

const char *curl_loop_why(CURL *easy, CURLcode code, uint32_t timeout_ms, const char *detail, char text[WHY_SIZE])
{
	long error = 0;

	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return why_late(timeout_ms, text);
	case CURLE_COULDNT_CONNECT:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error);
		if (error)
			return why_errno(error, text);
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
		return "its name cannot be resolved";
	case CURLE_GOT_NOTHING:
		return "closed without an answer";
	case CURLE_PARTIAL_FILE:
		return "closed within its answer";
	default:
		break;
	}
	snprintf(text, WHY_SIZE, "%s", detail[0] ? detail : curl_easy_strerror(code));
	return text;
}
