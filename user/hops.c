// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Next hops in the kernel: to each backend, and to any client. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backends.h"
#include "shadows.h"
#include "splitter.h"

/* --- warnings --- */

static void warn(char **warnings, const char *text)
{
	char *longer;

	if (asprintf(&longer, "%s%s\n", *warnings ? *warnings : "", text) < 0)
		return;
	free(*warnings);
	*warnings = longer;
}

static const char *link_name(const struct routes *routes, uint32_t ifindex)
{
	const struct link_info *link = routes_link(routes, ifindex);

	return link ? link->name : "?";
}

static void warn_of_backend(char **warnings, const struct routes *routes, const struct backend_identity *identity,
			    enum resolution resolution, const struct resolved *to, bool allowed)
{
	char backend[ADDRESS_TEXT_SIZE], neighbour[ADDRESS_TEXT_SIZE], text[512];
	const char *name = link_name(routes, to->hop.ifindex);
	const char *what = strcmp(identity->variant, SHADOW_VARIANT) ? "backend" : "shadow";

	endpoint_format(&identity->address, ntohs(identity->port), backend);
	address_format(&to->neighbour, neighbour);
	if (resolution == RESOLUTION_LOCAL)
		snprintf(text, sizeof(text), "%s: %s %s is an address of this host, which cannot be one",
			 identity->service, what, backend);
	else if (resolution == RESOLUTION_NO_ROUTE)
		snprintf(text, sizeof(text), "%s: no route to %s %s; add one: ip route add ..", identity->service, what,
			 backend);
	else if (resolution == RESOLUTION_LINK_DOWN)
		snprintf(text, sizeof(text), "%s: %s %s is behind %s, which is down: ip link set dev %s up",
			 identity->service, what, backend, name, name);
	else if (!allowed)
		snprintf(text, sizeof(text),
			 "%s: %s %s is behind %s, which is not among the interfaces of the "
			 "configuration",
			 identity->service, what, backend, name);
	else
		snprintf(text, sizeof(text), "%s: no next hop to %s %s: %s does not answer on %s", identity->service,
			 what, backend, neighbour, name);
	warn(warnings, text);
}

/* A frame to the gateway's MAC holds a packet to the service, and comes back here. */
static void warn_of_gateway(char **warnings, const struct backend_identity *identity, const struct resolved *to)
{
	char backend[ADDRESS_TEXT_SIZE], gateway[ADDRESS_TEXT_SIZE], text[512];

	snprintf(text, sizeof(text),
		 "%s: backend %s is behind the gateway %s, and l2dsr reaches no further than a link; write forward: "
		 "ipip "
		 "or gue",
		 identity->service, address_format(&identity->address, backend),
		 address_format(&to->neighbour, gateway));
	warn(warnings, text);
}

static void warn_of_wait(struct splitter *sp, uint32_t id, char **warnings)
{
	const struct backend_identity *identity = &sp->backends[id].identity;
	char shadow[ADDRESS_TEXT_SIZE], text[512];

	snprintf(text, sizeof(text),
		 "%s: shadow %s was a backend until now, and is sent nothing until its connections are over",
		 identity->service, endpoint_format(&identity->address, ntohs(identity->port), shadow));
	warn(warnings, text);
}

/* --- backends --- */

static bool may_send_on(const struct splitter *sp, uint32_t ifindex)
{
	for (size_t i = 0; i < sp->ifindex_count; i++)
		if (sp->ifindex[i] == ifindex)
			return true;
	return false;
}

/* The same for any link, a VLAN of such an interface included. */
static bool may_leave_by(const struct splitter *sp, const struct routes *routes, uint32_t ifindex)
{
	return may_send_on(sp, routes_egress(routes, sp->ifindex, sp->ifindex_count, ifindex));
}

