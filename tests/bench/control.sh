#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   tests/bench/control.sh [BUILD]
#
# How long the control plane takes, in a lab: figures in BUILD/bench/control.json. docs/performance.md says what they
# are.
set -eu
build=$(cd "${1:-build}" && pwd)
folder=$(cd "$(dirname "$0")" && pwd)
LAB_BUILD=$build
# shellcheck source=tests/lab/lab.sh
. "$folder/../lab/lab.sh"

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
for variant in blue:1 green:2; do
	host=${variant%:*}
	lab_host "$host" back "10.20.0.${variant#*:}0" "fd00:20::${variant#*:}0"
	for number in 1 2 3 4 5 6 7 8; do
		lab_address "$host" "10.20.0.${variant#*:}$number"
	done
	# Nobody serves there, and nobody is to be told so: whose SYN arrives is what is measured.
	ip -n "$LAB_NAME-$host" route add blackhole 10.77.0.0/16
	lab_exec "$host" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
done
mkdir -p "$build/bench"
# The state file is on a tmpfs, so that it is not the disk that is measured; "disk" says where it is not.
mkdir "$LAB/control" "$LAB/disk"
# shellcheck disable=SC2016 # the inner shell's
lab_exec splitter unshare --mount sh -c 'mount -t tmpfs tmpfs "$1/control" && shift && exec "$@"' - "$LAB" /usr/bin/python3 "$folder/control.py" --build "$build" --lab "$LAB" --gateway "$(lab_mac splitter front)" \
	--namespaces "/run/netns/$LAB_NAME" --out "$build/bench/control.json"
