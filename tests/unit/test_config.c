// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a configuration becomes, and what hostile text cannot do. Mistakes: test_config_mistakes.c. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "config_fixture.h"

#define FOUR_MIB (4U << 20)

static const char full[] =
	"interfaces: [eth0, {name: eth1, attach: native}, {name: eth2, attach: generic}, {name: eth3, attach: auto},\n"
	"  {name: eth4, attach: tc, existing: chain}]\n"
	"limits: {services: 16, backends: 128, slot_tables: 48, half_open: 4096, flows: 8192}\n"
	"flows: {tcp_idle: 1h2m3s, udp_idle: 90s}\n"
	"metrics: {listen: \"[::1]:9850\"}\n"
	"services:\n"
	"  llm:\n"
	"    address: 10.0.0.10\n"
	"    port: 8000\n"
	"    protocol: tcp\n"
	"    forward: nat\n"
	"    affinity: client\n"
	"    variants:\n"
	"      blue:   {weight: 95, backends: [10.0.1.11:8000, {address: 10.0.1.12:8000, weight: 2}]}\n"
	"      green:  {weight: 0, backends: []}\n"
	"      canary: {weight: 5, backends: [10.0.3.11:8000]}\n"
	"    cohorts: [{source: 10.9.0.0/16, variant: canary}, {source: 10.8.0.1, variant: blue}]\n"
	"    nat: {sources: [10.0.1.5, 10.0.1.6], ports: 20000-30000}\n"
	"    drain: {timeout: 5m, limit: 2h, on_change: reset, on_rollback: keep, pace: 2.5%/s}\n"
	"    measure: all\n"
	"    health: {check: https, path: \"/health?full=1\", verify: none, interval: 5s, timeout: 250ms, rise: 3, "
	"fall: 4, passive: 5}\n"
	"  dns:\n"
	"    address: \"fd00::11\"\n"
	"    port: 53\n"
	"    protocol: udp\n"
	"    forward: dnat\n"
	"    udp_miss: base\n"
	"    variants:\n"
	"      blue: {weight: 1000000, backends: [\"[fd00:2::11]:53\"]}\n"
	"    cohorts: [{source: \"fd00:9::/32\", variant: blue}]\n"
	"    measure: 1/65536\n"
	"    health: {check: grpc, service: inference.v1.Dns, port: 50051, interval: 1m}\n";

static void assert_endpoint(const struct endpoint *e, const char *want)
{
	char text[ADDRESS_TEXT_SIZE];

	assert_string_equal(endpoint_format(&e->address, e->port, text), want);
}

static void assert_cohort(const struct cohort_model *c, const char *source, const char *variant)
{
	char text[ADDRESS_TEXT_SIZE];

	assert_string_equal(prefix_format(&c->source, text), source);
	assert_string_equal(c->variant, variant);
	assert_false(c->by_command);
}

static void a_full_file_sets_interfaces_limits_and_times(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(full);
	static const enum attach_mode attach[] = {ATTACH_AUTO, ATTACH_NATIVE, ATTACH_GENERIC, ATTACH_AUTO, ATTACH_TC};

	(void)state;
	assert_int_equal(m->interface_count, 5);
	for (size_t i = 0; i < 5; i++) {
		char name[] = {'e', 't', 'h', '0' + i, '\0'};

		assert_string_equal(m->interfaces[i].name, name);
		assert_int_equal(m->interfaces[i].attach, attach[i]);
		assert_int_equal(m->interfaces[i].existing, i == 4 ? EXISTING_CHAIN : EXISTING_REFUSE);
	}
	assert_int_equal(m->limits.services, 16);
	assert_int_equal(m->limits.backends, 128);
	assert_int_equal(m->limits.rows, 48);
	assert_int_equal(m->limits.half_open, 4096);
	assert_int_equal(m->limits.established, 8192);
	assert_int_equal(m->tcp_idle_s, 3723);
	assert_int_equal(m->udp_idle_s, 90);
	assert_endpoint(&m->metrics, "[::1]:9850");
	assert_int_equal(m->service_count, 2);
}

