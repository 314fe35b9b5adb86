/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The details of one process, from the guest's kernel by a clone: state, files, sockets,
 * maps, environment. Only on request, as it may hold the guest for some milliseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/number.h"
#include "top.h"
#include "view/users.h"
#include "syscall/answer.h"

#define FILE_MAX_BYTES (1u << 20) /* of one file of /proc; the rest is left out */
#define MAX_FILES 4096
#define TRIES 4
#define LINK_MAX_BYTES 4096

void top_detail_clear(struct top_detail *d)
{
	free(d->text);
	vl_error_destroy(d->err);
	*d = (struct top_detail){ .pid = d->pid };
}

struct reading {
	struct vl_sys *sys;
	FILE *out;
	int32_t pid;
	char *buf; /* FILE_MAX_BYTES */
	/* Inodes of its sockets. */
	uint64_t *inodes;
	size_t nr_inodes;
};

/* Read /proc/PID/@name; *@len_ret bytes and a NUL are in r->buf. */
static struct vl_error *read_proc(struct reading *r, const char *name, size_t *len_ret)
{
	struct vl_file_piece piece;
	struct vl_error *err;
	char path[64];

	*len_ret = 0;
	snprintf(path, sizeof(path), "/proc/%" PRId32 "/%s", r->pid, name);
	err = vl_file_read(r->sys, path, 0, &(struct vl_file_options){ 0 }, r->buf,
			   FILE_MAX_BYTES - 1, &piece);
	if (!err && piece.error)
		err = vl_error_new(VL_ERR_ARG, "%s: %s", path, strerror(piece.error));
	if (!err)
		*len_ret = piece.len;
	r->buf[*len_ret] = '\0';
	return err;
}

/* Print /proc/PID/@name below a title, as lines; in the file @separator ends them. */
static void print_file(struct reading *r, const char *title, const char *name, char separator)
{
	struct vl_error *err;
	const char *p;
	size_t len;

	err = read_proc(r, name, &len);
	fprintf(r->out, "%s\n", title);
	if (err)
		fprintf(r->out, "  (%s)\n", err->message);
	else if (!len)
		fputs("  (none)\n", r->out);
	vl_error_destroy(err);
	for (p = r->buf; len;) {
		const char *end = memchr(p, separator, len);
		size_t n = end ? (size_t)(end - p) : len, column = 0;

		fputs("  ", r->out);
		/* It is sanitized when it is shown. Here only line feeds must not remain. */
		for (size_t i = 0; i < n; i++, column++)
			if (p[i] == '\n')
				fputs("\\n", r->out);
			else if (p[i] == '\t' && separator == '\n')
				column +=
					(size_t)fprintf(r->out, "%*s", 8 - (int)(column % 8), "") -
					1;
			else
				putc(p[i] ? p[i] : ' ', r->out);
		putc('\n', r->out);
		n += end != NULL;
		p += n;
		len -= n;
	}
	putc('\n', r->out);
}

/* ---- files ---- */

/* struct linux_dirent64 of getdents64(2). */
struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

static void note_socket(struct reading *r, const char *target)
{
	uint64_t *more, inode;

	if (sscanf(target, "socket:[%" SCNu64 "]", &inode) != 1 || r->nr_inodes == MAX_FILES)
		return;
	more = reallocarray(r->inodes, r->nr_inodes + 1, sizeof(*more));
	if (!more)
		return;
	r->inodes = more;
	more[r->nr_inodes++] = inode;
}

static void print_link(struct reading *r, FILE *f, const char *name, const char *target, size_t len)
{
	note_socket(r, target);
	fprintf(f, "  %5s  ", name);
	for (size_t i = 0; i < len; i++)
		putc(target[i] && target[i] != '\n' ? target[i] : '?', f);
	putc('\n', f);
}

/* Print the links in directory @fd, whose names are in r->buf. */
static struct vl_error *read_links(struct reading *r, FILE *f, int64_t fd, size_t len)
{
	char target[LINK_MAX_BYTES];
	struct vl_error *err = NULL;
	unsigned nr = 0;

