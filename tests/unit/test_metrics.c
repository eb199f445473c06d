// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/wait.h>
#include <unistd.h>

#include "metrics_fixture.h"
#include "util.h"

/* --- snapshots -------------------------------------------------------------------------------------------------------
 */

static const struct {
	const char *name;
	uint8_t protocol;
	enum forward_mode forward;
	bool sampled;
} services[] = {
	{"nat-tcp", IPPROTO_TCP, FORWARD_NAT, false},    {"dnat-tcp", IPPROTO_TCP, FORWARD_DNAT, true},
	{"nat-udp", IPPROTO_UDP, FORWARD_NAT, false},    {"dnat-udp", IPPROTO_UDP, FORWARD_DNAT, true},
	{"l2dsr-tcp", IPPROTO_TCP, FORWARD_L2DSR, true}, {"ipip-udp", IPPROTO_UDP, FORWARD_IPIP, true},
	{"gue-tcp", IPPROTO_TCP, FORWARD_GUE, true},
};

#define SHIFT 4

/* Every counter of @object another number. */
static void fill(void *object, size_t size, uint64_t first)
{
	for (size_t i = 0; i < size / sizeof(first); i++) {
		uint64_t value = first + i;

		memcpy((char *)object + i * sizeof(value), &value, sizeof(value));
	}
}

static void fill_variant(struct metrics_variant *v, const char *name, size_t number)
{
	v->name = name;
	v->weight = 10 + number;
	v->share = 0.25 * (number + 1);
	fill(&v->total, sizeof(v->total), 1000 + 100000 * number);
	v->backend_count = 2;
	v->backends = calloc(v->backend_count, sizeof(*v->backends));
	for (size_t b = 0; b < v->backend_count; b++) {
		struct metrics_backend *backend = &v->backends[b];

		snprintf(backend->address, sizeof(backend->address), "[fd00::%zu]:8000", 2 * number + b);
		fill(&backend->traffic, sizeof(backend->traffic), 500 + 10 * b);
		backend->active = 70 + b;
		backend->failed = 80 + b;
		backend->refused = 90 + b;
		backend->health = b ? HEALTH_DOWN : HEALTH_UP;
		backend->in_rotation = !b;
		backend->drained = b;
	}
}

static struct metrics_snapshot make_snapshot(void)
{
	struct metrics_snapshot s = {
		.version = "1.2.3",
		.abi = 7,
		.uptime_s = 12.5,
		.adopted = true,
		.early_resent = 41,
		.early_dropped = 42,
		.services = calloc(ARRAY_SIZE(services), sizeof(*s.services)),
		.service_count = ARRAY_SIZE(services),
		.tables = {{"half_open", 3, 65536}, {"established", 120, 262144}},
		.table_count = 2,
	};

	for (size_t i = 0; i < s.service_count; i++) {
		struct metrics_service *service = &s.services[i];

		service->name = services[i].name;
		snprintf(service->vip, sizeof(service->vip), "10.0.0.1%zu:8000", i);
		service->protocol = services[i].protocol;
		service->forward = services[i].forward;
		service->sampled = services[i].sampled;
		service->measure_shift = SHIFT;
		fill(&service->counters, sizeof(service->counters), 300);
		service->variant_count = 2;
		service->variants = calloc(service->variant_count, sizeof(*service->variants));
		fill_variant(&service->variants[0], "blue", 0);
		fill_variant(&service->variants[1], "green", 1);
	}
	return s;
}

/* --- the page --------------------------------------------------------------------------------------------------------
 */

static void an_empty_snapshot_is_a_page_of_the_daemon_alone(void **state)
{
	struct metrics_snapshot s = {.version = "0.0.0"};
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	assert_int_equal(page.family_count, 3); /* information, uptime, early fragments */
	assert_true(value_of(&page, "headgate_info{version=\"0.0.0\",abi=\"0\",adopted=\"false\"}") == 1);
	free_page(&page);
}

