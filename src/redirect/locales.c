/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's locale in one file. A locale of the host is a folder with a file for each
 * category, or an entry of the locale archive, which has all categories. The C library needs some
 * 40 calls to load a locale from a folder, and each of them is a trap. From an archive it needs
 * two. So if the host has no archive, the program gets one with the locales that its environment
 * names. The C library looks there first, and looks for all other locales in the folders.
 *
 * The format is that of glibc (locale/locarchive.h). On a 64-bit machine glibc maps the whole
 * file.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/hash.h"
#include "files.h"
#include "run.h"

#define FOLDERS "/usr/lib/locale"
#define MAGIC 0xde020109
/* Most different locales of one environment: it names them in LC_ALL, LANG and 12 categories. */
#define MAX_LOCALES 4
/* Slots for names. A prime number: the C library steps through them by the name's hash. */
#define NR_NAMES 31
#define NAME_LEN 48
/* The largest file of a category, in bytes. LC_COLLATE usually has 2.5 MB. */
#define MAX_FILE (16 << 20)
#define ALIGN 16

/* Files of the categories, indexed by their numbers (locale.h). LC_ALL, 6, has no file. */
static const char *const categories[] = {
	"LC_CTYPE",
	"LC_NUMERIC",
	"LC_TIME",
	"LC_COLLATE",
	"LC_MONETARY",
	"LC_MESSAGES/SYS_LC_MESSAGES",
	NULL,
	"LC_PAPER",
	"LC_NAME",
	"LC_ADDRESS",
	"LC_TELEPHONE",
	"LC_MEASUREMENT",
	"LC_IDENTIFICATION",
};
#define NR_CATEGORIES ARRAY_SIZE(categories)

struct table {
	uint32_t offset, used, size;
};

struct archive {
	struct {
		uint32_t magic, serial;
		struct table names, strings, locales, sums;
	} head;
	struct {
		uint32_t hash, name, locale; /* offsets in the file; 0: free */
	} names[NR_NAMES];
	char strings[MAX_LOCALES][NAME_LEN];
	struct locale {
		uint32_t refs;
		struct {
			uint32_t offset, len;
		} files[NR_CATEGORIES];
	} locales[MAX_LOCALES];
};

/* A locale that the environment names. */
struct named {
	char name[NAME_LEN];   /* as the archive has it */
	char folder[NAME_LEN]; /* below FOLDERS */
	struct stat st;	       /* of the folder */
};

/*
 * Write @name to @ret in the form of archives: the character set is in lower case and without
 * punctuation ("C.UTF-8" is "C.utf8"). False: @name is not a locale with a folder.
 */
static bool normalise(const char *name, char ret[NAME_LEN])
{
	size_t set = strcspn(name, "."), end = set + strcspn(name + set, "@"), n = 0;

	if (!*name || *name == '.' || strlen(name) >= NAME_LEN || strchr(name, '/') ||
	    !strcmp(name, "C") || !strcmp(name, "POSIX"))
		return false;
	for (size_t i = 0; name[i]; i++)
		if (i <= set || i >= end)
			ret[n++] = name[i];
		else if (isalnum((unsigned char)name[i]))
			ret[n++] = (char)tolower((unsigned char)name[i]);
	ret[n] = 0;
	/* glibc adds a prefix to a character set of digits alone: these names are refused. */
	return end <= set + 1 || strspn(ret + set + 1, "0123456789") < n - set - 1;
}

static bool find_folder(const char *folder, struct named *ret)
{
	char path[sizeof(FOLDERS) + NAME_LEN];

	snprintf(path, sizeof(path), FOLDERS "/%s", folder);
	if (stat(path, &ret->st) || !S_ISDIR(ret->st.st_mode))
		return false;
	snprintf(ret->folder, sizeof(ret->folder), "%s", folder);
	return true;
}

/* Find the locales that environment @env names and that have a folder. Returns their number. */
static size_t find_locales(char *const *env, struct named ret[MAX_LOCALES])
{
	size_t nr = 0;

	for (; *env && nr < MAX_LOCALES; env++) {
		const char *value = strchr(*env, '=');
		struct named *l = &ret[nr];
		bool known = false;

		if (!value || (strncmp(*env, "LANG=", 5) && strncmp(*env, "LC_", 3)) ||
		    !normalise(value + 1, l->name))
			continue;
		for (size_t i = 0; i < nr; i++)
			known |= !strcmp(ret[i].name, l->name);
		/* The C library tries these names in this order. */
		if (!known && (find_folder(value + 1, l) || find_folder(l->name, l)))
			nr++;
	}
	return nr;
}

