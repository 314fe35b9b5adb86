/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settings and data that a program needs to run as the operator knows it. They are the host's
 * for that program alone: `cat ~/.bashrc` shows the guest's. Some hold commands (.bashrc,
 * .vimrc): the guest's must not run on this host.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/array.h"
#include "pathname.h"
#include "own.h"
#include "run.h"
#include "tasks.h"

/* clang-format off */
#define SHELL_ROW(n, p, why) { .names = n, .paths = p, .commands = true, .shell = true, .note = why }
#define ZSH_ROW(n, p, why) { .names = n, .paths = p, .commands = true, .note = why }
#define ROW(n, p, why) { .names = n, .paths = p, .note = why }
/* clang-format on */

/*
 * Names of executables and paths, separated by blanks. A '*' stands for any part of one
 * component, "~" for the operator's home.
 */
static const struct vl_program programs[] = {
	SHELL_ROW("bash",
		  "/etc/profile /etc/profile.d /etc/bash.bashrc /etc/bashrc /etc/bash_completion "
		  "/etc/bash_completion.d /usr/share/bash-completion /etc/inputrc ~/.bashrc "
		  "~/.bash_profile ~/.bash_login ~/.profile ~/.bash_aliases ~/.bash_history "
		  "~/.inputrc",
		  "commands that an interactive shell runs"),
	SHELL_ROW(
		"dash ash busybox mksh ksh* yash",
		"/etc/profile /etc/profile.d /etc/kshrc /etc/mkshrc ~/.profile ~/.kshrc ~/.mkshrc "
		"~/.shrc",
		"commands that an interactive shell runs"),
	ZSH_ROW("zsh*",
		"/etc/zsh /etc/zshrc /etc/zshenv /etc/zprofile /etc/profile /etc/profile.d "
		"/usr/share/zsh /usr/local/share/zsh /usr/lib/*/zsh ~/.zshrc ~/.zshenv ~/.zprofile "
		"~/.zlogin ~/.zsh_history ~/.zcompdump ~/.profile",
		"also without a terminal: ~/.zshenv"),
	ZSH_ROW("fish",
		"/etc/fish /usr/share/fish /usr/local/share/fish ~/.config/fish ~/.local/share/fish",
		"also without a terminal: config.fish"),
	ROW("htop", "/etc/htoprc ~/.htoprc ~/.config/htop", "columns and colours"),
	ROW("top", "/etc/toprc /etc/topdefaultrc ~/.toprc ~/.config/procps", "columns and colours"),
	ROW("less more most", "/etc/lesskey* /etc/syslesskey ~/.less ~/.lesskey ~/.config/lesskey",
	    "keys"),
	ROW("vim* vi view nvim ex",
	    "/etc/vim /usr/share/vim /usr/local/share/vim /var/lib/vim ~/.config/vim "
	    "/usr/share/nvim /usr/local/share/nvim /usr/lib/nvim /etc/xdg/nvim ~/.vimrc ~/.vim "
	    "~/.exrc ~/.config/nvim ~/.local/share/nvim",
	    "commands that an editor runs"),
	ROW("nano rnano", "/etc/nanorc /usr/share/nano ~/.nanorc ~/.config/nano",
	    "keys and colours"),
	ROW("emacs*",
	    "/etc/emacs /usr/share/emacs /usr/lib/emacs /usr/libexec/emacs ~/.emacs ~/.emacs.d",
	    "commands that an editor runs"),
	ROW("python* pypy*",
	    /* getpath.py looks beside the executable, and upwards from there */
	    "/pyvenv.cfg /*/pyvenv.cfg /usr/*/pyvenv.cfg /usr/local/*/pyvenv.cfg "
	    "/bin/pybuilddir.txt /usr/bin/pybuilddir.txt /usr/local/bin/pybuilddir.txt "
	    "/bin/lib /usr/bin/lib /usr/local/bin/lib /bin/lib64 /usr/bin/lib64 "
	    "/usr/local/bin/lib64 /bin/Modules /usr/bin/Modules /usr/local/bin/Modules "
	    "/lib/python* /lib64/python* /usr/lib64/python* /usr/local/lib64/python* "
	    "/etc/python* /usr/lib/python* /usr/lib/*/python* /usr/local/lib/python* "
	    "/usr/share/python* /usr/lib/pypy* ~/.local/lib/python* /etc/inputrc ~/.inputrc",
	    "code, and what says where it is"),
	ROW("perl*",
	    "/etc/perl /usr/lib/perl* /usr/lib64/perl* /usr/lib/*/perl* /usr/share/perl* "
	    "/usr/local/share/perl* /usr/local/lib/*/perl* /usr/local/lib/perl* "
	    "/usr/local/lib64/perl* /usr/local/lib/site_perl",
	    "code"),
	ROW("ruby*",
	    "/usr/lib/ruby /usr/lib/*/ruby /usr/share/ruby* /var/lib/gems /usr/lib64/ruby "
	    "/usr/local/lib/site_ruby /usr/local/lib/*/site_ruby ~/.gem ~/.local/share/gem",
	    "code"),
	ROW("lua*",
	    "/usr/share/lua /usr/lib/*/lua /usr/lib/lua /usr/local/share/lua /usr/local/lib/lua",
	    "code"),
	ROW("node",
	    "/usr/share/nodejs /usr/lib/*/nodejs /usr/share/node_modules /usr/lib/node* "
	    "/usr/lib/*/node* ~/.node_modules ~/.node_libraries",
	    "code"),
	ROW("gdb gdb-* drgn",
	    "/etc/gdb /usr/share/gdb /usr/share/python* /usr/lib/python* /usr/lib/*/python* ~/.gdbinit "
	    "~/.config/gdb /etc/inputrc ~/.inputrc",
	    "commands that a debugger runs"),
	ROW("git*",
	    "/usr/lib/git-core /usr/share/git-core /etc/gitconfig ~/.gitconfig ~/.config/git",
	    "its commands and settings"),
	ROW("xtables-* ip*tables* arptables* ebtables*",
	    "/usr/lib/*/xtables /usr/lib/xtables /etc/ethertypes",
	    "libraries that it looks for by their names"),
	ROW("ip ss tc bridge", "/usr/lib/*/tc /usr/lib/tc",
	    "libraries that it looks for by their names"),
	ROW("dircolors", "/etc/DIR_COLORS ~/.dircolors", "colours of the terminal"),
	ROW("tmux", "/etc/tmux.conf ~/.tmux.conf ~/.config/tmux", "keys and colours"),
	ROW("screen", "/etc/screenrc ~/.screenrc", "keys and colours"),
	ROW("man", "/etc/manpath.config /etc/man_db.conf", "where pages are"),
	ROW("groff nroff troff grotty tbl eqn preconv", "/usr/share/groff /etc/groff",
	    "fonts and macros"),
	ROW("dpkg* apt*",
	    "/etc/dpkg /usr/share/dpkg /etc/apt/apt.conf /etc/apt/apt.conf.d /usr/share/apt",
	    "settings, commands among them"),
	ROW("lsusb lspci lshw hwinfo inxi",
	    "/var/lib/usbutils /usr/share/misc /usr/share/hwdata /usr/share/pci.ids /usr/share/usb.ids",
	    "names of devices: the same everywhere"),
	ROW("file", "/usr/share/misc /etc/magic*", "kinds of files: the same everywhere"),
};

