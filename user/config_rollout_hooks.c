// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* "hooks" and "notify" of a rollout: who is asked, and who is told. */
#include "config_plan.h"

#define HOOKS_HINT "a list, as [{when: before, url: \"http://10.1.1.3/gate\"}]"
#define NOTIFY_HINT "a list, as [{url: \"http://10.1.1.3/rollouts\", format: json}]"
#define DEFAULT_TIMEOUT_MS 10000U
#define TIMEOUT_MIN_MS 100U
#define TIMEOUT_MAX_MS 300000U

static void read_hook(struct plan_builder *p, const struct field *f, const char *title)
{
	static const char *const whens[] = {"before", "after"};
	struct hook_plan *hook = &p->plan->hooks[p->plan->hook_count++];
	struct field fields[] = {{.key = "when", .required = "when: before, or when: after"},
				 {.key = "url", .required = "url: \"http://10.1.1.3/gate\""},
				 {.key = "timeout"}};
	int when = 0;

	hook->timeout_ms = DEFAULT_TIMEOUT_MS;
	if (reader_fields(p->reader, f, title, fields, ARRAY_SIZE(fields)))
		return;
	reader_choice(p->reader, &fields[0], whens, ARRAY_SIZE(whens), &when);
	hook->after = when;
	plan_read_url(p, &fields[1], false, hook->url);
	plan_read_time(p, &fields[2], TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, &hook->timeout_ms);
}

static void read_notify(struct plan_builder *p, const struct field *f, const char *title)
{
	static const char *const formats[] = {"json", "slack"};
	struct notify_plan *notify = &p->plan->notify[p->plan->notify_count++];
	struct field fields[] = {
		{.key = "url", .required = "url: \"http://10.1.1.3/rollouts\""}, {.key = "format"}, {.key = "timeout"}};
	int format = 0;

	notify->timeout_ms = DEFAULT_TIMEOUT_MS;
	if (reader_fields(p->reader, f, title, fields, ARRAY_SIZE(fields)))
		return;
	plan_read_url(p, &fields[0], false, notify->url);
	reader_choice(p->reader, &fields[1], formats, ARRAY_SIZE(formats), &format);
	notify->slack = format;
	plan_read_time(p, &fields[2], TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, &notify->timeout_ms);
}

static void read_items(struct plan_builder *p, const struct field *f, const char *hint,
		       void (*read_item)(struct plan_builder *p, const struct field *f, const char *title))
{
	char title[PLAN_TITLE_SIZE];
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(p->reader, f, hint, &items, &count))
		return;
	if (count > PLAN_HOOKS_MAX) {
		reader_problem(p->reader, f->at, "%s of %s has %zu items: write at most %u", f->key, f->of, count,
			       PLAN_HOOKS_MAX);
		return;
	}
	for (size_t i = 0; i < count && !p->reader->stopped; i++) {
		struct field item = reader_item(p->reader, items[i], "an item", f->key);

		snprintf(title, sizeof(title), "item %zu of %s", i + 1, f->key);
		read_item(p, &item, title);
	}
}

void plan_read_hooks(struct plan_builder *p, const struct field *f)
{
	read_items(p, f, HOOKS_HINT, read_hook);
}

void plan_read_notify(struct plan_builder *p, const struct field *f)
{
	read_items(p, f, NOTIFY_HINT, read_notify);
}
