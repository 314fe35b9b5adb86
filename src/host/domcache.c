/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libvirt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "internal.h"
#include "proc.h"
#include "../base/dirs.h"
#include "../base/hash.h"

#define HEADER "vlens-domain 1\n"

static bool all_digits(const char *s)
{
	return s[strspn(s, "0123456789")] == '\0';
}

/* The inputs of a lookup, one line each; malloc'ed. */
static char *make_key(const char *spec, const char *uri)
{
	const char *env = getenv("LIBVIRT_DEFAULT_URI");
	char *key;

	if (strchr(spec, '\n') || (uri && strchr(uri, '\n')) || (env && strchr(env, '\n')) ||
	    asprintf(&key, HEADER "%s\n%s\n%s\n", spec, uri ? uri : "", !uri && env ? env : "") < 0)
		return NULL;
	return key;
}

static char *make_path(const char *key)
{
	return vl_run_path("%016llx.dom", (unsigned long long)vl_hash_text(key));
}

static void lock_name(const char *key, char ret[40])
{
	snprintf(ret, 40, "domain-%016llx", (unsigned long long)vl_hash_text(key));
}

/* The longest wait for the tools before us. A tool whose domain is stopped takes some seconds. */
#define LOCK_MS 20000

int vl_domcache_lock(const char *spec, const char *uri)
{
	_cleanup_free_ char *key = make_key(spec, uri);
	char name[40];

	if (!key)
		return VL_LOCK_NONE;
	lock_name(key, name);
	return vl_run_lock(LOCK_MS, name);
}

void vl_domcache_unlock(const char *spec, const char *uri, int lock)
{
	_cleanup_free_ char *key = make_key(spec, uri), *path = key ? make_path(key) : NULL;
	_cleanup_free_ char *file = NULL;
	char name[40];

	if (lock < 0)
		return;
	/* Nothing was stored, so there is nothing to lock. */
	if (path && access(path, F_OK) < 0 && errno == ENOENT) {
		lock_name(key, name);
		file = vl_run_path("%s.lock", name);
		if (file)
			unlink(file);
	}
	close(lock);
}

bool vl_domcache_find(const char *spec, const char *uri, pid_t *pid_ret, char run_ret[64],
		      char uuid_ret[40])
{
	_cleanup_free_ char *key = all_digits(spec) ? NULL : make_key(spec, uri);
	_cleanup_free_ char *path = key ? make_path(key) : NULL;
	_cleanup_free_ char *text = NULL;
	int pid;

	if (!path || vl_read_file(AT_FDCWD, path, 1 << 16, &text, NULL) < 0 ||
	    strncmp(text, key, strlen(key)) != 0 ||
	    sscanf(text + strlen(key), "%d %63s %39s", &pid, run_ret, uuid_ret) != 3 || pid <= 0)
		return false;
	*pid_ret = pid;
	return true;
}

void vl_domcache_store(struct vl_target *t, const char *spec, const char *uri, const char *uuid)
{
	_cleanup_free_ char *key = all_digits(spec) ? NULL : make_key(spec, uri);
	_cleanup_free_ char *path = key ? make_path(key) : NULL;
	_cleanup_free_ char *text = NULL;

	if (!path ||
	    asprintf(&text, "%s%d %s %s\n", key, (int)t->pid, vl_target_run_id(t), uuid) < 0)
		return;
	vl_error_destroy(vl_file_store(path, text, strlen(text)));
}
