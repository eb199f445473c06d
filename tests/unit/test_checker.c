// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* TCP and HTTP checks of real sockets, and what a checker promises of each check. TLS, gRPC: test_checker_servers.c. */
#include "checker_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/resource.h>

#define LATE_MS 100
#define LATE "no answer in 100 ms"
#define FDS 1024
#define MANY 300

/* --- servers ------------------------------------------------------------------------------------------------------
 */

/* A socket bound to a free port of 127.0.0.1 or ::1. */
static int bind_free(int family, uint16_t *ret_port)
{
	struct sockaddr_in6 address = {.sin6_family = family};
	socklen_t size = sizeof(address);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (family == AF_INET)
		((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		address.sin6_addr = in6addr_loopback;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, family == AF_INET ? 16 : sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin6_port); /* the same place in both families */
	return fd;
}

/* Connections are accepted by the kernel, and nothing is ever answered. */
static int listen_silently(int backlog, uint16_t *ret_port)
{
	int fd = bind_free(AF_INET, ret_port);

	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

struct http_server {
	int fd;
	uint16_t port;
	pthread_t thread;
	char request[4096]; /* the last one; stable once its check has ended */
	int held;           /* a connection that stays open, unanswered */
};

static void say(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void say_for_ever(int fd, const char *text)
{
	while (send(fd, text, strlen(text), MSG_NOSIGNAL) > 0)
		;
}

/* The path says how to answer. Returns whether to close the connection. */
static bool answer(int fd, const char *request)
{
	static const struct {
		const char *path, *answer, *again;
		bool held;
	} answers[] = {
		{.path = "GET /200 ", .answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		{.path = "GET /204 ", .answer = "HTTP/1.1 204 No Content\r\n\r\n"},
		{.path = "GET /302 ", .answer = "HTTP/1.1 302 Found\r\nLocation: /503\r\nContent-Length: 0\r\n\r\n"},
		{.path = "GET /400 ", .answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"},
		{.path = "GET /404 ", .answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
		{.path = "GET /503 ", .answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"},
		{.path = "GET /silent ", .answer = "", .held = true},
		{.path = "GET /half ", .answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok", .held = true},
		{.path = "GET /closed ", .answer = ""},
		{.path = "GET /other ", .answer = "SSH-2.0-OpenSSH_9.2\r\n"},
		{.path = "GET /body ",
		 .answer = "HTTP/1.1 200 OK\r\n\r\n",
		 .again = "0123456789012345678901234567890123456789"},
		{.path = "GET /body503 ",
		 .answer = "HTTP/1.1 503 Busy\r\n\r\n",
		 .again = "0123456789012345678901234567890123456789"},
		{.path = "GET /headers ",
		 .answer = "HTTP/1.1 200 OK\r\n",
		 .again = "X-Header: 0123456789012345678901234567890123456789\r\n"},
		{.path = "GET /a/../b//c?d=/../e ", .answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		if (strncmp(request, answers[i].path, strlen(answers[i].path)))
			continue;
		say(fd, answers[i].answer);
		if (answers[i].again)
			say_for_ever(fd, answers[i].again);
		return !answers[i].held;
	}
	return true;
}

static void *serve(void *context)
{
	struct http_server *s = context;
	int fd;

	/* Shutting the socket down ends this; that a test left the process without files for a moment does not. */
	while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == EMFILE) {
		size_t length = 0;
		ssize_t got;

		if (fd < 0)
			continue;
		memset(s->request, 0, sizeof(s->request));
		while (!strstr(s->request, "\r\n\r\n") &&
		       (got = read(fd, s->request + length, sizeof(s->request) - 1 - length)) > 0)
			length += got;
		if (answer(fd, s->request)) {
			close(fd);
			continue;
		}
		if (s->held >= 0)
			close(s->held);
		s->held = fd;
	}
	return NULL;
}

static struct http_server server = {.held = -1};

static int start_server(void **state)
{
	(void)state;
	server.fd = bind_free(AF_INET, &server.port);
	if (listen(server.fd, 128) || pthread_create(&server.thread, NULL, serve, &server))
		return -1;
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	if (server.held >= 0)
		close(server.held);
	return 0;
}

/* --- TCP ----------------------------------------------------------------------------------------------------------
 */

static void a_connection_that_is_accepted_is_good(void **state)
{
	static const struct {
		int family;
		const char *address;
	} cases[] = {{AF_INET, "127.0.0.1"}, {AF_INET6, "::1"}};
	struct health_model tcp = model(HEALTH_TCP, "");
	struct verdict v;
	uint16_t port;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = bind_free(cases[i].family, &port);

		assert_int_equal(listen(fd, 16), 0);
		assert_string_equal(check(*state, &tcp, cases[i].address, port, &v), "good");
		close(fd);
	}
}

static void a_tcp_check_ends_with_a_reset(void **state)
{
	struct health_model tcp = model(HEALTH_TCP, "");
	struct verdict v;
	uint16_t port;
	int fd = listen_silently(16, &port), connection;
	char byte;

	assert_string_equal(check(*state, &tcp, "127.0.0.1", port, &v), "good");
	connection = accept(fd, NULL, NULL);
	assert_true(connection >= 0);
	assert_int_equal(read(connection, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(connection);
	close(fd);
}

static void a_connection_that_is_refused_is_bad(void **state)
{
	static const enum health_check kinds[] = {HEALTH_TCP, HEALTH_HTTP, HEALTH_HTTPS, HEALTH_GRPC};
	struct verdict v;
	uint16_t port;
	int fd = bind_free(AF_INET, &port); /* not listening */

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct health_model m = model(kinds[i], kinds[i] == HEALTH_GRPC ? "" : "/");

		assert_string_equal(check(*state, &m, "127.0.0.1", port, &v), "connection refused");
	}
	close(fd);
}

static void an_address_without_a_route_is_bad(void **state)
{
	static const enum health_check kinds[] = {HEALTH_TCP, HEALTH_HTTP};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct health_model m = model(kinds[i], "/");
		struct endpoint backend = {.port = 80};

		/* No connection leads to the broadcast address, whatever routes there are. */
		assert_int_equal(address_parse("255.255.255.255", &backend.address), 0);
		memset(&v, 0, sizeof(v));
		assert_int_equal(checker_start(((struct loop *)*state)->checker, &m, &backend, on_verdict, &v), 0);
		assert_int_equal(v.calls, 0);
		await(*state, &v, 1);
		assert_string_not_equal(v.why, "good");
		assert_non_null(strstr(v.why, "network is unreachable"));
	}
}

static void a_connection_that_is_not_answered_is_bad_in_time(void **state)
{
	static const enum health_check kinds[] = {HEALTH_TCP, HEALTH_HTTP, HEALTH_HTTPS, HEALTH_GRPC};
	struct verdict v;
	uint16_t port;
	/* The kernel drops what does not fit the queue of connections that nobody accepts. */
	int fd = listen_silently(0, &port), queued = connect_to(port);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct health_model m = model(kinds[i], kinds[i] == HEALTH_GRPC ? "" : "/");
		uint64_t begin_ms = now_ms();

		m.timeout_ms = LATE_MS;
		assert_string_equal(check(*state, &m, "127.0.0.1", port, &v), LATE);
		assert_true(now_ms() - begin_ms >= LATE_MS - 1);
	}
	close(queued);
	close(fd);
}

/* --- HTTP ---------------------------------------------------------------------------------------------------------
 */

static void an_http_check_is_judged_by_its_status(void **state)
{
	static const struct {
		const char *path, *why;
	} cases[] = {
		{"/200", "good"},
		{"/204", "good"},
		{"/302", "good"},
		{"/400", "status 400"},
		{"/404", "status 404"},
		{"/503", "status 503"},
		/* What is sent without end is not waited for. */
		{"/body", "good"},
		{"/body503", "status 503"},
		{"/headers", "good"},
		{"/closed", "closed without an answer"},
		{"/other", "Received HTTP/0.9 when not allowed"},
	};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct health_model http = model(HEALTH_HTTP, cases[i].path);

		assert_string_equal(check(*state, &http, "127.0.0.1", server.port, &v), cases[i].why);
	}
}

static void an_answer_that_is_late_is_bad(void **state)
{
	static const char *const paths[] = {"/silent", "/half"};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct health_model http = model(HEALTH_HTTP, paths[i]);

		http.timeout_ms = LATE_MS;
		assert_string_equal(check(*state, &http, "127.0.0.1", server.port, &v), LATE);
	}
}

static void a_whole_second_is_said_as_seconds(void **state)
{
	struct health_model http = model(HEALTH_HTTP, "/silent");
	struct verdict v;

	http.timeout_ms = 1000;
	assert_string_equal(check(*state, &http, "127.0.0.1", server.port, &v), "no answer in 1 s");
}

static void a_request_says_who_asks_and_is_as_it_was_configured(void **state)
{
	struct health_model http = model(HEALTH_HTTP, "/a/../b//c?d=/../e");
	struct verdict v;
	char want[512];

	snprintf(want, sizeof(want),
		 "GET /a/../b//c?d=/../e HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: headgate/" HEADGATE_VERSION
		 "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		 server.port);
	assert_string_equal(check(*state, &http, "127.0.0.1", server.port, &v), "good");
	assert_string_equal(server.request, want);
}

static void an_ipv6_backend_is_asked_by_its_address(void **state)
{
	struct health_model http = model(HEALTH_HTTP, "/200");
	struct http_server six = {.held = -1};
	struct verdict v;
	char want[64];

	six.fd = bind_free(AF_INET6, &six.port);
	assert_int_equal(listen(six.fd, 16), 0);
	assert_int_equal(pthread_create(&six.thread, NULL, serve, &six), 0);
	assert_string_equal(check(*state, &http, "::1", six.port, &v), "good");
	snprintf(want, sizeof(want), "\r\nHost: [::1]:%u\r\n", six.port);
	assert_non_null(strstr(six.request, want));
	shutdown(six.fd, SHUT_RDWR);
	pthread_join(six.thread, NULL);
	close(six.fd);
}

static void the_environment_names_no_proxy(void **state)
{
	struct health_model http = model(HEALTH_HTTP, "/200");
	struct verdict v;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	assert_string_equal(check(*state, &http, "127.0.0.1", server.port, &v), "good");
	unsetenv("http_proxy");
	unsetenv("all_proxy");
}

static void another_port_is_checked_where_one_is_configured(void **state)
{
	struct health_model http = model(HEALTH_HTTP, "/200"), tcp = model(HEALTH_TCP, "");
	struct verdict v;

	http.port = tcp.port = server.port;
	assert_string_equal(check(*state, &http, "127.0.0.1", 1, &v), "good");
	assert_string_equal(check(*state, &tcp, "127.0.0.1", 1, &v), "good");
}

/* --- what holds for each check ------------------------------------------------------------------------------------
 */

/* Which descriptors are TCP sockets; those of the server's thread come and go by themselves. */
static void find_sockets(bool found[FDS])
{
	for (int fd = 0; fd < FDS; fd++) {
		int protocol = 0;
		socklen_t size = sizeof(protocol);

		found[fd] = !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) && protocol == IPPROTO_TCP;
	}
}

static int mark_of(int fd)
{
	int mark = -1;
	socklen_t size = sizeof(mark);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &size), 0);
	return mark;
}

static void sockets_are_marked_and_not_inherited(void **state)
{
	static const enum health_check kinds[] = {HEALTH_TCP, HEALTH_HTTP, HEALTH_HTTPS, HEALTH_GRPC};
	struct loop *l = *state;
	struct endpoint backend;
	struct verdict v;
	int fd = listen_silently(0, &backend.port), queued = connect_to(backend.port), value = MARK;
	/* None, where we are not allowed to mark. */
	int want = setsockopt(queued, SOL_SOCKET, SO_MARK, &value, sizeof(value)) ? 0 : MARK;
	bool before[FDS], during[FDS], after[FDS];

	assert_int_equal(address_parse("127.0.0.1", &backend.address), 0);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct health_model m = model(kinds[i], kinds[i] == HEALTH_GRPC ? "" : "/");
		int socket = 0;

		find_sockets(before);
		m.timeout_ms = LATE_MS;
		memset(&v, 0, sizeof(v));
		assert_int_equal(checker_start(l->checker, &m, &backend, on_verdict, &v), 0);
		assert_true(sd_event_run(l->event, 10000) >= 0);
		find_sockets(during);
		while (socket < FDS && (before[socket] || !during[socket]))
			socket++;
		assert_in_range(socket, 0, FDS - 1);
		assert_int_equal(mark_of(socket), want);
		assert_int_equal(fcntl(socket, F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(socket, F_GETFL) & O_NONBLOCK);
		await(l, &v, 1);
		/* And it is gone with its check. */
		find_sockets(after);
		assert_false(after[socket]);
	}
	close(queued);
	close(fd);
}

static void many_checks_wait_at_the_same_time(void **state)
{
	static const enum health_check kinds[] = {HEALTH_TCP, HEALTH_HTTP, HEALTH_GRPC};
	static struct verdict verdicts[MANY];
	struct loop *l = *state;
	struct endpoint backend;
	int fd = listen_silently(0, &backend.port), queued = connect_to(backend.port);
	uint64_t begin_ms = now_ms();

	memset(verdicts, 0, sizeof(verdicts));
	assert_int_equal(address_parse("127.0.0.1", &backend.address), 0);
	for (size_t i = 0; i < MANY; i++) {
		struct health_model m = model(kinds[i % 3], kinds[i % 3] == HEALTH_GRPC ? "" : "/");

		m.timeout_ms = LATE_MS;
		assert_int_equal(checker_start(l->checker, &m, &backend, on_verdict, &verdicts[i]), 0);
	}
	await(l, verdicts, MANY);
	/* One after the other would take 30 s. */
	assert_true(now_ms() - begin_ms < MANY * LATE_MS / 4);
	assert_true(sd_event_run(l->event, 0) >= 0);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(verdicts[i].calls, 1);
		assert_string_equal(verdicts[i].why, LATE);
	}
	close(queued);
	close(fd);
}

struct chain {
	struct loop *loop;
	struct health_model models[3];
	size_t next;
	struct verdict last;
};

static void on_link(void *context, const char *why)
{
	struct endpoint backend = {.port = server.port};
	struct chain *c = context;

	assert_null(why);
	assert_int_equal(address_parse("127.0.0.1", &backend.address), 0);
	if (c->next == ARRAY_SIZE(c->models))
		on_verdict(&c->last, why);
	else
		assert_int_equal(checker_start(c->loop->checker, &c->models[c->next++], &backend, on_link, c), 0);
}

static void the_end_of_a_check_may_begin_the_next(void **state)
{
	struct chain c = {
		.loop = *state,
		.models = {model(HEALTH_HTTP, "/200"), model(HEALTH_TCP, ""), model(HEALTH_HTTP, "/302")},
	};

	on_link(&c, NULL);
	await(*state, &c.last, 1);
	assert_int_equal(c.next, 3);
}

static void a_checker_that_is_destroyed_calls_nobody(void **state)
{
	static const enum health_check kinds[] = {HEALTH_TCP, HEALTH_HTTP, HEALTH_HTTPS, HEALTH_GRPC};
	struct loop *l = *state;
	struct verdict verdicts[ARRAY_SIZE(kinds)] = {};
	struct endpoint backend;
	int fd = listen_silently(0, &backend.port), queued = connect_to(backend.port);
	bool before[FDS], after[FDS];

	assert_int_equal(address_parse("127.0.0.1", &backend.address), 0);
	find_sockets(before);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct health_model m = model(kinds[i], kinds[i] == HEALTH_GRPC ? "" : "/");

		assert_int_equal(checker_start(l->checker, &m, &backend, on_verdict, &verdicts[i]), 0);
		/* Half of them have begun to connect. */
		if (i == 1)
			assert_true(sd_event_run(l->event, 10000) >= 0);
	}
	checker_destroy(TAKE_PTR(l->checker));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		assert_int_equal(verdicts[i].calls, 0);
	find_sockets(after);
	for (size_t i = 0; i < FDS; i++)
		assert_false(after[i] && !before[i]);
	close(queued);
	close(fd);
}

