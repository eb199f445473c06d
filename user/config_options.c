// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a service may have besides: cohorts, NAT sources, how it drains, how much is measured. */
#include "config_build.h"

#include <errno.h>
#include <string.h>

#include "names.h"
#include "text.h"

#define COHORTS_MAX 4096U
#define COHORTS_HINT "a list, as [{source: 10.9.0.0/16, variant: canary}]"
#define PORTS_HINT "the first and last source port, each from 1024 to 65535, as 10000-32767"
#define PORT_MIN 1024
#define DEFAULT_PORT_MIN 10000
#define DEFAULT_PORT_MAX 32767
#define DEFAULT_DRAIN_TIMEOUT_S 600
#define DEFAULT_DRAIN_LIMIT_S 3600
#define PACE_HINT "a share each second from 1%/s to 1000%/s, as 10%/s or 2.5%/s"
#define PACE_MAX_PERCENT 1000
#define DEFAULT_PACE_PERMILLE 100
#define MEASURE_HINT "all, or a share of 1/2, 1/4, 1/8 and so on to 1/65536"
#define MEASURE_SHIFT_MAX 16
#define DEFAULT_MEASURE_SHIFT 4

static void add_cohort(struct builder *b, struct service_model *s, const struct field *source,
		       const struct field *variant, const struct cohort_model *wanted, yaml_mark_t *marks)
{
	const struct field *wrong = source;
	struct refusal why;
	int index, err;

	for (size_t i = 0; i < s->cohort_count; i++) {
		char mine[ADDRESS_TEXT_SIZE], other[ADDRESS_TEXT_SIZE];

		if (!prefix_overlaps(&s->cohorts[i].source, &wanted->source))
			continue;
		reader_problem(b->reader, source->node->start_mark,
			       "cohort %s of %s overlaps cohort %s (line %zu): write "
			       "prefixes of which none contains another",
			       prefix_format(&wanted->source, mine), s->name,
			       prefix_format(&s->cohorts[i].source, other), marks[i].line + 1);
		return;
	}
	err = service_add_cohort(s, wanted, &why);
	if (!err) {
		marks[s->cohort_count - 1] = source->node->start_mark;
		return;
	}
	index = service_find_variant(s, wanted->variant);
	if (index < 0 || !s->variants[index].backend_count)
		wrong = variant;
	reader_problem(b->reader, wrong->node->start_mark, "%s", why.text);
}

/* Text that is shown to people as it is. */
static void read_label(struct builder *b, const struct field *f, size_t size, char *ret)
{
	char hint[96];
	const char *text;

	snprintf(hint, sizeof(hint), "a text of fewer than %zu bytes, without control characters", size);
	if (reader_text(b->reader, f, hint, &text))
		return;
	if (strcmp(text_show(text, ret, size), text))
		reader_refuse(b->reader, f, hint);
}

static void read_expiry(struct builder *b, const struct field *f, int64_t *ret_s)
{
	static const char hint[] = "a date or a time, as 2026-12-01 or 2026-12-01T10:00:00Z";
	const char *text;

	if (!reader_text(b->reader, f, hint, &text) && text_instant(text, ret_s))
		reader_refuse(b->reader, f, hint);
}

static void read_cohort(struct builder *b, struct service_model *s, const struct field *f, bool variants_known,
			yaml_mark_t *marks)
{
	static const char source_hint[] = "a prefix with no bits set beyond its length, as 10.9.0.0/16";
	enum { SOURCE, VARIANT, OWNER, NOTE, EXPIRES, KEYS };
	struct field fields[KEYS] = {
		[SOURCE] = {.key = "source", .required = "source: 10.9.0.0/16"},
		[VARIANT] = {.key = "variant", .required = "variant: with the name of one of the service's variants"},
		[OWNER] = {.key = "owner"},
		[NOTE] = {.key = "note"},
		[EXPIRES] = {.key = "expires"},
	};
	struct cohort_model cohort;
	char title[NAME_SIZE + 32];
	const char *source, *variant;

	memset(&cohort, 0, sizeof(cohort)); /* models are compared as bytes */
	snprintf(title, sizeof(title), "a cohort of %s", s->name);
	if (reader_fields(b->reader, f, title, fields, KEYS))
		return;
	read_label(b, &fields[OWNER], sizeof(cohort.owner), cohort.owner);
	read_label(b, &fields[NOTE], sizeof(cohort.note), cohort.note);
	read_expiry(b, &fields[EXPIRES], &cohort.expires_s);
	if (reader_text(b->reader, &fields[SOURCE], source_hint, &source))
		return;
	if (prefix_parse(source, &cohort.source)) {
		reader_refuse(b->reader, &fields[SOURCE], source_hint);
		return;
	}
	if (reader_text(b->reader, &fields[VARIANT], "the name of one of the service's variants", &variant))
		return;
	if (!variants_known || address_is_zero(&s->vip.address))
		return;
	if (!text_is_name(variant)) {
		reader_refuse(b->reader, &fields[VARIANT], "the name of one of the service's variants");
		return;
	}
	strcpy(cohort.variant, variant);
	add_cohort(b, s, &fields[SOURCE], &fields[VARIANT], &cohort, marks);
}

