/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's files that are the program's own: its executable and the files installed beside
 * it, the libraries that its loader opens, its data and settings (programs.c), and the folder
 * of --host-files. Also the program's working directory, which is a directory of the guest.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "own.h"
#include "pathname.h"
#include "tasks.h"
#include "trap.h"

/* Where programs and their libraries are installed. */
static const char *const installed[] = {
	"/usr",	 "/lib", "/lib32", "/lib64", "/libx32", "/bin",
	"/sbin", "/opt", "/nix",   "/gnu",   "/snap",
};

/* Other places of libraries and programs: links lead there, or rows of paths.c name them. */
static const char *const others[] = {
	"/etc/alternatives", "/etc/ld.so.cache",	 "/etc/ld.so.preload", "/etc/ld.so.conf",
	"/etc/ld.so.conf.d", "/etc/ld-musl-x86_64.path", "/etc/terminfo",      "/etc/locale.alias",
	"/etc/services",     "/etc/protocols",		 "/etc/rpc",	       "/etc/iproute2",
};

static size_t in_list(const char *norm, const char *const *list, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		size_t n = vl_path_below(norm, list[i]);

		if (n)
			return n;
	}
	return 0;
}

static size_t in_own(const struct vl_redirect *r, const char *norm)
{
	return in_list(norm, (const char *const *)r->own, r->nr_own);
}

/* Is @norm in the folder of --host-files? */
bool vl_own_folder(const struct vl_redirect *r, const char *norm)
{
	return r->folder && vl_path_below(norm, r->folder);
}

/* Files that a loader reads besides libraries. */
static const char *const loader_settings[] = { "/etc/ld.so.cache", "/etc/ld.so.preload",
					       "/etc/ld-musl-x86_64.path" };

/*
 * Does the program's loader make the call? Its address says so. A file that the loader opens
 * becomes code of the program, so the loader gets the host's file or none, whatever the path:
 * LD_LIBRARY_PATH can name the working directory, which is the guest's. musl's loader is also
 * its C library, which makes all of the program's calls. With musl, only a path with the place
 * and the name of a library counts.
 */
bool vl_own_library(struct vl_trap *t, const char *norm)
{
	const struct vl_task *task = vl_task_find(t->r, t->tid);

	if (!task || t->ip < task->loader || t->ip >= task->loader_end)
		return false;
	if (!task->loader_libc)
		return strcmp(norm, "/proc/self/exe") && strcmp(norm, "/proc/self/maps");
	return in_list(norm, loader_settings, ARRAY_SIZE(loader_settings)) ||
	       (in_list(norm, installed, ARRAY_SIZE(installed)) && strstr(norm, ".so"));
}

/*
 * May the loader have @fd, an O_PATH descriptor of the host's file @norm? Any code of the
 * program can jump into the loader, so only libraries are handed over: ELF files that
 * everybody, or the user who started us, may read.
 */
