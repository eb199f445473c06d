// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every mistake that a rollout's plan can hold: where it is said to be, and what is said of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "config_rollout_fixture.h"

/* Plans' first lines, each of which may be a plan as far as the mistake lets it: 3, 4, 3, 2 and 1 of them. */
#define PAIR "strategy: canary\nstable: blue\ncandidate: canary\n"
#define CANARY PAIR STEPS
#define BLUE_GREEN "strategy: blue_green\nstable: blue\ncandidate: green\n"
#define AB_TEST "strategy: ab_test\narms: {blue: 50, green: 50}\n"
#define SHADOW "strategy: shadow\n"

/* A line each. */
#define STEPS "steps: [{weight: 5}, {pause: 10m}, {weight: 100}]\n"
#define ERROR_RATE "analysis: {metrics: [{name: error-rate, source: dataplane, max: 1%}]}\n"

/* A canary that is judged by metrics, all on line 5; the first one's keys begin in column 23. */
#define METRICS(keys) CANARY "analysis: {metrics: [{" keys "}]}\n"

#define KEYS                                                                                                           \
	"strategy, stable, candidate, steps, step_weight, max_weight, watch, arms, duration, samples, "                \
	"promote_winner, progress_deadline, on_failure, analysis, hooks, notify\n"
#define A_STEP "{weight: 5}, {pause: 10m}, {pause: approval}, {analysis: 5m} or {shadow: 20, for: 10m}\n"
#define A_MEASURE                                                                                                      \
	"error-rate, failed-handshakes, resets, 5xx, handshake or first-byte, the last two also with a quantile, as "  \
	"first-byte-p99\n"
#define A_URL "a URL of fewer than 256 characters, as http://10.1.1.1:9090/path\n"
#define X16(x) x x x x x x x x x x x x x x x x
#define LONG X16(X16("xx"))

struct mistake {
	const char *name;
	const char *service; /* of the fixture */
	const char *plan;
	const char *problems;
};

