/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_HEALTH_SCHEDULE_H
#define HEADGATE_HEALTH_SCHEDULE_H

#include <stdint.h>

#include "model.h"

/**
 * health_next_check_ns - when a backend is to be checked next
 * @last_ns: when its last check began
 * @seed: of the backend, so that backends differ
 *
 * The interval, 10 % more or less: checks of many backends do not stay in step. The same arguments give the same time.
 */
uint64_t health_next_check_ns(const struct health_model *m, uint64_t last_ns, uint32_t seed);

#endif
