#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   tests/kernels/run.sh [BUILD [SUITE[:CASE]]]
#
# Boots Debian's 6.1 kernel in qemu and runs guest/main.sh in it: with this host's files, which it may only read, and
# none of its network. Says at the end how many cases passed and failed; fails when one did, or when the guest
# crashed or hung, and then shows its console.
#
# KERNELS_ACCEL=kvm   where virtual machines work; software emulation (tcg) works everywhere, and takes minutes
# KERNELS_LIMIT_S=N   seconds after which the guest has hung (3600)
# KERNELS_CACHE=DIR   where the kernel is kept
set -eu

cd "$(dirname "$0")/../.."
build=$(realpath "${1:-build}")
only=${2:-}
accel=${KERNELS_ACCEL:-tcg}
[ "$accel" = kvm ] || accel=tcg,thread=multi
kernel=$(tests/kernels/fetch.sh)
work=$(mktemp -d)
qemu=
trap 'rm -rf "$work"' EXIT
trap 'stop 130' INT
trap 'stop 143' TERM

stop() # STATUS
{
	[ -z "$qemu" ] || { kill "$qemu" && wait "$qemu"; } 2>/dev/null
	exit "$1"
}

# The modules without which there is no root, in the order in which they load.
root_modules()
{
	local name
	for name in 9p 9pnet_virtio virtio_pci overlay; do
		awk -F: -v file="/$name.ko" 'substr($1, length($1) - length(file) + 1) == file {
			count = split($2, needs, " "); while (count) print needs[count--]; print $1 }' \
			"$kernel"/lib/modules/*/modules.dep
	done | awk '!seen[$0]++'
}

make_initramfs()
{
	local module
	mkdir -p "$work"/tree/{bin,proc,host,layer,root,modules}
	cp "$kernel/busybox" "$work/tree/bin/busybox"
	cp tests/kernels/init "$work/tree/init"
	for module in $(root_modules); do
		cp "$kernel"/lib/modules/*/"$module" "$work/tree/modules/"
		echo "${module##*/}" >>"$work/tree/modules/list"
	done
	printf 'cd %q && exec tests/kernels/guest/main.sh %q %q %q\n' "$PWD" "$kernel" "$build" "$only" >"$work/tree/begin"
	(cd "$work/tree" && find . | "$kernel/busybox" cpio -o -H newc --quiet >../initramfs)
}

# Two cables between network cards of the guest: eth0 to eth1, eth2 to eth3.
cards()
{
	local number
	for number in 0 1 2 3; do
		echo "-netdev hubport,id=net$number,hubid=$((number / 2))"
		echo "-device virtio-net-pci,netdev=net$number,mac=52:54:00:00:00:0$number,romfile="
	done
}

# The guest's console is the first serial port; what its tests say comes over the second.
boot()
{
	# shellcheck disable=SC2046 # several words
	timeout --foreground -k 5 "${KERNELS_LIMIT_S:-3600}" qemu-system-x86_64 -accel "$accel" -cpu max -smp 2 -m 2048 \
		-nodefaults -no-user-config -display none -no-reboot -serial "file:$work/console" -serial "file:$work/said" \
		-kernel "$kernel/vmlinuz" -initrd "$work/initramfs" -append "console=ttyS0 panic=-1 mitigations=off" \
		-fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
		-device virtio-9p-pci,fsdev=host,mount_tag=host $(cards) </dev/null >"$work/qemu" 2>&1 &
	qemu=$!
}

make_initramfs
: >"$work/said"
boot
tail -n +1 -f --pid=$qemu -s 0.2 "$work/said" &
shower=$!
status=0
wait $qemu || status=$?
qemu=
wait $shower

result=$(tail -n 1 "$work/said")
if [[ ! $result =~ ^[0-9]+\ passed,\ [0-9]+\ failed$ ]]; then
	echo
	[ $status -ne 124 ] || echo "kernels: the guest hung, and was ended"
	echo "kernels: the guest did not come to its end (exit status of qemu $status); its console:"
	tail -n 100 "$work/qemu" "$work/console"
	exit 1
fi
[[ $result == *" 0 failed" && $result != "0 passed"* ]]
