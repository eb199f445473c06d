/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_STATUS_H
#define HEADGATE_SHADOW_STATUS_H

#include "tool.h"

/* `headgate shadow SERVICE status`. */
enum exit_code shadow_status(const struct invocation *call);

#endif