static const struct {
	const char *name;
	const char *extra;
	size_t offset; /* in struct measured */
	bool scaled;
} counted[] = {
#define ROW(name, extra, field, scaled)                                                                                \
	{                                                                                                              \
		"headgate_variant_" name, extra, offsetof(struct measured, field), scaled                              \
	}
	ROW("connections_opened_total", "", traffic.opened, false),
	ROW("connections_established_total", "", sampled.established, true),
	ROW("connections_failed_total", "", silent.failed, true),
	ROW("connections_refused_total", "", sampled.refused, true),
	ROW("connections_closed_total", "", sampled.closed, true),
	ROW("connections_reset_total", ",by=\"client\"", sampled.reset_by_client, true),
	ROW("connections_reset_total", ",by=\"server\"", sampled.reset_by_server, true),
	ROW("connections_reset_total", ",by=\"drain\"", sampled.reset_by_drain, true),
	ROW("connections_expired_total", "", silent.expired, true),
	ROW("connections_active", "", active, false),
	ROW("connections_measured_total", "", sampled.measured, false),
	ROW("connections_unmeasured_total", "", sampled.unmeasured, false),
	ROW("requests_total", "", sampled.requests, true),
	ROW("responses_total", ",class=\"none\"", sampled.status[0], true),
	ROW("responses_total", ",class=\"2xx\"", sampled.status[2], true),
	ROW("responses_total", ",class=\"5xx\"", sampled.status[5], true),
	ROW("retransmissions_total", ",direction=\"client\"", sampled.client_retransmissions, true),
	ROW("retransmissions_total", ",direction=\"server\"", sampled.server_retransmissions, true),
	ROW("bytes_total", ",direction=\"client\"", traffic.client_bytes, false),
	ROW("bytes_total", ",direction=\"server\"", traffic.server_bytes, false),
	ROW("packets_total", ",direction=\"client\"", traffic.client_packets, false),
	ROW("packets_total", ",direction=\"server\"", traffic.server_packets, false),
#undef ROW
};

/* Of services[0], where all is measured, and services[1], where 1 in 16 is. */
static void every_figure_of_a_variant_stands_under_its_name_and_samples_are_scaled(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(counted); i++) {
		const struct metrics_service *service = &s.services[i % 2];
		uint64_t want, scale = service->sampled && counted[i / 2].scaled ? 1 << SHIFT : 1;
		char key[256];

		memcpy(&want, (const char *)&service->variants[1].total + counted[i / 2].offset, sizeof(want));
		snprintf(key, sizeof(key), "%s{service=\"%s\",variant=\"green\"%s}", counted[i / 2].name, service->name,
			 counted[i / 2].extra);
		if (value_of(&page, key) != (double)(want * scale))
			fail_msg("%s is %f", key, value_of(&page, key));
	}
	free_page(&page);
	metrics_release(&s);
}

#define GREEN "{service=\"nat-tcp\",variant=\"green\"}"
#define BACKEND_0 "{service=\"dnat-tcp\",variant=\"blue\",backend=\"[fd00::0]:8000\"}"
#define BACKEND_1 "{service=\"dnat-tcp\",variant=\"blue\",backend=\"[fd00::1]:8000\"}"
#define BACKEND_1_CLIENT "{service=\"dnat-tcp\",variant=\"blue\",backend=\"[fd00::1]:8000\",direction=\"client\"}"

