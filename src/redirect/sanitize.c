/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sanitizes names and texts of the guest on their way to the program. A user of the guest, or
 * its kernel, chooses them. They may drive the operator's terminal, or make one text look like
 * another, and most programs print them as they are. The output's destination makes no
 * difference: a log is read on a terminal in the end.
 *
 * So no answer has hostile characters (base/text.h). In a text that may grow they are escaped
 * as \xNN, and a path with such escapes names the file again (vl_sanitize_undo()). In a field of
 * fixed size each becomes '?'. The content of a file on a disk of the guest is data and stays as
 * it is. With the option raw_names everything does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utmp.h>

#include "../base/array.h"
#include "../base/text.h"
#include "pathname.h"
#include "sanitize.h"
#include "tasks.h"
#include "trap.h"

void vl_sanitize_undo(const struct vl_redirect *r, char *path)
{
	if (!r->o->raw_names && strchr(path, '\\'))
		vl_text_unescape(path);
}

void vl_sanitize_fixed(const struct vl_redirect *r, void *text, size_t len)
{
	if (!r->o->raw_names)
		vl_text_mask(text, len, VL_TEXT_WORD);
}

size_t vl_sanitize_string(const struct vl_redirect *r, char *text, size_t len, size_t room)
{
	size_t n = r->o->raw_names ? len : vl_text_escape(text, len, VL_TEXT_WORD, NULL);
	char *out = n == len ? NULL : malloc(n);

	if (out) {
		vl_text_escape(text, len, VL_TEXT_WORD, out);
		len = n < room ? n : room;
		memcpy(text, out, len);
		free(out);
	} else if (n != len) {
		vl_text_mask(text, len, VL_TEXT_WORD);
	}
	return len;
}

/*
 * Programs that always replace the characters of a process's name that are not printable
 * (iswprint). They get those characters, so that they print the same as in the guest.
 */
static const char *const careful[] = { "lsof", "pgrep", "ps", "top" };

/*
 * Names of processes and their arguments: strings separated by NUL. The kernel may end the
 * file with a newline.
 */
static void sanitize_names(struct vl_redirect *r, char *data, size_t len)
{
	const struct vl_task *task = vl_task_find(r, r->asking);
	enum vl_text_kept kept = VL_TEXT_WORD;

	for (size_t i = 0; i < ARRAY_SIZE(careful); i++)
		if (task && !strcmp(task->name, careful[i]))
			kept = VL_TEXT_BYTES;
	if (len && data[len - 1] == '\n')
		len--;
	vl_text_mask(data, len, kept);
}

/* The strings in records of utmp(5): a user who logs in can choose them. */
static void sanitize_logins(char *data, size_t len)
{
	for (; len >= sizeof(struct utmp);
	     data += sizeof(struct utmp), len -= sizeof(struct utmp)) {
		struct utmp *u = (void *)data;

		vl_text_mask(u->ut_line, sizeof(u->ut_line), VL_TEXT_WORD);
		vl_text_mask(u->ut_user, sizeof(u->ut_user), VL_TEXT_WORD);
		vl_text_mask(u->ut_host, sizeof(u->ut_host), VL_TEXT_WORD);
	}
}

static struct vl_error *escape_text(char **data, size_t *len)
{
	size_t n = vl_text_escape(*data, *len, VL_TEXT_LINES, NULL);
	char *out;

	if (n == *len)
		return NULL;
	out = malloc(n);
	if (!out)
		return vl_error_nomem();
	vl_text_escape(*data, *len, VL_TEXT_LINES, out);
	free(*data);
	*data = out;
	*len = n;
	return NULL;
}

/* The content of a file. The first row that matches decides; none: data. */
enum text_kind {
	DATA,
	NAMES, /* of processes, their arguments: strings separated by NUL */
	LINES,
	LINES_OR_DATA, /* data if a NUL is in it */
	LOGINS,	       /* records of utmp(5) */
	RECORDS,       /* of /dev/kmsg */
};

