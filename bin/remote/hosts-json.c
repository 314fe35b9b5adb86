/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON of `ansible-inventory --list`, which dynamic inventories have, too. */
#include <json-c/json.h>
#include <string.h>

#include "hosts.h"

static void set_all(struct hosts *h, char *vars[NR_HOST_VARS], json_object *from)
{
	if (!json_object_is_type(from, json_type_object))
		return;
	json_object_object_foreach(from, name, value) if (value)
		hosts_set(h, vars, name, json_object_get_string(value));
}

/* The texts of the list @name of @o, one by one. */
static const char *text_at(json_object *o, const char *name, size_t i)
{
	json_object *list;

	if (!json_object_object_get_ex(o, name, &list) ||
	    !json_object_is_type(list, json_type_array) || i >= json_object_array_length(list))
		return NULL;
	return json_object_get_string(json_object_array_get_idx(list, i));
}

struct vl_error *hosts_read_json(const char *text, size_t len, struct hosts *ret)
{
	json_tokener *tokener = len < INT32_MAX ? json_tokener_new() : NULL;
	json_object *top = tokener ? json_tokener_parse_ex(tokener, text, (int)len) : NULL;
	json_object *meta, *vars;
	const char *name;

	if (tokener)
		json_tokener_free(tokener);
	if (!json_object_is_type(top, json_type_object)) {
		json_object_put(top);
		return vl_error_new(VL_ERR_ARG, "that is no JSON of ansible-inventory --list");
	}
	json_object_object_foreach(top, key, group)
	{
		size_t g;

		if (!strcmp(key, "_meta"))
			continue;
		g = hosts_group(ret, key);
		/* A group can also be only a list of hosts. */
		for (size_t i = 0; json_object_is_type(group, json_type_array) &&
				   i < json_object_array_length(group);
		     i++) {
			name = json_object_get_string(json_object_array_get_idx(group, i));
			if (name)
				hosts_join(ret, g, name);
		}
		if (!json_object_is_type(group, json_type_object) || g >= ret->nr_groups)
			continue;
		for (size_t i = 0; (name = text_at(group, "hosts", i)); i++)
			hosts_join(ret, g, name);
		for (size_t i = 0; (name = text_at(group, "children", i)); i++)
			hosts_adopt(ret, g, name);
		if (json_object_object_get_ex(group, "vars", &vars))
			set_all(ret, ret->groups[g].vars, vars);
	}
	if (json_object_object_get_ex(top, "_meta", &meta) &&
	    json_object_object_get_ex(meta, "hostvars", &vars) &&
	    json_object_is_type(vars, json_type_object)) {
		json_object_object_foreach(vars, host, of)
		{
			struct hosts_host *found = hosts_add(ret, host);

			if (found)
				set_all(ret, found->vars, of);
		}
	}
	json_object_put(top);
	return NULL;
}
