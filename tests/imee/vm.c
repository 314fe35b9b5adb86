// SPDX-License-Identifier: GPL-2.0-or-later
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm.h"

#define EFER_ALL 0xd01 /* SCE, LME, LMA, NX */

struct command {
	uint32_t what, page;
	uint64_t arg;
};

static struct {
	int vm, vcpu[3], file;
	pthread_t thread[2];
	char *low, *shared, *rom, *play, *huge, *tlb;
} here;

static void *memory(size_t size, int flags, int fd)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	/* Which pages there are is not to depend on what the kernel likes. */
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

/* Whole huge pages, and nothing but small ones in front and behind. */
static void *huge_memory(size_t size)
{
	uintptr_t p = (uintptr_t)memory(size + 2 * HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	uintptr_t at = (p + HUGE) & ~(HUGE - 1);

	madvise((void *)at, size, MADV_HUGEPAGE);
	return (void *)at;
}

static void tag_pages(char *p, uint64_t gpa, size_t size, uint64_t with)
{
	for (size_t at = 0; at < size; at += PAGE)
		*(uint64_t *)(p + at) = tag(gpa + at) ^ with;
}

static void set_slot(int slot, uint64_t gpa, size_t size, void *p, uint32_t flags)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)p,
	};

	if (ioctl(here.vm, KVM_SET_USER_MEMORY_REGION, &r) < 0)
		err(1, "KVM_SET_USER_MEMORY_REGION");
}

/* Identity for the first GiB, by pages of 2 MiB. */
static void page_tables(uint64_t at)
{
	uint64_t *top = (uint64_t *)(here.low + at);
	uint64_t *second = (uint64_t *)(here.low + at + PAGE);
	uint64_t *third = (uint64_t *)(here.low + at + 2 * PAGE);

	memset(top, 0, 3 * PAGE);
	top[0] = (at + PAGE) | 3;
	second[0] = (at + 2 * PAGE) | 3;
	for (uint64_t i = 0; i < 512; i++)
		third[i] = i << 21 | 0x83;
}

static void code(void)
{
	static const uint8_t loop[] = {
		0x48, 0xff, 0x04, 0x25, 0x00, 0xa0, 0x00, 0x00, /* incq 0xa000 */
		0x0f, 0x31,					/* rdtsc */
		0x89, 0x04, 0x25, 0x18, 0xa0, 0x00, 0x00,	/* mov %eax, 0xa018 */
		0x89, 0x14, 0x25, 0x1c, 0xa0, 0x00, 0x00,	/* mov %edx, 0xa01c */
		0x48, 0x8b, 0x04, 0x25, 0x08, 0xa0, 0x00, 0x00, /* mov 0xa008, %rax */
		0x0f, 0x22, 0xd8,				/* mov %rax, %cr3 */
		0x48, 0x8b, 0x04, 0x25, 0x10, 0xa0, 0x00, 0x00, /* mov 0xa010, %rax */
		0x0f, 0x22, 0xd8,				/* mov %rax, %cr3 */
		0xeb, 0xd0,					/* jmp loop */
	};
	static const uint8_t halt[] = { 0xf4, 0xeb, 0xfd };
	struct vm_data *data = (void *)(here.low + VM_DATA);

	_Static_assert(sizeof(loop) == 48 && sizeof(loop) <= VM_CODE_END - VM_CODE,
		       "the jump is of -48");
	memcpy(here.low + VM_CODE, loop, sizeof(loop));
	memcpy(here.low + VM_CODE_HALT, halt, sizeof(halt));
	memset(data, 0, sizeof(*data));
	data->cr3[0] = VM_CR3_A;
	data->cr3[1] = VM_CR3_B;
}

static void registers(int vcpu, uint64_t rip)
{
	struct kvm_regs regs = { .rip = rip, .rflags = VM_RFLAGS, .rsp = VM_RSP, .rbx = VM_RBX };
	struct kvm_segment flat = { .limit = 0xffffffff, .present = 1, .s = 1, .g = 1 };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry msrs[2];
	} msrs = {
		.head.nmsrs = 2,
		.msrs = { { .index = 0xc0000082, .data = VM_LSTAR },
			  { .index = 0xc0000102, .data = VM_KERNEL_GS } },
	};
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		err(1, "KVM_GET_SREGS");
	sregs.cs = flat;
	sregs.cs.selector = 0x10;
	sregs.cs.type = 11;
	sregs.cs.l = 1;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	sregs.ss.selector = 0x18;
	sregs.ss.type = sregs.ds.type = sregs.es.type = sregs.fs.type = sregs.gs.type = 3;
	sregs.ss.db = 1;
	sregs.gs.base = VM_GS;
	sregs.tr.base = VM_TR;
	sregs.tr.limit = 0x206f;
	sregs.tr.selector = 0x40;
	sregs.tr.type = 11;
	sregs.tr.present = 1;
	sregs.tr.s = 0;
	sregs.idt.base = VM_IDT;
	sregs.idt.limit = 0xfff;
	sregs.gdt.base = VM_GDT;
	sregs.gdt.limit = 0x7f;
	sregs.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	sregs.cr3 = VM_CR3_A;
	sregs.cr4 = 0x20; /* PAE */
	sregs.efer = EFER_ALL;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0 ||
	    ioctl(vcpu, KVM_SET_MSRS, &msrs) != 2 || ioctl(vcpu, KVM_SET_MP_STATE, &runnable) < 0)
		err(1, "cannot set a vCPU's registers");
}