static void a_lack_of_sockets_is_not_the_backends_fault(void **state)
{
	static const enum health_check kinds[] = {HEALTH_TCP, HEALTH_HTTP};
	struct loop *l = *state;
	struct endpoint backend = {.port = server.port};
	struct verdict v = {};
	struct rlimit limit, none;

	assert_int_equal(address_parse("127.0.0.1", &backend.address), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct health_model m = model(kinds[i], "/200");
		int err;

		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		err = checker_start(l->checker, &m, &backend, on_verdict, &v);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		assert_int_equal(err, -EMFILE);
		assert_true(sd_event_run(l->event, 0) >= 0);
		assert_int_equal(v.calls, 0);
		assert_string_equal(check(l, &m, "127.0.0.1", server.port, &v), "good");
		v.calls = 0;
	}
}

static void no_check_is_nothing_to_start(void **state)
{
	struct health_model none = model(HEALTH_NONE, "");
	struct endpoint backend = {.port = server.port};
	struct verdict v = {};

	assert_int_equal(checker_start(((struct loop *)*state)->checker, &none, &backend, on_verdict, &v), -EINVAL);
	assert_int_equal(v.calls, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_open, loop_close)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_connection_that_is_accepted_is_good),
		TEST(a_tcp_check_ends_with_a_reset),
		TEST(a_connection_that_is_refused_is_bad),
		TEST(an_address_without_a_route_is_bad),
		TEST(a_connection_that_is_not_answered_is_bad_in_time),
		TEST(an_http_check_is_judged_by_its_status),
		TEST(an_answer_that_is_late_is_bad),
		TEST(a_whole_second_is_said_as_seconds),
		TEST(a_request_says_who_asks_and_is_as_it_was_configured),
		TEST(an_ipv6_backend_is_asked_by_its_address),
		TEST(the_environment_names_no_proxy),
		TEST(another_port_is_checked_where_one_is_configured),
		TEST(sockets_are_marked_and_not_inherited),
		TEST(many_checks_wait_at_the_same_time),
		TEST(the_end_of_a_check_may_begin_the_next),
		TEST(a_checker_that_is_destroyed_calls_nobody),
		TEST(a_lack_of_sockets_is_not_the_backends_fault),
		TEST(no_check_is_nothing_to_start),
	};

	leave_network();
	return cmocka_run_group_tests_name("checks", tests, start_server, stop_server);
}
