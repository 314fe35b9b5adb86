/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hosts.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/number.h"

/* Depth of groups in groups. */
#define DEPTH_MAX 32

/* ---- hosts and groups ---- */

char *hosts_keep(struct hosts *h, const char *text)
{
	char *copy = strdup(text);

	h->full = h->full || !copy;
	return copy;
}

/* The slot in which @name is, or could be. @index has some. */
static size_t *slot_of(const struct hosts *h, const struct hosts_index *index, const char *name)
{
	const bool is_group = index == &h->groups_by_name;
	size_t at = vl_hash_text(name) & (index->cap - 1);

	for (;; at = (at + 1) & (index->cap - 1)) {
		size_t place = index->slots[at];

		if (!place ||
		    !strcmp(is_group ? h->groups[place - 1].name : h->all[place - 1].name, name))
			return &index->slots[at];
	}
}

/* Make room for one more than @nr names. */
static bool index_grow(struct hosts *h, struct hosts_index *index, size_t nr)
{
	const bool is_group = index == &h->groups_by_name;
	struct hosts_index old = *index;

	if (2 * (nr + 1) <= index->cap)
		return true;
	index->cap = old.cap ? 2 * old.cap : 64;
	index->slots = calloc(index->cap, sizeof(*index->slots));
	if (!index->slots) {
		*index = old;
		return false;
	}
	for (size_t i = 0; i < nr; i++)
		*slot_of(h, index, is_group ? h->groups[i].name : h->all[i].name) = i + 1;
	free(old.slots);
	return true;
}

struct hosts_host *hosts_find(const struct hosts *h, const char *name)
{
	size_t place = h->by_name.cap ? *slot_of(h, &h->by_name, name) : 0;

	return place ? &h->all[place - 1] : NULL;
}

struct hosts_host *hosts_add(struct hosts *h, const char *name)
{
	struct hosts_host *found = hosts_find(h, name);

	if (found)
		return found;
	if (h->nr >= HOSTS_MAX || !vl_grow(h->all, h->cap, h->nr, 16) ||
	    !index_grow(h, &h->by_name, h->nr)) {
		h->full = true;
		return NULL;
	}
	h->all[h->nr] = (struct hosts_host){ .name = hosts_keep(h, name) };
	if (!h->all[h->nr].name)
		return NULL;
	*slot_of(h, &h->by_name, name) = h->nr + 1;
	return &h->all[h->nr++];
}

char *hosts_port(char *name)
{
	char *bracket = strchr(name, ']'), *colon = strchr(bracket ? bracket : name, ':');

	/* Several are an address of IPv6. */
	return colon && !strchr(colon + 1, ':') && colon[1] ? colon + 1 : NULL;
}

struct hosts_host *hosts_add_word(struct hosts *h, const char *name)
{
	struct hosts_host *host = hosts_add(h, name);
	char *address = host ? hosts_keep(h, name) : NULL, *port;

	if (address && (port = hosts_port(address))) {
		port[-1] = '\0';
		hosts_set(h, host->vars, "ansible_host", address);
		hosts_set(h, host->vars, "ansible_port", port);
	}
	free(address);
	return host;
}

/* SIZE_MAX: there is none. */
static size_t find_group(const struct hosts *h, const char *name)
{
	size_t place = h->groups_by_name.cap ? *slot_of(h, &h->groups_by_name, name) : 0;

	return place ? place - 1 : SIZE_MAX;
}

size_t hosts_group(struct hosts *h, const char *name)
{
	size_t found = find_group(h, name);

	if (found != SIZE_MAX)
		return found;
	if (h->nr_groups >= GROUPS_MAX || !vl_grow(h->groups, h->cap_groups, h->nr_groups, 16) ||
	    !index_grow(h, &h->groups_by_name, h->nr_groups)) {
		h->full = true;
		return SIZE_MAX;
	}
	h->groups[h->nr_groups] = (struct hosts_group){ .name = hosts_keep(h, name) };
	if (!h->groups[h->nr_groups].name)
		return SIZE_MAX;
	*slot_of(h, &h->groups_by_name, name) = h->nr_groups + 1;
	return h->nr_groups++;
}

