/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An escape from the emulator, planted: a libunicorn.so.2 that hands every call on to
 * the real one, at EVIL_UNICORN, and runs hostile code in its place when it is told to
 * by EVIL_ATTACK. It is loaded by LD_LIBRARY_PATH (tests/92-attack-worker.bats).
 *
 * With -DEVIL_READER the same in a worker that reads a guest raw: it is loaded by
 * LD_PRELOAD, and the hostile code stands where a view makes room for its first row.
 *
 * EVIL_AFTER: after so many runs. EVIL_SEED: other random numbers. An attack that gets
 * through ends the worker by SIGABRT, which the tool reports. One that fails goes on to the
 * real emulator: the answer is then right.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../src/guest/internal.h"
#include "../../src/guest/proxy-wire.h"
#include "base/array.h"

#ifndef EVIL_READER
#define FORWARD(name) \
	__attribute__((used)) static void *real_##name; \
	__asm__(".globl uc_" #name "\n\t.type uc_" #name ",@function\nuc_" #name \
		": jmp *real_" #name "(%rip)\n");
#define FORWARDED(F) \
	F(close) \
	F(context_alloc) \
	F(context_free) \
	F(context_restore) \
	F(context_save) \
	F(ctl) \
	F(emu_stop) \
	F(hook_add) \
	F(mem_map_ptr) \
	F(open) \
	F(reg_read) \
	F(reg_read_batch) \
	F(reg_write) \
	F(reg_write_batch) \
	F(strerror)

FORWARDED(FORWARD)

static int (*real_emu_start)(void *uc, uint64_t begin, uint64_t until, uint64_t timeout,
			     size_t count);
#endif

static const char *attack;
static long after; /* so many runs go well */
static pid_t broker;
static uint64_t state = 88172645463325252;
static struct vl_wire *wire;

static void take_orders(void)
{
	attack = getenv("EVIL_ATTACK");
	after = getenv("EVIL_AFTER") ? atol(getenv("EVIL_AFTER")) : 0;
	broker = (pid_t)atoi(getenv("EVIL_VICTIM") ? getenv("EVIL_VICTIM") : "1");
	state ^= (uint64_t)(getenv("EVIL_SEED") ? atol(getenv("EVIL_SEED")) : 0) << 20;
}

#ifndef EVIL_READER
/* The wire to the broker, which hostile code in a worker could find in its memory. */
static void find_wire(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512], perms[8];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) == 3 && perms[1] == 'w' &&
		    perms[3] == 's' && end - start >= sizeof(*wire))
			wire = (struct vl_wire *)start;
	if (f)
		fclose(f);
}

__attribute__((constructor)) static void load(void)
{
	const char *path = getenv("EVIL_UNICORN");
	void *lib = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

	if (!lib)
		abort();
#define LOAD(name) real_##name = dlsym(lib, "uc_" #name);
	FORWARDED(LOAD)
	*(void **)&real_emu_start = dlsym(lib, "uc_emu_start");
	take_orders();
	find_wire();
}
#endif

/* --- attacks; true: it got through --- */

static bool opens(void)
{
	const char *const paths[] = { "/etc/shadow", "/", "/proc/self/mem", "/dev/kvm",
				      "/dev/mem" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (open(paths[i], O_RDONLY) >= 0)
			return true;
	return open("/tmp/evil", O_CREAT | O_RDWR, 0600) >= 0;
}

/* Can any of its descriptors change the guest's memory? */
static bool writes(void)
{
	for (int fd = 3; fd < 64; fd++) {
		void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		if (p != MAP_FAILED || pwrite(fd, "evil", 4, 0) > 0)
			return true;
	}
	return false;
}

static bool kills(void)
{
	return !kill(broker, SIGKILL) || !kill(-1, SIGKILL) || !syscall(SYS_tkill, broker, SIGKILL);
}

static bool runs(void)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)"touch /tmp/evil", NULL };

	execv("/bin/sh", argv);
	return true;
}

