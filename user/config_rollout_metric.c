// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A metric of a rollout's analysis: what is measured, where, and what is too much of it. */
#include <errno.h>
#include <string.h>

#include "config_plan.h"
#include "measure.h"
#include "rollout.h"
#include "text.h"

#define MEASURES_HINT                                                                                                  \
	"error-rate, failed-handshakes, resets, 5xx, handshake or first-byte, the last two also with a quantile, as "  \
	"first-byte-p99"
#define NAME_HINT "small letters, digits and dashes, at most 63, with no dash in front"
#define QUERY_HINT "a query of fewer than 512 characters, on one line"
#define SHARE_HINT "a share above 0 and below 1, as 1% or 0.01"
#define TIME_HINT "a time up to 1h, as 200ms or, in seconds, 0.2"
#define NUMBER_HINT "a number, as 2.0"
#define RANGE_HINT "the lowest and the highest value there can be, as [0, 1]"
#define ODDS_HINT "how many times stable's odds are tolerated, from 1 to 100, as 1.25"
#define WORSE_HINT "how much worse than stable, as a part of what that has, is tolerated, from 0 to 10, as 0.10"
#define LOWER_HINT "how much lower than stable, as a part of what that has, is tolerated, from 0 to 0.99, as 0.10"
#define VALUE_MAX 1e15
#define TIME_MAX_S 3600
#define BURST_MAX 1000
#define TIMEOUT_MIN_MS 100U
#define TIMEOUT_MAX_MS 60000U
#define DEFAULT_TIMEOUT_MS 2000U

enum { NAME, SOURCE, KIND, COMPARE, TOLERANCE, MIN, MAX, RANGE, WORSE, BURST, URL, QUERY, TIMEOUT, DRY_RUN, KEYS };

static const char *const sources[] = {
	[SOURCE_DATAPLANE] = "dataplane",
	[SOURCE_PROMETHEUS] = "prometheus",
	[SOURCE_WEBHOOK] = "webhook",
	[SOURCE_PUSH] = "push",
};

static const struct {
	const char *name;
	enum metric_kind kind;
	bool of_shadow; /* both of a shadow and of production */
} measures[MEASURES] = {
	[MEASURE_ERROR_RATE] = {"error-rate", METRIC_COUNTS, true},
	[MEASURE_FAILED_HANDSHAKES] = {"failed-handshakes", METRIC_COUNTS, false},
	[MEASURE_RESETS] = {"resets", METRIC_COUNTS, false},
	[MEASURE_5XX] = {"5xx", METRIC_COUNTS, true},
	[MEASURE_HANDSHAKE] = {"handshake", METRIC_TIMES, false},
	[MEASURE_FIRST_BYTE] = {"first-byte", METRIC_TIMES, true},
};

/* --- what is measured --- */

/* "", or "-p95" and "-p99.9". */
static int parse_quantile(const char *text, double *ret)
{
	uint32_t hundredths;

	if (!*text) {
		*ret = 0.95;
		return 0;
	}
	if (strncmp(text, "-p", 2) || strchr(text, '%') || text_percent(text + 2, &hundredths) || !hundredths ||
	    hundredths == 10000)
		return -EINVAL;
	*ret = hundredths / 10000.0;
	return 0;
}

static int parse_measure(const char *text, struct metric_plan *m)
{
	for (size_t i = 0; i < MEASURES; i++) {
		size_t length = strlen(measures[i].name);
		bool times = measures[i].kind == METRIC_TIMES;

		if (strncmp(text, measures[i].name, length) ||
		    (times ? parse_quantile(text + length, &m->quantile) : !!text[length]))
			continue;
		m->measure = i;
		m->kind = measures[i].kind;
		return 0;
	}
	return -EINVAL;
}

/* Whether the service's mode and protocol let the data path see what is asked for. */
static void check_available(struct plan_builder *p, const struct field *name, const struct metric_plan *m)
{
	const struct service_model *s = p->service;
	struct available has = available_for(s->forward, s->protocol);
	bool requests = m->measure == MEASURE_5XX || m->measure == MEASURE_FIRST_BYTE;

	if (p->forward_known && !(requests ? has.requests : has.connections))
		reader_problem(p->reader, name->node->start_mark,
			       "%s of %s is counted only for tcp with forward: nat or dnat, which see replies: judge "
			       "%s by a metric of another source",
			       m->name, name->of, s->name);
	else if (p->plan->strategy == STRATEGY_SHADOW && !measures[m->measure].of_shadow)
		reader_problem(p->reader, name->node->start_mark,
			       "%s of %s is not counted of shadows: write error-rate, 5xx or first-byte", m->name,
			       name->of);
}

