/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "users.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../base/bisect.h"

#define NAME_MAX_LEN 32 /* useradd(8) */
#define USERS_MAX 65536

struct user {
	uint32_t uid;
	uint32_t line; /* an id has the name of its first line */
	char name[NAME_MAX_LEN + 1];
};

struct vl_users {
	size_t nr;
	struct user user[];
};

/* Field @nr of the @len bytes of @line; its length, or -1: it has no such field. */
static int field(const char *line, size_t len, unsigned int nr, const char **ret)
{
	const char *end = line + len, *colon;

	for (; nr; nr--) {
		colon = memchr(line, ':', (size_t)(end - line));
		if (!colon)
			return -1;
		line = colon + 1;
	}
	colon = memchr(line, ':', (size_t)(end - line));
	*ret = line;
	return (int)((colon ? colon : end) - line);
}

/* passwd(5): name, password, id, and more. */
static bool parse_line(const char *line, size_t len, struct user *ret)
{
	const char *name = NULL, *id = NULL;
	int name_len, id_len;
	uint64_t uid = 0;

	if (len > 4096)
		return false;
	name_len = field(line, len, 0, &name);
	id_len = field(line, len, 2, &id);
	if (name_len < 1 || name_len > NAME_MAX_LEN || id_len < 1 || id_len > 10)
		return false;
	for (int i = 0; i < name_len; i++)
		if (name[i] < '!' || name[i] > '~')
			return false;
	for (int i = 0; i < id_len; i++) {
		if (!isdigit((unsigned char)id[i]))
			return false;
		uid = uid * 10 + (uint64_t)(id[i] - '0');
	}
	ret->uid = (uint32_t)uid;
	memcpy(ret->name, name, (size_t)name_len);
	ret->name[name_len] = '\0';
	return uid <= UINT32_MAX;
}

static int compare(const void *a, const void *b)
{
	const struct user *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return (x->line > y->line) - (x->line < y->line);
}

struct vl_users *vl_users_parse(const char *text, size_t len)
{
	struct vl_users *u;
	size_t lines = 1;

	for (size_t i = 0; i < len && lines < USERS_MAX; i++)
		lines += text[i] == '\n';
	u = calloc(1, sizeof(*u) + lines * sizeof(u->user[0]));
	if (!u)
		return NULL;
	for (uint32_t line = 0; len && line < lines; line++) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		u->user[u->nr].line = line;
		u->nr += parse_line(text, n, &u->user[u->nr]);
		n += end != NULL;
		text += n;
		len -= n;
	}
	if (!u->nr) {
		free(u);
		return NULL;
	}
	qsort(u->user, u->nr, sizeof(u->user[0]), compare);
	return u;
}

void vl_users_destroy(struct vl_users *u)
{
	free(u);
}

const char *vl_users_name(const struct vl_users *u, uint32_t uid)
{
	size_t at = u ? vl_bisect(i, u->nr, u->user[i].uid < uid) : 0;

	return u && at < u->nr && u->user[at].uid == uid ? u->user[at].name : NULL;
}

bool vl_users_id(const struct vl_users *u, const char *name, uint32_t *uid_ret)
{
	const struct user *first = NULL;

	for (size_t i = 0; u && i < u->nr; i++)
		if (!strcmp(u->user[i].name, name) && (!first || u->user[i].line < first->line))
			first = &u->user[i];
	if (first)
		*uid_ret = first->uid;
	return first;
}
