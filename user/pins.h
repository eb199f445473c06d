/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PINS_H
#define HEADGATE_PINS_H

/*
 * The folder in bpffs that keeps the data path alive without the daemon:
 *
 *	PINS/v1/maps/NAME     every map
 *	PINS/v1/links/IFACE   a link: the program runs on the interface for as long as this file is there
 */
#include <stdbool.h>
#include <stdint.h>

#include "model.h"

#define PINS_PATH_SIZE 512
#define PINS_DEFAULT "/sys/fs/bpf/headgate"

/**
 * pins_prepare - make the folders, and see what is in them
 * @ret_lock: an fd that holds the folder: there is one daemon at a time
 * @ret_adopt: every map of a data path is pinned there
 *
 * Mounts bpffs where it belongs and is missing. What a daemon left that died while it loaded for the first time (maps,
 * but not all; no link) is removed. Return: 0 or -errno with @why.
 */
int pins_prepare(const char *pins, int *ret_lock, bool *ret_adopt, struct refusal *why);

const char *pins_map_path(const char *pins, const char *map, char path[PINS_PATH_SIZE]);

/* A pinned map's fd, or -errno. */
int pins_open_map(const char *pins, const char *map);

/* As datapath_attach(), with the program's fd. */
int pins_attach(const char *pins, const char *interface, uint32_t ifindex, int program, enum attach_mode mode,
		enum attach_mode *ret_mode, struct refusal *why);
int pins_detach(const char *pins, const char *interface);

#endif
