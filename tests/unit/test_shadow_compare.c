// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is said of a shadow's responses beside production's: traces written by hand, and exchanges made up at random,
 * lossy, late and out of order, whose truth is known as they are made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/random.h"
#include "shadow_compare.h"
#include "util.h"

#define CLIENT 0xfffffff0U /* sequence numbers of the first bytes: each wraps soon */
#define PRODUCTION 0xffffffc0U
#define SHADOW 0xffffff80U

enum step_kind {
	REQUEST = 1, /* .at: first byte of the client's, .bytes, .ack: of production's bytes */
	FROM_PRODUCTION,
	FROM_SHADOW,
	OVER,    /* the shadow's side is, by .end */
	DEGRADE, /* the engine says that the shadow did not get everything */
};

struct step {
	enum step_kind kind;
	uint32_t at, bytes, class, line, ack;
	bool fin;
	enum shadow_end end;
	uint64_t ns;
};

/* What a trace comes to. */
struct outcome {
	uint64_t requests, responses, bytes, unanswered, compared;
	uint64_t first_bytes, first_byte_ns, production_first_bytes, production_first_byte_ns;
};

struct trace {
	const char *name;
	struct step step[24];
	struct outcome want;
	struct {
		uint32_t production, shadow, requests, difference;
	} pair[4];
};

static void open_flow(struct shadow_flow *flow)
{
	const struct compared_segment production = {.sequence = PRODUCTION};
	const struct compared_segment shadow = {.sequence = SHADOW};
	struct comparison nothing = {};

	memset(flow, 0, sizeof(*flow));
	flow->client_next = CLIENT;
	compare_response(flow, false, &production, &nothing);
	compare_response(flow, true, &shadow, &nothing);
}

static void take(struct shadow_flow *flow, const struct step *s, struct shadow_counters *counters)
{
	struct comparison result = {};
	struct compared_segment segment = {
		.bytes = s->bytes,
		.class = s->class,
		.line = s->line,
		.fin = s->fin,
		.now_ns = s->ns,
	};
	uint32_t next = CLIENT + s->at + s->bytes;

	switch (s->kind) {
	case REQUEST:
		compare_request(flow, PRODUCTION + s->ack, next, s->ns, &result);
		if (sequence_after(next, flow->client_next))
			flow->client_next = next;
		break;
	case FROM_PRODUCTION:
		segment.sequence = PRODUCTION + s->at;
		compare_response(flow, false, &segment, &result);
		break;
	case FROM_SHADOW:
		segment.sequence = SHADOW + s->at;
		compare_response(flow, true, &segment, &result);
		break;
	case OVER:
		flow->flags |= s->fin ? SHADOW_FLOW_FIN : 0;
		compare_end(flow, s->end, &result);
		break;
	case DEGRADE:
		flow->flags |= SHADOW_FLOW_DEGRADED;
		break;
	}
	comparison_add(counters, &result);
}

