// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What Headgate needs of the kernel and of whoever runs it. */
#include <errno.h>
#include <libgen.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "doctor.h"

#define KERNEL_MAJOR_MIN 6U
#define KERNEL_MINOR_MIN 1U

static int effective_capabilities(unsigned long long *ret)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/status", "re");
	char line[256];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "CapEff: %llx", ret) == 1)
			return 0;
	return -ENODATA;
}

static void check_rights(struct doctor *d)
{
	unsigned long long have = 0, admin = 1ULL << CAP_SYS_ADMIN;
	unsigned long long need = 1ULL << CAP_BPF | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_PERFMON;

	effective_capabilities(&have);
	if ((have & need) == need || (have & admin && have & 1ULL << CAP_NET_ADMIN)) {
		doctor_find(d, FINDING_OK, "rights", "may load and attach programs");
		return;
	}
	doctor_find(
		d, FINDING_WARN, "rights",
		"run without CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, so that pins and some settings cannot be seen");
	doctor_mend(d, "sudo headgate doctor");
}

static void check_kernel(struct doctor *d)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	if (major > KERNEL_MAJOR_MIN || (major == KERNEL_MAJOR_MIN && minor >= KERNEL_MINOR_MIN)) {
		doctor_find(d, FINDING_OK, "kernel", "%s", name.release);
		return;
	}
	doctor_find(d, FINDING_FAIL, "kernel", "%s is older than %u.%u", name.release, KERNEL_MAJOR_MIN,
		    KERNEL_MINOR_MIN);
	doctor_mend(d, "boot a kernel from %u.%u on", KERNEL_MAJOR_MIN, KERNEL_MINOR_MIN);
}

static void check_btf(struct doctor *d)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0) {
		doctor_find(d, FINDING_OK, "btf", "/sys/kernel/btf/vmlinux is there");
		return;
	}
	doctor_find(d, FINDING_FAIL, "btf", "/sys/kernel/btf/vmlinux: %s", strerror(errno));
	doctor_mend(d, "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y");
}

/* The pins' folder is the daemon's to make: what must be there is the file system it will be in. */
static void check_bpffs(struct doctor *d)
{
	_cleanup_free_ char *pins = strdup(d->pins);
	char *folder = pins;
	struct statfs fs;

	if (!folder)
		return;
	while (statfs(folder, &fs) < 0) {
		if (errno != ENOENT && errno != ENOTDIR) {
			doctor_find(d, FINDING_WARN, "bpffs", "cannot look at %s: %s", folder, strerror(errno));
			return;
		}
		folder = dirname(folder); /* ends at "/" or ".", which exist */
	}
	if (fs.f_type == BPF_FS_MAGIC) {
		doctor_find(d, FINDING_OK, "bpffs", "%s is a BPF file system", folder);
		return;
	}
	doctor_find(d, FINDING_FAIL, "bpffs", "%s is not a BPF file system, so nothing can be pinned there", folder);
	doctor_mend(d, "mount -t bpf bpf /sys/fs/bpf%s",
		    strncmp(d->pins, "/sys/fs/bpf/", strlen("/sys/fs/bpf/")) ? "    (and --pins with a folder in it)"
									     : "");
}

/* In a network namespace of its own, or without root, the setting does not show; then there is nothing to say. */
static void check_jit(struct doctor *d)
{
	long enabled;

	if (doctor_sysctl_number("net/core/bpf_jit_enable", &enabled) < 0)
		return;
	if (enabled) {
		doctor_find(d, FINDING_OK, "jit", "net.core.bpf_jit_enable is %ld", enabled);
		return;
	}
	doctor_find(d, FINDING_WARN, "jit", "programs are interpreted, at a fraction of their speed");
	doctor_mend(d, "sysctl -w net.core.bpf_jit_enable=1");
}

void doctor_check_host(struct doctor *d)
{
	check_rights(d);
	check_kernel(d);
	check_btf(d);
	check_bpffs(d);
	check_jit(d);
}