static const struct {
	const char *pattern; /* as those of struct vl_path_row */
	enum text_kind kind;
	const char *note;
} kinds[] = {
	{ "/proc/*/stat", NAMES, "the name of a process, in parentheses" },
	{ "/proc/*/task/*/stat", NAMES, "the name of a thread" },
	{ "/proc/*/comm", NAMES, "the name of a process" },
	{ "/proc/*/task/*/comm", NAMES, "the name of a thread" },
	{ "/proc/*/cmdline", NAMES, "arguments" },
	{ "/proc/*/task/*/cmdline", NAMES, "arguments" },
	{ "/proc/*/mem", DATA, "an address space" },
	{ "/proc/*/task/*/mem", DATA, "an address space" },
	{ "/proc/*/pagemap", DATA, "numbers" },
	{ "/proc/*/task/*/pagemap", DATA, "numbers" },
	{ "/proc/*/auxv", DATA, "numbers" },
	{ "/proc/*/task/*/auxv", DATA, "numbers" },
	{ "/proc/kcore", DATA, "all memory" },
	{ "/proc/vmcore", DATA, "all memory" },
	{ "/proc/kpagecount", DATA, "numbers" },
	{ "/proc/kpageflags", DATA, "numbers" },
	{ "/proc/kpagecgroup", DATA, "numbers" },
	{ "/proc/config.gz", DATA, "compressed" },
	{ "/proc/bus/pci", LINES_OR_DATA, "registers of devices" },
	{ "/proc/device-tree", LINES_OR_DATA, "properties" },
	{ "/proc", LINES, "paths, names of modules and interfaces, sysctls ..." },
	{ "/sys/kernel/tracing", LINES, "names of processes" },
	{ "/sys/kernel/debug/tracing", LINES, "names of processes" },
	{ "/sys", LINES_OR_DATA, "names of devices; registers, tables of the firmware" },
	{ "/dev/kmsg", RECORDS, "any process may write to it" },
	{ "/etc/passwd", LINES, "names of users" },
	{ "/etc/group", LINES, "names of groups" },
	{ "/etc/hosts", LINES, "names of hosts" },
	{ "/etc/services", LINES, "names of services" },
	{ "/etc/protocols", LINES, "names of protocols" },
	{ "/etc/rpc", LINES, "names of services" },
	{ "/etc/iproute2", LINES, "names of tables" },
	{ "/run/utmp", LOGINS, "from where users have logged in" },
	{ "/var/run/utmp", LOGINS, "the same" },
	{ "/var/log/wtmp", LOGINS, "the same" },
	{ "/var/log/btmp", LOGINS, "the same, of those that tried to" },
};

static enum text_kind kind_of(const struct vl_redirect *r, const char *path)
{
	char norm[PATH_MAX];

	if (r->o->raw_names)
		return DATA;
	vl_path_copy(norm, path);
	vl_path_normalise(norm);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (vl_path_below(norm, kinds[i].pattern))
			return kinds[i].kind;
	return DATA;
}

/* The kernel escapes a record of /dev/kmsg, but its readers undo that. */
static struct vl_error *guard_text(char **data, size_t *len)
{
	char *out = malloc(2 * *len + 1);

	if (!out)
		return vl_error_nomem();
	*len = vl_text_guard(*data, *len, out);
	free(*data);
	*data = out;
	return NULL;
}

/* The same for one record at @data, which may grow to @room bytes. */
static size_t sanitize_record(char *data, size_t len, size_t room)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return 0;
	memcpy(copy, data, len);
	if (!vl_discard(guard_text(&copy, &len))) {
		if (len > room) {
			len = room;
			copy[len - 1] = '\n';
		}
		memcpy(data, copy, len);
	}
	free(copy);
	return len;
}

