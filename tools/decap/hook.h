/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DECAP_HOOK_H
#define HEADGATE_DECAP_HOOK_H

/* Where the program runs: an XDP link or a filter of clsact, known by what is pinned in the interface's folder. */
#include "decap.h"

#define FOLDER_SIZE 512
#define PIN_SIZE (FOLDER_SIZE + 64)

const char *pin_path(const char *folder, const char *name, char path[PIN_SIZE]);

/* Pin in place of what is pinned there. 0 or -errno. */
int pin_replace(int fd, const char *folder, const char *name);

/* MODE_NONE: nothing of ours is on the interface. */
enum decap_mode hook_mode(const char *folder, const char *interface);

/**
 * hook_attach - run the program on an interface, in place of the one of ours that is there
 * @xdp, @tc: fds of both programs
 * @mode: what is wanted, then what is in force
 * Without a gap, unless XDP changes between native and generic. Return: 0 or -errno with @why.
 */
int hook_attach(const char *folder, const char *interface, int xdp, int tc, enum decap_mode *mode, struct refusal *why);

void hook_detach(const char *folder, const char *interface);

#endif
