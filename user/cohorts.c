// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cohorts.h"

#include <errno.h>
#include <string.h>

#include "backends.h"
#include "drain.h"

static struct cohort_key key_of(uint32_t service, const struct prefix *source)
{
	return (struct cohort_key){.prefix_bits = 32 + source->bits, .service = service, .source = source->address};
}

static struct cohort_state *find_rule(struct service_state *state, const struct cohort_key *key)
{
	for (size_t i = 0; i < state->cohort_count; i++)
		if (memcmp(&state->cohorts[i].key, key, sizeof(*key)) == 0)
			return &state->cohorts[i];
	return NULL;
}

static struct prefix prefix_of(const struct cohort_state *rule)
{
	return (struct prefix){rule->key.source, rule->key.prefix_bits - 32};
}

/* The rule that members of @key would be under without its own; NULL: none, the service's table decides. */
static const struct cohort_state *covering_rule(const struct service_state *state, const struct cohort_key *key)
{
	const struct cohort_state *longest = NULL;

	for (size_t i = 0; i < state->cohort_count; i++) {
		const struct cohort_state *rule = &state->cohorts[i];
		struct prefix source = prefix_of(rule);

		if (rule->key.prefix_bits < key->prefix_bits && prefix_contains(&source, &key->source) &&
		    (!longest || rule->key.prefix_bits > longest->key.prefix_bits))
			longest = rule;
	}
	return longest;
}

/*
 * A rule for members who are where they are now: by the service's table, or by a wider rule that is on its way out (the
 * model allows no overlap, but what leaves overlaps what comes for as long as it drains).
 */
static struct cohort_state *add_rule(struct service_state *state, const struct cohort_key *key)
{
	const struct cohort_state *cover = covering_rule(state, key);
	struct cohort_state fresh = {.value = {.fresh = COHORT_SERVICE, .older = COHORT_SERVICE}};
	struct cohort_state *grown;

	if (cover)
		fresh = *cover;
	fresh.key = *key;
	grown = reallocarray(state->cohorts, state->cohort_count + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	state->cohorts = grown;
	grown[state->cohort_count] = fresh;
	return &grown[state->cohort_count++];
}

static void drop_rule(struct splitter *sp, struct service_state *state, struct cohort_state *rule)
{
	datapath_delete(sp->datapath, MAP_COHORTS, &rule->key);
	*rule = state->cohorts[--state->cohort_count];
}

/* How a service's rules are brought to what its model says. */
struct change {
	struct splitter *sp;
	uint32_t service;
	const struct service_model *model;
	bool resets;
	uint64_t now_ns;
};

/*
 * Members who leave a variant, or the service's table, have their connections reset. Where they stay nothing is
 * decided, unlike for slots: a cohort that comes or goes must not stop what a rollback is resetting.
 */
static void reset_members(const struct change *c, uint32_t left)
{
	const struct service_state *state = &c->sp->services[c->service];
	struct id_list ids;

	if (!c->resets)
		return;
	ids = backends_of(c->sp, c->model->name, left == COHORT_SERVICE ? NULL : state->variant[left]);
	for (uint32_t i = 0; i < ids.count; i++)
		drain_decide(c->sp, ids.id[i], true, c->now_ns);
}

/* Sends new connections of a rule's members to @fresh. */
static int change_rule(const struct change *c, struct cohort_state *rule, uint32_t fresh)
{
	const struct service_model *s = c->model;
	uint32_t now_s = c->now_ns / 1000000000;
	struct cohort value = rule->value;
	int error;

	if (value.fresh != fresh) {
		if (!value.tracked)
			value.older = value.fresh;
		value.fresh = fresh;
		value.tracked = s->forward != FORWARD_NAT;
	}
	error = datapath_update(c->sp->datapath, MAP_COHORTS, &rule->key, &value);
	if (error || value.fresh == rule->value.fresh)
		return error;
	reset_members(c, rule->value.fresh);
	rule->value = value;
	rule->deadline_s = now_s + s->drain_timeout_s;
	rule->limit_s = now_s + s->drain_limit_s;
	return 0;
}

static uint32_t variant_index(const struct service_state *state, const char *name)
{
	for (uint32_t i = 0; i < VARIANTS_MAX; i++)
		if (strcmp(state->variant[i], name) == 0)
			return i;
	return COHORT_SERVICE;
}

static bool rule_wanted(const struct cohort_state *rule, uint32_t service, const struct service_model *s)
{
	for (size_t i = 0; i < s->cohort_count; i++) {
		struct cohort_key key = key_of(service, &s->cohorts[i].source);

		if (memcmp(&key, &rule->key, sizeof(key)) == 0)
			return true;
	}
	return false;
}

/* Where members of a leaving rule are to be: under the wanted rule that covers it, or by the service's table. */
static uint32_t fresh_without(const struct service_state *state, const struct cohort_state *rule)
{
	const struct prefix source = prefix_of(rule);

	for (size_t i = 0; i < state->cohort_count; i++) {
		const struct cohort_state *other = &state->cohorts[i];
		struct prefix wider = prefix_of(other);

		/* At most one, as wanted rules do not overlap. */
		if (!other->leaving && other->key.prefix_bits < rule->key.prefix_bits &&
		    prefix_contains(&wider, &source.address))
			return other->value.fresh;
	}
	return COHORT_SERVICE;
}

/* Its going would change nothing for anybody: its members drained, and the rule that then covers them, if any, settled.
 */
static bool rule_is_done(const struct service_state *state, const struct cohort_state *rule)
{
	const struct cohort_state *cover = covering_rule(state, &rule->key);

	if (!rule->leaving || rule->value.tracked || (cover && cover->value.tracked))
		return false;
	return rule->value.fresh == (cover ? cover->value.fresh : COHORT_SERVICE);
}

static void set_flag(struct splitter *sp, uint32_t service)
{
	struct service *kernel = datapath_service(sp->datapath, service);
	uint32_t flags = kernel->flags & ~SERVICE_COHORTS;

	if (sp->services[service].cohort_count)
		flags |= SERVICE_COHORTS;
	__atomic_store_n(&kernel->flags, flags, __ATOMIC_RELEASE);
}

static int apply_wanted(const struct change *c)
{
	struct service_state *state = &c->sp->services[c->service];
	int error = 0;

	for (size_t i = 0; i < c->model->cohort_count && !error; i++) {
		const struct cohort_model *wanted = &c->model->cohorts[i];
		struct cohort_key key = key_of(c->service, &wanted->source);
		struct cohort_state *rule = find_rule(state, &key);

		if (!rule)
			rule = add_rule(state, &key);
		if (!rule)
			return -ENOMEM;
		error = change_rule(c, rule, variant_index(state, wanted->variant));
	}
	return error;
}

int cohorts_apply(struct splitter *sp, uint32_t service, const struct service_model *s, bool resets, uint64_t now_ns)
{
	const struct change change = {sp, service, s, resets, now_ns};
	struct service_state *state = &sp->services[service];
	int error = apply_wanted(&change);

	for (size_t i = 0; i < state->cohort_count; i++)
		state->cohorts[i].leaving = !rule_wanted(&state->cohorts[i], service, s);
	for (size_t i = state->cohort_count; i-- > 0 && !error;) {
		struct cohort_state *rule = &state->cohorts[i];

		if (!rule->leaving)
			continue;
		error = change_rule(&change, rule, fresh_without(state, rule));
		if (!error && rule_is_done(state, rule))
			drop_rule(sp, state, rule);
	}
	set_flag(sp, service);
	return error;
}

struct cohort_state *cohorts_find(struct splitter *sp, uint32_t service, const struct address *client)
{
	struct service_state *state = &sp->services[service];
	struct cohort_state *longest = NULL;

