// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rounds of asking: metrics of several variants, hooks, and who is told; by a real server. */
#include "requests_fixture.h"

#include <jansson.h>

#include "hooks.h"
#include "inquiry.h"
#include "notify.h"

struct listing {
	int calls;
	json_t *kept;
};

static void on_listing(void *context, const struct answer *answer)
{
	struct listing *l = context;

	l->calls++;
	l->kept = json_loadb(answer->body, answer->length, 0, NULL);
}

/* What was posted to the server's /keep since the last time, parsed, once there are so many. */
static json_t *kept(struct loop *l, size_t count)
{
	json_t *all = json_array();

	for (int call = 1; json_array_size(all) < count; call++) {
		struct listing listing = {};

		assert_true(call < 1000);
		turn(l, 10);
		assert_int_equal(
			request_start(l->requests, url_of("/kept"), NULL, PATIENT_MS, on_listing, &listing, NULL), 0);
		await(l, &listing.calls, 1);
		for (size_t i = 0; i < json_array_size(listing.kept); i++) {
			const char *text = json_string_value(json_array_get(listing.kept, i));

			json_array_append_new(all, json_loads(text, 0, NULL));
		}
		json_decref(listing.kept);
	}
	assert_int_equal(json_array_size(all), count);
	return all;
}

/* --- inquiries ----------------------------------------------------------------------------------------------------
 */

static struct rollout_plan plan;
static struct inquired results[PLAN_METRICS_MAX * PLAN_ARMS_MAX];

struct round {
	int calls;
	size_t results;
};

static void on_inquired(void *context, const struct inquired *r)
{
	struct round *round = context;

	round->calls++;
	memcpy(results, r, round->results * sizeof(*r));
}

static struct metric_plan *add_metric(enum metric_source source, enum metric_kind kind, const char *url)
{
	struct metric_plan *m = &plan.analysis.metrics[plan.analysis.metric_count++];

	memset(m, 0, sizeof(*m));
	m->source = source;
	m->kind = kind;
	m->timeout_ms = PATIENT_MS;
	m->range_high = 1;
	snprintf(m->name, sizeof(m->name), "m%zu", plan.analysis.metric_count);
	snprintf(m->url, sizeof(m->url), "%s", url);
	return m;
}

/* A webhook that answers what its URL has behind body=; names are filled in as they are. */
static struct metric_plan *add_webhook(enum metric_kind kind, const char *body)
{
	char path[256];

	snprintf(path, sizeof(path), "/say?body=%s", body);
	return add_metric(SOURCE_WEBHOOK, kind, url_of(path));
}

static void inquire(struct loop *l, const char *const *variants, size_t count)
{
	struct round round = {.results = plan.analysis.metric_count * count};
	struct inquiry *q = NULL;

	assert_int_equal(inquiry_start(l->requests, &plan.analysis, "web", variants, count, on_inquired, &round, &q),
			 0);
	assert_non_null(q);
	/* Nothing of it is needed any more. */
	memset(&plan, 0, sizeof(plan));
	assert_int_equal(round.calls, 0);
	await(l, &round.calls, 1);
	turn(l, 20);
	assert_int_equal(round.calls, 1);
}

static int forget_plan(void **state)
{
	memset(&plan, 0, sizeof(plan));
	return loop_open(state);
}

static void each_variant_is_asked_for_each_metric(void **state)
{
	static const char *const variants[] = {"7", "8", "9"};

	add_webhook(METRIC_VALUE, "{\"value\":{{variant}}}");
	add_metric(SOURCE_PUSH, METRIC_COUNTS, "");
	add_webhook(METRIC_COUNTS, "{\"events\":1,\"trials\":{{variant}}}");
	add_metric(SOURCE_DATAPLANE, METRIC_COUNTS, "");
	add_webhook(METRIC_SCORES, "{\"values\":[0.{{variant}}]}");
	inquire(*state, variants, 3);
	for (size_t v = 0; v < 3; v++) {
		assert_int_equal(results[v].sample.trouble, JUDGED_NOTHING);
		assert_true(results[v].sample.value == 7 + v);
		assert_int_equal(results[3 + v].sample.trouble, JUDGED_NO_DATA);
		assert_int_equal(results[6 + v].sample.trials, 7 + v);
		assert_int_equal(results[6 + v].sample.events, 1);
		assert_int_equal(results[9 + v].sample.trouble, JUDGED_NO_DATA);
		assert_true(results[12 + v].sample.sum == (7 + v) / 10.0);
		assert_string_equal(results[v].why, "");
	}
}

static void what_is_the_same_for_all_is_asked_once(void **state)
{
	static const char *const variants[] = {"canary", "blue"};

	add_webhook(METRIC_VALUE, "{\"value\":5}");
	inquire(*state, variants, 2);
	assert_true(results[0].sample.value == 5);
	assert_int_equal(results[1].sample.trouble, JUDGED_NO_DATA);
}

