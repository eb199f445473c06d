// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "patrol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "checker.h"
#include "figures.h"
#include "health_schedule.h"
#include "log.h"

#define CHECK_MARK 0x6867 /* "hg": tells checks from traffic where routing or firewalls care */

struct watched {
	struct patrol *patrol;
	uint32_t id;
	bool used;
	bool in_flight;
	bool ignore; /* the check in flight is of who had the id before */
	struct health health;
	struct backend_identity identity; /* whom all this is about: ids are used again */
	uint64_t next_ns;
	uint64_t good_before, bad_before; /* of real connections, at the last look */
	bool looked;
	char why[128]; /* of the last bad check; empty: the last one was good */
};

struct patrol {
	sd_event *event;
	struct splitter *splitter;
	struct checker *checker;
	void (*changed)(void *context);
	void *context;
	struct watched *watched; /* by backend id */
	uint32_t count;
};

int patrol_create(sd_event *event, struct splitter *sp, void (*changed)(void *context), void *context,
		  struct patrol **ret)
{
	_cleanup_(patrol_destroyp) struct patrol *p = calloc(1, sizeof(*p));
	int error;

	if (!p)
		return -ENOMEM;
	p->event = event;
	p->splitter = sp;
	p->changed = changed;
	p->context = context;
	p->count = datapath_limits(sp->datapath)->backends;
	p->watched = calloc(p->count, sizeof(*p->watched));
	if (!p->watched)
		return -ENOMEM;
	error = checker_create(event, CHECK_MARK, &p->checker);
	if (error)
		return error;
	*ret = TAKE_PTR(p);
	return 0;
}

void patrol_destroy(struct patrol *p)
{
	if (!p)
		return;
	checker_destroy(p->checker);
	free(p->watched);
	free(p);
}

static const struct service_model *service_of(const struct patrol *p, uint32_t id)
{
	return model_find_service(p->splitter->model, p->splitter->backends[id].identity.service);
}

static bool is_watched(const struct patrol *p, uint32_t id, const struct service_model **ret)
{
	const struct backend_state *b = &p->splitter->backends[id];

	if (b->use != ID_USED)
		return false;
	*ret = service_of(p, id);
	return *ret && ((*ret)->health.check != HEALTH_NONE || (*ret)->health.passive);
}

/* Whether nobody of its variant is up: then all of them stay in rotation, which must be said. */
static bool nobody_is_up(const struct patrol *p, const struct watched *w)
{
	size_t down = 0, count = 0;

	for (uint32_t id = 1; id < p->count; id++) {
		const struct watched *other = &p->watched[id];

		if (!other->used || strcmp(other->identity.service, w->identity.service) ||
		    strcmp(other->identity.variant, w->identity.variant))
			continue;
		count++;
		down += other->health.state == HEALTH_DOWN;
	}
	return health_panic(down, count);
}

/* Says what changed, and has the tables of the service computed anew. */
static void change(struct patrol *p, struct watched *w, const struct service_model *s, const char *why)
{
	struct backend_state *b = &p->splitter->backends[w->id];
	uint32_t service = splitter_service_id(p->splitter, s);
	char text[ADDRESS_TEXT_SIZE];

	endpoint_format(&w->identity.address, ntohs(w->identity.port), text);
	if (w->health.state == HEALTH_DOWN)
		log_warning("%s: backend %s of %s is down: %s", s->name, text, w->identity.variant, why);
	else
		log_info("%s: backend %s of %s is %s", s->name, text, w->identity.variant,
			 health_state_name(w->health.state));
	if (nobody_is_up(p, w))
		log_error("%s: no backend of %s is up; all stay in rotation, as nobody would be left", s->name,
			  w->identity.variant);
	b->out = w->health.state == HEALTH_DOWN;
	p->splitter->services[service].stale = true;
	p->changed(p->context);
}

static void on_checked(void *context, const char *why)
{
	struct watched *w = context;
	const struct service_model *s;
	uint64_t now_us;

	w->in_flight = false;
	if (w->ignore) {
		w->ignore = false;
		return;
	}
	if (!w->used || !is_watched(w->patrol, w->id, &s) ||
	    memcmp(&w->identity, &w->patrol->splitter->backends[w->id].identity, sizeof(w->identity)))
		return;
	snprintf(w->why, sizeof(w->why), "%s", why ? why : "");
	if (sd_event_now(w->patrol->event, CLOCK_MONOTONIC, &now_us) < 0)
		return;
	if (health_checked(&w->health, &s->health, !why, now_us * 1000))
		change(w->patrol, w, s, w->why);
}