static void a_full_file_sets_a_nat_service(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(full);
	const struct service_model *s = &m->services[0];
	char text[ADDRESS_TEXT_SIZE];

	(void)state;
	assert_string_equal(s->name, "llm");
	assert_endpoint(&s->vip, "10.0.0.10:8000");
	assert_int_equal(s->protocol, IPPROTO_TCP);
	assert_int_equal(s->forward, FORWARD_NAT);
	assert_int_equal(s->affinity, AFFINITY_CLIENT);
	assert_int_equal(s->variant_count, 3);
	assert_string_equal(s->variants[0].name, "blue");
	assert_int_equal(s->variants[0].weight, 95);
	assert_int_equal(s->variants[0].backend_count, 2);
	assert_endpoint(&s->variants[0].backends[0].endpoint, "10.0.1.11:8000");
	assert_int_equal(s->variants[0].backends[0].weight, 1);
	assert_endpoint(&s->variants[0].backends[1].endpoint, "10.0.1.12:8000");
	assert_int_equal(s->variants[0].backends[1].weight, 2);
	assert_string_equal(s->variants[1].name, "green");
	assert_int_equal(s->variants[1].backend_count, 0);
	assert_string_equal(s->variants[2].name, "canary");
	assert_int_equal(s->cohort_count, 2);
	assert_cohort(&s->cohorts[0], "10.9.0.0/16", "canary");
	assert_cohort(&s->cohorts[1], "10.8.0.1/32", "blue");
	assert_int_equal(s->source_count, 2);
	assert_string_equal(address_format(&s->sources[1], text), "10.0.1.6");
	assert_int_equal(s->port_min, 20000);
	assert_int_equal(s->port_max, 30000);
	assert_int_equal(s->drain_timeout_s, 300);
	assert_int_equal(s->drain_limit_s, 7200);
	assert_int_equal(s->on_change, DRAIN_RESET);
	assert_int_equal(s->on_rollback, DRAIN_KEEP);
	assert_int_equal(s->pace_permille, 25);
	assert_int_equal(s->measure_shift, 0);
	assert_false(s->variants[0].backends[0].drained);
}

static void a_full_file_sets_health_checks(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(full);
	const struct health_model *https = &m->services[0].health, *grpc = &m->services[1].health;

	(void)state;
	assert_int_equal(https->check, HEALTH_HTTPS);
	assert_int_equal(https->port, 0);
	assert_string_equal(https->path, "/health?full=1");
	assert_int_equal(https->interval_ms, 5000);
	assert_int_equal(https->timeout_ms, 250);
	assert_int_equal(https->rise, 3);
	assert_int_equal(https->fall, 4);
	assert_int_equal(https->passive, 5);
	assert_int_equal(grpc->check, HEALTH_GRPC);
	assert_int_equal(grpc->port, 50051);
	assert_string_equal(grpc->path, "inference.v1.Dns");
	assert_int_equal(grpc->interval_ms, 60000);
	assert_int_equal(grpc->timeout_ms, 1000);
}

static void a_full_file_sets_a_udp_service(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(full);
	const struct service_model *s = &m->services[1];

	(void)state;
	assert_endpoint(&s->vip, "[fd00::11]:53");
	assert_int_equal(s->protocol, IPPROTO_UDP);
	assert_int_equal(s->forward, FORWARD_DNAT);
	assert_int_equal(s->udp_miss, UDP_MISS_BASE);
	assert_int_equal(s->measure_shift, 16);
	assert_endpoint(&s->variants[0].backends[0].endpoint, "[fd00:2::11]:53");
	assert_cohort(&s->cohorts[0], "fd00:9::/32", "blue");
}

