// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Requests to servers that answer well, badly or never, while the loop goes on. */
#include "requests_fixture.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>

#include <jansson.h>

#define MANY 100

struct reply {
	int calls;
	long status;
	char error[320]; /* "" when there was an answer */
	size_t length;
	char body[4096]; /* its beginning */
	char url[256];
};

/* libcurl's resolver, in a thread of its own: this name takes its time. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	static __typeof__(getaddrinfo) *real;

	if (node && !strcmp(node, "slow.invalid"))
		usleep(10 * LATE_MS * 1000);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, ret);
}

static void on_reply(void *context, const struct answer *answer)
{
	struct reply *r = context;

	r->calls++;
	r->status = answer->status;
	r->length = answer->length;
	snprintf(r->error, sizeof(r->error), "%s", answer->error ?: "");
	snprintf(r->body, sizeof(r->body), "%s", answer->body);
	snprintf(r->url, sizeof(r->url), "%s", answer->url);
	assert_int_equal(answer->body[answer->length], '\0');
}

static void ask_url(struct loop *l, const char *url, const char *body, uint32_t timeout_ms, struct reply *r)
{
	memset(r, 0, sizeof(*r));
	assert_int_equal(request_start(l->requests, url, body, timeout_ms, on_reply, r, NULL), 0);
	assert_int_equal(r->calls, 0);
	await(l, &r->calls, 1);
	assert_string_equal(r->url, url);
}

static void ask(struct loop *l, const char *path, uint32_t timeout_ms, struct reply *r)
{
	ask_url(l, url_of(path), NULL, timeout_ms, r);
}

/* A socket that listens and accepts nothing. */
static int listen_silently(uint16_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(listen(fd, 0), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* --- answers ------------------------------------------------------------------------------------------------------
 */

static void an_answer_has_status_and_body(void **state)
{
	static const struct {
		const char *path;
		long status;
		const char *body;
	} cases[] = {
		{"/say?body=yes", 200, "yes"},          {"/say?status=204", 204, ""},
		{"/say?status=404&body=no", 404, "no"}, {"/say?status=503&body=%7B%7D", 503, "{}"},
		{"/say?status=409", 409, ""},
	};
	struct reply r;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ask(*state, cases[i].path, PATIENT_MS, &r);
		assert_string_equal(r.error, "");
		assert_int_equal(r.status, cases[i].status);
		assert_string_equal(r.body, cases[i].body);
		assert_int_equal(r.length, strlen(cases[i].body));
	}
}

/* What the server saw. */
static json_t *echo(struct loop *l, const char *body)
{
	json_t *seen;
	struct reply r;

	ask_url(l, url_of("/echo?a=%20b"), body, PATIENT_MS, &r);
	assert_int_equal(r.status, 200);
	seen = json_loads(r.body, 0, NULL);
	assert_non_null(seen);
	return seen;
}

static const char *seen_text(const json_t *seen, const char *key)
{
	return json_string_value(json_object_get(seen, key)) ?: "";
}

static void what_is_asked_is_what_the_server_sees(void **state)
{
	json_t *get = echo(*state, NULL), *post = echo(*state, "{\"a\":\"\xc3\xa4\"}");
	const json_t *headers = json_object_get(post, "headers");

	assert_string_equal(seen_text(get, "method"), "GET");
	assert_string_equal(seen_text(get, "path"), "/echo?a=%20b");
	assert_string_equal(seen_text(get, "body"), "");
	assert_string_equal(seen_text(post, "method"), "POST");
	assert_string_equal(seen_text(post, "body"), "{\"a\":\"\xc3\xa4\"}");
	assert_string_equal(seen_text(headers, "content-type"), "application/json");
	assert_string_equal(seen_text(headers, "accept"), "application/json");
	assert_int_equal(strncmp(seen_text(headers, "user-agent"), "headgate/", 9), 0);
	json_decref(get);
	json_decref(post);
}

static void a_proxy_of_the_environment_is_not_used(void **state)
{
	struct reply r;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	ask(*state, "/say?body=direct", PATIENT_MS, &r);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	assert_string_equal(r.body, "direct");
}

static void an_answer_may_be_as_long_as_the_limit_and_no_longer(void **state)
{
	static const char *const longer[] = {"/say?length=1048577", "/announced", "/endless"};
	struct reply r;

	ask(*state, "/say?length=1048576", PATIENT_MS, &r);
	assert_string_equal(r.error, "");
	assert_int_equal(r.length, REQUEST_ANSWER_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(longer); i++) {
		ask(*state, longer[i], PATIENT_MS, &r);
		assert_string_equal(r.error, "its answer is longer than 1048576 bytes");
	}
}

static void redirects_are_not_followed(void **state)
{
	static const long statuses[] = {301, 302, 303, 307, 308};
	struct reply r;

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		char path[64], want[64];

		snprintf(path, sizeof(path), "/say?status=%ld", statuses[i]);
		snprintf(want, sizeof(want), "status %ld: redirects are not followed", statuses[i]);
		ask(*state, path, PATIENT_MS, &r);
		assert_string_equal(r.error, want);
	}
}

