// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether copies can be made, and what shadows send be known for theirs. */
#include <string.h>

#include "doctor.h"
#include "netlink.h"

static void check_backend(struct doctor *d, const struct service_model *s, const struct endpoint *e,
			  const struct routes *routes)
{
	char text[ADDRESS_TEXT_SIZE], gateway[ADDRESS_TEXT_SIZE];
	struct resolved to;
	enum resolution resolution = routes_resolve(routes, &e->address, &to);

	if (resolution != RESOLVED && resolution != RESOLUTION_NO_NEIGHBOUR)
		return; /* as with any backend, and the daemon's to warn of */
	endpoint_format(&e->address, e->port, text);
	if (!address_equal(&to.neighbour, &e->address)) {
		doctor_find(d, FINDING_WARN, "shadow",
			    "%s: shadow %s is behind the gateway %s, so that what it sends is known by its address "
			    "alone, and not by its MAC",
			    s->name, text, address_format(&to.neighbour, gateway));
		doctor_mend(d, "write an address of that server on a link of this host");
	} else if (resolution == RESOLUTION_NO_NEIGHBOUR) {
		doctor_find(d, FINDING_WARN, "shadow", "%s: shadow %s does not say its MAC: nothing can be sent to it",
			    s->name, text);
		doctor_mend(d, "ping %s    (whether that server is up, and on that link)",
			    address_format(&e->address, gateway));
	} else {
		doctor_find(d, FINDING_OK, "shadow", "%s: shadow %s is on a link of this host", s->name, text);
	}
}

/* How an interface is attached, or, while no daemon runs, is to be. */
static bool is_generic(const struct interface_model *interface, const json_t *status)
{
	const json_t *attached;
	size_t i;

	if (!status)
		return interface->attach == ATTACH_GENERIC;
	json_array_foreach(json_object_get(status, "interfaces"), i,
			   attached) if (!strcmp(member_text(attached, "name"),
						 interface->name)) return !strcmp(member_text(attached, "mode"),
										  "generic");
	return false;
}

static void check_interface(struct doctor *d, const struct interface_model *interface, const json_t *status)
{
	if (!is_generic(interface, status))
		return;
	doctor_find(d, FINDING_WARN, "shadow",
		    "%s runs generic XDP, in which no copies can be made: nothing that comes in there is mirrored",
		    interface->name);
	doctor_mend(d, "write {name: %s, attach: tc}    (or native, if its driver has it)", interface->name);
}

void doctor_check_shadows(struct doctor *d, const struct model *model, const json_t *status)
{
	_cleanup_(netlink_closep) struct netlink *netlink = NULL;
	_cleanup_(routes_freep) struct routes *routes = NULL;

	if (!model_has_shadow(model))
		return;
	for (size_t i = 0; i < model->interface_count; i++)
		check_interface(d, &model->interfaces[i], status);
	if (netlink_open(&netlink) || netlink_snapshot(netlink, &routes))
		return; /* which has been said */
	for (size_t i = 0; i < model->service_count; i++)
		for (size_t b = 0; b < model->services[i].shadow.backend_count; b++)
			check_backend(d, &model->services[i], &model->services[i].shadow.backends[b], routes);
}
