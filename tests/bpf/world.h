/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_WORLD_H
#define HEADGATE_TEST_WORLD_H

/*
 * The small world that tests live in: one service for each of family, mode and protocol, clients behind this interface
 * and another one. The rewriting modes' services come first, and have three backends each.
 *
 * A service's first backend has the service's id, the second that plus 8, the third that plus 16. Row n has every slot
 * at backend n; a service points at the row of its first backend, so all is settled.
 */
#include "fixture.h"
#include "reading.h"

enum world_service {
	NAT4_TCP = 1,
	NAT4_UDP,
	DNAT4_TCP,
	DNAT4_UDP,
	NAT6_TCP,
	NAT6_UDP,
	DNAT6_TCP,
	DNAT6_UDP,
	WORLD_SERVICES = DNAT6_UDP,
	/* Tunnels: the service's family, then the backend's. */
	L2DSR4_TCP = 41,
	L2DSR4_UDP,
	L2DSR6_TCP,
	L2DSR6_UDP,
	IPIP44_TCP,
	IPIP44_UDP,
	IPIP64_TCP,
	IPIP64_UDP,
	IPIP46_TCP,
	IPIP46_UDP,
	IPIP66_TCP,
	IPIP66_UDP,
	GUE44_TCP,
	GUE44_UDP,
	GUE64_TCP,
	GUE64_UDP,
	GUE46_TCP,
	GUE46_UDP,
	GUE66_TCP,
	GUE66_UDP,
	WORLD_LAST = GUE66_UDP
};

#define SECOND(service) ((service) + 8U)
#define THIRD(service) ((service) + 16U)
#define WORLD_BACKENDS 24

#define TRACKED_ROW 40U /* row of world_track() */

#define VIP4 "10.0.0.10"
#define VIP6 "fd00::10"
#define SPLITTER4 "10.0.0.1" /* an address of this host, and NAT's source with id 1 */
#define SPLITTER6 "fd00::1"  /* the same, id 2 */
#define SOURCE4 1
#define SOURCE6 2
#define CLIENT4 "192.0.2.7" /* reached by the interface that frames come in on */
#define CLIENT6 "2001:db8::7"
#define FAR_CLIENT4 "198.51.100.7" /* reached by another one */
#define ROUTER4 "192.0.2.254"      /* on the way to the clients */
#define ROUTER6 "2001:db8::fe"
#define SILENT_CLIENT4 "203.0.113.7" /* on the link, MAC not known */
#define STRANGER4 "100.64.0.7"       /* no route to it */
#define LOST_CLIENT4 "198.18.0.7"    /* reached by an interface that is not in the devices map */

#define NAT_PORT 80
#define DNAT_PORT 8080
#define BACKEND_PORT 8000
#define CLIENT_PORT 40000
#define SOURCE_PORT 20000 /* the only one that NAT may use, unless a test says otherwise */

#define OUTER4 "10.255.0.0" /* ipip's outer source, and the bits of it that the flow's hash fills */
#define OUTER4_ENTROPY 0xffffU
#define OUTER6 "fd00:ff::"
#define OUTER6_ENTROPY 0xffffffffU
#define TUNNEL_PORT 6080

#define OTHER_INTERFACE 7

/* Last bytes of MACs: a backend's is its id. */
#define MAC_SPLITTER 0xf0
#define MAC_ROUTER 0xc1
#define MAC_FAR_ROUTER 0xc2

bool world_is_ipv6(__u32 service);
bool world_is_dnat(__u32 service);
bool world_is_udp(__u32 service);
enum forward_mode world_mode(__u32 service);
__u32 world_next(__u32 service);                  /* the service after this one; the last one's is beyond WORLD_LAST */
const char *world_backend_address(__u32 backend); /* valid until the program ends */

struct fixture *world_new(const struct fixture_sizes *sizes);

/* cmocka's; *state is a struct fixture with room enough. */
int world_setup(void **state);
int world_setup_own(void **state); /* *state is NULL: the test puts a world of its own there */
int world_teardown(void **state);

/* Packets of one client's connection: from the client, what it becomes, the backend's answer, what that becomes. */
struct segment world_request(__u32 service);
struct segment world_forwarded(__u32 service, __u32 backend);
struct segment world_split(__u32 service, __u32 backend, const struct segment *in); /* what a request becomes */
struct segment world_reply(__u32 service, __u32 backend);
struct segment world_answered(__u32 service);

struct flow_key world_flow_key(__u32 service, const char *client, __u16 port);

struct service world_service_get(struct fixture *f, __u32 service);
void world_service_set(struct fixture *f, __u32 service, const struct service *value);

/* NAT's source ports, both inclusive. */
void world_set_ports(struct fixture *f, __u32 service, __u16 min, __u16 max);

/* A change under way: new connections to @entry, older ones to @base. */
void world_track(struct fixture *f, __u32 service, __u32 entry, __u32 base);
void world_settle(struct fixture *f, __u32 service, __u32 backend);

/* Writes backend @id of @service; its neighbour is reached over @ifindex (0: not known). */
void world_add_backend(struct fixture *f, __u32 id, __u32 service, const char *address, __u32 endpoint, __u32 ifindex);

/* Sends a packet that must be forwarded over the interface it came in on. Return: what came out. */
struct reading world_send(struct fixture *f, const struct segment *s);

/* Sends a packet that must come out as @wanted says, byte for byte; @wanted NULL: as it came in. False with what is
 * wrong printed, @what before it. */
bool world_becomes(struct fixture *f, const char *what, const struct segment *in, enum outcome outcome,
		   const struct segment *wanted);

/* Sends a packet that must be dropped, under @reason of @service. */
void world_send_dropped(struct fixture *f, const struct segment *s, __u32 service, enum drop_reason reason);

/* @service's backend @id: how large a packet its link takes. */
void world_set_mtu(struct fixture *f, __u32 id, __u16 mtu);

/* How far a drain by reset has come at a backend: see struct backend. */
void world_set_reset_below(struct fixture *f, __u32 backend, __u16 below);

/* Which connections a dnat service measures: see struct service. Unless a test says otherwise it measures all. */
void world_set_measure_mask(struct fixture *f, __u32 service, __u32 mask);

/* The backend that a client's packet is forwarded to. */
__u32 world_backend_of(struct fixture *f, const struct segment *s);

#endif
