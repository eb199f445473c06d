// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "quiesce.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Programs run with bottom halves off, which nothing preempts: once this thread has run on a CPU, whatever packet was
 * being decided on there has been. Takes microseconds a CPU, where synchronize_rcu() takes a grace period of many
 * milliseconds. -errno when a CPU cannot be visited (not online, or not in this process's cpuset).
 */
static int visit_all_cpus(int cpu_count)
{
	cpu_set_t before, one;
	int error = 0;

	if (sched_getaffinity(0, sizeof(before), &before))
		return -errno;
	for (int cpu = 0; cpu < cpu_count && !error; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			error = -errno;
	}
	sched_setaffinity(0, sizeof(before), &before);
	return error;
}

void quiesce(int cpu_count)
{
	/* With PREEMPT_RT bottom halves can be preempted, and a visit proves nothing. */
	if (access("/sys/kernel/realtime", F_OK) && cpu_count <= CPU_SETSIZE && visit_all_cpus(cpu_count) == 0)
		return;
	/* synchronize_rcu() from user space: kernel/sched/membarrier.c. A kernel built without it needs but the time.
	 */
	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(100000);
}