static void what_is_left_out_has_its_default(void **state)
{
	_cleanup_(model_freep) struct model *m =
		parse("interfaces: [eth0]\nservices:\n  a: {address: 10.0.0.10, port: 80, forward: nat, "
		      "variants: {blue: {weight: 1, backends: [10.0.1.11:80]}}}\n");
	const struct service_model *s = &m->services[0];

	(void)state;
	assert_int_equal(m->interfaces[0].attach, ATTACH_AUTO);
	assert_int_equal(m->limits.services, 64);
	assert_int_equal(m->limits.backends, 4096);
	assert_int_equal(m->limits.rows, 192);
	assert_int_equal(m->limits.half_open, 65536);
	assert_int_equal(m->limits.established, 262144);
	assert_int_equal(m->tcp_idle_s, 7440);
	assert_int_equal(m->udp_idle_s, 180);
	assert_int_equal(s->protocol, IPPROTO_TCP);
	assert_int_equal(s->affinity, AFFINITY_CONNECTION);
	assert_int_equal(s->udp_miss, UDP_MISS_ENTRY);
	assert_int_equal(s->source_count, 0);
	assert_int_equal(s->port_min, 10000);
	assert_int_equal(s->port_max, 32767);
	assert_int_equal(s->drain_timeout_s, 600);
	assert_int_equal(s->drain_limit_s, 3600);
	assert_int_equal(s->on_change, DRAIN_KEEP);
	assert_int_equal(s->on_rollback, DRAIN_RESET);
	assert_int_equal(s->pace_permille, 100);
	assert_int_equal(s->measure_shift, 4);
	assert_int_equal(s->health.check, HEALTH_NONE);
	assert_int_equal(s->health.passive, 0);
	assert_int_equal(m->metrics.port, 0);
}

#define ONE_SERVICE(more)                                                                                              \
	"interfaces: [eth0]\nservices:\n  a: {address: 10.0.0.10, port: 80, forward: dnat, " more                      \
	", variants: {blue: {weight: 1, backends: [10.0.1.11:80]}}}\n"

static void a_check_alone_has_its_defaults(void **state)
{
	_cleanup_(model_freep) struct model *http = parse(ONE_SERVICE("health: {check: http}"));
	_cleanup_(model_freep) struct model *grpc = parse(ONE_SERVICE("health: {check: grpc}"));
	_cleanup_(model_freep) struct model *tcp = parse(ONE_SERVICE("health: {check: tcp, passive: 3}"));
	const struct health_model *h = &http->services[0].health;

	(void)state;
	assert_int_equal(h->check, HEALTH_HTTP);
	assert_string_equal(h->path, "/");
	assert_int_equal(h->port, 0);
	assert_int_equal(h->interval_ms, 2000);
	assert_int_equal(h->timeout_ms, 1000);
	assert_int_equal(h->rise, 2);
	assert_int_equal(h->fall, 3);
	assert_int_equal(h->passive, 0);
	assert_string_equal(grpc->services[0].health.path, "");
	assert_int_equal(tcp->services[0].health.check, HEALTH_TCP);
	assert_int_equal(tcp->services[0].health.passive, 3);
}

static void a_short_interval_lowers_the_default_timeout(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(ONE_SERVICE("health: {check: tcp, interval: 100ms}"));

	(void)state;
	assert_int_equal(m->services[0].health.interval_ms, 100);
	assert_int_equal(m->services[0].health.timeout_ms, 100);
}

static void passive_health_needs_no_check(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(ONE_SERVICE("health: {check: none, passive: 9}"));

	(void)state;
	assert_int_equal(m->services[0].health.check, HEALTH_NONE);
	assert_int_equal(m->services[0].health.passive, 9);
}

static void a_pace_is_a_share_each_second(void **state)
{
	static const struct {
		const char *text;
		uint32_t permille;
	} cases[] = {{"1%/s", 10}, {"1.0%/s", 10}, {"99.9%/s", 999}, {"100%/s", 1000}, {"1000%/s", 10000}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *yaml = NULL;
		_cleanup_(model_freep) struct model *m = NULL;

		assert_true(asprintf(&yaml, ONE_SERVICE("drain: {pace: %s}"), cases[i].text) > 0);
		m = parse(yaml);
		assert_int_equal(m->services[0].pace_permille, cases[i].permille);
	}
}

static void every_power_of_two_is_a_share_to_measure(void **state)
{
	(void)state;
	for (uint32_t shift = 1; shift <= 16; shift++) {
		_cleanup_free_ char *yaml = NULL;
		_cleanup_(model_freep) struct model *m = NULL;

		assert_true(asprintf(&yaml, ONE_SERVICE("measure: 1/%u"), 1U << shift) > 0);
		m = parse(yaml);
		assert_int_equal(m->services[0].measure_shift, shift);
	}
}

