// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether a rollout waits for somebody, or for something that does not come. */
#include <string.h>

#include "client.h"
#include "doctor.h"
#include "rollout_view.h"

/* The first metric whose verdict is the analysis' own; NULL: none. */
static const json_t *deciding_metric(const json_t *analysis)
{
	const json_t *metric;
	size_t i;

	json_array_foreach(json_object_get(analysis, "metrics"), i, metric)
	{
		if (!strcmp(member_text(metric, "verdict"), member_text(analysis, "last")) &&
		    !json_is_true(json_object_get(metric, "dry_run")))
			return metric;
	}
	return NULL;
}

static void check_analysis(struct doctor *d, const char *service, const json_t *rollout)
{
	const json_t *analysis = json_object_get(rollout, "analysis"), *metric = deciding_metric(analysis);
	const char *last = member_text(analysis, "last");

	if (strcmp(last, "error") && strcmp(last, "no_data") && strcmp(last, "void"))
		return;
	doctor_find(d, FINDING_WARN, "rollout", "%s: the analyses of rollout %llu come to nothing (%s)%s%s%s%s",
		    service, member_count(rollout, "id"), last, metric ? ": " : "",
		    metric ? member_text(metric, "name") : "", metric ? ": " : "",
		    metric ? member_text(metric, "why") : "");
	doctor_mend(d, "headgate rollout status %s", service);
}

static void check_rollout(struct doctor *d, const json_t *report)
{
	const json_t *rollout = json_object_get(report, "rollout");
	const char *service = member_text(report, "service"), *state = member_text(rollout, "state");
	bool waits = !strcmp(state, "WaitingApproval") || !strcmp(state, "Paused") || rollout_view_is_frozen(rollout);
	_cleanup_free_ char *summary = NULL, *advice = NULL;
	size_t length;
	FILE *out;

	if (!json_is_object(rollout) || (rollout_view_is_over(rollout) && !waits))
		return;
	out = open_memstream(&summary, &length);
	if (!out)
		return;
	rollout_view_summary(out, rollout);
	fclose(out);
	out = open_memstream(&advice, &length);
	if (!out)
		return;
	rollout_view_advice(out, report);
	fclose(out);
	doctor_find(d, waits ? FINDING_WARN : FINDING_OK, "rollout", "%s: rollout %llu%s: %s", service,
		    member_count(rollout, "id"), waits ? " waits for a person" : "", summary);
	if (waits)
		doctor_mend(d, "%s", advice);
	if (!rollout_view_is_over(rollout))
		check_analysis(d, service, rollout);
}

void doctor_check_rollouts(struct doctor *d, const char *socket)
{
	json_auto_t *body = NULL;
	const json_t *report;
	struct refusal why;
	long status;
	size_t i;

	if (client_call(socket, "GET", "/v1/rollouts", NULL, &why, &status, &body) < 0 || status != 200)
		return;
	json_array_foreach(json_object_get(body, "rollouts"), i, report) check_rollout(d, report);
}
