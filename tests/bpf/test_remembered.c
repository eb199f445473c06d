// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Backend ids and what is counted under them, in real maps, pinned in a bpffs that only this process sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "backends.h"
#include "figures.h"
#include "own_bpffs.h"
#include "random.h"
#include "remembered.h"
#include "sweep.h"

#define IDS 64U /* backends that there is room for */
#define REMOVED 3U
#define STAYING 4U

static int open_maps(void **state)
{
	const struct limits limits = {.services = 1,
				      .backends = IDS,
				      .rows = 3,
				      .half_open = 64,
				      .established = 64,
				      .shadow_flows = 64,
				      .stash = 64};

	own_bpffs(0);
	*state = own_datapath(&limits);
	return 0;
}

static int close_maps(void **state)
{
	datapath_close(*state);
	return 0;
}

/* --- a service "web" with backends of "blue" ------------------------------------------------------------------------
 */

static struct backend_identity identity(const char *service, const char *variant, uint16_t number)
{
	struct backend_identity who = {
		.address.word = {0, 0, htonl(0xffff), htonl(0x0a000000 + number)},
		.port = htons(8000),
		.protocol = IPPROTO_TCP,
		.used = 1,
	};

	snprintf(who.service, sizeof(who.service), "%s", service);
	snprintf(who.variant, sizeof(who.variant), "%s", variant);
	return who;
}

/* Every number differs from every other, of this id and of others. */
static void count(struct datapath *dp, uint32_t id)
{
	struct backend_counters traffic;
	struct measurements sampled;
	struct silent_counters silent = {.failed = id * 10000 + 1, .expired = id * 10000 + 2};

	for (size_t i = 0; i < sizeof(traffic) / sizeof(__u64); i++)
		((__u64 *)&traffic)[i] = id * 10000 + 10 + i;
	for (size_t i = 0; i < sizeof(sampled) / sizeof(__u64); i++)
		((__u64 *)&sampled)[i] = id * 10000 + 100 + i;
	assert_int_equal(datapath_set_backend_counters(dp, id, &traffic), 0);
	assert_int_equal(datapath_set_measurements(dp, id, &sampled), 0);
	assert_int_equal(datapath_update(dp, MAP_SILENT_COUNTERS, &id, &silent), 0);
}

/* Two backends, each of which has counted, and none before them. */
static void begin(struct datapath *dp)
{
	const struct backend_identity nobody = {};
	struct variant_key key;

	while (datapath_next_key(dp, MAP_REMEMBERED, NULL, &key) == 0)
		assert_int_equal(datapath_delete(dp, MAP_REMEMBERED, &key), 0);
	for (uint32_t id = 1; id <= IDS; id++)
		assert_int_equal(datapath_update(dp, MAP_BACKEND_IDENTITIES, &id, &nobody), 0);
	for (uint32_t id = REMOVED; id <= STAYING; id++) {
		struct backend_identity who = identity("web", "blue", id);

		assert_int_equal(datapath_update(dp, MAP_BACKEND_IDENTITIES, &id, &who), 0);
		count(dp, id);
	}
}

/* A daemon that takes over what there is; its model has but one variant. */
static struct splitter *adopt(struct datapath *dp, const char *variant)
{
	struct splitter *sp;
	struct service_model *s = calloc(1, sizeof(*s));
	struct model *model = calloc(1, sizeof(*model));

	assert_int_equal(splitter_create(dp, &sp), 0);
	assert_non_null(s);
	assert_non_null(model);
	s->variants = calloc(1, sizeof(*s->variants));
	assert_non_null(s->variants);
	s->variant_count = 1;
	snprintf(s->name, sizeof(s->name), "web");
	snprintf(s->variants->name, sizeof(s->variants->name), "%s", variant);
	model->services = s;
	model->service_count = 1;
	sp->model = model;
	return sp;
}

static struct measured counted(struct splitter *sp)
{
	struct measured sum;

	assert_int_equal(figures_of_variant(sp, sp->model->services, "blue", &sum), 0);
	return sum;
}

static void assert_free(struct splitter *sp, uint32_t id)
{
	struct backend_identity who;
	struct measured one, nothing = {};

	assert_int_equal(sp->backends[id].use, ID_FREE);
	assert_int_equal(datapath_lookup(sp->datapath, MAP_BACKEND_IDENTITIES, &id, &who), 0);
	assert_int_equal(who.used, 0);
	assert_int_equal(figures_of_backend(sp, id, &one), 0);
	assert_memory_equal(&one, &nothing, sizeof(one));
}

static void a_variant_keeps_what_a_removed_backend_had_counted(void **state)
{
	struct splitter *sp;
	struct measured before, after;

	begin(*state);
	sp = adopt(*state, "blue");
	before = counted(sp);
	assert_int_equal(before.silent.expired, REMOVED * 10000 + 2 + STAYING * 10000 + 2);
	assert_int_equal(remembered_take(sp, REMOVED), 0);
	after = counted(sp);
	assert_memory_equal(&after, &before, sizeof(after));
	assert_free(sp, REMOVED);
	assert_int_equal(remembered_take(sp, STAYING), 0);
	after = counted(sp);
	assert_memory_equal(&after, &before, sizeof(after));
	assert_int_equal(backends_used(sp).count, 0);
	splitter_destroy(sp);
	sp = adopt(*state, "blue");
	after = counted(sp);
	assert_memory_equal(&after, &before, sizeof(after));
	splitter_destroy(sp);
}

