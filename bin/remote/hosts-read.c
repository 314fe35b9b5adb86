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

/* Take the next word of @*at, with quotes as a shell has them, into @buf. False: there is none. */
static bool take_word(const char **at, char *buf, size_t size)
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
	}
	buf[n] = '\0';
	return true;
}

/* Call hosts_join() for the names that @name stands for: "web[01:10]", "db-[a:c]". */
static void join_range(struct hosts *h, size_t group, const char *name, char *vars[NR_HOST_VARS],
		       unsigned depth)
{
	const char *open = strchr(name, '['), *close = open ? strchr(open, ']') : NULL;
	const char *colon = open ? memchr(open, ':', close ? (size_t)(close - open) : 0) : NULL;
	char text[600], first[16] = "", last[16] = "";
	long from, to;
	bool is_letter;
	struct hosts_host *host;

	if (colon && depth < 3) {
		snprintf(first, sizeof(first), "%.*s", (int)(colon - open - 1), open + 1);
		snprintf(last, sizeof(last), "%.*s", (int)(close - colon - 1), colon + 1);
		is_letter = isalpha((unsigned char)*first) && isalpha((unsigned char)*last) &&
			    !first[1] && !last[1];
		from = is_letter ? *first : 0;
		to = is_letter ? *last : 0;
		if (is_letter || (vl_number(first + strspn(first, "0") -
						    (*first == '0' && !first[strspn(first, "0")]),
					    0, HOSTS_MAX, &from) &&
				  vl_number(last + strspn(last, "0"), 0, HOSTS_MAX, &to))) {
			for (; from <= to && !h->full; from++) {
				if (is_letter)
					snprintf(text, sizeof(text), "%.*s%c%s", (int)(open - name),
						 name, (char)from, close + 1);
				else
					snprintf(text, sizeof(text), "%.*s%0*ld%s",
						 (int)(open - name), name, (int)strlen(first), from,
						 close + 1);
				join_range(h, group, text, vars, depth + 1);
			}
			return;
		}
	}
	snprintf(text, sizeof(text), "%s", name);
	/* "host:22", but not an address of IPv6. */
	if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
		char *port = strchr(text, ':');

		*port = '\0';
		hosts_join(h, group, text);
		host = hosts_add(h, text);
		if (host && !host->vars[HOST_PORT])
			hosts_set(h, host->vars, "ansible_port", port + 1);
	} else {
		hosts_join(h, group, text);
		host = hosts_add(h, text);
	}
	for (size_t v = 0; host && v < NR_HOST_VARS; v++)
		if (vars[v]) {
			free(host->vars[v]);
			host->vars[v] = hosts_keep(h, vars[v]);
		}
}

/* A line "HOST KEY=VALUE..." of group @group. */
static void read_host(struct hosts *h, size_t group, const char *line)
{
	char *vars[NR_HOST_VARS] = { NULL };
	char name[512], word[2048], *equal;

	if (take_word(&line, name, sizeof(name))) {
		while (take_word(&line, word, sizeof(word))) {
			equal = strchr(word, '=');
			if (!equal)
				continue;
			*equal = '\0';
			hosts_set(h, vars, word, equal + 1);
		}
		join_range(h, group, name, vars, 0);
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
	if (!take_word(&equal, value, sizeof(value)))
		*value = '\0';
	hosts_set(h, h->groups[group].vars, name, value);
}

static struct vl_error *read_ini(char *text, struct hosts *h)
{
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
		if (*line == '[' && strchr(line, ']') && !strpbrk(strchr(line, ']') + 1, "=.[")) {
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
			read_host(h, group, line);
		} else if (part == VARS) {
			read_var(h, group, line);
		} else if (take_word(&at, word, sizeof(word))) {
			hosts_adopt(h, group, word);
			hosts_group(h, word);
		}
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
	if (fd < 0 || fstat(fd, &st))
		return vl_error_os(errno, "cannot open %s", path);
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
	if (!err && text[strspn(text, " \t\r\n")] == '{')
		err = hosts_read_json(text, len, ret);
	else if (!err)
		err = read_ini(text, ret);
	free(text);
	hosts_settle(ret);
	if (!err && ret->full)
		err = vl_error_new(VL_ERR_ARG, "more than %d hosts, or no memory for them",
				   HOSTS_MAX);
	if (err)
		return vl_error_prefix(err, "%s", path);
	return NULL;
}
