// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

#include "hash.h"

/* What the services beyond the rewriting ones do: four of each, IPv4 and IPv6, TCP and UDP. */
static const struct {
	enum forward_mode mode;
	__u16 port;
	bool backend_ipv6; /* tunnels */
} others[] = {
	{FORWARD_L2DSR, 9000, false}, {FORWARD_IPIP, 9001, false}, {FORWARD_IPIP, 9002, true},
	{FORWARD_GUE, 9003, false},   {FORWARD_GUE, 9004, true},
};

static bool is_other(__u32 service)
{
	return service >= L2DSR4_TCP;
}

static __u32 kind_of(__u32 other)
{
	return (other - L2DSR4_TCP) / 4;
}

bool world_is_ipv6(__u32 service)
{
	return is_other(service) ? (service - L2DSR4_TCP) & 2 : (service - 1) & 4;
}

bool world_is_dnat(__u32 service)
{
	return world_mode(service) == FORWARD_DNAT;
}

bool world_is_udp(__u32 service)
{
	return (service - 1) & 1;
}

enum forward_mode world_mode(__u32 service)
{
	if (is_other(service))
		return others[kind_of(service)].mode;
	return (service - 1) & 2 ? FORWARD_DNAT : FORWARD_NAT;
}

__u32 world_next(__u32 service)
{
	return service == WORLD_SERVICES ? L2DSR4_TCP : service + 1;
}

static __u8 protocol_of(__u32 service)
{
	return world_is_udp(service) ? IPPROTO_UDP : IPPROTO_TCP;
}

static __u16 port_of(__u32 service)
{
	if (is_other(service))
		return others[kind_of(service)].port;
	return world_is_dnat(service) ? DNAT_PORT : NAT_PORT;
}

/* The service that backend @id of the world is of. */
static __u32 service_of(__u32 backend)
{
	return is_other(backend) ? backend : (backend - 1) % WORLD_SERVICES + 1;
}

static bool backend_is_ipv6(__u32 backend)
{
	__u32 service = service_of(backend);

	if (world_mode(service) == FORWARD_IPIP || world_mode(service) == FORWARD_GUE)
		return others[kind_of(service)].backend_ipv6;
	return world_is_ipv6(service);
}

const char *world_backend_address(__u32 backend)
{
	static char text[WORLD_LAST + 1][32];

	snprintf(text[backend], sizeof(text[backend]), backend_is_ipv6(backend) ? "fd00:1::%x" : "10.0.1.%u", backend);
	return text[backend];
}

static void set_mac(__u8 mac[6], __u8 last)
{
	memset(mac, 0, 6);
	mac[0] = 2;
	mac[5] = last;
}

static struct next_hop hop_to(__u8 mac, __u32 ifindex)
{
	struct next_hop hop = {.ifindex = ifindex};

	set_mac(hop.destination_mac, mac);
	set_mac(hop.source_mac, MAC_SPLITTER);
	return hop;
}

static void add_route(struct fixture *f, const char *prefix, __u32 bits, __u32 kind, __u8 mac, __u32 ifindex)
{
	struct next_hop_key key = {.prefix_bits = strchr(prefix, ':') ? bits : 96 + bits,
				   .address = address_of(prefix)};
	struct next_hop_entry entry = {.hop = hop_to(mac, ifindex), .kind = kind};

	map_set(f->next_hops, &key, &entry);
}

void world_add_backend(struct fixture *f, __u32 id, __u32 service, const char *address, __u32 endpoint, __u32 ifindex)
{
	struct backend b = {
		.address = address_of(address),
		.port = htons(BACKEND_PORT),
		.hop_active = id & 1, /* both hops get used; the other one leads astray */
		.service = service,
		.endpoint = endpoint,
		.source = strchr(address, ':') ? SOURCE6 : SOURCE4,
	};
	struct service_key key = {.address = b.address, .port = b.port, .protocol = protocol_of(service)};
	struct reply_origin origin = {.backend = endpoint, .mode = world_mode(service)};

	if (ifindex)
		b.hop[id & 1] = hop_to(id, ifindex);
	b.hop[!(id & 1)] = (struct next_hop){.ifindex = 0};
	map_set(f->backends, &id, &b);
	if (!is_other(service))
		map_set_end(f, f->reply_origins, &key, &origin);
}

static void add_service(struct fixture *f, __u32 id)
{
	struct service s = {
		.main = {.entries = id},
		.vip =
			{
				.address = address_of(world_is_ipv6(id) ? VIP6 : VIP4),
				.port = htons(port_of(id)),
				.protocol = protocol_of(id),
			},
		.seed = 0x5eed0000 + id,
		.mode = world_mode(id),
		.port_min = SOURCE_PORT,
		.port_max = SOURCE_PORT,
		.tunnel_port = htons(TUNNEL_PORT),
	};

	if (s.mode == FORWARD_IPIP) {
		s.outer[0].address = address_of(OUTER4);
		s.outer[1].address = address_of(OUTER6);
		s.outer[0].entropy = OUTER4_ENTROPY;
		s.outer[1].entropy = OUTER6_ENTROPY;
	}
	map_set(f->services, &id, &s);
	map_set_end(f, f->vips, &s.vip, &id);
}

