/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_BENCH_SCENE_H
#define HEADGATE_BENCH_SCENE_H

/*
 * What the programs find in their maps: services as the daemon's own modules put them there from a configuration, on a
 * host that is made up, and flows that look as if they had been there for a while.
 */
#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>

#define SCENE_PORT_FIRST 16384U    /* of clients */
#define SCENE_NAT_PORT_FIRST 1024U /* of flows that NAT knows already */
#define SCENE_SPREAD 1000U         /* services that are alike but for their port */
#define SCENE_SPREAD_PORT 20000U   /* the first one's */
#define SCENE_CLIENT4 "100.64.0.0" /* the first one */
#define SCENE_CLIENT6 "2001:db8::6440:0"
#define SCENE_SOURCE4 "10.0.2.0" /* the first of NAT's 16 */
#define SCENE_SOURCE6 "fd00:2::a00:200"
#define SCENE_VIP4 "10.0.0.10"
#define SCENE_VIP6 "fd00::10"

enum scene_service {
	NAT4,
	NAT6,
	NAT4_SHADOW,     /* a tenth of its connections is mirrored */
	NAT4_SHADOW_ALL, /* all of them are */
	NAT4_FLOOD,      /* what becomes of it disturbs no other */
	DNAT4,
	DNAT6,
	DNAT4_UNMEASURED,
	L2DSR4,
	L2DSR6,
	IPIP4,
	IPIP6,
	GUE4,
	GUE6,
	DNAT4_TRACKED, /* has just moved from one backend to another one: all its slots are tracked */
	L2DSR4_TRACKED,
	IPIP4_TRACKED,
	GUE4_TRACKED,
	IPIP4_BACKENDS_1, /* so many backends */
	IPIP4_BACKENDS_100,
	IPIP4_BACKENDS_1000,
	IPIP4_SPREAD, /* the first of SCENE_SPREAD */
	SCENE_SERVICES
};

struct scene;

struct scene *scene_open(void);
void scene_close(struct scene *scene);

/* Whether the flow tables are but as large as without limits in the configuration: what is known already is not found
 * then. Return: how many flows there is room for, half-open ones included. */
uint32_t scene_use_usual_tables(struct scene *scene, bool usual);

/* XDP's entry of a build of the data path, which is to work with the scene's maps. An fd that stays open. */
int scene_load(struct scene *scene, const char *object);

bool scene_is_ipv6(enum scene_service service);
bool scene_is_nat(enum scene_service service);
uint16_t scene_port(enum scene_service service);

/* Its (first) backend's address, as text that stays; and the one that established flows of it are on. */
const char *scene_backend_address(enum scene_service service);

/* Packets that were forwarded to and from all backends, and those that were dropped, so far. */
uint64_t scene_forwarded(struct scene *scene);
uint64_t scene_dropped(struct scene *scene);

/* Whether any service has a shadow, as the programs see it. */
void scene_show_shadows(struct scene *scene, bool any);

#endif