bool vl_own_library_file(int fd, const char *norm, const struct stat *st)
{
	char link[32], head[SELFMAG];
	bool yes;
	int ro;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	/* access(2) checks the rights of the real user. */
	if (!S_ISREG(st->st_mode) || (!(st->st_mode & S_IROTH) && access(link, R_OK)))
		return false;
	if (in_list(norm, loader_settings, ARRAY_SIZE(loader_settings)))
		return true;
	ro = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (ro < 0)
		return false;
	yes = pread(ro, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	      !memcmp(head, ELFMAG, SELFMAG);
	close(ro);
	return yes;
}

/* Is @norm a file of the program's own, by its executable, environment or name? */
bool vl_own_file(struct vl_trap *t, const char *norm)
{
	const struct vl_task *task = vl_task_find(t->r, t->tid);

	return in_own(t->r, norm) || (task && vl_program_file(t->r, task, norm));
}

/* May the program execute @norm of the host? If it is installed, in PATH, or its own. */
bool vl_own_executable(const struct vl_redirect *r, const char *norm)
{
	return in_list(norm, installed, ARRAY_SIZE(installed)) || in_own(r, norm) ||
	       vl_own_folder(r, norm) || vl_command_folder(r, norm);
}

/* The bytes of @norm that name ~/.terminfo, which is the operator's; 0: it is elsewhere. */
size_t vl_own_terminfo(const struct vl_redirect *r, const char *norm)
{
	char path[PATH_MAX];

	/* Nearly no path has the name. */
	if (!r->home || r->home[0] != '/' || !strstr(norm, "/.terminfo"))
		return 0;
	snprintf(path, sizeof(path), "%s/.terminfo", r->home);
	vl_path_normalise(path);
	return vl_path_below(norm, path);
}

/* The bytes of @norm that name the place of the host that it is in; 0: it is in none. */
size_t vl_own_root(struct vl_trap *t, const char *norm)
{
	const struct vl_task *task = vl_task_find(t->r, t->tid);
	size_t n = vl_own_folder(t->r, norm) ? strlen(t->r->folder) : in_own(t->r, norm);

	if (!n && task)
		n = vl_program_file(t->r, task, norm);
	if (!n)
		n = in_list(norm, installed, ARRAY_SIZE(installed));
	if (!n)
		n = vl_command_folder(t->r, norm);
	if (!n)
		n = vl_own_terminfo(t->r, norm);
	return n ? n : in_list(norm, others, ARRAY_SIZE(others));
}

int vl_own_place(const struct vl_redirect *r, const char *path)
{
	for (size_t i = 0; i < VL_PLACES; i++)
		if (r->places[i].path && !strcmp(r->places[i].path, path))
			return r->places[i].fd;
	return -ENOENT;
}

int vl_own_keep_place(struct vl_redirect *r, const char *path, int fd)
{
	struct vl_open_folder *place = &r->places[r->nr_places % VL_PLACES];
	char *copy = strdup(path);

	if (!copy) {
		close(fd);
		return -ENOMEM;
	}
	if (place->path)
		close(place->fd);
	free(place->path);
	*place = (struct vl_open_folder){ copy, fd };
	r->nr_places++;
	return fd;
}

/* Add @path, @len bytes, to the program's own. False: out of memory. */
static bool own(struct vl_redirect *r, const char *path, size_t len)
{
	_cleanup_free_ char *copy = NULL;
	char **more;

	for (size_t i = 0; i < r->nr_own; i++)
		if (!strncmp(r->own[i], path, len) && !r->own[i][len])
			return true;
	if (len < 2 || path[0] != '/')
		return true;
	copy = strndup(path, len);
	more = copy ? realloc(r->own, (r->nr_own + 1) * sizeof(*more)) : NULL;
	if (!more)
		return false;
	r->own = more;
	vl_path_normalise(copy);
	/* Never the root, and never /proc or /sys, which are the guest's. */
	if (!vl_path_below(copy, "/proc") && !vl_path_below(copy, "/sys") && strcmp(copy, "/"))
		r->own[r->nr_own++] = vl_taken(copy);
	return true;
}

/*
 * The executable is the program's own. If it is PREFIX/bin/PROGRAM, the libraries and data
 * below PREFIX are its own, too. An executable in a place that all programs share is not added:
 * only the kernel reads it.
 */
void vl_own_exe(struct vl_redirect *r, const char *exe)
{
	static const char *const dirs[] = { "bin", "sbin", "libexec" };
	static const char *const beside[] = { "lib", "lib64", "libexec", "share" };
	const char *slash = strrchr(exe, '/'), *up;
	char path[PATH_MAX];

	up = slash ? memrchr(exe, '/', slash - exe) : NULL;
	if (!up || up == exe || !strncmp(exe, "/usr/", 5))
		return;
	own(r, exe, strlen(exe));
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		if ((size_t)(slash - up - 1) != strlen(dirs[i]) ||
		    strncmp(up + 1, dirs[i], strlen(dirs[i])))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(beside); k++) {
			snprintf(path, sizeof(path), "%.*s/%s", (int)(up - exe), exe, beside[k]);
			own(r, path, strlen(path));
		}
	}
}

