/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server's process: libmicrohttpd, which is loaded here only. */
#include "http.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/library.h"
#include "export/format.h"
#include "password.h"
#include "webbox.h"

/* A connection that is silent for so many seconds is closed. */
#define IDLE_SECONDS 10
#define CONNECTIONS 64
#define CONNECTIONS_OF_ONE 48 /* address */
/* Bytes of a connection's request, with all its headers. */
#define REQUEST_BYTES 16384UL
/* From 1.2 on, RFC 8996. */
#define TLS "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"

struct api {
	struct MHD_Daemon *(*start)(unsigned, uint16_t, MHD_AcceptPolicyCallback, void *,
				    MHD_AccessHandlerCallback, void *, ...);
	void (*stop)(struct MHD_Daemon *);
	struct MHD_Response *(*from_buffer)(size_t, void *, enum MHD_ResponseMemoryMode);
	struct MHD_Response *(*from_fd)(size_t, int);
	enum MHD_Result (*add_header)(struct MHD_Response *, const char *, const char *);
	enum MHD_Result (*queue)(struct MHD_Connection *, unsigned, struct MHD_Response *);
	enum MHD_Result (*queue_unauthorized)(struct MHD_Connection *, const char *,
					      struct MHD_Response *);
	void (*destroy)(struct MHD_Response *);
	const char *(*header)(struct MHD_Connection *, enum MHD_ValueKind, const char *);
	char *(*user)(struct MHD_Connection *, char **);
	void (*free)(void *);
};

static const char *const functions[] = {
	"MHD_start_daemon",
	"MHD_stop_daemon",
	"MHD_create_response_from_buffer",
	"MHD_create_response_from_fd",
	"MHD_add_response_header",
	"MHD_queue_response",
	"MHD_queue_basic_auth_fail_response",
	"MHD_destroy_response",
	"MHD_lookup_connection_value",
	"MHD_basic_auth_get_username_password",
	"MHD_free",
};
_Static_assert(sizeof(struct api) == sizeof(functions), "one pointer for each name");

struct http {
	struct api api;
	const struct web_config *config;
	struct passwords passwords;
	int parent;
	pthread_mutex_t lock; /* of the connection to the parent: one question at a time */
};

/* ---- answers ---- */

static enum MHD_Result reply(struct http *h, struct MHD_Connection *c, unsigned status,
			     struct MHD_Response *r, const char *type)
{
	enum MHD_Result result;

	if (!r)
		return MHD_NO;
	h->api.add_header(r, "Content-Type", type);
	h->api.add_header(r, "X-Content-Type-Options", "nosniff");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		h->api.add_header(r, "Allow", "GET, HEAD");
	if (status == MHD_HTTP_UNAUTHORIZED)
		result = h->api.queue_unauthorized(c, "vlens", r);
	else
		result = h->api.queue(c, status, r);
	h->api.destroy(r);
	return result;
}

static enum MHD_Result reply_text(struct http *h, struct MHD_Connection *c, unsigned status,
				  const char *text)
{
	struct MHD_Response *r =
		h->api.from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);

	return reply(h, c, status, r,
		     *text == '<' ? "text/html; charset=utf-8" : "text/plain; charset=utf-8");
}

/* Ask the parent for a text. Returns its file; -1: it has none. */
static int ask(struct http *h, unsigned char format, uint64_t *len_ret)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct http_answer answer = { 0 };
	struct iovec io = { &answer, sizeof(answer) };
	struct msghdr m = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cm;
	int fd = -1;

	pthread_mutex_lock(&h->lock);
	if (send(h->parent, &format, 1, MSG_NOSIGNAL) == 1 &&
	    recvmsg(h->parent, &m, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof(answer)) {
		cm = CMSG_FIRSTHDR(&m);
		if (cm && cm->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(cm), sizeof(fd));
	}
	pthread_mutex_unlock(&h->lock);
	*len_ret = answer.len;
	return fd;
}

static enum MHD_Result reply_metrics(struct http *h, struct MHD_Connection *c)
{
	const char *accept = h->api.header(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	enum vl_export_format format = accept && strstr(accept, "application/openmetrics-text") ?
					       VL_EXPORT_OPENMETRICS :
					       VL_EXPORT_TEXT;
	struct MHD_Response *r;
	uint64_t len;
	int fd = ask(h, (unsigned char)format, &len);

	if (fd < 0)
		return reply_text(h, c, MHD_HTTP_SERVICE_UNAVAILABLE, "there are no metrics now\n");
	r = h->api.from_fd(len, fd);
	if (!r)
		close(fd);
	return reply(h, c, MHD_HTTP_OK, r, vl_export_type(format));
}

static enum password_answer is_allowed(struct http *h, struct MHD_Connection *c)
{
	char *password = NULL, *user;
	enum password_answer good;