int build_cohorts(struct builder *b, struct service_model *s, const struct field *f, bool variants_known)
{
	_cleanup_free_ yaml_mark_t *marks = NULL;
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(b->reader, f, COHORTS_HINT, &items, &count))
		return 0;
	if (count > COHORTS_MAX) {
		reader_problem(b->reader, f->at, "%s has more than %u cohorts: join prefixes that are neighbours",
			       f->of, COHORTS_MAX);
		return 0;
	}
	marks = calloc(count + 1, sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	for (size_t i = 0; i < count && !b->reader->stopped; i++) {
		struct field item = reader_item(b->reader, items[i], "cohort", f->of);

		read_cohort(b, s, &item, variants_known, marks);
	}
	return 0;
}

static void add_source(struct builder *b, const struct service_model *s, const struct field *f, struct address *sources,
		       size_t *count)
{
	bool ipv4 = address_is_ipv4(&s->vip.address);
	struct address source;

	if (build_address(b, f, &source))
		return;
	if (!address_is_zero(&s->vip.address) && address_is_ipv4(&source) != ipv4) {
		reader_problem(b->reader, f->node->start_mark,
			       "%s of %s is not of the service's family: write an %s address, "
			       "as the service's is",
			       f->key, f->of, ipv4 ? "IPv4" : "IPv6");
		return;
	}
	for (size_t i = 0; i < *count; i++) {
		if (address_equal(&sources[i], &source)) {
			reader_problem(b->reader, f->node->start_mark, "%s of %s is there twice: write it once", f->key,
				       f->of);
			return;
		}
	}
	sources[(*count)++] = source;
}

void build_sources(struct builder *b, const struct service_model *s, const struct field *f, struct address *ret,
		   size_t *ret_count)
{
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(b->reader, f, "a list of addresses of this host, as [10.0.1.5]", &items, &count))
		return;
	if (count > SOURCES_MAX) {
		reader_problem(b->reader, f->node->start_mark, "%s has %zu sources: write at most %u", f->of, count,
			       SOURCES_MAX);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct field item = reader_item(b->reader, items[i], "a source", f->of);

		add_source(b, s, &item, ret, ret_count);
	}
}

void build_ports(struct builder *b, const struct field *f, uint16_t *ret_min, uint16_t *ret_max)
{
	char first[sizeof("65535")] = "";
	const char *text, *dash;
	uint32_t min, max;

	if (reader_text(b->reader, f, PORTS_HINT, &text))
		return;
	dash = strchrnul(text, '-');
	if ((size_t)(dash - text) < sizeof(first))
		memcpy(first, text, dash - text);
	if (!*dash || text_number(first, UINT16_MAX, &min) || text_number(dash + 1, UINT16_MAX, &max) || min > max ||
	    min < PORT_MIN) {
		reader_refuse(b->reader, f, PORTS_HINT);
		return;
	}
	*ret_min = min;
	*ret_max = max;
}

void build_nat(struct builder *b, struct service_model *s, const struct field *f)
{
	struct field fields[] = {{.key = "sources"}, {.key = "ports"}};
	char title[NAME_SIZE + 32];

	s->port_min = DEFAULT_PORT_MIN;
	s->port_max = DEFAULT_PORT_MAX;
	snprintf(title, sizeof(title), "nat of %s", s->name);
	if (f->node && s->forward != FORWARD_NAT)
		reader_problem(b->reader, f->at,
			       "nat of %s has no meaning with forward: %s: remove it, or write forward: "
			       "nat",
			       f->of, name_of_forward(s->forward));
	if (reader_fields(b->reader, f, title, fields, ARRAY_SIZE(fields)))
		return;
	build_sources(b, s, &fields[0], s->sources, &s->source_count);
	build_ports(b, &fields[1], &s->port_min, &s->port_max);
	return;
}

