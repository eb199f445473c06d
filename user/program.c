// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "program.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pins.h"
#include "util.h"

#define PROGRAM_MAPS_MAX 64

int program_open(__u32 id)
{
	int fd = bpf_prog_get_fd_by_id(id);

	return fd < 0 ? -errno : fd;
}

void program_name(int program, char name[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);

	memset(name, 0, BPF_OBJ_NAME_LEN);
	if (bpf_obj_get_info_by_fd(program, &info, &length) == 0)
		memcpy(name, info.name, BPF_OBJ_NAME_LEN - 1);
}

bool program_uses(int program, const char *pins, const char *map)
{
	__u32 maps[PROGRAM_MAPS_MAX];
	struct bpf_prog_info info = {.nr_map_ids = PROGRAM_MAPS_MAX, .map_ids = (unsigned long)maps};
	struct bpf_map_info ours = {};
	__u32 length = sizeof(info), map_length = sizeof(ours);
	_cleanup_close_ int fd = pins_open_map(pins, map);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &ours, &map_length) || bpf_obj_get_info_by_fd(program, &info, &length))
		return false;
	for (__u32 i = 0; i < info.nr_map_ids && i < PROGRAM_MAPS_MAX; i++)
		if (maps[i] == ours.id)
			return true;
	return false;
}

bool program_is_ours(int program, const char *pins)
{
	return program_uses(program, pins, "services");
}

static char heard[256], told[256];

void kernel_words_hear(const char *format, va_list arguments)
{
	static const char introduction[] = "Kernel error message: ";
	char line[512], *words;

	vsnprintf(line, sizeof(line), format, arguments);
	words = strstr(line, introduction);
	if (!words)
		return;
	words += strlen(introduction);
	words[strcspn(words, "\n")] = '\0';
	snprintf(heard, sizeof(heard), "%.200s", words);
}

const char *kernel_words(int error)
{
	snprintf(told, sizeof(told), "%s", heard[0] ? heard : strerror(-error));
	heard[0] = '\0';
	return told;
}
