#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   tests/kernels/guest/main.sh KERNEL BUILD [SUITE[:CASE]]
#
# In the guest, as its first process: runs the suites that this kernel is to be tested with, and turns the guest off.
# Those that need this kernel, for its tunnels or its network cards, are the test_*.sh beside this one; they are written
# as those of tests/lab are.
set -u

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH HOME=/root LAB_WAIT_S=60 SUITES_SLOWNESS=5
stty -F /dev/ttyS1 raw
exec >/dev/ttyS1 2>&1 </dev/null

# The kernel asks for modules by this program; the host's, if it has one, may not be static.
mkdir -p /lib/modules
mount --bind "$1/lib/modules" /lib/modules
printf '#!/bin/sh\nexec %q modprobe "$@"\n' "$1/busybox" >/run/modprobe
chmod 755 /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
/run/modprobe -a virtio_net fou fou6 # nothing asks for these by itself

# Tunnels' modules would add interfaces of their own to every new namespace.
echo 1 >/proc/sys/net/core/fb_tunnels_only_for_init_net
ip link set lo up
echo "$(uname -r): up for $(cut -d' ' -f1 /proc/uptime) s"

# shellcheck source=tests/suites.sh
. tests/suites.sh
suites_begin "$2" "${3:-}"
script_suites kernels tests/kernels/guest/test_*.sh
bpf_suites
script_suites lab tests/lab/test_nat.sh
suites_end
"$1/busybox" poweroff -f
