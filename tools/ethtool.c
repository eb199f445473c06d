// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ethtool.h"

#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "util.h"

static int interface_ioctl(unsigned long code, struct ifreq *request)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, code, request) < 0)
		return -errno;
	return 0;
}

int interface_look(const char *name, unsigned int *ret_flags, unsigned int *ret_mtu_bytes)
{
	struct ifreq flags = {0}, mtu = {0};
	int rc;

	snprintf(flags.ifr_name, sizeof(flags.ifr_name), "%s", name);
	mtu = flags;
	rc = interface_ioctl(SIOCGIFFLAGS, &flags);
	if (!rc)
		rc = interface_ioctl(SIOCGIFMTU, &mtu);
	if (rc)
		return rc;
	*ret_flags = (unsigned short)flags.ifr_flags;
	*ret_mtu_bytes = mtu.ifr_mtu;
	return 0;
}

/* @command: one of linux/ethtool.h's structs, which all begin with the command's number; the answer is written there.
 */
static int ethtool_ask(const char *name, void *command)
{
	struct ifreq request = {.ifr_data = command};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return interface_ioctl(SIOCETHTOOL, &request);
}

int ethtool_driver(const char *name, char ret_driver[ETHTOOL_BUSINFO_LEN])
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	int rc = ethtool_ask(name, &info);

	if (rc)
		return rc;
	snprintf(ret_driver, ETHTOOL_BUSINFO_LEN, "%s", info.driver);
	return 0;
}

/* The names of all features, in the order of their bits. */
static int feature_names(const char *name, struct ethtool_gstrings **ret)
{
	union {
		struct ethtool_sset_info head;
		__u8 room[sizeof(struct ethtool_sset_info) + sizeof(__u32)]; /* for one set's count in head.data */
	} sets = {.head = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES}};
	_cleanup_free_ struct ethtool_gstrings *names = NULL;
	int rc = ethtool_ask(name, &sets);

	if (rc)
		return rc;
	if (!sets.head.sset_mask)
		return -EOPNOTSUPP;
	names = calloc(1, sizeof(*names) + (size_t)sets.head.data[0] * ETH_GSTRING_LEN);
	if (!names)
		return -ENOMEM;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = sets.head.data[0];
	rc = ethtool_ask(name, names);
	if (rc)
		return rc;
	*ret = TAKE_PTR(names);
	return 0;
}

int ethtool_feature(const char *name, const char *feature, bool *ret_active)
{
	_cleanup_free_ struct ethtool_gfeatures *features = NULL;
	_cleanup_free_ struct ethtool_gstrings *names = NULL;
	size_t blocks, bit = 0;
	int rc = feature_names(name, &names);

	if (rc)
		return rc;
	while (bit < names->len && strncmp((const char *)names->data + bit * ETH_GSTRING_LEN, feature, ETH_GSTRING_LEN))
		bit++;
	if (bit == names->len)
		return -ENOENT;
	blocks = (names->len + 31) / 32;
	features = calloc(1, sizeof(*features) + blocks * sizeof(features->features[0]));
	if (!features)
		return -ENOMEM;
	features->cmd = ETHTOOL_GFEATURES;
	features->size = blocks;
	rc = ethtool_ask(name, features);
	if (rc)
		return rc;
	*ret_active = features->features[bit / 32].active >> bit % 32 & 1;
	return 0;
}