/* clang-format off */
static const struct trace traces[] = {
	{.name = "a response of each side is a pair when both are done", .step = {
		{.kind = REQUEST, .bytes = 100, .ns = 1000},
		{.kind = FROM_PRODUCTION, .bytes = 500, .class = 2, .fin = true, .ns = 1500},
		{.kind = FROM_SHADOW, .bytes = 500, .class = 2, .ns = 1700},
		{.kind = FROM_SHADOW, .at = 500, .fin = true}, {.kind = OVER, .fin = true}},
	 .want = {.requests = 1, .responses = 1, .bytes = 500, .compared = 1, .first_bytes = 1, .first_byte_ns = 700,
	  .production_first_bytes = 1, .production_first_byte_ns = 500},
	 .pair = {{2, 2, 1, 0}}},
	{.name = "the next response finishes the one before", .step = {
		{.kind = REQUEST, .bytes = 100, .ns = 0},
		{.kind = FROM_PRODUCTION, .bytes = 500, .class = 2, .ns = 10}, {.kind = FROM_SHADOW, .bytes = 600, .class = 5, .ns = 20},
		{.kind = REQUEST, .at = 100, .bytes = 100, .ack = 500, .ns = 100},
		{.kind = FROM_PRODUCTION, .at = 500, .bytes = 1, .class = 2, .ns = 130},
		{.kind = FROM_SHADOW, .at = 600, .bytes = 1, .class = 2, .ns = 140}},
	 .want = {.requests = 2, .responses = 2, .bytes = 601, .compared = 1, .first_bytes = 2, .first_byte_ns = 60,
	  .production_first_bytes = 2, .production_first_byte_ns = 40},
	 .pair = {{2, 5, 1, 7}}},
	{.name = "a shadow that ends before production waits for it", .step = {
		{.kind = REQUEST, .bytes = 100},
		{.kind = FROM_SHADOW, .bytes = 500, .class = 2, .fin = true}, {.kind = OVER, .fin = true},
		{.kind = FROM_PRODUCTION, .bytes = 300, .class = 2},
		{.kind = FROM_PRODUCTION, .at = 300, .bytes = 200, .fin = true}},
	 .want = {.requests = 1, .responses = 1, .bytes = 500, .compared = 1, .first_bytes = 1, .production_first_bytes = 1,
	  .unanswered = 0}, .pair = {{2, 2, 1, 0}}},
	{.name = "what is sent again is counted once", .step = {
		{.kind = REQUEST, .bytes = 100}, {.kind = REQUEST, .bytes = 100, .ack = 40},
		{.kind = FROM_SHADOW, .bytes = 500, .class = 2}, {.kind = FROM_SHADOW, .bytes = 500, .class = 2},
		{.kind = FROM_SHADOW, .at = 400, .bytes = 200}, {.kind = FROM_SHADOW, .at = 400, .bytes = 200}},
	 .want = {.requests = 1, .responses = 1, .bytes = 600, .first_bytes = 1}},
	{.name = "a request in many segments is one", .step = {
		{.kind = REQUEST, .bytes = 100}, {.kind = REQUEST, .at = 100, .bytes = 100}, {.kind = REQUEST, .at = 200, .bytes = 100}},
	 .want = {.requests = 1}},
	{.name = "a first segment that comes late begins the response", .step = {
		{.kind = REQUEST, .bytes = 100},
		{.kind = FROM_SHADOW, .at = 100, .bytes = 100}, {.kind = FROM_SHADOW, .bytes = 100, .class = 4},
		{.kind = FROM_SHADOW, .at = 200, .fin = true},
		{.kind = FROM_PRODUCTION, .bytes = 210, .class = 2, .fin = true}, {.kind = OVER, .fin = true}},
	 .want = {.requests = 1, .responses = 1, .bytes = 200, .compared = 1, .first_bytes = 1, .production_first_bytes = 1},
	 .pair = {{2, 4, 1, 32 + 4}}},
	{.name = "a shadow that is behind answers requests in order", .step = {
		{.kind = REQUEST, .bytes = 1, .ns = 100}, {.kind = FROM_PRODUCTION, .bytes = 10, .class = 2, .ns = 101},
		{.kind = REQUEST, .at = 1, .bytes = 1, .ack = 10, .ns = 200}, {.kind = FROM_PRODUCTION, .at = 10, .bytes = 10, .class = 5, .ns = 201},
		{.kind = REQUEST, .at = 2, .bytes = 1, .ack = 20, .ns = 300},
		{.kind = FROM_SHADOW, .bytes = 10, .class = 2, .ns = 310}, {.kind = FROM_SHADOW, .at = 10, .bytes = 10, .ns = 320},
		{.kind = FROM_SHADOW, .at = 20, .bytes = 10, .class = 5, .ns = 330},
		{.kind = FROM_SHADOW, .at = 30, .bytes = 10, .class = 2, .ns = 340}},
	 .want = {.requests = 3, .responses = 3, .bytes = 40, .compared = 1, .first_bytes = 3,
	  .first_byte_ns = 210 + 130 + 40, .production_first_bytes = 2, .production_first_byte_ns = 2},
	 .pair = {{2, 2, 1, 4}}},
	{.name = "a response may begin within a segment", .step = {
		{.kind = REQUEST, .bytes = 1, .ns = 100}, {.kind = FROM_PRODUCTION, .bytes = 10, .class = 2, .ns = 101},
		{.kind = REQUEST, .at = 1, .bytes = 1, .ack = 10, .ns = 200},
		{.kind = FROM_PRODUCTION, .at = 10, .bytes = 10, .class = 5, .ns = 201, .fin = true},
		{.kind = FROM_SHADOW, .bytes = 10, .class = 2, .ns = 300},
		{.kind = FROM_SHADOW, .at = 10, .bytes = 50, .class = 5, .line = 1, .ns = 301},
		{.kind = FROM_SHADOW, .at = 10, .bytes = 50, .class = 5, .line = 1, .ns = 302},
		{.kind = FROM_SHADOW, .at = 60, .fin = true}, {.kind = OVER, .fin = true}},
	 .want = {.requests = 2, .responses = 2, .bytes = 60, .compared = 2, .first_bytes = 2, .first_byte_ns = 200 + 101,
	  .production_first_bytes = 2, .production_first_byte_ns = 2},
	 .pair = {{2, 2, 1, 1}, {5, 5, 1, 6}}},
	{.name = "in other protocols the first data after a request are a response", .step = {
		{.kind = REQUEST, .bytes = 1}, {.kind = FROM_PRODUCTION, .bytes = 10}, {.kind = FROM_PRODUCTION, .at = 10, .bytes = 10},
		{.kind = FROM_SHADOW, .bytes = 10}, {.kind = FROM_SHADOW, .at = 10, .bytes = 11},
		{.kind = REQUEST, .at = 1, .bytes = 1, .ack = 20},
		{.kind = FROM_PRODUCTION, .at = 20, .bytes = 10, .fin = true}, {.kind = FROM_SHADOW, .at = 21, .bytes = 10, .fin = true}},
	 .want = {.requests = 2, .responses = 2, .bytes = 31, .compared = 2, .first_bytes = 2, .production_first_bytes = 2},
	 .pair = {{0, 0, 2, 0}, {0, 0, 2, 1}}},
	{.name = "what a server says unasked is no response, unless it has a status line", .step = {
		{.kind = FROM_SHADOW, .bytes = 10}, {.kind = REQUEST, .bytes = 1}, {.kind = FROM_SHADOW, .at = 10, .bytes = 10}},
	 .want = {.requests = 1, .responses = 1, .bytes = 20, .first_bytes = 1}},
	{.name = "after 101 the protocol is another", .step = {
		{.kind = REQUEST, .bytes = 1}, {.kind = FROM_SHADOW, .bytes = 10, .class = 1},
		{.kind = REQUEST, .at = 1, .bytes = 1, .ack = 10}, {.kind = FROM_SHADOW, .at = 10, .bytes = 10}},
	 .want = {.requests = 2, .responses = 2, .bytes = 20, .first_bytes = 2}},
	{.name = "requests that production answered and the shadow did not are unanswered", .step = {
		{.kind = REQUEST, .bytes = 1}, {.kind = FROM_PRODUCTION, .bytes = 10, .class = 2},
		{.kind = REQUEST, .at = 1, .bytes = 1, .ack = 10}, {.kind = FROM_PRODUCTION, .at = 10, .bytes = 10, .class = 2, .fin = true},
		{.kind = FROM_SHADOW, .bytes = 10, .class = 2, .fin = true}, {.kind = OVER, .fin = true}},
	 .want = {.requests = 2, .responses = 1, .bytes = 10, .unanswered = 1, .compared = 1, .first_bytes = 1,
	  .production_first_bytes = 2}, .pair = {{2, 2, 1, 0}}},
	{.name = "nor where the shadow gave up", .step = {
		{.kind = REQUEST, .bytes = 1}, {.kind = FROM_PRODUCTION, .bytes = 10, .class = 2},
		{.kind = OVER, .end = SHADOW_RESET}},
	 .want = {.requests = 1, .unanswered = 1, .production_first_bytes = 1}},
	{.name = "but not where the client gave up", .step = {
		{.kind = REQUEST, .bytes = 1}, {.kind = FROM_PRODUCTION, .bytes = 10, .class = 2}, {.kind = OVER}},
	 .want = {.requests = 1, .production_first_bytes = 1}},
	{.name = "or something was lost", .step = {
		{.kind = REQUEST, .bytes = 1}, {.kind = FROM_PRODUCTION, .bytes = 10, .class = 2},
		{.kind = OVER, .fin = true, .end = SHADOW_LOST}},
	 .want = {.requests = 1, .production_first_bytes = 1}},
	{.name = "a response that was cut off is not compared", .step = {
		{.kind = REQUEST, .bytes = 1}, {.kind = FROM_PRODUCTION, .bytes = 10, .class = 2, .fin = true},
		{.kind = FROM_SHADOW, .bytes = 5, .class = 2}, {.kind = OVER, .fin = true}},
	 .want = {.requests = 1, .responses = 1, .bytes = 5, .first_bytes = 1, .production_first_bytes = 1}},
	{.name = "a connection that the shadow did not get whole is not compared", .step = {
		{.kind = REQUEST, .bytes = 1}, {.kind = FROM_PRODUCTION, .bytes = 10, .class = 2}, {.kind = DEGRADE},
		{.kind = REQUEST, .at = 1, .bytes = 1, .ack = 10}, {.kind = FROM_PRODUCTION, .at = 10, .fin = true},
		{.kind = FROM_SHADOW, .bytes = 10, .class = 2, .fin = true}, {.kind = OVER, .fin = true}},
	 .want = {.requests = 1, .production_first_bytes = 1}},
};
/* clang-format on */

