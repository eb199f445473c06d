// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "expiry.h"

#include <netinet/in.h>

#include "ends.h"

uint32_t tick_of_ns(uint64_t ns)
{
	return ns >> TICK_SHIFT;
}

uint32_t ticks_since(uint32_t tick, uint32_t now_tick)
{
	int32_t ticks = (int32_t)(now_tick - tick);

	return ticks > 0 ? ticks : 0;
}

/* A tick is 1.07 s, so that counting ticks as seconds errs to the patient side. */
static uint32_t patience_s(uint32_t flags, bool half_open, uint8_t protocol, uint32_t idle_s)
{
	if (flags & FLOW_RESET)
		return EXPIRY_RESET_S;
	if (flow_is_closed(flags))
		return EXPIRY_CLOSED_S;
	if (half_open)
		return EXPIRY_HALF_OPEN_S;
	if (protocol == IPPROTO_TCP && flags & (FLOW_CLIENT_FIN | FLOW_SERVER_FIN) && idle_s > EXPIRY_CLOSING_S)
		return EXPIRY_CLOSING_S;
	return idle_s;
}

bool flow_expired(const struct flow *f, const struct source_port *port, bool half_open, uint8_t protocol,
		  uint32_t now_tick, uint32_t idle_s)
{
	uint32_t flags = f->flags | (port ? port->flags : 0);
	uint32_t silent = ticks_since(f->seen, now_tick);

	if (port && ticks_since(port->seen, now_tick) < silent)
		silent = ticks_since(port->seen, now_tick);
	return silent > patience_s(flags, half_open, protocol, idle_s);
}

bool source_port_expired(const struct source_port *port, uint32_t now_tick)
{
	uint32_t patience = port->flags & FLOW_REPLIED ? EXPIRY_CLOSED_S : EXPIRY_UNREPLIED_S;

	return ticks_since(port->seen, now_tick) > patience;
}
