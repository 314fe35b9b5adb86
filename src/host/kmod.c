/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../base/number.h"
#include "internal.h"
#include "proc.h"

/* More slots than KVM allows (KVM_USER_MEM_SLOTS is 32764 at most). */
#define MAX_SLOTS 65536U

/* The registers that attach/boot.c and vl_reader_vcpu() need. */
#define NEEDED \
	(IMEE_REGS_CR0 | IMEE_REGS_CR3 | IMEE_REGS_CR4 | IMEE_REGS_EFER | IMEE_REGS_GPR | \
	 IMEE_REGS_GS | IMEE_REGS_TABLES | IMEE_REGS_TR | IMEE_REGS_CS_SS)

#define GPR_RSP 4 /* in imee_regs.gpr */

/* After virt/kvm/kvm_main.c: kvm_dev_ioctl_create_vm(). */
static bool is_vm(int dir, const char *name)
{
	char link[32];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);

	link[n < 0 ? 0 : n] = '\0';
	return !strcmp(link, "anon_inode:kvm-vm");
}

/*
 * A hypervisor opens the guest early, after the first descriptors of every process. These are
 * tried before all are listed, which is slow.
 */
#define FIRST_FD 8
#define LAST_FD 47

int vl_kmod_find_vm(pid_t pid)
{
	char path[64], name[16];
	struct dirent *de;
	_cleanup_closedir_ DIR *dir = NULL;
	int fd = -ENOENT;
	long number;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	for (int i = FIRST_FD; fd < 0 && i <= LAST_FD; i++) {
		snprintf(name, sizeof(name), "%d", i);
		if (is_vm(dirfd(dir), name))
			fd = i;
	}
	while (fd < 0 && (de = readdir(dir)))
		if (vl_number(de->d_name, 0, INT_MAX, &number) && is_vm(dirfd(dir), de->d_name))
			fd = (int)number;
	return fd;
}

unsigned int vl_kmod_count_vcpus(pid_t pid)
{
	_cleanup_closedir_ DIR *dir = NULL;
	char path[64], link[32];
	unsigned int nr = 0;
	struct dirent *de;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && (de = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);

		link[n < 0 ? 0 : n] = '\0';
		/* "anon_inode:kvm-vcpu:0", create_vcpu_fd() of virt/kvm/kvm_main.c */
		nr += !strncmp(link, "anon_inode:kvm-vcpu", 19);
	}
	return nr;
}

bool vl_kmod_present(void)
{
	return access(IMEE_DEVICE, F_OK) == 0;
}

/* A copy of descriptor @fd of process @pid. Returns it, or -errno. */
static int take_fd(pid_t pid, int pidfd, int fd)
{
	_cleanup_close_ int own = -1;
	int got;

	if (pidfd < 0) {
		own = (int)syscall(SYS_pidfd_open, pid, 0);
		/* This is never EBADF, which callers take for a closed @fd. */
		if (own < 0)
			return -errno;
		pidfd = own;
	}
	got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	return got < 0 ? -errno : got;
}

/* The firmware's variable: four bytes of attributes, then the value (UEFI 2.10, 3.3). */
#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static bool secure_boot(void)
{
	_cleanup_close_ int fd = open(SECURE_BOOT, O_RDONLY | O_CLOEXEC);
	unsigned char v[5];

	return fd >= 0 && read(fd, v, sizeof(v)) == sizeof(v) && v[4] == 1;
}

static struct vl_error *no_device(int err)
{
	struct vl_error *e = vl_error_os(err, "cannot open %s", IMEE_DEVICE);

	e->code = VL_ERR_TARGET;
	switch (err) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return vl_error_hint(e, "load it: modprobe imee (package vlens-dkms)%s",
				     secure_boot() ? "; secure boot is on here: it must be signed, "
						     "see imee(4)" :
						     "");
	case EACCES:
	case EPERM:
		return vl_error_hint(e, "run as root, or join the group of %s", IMEE_DEVICE);
	default:
		return e;
	}
}

static struct vl_error *no_guest(pid_t pid, int err)
{
	if (err == ENOENT)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "process %d has no guest on KVM", (int)pid),
			"imee.ko serves guests on KVM only");
	return vl_proc_denied(pid, err);
}

/* The error when imee.ko refuses to attach; see kmod/imee.h. */
static struct vl_error *refused(pid_t pid, int err)
{
	struct vl_error *e =
		vl_error_os(err, "imee.ko does not attach to process %d's guest", (int)pid);

