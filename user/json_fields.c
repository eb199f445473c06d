// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "json_fields.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include <linux/types.h>

#include "abi.h"

/* --- to JSON -------------------------------------------------------------------------------------------------------*/

static json_t *unsigned_to_json(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *real_to_json(double value)
{
	if (isnan(value))
		return json_null();
	if (isinf(value))
		return json_string(value > 0 ? "inf" : "-inf");
	return json_real(value);
}

json_t *json_finite(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_text(const char *text)
{
	_cleanup_free_ char *ascii = NULL;
	size_t length = strlen(text);

	/* A character of UTF-8 has at most 4 bytes, so that at most 3 are left of one that was cut in two. */
	for (size_t cut = 0; cut < 4 && cut <= length; cut++) {
		json_t *json = json_stringn(text, length - cut);

		if (json)
			return json;
	}
	ascii = strdup(text);
	if (!ascii)
		return NULL;
	for (char *p = ascii; *p; p++) {
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	}
	return json_string(ascii);
}

static json_t *histogram_to_json(const struct histogram *h)
{
	_cleanup_(json_decrefp) json_t *buckets = json_array();

	if (!buckets)
		return NULL;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->bucket[i] &&
		    json_array_append_new(buckets, json_pack("[i, o]", (int)i, unsigned_to_json(h->bucket[i]))))
			return NULL;
	}
	return json_pack("{s:o, s:o, s:O}", "sum_ns", unsigned_to_json(h->sum_ns), "count", unsigned_to_json(h->count),
			 "buckets", buckets);
}

static json_t *one_to_json(const struct field *f, const void *from)
{
	switch (f->kind) {
	case FIELD_BOOL:
		return json_boolean(*(const bool *)from);
	case FIELD_INT:
		return json_integer(*(const int *)from);
	case FIELD_U32:
		return json_integer(*(const uint32_t *)from);
	case FIELD_U64:
		return unsigned_to_json(*(const uint64_t *)from);
	case FIELD_REAL:
		return real_to_json(*(const double *)from);
	case FIELD_TEXT:
		return json_text(from);
	case FIELD_WORD:
		if (*(const unsigned int *)from >= f->words->count)
			return NULL;
		return json_string(f->words->word(*(const unsigned int *)from));
	case FIELD_STRUCT:
		return fields_to_json(f->fields, from);
	case FIELD_HISTOGRAM:
		return histogram_to_json(from);
	}
	return NULL;
}

static json_t *elements_to_json(const struct field *f, const void *from, size_t count)
{
	_cleanup_(json_decrefp) json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		if (json_array_append_new(array, one_to_json(f, (const char *)from + i * f->size)))
			return NULL;
	}
	return TAKE_PTR(array);
}

static size_t elements_used(const struct field *f, const void *from)
{
	size_t count = f->counted_at ? *(const size_t *)((const char *)from + f->counted_at) : f->elements;

	return count < f->elements ? count : f->elements;
}

json_t *fields_to_json(const struct fields *fields, const void *from)
{
	_cleanup_(json_decrefp) json_t *object = json_object();

	for (size_t i = 0; i < fields->count; i++) {
		const struct field *f = &fields->field[i];
		const void *at = (const char *)from + f->offset;
		json_t *value = f->elements ? elements_to_json(f, at, elements_used(f, from)) : one_to_json(f, at);

		if (json_object_set_new(object, f->name, value))
			return NULL;
	}
	return TAKE_PTR(object);
}

json_t *array_to_json(const struct fields *fields, const void *from, size_t size, size_t count)
{
	const struct field element = {.kind = FIELD_STRUCT, .size = size, .fields = fields};

	return elements_to_json(&element, from, count);
}

/* --- from JSON -----------------------------------------------------------------------------------------------------*/

