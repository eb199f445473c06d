/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_FLOWS_H
#define HEADGATE_TEST_FLOWS_H

/* What a fixture's flow tables hold. Found by looking at every entry, whatever its place. */
#include "fixture.h"

/* False, @ret untouched: there is none. */
bool flow_half_open(const struct fixture *f, const struct flow_key *key, struct flow *ret);
bool flow_established(const struct fixture *f, const struct flow_key *key, struct flow *ret);
bool flow_sampled(const struct fixture *f, const struct flow_key *key, struct sampled_flow *ret);
bool flow_port(struct fixture *f, const struct source_port_key *key, struct source_port *ret);

__u32 flows_half_open(const struct fixture *f);
__u32 flows_established(const struct fixture *f);
__u32 flows_sampled(const struct fixture *f);
__u32 flow_ports(const struct fixture *f);

void flow_port_remove(struct fixture *f, const struct source_port_key *key);

/* Others' entries, that nothing evicts: so many in each bucket of a table. */
void flows_fill(const struct fixture *f, enum flow_table table, __u32 count);
/* The same in all entries but one: copies of @other, an entry of the table's kind, with that print of a hash. */
void flows_fill_but(const struct fixture *f, enum flow_table table, __u32 free, __u32 print, const void *other);

#endif