static void check(const char *name, const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		fail_msg("%s: %s: %llu instead of %llu", name, what, (unsigned long long)got, (unsigned long long)want);
}

static void check_outcome(const char *name, const struct shadow_counters *c, const struct outcome *want)
{
	check(name, "requests", c->requests, want->requests);
	check(name, "responses", c->responses, want->responses);
	check(name, "response bytes", c->response_bytes, want->bytes);
	check(name, "unanswered", c->unanswered, want->unanswered);
	check(name, "compared", c->compared, want->compared);
	check(name, "first bytes", c->first_byte.count, want->first_bytes);
	check(name, "their time", c->first_byte.sum_ns, want->first_byte_ns);
	check(name, "production's first bytes", c->production_first_byte.count, want->production_first_bytes);
	check(name, "their time", c->production_first_byte.sum_ns, want->production_first_byte_ns);
}

static void traces_come_to_what_was_worked_out_by_hand(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(traces); i++) {
		const struct trace *t = &traces[i];
		struct shadow_counters counters = {};
		struct shadow_flow flow;

		open_flow(&flow);
		for (size_t j = 0; j < ARRAY_SIZE(t->step) && t->step[j].kind; j++)
			take(&flow, &t->step[j], &counters);
		check_outcome(t->name, &counters, &t->want);
		for (size_t j = 0; j < ARRAY_SIZE(t->pair) && t->pair[j].requests; j++) {
			check(t->name, "pairs", counters.matrix[t->pair[j].production][t->pair[j].shadow],
			      t->pair[j].requests);
			if (!counters.difference[t->pair[j].difference])
				fail_msg("%s: difference %u", t->name, t->pair[j].difference);
		}
	}
}

