/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's environment: the operator's, with the PATH of command.c. Some variables name
 * code relative to the working folder, or a file that an interpreter runs when it starts. Here
 * both are files of the guest, which must not run on this host: such values are removed.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "child.h"
#include "own.h"
#include "pathname.h"

/* Lists of places with code. Elements that depend on the working folder are removed. */
static const struct {
	const char *name, *parted_by;
	bool words; /* an element without a slash is not a path */
} lists[] = {
	{ "LD_LIBRARY_PATH", ":;", false }, { "LD_PRELOAD", ": ", true },
	{ "LD_AUDIT", ":", true },	    { "PYTHONPATH", ":", false },
	{ "PYTHONHOME", ":", false },	    { "PERL5LIB", ":", false },
	{ "PERLLIB", ":", false },	    { "RUBYLIB", ":", false },
	{ "NODE_PATH", ":", false },
};

/* Files that an interpreter runs when it starts, and (ZDOTDIR) the folder of such files. */
static const char *const dropped[] = { "BASH_ENV", "ENV", "ZDOTDIR", "PYTHONSTARTUP" };

/* Keeps the script's folder and the working folder out of sys.path (Python 3.11). */
#define SAFE_PATH "PYTHONSAFEPATH"

/* The value of @var ("NAME=VALUE") if its name is @name, or NULL. */
static const char *value_of(const char *var, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(var, name, n) && var[n] == '=' ? var + n + 1 : NULL;
}

/* Is the working folder in that of --host-files? Then relative paths are the operator's. */
static bool begins_in_folder(const struct vl_redirect_options *o)
{
	_cleanup_free_ char *cwd = NULL, *folder = NULL;
	size_t len = o->host_files ? strlen(o->host_files) : 0;

	if (!len)
		return false;
	if (len > 3 && !strcmp(o->host_files + len - 3, ":ro"))
		len -= 3;
	cwd = getcwd(NULL, 0);
	folder = strndup(o->host_files, len);
	if (!folder || !cwd)
		return false;
	vl_path_normalise(folder);
	return vl_path_below(cwd, folder);
}

/* @var without the elements that are relative paths; malloc'ed, NULL: out of memory. */
static char *clean_list(const char *var, const char *value, const char *parted_by, bool words)
{
	char *copy = strdup(var), *out;

	if (!copy)
		return NULL;
	out = copy + (value - var);
	for (size_t n; *value; value += n + (value[n] != 0)) {
		n = strcspn(value, parted_by);
		if (!n || (*value != '/' && (!words || memchr(value, '/', n))))
			continue;
		if (out[-1] != '=')
			*out++ = parted_by[0];
		memcpy(out, value, n);
		out += n;
	}
	*out = 0;
	return copy;
}

/* @var for the program, malloc'ed. NULL: it is dropped, or *@nomem is set. */
static char *clean(const char *var, bool *nomem)
{
	char *ret = NULL;
	const char *value;

	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
		if (value_of(var, dropped[i]))
			return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		value = value_of(var, lists[i].name);
		if (!value)
			continue;
		ret = clean_list(var, value, lists[i].parted_by, lists[i].words);
		*nomem |= !ret;
		/* An empty list can mean the working folder itself. */
		if (ret && !ret[value - var]) {
			free(ret);
			ret = NULL;
		}
		return ret;
	}
	ret = strdup(var);
	*nomem |= !ret;
	return ret;
}

char **vl_environ_make(const struct vl_redirect_options *o)
{
	char *const *from = o->envp ? o->envp : environ;
	bool trusted = begins_in_folder(o), safe = false, nomem = false, has_path = false;
	size_t nr = 0, n = 0;
	char **ret;

	while (from[nr])
		nr++;
	ret = calloc(nr + 3, sizeof(*ret));
	if (!ret)
		return NULL;
	for (size_t i = 0; i < nr && !nomem; i++) {
		safe |= value_of(from[i], SAFE_PATH) != NULL;
		if (value_of(from[i], "PATH")) {
			has_path = true;
			ret[n] = vl_command_path(value_of(from[i], "PATH"));
			nomem |= !ret[n];
		} else {
			ret[n] = trusted ? strdup(from[i]) : clean(from[i], &nomem);
			nomem |= trusted && !ret[n];
		}
		n += ret[n] != NULL;
	}
	if (!safe && !trusted && !nomem) {
		ret[n] = strdup(SAFE_PATH "=1");
		nomem = !ret[n++];
	}
	if (!has_path && !nomem) {
		ret[n] = vl_command_path(VL_PATH_DEFAULT);
		nomem = !ret[n];
	}
	if (!nomem)
		return ret;
	vl_environ_destroy(ret);
	return NULL;
}

void vl_environ_destroy(char **env)
{
	for (size_t i = 0; env && env[i]; i++)
		free(env[i]);
	free(env);
}