struct vl_error *vl_sanitize_file(struct vl_redirect *r, const char *path, char **data, size_t *len)
{
	switch (kind_of(r, path)) {
	case NAMES:
		sanitize_names(r, *data, *len);
		return NULL;
	case LOGINS:
		sanitize_logins(*data, *len);
		return NULL;
	case LINES_OR_DATA:
		return *len && memchr(*data, 0, *len) ? NULL : escape_text(data, len);
	case LINES:
		return escape_text(data, len);
	case RECORDS:
		return guard_text(data, len);
	default:
		return NULL;
	}
}

size_t vl_sanitize_piece(struct vl_redirect *r, const char *path, char *data, size_t len,
			 size_t room)
{
	switch (kind_of(r, path)) {
	case RECORDS:
		return sanitize_record(data, len, room);
	case LINES:
	case NAMES:
		/* The length stays: positions in a stream are positions in the guest's file. */
		vl_text_mask(data, len, VL_TEXT_LINES);
		return len;
	default:
		return len;
	}
}

/* The bytes before the name in struct linux_dirent64. */
#define ENTRY_HEAD offsetof(struct vl_dirent64, name)

/* Length of the name in an entry of a listing, which may be any bytes; 0: it is broken. */
static size_t name_length(const char *listing, size_t len)
{
	const struct vl_dirent64 *d = (const void *)listing;

	if (len < sizeof(*d) || d->reclen <= sizeof(*d) || d->reclen > len)
		return 0;
	return strnlen(d->name, d->reclen - ENTRY_HEAD);
}

struct vl_error *vl_sanitize_listing(const struct vl_redirect *r, char **listing, size_t *len)
{
	size_t at = 0, n = 0, name;
	bool hostile = false;
	char *out;

	for (; !hostile && (name = name_length(*listing + at, *len - at)); at += n) {
		const struct vl_dirent64 *d = (const void *)(*listing + at);

		hostile = vl_text_escape(d->name, name, VL_TEXT_WORD, NULL) != name;
		n = d->reclen;
	}
	if (!hostile || r->o->raw_names)
		return NULL;
	/* A name becomes four times as long at most, and an entry is padded to eight. */
	out = calloc(1, 5 * *len);
	if (!out)
		return vl_error_nomem();
	for (at = n = 0; (name = name_length(*listing + at, *len - at));) {
		const struct vl_dirent64 *from = (const void *)(*listing + at);
		struct vl_dirent64 *to = (void *)(out + n);

		memcpy(to, from, ENTRY_HEAD);
		name = vl_text_escape(from->name, name, VL_TEXT_WORD, to->name);
		to->reclen = (ENTRY_HEAD + name + 1 + 7) & ~(size_t)7;
		n += to->reclen;
		at += from->reclen;
	}
	free(*listing);
	*listing = out;
	*len = n;
	return NULL;
}

/* Texts in the answers of forwarded system calls. */
static const struct {
	int nr, arg;
	bool grows; /* the answer's length is what the call returns */
	const char *note;
} answers[] = {
	{ __NR_uname, 0, false, "struct new_utsname: strings in fixed places" },
	{ __NR_readlink, 1, true, "a path" },
	{ __NR_readlinkat, 2, true, "a path" },
	{ __NR_listxattr, 1, false, "names; the program has asked for their length before" },
	{ __NR_llistxattr, 1, false, "names" },
	{ __NR_flistxattr, 1, false, "names" },
};

int64_t vl_sanitize_answer(struct vl_trap *t, const struct vl_arg *args, int64_t ret)
{
	if (ret < 0 || t->r->o->raw_names)
		return ret;
	if (t->nr == __NR_syslog && args[1].buf)
		vl_text_mask(args[1].buf, args[1].len, VL_TEXT_LINES);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		const struct vl_arg *a = &args[answers[i].arg];

		if (answers[i].nr != t->nr || !a->buf)
			continue;
		if (!answers[i].grows)
			vl_text_mask(a->buf, a->len, VL_TEXT_WORD);
		else if ((uint64_t)ret <= a->len)
			ret = (int64_t)vl_sanitize_string(t->r, a->buf, (size_t)ret, a->len);
	}
	return ret;
}