static const struct {
	const char *key;
	double want;
} others[] = {
	{"headgate_info{version=\"1.2.3\",abi=\"7\",adopted=\"true\"}", 1},
	{"headgate_uptime_seconds", 12.5},
	{"headgate_early_fragments_total{outcome=\"resent\"}", 41},
	{"headgate_early_fragments_total{outcome=\"dropped\"}", 42},
	{"headgate_service_info{service=\"dnat-udp\",address=\"10.0.0.13:8000\",protocol=\"udp\",forward=\"dnat\"}", 1},
	{"headgate_flow_table_entries{table=\"established\"}", 120},
	{"headgate_flow_table_size{table=\"half_open\"}", 65536},
	{"headgate_measured_ratio{service=\"nat-tcp\"}", 1},
	{"headgate_measured_ratio{service=\"dnat-tcp\"}", 0.0625},
	{"headgate_service_drops_total{service=\"nat-tcp\",reason=\"malformed\"}", 303},
	{"headgate_service_drops_total{service=\"nat-tcp\",reason=\"ports_exhausted\"}", 309},
	{"headgate_service_drops_total{service=\"gue-tcp\",reason=\"too_big\"}", 311},
	{"headgate_service_drops_total{service=\"gue-tcp\",reason=\"lone_fragment\"}", 312},
	{"headgate_service_answers_total{service=\"gue-tcp\",kind=\"echo\"}", 313},
	{"headgate_service_answers_total{service=\"gue-tcp\",kind=\"too_big\"}", 314},
	{"headgate_flow_lookups_total{service=\"dnat-tcp\"}", 300},
	{"headgate_flow_misses_total{service=\"dnat-tcp\"}", 301},
	{"headgate_flow_overflows_total{service=\"nat-tcp\"}", 302},
	{"headgate_variant_weight" GREEN, 11},
	{"headgate_variant_share" GREEN, 0.5},
	{"headgate_backend_connections_opened_total" BACKEND_1, 514},
	{"headgate_backend_connections_active" BACKEND_1, 71},
	{"headgate_backend_connections_failed_total" BACKEND_1, 81 << SHIFT},
	{"headgate_backend_connections_refused_total" BACKEND_1, 91 << SHIFT},
	{"headgate_backend_bytes_total" BACKEND_1_CLIENT, 511},
	{"headgate_backend_up" BACKEND_0, 1},
	{"headgate_backend_up" BACKEND_1, 0},
	{"headgate_backend_in_rotation" BACKEND_0, 1},
	{"headgate_backend_in_rotation" BACKEND_1, 0},
	{"headgate_backend_drained" BACKEND_0, 0},
	{"headgate_backend_drained" BACKEND_1, 1},
};

static void services_backends_and_the_daemon_have_their_figures(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (value_of(&page, others[i].key) != others[i].want)
			fail_msg("%s is %f", others[i].key, value_of(&page, others[i].key));
	free_page(&page);
	metrics_release(&s);
}

/* Families, or series if there is a label, that some services cannot have: services[] in order. */
static const struct {
	const char *name;
	const char *label; /* or "" */
	bool has[ARRAY_SIZE(services)];
} presence[] = {
	{"headgate_measured_ratio", "", {true, true, false, false, false, false, false}},
	{"headgate_variant_connections_opened_total", "", {true, true, true, false, true, false, true}},
	{"headgate_variant_connections_established_total", "", {true, true, false, false, false, false, false}},
	{"headgate_variant_connections_expired_total", "", {true, true, false, false, false, false, false}},
	{"headgate_variant_connections_active", "", {true, true, true, false, false, false, false}},
	{"headgate_variant_requests_total", "", {true, true, false, false, false, false, false}},
	{"headgate_variant_responses_total", "", {true, true, false, false, false, false, false}},
	{"headgate_variant_retransmissions_total", "", {true, true, false, false, false, false, false}},
	{"headgate_variant_handshake_seconds_bucket", "", {true, true, false, false, false, false, false}},
	{"headgate_variant_first_byte_seconds_count", "", {true, true, false, false, false, false, false}},
	{"headgate_variant_connection_duration_seconds_sum", "", {true, true, false, false, false, false, false}},
	{"headgate_variant_bytes_total", "direction=\"server\"", {true, true, true, true, false, false, false}},
	{"headgate_backend_connections_opened_total", "", {true, true, true, false, true, false, true}},
	{"headgate_backend_connections_active", "", {true, true, true, false, false, false, false}},
	{"headgate_backend_connections_failed_total", "", {true, true, false, false, false, false, false}},
	{"headgate_flow_lookups_total", "", {false, true, false, true, true, true, true}},
	{"headgate_service_drops_total", "reason=\"ttl\"", {true, true, true, true, true, true, true}},
	{"headgate_service_drops_total", "reason=\"no_flow\"", {true, false, true, false, false, false, false}},
	{"headgate_service_drops_total", "reason=\"flow_table_full\"", {true, false, true, false, false, false, false}},
	{"headgate_service_drops_total", "reason=\"no_source\"", {true, false, true, false, false, false, true}},
	{"headgate_service_drops_total", "reason=\"too_big\"", {true, true, true, true, true, true, true}},
	{"headgate_service_drops_total", "reason=\"lone_fragment\"", {true, true, true, true, true, true, true}},
	{"headgate_service_answers_total", "kind=\"echo\"", {true, true, true, true, true, true, true}},
	{"headgate_variant_packets_total", "direction=\"client\"", {true, true, true, true, true, true, true}},
};

