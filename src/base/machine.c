/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

char vl_machine_parameter(const char *module, const char *name)
{
	char path[96], c = 0;
	int fd;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, &c, 1) != 1)
		c = 0;
	close(fd);
	return c == '1' ? 'Y' : c == '0' ? 'N' : c;
}

enum vl_machine_kind vl_machine_kind(void)
{
	char ept = vl_machine_parameter("kvm_intel", "ept");
	char npt = vl_machine_parameter("kvm_amd", "npt");

	if (ept == 'N' || npt == 'N')
		return VL_MACHINE_SHADOW;
	return ept || npt ? VL_MACHINE_TWO_LEVELS : VL_MACHINE_EMULATED;
}

int vl_machine_open(char *why, size_t size)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0) {
		snprintf(why, size, "/dev/kvm: %s", strerror(errno));
		return -1;
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version == KVM_API_VERSION)
		return fd;
	if (version < 0)
		snprintf(why, size, "/dev/kvm is not KVM: %s", strerror(errno));
	else
		snprintf(why, size, "/dev/kvm has an unknown version of the API: %d", version);
	close(fd);
	return -1;
}

void vl_machine_probe(struct vl_machine_host *h, bool open)
{
	*h = (struct vl_machine_host){ .kvm = -1, .kind = vl_machine_kind() };
	h->walks_write = h->kind == VL_MACHINE_TWO_LEVELS &&
			 vl_machine_parameter("kvm_intel", "eptad") != 'N';
	if (open)
		h->kvm = vl_machine_open(h->why, sizeof(h->why));
	else
		strcpy(h->why, "/dev/kvm was not opened");
}

static struct vl_error *create(struct vl_machine *m, const struct vl_machine_host *host)
{
	char own_why[96] = "/dev/kvm could not be opened again";
	const char *why = host && host->why[0] ? host->why : own_why;
	void *run;

	if (!host)
		m->kvm = vl_machine_open(own_why, sizeof(own_why));
	else if (host->kvm >= 0)
		m->kvm = fcntl(host->kvm, F_DUPFD_CLOEXEC, 0);
	if (m->kvm < 0)
		return vl_error_new(VL_ERR_OS, "%s", why);
	do
		m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	while (m->vm < 0 && errno == EINTR);
	if (m->vm < 0)
		return vl_error_os(errno, "KVM_CREATE_VM");
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	if (m->vcpu < 0)
		return vl_error_os(errno, "KVM_CREATE_VCPU");
	m->run_size = (size_t)ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (run == MAP_FAILED)
		return vl_error_os(errno, "cannot map the vCPU");
	m->run = run;
	return NULL;
}

struct vl_error *vl_machine_create(struct vl_machine *m, const struct vl_machine_host *host)
{
	struct vl_error *err = create(m, host);

	if (err)
		vl_machine_close(m);
	return err;
}

void vl_machine_close(struct vl_machine *m)
{
	if (m->run)
		munmap(m->run, m->run_size);
	if (m->vcpu >= 0)
		close(m->vcpu);
	if (m->vm >= 0)
		close(m->vm);
	if (m->kvm >= 0)
		close(m->kvm);
	*m = (struct vl_machine)VL_MACHINE_NONE;
}

bool vl_machine_slot(const struct vl_machine *m, unsigned slot, uint64_t gpa, uint64_t size,
		     const void *host, bool readonly)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return !ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

struct vl_error *vl_machine_cpuid(const struct vl_machine *m, struct kvm_cpuid2 **ret)
{
	enum { MAX = 256 };
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + MAX * sizeof(c->entries[0]));
	struct vl_error *err;

	if (!c)
		return vl_error_nomem();
	c->nent = MAX;
	if (ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, c)) {
		err = vl_error_os(errno, "KVM_GET_SUPPORTED_CPUID");
		free(c);
		return err;
	}
	*ret = c;
	return NULL;
}

struct kvm_cpuid_entry2 *vl_machine_leaf(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function == leaf && c->entries[i].index == index)
			return &c->entries[i];
	return NULL;
}

unsigned vl_machine_phys_bits(struct kvm_cpuid2 *c)
{
	struct kvm_cpuid_entry2 *e = vl_machine_leaf(c, 0x80000008, 0);

	return e ? e->eax & 0xff : 36;
}

struct kvm_segment vl_machine_code(uint16_t selector)
{
	return (struct kvm_segment){
		.limit = ~0U, .selector = selector, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
}

struct kvm_segment vl_machine_data(uint16_t selector)
{
	return (struct kvm_segment){
		.limit = ~0U, .selector = selector, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
	};
}

bool vl_machine_signal_mask(const struct vl_machine *m)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t mask; /* the kernel's sigset_t: bit n - 1 is signal n */
	} __attribute__((packed)) s = { .head.len = 8, .mask = ~(1UL << (VL_MACHINE_SIGNAL - 1)) };

	return !ioctl(m->vcpu, KVM_SET_SIGNAL_MASK, &s);
}

bool vl_machine_signal_begin(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, VL_MACHINE_SIGNAL);
	return !pthread_sigmask(SIG_BLOCK, &set, old);
}

void vl_machine_signal_take(void)
{
	static const struct timespec zero;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, VL_MACHINE_SIGNAL);
	sigtimedwait(&set, NULL, &zero);
}

void vl_machine_signal_end(const sigset_t *old, bool sent)
{
	if (sent)
		vl_machine_signal_take();
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* The offset of the value "exits" in a vCPU's file of statistics; -1: there is none. */
static off_t exits_offset(int fd)
{
	struct kvm_stats_header h;
	char name[128];

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || h.name_size > sizeof(name))
		return -1;
	for (uint32_t i = 0; i < h.num_desc; i++) {
		off_t at = h.desc_offset +
			   (off_t)i * (off_t)(sizeof(struct kvm_stats_desc) + h.name_size);
		struct kvm_stats_desc d;

		if (pread(fd, &d, sizeof(d), at) != sizeof(d) ||
		    pread(fd, name, h.name_size, at + (off_t)sizeof(d)) != h.name_size)
			return -1;
		if (!strncmp(name, "exits", h.name_size))
			return (off_t)h.data_offset + d.offset;
	}
	return -1;
}

uint64_t vl_machine_exits(const struct vl_machine *m)
{
	uint64_t exits = 0;
	off_t at;
	int fd;

	/* Since Linux 5.14. */
	fd = m->vcpu < 0 ? -1 : ioctl(m->vcpu, KVM_GET_STATS_FD, 0);
	if (fd < 0)
		return 0;
	at = exits_offset(fd);
	if (at < 0 || pread(fd, &exits, sizeof(exits), at) != sizeof(exits))
		exits = 0;
	close(fd);
	return exits;
}
