/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_VERDICT_H
#define HEADGATE_VERDICT_H

/* What is to become of a packet; each hook has its own way of doing it. */
enum verdict {
	VERDICT_PASS,  /* not ours: to this host, untouched */
	VERDICT_DROP,  /* counted under a reason */
	VERDICT_RESET, /* answered with a RST to its sender */
	VERDICT_SEND,  /* rewritten; out of the interface that was named */
};

#endif
