/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_STATE_FILE_H
#define HEADGATE_STATE_FILE_H

/*
 * The state file as JSON:
 *
 *   {"format": 1, "services": {"llm": {
 *      "weights": {"configured": {"blue": 100, "canary": 0}, "running": {"blue": 90, "canary": 10}},
 *      "cohorts": [{"source": "10.9.0.0/16", "variant": "canary", "added": true,
 *                   "owner": "search team", "note": "INC-7", "expires": 1796119200},
 *                  {"source": "10.8.0.0/16", "variant": "canary", "removed": true}],
 *      "drained": [{"variant": "blue", "backend": "10.0.1.11:8000"}],
 *      "shadow": {"sample": {"configured": 1000, "running": 50}, "state": "paused", "reason": "why"}}}}
 *
 * owner, note and expires (CLOCK_REALTIME, in seconds) are left out where a cohort has none.
 * "configured" is what the configuration said when the decision was taken; samples are of SHADOW_SAMPLE_ALL. A service
 * without decisions is left out.
 */
#include <jansson.h>

#include "refusal.h"
#include "util.h"

#define STATE_FORMAT 1

/* Replaces the file atomically and durably. 0, or -errno with the old file as it was. */
int state_file_write(const char *path, const json_t *state);

/**
 * state_file_read - the state, its shape checked
 * @why: what is wrong with the file
 * @ret: of the shape above, so that readers need not check again: names are names, sources are prefixes,
 *       backends are endpoints
 *
 * Return: 0, -ENOENT when there is no file, -EBADMSG when it is damaged, or another -errno when it cannot be read.
 */
int state_file_read(const char *path, struct refusal *why, json_t **ret);

#endif
