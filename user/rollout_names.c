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