/* --- no answers ---------------------------------------------------------------------------------------------------
 */

static void what_goes_wrong_is_said_in_few_words(void **state)
{
	static const struct {
		const char *path, *why;
	} cases[] = {
		{"/reset", "connection reset by peer"},
		{"/closed", "closed without an answer"},
		{"/cut", "closed within its answer"},
	};
	uint16_t port;
	char url[128];
	struct reply r;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ask(*state, cases[i].path, PATIENT_MS, &r);
		assert_string_equal(r.error, cases[i].why);
	}
	close(listen_silently(&port));
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
	ask_url(*state, url, NULL, PATIENT_MS, &r);
	assert_string_equal(r.error, "connection refused");
	assert_int_equal(r.status, 0);
	ask_url(*state, "http://nobody.invalid/", NULL, PATIENT_MS, &r);
	assert_string_equal(r.error, "its name cannot be resolved");
}

static void only_http_is_spoken(void **state)
{
	static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/"};
	struct loop *l = *state;

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		struct reply r = {};

		assert_int_equal(request_start(l->requests, urls[i], NULL, PATIENT_MS, on_reply, &r, NULL), 0);
		await(l, &r.calls, 1);
		assert_string_not_equal(r.error, "");
		assert_string_equal(r.body, "");
	}
}

/* Asks all of these at once, and sees the loop turn until each is given up. */
static void all_are_late(struct loop *l, const char *const *urls, size_t count)
{
	uint64_t begin_ms = now_ms(), ticks = l->ticks;
	struct reply replies[16] = {};

	assert_true(count <= ARRAY_SIZE(replies));
	for (size_t i = 0; i < count; i++)
		assert_int_equal(request_start(l->requests, urls[i], NULL, LATE_MS, on_reply, &replies[i], NULL), 0);
	for (size_t i = 0; i < count; i++) {
		await(l, &replies[i].calls, 1);
		assert_string_equal(replies[i].error, "no answer in 200 ms");
	}
	assert_true(now_ms() - begin_ms >= LATE_MS);
	/* A quarter of what there would be on a machine with nothing else to do. */
	assert_true(l->ticks - ticks >= LATE_MS / TICK_MS / 4);
}

static void a_server_that_never_answers_is_given_up_in_time(void **state)
{
	const char *const urls[] = {url_of("/silent"), url_of("/drip"), url_of("/drip-headers"),
				    url_of("/slowly?ms=5000")};

	all_are_late(*state, urls, ARRAY_SIZE(urls));
}

/* A full accept queue takes no connection; one that nobody empties speaks no TLS; a name may never be resolved. */
static void connecting_tls_and_names_are_given_up_in_time_too(void **state)
{
	uint16_t full_port, mute_port;
	int full = listen_silently(&full_port), queued = connect_to(full_port), mute = listen_silently(&mute_port);
	char connecting[64], tls[64];
	const char *const urls[] = {connecting, tls, "http://slow.invalid/"};
	uint64_t begin_ms;
	struct reply r;

	snprintf(connecting, sizeof(connecting), "http://127.0.0.1:%u/", full_port);
	snprintf(tls, sizeof(tls), "https://127.0.0.1:%u/", mute_port);
	/* The authorities' certificates are read but once. */
	ask_url(*state, tls, NULL, LATE_MS, &r);
	begin_ms = now_ms();
	all_are_late(*state, urls, ARRAY_SIZE(urls));
	/* Not kept by the resolver, which has most of its time to go. */
	assert_true(now_ms() - begin_ms < 8 * LATE_MS);
	close(queued);
	close(full);
	close(mute);
}

/* --- many, and their end ------------------------------------------------------------------------------------------
 */

static void a_hundred_are_asked_at_once(void **state)
{
	static struct reply replies[MANY];
	uint64_t begin_ms = now_ms();
	struct loop *l = *state;

	memset(replies, 0, sizeof(replies));
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(request_start(l->requests, url_of("/slowly?ms=300"), NULL, PATIENT_MS, on_reply,
					       &replies[i], NULL),
				 0);
	for (size_t i = 0; i < MANY; i++) {
		await(l, &replies[i].calls, 1);
		assert_string_equal(replies[i].error, "");
		assert_int_equal(replies[i].status, 200);
	}
	/* One after the other would take 30 s. */
	assert_true(now_ms() - begin_ms < 300 * MANY / 2);
	turn(l, 20);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(replies[i].calls, 1);
}

