/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keeper itself: waits for tools, one after the other, and supervises their programs. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../box/box.h"
#include "../guest/standby.h"
#include "../redirect/memfds.h"
#include "../base/dirs.h"
#include "proto.h"

/* Bytes of the largest environment that exec can pass. */
#define ENVIRON_MAX (6u << 20)
/* Timeout for the request, from the connection on. */
#define REQUEST_MS 1000

struct keeper {
	const struct vl_keep_options *k;
	unsigned int slot;
	char *key, *path; /* of the socket */
	int listener, pidfd;
	unsigned int seconds;
	struct vl_redirect_filter *filter;
	struct vl_redirect_kept kept;
	struct vl_guest *guest; /* NULL until the first request */
	struct vl_keep_self self;
	struct vl_keep_message in, out;
	bool end; /* serve no more tools */

	/* Workers for raw views (guest/standby.h). */
	bool lends;		       /* a tool has asked for one: keep a standby */
	struct vl_box *standby, *lent; /* one that waits, one that a tool has; NULL: none */
	int loan;		       /* connection to the tool that has @lent; -1: none */
};

/* One request, taken apart. */
struct request {
	struct vl_keep_request q;
	const char *key, *label, *exe, *files;
	const char **paths;
	char *environ;
	char **envp;
	pid_t tool;
};

static void request_deinit(struct request *r)
{
	free(r->paths);
	free(r->environ);
	free(r->envp);
}

/* Read the environment of the tool, which its program gets, too. */
static bool read_environ(struct request *r)
{
	size_t len = 0, nr = 0, i = 0;
	char path[64];
	FILE *f;

	/* The size of a file of /proc is not known ahead. */
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)r->tool);
	f = fopen(path, "re");
	r->environ = f ? malloc(ENVIRON_MAX + 1) : NULL;
	if (r->environ) {
		len = fread(r->environ, 1, ENVIRON_MAX, f);
		r->environ[len] = '\0';
	}
	if (f)
		fclose(f);
	if (!r->environ)
		return false;
	for (size_t at = 0; at < len; at += strlen(r->environ + at) + 1)
		nr++;
	r->envp = calloc(nr + 1, sizeof(*r->envp));
	for (size_t at = 0; r->envp && at < len; at += strlen(r->environ + at) + 1)
		r->envp[i++] = r->environ + at;
	return r->envp;
}

/*
 * Parse the message of the tool at @link; false: we do not serve it. If it comes from another
 * build and has a program (@program), we end, to make way for a keeper of that build.
 */
static bool parse(struct keeper *kp, int link, bool program, struct request *r)
{
	struct vl_keep_message *m = &kp->in;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(link, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.uid != geteuid())
		return false;
	r->tool = peer.pid;
	vl_keep_get(m, &r->q, sizeof(r->q));
	/* In another build of vlens the rest of the message may differ. */
	if (m->bad || memcmp(&r->q.self, &kp->self, sizeof(kp->self))) {
		kp->end |= program;
		return false;
	}
	r->key = vl_keep_get_string(m);
	r->label = vl_keep_get_string(m);
	r->exe = vl_keep_get_string(m);
	r->files = vl_keep_get_string(m);
	if (r->q.nr_paths > VL_KEEP_MESSAGE_MAX)
		return false;
	r->paths = calloc(r->q.nr_paths + 1, sizeof(*r->paths));
	for (uint32_t i = 0; r->paths && i < r->q.nr_paths; i++)
		r->paths[i] = vl_keep_get_string(m);
	return r->paths && !m->bad && !strcmp(r->key, kp->key) && (r->q.borrows || read_environ(r));
}

static struct vl_error *open_guest(struct keeper *kp, const char *label,
				   const struct vl_pause_budget *budget, bool freeze)
{
	struct vl_guest_options opts = kp->k->guest;
	struct vl_error *err;

	opts.label = label;
	opts.target.budget = *budget;
	opts.target.pause = freeze ? VL_PAUSE_FREEZE : VL_PAUSE_AUTO;
	err = vl_guest_open(kp->k->spec, &opts, &kp->guest);
	if (err)
		return err;
	kp->pidfd = (int)syscall(SYS_pidfd_open, vl_guest_pid(kp->guest), 0);
	/* The name means a dump, and can mean another file the next time. */
	kp->end = !vl_guest_is_live(kp->guest);
	return NULL;
}