/* A hash of the locales and their folders. It changes when a locale does, and is never 0. */
static uint64_t mark_of(const struct named *l, size_t nr)
{
	uint64_t mark = VL_HASH;

	for (size_t i = 0; i < nr; i++) {
		/* An update replaces a file by a new one, which changes the folder's times. */
		uint64_t of[] = { l[i].st.st_dev, l[i].st.st_ino, vl_timespec_ns(l[i].st.st_mtim),
				  vl_timespec_ns(l[i].st.st_ctim) };

		mark = vl_hash(mark, l[i].name, strlen(l[i].name) + 1);
		mark = vl_hash(mark, of, sizeof(of));
	}
	return mark | 1;
}

/* Append file @name of folder @dir to @fd at *@at, and move *@at behind it. 0 or -errno. */
static int append(int fd, int dir, const char *name, uint32_t *at, uint32_t *len_ret)
{
	_cleanup_close_ int file = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	void *data;
	ssize_t n;

	if (file < 0 || fstat(file, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > MAX_FILE)
		return -EINVAL;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	if (data == MAP_FAILED)
		return -errno;
	n = pwrite(fd, data, (size_t)st.st_size, *at);
	munmap(data, (size_t)st.st_size);
	if (n != st.st_size)
		return n < 0 ? -errno : -EIO;
	*len_ret = (uint32_t)n;
	*at += ((uint32_t)n + ALIGN - 1) / ALIGN * ALIGN;
	return 0;
}

static int append_all(int fd, const char *folder, uint32_t *at, struct locale *ret)
{
	char path[sizeof(FOLDERS) + NAME_LEN];
	_cleanup_close_ int dir = -1;
	int err = 0;

	snprintf(path, sizeof(path), FOLDERS "/%s", folder);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	ret->refs = 1;
	for (size_t i = 0; i < NR_CATEGORIES && !err; i++) {
		if (!categories[i])
			continue;
		ret->files[i].offset = *at;
		err = append(fd, dir, categories[i], at, &ret->files[i].len);
	}
	return err;
}

/* The C library's hash of a name in an archive. */
static uint32_t hash_of(const char *name)
{
	uint32_t hash = (uint32_t)strlen(name);

	for (; *name; name++)
		hash = ((hash << 9) | (hash >> 23)) + (unsigned char)*name;
	return hash ? hash : ~0u;
}

static void add_name(struct archive *a, uint32_t nr, const char *name)
{
	uint32_t hash = hash_of(name), at = hash % NR_NAMES;

	while (a->names[at].name)
		at = (at + 1 + hash % (NR_NAMES - 2)) % NR_NAMES;
	snprintf(a->strings[nr], NAME_LEN, "%s", name);
	a->names[at].hash = hash;
	a->names[at].name = (uint32_t)(a->strings[nr] - (char *)a);
	a->names[at].locale = (uint32_t)((char *)&a->locales[nr] - (char *)a);
}

/* Write the archive of @nr locales to @fd. 0 or -errno. */
static int fill(int fd, const struct named *l, uint32_t nr)
{
	struct archive a = {
		.head = {
			.magic = MAGIC,
			.names = { offsetof(struct archive, names), nr, NR_NAMES },
			.strings = { offsetof(struct archive, strings), sizeof(a.strings),
				     sizeof(a.strings) },
			.locales = { offsetof(struct archive, locales), nr, MAX_LOCALES },
			.sums = { sizeof(a), 0, 0 },
		},
	};
	uint32_t at = (sizeof(a) + ALIGN - 1) / ALIGN * ALIGN;
	int err = 0;

	for (uint32_t i = 0; i < nr && !err; i++) {
		err = append_all(fd, l[i].folder, &at, &a.locales[i]);
		add_name(&a, i, l[i].name);
	}
	if (!err && pwrite(fd, &a, sizeof(a), 0) != sizeof(a))
		err = -EIO;
	/* Seal it: several programs get the same file, one after the other. */
	if (!err &&
	    (fchmod(fd, 0444) ||
	     fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)))
		err = -errno;
	return err;
}

int vl_locales_open(struct vl_redirect *r)
{
	struct vl_redirect_locales *kept = r->o->kept ? &r->o->kept->locales : &r->locales;
	struct named l[MAX_LOCALES];
	size_t nr = find_locales(r->o->envp ? r->o->envp : environ, l);
	uint64_t mark = mark_of(l, nr);
	int err, fd;

	if (!nr)
		return -ENOENT;
	if (kept->mark != mark) {
		vl_redirect_locales_deinit(kept);
		kept->fd = memfd_create("locale-archive", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		err = kept->fd < 0 ? -errno : fill(kept->fd, l, (uint32_t)nr);
		if (err && kept->fd >= 0)
			close(kept->fd);
		/* A folder may lack files: let the program look for them itself. */
		if (err)
			return -ENOENT;
		kept->mark = mark;
	}
	fd = fcntl(kept->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

void vl_redirect_locales_deinit(struct vl_redirect_locales *l)
{
	if (l->mark)
		close(l->fd);
	l->mark = 0;
}
