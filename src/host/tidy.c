/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "internal.h"
#include "proc.h"
#include "monitor.h"
#include "../base/dirs.h"

#define CACHE_LIMIT (512ULL << 20)
/* A temporary file that is older than this, in seconds, is not being written any more. */
#define WRITING 3600

/* ---- the run directory ---- */

struct run_dir {
	const char *path;
	int fd;
	char boot[64];
};

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n >= m && !strcmp(name + n - m, end);
}

/* @text begins with a vl_target_run_id(): has that run ended? False: it begins with none. */
static bool is_gone(const struct run_dir *d, const char *text)
{
	uint64_t start, now;
	char boot[9], state;
	int pid, r;

	if (sscanf(text, "qemu-%d-%" SCNu64 "-%8[0-9a-f]", &pid, &start, boot) != 3 || pid <= 0)
		return false;
	if (d->boot[0] && strncmp(d->boot, boot, 8) != 0)
		return true;
	r = vl_proc_stat(pid, &state, &now);
	return r == -ENOENT || r == -ESRCH || (!r && now != start);
}

/* Take the lock @name without waiting; -1: it is held, or was removed. */
static int take(const struct run_dir *d, const char *name, int flags)
{
	int fd = openat(d->fd, name,
			O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags, 0600);
	struct stat st;

	if (fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &st) || !st.st_nlink)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool is_old(const struct run_dir *d, const char *name)
{
	struct stat st;

	return !fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) &&
	       st.st_mtime < time(NULL) - WRITING;
}

/* The file of a monitor's lock has the run of its guest (struct vl_turn). */
static bool monitor_gone(const struct run_dir *d, const char *name)
{
	struct vl_turn turn;
	_cleanup_free_ char *key = strndup(name, strlen(name) - 5);

	if (!key)
		return false;
	vl_turn_load(key, &turn);
	return turn.pid > 0 ? is_gone(d, turn.run) : is_old(d, name);
}

/* The last line of a domain's file (domcache.c) has its run. */
static bool dom_gone(const struct run_dir *d, const char *name)
{
	_cleanup_free_ char *text = NULL;
	const char *run;

	if (vl_read_file(d->fd, name, 1 << 16, &text, NULL) < 0)
		return false;
	run = strstr(text, " qemu-");
	for (const char *more = run; more; more = strstr(more + 1, " qemu-"))
		run = more;
	return run && is_gone(d, run + 1);
}

/* "domain-X.lock" is the lock for "X.dom". */
static bool domain_gone(const struct run_dir *d, const char *name)
{
	char dom[64];

	if ((size_t)snprintf(dom, sizeof(dom), "%.*s.dom", (int)strlen(name) - 12, name + 7) >=
	    sizeof(dom))
		return false;
	return (faccessat(d->fd, dom, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) ||
	       dom_gone(d, dom);
}

static void remove_lock(const struct run_dir *d, const char *name,
			bool (*gone)(const struct run_dir *d, const char *name))
{
	int lock = take(d, name, 0);

	if (lock < 0)
		return;
	if (gone(d, name))
		unlinkat(d->fd, name, 0);
	close(lock);
}

/* Is socket @sock without a listener? */
static bool is_deaf(const struct run_dir *d, const char *sock)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 &&
	       (size_t)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", d->path, sock) <
		       sizeof(sa.sun_path) &&
	       connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 &&
	       (errno == ECONNREFUSED || errno == ENOENT);
}

/*
 * Remove the socket of a keeper that has ended, and its lock, which tools hold while they ask or
 * start the keeper (keep/).
 */
static void remove_keeper(const struct run_dir *d, const char *name)
{
	int stem = (int)strlen(name) - 5, lock; /* both suffixes have this length */
	char file[64], sock[64];

	if (stem <= 0 || stem > 50)
		return;
	snprintf(file, sizeof(file), "%.*s.lock", stem, name);
	snprintf(sock, sizeof(sock), "%.*s.sock", stem, name);
	lock = take(d, file, O_CREAT);
	if (lock < 0)
		return;
	if (is_deaf(d, sock)) {
		unlinkat(d->fd, sock, 0);
		unlinkat(d->fd, file, 0);
	}
	close(lock);
}

