/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_QUIESCE_H
#define HEADGATE_QUIESCE_H

/* Returns when every packet that was being decided on when it was called has been decided: an RCU grace period. */
void quiesce(int cpu_count);

#endif
