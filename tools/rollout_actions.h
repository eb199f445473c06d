/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ROLLOUT_ACTIONS_H
#define HEADGATE_ROLLOUT_ACTIONS_H

#include "tool.h"

/* Actions of `headgate rollout`, each in the file of its name: @call's arguments are its own name and what follows. */
enum exit_code rollout_status(const struct invocation *call);
enum exit_code rollout_watch(const struct invocation *call);
enum exit_code rollout_history(const struct invocation *call);

#endif