/* Writes the hop that is not in force, then flips. A MAC that was known is kept while its neighbour does not answer. */
static void set_hop(struct backend *b, const struct next_hop *hop)
{
	uint8_t idle = !(b->hop_active & 1);

	if (memcmp(&b->hop[!idle], hop, sizeof(*hop)) == 0)
		return;
	b->hop[idle] = *hop;
	__atomic_store_n(&b->hop_active, idle, __ATOMIC_RELEASE);
}

/* Whether some route leads by way of who has a MAC: then it is not a shadow's alone. */
static bool is_gateway(const struct routes *routes, const uint8_t mac[6])
{
	for (size_t n = 0; n < routes->neighbour_count; n++) {
		const struct neighbour_info *neighbour = &routes->neighbours[n];

		if (memcmp(neighbour->mac, mac, sizeof(neighbour->mac)))
			continue;
		for (size_t i = 0; i < routes->route_count; i++)
			if (routes->routes[i].ifindex == neighbour->ifindex &&
			    address_equal(&routes->routes[i].gateway, &neighbour->address))
				return true;
	}
	return false;
}

/* What a shadow's frames are known by besides its address. A MAC that was known stays while nobody answers. */
static void refresh_guarded_mac(struct splitter *sp, uint32_t id, const struct routes *routes,
				const struct resolved *to)
{
	const struct backend *b = datapath_backend(sp->datapath, id);
	const uint8_t *mac = b->hop[b->hop_active & 1].destination_mac;
	struct backend_state *state = &sp->backends[id];

	memset(state->guarded_mac, 0, sizeof(state->guarded_mac));
	if (address_equal(&to->neighbour, &state->identity.address) && !is_gateway(routes, mac))
		memcpy(state->guarded_mac, mac, sizeof(state->guarded_mac));
}

enum resolution splitter_refresh_backend(struct splitter *sp, uint32_t id, const struct routes *routes,
					 struct resolved *ret)
{
	struct backend *b = datapath_backend(sp->datapath, id);
	enum resolution resolution = routes_resolve(routes, &sp->backends[id].identity.address, ret);
	struct next_hop hop;

	if (!address_is_zero(&ret->source))
		b->source = splitter_source_id(sp, &ret->source);
	hop = ret->hop;
	hop.ifindex = routes_egress(routes, sp->ifindex, sp->ifindex_count, hop.ifindex);
	if (resolution == RESOLVED && may_send_on(sp, hop.ifindex)) {
		set_hop(b, &hop);
		__atomic_store_n(&b->mtu, ret->mtu, __ATOMIC_RELAXED);
	}
	if (backends_is_shadow(sp, id))
		refresh_guarded_mac(sp, id, routes, ret);
	return resolution;
}

static bool is_l2dsr(struct splitter *sp, uint32_t id)
{
	return !backends_is_shadow(sp, id) &&
	       datapath_service(sp->datapath, datapath_backend(sp->datapath, id)->service)->mode == FORWARD_L2DSR;
}

static void refresh_backend(struct splitter *sp, uint32_t id, const struct routes *routes, char **warnings,
			    probe_function probe, void *context)
{
	struct resolved to;
	enum resolution resolution = splitter_refresh_backend(sp, id, routes, &to);
	bool allowed = may_leave_by(sp, routes, to.hop.ifindex);

	if ((resolution != RESOLVED || !allowed) && sp->backends[id].use == ID_USED)
		warn_of_backend(warnings, routes, &sp->backends[id].identity, resolution, &to, allowed);
	else if (sp->backends[id].use == ID_USED && is_l2dsr(sp, id) &&
		 !address_equal(&to.neighbour, &sp->backends[id].identity.address))
		warn_of_gateway(warnings, &sp->backends[id].identity, &to);
	if (sp->backends[id].use == ID_USED && backends_is_shadow(sp, id) && shadows_waits(sp, id))
		warn_of_wait(sp, id, warnings);
	if (probe && (resolution == RESOLUTION_NO_NEIGHBOUR || (resolution == RESOLVED && to.stale)))
		probe(context, to.hop.ifindex, &to.neighbour);
}

/* --- clients --- */

