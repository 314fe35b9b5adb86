/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads hosts: a list, an inventory. */
#include "hosts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/number.h"

#define FILE_MAX (64UL << 20)

/* ---- the INI form ---- */

/*
 * Take the next word of @*at, with quotes as a shell has them, into @buf. False: there is none.
 * One that is too long is h->wrong.
 */
static bool take_word(struct hosts *h, const char **at, char *buf, size_t size)
{
	size_t n = 0;
	char quote = 0;

	*at += strspn(*at, " \t\r");
	if (!**at || **at == '#')
		return false;
	for (; **at && (quote || !strchr(" \t\r", **at)); (*at)++) {
		if (quote ? **at == quote : (**at == '"' || **at == '\''))
			quote = quote ? 0 : **at;
		else if (n + 1 < size)
			buf[n++] = **at;
		else
			h->wrong = "a word is too long";
	}
	buf[n] = '\0';
	return true;
}

/* "[01:20:2]" in a name. */
struct range {
	const char *open, *behind; /* its brackets: the first one, and what follows it */
	bool is_letter;
	int width; /* of a number */
	long from, to, step;
};

/* Take a number with zeros in front from the @len bytes at @at. */
static bool take_number(const char *at, size_t len, long *ret)
{
	char text[16];

	while (len > 1 && *at == '0') {
		at++;
		len--;
	}
	snprintf(text, sizeof(text), "%.*s", (int)(len < sizeof(text) ? len : sizeof(text) - 1),
		 at);
	return len && len < 10 && vl_number(text, 0, 999999999, ret);
}

/* Read the first range in @name. False: it has none. */
static bool read_range(const char *name, struct range *ret)
{
	const char *open = strchr(name, '['), *close = open ? strchr(open, ']') : NULL;
	const char *first = open ? open + 1 : NULL, *last, *step;

	*ret = (struct range){ .open = open, .step = 1 };
	last = close ? memchr(first, ':', (size_t)(close - first)) : NULL;
	if (!last)
		return false;
	last++;
	ret->behind = close + 1;
	step = memchr(last, ':', (size_t)(close - last));
	if (step && !take_number(step + 1, (size_t)(close - step - 1), &ret->step))
		return false;
	if (step)
		close = step;
	ret->is_letter = last - first == 2 && close - last == 1 && isalpha((unsigned char)*first) &&
			 isalpha((unsigned char)*last);
	if (ret->is_letter) {
		ret->from = *first;
		ret->to = *last;
		return true;
	}
	/* "[:5]" begins with 0. */
	ret->width = (int)(last - first) - 1;
	return (!ret->width || take_number(first, (size_t)ret->width, &ret->from)) &&
	       take_number(last, (size_t)(close - last), &ret->to);
}

/* Add the host of one name, "web1" or "web1:22", with the variables of its line. */
static void join_one(struct hosts *h, size_t group, const char *name, char *vars[NR_HOST_VARS],
		     bool is_list)
{
	char text[600], *port;
	struct hosts_host *host;

	snprintf(text, sizeof(text), "%s", name);
	port = hosts_port(text);
	if (port)
		port[-1] = '\0';
	host = port ? hosts_find(h, text) : NULL;
	/*
	 * For Ansible the port is a variable of host "web1". But it has no two of them, and in a
	 * list each word is a host.
	 */
	if (port && (is_list ||
		     (host && host->vars[HOST_PORT] && strcmp(host->vars[HOST_PORT], port) != 0))) {
		host = hosts_add_word(h, name);
	} else {
		host = hosts_add(h, text);
		if (host && port)
			hosts_set(h, host->vars, "ansible_port", port);
	}
	if (host)
		hosts_join(h, group, host->name);
	for (size_t v = 0; host && v < NR_HOST_VARS; v++)
		if (vars[v]) {
			free(host->vars[v]);
			host->vars[v] = hosts_keep(h, vars[v]);
		}
}