	for (size_t at = 0; !err && at + sizeof(struct entry) < len && nr < MAX_FILES; nr++) {
		const struct entry *e = (const struct entry *)(r->buf + at);
		int64_t n = 0;

		if (e->reclen <= sizeof(*e) || e->reclen > len - at)
			break;
		at += e->reclen;
		if (e->name[0] == '.' || !memchr(e->name, '\0', e->reclen - sizeof(*e)))
			continue;
		err = VL_SYS_CALL(r->sys, "readlinkat", &n, VL_ARG_INT(fd), VL_ARG_STR(e->name),
				  VL_ARG_OUT(target, sizeof(target) - 1),
				  VL_ARG_INT(sizeof(target) - 1));
		if (err || n < 0 || n >= (int64_t)sizeof(target))
			continue;
		target[n] = '\0';
		print_link(r, f, e->name, target, (size_t)n);
	}
	return err;
}

/* All in one epoch: the guest's descriptors end with it. */
static struct vl_error *read_files_once(struct reading *r, FILE *f)
{
	struct vl_error *err = r->sys->ops->begin(r->sys);
	int64_t fd = 0, n = 0;
	char path[64];

	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/%" PRId32 "/fd", r->pid);
	err = VL_SYS_CALL(r->sys, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path),
			  VL_ARG_INT(O_RDONLY | O_DIRECTORY), VL_ARG_INT(0));
	if (!err && fd >= 0)
		err = VL_SYS_CALL(r->sys, "getdents64", &n, VL_ARG_INT(fd),
				  VL_ARG_OUT(r->buf, FILE_MAX_BYTES / 8),
				  VL_ARG_INT(FILE_MAX_BYTES / 8));
	if (!err && (fd < 0 || n < 0))
		err = vl_error_new(VL_ERR_ARG, "%s: %s", path, strerror((int)-(fd < 0 ? fd : n)));
	if (!err)
		err = read_links(r, f, fd, (size_t)n);
	if (!err && r->sys->ops->validate)
		err = r->sys->ops->validate(r->sys);
	r->sys->ops->end(r->sys);
	return err;
}

/* False: some or all could not be read. */
static bool print_files(struct reading *r)
{
	_cleanup_error_ struct vl_error *err = NULL;
	_cleanup_free_ char *text = NULL;
	unsigned tries = TRIES;
	size_t len = 0;

	for (;;) {
		FILE *f;

		vl_error_destroy(err);
		free(text);
		text = NULL;
		r->nr_inodes = 0;
		f = open_memstream(&text, &len);
		if (!f) {
			err = vl_error_nomem();
			break;
		}
		err = read_files_once(r, f);
		fclose(f);
		if (!err || (err->code != VL_ERR_BLOCKED && err->code != VL_ERR_CRASHED))
			break;
		/*
		 * Retries after a change of the guest do not count: the session limits them itself.
		 */
		if (!r->sys->missed && !--tries)
			break;
	}
	fputs("Files\n", r->out);
	if (err)
		fprintf(r->out, "  (%s)\n", err->message);
	else if (!len)
		fputs("  (none)\n", r->out);
	if (text)
		fwrite(text, 1, len, r->out);
	putc('\n', r->out);
	return !err;
}

/* ---- sockets ---- */

static bool is_ours(const struct reading *r, uint64_t inode)
{
	for (size_t i = 0; i < r->nr_inodes; i++)
		if (r->inodes[i] == inode)
			return true;
	return false;
}

/* An address of /proc/net/tcp: words of 32 bits in the guest's order, and a port. */
static void print_address(FILE *f, const char *text)
{
	char word[9] = "", name[INET6_ADDRSTRLEN] = "?";
	size_t digits = strcspn(text, ":");
	uint32_t a[4] = { 0 };

	for (size_t i = 0; i < digits / 8 && i < 4; i++) {
		memcpy(word, text + 8 * i, 8);
		a[i] = (uint32_t)vl_front_u64(word, 16);
	}
	inet_ntop(digits > 8 ? AF_INET6 : AF_INET, a, name, sizeof(name));
	fprintf(f, digits > 8 ? "[%s]:%" PRIu64 : "%s:%" PRIu64, name,
		text[digits] ? vl_front_u64(text + digits + 1, 16) : 0);
}