static bool is_same(const struct metric_plan *a, const struct metric_plan *b)
{
	if (!strcmp(a->name, b->name))
		return true;
	return a->source == SOURCE_DATAPLANE && b->source == SOURCE_DATAPLANE && a->measure == b->measure &&
	       a->quantile == b->quantile;
}

static void check_repetition(struct plan_builder *p, const struct field *name, const struct metric_plan *m)
{
	for (const struct metric_plan *other = p->plan->analysis.metrics; other < m; other++) {
		if (!is_same(other, m))
			continue;
		reader_problem(p->reader, name->node->start_mark,
			       "%s of %s is the same as metric %zu: write it once, or give it another name", m->name,
			       name->of, other - p->plan->analysis.metrics + 1);
		return;
	}
}

/* The metric's name and source, and of the data path's its measure. */
static int read_identity(struct plan_builder *p, const struct field fields[KEYS], struct metric_plan *m)
{
	const struct field *name = &fields[NAME];
	int source, err = reader_choice(p->reader, &fields[SOURCE], sources, ARRAY_SIZE(sources), &source);
	const char *text;

	if (!err)
		err = reader_text(p->reader, name, NAME_HINT, &text);
	if (err)
		return err;
	m->source = source;
	if (m->source == SOURCE_DATAPLANE ? parse_measure(text, m) : text_is_name(text) ? 0 : -EINVAL) {
		reader_refuse(p->reader, name, m->source == SOURCE_DATAPLANE ? MEASURES_HINT : NAME_HINT);
		return -EINVAL;
	}
	strcpy(m->name, text);
	check_repetition(p, name, m);
	if (m->source == SOURCE_DATAPLANE)
		check_available(p, name, m);
	return 0;
}

/* --- how it is judged --- */

static void read_kind(struct plan_builder *p, const struct field fields[KEYS], struct metric_plan *m)
{
	static const char *const kinds[] = {"counts", "scores", "value"};
	static const enum metric_kind kind_of[] = {METRIC_COUNTS, METRIC_SCORES, METRIC_VALUE};
	const struct field *range = &fields[RANGE];
	int choice;

	if (m->source != SOURCE_DATAPLANE)
		m->kind = range->node ? METRIC_SCORES : m->source == SOURCE_PUSH ? METRIC_COUNTS : METRIC_VALUE;
	if (fields[KIND].node && !reader_choice(p->reader, &fields[KIND], kinds, ARRAY_SIZE(kinds), &choice))
		m->kind = kind_of[choice];
	if (m->kind == METRIC_SCORES && !range->node)
		reader_problem(p->reader, fields[KIND].node->start_mark,
			       "%s has scores without a range, which bounds what one can weigh: write range: [0, 1]",
			       range->of);
	else if (m->kind != METRIC_SCORES && range->node)
		reader_problem(p->reader, range->at, "range of %s has no meaning with kind: %s: remove one of them",
			       range->of, m->kind == METRIC_COUNTS ? "counts" : "value");
}

static void read_range(struct plan_builder *p, const struct field *f, struct metric_plan *m)
{
	const yaml_node_item_t *items;
	double end[2];
	size_t count;

	if (reader_list(p->reader, f, RANGE_HINT, &items, &count))
		return;
	if (count != 2) {
		reader_problem(p->reader, f->node->start_mark, "%s of %s has %zu values: write %s", f->key, f->of,
			       count, RANGE_HINT);
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		struct field item =
			reader_item(p->reader, items[i], i ? "the highest value" : "the lowest value", f->of);

		if (reader_decimal(p->reader, &item, -VALUE_MAX, VALUE_MAX, NUMBER_HINT, &end[i]))
			return;
	}
	m->range_low = end[0];
	m->range_high = end[1];
	if (end[0] >= end[1])
		reader_problem(p->reader, f->node->start_mark, "%s of %s has its ends in the wrong order: write %s",
			       f->key, f->of, RANGE_HINT);
}

static void read_burst(struct plan_builder *p, const struct field *f, struct metric_plan *m)
{
	static const char *const others[] = {
		[METRIC_TIMES] = "times", [METRIC_SCORES] = "scores", [METRIC_VALUE] = "a value"};

	if (m->kind == METRIC_COUNTS)
		reader_number(p->reader, f, 1, BURST_MAX, &m->burst);
	else if (f->node)
		reader_problem(p->reader, f->at, "burst of %s has no meaning with %s, only with counts: remove it",
			       f->of, others[m->kind]);
}