static void prometheus_is_asked_a_query(void **state)
{
	static const char *const variants[] = {"canary", "blue"};
	struct metric_plan *m = add_metric(SOURCE_PROMETHEUS, METRIC_VALUE, url_of(""));

	/* The server knows no such path, and answers nothing. */
	snprintf(m->query, sizeof(m->query), "x{v=\"{{variant}}\"}");
	inquire(*state, variants, 2);
	assert_int_equal(results[0].sample.trouble, JUDGED_ERROR);
	assert_string_equal(results[0].why, "closed without an answer");
	assert_int_equal(results[1].sample.trouble, JUDGED_ERROR);
}

/* One that is late, one that is not there and one that talks nonsense are themselves alone. */
static void trouble_of_one_is_not_another_s(void **state)
{
	static const char *const variants[] = {"4"};

	add_webhook(METRIC_VALUE, "{\"value\":{{variant}}}");
	add_metric(SOURCE_WEBHOOK, METRIC_VALUE, url_of("/silent"))->timeout_ms = LATE_MS;
	add_metric(SOURCE_WEBHOOK, METRIC_VALUE, "http://127.0.0.1:1/");
	add_metric(SOURCE_WEBHOOK, METRIC_VALUE, url_of("/say?status=500"));
	add_webhook(METRIC_VALUE, "{\"value\":null}");
	inquire(*state, variants, 1);
	assert_true(results[0].sample.value == 4);
	assert_string_equal(results[1].why, "no answer in 200 ms");
	assert_string_equal(results[2].why, "connection refused");
	assert_string_equal(results[3].why, "status 500");
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(results[i].sample.trouble, JUDGED_ERROR);
	assert_int_equal(results[4].sample.trouble, JUDGED_NO_DATA);
}

static void with_nothing_to_ask_nobody_is_called(void **state)
{
	static const char *const variants[] = {"canary", "blue"};
	struct inquiry *q = (void *)1;
	struct round round = {};
	struct loop *l = *state;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			inquiry_start(l->requests, &plan.analysis, "web", variants, 2, on_inquired, &round, &q), 0);
		assert_null(q);
		add_metric(SOURCE_PUSH, METRIC_COUNTS, "");
	}
	turn(l, 20);
	assert_int_equal(round.calls, 0);
}

static void a_cancelled_inquiry_is_silent(void **state)
{
	static const char *const variants[] = {"1", "2"};
	struct inquiry *q = NULL;
	struct round round = {};
	struct loop *l = *state;

	add_webhook(METRIC_VALUE, "{\"value\":{{variant}}}");
	add_metric(SOURCE_WEBHOOK, METRIC_VALUE, url_of("/held"));
	command(l, "/hold");
	assert_int_equal(inquiry_start(l->requests, &plan.analysis, "web", variants, 2, on_inquired, &round, &q), 0);
	turn(l, 30);
	inquiry_cancel(q);
	inquiry_cancel(NULL);
	command(l, "/release");
	turn(l, 50);
	assert_int_equal(round.calls, 0);
}

/* --- hooks --------------------------------------------------------------------------------------------------------
 */

struct verdict {
	int calls;
	enum hook_answer answer;
	char why[HOOK_WHY_SIZE];
};

static void on_hooked(void *context, enum hook_answer answer, const char *why)
{
	struct verdict *v = context;

	v->calls++;
	v->answer = answer;
	snprintf(v->why, sizeof(v->why), "%s", why);
}

static void add_hook(bool after, const char *path, uint32_t timeout_ms)
{
	struct hook_plan *h = &plan.hooks[plan.hook_count++];

	h->after = after;
	h->timeout_ms = timeout_ms;
	snprintf(h->url, sizeof(h->url), "%s", url_of(path));
}

static struct verdict ask_hooks(struct loop *l, bool after)
{
	json_t *rollout = json_pack("{s:s, s:i}", "service", "web", "rollout", 7);
	struct hooking *h = NULL;
	struct verdict v = {};

	assert_int_equal(hooking_start(l->requests, &plan, after, rollout, on_hooked, &v, &h), 0);
	json_decref(rollout);
	assert_non_null(h);
	memset(&plan, 0, sizeof(plan));
	await(l, &v.calls, 1);
	return v;
}

