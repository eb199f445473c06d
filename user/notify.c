// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "notify.h"

static void on_answered(void *context, const struct answer *answer)
{
	const struct notifier *n = context;
	char text[WHY_SIZE], where[URL_SHOWN_SIZE];
	const char *trouble = answer_trouble(answer, text);

	if (trouble)
		n->failed(n->context, url_shown(answer->url, false, where), trouble);
}

/* "<!channel>" and links are Slack's, and not to be had by what a provider or a hook says. */
static void put_escaped(const char *text, FILE *out)
{
	for (; *text; text++)
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		default:
			fputc(*text, out);
		}
}

static const char *word(const json_t *event, const char *key)
{
	return json_string_value(json_object_get(event, key)) ?: "?";
}

/* To be freed; NULL: out of memory. */
static char *sentence(const json_t *event)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, &(size_t){0});

	if (!out)
		return NULL;
	fprintf(out, "*%s*: %s rollout %" JSON_INTEGER_FORMAT ", step %" JSON_INTEGER_FORMAT ": *%s* → *%s*: ",
		word(event, "service"), word(event, "strategy"), json_integer_value(json_object_get(event, "rollout")),
		json_integer_value(json_object_get(event, "step")), word(event, "from"), word(event, "to"));
	put_escaped(word(event, "cause"), out);
	fputs(" (", out);
	put_escaped(word(event, "by"), out);
	fputc(')', out);
	if (!fclose(out))
		return text;
	free(text);
	return NULL;
}

/* As above. */
static char *slack_body(const json_t *event)
{
	_cleanup_free_ char *text = sentence(event);
	json_t *object = text ? json_pack("{s:s}", "text", text) : NULL;
	char *body = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return body;
}

void notify_all(const struct notifier *n, const struct rollout_plan *plan, const json_t *event)
{
	for (size_t i = 0; i < plan->notify_count; i++) {
		const struct notify_plan *p = &plan->notify[i];
		_cleanup_free_ char *body = p->slack ? slack_body(event) : json_dumps(event, JSON_COMPACT);
		char where[URL_SHOWN_SIZE];

		if (!body || request_start(n->requests, p->url, body, p->timeout_ms, on_answered, (void *)n, NULL))
			n->failed(n->context, url_shown(p->url, false, where), "out of memory");
	}
}
