// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>

#include "commands.h"
#include "rollout_view.h"
#include "view.h"

#define VIP_SIZE 64

static const char *vip_text(const json_t *service, char text[VIP_SIZE])
{
	const char *address = member_text(service, "address");

	snprintf(text, VIP_SIZE, strchr(address, ':') ? "[%s]:%llu" : "%s:%llu", address,
		 member_count(service, "port"));
	return text;
}

/* "blue=90 green=10". To be freed; NULL: out of memory. */
static char *weights_text(const json_t *service)
{
	char *text = NULL;
	size_t i, length;
	FILE *sink = open_memstream(&text, &length);
	const json_t *variant;

	if (!sink)
		return NULL;
	json_array_foreach(json_object_get(service, "variants"), i, variant)
		fprintf(sink, "%s%s=%llu", i ? " " : "", member_text(variant, "name"), member_count(variant, "weight"));
	fclose(sink);
	return text;
}

static void render_list(const struct invocation *call, const json_t *body)
{
	static const char *const headings[] = {"SERVICE",  "ADDRESS", "PROTOCOL",       "FORWARD",
					       "AFFINITY", "WEIGHTS", ">TRACKED SLOTS", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *service;
	size_t i;

	json_array_foreach(json_object_get(body, "services"), i, service)
	{
		_cleanup_free_ char *weights = weights_text(service);
		char vip[VIP_SIZE];

		listing_add(l, "%s", member_text(service, "name"));
		listing_add(l, "%s", vip_text(service, vip));
		listing_add(l, "%s", member_text(service, "protocol"));
		listing_add(l, "%s", member_text(service, "forward"));
		listing_add(l, "%s", member_text(service, "affinity"));
		listing_add(l, "%s", weights ?: "-");
		listing_add(l, "%llu", member_count(json_object_get(service, "slots"), "tracked"));
	}
	view_listing(l);
	view_split(json_object_get(body, "services"), true);
	view_estimates(json_object_get(body, "services"));
	rollout_view_going_on(call, NULL);
}

/* Of a variant or backend. */
static const struct figure traffic[] = {
	{">SLOTS", FIGURE_COUNT, "slots"},
	{">OPENED", FIGURE_COUNT, "opened"},
	{">CLIENT PACKETS", FIGURE_COUNT, "client_packets"},
	{">CLIENT BYTES", FIGURE_BYTES, "client_bytes"},
	{">SERVER PACKETS", FIGURE_COUNT, "server_packets"},
	{">SERVER BYTES", FIGURE_BYTES, "server_bytes"},
};

/* How connections and requests of @service, an array of the one, went: nothing of a service that is not measured. */
static void print_outcomes(const json_t *service)
{
	static const struct figure connections[] = {
		{">CONNECTIONS", FIGURE_ESTIMATE, "measured.connections"},
		{">ESTABLISHED", FIGURE_ESTIMATE, "measured.established"},
		{">FAILED", FIGURE_ESTIMATE, "measured.failed"},
		{">REFUSED", FIGURE_ESTIMATE, "measured.refused"},
		{">CLOSED", FIGURE_ESTIMATE, "measured.closed"},
		{">RESET BY CLIENT", FIGURE_ESTIMATE, "measured.reset_by_client"},
		{">BY SERVER", FIGURE_ESTIMATE, "measured.reset_by_server"},
		{">BY DRAIN", FIGURE_ESTIMATE, "measured.reset_by_drain"},
		{">EXPIRED", FIGURE_ESTIMATE, "measured.expired"},
	};
	static const struct figure requests[] = {
		{">REQUESTS", FIGURE_ESTIMATE, "measured.requests"},
		{">RESPONSES", FIGURE_ESTIMATE, "measured.responses"},
		{">1XX", FIGURE_ESTIMATE, "measured.status.1xx"},
		{">2XX", FIGURE_ESTIMATE, "measured.status.2xx"},
		{">3XX", FIGURE_ESTIMATE, "measured.status.3xx"},
		{">4XX", FIGURE_ESTIMATE, "measured.status.4xx"},
		{">5XX", FIGURE_ESTIMATE, "measured.status.5xx"},
		{">NO STATUS", FIGURE_ESTIMATE, "measured.status.none"},
	};

	view_variants(service, false, connections, ARRAY_SIZE(connections));
	view_variants(service, false, requests, ARRAY_SIZE(requests));
}

static void print_times(const json_t *service)
{
	static const struct figure figures[] = {
		{">HANDSHAKE P50", FIGURE_TIME, "measured.handshake_s.p50"},
		{">P95", FIGURE_TIME, "measured.handshake_s.p95"},
		{">P99", FIGURE_TIME, "measured.handshake_s.p99"},
		{">DURATION P50", FIGURE_TIME, "measured.duration_s.p50"},
		{">P95", FIGURE_TIME, "measured.duration_s.p95"},
		{">P99", FIGURE_TIME, "measured.duration_s.p99"},
		{">CLIENT RETRANSMISSIONS", FIGURE_ESTIMATE, "measured.client_retransmissions"},
		{">SERVER RETRANSMISSIONS", FIGURE_ESTIMATE, "measured.server_retransmissions"},
	};

	view_variants(service, false, figures, ARRAY_SIZE(figures));
}

static void print_backends(const json_t *service)
{
	static const char *const leading[] = {"BACKEND", "VARIANT", "STATE", "NEXT HOP", "INTERFACE", ">WEIGHT", NULL};
	_cleanup_(listing_freep) struct listing *l = figures_open(leading, traffic, ARRAY_SIZE(traffic));
	const json_t *variant, *backend;
	size_t i, j;

	json_array_foreach(json_object_get(service, "variants"), i, variant)
	{
		json_array_foreach(json_object_get(variant, "backends"), j, backend)
		{
			listing_add(l, "%s", member_text(backend, "address"));
			listing_add(l, "%s", member_text(variant, "name"));
			listing_add(l, "%s", member_text(backend, "state"));
			listing_add(l, "%s", member_text(backend, "next_hop"));
			listing_add(l, "%s", member_text(backend, "interface"));
			listing_add(l, "%llu", member_count(backend, "weight"));
			figures_add(l, traffic, ARRAY_SIZE(traffic), service, backend);
		}
	}
	putchar('\n');
	view_listing(l);
}

static void print_backend_drain(const char *variant, const json_t *backend)
{
	const json_t *resetting = json_object_get(backend, "resetting");
	unsigned long long leftover = member_count(backend, "leftover");

	if (json_is_number(resetting))
		printf("  %s of %s: resetting %.0f %%, %llu left\n", member_text(backend, "address"), variant,
		       json_number_value(resetting) * 100, leftover);
	else if (leftover)
		printf("  %s of %s: %llu left\n", member_text(backend, "address"), variant, leftover);
}

static void print_drain(const json_t *service)
{
	char on_change[POLICY_SIZE], on_rollback[POLICY_SIZE];
	const json_t *variant, *backend;
	size_t i, j;

	if (json_object_get(service, "drain"))
		printf("drain: connections whose slot moves %s; in a rollback they %s\n",
		       view_policy(service, "on_change", on_change), view_policy(service, "on_rollback", on_rollback));
	view_leftover(service);
	json_array_foreach(json_object_get(service, "variants"), i, variant)
		json_array_foreach(json_object_get(variant, "backends"), j, backend)
			print_backend_drain(member_text(variant, "name"), backend);
}

static void print_answers(const json_t *service)
{
	const json_t *answers = json_object_get(service, "answers");
	unsigned long long echo = member_count(answers, "echo"), too_big = member_count(answers, "too_big");

	if (echo || too_big)
		printf("%s: answered here: %llu echo requests, %llu packets that were too big\n",
		       member_text(service, "name"), echo, too_big);
}

static void render_one(const struct invocation *call, const json_t *body)
{
	json_auto_t *service = json_pack("[O]", body);
	char vip[VIP_SIZE];

	printf("%s: %s %s, %s, affinity by %s\n", member_text(body, "name"), member_text(body, "protocol"),
	       vip_text(body, vip), member_text(body, "forward"), member_text(body, "affinity"));
	view_split(service, false);
	view_variants(service, false, traffic, ARRAY_SIZE(traffic));
	print_outcomes(service);
	print_times(service);
	view_estimates(service);
	print_backends(body);
	if (json_array_size(json_object_get(body, "cohorts"))) {
		putchar('\n');
		view_cohorts(service);
	}
	putchar('\n');
	rollout_view_going_on(call, member_text(body, "name"));
	print_drain(body);
	printf("flow state: %llu packets looked for it, %llu found none, %llu found no room\n",
	       member_count(body, "flow_lookups"), member_count(body, "flow_misses"),
	       member_count(body, "flow_overflows"));
	view_tracked(body);
	view_drops(body);
	print_answers(body);
}

static enum exit_code run(const struct invocation *call)
{
	_cleanup_free_ char *path = NULL;

	if (!call->argument_count)
		return converse(call, "GET", "/v1/services", NULL, render_list);
	path = service_path(call->arguments[0], "");
	return converse(call, "GET", path, NULL, render_one);
}

const struct command command_services = {
	.name = "services",
	.synopsis = "[NAME]",
	.summary = "the services, or one with its variants and backends",
	.help = "Lists the services and their variants, as in `headgate status`. With NAME: that service's variants "
		"with\n"
		"how their connections and requests went, its backends, cohorts, what a drain does and what it has\n"
		"left, use of flow state and dropped packets. \"-\": there is no such figure; \"~\": an estimate.\n\n"
		"Example:\n  headgate services llm",
	.arguments_max = 1,
	.run = run,
};