static void look_at(const struct run_dir *d, const char *name)
{
	bool lock = ends_with(name, ".lock");

	if (!strncmp(name, "keep-", 5) && (lock || ends_with(name, ".sock")))
		remove_keeper(d, name);
	else if (!strncmp(name, "monitor-", 8) && lock)
		remove_lock(d, name, monitor_gone);
	else if (!strncmp(name, "domain-", 7) && lock)
		remove_lock(d, name, domain_gone);
	else if (!strncmp(name, "qemu-", 5) && lock)
		remove_lock(d, name, is_gone);
	else if (!strncmp(name, "qemu-", 5) ? is_gone(d, name) :
		 ends_with(name, ".dom")    ? dom_gone(d, name) :
					      strstr(name, ".dom.") && is_old(d, name))
		unlinkat(d->fd, name, 0);
}

void vl_tidy_run(void)
{
	_cleanup_free_ char *path = vl_run_path(".");
	struct run_dir d = { .path = path };
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *de;

	if (!dir)
		return;
	d.fd = dirfd(dir);
	if (vl_proc_line("/proc/sys/kernel/random/boot_id", d.boot, sizeof(d.boot)) < 0)
		d.boot[0] = '\0';
	while ((de = readdir(dir)))
		look_at(&d, de->d_name);
	closedir(dir);
}

/* ---- the cache directory ---- */

/* The files of one kernel together. */
struct group {
	char key[VL_KEY_MAX + 1];
	struct timespec used;
	uint64_t size;
};

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static int by_use(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return is_later(&x->used, &y->used) - is_later(&y->used, &x->used);
}

/* The key at the front of a file's name; false: it is not a file of the cache. */
static bool key_of(const char *name, char key[VL_KEY_MAX + 1])
{
	if (strlen(name) <= VL_KEY_MAX || name[VL_KEY_MAX] != '.')
		return false;
	memcpy(key, name, VL_KEY_MAX);
	key[VL_KEY_MAX] = '\0';
	return vl_is_key(key);
}

/* Call @fn for all files of kernels, or only for those of @key unless it is NULL. */
static void each_file(DIR *dir, const char *key, void (*fn)(int dir, const char *name, void *ctx),
		      void *ctx)
{
	char own[VL_KEY_MAX + 1];
	struct dirent *de;

	rewinddir(dir);
	while ((de = readdir(dir)))
		if (key_of(de->d_name, own) && (!key || !strcmp(own, key)))
			fn(dirfd(dir), de->d_name, ctx);
}

struct groups {
	struct group *g;
	size_t nr;
	uint64_t total;
};

static void count_file(int dir, const char *name, void *ctx)
{
	struct groups *all = ctx;
	char key[VL_KEY_MAX + 1];
	struct group *more;
	struct stat st;
	size_t i = 0;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || !key_of(name, key))
		return;
	while (i < all->nr && strcmp(all->g[i].key, key) != 0)
		i++;
	if (i == all->nr) {
		more = reallocarray(all->g, i + 1, sizeof(*more));
		if (!more)
			return;
		all->g = more;
		all->g[all->nr++] = (struct group){ .size = 0 };
		memcpy(all->g[i].key, key, sizeof(key));
	}
	all->g[i].size += (uint64_t)st.st_size;
	all->total += (uint64_t)st.st_size;
	if (is_later(&st.st_mtim, &all->g[i].used))
		all->g[i].used = st.st_mtim;
}

static void remove_file(int dir, const char *name, void *ctx)
{
	(void)ctx;
	unlinkat(dir, name, 0);
}

void vl_tidy_cache(const char *key)
{
	_cleanup_free_ char *path = NULL;
	struct groups all = { .nr = 0 };
	DIR *dir = vl_discard(vl_cache_dir(&path)) ? NULL : opendir(path);

	if (!dir)
		return;
	each_file(dir, NULL, count_file, &all);
	if (all.total > CACHE_LIMIT)
		qsort(all.g, all.nr, sizeof(*all.g), by_use);
	/*
	 * A removed file stays usable for a process that has it open. Other processes make it
	 * again.
	 */
	for (size_t i = 0; i < all.nr && all.total > CACHE_LIMIT; i++) {
		if (!strcmp(all.g[i].key, key))
			continue;
		each_file(dir, all.g[i].key, remove_file, NULL);
		all.total -= all.g[i].size;
	}
	free(all.g);
	closedir(dir);
}
