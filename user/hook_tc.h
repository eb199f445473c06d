/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_HOOK_TC_H
#define HEADGATE_HOOK_TC_H

/*
 * The TC hook: a filter of clsact's ingress, always with the same handle and priority. A filter is no link: it stays by
 * itself, and what is pinned are folders that remember:
 *
 *	PINS/vN/tc/IFACE          the filter is there, or may be
 *	PINS/vN/tc/IFACE/qdisc    clsact is there because of it
 */
#include <stdbool.h>
#include <stdint.h>

#include "refusal.h"

#define HOOK_TC_PRIORITY 1
#define HOOK_TC_TEXT_SIZE 160

/**
 * hook_tc_attach - run @program on an interface, or in place of our own that is there
 * Return: 0 or -errno with @why: -EBUSY when a filter of somebody else's has our priority.
 */
int hook_tc_attach(const char *pins, const char *interface, uint32_t ifindex, int program, struct refusal *why);

/* Is our filter there (@ret_ours), or who else (else empty) has our priority? 0 or -errno. */
int hook_tc_look(const char *pins, uint32_t ifindex, bool *ret_ours, char ret_foreign[HOOK_TC_TEXT_SIZE]);

/* Takes our filter off, and clsact too if it came with it and nobody else has a filter there. 0 or -errno (-ENOENT). */
int hook_tc_detach(const char *pins, const char *interface, uint32_t ifindex);

#endif
