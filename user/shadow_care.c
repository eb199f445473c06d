// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_care.h"

#include "expiry.h"
#include "sequence.h"

static uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

static uint64_t latest(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns > b_ns ? a_ns : b_ns;
}

/* Whether one of the times from @base_ns on, @step_ns after it and then each twice as far, is after the one look and
 * not after the other. */
static bool is_due(uint64_t base_ns, uint64_t step_ns, uint64_t most_ns, uint64_t previous_ns, uint64_t now_ns)
{
	for (uint64_t at_ns = base_ns + step_ns; at_ns <= now_ns; at_ns += step_ns) {
		if (at_ns > previous_ns)
			return true;
		step_ns = 2 * step_ns < most_ns ? 2 * step_ns : most_ns;
	}
	return false;
}

/* Every byte of the client's that is known. */
static bool has_all(const struct shadow_flow *flow)
{
	return flow->flags & SHADOW_FLOW_OPEN && !sequence_after(flow->client_next, flow->acked);
}

static bool is_outstanding(const struct shadow_flow *flow)
{
	return !has_all(flow) || (flow->flags & SHADOW_FLOW_FIN_SENT && flow->acked == flow->fin);
}

bool care_may_miss(const struct shadow_flow *flow, uint64_t now_ns)
{
	const uint32_t none_of = SHADOW_FLOW_OVER | SHADOW_FLOW_REPLAY | SHADOW_FLOW_UDP;

	return (flow->flags & (SHADOW_FLOW_OPEN | none_of)) == SHADOW_FLOW_OPEN &&
	       sequence_after(flow->client_next, flow->sent) && since(flow->progress_ns, now_ns) > CARE_MISSING_NS;
}

/* Something that the shadow has not acknowledged. */
static enum shadow_care care_for_outstanding(const struct shadow_flow *flow, const struct care_limits *limits,
					     uint64_t previous_ns, uint64_t now_ns, enum shadow_end *ret_reason)
{
	bool open = flow->flags & SHADOW_FLOW_OPEN;
	uint64_t base_ns = open ? flow->progress_ns : flow->opened_ns;

	/* A FIN goes when the shadow has been quiet, long after it last acknowledged something. */
	if (flow->flags & SHADOW_FLOW_FIN_SENT)
		base_ns = latest(base_ns, latest(flow->answered_ns, flow->fin_ns));
	if (since(latest(base_ns, limits->began_ns), now_ns) > CARE_NO_ANSWER_NS) {
		*ret_reason = SHADOW_NO_ANSWER;
		return CARE_ABORT;
	}
	if (open)
		return is_due(base_ns, CARE_REPAIR_NS, CARE_REPAIR_MOST_NS, previous_ns, now_ns) ? CARE_REPAIR
												 : CARE_NOTHING;
	return is_due(base_ns, CARE_SYN_NS, CARE_NO_ANSWER_NS, previous_ns, now_ns) ? CARE_REPAIR : CARE_NOTHING;
}

/* Whether the shadow, which has all that the client said, has said all that it will. */
static bool has_answered(const struct shadow_flow *flow, uint64_t now_ns)
{
	/* What production did not answer the shadow need not. */
	uint32_t asked = flow->production.flags & SHADOW_SIDE_OPEN ? flow->production.answered : flow->requests;
	uint64_t quiet_ns = since(latest(flow->answered_ns, flow->fin_ns), now_ns);
	uint64_t request_ns = flow->request_ns[(flow->requests - 1) & (SHADOW_RESPONSES - 1)];

	if (flow->shadow.answered >= asked)
		return quiet_ns >= CARE_QUIET_NS;
	return flow->answered_ns > request_ns && quiet_ns >= CARE_SILENT_NS;
}

/* The client has ended, and the shadow has all of it. */
static enum shadow_care care_for_ending(const struct shadow_flow *flow, const struct care_limits *limits,
					uint64_t now_ns, enum shadow_end *ret_reason)
{
	if (!(flow->flags & SHADOW_FLOW_FINISH) && has_answered(flow, now_ns))
		return CARE_FINISH;
	if (since(latest(flow->fin_ns, limits->began_ns), now_ns) <= limits->linger_ns)
		return CARE_NOTHING;
	*ret_reason = SHADOW_LINGERED;
	return CARE_ABORT;
}

/* While the client may go on its connection must be remembered, or it would be counted as one that began unseen. */
static bool is_forgotten(const struct shadow_flow *flow, const struct care_limits *limits, uint64_t now_ns)
{
	uint32_t silent = ticks_since(flow->seen, tick_of_ns(now_ns));

	if (silent > limits->idle_s)
		return true;
	if (!(flow->flags & SHADOW_FLOW_FIN) || silent <= CARE_OVER_TICKS)
		return false;
	return flow->flags & SHADOW_FLOW_OVER ||
	       since(latest(flow->fin_ns, limits->began_ns), now_ns) > limits->linger_ns + CARE_REPLAY_NS;
}

enum shadow_care shadow_care(const struct shadow_flow *flow, const struct care_limits *limits, bool wanted,
			     bool missing, uint64_t previous_ns, uint64_t now_ns, enum shadow_end *ret_reason)
{
	if (flow->flags & (SHADOW_FLOW_OVER | SHADOW_FLOW_REPLAY))
		return is_forgotten(flow, limits, now_ns) ? CARE_FORGET : CARE_NOTHING;
	if (!wanted && !(flow->flags & SHADOW_FLOW_FIN)) {
		*ret_reason = SHADOW_STOPPED;
		return CARE_ABORT;
	}
	if (ticks_since(flow->seen, tick_of_ns(now_ns)) > limits->idle_s) {
		*ret_reason = flow->flags & SHADOW_FLOW_UDP || has_all(flow) ? SHADOW_WHOLE : SHADOW_NO_ANSWER;
		return CARE_ABORT;
	}
	if (flow->flags & SHADOW_FLOW_UDP)
		return CARE_NOTHING;
	if (missing) {
		*ret_reason = SHADOW_LOST;
		return CARE_ABORT;
	}
	if (is_outstanding(flow))
		return care_for_outstanding(flow, limits, previous_ns, now_ns, ret_reason);
	return flow->flags & SHADOW_FLOW_FIN ? care_for_ending(flow, limits, now_ns, ret_reason) : CARE_NOTHING;
}
