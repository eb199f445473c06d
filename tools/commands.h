/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_COMMANDS_H
#define HEADGATE_COMMANDS_H

#include "tool.h"

/* One in each file of its name. */
extern const struct command command_status;
extern const struct command command_services;
extern const struct command command_weights;
extern const struct command command_switch;
extern const struct command command_backend;
extern const struct command command_cohort;
extern const struct command command_shadow;
extern const struct command command_rollout;
extern const struct command command_explain;
extern const struct command command_flows;
extern const struct command command_check;
extern const struct command command_reload;
extern const struct command command_detach;
extern const struct command command_doctor;
extern const struct command command_version;

#endif