/* Programs that show this host whatever their calls answer. */
static const struct {
	const char *names;
	enum vl_redirect_refused why;
} foreign[] = {
	{ "systemd-detect-virt virt-what virt-what-cpuid-helper cpuid", VL_REFUSED_PROCESSOR },
	{ "ld-linux*.so* ld-musl-*.so* ld.so ldd", VL_REFUSED_LOADER },
};

/* Folders that are a program's own by its name, which replaces the %s. */
static const char *const by_name[] = { "/usr/share/%s", "/usr/lib/%s", "/usr/lib/*/%s",
				       "/usr/libexec/%s" };

/* Names of programs that are also names of folders of other programs. */
static const char *const shared[] = { "man", "info", "locale", "doc", "misc", "help" };

/* The next word of @list, *@len bytes; NULL: there is none. */
static const char *next_word(const char *list, size_t *len)
{
	list += strspn(list, " ");
	*len = strcspn(list, " ");
	return *len ? list : NULL;
}

bool vl_program_among(const char *names, const char *name)
{
	size_t len = 0;

	while ((names = next_word(names + len, &len))) {
		char pattern[64];

		snprintf(pattern, sizeof(pattern), "%.*s", (int)len, names);
		if (!fnmatch(pattern, name, 0))
			return true;
	}
	return false;
}