static int compare_keys(const struct hop_entry *a, const struct hop_entry *b)
{
	return memcmp(&a->key, &b->key, sizeof(a->key));
}

static int forget_hop(struct splitter *sp, const struct next_hop_key *key)
{
	int error = datapath_delete(sp->datapath, MAP_NEXT_HOPS, key);

	return error == -ENOENT ? 0 : error;
}

/* Both lists are sorted: one walk finds what is new, what is other and what is gone. */
static int write_difference(struct splitter *sp, const struct hop_entry *wanted, size_t count)
{
	size_t old = 0, new = 0;
	int error = 0;

	while ((old < sp->hop_count || new < count) && !error) {
		int order = old == sp->hop_count ? 1 : new == count ? -1 : compare_keys(&sp->hops[old], &wanted[new]);

		if (order < 0)
			error = forget_hop(sp, &sp->hops[old].key);
		else if (order > 0 || memcmp(&sp->hops[old].value, &wanted[new].value, sizeof(wanted->value)))
			error = datapath_update(sp->datapath, MAP_NEXT_HOPS, &wanted[new].key, &wanted[new].value);
		old += order <= 0;
		new += order >= 0;
	}
	return error;
}

static int refresh_clients(struct splitter *sp, const struct routes *routes)
{
	_cleanup_free_ struct hop_entry *wanted = NULL;
	size_t count = 0;
	int error = routes_hops(routes, sp->ifindex, sp->ifindex_count, &wanted, &count);

	if (error)
		return error;
	error = write_difference(sp, wanted, count);
	if (error) {
		splitter_adopt_hops(sp); /* what was written is what the kernel has */
		return error;
	}
	free(sp->hops);
	sp->hops = TAKE_PTR(wanted);
	sp->hop_count = count;
	return 0;
}

/* Gateways of routes that clients may be behind, whose MAC is missing or stale: nothing else would ask for it. */
static void probe_gateways(struct splitter *sp, const struct routes *routes, probe_function probe, void *context)
{
	for (size_t i = 0; i < routes->route_count; i++) {
		const struct route_info *route = &routes->routes[i];

		if (may_leave_by(sp, routes, route->ifindex) && routes_gateway_wanted(routes, route))
			probe(context, route->ifindex, &route->gateway);
	}
}

int splitter_refresh_hops(struct splitter *sp, const struct routes *routes, probe_function probe, void *context)
{
	struct id_list used = backends_used(sp);
	char *warnings = NULL;
	int error;

	for (uint32_t i = 0; i < used.count; i++)
		refresh_backend(sp, used.id[i], routes, &warnings, probe, context);
	if (probe)
		probe_gateways(sp, routes, probe, context);
	free(sp->warnings);
	sp->warnings = warnings;
	error = shadows_refresh_guard(sp);
	return error ? error : refresh_clients(sp, routes);
}

/* Whose neighbour it is: the program knows the interface that sends, the kernel asks on the VLAN above it. */
static uint32_t link_of_neighbour(const struct splitter *sp, const struct routes *routes,
				  const struct wanted_neighbour *wanted)
{
	struct resolved to;

	routes_resolve(routes, &wanted->address, &to);
	if (routes_egress(routes, sp->ifindex, sp->ifindex_count, to.hop.ifindex) == wanted->ifindex)
		return to.hop.ifindex;
	return wanted->ifindex;
}

void splitter_probe_wanted(struct splitter *sp, const struct routes *routes, probe_function probe, void *context)
{
	struct wanted_neighbour key;

	/* Bounded: a flood of unreachable clients is no reason to ask for ever. */
	for (int i = 0; i < 256 && datapath_next_key(sp->datapath, MAP_WANTED_NEIGHBOURS, NULL, &key) == 0; i++) {
		if (key.ifindex)
			probe(context, link_of_neighbour(sp, routes, &key), &key.address);
		datapath_delete(sp->datapath, MAP_WANTED_NEIGHBOURS, &key);
	}
}
