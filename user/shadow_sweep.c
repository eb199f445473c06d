// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_sweep.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "hash.h"
#include "log.h"
#include "shadow_care.h"
#include "shadow_choice.h"
#include "shadow_figures.h"
#include "shadow_kick.h"
#include "shadow_pause.h"
#include "shadow_leftover.h"

#define BATCH 2048U
#define BATCHES_AT_ONCE 4
#define LOOK_NS 1000000000ULL   /* between two looks at what was counted */
#define CLEAR_NS 10000000000ULL /* between two looks at what is left in the stash */

struct shadow_sweep {
	struct splitter *splitter;
	void (*pause)(void *context, const char *service, const char *reason);
	void *context;
	int fd;             /* for kicks; -1 before the first */
	uint64_t began_ns;  /* when the sweep was created */
	uint64_t before_ns; /* when the pass before this one began */
	uint64_t pass_ns;   /* and this one; 0: none is under way */
	uint64_t looked_ns;
	uint64_t cleared_ns;
	bool any; /* the last pass has met a connection */
	struct datapath_cursor cursor;
	const struct shadow_model **shadows; /* by service id, while a step lasts; NULL: none in force */
	uint64_t *running;                   /* by service id: connections that are being mirrored, by this pass */
	uint64_t *mirroring;                 /* and by the last one */
	struct pause_window *windows;        /* by service id */
	struct shadow_leftover leftover;
	struct flow_key keys[BATCH];
	struct shadow_flow flows[BATCH];
};

int shadow_sweep_create(struct splitter *sp, uint64_t now_ns,
			void (*pause)(void *context, const char *service, const char *reason), void *context,
			struct shadow_sweep **ret)
{
	uint32_t services = datapath_limits(sp->datapath)->services;
	struct shadow_sweep *sweep = calloc(1, sizeof(*sweep));

	if (!sweep)
		return -ENOMEM;
	sweep->splitter = sp;
	sweep->pause = pause;
	sweep->context = context;
	sweep->fd = -1;
	sweep->began_ns = sweep->before_ns = sweep->looked_ns = sweep->cleared_ns = now_ns;
	sweep->shadows = calloc(services, sizeof(*sweep->shadows));
	sweep->running = calloc(services, sizeof(*sweep->running));
	sweep->mirroring = calloc(services, sizeof(*sweep->mirroring));
	sweep->windows = calloc(services, sizeof(*sweep->windows));
	if (!sweep->shadows || !sweep->running || !sweep->mirroring || !sweep->windows) {
		shadow_sweep_destroy(sweep);
		return -ENOMEM;
	}
	*ret = sweep;
	return 0;
}

void shadow_sweep_destroy(struct shadow_sweep *sweep)
{
	if (!sweep)
		return;
	shadow_leftover_release(&sweep->leftover);
	closep(&sweep->fd);
	free(sweep->shadows);
	free(sweep->running);
	free(sweep->mirroring);
	free(sweep->windows);
	free(sweep);
}

uint64_t shadow_sweep_mirroring(const struct shadow_sweep *sweep, uint32_t service)
{
	return sweep->mirroring[service];
}

static uint32_t service_limit(const struct shadow_sweep *sweep)
{
	return datapath_limits(sweep->splitter->datapath)->services;
}

/* Anew in each step, as another model may be in force. */
static void find_shadows(struct shadow_sweep *sweep)
{
	const struct model *model = sweep->splitter->model;
	uint32_t id;

	memset(sweep->shadows, 0, service_limit(sweep) * sizeof(const struct shadow_model *));
	for (size_t i = 0; i < model->service_count; i++) {
		if (!model->services[i].shadow.present)
			continue;
		id = splitter_service_id(sweep->splitter, &model->services[i]);
		sweep->shadows[id] = &model->services[i].shadow;
	}
	sweep->shadows[0] = NULL; /* one without an id has none */
}

