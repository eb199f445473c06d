// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What this host has, and what it lacks, to take part: its addresses, and the settings that would drop packets. */
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "decap.h"
#include "util.h"

/* False: of another family. */
static bool address_from_socket(const struct sockaddr *from, struct address *ret)
{
	struct address a = {};

	if (!from)
		return false;
	if (from->sa_family == AF_INET) {
		a.word[2] = htonl(0xffff);
		a.word[3] = ((const struct sockaddr_in *)from)->sin_addr.s_addr;
	} else if (from->sa_family == AF_INET6) {
		memcpy(&a, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof(a));
	} else {
		return false;
	}
	*ret = a;
	return true;
}

static bool is_link_local(const struct address *a)
{
	return (a->word[0] & htonl(0xffc00000)) == htonl(0xfe800000);
}

static void freeifaddrsp(struct ifaddrs **list)
{
	if (*list)
		freeifaddrs(*list);
}

int host_addresses(struct decap *d, struct refusal *why)
{
	_cleanup_(freeifaddrsp) struct ifaddrs *all = NULL;
	struct prefix p = {.bits = 128};

	if (getifaddrs(&all))
		return refuse(why, errno, "cannot list addresses: %s; say --address", strerror(errno));
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (strcmp(i->ifa_name, d->interface) || !address_from_socket(i->ifa_addr, &p.address) ||
		    is_link_local(&p.address) || prefixes_have(&d->vips, &p.address))
			continue;
		prefixes_add(&d->addresses, &p);
	}
	if (!d->addresses.count)
		return refuse(why, EADDRNOTAVAIL,
			      "%s has no address that the splitter could send to; give it one, or say --address with "
			      "the address that the configuration of the splitter names",
			      d->interface);
	return 0;
}

static void hint(json_t *hints, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void hint(json_t *hints, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	json_array_append_new(hints, json_vsprintf(format, arguments));
	va_end(arguments);
}

/* Of net.ipv4.conf: the kernel goes by the higher one of "all" and the interface. -1: cannot be read. */
static int ipv4_setting(const char *interface, const char *name)
{
	const char *const of[] = {"all", interface};
	int highest = -1;

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		_cleanup_fclose_ FILE *file = NULL;
		char path[128];
		int value;

		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", of[i], name);
		file = fopen(path, "re");
		if (file && fscanf(file, "%d", &value) == 1 && value > highest)
			highest = value;
	}
	return highest;
}

static bool is_on_host(const struct ifaddrs *all, const struct address *a)
{
	struct address there;

	for (; all; all = all->ifa_next)
		if (address_from_socket(all->ifa_addr, &there) && address_equal(&there, a))
			return true;
	return false;
}

static void hint_addresses(json_t *hints, const struct decap *d)
{
	_cleanup_(freeifaddrsp) struct ifaddrs *all = NULL;
	char text[ADDRESS_TEXT_SIZE];

	if (getifaddrs(&all))
		return;
	for (size_t i = 0; i < d->vips.count; i++) {
		const struct address *a = &d->vips.item[i].address;

		if (!is_on_host(all, a))
			hint(hints,
			     "%s is no address of this host, so nobody answers for it: ip address add %s/%d dev lo",
			     address_format(a, text), text, address_is_ipv4(a) ? 32 : 128);
	}
	for (size_t i = 0; i < d->addresses.count; i++) {
		const struct address *a = &d->addresses.item[i].address;

		if (!is_on_host(all, a))
			hint(hints, "%s is no address of this host, so a splitter on this segment cannot reach it",
			     address_format(a, text));
	}
}

json_t *host_hints(const struct decap *d)
{
	json_t *hints = json_array();
	bool ipv4 = false;

	if (!hints)
		return NULL;
	if (d->mode == MODE_NONE)
		hint(hints, "no program of headgate-decap runs on %s any more; attach it again, or detach it",
		     d->interface);
	hint_addresses(hints, d);
	for (size_t i = 0; i < d->vips.count; i++)
		ipv4 |= address_is_ipv4(&d->vips.item[i].address);
	if (!ipv4)
		return hints;
	if (ipv4_setting(d->interface, "rp_filter") == 1)
		hint(hints,
		     "rp_filter is strict on %s: packets of clients that are answered through another interface are "
		     "dropped; loose is enough: sysctl -w net.ipv4.conf.%s.rp_filter=2",
		     d->interface, d->interface);
	if (ipv4_setting(d->interface, "arp_ignore") == 0)
		hint(hints,
		     "this host answers ARP for its VIPs on %s, which takes them from a splitter on the same segment: "
		     "sysctl -w net.ipv4.conf.%s.arp_ignore=1",
		     d->interface, d->interface);
	if (ipv4_setting(d->interface, "arp_announce") < 2)
		hint(hints,
		     "this host may ask by ARP in the name of a VIP on %s, which takes it from a splitter on the same "
		     "segment: sysctl -w net.ipv4.conf.%s.arp_announce=2",
		     d->interface, d->interface);
	return hints;
}
