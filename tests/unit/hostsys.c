/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hostsys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "redirect/rows.h"

#define PUSHED_MAX 64
#define FDS_MAX 4096

struct hostsys {
	struct vl_sys sys;
	struct hostsys_options o;
	unsigned int calls;
	void *pushed[PUSHED_MAX];
	size_t nr_pushed;
	unsigned char fds[FDS_MAX]; /* opened in this epoch */
};

/* Calls that no row of the policy forwards under their own name. */
static const struct {
	const char *name;
	int nr;
} numbers[] = {
	{ "newuname", __NR_uname },
	{ "newfstat", __NR_fstat },
	{ "newstat", __NR_stat },
	{ "newlstat", __NR_lstat },
	{ "close", __NR_close },
	{ "read", __NR_read },
	{ "pread64", __NR_pread64 },
	{ "lseek", __NR_lseek },
	{ "getdents64", __NR_getdents64 },
	{ "sendmsg", __NR_sendmsg },
	{ "recvmsg", __NR_recvmsg },
	{ "sendto", __NR_sendto },
	{ "recvfrom", __NR_recvfrom },
	{ "getsockname", __NR_getsockname },
	{ "getsockopt", __NR_getsockopt },
	{ "ppoll", __NR_ppoll },
	{ "poll", __NR_poll },
};

static int number_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!strcmp(numbers[i].name, name))
			return numbers[i].nr;
	for (size_t i = 0; i < vl_policy_nr; i++)
		if (!strcmp(vl_policy[i].name, name))
			return vl_policy[i].nr;
	return -1;
}

/* The path below the other root, if the file is there. */
static const char *map_path(struct hostsys *h, const char *path, char *buf, size_t size)
{
	if (!h->o.root || path[0] != '/')
		return path;
	snprintf(buf, size, "%s%s", h->o.root, path);
	return access(buf, F_OK) ? path : buf;
}

static struct vl_error *inject(struct hostsys *h, const struct vl_arg *args, size_t nr)
{
	struct timespec ts = { 0, h->o.call_us * 1000l };

	h->calls++;
	if (h->o.call_us)
		nanosleep(&ts, NULL);
	if (h->o.gone_after && h->calls > h->o.gone_after)
		return vl_error_new(VL_ERR_TARGET, "the guest is gone");
	if (h->o.fail_every && h->calls % h->o.fail_every == 0)
		return vl_error_new(VL_ERR_BLOCKED, "injected");
	for (size_t i = 0; h->o.fail_path && i < nr; i++)
		if (args[i].kind == VL_IN && args[i].len == strlen(h->o.fail_path) + 1 &&
		    !memcmp(args[i].buf, h->o.fail_path, args[i].len))
			return vl_error_new(VL_ERR_BLOCKED, "injected");
	return NULL;
}

/* struct timespec and struct timeval begin with the seconds. */
static void shift_clock(struct hostsys *h, int number, const long *a, int64_t *ret)
{
	if (number == __NR_time)
		*ret += h->o.clock_offset;
	else if ((number == __NR_clock_gettime && a[0] == CLOCK_REALTIME) ||
		 number == __NR_gettimeofday)
		*(long *)a[number == __NR_gettimeofday ? 0 : 1] += h->o.clock_offset;
}

static struct vl_error *host_call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
				  size_t nr, int64_t *ret)
{
	struct hostsys *h = (struct hostsys *)sys;
	struct vl_error *err = inject(h, args, nr);
	int number = number_of(name);
	long a[6] = { 0 };
	char buf[8192];

	*ret = -ENOSYS;
	if (err)
		return err;
	if (!sys->open)
		return vl_error_new(VL_ERR_ARG, "%s outside of an epoch", name);
	if (number < 0)
		return vl_error_new(VL_ERR_ARG, "hostsys has no %s", name);
	for (size_t i = 0; i < nr; i++) {
		a[i] = args[i].kind == VL_INT ? (long)args[i].value : (long)args[i].buf;
		if (args[i].kind == VL_IN)
			a[i] = (long)map_path(h, args[i].buf, buf, sizeof(buf));
	}
	*ret = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (*ret == -1)
		*ret = -errno;
	if (h->o.clock_offset && *ret >= 0)
		shift_clock(h, number, a, ret);
	if (h->o.lie_of && *ret >= 0 && (!strcmp(h->o.lie_of, name) || !strcmp(h->o.lie_of, "all")))
		*ret = h->o.lie;
	if ((number == __NR_openat || number == __NR_socket) && *ret >= 0 && *ret < FDS_MAX)
		h->fds[*ret] = 1;
	if (number == __NR_close && a[0] >= 0 && a[0] < FDS_MAX)
		h->fds[a[0]] = 0;
	return NULL;
}

static uint64_t host_push(struct vl_sys *sys, const void *buf, size_t len)
{
	struct hostsys *h = (struct hostsys *)sys;
	void *p = h->nr_pushed < PUSHED_MAX ? malloc(len) : NULL;

	if (!p)
		return 0;
	memcpy(p, buf, len);
	h->pushed[h->nr_pushed++] = p;
	return (uintptr_t)p;
}

static void host_pull(struct vl_sys *sys, uint64_t addr, void *buf, size_t len)
{
	(void)sys;
	memcpy(buf, (void *)(uintptr_t)addr, len);
}

static void host_reset(struct vl_sys *sys)
{
	struct hostsys *h = (struct hostsys *)sys;

	while (h->nr_pushed)
		free(h->pushed[--h->nr_pushed]);
}

static struct vl_error *host_begin(struct vl_sys *sys)
{
	struct hostsys *h = (struct hostsys *)sys;
	pid_t pid = h->o.pid ? h->o.pid : getpid();

	if (sys->open)
		return NULL;
	sys->open = 1;
	sys->brief = h->o.brief;
	sys->self = (struct vl_identity){
		pid, pid, h->o.pid ? 0 : getppid(), getpgid(pid), getsid(pid), 0, 0, 0, 0
	};
	return NULL;
}

/* Descriptors end with the epoch. */
static void host_end(struct vl_sys *sys)
{
	struct hostsys *h = (struct hostsys *)sys;

	for (int i = 0; i < FDS_MAX; i++)
		if (h->fds[i])
			close(i);
	memset(h->fds, 0, sizeof(h->fds));
	host_reset(sys);
	sys->open = 0;
	sys->epoch++;
}

static const struct vl_sys_ops ops = {
	.call = host_call,
	.push = host_push,
	.pull = host_pull,
	.reset = host_reset,
	.begin = host_begin,
	.end = host_end,
};

struct vl_sys *hostsys_create(const struct hostsys_options *o)
{
	struct hostsys *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->sys.ops = &ops;
	h->o = *o;
	return &h->sys;
}

void hostsys_destroy(struct vl_sys *sys)
{
	if (sys && sys->open)
		host_end(sys);
	free(sys);
}
