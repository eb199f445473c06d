// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether this host's addresses, ports and forwarding suit the configured services. */
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"

#define PORTS 65536U

/* Which ports are in a set: a byte each. */
struct ports {
	bool in[PORTS];
};

/* "1000-1999,30000". To be freed; NULL: out of memory. */
static char *ports_text(const struct ports *set)
{
	char *text = NULL;
	size_t length;
	FILE *sink = open_memstream(&text, &length);
	const char *separator = "";

	if (!sink)
		return NULL;
	for (unsigned int first = 0; first < PORTS; first++) {
		unsigned int last = first;

		if (!set->in[first])
			continue;
		while (last + 1 < PORTS && set->in[last + 1])
			last++;
		fprintf(sink, last > first ? "%s%u-%u" : "%s%u", separator, first, last);
		separator = ",";
		first = last;
	}
	fclose(sink);
	return text;
}

/* Adds what net.ipv4.ip_local_reserved_ports says, in the form of ports_text(). */
static int add_reserved(struct ports *set)
{
	_cleanup_free_ char *text = malloc(PORTS * 6); /* every other port, five digits and a comma each */
	char *position, *range;
	int rc;

	if (!text)
		return -ENOMEM;
	rc = doctor_sysctl("net/ipv4/ip_local_reserved_ports", text, PORTS * 6);
	if (rc < 0)
		return rc;
	position = text;
	while ((range = strsep(&position, ","))) {
		unsigned int first, last;
		int found = sscanf(range, "%u-%u", &first, &last);

		if (found < 1)
			continue;
		for (unsigned int port = first; port <= (found == 2 ? last : first) && port < PORTS; port++)
			set->in[port] = true;
	}
	return 0;
}

/* Services that rewrite to this host's own addresses, and so must not share ports with its own connections. */
static bool uses_own_address(const struct service_model *service)
{
	return service->forward == FORWARD_NAT && !service->source_count;
}

static void check_ports(struct doctor *d, const struct model *model)
{
	_cleanup_free_ struct ports *reserved = calloc(1, sizeof(*reserved)), *shared = calloc(1, sizeof(*shared));
	_cleanup_free_ char *shared_text = NULL, *reserved_text = NULL;
	unsigned int local_min, local_max;
	bool overlap = false;
	char range[64];

	if (!reserved || !shared || doctor_sysctl("net/ipv4/ip_local_port_range", range, sizeof(range)) < 0 ||
	    sscanf(range, "%u %u", &local_min, &local_max) != 2 || add_reserved(reserved) < 0) {
		doctor_find(d, FINDING_WARN, "ports", "cannot read which ports this host's own connections use");
		return;
	}
	for (size_t i = 0; i < model->service_count; i++) {
		const struct service_model *service = &model->services[i];

		for (unsigned int port = service->port_min; uses_own_address(service) && port <= service->port_max;
		     port++) {
			if (port < local_min || port > local_max || reserved->in[port])
				continue;
			shared->in[port] = reserved->in[port] = overlap = true;
		}
	}
	if (!overlap) {
		doctor_find(d, FINDING_OK, "ports", "nat shares no source port with this host's own connections");
		return;
	}
	shared_text = ports_text(shared);
	reserved_text = ports_text(reserved);
	doctor_find(d, FINDING_WARN, "ports",
		    "nat and this host's own connections to backends both use source ports %s, and can meet",
		    shared_text ?: "");
	doctor_mend(d, "sysctl -w net.ipv4.ip_local_reserved_ports=%s", reserved_text ?: "");
}

static bool is_local(const struct ifaddrs *list, const struct address *wanted)
{
	for (const struct ifaddrs *item = list; item; item = item->ifa_next) {
		struct address own = {0};

		if (!item->ifa_addr)
			continue;
		if (item->ifa_addr->sa_family == AF_INET) {
			own.word[2] = htonl(0xffff);
			own.word[3] = ((const struct sockaddr_in *)item->ifa_addr)->sin_addr.s_addr;
		} else if (item->ifa_addr->sa_family == AF_INET6) {
			memcpy(&own, &((const struct sockaddr_in6 *)item->ifa_addr)->sin6_addr, sizeof(own));
		} else {
			continue;
		}
		if (address_equal(&own, wanted))
			return true;
	}
	return false;
}

static void check_sources(struct doctor *d, const struct service_model *service, const struct ifaddrs *list)
{
	for (size_t i = 0; i < service->source_count; i++) {
		const struct address *source = &service->sources[i];
		char text[ADDRESS_TEXT_SIZE];

		address_format(source, text);
		if (is_local(list, source)) {
			doctor_find(d, FINDING_OK, "source", "%s: %s is an address of this host", service->name, text);
			continue;
		}
		doctor_find(d, FINDING_FAIL, "source",
			    "%s: %s is no address of this host, so backends' answers do not come here", service->name,
			    text);
		doctor_mend(d, "ip addr add %s/%u dev INTERFACE    (the one that faces the backends)", text,
			    address_is_ipv4(source) ? 32 : 128);
	}
}

/* Backends of dnat have their default route through this host; what is not for Headgate, the kernel must forward. */
static void check_forwarding(struct doctor *d, const struct service_model *service)
{
	bool is_ipv4 = address_is_ipv4(&service->vip.address);
	const char *path = is_ipv4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
	const char *name = is_ipv4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
	long enabled;

	if (service->forward != FORWARD_DNAT || doctor_sysctl_number(path, &enabled) < 0)
		return;
	if (enabled) {
		doctor_find(d, FINDING_OK, "forwarding", "%s: %s is on", service->name, name);
		return;
	}
	doctor_find(d, FINDING_WARN, "forwarding",
		    "%s: %s is off, so its backends, routed through this host, reach nothing but Headgate's clients",
		    service->name, name);
	doctor_mend(d, "sysctl -w %s=1", name);
}

void doctor_check_services(struct doctor *d, const struct model *model)
{
	struct ifaddrs *list = NULL;

	check_ports(d, model);
	if (getifaddrs(&list) < 0) {
		doctor_find(d, FINDING_WARN, "source", "cannot list this host's addresses: %s", strerror(errno));
		return;
	}
	for (size_t i = 0; i < model->service_count; i++) {
		check_sources(d, &model->services[i], list);
		check_forwarding(d, &model->services[i]);
	}
	freeifaddrs(list);
}
