/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traces the program's processes and threads, for three things only. At each exec the vDSO is
 * hidden: its clocks bypass the filter. Every child is entered in the table. And a call with
 * which a shell makes a process group gets the host's pids in the place of VL_OWN_PID's, as no
 * other process can make that call. Signals and job control pass through. No process outlives
 * the supervisor (PTRACE_O_EXITKILL).
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/number.h"
#include "../base/process.h"
#include "tasks.h"
#include "own.h"
#include "refuse.h"
#include "trap.h"

/* The process that thread @tid belongs to. */
static pid_t tgid_of(pid_t tid)
{
	return (pid_t)vl_proc_number("Tgid", 10, (uint64_t)tid, "/proc/%d/status", (int)tid);
}

/* The words of a task's stack, upwards. */
struct words {
	pid_t tid;
	uint64_t addr; /* of the next word */
	size_t at, nr;
	uint64_t buf[256];
};

static bool next_word(struct words *w, uint64_t *ret)
{
	/* Near the top of the stack there may be less than a whole buffer. */
	static const size_t sizes[] = { ARRAY_SIZE(w->buf), 64, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes) && w->at == w->nr; i++) {
		struct iovec ours = { w->buf, sizes[i] * 8 };
		struct iovec theirs = { (void *)(uintptr_t)w->addr, sizes[i] * 8 };

		if (process_vm_readv(w->tid, &ours, 1, &theirs, 1, 0) == (ssize_t)ours.iov_len) {
			w->at = 0;
			w->nr = sizes[i];
		}
	}
	if (w->at == w->nr)
		return false;
	*ret = w->buf[w->at++];
	w->addr += 8;
	return true;
}

/*
 * At an exec stop the stack is as the kernel built it (x86-64 ABI, 3.4.1):
 * argc, the arguments, NULL, the environment, NULL, the auxiliary vector. Turn
 * its AT_SYSINFO_EHDR into AT_IGNORE: libc then makes real calls for the time.
 * Returns the address of the loader; 0: there is none.
 */
static uint64_t edit_auxv(pid_t tid)
{
	struct user_regs_struct regs;
	struct words w = { .tid = tid };
	uint64_t word, type, base = 0;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs))
		return 0;
	w.addr = regs.rsp;
	if (!next_word(&w, &word))
		return 0;
	for (uint64_t left = word + 1; left; left--)
		if (!next_word(&w, &word))
			return 0;
	do {
		if (!next_word(&w, &word))
			return 0;
	} while (word);
	while (next_word(&w, &type) && type != AT_NULL) {
		if (type == AT_SYSINFO_EHDR)
			ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)(w.addr - 8),
			       (void *)(uintptr_t)AT_IGNORE);
		if (!next_word(&w, &word))
			break;
		if (type == AT_BASE)
			base = word;
	}
	return base;
}

static bool peek(pid_t tid, uint64_t addr, void *buf, size_t len)
{
	struct iovec ours = { buf, len }, theirs = { (void *)(uintptr_t)addr, len };

	return process_vm_readv(tid, &ours, 1, &theirs, 1, 0) == (ssize_t)len;
}

/* Is the file that is mapped at @base musl? By its name, ld-musl-ARCH.so.1 or a link's target. */
static bool is_musl(pid_t tid, uint64_t base)
{
	char path[32], line[PATH_MAX + 128];
	_cleanup_fclose_ FILE *maps = NULL;
	bool yes = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)tid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		const char *name = strrchr(line, '/');

		if (vl_front_u64(line, 16) != base)
			continue;
		yes = name && (strstr(line, "musl") || !strncmp(name, "/libc.so", 8));
		break;
	}
	return yes;
}

/* More segments than any loader has. */
#define SEGMENTS 32

/* Where the code of the loader at @base is: its segments that are executable. */
static void find_loader(struct vl_task *t, uint64_t base)
{
	Elf64_Ehdr head;
	Elf64_Phdr segments[SEGMENTS];
	size_t nr;

	t->loader = t->loader_end = 0;
	t->loader_libc = base && is_musl(t->tid, base);
	if (!base || !peek(t->tid, base, &head, sizeof(head)))
		return;
	nr = head.e_phnum < SEGMENTS ? head.e_phnum : SEGMENTS;
	if (!peek(t->tid, base + head.e_phoff, segments, nr * sizeof(segments[0])))
		return;
	for (size_t i = 0; i < nr; i++) {
		const Elf64_Phdr *s = &segments[i];

		if (s->p_type != PT_LOAD || !(s->p_flags & PF_X))
			continue;
		if (!t->loader)
			t->loader = base + s->p_vaddr;
		t->loader_end = base + s->p_vaddr + s->p_memsz;
	}
}