static bool talks(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool traces(void)
{
	return !ptrace(PTRACE_ATTACH, broker, NULL, NULL);
}

static bool forks(void)
{
	return syscall(SYS_fork) >= 0;
}

static bool dies(void)
{
	return true;
}

/* It hangs. */
static bool hangs(void)
{
	for (;;)
		pause();
	return true;
}

static uint64_t any(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 24;
}

/* True once in @n calls. */
static bool one_of(unsigned n)
{
	return any() % n == 0;
}

static uint64_t number(void)
{
	static const uint64_t special[] = { 0,	       1,	  4095,
					    4096,      1UL << 20, (1UL << 20) + 1,
					    1UL << 32, 1UL << 47, 1UL << 63,
					    UINT64_MAX };

	return one_of(2) ? special[any() % 10] : any() << 24 ^ any();
}

/* Send all requests with random numbers, then reply and hang. */
static bool babbles(void)
{
	struct vl_channel *c = &wire->channel[VL_CHANNEL_MAIN];
	struct vl_message m;

	for (int i = 0; i < 20000; i++) {
		uint64_t *w = (uint64_t *)&m;

		for (size_t k = 0; k < sizeof(m) / 8; k++)
			w[k] = number();
		m.op = i % 3 ? VL_OP_PAUSE + (uint32_t)(number() % 16) : (uint32_t)number() | 1;
		/* Few requests that only wait, or search the hypervisor's memory, are enough. */
		if ((m.op == VL_OP_PAUSE || m.op == VL_OP_HELD_START) && i > 50)
			m.op = VL_OP_RESUME;
		for (size_t k = 0; k < 64; k++)
			((uint64_t *)wire->back)[k] = number();
		if (i == 19999) {
			m.op = VL_OP_REPLY;
			m.error = 1;
			m.code = VL_ERR_CRASHED; /* the broker asks again */
			m.text[0] = '\0';
		}
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
		while (!atomic_load(&c->turn) && m.op != VL_OP_REPLY)
			vl_wire_sleep(&c->turn, &c->sleeps, 0, 1000000);
	}
	return hangs();
}

/* Answer each question with random data. */
static bool lies(void)
{
	struct vl_message m = { .op = VL_OP_REPLY, .value = { 0, 4096 } };

	for (size_t k = 0; k < 512; k++)
		((uint64_t *)wire->window)[k] = number();
	vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	return hangs();
}

/* Lengths, counts and errors, valid and invalid ones. */
static uint64_t length(const struct vl_message *asked)
{
	uint64_t room = asked->args[any() % VL_WIRE_ARGS].len;
	uint64_t lengths[] = {
		0, 1, room, room - 1, room + 1, room / 2, asked->value[0], asked->value[1]
	};

	return one_of(4) ? number() : lengths[any() % 8];
}

/* An entry of a directory, well formed or not. */
static void fill(const struct vl_message *asked)
{
	uint64_t *window = (uint64_t *)wire->window;
	bool listed = one_of(2);

	for (size_t k = 0; k < sizeof(wire->window) / 8; k++)
		window[k] = k % 512 ? number() : length(asked);
	for (size_t at = 0; listed && at + 64 <= sizeof(wire->window); at += 64) {
		uint16_t reclen = one_of(64) ? (uint16_t)number() : 64;

		memcpy(wire->window + at + 16, &reclen, sizeof(reclen));
		wire->window[at + 60] = 0;
	}
}

/* Change a word of @bytes, of @size: the broker may be reading it. */
static void scribble(unsigned char *bytes, size_t size, const struct vl_message *m)
{
	((uint64_t *)bytes)[any() % (size / 8)] = length(m);
}

/* It stays, and answers each question with random data. */
static bool forges(void)
{
	struct vl_channel *c = &wire->channel[VL_CHANNEL_MAIN];
	struct vl_message m = c->message;

	for (int i = 0; i < 3000; i++) {
		m.op = VL_OP_REPLY;
		m.error = one_of(128);
		m.code = (int32_t)number();
		fill(&m);
		for (size_t k = 0; k < VL_WIRE_VALUES; k++)
			m.value[k] = length(&m);
		memset(m.text, '\033', sizeof(m.text));
		m.sys.epoch += one_of(64);
		m.sys.open = !one_of(1024);
		m.sys.steady = one_of(2);
		m.sys.brief = one_of(32);
		m.sys.missed = one_of(32);
		m.sys.self.pid = (pid_t)number();
		m.sys.self.uid = (uid_t)number();
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
		for (int k = 0; !atomic_load(&c->turn); k++) {
			scribble(wire->ahead[0], sizeof(wire->ahead), &m);
			scribble(wire->window, sizeof(wire->window), &m);
			if (k > 1000)
				vl_wire_sleep(&c->turn, &c->sleeps, 0, 1000000);
		}
		m = c->message;
	}
	return true;
}

/*
 * Questions are asked ahead, and the broker works meanwhile: count answers that were not given,
 * change those that were, and go on well, or not at all. Other messages are answered well.
 */
static bool flies(void)
{
	struct vl_channel *c = &wire->channel[VL_CHANNEL_MAIN];
	struct vl_message m = c->message;

	if (m.op != VL_OP_ASK || !m.value[VL_ASK_WINDOW])
		return false;
	for (int i = 0; i < 2000; i++) {
		for (size_t k = 0; k < 64; k++)
			scribble(wire->ahead[any() % VL_NR_AHEAD], VL_WINDOW_AHEAD, &m);
		atomic_store(&wire->answers, (uint32_t)(one_of(4) ? number() : any() % 300));
		atomic_fetch_add(&wire->bell, 1);
		vl_wire_wake(&wire->bell, &wire->sleeps);
	}
	return one_of(2) ? forges() : false;
}

/* Each run takes as long as a kernel that spins until its budget ends. */
static bool dawdles(void)
{
	struct timespec budget = { .tv_nsec = 200000000 };

	nanosleep(&budget, NULL);
	return false;
}

static const struct {
	const char *name;
	bool (*run)(void);
} attacks[] = {
	{ "opens", opens }, { "writes", writes },   { "kills", kills }, { "runs", runs },
	{ "talks", talks }, { "traces", traces },   { "forks", forks }, { "dies", dies },
	{ "hangs", hangs }, { "babbles", babbles }, { "lies", lies },	{ "forges", forges },
	{ "flies", flies }, { "dawdles", dawdles },
};

static void run_attack(void)
{
	bool now = attack && after-- <= 0;

	for (size_t i = 0; now && i < ARRAY_SIZE(attacks); i++)
		if (!strcmp(attack, attacks[i].name) && attacks[i].run())
			abort();
}

#ifdef EVIL_READER
static pid_t loaded; /* by this process, which forks the worker */

__attribute__((constructor)) static void load(void)
{
	loaded = getpid();
	take_orders();
}

/* The broker makes the wire, and the worker inherits its address. */
void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *p = (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);

	if (len == sizeof(*wire) && getpid() == loaded)
		wire = p;
	return p;
}

