// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kinds.h"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <string.h>

#include "../bpf/packet.h"

#define ETHERNET 14U
#define PAYLOAD_BYTES 10

const uint32_t column_flows[COLUMNS] = {1, 1000, 100000, 1000000};

#define FORWARDED .program = PLAN_MEASURED, .forwards = true, .verdict = XDP_TX
#define TUNNELLED FORWARDED, .makes_room = true
#define MIRRORED .program = PLAN_MEASURED, .forwards = true, .verdict = XDP_REDIRECT

const struct kind kinds[] = {
	{"floor", PLAN_FLOOR, FLOWS_1, .makes_room = true, .verdict = XDP_TX},
	{"swap", PLAN_SWAP, FLOWS_1, .verdict = XDP_TX},
	{"no_service", PLAN_MEASURED, FLOWS_1 | FLOWS_1M, IPIP4, .stranger = true, .verdict = XDP_PASS},
	{"no_service6", PLAN_MEASURED, FLOWS_1, IPIP6, .stranger = true, .verdict = XDP_PASS},

	{"l2dsr", FORWARDED, .columns = FLOWS_ALL, .service = L2DSR4},
	{"l2dsr6", FORWARDED, .columns = FLOWS_ALL, .service = L2DSR6},
	{"ipip", TUNNELLED, .columns = FLOWS_ALL, .service = IPIP4},
	{"ipip6", TUNNELLED, .columns = FLOWS_ALL, .service = IPIP6},
	{"gue", TUNNELLED, .columns = FLOWS_ALL, .service = GUE4},
	{"gue6", TUNNELLED, .columns = FLOWS_ALL, .service = GUE6},
	{"dnat", FORWARDED, .columns = FLOWS_ALL, .service = DNAT4},
	{"dnat6", FORWARDED, .columns = FLOWS_KNOWN, .service = DNAT6},
	{"dnat_reply", FORWARDED, .columns = FLOWS_ALL, .service = DNAT4, .reply = true},
	{"dnat6_reply", FORWARDED, .columns = FLOWS_KNOWN, .service = DNAT6, .reply = true},
	{"nat", FORWARDED, .columns = FLOWS_ALL, .service = NAT4},
	{"nat6", FORWARDED, .columns = FLOWS_KNOWN, .service = NAT6},
	{"nat_reply", FORWARDED, .columns = FLOWS_ALL, .service = NAT4, .reply = true},
	{"nat6_reply", FORWARDED, .columns = FLOWS_KNOWN, .service = NAT6, .reply = true},

	{"l2dsr_tracked", FORWARDED, .columns = FLOWS_KNOWN, .service = L2DSR4_TRACKED},
	{"ipip_tracked", TUNNELLED, .columns = FLOWS_ALL, .service = IPIP4_TRACKED},
	{"gue_tracked", TUNNELLED, .columns = FLOWS_KNOWN, .service = GUE4_TRACKED},
	{"dnat_tracked", FORWARDED, .columns = FLOWS_KNOWN, .service = DNAT4_TRACKED},

	{"syn_ipip", TUNNELLED, .columns = FLOWS_1, .service = IPIP4, .opens = true},
	{"syn_ipip_tracked", TUNNELLED, .columns = FLOWS_1, .service = IPIP4_TRACKED, .opens = true},
	{"syn_dnat_tracked", FORWARDED, .columns = FLOWS_1, .service = DNAT4_TRACKED, .opens = true},
	{"syn_nat", FORWARDED, .columns = FLOWS_1, .service = NAT4_FLOOD, .opens = true},

	{"dnat_data", FORWARDED, .columns = FLOWS_1K, .service = DNAT4, .data = true},
	{"dnat_data_unmeasured", FORWARDED, .columns = FLOWS_1K, .service = DNAT4_UNMEASURED, .data = true},
	{"nat_data", FORWARDED, .columns = FLOWS_1K, .service = NAT4, .data = true, .writes_metadata = true},
	{"nat_data_shadow_10", PLAN_MEASURED, FLOWS_1K, NAT4_SHADOW, .data = true, .shadows = true,
	 .writes_metadata = true, .forwards = true, .verdict = KIND_ANY_VERDICT},
	{"nat_data_shadow_100", MIRRORED, .columns = FLOWS_1K, .service = NAT4_SHADOW_ALL, .data = true,
	 .shadows = true, .writes_metadata = true},
	{"nat_reply_shadow_100", FORWARDED, .columns = FLOWS_1K, .service = NAT4_SHADOW_ALL, .reply = true,
	 .data = true, .shadows = true},
	{"nat_reply_data", FORWARDED, .columns = FLOWS_1K, .service = NAT4, .reply = true, .data = true},

	{"services_1", TUNNELLED, .columns = FLOWS_1K | FLOWS_100K, .service = IPIP4_SPREAD},
	{"services_100", TUNNELLED, .columns = FLOWS_1K | FLOWS_100K, .service = IPIP4_SPREAD, .services = 100},
	{"services_1000", TUNNELLED, .columns = FLOWS_1K | FLOWS_100K, .service = IPIP4_SPREAD, .services = 1000},
	{"backends_1", TUNNELLED, .columns = FLOWS_1K | FLOWS_100K, .service = IPIP4_BACKENDS_1},
	{"backends_100", TUNNELLED, .columns = FLOWS_1K | FLOWS_100K, .service = IPIP4_BACKENDS_100},
	{"backends_1000", TUNNELLED, .columns = FLOWS_1K | FLOWS_100K, .service = IPIP4_BACKENDS_1000},
};
const size_t kind_count = sizeof(kinds) / sizeof(kinds[0]);