static void add_first_backend(struct fixture *f, __u32 id)
{
	world_add_backend(f, id, service_of(id), world_backend_address(id), id, LOOPBACK);
	fixture_fill_row(f, id, id);
}

/* @lowest: id of the first service with that address. */
static void add_vip_address(struct fixture *f, const char *text, __u32 lowest)
{
	struct address vip = address_of(text);

	map_set(f->vip_addresses, &vip, &lowest);
}

struct fixture *world_new(const struct fixture_sizes *sizes)
{
	struct fixture *f = fixture_new(sizes);
	struct address source4 = address_of(SPLITTER4);
	struct address source6 = address_of(SPLITTER6);

	for (__u32 id = 1; id <= WORLD_LAST; id = world_next(id))
		add_service(f, id);
	add_vip_address(f, VIP4, NAT4_TCP);
	add_vip_address(f, VIP6, NAT6_TCP);
	for (__u32 id = 1; id <= WORLD_BACKENDS; id++)
		add_first_backend(f, id);
	for (__u32 id = L2DSR4_TCP; id <= WORLD_LAST; id++)
		add_first_backend(f, id);
	map_set(f->sources, &(__u32){SOURCE4}, &source4);
	map_set(f->sources, &(__u32){SOURCE6}, &source6);
	add_route(f, SPLITTER4, 32, NEXT_HOP_LOCAL, 0, 0);
	add_route(f, SPLITTER6, 128, NEXT_HOP_LOCAL, 0, 0);
	add_route(f, "192.0.2.0", 24, NEXT_HOP_REACHABLE, MAC_ROUTER, LOOPBACK);
	add_route(f, "2001:db8::", 64, NEXT_HOP_REACHABLE, MAC_ROUTER, LOOPBACK);
	add_route(f, "198.51.100.0", 24, NEXT_HOP_REACHABLE, MAC_FAR_ROUTER, OTHER_INTERFACE);
	add_route(f, "203.0.113.0", 24, NEXT_HOP_UNRESOLVED, 0, LOOPBACK);
	add_route(f, "198.18.0.0", 15, NEXT_HOP_REACHABLE, MAC_ROUTER, OTHER_INTERFACE + 1);
	/* An entry must name a device that exists; no frame of a test run is sent, so any will do. */
	map_set(f->devices, &(__u32){OTHER_INTERFACE}, &(__u32){LOOPBACK});
	return f;
}

int world_setup(void **state)
{
	*state = world_new(&(struct fixture_sizes){});
	return 0;
}

int world_setup_own(void **state)
{
	*state = NULL;
	return 0;
}

int world_teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

struct segment world_request(__u32 service)
{
	return (struct segment){
		.from = world_is_ipv6(service) ? CLIENT6 : CLIENT4,
		.to = world_is_ipv6(service) ? VIP6 : VIP4,
		.from_port = CLIENT_PORT,
		.to_port = port_of(service),
		.protocol = protocol_of(service),
		.flags = SYN,
		.payload_bytes = 21,
	};
}

/* The tunnel's headers for a flow: where bpf/outer.h promises the hash to be. */
static struct outer outer_of(__u32 service, __u32 backend, const char *client, __u16 client_port)
{
	struct address from = address_of(client);
	__u32 hash = hash_client(0x5eed0000 + service, &from, htons(client_port));
	bool gue = world_mode(service) == FORWARD_GUE, ipv6 = backend_is_ipv6(backend);
	struct outer o = {
		.kind = gue ? OUTER_GUE : OUTER_IPIP,
		.to = address_of(world_backend_address(backend)),
		.from_port = 0xc000 | (hash & 0x3fff),
		.to_port = TUNNEL_PORT,
		.flow_label = hash & 0xfffff,
	};

	if (gue) {
		o.from = address_of(ipv6 ? SPLITTER6 : SPLITTER4);
	} else {
		o.from = address_of(ipv6 ? OUTER6 : OUTER4);
		o.from.word[3] |= htonl(hash & (ipv6 ? OUTER6_ENTROPY : OUTER4_ENTROPY));
	}
	return o;
}

struct segment world_split(__u32 service, __u32 backend, const struct segment *in)
{
	enum forward_mode mode = world_mode(service);
	struct segment s = *in;

