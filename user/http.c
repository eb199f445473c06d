// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "api.h"
#include "errands.h"
#include "snapshot.h"

#define CONNECTIONS_MAX 512U /* so that some silent ones keep nobody out */
#define CONNECTION_TIMEOUT_S 10U
#define BODY_DISCARDED_MAX                                                                                             \
	(256U << 20) /* a body that is too large is read to here, so that its sender gets the answer */

struct http {
	struct daemon *daemon;
	struct MHD_Daemon *server;
	sd_event_source *readable;
	sd_event_source *timer;
	struct errands *errands; /* of the control socket */
	struct arrival *waiting; /* for an errand */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;
};

/* A request whose body is still arriving, or whose answer is still being made. */
struct arrival {
	struct http *http;
	struct MHD_Connection *connection;
	struct arrival *next; /* that waits for an errand */
	bool answered;
	char *answer; /* NULL: the errand failed */
	char *body;
	size_t bytes;
	bool too_large;
};

/* @text: to be freed; NULL: memory ran out. */
static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned int status, char *text)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (!text)
		text = strdup("{\"error\": \"out of memory, or what was asked for cannot be read\"}");
	if (!text)
		return MHD_NO;
	response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", "application/json");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;

	json_decref(body);
	return answer_text(connection, status, text);
}

static enum MHD_Result answer_too_large(struct MHD_Connection *connection)
{
	return answer(connection, 413,
		      json_pack("{s:o}", "error", json_sprintf("the body is larger than %u bytes", API_BODY_MAX)));
}

static const char *query(void *context, const char *name)
{
	const struct arrival *arrival = context;

	return MHD_lookup_connection_value(arrival->connection, MHD_GET_ARGUMENT_KIND, name);
}

static void identify_peer(struct MHD_Connection *connection, struct api_request *request)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return;
	request->peer_pid = peer.pid;
	request->peer_uid = peer.uid;
}

static unsigned long long announced_bytes(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");

	return length ? strtoull(length, NULL, 10) : 0;
}

/* --- answers that come later --- */

static void resume(struct arrival *arrival)
{
	struct arrival **place = &arrival->http->waiting;

	while (*place != arrival)
		place = &(*place)->next;
	*place = arrival->next;
	arrival->answered = true;
	MHD_resume_connection(arrival->connection);
}

static void on_errand_done(void *context, char *text)
{
	struct arrival *arrival = context;
	struct http *h = arrival->http;

	arrival->answer = text;
	resume(arrival);
	/* A resumed connection wakes nobody by itself. */
	sd_event_source_set_time_relative(h->timer, 0);
	sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
}

/* The connection waits until the errand is done; nothing of it ends meanwhile. */
static int answer_later(void *context, char *(*work)(void *input), void *input)
{
	struct arrival *arrival = context;
	int error = errands_start(arrival->http->errands, work, input, on_errand_done, arrival);

	if (error)
		return error;
	arrival->next = arrival->http->waiting;
	arrival->http->waiting = arrival;
	MHD_suspend_connection(arrival->connection);
	return 0;
}

/* Keeps a part of a body. */
static enum MHD_Result take_upload(struct arrival *arrival, const char *data, size_t *bytes)
{
	char *longer;

	if (arrival->bytes + *bytes > API_BODY_MAX)
		arrival->too_large = true;
	arrival->bytes += *bytes;
	if (arrival->bytes > BODY_DISCARDED_MAX)
		return MHD_NO;
	if (!arrival->too_large) {
		longer = realloc(arrival->body, arrival->bytes);
		if (!longer)
			return MHD_NO;
		memcpy(longer + arrival->bytes - *bytes, data, *bytes);
		arrival->body = longer;
	}
	*bytes = 0;
	return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_bytes, void **state)
{
	struct http *h = context;
	struct arrival *arrival = *state;
	struct api_request request = {
		.method = method, .path = url, .query = query, .later = answer_later, .context = arrival};
	unsigned int status;
	json_t *body;

	(void)version;
	if (!arrival) {
		/* Refused before it is sent, where its length is said: libmicrohttpd then reads none of it. */
		if (announced_bytes(connection) > API_BODY_MAX)
			return answer_too_large(connection);
		arrival = *state = calloc(1, sizeof(*arrival));
		if (!arrival)
			return MHD_NO;
		arrival->http = h;
		arrival->connection = connection;
		return MHD_YES;
	}
	if (arrival->answered) {
		/* Not in the call: what is taken in one argument may be gone in another. */
		status = arrival->answer ? 200 : 500;
		return answer_text(connection, status, TAKE_PTR(arrival->answer));
	}
	if (*upload_bytes)
		return take_upload(arrival, upload, upload_bytes);
	if (arrival->too_large)
		return answer_too_large(connection);
	request.body = arrival->body;
	request.body_bytes = arrival->bytes;
	identify_peer(connection, &request);
	status = api_handle(h->daemon, &request, &body);
	if (status == API_LATER)
		return MHD_YES;
	return answer(connection, status, body);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct http *h = context;
	struct arrival *arrival = *state;

	(void)connection;
	(void)code;
	if (arrival) {
		free(arrival->body);
		free(arrival->answer);
	}
	free(arrival);
	*state = NULL;
	if (h->daemon->ending)
		sd_event_exit(h->daemon->event, 0);
}

/* --- the event loop --- */

