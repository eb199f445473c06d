/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SPLITTER_H
#define HEADGATE_SPLITTER_H

/*
 * The model in force and what of it is in the kernel: which ids stand for which service, variant and backend, which
 * rows are in use, what is still tracked. Brings a new model into force without breaking a connection.
 *
 * Everything here can be rebuilt from the pinned maps, so that a daemon that was killed leaves nothing undone.
 */
#include "datapath.h"
#include "model.h"
#include "routes.h"
#include "slots.h"

#define TABLE_MAIN                                                                                                     \
	VARIANTS_MAX /* index of a service's own table; 0.. are those of variants that a cohort points at              \
		      */
#define TABLES (VARIANTS_MAX + 1)

struct cohort_state {
	struct cohort_key key;
	struct cohort value; /* as in the kernel */
	bool leaving;        /* no longer in the model; kept until its members are where they will be without it */
	uint32_t deadline_s; /* while tracked */
	uint32_t limit_s;
	uint32_t disagreeing; /* live flows of its members that are not where @fresh sends them; by the last sweep */
};

enum id_use {
	ID_FREE,
	ID_USED,
	ID_LEAVING, /* out of the model; free once a whole sweep has found no flow of it */
	ID_MOVED,   /* nobody's; what it counted is remembered elsewhere, and not yet zeroed here */
};

struct service_state {
	enum id_use use;
	uint32_t leaving_since_pass; /* number of the sweep that was next when it left */
	char name[NAME_SIZE];
	char variant[VARIANTS_MAX][NAME_SIZE];    /* name by index; empty: free */
	struct slot_deadlines *deadlines[TABLES]; /* NULL while nothing of the table is tracked */
	uint32_t *disagreeing[TABLES];            /* [SLOTS] by the running sweep; NULL as above */
	struct cohort_state *cohorts;
	size_t cohort_count;
	uint32_t drain_timeout_s, drain_limit_s;
	struct variant_table *own_table[VARIANTS_MAX]; /* of variants by themselves; see variant_tables.h */
	bool stale; /* the health of a backend has changed: the tables must be computed anew */
};

struct backend_state {
	enum id_use use;
	uint32_t leaving_since_pass;
	uint32_t serial; /* of this use of the id: ids are used again, serials are not */
	uint32_t place;  /* in its variant of the model in force, from 1; 0: it is not there */
	uint32_t slots;  /* of its service's own table that name it */
	struct backend_identity identity;
	uint8_t guarded_mac[6]; /* a shadow's that is on link, and nobody else's; else zero */
	bool out;               /* by its health: no new connections, unless it is its variant's last */
	bool in_rotation;       /* new connections may go there */
	bool resetting;         /* connections that are not where their slot points are being reset */
	uint64_t reset_began_ns;
	uint32_t reset_done_pass; /* the sweep after which everyone had been met */
	uint32_t flows;           /* by the running sweep */
	uint32_t living;          /* of those: established and not over; sampled ones in modes without state */
	uint32_t astray;          /* of those: not where their slot points now */
	uint32_t active;          /* @living by the last whole sweep, scaled */
	uint32_t leftover;        /* @astray by the last whole sweep */
};

struct flow_totals {
	uint32_t half_open;
	uint32_t established;
	uint32_t source_ports;
	uint32_t sampled;
};

struct sweep;

struct splitter {
	struct datapath *datapath;
	struct model *model;            /* in force; NULL before the first splitter_apply() */
	struct service_state *services; /* by id */
	struct backend_state *backends; /* by id */
	uint32_t *used;                 /* ids in use; see backends.h */
	uint32_t used_count;
	uint32_t first_free;     /* no id below is free */
	uint32_t serials;        /* given out so far */
	uint8_t *row_used;       /* by row: 0 free, 1 in use, 2 free after a quiescent moment */
	struct address *sources; /* by id; zero: free */
	struct hop_entry *hops;  /* what the next-hop map holds, sorted by key */
	size_t hop_count;
	uint32_t ifindex[64]; /* interfaces Headgate may send on */
	size_t ifindex_count;
	size_t variant_table_count;        /* kept in services[].own_table */
	struct variant_table *spare_table; /* of a variant for which none is kept */
	uint32_t passes;                   /* whole sweeps done */
	struct flow_totals totals;         /* by the last whole sweep */
	struct sweep *sweep;
	bool unsure;    /* an apply failed half-way: what the model says may not be what is in force */
	char *warnings; /* what is wrong now, a line each; NULL when nothing is */
};

