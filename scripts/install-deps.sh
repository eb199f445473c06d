#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   scripts/install-deps.sh [test|demo|kernels]
#
# Installs what building and testing Headgate (or just its demo, or also testing on other kernels) need on Debian, and
# only what is missing: a second run asks no network.
set -eu

build=(make gcc libc6-dev clang llvm libbpf-dev libelf-dev zlib1g-dev bpftool pkg-config libsystemd-dev libyaml-dev
	libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev libmnl-dev libsqlite3-dev libncurses-dev)
tests=(nginx-light curl iproute2 ethtool python3 procps util-linux tcpdump)
[ "${1:-test}" = demo ] || tests+=(libcmocka-dev python3-grpcio openssl prometheus nftables haproxy wrk sqlite3 strace python3-pyte)
[ "${1:-test}" != kernels ] || tests+=(qemu-system-x86)
policy=/usr/sbin/policy-rc.d

die()
{
	echo "install-deps: $*" >&2
	exit 1
}

# nginx's package would start a web server on this host; a policy of our own forbids that while we install.
forbid_services()
{
	[ -e "$policy" ] && return
	trap 'rm -f "$policy"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	die "this is not Debian (no dpkg-query, no apt-get); install these yourself: ${build[*]} ${tests[*]}"
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
missing=()
for package in "${build[@]}" "${tests[@]}"; do
	grep -qx -- "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

[ "$(id -u)" -eq 0 ] || die "must be root to install: ${missing[*]}"
echo "install-deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
forbid_services
apt-get -qq update || die "apt-get update failed: is there a network, and a mirror in /etc/apt/sources.list?"
apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null ||
	die "apt-get could not install: ${missing[*]}"
# Nor at the next boot: what was not there before is for the lab alone.
for unit in nginx prometheus haproxy; do
	[[ " ${missing[*]} " != *" $unit"[\ -]* ]] || systemctl disable --quiet "$unit" 2>/dev/null || true
done