/* Add the hosts that @name stands for: "web[01:10]", "db-[a:c]". */
static void join_range(struct hosts *h, size_t group, const char *name, char *vars[NR_HOST_VARS],
		       bool is_list, unsigned depth)
{
	char text[600];
	struct range r;

	if (depth == 3 || !read_range(name, &r)) {
		join_one(h, group, name, vars, is_list);
		return;
	}
	if (r.from > r.to || !r.step)
		h->wrong = "no host is in that range";
	else if ((r.to - r.from) / r.step >= HOSTS_MAX)
		h->full = true;
	for (; !h->wrong && !h->full && r.from <= r.to; r.from += r.step) {
		if (r.is_letter)
			snprintf(text, sizeof(text), "%.*s%c%s", (int)(r.open - name), name,
				 (char)r.from, r.behind);
		else
			snprintf(text, sizeof(text), "%.*s%0*ld%s", (int)(r.open - name), name,
				 r.width, r.from, r.behind);
		join_range(h, group, text, vars, is_list, depth + 1);
	}
}

/* A line "HOST KEY=VALUE..." of group @group. */
static void read_host(struct hosts *h, size_t group, const char *line, bool is_list)
{
	char *vars[NR_HOST_VARS] = { NULL };
	char name[512], word[2048], *equal;

	if (take_word(h, &line, name, sizeof(name))) {
		while (take_word(h, &line, word, sizeof(word))) {
			equal = strchr(word, '=');
			if (!equal)
				continue;
			*equal = '\0';
			hosts_set(h, vars, word, equal + 1);
		}
		join_range(h, group, name, vars, is_list, 0);
	}
	for (size_t v = 0; v < NR_HOST_VARS; v++)
		free(vars[v]);
}

/* A line "KEY = VALUE" of the variables of a group. */
static void read_var(struct hosts *h, size_t group, const char *line)
{
	const char *equal = strchr(line, '=');
	char name[128], value[2048];
	size_t len;

	if (!equal || group >= h->nr_groups)
		return;
	len = strcspn(line, " \t=");
	snprintf(name, sizeof(name), "%.*s", (int)len, line);
	equal++;
	if (!take_word(h, &equal, value, sizeof(value)))
		*value = '\0';
	hosts_set(h, h->groups[group].vars, name, value);
}

/* Is @line "[NAME]"? That can also be a host's name, with a range or an address in brackets. */
static bool is_section(const char *line)
{
	const size_t len = strcspn(line, "\n");
	const char *close = memchr(line, ']', len);

	return *line == '[' && close &&
	       strcspn(close + 1, "=.[:") >= len - (size_t)(close + 1 - line);
}

/* Has @text only names of hosts? */
static bool is_list(const char *text)
{
	for (const char *line = text; *line;) {
		line += strspn(line, " \t\r\n");
		if (is_section(line) ||
		    (*line != '#' && *line != ';' && memchr(line, '=', strcspn(line, "\n"))))
			return false;
		line += strcspn(line, "\n");
	}
	return true;
}

static struct vl_error *read_ini(char *text, struct hosts *h)
{
	const bool plain = is_list(text);
	enum { HOSTS, CHILDREN, VARS } part = HOSTS;
	size_t group = hosts_group(h, "ungrouped");
	unsigned number = 0;
	char word[512];

	for (char *line = text, *end; line && *line; line = end) {
		const char *at;

		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		number++;
		line += strspn(line, " \t\r");
		at = line;
		if (!*line || *line == '#' || *line == ';')
			continue;
		if (is_section(line)) {
			char *name = line + 1, *kind;

			*strchr(name, ']') = '\0';
			kind = strrchr(name, ':');
			part = !kind			  ? HOSTS :
			       !strcmp(kind, ":children") ? CHILDREN :
			       !strcmp(kind, ":vars")	  ? VARS :
							    HOSTS;
			if (kind && part == HOSTS)
				return vl_error_new(VL_ERR_ARG, "line %u: '%s' is no section",
						    number, name);
			if (kind)
				*kind = '\0';
			group = hosts_group(h, name);
		} else if (part == HOSTS) {
			read_host(h, group, line, plain);
		} else if (part == VARS) {
			read_var(h, group, line);
		} else if (take_word(h, &at, word, sizeof(word))) {
			hosts_adopt(h, group, word);
			hosts_group(h, word);
		}
		if (h->wrong)
			return vl_error_new(VL_ERR_ARG, "line %u: %s", number, h->wrong);
		if (h->full)
			break;
	}
	return NULL;
}

