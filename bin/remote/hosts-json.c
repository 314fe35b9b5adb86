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

typedef void item_fn(struct hosts *h, size_t group, const char *name);

/* Call @fn for the names in @list, which may be absent. False: it is no list of names. */
static bool each_name(struct hosts *h, size_t group, json_object *list, item_fn *fn)
{
	if (!list)
		return true;
	if (!json_object_is_type(list, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);

		if (!json_object_is_type(o, json_type_string) || !json_object_get_string_len(o))
			return false;
		fn(h, group, json_object_get_string(o));
	}
	return true;
}

/* False: @group is none. */
static bool read_group(struct hosts *h, const char *key, json_object *group)
{
	const size_t g = hosts_group(h, key);
	json_object *vars, *list = NULL;

	/* A group can also be only a list of hosts. */
	if (!group || json_object_is_type(group, json_type_array))
		return each_name(h, g, group, hosts_join);
	if (!json_object_is_type(group, json_type_object))
		return false;
	json_object_object_get_ex(group, "hosts", &list);
	if (!each_name(h, g, list, hosts_join))
		return false;
	list = NULL;
	json_object_object_get_ex(group, "children", &list);
	if (!each_name(h, g, list, hosts_adopt))
		return false;
	if (g < h->nr_groups && json_object_object_get_ex(group, "vars", &vars))
		set_all(h, h->groups[g].vars, vars);
	return true;
}

struct vl_error *hosts_read_json(const char *text, size_t len, struct hosts *ret)
{
	json_tokener *tokener = len < INT32_MAX ? json_tokener_new() : NULL;
	json_object *top = tokener ? json_tokener_parse_ex(tokener, text, (int)len) : NULL;
	size_t end = tokener ? json_tokener_get_parse_end(tokener) : 0;
	json_object *meta, *vars;
	struct vl_error *err = NULL;

	if (tokener)
		json_tokener_free(tokener);
	if (!json_object_is_type(top, json_type_object) ||
	    end + strspn(text + end, " \t\r\n") < len) {
		json_object_put(top);
		return vl_error_new(VL_ERR_ARG, "that is no JSON of ansible-inventory --list");
	}
	json_object_object_foreach(top, key, group) if (!err && strcmp(key, "_meta") != 0 &&
							!read_group(ret, key, group)) err =
		vl_error_new(VL_ERR_ARG,
			     "group '%s' is no object whose hosts and children are lists of "
			     "names",
			     key);
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
	return err;
}
