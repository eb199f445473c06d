// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Text to YAML document. libyaml's loader has no bounds of its own and is quadratic in anchors, so that its events are
 * counted first, at the cost of parsing twice.
 */
#include "config_reader.h"

#include <errno.h>
#include <string.h>

#define BYTES_MAX (4U << 20)
#define EVENTS_MAX 500000
#define ANCHORS_MAX 1000
#define DEPTH_MAX 32

static yaml_mark_t mark_of_byte(const char *text, size_t length, size_t byte)
{
	yaml_mark_t at = {};

	for (size_t i = 0; i < byte && i < length; i++) {
		at.column++;
		if (text[i] == '\n') {
			at.line++;
			at.column = 0;
		}
	}
	return at;
}

/* Returns -EINVAL or -ENOMEM for what @parser stumbled on. */
static int syntax_problem(struct reader *r, const yaml_parser_t *parser, const char *text, size_t length)
{
	switch (parser->error) {
	case YAML_MEMORY_ERROR:
		return -ENOMEM;
	case YAML_READER_ERROR:
		reader_problem(r, mark_of_byte(text, length, parser->problem_offset),
			       "%s: write the file as plain UTF-8 text", parser->problem);
		return -EINVAL;
	default:
		reader_problem(
			r, parser->problem_mark,
			"%s%s%s: this is not valid YAML; look for a slip of indentation, quotes or brackets here",
			parser->problem, parser->context ? " " : "", parser->context ? parser->context : "");
		return -EINVAL;
	}
}

struct census {
	size_t events, anchors, documents, depth;
};

static bool has_anchor(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return event->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.anchor;
	default:
		return false;
	}
}

/* Counts one event; says what is too much. */
static int count_event(struct reader *r, struct census *c, const yaml_event_t *event)
{
	c->events++;
	c->anchors += has_anchor(event);
	if (event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT)
		c->depth++;
	else if (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT)
		c->depth--;
	else if (event->type == YAML_DOCUMENT_START_EVENT)
		c->documents++;

	if (c->documents > 1)
		reader_problem(r, event->start_mark, "a second document begins here: write one, without a further ---");
	else if (c->depth > DEPTH_MAX)
		reader_problem(r, event->start_mark,
			       "lists and maps are nested deeper than %d: write no more than the "
			       "known keys ask for",
			       DEPTH_MAX);
	else if (c->anchors > ANCHORS_MAX)
		reader_problem(r, event->start_mark, "more than %d anchors: write values out instead", ANCHORS_MAX);
	else if (c->events > EVENTS_MAX)
		reader_problem(r, event->start_mark, "more than %d values: write fewer", EVENTS_MAX);
	else
		return 0;
	return -EINVAL;
}

static int check_events(struct reader *r, const char *text, size_t length)
{
	_cleanup_(yaml_parser_delete) yaml_parser_t parser;
	struct census census = {};
	bool done = false;
	int err = 0;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
	while (!done && !err) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event))
			return syntax_problem(r, &parser, text, length);
		done = event.type == YAML_STREAM_END_EVENT;
		err = count_event(r, &census, &event);
		yaml_event_delete(&event);
	}
	return err;
}

int reader_open(struct reader *r, const char *text, size_t length, const char *least)
{
	_cleanup_(yaml_parser_delete) yaml_parser_t parser;
	yaml_mark_t start = {};
	yaml_node_t *root;
	int err;

	/* Even the failed initialization of a parser leaves one that may be deleted. */
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	if (length > BYTES_MAX) {
		reader_problem(r, start, "the file is larger than %u MiB: write a smaller one", BYTES_MAX >> 20);
		return -EINVAL;
	}
	err = check_events(r, text, length);
	if (err)
		return err;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
	if (!yaml_parser_load(&parser, &r->document))
		return syntax_problem(r, &parser, text, length);
	root = yaml_document_get_root_node(&r->document);
	if (root && (root->type != YAML_SCALAR_NODE || root->data.scalar.length))
		return 0;
	reader_problem(r, start, "the file is empty: write at least %s", least);
	reader_close(r);
	return -EINVAL;
}

void reader_close(struct reader *r)
{
	yaml_document_delete(&r->document);
}