static void run(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	MHD_run(h->server);
	if (MHD_get_timeout(h->server, &wait_ms) != MHD_YES)
		return;
	sd_event_source_set_time_relative(h->timer, wait_ms * 1000);
	sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *context)
{
	(void)source;
	(void)fd;
	(void)events;
	run(context);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	(void)source;
	(void)usec;
	run(context);
	return 0;
}

/* --- the socket --- */

static int make_parent(const char *path)
{
	char parent[PATH_MAX];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return 0;
	*slash = '\0';
	return mkdir(parent, 0755) && errno != EEXIST ? -errno : 0;
}

/* Removes a socket that nobody listens on. -EADDRINUSE when somebody does. */
static int clear_stale(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return -EADDRINUSE;
	if (errno == ENOENT)
		return 0;
	return unlink(address->sun_path) && errno != ENOENT ? -errno : 0;
}

/* The group headgate, where there is one, may steer without being root. */
static void set_owner(const char *path)
{
	const struct group *group = getgrnam("headgate");

	if (group && chown(path, 0, group->gr_gid))
		return;
	chmod(path, 0660);
}

static int open_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	int error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	error = make_parent(path);
	if (!error)
		error = clear_stale(&address);
	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	set_owner(path);
	if (listen(fd, 64))
		return -errno;
	return TAKE_FD(fd);
}

static int start_server(struct http *h, MHD_AccessHandlerCallback handler)
{
	const union MHD_DaemonInfo *info;
	int error;

	h->server = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handler, h,
				     MHD_OPTION_LISTEN_SOCKET, h->fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
				     MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
				     CONNECTION_TIMEOUT_S, MHD_OPTION_END);
	if (!h->server)
		return -ENOMEM;
	info = MHD_get_daemon_info(h->server, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EINVAL;
	error = sd_event_add_io(h->daemon->event, &h->readable, info->epoll_fd, EPOLLIN, on_readable, h);
	if (error >= 0)
		error = sd_event_add_time_relative(h->daemon->event, &h->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, h);
	return error < 0 ? error : 0;
}

int http_listen(struct daemon *d, const char *path, struct http **ret, struct refusal *why)
{
	struct http *h = calloc(1, sizeof(*h));
	int error;

	if (!h)
		return refuse(why, ENOMEM, "out of memory");
	h->daemon = d;
	h->fd = open_socket(path);
	if (h->fd == -EADDRINUSE)
		error = refuse(why, EADDRINUSE, "another headgated answers on %s; stop it first, or say --socket PATH",
			       path);
	else if (h->fd < 0)
		error = refuse(why, -h->fd, "cannot listen on %s: %s; say --socket PATH", path, strerror(-h->fd));
	else
		error = errands_create(d->event, &h->errands);
	if (!error)
		error = start_server(h, on_request);
	if (error) {
		http_close(h);
		return error;
	}
	snprintf(h->path, sizeof(h->path), "%s", path);
	*ret = h;
	return 0;
}

static enum MHD_Result on_scrape(void *context, struct MHD_Connection *connection, const char *url, const char *method,
				 const char *version, const char *upload, size_t *upload_bytes, void **state)
{
	struct http *h = context;
	struct MHD_Response *response;
	enum MHD_Result result;
	size_t length;
	char *text;

	(void)version;
	(void)upload;
	(void)state;
	if (*upload_bytes) {
		*upload_bytes = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") || strcmp(url, "/metrics"))
		return answer(connection, strcmp(url, "/metrics") ? 404 : 405,
			      json_pack("{s:s}", "error", "only GET /metrics is here"));
	if (snapshot_render(h->daemon, &text, &length))
		return answer(connection, 500, NULL);
	response = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", METRICS_CONTENT_TYPE);
	result = MHD_queue_response(connection, 200, response);
	MHD_destroy_response(response);
	return result;
}

static int bind_loopback(const struct endpoint *at)
{
	bool ipv4 = address_is_ipv4(&at->address);
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(at->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(at->port)};
	_cleanup_close_ int fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	v4.sin_addr.s_addr = at->address.word[3];
	memcpy(&v6.sin6_addr, &at->address, sizeof(v6.sin6_addr));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		return -errno;
	if (ipv4 ? bind(fd, (struct sockaddr *)&v4, sizeof(v4)) : bind(fd, (struct sockaddr *)&v6, sizeof(v6)))
		return -errno;
	if (listen(fd, 16))
		return -errno;
	return TAKE_FD(fd);
}

int http_listen_metrics(struct daemon *d, const struct endpoint *at, struct http **ret, struct refusal *why)
{
	struct http *h = calloc(1, sizeof(*h));
	char text[ADDRESS_TEXT_SIZE];
	int error;

	if (!h)
		return refuse(why, ENOMEM, "out of memory");
	h->daemon = d;
	h->fd = bind_loopback(at);
	if (h->fd < 0)
		error = refuse(why, -h->fd, "cannot serve metrics on %s: %s; change metrics.listen",
			       endpoint_format(&at->address, at->port, text), strerror(-h->fd));
	else
		error = start_server(h, on_scrape);
	if (error) {
		http_close(h);
		return error;
	}
	*ret = h;
	return 0;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	sd_event_source_unref(h->readable);
	sd_event_source_unref(h->timer);
	errands_destroy(h->errands);
	while (h->waiting)
		resume(h->waiting);
	if (h->server)
		MHD_stop_daemon(h->server);
	if (h->path[0])
		unlink(h->path);
	free(h);
}
