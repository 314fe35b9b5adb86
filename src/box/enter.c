/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/process.h"
#include "box.h"

/*
 * User ids above 2^31 are unused: systemd's list (UIDS-GIDS.md) says so, as many programs take
 * them for negative.
 */
#define UID_BASE 0x80000000u
#define UID_MASK 0x3fffffffu

/* Threads: the main one, the filler of a snapshot, the watchdog of an executor. */
#define MAX_THREADS 16
#define MORE_FILES 64
/* CPU time of its whole life. The broker sets a lower limit for each epoch, if it may. */
#define CPU_SECONDS 7200

static void miss(struct vl_box_report *r, const char *what, int err)
{
	if (!r->missing[0])
		snprintf(r->missing, sizeof(r->missing), "no %s: %s", what, strerror(err));
}

static bool put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* An ordinary user has namespaces only within a user namespace. */
static bool enter_user(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER))
		return false;
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (!put_file("/proc/self/uid_map", map))
		return false;
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	return put_file("/proc/self/setgroups", "deny") && put_file("/proc/self/gid_map", map);
}

/* An empty, read-only root directory. */
static bool empty_root(void)
{
	/* The mount point may be any directory that always exists. */
	static const char place[] = "/proc";

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=4k,nr_inodes=2,mode=555") ||
	    chdir(place))
		return false;
	/* An initramfs root cannot be unmounted; chroot() at least puts it out of reach. */
	if (syscall(SYS_pivot_root, ".", "."))
		return !chroot(".") && !chdir("/");
	return !umount2(".", MNT_DETACH) && !chdir("/") &&
	       !mount(NULL, "/", NULL,
		      MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/*
 * Enter the namespaces of another boxed process. They have no file, interface or IPC object,
 * and the filter keeps both processes from making one. Needs Linux 5.8 on the host.
 */
static bool share_namespaces(int beside)
{
	if (geteuid() || setns(beside, CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS))
		return false;
	/* With an initramfs as root, chroot() alone leads to the empty directory (empty_root()). */
	return access("/proc", F_OK) || (!chroot("/proc") && !chdir("/"));
}

static void make_namespaces(struct vl_box_report *r)
{
	if (geteuid() && !enter_user())
		miss(r, "user namespace", errno);
	if (!unshare(CLONE_NEWNET))
		r->has |= VL_BOX_NET;
	else
		miss(r, "network namespace", errno);
	if (!unshare(CLONE_NEWNS) && empty_root())
		r->has |= VL_BOX_MOUNT;
	else
		miss(r, "empty root directory", errno);
	if (!unshare(CLONE_NEWIPC | CLONE_NEWUTS))
		r->has |= VL_BOX_IPC;
	else
		miss(r, "IPC namespace", errno);
}

static void enter_namespaces(bool own_pids, int beside, struct vl_box_report *r)
{
	if (beside >= 0 && share_namespaces(beside))
		r->has |= VL_BOX_NET | VL_BOX_MOUNT | VL_BOX_IPC;
	else
		make_namespaces(r);
	if (beside >= 0)
		close(beside);
	if (own_pids)
		r->has |= VL_BOX_PID;
	else
		miss(r, "PID namespace", EPERM);
}

static bool limit(int what, uint64_t value)
{
	struct rlimit l;

	if (getrlimit((__rlimit_resource_t)what, &l))
		return false;
	if (l.rlim_max != RLIM_INFINITY && value > l.rlim_max)
		value = l.rlim_max;
	l.rlim_cur = l.rlim_max = value;
	return !setrlimit((__rlimit_resource_t)what, &l);
}

/* Bytes of address space that this process has now. */
static uint64_t mapped_now(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%llu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool set_limits(uint64_t memory, int max_fd)
{
	uint64_t now = mapped_now();

	return (!now || limit(RLIMIT_AS, now + memory)) && limit(RLIMIT_CORE, 0) &&
	       limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_CPU, CPU_SECONDS) &&
	       limit(RLIMIT_NOFILE, (uint64_t)max_fd + MORE_FILES) && limit(RLIMIT_MEMLOCK, 0) &&
	       limit(RLIMIT_MSGQUEUE, 0) && limit(RLIMIT_NICE, 0) && limit(RLIMIT_RTPRIO, 0);
}

/* No capability is left, and none can come back. */
static bool drop_caps(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return !syscall(SYS_capset, &head, none);
}

/* Change to an unused user id, if we are root. */
static bool change_user(struct vl_box_report *r)
{
	uint32_t id;

	r->uid = geteuid();
	if (r->uid)
		return true;
	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return false;
	id = UID_BASE | (id & UID_MASK);
	if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id))
		return false;
	r->uid = id;
	r->has |= VL_BOX_UID;
	/* No other process has this user id, so the limit counts its threads only. */
	return limit(RLIMIT_NPROC, MAX_THREADS);
}

