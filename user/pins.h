/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PINS_H
#define HEADGATE_PINS_H

/*
 * The folder in bpffs that keeps the data path alive without the daemon:
 *
 *	PINS/vN/maps/NAME       every map
 *	PINS/vN/links/IFACE     what runs on which interface, and how: see hook_xdp.h
 *	PINS/vN/chained/IFACE
 *	PINS/vN/tc/IFACE        and hook_tc.h
 *	PINS/vN/programs/BUILD  the programs: see program_pins.h
 */
#include <stdbool.h>
#include <stdint.h>

#include "refusal.h"

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

/* PINS/vN/FOLDER. Returns @path. */
const char *pins_folder(const char *pins, const char *folder, char path[PINS_PATH_SIZE]);

/* Calls for each name in PINS/vN/FOLDER; it may be removed meanwhile. 0 or -errno. */
int pins_each(const char *pins, const char *folder, void (*each)(const char *name, void *context), void *context);

/* A pinned map's fd, or -errno. */
int pins_open_map(const char *pins, const char *map);

/* PINS/vN/FOLDER/IFACE and @rest after it, where what runs on an interface is remembered. Returns @path. */
const char *pins_path(const char *pins, const char *folder, const char *interface, const char *rest,
		      char path[PINS_PATH_SIZE]);

#endif
