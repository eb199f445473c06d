/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_BPFFS_H
#define HEADGATE_BPFFS_H

#include "refusal.h"

#define BPFFS "/sys/fs/bpf"

/* mkdir -p, but only of what bpffs may hold. 0 or -errno. */
int bpffs_make_folders(const char *path);

/**
 * bpffs_prepare - make a folder for pins
 * Mounts bpffs where it belongs and is missing. Return: 0 or -errno with @why.
 */
int bpffs_prepare(const char *pins, struct refusal *why);

/*
 * Names of interfaces as files: bpffs allows no dot in a name and the kernel no percent in an interface's, so eth0.7 is
 * pinned as eth0%7. Both change the text in place.
 */
void bpffs_name_from_interface(char *text);
void bpffs_name_to_interface(char *text);

#endif
