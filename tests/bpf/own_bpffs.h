/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_OWN_BPFFS_H
#define HEADGATE_TEST_OWN_BPFFS_H

/* A data path pinned in a bpffs that only this process sees. To be included after cmocka.h. */
#include <sched.h>
#include <sys/mount.h>

#include "datapath.h"

#define OWN_PINS "/mnt/headgate"

/* @more: other namespaces than the mounts' that are to be this process's own, as CLONE_NEWNET; or 0. */
static inline void own_bpffs(int more)
{
	assert_int_equal(unshare(CLONE_NEWNS | more), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("bpf", "/mnt", "bpf", 0, NULL), 0);
}

static inline struct datapath *own_datapath(const struct limits *limits)
{
	struct datapath *dp = NULL;
	struct refusal why;

	if (datapath_open(OWN_PINS, limits, &dp, &why))
		fail_msg("%s", why.text);
	return dp;
}

#endif