static void what_a_hook_says_is_go_or_hold_or_fail(void **state)
{
	static const struct {
		const char *path;
		enum hook_answer answer;
		const char *why;
	} cases[] = {
		{"/say", HOOK_GO, ""},
		{"/say?status=204", HOOK_GO, ""},
		{"/say?body=ok", HOOK_GO, ""},
		{"/say?body=[1]", HOOK_GO, ""},
		{"/say?body={\"hold\":false,\"fail\":false,\"reason\":\"r\"}", HOOK_GO, ""},
		{"/say?body={\"hold\":true,\"reason\":\"at%20lunch\"}", HOOK_HOLD, "at lunch"},
		{"/say?body={\"hold\":true}", HOOK_HOLD, "it gives no reason"},
		{"/say?body={\"hold\":\"yes\"}", HOOK_HOLD, "it gives no reason"},
		{"/say?body={\"fail\":\"no\",\"reason\":7}", HOOK_HOLD, "it gives no reason"},
		{"/say?body={\"fail\":true,\"hold\":true,\"reason\":\"load%5Cntest\"}", HOOK_FAIL, "load test"},
		{"/say?body=%20{\"fail\":True}", HOOK_HOLD, "its answer is broken JSON"},
		{"/say?status=409", HOOK_HOLD, "status 409"},
		{"/say?status=425&body={\"reason\":\"too%20early\"}", HOOK_HOLD, "status 425: too early"},
		{"/say?status=500&body={\"fail\":true}", HOOK_HOLD, "status 500"},
		{"/say?status=302", HOOK_HOLD, "status 302: redirects are not followed"},
		{"/closed", HOOK_HOLD, "closed without an answer"},
		{"/silent", HOOK_HOLD, "no answer in 200 ms"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct verdict v;
		const char *why;

		add_hook(false, cases[i].path, i + 1 < ARRAY_SIZE(cases) ? PATIENT_MS : LATE_MS);
		v = ask_hooks(*state, false);
		assert_int_equal(v.answer, cases[i].answer);
		why = strstr(v.why, ": ");
		assert_string_equal(why ? why + 2 : "", cases[i].why);
		if (why)
			assert_int_equal(strncmp(v.why, url_of(""), strlen(url_of(""))), 0);
	}
}

static void a_hook_is_told_of_the_rollout(void **state)
{
	struct loop *l = *state;
	json_t *told;

	add_hook(false, "/keep", PATIENT_MS);
	add_hook(false, "/keep", PATIENT_MS);
	assert_int_equal(ask_hooks(l, false).answer, HOOK_GO);
	told = kept(l, 2);
	for (size_t i = 0; i < 2; i++) {
		const json_t *one = json_array_get(told, i);

		assert_int_equal(json_object_size(one), 2);
		assert_string_equal(json_string_value(json_object_get(one, "service")), "web");
		assert_int_equal(json_integer_value(json_object_get(one, "rollout")), 7);
	}
	json_decref(told);
}

static void of_all_hooks_fail_counts_before_hold_and_hold_before_go(void **state)
{
	static const char *const go = "/say", *const hold = "/say?body={\"hold\":true,\"reason\":\"held\"}",
				 *const fail = "/say?body={\"fail\":true,\"reason\":\"failed\"}";
	const struct {
		const char *paths[3];
		enum hook_answer answer;
		const char *why;
	} cases[] = {
		{{go, go, go}, HOOK_GO, ""},
		{{go, hold, go}, HOOK_HOLD, "held"},
		{{hold, fail, go}, HOOK_FAIL, "failed"},
		{{fail, hold, "/say?status=500"}, HOOK_FAIL, "failed"},
		{{go, "/slowly?ms=50", fail}, HOOK_FAIL, "failed"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct verdict v;

		for (size_t j = 0; j < 3; j++)
			add_hook(true, cases[i].paths[j], PATIENT_MS);
		/* Of another phase: not asked. */
		add_hook(false, fail, PATIENT_MS);
		v = ask_hooks(*state, true);
		assert_int_equal(v.answer, cases[i].answer);
		assert_non_null(strstr(v.why, cases[i].why));
	}
}

static void hooks_are_asked_at_once(void **state)
{
	uint64_t begin_ms = now_ms();

	for (size_t i = 0; i < PLAN_HOOKS_MAX; i++)
		add_hook(false, "/slowly?ms=300", PATIENT_MS);
	assert_int_equal(ask_hooks(*state, false).answer, HOOK_GO);
	assert_true(now_ms() - begin_ms < 4 * 300);
}

static void without_hooks_of_a_phase_and_once_cancelled_nobody_is_called(void **state)
{
	json_t *rollout = json_object();
	struct hooking *h = (void *)1;
	struct loop *l = *state;
	struct verdict v = {};

	add_hook(true, "/say", PATIENT_MS);
	assert_int_equal(hooking_start(l->requests, &plan, false, rollout, on_hooked, &v, &h), 0);
	assert_null(h);
	add_hook(true, "/held", PATIENT_MS);
	command(l, "/hold");
	assert_int_equal(hooking_start(l->requests, &plan, true, rollout, on_hooked, &v, &h), 0);
	turn(l, 20);
	hooking_cancel(h);
	hooking_cancel(NULL);
	command(l, "/release");
	turn(l, 50);
	assert_int_equal(v.calls, 0);
	json_decref(rollout);
}

/* --- notifications ------------------------------------------------------------------------------------------------
 */

struct failures {
	int calls;
	char where[8][URL_SHOWN_SIZE], why[8][WHY_SIZE];
};

static void on_failed(void *context, const char *where, const char *why)
{
	struct failures *f = context;

	snprintf(f->where[f->calls], sizeof(f->where[0]), "%s", where);
	snprintf(f->why[f->calls++], sizeof(f->why[0]), "%s", why);
}

static void add_notified(bool slack, const char *path, uint32_t timeout_ms)
{
	struct notify_plan *p = &plan.notify[plan.notify_count++];

	p->slack = slack;
	p->timeout_ms = timeout_ms;
	snprintf(p->url, sizeof(p->url), "%s", url_of(path));
}

static json_t *transition(void)
{
	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:i, s:s, s:s}", "service", "web", "rollout", 7, "strategy",
			 "canary", "from", "Progressing", "to", "RollingBack", "step", 2, "cause",
			 "<!channel> 2 & 3 > \"1\"", "by", "uid 0");
}

