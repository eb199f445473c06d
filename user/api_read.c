// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What people ask. */
#include "api_exchange.h"

#include <string.h>

#include "names.h"

#define FLOWS_SHOWN 1000

unsigned int get_version(struct exchange *x)
{
	x->answer = json_pack("{s:s, s:i}", "version", HEADGATE_VERSION, "abi", HEADGATE_ABI);
	return 200;
}

static json_t *report_interface(const struct attached_interface *slot)
{
	const bool runs = slot->ifindex;
	json_t *chained = NULL;

	if (runs && slot->is.chained)
		chained = json_pack("{s:s, s:I}", "name", slot->is.chained_name, "id", (json_int_t)slot->is.chained);
	return json_pack("{s:s, s:i, s:s, s:s, s:s?, s:o?}", "name", slot->name, "ifindex", (int)slot->ifindex, "mode",
			 runs ? name_of_attach(slot->is.mode) : "none", "hook",
			 runs && slot->is.mode == ATTACH_TC ? "tc" : "xdp", "reason", runs ? slot->reason : NULL,
			 "chained", chained);
}

static json_t *report_interfaces(const struct daemon *d)
{
	json_t *array = json_array();

	for (size_t i = 0; i < d->attached_count; i++)
		json_array_append_new(array, report_interface(&d->attached[i]));
	return array;
}

static void append_warning(void *context, const char *text)
{
	json_array_append_new(context, json_string(text));
}

static void warn_of_paused_shadows(const struct model *model, json_t *array)
{
	for (size_t i = 0; i < model->service_count; i++) {
		const struct service_model *s = &model->services[i];

		if (s->shadow.state == SHADOW_PAUSED)
			json_array_append_new(array,
					      json_sprintf("%s: its shadow is paused: %s; `headgate shadow %s on` "
							   "resumes it",
							   s->name, s->shadow.reason, s->name));
	}
}

static json_t *report_warnings(const struct daemon *d)
{
	json_t *array = lines_to_array(d->splitter->warnings);

	warn_of_paused_shadows(d->splitter->model, array);
	patrol_warn(d->patrol, append_warning, array);
	conductor_warn(d->conductor, append_warning, array);
	return array;
}

static json_t *report_early(const struct daemon *d)
{
	struct early_counts counts = early_counts(d->early);

	return json_pack("{s:I, s:I}", "resent", (json_int_t)counts.resent, "dropped", (json_int_t)counts.dropped);
}

unsigned int get_status(struct exchange *x)
{
	struct daemon *d = x->daemon;
	struct report_view view = view_of(d);

	x->answer = json_pack("{s:s, s:i, s:i, s:f, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:I}", "version",
			      HEADGATE_VERSION, "abi", HEADGATE_ABI, "pid", (int)getpid(), "uptime_s",
			      (now_ns() - d->started_ns) / 1e9, "adopted", datapath_adopted(d->datapath), "config",
			      d->options.config, "interfaces", report_interfaces(d), "services", report_services(&view),
			      "flows", report_flow_totals(d->splitter), "early_fragments", report_early(d), "warnings",
			      report_warnings(d), "memory_bytes", (json_int_t)datapath_memory_bytes(d->datapath));
	return 200;
}

unsigned int get_services(struct exchange *x)
{
	struct report_view view = view_of(x->daemon);

	x->answer = json_pack("{s:o}", "services", report_services(&view));
	return 200;
}

unsigned int get_service(struct exchange *x)
{
	struct report_view view = view_of(x->daemon);

	x->answer = report_service(&view, x->service);
	return 200;
}

unsigned int get_shadow(struct exchange *x)
{
	struct report_view view = view_of(x->daemon);

	if (!x->service->shadow.present)
		return refused(x, 404, "%s has no shadow; its configuration says who shadows a service",
			       x->service->name);
	x->answer = report_mirrored(&view, x->service);
	return 200;
}

unsigned int get_explain(struct exchange *x)
{
	const char *source = x->request->query(x->request->context, "source");
	struct endpoint client;

	if (!source || endpoint_parse(source, &client))
		return refused(x, 400, "source must be ADDR:PORT or [ADDR]:PORT of a client, not '%.100s'",
			       source ? source : "");
	if (address_is_ipv4(&client.address) != address_is_ipv4(&x->service->vip.address))
		return refused(x, 400, "%s is an %s service, %s is not an address of its clients", x->service->name,
			       address_is_ipv4(&x->service->vip.address) ? "IPv4" : "IPv6", source);
	x->answer = report_explain(x->daemon->splitter, x->daemon->routes, x->service, &client, now_tick());
	return 200;
}

unsigned int get_flows(struct exchange *x)
{
	const char *service = x->request->query(x->request->context, "service");
	const char *source = x->request->query(x->request->context, "source");
	const char *limit = x->request->query(x->request->context, "limit");
	const char *backend = x->request->query(x->request->context, "backend");
	struct flow_filter filter = {.service = service, .limit = FLOWS_SHOWN};
	struct endpoint backend_endpoint;
	struct address client;
	char *end;

	if (service && !model_find_service(x->daemon->splitter->model, service))
		return refused(x, 404, "no service '%.100s'; `headgate services` lists them", service);
	if (source && address_parse(source, &client))
		return refused(x, 400, "source must be an address, not '%.100s'", source);
	if (backend && endpoint_parse(backend, &backend_endpoint))
		return refused(x, 400, "backend must be ADDR:PORT or [ADDR]:PORT, not '%.100s'", backend);
	filter.variant = x->request->query(x->request->context, "variant");
	filter.state = x->request->query(x->request->context, "state");
	if (backend)
		filter.backend = &backend_endpoint;
	if (source)
		filter.client = &client;
	if (limit) {
		filter.limit = strtoul(limit, &end, 10);
		if (*end || end == limit || *limit == '-' || filter.limit > 1000000)
			return refused(x, 400, "limit must be a number from 0 to 1000000, not '%.100s'", limit);
	}
	x->answer = report_flows(x->daemon->splitter, &filter, now_tick());
	return 200;
}
