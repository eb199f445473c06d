/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_CHOICE_H
#define HEADGATE_SHADOW_CHOICE_H

/* Which connections are mirrored, as the programs choose them. Pure. */
#include <stdbool.h>

#include "model.h"

/* The rule that a client is under, or NULL. */
const struct shadow_rule_model *shadow_rule_of(const struct shadow_model *shadow, const struct address *client);

/**
 * shadow_chooses - whether a connection of a client is mirrored
 * @s: the service as the programs see it
 * @shadow: its shadow's rules
 */
bool shadow_chooses(const struct service *s, const struct shadow_model *shadow, const struct flow_key *client);

#endif