/*
 * Python finds its library from the path that it was started by, even if that is a link:
 * pyvenv.cfg beside it or one level up names the library. A venv has its library below itself.
 */
static void own_python(struct vl_redirect *r, const char *exe)
{
	const char *slash = strrchr(exe, '/'), *up;
	char path[PATH_MAX];
	int len;

	if (!slash || slash == exe ||
	    (strncmp(slash + 1, "python", 6) && strncmp(slash + 1, "pypy", 4)))
		return;
	vl_own_exe(r, exe);
	len = (int)(slash - exe);
	snprintf(path, sizeof(path), "%.*s/pyvenv.cfg", len, exe);
	own(r, path, strlen(path));
	snprintf(path, sizeof(path), "%.*s/pybuilddir.txt", len, exe);
	own(r, path, strlen(path));
	up = memrchr(exe, '/', slash - exe);
	snprintf(path, sizeof(path), "%.*s/pyvenv.cfg", up ? (int)(up - exe) : 0, exe);
	own(r, path, strlen(path));
}

static void approve(struct vl_redirect *r, int fd)
{
	struct stat st;

	if (!fstat(fd, &st))
		r->approved[r->nr_approved++ % VL_MAX_APPROVED] =
			(struct vl_program_id){ st.st_dev, st.st_ino };
}

/* Approve the program that the kernel executes for a script that begins with "#!" and @line. */
static void approve_interpreter(struct vl_redirect *r, char *line)
{
	int fd;

	line += strspn(line, " \t");
	line[strcspn(line, " \t\n")] = 0;
	fd = *line == '/' ? open(line, O_PATH | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	approve(r, fd);
	close(fd);
}

void vl_own_script(struct vl_redirect *r, const char *path, int fd)
{
	char head[256], link[32];
	ssize_t n;
	int ro;

	approve(r, fd);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ro = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	n = ro < 0 ? -1 : read(ro, head, sizeof(head) - 1);
	if (n > 2 && !memcmp(head, "#!", 2)) {
		own(r, path, strlen(path));
		head[n] = 0;
		approve_interpreter(r, head + 2);
	}
	if (ro >= 0)
		close(ro);
	own_python(r, path);
}

bool vl_own_approved(const struct vl_redirect *r, pid_t tid)
{
	char link[32];
	struct stat st;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)tid);
	if (stat(link, &st))
		return false;
	for (size_t i = 0; i < r->nr_approved && i < VL_MAX_APPROVED; i++)
		if (r->approved[i].dev == st.st_dev && r->approved[i].ino == st.st_ino)
			return true;
	return false;
}

static struct vl_error *take_guest_paths(struct vl_redirect *r)
{
	for (size_t n = 0; r->o->guest_paths && r->o->guest_paths[n]; n++) {
		char **more = realloc(r->guest_paths, (n + 1) * sizeof(*more));
		char *copy = strdup(r->o->guest_paths[n]);

		if (more)
			r->guest_paths = more;
		if (!more || !copy) {
			free(copy);
			return vl_error_nomem();
		}
		vl_path_normalise(copy);
		r->guest_paths[r->nr_guest_paths++] = copy;
	}
	return NULL;
}

/* --host-files=DIR or DIR:ro, absolute (vl_redirect_options). */
static struct vl_error *take_folder(struct vl_redirect *r)
{
	const char *dir = r->o->host_files;
	size_t len = dir ? strlen(dir) : 0;

	if (!dir)
		return NULL;
	r->folder_ro = len > 3 && !strcmp(dir + len - 3, ":ro");
	r->folder = strndup(dir, len - (r->folder_ro ? 3 : 0));
	if (!r->folder)
		return vl_error_nomem();
	vl_path_normalise(r->folder);
	return NULL;
}