/* Whole percents and, after a point, at most one digit of tenths: "10%/s", "2.5%/s". */
static int parse_pace(const char *text, uint32_t *ret_permille)
{
	uint32_t percent, tenths = 0;
	char whole[sizeof("1000")] = "";
	size_t digits = strspn(text, "0123456789");
	const char *rest = text + digits;

	if (digits >= sizeof(whole))
		return -EINVAL;
	memcpy(whole, text, digits);
	if (rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9') {
		tenths = rest[1] - '0';
		rest += 2;
	}
	if (strcmp(rest, "%/s") || text_number(whole, PACE_MAX_PERCENT, &percent) || !percent ||
	    (percent == PACE_MAX_PERCENT && tenths))
		return -EINVAL;
	*ret_permille = 10 * percent + tenths;
	return 0;
}

static void read_policies(struct builder *b, struct service_model *s, const struct field *on_change,
			  const struct field *on_rollback, const struct field *pace)
{
	static const char *const policies[] = {"keep", "reset"};
	int choice = DRAIN_KEEP;
	const char *text;

	reader_choice(b->reader, on_change, policies, ARRAY_SIZE(policies), &choice);
	s->on_change = choice;
	choice = DRAIN_RESET;
	reader_choice(b->reader, on_rollback, policies, ARRAY_SIZE(policies), &choice);
	s->on_rollback = choice;
	s->pace_permille = DEFAULT_PACE_PERMILLE;
	if (!reader_text(b->reader, pace, PACE_HINT, &text) && parse_pace(text, &s->pace_permille))
		reader_refuse(b->reader, pace, PACE_HINT);
}

static void read_drain_times(struct builder *b, struct service_model *s, const struct field *timeout,
			     const struct field *limit)
{
	s->drain_timeout_s = DEFAULT_DRAIN_TIMEOUT_S;
	s->drain_limit_s = DEFAULT_DRAIN_LIMIT_S;
	reader_duration(b->reader, timeout, &s->drain_timeout_s);
	/* A limit that is not written gives way to a long timeout; one that is written must fit it. */
	if (s->drain_limit_s < s->drain_timeout_s)
		s->drain_limit_s = s->drain_timeout_s;
	if (!reader_duration(b->reader, limit, &s->drain_limit_s) && s->drain_limit_s < s->drain_timeout_s)
		reader_problem(b->reader, limit->node->start_mark,
			       "limit of %s is shorter than its timeout (%us): write "
			       "at least as much",
			       limit->of, s->drain_timeout_s);
}

void build_drain(struct builder *b, struct service_model *s, const struct field *f)
{
	enum { TIMEOUT, LIMIT, ON_CHANGE, ON_ROLLBACK, PACE, KEYS };
	struct field fields[KEYS] = {
		[TIMEOUT] = {.key = "timeout"},         [LIMIT] = {.key = "limit"}, [ON_CHANGE] = {.key = "on_change"},
		[ON_ROLLBACK] = {.key = "on_rollback"}, [PACE] = {.key = "pace"},
	};
	char title[NAME_SIZE + 32];

	snprintf(title, sizeof(title), "drain of %s", s->name);
	/* Of what is no map no field is set, and the defaults hold. */
	reader_fields(b->reader, f, title, fields, KEYS);
	read_drain_times(b, s, &fields[TIMEOUT], &fields[LIMIT]);
	read_policies(b, s, &fields[ON_CHANGE], &fields[ON_ROLLBACK], &fields[PACE]);
}

void build_measure(struct builder *b, struct service_model *s, const struct field *f)
{
	char share[sizeof("1/65536")];
	const char *text;

	s->measure_shift = DEFAULT_MEASURE_SHIFT;
	if (f->node && !forward_sees_replies(s->forward))
		reader_problem(b->reader, f->at,
			       "measure of %s has no meaning with forward: %s, which sees no replies: remove it", f->of,
			       name_of_forward(s->forward));
	if (reader_text(b->reader, f, MEASURE_HINT, &text))
		return;
	if (!strcmp(text, "all")) {
		s->measure_shift = 0;
		return;
	}
	for (uint32_t shift = 1; shift <= MEASURE_SHIFT_MAX; shift++) {
		snprintf(share, sizeof(share), "1/%u", 1U << shift);
		if (!strcmp(text, share)) {
			s->measure_shift = shift;
			return;
		}
	}
	reader_refuse(b->reader, f, MEASURE_HINT);
}