static void a_long_drain_timeout_lifts_the_default_limit(void **state)
{
	_cleanup_(model_freep) struct model *m = parse("interfaces: [eth0]\nservices:\n  a: {address: 10.0.0.10, port: "
						       "80, forward: dnat, drain: {timeout: 3h}, "
						       "variants: {blue: {weight: 1, backends: [10.0.1.11:80]}}}\n");

	(void)state;
	assert_int_equal(m->services[0].drain_timeout_s, 10800);
	assert_int_equal(m->services[0].drain_limit_s, 10800);
}

static void nat_backends_may_be_shared_and_protocols_are_apart(void **state)
{
	_cleanup_(model_freep) struct model *m =
		parse("interfaces: [eth0]\nservices:\n"
		      "  a: {address: 10.0.0.10, port: 80, forward: nat, variants: {blue: {weight: 1, backends: &b "
		      "[10.0.1.11:80]}, green: {weight: 1, backends: *b}}}\n"
		      "  b: {address: 10.0.0.11, port: 80, forward: nat, variants: {blue: {weight: 1, backends: *b}}}\n"
		      "  c: {address: 10.0.0.10, port: 80, protocol: udp, forward: dnat, "
		      "variants: {blue: {weight: 1, backends: *b}}}\n");

	(void)state;
	assert_int_equal(m->service_count, 3);
	assert_int_equal(m->services[0].variant_count, 2);
	assert_endpoint(&m->services[1].variants[0].backends[0].endpoint, "10.0.1.11:80");
}

/* Expects -EINVAL and, as the first problem, @want. */
static void assert_refused(const char *yaml, size_t length, const char *want)
{
	struct problems problems = {};
	struct model *model = NULL;

	assert_int_equal(config_parse("t.yaml", yaml, length, &problems, &model), -EINVAL);
	assert_null(model);
	if (strncmp(problems.text, want, strlen(want)))
		fail_msg("%.200s", problems.text);
	problems_clear(&problems);
}

/* @unit again and again between @head and @tail. */
static char *repeat(const char *head, const char *unit, size_t count, const char *tail)
{
	size_t length = strlen(head) + strlen(unit) * count + strlen(tail);
	char *text = malloc(length + 1), *p = text;

	assert_non_null(text);
	p = stpcpy(p, head);
	while (count--)
		p = stpcpy(p, unit);
	strcpy(p, tail);
	return text;
}

static void fifty_problems_are_reported_and_no_more(void **state)
{
	_cleanup_free_ char *yaml = repeat("interfaces: [eth0]\nservices: {}\n", "x: 1\n", 60, "");
	struct problems problems = {};
	struct model *model = NULL;

	(void)state;
	assert_int_equal(config_parse("t.yaml", yaml, strlen(yaml), &problems, &model), -EINVAL);
	assert_int_equal(problems.count, 50);
	assert_non_null(strstr(problems.text, "t.yaml:3:1: "));
	assert_non_null(strstr(problems.text, "t.yaml:52:1: "));
	assert_null(strstr(problems.text, "t.yaml:53:1: "));
	problems_clear(&problems);
}

static void a_problem_found_late_stands_where_it_is_in_the_file(void **state)
{
	/* Addresses are compared last, when fifty problems of later lines are there already. */
	_cleanup_free_ char *yaml =
		repeat("interfaces: [eth0]\nservices:\n"
		       "  a: {address: 10.0.0.10, port: 80, forward: nat, variants: {blue: {weight: 1, "
		       "backends: [10.0.0.10:80]}}}\n",
		       "  A: {}\n", 60, "");

	(void)state;
	assert_refused(yaml, strlen(yaml),
		       "t.yaml:3:91: backend 10.0.0.10:80/tcp is the address of service a (line 3)");
}

static void more_values_than_a_configuration_needs_are_refused(void **state)
{
	_cleanup_free_ char *values = repeat("[", "x,", 500001, "]");
	_cleanup_free_ char *cohorts =
		repeat("interfaces: [eth0]\nservices:\n  a:\n    cohorts: [", "{},", 4097,
		       "]\n    address: 10.0.0.10\n    port: 80\n    forward: nat\n    variants: {blue: {weight: 1, "
		       "backends: [10.0.1.11:80]}}\n");

	(void)state;
	assert_refused(values, strlen(values), "t.yaml:1:999996: more than 500000 values");
	assert_refused(cohorts, strlen(cohorts), "t.yaml:4:5: service a has more than 4096 cohorts");
}