static const char *tcp_state(unsigned state)
{
	/* include/net/tcp_states.h */
	static const char *const names[] = { "",	   "ESTAB",	 "SYN-SENT",  "SYN-RECV",
					     "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSE",
					     "CLOSE-WAIT", "LAST-ACK",	 "LISTEN",    "CLOSING" };

	return state < ARRAY_SIZE(names) ? names[state] : "";
}

static void print_inet(struct reading *r, const char *name, const char *line)
{
	char local[80], remote[80];
	unsigned long long inode;
	unsigned state;

	if (sscanf(line, " %*[^:]: %79s %79s %x %*s %*s %*s %*s %*s %llu", local, remote, &state,
		   &inode) != 4 ||
	    !is_ours(r, inode))
		return;
	fprintf(r->out, "  %-5s ", name);
	print_address(r->out, local);
	fputs(" -> ", r->out);
	print_address(r->out, remote);
	fprintf(r->out, "  %s\n", name[0] == 't' ? tcp_state(state) : "");
}

static void print_unix(struct reading *r, const char *name, const char *line)
{
	unsigned long long inode;
	int at = 0;

	if (sscanf(line, "%*[^:]: %*s %*s %*s %*s %*s %llu %n", &inode, &at) < 1 ||
	    !is_ours(r, inode))
		return;
	fprintf(r->out, "  %-5s %s (%llu)\n", name, at ? line + at : "", inode);
}

static void print_sockets(struct reading *r, bool all_files)
{
	static const struct {
		const char *name;
		void (*print)(struct reading *r, const char *name, const char *line);
	} tables[] = {
		{ "tcp", print_inet },	{ "tcp6", print_inet }, { "udp", print_inet },
		{ "udp6", print_inet }, { "unix", print_unix },
	};

	fputs("Sockets\n", r->out);
	if (!r->nr_inodes)
		fputs(all_files ? "  (none)\n" : "  (not known without its files)\n", r->out);
	for (size_t i = 0; r->nr_inodes && i < ARRAY_SIZE(tables); i++) {
		char path[16], *rest = r->buf, *line;
		size_t len;

		snprintf(path, sizeof(path), "net/%s", tables[i].name);
		/* A kernel without IPv6 has no such table. */
		if (vl_discard(read_proc(r, path, &len)))
			continue;
		strsep(&rest, "\n");
		while ((line = strsep(&rest, "\n")))
			tables[i].print(r, tables[i].name, line);
	}
	putc('\n', r->out);
}

void top_detail_read(struct vl_guest *g, struct top_detail *d)
{
	struct reading r = { .pid = d->pid, .sys = vl_guest_sys(g) };
	struct vl_stats stats;
	size_t len;

	r.buf = malloc(FILE_MAX_BYTES);
	r.out = open_memstream(&d->text, &d->len);
	/* Without the process nothing is printed. Later errors go into their sections. */
	d->err = r.buf && r.out ? read_proc(&r, "comm", &len) : vl_error_nomem();
	if (!d->err) {
		print_sockets(&r, print_files(&r));
		print_file(&r, "Environment", "environ", '\0');
		print_file(&r, "Maps", "maps", '\n');
		print_file(&r, "Status", "status", '\n');
		print_file(&r, "Limits", "limits", '\n');
	}
	vl_guest_stats(g, &stats);
	if (!d->err)
		fprintf(r.out, "Read by vmst; that paused the guest for %.3f ms in all\n",
			(double)stats.paused_ns / 1e6);
	if (r.out)
		fclose(r.out);
	free(r.inodes);
	free(r.buf);
}

struct vl_users *top_users_read(struct vl_guest *g)
{
	struct vl_users *users = NULL;
	struct vl_file_piece piece;
	char *buf = malloc(FILE_MAX_BYTES);

	if (buf && !vl_discard(vl_file_read(vl_guest_sys(g), "/etc/passwd", 0, NULL, buf,
					    FILE_MAX_BYTES, &piece)))
		users = vl_users_parse(buf, piece.len);
	free(buf);
	return users;
}