	e->code = VL_ERR_TARGET;
	switch (err) {
	case EPERM:
		return vl_error_hint(e, "run as root, or as the guest's own user");
	default:
		return e;
	}
}

static struct vl_error *attach(struct vl_kmod *m, pid_t pid, int pidfd)
{
	_cleanup_close_ int vm = -1;
	struct imee_attach a;
	const void *page;
	int theirs;

	m->fd = open(IMEE_DEVICE, O_RDONLY | O_CLOEXEC);
	if (m->fd < 0)
		return no_device(errno);
	theirs = vl_kmod_find_vm(pid);
	if (theirs < 0)
		return no_guest(pid, -theirs);
	vm = take_fd(pid, pidfd, theirs);
	if (vm < 0)
		return no_guest(pid, vm == -EBADF ? ENOENT : -vm);
	if (ioctl(m->fd, IMEE_GET_VERSION, 0) < IMEE_VERSION)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "imee.ko is older than vlens"),
				     "load the one that came with it: rmmod imee; modprobe imee");
	a = (struct imee_attach){ .vm_fd = vm, .flags = IMEE_ATTACH_ZERO };
	if (ioctl(m->fd, IMEE_ATTACH, &a) < 0)
		return refused(pid, errno);
	m->nr_vcpus = a.vcpus;
	page = mmap(NULL, VL_PAGE_SIZE, PROT_READ, MAP_SHARED, m->fd, (off_t)IMEE_STATUS_OFFSET);
	if (page == MAP_FAILED)
		return vl_error_os(errno, "cannot map the module's status");
	m->status = page;
	return NULL;
}

struct vl_error *vl_kmod_attach(pid_t pid, int pidfd, struct vl_kmod **ret)
{
	struct vl_kmod *m = calloc(1, sizeof(*m));
	struct vl_error *err;

	if (!m)
		return vl_error_nomem();
	err = attach(m, pid, pidfd);
	if (err) {
		vl_kmod_detach(m);
		return err;
	}
	*ret = m;
	return NULL;
}

bool vl_kmod_inherit(struct vl_kmod *m)
{
	const void *page =
		mmap(NULL, VL_PAGE_SIZE, PROT_READ, MAP_SHARED, m->fd, (off_t)IMEE_STATUS_OFFSET);

	m->status = page == MAP_FAILED ? NULL : page;
	return m->status;
}

void vl_kmod_detach(struct vl_kmod *m)
{
	if (!m)
		return;
	if (m->status)
		munmap((void *)(uintptr_t)m->status, VL_PAGE_SIZE);
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}

struct vl_error *vl_kmod_slots(struct vl_kmod *m, struct imee_slot **ret, size_t *nr_ret)
{
	_cleanup_free_ struct imee_slot *slots = NULL;
	struct imee_slots ask = { .capacity = 32 };

	/* If there was no room for all, count says how many there are. */
	for (;;) {
		struct imee_slot *more = reallocarray(slots, ask.capacity, sizeof(*more));

		if (!more)
			return vl_error_nomem();
		slots = more;
		ask.slots = (uintptr_t)slots;
		if (ioctl(m->fd, IMEE_GET_SLOTS, &ask) < 0)
			return vl_error_os(errno, "imee.ko does not list the guest's memory");
		if (ask.count <= ask.capacity || ask.count > MAX_SLOTS)
			break;
		ask.capacity = ask.count;
	}
	*ret = vl_taken(slots);
	*nr_ret = ask.count <= ask.capacity ? ask.count : 0;
	return NULL;
}

bool vl_kmod_renew(struct vl_kmod *m)
{
	struct imee_slots ask = { .capacity = 0 };

	return ioctl(m->fd, IMEE_GET_SLOTS, &ask) == 0;
}