static void *run(void *arg)
{
	int vcpu = *(int *)arg;

	for (;;)
		if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno != EINTR && errno != EAGAIN)
			return NULL; /* closed */
	return NULL;
}

/* The processor's features, all of them: the loop needs long mode. */
static void features(int kvm, int vcpu)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} *cpuid = calloc(1, sizeof(*cpuid));

	cpuid->head.nent = 256;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
	    ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0)
		err(1, "KVM_SET_CPUID2");
	free(cpuid);
}

/* Two slots within 2 MiB; of the huge page behind the first, the second half is not the guest's. */
static void edge(void)
{
	char *first = huge_memory(HUGE), *second = memory(MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	tag_pages(first, VM_EDGE, HUGE, 0);
	tag_pages(first + MIB, VM_EDGE, MIB, 0xbad);
	tag_pages(second, VM_EDGE + MIB, MIB, 0);
	set_slot(5, VM_EDGE, MIB, first, 0);
	set_slot(6, VM_EDGE + MIB, MIB, second, 0);
}

static void build(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	here.vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (here.vm < 0 || ioctl(here.vm, KVM_CREATE_IRQCHIP) < 0)
		err(1, "/dev/kvm");
	here.low = memory(VM_LOW_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	here.file = memfd_create("ram", MFD_CLOEXEC);
	if (here.file < 0 || ftruncate(here.file, VM_FILE_SIZE))
		err(1, "memfd");
	here.shared = memory(VM_FILE_SIZE, MAP_SHARED, here.file);
	here.rom = memory(VM_ROM_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	here.play = memory(VM_PLAY_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	here.huge = huge_memory(VM_HUGE_SIZE);
	here.tlb = mmap(NULL, VM_TLB_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT, -1, 0);
	tag_pages(here.low, VM_LOW, VM_LOW_SIZE, 0);
	tag_pages(here.shared, VM_FILE, VM_FILE_SIZE, 0);
	tag_pages(here.rom, VM_ROM, VM_ROM_SIZE, 0);
	tag_pages(here.play, VM_PLAY, VM_PLAY_SIZE, 0);
	tag_pages(here.huge, VM_HUGE, VM_HUGE_SIZE, 0);
	if (here.tlb != MAP_FAILED)
		tag_pages(here.tlb, VM_TLB, VM_TLB_SIZE, 0);
	page_tables(VM_CR3_A);
	page_tables(VM_CR3_B);
	code();
	set_slot(0, VM_LOW, VM_LOW_SIZE, here.low, 0);
	set_slot(1, VM_FILE, VM_FILE_SIZE, here.shared, 0);
	set_slot(2, VM_ROM, VM_ROM_SIZE, here.rom, KVM_MEM_READONLY);
	set_slot(3, VM_PLAY, VM_PLAY_SIZE, here.play, 0);
	edge();
	set_slot(4, VM_HUGE, VM_HUGE_SIZE, here.huge, 0);
	if (here.tlb != MAP_FAILED)
		set_slot(7, VM_TLB, VM_TLB_SIZE, here.tlb, 0);
	for (int i = 0; i < 3; i++) {
		here.vcpu[i] = ioctl(here.vm, KVM_CREATE_VCPU, i);
		if (here.vcpu[i] < 0)
			err(1, "KVM_CREATE_VCPU");
		features(kvm, here.vcpu[i]);
		registers(here.vcpu[i], i == 1 ? VM_CODE_HALT : VM_CODE);
		if (i < 2 && pthread_create(&here.thread[i], NULL, run, &here.vcpu[i]))
			errx(1, "no thread");
	}
	close(kvm);
}

static void map_page(char *at, uint64_t value)
{
	void *p = mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		       -1, 0);

	if (p != at)
		err(1, "mmap");
	*(uint64_t *)at = value;
}

static void move_page(char *at, uint64_t value)
{
	char *p = memory(PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	*(uint64_t *)p = value;
	if (mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
		err(1, "mremap");
}

static void reslot(uint64_t value)
{
	char *p = memory(VM_ROM_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	for (size_t at = 0; at < VM_ROM_SIZE; at += PAGE)
		*(uint64_t *)(p + at) = value;
	set_slot(2, VM_ROM, 0, NULL, 0);
	set_slot(2, VM_ROM, VM_ROM_SIZE, p, KVM_MEM_READONLY);
}

/*
 * Not by MADV_DONTNEED: it may leave a table, under which there are small pages for ever. Made
 * elsewhere first: as long as there are both, the new one is not where the old one was.
 */
static void renew(char *at, uint64_t gpa, uint64_t with)
{
	char *room =
		mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *new = room + (-(uintptr_t)room % HUGE);

	if (room == MAP_FAILED)
		err(1, "mmap");
	madvise(new, HUGE, MADV_HUGEPAGE);
	tag_pages(new, gpa, HUGE, with);
	if (mremap(new, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
		err(1, "mremap");
	munmap(room, 2 * HUGE);
}

/* Give pages back to the kernel and take others, all with the right tag, until told to stop. */
static void churn(int ctl, char *start, uint64_t gpa, size_t size)
{
	struct pollfd fd = { .fd = ctl, .events = POLLIN };
	unsigned seed = 1;

	while (!poll(&fd, 1, 0)) {
		for (int i = 0; i < 200; i++) {
			size_t at = rand_r(&seed) % (size / PAGE) * PAGE;

			if (start == here.huge && i % 4 == 0)
				renew(start + at / HUGE * HUGE, gpa + at / HUGE * HUGE, 0);
			else if (start == here.huge && i % 20 == 10)
				madvise(start + at / HUGE * HUGE, HUGE, MADV_DONTNEED);
			else if (i % 4)
				madvise(start + at, PAGE, MADV_DONTNEED);
			else
				move_page(start + at, tag(gpa + at));
			*(volatile uint64_t *)(start + at) = tag(gpa + at);
		}
	}
}

static void obey(const struct command *c, int ctl)
{
	bool huge = c->page >= VM_HUGE_PAGE(0);
	uint64_t gpa = VM_PLAY + c->page * PAGE, value = tag(gpa) ^ c->arg;
	char *at = huge ? here.huge + (gpa - VM_HUGE) : here.play + (gpa - VM_PLAY);

	switch (c->what) {
	case VM_DISCARD:
		madvise(at, (1 + c->arg) * PAGE, MADV_DONTNEED);
		break;
	case VM_WRITE:
		*(uint64_t *)at = value;
		break;
	case VM_UNMAP:
		munmap(at, PAGE);
		break;
	case VM_MAP:
		map_page(at, value);
		break;
	case VM_MOVE:
		move_page(at, value);
		break;
	case VM_PUNCH:
		fallocate(here.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, c->page * PAGE,
			  PAGE);
		break;
	case VM_RESLOT:
		reslot(c->arg);
		break;
	case VM_NOSLOT:
		set_slot(2, VM_ROM, 0, NULL, 0);
		break;
	case VM_CHURN:
		write(ctl, "", 1);
		if (huge)
			churn(ctl, here.huge, VM_HUGE, VM_HUGE_SIZE);
		else
			churn(ctl, here.play, VM_PLAY, VM_PLAY_SIZE);
		return;
	case VM_RENEW:
		renew(at, gpa, c->arg);
		break;
	case VM_CLOSE:
		for (int i = 0; i < 3; i++)
			close(here.vcpu[i]);
		close(here.vm);
		/* What is in KVM_RUN holds its descriptor. */
		for (int i = 0; i < 2; i++) {
			pthread_kill(here.thread[i], SIGUSR1);
			pthread_join(here.thread[i], NULL);
		}
		break;
	case VM_REST:
		break;
	}
	if (write(ctl, "", 1) != 1)
		_exit(0);
}

static void interrupt(int sig)
{
	(void)sig;
}

static void child(int ctl)
{
	struct sigaction sa = { .sa_handler = interrupt };
	uint64_t hello[5];
	struct command c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGUSR1, &sa, NULL);
	build();
	hello[0] = here.vm;
	hello[1] = here.vcpu[0];
	hello[2] = (uintptr_t)here.play;
	hello[3] = (uintptr_t)here.huge;
	hello[4] = here.tlb != MAP_FAILED;
	if (write(ctl, hello, sizeof(hello)) != sizeof(hello))
		_exit(1);
	while (read(ctl, &c, sizeof(c)) == sizeof(c))
		obey(&c, ctl);
	_exit(0);
}

void vm_start(struct vm *vm)
{
	uint64_t hello[5];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		err(1, "socketpair");
	vm->pid = fork();
	if (vm->pid < 0)
		err(1, "fork");
	if (!vm->pid) {
		close(pair[0]);
		child(pair[1]);
	}
	close(pair[1]);
	if (read(pair[0], hello, sizeof(hello)) != sizeof(hello))
		errx(1, "the machine did not start");
	vm->ctl = pair[0];
	vm->vm = hello[0];
	vm->vcpu = hello[1];
	vm->play = hello[2];
	vm->huge = hello[3];
	vm->tlb = hello[4];
}

void vm_do(struct vm *vm, enum vm_command what, uint32_t page, uint64_t arg)
{
	struct command c = { what, page, arg };
	char done;

	if (write(vm->ctl, &c, sizeof(c)) != sizeof(c) || read(vm->ctl, &done, 1) != 1)
		errx(1, "the machine has gone");
}

void vm_kill(struct vm *vm)
{
	kill(vm->pid, SIGKILL);
	waitpid(vm->pid, NULL, 0);
	close(vm->ctl);
}

int vm_fd(const struct vm *vm, int number)
{
	int pidfd = syscall(SYS_pidfd_open, vm->pid, 0), fd;

	if (pidfd < 0)
		return -1;
	fd = syscall(SYS_pidfd_getfd, pidfd, number, 0);
	close(pidfd);
	return fd;
}
