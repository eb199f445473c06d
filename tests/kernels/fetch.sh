#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Gets Debian's own 6.1 kernel and a static busybox, to boot them in qemu; nothing is installed. Prints their folder:
# vmlinuz, busybox and lib/modules/. Once that is there, no network is asked.
#
# Not the smaller kernel for clouds: it has no 9p, by which the guest sees this host's files.
set -eu

cache=${KERNELS_CACHE:-/var/cache/headgate/kernels}
new=$cache/new.$$

die()
{
	echo "kernels: $*" >&2
	exit 1
}

newest()
{
	find "$cache" -maxdepth 1 -name '6.1.0-*-amd64' | sort -V | tail -n 1
}

# Into the current folder, whoever may read it.
download() # PACKAGE
{
	apt-get -qq -o APT::Sandbox::User=root download "$1" || die "cannot download $1"
}

# Of 400 MB of modules, those that a virtual machine with a network may need.
unpack_kernel() # PACKAGE-FILE FOLDER
{
	local modules='./lib/modules/*'
	dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards --no-wildcards-match-slash './boot/vmlinuz-*' \
		"$modules/modules.*" "$modules"/kernel/{arch,crypto,lib,net} "$modules"/kernel/fs/{9p,fscache,netfs,overlayfs} \
		"$modules"/kernel/drivers/{virtio,net/{vxlan,'*.ko'}}
}

get()
{
	local kernel
	command -v apt-get >/dev/null || die "this is not Debian (no apt-get)"
	apt-get -qq update || die "apt-get update failed: is there a network, and a mirror in /etc/apt/sources.list?"
	kernel=$(apt-cache pkgnames linux-image-6.1.0- | grep -xE 'linux-image-6\.1\.0-[0-9]+-amd64' | sort -V | tail -n 1)
	[ -n "$kernel" ] || die "the package lists have no linux-image-6.1.0-*-amd64; Debian 12 does"
	echo "kernels: getting $kernel and busybox-static" >&2
	mkdir "$new" "$new/packages" "$new/kernel"
	trap 'rm -rf "$new"' EXIT
	cd "$new/packages"
	download "$kernel"
	download busybox-static
	unpack_kernel "$kernel"_*.deb "$new/kernel"
	dpkg-deb -x busybox-static_*.deb .
	mv bin/busybox "$new/kernel/busybox"
	mv "$new"/kernel/boot/vmlinuz-* "$new/kernel/vmlinuz"
	"$new/kernel/busybox" depmod -b "$new/kernel" "${kernel#linux-image-}"
	mv -T "$new/kernel" "$cache/${kernel#linux-image-}"
}

mkdir -p "$cache"
{
	flock 9
	[ -n "$(newest)" ] || (get)
} 9>"$cache/lock"
newest
