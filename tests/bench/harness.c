// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/if_link.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "wrapper.skel.h"

#define LOOPBACK 1
#define FLOORS 8U

struct harness {
	struct wrapper_bpf *skeleton;
	struct wrapper_bpf *floor[FLOORS];
	uint32_t floors_used;
	int wrapper;
};

static void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct wrapper_bpf *load(void)
{
	struct wrapper_bpf *skeleton = wrapper_bpf__open_and_load();

	if (!skeleton)
		die("the wrapper does not load (are you root?)");
	return skeleton;
}

struct harness *harness_open(void)
{
	struct harness *h = calloc(1, sizeof(*h));

	if (!h)
		die("harness");
	h->skeleton = load();
	for (uint32_t i = 0; i < FLOORS; i++)
		h->floor[i] = load();
	h->skeleton->bss->random_state = 1;
	h->wrapper = bpf_program__fd(h->skeleton->progs.wrapper);
	/* A program that is attached is in the kernel's XDP dispatcher already. Else each test run would put it there,
	 * and sleep until that is safe, while others take the caches. */
	if (bpf_xdp_attach(LOOPBACK, h->wrapper, XDP_FLAGS_SKB_MODE, NULL))
		die("the wrapper cannot be attached to the loopback interface");
	harness_set_program(h, PLAN_NOTHING, bpf_program__fd(h->skeleton->progs.nothing));
	harness_next_floor(h);
	harness_set_program(h, PLAN_SWAP, bpf_program__fd(h->skeleton->progs.swap));
	return h;
}

void harness_next_floor(struct harness *h)
{
	const struct wrapper_bpf *next = h->floor[h->floors_used++ % FLOORS];

	harness_set_program(h, PLAN_FLOOR, bpf_program__fd(next->progs.encapsulation));
}

void harness_close(struct harness *h)
{
	for (uint32_t i = 0; i < FLOORS; i++)
		wrapper_bpf__destroy(h->floor[i]);
	wrapper_bpf__destroy(h->skeleton);
	free(h);
}

void harness_set_program(struct harness *h, enum plan_program program, int fd)
{
	__u32 index = program;

	if (bpf_map_update_elem(bpf_map__fd(h->skeleton->maps.programs), &index, &fd, BPF_ANY))
		die("a program cannot be called by the wrapper");
}

/* Not the thread's own time: that is put right for what a hypervisor took, at times by too much. */
static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

double harness_run(struct harness *h, const struct plan *plan, enum plan_program program, uint32_t packets,
		   uint32_t *ret_verdict)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = plan->frame, .data_size_in = sizeof(plan->frame),
		    .repeat = packets);
	double began;

	h->skeleton->bss->plan = *plan;
	h->skeleton->bss->plan.program = program;
	began = now_ns();
	if (bpf_prog_test_run_opts(h->wrapper, &opts))
		die("test run");
	if (ret_verdict)
		*ret_verdict = opts.retval;
	return (now_ns() - began) / packets;
}