void *reallocarray(void *p, size_t nr, size_t size)
{
	if (getpid() != loaded)
		run_attack();
	return realloc(p, nr * size);
}
#else
int uc_emu_start(void *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count);

int uc_emu_start(void *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count)
{
	run_attack();
	return real_emu_start(uc, begin, until, timeout, count);
}
#endif

/* The same as in wire.c, which is not linked with this. */
void vl_wire_wake(_Atomic uint32_t *word, _Atomic uint32_t *sleeps)
{
	*sleeps = 0;
	syscall(SYS_futex, word, 1, 1, NULL, NULL, 0);
}

void vl_wire_sleep(_Atomic uint32_t *word, _Atomic uint32_t *sleeps, uint32_t seen,
		   uint64_t timeout_ns)
{
	struct {
		long s, ns;
	} ts = { 0, (long)timeout_ns };

	*sleeps = 1;
	syscall(SYS_futex, word, 0, seen, &ts, NULL, 0);
}

void vl_wire_say(struct vl_wire *w, enum vl_channel_id id, const struct vl_message *m)
{
	w->channel[id].message = *m;
	atomic_store(&w->channel[id].turn, 0);
	atomic_fetch_add(&w->bell, 1);
	vl_wire_wake(&w->bell, &w->sleeps);
}