static struct care_limits limits_of(const struct shadow_sweep *sweep, uint32_t id)
{
	const struct shadow_model *shadow = sweep->shadows[id];
	const struct model *model = sweep->splitter->model;
	bool udp = datapath_service(sweep->splitter->datapath, id)->vip.protocol == IPPROTO_UDP;

	return (struct care_limits){
		.began_ns = sweep->began_ns,
		.linger_ns = shadow ? shadow->linger_s * 1000000000ULL : 0,
		.idle_s = udp ? model->udp_idle_s : model->tcp_idle_s,
	};
}

/* --- one connection --- */

/* Whoever has begun another one with the same ports meanwhile keeps it. */
static void forget(struct shadow_sweep *sweep, const struct flow_key *key, const struct shadow_flow *flow)
{
	struct datapath *dp = sweep->splitter->datapath;
	struct source_port_key port_key = {.port = flow->source_port};
	uint32_t source = flow->source;
	struct shadow_port port;
	struct shadow_flow now;
	struct address address;

	if (flow->backend < datapath_limits(dp)->backends && source < SOURCE_IDS_MAX &&
	    datapath_lookup(dp, MAP_SOURCES, &source, &address) == 0) {
		port_key.endpoint = datapath_backend(dp, flow->backend)->endpoint;
		port_key.source_fold = address_fold(&address);
		if (datapath_lookup(dp, MAP_SHADOW_PORTS, &port_key, &port) == 0 && port.serial == flow->serial)
			datapath_delete(dp, MAP_SHADOW_PORTS, &port_key);
	}
	if (datapath_lookup(dp, MAP_SHADOW_FLOWS, key, &now) == 0 && now.serial == flow->serial)
		datapath_delete(dp, MAP_SHADOW_FLOWS, key);
}

static void kick(struct shadow_sweep *sweep, const struct flow_key *key, const struct shadow_flow *flow,
		 enum kick_action action, enum shadow_end reason)
{
	const struct mirror_kick kick = {.flow = *key, .serial = flow->serial, .action = action, .reason = reason};
	uint32_t mirror = datapath_shadow_guard(sweep->splitter->datapath)->mirror;
	int error;

	if (!mirror) {
		/* Nobody is there to end it. */
		if (action == KICK_ABORT) {
			datapath_replay_counters(sweep->splitter->datapath, key->service)->ended[reason]++;
			forget(sweep, key, flow);
		}
		return;
	}
	if (sweep->fd < 0)
		sweep->fd = shadow_kick_open();
	error = sweep->fd < 0 ? sweep->fd : shadow_kick_send(sweep->fd, mirror, &kick);
	if (error)
		log_debug("cannot speak to the mirror: %s", strerror(-error));
}

static bool is_wanted(const struct shadow_sweep *sweep, const struct flow_key *key, const struct shadow_flow *flow)
{
	const struct shadow_model *shadow = sweep->shadows[key->service];

	if (!shadow || !shadow_chooses(datapath_service(sweep->splitter->datapath, key->service), shadow, key))
		return false;
	return flow->flags & SHADOW_FLOW_UDP || shadow->engine == SHADOW_INLINE;
}

static bool is_missing(struct shadow_sweep *sweep, const struct shadow_flow *flow)
{
	const struct stash_key key = {.serial = flow->serial, .sequence = flow->sent};
	struct stash_segment segment;

	return care_may_miss(flow, sweep->pass_ns) &&
	       datapath_lookup(sweep->splitter->datapath, MAP_STASH, &key, &segment) == -ENOENT;
}

static void care_for(struct shadow_sweep *sweep, const struct flow_key *key, const struct shadow_flow *flow)
{
	struct care_limits limits = limits_of(sweep, key->service);
	enum shadow_end reason = SHADOW_WHOLE;

	if (!(flow->flags & SHADOW_FLOW_OVER))
		sweep->running[key->service]++;
	shadow_leftover_meet(&sweep->leftover, flow->serial);
	switch (shadow_care(flow, &limits, is_wanted(sweep, key, flow), is_missing(sweep, flow), sweep->before_ns,
			    sweep->pass_ns, &reason)) {
	case CARE_NOTHING:
		break;
	case CARE_REPAIR:
		kick(sweep, key, flow, KICK_REPAIR, reason);
		break;
	case CARE_FINISH:
		kick(sweep, key, flow, KICK_FINISH, reason);
		break;
	case CARE_ABORT:
		kick(sweep, key, flow, KICK_ABORT, reason);
		break;
	case CARE_FORGET:
		forget(sweep, key, flow);
		break;
	}
}

