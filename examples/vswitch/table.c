/* SPDX-License-Identifier: MIT */
/* Tables: columns as wide as their cells for people, an array of objects for programs. */
#define _GNU_SOURCE /* vasprintf */
#include "vswitch.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct table {
	const struct column *columns;
	unsigned n;
	char **cells;
	size_t have, room;
	bool failed; /* out of memory: what is there is printed */
};

struct table *table_new(const struct column *columns, unsigned n)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t)
		*t = (struct table){ .columns = columns, .n = n };
	return t;
}

static void table_take(struct table *t, char *cell)
{
	if (t->have == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		char **cells = realloc(t->cells, room * sizeof(*cells));

		if (!cells) {
			t->failed = true;
			free(cell);
			return;
		}
		t->cells = cells;
		t->room = room;
	}
	t->cells[t->have++] = cell;
}

void table_put(struct table *t, const char *fmt, ...)
{
	char *cell;
	va_list ap;

	if (!t || t->failed)
		return;
	va_start(ap, fmt);
	if (vasprintf(&cell, fmt, ap) < 0)
		t->failed = true;
	else
		table_take(t, cell);
	va_end(ap);
}

void table_number(struct table *t, uint64_t n)
{
	table_put(t, "%llu", (unsigned long long)n);
}

void json_text(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else if (iscntrl((unsigned char)*text))
			fprintf(to, "\\u%04x", (unsigned char)*text);
		else
			fputc(*text, to);
	}
	fputc('"', to);
}

static void json_key(FILE *to, const char *title)
{
	fputc('"', to);
	for (; *title; title++)
		fputc(*title == ' ' ? '_' : tolower((unsigned char)*title), to);
	fputs("\": ", to);
}

static void put_json(const struct table *t, FILE *to)
{
	fputc('[', to);
	for (size_t i = 0; i < t->have - t->have % t->n; i++) {
		const struct column *c = &t->columns[i % t->n];

		fputs(i % t->n ? ", " : i ? ",\n {" : "\n {", to);
		json_key(to, c->title);
		if (c->kind == COLUMN_TEXT)
			json_text(to, t->cells[i]);
		else
			fputs(t->cells[i], to);
		if (i % t->n == t->n - 1)
			fputc('}', to);
	}
	fputs(t->have ? "\n]\n" : "]\n", to);
}

static const char *cell(const struct table *t, size_t line, unsigned column)
{
	return line ? t->cells[(line - 1) * t->n + column] : t->columns[column].title;
}

/* One cell of a line; blanks before it are written only once it turns out not to be empty. */
static void put_cell(const struct table *t, unsigned column, const char *text, int width, int *blanks,
		     FILE *to)
{
	int len = (int)strlen(text);

	if (t->columns[column].kind == COLUMN_NUMBER)
		*blanks += width - len;
	if (len)
		fprintf(to, "%*s%s", *blanks, "", text);
	*blanks = (len ? 0 : *blanks) + 2;
	if (t->columns[column].kind == COLUMN_TEXT)
		*blanks += width - len;
}

static int width_of(const struct table *t, unsigned column)
{
	size_t most = strlen(t->columns[column].title);

	for (size_t i = column; i < t->have; i += t->n)
		most = strlen(t->cells[i]) > most ? strlen(t->cells[i]) : most;
	return (int)most;
}

static void put_lines(const struct table *t, const int *widths, FILE *to)
{
	for (size_t line = 0; line <= t->have / t->n; line++) {
		int blanks = 0;

		for (unsigned c = 0; c < t->n; c++)
			if (t->columns[c].kind != COLUMN_HIDDEN)
				put_cell(t, c, cell(t, line, c), widths[c], &blanks, to);
		fputc('\n', to);
	}
}

void table_end(struct table *t, FILE *to, bool json)
{
	int *widths = t ? calloc(t->n, sizeof(*widths)) : NULL;

	for (unsigned c = 0; widths && c < t->n; c++)
		widths[c] = width_of(t, c);
	if (t && json)
		put_json(t, to);
	else if (widths)
		put_lines(t, widths, to);
	free(widths);
	for (size_t i = 0; t && i < t->have; i++)
		free(t->cells[i]);
	if (t)
		free(t->cells);
	free(t);
}