/* The thread that called exec goes on as the leader, under the leader's id. */
static void on_exec(struct vl_redirect *r, pid_t tid)
{
	char link[32], exe[PATH_MAX];
	unsigned long former = 0;
	struct vl_task *t;
	uint64_t base;
	ssize_t n;

	if (!ptrace(PTRACE_GETEVENTMSG, tid, NULL, &former) && (pid_t)former != tid) {
		t = vl_task_find(r, former);
		if (t) {
			vl_task_remove(r, tid);
			t = vl_task_find(r, former);
			t->tid = tid;
		}
	}
	base = edit_auxv(tid);
	r->forced = false;
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)tid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = 0;
	if (n > 0 && vl_own_approved(r, tid)) {
		vl_own_exe(r, exe);
	} else if (!vl_own_executable(r, exe)) {
		/* The file was replaced after its approval. */
		vl_denied(r, __NR_execve);
		kill(tid, SIGKILL);
	}
	t = vl_task_find(r, tid);
	if (t) {
		find_loader(t, base);
		vl_program_begins(t, exe);
	}
}

static void on_new(struct vl_redirect *r, pid_t tid, int event)
{
	struct vl_task *t = vl_task_find(r, tid);
	unsigned long pid;
	pid_t tgid;

	if (!t || ptrace(PTRACE_GETEVENTMSG, tid, NULL, &pid))
		return;
	/* Only a bare clone can make a thread; look it up rather than decode flags. */
	tgid = event == PTRACE_EVENT_CLONE ? tgid_of(pid) : (pid_t)pid;
	vl_task_add(r, pid, tgid, t->tgid);
}

static void on_stop(struct vl_redirect *r, pid_t tid, int status)
{
	struct vl_task *t = vl_task_find(r, tid);
	int event = status >> 16, sig = WSTOPSIG(status);

	if (!t) /* an exec in another thread took its record */
		t = vl_task_add(r, tid, tgid_of(tid), 0);
	if (!t)
		return;
	t->stopped = false;
	switch (event) {
	case PTRACE_EVENT_EXEC:
		on_exec(r, tid);
		sig = 0;
		break;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		on_new(r, tid, event);
		sig = 0;
		break;
	case PTRACE_EVENT_SECCOMP:
		ptrace(vl_group_call(r, tid), tid, NULL, NULL);
		return;
	case PTRACE_EVENT_STOP:
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) {
			t->stopped = true;
			ptrace(PTRACE_LISTEN, tid, NULL, NULL);
			return;
		}
		sig = 0;
		break;
	default:
		if (sig != (SIGTRAP | 0x80)) /* PTRACE_O_TRACESYSGOOD */
			break;		     /* a signal on its way to the program */
		vl_group_return(t);
		sig = 0;
	}
	ptrace(PTRACE_CONT, tid, NULL, (void *)(long)sig);
}

/*
 * Handle the stops and the exit of task @tid. Only this pid is waited for: other children of the
 * caller (the guard of a paused guest, for one) are not ours to reap.
 */
static void reap(struct vl_redirect *r, pid_t tid)
{
	int status;

	for (;;) {
		pid_t pid = waitpid(tid, &status, __WALL | WNOHANG);

		if (pid == 0)
			return;
		if (pid < 0) {
			if (errno == EINTR)
				continue;
			if (tid == r->main)
				r->ended = true; /* another thread reaped it: must not happen */
			vl_task_remove(r, tid);
			return;
		}
		if (WIFSTOPPED(status)) {
			on_stop(r, tid, status);
			continue;
		}
		if (tid == r->main) {
			r->ended = true;
			r->wait_status = status;
		}
		vl_task_remove(r, tid);
		return;
	}
}

/* Handle all stops, forks, execs and exits that wait. */
struct vl_error *vl_tasks_reap(struct vl_redirect *r)
{
	pid_t tids[64];
	size_t nr, at = 0;

	do { /* in pieces: handling changes the table */
		r->tasks_changed = false;
		for (nr = 0; nr < 64 && at + nr < r->nr_tasks; nr++)
			tids[nr] = r->tasks[at + nr].tid;
		for (size_t i = 0; i < nr; i++)
			reap(r, tids[i]);
		at = r->tasks_changed ? 0 : at + nr;
	} while (nr && at < r->nr_tasks);
	return NULL;
}

/* Kill all tasks and wait until they are gone. */
void vl_tasks_kill(struct vl_redirect *r)
{
	for (size_t i = 0; i < r->nr_tasks; i++)
		kill(r->tasks[i].tgid, SIGKILL);
	for (int spins = 0; r->nr_tasks && spins < 2000; spins++) {
		for (size_t i = 0; i < r->nr_tasks; i++)
			kill(r->tasks[i].tgid, SIGKILL);
		vl_tasks_reap(r);
		if (r->nr_tasks)
			usleep(spins < 100 ? 100 : 1000);
	}
	while (r->nr_tasks)
		vl_task_remove(r, r->tasks[0].tid);
}

bool vl_tasks_must_stop(struct vl_redirect *r)
{
	const struct vl_task *main = vl_task_find(r, r->main);

	return r->terminal.stop && main && main->stopped;
}

void vl_tasks_stop(struct vl_redirect *r)
{
	r->terminal.stop = false;
	kill(getpid(), SIGSTOP);
	vl_error_destroy(vl_tasks_reap(r));
	/* SIGCONT may have reached only us. */
	vl_tasks_continue(r);
}
