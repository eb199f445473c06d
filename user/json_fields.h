/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_JSON_FIELDS_H
#define HEADGATE_JSON_FIELDS_H

/*
 * Structs to JSON and back, by tables of their fields. What is read is what was written, bit by bit: integers are JSON
 * integers whatever their size (those above INT64_MAX are written as that: no count gets there), doubles have 17
 * digits; NaN is null, infinity the text "inf" or "-inf". Enums are words.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util.h"

/* For json_dumps(): what does not lose a digit. */
#define JSON_FIELDS_EXACT (JSON_COMPACT | JSON_REAL_PRECISION(17))

enum field_kind {
	FIELD_BOOL,
	FIELD_INT,
	FIELD_U32,
	FIELD_U64,
	FIELD_REAL,
	FIELD_TEXT, /* char[], NUL at its end */
	FIELD_WORD, /* an enum */
	FIELD_STRUCT,
	FIELD_HISTOGRAM, /* {"sum_ns", "count", "buckets": [[index, samples], ..]}, without empty buckets */
};

/* An enum's words, which are numbered from 0 on. */
struct words {
	const char *(*word)(unsigned int value);
	unsigned int count;
};

struct field {
	const char *name; /* of the C field, and the key */
	enum field_kind kind;
	size_t offset;
	size_t size;       /* bytes; of an array's element */
	size_t elements;   /* of an array; 0: it is none */
	size_t counted_at; /* offset of the size_t that says how many of @elements are used; 0: all are */
	const struct words *words;
	const struct fields *fields; /* of FIELD_STRUCT */
};

struct fields {
	const struct field *field;
	size_t count;
};

/* clang-format off */
#define FIELD_KIND(value)                                                                                              \
	_Generic((value), bool : FIELD_BOOL, int : FIELD_INT, uint32_t : FIELD_U32, uint64_t : FIELD_U64,              \
		 double : FIELD_REAL, char * : FIELD_TEXT, uint64_t * : FIELD_U64, double * : FIELD_REAL)
/* clang-format on */
#define FIELD_OF(type, member) (((type *)NULL)->member)
#define FIELD_COMMON(type, member) .name = #member, .offset = offsetof(type, member)

/* A number, a bool or a text. */
#define PLAIN(type, member)                                                                                            \
	{                                                                                                              \
		FIELD_COMMON(type, member), .kind = FIELD_KIND(FIELD_OF(type, member)),                                \
					    .size = sizeof(FIELD_OF(type, member)),                                    \
	}
/* An array of numbers, all of which are used. */
#define NUMBERS(type, member)                                                                                          \
	{                                                                                                              \
		FIELD_COMMON(type, member), .kind = FIELD_KIND(FIELD_OF(type, member)),                                \
					    .size = sizeof(FIELD_OF(type, member)[0]),                                 \
					    .elements = ARRAY_SIZE(FIELD_OF(type, member)),                            \
	}
#define WORD(type, member, its_words)                                                                                  \
	{                                                                                                              \
		FIELD_COMMON(type, member), .kind = FIELD_WORD, .size = sizeof(FIELD_OF(type, member)),                \
					    .words = &(its_words),                                                     \
	}
#define STRUCT(type, member, its_fields)                                                                               \
	{                                                                                                              \
		FIELD_COMMON(type, member), .kind = FIELD_STRUCT, .size = sizeof(FIELD_OF(type, member)),              \
					    .fields = &(its_fields),                                                   \
	}
#define HISTOGRAM(type, member)                                                                                        \
	{                                                                                                              \
		FIELD_COMMON(type, member), .kind = FIELD_HISTOGRAM, .size = sizeof(FIELD_OF(type, member)),           \
	}
/* An array of structs, of which @counter are used. */
#define LIST(type, member, counter, its_fields)                                                                        \
	{                                                                                                              \
		FIELD_COMMON(type, member), .kind = FIELD_STRUCT, .size = sizeof(FIELD_OF(type, member)[0]),           \
					    .elements = ARRAY_SIZE(FIELD_OF(type, member)),                            \
					    .counted_at = offsetof(type, counter), .fields = &(its_fields),            \
	}

#define FIELDS(name, ...)                                                                                              \
	static const struct field name##_list[] = {__VA_ARGS__};                                                       \
	static const struct fields name = {name##_list, ARRAY_SIZE(name##_list)}

/* Defines `struct words name`, from a function that takes the enum. */
#define WORDS(name, enumeration, function, how_many)                                                                   \
	static const char *name##_word(unsigned int value)                                                             \
	{                                                                                                              \
		return function((enumeration)value);                                                                   \
	}                                                                                                              \
	static const struct words name = {name##_word, how_many}

/* An object; NULL: out of memory, or an enum without a word. */
json_t *fields_to_json(const struct fields *fields, const void *from);

/**
 * fields_from_json - read what fields_to_json() wrote
 * @to: fields that @json lacks, as it is by an older daemon, stay as they are; what is not in @fields is not looked at
 * Return: 0, or -EINVAL (a wrong type, an unknown word, a number or a text that is too big) with @to half read.
 */
int fields_from_json(const struct fields *fields, const json_t *json, void *to);

/* The same of an array of structs, of which there are at most @most. Fewer are read as they are. */
json_t *array_to_json(const struct fields *fields, const void *from, size_t size, size_t count);
int array_from_json(const struct fields *fields, const json_t *json, void *to, size_t size, size_t most);

/* A text that need not be UTF-8, as one that was cut short: what is not is left away or replaced. */
json_t *json_text(const char *text);
/* NULL if @value is not finite. */
json_t *json_finite(double value);

#endif
