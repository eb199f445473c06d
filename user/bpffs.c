// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bpffs.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "util.h"

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

int bpffs_make_folders(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0700) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(copy, 0700) && errno != EEXIST ? -errno : 0;
}

int bpffs_prepare(const char *pins, struct refusal *why)
{
	int error;

	if (strncmp(pins, BPFFS "/", strlen(BPFFS "/")) == 0 && !is_bpffs(BPFFS) &&
	    mount("bpf", BPFFS, "bpf", 0, "mode=0700"))
		return refuse(why, errno, "cannot mount bpffs: %s; as root: mount -t bpf bpf " BPFFS, strerror(errno));
	error = bpffs_make_folders(pins);
	if (error)
		return refuse(why, -error, "cannot make the folder %s: %s; say --pins with a folder in a bpffs", pins,
			      strerror(-error));
	if (!is_bpffs(pins))
		return refuse(why, EINVAL,
			      "%s is not in a bpffs; say --pins with a folder in one, or: mount -t bpf bpf " BPFFS,
			      pins);
	return 0;
}

static void replace_characters(char *text, char from, char to)
{
	for (; *text; text++)
		if (*text == from)
			*text = to;
}

void bpffs_name_from_interface(char *text)
{
	replace_characters(text, '.', '%');
}

void bpffs_name_to_interface(char *text)
{
	replace_characters(text, '%', '.');
}