/* Context of next_run(). */
struct next {
	struct keeper *kp;
	const struct request *r;
};

static struct vl_error *next_run(void *ctx)
{
	const struct next *n = ctx;
	struct keeper *kp = n->kp;
	struct vl_error *err;

	err = vl_guest_next(kp->guest, n->r->q.has_label ? n->r->label : NULL, &n->r->q.budget,
			    n->r->q.freeze);
	kp->end |= err != NULL;
	/* Start a new worker, if vl_guest_next() has stopped the last one. */
	vl_guest_sys(kp->guest);
	return err;
}

static struct vl_error *serve(struct keeper *kp, const struct request *r, int link, int sock,
			      bool again, struct vl_keep_reply *reply)
{
	char *argv[] = { (char *)r->exe, NULL };
	struct next next = { kp, r };
	struct vl_redirect_options o = {
		.argv = argv,
		.envp = r->envp,
		.guest_paths = r->q.nr_paths ? r->paths : NULL,
		.host_files = r->q.has_files ? r->files : NULL,
		.idle_ms = r->q.idle_ms,
		.tries = r->q.tries,
		.no_pin = r->q.no_pin,
		.raw_names = r->q.raw_names,
		.filter = kp->filter,
		.kept = &kp->kept,
		.meanwhile = again ? next_run : NULL,
		.meanwhile_ctx = &next,
	};
	struct vl_redirect_client client = { r->q.pid, r->tool, sock, link };
	struct vl_error *err;
	int status = 3;

	kp->seconds = r->q.seconds;
	err = vl_redirect_serve(vl_guest_sys(kp->guest), &o, &client, &status, &reply->redirect);
	reply->status = status;
	vl_guest_stats(kp->guest, &reply->stats);
	/* The guest is gone: the next tool needs a new keeper. */
	if (err && err->code == VL_ERR_TARGET)
		kp->end = true;
	return err;
}

static void put_reply(struct vl_keep_message *m, struct vl_keep_reply *reply,
		      const struct vl_error *err)
{
	if (err) {
		reply->has_error = 1;
		reply->has_hint = err->hint != NULL;
		reply->code = err->code;
		reply->os_errno = err->os_errno;
		reply->address = err->address;
	}
	m->len = 0;
	m->bad = false;
	vl_keep_put(m, reply, sizeof(*reply));
	if (err) {
		vl_keep_put_string(m, err->message);
		if (err->hint)
			vl_keep_put_string(m, err->hint);
	}
}

static void answer(struct keeper *kp, int link, uint32_t word)
{
	kp->out.len = 0;
	kp->out.bad = false;
	vl_keep_put(&kp->out, &word, sizeof(word));
	vl_keep_send(link, &kp->out, -1);
}

static void serve_and_tell(struct keeper *kp, const struct request *r, int link, int sock)
{
	struct vl_keep_reply reply = { .status = 3 };
	const bool again = kp->guest != NULL;
	struct vl_error *err = NULL;

	if (!again)
		err = open_guest(kp, r->q.has_label ? r->label : NULL, &r->q.budget, r->q.freeze);
	if (err)
		kp->end = true;
	else
		err = serve(kp, r, link, sock, again, &reply);
	/* Before the tool ends, as another one may wait for that to use the monitor. */
	if (kp->guest)
		vl_guest_hang_up(kp->guest);
	put_reply(&kp->out, &reply, err);
	vl_keep_send(link, &kp->out, -1);
	vl_error_destroy(err);
	/* Now that no tool waits: store what the run has learned, and begin the next run. */
	if (kp->guest)
		kp->end |= vl_discard(vl_guest_next(kp->guest, r->q.has_label ? r->label : NULL,
						    &r->q.budget, r->q.freeze));
	/* This interrupts all CPUs, so do it when the tool has ended. */
	if (kp->kept.mounts >= 0)
		close(kp->kept.mounts);
	kp->kept.mounts = -1;
}

