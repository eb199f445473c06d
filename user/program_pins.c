// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "program_pins.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bpffs.h"
#include "pins.h"
#include "util.h"

#define FOLDER "programs"
#define BUILD_SIZE 20

static const char *const names[ENTRY_PROGRAMS] = {
	[ENTRY_XDP] = "xdp",
	[ENTRY_TC] = "tc",
	[ENTRY_XDP_RECEIVE] = "xdp_receive",
	[ENTRY_TC_MADE_UP] = "tc_made_up",
	[ENTRY_MIRROR] = "mirror",
	[ENTRY_MIRROR_TC] = "mirror_tc",
};

/* Builds differ by chance, nobody makes them collide. */
uint64_t program_pins_build(const void *object, size_t bytes)
{
	return fnv1a(object, bytes);
}

static const char *build_name(uint64_t build, char name[BUILD_SIZE])
{
	snprintf(name, BUILD_SIZE, "%016" PRIx64, build);
	return name;
}

/* PINS/vN/programs/BUILD, and a program in it unless @program is empty. */
static const char *build_path(const char *pins, const char *build, const char *program, char path[PINS_PATH_SIZE])
{
	size_t length = strlen(pins_folder(pins, FOLDER, path));

	snprintf(path + length, PINS_PATH_SIZE - length, "/%s/%s", build, program);
	return path;
}

static void close_all(int fds[ENTRY_PROGRAMS])
{
	for (size_t i = 0; i < ENTRY_PROGRAMS; i++)
		closep(&fds[i]);
}

int program_pins_open(const char *pins, uint64_t build, int fds[ENTRY_PROGRAMS])
{
	char name[BUILD_SIZE], path[PINS_PATH_SIZE];
	int found[ENTRY_PROGRAMS], missing = 0;

	build_name(build, name);
	for (size_t i = 0; i < ENTRY_PROGRAMS; i++) {
		found[i] = bpf_obj_get(build_path(pins, name, names[i], path));
		missing += found[i] < 0;
	}
	if (missing) {
		close_all(found);
		return -ENOENT;
	}
	memcpy(fds, found, sizeof(found));
	return 0;
}

int program_pins_make(const char *pins, uint64_t build, const int fds[ENTRY_PROGRAMS])
{
	char name[BUILD_SIZE], path[PINS_PATH_SIZE];
	int error = bpffs_make_folders(build_path(pins, build_name(build, name), "", path));

	for (size_t i = 0; !error && i < ENTRY_PROGRAMS; i++)
		if (bpf_obj_pin(fds[i], build_path(pins, name, names[i], path)))
			error = -errno;
	return error;
}

static void remove_build(const char *build, void *pins)
{
	char path[PINS_PATH_SIZE];

	for (size_t i = 0; i < ENTRY_PROGRAMS; i++)
		unlink(build_path(pins, build, names[i], path));
	rmdir(build_path(pins, build, "", path));
}

void program_pins_remove(const char *pins)
{
	char path[PINS_PATH_SIZE];

	pins_each(pins, FOLDER, remove_build, (void *)pins);
	rmdir(pins_folder(pins, FOLDER, path));
}
