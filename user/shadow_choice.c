// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_choice.h"

#include "hash.h"

bool shadow_chooses(const struct service *s, const struct shadow_model *shadow, const struct flow_key *client)
{
	uint64_t hash = hash_client(s->seed, &client->client, client->port);
	const struct shadow_rule_model *rule = NULL;

	if (!(s->flags & SERVICE_SHADOW))
		return false;
	for (size_t i = 0; i < shadow->rule_count; i++) {
		const struct shadow_rule_model *other = &shadow->rules[i];

		if (prefix_contains(&other->source, &client->client) &&
		    (!rule || other->source.bits > rule->source.bits))
			rule = other;
	}
	if (rule)
		return rule->rule == SHADOW_ALWAYS;
	return ((hash & 0xffffffff) * SHADOW_SAMPLE_ALL) >> 32 < s->shadow_sample;
}