/* The same buckets, by counting bits one at a time. */
static uint32_t plain_difference(uint32_t production, uint32_t shadow)
{
	int64_t longer = (int64_t)shadow - production;
	uint32_t bits = 0;

	for (int64_t rest = llabs(longer); rest; rest /= 2)
		bits++;
	if (bits > 31)
		bits = 31;
	return longer < 0 ? 32 + bits : bits;
}

/* Looking for it costs time. */
static void a_status_line_is_looked_for_only_where_a_response_is_due(void **state)
{
	struct shadow_flow flow = {.requests = 2, .shadow = {.begun = 1, .answered = 1, .status = {2}}};

	(void)state;
	assert_true(compare_is_due(&flow));
	flow.shadow.answered = 2;
	assert_false(compare_is_due(&flow));
	flow.shadow.answered = 1;
	flow.shadow.status[0] = 0;
	assert_false(compare_is_due(&flow));
	flow.shadow.begun = flow.shadow.answered = 0;
	assert_false(compare_is_due(&flow));
}

static void differences_in_length_are_counted_by_powers_of_two(void **state)
{
	(void)state;
	assert_int_equal(length_difference_of(7, 7), 0);
	for (uint32_t bit = 0; bit < 32; bit++) {
		for (int64_t off = -1; off <= 1; off++) {
			uint32_t length = (1U << bit) + off;

			assert_int_equal(length_difference_of(0, length), plain_difference(0, length));
			assert_int_equal(length_difference_of(length, 0), plain_difference(length, 0));
			assert_int_equal(length_difference_of(length, 1000), plain_difference(length, 1000));
		}
	}
}

