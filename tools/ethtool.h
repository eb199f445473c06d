/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ETHTOOL_H
#define HEADGATE_ETHTOOL_H

/* What the kernel says of an interface by ioctl (linux/ethtool.h, linux/sockios.h). */
#include <linux/ethtool.h>
#include <stdbool.h>

/* Flags (IFF_UP, ..) and MTU of an interface. 0 or -errno. */
int interface_look(const char *name, unsigned int *ret_flags, unsigned int *ret_mtu_bytes);

/* The driver's name. 0 or -errno; -EOPNOTSUPP for interfaces without one. */
int ethtool_driver(const char *name, char ret_driver[ETHTOOL_BUSINFO_LEN]);

/* Whether a feature ("rx-lro", "rx-gro-hw") is in force. 0; -ENOENT: this kernel has no such feature; or another
 * -errno. */
int ethtool_feature(const char *name, const char *feature, bool *ret_active);

#endif
