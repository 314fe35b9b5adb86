/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/number.h"
#include "internal.h"
#include "../base/process.h"

/* A QEMU has some hundred mappings of about 80 bytes; this is for 100,000. */
#define MAPS_MAX (8U << 20)

int vl_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *len_ret)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, size = 4096;
	char *more;
	ssize_t n;

	if (fd < 0)
		return -errno;
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		n = read(fd, buf + len, size - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
		if (size - len > 4000)
			continue;
		size *= 2;
		more = realloc(buf, size);
		if (!more)
			return -ENOMEM;
		buf = more;
	}
	buf[len] = '\0';
	*ret = vl_taken(buf);
	if (len_ret)
		*len_ret = len;
	return 0;
}

bool vl_parse_stat(const char *text, char *state_ret, uint64_t *start_ret)
{
	/* "pid (name) state ppid …": the name may hold ')' and blanks. */
	const char *p = strrchr(text, ')');
	int field;

	if (!p || p[1] != ' ' || !p[2])
		return false;
	*state_ret = p[2];
	p += 2;
	/* The state is field 3, the start time field 22. */
	for (field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p)
			return false;
		p++;
	}
	return vl_take_u64(&p, 10, UINT64_MAX, start_ret);
}

int vl_proc_line(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = read(fd, buf, size - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

int vl_proc_stat(pid_t pid, char *state_ret, uint64_t *start_ret)
{
	/* 52 numbers of up to 20 digits, and a name. */
	char path[64], text[2048];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = vl_proc_line(path, text, sizeof(text));
	if (r < 0)
		return r;
	return vl_parse_stat(text, state_ret, start_ret) ? 0 : -EINVAL;
}

size_t vl_proc_pids(pid_t **ret)
{
	struct dirent **list;
	int all = scandir("/proc", &list, NULL, versionsort);
	pid_t *pids = all > 0 ? calloc((size_t)all, sizeof(*pids)) : NULL;
	size_t nr = 0;

	for (int i = 0; i < all; i++) {
		long pid;

		if (pids && vl_number(list[i]->d_name, 1, INT_MAX, &pid))
			pids[nr++] = (pid_t)pid;
		free(list[i]);
	}
	if (all >= 0)
		free(list);
	*ret = pids;
	return nr;
}

struct vl_error *vl_parse_maps(const char *text, struct vl_vma **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_vma *v = NULL;
	size_t nr = 0, size = 0;

	for (const char *p = text; *p; p++) {
		unsigned int major, minor;
		struct vl_vma vma;
		char perm[5];

		if (sscanf(p, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &vma.start,
			   &vma.end, perm, &vma.offset, &major, &minor, &vma.ino) != 7)
			return vl_error_new(VL_ERR_TARGET,
					    "cannot understand the process's memory map");
		vma.dev = makedev(major, minor);
		vma.writable = perm[1] == 'w';
		vma.executable = perm[2] == 'x';
		vma.shared = perm[3] == 's';
		if (!vl_grow(v, size, nr, 256))
			return vl_error_nomem();
		v[nr++] = vma;
		p = strchr(p, '\n');
		if (!p)
			break;
	}
	*ret = vl_taken(v);
	*nr_ret = nr;
	return NULL;
}

struct vl_error *vl_proc_denied(pid_t pid, int err)
{
	if (err == ENOENT || err == ESRCH)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "process %d has gone", (int)pid),
				     "start the guest again");
	/* Root is refused in a container, or by a security module. */
	if ((err == EACCES || err == EPERM) && !geteuid())
		return vl_error_hint(
			vl_target_denied(vl_error_new(
				VL_ERR_TARGET, "process %d is closed even to root", (int)pid)),
			"a container needs CAP_SYS_PTRACE; SELinux or AppArmor must allow it "
			"(look for \"denied\" in the kernel's log); see vlens doctor");
	if (err == EACCES || err == EPERM)
		return vl_error_hint(
			vl_target_denied(vl_error_new(
				VL_ERR_TARGET, "no permission to look into process %d", (int)pid)),
			"run as root (or, for a guest of your own session, as the same user)");
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "cannot look into process %d: %s",
					  (int)pid, strerror(err)),
			     "try as root");
}

struct vl_error *vl_proc_maps(pid_t pid, struct vl_vma **ret, size_t *nr_ret)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	r = vl_read_file(AT_FDCWD, path, MAPS_MAX, &text, NULL);
	if (r < 0)
		return vl_proc_denied(pid, -r);
	/* After the process has exited, its file can still be opened, and is empty. */
	if (!*text)
		return vl_proc_denied(pid, ESRCH);
	return vl_parse_maps(text, ret, nr_ret);
}

struct vl_error *vl_maps_open(struct vl_maps *m, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	*m = (struct vl_maps){ .pid = pid, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) };
	return m->fd < 0 ? vl_proc_denied(pid, errno) : NULL;
}

struct vl_error *vl_maps_read(struct vl_maps *m)
{
	return vl_proc_maps(m->pid, &m->all, &m->nr);
}

static const struct vl_vma *find_in(const struct vl_vma *v, size_t nr, uint64_t va)
{
	size_t at = vl_bisect(i, nr, v[i].end <= va);

	return at < nr && v[at].start <= va ? &v[at] : NULL;
}