static const struct vl_program *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (vl_program_among(programs[i].names, name))
			return &programs[i];
	return NULL;
}

enum vl_redirect_refused vl_program_foreign(const char *path)
{
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (vl_program_among(foreign[i].names, slash ? slash + 1 : path))
			return foreign[i].why;
	return VL_REFUSED_NOTHING;
}

/* The bytes of @norm that the pattern of @len bytes at @word matches. */
static size_t matches(const struct vl_redirect *r, const char *word, size_t len, const char *norm)
{
	char pattern[PATH_MAX];

	if (*word != '~')
		snprintf(pattern, sizeof(pattern), "%.*s", (int)len, word);
	else if (r->home && r->home[0] == '/' && r->home[1])
		snprintf(pattern, sizeof(pattern), "%s%.*s", r->home, (int)len - 1, word + 1);
	else
		return 0;
	return vl_path_below(norm, pattern);
}

/* The bytes of @norm that name something of @task's program; 0: it is not the program's. */
size_t vl_program_file(const struct vl_redirect *r, const struct vl_task *task, const char *norm)
{
	const struct vl_program *p = task->program;
	const char *word = p && (!p->shell || task->interactive) ? p->paths : "";
	size_t len = 0, n = 0;

	while (!n && (word = next_word(word + len, &len)))
		n = matches(r, word, len, norm);
	for (size_t i = 0; !n && task->name[0] && i < ARRAY_SIZE(by_name); i++) {
		char pattern[128];

		snprintf(pattern, sizeof(pattern), by_name[i], task->name);
		n = vl_path_below(norm, pattern);
	}
	return n;
}

/* Does a shell with the arguments @args, @len bytes in all, take a user's commands? */
static bool is_interactive(const char *args, size_t len)
{
	const char *end = args + len;
	bool command = false;

	if (*args == '-')
		return true; /* a login shell */
	for (args += strlen(args) + 1; args < end; args += strlen(args) + 1) {
		if (!strcmp(args, "--login"))
			return true;
		if (!strcmp(args, "--rcfile") || !strcmp(args, "--init-file")) {
			args += strlen(args) + 1;
			continue;
		}
		if (args[0] != '-' && args[0] != '+')
			return false; /* a script, or the text of -c */
		if (args[0] == '-' && args[1] == '-')
			continue;
		if (strpbrk(args, "il"))
			return true;
		command |= strchr(args, 'c') != NULL;
		if (strpbrk(args, "oO") && args + strlen(args) + 1 < end)
			args += strlen(args) + 1;
	}
	return !command; /* without a script it reads its standard input */
}

/* Does a shell with the arguments @args run the script `which`? */
static bool is_which(const char *args, size_t len)
{
	const char *script = args + strlen(args) + 1, *slash;

	if (script >= args + len)
		return false;
	slash = strrchr(script, '/');
	return !fnmatch("which*", slash ? slash + 1 : script, 0);
}

/* Note the name that @task was executed under: lsmod and modprobe are one executable. */
static void find_called(struct vl_task *task)
{
	char path[64];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)task->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, task->called, sizeof(task->called) - 1);
		close(fd);
	}
	task->called[n > 0 ? n : 0] = 0;
	task->called[strcspn(task->called, "\n")] = 0;
}

/* Note that @task executes @exe now. */
void vl_program_begins(struct vl_task *task, const char *exe)
{
	const char *slash = strrchr(exe, '/'), *name = slash ? slash + 1 : exe;
	char path[64], args[4096];
	ssize_t n = 0;
	int fd;

	vl_task_forget_words(task);
	task->program = find(name);
	find_called(task);
	task->interactive = false;
	task->asks = !strcmp(name, "which");
	snprintf(task->name, sizeof(task->name), "%s",
		 strlen(name) < sizeof(task->name) ? name : "");
	if (strpbrk(task->name, "*?["))
		task->name[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if (!strcmp(task->name, shared[i]))
			task->name[0] = 0;
	if (!task->program || !task->program->shell)
		return;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)task->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, args, sizeof(args) - 1);
		close(fd);
	}
	if (n <= 0)
		return;
	args[n] = 0;
	task->interactive = is_interactive(args, n);
	task->asks = is_which(args, n);
}
