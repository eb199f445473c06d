/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_NAMES_H
#define HEADGATE_NAMES_H

#include <stdint.h>

#include <linux/types.h>

#include "abi.h"
#include "model.h"

/* The words for enums, as they stand in the configuration, the API and the metrics. */
const char *name_of_drop(enum drop_reason reason);         /* "malformed" */
const char *name_of_forward(enum forward_mode mode);       /* "nat" */
const char *name_of_protocol(uint8_t protocol);            /* "tcp" */
const char *name_of_attach(enum attach_mode mode);         /* "native" */
const char *name_of_existing(enum existing existing);      /* "chain" */
const char *name_of_affinity(enum affinity affinity);      /* "connection" */
const char *name_of_engine(enum shadow_engine engine);     /* "inline" */
const char *name_of_shadow_state(enum shadow_state state); /* "on" */
const char *name_of_shadow_end(enum shadow_end end);       /* "mid_connection" */

#endif