static int unsigned_from_json(const json_t *json, uint64_t max, uint64_t *ret)
{
	json_int_t value = json_integer_value(json);

	if (!json_is_integer(json) || value < 0 || (uint64_t)value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

static int real_from_json(const json_t *json, double *ret)
{
	const char *text = json_string_value(json);

	if (json_is_number(json))
		*ret = json_number_value(json);
	else if (json_is_null(json))
		*ret = NAN;
	else if (text && !strcmp(text, "inf"))
		*ret = INFINITY;
	else if (text && !strcmp(text, "-inf"))
		*ret = -INFINITY;
	else
		return -EINVAL;
	return 0;
}

static int int_from_json(const json_t *json, int *ret)
{
	json_int_t value = json_integer_value(json);

	if (!json_is_integer(json) || value < INT_MIN || value > INT_MAX)
		return -EINVAL;
	*ret = (int)value;
	return 0;
}

static int text_from_json(const json_t *json, size_t size, char *ret)
{
	if (!json_is_string(json) || json_string_length(json) >= size)
		return -EINVAL;
	memset(ret, 0, size);
	memcpy(ret, json_string_value(json), json_string_length(json));
	return 0;
}

static int word_from_json(const json_t *json, const struct words *words, unsigned int *ret)
{
	const char *text = json_string_value(json);

	for (unsigned int i = 0; text && i < words->count; i++) {
		if (!strcmp(words->word(i), text)) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int histogram_from_json(const json_t *json, struct histogram *ret)
{
	const json_t *buckets = json_object_get(json, "buckets");
	struct histogram h = {};
	uint64_t sum_ns, count, index, samples;
	const json_t *pair;
	size_t i;

	if (!json_is_array(buckets) || unsigned_from_json(json_object_get(json, "sum_ns"), INT64_MAX, &sum_ns) ||
	    unsigned_from_json(json_object_get(json, "count"), INT64_MAX, &count))
		return -EINVAL;
	json_array_foreach((json_t *)buckets, i, pair)
	{
		if (json_array_size(pair) != 2 ||
		    unsigned_from_json(json_array_get(pair, 0), HISTOGRAM_BUCKETS - 1, &index) ||
		    unsigned_from_json(json_array_get(pair, 1), INT64_MAX, &samples))
			return -EINVAL;
		h.bucket[index] = samples;
	}
	h.sum_ns = sum_ns;
	h.count = count;
	*ret = h;
	return 0;
}

static int one_from_json(const struct field *f, const json_t *json, void *to)
{
	uint64_t number;

	switch (f->kind) {
	case FIELD_BOOL:
		if (!json_is_boolean(json))
			return -EINVAL;
		*(bool *)to = json_is_true(json);
		return 0;
	case FIELD_INT:
		return int_from_json(json, to);
	case FIELD_U32:
		if (unsigned_from_json(json, UINT32_MAX, &number))
			return -EINVAL;
		*(uint32_t *)to = number;
		return 0;
	case FIELD_U64:
		return unsigned_from_json(json, INT64_MAX, to);
	case FIELD_REAL:
		return real_from_json(json, to);
	case FIELD_TEXT:
		return text_from_json(json, f->size, to);
	case FIELD_WORD:
		return word_from_json(json, f->words, to);
	case FIELD_STRUCT:
		return fields_from_json(f->fields, json, to);
	case FIELD_HISTOGRAM:
		return histogram_from_json(json, to);
	}
	return -EINVAL;
}

static int elements_from_json(const struct field *f, const json_t *json, void *to, size_t most)
{
	if (!json_is_array(json) || json_array_size(json) > most)
		return -EINVAL;
	for (size_t i = 0; i < json_array_size(json); i++) {
		int err = one_from_json(f, json_array_get(json, i), (char *)to + i * f->size);

		if (err)
			return err;
	}
	return 0;
}

int fields_from_json(const struct fields *fields, const json_t *json, void *to)
{
	if (!json_is_object(json))
		return -EINVAL;
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *f = &fields->field[i];
		const json_t *value = json_object_get(json, f->name);
		void *at = (char *)to + f->offset;
		int err;

		if (!value)
			continue;
		err = f->elements ? elements_from_json(f, value, at, f->elements) : one_from_json(f, value, at);
		if (err)
			return err;
		if (f->counted_at)
			*(size_t *)((char *)to + f->counted_at) = json_array_size(value);
	}
	return 0;
}

int array_from_json(const struct fields *fields, const json_t *json, void *to, size_t size, size_t most)
{
	const struct field element = {.kind = FIELD_STRUCT, .size = size, .fields = fields};

	return elements_from_json(&element, json, to, most);
}