/* Takes over what is in the kernel; @dp stays the caller's. 0 or -errno. */
int splitter_create(struct datapath *dp, struct splitter **ret);
void splitter_destroy(struct splitter *sp); /* leaves the kernel as it is; accepts NULL */
DEFINE_CLEANUP(struct splitter, splitter_destroy)

/**
 * splitter_apply - bring a model into force
 * @model: taken over on success
 * @routes: new backends get their next hops from it before anybody is sent to them
 * @now_ns: CLOCK_MONOTONIC; drain deadlines count from here
 * @ret_moved: slots of services' own tables that now point elsewhere, all services together; may be NULL
 *
 * What does not fit (ids, slot tables) is refused before anything is changed. When it returns 0 no packet is being
 * decided by the old model any more.
 */
int splitter_apply(struct splitter *sp, struct model *model, const struct routes *routes, uint64_t now_ns,
		   size_t *ret_moved, struct refusal *why);

/* Which interfaces may be sent on; call splitter_refresh_hops() afterwards. */
int splitter_set_interfaces(struct splitter *sp, const uint32_t *ifindexes, size_t count);

/* Reads what the next-hop map holds. 0 or -ENOMEM. */
int splitter_adopt_hops(struct splitter *sp);

typedef void (*probe_function)(void *context, uint32_t ifindex, const struct address *neighbour);

/**
 * splitter_refresh_hops - bring next hops, local addresses and NAT's own sources up to date
 * @probe: called for each neighbour of a backend or gateway whose MAC is missing or stale
 *
 * Fills sp->warnings. 0 or -errno.
 */
int splitter_refresh_hops(struct splitter *sp, const struct routes *routes, probe_function probe, void *context);

/* The next hop of one backend id, its MTU, and this host's own address towards it. @ret is as routes_resolve() says: a
 * VLAN is itself in it. */
enum resolution splitter_refresh_backend(struct splitter *sp, uint32_t id, const struct routes *routes,
					 struct resolved *ret);

/* Calls @probe for clients that replies could not reach, and forgets that they were wanted. */
void splitter_probe_wanted(struct splitter *sp, const struct routes *routes, probe_function probe, void *context);

/* 0 when there is none. */
uint32_t splitter_service_id(const struct splitter *sp, const struct service_model *s);
struct table *splitter_table(struct splitter *sp, uint32_t service, uint32_t index);

/* Counts whom a service's own table names into backends[].slots: @by 1 when it comes, -1 when it goes. */
void splitter_count_slots(struct splitter *sp, uint32_t row, int by);

/* Frees the indices of variants that are not in the model and that no backend id is of. */
void splitter_forget_variants(struct splitter *sp, uint32_t service);

/* The source id of an address, a new one if need be. 0: all ids are taken. */
uint32_t splitter_source_id(struct splitter *sp, const struct address *address);

/* NAT's reverse direction of a flow. False: there is none that is still this flow's. */
bool splitter_port_of_flow(struct splitter *sp, const struct flow_key *key, const struct flow *f,
			   struct flow_copy *ret);

/* Rows: allocate (0: none left), give back (free after the next quiescent moment). */
uint32_t rows_take(struct splitter *sp);
void rows_give_back(struct splitter *sp, uint32_t row);
size_t rows_left(const struct splitter *sp);

/* Returns when no packet is being decided by what was in force before; rows that were given back are free then. */
void splitter_quiesce(struct splitter *sp);

/* Puts @row in force for a table, gives back the row before it. */
void table_flip(struct splitter *sp, struct table *t, uint32_t row);

#endif
