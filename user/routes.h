/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ROUTES_H
#define HEADGATE_ROUTES_H

/*
 * A picture of this host's links, addresses, routes and neighbours, and what follows from it: the next hop to an
 * address. Pure; netlink.c keeps it fresh.
 */
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "util.h"

struct link_info {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	uint8_t mac[6]; /* zero: not Ethernet (lo, tun); no next hop leads through it */
	uint32_t mtu;
	uint32_t lower; /* of a VLAN: the link that carries its frames, tagged; 0: no VLAN, or of a link elsewhere */
	bool up;        /* set up by the administrator, and with carrier */
};

struct local_address {
	struct address address;
	uint32_t bits; /* of its (mapped) prefix */
	uint32_t ifindex;
};

/* One unicast route of the main table. */
struct route_info {
	struct prefix destination;
	struct address gateway; /* zero: on link */
	uint32_t ifindex;
	uint32_t metric;
	struct address preferred_source; /* zero: none */
	size_t order;                    /* routes_sort()'s: where it was listed, the kernel's last tie-break */
};

/* A neighbour whose MAC the kernel has (NUD_VALID); also after it turned stale. */
struct neighbour_info {
	struct address address;
	uint32_t ifindex;
	uint8_t mac[6];
	bool stale; /* not confirmed lately: worth a probe */
};

struct routes {
	struct link_info *links;
	size_t link_count;
	struct local_address *addresses;
	size_t address_count;
	struct route_info *routes;
	size_t route_count;
	struct neighbour_info *neighbours;
	size_t neighbour_count;
};

void routes_free(struct routes *r); /* contents and @r; accepts NULL */
DEFINE_CLEANUP(struct routes, routes_free)

/* Puts routes and neighbours in the order that the functions below rely on; netlink_snapshot has done it. */
void routes_sort(struct routes *r);

enum resolution {
	RESOLVED,            /* hop is complete */
	RESOLUTION_LOCAL,    /* the address is this host's */
	RESOLUTION_NO_ROUTE, /* no route leads there */
	RESOLUTION_LINK_DOWN,
	RESOLUTION_NO_NEIGHBOUR, /* route and interface known, the neighbour's MAC is not: ask for it */
};

struct resolved {
	struct next_hop hop;      /* complete with RESOLVED; ifindex and source_mac with RESOLUTION_NO_NEIGHBOUR */
	uint16_t mtu;             /* of the link, at most 65535; where @hop's ifindex is set */
	struct address neighbour; /* the gateway, or the address itself when it is on link */
	struct address source;    /* address of this host towards it: the route's, else of the interface; zero: none */
	bool stale;               /* the neighbour is worth a probe */
};

/**
 * routes_resolve - the next hop to an address
 * Longest prefix first, then lowest metric, as the kernel's main table; local addresses before any route.
 * A multipath route is the first of its next hops. A route through a link without Ethernet MAC counts as none.
 * @ret is set whatever is returned (zero where unknown).
 */
enum resolution routes_resolve(const struct routes *r, const struct address *to, struct resolved *ret);

/**
 * routes_egress - the interface that sends what leaves by a link
 * @ifindexes: those that may be sent on
 *
 * Frames of a VLAN pass the link below it, tagged: where that may be sent on, it is the one, as programs there see the
 * frames first, and keep their tags. Return: its ifindex; @ifindex itself if nothing below may be sent on.
 */
uint32_t routes_egress(const struct routes *r, const uint32_t *ifindexes, size_t ifindex_count, uint32_t ifindex);

/* Whether a route has a gateway whose MAC, on the route's own link, is missing or stale: worth a probe. */
bool routes_gateway_wanted(const struct routes *r, const struct route_info *route);

const struct link_info *routes_link(const struct routes *r, uint32_t ifindex);
const struct link_info *routes_link_by_name(const struct routes *r, const char *name);

/* One entry of the programs' next-hop map. */
struct hop_entry {
	struct next_hop_key key;
	struct next_hop_entry value;
};

/**
 * routes_hops - what the programs must know to reach any client
 * @ifindexes: interfaces that Headgate may send on; what leads elsewhere is left out
 * @ret: one entry per route (a gateway's MAC, or unresolved when on link or the gateway's MAC is missing), one host
 *       entry per neighbour on link, one LOCAL host entry per local address; sorted by key (memcmp), keys unique.
 *       To be freed.
 *
 * No entry leads to multicast or link-local prefixes. A link that is down leaves its routes unresolved and has no
 * neighbours. The IPv6 default would match mapped IPv4 addresses too: where there is no IPv4 default, an unresolved one
 * with an all-zero hop keeps the families apart.
 *
 * Return: 0 or -ENOMEM.
 */
int routes_hops(const struct routes *r, const uint32_t *ifindexes, size_t ifindex_count, struct hop_entry **ret,
		size_t *ret_count);

#endif
