/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_WHY_H
#define HEADGATE_WHY_H

/* Why somebody who was asked did not answer, in few words. */
#include <stdint.h>

#define WHY_SIZE 320 /* curl's longest message and what it is about */

/* "no answer in 1 s", "connection refused". Both return @text. */
const char *why_late(uint32_t timeout_ms, char text[WHY_SIZE]);
const char *why_errno(int error, char text[WHY_SIZE]);

#endif
