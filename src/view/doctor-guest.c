/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest: can it be reached, held and read, what is its kernel, and who answers. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../vmst/contact.h"
#include "../vmst/unicorn_api.h"
#include "../vmst/vcpu.h"
#include "doctor.h"
#include "state.h"

#define MIB (1UL << 20)
#define KIB (1UL << 10)

struct patient {
	struct vl_doctor *d;
	struct vl_target *target;
	struct vl_contact *contact; /* NULL: its kernel is not understood */
	unsigned int engines;	    /* raw ones that work */
	bool emulator;
	struct vl_target_info info;
};

static void check_kind(struct patient *p, const char *spec)
{
	pid_t pid = vl_target_pid(p->target);

	vl_target_info(p->target, &p->info);
	if (!pid)
		vl_doctor_row(p->d, "kind", VL_DOCTOR_OK, NULL, "a memory dump, %u vCPU%s",
			      p->info.vcpus, p->info.vcpus == 1 ? "" : "s");
	else
		vl_doctor_row(p->d, "kind", VL_DOCTOR_OK, NULL, "%s%s%s, process %d, %s%s%u vCPU%s",
			      !strncmp(spec, "qemu:", 5) || !strncmp(spec, "qmp:", 4) ?
				      "a QEMU without libvirt" :
			      !strncmp(spec, "kvm:", 4) ? "a guest of KVM, by the module" :
							  "a libvirt domain",
			      p->info.name[0] ? ", " : "", p->info.name, (int)pid, p->info.state,
			      p->info.state[0] ? ", " : "", p->info.vcpus,
			      p->info.vcpus == 1 ? "" : "s");
}

static void check_ram(struct patient *p)
{
	uint64_t all = 0, mappable = 0, huge = 0;
	struct vl_error *err = NULL;
	unsigned char byte;
	const struct vl_ram *ram;
	const char *how;
	size_t nr;

	ram = vl_target_ram(p->target, &nr);
	for (size_t i = 0; i < nr; i++) {
		all += ram[i].size;
		mappable += ram[i].fd >= 0 ? ram[i].size : 0;
		if (ram[i].fd >= 0 && ram[i].page_size > huge)
			huge = ram[i].page_size;
	}
	how = !vl_target_is_live(p->target) ? "in the file" :
	      mappable == all		    ? "in a file that can be mapped" :
	      mappable > all / 2	    ? "mostly in a file that can be mapped" :
					      "anonymous: read through the QEMU process";
	if (huge > 4096)
		how = "in huge pages, read by copying";
	if (nr)
		err = vl_target_read(p->target, ram[0].gpa, &byte, 1);
	if (!nr || err)
		vl_doctor_row(p->d, "memory", VL_DOCTOR_PROBLEM,
			      err ? err->hint : "has the guest only been started?",
			      "%" PRIu64 " MiB, %s: %s", all / MIB, how,
			      err ? err->message : "there is none");
	else
		vl_doctor_row(p->d, "memory", VL_DOCTOR_OK, NULL, "%" PRIu64 " MiB, %s", all / MIB,
			      how);
	vl_error_destroy(err);
}

/* Whether it could be held; it is not. */
static void check_hold(struct patient *p)
{
	pid_t pid = vl_target_pid(p->target);

	if (!pid)
		vl_doctor_row(p->d, "pausing", VL_DOCTOR_OK, NULL, "a dump needs none");
	else if (kill(pid, 0))
		vl_doctor_row(p->d, "pausing", VL_DOCTOR_PROBLEM, "run as root",
			      "process %d cannot be stopped: %s", (int)pid, strerror(errno));
	else
		vl_doctor_row(p->d, "pausing", VL_DOCTOR_OK, NULL,
			      "process %d may be stopped for a moment (not tried)", (int)pid);
}

/* What is known from before; else find out. Neither holds the guest. */
static struct vl_error *check_contact(struct patient *p)
{
	struct vl_error *err = vl_contact_known(p->target, &p->contact);

	if (!err && p->contact) {
		vl_doctor_row(p->d, "contact", VL_DOCTOR_OK, NULL,
			      "known from before: nothing was paused");
		return NULL;
	}
	vl_error_destroy(err);
	err = vl_contact_make(p->target, false, &p->contact);
	if (err)
		vl_doctor_error(p->d, "contact", VL_DOCTOR_PROBLEM, err);
	else
		vl_doctor_row(p->d, "contact", VL_DOCTOR_OK, NULL,
			      "made now, for the first time: nothing was paused");
	return err;
}

