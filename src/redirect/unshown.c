/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that a program opens although it shows nothing of them: without an answer its output is
 * still complete. So the guest is not asked. The program's arguments say what it shows.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/number.h"
#include "pathname.h"
#include "tasks.h"
#include "trap.h"
#include "own.h"

/* The arguments of a command, each with its NUL; argv[0] comes first. */
struct words {
	const char *at, *end;
};

static const char *next_word(struct words *w)
{
	const char *word = w->at;

	if (word >= w->end)
		return NULL;
	w->at += strlen(word) + 1;
	return word;
}

/* --- ps --- */

/* Options of ps(1) of procps. A letter in none of these may ask for anything. */
#define UNIX_VALUES "CGOUgkopqstu"
#define UNIX_USERS "GUgu"
#define UNIX_HARMLESS "FHLMOPVZcfjklmnowy"
#define BSD_VALUES "ONUkopqt"
#define BSD_HARMLESS "HLNOSVXZcfhjklmnosuvw"

struct ps_words {
	uint64_t pid;	 /* of the process in question */
	bool environ;	 /* environments are shown */
	bool lists, has; /* processes are listed by pid, and @pid is one */
	bool others;	 /* other processes may be shown as well */
};

static void ps_list(struct ps_words *ps, const char *list)
{
	uint64_t pid;

	ps->lists = true;
	while (*list) {
		list += strspn(list, " \t");
		if (!vl_take_u64(&list, 10, UINT64_MAX, &pid) || !strchr(", \t", *list)) {
			ps->others = true;
			return;
		}
		ps->has |= pid == ps->pid;
		list += *list != '\0';
	}
}

/* The option letters of one word; the value of the last one may be the next word. */
static void ps_letters(struct ps_words *ps, struct words *w, const char *letters, bool bsd)
{
	const char *values = bsd ? BSD_VALUES : UNIX_VALUES;
	const char *harmless = bsd ? BSD_HARMLESS : UNIX_HARMLESS;

	for (; *letters; letters++) {
		const char *value = strchr(values, *letters) ? letters + 1 : NULL;

		/*
		 * After "-" a letter that is no UNIX option, or a user that does not exist, makes
		 * ps read all words as BSD options: -axe is axe.
		 */
		if (!bsd && (value ? *value && strchr(UNIX_USERS, *letters) :
				     !strchr("ANTade", *letters) && !strchr(harmless, *letters)))
			ps->environ = ps->others = true;
		if (value && !*value)
			value = next_word(w);
		if (value && strchr("pq", *letters))
			ps_list(ps, value);
		else if (value && strchr("oO", *letters))
			ps->environ |= strstr(value, "env") != NULL;
		else if (bsd && *letters == 'e')
			ps->environ = true;
		else if (!strchr(harmless, *letters))
			ps->others = true;
		if (strchr(values, *letters))
			return;
	}
}

static void ps_long(struct ps_words *ps, struct words *w, const char *word)
{
	static const char *const plain[] = { "no-headers", "no-heading", "headers", "forest",
					     "cumulative" };
	const char *value = strchr(word, '=');
	size_t len = value ? (size_t)(value - word) : strlen(word);

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (!strcmp(word, plain[i]))
			return;
	value = value ? value + 1 : next_word(w);
	if (value && ((len == 3 && !strncmp(word, "pid", 3)) ||
		      (len == 9 && !strncmp(word, "quick-pid", 9))))
		ps_list(ps, value);
	else if (len != 4 || strncmp(word, "sort", 4))
		ps->others = ps->environ = true;
}

/* Does ps with the words @w show anything of the file @path, "/proc/PID/..."? */
static bool ps_shows(struct words *w, const char *path)
{
	struct ps_words ps = { .pid = vl_front_u64(path + strlen("/proc/"), 10) };
	const char *word;

	while ((word = next_word(w)))
		if (word[0] == '-' && word[1] == '-')
			ps_long(&ps, w, word + 2);
		else if (word[0] == '-')
			ps_letters(&ps, w, word + 1, false);
		else if (isdigit((unsigned char)word[0]))
			ps_list(&ps, word);
		else
			ps_letters(&ps, w, word, true);
	if (!ps.environ && !strcmp(strrchr(path, '/'), "/environ"))
		return false;
	return !ps.lists || ps.has || ps.others;
}

/* --- */

static const struct {
	const char *program, *pattern;
	bool (*shows)(struct words *w, const char *path);
	const char *note;
} unshown[] = {
	{ "ps", "/proc/*/environ", ps_shows, "read of each, and shown by 'ps e'" },
	{ "ps", "/proc/*/cmdline", ps_shows, "read of each, whatever is selected" },
};

/* Read the arguments of @task, once after each exec. False: they are not all known. */
static bool know_words(struct vl_task *task, struct words *ret)
{
	char text[4096], path[64];
	ssize_t n = 0;
	int fd;

	if (!task->words_read) {
		task->words_read = true;
		snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)task->tid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			n = read(fd, text, sizeof(text));
			close(fd);
		}
		/* Arguments that fill the buffer may be cut off. */
		if (n > 0 && n < (ssize_t)sizeof(text) && !text[n - 1])
			task->words = malloc((size_t)n);
		if (task->words) {
			memcpy(task->words, text, (size_t)n);
			task->words_len = (size_t)n;
		}
	}
	if (!task->words)
		return false;
	*ret = (struct words){ task->words, task->words + task->words_len };
	next_word(ret);
	return true;
}

bool vl_unshown(const struct vl_trap *t, const char *path)
{
	struct vl_task *task = vl_task_find(t->r, t->tid);

	for (size_t i = 0; task && i < ARRAY_SIZE(unshown); i++) {
		struct words w;

		if (strcmp(task->name, unshown[i].program) ||
		    vl_path_below(path, unshown[i].pattern) != strlen(path))
			continue;
		return know_words(task, &w) && !unshown[i].shows(&w, path);
	}
	return false;
}