static void what_a_service_cannot_have_is_left_out(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	for (size_t i = 0; i < ARRAY_SIZE(presence); i++) {
		for (size_t service = 0; service < ARRAY_SIZE(services); service++) {
			bool found = false;
			char label[80];

			snprintf(label, sizeof(label), "{service=\"%s\"", services[service].name);
			for (size_t r = 0; r < page.count && !found; r++)
				found = !strcmp(page.readings[r].name, presence[i].name) &&
					strstr(page.readings[r].key, label) &&
					strstr(page.readings[r].key, presence[i].label);
			if (found != presence[i].has[service])
				fail_msg("%s of %s", presence[i].name, services[service].name);
		}
	}
	free_page(&page);
	metrics_release(&s);
}

static void a_family_that_nobody_has_is_not_announced(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	for (size_t i = 0; i < s.service_count; i++)
		s.services[i].protocol = IPPROTO_UDP;
	text = render(&s, &page);
	assert_null(strstr(text, "headgate_variant_requests_total"));
	assert_non_null(strstr(text, "headgate_variant_bytes_total"));
	free_page(&page);
	metrics_release(&s);
}

static void the_health_of_a_backend_that_nothing_has_judged_is_left_out(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	s.services[1].variants[0].backends[0].health = HEALTH_UNKNOWN;
	text = render(&s, &page);
	assert_null(find_reading(&page, "headgate_backend_up" BACKEND_0));
	assert_non_null(find_reading(&page, "headgate_backend_up" BACKEND_1));
	assert_true(value_of(&page, "headgate_backend_in_rotation" BACKEND_0) == 1);
	free_page(&page);
	metrics_release(&s);
}

static void help_says_of_every_scaled_family_that_it_is_an_estimate(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	for (size_t i = 0; i < ARRAY_SIZE(counted); i++) {
		char help[128], *line, *estimate;

		snprintf(help, sizeof(help), "# HELP %s ", counted[i].name);
		line = strstr(text, help);
		estimate = strstr(line, "headgate_measured_ratio");
		if (counted[i].scaled && estimate > strchr(line, '\n'))
			fail_msg("%s", help);
	}
	free_page(&page);
	metrics_release(&s);
}

/* --- histograms ------------------------------------------------------------------------------------------------------
 */

#define FIRST_BYTE(suffix) "headgate_variant_first_byte_seconds_" suffix "{service=\"dnat-tcp\",variant=\"blue\""
#define TIMES 3000U

/* "0.000016384" in nanoseconds, without going through a double. */
static uint64_t exact_ns(const char *seconds)
{
	uint64_t ns = strtoull(seconds, NULL, 10) * 1000000000ULL, unit = 100000000;
	const char *digit = seconds + strcspn(seconds, ".\" ");

	if (*digit == '.')
		for (digit++; isdigit((unsigned char)*digit); digit++, unit /= 10)
			ns += (*digit - '0') * unit;
	return ns;
}

