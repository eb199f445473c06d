// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "config.h"
#include "names.h"
#include "rollout.h"

static json_t *problems_json(const struct problems *problems)
{
	json_t *lines = json_array();

	for (const char *line = problems->text; line && *line;) {
		size_t length = strcspn(line, "\n");

		json_array_append_new(lines, json_stringn_nocheck(line, length));
		line += length + !!line[length];
	}
	return lines;
}

static void print_rollout(const struct rollout_plan *plan)
{
	printf("; rollout %s", name_of_strategy(plan->strategy));
	if (plan->candidate[0])
		printf(" from %s to %s", plan->stable, plan->candidate);
	for (size_t i = 0; i < plan->arm_count; i++)
		printf("%s%s", i ? ", " : " of ", plan->arms[i].variant);
	printf(", %zu step%s, %zu metric%s", plan->step_count, plan->step_count == 1 ? "" : "s",
	       plan->analysis.metric_count, plan->analysis.metric_count == 1 ? "" : "s");
}

static void print_summary(const char *file, const struct model *model)
{
	printf("%s: ok, %zu interface%s, %zu service%s\n", file, model->interface_count,
	       model->interface_count == 1 ? "" : "s", model->service_count, model->service_count == 1 ? "" : "s");
	for (size_t i = 0; i < model->service_count; i++) {
		const struct service_model *service = &model->services[i];
		char vip[ADDRESS_TEXT_SIZE];

		printf("  %s: %s %s, %s:", service->name, service->protocol == IPPROTO_TCP ? "tcp" : "udp",
		       endpoint_format(&service->vip.address, service->vip.port, vip),
		       name_of_forward(service->forward));
		for (size_t j = 0; j < service->variant_count; j++) {
			const struct variant_model *variant = &service->variants[j];

			printf("%s %s=%u (%zu backend%s)", j ? "," : "", variant->name, variant->weight,
			       variant->backend_count, variant->backend_count == 1 ? "" : "s");
		}
		if (service->cohort_count)
			printf("; %zu cohort%s", service->cohort_count, service->cohort_count == 1 ? "" : "s");
		if (service->rollout)
			print_rollout(service->rollout);
		putchar('\n');
	}
}

static enum exit_code run(const struct invocation *call)
{
	_cleanup_(problems_clear) struct problems problems = {0};
	_cleanup_(model_freep) struct model *model = NULL;
	int rc = config_load(call->arguments[0], &problems, &model);

	if (call->json) {
		json_auto_t *result = json_pack("{s:b, s:o}", "ok", rc == 0, "problems", problems_json(&problems));

		if (!result)
			return complain_memory();
		print_json(result);
	} else if (rc == 0) {
		print_summary(call->arguments[0], model);
	}
	if (rc == 0)
		return EXIT_DONE;
	if (problems.text)
		fputs(problems.text, stderr);
	else
		complain("%s: %s", call->arguments[0], strerror(-rc));
	return EXIT_REFUSED;
}

const struct command command_check = {
	.name = "check",
	.synopsis = "FILE",
	.summary = "read a configuration as headgated would, and say what is wrong",
	.help = "Uses headgated's own loader; needs neither a running daemon nor root, and changes nothing. Every\n"
		"mistake is a line FILE:LINE:COLUMN: what is wrong, and what to write instead.\n\n"
		"Example:\n  headgate check /etc/headgate/headgate.yaml",
	.arguments_min = 1,
	.arguments_max = 1,
	.run = run,
};