/* --- workers that are lent --- */

/* Have a standby worker, unless one is lent: a second tool makes its own. */
static void make_standby(struct keeper *kp)
{
	if (kp->lends && !kp->standby && !kp->lent && kp->guest && !kp->end)
		vl_error_destroy(vl_guest_make_standby(kp->guest, &kp->standby));
}

static void end_standby(struct keeper *kp)
{
	vl_box_stop(kp->standby);
	vl_box_stop(kp->lent);
	kp->standby = kp->lent = NULL;
	if (kp->loan >= 0)
		close(kp->loan);
	kp->loan = -1;
}

/* Lend the standby to the tool at @link; true: done, and the tool stays connected. */
static bool lend(struct keeper *kp, int link, uint64_t print)
{
	kp->lends = true;
	if (!kp->standby || !kp->guest || print != vl_guest_print(kp->guest))
		return false;
	if (!vl_box_lend(kp->standby, link)) {
		/* It has died, or is not ready: end it. The loop makes a new one. */
		end_standby(kp);
		return false;
	}
	kp->lent = kp->standby;
	kp->standby = NULL;
	kp->loan = link;
	return true;
}

/* --- */

/* Serve the tool at @link; true: it stays connected. */
static bool take_tool(struct keeper *kp, int link)
{
	struct pollfd p = { link, POLLIN, 0 };
	struct request r = { 0 };
	bool stays = false;
	int sock = -1;

	if (poll(&p, 1, REQUEST_MS) > 0 && vl_keep_receive(link, &kp->in, &sock)) {
		bool ours = parse(kp, link, sock >= 0, &r);

		if (ours && r.q.borrows)
			stays = lend(kp, link, r.q.print);
		ours &= sock >= 0 && !r.q.borrows;
		if (!stays)
			answer(kp, link, ours ? VL_KEEP_TAKEN : VL_KEEP_DECLINED);
		if (ours)
			serve_and_tell(kp, &r, link, sock);
	}
	if (sock >= 0)
		close(sock);
	request_deinit(&r);
	return stays;
}

static struct vl_error *listen_at(struct keeper *kp)
{
	struct sockaddr_un address;

