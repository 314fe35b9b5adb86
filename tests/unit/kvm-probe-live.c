/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvm-probe, commands busy (the guest runs) and poll (the agent runs). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm-probe.h"

/* ---- a guest that changes its tables ---- */

/* A value that is the same before and after must be the same in between. */
static void moving(struct probe *p, const struct vl_space *s, uint64_t va, size_t len)
{
	static unsigned char a[4096], b[4096], c[4096];

	p->compared++;
	for (int tries = 0, differed = 0; tries < 12; tries++) {
		enum vl_read_status sa = vl_read(p->direct, s, va, a, len);
		enum vl_read_status sb = vl_read(p->kvm, s, va, b, len);
		enum vl_read_status sc = vl_read(p->direct, s, va, c, len);

		if (sa != sc || memcmp(a, c, len)) {
			if (tries == 11)
				p->moved++;
			continue;
		}
		if (sa == sb && !memcmp(a, b, len)) {
			p->refused += !!sa;
			return;
		}
		/* It may have come and gone in between. A stale value stays stale. */
		if (++differed < 6)
			continue;
		if (p->different++ < 10)
			printf("different: 0x%" PRIx64 " %zu: %s, %s\n", va, len,
			       vl_read_strstatus(sa), vl_read_strstatus(sb));
		return;
	}
}

/* A process: pages of its own, and its top-level table, as data. */
static void moving_task(struct probe *p, uint64_t task, uint64_t direct_map)
{
	struct vl_space s;

	if (vl_reader_task(p->direct, task, &s) || s.root == p->s.root)
		return;
	moving(p, &p->s, direct_map + (s.root & X86_PTE_ADDR), 4096);
	for (uint64_t table = s.root, va = 0, n = 0; n < 4; n++) {
		uint64_t e = 0, at;

		/* Go down one path: by the first or the last entry of user mode. */
		for (int level = s.levels; level >= 1; level--) {
			unsigned last = level == s.levels ? 255 : 511;

			for (unsigned i = 0; i <= last; i++) {
				uint64_t slot = n & 1 ? i : last - i;

				at = (table & X86_PTE_ADDR) + 8 * slot;
				if (vl_discard(vl_target_read(p->direct->target, at, &e, 8)))
					e = 0;
				if (!(e & X86_PTE_P))
					continue;
				va |= slot << (12 + 9 * (level - 1));
				break;
			}
			if (!(e & X86_PTE_P) || (level > 1 && e & X86_PTE_PS))
				break;
			moving(p, &p->s, direct_map + (e & X86_PTE_ADDR), 4096);
			table = e;
		}
		moving(p, &s, va, n & 2 ? 4096 : 100);
		table = s.root;
		va = 0;
	}
}

int busy(struct probe *p, unsigned seconds)
{
	static uint64_t tasks[4096];
	struct vl_walk_field f = { VL_FIELD_ADDRESS, 0, 8, 0, { 0 } };
	int32_t node = off(p, VL_F_TASK_TASKS);
	struct vl_walk w = { .kind = VL_WALK_LIST,
			     .head = vl_reader_symbol(p->direct, "init_task") + (uint64_t)node,
			     .node = (uint32_t)node,
			     .fields = &f,
			     .nr_fields = 1,
			     .records = tasks,
			     .stride = 8,
			     .max = 4096 };
	uint64_t direct_map = 0xffff888000000000,
		 at = vl_reader_symbol(p->direct, "page_offset_base");
	double end = now_us() + seconds * 1e6;
	unsigned long walks = 0, cut = 0;
	struct vl_walked walked;

	if (at)
		vl_read_u64(p->direct, &p->s, at, &direct_map);
	while (now_us() < end) {
		/* The agent's: the list is changed under it. */
		vl_walk(p->kvm, &p->s, &w, &walked);
		walks++;
		cut += !!walked.status;
		for (size_t i = 0; i < walked.nr && now_us() < end; i++)
			moving_task(p, tasks[walked.nr - 1 - i], direct_map);
	}
	printf("%lu walks, %lu of them cut off; %lu compared, %lu refused, %lu moved, %lu different, "
	       "%" PRIu64 " made again, %" PRIu64 " not by the agent\n",
	       walks, cut, p->compared, p->refused, p->moved, p->different, stats(p).redone,
	       stats(p).by_walk);
	return p->different || cut > walks / 2 || p->moved > p->compared / 2;
}

