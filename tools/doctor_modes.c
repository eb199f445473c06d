// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether backends can be reached by modes that send packets on as they came: on a link, or in a tunnel. */
#include <netinet/in.h>
#include <string.h>

#include "doctor.h"
#include "netlink.h"

#define USUAL_MTU 1500
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER 8
#define GUE_HEADER 4
#define TCP_HEADER 20

/* A backend that frames are addressed to must be on a link itself: a gateway would send the packet back to the service.
 */
static void check_on_link(struct doctor *d, const struct service_model *s, const struct backend_model *b,
			  const struct routes *routes)
{
	char text[ADDRESS_TEXT_SIZE], gateway[ADDRESS_TEXT_SIZE];
	const struct address *address = &b->endpoint.address;
	struct resolved to;
	enum resolution resolution = routes_resolve(routes, address, &to);

	if (resolution == RESOLUTION_LOCAL || resolution == RESOLUTION_NO_ROUTE)
		return; /* as in any mode, and the daemon's to warn of */
	address_format(address, text);
	if (address_equal(&to.neighbour, address)) {
		doctor_find(d, FINDING_OK, "l2dsr", "%s: %s is on a link of this host", s->name, text);
		return;
	}
	doctor_find(d, FINDING_WARN, "l2dsr",
		    "%s: %s is behind the gateway %s, and l2dsr reaches no further than a link", s->name, text,
		    address_format(&to.neighbour, gateway));
	doctor_mend(d, "write forward: ipip or forward: gue, or an address of that server on a link of this host");
}

static uint32_t overhead(const struct service_model *s, const struct address *backend)
{
	uint32_t bytes = address_is_ipv4(backend) ? IPV4_HEADER : IPV6_HEADER;

	return s->forward == FORWARD_GUE ? bytes + UDP_HEADER + GUE_HEADER : bytes;
}

/* The largest packet that fits into the tunnel to each of the backends; 0: no way is known to any. */
static uint32_t room_in_tunnel(const struct service_model *s, const struct routes *routes)
{
	uint32_t least = 0;

	for (size_t v = 0; v < s->variant_count; v++)
		for (size_t i = 0; i < s->variants[v].backend_count; i++) {
			const struct address *address = &s->variants[v].backends[i].endpoint.address;
			struct resolved to;
			uint32_t room;

			routes_resolve(routes, address, &to);
			room = to.mtu > overhead(s, address) ? to.mtu - overhead(s, address) : 0;
			if (room && (!least || room < least))
				least = room;
		}
	return least;
}

static void check_room(struct doctor *d, const struct service_model *s, const struct routes *routes)
{
	uint32_t room = room_in_tunnel(s, routes);
	bool ipv4 = address_is_ipv4(&s->vip.address);

	if (!room)
		return;
	doctor_find(d, FINDING_OK, "mtu", "%s: packets of up to %u bytes fit into its tunnels", s->name, room);
	if (room < USUAL_MTU && s->protocol == IPPROTO_TCP)
		doctor_mend(d,
			    "ip route change default via GATEWAY advmss %u    (on its backends: no segment is too big "
			    "then; or a link of MTU %u or more)",
			    room - (ipv4 ? IPV4_HEADER : IPV6_HEADER) - TCP_HEADER,
			    USUAL_MTU + (s->forward == FORWARD_GUE ? UDP_HEADER + GUE_HEADER : 0) + IPV6_HEADER);
}

static void check_service(struct doctor *d, const struct service_model *s, const struct routes *routes)
{
	if (forward_tunnels(s->forward))
		check_room(d, s, routes);
	if (s->forward != FORWARD_L2DSR)
		return;
	for (size_t v = 0; v < s->variant_count; v++)
		for (size_t i = 0; i < s->variants[v].backend_count; i++)
			check_on_link(d, s, &s->variants[v].backends[i], routes);
}

void doctor_check_modes(struct doctor *d, const struct model *model)
{
	_cleanup_(netlink_closep) struct netlink *netlink = NULL;
	_cleanup_(routes_freep) struct routes *routes = NULL;
	int error = netlink_open(&netlink);

	if (!error)
		error = netlink_snapshot(netlink, &routes);
	if (error) {
		doctor_find(d, FINDING_WARN, "routes", "cannot read this host's routes: %s", strerror(-error));
		return;
	}
	for (size_t i = 0; i < model->service_count; i++)
		check_service(d, &model->services[i], routes);
}