static void a_transition_is_told_as_json_and_in_slack_s_form(void **state)
{
	struct failures f = {};
	struct loop *l = *state;
	struct notifier n = {.requests = l->requests, .failed = on_failed, .context = &f};
	json_t *event = transition(), *slack = NULL, *told;

	add_notified(false, "/keep", PATIENT_MS);
	notify_all(&n, &plan, event);
	told = kept(l, 1);
	assert_true(json_equal(json_array_get(told, 0), event));
	json_decref(told);
	plan.notify[0].slack = true;
	notify_all(&n, &plan, event);
	told = kept(l, 1);
	slack = json_array_get(told, 0);
	assert_int_equal(json_object_size(slack), 1);
	assert_string_equal(json_string_value(json_object_get(slack, "text")),
			    "*web*: canary rollout 7, step 2: *Progressing* → *RollingBack*: "
			    "&lt;!channel&gt; 2 &amp; 3 &gt; \"1\" (uid 0)");
	json_decref(told);
	json_decref(event);
	assert_int_equal(f.calls, 0);
}

static void who_cannot_be_told_is_named_without_secrets(void **state)
{
	struct failures f = {};
	struct loop *l = *state;
	struct notifier n = {.requests = l->requests, .failed = on_failed, .context = &f};
	json_t *event = transition();

	add_notified(true, "/say?status=404", PATIENT_MS);
	add_notified(false, "/keep", PATIENT_MS);
	notify_all(&n, &plan, event);
	await(l, &f.calls, 1);
	json_decref(kept(l, 1));
	assert_string_equal(f.why[0], "status 404");
	assert_string_equal(f.where[0], url_of(""));
	memset(&plan, 0, sizeof(plan));
	add_notified(false, "/silent", LATE_MS);
	notify_all(&n, &plan, event);
	await(l, &f.calls, 2);
	assert_string_equal(f.why[1], "no answer in 200 ms");
	json_decref(event);
}

/* The daemon's end, while some have not answered: the sanitizers see what is left. */
static void nobody_waits_for_those_who_are_told(void **state)
{
	struct failures f = {};
	struct loop *l = *state;
	struct notifier n = {.requests = l->requests, .failed = on_failed, .context = &f};
	json_t *event = transition();

	add_notified(false, "/silent", PATIENT_MS);
	add_notified(true, "/silent", PATIENT_MS);
	notify_all(&n, &plan, event);
	turn(l, 20);
	requests_destroy(TAKE_PTR(l->requests));
	json_decref(event);
	assert_int_equal(f.calls, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, forget_plan, loop_close)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(each_variant_is_asked_for_each_metric),
		TEST(what_is_the_same_for_all_is_asked_once),
		TEST(prometheus_is_asked_a_query),
		TEST(trouble_of_one_is_not_another_s),
		TEST(with_nothing_to_ask_nobody_is_called),
		TEST(a_cancelled_inquiry_is_silent),
		TEST(what_a_hook_says_is_go_or_hold_or_fail),
		TEST(a_hook_is_told_of_the_rollout),
		TEST(of_all_hooks_fail_counts_before_hold_and_hold_before_go),
		TEST(hooks_are_asked_at_once),
		TEST(without_hooks_of_a_phase_and_once_cancelled_nobody_is_called),
		TEST(a_transition_is_told_as_json_and_in_slack_s_form),
		TEST(who_cannot_be_told_is_named_without_secrets),
		TEST(nobody_waits_for_those_who_are_told),
	};

	leave_network();
	return cmocka_run_group_tests_name("asking and telling", tests, start_server, stop_server);
}
