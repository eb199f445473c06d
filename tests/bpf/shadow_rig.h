/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_SHADOW_RIG_H
#define HEADGATE_TEST_SHADOW_RIG_H

/*
 * A mirror and a link to a shadow, in a network namespace of this program's own, with the programs attached as the
 * daemon attaches them. Tests put copies of clients' packets into the mirror, and are the shadow. Hook XDP: the link
 * takes frames from XDP programs; hook TC: it does not.
 *
 * Whatever is forwarded, to a client or to production, would go over the shadow's link too, and be seen.
 */
#include "fixture.h"
#include "reading.h"
#include "world.h"

enum rig_service { RIG_TCP4 = 1, RIG_TCP6, RIG_UDP4, RIG_UDP6, RIG_LAST = RIG_UDP6 };

#define RIG_SHADOW(service) (10U + (service)) /* ids of backends */
#define RIG_PRODUCTION(service) (20U + (service))

#define SHADOW4 "10.0.4.11"
#define SHADOW6 "fd00:4::11"
#define PRODUCTION4 "10.0.1.11"
#define PRODUCTION6 "fd00:1::11"
#define MAC_SHADOW 0x51
#define MAC_PRODUCTION 0x52
#define SHADOW_LINK_MTU 1500
#define SHADOW_PORT_MIN 20000
#define SHADOW_PORT_MAX 29999

#define LONG_WAIT_MS 5000 /* for what must come */
#define SHORT_WAIT_MS 20  /* for what must not */

struct rig {
	struct fixture *fixture;
	/* ifindexes */
	__u32 near;
	__u32 far;
	__u32 split; /* the splitter's end of the link */
	__u32 shadow;
	/* packet sockets */
	int in_mirror;  /* the near end */
	int at_shadow;  /* the link's end */
	int at_host[3]; /* what the splitter's host is given of what comes over the link: IPv4, IPv6, ARP */
};

/* cmocka's; *state is a struct rig. */
int rig_setup(void **state);
int rig_setup_small(void **state); /* with maps of a few entries: SMALL_... */
int rig_teardown(void **state);

#define SMALL_FLOWS 2
#define SMALL_STASH 4

bool rig_is_ipv6(__u32 service);
bool rig_is_udp(__u32 service);

struct shadow rig_shadow_get(struct rig *r, __u32 service);
void rig_shadow_set(struct rig *r, __u32 service, const struct shadow *value);

/* A frame into the mirror, by what it is. */
void rig_mirror(struct rig *r, const struct frame *frame);
/* A packet of a client's for @service; @frame's MACs are written over. */
void rig_mirror_client(struct rig *r, __u32 service, struct frame *frame);
void rig_kick(struct rig *r, const struct mirror_kick *kick);

/* A frame from the shadow. */
void rig_shadow_sends(struct rig *r, const struct frame *frame);

/* The next frame that has come to the shadow: there must be one. */
void rig_shadow_gets(struct rig *r, struct frame *ret);
void rig_shadow_gets_nothing(struct rig *r);

/* Whether the host was given something that came over the link since the last look. */
bool rig_host_gets(struct rig *r);

struct shadow_counters rig_counters(struct rig *r, __u32 service);

#endif
