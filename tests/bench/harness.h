/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_BENCH_HARNESS_H
#define HEADGATE_BENCH_HARNESS_H

/* The wrapper in the kernel, and the clock that it runs by. */
#include <linux/types.h>
#include <stdint.h>

#include "plan.h"

struct harness;

/* Ends the program where the kernel does not take it. In a network namespace of its own: it uses the loopback. */
struct harness *harness_open(void);
void harness_close(struct harness *h);

/* Another copy of the floor takes its place: the kernel puts each program where it likes, and of one so short that is a
 * fifth. */
void harness_next_floor(struct harness *h);

/* What is called for PLAN_MEASURED or PLAN_AGAINST. */
void harness_set_program(struct harness *h, enum plan_program program, int fd);

/**
 * harness_run - packets through the wrapper and a program, one after the other
 * @plan: what they are
 * @program: who takes over
 * @ret_verdict: of the last one; may be NULL
 *
 * Return: nanoseconds a packet, the wrapper's own included.
 */
double harness_run(struct harness *h, const struct plan *plan, enum plan_program program, uint32_t packets,
		   uint32_t *ret_verdict);

#endif