const struct kind flood_kind = {"syn_flood", FORWARDED, .service = NAT4_FLOOD, .opens = true};

/* Where a nat service's backend sends its answers: to the first of the addresses and ports that NAT gave. */
static struct segment reply_of(const struct kind *kind)
{
	bool ipv6 = scene_is_ipv6(kind->service), nat = scene_is_nat(kind->service);

	return (struct segment){
		.from = scene_backend_address(kind->service),
		.from_port = scene_port(kind->service),
		.to = nat ? (ipv6 ? SCENE_SOURCE6 : SCENE_SOURCE4) : (ipv6 ? SCENE_CLIENT6 : SCENE_CLIENT4),
		.to_port = nat ? SCENE_NAT_PORT_FIRST : SCENE_PORT_FIRST,
	};
}

static struct segment request_of(const struct kind *kind)
{
	bool ipv6 = scene_is_ipv6(kind->service);

	return (struct segment){
		.from = ipv6 ? SCENE_CLIENT6 : SCENE_CLIENT4,
		.from_port = SCENE_PORT_FIRST,
		.to = ipv6 ? (kind->stranger ? "fd00::99" : SCENE_VIP6) : (kind->stranger ? "10.0.0.99" : SCENE_VIP4),
		.to_port = scene_port(kind->service),
	};
}

static void write_frame(const struct kind *kind, struct plan *plan)
{
	struct segment s = kind->reply ? reply_of(kind) : request_of(kind);
	struct frame frame;

	s.to_mac = 0xf0;
	s.from_mac = 0xc1;
	s.flags = kind->opens ? SYN : ACK;
	s.sequence = s.acknowledged = 1;
	s.payload_bytes = kind->data ? PAYLOAD_BYTES : 0;
	frame_build(&s, &frame);
	memcpy(plan->frame, frame.data, frame.bytes < PLAN_FRAME_BYTES ? frame.bytes : PLAN_FRAME_BYTES);
}

struct plan kind_plan(const struct kind *kind, uint32_t flows)
{
	bool ipv6 = scene_is_ipv6(kind->service), to_nat = kind->reply && scene_is_nat(kind->service);
	struct segment s = kind->reply ? reply_of(kind) : request_of(kind);
	struct address first = address_of(kind->reply ? s.to : s.from);
	struct plan plan = {
		.ports_at = ETHERNET + (ipv6 ? 40 : 20),
		.address_at = ETHERNET + (ipv6 ? (kind->reply ? 36 : 20) : (kind->reply ? 16 : 12)),
		.port_first = kind->reply ? s.to_port : s.from_port,
		.service_port_first = scene_port(kind->service),
		.address_first = ntohl(first.word[3]),
		.flows = kind->opens ? 0 : flows,
		.services = kind->services,
		.numbering = to_nat ? PLAN_SOURCES : PLAN_CLIENTS,
		.flow_is_source = !kind->reply,
		.makes_room = kind->makes_room,
		.writes_metadata = kind->writes_metadata,
		.goes_on = kind->data,
	};

	write_frame(kind, &plan);
	return plan;
}