/* ---- the file ---- */

/* Read all of @fd; a NUL is behind it. NULL: errno says why. */
static char *read_all(int fd, size_t *len_ret)
{
	char *text = NULL;
	size_t len = 0, cap = 0;
	ssize_t n;

	do {
		if (cap - len < 2) {
			char *more = cap < FILE_MAX ? realloc(text, 2 * cap + 65536) : NULL;

			if (!more) {
				free(text);
				errno = cap < FILE_MAX ? ENOMEM : EFBIG;
				return NULL;
			}
			text = more;
			cap = 2 * cap + 65536;
		}
		n = read(fd, text + len, cap - len - 1);
		if (n < 0) {
			free(text);
			return NULL;
		}
		len += (size_t)n;
	} while (n);
	text[len] = '\0';
	*len_ret = len;
	return text;
}

/* What `ansible-inventory` makes of @path. */
static struct vl_error *ask_ansible(const char *path, char **ret, size_t *len_ret)
{
	static const char program[] = "ansible-inventory";
	int pipes[2], status, err;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC))
		return vl_error_os(errno, "cannot make a pipe");
	pid = fork();
	if (!pid) {
		char *argv[] = { (char *)program, "--list", "-i", (char *)path, NULL };

		dup2(pipes[1], 1);
		execvp(program, argv);
		_exit(127);
	}
	close(pipes[1]);
	*ret = pid < 0 ? NULL : read_all(pipes[0], len_ret);
	err = errno;
	close(pipes[0]);
	if (pid < 0)
		return vl_error_os(err, "cannot fork");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!*ret)
		return vl_error_os(err, "cannot read what %s prints", program);
	if (!status)
		return NULL;
	free(*ret);
	*ret = NULL;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return vl_error_hint(vl_error_new(VL_ERR_ARG,
						  "only %s reads such an inventory, "
						  "and it is not installed",
						  program),
				     "a list of names, Ansible's INI form and the output of '%s "
				     "--list' are read without it",
				     program);
	return vl_error_new(VL_ERR_ARG, "%s failed", program);
}

/* Is it for Ansible to read: a folder, a script, YAML? */
static bool is_for_ansible(const char *path, const struct stat *st, const char *text)
{
	const char *dot = strrchr(path, '.');

	return S_ISDIR(st->st_mode) || !strncmp(text, "#!", 2) ||
	       (dot && (!strcmp(dot, ".yml") || !strcmp(dot, ".yaml"))) || !strncmp(text, "---", 3);
}

struct vl_error *hosts_read(const char *path, struct hosts *ret)
{
	const bool is_stdin = !strcmp(path, "-");
	int fd = is_stdin ? 0 : open(path, O_RDONLY | O_CLOEXEC);
	struct vl_error *err = NULL;
	size_t len = 0;
	struct stat st;
	char *text = NULL;

	*ret = (struct hosts){ .nr = 0 };
	if (fd < 0 || fstat(fd, &st)) {
		err = vl_error_os(errno, "cannot open %s", path);
		if (fd > 0)
			close(fd);
		return err;
	}
	if (!S_ISDIR(st.st_mode)) {
		text = read_all(fd, &len);
		if (!text)
			err = vl_error_os(errno, "cannot read %s", path);
	}
	if (!is_stdin)
		close(fd);
	if (!err && is_for_ansible(path, &st, text ? text : "")) {
		free(text);
		err = ask_ansible(path, &text, &len);
	}
	/* The parsers stop at a NUL byte. */
	if (!err && (strlen(text) < len || strstr(text, "\\u0000")))
		err = vl_error_new(VL_ERR_ARG, "it has a NUL byte in it");
	else if (!err && text[strspn(text, " \t\r\n")] == '{')
		err = hosts_read_json(text, len, ret);
	else if (!err)
		err = read_ini(text, ret);
	free(text);
	hosts_inherit(ret);
	if (!err && ret->full)
		err = vl_error_new(VL_ERR_ARG,
				   "more than %d hosts or %d groups, or no memory for them",
				   HOSTS_MAX, GROUPS_MAX);
	if (err)
		return vl_error_prefix(err, "%s", path);
	return NULL;
}