static void the_faster_side_is_compared_as_far_as_it_is_remembered(void **state)
{
	struct shadow_counters counters = {};
	struct shadow_flow flow;
	struct step step = {};

	(void)state;
	open_flow(&flow);
	for (uint32_t i = 0; i < 20; i++) {
		step = (struct step){.kind = REQUEST, .at = i, .bytes = 1, .ack = 10 * i};
		take(&flow, &step, &counters);
		step = (struct step){
			.kind = FROM_PRODUCTION, .at = 10 * i, .bytes = 10, .class = i < 12 ? 5 : 2, .fin = i == 19};
		take(&flow, &step, &counters);
	}
	assert_int_equal(counters.compared, 0);
	for (uint32_t i = 0; i < 20; i++) {
		step = (struct step){.kind = FROM_SHADOW, .at = 10 * i, .bytes = 10, .class = 2, .fin = i == 19};
		take(&flow, &step, &counters);
	}
	assert_int_equal(counters.compared, SHADOW_RESPONSES);
	assert_int_equal(counters.matrix[2][2], SHADOW_RESPONSES);
	assert_int_equal(counters.responses, 20);
	/* When requests further back began is not known any more either. */
	assert_int_equal(counters.first_byte.count, SHADOW_RESPONSES);
}

/* --- exchanges made up at random --- */

#define SEGMENTS_MAX 8
#define EXCHANGES 200U

struct response {
	uint32_t status, bytes;
};

/* What one side is to say, in order, and how far it has come. */
struct speaker {
	enum step_kind kind;
	struct response response[EXCHANGES];
	struct step queue[2 * EXCHANGES * SEGMENTS_MAX];
	size_t count, done;
	size_t end[EXCHANGES]; /* of each response in the queue */
	uint32_t at;
};

