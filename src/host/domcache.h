/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which process a domain's name meant last time. To ask libvirt costs some
 * 20 ms, most of it for loading the library; while that very process lives, its
 * domain is the same.
 */
#ifndef VLENS_HOST_DOMCACHE_H
#define VLENS_HOST_DOMCACHE_H

#include <stdbool.h>
#include <sys/types.h>

struct vl_target;

/*
 * The process and UUID that @spec (on @uri, NULL: the default) had; the caller
 * checks that the process's run id is *@run_ret. False: not known. A @spec of
 * digits alone is never answered, an id goes before a name and may be new.
 */
bool vl_domcache_find(const char *spec, const char *uri, pid_t *pid_ret, char run_ret[64],
		      char uuid_ret[40]);

/* Remember for @spec what @t is bound to. Best effort. */
void vl_domcache_store(struct vl_target *t, const char *spec, const char *uri, const char *uuid);

/* The lock for who finds the domain out; see vl_run_lock(). Waits for as long as that takes. */
int vl_domcache_lock(const char *spec, const char *uri);

#endif