struct vl_error *vl_maps_find(struct vl_maps *m, uint64_t va, struct vl_vma *ret, bool *found_ret)
{
	const struct vl_vma *vma;
	struct vl_procmap q;
	struct vl_error *err;
	int r;

	r = m->all ? -ENOTTY : vl_procmap_query(m->fd, 0, va, &q);
	*found_ret = !r;
	if (r == -ENOENT)
		return NULL;
	if (!r) {
		*ret = (struct vl_vma){
			q.start,
			q.end,
			q.offset,
			makedev(q.major, q.minor),
			q.ino,
			q.flags & VL_PROCMAP_SHARED,
			q.flags & VL_PROCMAP_WRITABLE,
			q.flags & VL_PROCMAP_EXECUTABLE,
		};
		return NULL;
	}
	err = m->all ? NULL : vl_maps_read(m);
	if (err)
		return err;
	vma = find_in(m->all, m->nr, va);
	*found_ret = vma;
	if (vma)
		*ret = *vma;
	return NULL;
}

void vl_maps_close(struct vl_maps *m)
{
	if (m->fd >= 0)
		close(m->fd);
	free(m->all);
}

/*
 * Open @path below @dir if it is the regular file behind @vma. The process can put another file
 * there at any time: O_NONBLOCK, as a FIFO must not make us wait.
 */
static int open_regular(int dir, const char *path, const struct vl_vma *vma)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == vma->ino)
		return fd;
	close(fd);
	return -ENOENT;
}

int vl_proc_open_mapped(pid_t pid, const struct vl_vma *vma)
{
	char path[96];
	struct dirent *de;
	int fd, err;
	DIR *dir;

	/* The direct way; following these links needs CAP_CHECKPOINT_RESTORE. */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid,
		 vma->start, vma->end);
	fd = open_regular(AT_FDCWD, path, vma);
	if (fd >= 0)
		return fd;
	err = fd;

	/* QEMU keeps the descriptor of a backend open: find it by its inode. */
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return err;
	while (fd < 0 && (de = readdir(dir))) {
		struct stat st;

		if (de->d_name[0] == '.' || fstatat(dirfd(dir), de->d_name, &st, 0) < 0)
			continue;
		if (st.st_ino != vma->ino || st.st_dev != vma->dev || !S_ISREG(st.st_mode))
			continue;
		fd = open_regular(dirfd(dir), de->d_name, vma);
		if (fd < 0)
			err = fd;
	}
	closedir(dir);
	return fd >= 0 ? fd : err;
}

static DIR *open_threads(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	return opendir(path);
}

/* The state of the next thread; 0: there are no more. */
static char next_state(DIR *threads)
{
	struct dirent *de;

	while ((de = readdir(threads))) {
		char name[sizeof(de->d_name) + 8], text[512], state;
		uint64_t start;
		ssize_t n;
		int fd;

		if (de->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/stat", de->d_name);
		fd = openat(dirfd(threads), name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue; /* the thread has ended */
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (n <= 0)
			continue;
		text[n] = '\0';
		if (vl_parse_stat(text, &state, &start))
			return state;
	}
	return 0;
}

int vl_proc_all_stopped(pid_t pid)
{
	DIR *threads = open_threads(pid);
	char state;

	if (!threads)
		return -errno;
	/*
	 * T, t: stopped. Z, X: dead. D, I: asleep in the kernel, and no signal wakes it. Such a
	 * thread takes the pending stop before it returns to user or guest mode.
	 */
	while ((state = next_state(threads)) && strchr("TtZXDI", state))
		;
	closedir(threads);
	return !state;
}

bool vl_proc_is_stopping(pid_t pid)
{
	char path[64], status[4096], state = 0;
	const char *pending;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (vl_proc_line(path, status, sizeof(status)) < 0)
		return false;
	/* proc(5): a mask; its lowest bit is signal 1. */
	pending = strstr(status, "\nShdPnd:");
	if (pending && vl_front_u64(pending + 8, 16) >> (SIGSTOP - 1) & 1)
		return true;
	/* The first thread that takes the signal stops, and has the others stop. */
	threads = open_threads(pid);
	while (threads && (state = next_state(threads)) && state != 'T' && state != 't')
		;
	if (threads)
		closedir(threads);
	return state;
}

struct vl_error *vl_proc_stopped(pid_t pid)
{
	struct vl_error *err =
		vl_error_new(VL_ERR_TARGET, "the hypervisor, process %d, is stopped", (int)pid);
	uint64_t start;
	char state;

	if (vl_proc_stat(pid, &state, &start) == 0 && state == 't')
		return vl_error_hint(err, "a debugger holds it: detach that, then try again");
	return vl_error_hint(err, "it got SIGSTOP: run kill -CONT %d, then try again", (int)pid);
}

struct vl_error *vl_proc_check_stopped(pid_t pid)
{
	uint64_t start;
	char state;

	/* A SIGCONT of the guard may be just taking effect: look twice, 20 ms apart. */
	for (int i = 0; i < 2; i++) {
		if (vl_proc_stat(pid, &state, &start) < 0 || !strchr("Tt", state))
			return NULL;
		if (!i)
			usleep(20000);
	}
	return vl_proc_stopped(pid);
}