/* A response in segments, some of them twice, some changing places. */
static void speaker_add(struct speaker *s, size_t number, struct random *seed)
{
	struct response *r = &s->response[number];
	uint32_t segments = 1 + random_below(seed, 4);
	size_t first = s->count;
	uint32_t left;

	r->status = 2 + random_below(seed, 4);
	r->bytes = left = 12 * segments + random_below(seed, 5000);
	for (uint32_t i = 0; i < segments; i++) {
		uint32_t bytes =
			i == segments - 1 ? left : 12 + random_below(seed, left - 12 * (segments - 1 - i) - 11);
		struct step step = {.kind = s->kind, .at = s->at, .bytes = bytes, .class = i ? 0 : r->status};

		s->queue[s->count++] = step;
		if (!random_below(seed, 8))
			s->queue[s->count++] = step;
		s->at += bytes;
		left -= bytes;
	}
	s->end[number] = s->count;
	for (size_t i = first + 1; i < s->count; i++) {
		struct step kept = s->queue[i];

		if (random_below(seed, 5))
			continue;
		s->queue[i] = s->queue[i - 1];
		s->queue[i - 1] = kept;
	}
}

static void speak(struct speaker *s, size_t until, struct shadow_flow *flow, struct shadow_counters *counters)
{
	while (s->done < until)
		take(flow, &s->queue[s->done++], counters);
}

static void exchange_at_random(struct random *seed)
{
	static struct speaker production, shadow;
	struct shadow_counters counters = {}, want = {};
	uint32_t exchanges = 1 + random_below(seed, EXCHANGES), behind = 0;
	struct shadow_flow flow;
	struct step fin;

	memset(&production, 0, sizeof(production));
	memset(&shadow, 0, sizeof(shadow));
	production.kind = FROM_PRODUCTION;
	shadow.kind = FROM_SHADOW;
	open_flow(&flow);
	for (uint32_t i = 0; i < exchanges; i++) {
		speaker_add(&production, i, seed);
		speaker_add(&shadow, i, seed);
	}
	for (uint32_t i = 0; i < exchanges; i++) {
		uint32_t ack = i ? production.at : 0; /* any that is another one does */
		struct step request = {.kind = REQUEST, .at = 7 * i, .bytes = 7, .ack = ack + i};
		uint32_t lag = random_below(seed, SHADOW_RESPONSES - 1);

		take(&flow, &request, &counters);
		speak(&production, production.end[i], &flow, &counters);
		for (; behind + lag <= i; behind++)
			speak(&shadow, shadow.end[behind], &flow, &counters);
		want.matrix[production.response[i].status][shadow.response[i].status]++;
		want.difference[plain_difference(production.response[i].bytes, shadow.response[i].bytes)]++;
		want.status[shadow.response[i].status]++;
	}
	speak(&shadow, shadow.count, &flow, &counters);
	fin = (struct step){.kind = FROM_PRODUCTION, .at = production.at, .fin = true};
	take(&flow, &fin, &counters);
	fin = (struct step){.kind = FROM_SHADOW, .at = shadow.at, .fin = true};
	take(&flow, &fin, &counters);
	fin = (struct step){.kind = OVER, .fin = true};
	take(&flow, &fin, &counters);

	assert_int_equal(counters.requests, exchanges);
	assert_int_equal(counters.responses, exchanges);
	assert_int_equal(counters.compared, exchanges);
	assert_int_equal(counters.first_byte.count, exchanges);
	assert_int_equal(counters.production_first_byte.count, exchanges);
	assert_int_equal(counters.response_bytes, shadow.at);
	assert_int_equal(counters.unanswered, 0);
	assert_memory_equal(counters.matrix, want.matrix, sizeof(want.matrix));
	assert_memory_equal(counters.status, want.status, sizeof(want.status));
	assert_memory_equal(counters.difference, want.difference, sizeof(want.difference));
}

static void exchanges_at_random_are_counted_as_they_were_made_up(void **state)
{
	struct random seed = {1};

	(void)state;
	for (int i = 0; i < 300; i++)
		exchange_at_random(&seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traces_come_to_what_was_worked_out_by_hand),
		cmocka_unit_test(a_status_line_is_looked_for_only_where_a_response_is_due),
		cmocka_unit_test(differences_in_length_are_counted_by_powers_of_two),
		cmocka_unit_test(the_faster_side_is_compared_as_far_as_it_is_remembered),
		cmocka_unit_test(exchanges_at_random_are_counted_as_they_were_made_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
