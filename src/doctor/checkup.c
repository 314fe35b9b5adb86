/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkup.h"

#include "../view/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../host/proxy.h"
#include "../attach/attach.h"
#include "../imee/engine.h"
#include "../vmst/executors.h"

#define KIB (1UL << 10)

struct checkup {
	struct vl_doctor d;
	struct vl_raw_guest *g;
	unsigned int engines; /* raw ones that work */
};

static size_t known_fields(const struct vl_layout *l)
{
	size_t nr = 0;

	for (int f = 0; f < VL_NR_FIELDS; f++)
		nr += vl_has(l, (enum vl_field)f);
	return nr;
}

static void check_kernel(struct checkup *p)
{
	const struct vl_kernel *k = p->g->attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t uts = vl_symbol(k, "init_uts_ns");
	char release[65] = ""; /* __NEW_UTS_LEN and a NUL, include/uapi/linux/utsname.h */
	size_t symbols = 0, len;
	const char *name;
	void *btf;

	if (uts && vl_has(l, VL_F_UTS_RELEASE))
		vl_read_string(p->g->reader, &p->g->space,
			       uts + (uint64_t)l->offset[VL_F_UTS_RELEASE], release,
			       sizeof(release));
	vl_doctor_row(&p->d, "kernel", VL_DOCTOR_OK, NULL, "Linux %s, build id %s",
		      release[0] ? release : "of unknown release", p->g->attach->build_id);
	for (size_t i = 0; (name = vl_symbol_name(k, i)); i++)
		symbols += strcmp(name, VL_NAMELESS) != 0;
	if (vl_kernel_is_bare(k))
		vl_doctor_row(&p->d, "symbols", VL_DOCTOR_OK, NULL,
			      "%zu: those that it exports, and what its code shows", symbols);
	else
		vl_doctor_row(
			&p->d, "symbols", VL_DOCTOR_OK, NULL, "%zu, in its own tables%s", symbols,
			vl_kernel_has_few(k) ? ": of its code only; its code shows where data are" :
					       "");
	if (l->derived) {
		vl_doctor_row(&p->d, "types", VL_DOCTOR_WARNING, VL_ADD_TYPES,
			      "it has none: its code shows %zu of %d fields", known_fields(l),
			      VL_NR_FIELDS);
	} else if (vl_discard(vl_kernel_load_btf(p->g->target, p->g->attach->key, &btf, &len))) {
		vl_doctor_row(
			&p->d, "types", VL_DOCTOR_WARNING,
			"remove this kernel's files from the cache; the next run makes them again",
			"its BTF is not in the cache: vpeek by type does not work");
	} else {
		vl_doctor_row(&p->d, "types", VL_DOCTOR_OK, NULL, "%zu KiB of its own BTF",
			      (size_t)(len / KIB));
		free(btf);
	}
	vl_doctor_row(&p->d, "page tables", VL_DOCTOR_OK, NULL, "%d levels",
		      p->g->attach->pt.levels);
}

/* The reason, without the words about the user's choice. */
static const char *reason_of(const struct vl_reader_stats *stats)
{
	const char *rest = strstr(stats->reason, "; ");

	return rest ? rest + 2 : stats->reason;
}

/* The part of a clone's state that decides whether KVM can run it; no clone is made. */
static void read_state(struct checkup *p, struct vl_vcpu_state *st)
{
	const struct vl_layout *l = vl_kernel_layout(p->g->attach->kernel);
	uint64_t va = vl_symbol(p->g->attach->kernel, "boot_cpu_data");

	st->cr4 = p->g->attach->cr4;
	if (va && vl_has(l, VL_F_CPU_CAPS) &&
	    !vl_read(p->g->reader, &p->g->space, va + (uint64_t)l->offset[VL_F_CPU_CAPS], st->caps,
		     sizeof(st->caps)))
		st->nr_caps = VL_NR_CAPS;
}

static void check_vmst(struct checkup *p)
{
	const struct vl_target_proxy *proxy = vl_target_proxy(p->g->target);
	struct vl_vcpu_state st = { .host = proxy ? &proxy->machine : NULL };
	char why[VL_EXECUTOR_WHY];
	const char *executor;

	read_state(p, &st);
	executor = vl_vcpu_outlook(&st, why);
	vl_doctor_row(&p->d, VL_CHECKUP_VMST, VL_DOCTOR_OK, NULL,
		      "the guest's kernel can be asked, by %s%s%s", executor, *why ? ": " : "",
		      why);
}