/* "1%" or "0.01"; neither none nor all, which nothing can be tested against. */
static int parse_share(const char *text, double *ret)
{
	char digits[32];
	size_t length = strlen(text);
	bool percent = length && text[length - 1] == '%';
	double number;

	length -= percent;
	if (length >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, length);
	digits[length] = '\0';
	if (text_decimal(digits, &number))
		return -EINVAL;
	if (percent)
		number /= 100;
	if (number <= 0 || number >= 1)
		return -EINVAL;
	*ret = number;
	return 0;
}

static int parse_seconds(const char *text, double *ret)
{
	double seconds;
	uint64_t ms;

	if (!text_time(text, TIME_MAX_S * 1000, &ms))
		seconds = ms / 1000.0;
	else if (text_decimal(text, &seconds))
		return -EINVAL;
	if (seconds <= 0 || seconds > TIME_MAX_S)
		return -EINVAL;
	*ret = seconds;
	return 0;
}

static int read_bound(struct plan_builder *p, const struct field *f, const struct metric_plan *m, double *ret)
{
	bool counts = m->kind == METRIC_COUNTS;
	const char *hint = counts ? SHARE_HINT : TIME_HINT, *text;
	double bound;
	int err;

	if (m->kind == METRIC_VALUE || m->kind == METRIC_SCORES) {
		err = reader_decimal(p->reader, f, -VALUE_MAX, VALUE_MAX, NUMBER_HINT, &bound);
	} else {
		err = reader_text(p->reader, f, hint, &text);
		if (!err && (counts ? parse_share(text, &bound) : parse_seconds(text, &bound))) {
			reader_refuse(p->reader, f, hint);
			err = -EINVAL;
		}
	}
	if (err)
		return err;
	if (m->kind == METRIC_SCORES && m->range_low < m->range_high &&
	    (bound <= m->range_low || bound >= m->range_high))
		reader_problem(p->reader, f->node->start_mark, "%s of %s is not within its range: write what is",
			       f->key, f->of);
	*ret = bound;
	return 0;
}

static void read_tolerance(struct plan_builder *p, const struct field *f, struct metric_plan *m)
{
	if (m->kind == METRIC_COUNTS)
		reader_decimal(p->reader, f, 1, 100, ODDS_HINT, &m->tolerance);
	else if (m->lower_is_worse)
		reader_decimal(p->reader, f, 0, 0.99, LOWER_HINT, &m->tolerance);
	else
		reader_decimal(p->reader, f, 0, 10, WORSE_HINT, &m->tolerance);
}

static void read_compare(struct plan_builder *p, const struct field fields[KEYS], struct metric_plan *m)
{
	static const char *const whom[] = {"stable"};
	const struct field *compare = &fields[COMPARE], *tolerance = &fields[TOLERANCE];
	int choice;

	m->compare = compare->node;
	if (!compare->node) {
		for (size_t i = TOLERANCE; i <= WORSE; i += WORSE - TOLERANCE)
			if (fields[i].node)
				reader_problem(p->reader, fields[i].at,
					       "%s of %s has no meaning without compare: remove it, or write compare: "
					       "stable",
					       fields[i].key, fields[i].of);
		return;
	}
	reader_choice(p->reader, compare, whom, ARRAY_SIZE(whom), &choice);
	if (!tolerance->node)
		reader_problem(p->reader, compare->at, "%s compares without a tolerance: write tolerance: %s",
			       compare->of,
			       m->kind == METRIC_COUNTS ? "1.25 (times stable's odds)" : "0.10 (of what stable has)");
	read_tolerance(p, tolerance, m);
	/* Who sets a floor would hardly have more called worse; but it is not for us to guess. */
	if (m->has_min && !fields[WORSE].node && m->source != SOURCE_DATAPLANE)
		reader_problem(p->reader, compare->at,
			       "%s has min and compare: write also which way is worse, worse: lower or worse: higher",
			       compare->of);
}

/* min, max and compare; an A/B test has none, as it only tells the arms apart. */
static void read_judgement(struct plan_builder *p, const struct field *f, const struct field fields[KEYS],
			   struct metric_plan *m)
{
	static const char *const worse[] = {"higher", "lower"};
	int choice = 0;