	kp->path = vl_keep_path(kp->key, kp->slot, "sock");
	if (!kp->path || !vl_keep_address(kp->path, &address))
		return vl_error_new(VL_ERR_OS, "the run directory's path is too long for a socket");
	/* The tool that started us holds the lock, so no other keeper uses the path. */
	unlink(kp->path);
	kp->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (kp->listener < 0 || bind(kp->listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(kp->listener, 4))
		return vl_error_os(errno, "cannot listen at %s", kp->path);
	return NULL;
}

/* Remove our files, unless a tool holds the lock and so is about to ask. True: removed. */
static bool leave(struct keeper *kp)
{
	int lock = vl_keep_lock(kp->key, kp->slot);
	char *path;

	if (lock == -1)
		return false;
	path = vl_keep_path(kp->key, kp->slot, "lock");
	unlink(kp->path);
	if (path)
		unlink(path);
	free(path);
	close(kp->listener);
	kp->listener = -1;
	if (lock >= 0)
		close(lock);
	return true;
}

static void loop(struct keeper *kp)
{
	for (;;) {
		struct pollfd p[4] = { { kp->listener, POLLIN, 0 },
				       { kp->pidfd, POLLIN, 0 },
				       { kp->loan, POLLIN, 0 },
				       { -1, POLLIN, 0 } };
		bool prepares;
		int nr, link;

		vl_redirect_make_ipc(&kp->kept);
		/* Bit by bit: a tool need not wait for it. */
		prepares = !kp->end && vl_memfds_prepare(&kp->kept);
		if (!prepares)
			make_standby(kp);
		/* The worker never writes there: the link gets readable when it has ended. */
		if (kp->standby)
			p[3].fd = vl_box_link(kp->standby);
		nr = poll(p, 4, kp->end ? 20 : prepares ? 0 : (int)kp->seconds * 1000);
		if (nr < 0 && errno != EINTR)
			return;
		if (!nr && prepares)
			continue;
		/* A standby that ended by itself is not made again until a tool asks. */
		if (nr > 0 && p[3].revents)
			kp->lends = false;
		if (nr > 0 && (p[2].revents || p[3].revents))
			end_standby(kp);
		/* Not idle: a tool still uses our worker. */
		if (!nr && kp->lent && !kp->end)
			continue;
		if ((!nr || kp->end || (nr > 0 && p[1].revents)) && leave(kp))
			return;
		if (nr <= 0 || !p[0].revents)
			continue;
		link = accept4(kp->listener, NULL, NULL, SOCK_CLOEXEC);
		if (link < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
			continue;
		/* It stays readable: end. The next tool starts another keeper. */
		if (link < 0) {
			leave(kp);
			return;
		}
		if (!take_tool(kp, link))
			close(link);
	}
}

/* Descriptors for files that are made ahead (vl_memfds_prepare()), and for all else. */
#define FILES_MAX 2048

static void allow_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= FILES_MAX)
		return;
	files.rlim_cur = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* Only a tool that starts a keeper has a connection at VL_KEEP_FD. */
static bool is_started_by_tool(void)
{
	int domain = 0, type = 0;
	socklen_t size = sizeof(domain);

	return !getsockopt(VL_KEEP_FD, SOL_SOCKET, SO_DOMAIN, &domain, &size) &&
	       !getsockopt(VL_KEEP_FD, SOL_SOCKET, SO_TYPE, &type, &size) && domain == AF_UNIX &&
	       type == SOCK_SEQPACKET;
}

struct vl_error *vl_keep_serve(const struct vl_keep_options *k, unsigned int slot)
{
	struct keeper kp = {
		.k = k,
		.slot = slot,
		.listener = -1,
		.pidfd = -1,
		.seconds = k->seconds,
		.kept = { .network = -1, .ipc = -1, .mounts = -1 },
		.loan = -1,
	};
	struct vl_error *err;

	if (slot >= VL_KEEP_SLOTS || !is_started_by_tool())
		return vl_error_hint(
			vl_error_new(VL_ERR_ARG, "tools start keepers themselves"),
			"--keep=SECONDS sets how long one stays, --keep=0 starts none");
	allow_files();
	kp.key = vl_keep_key(k);
	err = kp.key ? vl_keep_message_init(&kp.in) : vl_error_nomem();
	if (!err)
		err = vl_keep_message_init(&kp.out);
	if (!err)
		err = vl_redirect_filter_create(&kp.filter);
	if (!err)
		err = listen_at(&kp);
	vl_keep_self(NULL, &kp.self);
	fcntl(VL_KEEP_FD, F_SETFD, FD_CLOEXEC);
	/* The tool that started us has a program to run. */
	if (!err)
		take_tool(&kp, VL_KEEP_FD);
	else if (kp.out.data)
		answer(&kp, VL_KEEP_FD, VL_KEEP_DECLINED);
	close(VL_KEEP_FD);
	/* Do not keep the tool's working directory busy. */
	if (!err && !chdir("/"))
		loop(&kp);
	end_standby(&kp);
	vl_guest_close(kp.guest);
	vl_redirect_filter_destroy(kp.filter);
	if (kp.kept.network >= 0)
		close(kp.kept.network);
	if (kp.kept.ipc >= 0)
		close(kp.kept.ipc);
	vl_redirect_locales_deinit(&kp.kept.locales);
	vl_memfds_destroy(kp.kept.memfds);
	if (kp.pidfd >= 0)
		close(kp.pidfd);
	if (kp.listener >= 0)
		close(kp.listener);
	vl_keep_message_deinit(&kp.in);
	vl_keep_message_deinit(&kp.out);
	free(kp.path);
	free(kp.key);
	return err;
}