struct vl_error *vl_box_enter(uint64_t memory, int max_fd, bool own_pids, int beside,
			      struct vl_box_report *ret)
{
	int err;

	*ret = (struct vl_box_report){ 0 };
	/* Limits below bound address space only. If memory gets short, kill us, not the guest. */
	vl_process_set_oom("1000");
	if (!set_limits(memory, max_fd))
		return vl_error_os(errno, "cannot set limits");
	ret->has |= VL_BOX_LIMITS;
	enter_namespaces(own_pids, beside, ret);
	/*
	 * First the bounding set, as that takes CAP_SETPCAP. EINVAL: there are no more; EPERM: an
	 * ordinary user has none to drop.
	 */
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno == EINVAL)
			break;
	if (!change_user(ret) || !drop_caps())
		return vl_error_os(errno, "cannot give up rights");
	/* After the change of user, which would reset the first two. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return vl_error_os(errno, "cannot give up rights");
	err = vl_box_filter_load();
	if (err)
		return vl_error_os(-err, "cannot install the system call filter");
	ret->has |= VL_BOX_FILTER;
	return NULL;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void close_between(unsigned first, unsigned last)
{
	if (first > last || !syscall(SYS_close_range, first, last, 0))
		return;
	for (unsigned fd = first; fd <= last && fd < 65536; fd++)
		close((int)fd);
}

bool vl_box_keep(struct vl_box_fds *keep, int fd)
{
	if (fd < 0)
		return true;
	if (keep->nr == VL_BOX_FDS)
		return false;
	keep->fd[keep->nr++] = fd;
	return true;
}

void vl_box_close_others(struct vl_box_fds *keep)
{
	unsigned next = 0;

	qsort(keep->fd, keep->nr, sizeof(keep->fd[0]), by_number);
	for (size_t i = 0; i < keep->nr; i++) {
		unsigned fd = (unsigned)keep->fd[i];

		if (fd > next)
			close_between(next, fd - 1);
		if (fd >= next)
			next = fd + 1;
	}
	close_between(next, ~0U);
}

/* The same by /proc/self/maps as text, for a host's kernel without PROCMAP_QUERY. */
static void unmap_by_text(const struct vl_wire *w)
{
	FILE *f = fopen("/proc/self/maps", "re");
	struct {
		unsigned long start, end;
	} found[64];
	char line[512], perms[8];
	size_t nr = 0;

	while (f && nr < 64 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s", &found[nr].start, &found[nr].end, perms) == 3 &&
		    perms[1] == 'w' && perms[3] == 's' &&
		    (found[nr].end <= (unsigned long)w ||
		     found[nr].start >= (unsigned long)(w + 1)))
			nr++;
	if (!f || nr == 64)
		_exit(1);
	fclose(f);
	for (size_t i = 0; i < nr; i++)
		munmap((void *)found[i].start, found[i].end - found[i].start);
}

void vl_box_unmap_shared(const struct vl_wire *w)
{
	const uint64_t flags = VL_PROCMAP_NEXT | VL_PROCMAP_WRITABLE | VL_PROCMAP_SHARED;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), r;
	struct vl_procmap m = { .end = 0 };

	while (!(r = vl_procmap_query(fd, flags, m.end, &m)))
		if (m.end <= (uint64_t)w || m.start >= (uint64_t)(w + 1))
			munmap((void *)m.start, m.end - m.start);
	if (fd >= 0)
		close(fd);
	if (r != -ENOENT)
		unmap_by_text(w);
}