	reader_choice(p->reader, &fields[WORSE], worse, ARRAY_SIZE(worse), &choice);
	m->lower_is_worse = choice;
	if (p->plan->strategy == STRATEGY_AB_TEST) {
		m->compare = true;
		m->tolerance = m->kind == METRIC_COUNTS ? 1 : 0;
		return;
	}
	m->has_min = !read_bound(p, &fields[MIN], m, &m->min);
	m->has_max = !read_bound(p, &fields[MAX], m, &m->max);
	if (m->has_min && m->has_max && m->min >= m->max)
		reader_problem(p->reader, fields[MAX].node->start_mark, "max of %s is not above its min: write more",
			       fields[MAX].of);
	if (!fields[MIN].node && !fields[MAX].node && !fields[COMPARE].node)
		reader_problem(p->reader, f->at,
			       "%s has neither min, max nor compare: write one, as compare: stable with a tolerance",
			       fields[NAME].of);
	read_compare(p, fields, m);
}

/* --- whom it is asked of --- */

/* @text: with "{{variant}}" and "{{service}}" in it, and no other braces of two. */
static bool has_known_names(const char *text)
{
	for (const char *at = strstr(text, "{{"); at; at = strstr(at + 2, "{{"))
		if (strncmp(at, "{{variant}}", 11) && strncmp(at, "{{service}}", 11))
			return false;
	return true;
}

static void check_names(struct plan_builder *p, const struct field *f)
{
	if (f->node && f->node->type == YAML_SCALAR_NODE && !has_known_names((const char *)f->node->data.scalar.value))
		reader_problem(p->reader, f->node->start_mark,
			       "%s of %s has an unknown name in braces: write {{variant}} or {{service}}", f->key,
			       f->of);
}

static void read_query(struct plan_builder *p, const struct field *f, char ret[PLAN_QUERY_SIZE])
{
	const char *text;

	if (reader_text(p->reader, f, QUERY_HINT, &text))
		return;
	for (const char *c = text; *c; c++) {
		if ((unsigned char)*c >= ' ' && *c != 127)
			continue;
		reader_refuse(p->reader, f, QUERY_HINT);
		return;
	}
	if (strlen(text) >= PLAN_QUERY_SIZE)
		reader_refuse(p->reader, f, QUERY_HINT);
	else
		strcpy(ret, text);
}

static void read_provider(struct plan_builder *p, const struct field *f, const struct field fields[KEYS],
			  struct metric_plan *m)
{
	uint32_t interval_ms = p->plan->analysis.interval_ms;
	bool prometheus = m->source == SOURCE_PROMETHEUS;

	if (!fields[URL].node)
		reader_problem(p->reader, f->at, "%s has no url: write url: %s", fields[URL].of,
			       prometheus ? "\"http://10.1.1.1:9090\", that of the Prometheus server"
					  : "\"http://10.1.1.2/check?variant={{variant}}\"");
	if (prometheus && !fields[QUERY].node)
		reader_problem(p->reader, f->at, "%s has no query: write query: 'requests{version=\"{{variant}}\"}'",
			       fields[QUERY].of);
	plan_read_url(p, &fields[URL], true, m->url);
	check_names(p, &fields[URL]);
	if (prometheus) {
		read_query(p, &fields[QUERY], m->query);
		check_names(p, &fields[QUERY]);
	}
	if (fields[COMPARE].node && m->url[0] && (!prometheus || m->query[0]) && !strstr(m->url, "{{variant}}") &&
	    !strstr(m->query, "{{variant}}"))
		reader_problem(p->reader, fields[COMPARE].at,
			       "%s compares two variants and asks for neither: write {{variant}} into its %s",
			       fields[COMPARE].of, prometheus ? "query" : "url");
	/* A timeout that is not written gives way to a short interval; one that is written must fit it. */
	m->timeout_ms = interval_ms < DEFAULT_TIMEOUT_MS ? interval_ms : DEFAULT_TIMEOUT_MS;
	if (!plan_read_time(p, &fields[TIMEOUT], TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, &m->timeout_ms) &&
	    m->timeout_ms > interval_ms)
		reader_problem(p->reader, fields[TIMEOUT].node->start_mark,
			       "timeout of %s is longer than the analysis' interval (%ums): write at most as much",
			       fields[TIMEOUT].of, interval_ms);
}

#define OF(source) (1U << SOURCE_##source)

