// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * imee.ko over guest memory that is of huge pages: mapped huge where the kernel can, right
 * and in step with the guest's process everywhere, and as the memory of a machine of our
 * own. Needs root, /dev/kvm and /dev/imee; prints TAP.
 *
 * Usage: imee-huge [ROUNDS]
 *
 * ROUNDS: how often a page is replaced while it is brought in (500).
 */
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "../unit/tap.h"
#include "client.h"

#define BLOCKS (VM_HUGE_SIZE / HUGE)
#define BLOCK_PAGES (HUGE / PAGE)

/* --- What is to be expected ------------------------------------------------------- */

/* Does the kernel have a function of this name? */
static bool has_function(const char *name)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	char line[512], found[256];
	bool has = false;

	while (f && !has && fgets(line, sizeof(line), f))
		has = sscanf(line, "%*s %*s %255s", found) == 1 && !strcmp(found, name);
	if (f)
		fclose(f);
	return has;
}

/*
 * Can it map such memory huge? Entries of 2 MiB that can be marked came with a way to follow
 * them ("mm: new follow_pfnmap API", of the same series).
 */
static bool can_huge(void)
{
	return has_function("follow_pfnmap_start");
}

/* Then the guest's process gets none, and whether we may depends on the kernel. */
static bool turned_off(void)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
	char line[128];
	bool off = !f || !fgets(line, sizeof(line), f) || strstr(line, "[never]");

	if (f)
		fclose(f);
	return off;
}

/* How much of VM_HUGE the guest's process has as huge pages, in bytes. */
static uint64_t backed(const struct vm *vm)
{
	unsigned long start, end, kib, found = 0;
	char path[64], line[512];
	bool inside = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)vm->pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start >= vm->huge && end <= vm->huge + VM_HUGE_SIZE;
		else if (inside && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
			found += kib * 1024;
	}
	if (f)
		fclose(f);
	return found;
}

/* Have all of it in huge pages; false: there are none to be had. */
static bool renew_all(struct vm *vm)
{
	for (int tries = 0; tries < 5; tries++) {
		for (size_t i = 0; i < BLOCKS; i++)
			vm_do(vm, VM_RENEW, VM_HUGE_PAGE(i * BLOCK_PAGES), 0);
		if (backed(vm) == VM_HUGE_SIZE)
			return true;
	}
	return false;
}

static unsigned rounds = 500;	  /* of test_race() */
static bool huge;		  /* can_huge() */
static struct imee_stats counted; /* when what came was last looked at */

/*
 * Has @huge_pages come since then, or none where the kernel cannot; and in all what takes in
 * @size bytes?
 */
static bool came(int fd, unsigned huge_pages, size_t size)
{
	struct imee_stats s;
	uint64_t faults, by_huge;

	ioctl(fd, IMEE_GET_STATS, &s);
	faults = s.faults - counted.faults;
	by_huge = s.huge - counted.huge;
	counted = s;
	printf("# %llu faults, %llu of them of 2 MiB\n", (unsigned long long)faults,
	       (unsigned long long)by_huge);
	return by_huge == (huge ? huge_pages : 0) &&
	       faults == by_huge + (size - by_huge * HUGE) / PAGE;
}

/* --- Mapped, and in step ------------------------------------------------------------ */

static bool all_show(const char *p, uint64_t gpa, size_t size, uint64_t with)
{
	for (size_t at = 0; at < size; at += PAGE)
		if (!shows(p + at, tag(gpa + at) ^ with))
			return false;
	return true;
}

/* All of a block but page @but. */
static bool others_show(const char *block, uint64_t gpa, size_t but)
{
	return all_show(block, gpa, but * PAGE, 0) &&
	       all_show(block + (but + 1) * PAGE, gpa + (but + 1) * PAGE, HUGE - (but + 1) * PAGE,
			0);
}

