// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "text.h"

#define VISITS_MAX (1U << 20) /* of values read, not written: an alias repeats thousands for two bytes */
#define DURATION_MAX_S (30 * 24 * 3600)
#define QUOTE_SIZE 48
#define TIME_SIZE 32
#define KEY_SIZE 32 /* longer than any known key */

void reader_problem(struct reader *r, yaml_mark_t at, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	problem_list_add(&r->problems, at.line + 1, at.column + 1, format, arguments);
	va_end(arguments);
}

/* Text of the file as it may stand in a message: printable ASCII, and not too much of it. */
static const char *quote(const yaml_node_t *scalar, char text[QUOTE_SIZE])
{
	size_t length = scalar->data.scalar.length;
	bool cut = length > QUOTE_SIZE - 4;

	if (cut)
		length = QUOTE_SIZE - 4;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = scalar->data.scalar.value[i];

		text[i] = c >= ' ' && c <= '~' ? c : '?';
	}
	strcpy(text + length, cut ? "..." : "");
	return text;
}

void reader_refuse(struct reader *r, const struct field *f, const char *hint)
{
	const yaml_node_t *n = f->node;
	char value[QUOTE_SIZE];

	if (n->type == YAML_SEQUENCE_NODE)
		reader_problem(r, n->start_mark, "%s of %s is a list: write %s", f->key, f->of, hint);
	else if (n->type == YAML_MAPPING_NODE)
		reader_problem(r, n->start_mark, "%s of %s is a map: write %s", f->key, f->of, hint);
	else if (!n->data.scalar.length)
		reader_problem(r, n->start_mark, "%s of %s is empty: write %s", f->key, f->of, hint);
	else
		reader_problem(r, n->start_mark, "%s of %s is '%s': write %s", f->key, f->of, quote(n, value), hint);
}

/* Counts values that are about to be read. */
static int visit(struct reader *r, const yaml_node_t *node, size_t count)
{
	if (r->stopped)
		return -EINVAL;
	r->visits += count + 1;
	if (r->visits <= VISITS_MAX)
		return 0;
	r->stopped = true;
	reader_problem(r, node->start_mark,
		       "with what aliases repeat, there are more than %u values: write fewer aliases", VISITS_MAX);
	return -EINVAL;
}