/* Keys that only some sources know, or not an A/B test; they are taken for unwritten. */
static void check_keys(struct plan_builder *p, struct field fields[KEYS], const struct metric_plan *m)
{
	static const unsigned int known_by[KEYS] = {
		[KIND] = OF(WEBHOOK) | OF(PUSH),
		[RANGE] = OF(WEBHOOK) | OF(PUSH),
		[URL] = OF(PROMETHEUS) | OF(WEBHOOK),
		[TIMEOUT] = OF(PROMETHEUS) | OF(WEBHOOK),
		[QUERY] = OF(PROMETHEUS),
		[WORSE] = OF(PROMETHEUS) | OF(WEBHOOK) | OF(PUSH),
	};

	for (size_t i = KIND; i < KEYS; i++) {
		struct field *f = &fields[i];
		bool bound = i >= COMPARE && i <= MAX;

		if (f->node && known_by[i] && !(known_by[i] & 1U << m->source))
			reader_problem(p->reader, f->at, "%s of %s has no meaning with source: %s: remove it", f->key,
				       f->of, sources[m->source]);
		else if (f->node && bound && p->plan->strategy == STRATEGY_AB_TEST)
			reader_problem(p->reader, f->at,
				       "%s of %s has no meaning with strategy: ab_test, which compares every arm with "
				       "the first: remove it",
				       f->key, f->of);
		else
			continue;
		f->node = NULL;
	}
}

/* What has bounds that hold can be a result. */
static void check_arms(struct plan_builder *p, const struct field fields[KEYS], const struct metric_plan *m)
{
	if (p->plan->strategy == STRATEGY_AB_TEST && m->source != SOURCE_DATAPLANE && m->source != SOURCE_PUSH)
		reader_problem(
			p->reader, fields[SOURCE].node->start_mark,
			"source of %s is %s, of whose values no bounds are known: write dataplane or push for an "
			"ab_test",
			fields[SOURCE].of, sources[m->source]);
	else if (p->plan->strategy == STRATEGY_AB_TEST && m->kind == METRIC_VALUE)
		reader_problem(p->reader, fields[KIND].node->start_mark,
			       "kind of %s is value, of which no bounds are known: write counts or scores for an "
			       "ab_test",
			       fields[KIND].of);
	else if (p->plan->strategy == STRATEGY_SHADOW && m->source != SOURCE_DATAPLANE)
		reader_problem(p->reader, fields[SOURCE].node->start_mark,
			       "source of %s is %s, which knows nothing of shadows: write dataplane", fields[SOURCE].of,
			       sources[m->source]);
}

void plan_read_metric(struct plan_builder *p, const struct field *f)
{
	struct field fields[KEYS] = {
		[NAME] = {.key = "name", .required = "name: error-rate"},
		[SOURCE] = {.key = "source", .required = "source: dataplane, prometheus, webhook or push"},
		[KIND] = {.key = "kind"},
		[COMPARE] = {.key = "compare"},
		[TOLERANCE] = {.key = "tolerance"},
		[MIN] = {.key = "min"},
		[MAX] = {.key = "max"},
		[RANGE] = {.key = "range"},
		[WORSE] = {.key = "worse"},
		[BURST] = {.key = "burst"},
		[URL] = {.key = "url"},
		[QUERY] = {.key = "query"},
		[TIMEOUT] = {.key = "timeout"},
		[DRY_RUN] = {.key = "dry_run"},
	};
	struct analysis_plan *a = &p->plan->analysis;
	struct metric_plan *m = &a->metrics[a->metric_count];
	char title[PLAN_TITLE_SIZE];

	snprintf(title, sizeof(title), "metric %zu of rollout of %s", a->metric_count + 1, p->service->name);
	a->metric_count++;
	if (reader_fields(p->reader, f, title, fields, KEYS) || read_identity(p, fields, m)) {
		p->has_metrics = true; /* one mistake is enough */
		return;
	}
	check_keys(p, fields, m);
	read_kind(p, fields, m);
	check_arms(p, fields, m);
	read_range(p, &fields[RANGE], m);
	read_burst(p, &fields[BURST], m);
	read_judgement(p, f, fields, m);
	if (m->source == SOURCE_PROMETHEUS || m->source == SOURCE_WEBHOOK)
		read_provider(p, f, fields, m);
	plan_read_bool(p, &fields[DRY_RUN], &m->dry_run);
	p->has_metrics |= !m->dry_run;
	p->has_metrics_without_traffic |= m->source != SOURCE_DATAPLANE && !m->dry_run;
}
