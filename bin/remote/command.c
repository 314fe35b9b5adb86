/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words for ssh, and the command for the login shell there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote.h"

/* Which program is ssh, and its first options: words with blanks between. */
#define SSH_VARIABLE "VLENS_SSH"
#define SSH_WORDS 32

/*
 * Run by sh there. $1: the host's name for the user; the rest: the command. Commands that ssh runs
 * have a short PATH on some systems.
 */
static const char script[] =
	"PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; h=$1; shift; "
	"command -v \"$1\" >/dev/null 2>&1 && exec \"$@\"; "
	"echo \"vlens: $h: vlens is not installed there: the shell of ssh finds no $1\" >&2; exit 3";

/*
 * Write @word for any login shell: sh, fish and csh read a character behind a backslash as
 * itself, but for letters in fish, which need none, and for a newline, which is quoted. A byte of
 * UTF-8 stays as it is.
 */
static void put_word(FILE *f, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_./:=@%+,-";

	putc(' ', f);
	if (!*word)
		fputs("''", f);
	for (; *word; word++) {
		if (*word == '\n') {
			fputs("'\n'", f);
			continue;
		}
		if (!((unsigned char)*word & 0x80) && !strchr(plain, *word))
			putc('\\', f);
		putc(*word, f);
	}
}

char *remote_command(const struct remote_host *h, char *const *argv, bool far, bool has_input)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fputs("exec sh -c", f);
	put_word(f, script);
	put_word(f, "sh");
	put_word(f, h->name);
	if (far)
		fputs(has_input ? " vlens far -i --" : " vlens far --", f);
	for (; *argv; argv++)
		put_word(f, *argv);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

/* Add a copy of @word to @list; *@at is where its bytes go. */
static void add(char **list, size_t *nr, char **at, const char *word, size_t len)
{
	list[(*nr)++] = *at;
	memcpy(*at, word, len);
	(*at)[len] = '\0';
	*at += len + 1;
}

char **remote_ssh(const struct remote_host *h, const char *command)
{
	const char *program = getenv(SSH_VARIABLE);
	const size_t host = strlen(h->name);
	/* ssh takes an address of IPv6 without its brackets. */
	const char *bracket = strchr(h->name, '[');
	char within[32], **list, *at;
	size_t nr = 0, words = 0;

	if (!program || !*program)
		program = "ssh";
	/* One piece: pointers, then the bytes. */
	list = calloc(1, (SSH_WORDS + 24) * sizeof(*list) + strlen(program) + strlen(command) +
				 sizeof(*h) + 256);
	if (!list)
		return NULL;
	at = (char *)(list + SSH_WORDS + 24);
	for (const char *p = program; *p && words < SSH_WORDS; words++) {
		size_t len = strcspn(p, " ");

		if (len)
			add(list, &nr, &at, p, len);
		p += len + (p[len] == ' ');
	}
	add(list, &nr, &at, h->has_tty ? "-t" : "-T", 2);
	/* With a terminal, ssh says that the connection was closed. */
	if (h->has_tty) {
		add(list, &nr, &at, "-o", 2);
		add(list, &nr, &at, "LogLevel=ERROR", 14);
	}
	if (h->is_batch) {
		add(list, &nr, &at, "-o", 2);
		add(list, &nr, &at, "BatchMode=yes", 13);
	}
	if (h->within) {
		snprintf(within, sizeof(within), "ConnectTimeout=%u", h->within);
		add(list, &nr, &at, "-o", 2);
		add(list, &nr, &at, within, strlen(within));
	}
	if (*h->user) {
		add(list, &nr, &at, "-l", 2);
		add(list, &nr, &at, h->user, strlen(h->user));
	}
	if (*h->port) {
		add(list, &nr, &at, "-p", 2);
		add(list, &nr, &at, h->port, strlen(h->port));
	}
	if (*h->key) {
		add(list, &nr, &at, "-i", 2);
		add(list, &nr, &at, h->key, strlen(h->key));
	}
	add(list, &nr, &at, "--", 2);
	add(list, &nr, &at, h->name, host);
	if (bracket && h->name[host - 1] == ']') {
		char *name = list[nr - 1];

		memmove(name + (bracket - h->name), bracket + 1, strlen(bracket + 1));
		name[host - 2] = '\0';
	}
	add(list, &nr, &at, command, strlen(command));
	return list;
}