/* What it is at, if that is not what one would think. */
static void check_state(struct patient *p, const struct vl_error *why)
{
	struct vl_state state;

	vl_state_of(&p->info, p->contact, why, &state);
	if (state.means[0])
		vl_doctor_row(p->d, "state", VL_DOCTOR_WARNING,
			      p->contact ? "what is shown is of the kernel that is there" : NULL,
			      "%s: %s", state.word, state.means);
}

static void check_kernel(struct patient *p)
{
	const struct vl_kernel *k = p->contact->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t uts = vl_symbol(k, "init_uts_ns");
	char release[65] = ""; /* __NEW_UTS_LEN and a NUL, include/uapi/linux/utsname.h */
	struct vl_space space;
	struct vl_reader *r;
	size_t symbols = 0, len;
	void *btf;

	if (!vl_discard(vl_reader_open(p->target, p->contact, NULL, &r))) {
		space = vl_reader_kernel(r);
		if (uts && vl_has(l, VL_F_UTS_RELEASE))
			vl_read_string(r, &space, uts + (uint64_t)l->offset[VL_F_UTS_RELEASE],
				       release, sizeof(release));
		vl_reader_close(r);
	}
	vl_doctor_row(p->d, "kernel", VL_DOCTOR_OK, NULL, "Linux %s, build id %s",
		      release[0] ? release : "of unknown release", p->contact->build_id);
	while (vl_symbol_name(k, symbols))
		symbols++;
	vl_doctor_row(p->d, "symbols", VL_DOCTOR_OK, NULL, "%zu, in its own tables",
		      symbols);
	if (vl_discard(vl_kernel_load_btf(p->target, p->contact->key, &btf, &len))) {
		vl_doctor_row(p->d, "types", VL_DOCTOR_WARNING,
			      "remove this kernel's files from the cache; they are asked for anew",
			      "its BTF is not in the cache: vpeek by type does not work");
	} else {
		vl_doctor_row(p->d, "types", VL_DOCTOR_OK, NULL, "%zu KiB of its own BTF",
			      (size_t)(len / KIB));
		free(btf);
	}
	vl_doctor_row(p->d, "page tables", VL_DOCTOR_OK, NULL, "%d levels", p->contact->pt.levels);
}

/* The reason, less that it was asked for. */
static const char *reason_of(const struct vl_reader_stats *stats)
{
	const char *rest = strstr(stats->reason, "; ");

	return rest ? rest + 2 : stats->reason;
}

/* What of a clone's state says whether KVM can run it, without a clone. */
static void read_state(struct patient *p, struct vl_vcpu_state *st)
{
	const struct vl_layout *l = vl_kernel_layout(p->contact->kernel);
	uint64_t va = vl_symbol(p->contact->kernel, "boot_cpu_data");
	struct vl_space space;
	struct vl_reader *r;

	st->cr4 = p->contact->cr4;
	if (vl_discard(vl_reader_open(p->target, p->contact, NULL, &r)))
		return;
	space = vl_reader_kernel(r);
	if (va && vl_has(l, VL_F_CPU_CAPS) &&
	    !vl_read(r, &space, va + (uint64_t)l->offset[VL_F_CPU_CAPS], st->caps,
		     sizeof(st->caps)))
		st->nr_caps = VL_NR_CAPS;
	vl_reader_close(r);
}

static void check_vmst(struct patient *p)
{
	struct vl_vcpu_state st = { 0 };
	struct vl_unicorn_api api;
	struct vl_error *err = vl_unicorn_load(&api);
	char why[VL_EXECUTOR_WHY];
	const char *executor;

	read_state(p, &st);
	executor = vl_vcpu_outlook(&st, why);
	p->emulator = !err;
	if (err)
		vl_doctor_error(p->d, "engine vmst", VL_DOCTOR_PROBLEM, err);
	else
		vl_doctor_row(p->d, "engine vmst", VL_DOCTOR_OK, NULL,
			      "the guest's kernel can be asked, by %s%s%s", executor,
			      *why ? ": " : "", why);
	vl_error_destroy(err);
}