static void what_is_cancelled_is_not_answered(void **state)
{
	struct loop *l = *state;
	struct reply replies[4] = {};
	struct request *requests[4];

	command(l, "/hold");
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(request_start(l->requests, url_of(i < 2 ? "/say" : "/held"), NULL, PATIENT_MS,
					       on_reply, &replies[i], &requests[i]),
				 0);
	request_cancel(requests[0]); /* before anything was sent */
	await(l, &replies[1].calls, 1);
	request_cancel(requests[2]); /* under way */
	command(l, "/release");
	await(l, &replies[3].calls, 1);
	turn(l, 60);
	request_cancel(NULL);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(replies[i].calls, i % 2);
}

struct chain {
	struct loop *loop;
	struct request *victim;
	struct reply victims, last;
	int calls;
};

static void on_link(void *context, const struct answer *answer)
{
	struct chain *c = context;

	assert_null(answer->error);
	c->calls++;
	request_cancel(c->victim);
	c->victim = NULL;
	assert_int_equal(request_start(c->loop->requests, url_of("/say?body=last"), NULL, PATIENT_MS, on_reply,
				       &c->last, NULL),
			 0);
}

static void an_answer_may_cancel_and_ask_others(void **state)
{
	struct chain c = {.loop = *state};

	command(c.loop, "/hold");
	assert_int_equal(
		request_start(c.loop->requests, url_of("/held"), NULL, PATIENT_MS, on_reply, &c.victims, &c.victim), 0);
	assert_int_equal(request_start(c.loop->requests, url_of("/say"), NULL, PATIENT_MS, on_link, &c, NULL), 0);
	await(c.loop, &c.last.calls, 1);
	assert_string_equal(c.last.body, "last");
	command(c.loop, "/release");
	turn(c.loop, 50);
	assert_int_equal(c.calls, 1);
	assert_int_equal(c.victims.calls, 0);
}

/* At every stage, also while a name is being resolved; the sanitizers see what is left. */
static void the_end_takes_what_is_in_flight_with_it(void **state)
{
	static const char *const paths[] = {"/silent", "/drip", "/endless", "/say", "/slowly?ms=50"};
	struct loop *l = *state;
	struct reply replies[2 * ARRAY_SIZE(paths) + 1] = {};
	uint64_t begin_ms;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		request_start(l->requests, url_of(paths[i]), NULL, PATIENT_MS, on_reply, &replies[i], NULL);
	turn(l, 20);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		request_start(l->requests, url_of(paths[i]), NULL, PATIENT_MS, on_reply,
			      &replies[ARRAY_SIZE(paths) + i], NULL);
	request_start(l->requests, "http://slow.invalid/", NULL, PATIENT_MS, on_reply, &replies[2 * ARRAY_SIZE(paths)],
		      NULL);
	turn(l, 5);
	begin_ms = now_ms();
	requests_destroy(TAKE_PTR(l->requests));
	assert_true(now_ms() - begin_ms < 5 * LATE_MS);
	turn(l, 80);
	assert_int_equal(replies[0].calls + replies[1].calls, 0);
	assert_int_equal(replies[2 * ARRAY_SIZE(paths)].calls, 0);
}

static void a_url_is_shown_without_its_secrets(void **state)
{
	static const struct {
		const char *url, *with_path, *without;
	} cases[] = {
		{"http://h/gate", "http://h/gate", "http://h"},
		{"https://u:p@h:8/a/b?token=1#x", "https://h:8/a/b", "https://h:8"},
		{"http://h?token=1", "http://h", "http://h"},
		{"http://h/a@b", "http://h/a@b", "http://h"},
		{"http://u@v@h", "http://h", "http://h"},
		{"http://h/\n\xff", "http://h/ ?", "http://h"},
		{"nothing", "nothing", "nothing"},
	};
	char text[URL_SHOWN_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(url_shown(cases[i].url, true, text), cases[i].with_path);
		assert_string_equal(url_shown(cases[i].url, false, text), cases[i].without);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_open, loop_close)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(an_answer_has_status_and_body),
		TEST(what_is_asked_is_what_the_server_sees),
		TEST(a_proxy_of_the_environment_is_not_used),
		TEST(an_answer_may_be_as_long_as_the_limit_and_no_longer),
		TEST(redirects_are_not_followed),
		TEST(what_goes_wrong_is_said_in_few_words),
		TEST(only_http_is_spoken),
		TEST(a_server_that_never_answers_is_given_up_in_time),
		TEST(connecting_tls_and_names_are_given_up_in_time_too),
		TEST(a_hundred_are_asked_at_once),
		TEST(what_is_cancelled_is_not_answered),
		TEST(an_answer_may_cancel_and_ask_others),
		TEST(the_end_takes_what_is_in_flight_with_it),
		cmocka_unit_test(a_url_is_shown_without_its_secrets),
	};

	leave_network();
	return cmocka_run_group_tests_name("requests", tests, start_server, stop_server);
}