	for (size_t i = 0; i < state->cohort_count; i++) {
		struct cohort_state *rule = &state->cohorts[i];
		struct prefix source = prefix_of(rule);

		if (prefix_contains(&source, client) && (!longest || rule->key.prefix_bits > longest->key.prefix_bits))
			longest = rule;
	}
	return longest;
}

static bool table_needed(const struct service_state *state, uint32_t index)
{
	for (size_t i = 0; i < state->cohort_count; i++)
		if (state->cohorts[i].value.fresh == index ||
		    (state->cohorts[i].value.tracked && state->cohorts[i].value.older == index))
			return true;
	return false;
}

/* First the flag, then a quiescent moment: no packet still reads a rule, and so none a table that is taken away. */
static void give_back_tables(struct splitter *sp, uint32_t service)
{
	struct service_state *state = &sp->services[service];
	bool quiet = false;

	for (uint32_t index = 0; index < VARIANTS_MAX; index++) {
		struct table *t = splitter_table(sp, service, index);

		if (!t->entries || table_needed(state, index))
			continue;
		if (!quiet)
			datapath_quiesce(sp->datapath);
		quiet = true;
		rows_give_back(sp, t->entries);
		rows_give_back(sp, t->base);
		memset(t, 0, sizeof(*t));
		free(state->deadlines[index]);
		state->deadlines[index] = NULL;
	}
}

static void settle_rule(struct splitter *sp, struct cohort_state *rule)
{
	struct cohort value = rule->value;

	value.tracked = 0;
	value.older = value.fresh;
	if (datapath_update(sp->datapath, MAP_COHORTS, &rule->key, &value) == 0)
		rule->value = value;
}

void cohorts_settle(struct splitter *sp, uint32_t service, uint32_t now_s)
{
	struct service_state *state = &sp->services[service];

	for (size_t i = 0; i < state->cohort_count; i++) {
		struct cohort_state *rule = &state->cohorts[i];

		if (rule->value.tracked && now_s >= rule->deadline_s && (!rule->disagreeing || now_s >= rule->limit_s))
			settle_rule(sp, rule);
	}
	for (size_t i = state->cohort_count; i-- > 0;)
		if (rule_is_done(state, &state->cohorts[i]))
			drop_rule(sp, state, &state->cohorts[i]);
	set_flag(sp, service);
	give_back_tables(sp, service);
}