void *vl_kmod_map(struct vl_kmod *m, void *at, uint64_t gpa, uint64_t size)
{
	void *p = mmap(at, size, PROT_READ, MAP_SHARED | (at ? MAP_FIXED : 0), m->fd, (off_t)gpa);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * A vCPU that was never started has no meaningful state. It is listed all the same, as the
 * index of a vCPU is its number.
 */
static struct vl_error *read_regs(struct vl_kmod *m, unsigned int i, struct imee_regs *ret)
{
	*ret = (struct imee_regs){ .vcpu = i };
	while (ioctl(m->fd, IMEE_GET_REGS, ret) < 0)
		if (errno != EINTR)
			return vl_error_os(errno, "imee.ko has no registers of vCPU %u", i);
	if (~ret->valid & NEEDED)
		return vl_error_new(VL_ERR_TARGET, "imee.ko lacks registers of vCPU %u", i);
	return NULL;
}

static struct vl_error *read_vcpu(struct vl_kmod *m, unsigned int i, struct vl_vcpu *ret)
{
	struct imee_regs r;
	struct vl_error *err = read_regs(m, i, &r);

	if (err)
		return err;
	*ret = (struct vl_vcpu){
		.rip = r.rip,
		.rsp = r.gpr[GPR_RSP],
		.rflags = r.rflags,
		.cr0 = r.cr0,
		.cr3 = r.cr3,
		.cr4 = r.cr4,
		.efer = r.efer,
		.gdt_base = r.gdt_base,
		.gdt_limit = r.gdt_limit,
		.idt_base = r.idt_base,
		.idt_limit = r.idt_limit,
		.tr_base = r.tr.base,
		.tr_limit = r.tr.limit,
		.tr = r.tr.selector,
		.cs = r.cs.selector,
		.ss = r.ss.selector,
		.gs_base = r.gs_base,
		.has_kernel_gs_base = r.valid & IMEE_REGS_KERNEL_GS,
		.kernel_gs_base = r.kernel_gs_base,
	};
	return NULL;
}

struct vl_error *vl_kmod_vcpus(struct vl_kmod *m, struct vl_vcpu **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_vcpu *vcpus = calloc(m->nr_vcpus + 1UL, sizeof(*vcpus));
	struct vl_error *err = NULL;

	if (!vcpus)
		return vl_error_nomem();
	for (unsigned int i = 0; !err && i < m->nr_vcpus; i++)
		err = read_vcpu(m, i, &vcpus[i]);
	if (err)
		return err;
	*ret = vcpus;
	vcpus = NULL;
	*nr_ret = m->nr_vcpus;
	return NULL;
}

static struct vl_register_segment segment(const struct imee_segment *s)
{
	return (struct vl_register_segment){
		.selector = s->selector,
		.limit = s->limit,
		.flags = (s->attr & 0xffU) << 8 | (s->attr & 0xf00U) << 12,
		.base = s->base,
	};
}

static struct vl_registers all_of(const struct imee_regs *r)
{
	const bool kernel_gs = r->valid & IMEE_REGS_KERNEL_GS;

	return (struct vl_registers){
		.version = VL_REGISTERS_VERSION,
		.size = kernel_gs ? VL_REGISTERS_NEW : VL_REGISTERS_OLD,
		.rax = r->gpr[0],
		.rcx = r->gpr[1],
		.rdx = r->gpr[2],
		.rbx = r->gpr[3],
		.rsp = r->gpr[GPR_RSP],
		.rbp = r->gpr[5],
		.rsi = r->gpr[6],
		.rdi = r->gpr[7],
		.r8 = r->gpr[8],
		.r9 = r->gpr[9],
		.r10 = r->gpr[10],
		.r11 = r->gpr[11],
		.r12 = r->gpr[12],
		.r13 = r->gpr[13],
		.r14 = r->gpr[14],
		.r15 = r->gpr[15],
		.rip = r->rip,
		.rflags = r->rflags,
		.cs = segment(&r->cs),
		.ss = segment(&r->ss),
		.fs = { .base = r->fs_base },
		.gs = { .base = r->gs_base },
		.tr = segment(&r->tr),
		.gdt = { .base = r->gdt_base, .limit = r->gdt_limit },
		.idt = { .base = r->idt_base, .limit = r->idt_limit },
		.cr = { r->cr0, 0, r->cr2, r->cr3, r->cr4 },
		.kernel_gs_base = r->kernel_gs_base,
	};
}

struct vl_error *vl_kmod_registers(struct vl_kmod *m, struct vl_registers **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_registers *all = calloc(m->nr_vcpus + 1UL, sizeof(*all));
	struct vl_error *err = NULL;
	struct imee_regs r;

	if (!all)
		return vl_error_nomem();
	for (unsigned int i = 0; !err && i < m->nr_vcpus; i++) {
		err = read_regs(m, i, &r);
		if (!err)
			all[i] = all_of(&r);
	}
	if (err)
		return err;
	*ret = vl_taken(all);
	*nr_ret = m->nr_vcpus;
	return NULL;
}