static const struct mistake mistakes[] = {
	{"an empty plan", "web", "",
	 "p.yaml:1:1: the file is empty: write at least strategy: canary, with stable, candidate and steps\n"},
	{"a plan that is a list", "web", "- weight: 5\n",
	 "p.yaml:1:1: rollout of web is a list: write a map with keys out of " KEYS},
	{"a plan under a key of its own", "web", "rollout: {strategy: canary}\n",
	 "p.yaml:1:1: unknown key 'rollout' in rollout of web: known are " KEYS
	 "p.yaml:1:1: rollout of web has no strategy: write strategy: canary, blue_green, ab_test or shadow\n"},
	{"a strategy that is none", "web", "strategy: rolling\n",
	 "p.yaml:1:11: strategy of rollout of web is 'rolling': write canary, blue_green, ab_test or shadow\n"},
	{"a canary without its keys", "web", "strategy: canary\n",
	 "p.yaml:1:1: rollout of web has no stable: write stable: blue\n"
	 "p.yaml:1:1: rollout of web has no candidate: write candidate: green\n"},
	{"an ab_test without arms", "web", "strategy: ab_test\nduration: 1h\n",
	 "p.yaml:1:1: rollout of web has no arms: write arms: with variants with shares, the first is the control, as "
	 "{blue: 50, green: 50}\n"},
	{"an unknown variant", "web", "strategy: canary\nstable: blue\ncandidate: canry\n" STEPS,
	 "p.yaml:3:12: unknown variant 'canry' of web; it has blue, canary, green, empty\n"},
	{"a variant that cannot be a name", "web", "strategy: canary\nstable: Blue\ncandidate: canary\n" STEPS,
	 "p.yaml:2:9: stable of rollout of web is 'Blue': write the name of one of the service's variants\n"},
	{"a candidate that is stable", "web", "strategy: canary\nstable: blue\ncandidate: blue\n" STEPS,
	 "p.yaml:3:12: candidate of rollout of web is blue, as stable is: write the variant that is to take its "
	 "place\n"},
	{"a candidate without backends", "web", "strategy: canary\nstable: blue\ncandidate: empty\n" STEPS,
	 "p.yaml:3:12: empty of web has no backends, so that it cannot take part in a rollout: give it some, or write "
	 "another variant\n"},
	{"keys of other strategies", "web",
	 CANARY "watch: 1m\narms: {blue: 1, green: 1}\nduration: 1h\nsamples: 1\npromote_winner: true\n",
	 "p.yaml:5:1: watch of rollout of web has no meaning with strategy: canary: remove it\n"
	 "p.yaml:6:1: arms of rollout of web has no meaning with strategy: canary: remove it\n"
	 "p.yaml:7:1: duration of rollout of web has no meaning with strategy: canary: remove it\n"
	 "p.yaml:8:1: samples of rollout of web has no meaning with strategy: canary: remove it\n"
	 "p.yaml:9:1: promote_winner of rollout of web has no meaning with strategy: canary: remove it\n"},
	{"weights for blue_green", "web", BLUE_GREEN "step_weight: 10\nmax_weight: 50\n",
	 "p.yaml:4:1: step_weight of rollout of web has no meaning with strategy: blue_green: remove it\n"
	 "p.yaml:5:1: max_weight of rollout of web has no meaning with strategy: blue_green: remove it\n"},
	{"a candidate for a shadow", "web", SHADOW "steps: [{shadow: 10, for: 1m}]\ncandidate: green\n",
	 "p.yaml:3:1: candidate of rollout of web has no meaning with strategy: shadow: remove it\n"},
	{"steps and step_weight", "web", CANARY "step_weight: 10\n",
	 "p.yaml:5:1: rollout of web has steps and step_weight: write one of them\n"},
	{"neither steps nor step_weight", "web", PAIR,
	 "p.yaml:1:1: rollout of web has no steps: write steps: [{weight: 5}, {pause: 10m}, {weight: 100}], or "
	 "step_weight: 10\n"},
	{"steps that are none", "web", PAIR "steps: []\n",
	 "p.yaml:4:8: steps of rollout of web is empty: write a list, as [{weight: 5}, {pause: 10m}, {weight: 100}]\n"},
	{"steps that are a word", "web", PAIR "steps: fast\n",
	 "p.yaml:4:8: steps of rollout of web is 'fast': write a list, as [{weight: 5}, {pause: 10m}, {weight: "
	 "100}]\n"},
	{"a step that is a word", "web", PAIR "steps: [fast]\n",
	 "p.yaml:4:9: step 1 of rollout of web is no map: write a map with keys out of weight, pause, analysis, "
	 "shadow, for\n"},
	{"a step that says nothing", "web", PAIR "steps: [{}]\n",
	 "p.yaml:4:9: step 1 of rollout of web says nothing: write " A_STEP},
	{"a step that says two things", "web", PAIR "steps: [{weight: 5, pause: 1m}]\n",
	 "p.yaml:4:21: step 1 of rollout of web has weight and pause: write a step for each\n"},
	{"a time for what is no shadow", "web", PAIR "steps: [{weight: 5, for: 1m}]\n",
	 "p.yaml:4:21: for of step 1 of rollout of web belongs to a shadow: remove it\n"},
	{"a key of a step that is none", "web", PAIR "steps: [{wieght: 5}]\n",
	 "p.yaml:4:9: step 1 of rollout of web says nothing: write " A_STEP
	 "p.yaml:4:10: unknown key 'wieght' in step 1 of rollout of web: did you mean weight? Known are weight, pause, "
	 "analysis, shadow, for\n"},
	{"a weight of nothing", "web", PAIR "steps: [{weight: 0}]\n",
	 "p.yaml:4:18: weight of step 1 of rollout of web is '0': write a share from 0.01 to 100 percent, as 5 or "
	 "0.5\n"},
	{"a weight beyond all", "web", PAIR "steps: [{weight: 101}]\n",
	 "p.yaml:4:18: weight of step 1 of rollout of web is '101': write a share from 0.01 to 100 percent, as 5 or "
	 "0.5\n"},
	{"weights that do not rise", "web", PAIR "steps: [{weight: 25}, {pause: 1m}, {weight: 25}, {weight: 5}]\n",
	 "p.yaml:4:45: weight of step 3 of rollout of web is not above the 25 of the step before: write weights that "
	 "rise\n"
	 "p.yaml:4:59: weight of step 4 of rollout of web is not above the 25 of the step before: write weights that "
	 "rise\n"},
	{"all before the end", "web", PAIR "steps: [{weight: 5}, {weight: 100}, {pause: 1m}]\n",
	 "p.yaml:4:31: weight of step 2 of rollout of web is all, and there are steps behind it: write it as the last, "
	 "or leave it out, since the candidate is promoted after the last step\n"},
	{"a weight above max_weight", "web",
	 PAIR "max_weight: 20\nsteps: [{weight: 20}, {pause: 1m}, {weight: 20.5}, {weight: 100}]\n",
	 "p.yaml:5:45: weight of step 3 of rollout of web is above max_weight, 20: write at most that\n"},
	{"only all at once", "web", PAIR "steps: [{pause: 1m}, {weight: 100}]\n",
	 "p.yaml:4:1: steps of rollout of web give the candidate no part of the traffic before all of it: write a "
	 "weight below 100 first, as {weight: 5}\n"},
	{"steps that nothing holds", "web", PAIR "steps: [{weight: 5}, {weight: 50}]\n",
	 "p.yaml:4:1: steps of rollout of web would be gone through at once: write analysis: {metrics: [..]}, or "
	 "pauses between them\n"},
	{"steps that only dry metrics look at", "web",
	 PAIR "steps: [{weight: 5}, {weight: 50}]\n"
	      "analysis: {metrics: [{name: error-rate, source: dataplane, max: 1%, dry_run: true}]}\n",
	 "p.yaml:4:1: steps of rollout of web would be gone through at once: write analysis: {metrics: [..]}, or "
	 "pauses between them\n"},
	{"a pause of no time", "web", PAIR "steps: [{weight: 5}, {pause: 0s}, {pause: soon}]\n",
	 "p.yaml:4:30: pause of step 2 of rollout of web is '0s': write approval, or a time from 100ms to 720h, as "
	 "90s, 10m or 2h4m\n"
	 "p.yaml:4:43: pause of step 3 of rollout of web is 'soon': write approval, or a time from 100ms to 720h, as "
	 "90s, 10m or 2h4m\n"},
	{"an analysis without metrics", "web", PAIR "steps: [{weight: 5}, {analysis: 5m}]\n",
	 "p.yaml:4:23: analysis of step 2 of rollout of web has nothing to judge by: write analysis: {metrics: [..]} "
	 "for the rollout\n"},
	{"an analysis before there is traffic", "web", PAIR "steps: [{analysis: 5m}, {weight: 5}]\n" ERROR_RATE,
	 "p.yaml:4:10: analysis of step 1 of rollout of web comes before the candidate has traffic, and its metrics "
	 "are all counted in that: put a weight step before it, or write a metric of another source\n"},
	{"a shadow after there is traffic", "web", PAIR "steps: [{weight: 5}, {pause: 1m}, {shadow: 5, for: 1m}]\n",
	 "p.yaml:4:36: shadow of step 3 of rollout of web comes after the candidate has traffic, which it would lose: "
	 "put it before the weight steps\n"},
	{"a shadow for no time", "web", PAIR "steps: [{shadow: 5}, {weight: 5}, {pause: 1m}]\n",
	 "p.yaml:4:10: shadow of step 1 of rollout of web has no time: write {shadow: 20, for: 10m}\n"},
	{"a shadow that the service has not", "far", PAIR "steps: [{shadow: 5, for: 1m}, {weight: 5}, {pause: 1m}]\n",
	 "p.yaml:4:10: shadow of step 1 of rollout of far needs a shadow, and far has none: write shadow: {backends: "
	 "[ADDRESS:PORT], sample: 0} for the service\n"},
	{"a shadow's rollout without a shadow", "web", SHADOW "steps: [{pause: approval}]\n",
	 "p.yaml:2:1: steps of rollout of web have no shadow: write one, as {shadow: 20, for: 10m}\n"},
	{"a shadow's rollout without steps", "web", SHADOW,
	 "p.yaml:1:1: rollout of web has no steps: write steps: [{shadow: 20, for: 10m}]\n"},
	{"a shadow's rollout that waits", "web", SHADOW "steps: [{shadow: 5, for: 1m}, {pause: 1m}]\n",
	 "p.yaml:2:32: pause of step 2 of rollout of web would wait with nothing to see: write pause: approval, or "
	 "remove it\n"},
	{"a weight for a shadow and for blue_green", "web", SHADOW "steps: [{shadow: 5, for: 1m}, {weight: 5}]\n",
	 "p.yaml:2:32: weight of step 2 of rollout of web has no meaning with strategy: shadow: remove it\n"},
	{"a weight for blue_green", "web", BLUE_GREEN "steps: [{weight: 5}]\n",
	 "p.yaml:4:10: weight of step 1 of rollout of web has no meaning with strategy: blue_green: remove it\n"},
	{"too many steps", "web",
	 PAIR "steps: [{weight: 1}" X16(", {pause: 1m}, {pause: 1m}, {pause: 1m}, {pause: 1m}") "]\n",
	 "p.yaml:4:1: steps of rollout of web are 65: write at most 64\n"},
	{"steps of a size above max_weight", "web", PAIR "step_weight: 30\nmax_weight: 20\n" ERROR_RATE,
	 "p.yaml:4:14: step_weight of rollout of web is above max_weight: write less\n"},
	{"a step of all", "web", PAIR "step_weight: 100\n" ERROR_RATE,
	 "p.yaml:4:14: step_weight of rollout of web is all: write less\n"},
	{"steps of a size without metrics", "web", PAIR "step_weight: 10\n",
	 "p.yaml:4:1: step_weight of rollout of web needs metrics, since each step lasts until it is judged: write "
	 "analysis: {metrics: [..]}, or steps with pauses\n"},
	{"too small steps", "web", PAIR "step_weight: 1\n" ERROR_RATE,
	 "p.yaml:4:1: rollout of web has more than 64 steps: write fewer\n"},
	{"a watch of no time", "web", BLUE_GREEN "watch: 0s\n",
	 "p.yaml:4:8: watch of rollout of web is '0s': write a time from 100ms to 720h, as 500ms, 2s or 1m\n"},
	{"one arm", "web", "strategy: ab_test\narms: {blue: 1}\nduration: 1h\n",
	 "p.yaml:2:7: arms of rollout of web are 1: write from 2 to 8, as variants with shares, the first is the "
	 "control, as {blue: 50, green: 50}\n"},
	{"an arm twice, and one of nothing", "web",
	 "strategy: ab_test\narms: {blue: 1, blue: 1, green: 0}\nduration: 1h\n",
	 "p.yaml:2:17: arm blue is there twice: write it once\n"
	 "p.yaml:2:33: green of arms is '0': write a whole number from 1 to 1000000\n"},
	{"an arm without backends", "web", "strategy: ab_test\narms: {blue: 1, empty: 1}\nduration: 1h\n",
	 "p.yaml:2:17: empty of web has no backends, so that it cannot take part in a rollout: give it some, or write "
	 "another variant\n"},
	{"arms that leave out who has weight", "web", "strategy: ab_test\narms: {canary: 1, green: 1}\nduration: 1h\n",
	 "p.yaml:2:1: blue of web has weight 100 and is no arm: write it as one, or give it weight 0\n"},
	{"an ab_test without an end", "web", AB_TEST,
	 "p.yaml:1:1: rollout of web has no end: write duration: 24h, samples: 10000, or both for whichever comes "
	 "first\n"},
	{"an ab_test of no time", "web", AB_TEST "duration: 0s\nsamples: 0\n",
	 "p.yaml:3:11: duration of rollout of web is '0s': write a time from 100ms to 720h, as 500ms, 2s or 1m\n"
	 "p.yaml:4:10: samples of rollout of web is '0': write a whole number from 1 to 4294967295\n"},
	{"a winner by nothing", "web", AB_TEST "duration: 1h\npromote_winner: true\n",
	 "p.yaml:4:17: promote_winner of rollout of web has no metric to find one by: write analysis: {metrics: [..]}, "
	 "or promote_winner: false\n"},
	{"a winner that is no truth", "web", AB_TEST "duration: 1h\npromote_winner: yes\n",
	 "p.yaml:4:17: promote_winner of rollout of web is 'yes': write false or true\n"},
	{"a deadline that no step can meet", "web", CANARY "progress_deadline: 10m\n",
	 "p.yaml:5:20: progress_deadline of rollout of web is not longer than a step that takes 600s: write more than "
	 "that, or off\n"},
	{"a deadline within the first analysis", "web",
	 CANARY "progress_deadline: 20m\nanalysis: {interval: 15m, initial_delay: 15m, metrics: [{name: resets, "
		"source: dataplane, max: 1%}]}\n",
	 "p.yaml:5:20: progress_deadline of rollout of web is not longer than a step that takes 1800s: write more than "
	 "that, or off\n"},
	{"a deadline that is no time", "web", CANARY "progress_deadline: never\n",
	 "p.yaml:5:20: progress_deadline of rollout of web is 'never': write off, or a time from 1s to 720h, as 90s, "
	 "10m or 2h4m\n"},
	{"an unknown way out of failure", "web", CANARY "on_failure: retry\n",
	 "p.yaml:5:13: on_failure of rollout of web is 'retry': write rollback or freeze\n"},
	{"hooks with slips", "web", CANARY "hooks: [{when: during, url: ftp://x}, {timeout: 6m}, go]\n",
	 "p.yaml:5:16: when of item 1 of hooks is 'during': write before or after\n"
	 "p.yaml:5:29: url of item 1 of hooks is 'ftp://x': write " A_URL
	 "p.yaml:5:39: item 2 of hooks has no when: write when: before, or when: after\n"
	 "p.yaml:5:39: item 2 of hooks has no url: write url: \"http://10.1.1.3/gate\"\n"
	 "p.yaml:5:49: timeout of item 2 of hooks is '6m': write a time from 100ms to 5m, as 500ms, 2s or 1m\n"
	 "p.yaml:5:54: item 3 of hooks is no map: write a map with keys out of when, url, timeout\n"},
	{"too many hooks", "web",
	 CANARY "hooks: [{when: after, url: \"http://a\"}, {when: after, url: \"http://a\"}, {when: after, url: "
		"\"http://a\"}, {when: after, url: \"http://a\"}, {when: after, url: \"http://a\"}, {when: after, url: "
		"\"http://a\"}, {when: after, url: \"http://a\"}, {when: after, url: \"http://a\"}, {when: after, url: "
		"\"http://a\"}]\n",
	 "p.yaml:5:1: hooks of rollout of web has 9 items: write at most 8\n"},
	{"a hook with a name in its URL", "web", CANARY "hooks: [{when: after, url: \"http://a/{{variant}}\"}]\n",
	 "p.yaml:5:28: url of item 1 of hooks is 'http://a/{{variant}}': write " A_URL},
	{"notifications with slips", "web", CANARY "notify: [{url: \"http://\", format: xml}]\n",
	 "p.yaml:5:16: url of item 1 of notify is 'http://': write " A_URL
	 "p.yaml:5:35: format of item 1 of notify is 'xml': write json or slack\n"},
	{"an analysis without metrics of its own", "web", CANARY "analysis: {interval: 10ms}\n",
	 "p.yaml:5:1: analysis of web has no metrics: write metrics: with a list, as [{name: error-rate, source: "
	 "dataplane, compare: stable, tolerance: 1.25}]\n"
	 "p.yaml:5:22: interval of analysis of web is '10ms': write a time from 100ms to 24h, as 500ms, 2s or 1m\n"},
	{"an analysis out of range", "web",
	 CANARY "analysis: {interval: 25h, initial_delay: 1d, min_samples: 0, failure_limit: 0, alpha: 0.5, "
		"on_no_data: wait, on_provider_error: ignore, on_inconclusive: fail, metrics: []}\n",
	 "p.yaml:5:22: interval of analysis of web is '25h': write a time from 100ms to 24h, as 500ms, 2s or 1m\n"
	 "p.yaml:5:42: initial_delay of analysis of web is '1d': write a time from 0s to 24h, as 500ms, 2s or 1m\n"
	 "p.yaml:5:59: min_samples of analysis of web is '0': write a whole number from 1 to 1000000000\n"
	 "p.yaml:5:77: failure_limit of analysis of web is '0': write a whole number from 1 to 1000\n"
	 "p.yaml:5:87: alpha of analysis of web is '0.5': write a probability from 0.000001 to 0.2, as 0.01\n"
	 "p.yaml:5:104: on_no_data of analysis of web is 'wait': write hold, pause or rollback\n"
	 "p.yaml:5:129: on_provider_error of analysis of web is 'ignore': write hold, pause or rollback\n"
	 "p.yaml:5:154: on_inconclusive of analysis of web is 'fail': write hold, pause or rollback\n"},
	{"alpha with an exponent", "web", CANARY "analysis: {alpha: 1e-3, metrics: []}\n",
	 "p.yaml:5:19: alpha of analysis of web is '1e-3': write a probability from 0.000001 to 0.2, as 0.01\n"},
	{"too many metrics", "web",
	 CANARY "analysis: {metrics: ["
		"{}" X16(", {}") "]}\n",
	 "p.yaml:5:12: metrics of analysis of web are 17: write at most 16\n"},
	{"a metric without its keys", "web", METRICS(""),
	 "p.yaml:5:22: metric 1 of rollout of web has no name: write name: error-rate\n"
	 "p.yaml:5:22: metric 1 of rollout of web has no source: write source: dataplane, prometheus, webhook or "
	 "push\n"},
	{"a metric of no source", "web", METRICS("name: cpu, source: graphite, max: 1"),
	 "p.yaml:5:42: source of metric 1 of rollout of web is 'graphite': write dataplane, prometheus, webhook or "
	 "push\n"},
	{"a measure that is none", "web", METRICS("name: latency, source: dataplane, max: 1"),
	 "p.yaml:5:29: name of metric 1 of rollout of web is 'latency': write " A_MEASURE},
	{"a quantile of what is counted", "web", METRICS("name: resets-p99, source: dataplane, max: 1%"),
	 "p.yaml:5:29: name of metric 1 of rollout of web is 'resets-p99': write " A_MEASURE},
	{"a quantile of all", "web", METRICS("name: first-byte-p100, source: dataplane, max: 1s"),
	 "p.yaml:5:29: name of metric 1 of rollout of web is 'first-byte-p100': write " A_MEASURE},
	{"a quantile with a slip", "web", METRICS("name: first-byte-p95%, source: dataplane, max: 1s"),
	 "p.yaml:5:29: name of metric 1 of rollout of web is 'first-byte-p95%': write " A_MEASURE},
	{"a metric's name that cannot be", "web", METRICS("name: CPU, source: push, max: 1%"),
	 "p.yaml:5:29: name of metric 1 of rollout of web is 'CPU': write small letters, digits and dashes, at most "
	 "63, with no dash in front\n"},
	{"a metric twice", "web",
	 METRICS("name: first-byte, source: dataplane, max: 1s}, {name: first-byte-p95, source: dataplane, max: 2s"),
	 "p.yaml:5:77: first-byte-p95 of metric 2 of rollout of web is the same as metric 1: write it once, or give it "
	 "another name\n"},
	{"a name twice", "web",
	 METRICS("name: cost, source: push, kind: value, max: 1}, {name: cost, source: push, max: 1%"),
	 "p.yaml:5:78: cost of metric 2 of rollout of web is the same as metric 1: write it once, or give it another "
	 "name\n"},
	{"what a mode does not see", "far",
	 METRICS("name: error-rate, source: dataplane, max: 1%}, {name: first-byte, source: dataplane, max: 1s"),
	 "p.yaml:5:29: error-rate of metric 1 of rollout of far is counted only for tcp with forward: nat or dnat, "
	 "which see replies: judge far by a metric of another source\n"
	 "p.yaml:5:77: first-byte of metric 2 of rollout of far is counted only for tcp with forward: nat or dnat, "
	 "which see replies: judge far by a metric of another source\n"},
	{"a metric without a judgement", "web", METRICS("name: error-rate, source: dataplane"),
	 "p.yaml:5:22: metric 1 of rollout of web has neither min, max nor compare: write one, as compare: stable with "
	 "a tolerance\n"},
	{"keys of other sources", "web",
	 METRICS("name: error-rate, source: dataplane, max: 1%, url: x, query: x, timeout: 1s, kind: counts, range: "
		 "[0, 1], worse: lower"),
	 "p.yaml:5:69: url of metric 1 of rollout of web has no meaning with source: dataplane: remove it\n"
	 "p.yaml:5:77: query of metric 1 of rollout of web has no meaning with source: dataplane: remove it\n"
	 "p.yaml:5:87: timeout of metric 1 of rollout of web has no meaning with source: dataplane: remove it\n"
	 "p.yaml:5:100: kind of metric 1 of rollout of web has no meaning with source: dataplane: remove it\n"
	 "p.yaml:5:114: range of metric 1 of rollout of web has no meaning with source: dataplane: remove it\n"
	 "p.yaml:5:129: worse of metric 1 of rollout of web has no meaning with source: dataplane: remove it\n"},
	{"kind and query of what has them not", "web",
	 METRICS("name: x, source: prometheus, url: \"http://a\", query: x, kind: counts, max: 1}, {name: y, source: "
		 "push, query: x, max: 1%"),
	 "p.yaml:5:79: kind of metric 1 of rollout of web has no meaning with source: prometheus: remove it\n"
	 "p.yaml:5:126: query of metric 2 of rollout of web has no meaning with source: push: remove it\n"},
	{"compare with another", "web", METRICS("name: error-rate, source: dataplane, compare: blue, tolerance: 1.25"),
	 "p.yaml:5:69: compare of metric 1 of rollout of web is 'blue': write stable\n"},
	{"compare without a tolerance", "web",
	 METRICS("name: error-rate, source: dataplane, compare: stable}, {name: first-byte, source: dataplane, "
		 "compare: stable"),
	 "p.yaml:5:60: metric 1 of rollout of web compares without a tolerance: write tolerance: 1.25 (times stable's "
	 "odds)\n"
	 "p.yaml:5:116: metric 2 of rollout of web compares without a tolerance: write tolerance: 0.10 (of what stable "
	 "has)\n"},
	{"a tolerance out of range", "web",
	 METRICS("name: error-rate, source: dataplane, compare: stable, tolerance: 0.1}, {name: first-byte, source: "
		 "dataplane, compare: stable, tolerance: 11}, {name: score, source: push, range: [0, 1], worse: lower, "
		 "compare: stable, tolerance: 1"),
	 "p.yaml:5:88: tolerance of metric 1 of rollout of web is '0.1': write how many times stable's odds are "
	 "tolerated, from 1 to 100, as 1.25\n"
	 "p.yaml:5:160: tolerance of metric 2 of rollout of web is '11': write how much worse than stable, as a part "
	 "of what that has, is tolerated, from 0 to 10, as 0.10\n"
	 "p.yaml:5:250: tolerance of metric 3 of rollout of web is '1': write how much lower than stable, as a part of "
	 "what that has, is tolerated, from 0 to 0.99, as 0.10\n"},
	{"a tolerance without compare", "web",
	 METRICS("name: score, source: push, range: [0, 1], min: 0.5, worse: lower, tolerance: 1"),
	 "p.yaml:5:75: worse of metric 1 of rollout of web has no meaning without compare: remove it, or write "
	 "compare: stable\n"
	 "p.yaml:5:89: tolerance of metric 1 of rollout of web has no meaning without compare: remove it, or write "
	 "compare: stable\n"},
	{"bursts out of range", "web",
	 METRICS("name: 5xx, source: dataplane, max: 1%, burst: 0}, {name: errors, source: push, max: 1%, burst: 2.5"),
	 "p.yaml:5:69: burst of metric 1 of rollout of web is '0': write a whole number from 1 to 1000\n"
	 "p.yaml:5:118: burst of metric 2 of rollout of web is '2.5': write a whole number from 1 to 1000\n"},
	{"bursts of what is not counted", "web",
	 METRICS("name: first-byte, source: dataplane, max: 1s, burst: 2}, {name: score, source: push, range: [0, 1], "
		 "min: 0.5, burst: 2}, {name: cost, source: push, kind: value, max: 1, burst: 2"),
	 "p.yaml:5:69: burst of metric 1 of rollout of web has no meaning with times, only with counts: remove it\n"
	 "p.yaml:5:133: burst of metric 2 of rollout of web has no meaning with scores, only with counts: remove it\n"
	 "p.yaml:5:192: burst of metric 3 of rollout of web has no meaning with a value, only with counts: remove "
	 "it\n"},
	{"a floor and no word on which way is worse", "web",
	 METRICS("name: success, source: push, min: 90%, compare: stable, tolerance: 1.25"),
	 "p.yaml:5:62: metric 1 of rollout of web has min and compare: write also which way is worse, worse: lower or "
	 "worse: higher\n"},
	{"shares that are none", "web",
	 METRICS("name: error-rate, source: dataplane, max: 1}, {name: resets, source: dataplane, min: 0, max: 100%"),
	 "p.yaml:5:65: max of metric 1 of rollout of web is '1': write a share above 0 and below 1, as 1% or 0.01\n"
	 "p.yaml:5:108: min of metric 2 of rollout of web is '0': write a share above 0 and below 1, as 1% or 0.01\n"
	 "p.yaml:5:116: max of metric 2 of rollout of web is '100%': write a share above 0 and below 1, as 1% or "
	 "0.01\n"},
	{"a time that is none", "web",
	 METRICS("name: first-byte, source: dataplane, max: 0}, {name: handshake, source: dataplane, max: 2h"),
	 "p.yaml:5:65: max of metric 1 of rollout of web is '0': write a time up to 1h, as 200ms or, in seconds, 0.2\n"
	 "p.yaml:5:111: max of metric 2 of rollout of web is '2h': write a time up to 1h, as 200ms or, in seconds, "
	 "0.2\n"},
	{"a value that is none", "web", METRICS("name: cost, source: push, kind: value, max: 1e9"),
	 "p.yaml:5:67: max of metric 1 of rollout of web is '1e9': write a number, as 2.0\n"},
	{"bounds in the wrong order", "web", METRICS("name: cost, source: push, kind: value, min: 2, max: 1.5"),
	 "p.yaml:5:75: max of metric 1 of rollout of web is not above its min: write more\n"},
	{"scores without a range", "web", METRICS("name: score, source: push, kind: scores, min: 0.5"),
	 "p.yaml:5:56: metric 1 of rollout of web has scores without a range, which bounds what one can weigh: write "
	 "range: [0, 1]\n"},
	{"a range for what has none", "web", METRICS("name: score, source: push, kind: value, range: [0, 1], min: 0.5"),
	 "p.yaml:5:63: range of metric 1 of rollout of web has no meaning with kind: value: remove one of them\n"},
	{"ranges that are none", "web",
	 METRICS("name: a, source: push, range: [1, 0], min: 0.5}, {name: b, source: push, range: [1], min: 0.5}, "
		 "{name: c, source: push, range: [0, many], min: 0.5"),
	 "p.yaml:5:53: range of metric 1 of rollout of web has its ends in the wrong order: write the lowest and the "
	 "highest value there can be, as [0, 1]\n"
	 "p.yaml:5:103: range of metric 2 of rollout of web has 1 values: write the lowest and the highest value there "
	 "can be, as [0, 1]\n"
	 "p.yaml:5:154: the highest value of metric 3 of rollout of web is 'many': write a number, as 2.0\n"},
	{"a bound out of range", "web", METRICS("name: score, source: push, range: [0, 1], min: -0.5"),
	 "p.yaml:5:70: min of metric 1 of rollout of web is not within its range: write what is\n"},
	{"a prometheus that is not asked", "web", METRICS("name: ttft, source: prometheus, max: 2"),
	 "p.yaml:5:22: metric 1 of rollout of web has no url: write url: \"http://10.1.1.1:9090\", that of the "
	 "Prometheus server\n"
	 "p.yaml:5:22: metric 1 of rollout of web has no query: write query: 'requests{version=\"{{variant}}\"}'\n"},
	{"a query that compares nothing", "web",
	 METRICS("name: ttft, source: prometheus, url: \"http://a\", query: ttft, compare: stable, tolerance: 0.1"),
	 "p.yaml:5:85: metric 1 of rollout of web compares two variants and asks for neither: write {{variant}} into "
	 "its query\n"},
	{"a webhook that compares nothing", "web",
	 METRICS("name: gpu, source: webhook, url: \"http://a\", compare: stable, tolerance: 0.1"),
	 "p.yaml:5:68: metric 1 of rollout of web compares two variants and asks for neither: write {{variant}} into "
	 "its url\n"},
	{"an unknown name in braces", "web",
	 METRICS("name: ttft, source: prometheus, url: \"http://a/{{versoin}}\", query: \"x{{version}}\", max: 1"),
	 "p.yaml:5:60: url of metric 1 of rollout of web has an unknown name in braces: write {{variant}} or "
	 "{{service}}\n"
	 "p.yaml:5:91: query of metric 1 of rollout of web has an unknown name in braces: write {{variant}} or "
	 "{{service}}\n"},
	{"a query of two lines", "web",
	 METRICS("name: ttft, source: prometheus, url: \"http://a\", query: \"x\\ny\", max: 1"),
	 "p.yaml:5:79: query of metric 1 of rollout of web is 'x?y': write a query of fewer than 512 characters, on "
	 "one line\n"},
	{"a query that is too long", "web",
	 METRICS("name: ttft, source: prometheus, url: \"http://a\", query: " LONG ", max: 1"),
	 "p.yaml:5:79: query of metric 1 of rollout of web is 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...': write "
	 "a query of fewer than 512 characters, on one line\n"},
	{"URLs that are none", "web",
	 METRICS("name: a, source: webhook, url: \"http:///x\", max: 1}, {name: b, source: webhook, url: \"http://a "
		 "b\", max: 1}, {name: c, source: webhook, url: \"https://" X16("xxxxxxxxxxxxxxx") "xxxxxxxx"
												   "\", max: 1"),
	 "p.yaml:5:54: url of metric 1 of rollout of web is 'http:///x': write " A_URL
	 "p.yaml:5:108: url of metric 2 of rollout of web is 'http://a b': write " A_URL
	 "p.yaml:5:163: url of metric 3 of rollout of web is 'https://xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...': "
	 "write " A_URL},
	{"a timeout longer than the interval", "web",
	 METRICS("name: a, source: webhook, url: \"http://a\", max: 1, timeout: 31s"),
	 "p.yaml:5:83: timeout of metric 1 of rollout of web is longer than the analysis' interval (30000ms): write at "
	 "most as much\n"},
	{"a truth that is none", "web", METRICS("name: resets, source: dataplane, max: 1%, dry_run: 1"),
	 "p.yaml:5:74: dry_run of metric 1 of rollout of web is '1': write false or true\n"},
	{"what a shadow is not judged by", "web",
	 SHADOW "steps: [{shadow: 5, for: 1m}]\nanalysis: {metrics: [{name: resets, source: dataplane, max: 1%}, "
		"{name: a, source: push, max: 1%}]}\n",
	 "p.yaml:3:29: resets of metric 1 of rollout of web is not counted of shadows: write error-rate, 5xx or "
	 "first-byte\n"
	 "p.yaml:3:84: source of metric 2 of rollout of web is push, which knows nothing of shadows: write "
	 "dataplane\n"},
	{"what an ab_test is not judged by", "web",
	 AB_TEST "duration: 1h\nanalysis: {metrics: [{name: resets, source: dataplane, max: 1%, compare: stable}, "
		 "{name: a, source: webhook, url: \"http://a\"}, {name: b, source: push, kind: value}]}\n",
	 "p.yaml:4:56: max of metric 1 of rollout of web has no meaning with strategy: ab_test, which compares every "
	 "arm with the first: remove it\n"
	 "p.yaml:4:65: compare of metric 1 of rollout of web has no meaning with strategy: ab_test, which compares "
	 "every arm with the first: remove it\n"
	 "p.yaml:4:101: source of metric 2 of rollout of web is webhook, of whose values no bounds are known: write "
	 "dataplane or push for an ab_test\n"
	 "p.yaml:4:158: kind of metric 3 of rollout of web is value, of which no bounds are known: write counts or "
	 "scores for an ab_test\n"},
};

static void test_mistake(void **state)
{
	const struct mistake *mistake = *state;
	struct problems problems = {};
	struct rollout_plan *plan = NULL;

	assert_int_equal(load_plan(mistake->service, mistake->plan, &problems, &plan), -EINVAL);
	assert_null(plan);
	assert_string_equal(problems.text, mistake->problems);
	problems_clear(&problems);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(mistakes)] = {};

	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		tests[i].name = mistakes[i].name;
		tests[i].test_func = test_mistake;
		tests[i].initial_state = (void *)&mistakes[i];
	}
	return cmocka_run_group_tests_name("mistakes in a plan of a rollout", tests, NULL, NULL);
}