static void test_following(int fd, struct vm *vm)
{
	char *p = map(fd, VM_HUGE, VM_HUGE_SIZE, PROT_READ, MAP_SHARED), *block = p, *again;
	uint64_t gpa = VM_HUGE, here = tag(VM_HUGE + 300 * PAGE);
	const char *page = p + 300 * PAGE, *way = huge ? "as one" : "by small pages";

	came(fd, 0, 0);
	ok(all_tagged(p, VM_HUGE, VM_HUGE_SIZE), "huge pages are right");
	ok(came(fd, BLOCKS, VM_HUGE_SIZE), "and mapped %s", way);
	vm_do(vm, VM_WRITE, VM_HUGE_PAGE(300), 1);
	ok(shows(page, here ^ 1) && came(fd, 0, 0), "written: it shows, with no fault");

	vm_do(vm, VM_DISCARD, VM_HUGE_PAGE(300), 0);
	ok(shows(page, 0), "one page of it discarded: zeros");
	/* The process has the rest of the huge page still, and the kernel all of it. */
	again = map(fd, VM_HUGE, HUGE, PROT_READ, MAP_SHARED);
	ok(shows(again, tag(VM_HUGE)) && shows(again + 300 * PAGE, 0), "in a new mapping, too");
	munmap(again, HUGE);
	vm_do(vm, VM_WRITE, VM_HUGE_PAGE(300), 2);
	ok(shows(page, here ^ 2), "written anew: the new page shows");
	ok(others_show(block, gpa, 300), "the others are as they were");
	/*
	 * The one page twice, and two to the new mapping. No table of huge pages is left: all went.
	 */
	ok(came(fd, 0, HUGE + 3 * PAGE), "by small pages");
	vm_do(vm, VM_RENEW, VM_HUGE_PAGE(0), 3);
	ok(all_show(block, gpa, HUGE, 3), "all of it new: it shows");
	again = map(fd, VM_HUGE, HUGE, PROT_READ, MAP_SHARED);
	came(fd, 0, 0);
	ok(all_show(again, gpa, HUGE, 3) && came(fd, 1, HUGE), "in another mapping, %s", way);
	munmap(again, HUGE);

	block += HUGE, gpa += HUGE;
	page = block + 9 * PAGE;
	here = tag(gpa + 9 * PAGE);
	vm_do(vm, VM_UNMAP, VM_HUGE_PAGE(BLOCK_PAGES + 9), 0);
	ok(raises(page, SIGBUS) && others_show(block, gpa, 9),
	   "one page unmapped: SIGBUS, and the others");
	vm_do(vm, VM_MAP, VM_HUGE_PAGE(BLOCK_PAGES + 9), 4);
	ok(shows(page, here ^ 4) && others_show(block, gpa, 9), "mapped anew: it shows");

	block += HUGE, gpa += HUGE;
	page = block + HUGE - PAGE;
	here = tag(gpa + HUGE - PAGE);
	vm_do(vm, VM_MOVE, VM_HUGE_PAGE(3 * BLOCK_PAGES - 1), 5);
	ok(shows(page, here ^ 5) && others_show(block, gpa, BLOCK_PAGES - 1),
	   "another page moved to the last one's place: it shows, and the others");

	block += HUGE, gpa += HUGE;
	came(fd, 0, 0);
	vm_do(vm, VM_RENEW, VM_HUGE_PAGE(3 * BLOCK_PAGES), 6);
	ok(all_show(block, gpa, HUGE, 6), "all of one new: the new one shows");
	ok(came(fd, 1, HUGE), "%s", way);
	/* What is read there is a huge page, too: of zeros, and nobody's. */
	vm_do(vm, VM_DISCARD, VM_HUGE_PAGE(3 * BLOCK_PAGES), BLOCK_PAGES - 1);
	ok(shows(block, 0) && shows(block + HUGE - PAGE, 0), "all of it discarded: zeros");
	vm_do(vm, VM_WRITE, VM_HUGE_PAGE(3 * BLOCK_PAGES + 5), 7);
	ok(shows(block + 5 * PAGE, tag(gpa + 5 * PAGE) ^ 7) && shows(block, 0),
	   "a page of it written: it shows");
	munmap(p, VM_HUGE_SIZE);
}