static void a_variant_that_has_left_is_forgotten_with_its_last_backend(void **state)
{
	struct measured nothing = {}, after;
	struct splitter *sp;

	begin(*state);
	sp = adopt(*state, "blue");
	assert_int_equal(remembered_take(sp, REMOVED), 0);
	splitter_destroy(sp);
	sp = adopt(*state, "green");
	remembered_prune(sp);
	after = counted(sp);
	assert_int_equal(after.silent.expired, REMOVED * 10000 + 2 + STAYING * 10000 + 2);
	assert_int_equal(remembered_take(sp, STAYING), 0);
	assert_free(sp, STAYING);
	remembered_prune(sp);
	after = counted(sp);
	assert_memory_equal(&after, &nothing, sizeof(after));
	splitter_destroy(sp);
}

/* --- a model that changes -------------------------------------------------------------------------------------------
 */

/* "web" with as many backends of "blue", in NAT: slots settle at once. */
static struct model *model_of(size_t backends)
{
	struct model *model = calloc(1, sizeof(*model));
	struct service_model *s = calloc(1, sizeof(*s));
	struct variant_model *v = calloc(1, sizeof(*v));
	struct address host = {{0, 0, htonl(0xffff), htonl(0x0a000063)}};

	assert_true(model && s && v);
	v->backends = calloc(backends, sizeof(*v->backends));
	assert_non_null(v->backends);
	snprintf(v->name, sizeof(v->name), "blue");
	v->weight = 1;
	v->backend_count = backends;
	for (size_t i = 0; i < backends; i++) {
		struct backend_identity who = identity("web", "blue", i);

		v->backends[i] = (struct backend_model){.endpoint = {who.address, 8000}, .weight = 1};
	}
	*s = (struct service_model){
		.vip = {host, 80}, .protocol = IPPROTO_TCP, .forward = FORWARD_NAT, .variants = v, .variant_count = 1};
	snprintf(s->name, sizeof(s->name), "web");
	model->services = s;
	model->service_count = 1;
	return model;
}

static void apply(struct splitter *sp, size_t backends)
{
	struct routes *routes = calloc(1, sizeof(*routes));
	struct refusal why;

	assert_non_null(routes);
	if (splitter_apply(sp, model_of(backends), routes, 1000000000, NULL, &why))
		fail_msg("%s", why.text);
	routes_free(routes);
}

static uint32_t slots_of_all(const struct splitter *sp)
{
	struct id_list used = backends_used(sp);
	uint32_t sum = 0;

	for (uint32_t i = 0; i < used.count; i++)
		sum += sp->backends[used.id[i]].slots;
	return sum;
}

static void backends_that_leave_the_model_give_their_ids_back_and_leave_their_counts(void **state)
{
	const struct backend_identity nobody = {};
	struct measured before, after;
	struct splitter *sp;

	begin(*state);
	for (uint32_t id = 1; id <= IDS; id++)
		assert_int_equal(datapath_update(*state, MAP_BACKEND_IDENTITIES, &id, &nobody), 0);
	assert_int_equal(splitter_create(*state, &sp), 0);
	apply(sp, 8);
	assert_int_equal(slots_of_all(sp), SLOTS);
	for (uint32_t i = 0; i < 8; i++)
		count(*state, backends_used(sp).id[i]);
	before = counted(sp);
	apply(sp, 3);
	assert_int_equal(backends_used(sp).count, 8);
	for (int pass = 0; pass < 3; pass++) {
		assert_int_equal(sweep_whole(sp, 2, 2), 0);
		after = counted(sp);
		assert_memory_equal(&after, &before, sizeof(after));
	}
	assert_int_equal(backends_used(sp).count, 3);
	assert_int_equal(slots_of_all(sp), SLOTS);
	splitter_destroy(sp);

	assert_int_equal(splitter_create(*state, &sp), 0);
	assert_int_equal(slots_of_all(sp), SLOTS);
	apply(sp, 8);
	after = counted(sp);
	assert_memory_equal(&after, &before, sizeof(after));
	splitter_destroy(sp);
}

/* --- a daemon that is killed ----------------------------------------------------------------------------------------
 */

