/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loan: one process makes a worker, and another one uses it. */
#include "internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/clock.h"

/* The wait for a worker to be ready. Short: the borrower waits too, and can make one itself. */
#define LEND_NS (VL_NSEC_PER_SEC / 20)

/* The message that lends a worker; LOAN_FDS descriptors come with it. */
struct loan {
	pid_t pid;
	struct vl_box_report report;
};
enum { LOAN_WIRE, LOAN_LINK, LOAN_PIDFD, LOAN_FDS };

union loan_fds {
	struct cmsghdr head;
	char room[CMSG_SPACE(LOAN_FDS * sizeof(int))];
};

bool vl_box_lend(struct vl_box *b, int sock)
{
	const int fds[LOAN_FDS] = { b->wire_fd, b->link, b->pidfd };
	struct loan loan = { .pid = b->pid };
	struct iovec iov = { &loan, sizeof(loan) };
	union loan_fds control = { .head = { CMSG_LEN(sizeof(fds)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	if (b->gone || b->wire_fd < 0 || b->pidfd < 0 || vl_discard(vl_box_ready(b, LEND_NS)) ||
	    vl_box_has_ended(b))
		return false;
	loan.report = b->report;
	memcpy(CMSG_DATA(&control.head), fds, sizeof(fds));
	if (sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(loan))
		return false;
	vl_box_hang_up(b);
	return true;
}

/* Receive a loan over @sock. False: it is not complete, and its descriptors are closed. */
static bool receive(int sock, struct loan *loan, int fds[LOAN_FDS])
{
	struct iovec iov = { loan, sizeof(*loan) };
	union loan_fds control = { .room = { 0 } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = CMSG_LEN(LOAN_FDS * sizeof(int)) };
	ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	size_t nr = 0;

	if (c && c->cmsg_type == SCM_RIGHTS) {
		nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), nr * sizeof(int));
	}
	if (n == sizeof(*loan) && nr == LOAN_FDS)
		return true;
	for (size_t i = 0; i < nr; i++)
		close(fds[i]);
	return false;
}

struct vl_box *vl_box_borrow(int sock, int wait_ms, const char *does)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	struct vl_box *b = vl_box_new(does);
	int fds[LOAN_FDS] = { -1, -1, -1 };
	struct loan loan;

	if (!b || poll(&p, 1, wait_ms) <= 0 || !receive(sock, &loan, fds)) {
		free(b);
		return NULL;
	}
	b->wire = vl_wire_map(fds[LOAN_WIRE]);
	close(fds[LOAN_WIRE]);
	b->link = fds[LOAN_LINK];
	b->pidfd = fds[LOAN_PIDFD];
	if (!b->wire) {
		close(b->link);
		close(b->pidfd);
		free(b);
		return NULL;
	}
	madvise(b->wire, sizeof(*b->wire), MADV_DONTFORK);
	b->pid = loan.pid;
	b->report = loan.report;
	b->lender = sock;
	b->ready = true;
	return b;
}