/* Open each raw engine, and read the bytes that are known. */
static void check_engines(struct patient *p)
{
	static const char *const names[] = { "direct", "kvm", "module" };
	struct vl_error *err;

	check_vmst(p);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct vl_reader_options o = { .engine = names[i] };
		unsigned char now[sizeof(p->contact->probe)];
		struct vl_reader_stats stats;
		enum vl_read_status st;
		struct vl_reader *r;
		struct vl_space space;
		char check[32];

		snprintf(check, sizeof(check), "engine %s", names[i]);
		err = vl_reader_open(p->target, p->contact, &o, &r);
		if (err) {
			/* One is enough, and what is lacking is seldom to be mended. */
			vl_doctor_row(p->d, check, VL_DOCTOR_OK, NULL, "not here: %s",
				      err->code == VL_ERR_ARG ? "this vlens is built without it" :
								err->message);
			vl_error_destroy(err);
			continue;
		}
		vl_reader_stats(r, &stats);
		space = vl_reader_kernel(r);
		st = vl_read(r, &space, p->contact->entry, now, sizeof(now));
		if (!st && !memcmp(now, p->contact->probe, sizeof(now))) {
			p->engines++;
			vl_doctor_row(p->d, check, VL_DOCTOR_OK, NULL, "reads right: %s",
				      reason_of(&stats));
		} else {
			vl_doctor_row(p->d, check, VL_DOCTOR_WARNING,
				      "another engine serves; name none with --engine",
				      "does not read right: %s",
				      st ? vl_read_strstatus(st) : "other bytes");
		}
		vl_reader_close(r);
	}
}

/* What a view cannot do without. */
static const struct {
	const char *check, *what, *without;
	enum vl_field fields[4];
	size_t nr_fields;
} views[] = {
	{ "processes",
	  "vpslist, vpidlist and vps --diff",
	  NULL,
	  { VL_F_TASK_TASKS, VL_F_TASK_PID, VL_F_TASK_COMM },
	  3 },
	{ "credentials", "vcredlist", NULL, { VL_F_TASK_CRED, VL_F_CRED_UID }, 2 },
	{ "modules",
	  "vlsmod --engine=imee and --diff",
	  "was the kernel built without modules?",
	  { VL_F_MOD_LIST, VL_F_MOD_NAME },
	  2 },
};

static void check_outlook(struct patient *p)
{
	const struct vl_layout *l = p->contact ? vl_kernel_layout(p->contact->kernel) : NULL;

	if (p->contact && p->emulator)
		vl_doctor_row(p->d, "programs", VL_DOCTOR_OK, NULL,
			      "vps, vlsof, vcat, vexec and all other mirrored programs work");
	else
		vl_doctor_row(p->d, "programs", VL_DOCTOR_PROBLEM, "see the problems above",
			      "no mirrored program, vcat or vexec works");
	for (size_t i = 0; l && i < sizeof(views) / sizeof(views[0]); i++) {
		const char *lacks = NULL, *path;
		unsigned int n;

		for (n = 0; n < views[i].nr_fields && !lacks; n++)
			if (!vl_has(l, views[i].fields[n]))
				vl_field_name(views[i].fields[n], &lacks, &path);
		if (lacks)
			vl_doctor_row(p->d, views[i].check, VL_DOCTOR_WARNING, views[i].without,
				      "not enough is known for %s: its types have no %s.%s",
				      views[i].what, lacks, path);
		else if (p->engines)
			vl_doctor_row(p->d, views[i].check, VL_DOCTOR_OK, NULL,
				      "enough is known for %s", views[i].what);
		else
			vl_doctor_row(p->d, views[i].check, VL_DOCTOR_PROBLEM,
				      "see the problems above", "no engine reads for %s",
				      views[i].what);
	}
}

struct vl_error *vl_doctor_guest(struct vl_doctor *d, const char *spec,
				 const struct vl_target_options *opts)
{
	struct patient p = { .d = d };
	struct vl_error *err;

	d->area = spec;
	err = vl_target_open(spec, opts, &p.target);
	if (err) {
		vl_doctor_error(d, "reached", VL_DOCTOR_PROBLEM, err);
		return err;
	}
	check_kind(&p, spec);
	check_ram(&p);
	check_hold(&p);
	err = check_contact(&p);
	check_state(&p, err);
	if (!err) {
		check_kernel(&p);
		check_engines(&p);
	}
	check_outlook(&p);
	vl_contact_destroy(p.contact);
	vl_target_close(p.target);
	return err;
}