	if (!h->config->nr_users)
		return PASSWORD_RIGHT;
	user = h->api.user(c, &password);
	good = password_check(&h->passwords, user ? user : "", password ? password : "");
	h->api.free(user);
	h->api.free(password);
	return good;
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *body,
			      size_t *body_len, void **state)
{
	static int seen;
	struct http *h = ctx;
	enum password_answer allowed;

	(void)version;
	(void)body;
	/* The first call is about the headers, the next ones about a body, which is ignored. */
	if (!*state) {
		*state = &seen;
		return MHD_YES;
	}
	if (*body_len) {
		*body_len = 0;
		return MHD_YES;
	}
	allowed = is_allowed(h, c);
	if (allowed == PASSWORD_BUSY)
		return reply_text(h, c, MHD_HTTP_SERVICE_UNAVAILABLE,
				  "too many passwords are being checked\n");
	if (allowed != PASSWORD_RIGHT)
		return reply_text(h, c, MHD_HTTP_UNAUTHORIZED, "Unauthorized\n");
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return reply_text(h, c, MHD_HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed\n");
	if (!strcmp(url, "/metrics"))
		return reply_metrics(h, c);
	if (!strcmp(url, "/"))
		return reply_text(h, c, MHD_HTTP_OK,
				  "<!doctype html><title>vlens export</title>"
				  "<h1>vlens export</h1><a href=\"metrics\">Metrics</a>\n");
	return reply_text(h, c, MHD_HTTP_NOT_FOUND, "Not Found\n");
}

/* ---- the process ---- */

static struct MHD_Daemon *start(struct http *h, int listening)
{
	const struct web_config *c = h->config;
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_LISTEN_SOCKET, listening, NULL },
		{ MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS, NULL },
		{ MHD_OPTION_PER_IP_CONNECTION_LIMIT, CONNECTIONS_OF_ONE, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)REQUEST_BYTES, NULL },
		{ c->cert ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, c->cert },
		{ c->cert ? MHD_OPTION_HTTPS_MEM_KEY : MHD_OPTION_END, 0, c->key },
		{ c->cert ? MHD_OPTION_HTTPS_PRIORITIES : MHD_OPTION_END, 0, (void *)TLS },
		{ MHD_OPTION_END, 0, NULL },
	};
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
			 MHD_USE_POLL | (c->cert ? MHD_USE_TLS : 0);

	return h->api.start(flags, 0, NULL, NULL, handle, h, MHD_OPTION_ARRAY, options,
			    MHD_OPTION_END);
}

static void __attribute__((noreturn)) serve(struct http *h, int listening)
{
	int fds[2] = { h->parent, listening };
	struct MHD_Daemon *d = NULL;
	struct pollfd gone;

	prctl(PR_SET_NAME, "vlens-web");
	signal(SIGPIPE, SIG_IGN);
	/* Its parent ends it. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	if (web_confine(fds)) {
		h->parent = fds[0];
		d = start(h, fds[1]);
	}
	/* It is ready, or not. */
	if (send(h->parent, d ? "1" : "0", 1, MSG_NOSIGNAL) != 1 || !d)
		_exit(1);
	gone = (struct pollfd){ .fd = h->parent };
	/* This thread gets only the answers to other threads, and the end. */
	while (poll(&gone, 1, -1) < 0 || !(gone.revents & (POLLHUP | POLLERR)))
		;
	_exit(0);
}

struct vl_error *http_start(int listening, const struct web_config *c, int *fd_ret)
{
	static const struct vl_library lib = {
		.file = "libmicrohttpd.so.12",
		.name = "libmicrohttpd, which serves HTTP",
		.hint = "install it (on Debian: apt install libmicrohttpd12), or use --once or "
			"--textfile",
	};
	_cleanup_close_ int taken = listening;
	struct http h = { .config = c, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct vl_error *err = vl_library_load(&lib, functions, ARRAY_SIZE(functions), &h.api);
	int pair[2];
	char ready = '0';
	pid_t pid;

	if (!err)
		err = passwords_init(&h.passwords, c);
	if (err)
		return err;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return vl_error_new(VL_ERR_OS, "cannot start the server: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		close(pair[0]);
		h.parent = pair[1];
		serve(&h, listening);
	}
	close(pair[1]);
	if (pid < 0 || recv(pair[0], &ready, 1, 0) != 1 || ready != '1') {
		close(pair[0]);
		return vl_error_hint(vl_error_new(VL_ERR_OS, "the server does not start"), "%s",
				     c->cert ? "are the certificate and its key right?" :
					       "may this process start others?");
	}
	*fd_ret = pair[0];
	return NULL;
}