void hosts_join(struct hosts *h, size_t group, const char *name)
{
	struct hosts_host *host = hosts_add(h, name);
	struct hosts_group *g = group < h->nr_groups ? &h->groups[group] : NULL;

	if (!host || !g)
		return;
	/* A host can be there twice: what is done to it does nothing the second time. */
	if (g->nr_hosts && g->hosts[g->nr_hosts - 1] == (size_t)(host - h->all))
		return;
	if (!vl_grow(g->hosts, g->cap_hosts, g->nr_hosts, 16))
		h->full = true;
	else
		g->hosts[g->nr_hosts++] = (size_t)(host - h->all);
}

void hosts_adopt(struct hosts *h, size_t group, const char *child)
{
	struct hosts_group *g = group < h->nr_groups ? &h->groups[group] : NULL;
	char *copy = g ? hosts_keep(h, child) : NULL;

	if (!copy)
		return;
	if (vl_grow(g->children, g->cap_children, g->nr_children, 4)) {
		g->children[g->nr_children++] = copy;
		return;
	}
	h->full = true;
	free(copy);
}

void hosts_set(struct hosts *h, char *vars[NR_HOST_VARS], const char *name, const char *value)
{
	static const struct {
		const char *name;
		enum host_var var;
	} known[] = {
		{ "ansible_host", HOST_ADDRESS },
		{ "ansible_ssh_host", HOST_ADDRESS },
		{ "ansible_user", HOST_USER },
		{ "ansible_ssh_user", HOST_USER },
		{ "ansible_port", HOST_PORT },
		{ "ansible_ssh_port", HOST_PORT },
		{ "ansible_ssh_private_key_file", HOST_KEY },
		{ "ansible_private_key_file", HOST_KEY },
		{ "ansible_connection", HOST_CONNECTION },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		free(vars[known[i].var]);
		vars[known[i].var] = hosts_keep(h, value);
		return;
	}
	/* ansible_ssh_common_args, ansible_password ...: how the host is reached, too. */
	if (!*h->ignored && (!strncmp(name, "ansible_ssh_", 12) || strstr(name, "_pass")))
		snprintf(h->ignored, sizeof(h->ignored), "%s", name);
}

void hosts_deinit(struct hosts *h)
{
	for (size_t i = 0; i < h->nr; i++) {
		free(h->all[i].name);
		for (size_t v = 0; v < NR_HOST_VARS; v++)
			free(h->all[i].vars[v]);
	}
	for (size_t i = 0; i < h->nr_groups; i++) {
		struct hosts_group *g = &h->groups[i];

		free(g->name);
		free(g->hosts);
		for (size_t c = 0; c < g->nr_children; c++)
			free(g->children[c]);
		free(g->children);
		for (size_t v = 0; v < NR_HOST_VARS; v++)
			free(g->vars[v]);
	}
	free(h->all);
	free(h->groups);
	free(h->by_name.slots);
	free(h->groups_by_name.slots);
	*h = (struct hosts){ .nr = 0 };
}

typedef void visit_fn(struct hosts *h, size_t host, void *ctx);

static void visit_below(struct hosts *h, struct hosts_group *g, visit_fn *fn, void *ctx)
{
	if (g->seen)
		return;
	g->seen = true;
	for (size_t i = 0; i < g->nr_hosts; i++)
		fn(h, g->hosts[i], ctx);
	for (size_t c = 0; c < g->nr_children; c++) {
		size_t child = find_group(h, g->children[c]);

		if (child < h->nr_groups)
			visit_below(h, &h->groups[child], fn, ctx);
	}
}

/* Call @fn for each host of @g, and of the groups in it. */
static void visit(struct hosts *h, struct hosts_group *g, visit_fn *fn, void *ctx)
{
	for (size_t i = 0; i < h->nr_groups; i++)
		h->groups[i].seen = false;
	visit_below(h, g, fn, ctx);
}

static void want(struct hosts *h, size_t host, void *ctx)
{
	(void)ctx;
	h->all[host].wanted = true;
}