/* Collect the program's own files from its executable and its environment. */
struct vl_error *vl_own_init(struct vl_redirect *r)
{
	static const char *const vars[] = { "LD_LIBRARY_PATH", "LD_PRELOAD", "LOCPATH", "TERMINFO",
					    "PYTHONHOME",      "PYTHONPATH", "PERL5LIB" };
	char *const *env = r->o->envp ? r->o->envp : environ;
	char *real = realpath(r->exe, NULL);
	struct vl_error *err = take_guest_paths(r);
	int fd;

	if (!err)
		err = take_folder(r);
	if (real)
		vl_own_exe(r, real);
	free(real);
	fd = open(r->exe, O_PATH | O_CLOEXEC);
	if (fd >= 0) {
		vl_own_script(r, r->exe, fd);
		close(fd);
	}
	for (; !err && *env; env++) {
		if (!strncmp(*env, "HOME=", 5))
			r->home = *env + 5;
		if (!strncmp(*env, "PATH=", 5))
			r->path = *env + 5;
		if (!strncmp(*env, "PWD=", 4))
			r->pwd = *env + 4;
		for (size_t i = 0; i < ARRAY_SIZE(vars); i++) {
			size_t n = strlen(vars[i]);
			const char *at = *env + n;

			if (strncmp(*env, vars[i], n) || *at++ != '=')
				continue;
			for (; *at; at += strspn(at, ": ")) {
				n = strcspn(at, ": ");
				if (!own(r, at, n))
					return vl_error_nomem();
				at += n;
			}
		}
	}
	return err;
}

bool vl_is_terminal(const struct stat *st)
{
	/* linux/major.h: consoles, serial lines, /dev/tty; then pseudo terminals */
	return S_ISCHR(st->st_mode) && (major(st->st_rdev) == 4 || major(st->st_rdev) == 5 ||
					(major(st->st_rdev) >= 136 && major(st->st_rdev) <= 143));
}

/* Note where the program is started. Its process has left that folder by now. */
void vl_own_start(struct vl_redirect *r)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/cwd", (int)r->starter);
	n = readlink(link, r->start_dir, sizeof(r->start_dir) - 1);
	r->start_dir[n > 0 ? n : 0] = 0;
	if (r->start_dir[0] != '/')
		strcpy(r->start_dir, "/");
	if (!strcmp(r->start_dir, "/") || vl_own_folder(r, r->start_dir))
		r->start_known = true;
}

/*
 * Check that the guest has a folder of the name that the program was started in. If not, the
 * program starts at the root.
 */
static void find_start(struct vl_redirect *r)
{
	struct vl_error *err;
	struct stat st;
	int64_t ret;

	err = VL_GUEST(r, "newfstatat", &ret, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(r->start_dir),
		       VL_ARG_OUT(&st, sizeof(st)), VL_ARG_INT(0));
	if (err) { /* the next call below that name meets the same error */
		vl_error_destroy(err);
		vl_epoch_end(r);
		return;
	}
	if (ret || !S_ISDIR(st.st_mode))
		strcpy(r->start_dir, "/");
	r->start_known = true;
}

/* The working directory of the trapping task, in the guest: PATH_MAX bytes. */
void vl_cwd(struct vl_trap *t, char *ret)
{
	const struct vl_task *task = vl_task_find(t->r, t->tid);

	if (!(task && task->cwd) && !t->r->start_known)
		find_start(t->r);
	snprintf(ret, PATH_MAX, "%s", task && task->cwd ? task->cwd : t->r->start_dir);
}

void vl_own_deinit(struct vl_redirect *r)
{
	for (size_t i = 0; i < r->nr_own; i++)
		free(r->own[i]);
	free(r->own);
	for (size_t i = 0; i < VL_PLACES; i++) {
		if (r->places[i].path)
			close(r->places[i].fd);
		free(r->places[i].path);
	}
	for (size_t i = 0; i < r->nr_guest_paths; i++)
		free(r->guest_paths[i]);
	free(r->guest_paths);
	free(r->folder);
}
