#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The kernel is the one that was asked for, and has what other suites need of it.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../../lab/lab.sh"

test_the_release_is_6_1()
{
	[[ $(uname -r) == 6.1.* ]] || lab_fail "$(uname -r)"
}

test_tunnels_of_every_kind_can_be_made()
{
	local ip=(ip -n "$LAB_NAME-end")
	lab_namespace end
	"${ip[@]}" link add ipip type ipip local 10.0.0.1 remote 10.0.0.2
	"${ip[@]}" link add sit type sit local 10.0.0.1 remote 10.0.0.2
	"${ip[@]}" link add ip6tnl type ip6tnl mode any local fd00::1 remote fd00::2
	"${ip[@]}" fou add port 5555 ipproto 4
	"${ip[@]}" fou add port 5556 gue
	"${ip[@]}" fou add port 5556 gue -6
	"${ip[@]}" link add fou type ipip local 10.0.0.1 remote 10.0.0.3 encap fou encap-sport auto encap-dport 5555
	"${ip[@]}" link add gue type ipip local 10.0.0.1 remote 10.0.0.4 encap gue encap-sport auto encap-dport 5556
	"${ip[@]}" link add gue6 type ip6tnl mode any local fd00::1 remote fd00::3 encap gue encap-sport auto \
		encap-dport 5556
}

lab_begin
lab_run_tests kernel
