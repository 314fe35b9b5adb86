/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../syscall/answer.h"

/* How often a waiting worker checks that its broker is still there. */
#define POLL_NS 200000000UL
/* A wake-up of another CPU takes some 30 us in a virtual machine. */
#define SPIN_NS 30000

struct vl_wire *vl_wire_create(void)
{
	struct vl_wire *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return w == MAP_FAILED ? NULL : w;
}

struct vl_wire *vl_wire_map(int fd)
{
	struct vl_wire *w =
		mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	return w == MAP_FAILED ? NULL : w;
}

struct vl_wire *vl_wire_create_file(int *fd_ret)
{
	int fd = memfd_create("vlens-wire", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct vl_wire *w = NULL;

	/* Sealed: truncation would kill the processes that have it mapped (SIGBUS). */
	if (fd >= 0 && !ftruncate(fd, sizeof(*w)) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		w = vl_wire_map(fd);
	if (!w && fd >= 0)
		close(fd);
	*fd_ret = w ? fd : -1;
	return w;
}

void vl_wire_destroy(struct vl_wire *w)
{
	if (w)
		munmap(w, sizeof(*w));
}

void vl_wire_sleep(_Atomic uint32_t *word, _Atomic uint32_t *sleeps, uint32_t seen,
		   uint64_t timeout_ns)
{
	struct timespec ts = vl_ns_timespec(timeout_ns);

	/* The word changed while we spun. This saves two system calls: ours and the wake-up. */
	if (atomic_load(word) != seen)
		return;
	/*
	 * Set this before the kernel compares *@word: a process that changes the word later sees
	 * it.
	 */
	atomic_store(sleeps, 1);
	/* Not FUTEX_PRIVATE: the word is shared by two processes. */
	syscall(SYS_futex, word, FUTEX_WAIT, seen, &ts, NULL, 0);
}

void vl_wire_wake(_Atomic uint32_t *word, _Atomic uint32_t *sleeps)
{
	if (atomic_exchange(sleeps, 0))
		syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void vl_wire_spin(const struct vl_wire *w, const _Atomic uint32_t *word, uint32_t seen)
{
	uint64_t end;

	if (!atomic_load(&w->apart))
		return;
	end = vl_now_ns() + SPIN_NS;
	while (atomic_load(word) == seen && vl_now_ns() < end)
		__builtin_ia32_pause();
}

static void ring(struct vl_wire *w)
{
	atomic_fetch_add(&w->bell, 1);
	vl_wire_wake(&w->bell, &w->sleeps);
}

bool vl_wire_answered(struct vl_wire *w, uint32_t nr)
{
	atomic_store(&w->answers, nr);
	ring(w);
	return atomic_load(&w->reply_now);
}

bool vl_wire_wants_reply(const struct vl_wire *w)
{
	return atomic_load(&w->reply_now);
}

void vl_wire_say(struct vl_wire *w, enum vl_channel_id id, const struct vl_message *m)
{
	struct vl_channel *c = &w->channel[id];

	c->message = *m;
	atomic_store(&c->turn, 0);
	ring(w);
}

bool vl_wire_hear(struct vl_wire *w, enum vl_channel_id id, int link, struct vl_message *ret)
{
	struct vl_channel *c = &w->channel[id];

	while (!atomic_load(&c->turn)) {
		struct pollfd p = { .fd = link };

		vl_wire_spin(w, &c->turn, 0);
		vl_wire_sleep(&c->turn, &c->sleeps, 0, POLL_NS);
		if (!atomic_load(&c->turn) && poll(&p, 1, 0) > 0)
			return false;
	}
	*ret = c->message;
	return true;
}

void vl_message_put_error(struct vl_message *m, struct vl_error *err)
{
	m->error = err != NULL;
	if (!err)
		return;
	m->code = (int32_t)err->code;
	m->os_errno = err->os_errno;
	m->address = err->address;
	snprintf(m->text, sizeof(m->text), "%s", err->message);
	snprintf(m->hint, sizeof(m->hint), "%s", err->hint ? err->hint : "");
	vl_error_destroy(err);
}

/* Copy a text of the other side as one line without control characters. */
static void clean(char *ret, const char *text)
{
	size_t n = strnlen(text, VL_WIRE_TEXT - 1);

	for (size_t i = 0; i < n; i++)
		ret[i] = (unsigned char)text[i] < ' ' || text[i] == 127 ? '?' : text[i];
	ret[n] = '\0';
}

struct vl_error *vl_message_error(const struct vl_message *m)
{
	char text[VL_WIRE_TEXT], hint[VL_WIRE_TEXT];
	struct vl_error *err;

	if (!m->error)
		return NULL;
	clean(text, m->text);
	clean(hint, m->hint);
	/* An honest worker always gives a text. */
	if (!*text) {
		strcpy(text, "the process that runs the guest's code gives no reason");
		strcpy(hint, "try again");
	}
	if (m->code == VL_ERR_NOMEM)
		return vl_error_nomem();
	err = vl_error_new(m->code > 0 && m->code < VL_NR_ERR ? (enum vl_errc)m->code :
								VL_ERR_CRASHED,
			   "%s", text);
	if (err->code == VL_ERR_NOMEM)
		return err;
	err->os_errno = m->os_errno;
	err->address = m->address;
	return *hint ? vl_error_hint(err, "%s", hint) : err;
}

/* Align *@at for the next argument of @len bytes; false: it does not fit. */
static bool place(uint64_t *at, uint64_t len)
{
	*at = (*at + 15) & ~15UL;
	return *at <= VL_WINDOW_MAIN && len <= VL_WINDOW_MAIN - *at;
}

bool vl_message_put_args(struct vl_message *m, unsigned char *window, const struct vl_arg *args,
			 size_t nr)
{
	uint64_t at = 0;

	if (nr > VL_WIRE_ARGS)
		return false;
	m->nr_args = (uint32_t)nr;
	for (size_t i = 0; i < nr; i++) {
		const struct vl_arg *a = &args[i];

		m->args[i] = (struct vl_wire_arg){ .kind = a->kind, .value = a->value };
		if (a->kind == VL_INT || !a->buf)
			continue;
		if (!place(&at, a->len))
			return false;
		m->args[i].has_buf = 1;
		m->args[i].at = at;
		m->args[i].len = a->len;
		if (a->kind != VL_OUT)
			memcpy(window + at, a->buf, a->len);
		at += a->len;
	}
	return true;
}

bool vl_message_args(const struct vl_message *m, unsigned char *window,
		     struct vl_arg args_ret[VL_WIRE_ARGS])
{
	if (m->nr_args > VL_WIRE_ARGS)
		return false;
	for (size_t i = 0; i < m->nr_args; i++) {
		const struct vl_wire_arg *a = &m->args[i];

		if (a->kind > VL_INOUT || a->at > VL_WINDOW_MAIN || a->len > VL_WINDOW_MAIN - a->at)
			return false;
		args_ret[i] = (struct vl_arg){ .kind = a->kind, .value = a->value };
		if (a->has_buf) {
			args_ret[i].buf = window + a->at;
			args_ret[i].len = a->len;
		}
	}
	return true;
}

void vl_message_pull_args(const unsigned char *window, const char *name, const struct vl_arg *args,
			  size_t nr, int64_t ret)
{
	uint64_t at = 0;

	for (size_t i = 0; i < nr && i < VL_WIRE_ARGS; i++) {
		const struct vl_arg *a = &args[i];

		if (a->kind == VL_INT || !a->buf)
			continue;
		if (!place(&at, a->len))
			return;
		if (a->kind != VL_IN)
			memcpy(a->buf, window + at, vl_sys_filled(name, a, ret));
		at += a->len;
	}
}