/* --- pausing --- */

/* True when it is due; the model is another one then. */
static bool pause_if_due(struct shadow_sweep *sweep, uint32_t id)
{
	const struct shadow_model *shadow = sweep->shadows[id];
	char reason[SHADOW_REASON_SIZE], name[NAME_SIZE];
	struct shadow_counters counters;
	struct pause_counts counts;

	if (!shadow || shadow->state != SHADOW_ON || shadow_figures(sweep->splitter, id, &counters)) {
		sweep->windows[id].count = 0;
		return false;
	}
	counts = pause_counts_of(&counters);
	if (!pause_due(&sweep->windows[id], &shadow->pause, &counts, reason))
		return false;
	sweep->windows[id].count = 0;
	snprintf(name, sizeof(name), "%s", sweep->splitter->services[id].name);
	sweep->pause(sweep->context, name, reason);
	return true;
}

static void look_at_counts(struct shadow_sweep *sweep, uint64_t now_ns)
{
	sweep->looked_ns = now_ns;
	for (uint32_t id = 1; id < service_limit(sweep); id++)
		if (pause_if_due(sweep, id))
			find_shadows(sweep);
}

/* --- a pass --- */

static void begin_pass(struct shadow_sweep *sweep, uint64_t now_ns)
{
	sweep->pass_ns = now_ns;
	sweep->any = false;
	memset(&sweep->cursor, 0, sizeof(sweep->cursor));
	memset(sweep->running, 0, service_limit(sweep) * sizeof(*sweep->running));
	if (now_ns - sweep->cleared_ns < CLEAR_NS)
		return;
	sweep->cleared_ns = now_ns;
	shadow_leftover_list(&sweep->leftover, sweep->splitter->datapath);
}

static void end_pass(struct shadow_sweep *sweep, uint64_t now_ns)
{
	memcpy(sweep->mirroring, sweep->running, service_limit(sweep) * sizeof(*sweep->mirroring));
	shadow_leftover_clear(&sweep->leftover, sweep->splitter->datapath);
	sweep->before_ns = sweep->pass_ns;
	sweep->pass_ns = 0;
	if (now_ns - sweep->looked_ns >= LOOK_NS)
		look_at_counts(sweep, now_ns);
}

uint64_t shadow_sweep_step(struct shadow_sweep *sweep, uint64_t now_ns)
{
	struct datapath *dp = sweep->splitter->datapath;
	int result = 0;

	if (!sweep->pass_ns)
		begin_pass(sweep, now_ns);
	find_shadows(sweep);
	for (int batch = 0; batch < BATCHES_AT_ONCE && result == 0; batch++) {
		uint32_t count = BATCH;

		result = datapath_batch(dp, MAP_SHADOW_FLOWS, &sweep->cursor, sweep->keys, sweep->flows, &count);
		if (result < 0)
			break;
		sweep->any |= count > 0;
		for (uint32_t i = 0; i < count; i++)
			if (sweep->keys[i].service < service_limit(sweep))
				care_for(sweep, &sweep->keys[i], &sweep->flows[i]);
	}
	if (result < 0) {
		/* Of a part of a pass nothing follows. */
		log_warning("sweep of mirrored connections: %s", strerror(-result));
		shadow_leftover_release(&sweep->leftover);
		sweep->pass_ns = 0;
	} else if (result > 0) {
		end_pass(sweep, now_ns);
	}
	return sweep->any || datapath_shadow_guard(dp)->on ? SHADOW_SWEEP_US : SHADOW_SWEEP_IDLE_US;
}
