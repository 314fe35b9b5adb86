/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctl. Queries of an open file of the guest: how namespaces are related (lsns), which flags a
 * file has (lsattr). For each the file is opened again in the guest. Only terminals of the host
 * take commands: allow.c has the harmless ones, this file those that are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nsfs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <termios.h>

#include "../base/array.h"
#include "fds.h"
#include "handlers.h"
#include "refuse.h"
#include "trap.h"

/* The queries. All other commands are unknown to a file, or change something. */
static const struct {
	unsigned int cmd;
	unsigned int size; /* bytes behind the pointer; 0: the return value is all */
	bool opens;	   /* the return value is a new descriptor */
} questions[] = {
	{ NS_GET_USERNS, 0, true },
	{ NS_GET_PARENT, 0, true },
	{ NS_GET_NSTYPE, 0, false },
	{ NS_GET_OWNER_UID, sizeof(uint32_t), false },
	/* The numbers have the size of a long, but an int is passed (ioctl_iflags(2)). */
	{ FS_IOC_GETFLAGS, sizeof(uint32_t), false },
	{ FS_IOC_GETVERSION, sizeof(uint32_t), false },
	{ FS_IOC_FSGETXATTR, sizeof(struct fsxattr), false },
};

/* Does @cmd set what one of the queries reads? */
static bool sets(unsigned int cmd)
{
	return cmd == FS_IOC_SETFLAGS || cmd == FS_IOC_SETVERSION || cmd == FS_IOC_FSSETXATTR;
}

/* Hand over descriptor @fd of the guest, which has no path. */
static struct vl_error *give(struct vl_trap *t, const struct vl_file *of, int64_t fd)
{
	struct vl_addfd g = {
		.path = of->path,
		.cloexec = true, /* as fs/nsfs.c opens it */
		.at = -1,
		.file = { .kind = K_DIR, .row = of->row, .flags = O_PATH },
	};
	struct vl_error *err;
	int64_t ret;

	err = VL_GUEST(t->r, "newfstat", &ret, VL_ARG_INT(fd),
		       VL_ARG_OUT(&g.file.st, sizeof(g.file.st)));
	if (err)
		return err;
	g.file.has_stat = !ret;
	return vl_fd_hand_over(t, &g);
}

static struct vl_error *ask(struct vl_trap *t, const struct vl_file *f, size_t i)
{
	unsigned int size = questions[i].size;
	char buf[sizeof(struct fsxattr)] = { 0 };
	struct vl_error *err;
	int64_t fd;

	err = VL_GUEST(t->r, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(f->path),
		       VL_ARG_INT(O_RDONLY | O_NONBLOCK), VL_ARG_INT(0));
	t->ret = fd;
	if (err || fd < 0)
		return err;
	err = size ? VL_GUEST(t->r, "ioctl", &t->ret, VL_ARG_INT(fd), VL_ARG_INT(questions[i].cmd),
			      VL_ARG_INOUT(buf, size)) :
		     VL_GUEST(t->r, "ioctl", &t->ret, VL_ARG_INT(fd), VL_ARG_INT(questions[i].cmd),
			      VL_ARG_INT(0));
	if (err || t->ret < 0)
		return err;
	if (questions[i].opens)
		return give(t, f, t->ret);
	if (size) {
		int e = vl_mem_write(t, t->args[2], buf, size);

		t->ret = e ? e : t->ret;
	}
	return NULL;
}

/* ioctl(fd, cmd, arg) on a file of the guest */
static struct vl_error *file_ioctl(struct vl_trap *t, struct vl_file *f)
{
	unsigned int cmd = t->args[1];

	t->ret = -ENOTTY;
	/* A descriptor that an ioctl opened (O_PATH) has no path to open it again. */
	for (size_t i = 0; !(f->flags & O_PATH) && i < ARRAY_SIZE(questions); i++)
		if (questions[i].cmd == cmd)
			return ask(t, f, i);
	return NULL;
}

/*
 * Commands that act for the operator, on the terminal's shell or the machine's console, and
 * those whose effect on a terminal outlasts the program: asm-generic/ioctls.h, linux/kd.h,
 * linux/vt.h. All other commands fail with ENOTTY.
 */
static const unsigned int dangerous[] = {
	TIOCSTI,     TIOCLINUX,	  TIOCSETD, TIOCCONS, TIOCSCTTY, TIOCNOTTY, TIOCEXCL, TIOCNXCL,
	TIOCVHANGUP, TIOCSSERIAL, TIOCMSET, TIOCMBIS, TIOCMBIC,	 TIOCSBRK,  TIOCCBRK, TIOCSWINSZ,
	TCXONC,	     TCSBRK,	  TCSBRKP,  FIOASYNC, FIOSETOWN, SIOCSPGRP,
};

static bool is_dangerous(unsigned int cmd)
{
	for (size_t i = 0; i < ARRAY_SIZE(dangerous); i++)
		if (cmd == dangerous[i])
			return true;
	return (cmd & 0xff00) == 'K' << 8 || (cmd & 0xff00) == 'V' << 8 || sets(cmd);
}

/* The argument makes tcdrain(fd) and tcflow(fd, TCOON) harmless. */
static bool is_harmless(unsigned int cmd, uint64_t arg)
{
	return (cmd == TCSBRK && (int)arg) || (cmd == TCXONC && (int)arg == TCOON);
}

struct vl_error *vl_h_ioctl(struct vl_trap *t)
{
	unsigned int cmd = t->args[1];
	struct vl_file *f;

	/* For any number: a program can have a file of the host at a number of our range. */
	if (cmd == TIOCSPGRP)
		return vl_h_foreground(t);
	if (is_harmless(cmd, t->args[2])) {
		t->pass = true;
		return NULL;
	}
	if (is_dangerous(cmd)) {
		vl_deny(t);
		return NULL;
	}
	/* linux/sockios.h, on any socket */
	if ((cmd & 0xffffff00) == 0x8900)
		return vl_h_netif(t);
	f = vl_fd_ours(t->args[0]) ? vl_fd_find(t, t->args[0]) : NULL;
	if (f)
		return file_ioctl(t, f);
	if (!vl_fd_ours(t->args[0]) || !vl_fd_lost(t, t->args[0]))
		vl_deny_as(t, ENOTTY);
	return NULL;
}