bool hosts_want(struct hosts *h, const char *name)
{
	bool found = !name || !strcmp(name, "all");

	for (size_t i = 0; i < h->nr; i++) {
		bool is_it = !name || !strcmp(name, "all") || !strcmp(h->all[i].name, name);

		h->all[i].wanted = h->all[i].wanted || is_it;
		found = found || is_it;
	}
	for (size_t i = 0; name && i < h->nr_groups; i++) {
		if (strcmp(h->groups[i].name, name) != 0)
			continue;
		found = true;
		visit(h, &h->groups[i], want, NULL);
	}
	return found;
}

/* ---- variables ---- */

struct given_vars {
	char *const *vars;
};

/* Give @host the variables of a group, where it has none of its own. */
static void give(struct hosts *h, size_t host, void *ctx)
{
	const struct given_vars *given = ctx;

	for (size_t v = 0; v < NR_HOST_VARS; v++)
		if (given->vars[v] && !h->all[host].vars[v])
			h->all[host].vars[v] = hosts_keep(h, given->vars[v]);
}

/* Find the height of each group. Groups that are in each other have that of the limit. */
static void measure(struct hosts *h)
{
	bool changed = true;

	for (unsigned round = 0; changed && round < DEPTH_MAX; round++) {
		changed = false;
		for (size_t i = 0; i < h->nr_groups; i++)
			for (size_t c = 0; c < h->groups[i].nr_children; c++) {
				size_t child = find_group(h, h->groups[i].children[c]);

				if (child >= h->nr_groups ||
				    h->groups[i].height > h->groups[child].height ||
				    h->groups[child].height >= DEPTH_MAX)
					continue;
				h->groups[i].height = h->groups[child].height + 1;
				changed = true;
			}
	}
}

/* The variables of groups: those of an inner group count more, those of "all" least. */
void hosts_inherit(struct hosts *h)
{
	measure(h);
	for (unsigned level = 0; level <= DEPTH_MAX; level++)
		for (size_t i = 0; i < h->nr_groups; i++) {
			struct given_vars given = { h->groups[i].vars };

			if (strcmp(h->groups[i].name, "all") != 0 && h->groups[i].height == level)
				visit(h, &h->groups[i], give, &given);
		}
	for (size_t i = 0; i < h->nr_groups; i++)
		if (!strcmp(h->groups[i].name, "all"))
			for (size_t k = 0; k < h->nr; k++)
				give(h, k, &(struct given_vars){ h->groups[i].vars });
}

void hosts_way(const struct hosts *h, size_t i, struct remote_host *ret, bool *local_ret,
	       const char **wrong_ret)
{
	char *const *vars = h->all[i].vars;
	const char *address = vars[HOST_ADDRESS] ? vars[HOST_ADDRESS] : h->all[i].name;
	const char *connection = vars[HOST_CONNECTION];
	const char *const texts[] = { vars[HOST_USER], vars[HOST_PORT], vars[HOST_KEY] };
	char *const to[] = { ret->user, ret->port, ret->key };
	const size_t sizes[] = { sizeof(ret->user), sizeof(ret->port), sizeof(ret->key) };
	long port;

	*ret = (struct remote_host){ .is_batch = true };
	*local_ret = connection && !strcmp(connection, "local");
	*wrong_ret = NULL;
	if (connection && !*local_ret && strcmp(connection, "ssh") != 0 &&
	    strcmp(connection, "smart") != 0)
		*wrong_ret = "its ansible_connection is not ssh";
	if (!*local_ret && !remote_is_host(address))
		*wrong_ret = "that is no name that ssh can be given";
	snprintf(ret->name, sizeof(ret->name), "%s", address);
	for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
		if (texts[k] && snprintf(to[k], sizes[k], "%s", texts[k]) >= (int)sizes[k])
			*wrong_ret = "a variable of it is too long";
	if (*ret->port && !vl_number(ret->port, 1, 65535, &port))
		*wrong_ret = "its ansible_port is no port";
	if (*ret->user == '-' || *ret->key == '-')
		*wrong_ret = "a variable of it begins with a hyphen";
}
