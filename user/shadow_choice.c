// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_choice.h"

#include "hash.h"

const struct shadow_rule_model *shadow_rule_of(const struct shadow_model *shadow, const struct address *client)
{
	for (size_t i = 0; i < shadow->rule_count; i++)
		if (prefix_contains(&shadow->rules[i].source, client))
			return &shadow->rules[i]; /* the only one, as they do not overlap */
	return NULL;
}

bool shadow_chooses(const struct service *s, const struct shadow_model *shadow, const struct flow_key *client)
{
	const struct shadow_rule_model *rule = shadow_rule_of(shadow, &client->client);

	if (!(s->flags & SERVICE_SHADOW))
		return false;
	if (rule)
		return rule->rule == SHADOW_ALWAYS;
	return hash_sample(hash_client(s->seed, &client->client, client->port)) < s->shadow_sample;
}
