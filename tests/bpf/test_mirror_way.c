// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which interfaces take frames from XDP programs, as the kernel says; in a network of this program's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "mirror_way.h"

static int make_network(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET))
		return -1;
	return system("ip link add one type veth peer name other && ip link set one up && ip link set other up");
}

/* Runs nothing but "pass". */
static void attach(uint32_t ifindex)
{
	static const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass, 2, NULL);

	assert_true(program >= 0);
	assert_int_equal(bpf_xdp_attach(ifindex, program, XDP_FLAGS_DRV_MODE, NULL), 0);
	close(program);
}

/* Of a veth pair an end does when the other one runs a program, whatever runs here. */
static void who_takes_no_frames_is_known(void **state)
{
	uint32_t one = if_nametoindex("one"), other = if_nametoindex("other");

	(void)state;
	if (mirror_way_takes_frames(if_nametoindex("lo")))
		skip(); /* before Linux 6.3 */
	attach(one);
	assert_false(mirror_way_takes_frames(one));
	assert_true(mirror_way_takes_frames(other));
	attach(other);
	assert_true(mirror_way_takes_frames(one));
}

static void of_who_is_not_there_nothing_is_said(void **state)
{
	(void)state;
	assert_true(mirror_way_takes_frames(12345));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_takes_no_frames_is_known),
		cmocka_unit_test(of_who_is_not_there_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, make_network, NULL);
}