static void a_path_to_check_has_an_end(void **state)
{
#define HEALTH_PATH                                                                                                    \
	"interfaces: [eth0]\nservices:\n  a: {address: 10.0.0.10, port: 80, forward: nat, health: {check: http, "      \
	"path: /"
#define VARIANTS "}, variants: {blue: {weight: 1, backends: [10.0.1.11:80]}}}\n"
	_cleanup_free_ char *fits = repeat(HEALTH_PATH, "x", 254, VARIANTS);
	_cleanup_free_ char *exceeds = repeat(HEALTH_PATH, "x", 255, VARIANTS);
	_cleanup_(model_freep) struct model *m = parse(fits);

	(void)state;
	assert_int_equal(strlen(m->services[0].health.path), 255);
	assert_refused(exceeds, strlen(exceeds), "t.yaml:3:79: path of health of a is '/xxx");
}

static void a_file_above_four_mib_is_refused(void **state)
{
	_cleanup_free_ char *fits = repeat("interfaces: [eth0]\nservices: {}\n", "#", FOUR_MIB - 32, "");
	_cleanup_free_ char *exceeds = repeat("interfaces: [eth0]\nservices: {}\n", "#", FOUR_MIB - 31, "");

	(void)state;
	assert_int_equal(strlen(fits), FOUR_MIB);
	model_free(parse(fits));
	assert_refused(exceeds, strlen(exceeds), "t.yaml:1:1: the file is larger than 4 MiB");
}

static void deep_nesting_is_refused(void **state)
{
	static const char *const units[] = {"[", "{a: ", "- ", "? "};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		_cleanup_free_ char *yaml = repeat("", units[i], 1000000, "");

		assert_refused(yaml, strlen(yaml), "t.yaml:1:");
	}
}

static void aliases_cannot_multiply_a_file_without_bound(void **state)
{
	_cleanup_free_ char *backends = repeat("[", "x,", 70000, "]");
	_cleanup_free_ char *yaml = NULL;

	(void)state;
	assert_true(
		asprintf(&yaml,
			 "interfaces: [eth0]\nlimits: {backends: 1}\nservices:\n"
			 " a: {address: 10.0.0.1, port: 80, forward: nat, variants: {a: &v {weight: 1, backends: %s},\n"
			 " b: *v, c: *v, d: *v, e: *v, f: *v, g: *v, h: *v, i: *v, j: *v, k: *v, l: *v, m: *v, n: *v, "
			 "o: *v, p: *v}}\n",
			 backends) > 0);
	assert_refused(yaml, strlen(yaml), "t.yaml:4:88: with what aliases repeat, there are more than 1048576 values");
}

static void anchors_are_counted(void **state)
{
	_cleanup_free_ char *yaml = repeat("", "- &a x\n", 100000, "");

	(void)state;
	assert_refused(yaml, strlen(yaml), "t.yaml:1001:3: more than 1000 anchors");
}

static void a_service_that_contains_itself_is_refused(void **state)
{
	static const char yaml[] = "interfaces: [eth0]\nservices: &a\n  llm: *a\n";

	(void)state;
	assert_refused(yaml, strlen(yaml), "t.yaml:3:3: unknown key 'llm' in service llm");
}

static void a_file_that_cannot_be_read_is_a_problem(void **state)
{
	struct problems problems = {};
	struct model *model = NULL;

	(void)state;
	assert_int_equal(config_load("/nonexistent/headgate.yaml", &problems, &model), -ENOENT);
	assert_null(model);
	assert_int_equal(problems.count, 1);
	assert_string_equal(problems.text, "/nonexistent/headgate.yaml: cannot be read: No such file or directory\n");
	problems_clear(&problems);
	assert_int_equal(config_load("/", &problems, &model), -EISDIR);
	assert_string_equal(problems.text, "/: cannot be read: Is a directory\n");
	problems_clear(&problems);
}

static void a_file_is_read_and_named_in_its_problems(void **state)
{
	char path[] = "/tmp/headgate-test-config-XXXXXX";
	_cleanup_free_ char *want = NULL;
	struct problems problems = {};
	struct model *model = NULL;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, full, strlen(full)), strlen(full));
	assert_int_equal(config_load(path, &problems, &model), 0);
	assert_int_equal(model->service_count, 2);
	model_free(model);
	assert_null(problems.text);

	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(config_load(path, &problems, &model), -EINVAL);
	assert_true(asprintf(&want, "%s:1:1: the file is empty", path) > 0);
	assert_memory_equal(problems.text, want, strlen(want));
	problems_clear(&problems);
	close(fd);
	unlink(path);
}

