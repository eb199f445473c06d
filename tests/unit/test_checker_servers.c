// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* HTTPS and gRPC checks of servers that are not ours: openssl s_server, and gRPC's own library. */
#include "checker_fixture.h"

#include <signal.h>
#include <sys/stat.h>

#include "checker_grpc.h"
#include "child.h"

#define LATE_MS 100
#define OPENSSL "/usr/bin/openssl"

/* --- servers ------------------------------------------------------------------------------------------------------
 */

static struct child https = {.pid = -1, .input = -1}, grpc = {.pid = -1, .input = -1};
static char folder[] = "/tmp/headgate-test-checker-XXXXXX";
static const char *const files[] = {"key.pem", "certificate.pem", "200", "302", "503"};

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	fclose(file);
}

/* A certificate that nobody but us has signed, of a name that is not the server's. */
static void start_https(void)
{
	static char *const make[] = {OPENSSL,
				     "req",
				     "-x509",
				     "-newkey",
				     "ec",
				     "-pkeyopt",
				     "ec_paramgen_curve:prime256v1",
				     "-nodes",
				     "-keyout",
				     "key.pem",
				     "-out",
				     "certificate.pem",
				     "-subj",
				     "/CN=backend.invalid",
				     NULL};
	static char *const serve[] = {OPENSSL, "s_server", "-HTTP", "-accept",         "127.0.0.1:0",
				      "-key",  "key.pem",  "-cert", "certificate.pem", NULL};
	struct child maker;

	write_file("200", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	write_file("302", "HTTP/1.1 302 Found\r\nLocation: /503\r\nContent-Length: 0\r\n\r\n");
	write_file("503", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
	spawn(&maker, folder, make);
	assert_int_equal(reap(&maker, 0), 0);
	spawn(&https, folder, serve);
	await_port(&https, "ACCEPT");
}

static int start_servers(void **state)
{
	static char *const serve[] = {"/usr/bin/python3", "tests/unit/grpc_health_server.py", NULL};

	(void)state;
	if (!mkdtemp(folder))
		return -1;
	start_https();
	spawn(&grpc, ".", serve);
	await_port(&grpc, "PORT");
	return 0;
}

static int stop_servers(void **state)
{
	(void)state;
	reap(&https, SIGTERM);
	reap(&grpc, 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		unlink(path);
	}
	return rmdir(folder);
}

/* --- what is said of them -----------------------------------------------------------------------------------------
 */

static void an_https_check_is_judged_by_its_status(void **state)
{
	static const struct {
		const char *path, *why;
	} cases[] = {{"/200", "good"}, {"/302", "good"}, {"/503", "status 503"}};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct health_model m = model(HEALTH_HTTPS, cases[i].path);

		assert_string_equal(check(*state, &m, "127.0.0.1", https.port, &v), cases[i].why);
	}
}

static void a_grpc_check_is_judged_by_status_of_the_service_asked(void **state)
{
	char longest[HEALTH_TEXT_SIZE] = "";
	const struct {
		const char *service, *why;
	} cases[] = {
		{"", "good"},
		{"up", "good"},
		{longest, "good"},
		{"later", "good"},
		{"unknown", "status UNKNOWN"},
		{"down", "status NOT_SERVING"},
		{"strange", "a status that is not known"},
		{"nobody", "grpc-status 5"},
		{"long", "its answer is too long"},
	};
	struct verdict v;

	memset(longest, 'a', sizeof(longest) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct health_model m = model(HEALTH_GRPC, cases[i].service);

		assert_string_equal(check(*state, &m, "127.0.0.1", grpc.port, &v), cases[i].why);
	}
}

static void a_grpc_answer_that_is_late_is_bad(void **state)
{
	struct health_model m = model(HEALTH_GRPC, "slow");
	struct verdict v;

	m.timeout_ms = LATE_MS;
	assert_string_equal(check(*state, &m, "127.0.0.1", grpc.port, &v), "no answer in 100 ms");
}

static void a_server_of_another_kind_is_bad(void **state)
{
	const struct {
		enum health_check kind;
		const char *path;
		uint16_t port;
	} cases[] = {
		{HEALTH_HTTP, "/200", https.port},
		{HEALTH_GRPC, "", https.port},
		{HEALTH_HTTPS, "/200", grpc.port},
		{HEALTH_HTTP, "/200", grpc.port},
	};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct health_model m = model(cases[i].kind, cases[i].path);

		assert_string_not_equal(check(*state, &m, "127.0.0.1", cases[i].port, &v), "good");
		assert_string_not_equal(v.why, "");
	}
}

