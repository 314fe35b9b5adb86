/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that a broker opens for its worker, passed over the socket between the two. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "box.h"

/* A message of one byte with one descriptor. */
struct parcel {
	char byte;
	struct iovec iov;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg;
};

static void wrap(struct parcel *p)
{
	memset(p, 0, sizeof(*p));
	p->iov = (struct iovec){ &p->byte, 1 };
	p->msg.msg_iov = &p->iov;
	p->msg.msg_iovlen = 1;
	p->msg.msg_control = p->control.buf;
	p->msg.msg_controllen = sizeof(p->control.buf);
}

struct vl_error *vl_box_pass_file(struct vl_box *b, int fd)
{
	struct cmsghdr *c;
	struct parcel p;

	wrap(&p);
	c = CMSG_FIRSTHDR(&p.msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	/* Do not wait for a worker that takes no files. */
	if (sendmsg(vl_box_link(b), &p.msg, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		return vl_error_os(errno, "cannot pass a file on");
	return NULL;
}

int vl_box_take_file(int link)
{
	struct cmsghdr *c;
	struct parcel p;
	int fd = -1;

	wrap(&p);
	if (recvmsg(link, &p.msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -1;
	c = CMSG_FIRSTHDR(&p.msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	errno = EBADF;
	return fd;
}
