/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CONFIG_H
#define HEADGATE_CONFIG_H

#include "model.h"

/* Everything that is wrong with a configuration, in the order of the file: "file:line:col: what, and what instead\n".
 */
struct problems {
	char *text; /* NULL when there is none; lines end in \n */
	size_t count;
};

void problems_clear(struct problems *p); /* frees the text; accepts NULL */

/**
 * config_load - read and check a YAML configuration as a whole
 * @path: the file; used in messages as given
 * @problems: receives every problem found, not just the first (at most 50)
 * @ret: the model, valid as a whole; untouched on error
 *
 * Does not look at this host: a missing interface is the daemon's to find.
 * Return: 0, -EINVAL with @problems filled, or another -errno (file not readable: @problems says so too).
 */
int config_load(const char *path, struct problems *problems, struct model **ret);

/* The same for text in memory; @name stands for the file in messages. */
int config_parse(const char *name, const char *text, size_t length, struct problems *problems, struct model **ret);

/**
 * config_load_plan - read and check a rollout plan that is a document of its own
 * @name: stands for it in messages
 * @text: YAML: the keys that may stand under `rollout:` of a service
 * @s: the service that it is for, as it is now: its variants, backends, shadow and mode decide what a plan can ask
 * @problems: as of config_load()
 * @ret: to be freed; untouched on error
 *
 * Return: 0, -EINVAL with @problems filled, or -ENOMEM.
 */
int config_load_plan(const char *name, const char *text, size_t length, const struct service_model *s,
		     struct problems *problems, struct rollout_plan **ret);

#endif
