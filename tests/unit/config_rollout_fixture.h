/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_CONFIG_ROLLOUT_FIXTURE_H
#define HEADGATE_TEST_CONFIG_ROLLOUT_FIXTURE_H

/* Services that plans are read for. To be included behind cmocka.h. */
#include "config_fixture.h"

/* web has it all; far sees no replies and has no shadow. */
static const char rollout_services[] = "interfaces: [eth0]\n"
				       "services:\n"
				       "  web:\n"
				       "    address: 10.0.0.10\n"
				       "    port: 80\n"
				       "    forward: nat\n"
				       "    variants:\n"
				       "      blue: {weight: 100, backends: [10.0.1.1:80]}\n"
				       "      canary: {weight: 0, backends: [10.0.2.1:80]}\n"
				       "      green: {weight: 0, backends: [10.0.3.1:80]}\n"
				       "      empty: {weight: 0, backends: []}\n"
				       "    shadow: {backends: [10.0.4.1:80], sample: 0}\n"
				       "  far:\n"
				       "    address: 10.0.0.11\n"
				       "    port: 80\n"
				       "    forward: gue\n"
				       "    variants:\n"
				       "      blue: {weight: 100, backends: [10.0.1.1]}\n"
				       "      canary: {weight: 0, backends: [10.0.3.1]}\n";

/* As config_load_plan(), for a service by its name. */
static inline int load_plan(const char *service, const char *yaml, struct problems *problems, struct rollout_plan **ret)
{
	struct model *model = parse(rollout_services);
	int err = config_load_plan("p.yaml", yaml, strlen(yaml), model_find_service(model, service), problems, ret);

	model_free(model);
	return err;
}

/* The same of a plan that is right. */
static inline struct rollout_plan *plan_of(const char *service, const char *yaml)
{
	struct problems problems = {};
	struct rollout_plan *plan = NULL;
	int err = load_plan(service, yaml, &problems, &plan);

	if (problems.text)
		print_error("%s", problems.text);
	problems_clear(&problems);
	assert_int_equal(err, 0);
	return plan;
}

#endif