/* xorshift64 (Marsaglia 2003), seeded, so that a failure comes back. */
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Cuts, copies and overwrites parts of the text; returns its new length, at most @size. */
static size_t mutate(char *text, size_t length, size_t size, uint64_t *seed)
{
	static const char marks[] = "[]{}:,-?&*!|>'\"%@`#\n\t \\\x80\xff\0";
	size_t from = next_random(seed) % (length + 1);
	size_t count = next_random(seed) % 40;

	if (count > length - from)
		count = length - from;
	switch (next_random(seed) % 4) {
	case 0:
		memmove(text + from, text + from + count, length - from - count);
		return length - count;
	case 1:
		if (length + count > size)
			return length;
		memmove(text + from + count, text + from, length - from);
		return length + count;
	case 2:
		if (from < length)
			text[from] = next_random(seed);
		return length;
	default:
		if (from < length)
			text[from] = marks[next_random(seed) % sizeof(marks)];
		return length;
	}
}

static void random_text_gives_a_model_or_problems(void **state)
{
	uint64_t seed = 0x6865616467617465;
	size_t accepted = 0;
	char text[4096];

	(void)state;
	for (size_t round = 0; round < 20000; round++) {
		struct problems problems = {};
		struct model *model = NULL;
		size_t length = sizeof(full) - 1;
		int err;

		memcpy(text, full, length);
		for (size_t i = next_random(&seed) % 6; round % 4 && i; i--)
			length = mutate(text, length, sizeof(text), &seed);
		if (round % 4 == 0) {
			length = next_random(&seed) % 200;
			for (size_t i = 0; i < length; i++)
				text[i] = next_random(&seed) >> (round % 8 ? 57 : 56);
		}
		err = config_parse("t.yaml", text, length, &problems, &model);
		assert_true(err == 0 || err == -EINVAL);
		assert_int_equal(!err, model != NULL);
		assert_int_equal(!err, problems.text == NULL);
		assert_int_equal(!err, problems.count == 0);
		if (err)
			assert_memory_equal(problems.text, "t.yaml:", 7);
		accepted += !err;
		problems_clear(&problems);
		model_free(model);
	}
	/* Both ways must have been taken, or the mutations are no test. */
	assert_in_range(accepted, 1000, 15000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_file_sets_interfaces_limits_and_times),
		cmocka_unit_test(a_full_file_sets_a_nat_service),
		cmocka_unit_test(a_full_file_sets_health_checks),
		cmocka_unit_test(a_full_file_sets_a_udp_service),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(a_check_alone_has_its_defaults),
		cmocka_unit_test(a_short_interval_lowers_the_default_timeout),
		cmocka_unit_test(passive_health_needs_no_check),
		cmocka_unit_test(a_pace_is_a_share_each_second),
		cmocka_unit_test(every_power_of_two_is_a_share_to_measure),
		cmocka_unit_test(a_long_drain_timeout_lifts_the_default_limit),
		cmocka_unit_test(nat_backends_may_be_shared_and_protocols_are_apart),
		cmocka_unit_test(fifty_problems_are_reported_and_no_more),
		cmocka_unit_test(a_problem_found_late_stands_where_it_is_in_the_file),
		cmocka_unit_test(more_values_than_a_configuration_needs_are_refused),
		cmocka_unit_test(a_path_to_check_has_an_end),
		cmocka_unit_test(a_file_above_four_mib_is_refused),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(aliases_cannot_multiply_a_file_without_bound),
		cmocka_unit_test(anchors_are_counted),
		cmocka_unit_test(a_service_that_contains_itself_is_refused),
		cmocka_unit_test(a_file_that_cannot_be_read_is_a_problem),
		cmocka_unit_test(a_file_is_read_and_named_in_its_problems),
		cmocka_unit_test(random_text_gives_a_model_or_problems),
	};

	return cmocka_run_group_tests_name("configuration", tests, NULL, NULL);
}
