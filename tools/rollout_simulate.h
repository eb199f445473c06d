/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ROLLOUT_SIMULATE_H
#define HEADGATE_ROLLOUT_SIMULATE_H

#include "tool.h"

#define ROLLOUT_SIMULATE_OPTIONS                                                                                       \
	(OPTION_PLAN | OPTION_CONFIG | OPTION_RECORDED | OPTION_STABLE | OPTION_CANDIDATE | OPTION_RATE |              \
	 OPTION_SEED | OPTION_RUNS)

/* `headgate rollout simulate [SERVICE]`: arguments are "simulate" and perhaps a service. Asks no headgated. */
enum exit_code rollout_simulate(const struct invocation *call);

#endif