static void grpc_checks_share_no_connection_and_no_fate(void **state)
{
	static const char *const services[] = {"slow", "up", "down", "slow", "up", "nobody"};
	static const char *const want[] = {"no answer in 100 ms", "good", "status NOT_SERVING",
					   "no answer in 100 ms", "good", "grpc-status 5"};
	struct verdict verdicts[ARRAY_SIZE(services)] = {};
	struct endpoint backend = {.port = grpc.port};
	struct loop *l = *state;

	assert_int_equal(address_parse("127.0.0.1", &backend.address), 0);
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		struct health_model m = model(HEALTH_GRPC, services[i]);

		if (!strcmp(services[i], "slow"))
			m.timeout_ms = LATE_MS;
		assert_int_equal(checker_start(l->checker, &m, &backend, on_verdict, &verdicts[i]), 0);
	}
	await(l, verdicts, ARRAY_SIZE(services));
	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		assert_string_equal(verdicts[i].why, want[i]);
}

static void a_message_that_is_no_answer_is_not_taken_for_one(void **state)
{
	static const char no_answer[] = "its answer is no HealthCheckResponse";
	static const struct {
		const char *bytes;
		size_t length;
		const char *why;
	} cases[] = {
#define CASE(bytes, why) {bytes, sizeof(bytes) - 1, why}
		CASE("\0\0\0\0\2\x08\1", NULL),
		CASE("\0\0\0\0\0", "status UNKNOWN"),
		CASE("\0\0\0\0\2\x08\3", "status SERVICE_UNKNOWN"),
		/* Of a field that is repeated the last one counts. */
		CASE("\0\0\0\0\4\x08\1\x08\2", "status NOT_SERVING"),
		/* 1 in three bytes, and a number that is 1 only when cut. */
		CASE("\0\0\0\0\4\x08\x81\x80\0", NULL),
		CASE("\0\0\0\0\6\x08\x81\x80\x80\x80\x10", "a status that is not known"),
		/* Fields of every other type, passed over. */
		CASE("\0\0\0\0\x14\x11"
		     "12345678"
		     "\x1d"
		     "1234"
		     "\x22\2xy\x08\1",
		     NULL),
		CASE("", no_answer),
		CASE("\0\0\0\0", no_answer),
		/* Compressed; a length above and below what came; a second message. */
		CASE("\1\0\0\0\2\x08\1", no_answer),
		CASE("\0\0\0\0\3\x08\1", no_answer),
		CASE("\0\0\0\0\1\x08\1", no_answer),
		CASE("\0\1\0\0\2\x08\1", no_answer),
		CASE("\0\0\0\0\2\x08\1\0\0\0\0\2\x08\1", no_answer),
		/* Cut in a number, in a field, after a tag; a group; a number that never ends. */
		CASE("\0\0\0\0\2\x08\x81", no_answer),
		CASE("\0\0\0\0\5\x08\1\x22\2x", no_answer),
		CASE("\0\0\0\0\1\x08", no_answer),
		CASE("\0\0\0\0\3\x08\1\x1b", no_answer),
		CASE("\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", no_answer),
		CASE("\0\0\0\0\x0c\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1", no_answer),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* Of exactly that length, so that the sanitizer sees a byte too far. */
		uint8_t *answer = malloc(cases[i].length);
		const char *why;

		memcpy(answer, cases[i].bytes, cases[i].length);
		why = grpc_health_judge(answer, cases[i].length);
		free(answer);
		assert_string_equal(why ?: "good", cases[i].why ?: "good");
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_open, loop_close)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(an_https_check_is_judged_by_its_status),
		TEST(a_grpc_check_is_judged_by_status_of_the_service_asked),
		TEST(a_grpc_answer_that_is_late_is_bad),
		TEST(a_server_of_another_kind_is_bad),
		TEST(grpc_checks_share_no_connection_and_no_fate),
		cmocka_unit_test(a_message_that_is_no_answer_is_not_taken_for_one),
	};

	leave_network();
	return cmocka_run_group_tests_name("checks of other servers", tests, start_servers, stop_servers);
}