/* Removes a backend in a child that is killed at its @stop-th stop at a system call. False: it was done before that. */
static bool remove_and_kill(struct splitter *sp, int stop)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(remembered_take(sp, REMOVED) != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	for (int i = 0; i < stop && WIFSTOPPED(status); i++) {
		ptrace(PTRACE_SYSCALL, child, NULL, NULL);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	if (!WIFSTOPPED(status)) {
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		return false;
	}
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	return true;
}

static bool is_moving(struct datapath *dp)
{
	struct variant_key key = {.service = "web", .variant = "blue"};
	struct remembered_counts counts;

	return datapath_lookup(dp, MAP_REMEMBERED, &key, &counts) == 0 && counts.moving == REMOVED;
}

static void a_kill_at_any_system_call_loses_nothing_and_doubles_nothing(void **state)
{
	int stop = 0, moving = 0;
	bool killed = true;

	while (killed) {
		struct measured before, after;
		struct splitter *sp;

		begin(*state);
		sp = adopt(*state, "blue");
		before = counted(sp);
		killed = remove_and_kill(sp, ++stop);
		splitter_destroy(sp);
		moving += is_moving(*state);
		sp = adopt(*state, "blue");
		after = counted(sp);
		assert_memory_equal(&after, &before, sizeof(after));
		if (sp->backends[REMOVED].use != ID_FREE)
			assert_int_equal(remembered_take(sp, REMOVED), 0);
		after = counted(sp);
		assert_memory_equal(&after, &before, sizeof(after));
		assert_free(sp, REMOVED);
		splitter_destroy(sp);
	}
	/* Zeroing is several system calls, each with two stops. */
	assert_true(moving >= 6);
}

/* --- who is who -----------------------------------------------------------------------------------------------------
 */

static const char *const names[] = {"a", "aa", "b", "web"};

static struct backend_identity anybody(struct random *random)
{
	return identity(names[random_below(random, 4)], names[random_below(random, 4)], random_below(random, 6) * 100);
}

/* By walking over all there are. */
static uint32_t search(const struct splitter *sp, const struct backend_identity *who)
{
	for (uint32_t id = 1; id <= IDS; id++)
		if (sp->backends[id].use != ID_FREE && memcmp(&sp->backends[id].identity, who, sizeof(*who)) == 0)
			return id;
	return 0;
}

static uint32_t count_of(const struct splitter *sp, const char *service, const char *variant)
{
	uint32_t count = 0;

	for (uint32_t id = 1; id <= IDS; id++)
		count += sp->backends[id].use != ID_FREE && strcmp(sp->backends[id].identity.service, service) == 0 &&
			 (!variant || strcmp(sp->backends[id].identity.variant, variant) == 0);
	return count;
}

static void check_lists(const struct splitter *sp)
{
	for (size_t s = 0; s < ARRAY_SIZE(names); s++) {
		assert_int_equal(backends_of(sp, names[s], NULL).count, count_of(sp, names[s], NULL));
		for (size_t v = 0; v < ARRAY_SIZE(names); v++) {
			struct id_list ids = backends_of(sp, names[s], names[v]);

			assert_int_equal(ids.count, count_of(sp, names[s], names[v]));
			for (uint32_t i = 0; i < ids.count; i++) {
				assert_string_equal(sp->backends[ids.id[i]].identity.service, names[s]);
				assert_string_equal(sp->backends[ids.id[i]].identity.variant, names[v]);
			}
		}
	}
}

static void those_found_are_those_that_a_walk_over_all_finds(void **state)
{
	const struct backend_identity nobody = {};
	struct random random = {7};
	uint32_t full = 0;
	struct splitter *sp;

	for (uint32_t id = 1; id <= IDS; id++)
		assert_int_equal(datapath_update(*state, MAP_BACKEND_IDENTITIES, &id, &nobody), 0);
	sp = adopt(*state, "blue");
	for (int i = 0; i < 4000; i++) {
		struct backend_identity who = anybody(&random);
		uint32_t id = search(sp, &who);

		assert_int_equal(backends_find(sp, &who), id);
		if (id) {
			backends_drop(sp, id);
			assert_int_equal(backends_find(sp, &who), 0);
		} else if (backends_used(sp).count < IDS) {
			assert_int_not_equal(backends_take(sp, &who), 0);
			assert_int_equal(backends_find(sp, &who), search(sp, &who));
		} else {
			full++;
			assert_int_equal(backends_take(sp, &who), 0);
		}
		if (i % 50 == 0)
			check_lists(sp);
	}
	/* Of 96 who may come, half are there at a time; now all that find room. */
	for (int i = 0; i < 4000; i++) {
		struct backend_identity who = anybody(&random);

		if (!search(sp, &who))
			full += !backends_take(sp, &who);
	}
	assert_int_equal(backends_used(sp).count, IDS);
	assert_true(full > 0);
	check_lists(sp);
	splitter_destroy(sp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_variant_keeps_what_a_removed_backend_had_counted),
		cmocka_unit_test(a_variant_that_has_left_is_forgotten_with_its_last_backend),
		cmocka_unit_test(backends_that_leave_the_model_give_their_ids_back_and_leave_their_counts),
		cmocka_unit_test(a_kill_at_any_system_call_loses_nothing_and_doubles_nothing),
		cmocka_unit_test(those_found_are_those_that_a_walk_over_all_finds),
	};

	return cmocka_run_group_tests_name("remembered", tests, open_maps, close_maps);
}