	s.hops++;
	s.to_mac = backend;
	s.from_mac = MAC_SPLITTER;
	s.again = false;
	if (mode == FORWARD_IPIP || mode == FORWARD_GUE)
		s.outer = outer_of(service, backend, in->from, in->from_port);
	if (mode == FORWARD_NAT) {
		s.from = world_is_ipv6(service) ? SPLITTER6 : SPLITTER4;
		s.from_port = SOURCE_PORT;
	}
	if (mode == FORWARD_NAT || mode == FORWARD_DNAT) {
		s.to = world_backend_address(backend);
		s.to_port = BACKEND_PORT;
	}
	return s;
}

struct segment world_forwarded(__u32 service, __u32 backend)
{
	struct segment request = world_request(service);

	return world_split(service, backend, &request);
}

struct segment world_reply(__u32 service, __u32 backend)
{
	struct segment forwarded = world_forwarded(service, backend);

	return (struct segment){
		.from = forwarded.to,
		.to = forwarded.from,
		.from_port = forwarded.to_port,
		.to_port = forwarded.from_port,
		.protocol = forwarded.protocol,
		.flags = SYN | ACK,
		.payload_bytes = 34,
	};
}

struct segment world_answered(__u32 service)
{
	struct segment request = world_request(service);

	return (struct segment){
		.from = request.to,
		.to = request.from,
		.from_port = request.to_port,
		.to_port = request.from_port,
		.to_mac = MAC_ROUTER,
		.from_mac = MAC_SPLITTER,
		.protocol = request.protocol,
		.hops = 1,
		.flags = SYN | ACK,
		.payload_bytes = 34,
	};
}

struct flow_key world_flow_key(__u32 service, const char *client, __u16 port)
{
	return (struct flow_key){.client = address_of(client), .port = htons(port), .service = service};
}

struct service world_service_get(struct fixture *f, __u32 service)
{
	struct service s;

	assert_true(map_get(f->services, &service, &s));
	return s;
}

void world_service_set(struct fixture *f, __u32 service, const struct service *value)
{
	map_set(f->services, &service, value);
}

void world_set_ports(struct fixture *f, __u32 service, __u16 min, __u16 max)
{
	struct service s = world_service_get(f, service);

	s.port_min = min;
	s.port_max = max;
	world_service_set(f, service, &s);
}

void world_track(struct fixture *f, __u32 service, __u32 entry, __u32 base)
{
	struct service s = world_service_get(f, service);

	fixture_fill_row(f, TRACKED_ROW, entry | SLOT_TRACKED);
	s.main = (struct table){.entries = TRACKED_ROW, .base = base};
	world_service_set(f, service, &s);
}

void world_settle(struct fixture *f, __u32 service, __u32 backend)
{
	struct service s = world_service_get(f, service);

	s.main = (struct table){.entries = backend};
	world_service_set(f, service, &s);
}

void world_set_mtu(struct fixture *f, __u32 id, __u16 mtu)
{
	struct backend b;

	assert_true(map_get(f->backends, &id, &b));
	b.mtu = mtu;
	map_set(f->backends, &id, &b);
}

void world_set_reset_below(struct fixture *f, __u32 backend, __u16 below)
{
	struct backend b;

	assert_true(map_get(f->backends, &backend, &b));
	b.reset_below = below;
	map_set(f->backends, &backend, &b);
}

void world_set_measure_mask(struct fixture *f, __u32 service, __u32 mask)
{
	struct service s = world_service_get(f, service);

	s.measure_mask = mask;
	world_service_set(f, service, &s);
}

struct reading world_send(struct fixture *f, const struct segment *s)
{
	struct frame in, out;
	struct reading r;

	frame_build(s, &in);
	assert_int_equal(fixture_run(f, &in, &out), SENT);
	assert_true(frame_read(&out, &r));
	assert_true(frame_checksums_right(&out, &r));
	return r;
}

bool world_becomes(struct fixture *f, const char *what, const struct segment *in, enum outcome outcome,
		   const struct segment *wanted)
{
	struct frame given, expected, got;
	enum outcome is;

	frame_build(in, &given);
	frame_build(wanted ? wanted : in, &expected);
	if (!fixture_takes(&given))
		return true;
	is = fixture_run(f, &given, &got);
	if (is == outcome && frame_equal(&got, &expected))
		return true;
	fprintf(stderr, "%s: outcome %d, wanted %d\n", what, is, outcome);
	frame_print_difference(&got, &expected);
	return false;
}

void world_send_dropped(struct fixture *f, const struct segment *s, __u32 service, enum drop_reason reason)
{
	__u64 before = fixture_service_counters(f, service).drops[reason];
	struct frame in, out;

	frame_build(s, &in);
	assert_int_equal(fixture_run(f, &in, &out), DROPPED);
	assert_true(frame_equal(&in, &out));
	assert_int_equal(fixture_service_counters(f, service).drops[reason], before + 1);
}

__u32 world_backend_of(struct fixture *f, const struct segment *s)
{
	struct reading r = world_send(f, s);

	/* The world numbers backends by the last bytes of their addresses. */
	return ntohl(r.destination.word[3]) & 0xff;
}
