/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PROGRAM_PINS_H
#define HEADGATE_PROGRAM_PINS_H

/*
 * The programs that are attached or run by their fds, pinned by the build they are of: to verify and translate them all
 * takes more than a second, and a daemon that adopts what its own build has loaded need not. What they call lives on in
 * the pinned maps of programs.
 *
 *	PINS/vN/programs/BUILD/NAME
 */
#include <stddef.h>
#include <stdint.h>

enum entry_program {
	ENTRY_XDP,
	ENTRY_TC,
	ENTRY_XDP_RECEIVE,
	ENTRY_TC_MADE_UP,
	ENTRY_MIRROR,
	ENTRY_MIRROR_TC,
	ENTRY_PROGRAMS
};

/* What tells a build's programs from another's: FNV-1a of the object file's bytes. */
uint64_t program_pins_build(const void *object, size_t bytes);

/**
 * program_pins_open - the programs of a build
 * @fds: for the caller to close; untouched on failure
 * Return: 0 or -errno, -ENOENT unless all of them are pinned.
 */
int program_pins_open(const char *pins, uint64_t build, int fds[ENTRY_PROGRAMS]);

/* Pins them. 0 or -errno: some may be pinned then. */
int program_pins_make(const char *pins, uint64_t build, const int fds[ENTRY_PROGRAMS]);

/* Of every build: before others are loaded, which take the place of what these call. */
void program_pins_remove(const char *pins);

#endif