static void test_places(int fd)
{
	char *room = mmap(NULL, 4 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;

	came(fd, 0, 0);
	p = map(fd, VM_HUGE + PAGE, VM_HUGE_SIZE - 2 * PAGE, PROT_READ, MAP_SHARED);
	ok(all_tagged(p, VM_HUGE + PAGE, VM_HUGE_SIZE - 2 * PAGE) &&
		   came(fd, BLOCKS - 2, VM_HUGE_SIZE - 2 * PAGE),
	   "a mapping that begins and ends within huge pages");
	munmap(p, VM_HUGE_SIZE - 2 * PAGE);
	p = map(fd, VM_EDGE, VM_EDGE_SIZE, PROT_READ, MAP_SHARED);
	ok(all_tagged(p, VM_EDGE, VM_EDGE_SIZE) && came(fd, 0, VM_EDGE_SIZE),
	   "a slot that ends within a huge page");
	munmap(p, VM_EDGE_SIZE);
	room += -(uintptr_t)room % HUGE + PAGE;
	p = mmap(room, 2 * HUGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, VM_HUGE);
	ok(p == room && all_tagged(p, VM_HUGE, 2 * HUGE) && came(fd, 0, 2 * HUGE),
	   "an address that does not go with the guest's");
	munmap(p, 2 * HUGE);
	p = map(fd, VM_HUGE, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	ok(all_tagged(p, VM_HUGE, HUGE) && came(fd, 0, HUGE), "a private mapping");
	*(uint64_t *)(p + 7 * PAGE) = 77;
	ok(shows(p + 7 * PAGE, 77) && others_show(p, VM_HUGE, 7), "which is copied by pages");
	munmap(p, HUGE);
}

/* What the client does to its own mapping. */
static void test_client(int fd, struct vm *vm)
{
	char *p = map(fd, VM_HUGE, VM_HUGE_SIZE, PROT_READ, MAP_SHARED), *to, *moved;
	struct iovec theirs = { p, 8 }, ours = { &(uint64_t){ 0 }, 8 };
	int pipes[2];

	ok(all_tagged(p, VM_HUGE, VM_HUGE_SIZE), "a mapping");
	ok(pipe(pipes) == 0 && fails(vmsplice(pipes[1], &theirs, 1, 0), EFAULT) &&
		   fails(process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0), EFAULT),
	   "nobody pins its pages");
	ok(write(pipes[1], p, 8) == 8 && read(pipes[0], ours.iov_base, 8) == 8 &&
		   *(uint64_t *)ours.iov_base == tag(VM_HUGE),
	   "write(2) copies from it");
	close(pipes[0]);
	close(pipes[1]);
	munmap(p + 100 * PAGE, PAGE);
	ok(raises(p + 100 * PAGE, SIGSEGV) && others_show(p, VM_HUGE, 100),
	   "a part of a huge page is unmapped here");
	mprotect(p + HUGE, PAGE, PROT_NONE);
	ok(raises(p + HUGE, SIGSEGV) && others_show(p + HUGE, VM_HUGE + HUGE, 0), "or protected");
	mprotect(p + HUGE, PAGE, PROT_READ);
	ok(all_tagged(p + HUGE, VM_HUGE + HUGE, HUGE), "and no more");

	to = mmap(NULL, 3 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	to += -(uintptr_t)to % HUGE;
	moved = mremap(p + 2 * HUGE, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	vm_do(vm, VM_WRITE, VM_HUGE_PAGE(2 * BLOCK_PAGES + 1), 1);
	vm_do(vm, VM_DISCARD, VM_HUGE_PAGE(2 * BLOCK_PAGES), 0);
	ok(moved == to && shows(to, 0) && shows(to + PAGE, tag(VM_HUGE + 2 * HUGE + PAGE) ^ 1),
	   "moved, it follows");
	moved = mremap(p + 3 * HUGE, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE);
	vm_do(vm, VM_DISCARD, VM_HUGE_PAGE(3 * BLOCK_PAGES + 1), 0);
	ok(moved == to + PAGE && shows(moved + PAGE, 0) &&
		   others_show(moved, VM_HUGE + 3 * HUGE, 1),
	   "and where it no longer goes with the guest's address");
	munmap(to, 2 * HUGE);
	munmap(p, 2 * HUGE);
}

static void test_hugetlb(int fd, const struct vm *vm)
{
	char *p;

	if (!vm->tlb) {
		skip("hugetlbfs", "the kernel gave it no page");
		return;
	}
	p = map(fd, VM_TLB, VM_TLB_SIZE, PROT_READ, MAP_SHARED);
	came(fd, 0, 0);
	ok(all_tagged(p, VM_TLB, VM_TLB_SIZE) && came(fd, 1, VM_TLB_SIZE), "a page of hugetlbfs");
	munmap(p, VM_TLB_SIZE);
}

/* --- As the memory of another machine ------------------------------------------------ */

#define SLOT_GPA (2 * MIB)
#define WRITES 0x100 /* where in our page the code is that writes */

/* A machine of our own: a page of code, and a mapping as its memory at SLOT_GPA. */
struct over {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	size_t run_size;
	char *own;
};

static bool over_open(struct over *o, char *p, size_t size, bool writable)
{
	/* In real mode: mov (%bx), %eax; out %al, $0x80 */
	static const uint8_t reads[] = { 0x66, 0x8b, 0x07, 0xe6, 0x80 };
	/* mov (%bx), %eax; mov %eax, 8(%bx); out %al, $0x80 */
	static const uint8_t writes[] = { 0x66, 0x8b, 0x07, 0x66, 0x89, 0x47, 0x08, 0xe6, 0x80 };
	struct kvm_userspace_memory_region r = { .memory_size = PAGE };

	o->own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(o->own, reads, sizeof(reads));
	memcpy(o->own + WRITES, writes, sizeof(writes));
	o->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	o->vm = ioctl(o->kvm, KVM_CREATE_VM, 0);
	/* KVM patches its code when there comes a processor without, which takes all CPUs. */
	ioctl(o->vm, KVM_CREATE_IRQCHIP);
	o->vcpu = ioctl(o->vm, KVM_CREATE_VCPU, 0);
	o->run_size = ioctl(o->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	o->run = mmap(NULL, o->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, o->vcpu, 0);
	r.userspace_addr = (uintptr_t)o->own;
	if (o->run == MAP_FAILED || ioctl(o->vm, KVM_SET_USER_MEMORY_REGION, &r))
		return false;
	r.slot = 1;
	r.flags = writable ? 0 : KVM_MEM_READONLY;
	r.guest_phys_addr = SLOT_GPA;
	r.memory_size = size;
	r.userspace_addr = (uintptr_t)p;
	return !ioctl(o->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static void over_close(struct over *o)
{
	munmap(o->run, o->run_size);
	munmap(o->own, PAGE);
	close(o->vcpu);
	close(o->vm);
	close(o->kvm);
}

/* Read 4 bytes at @at of the slot, and write them behind it: 0, or an error. */
static int over_read(struct over *o, uint64_t at, bool write, uint32_t *ret)
{
	struct kvm_regs regs = { .rflags = 2, .rip = write ? WRITES : 0 };
	struct kvm_sregs sregs;

	if (ioctl(o->vcpu, KVM_GET_SREGS, &sregs))
		return errno;
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.base = SLOT_GPA + at;
	if (ioctl(o->vcpu, KVM_SET_SREGS, &sregs) || ioctl(o->vcpu, KVM_SET_REGS, &regs) ||
	    ioctl(o->vcpu, KVM_RUN, 0))
		return errno;
	if (o->run->exit_reason != KVM_EXIT_IO || ioctl(o->vcpu, KVM_GET_REGS, &regs))
		return EIO;
	*ret = regs.rax;
	return 0;
}

/* Once, with a machine that has but the page at @p: it sees @value? 0, or an error. */
static int over_once(char *p, bool write, uint64_t value)
{
	uint32_t got = 0;
	struct over o;
	int err = over_open(&o, p, PAGE, write) ? over_read(&o, 0, write, &got) : errno;

	if (!err && got != (uint32_t)value)
		err = EBADMSG;
	if (err)
		printf("# %s: %#x, not %#x\n", strerror(err), got, (uint32_t)value);
	over_close(&o);
	return err;
}

static void test_over_small(int fd, struct vm *vm)
{
	char *shared = map(fd, VM_PLAY, VM_PLAY_SIZE, PROT_READ, MAP_SHARED);
	char *private = map(fd, VM_PLAY, VM_PLAY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	uint64_t tag30 = tag(VM_PLAY + 30 * PAGE);

	ok(!over_once(shared + 30 * PAGE, false, tag30), "a shared mapping is a machine's memory");
	ok(!over_once(private + 30 * PAGE, false, tag30), "and so is a private one");
	ok(!over_once(private + 30 * PAGE, true, tag30) &&
		   shows(private + 30 * PAGE + 8, (uint32_t)tag30) &&
		   shows(shared + 30 * PAGE + 8, 0),
	   "which that machine may write, for itself");
	vm_do(vm, VM_WRITE, 31, 5);
	ok(!over_once(private + 31 * PAGE, false, tag(VM_PLAY + 31 * PAGE) ^ 5), "and follows");
	vm_do(vm, VM_WRITE, 31, 0);
	munmap(shared, VM_PLAY_SIZE);
	munmap(private, VM_PLAY_SIZE);
}

/*
 * KVM used to take a reference to each page of such memory, and refuses what has no count of
 * its own, as all but the first page of a huge one (hva_to_pfn_remapped(),
 * kvm_try_get_pfn()). Since it does not, it has a parameter for what is left of that.
 */
static bool takes_tails(void)
{
	return !access("/sys/module/kvm/parameters/allow_unsafe_mappings", F_OK);
}

static bool as_expected(int err)
{
	return takes_tails() ? !err : !err || err == EFAULT;
}

static void test_over_huge(int fd, struct vm *vm)
{
	char *shared = map(fd, VM_HUGE, VM_HUGE_SIZE, PROT_READ, MAP_SHARED);
	char *private = map(fd, VM_HUGE, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	uint64_t tail = VM_HUGE + 30 * PAGE;
	uint32_t got = 0;
	struct over o;
	int err[3];

	ok(!over_once(shared, false, tag(VM_HUGE)) && !over_once(private, false, tag(VM_HUGE)),
	   "the first page of a huge one is a machine's memory");
	err[0] = over_once(shared + 30 * PAGE, false, tag(tail));
	err[1] = over_once(private + 30 * PAGE, false, tag(tail));
	ok(as_expected(err[0]) && err[0] == err[1], "the others are, too%s",
	   err[0] ? ", to a KVM that does not count references" : "");
	err[2] = over_once(private + 30 * PAGE, true, tag(tail));
	ok(err[2] == err[0] && (err[2] || shows(private + 30 * PAGE + 8, (uint32_t)tag(tail))),
	   "for writing, as well");
	ok(shows(shared + 30 * PAGE + 8, 0), "which the guest does not see");

	/* All 2 MiB; what it has seen must not stay when the guest's process gives it up. */
	ok(over_open(&o, shared, HUGE, false) && !over_read(&o, 0, false, &got) &&
		   got == (uint32_t)tag(VM_HUGE),
	   "a machine's memory of 2 MiB");
	err[0] = over_read(&o, 30 * PAGE, false, &got);
	ok(as_expected(err[0]) && (err[0] || got == (uint32_t)tag(tail)), "page 30 of it");
	vm_do(vm, VM_DISCARD, VM_HUGE_PAGE(30), 0);
	err[1] = over_read(&o, 30 * PAGE, false, &got);
	ok(!err[1] && got == 0, "the guest's process discards it: zeros there, too");
	vm_do(vm, VM_WRITE, VM_HUGE_PAGE(30), 7);
	err[2] = over_read(&o, 30 * PAGE, false, &got);
	ok(!err[2] && got == (uint32_t)(tag(tail) ^ 7), "and writes it: it shows");
	for (int i = 0; i < 3; i++)
		if (err[i])
			printf("# %s\n", strerror(err[i]));
	over_close(&o);
	munmap(shared, VM_HUGE_SIZE);
	munmap(private, HUGE);
}

/* --- A page that goes while it is brought in ------------------------------------------ */

struct race {
	int fd;
	uint64_t gpa, size;
	_Atomic uint64_t done, seen; /* rounds: memory was replaced, and was then looked at */
	_Atomic uint64_t took_us;    /* what a round takes, at least */
	_Atomic bool end;
	unsigned long stale;
};

/*
 * A mapping for each round, first touched at some moment of it. What was replaced by then is
 * not to be seen, nor what has been since.
 */
static void *race_client(void *arg)
{
	struct race *r = arg;
	unsigned seed = 1;

	while (!r->end) {
		uint64_t round = r->seen, until = now_us() + rand_r(&seed) % (r->took_us + 1);
		char *p = map(r->fd, r->gpa, r->size, PROT_READ, MAP_SHARED);
		uint64_t value = 0;

		while (now_us() < until)
			sched_yield();
		peek(p, &value);
		while (r->done == round && !r->end)
			sched_yield();
		round = r->done;
		if (peek(p, &value) || value != (tag(r->gpa) ^ round))
			r->stale++;
		munmap(p, r->size);
		r->seen = round;
	}
	return NULL;
}

static void test_race(int fd, struct vm *vm, enum vm_command replace, uint32_t page, uint64_t size,
		      const char *what)
{
	struct race r = { .fd = fd, .gpa = VM_PLAY + page * PAGE, .size = size };
	struct imee_stats before, after;
	pthread_t client;

	vm_do(vm, replace, page, 0);
	ioctl(fd, IMEE_GET_STATS, &before);
	pthread_create(&client, NULL, race_client, &r);
	for (uint64_t round = 1; round <= rounds; round++) {
		uint64_t begin = now_us(), took;

		vm_do(vm, replace, page, round);
		/* A round that was preempted takes longer: keep the shortest. */
		took = now_us() - begin;
		r.took_us = round == 1 || took < r.took_us ? took : r.took_us;
		r.done = round;
		while (r.seen != round)
			sched_yield();
	}
	r.end = true;
	pthread_join(client, NULL);
	ioctl(fd, IMEE_GET_STATS, &after);
	ok(!r.stale, "%s replaced while it is brought in: %lu of %u times the old one stayed", what,
	   r.stale, rounds);
	printf("# %llu were taken out again\n",
	       (unsigned long long)(after.retries - before.retries));
}

/* --- All ----------------------------------------------------------------------------- */

/* Have one page in hugetlbfs's pool, if it has none free; what was there before. */
static long pool(long pages)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "r+");
	long before = -1;

	if (f && fscanf(f, "%ld", &before) == 1 && pages >= 0) {
		rewind(f);
		fprintf(f, "%ld\n", pages);
	}
	if (f)
		fclose(f);
	return before;
}

int main(int argc, char **argv)
{
	long before;
	struct vm vm;
	int fd;

	if (access(IMEE_DEVICE, F_OK) || access("/dev/kvm", R_OK | W_OK)) {
		printf("1..0 # SKIP there is no %s, or no /dev/kvm\n", IMEE_DEVICE);
		return 0;
	}
	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 10);
	catch_faults();
	huge = can_huge();
	before = pool(-1);
	pool(before + 1);
	vm_start(&vm);
	fd = device();
	ok(attach(fd, &vm, 0) == 0, "attached");
	test_over_small(fd, &vm);
	test_race(fd, &vm, VM_MOVE, 40, PAGE, "a page");
	if (turned_off()) {
		skip("huge pages", "transparent huge pages are turned off");
		goto end;
	}
	test_hugetlb(fd, &vm);
	if (!renew_all(&vm)) {
		skip("huge pages", "the kernel gave the guest's process none");
		goto end;
	}
	test_following(fd, &vm);
	ok(renew_all(&vm), "all of it new, and huge");
	test_places(fd);
	test_client(fd, &vm);
	ok(renew_all(&vm), "once more");
	test_over_huge(fd, &vm);
	test_race(fd, &vm, VM_RENEW, VM_HUGE_PAGE(0), HUGE, "a huge page");
end:
	close(fd);
	vm_kill(&vm);
	pool(before);
	return tap_end();
}