static void cumulative_counts_are_exact_at_every_bound(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	struct histogram *h = &s.services[1].variants[0].total.sampled.first_byte;
	static uint64_t times_ns[TIMES];
	_cleanup_free_ char *text = NULL;
	uint64_t random = 88172645463325252ULL, sum_ns = 0;
	size_t bounds = 0;
	struct page page;

	(void)state;
	memset(h, 0, sizeof(*h));
	for (size_t i = 0; i < TIMES; i++) {
		random ^= random << 13; /* xorshift64 (Marsaglia) */
		random ^= random >> 7;
		random ^= random << 17;
		times_ns[i] = random >> (20 + random % 40);
		if (i % 3 == 0) /* on a bound, or just below it */
			times_ns[i] = histogram_lower_ns(histogram_bucket(times_ns[i])) - (i % 2 && times_ns[i] > 9000);
		h->bucket[histogram_bucket(times_ns[i])]++;
		h->count++;
		h->sum_ns += times_ns[i];
		sum_ns += times_ns[i];
	}
	text = render(&s, &page);
	for (size_t r = 0; r < page.count; r++) {
		uint64_t bound_ns, below = 0;

		if (strncmp(page.readings[r].key, FIRST_BYTE("bucket"), strlen(FIRST_BYTE("bucket"))) ||
		    isinf(bound_of(page.readings[r].key)))
			continue;
		bound_ns = exact_ns(le_of(page.readings[r].key) + 4);
		assert_int_equal(histogram_lower_ns(histogram_bucket(bound_ns)), bound_ns);
		for (size_t i = 0; i < TIMES; i++)
			below += times_ns[i] < bound_ns;
		assert_int_equal((uint64_t)page.readings[r].value, below << SHIFT);
		bounds++;
	}
	assert_in_range(bounds, 20, 25);
	assert_int_equal((uint64_t)value_of(&page, FIRST_BYTE("count") "}"), TIMES << SHIFT);
	assert_int_equal(exact_ns(find_reading(&page, FIRST_BYTE("sum") "}")->value_text), sum_ns << SHIFT);
	free_page(&page);
	metrics_release(&s);
}

static void a_count_that_is_ahead_of_the_buckets_does_not_break_the_page(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	struct histogram *h = &s.services[1].variants[0].total.sampled.first_byte;
	_cleanup_free_ char *text = NULL;
	uint64_t sum = 0;
	struct page page;

	(void)state;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		sum += h->bucket[i];
	h->count = sum + 1;
	text = render(&s, &page);
	assert_int_equal((uint64_t)value_of(&page, FIRST_BYTE("count") "}"), sum << SHIFT);
	free_page(&page);
	metrics_release(&s);
}

/* --- checked by others
 * ------------------------------------------------------------------------------------------------------
 */

static void names_are_escaped(void **state)
{
	struct metrics_snapshot s = {.version = "a\\b\"c\nd"};
	_cleanup_free_ char *text = NULL;
	struct page page;

	(void)state;
	text = render(&s, &page);
	assert_non_null(find_reading(&page, "headgate_info{version=\"a\\\\b\\\"c\\nd\",abi=\"0\",adopted=\"false\"}"));
	free_page(&page);
}

static void promtool_has_nothing_to_say(void **state)
{
	struct metrics_snapshot s = make_snapshot();
	_cleanup_fclose_ FILE *file = tmpfile();
	_cleanup_free_ char *text = NULL;
	struct page page;
	int status = 0;
	pid_t pid;

	(void)state;
	assert_non_null(file);
	text = render(&s, &page);
	fputs(text, file);
	rewind(file);
	free_page(&page);
	metrics_release(&s);
	pid = fork();
	if (pid == 0) {
		if (dup2(fileno(file), STDIN_FILENO) >= 0)
			execlp("promtool", "promtool", "check", "metrics", NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 127)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_snapshot_is_a_page_of_the_daemon_alone),
		cmocka_unit_test(every_figure_of_a_variant_stands_under_its_name_and_samples_are_scaled),
		cmocka_unit_test(services_backends_and_the_daemon_have_their_figures),
		cmocka_unit_test(what_a_service_cannot_have_is_left_out),
		cmocka_unit_test(a_family_that_nobody_has_is_not_announced),
		cmocka_unit_test(the_health_of_a_backend_that_nothing_has_judged_is_left_out),
		cmocka_unit_test(help_says_of_every_scaled_family_that_it_is_an_estimate),
		cmocka_unit_test(cumulative_counts_are_exact_at_every_bound),
		cmocka_unit_test(a_count_that_is_ahead_of_the_buckets_does_not_break_the_page),
		cmocka_unit_test(names_are_escaped),
		cmocka_unit_test(promtool_has_nothing_to_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
