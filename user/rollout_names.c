// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The words for a rollout's enums, as they stand in the configuration, the API, the journal and the metrics. */
#include "rollout.h"

const char *name_of_rollout_state(enum rollout_state state)
{
	static const char *const names[ROLLOUT_STATES] = {
		[ROLLOUT_INITIALIZED] = "Initialized",
		[ROLLOUT_PROGRESSING] = "Progressing",
		[ROLLOUT_PAUSED] = "Paused",
		[ROLLOUT_WAITING_APPROVAL] = "WaitingApproval",
		[ROLLOUT_PROMOTING] = "Promoting",
		[ROLLOUT_SUCCEEDED] = "Succeeded",
		[ROLLOUT_ROLLING_BACK] = "RollingBack",
		[ROLLOUT_FAILED] = "Failed",
		[ROLLOUT_ABORTED] = "Aborted",
	};

	return names[state];
}

const char *name_of_strategy(enum strategy strategy)
{
	static const char *const names[] = {
		[STRATEGY_CANARY] = "canary",
		[STRATEGY_BLUE_GREEN] = "blue_green",
		[STRATEGY_AB_TEST] = "ab_test",
		[STRATEGY_SHADOW] = "shadow",
	};

	return names[strategy];
}

const char *name_of_step(enum step_kind kind)
{
	static const char *const names[STEP_KINDS] = {
		[STEP_WEIGHT] = "weight", [STEP_PAUSE] = "pause",       [STEP_APPROVAL] = "approval",
		[STEP_SHADOW] = "shadow", [STEP_ANALYSIS] = "analysis", [STEP_HEALTHY] = "healthy",
		[STEP_SWITCH] = "switch", [STEP_WATCH] = "watch",       [STEP_ARMS] = "arms",
	};

	return names[kind];
}

const char *name_of_judged(enum judged judged)
{
	static const char *const names[] = {
		[JUDGED_NOTHING] = "none",    [JUDGED_PASS] = "pass",
		[JUDGED_FAIL] = "fail",       [JUDGED_INCONCLUSIVE] = "inconclusive",
		[JUDGED_NO_DATA] = "no_data", [JUDGED_ERROR] = "error",
		[JUDGED_VOID] = "void",
	};

	return names[judged];
}

const char *name_of_step_phase(enum step_phase phase)
{
	static const char *const names[] = {
		[PHASE_BEFORE] = "before",
		[PHASE_RUNNING] = "running",
		[PHASE_AFTER] = "after",
	};

	return names[phase];
}

const char *name_of_metric_source(enum metric_source source)
{
	static const char *const names[] = {
		[SOURCE_DATAPLANE] = "dataplane",
		[SOURCE_PROMETHEUS] = "prometheus",
		[SOURCE_WEBHOOK] = "webhook",
		[SOURCE_PUSH] = "push",
	};

	return names[source];
}

const char *name_of_metric_kind(enum metric_kind kind)
{
	static const char *const names[] = {
		[METRIC_COUNTS] = "counts",
		[METRIC_TIMES] = "times",
		[METRIC_SCORES] = "scores",
		[METRIC_VALUE] = "value",
	};

	return names[kind];
}

const char *name_of_measure(enum measure measure)
{
	static const char *const names[MEASURES] = {
		[MEASURE_ERROR_RATE] = "error-rate", [MEASURE_FAILED_HANDSHAKES] = "failed-handshakes",
		[MEASURE_RESETS] = "resets",         [MEASURE_5XX] = "5xx",
		[MEASURE_HANDSHAKE] = "handshake",   [MEASURE_FIRST_BYTE] = "first-byte",
	};

	return names[measure];
}

const char *name_of_policy(enum policy policy)
{
	static const char *const names[] = {
		[POLICY_HOLD] = "hold",
		[POLICY_PAUSE] = "pause",
		[POLICY_ROLLBACK] = "rollback",
	};

	return names[policy];
}

const char *name_of_failure_policy(enum failure_policy policy)
{
	return policy == FAILURE_FREEZE ? "freeze" : "rollback";
}