/* ---- what KVM counts ---- */

/* Call it while no thread is in KVM_RUN: the ioctl waits for that. */
static void vcpu_stats_open(struct probe *p)
{
	const struct vl_kvm *k = (const struct vl_kvm *)p->kvm->engine;

	p->vcpu_stats = ioctl(k->machine.vcpu, KVM_GET_STATS_FD, NULL);
}

static uint64_t vcpu_stat(const struct probe *p, const char *name)
{
	struct kvm_stats_header h;
	size_t size;
	char desc[256];
	uint64_t value = 0;

	if (pread(p->vcpu_stats, &h, sizeof(h), 0) != sizeof(h))
		return 0;
	size = sizeof(struct kvm_stats_desc) + h.name_size;
	for (unsigned i = 0; i < h.num_desc && size <= sizeof(desc); i++) {
		const struct kvm_stats_desc *d = (const void *)desc;

		if (pread(p->vcpu_stats, desc, size, h.desc_offset + i * size) != (ssize_t)size)
			return 0;
		if (strncmp(desc + sizeof(*d), name, h.name_size))
			continue;
		if (pread(p->vcpu_stats, &value, 8, h.data_offset + d->offset) != 8)
			value = 0;
	}
	return value;
}

/*
 * Exits that were not made by an interrupt of the host's, whosever it was. KVM counts an
 * exit and what it was for at two points in time, between which that interrupt is served: what
 * has not changed for a while is complete. A KVM that emulates exits all the time.
 */
static uint64_t vcpu_exits(const struct probe *p)
{
	uint64_t all, own = 0, last;
	int tries = 0;

	do {
		last = own;
		all = vcpu_stat(p, "exits");
		own = all - vcpu_stat(p, "irq_exits") - vcpu_stat(p, "nmi_exits");
		usleep(500);
	} while ((own != last || all != vcpu_stat(p, "exits")) && ++tries < 100);
	return own;
}

/* ---- poll mode ---- */

static void polled_reads(struct probe *p, uint64_t text)
{
	for (uint64_t i = 0; i < 200; i++)
		same(p, &p->s, text + 4096 * (i % 100) + 8 * i, 8);
}

static void polled_batch(struct probe *p, uint64_t text)
{
	uint64_t words[100], word;
	struct vl_get get[100];

	for (uint64_t i = 0; i < 100; i++)
		get[i] = (struct vl_get){ text + 4096 * i, &words[i], 8, 0 };
	p->compared++;
	p->different += vl_gather(p->kvm, &p->s, get, 100) != VL_READ_OK;
	for (uint64_t i = 0; i < 100; i++)
		p->different += vl_read_u64(p->direct, &p->s, get[i].va, &word) || word != words[i];
}

/* The first pass lets KVM find each page. */
static void count_exits(struct probe *p, void (*fn)(struct probe *p, uint64_t text), uint64_t text,
			const char *what)
{
	uint64_t exits, counted;

	fn(p, text);
	exits = stats(p).exits;
	counted = vcpu_exits(p);
	fn(p, text);
	printf("%" PRIu64 " exits for %s\n", stats(p).exits - exits, what);
	if (p->vcpu_stats >= 0)
		printf("%" PRIu64 " by KVM's own count\n", vcpu_exits(p) - counted);
}

int polled(struct probe *p)
{
	uint64_t text = vl_reader_symbol(p->direct, "_text");
	struct vl_error *err;

	/*
	 * Not where the agent stands, which moves when its page is asked for, by new memory
	 * slots: some kernels have the entry code at the begin of their text.
	 */
	if (stats(p).agent_va - text < 2UL << 20)
		text += 4UL << 20;
	vcpu_stats_open(p);
	/* The agent must not sleep, however long the requests are delayed. */
	err = vl_kvm_poll(p->kvm->engine, UINT32_MAX);
	if (err)
		return fail(err);
	count_exits(p, polled_reads, text, "200 reads");
	count_exits(p, polled_batch, text, "a batch of 100");
	overlay(p);
	walks(p);
	return p->different != 0;
}
