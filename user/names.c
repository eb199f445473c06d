// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "names.h"

#include <netinet/in.h>

const char *name_of_drop(enum drop_reason reason)
{
	static const char *const names[DROP_REASONS] = {
		[DROP_MALFORMED] = "malformed",
		[DROP_TTL] = "ttl",
		[DROP_NO_BACKEND] = "no_backend",
		[DROP_NO_NEXT_HOP] = "no_next_hop",
		[DROP_NO_FLOW] = "no_flow",
		[DROP_NO_SOURCE] = "no_source",
		[DROP_PORTS_EXHAUSTED] = "ports_exhausted",
		[DROP_FLOW_TABLE_FULL] = "flow_table_full",
		[DROP_TOO_BIG] = "too_big",
		[DROP_LONE_FRAGMENT] = "lone_fragment",
	};

	return names[reason];
}

const char *name_of_forward(enum forward_mode mode)
{
	static const char *const names[] = {
		[FORWARD_NAT] = "nat",   [FORWARD_DNAT] = "dnat", [FORWARD_L2DSR] = "l2dsr",
		[FORWARD_IPIP] = "ipip", [FORWARD_GUE] = "gue",
	};

	return names[mode];
}

const char *name_of_protocol(uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}

const char *name_of_attach(enum attach_mode mode)
{
	switch (mode) {
	case ATTACH_NATIVE:
		return "native";
	case ATTACH_GENERIC:
		return "generic";
	case ATTACH_TC:
		return "tc";
	default:
		return "auto";
	}
}

const char *name_of_existing(enum existing existing)
{
	return existing == EXISTING_CHAIN ? "chain" : "refuse";
}

const char *name_of_affinity(enum affinity affinity)
{
	return affinity == AFFINITY_CLIENT ? "client" : "connection";
}

const char *name_of_engine(enum shadow_engine engine)
{
	return engine == SHADOW_REPLAY ? "replay" : "inline";
}

const char *name_of_shadow_state(enum shadow_state state)
{
	static const char *const names[] = {[SHADOW_ON] = "on", [SHADOW_OFF] = "off", [SHADOW_PAUSED] = "paused"};

	return names[state];
}

const char *name_of_shadow_end(enum shadow_end end)
{
	static const char *const names[SHADOW_ENDS] = {
		[SHADOW_WHOLE] = "whole",
		[SHADOW_MID_CONNECTION] = "mid_connection",
		[SHADOW_LATE] = "late",
		[SHADOW_LOST] = "lost",
		[SHADOW_OVERRUN] = "overrun",
		[SHADOW_EVICTED] = "evicted",
		[SHADOW_OVER_CAP] = "over_cap",
		[SHADOW_TOO_BIG] = "too_big",
		[SHADOW_UNREACHABLE] = "unreachable",
		[SHADOW_NO_ANSWER] = "no_answer",
		[SHADOW_REFUSED] = "refused",
		[SHADOW_RESET] = "reset",
		[SHADOW_LINGERED] = "lingered",
		[SHADOW_STOPPED] = "stopped",
	};

	return names[end];
}
