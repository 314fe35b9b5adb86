/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cache of the process that a domain's name meant last time. A question to libvirt costs some
 * 20 ms, most of it for loading the library. An entry is valid as long as its process lives.
 */
#ifndef VLENS_HOST_DOMCACHE_H
#define VLENS_HOST_DOMCACHE_H

#include <stdbool.h>
#include <sys/types.h>

struct vl_target;

/*
 * The process and UUID that @spec had on @uri (NULL: the default). The caller checks that the
 * process's run id is *@run_ret. False: not known. A @spec of digits alone is never found: it
 * may be the id of a new domain, and an id goes before a name.
 */
bool vl_domcache_find(const char *spec, const char *uri, pid_t *pid_ret, char run_ret[64],
		      char uuid_ret[40]);

/* Remember the process that @t is bound to under @spec. Best effort. */
void vl_domcache_store(struct vl_target *t, const char *spec, const char *uri, const char *uuid);

/* The lock for looking a domain up at libvirt; see vl_run_lock(). Waits 20 s at most. */
int vl_domcache_lock(const char *spec, const char *uri);

#endif
