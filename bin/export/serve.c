/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens export --listen`: makes texts when the server's process asks. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../applet.h"
#include "../report.h"
#include "base/cleanup.h"
#include "base/clock.h"
#ifdef HAVE_MICROHTTPD
#include "http.h"

/* A text that is not older is sent again: guests are not read more often than that. */
#define FRESH_NS (1 * VL_NSEC_PER_SEC)

struct text {
	int fd; /* -1: none */
	uint64_t len, made_at;
};

struct serving {
	struct export_fleet *fleet;
	int server, signals;
	struct text texts[2]; /* by format */
};

/* A file in memory that nobody can change. */
static int put_memory(const struct vl_growing *out)
{
	_cleanup_close_ int fd = memfd_create("metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;

	while (fd >= 0 && at < out->len) {
		ssize_t n = write(fd, out->text + at, out->len - at);

		if (n <= 0 && errno != EINTR)
			return -1;
		at += n > 0 ? (size_t)n : 0;
	}
	if (fd < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return -1;
	return vl_taken_fd(&fd);
}

static void make_text(struct serving *s, enum vl_export_format format)
{
	struct vl_growing out = { .text = NULL };
	struct text *t = &s->texts[format];

	if (t->fd >= 0)
		close(vl_taken_fd(&t->fd));
	if (!fleet_find(s->fleet))
		return;
	fleet_scrape(s->fleet, SERVE_NS, format, &out);
	if (!out.full)
		t->fd = put_memory(&out);
	t->len = out.len;
	t->made_at = vl_now_ns();
	free(out.text);
}

static void send_text(const struct serving *s, const struct text *t)
{
	struct http_answer answer = { t->fd >= 0 ? t->len : 0 };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec io = { &answer, sizeof(answer) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (t->fd >= 0) {
		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &t->fd, sizeof(int));
	}
	/* A full socket means that the server does not take it: it gets nothing more. */
	sendmsg(s->server, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One request of the server's, which is not trusted. False: it has ended. */
static bool answer(struct serving *s)
{
	unsigned char format;

	if (recv(s->server, &format, 1, 0) != 1)
		return false;
	if (format != VL_EXPORT_OPENMETRICS)
		format = VL_EXPORT_TEXT;
	if (s->texts[format].fd < 0 || vl_now_ns() - s->texts[format].made_at > FRESH_NS)
		make_text(s, (enum vl_export_format)format);
	send_text(s, &s->texts[format]);
	return true;
}

static int serve(struct serving *s)
{
	struct pollfd on[] = { { .fd = s->server, .events = POLLIN },
			       { .fd = s->signals, .events = POLLIN } };
	const char *name = s->fleet->request->applet->name;

	for (;;) {
		if (poll(on, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (on[1].revents)
			return 0;
		if (on[0].revents && !answer(s)) {
			_cleanup_error_ struct vl_error *err =
				vl_error_new(VL_ERR_OS, "the web server has ended");

			error_report(name, NULL, err);
			return 1;
		}
	}
}

/*
 * Blocked in all threads, and in the server's. SIGHUP stays ignored if it is, as nohup(1) has it.
 */
static int take_signals(void)
{
	struct sigaction hup;
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	if (!sigaction(SIGHUP, NULL, &hup) && hup.sa_handler != SIG_IGN)
		sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	return signalfd(-1, &ends, SFD_CLOEXEC);
}

int serve_run(struct export_fleet *f, const char *address, const char *config)
{
	struct serving s = { .fleet = f, .server = -1, .texts = { { .fd = -1 }, { .fd = -1 } } };
	_cleanup_error_ struct vl_error *err = NULL;
	struct web_config web = { .cert = NULL };
	const char *path = NULL;
	int listening, status = 1;

	if (config)
		err = web_config_read(config, &web);
	if (!err)
		err = http_listen(address, &web, &listening, &path);
	s.signals = take_signals();
	if (!err)
		err = http_start(listening, &web, &s.server);
	web_config_free(&web);
	if (err) {
		error_report(f->request->applet->name, NULL, err);
	} else {
		/* The first attach to guests need not wait for the first scrape. */
		make_text(&s, VL_EXPORT_TEXT);
		status = serve(&s);
	}
	if (path && s.server >= 0)
		unlink(path);
	for (size_t i = 0; i < 2; i++)
		if (s.texts[i].fd >= 0)
			close(s.texts[i].fd);
	if (s.server >= 0)
		close(s.server);
	close(s.signals);
	return status;
}

#else

int serve_run(struct export_fleet *f, const char *address, const char *config)
{
	_cleanup_error_ struct vl_error *err = vl_error_hint(
		vl_error_new(VL_ERR_ARG, "this vlens was built without libmicrohttpd"),
		"use --once or --textfile");

	(void)address;
	(void)config;
	error_report(f->request->applet->name, NULL, err);
	return 1;
}

#endif