static size_t distance_min(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein's edit distance of two words shorter than KEY_SIZE. */
static size_t distance(const char *a, const char *b)
{
	size_t row[KEY_SIZE];
	size_t width = strlen(b);

	for (size_t j = 0; j <= width; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 1; j <= width; j++) {
			size_t above = row[j];

			row[j] = distance_min(above + 1, row[j - 1] + 1, diagonal + (a[i] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[width];
}

/* The known key that an unknown one is a slip of, or NULL. */
static const char *nearest_key(const char *word, const struct field *fields, size_t count)
{
	const char *nearest = NULL;
	size_t least = 3;

	if (strlen(word) >= KEY_SIZE)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t d = distance(word, fields[i].key);

		/* Two slips in a word of three letters make another word. */
		if (d < least && d * 2 < strlen(fields[i].key)) {
			least = d;
			nearest = fields[i].key;
		}
	}
	return nearest;
}

static void unknown_key(struct reader *r, const yaml_node_t *key, const char *title, const struct field *fields,
			size_t count)
{
	char known[256], word[QUOTE_SIZE];
	const char *nearest;
	size_t length = 0;

	for (size_t i = 0; i < count && length < sizeof(known); i++)
		length += snprintf(known + length, sizeof(known) - length, "%s%s", i ? ", " : "", fields[i].key);
	nearest = nearest_key(quote(key, word), fields, count);
	if (nearest)
		reader_problem(r, key->start_mark, "unknown key '%s' in %s: did you mean %s? Known are %s", word, title,
			       nearest, known);
	else
		reader_problem(r, key->start_mark, "unknown key '%s' in %s: known are %s", word, title, known);
}

/* Scalars without a zero byte inside are C strings. */
static const char *scalar_text(const yaml_node_t *node)
{
	const char *text;

	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

static void read_field(struct reader *r, const yaml_node_pair_t *pair, const char *title, struct field *fields,
		       size_t count)
{
	yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
	const char *text = scalar_text(key);
	struct field *f = fields;

	if (key->type != YAML_SCALAR_NODE) {
		reader_problem(r, key->start_mark, "a key in %s is a list or a map: write a word", title);
		return;
	}
	while (f < fields + count && (!text || strcmp(f->key, text)))
		f++;
	if (f == fields + count) {
		unknown_key(r, key, title, fields, count);
	} else if (f->node) {
		reader_problem(r, key->start_mark, "%s of %s is written twice, first on line %zu: remove one", f->key,
			       title, f->at.line + 1);
	} else {
		f->at = key->start_mark;
		f->node = yaml_document_get_node(&r->document, pair->value);
	}
}

int reader_fields(struct reader *r, const struct field *map, const char *title, struct field *fields, size_t count)
{
	yaml_node_t *node = map->node;

	if (!node)
		return -ENOENT;
	if (node->type != YAML_MAPPING_NODE) {
		char keys[256];
		size_t length = 0;

		for (size_t i = 0; i < count && length < sizeof(keys); i++)
			length += snprintf(keys + length, sizeof(keys) - length, "%s%s", i ? ", " : "", fields[i].key);
		reader_problem(r, node->start_mark, "%s is %s: write a map with keys out of %s", title,
			       node->type == YAML_SEQUENCE_NODE ? "a list" : "no map", keys);
		return -EINVAL;
	}
	if (visit(r, node, node->data.mapping.pairs.top - node->data.mapping.pairs.start))
		return -EINVAL;
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++)
		read_field(r, p, title, fields, count);
	for (size_t i = 0; i < count; i++) {
		fields[i].of = title;
		if (fields[i].required && !fields[i].node)
			reader_problem(r, map->at, "%s has no %s: write %s", title, fields[i].key, fields[i].required);
	}
	return 0;
}

int reader_map(struct reader *r, const struct field *f, const char *hint, const yaml_node_pair_t **ret,
	       size_t *ret_count)
{
	size_t count;

	if (!f->node)
		return -ENOENT;
	if (f->node->type != YAML_MAPPING_NODE) {
		reader_refuse(r, f, hint);
		return -EINVAL;
	}
	count = f->node->data.mapping.pairs.top - f->node->data.mapping.pairs.start;
	if (visit(r, f->node, count))
		return -EINVAL;
	*ret = f->node->data.mapping.pairs.start;
	*ret_count = count;
	return 0;
}

int reader_list(struct reader *r, const struct field *f, const char *hint, const yaml_node_item_t **ret,
		size_t *ret_count)
{
	size_t count;

	if (!f->node)
		return -ENOENT;
	if (f->node->type != YAML_SEQUENCE_NODE) {
		reader_refuse(r, f, hint);
		return -EINVAL;
	}
	count = f->node->data.sequence.items.top - f->node->data.sequence.items.start;
	if (visit(r, f->node, count))
		return -EINVAL;
	*ret = f->node->data.sequence.items.start;
	*ret_count = count;
	return 0;
}

int reader_entry(struct reader *r, const yaml_node_pair_t *pair, const char *of, struct field *ret)
{
	struct field name = reader_item(r, pair->key, "a name", of);
	const char *text = scalar_text(name.node);

	if (!text || !text_is_name(text)) {
		reader_refuse(r, &name, "small letters, digits and dashes, at most 63, with no dash in front");
		return -EINVAL;
	}
	*ret = (struct field){
		.key = text,
		.of = of,
		.at = name.at,
		.node = yaml_document_get_node(&r->document, pair->value),
	};
	return 0;
}

struct field reader_item(struct reader *r, yaml_node_item_t item, const char *key, const char *of)
{
	yaml_node_t *node = yaml_document_get_node(&r->document, item);

	return (struct field){.key = key, .of = of, .at = node->start_mark, .node = node};
}

int reader_text(struct reader *r, const struct field *f, const char *hint, const char **ret)
{
	const char *text;

	if (!f->node)
		return -ENOENT;
	text = scalar_text(f->node);
	if (!text || !*text) {
		reader_refuse(r, f, hint);
		return -EINVAL;
	}
	*ret = text;
	return 0;
}

int reader_number(struct reader *r, const struct field *f, uint32_t min, uint32_t max, uint32_t *ret)
{
	const char *text;
	uint32_t number;
	char hint[64];
	int err;

	snprintf(hint, sizeof(hint), "a whole number from %u to %u", min, max);
	err = reader_text(r, f, hint, &text);
	if (err)
		return err;
	if (text_number(text, max, &number) || number < min) {
		reader_refuse(r, f, hint);
		return -EINVAL;
	}
	*ret = number;
	return 0;
}

int reader_duration(struct reader *r, const struct field *f, uint32_t *ret_s)
{
	static const char hint[] = "a time from 1s to 720h, as 90s, 10m or 2h4m";
	const char *text;
	uint32_t seconds;
	int err = reader_text(r, f, hint, &text);

	if (err)
		return err;
	if (text_duration(text, DURATION_MAX_S, &seconds) || !seconds) {
		reader_refuse(r, f, hint);
		return -EINVAL;
	}
	*ret_s = seconds;
	return 0;
}

/* A time in the largest unit in which it is a whole number. */
static const char *print_time(uint64_t ms, char text[TIME_SIZE])
{
	static const struct {
		uint64_t ms;
		const char *name;
	} units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
	size_t i = ms ? 0 : 2;

	while (ms % units[i].ms)
		i++;
	snprintf(text, TIME_SIZE, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].name);
	return text;
}

int reader_time(struct reader *r, const struct field *f, uint64_t min_ms, uint64_t max_ms, uint64_t *ret_ms)
{
	char hint[3 * TIME_SIZE + 64], least[TIME_SIZE], most[TIME_SIZE];
	const char *text;
	uint64_t ms;
	int err;

	snprintf(hint, sizeof(hint), "a time from %s to %s, as 500ms, 2s or 1m", print_time(min_ms, least),
		 print_time(max_ms, most));
	err = reader_text(r, f, hint, &text);
	if (err)
		return err;
	if (text_time(text, max_ms, &ms) || ms < min_ms) {
		reader_refuse(r, f, hint);
		return -EINVAL;
	}
	*ret_ms = ms;
	return 0;
}

int reader_decimal(struct reader *r, const struct field *f, double min, double max, const char *hint, double *ret)
{
	const char *text;
	double number;
	int err = reader_text(r, f, hint, &text);

	if (err)
		return err;
	if (text_decimal(text, &number) || number < min || number > max) {
		reader_refuse(r, f, hint);
		return -EINVAL;
	}
	*ret = number;
	return 0;
}

int reader_choice(struct reader *r, const struct field *f, const char *const *words, size_t count, int *ret)
{
	char hint[64] = "";
	const char *text;
	size_t length = 0;
	int err;

	for (size_t i = 0; i < count && length < sizeof(hint); i++)
		length += snprintf(hint + length, sizeof(hint) - length, "%s%s",
				   !i              ? ""
				   : i + 1 < count ? ", "
						   : " or ",
				   words[i]);
	err = reader_text(r, f, hint, &text);
	if (err)
		return err;
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(words[i], text)) {
			*ret = i;
			return 0;
		}
	}
	reader_refuse(r, f, hint);
	return -EINVAL;
}
