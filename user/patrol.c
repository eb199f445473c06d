// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "patrol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "backends.h"
#include "checker.h"
#include "figures.h"
#include "health_schedule.h"
#include "log.h"

#define CHECK_MARK 0x6867 /* "hg": tells checks from traffic where routing or firewalls care */

struct watched {
	struct patrol *patrol;
	uint32_t id;
	uint32_t serial; /* of the id's use that all this is about; 0: not watched */
	bool in_flight;
	bool ignore; /* the check in flight is of who had the id before */
	struct health health;
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
	p->watched = calloc(datapath_limits(sp->datapath)->backends, sizeof(*p->watched));
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

static const struct backend_identity *identity_of(const struct watched *w)
{
	return &w->patrol->splitter->backends[w->id].identity;
}

static bool is_known(const struct patrol *p, uint32_t id)
{
	return p->watched[id].serial && p->watched[id].serial == p->splitter->backends[id].serial;
}

static bool is_checked(const struct service_model *s)
{
	return s && (s->health.check != HEALTH_NONE || s->health.passive);
}

/* Whether nobody of its variant is up: then all of them stay in rotation, which must be said. */
static bool nobody_is_up(const struct patrol *p, const struct watched *w)
{
	struct id_list ids = backends_of(p->splitter, identity_of(w)->service, identity_of(w)->variant);
	size_t down = 0, count = 0;

	for (uint32_t i = 0; i < ids.count; i++) {
		if (!is_known(p, ids.id[i]))
			continue;
		count++;
		down += p->watched[ids.id[i]].health.state == HEALTH_DOWN;
	}
	return health_panic(down, count);
}

/* Says what changed, and has the tables of the service computed anew. */
static void change(struct patrol *p, struct watched *w, const struct service_model *s, const char *why)
{
	struct backend_state *b = &p->splitter->backends[w->id];
	uint32_t service = splitter_service_id(p->splitter, s);
	const char *variant = b->identity.variant;
	char text[ADDRESS_TEXT_SIZE];

	endpoint_format(&b->identity.address, ntohs(b->identity.port), text);
	if (w->health.state == HEALTH_DOWN)
		log_warning("%s: backend %s of %s is down: %s", s->name, text, variant, why);
	else
		log_info("%s: backend %s of %s is %s", s->name, text, variant, health_state_name(w->health.state));
	if (nobody_is_up(p, w))
		log_error("%s: no backend of %s is up; all stay in rotation, as nobody would be left", s->name,
			  variant);
	b->out = w->health.state == HEALTH_DOWN;
	p->splitter->services[service].stale = true;
	p->changed(p->context);
}

static void on_checked(void *context, const char *why)
{
	struct watched *w = context;
	const struct service_model *s = service_of(w->patrol, w->id);
	uint64_t now_us;

	w->in_flight = false;
	if (w->ignore) {
		w->ignore = false;
		return;
	}
	if (!is_known(w->patrol, w->id) || w->patrol->splitter->backends[w->id].use != ID_USED || !is_checked(s))
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
	bool adopted_out = !w->serial && p->splitter->backends[id].out;
	uint64_t interval_ns = s->health.interval_ms * 1000000ULL;

	memset(w, 0, sizeof(*w));
	w->patrol = p;
	w->id = id;
	w->serial = p->splitter->backends[id].serial;
	w->in_flight = in_flight;
	w->ignore = in_flight;
	w->next_ns = now_ns + interval_ns * (id % 16) / 16;
	/* Who was out of the tables that this daemon adopted stays out until checks are good, if there are any. */
	if (adopted_out && s->health.check != HEALTH_NONE)
		w->health.state = HEALTH_DOWN;
	else
		put_back(p, id);
}

static void check(struct watched *w, const struct service_model *s, uint64_t now_ns)
{
	struct endpoint backend = {identity_of(w)->address, ntohs(identity_of(w)->port)};

	w->next_ns = health_next_check_ns(&s->health, now_ns, w->id);
	/* -errno: this host is out of sockets or memory, which says nothing about the backend. */
	w->in_flight = checker_start(w->patrol->checker, &s->health, &backend, on_checked, w) == 0;
}

static void step(struct patrol *p, uint32_t id, const struct service_model *s, uint64_t now_ns)
{
	struct watched *w = &p->watched[id];

	if (p->splitter->backends[id].use != ID_USED || !is_checked(s)) {
		if (p->splitter->backends[id].use == ID_USED)
			put_back(p, id);
		w->serial = 0;
		return;
	}
	if (!is_known(p, id))
		begin_watch(p, id, s, now_ns);
	if (w->next_ns > now_ns + 2 * s->health.interval_ms * 1000000ULL)
		w->next_ns = now_ns; /* the interval was longer */
	if (s->health.check != HEALTH_NONE && !w->in_flight && now_ns >= w->next_ns)
		check(w, s, now_ns);
}

/* The service of the id that a walk has come to; @last is that of the one before, as most often they are the same. */
static const struct service_model *next_service(const struct patrol *p, uint32_t id, const struct service_model *last)
{
	return last && strcmp(last->name, p->splitter->backends[id].identity.service) == 0 ? last : service_of(p, id);
}

void patrol_step(struct patrol *p, uint64_t now_ns)
{
	struct id_list used = backends_used(p->splitter);
	const struct service_model *s = NULL;

	for (uint32_t i = 0; i < used.count; i++) {
		if (backends_is_shadow(p->splitter, used.id[i]))
			continue; /* production does not care how its shadow is */
		s = next_service(p, used.id[i], s);
		step(p, used.id[i], s, now_ns);
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
	struct id_list used = backends_used(p->splitter);
	const struct service_model *s = NULL;

	for (uint32_t i = 0; i < used.count; i++) {
		s = next_service(p, used.id[i], s);
		if (is_known(p, used.id[i]) && p->splitter->backends[used.id[i]].use == ID_USED && s &&
		    s->health.passive)
			observe(p, &p->watched[used.id[i]], s, now_ns);
	}
}

void patrol_warn(const struct patrol *p, void (*warn)(void *context, const char *text), void *context)
{
	struct id_list used = backends_used(p->splitter);

	for (uint32_t i = 0; i < used.count; i++) {
		const struct watched *w = &p->watched[used.id[i]];
		const struct backend_state *b = &p->splitter->backends[used.id[i]];
		char text[512], backend[ADDRESS_TEXT_SIZE];

		if (!is_known(p, used.id[i]) || w->health.state != HEALTH_DOWN)
			continue;
		endpoint_format(&b->identity.address, ntohs(b->identity.port), backend);
		snprintf(text, sizeof(text), "%s: backend %s of %s is down: %s%s", b->identity.service, backend,
			 b->identity.variant, w->why[0] ? w->why : "real connections failed",
			 b->in_rotation ? "; it stays in rotation, as nobody of the variant is up" : "");
		warn(context, text);
	}
}

const struct health *patrol_health(const struct patrol *p, uint32_t id, const char **ret_why)
{
	const struct watched *w = &p->watched[id];

	if (!is_known(p, id))
		return NULL;
	*ret_why = w->why[0] ? w->why : NULL;
	return &w->health;
}