/* Open each raw engine, and read bytes that are known. */
static void check_engines(struct checkup *p)
{
	struct vl_error *err;
	const char *name;

	for (size_t i = 0; (name = vl_raw_name(i)); i++) {
		struct vl_reader_options o = { .engine = name };
		unsigned char now[sizeof(p->g->attach->probe)];
		struct vl_reader_stats stats;
		enum vl_read_status st;
		struct vl_reader *r;
		struct vl_space space;
		char check[32];

		snprintf(check, sizeof(check), "engine %s", name);
		err = vl_reader_open(p->g->target, p->g->attach, &o, &r);
		if (err) {
			/* One engine is enough, and the user can seldom change the reason. */
			vl_doctor_row(&p->d, check, VL_DOCTOR_OK, NULL, "not available: %s",
				      err->code == VL_ERR_ARG ? "this vlens is built without it" :
								err->message);
			vl_error_destroy(err);
			continue;
		}
		vl_reader_stats(r, &stats);
		space = vl_reader_kernel(r);
		st = vl_read(r, &space, p->g->attach->entry, now, sizeof(now));
		if (!st && !memcmp(now, p->g->attach->probe, sizeof(now))) {
			p->engines++;
			vl_doctor_row(&p->d, check, VL_DOCTOR_OK, NULL, "reads right: %s",
				      reason_of(&stats));
		} else {
			vl_doctor_row(&p->d, check, VL_DOCTOR_WARNING,
				      "another engine serves; name none with --engine",
				      "does not read right: %s",
				      st ? vl_read_strstatus(st) : "other bytes");
		}
		vl_reader_close(r);
	}
}

/* The fields that a view needs. For a kernel without types, its scan may name more. */
static const struct {
	const char *check, *what, *without;
	enum vl_field fields[4];
	size_t nr_fields;
	const struct vl_scan *scan;
} views[] = {
	{ "processes",
	  "vpslist, vpidlist and vps --diff",
	  NULL,
	  { VL_F_TASK_TASKS, VL_F_TASK_PID, VL_F_TASK_COMM },
	  3,
	  &vl_scan_pslist },
	{ "credentials",
	  "vcredlist",
	  NULL,
	  { VL_F_TASK_CRED, VL_F_CRED_UID },
	  2,
	  &vl_scan_credlist },
	{ "modules",
	  "vlsmod --engine=imee and --diff",
	  "was the kernel built without modules?",
	  { VL_F_MOD_LIST, VL_F_MOD_NAME },
	  2,
	  &vl_scan_modules },
	{ "sockets",
	  "vnetstat --engine=imee and --diff",
	  NULL,
	  { VL_F_SOCK_FAMILY, VL_F_SOCK_NODE },
	  2,
	  &vl_scan_sockets },
	{ "files",
	  "vlsof --engine=imee",
	  NULL,
	  { VL_F_FILES_FDT, VL_F_FILE_INODE },
	  2,
	  &vl_scan_files },
};

static void check_views(struct checkup *p)
{
	const struct vl_layout *l = vl_kernel_layout(p->g->attach->kernel);

	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		struct vl_error *err = vl_scan_bears(p->g, views[i].scan->fields, views[i].check);
		const char *lacks = NULL, *path;
		unsigned int n;

		if (err) {
			vl_doctor_error(&p->d, views[i].check, VL_DOCTOR_WARNING, err);
			vl_error_destroy(err);
			continue;
		}
		for (n = 0; n < views[i].nr_fields && !lacks; n++)
			if (!vl_has(l, views[i].fields[n]))
				vl_field_name(views[i].fields[n], &lacks, &path);
		if (lacks)
			vl_doctor_row(&p->d, views[i].check, VL_DOCTOR_WARNING, views[i].without,
				      "not enough is known for %s: its types have no %s.%s",
				      views[i].what, lacks, path);
		else if (p->engines)
			vl_doctor_row(&p->d, views[i].check, VL_DOCTOR_OK, NULL,
				      "enough is known for %s", views[i].what);
		else
			vl_doctor_row(&p->d, views[i].check, VL_DOCTOR_PROBLEM,
				      "see the problems above", "no engine reads for %s",
				      views[i].what);
	}
}

static struct vl_error *run_checkup(struct vl_raw_guest *g, struct vl_table *t)
{
	struct checkup p = { .d = { .table = t }, .g = g };

	check_kernel(&p);
	check_vmst(&p);
	check_engines(&p);
	vl_doctor_row(&p.d, VL_CHECKUP_PROGRAMS, VL_DOCTOR_OK, NULL, "as the emulator does");
	check_views(&p);
	return vl_table_end(t);
}

const struct vl_scan vl_scan_checkup = { "checkup",   "checks",	    vl_doctor_columns, true,
					 run_checkup, vl_scan_asks, vl_no_symbols };