/* One that was out comes back into rotation: nothing is known against it any more. */
static void put_back(struct patrol *p, uint32_t id)
{
	struct backend_state *b = &p->splitter->backends[id];

	if (!b->out)
		return;
	b->out = false;
	p->splitter->services[datapath_backend(p->splitter->datapath, id)->service].stale = true;
	p->changed(p->context);
}

/* A backend that is new to the id: nothing is known, and first checks are spread over an interval. */
static void begin_watch(struct patrol *p, uint32_t id, const struct service_model *s, uint64_t now_ns)
{
	struct watched *w = &p->watched[id];
	bool in_flight = w->in_flight;
	bool adopted_out = !w->used && p->splitter->backends[id].out;
	uint64_t interval_ns = s->health.interval_ms * 1000000ULL;

	memset(w, 0, sizeof(*w));
	w->patrol = p;
	w->id = id;
	w->used = true;
	w->in_flight = in_flight;
	w->ignore = in_flight;
	w->identity = p->splitter->backends[id].identity;
	w->next_ns = now_ns + interval_ns * (id % 16) / 16;
	/* Who was out of the tables that this daemon adopted stays out until checks are good, if there are any. */
	if (adopted_out && s->health.check != HEALTH_NONE)
		w->health.state = HEALTH_DOWN;
	else
		put_back(p, id);
}

static void check(struct watched *w, const struct service_model *s, uint64_t now_ns)
{
	struct endpoint backend = {w->identity.address, ntohs(w->identity.port)};

	w->next_ns = health_next_check_ns(&s->health, now_ns, w->id);
	/* -errno: this host is out of sockets or memory, which says nothing about the backend. */
	w->in_flight = checker_start(w->patrol->checker, &s->health, &backend, on_checked, w) == 0;
}

void patrol_step(struct patrol *p, uint64_t now_ns)
{
	const struct service_model *s;

	for (uint32_t id = 1; id < p->count; id++) {
		struct watched *w = &p->watched[id];

		if (!is_watched(p, id, &s)) {
			if (p->splitter->backends[id].use == ID_USED)
				put_back(p, id);
			w->used = false;
			continue;
		}
		if (!w->used || memcmp(&w->identity, &p->splitter->backends[id].identity, sizeof(w->identity)))
			begin_watch(p, id, s, now_ns);
		if (w->next_ns > now_ns + 2 * s->health.interval_ms * 1000000ULL)
			w->next_ns = now_ns; /* the interval was longer */
		if (s->health.check != HEALTH_NONE && !w->in_flight && now_ns >= w->next_ns)
			check(w, s, now_ns);
	}
}

static void observe(struct patrol *p, struct watched *w, const struct service_model *s, uint64_t now_ns)
{
	struct measured m;
	uint64_t good, bad;

	if (figures_of_backend(p->splitter, w->id, &m))
		return;
	good = m.sampled.established;
	bad = m.sampled.refused + m.silent.failed;
	if (w->looked && health_observed(&w->health, &s->health, good - w->good_before, bad - w->bad_before, now_ns))
		change(p, w, s, "real connections are refused or not answered");
	w->looked = true;
	w->good_before = good;
	w->bad_before = bad;
}

void patrol_observe(struct patrol *p, uint64_t now_ns)
{
	const struct service_model *s;

	for (uint32_t id = 1; id < p->count; id++)
		if (p->watched[id].used && is_watched(p, id, &s) && s->health.passive)
			observe(p, &p->watched[id], s, now_ns);
}

void patrol_warn(const struct patrol *p, void (*warn)(void *context, const char *text), void *context)
{
	for (uint32_t id = 1; id < p->count; id++) {
		const struct watched *w = &p->watched[id];
		char text[512], backend[ADDRESS_TEXT_SIZE];

		if (!w->used || w->health.state != HEALTH_DOWN)
			continue;
		endpoint_format(&w->identity.address, ntohs(w->identity.port), backend);
		snprintf(text, sizeof(text), "%s: backend %s of %s is down: %s%s", w->identity.service, backend,
			 w->identity.variant, w->why[0] ? w->why : "real connections failed",
			 p->splitter->backends[id].in_rotation
				 ? "; it stays in rotation, as nobody of the variant is up"
				 : "");
		warn(context, text);
	}
}

const struct health *patrol_health(const struct patrol *p, uint32_t id, const char **ret_why)
{
	const struct watched *w = &p->watched[id];

	if (id >= p->count || !w->used)
		return NULL;
	*ret_why = w->why[0] ? w->why : NULL;
	return &w->health;
}
