/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vlens doctor for a guest: can it be reached, paused and read; its kernel and engines. */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "../doctor/checkup.h"
#include "../host/drivers.h"
#include "../host/pages.h"
#include "../view/state.h"

#define MIB (1UL << 20)

struct patient {
	struct vl_doctor *d;
	struct vl_guest *g;
	struct vl_target_info info;
};

static void check_kind(struct patient *p)
{
	const char *kind = vl_target_kind(p->g->raw.target);
	pid_t pid = vl_target_pid(p->g->raw.target);
	char vcpus[32] = "vCPUs not known";

	vl_target_info(p->g->raw.target, &p->info);
	if (p->info.vcpus)
		snprintf(vcpus, sizeof(vcpus), "%u vCPU%s", p->info.vcpus,
			 p->info.vcpus == 1 ? "" : "s");
	if (!pid)
		vl_doctor_row(p->d, "kind", VL_DOCTOR_OK, NULL, "%s (%s), %s", kind, p->info.format,
			      vcpus);
	else
		vl_doctor_row(p->d, "kind", VL_DOCTOR_OK, NULL, "%s%s%s, process %d, %s%s%s", kind,
			      p->info.name[0] ? ", " : "", p->info.name, (int)pid, p->info.state,
			      p->info.state[0] ? ", " : "", vcpus);
}

static void check_ram(struct patient *p)
{
	const uint64_t moved = vl_target_moved(p->g->raw.target);
	char pages[32] = "some";
	uint64_t all = 0, mappable = 0, huge = 0;
	struct vl_error *err = NULL;
	unsigned char byte;
	const struct vl_ram *ram;
	const char *how;
	size_t nr;

	ram = vl_target_ram(p->g->raw.target, &nr);
	for (size_t i = 0; i < nr; i++) {
		all += ram[i].size;
		mappable += ram[i].fd >= 0 ? ram[i].size : 0;
		if (ram[i].fd >= 0 && ram[i].page_size > huge)
			huge = ram[i].page_size;
	}
	how = !vl_target_is_live(p->g->raw.target) ? "in the file" :
	      mappable == all			   ? "in a file that can be mapped" :
	      mappable > all / 2		   ? "mostly in a file that can be mapped" :
				   "anonymous: read through the hypervisor's process";
	if (moved != UINT64_MAX)
		snprintf(pages, sizeof(pages), "%" PRIu64, moved);
	if (huge > 4096)
		how = "in huge pages, read by copying";
	/* Only a worker reads memory that is packed. */
	if (nr && !vl_target_packed(p->g->raw.target))
		err = vl_target_read(p->g->raw.target, ram[0].gpa, &byte, 1);
	if (!nr || err)
		vl_doctor_row(p->d, "memory", VL_DOCTOR_PROBLEM,
			      err ? err->hint : "has the guest only been started?",
			      "%" PRIu64 " MiB, %s: %s", all / MIB, how,
			      err ? err->message : "there is none");
	else if (vl_target_remainder(p->g->raw.target))
		vl_doctor_row(p->d, "memory", VL_DOCTOR_WARNING,
			      "was the file cut? what is whole is read",
			      "%" PRIu64 " MiB, %s, and %" PRIu64
			      " bytes behind the last whole page",
			      all / MIB, how, vl_target_remainder(p->g->raw.target));
	else if (moved)
		vl_doctor_row(p->d, "memory", VL_DOCTOR_WARNING,
			      "answers may be wrong for that; vlens dump --pause=whole makes a "
			      "file of one point in time",
			      "%" PRIu64 " MiB, %s; %s pages changed while it was made", all / MIB,
			      how, pages);
	else
		vl_doctor_row(p->d, "memory", VL_DOCTOR_OK, NULL, "%" PRIu64 " MiB, %s", all / MIB,
			      how);
	vl_error_destroy(err);
}

/* Could it be paused? It is not tried. */
static void check_hold(struct patient *p)
{
	pid_t pid = vl_target_pid(p->g->raw.target);

	if (!pid)
		vl_doctor_row(p->d, "pausing", VL_DOCTOR_OK, NULL, "a dump needs none");
	else if (kill(pid, 0))
		vl_doctor_row(p->d, "pausing", VL_DOCTOR_PROBLEM, "run as root",
			      "process %d cannot be stopped: %s", (int)pid, strerror(errno));
	else
		vl_doctor_row(p->d, "pausing", VL_DOCTOR_OK, NULL,
			      "process %d may be stopped for a moment (not tried)", (int)pid);
}

/* Attach, by the run's file or a first attach. Neither pauses the guest. */
static struct vl_error *check_attach(struct patient *p)
{
	struct vl_error *err = vl_guest_attach(p->g, true);

	if (err)
		vl_doctor_error(p->d, "attach", VL_DOCTOR_PROBLEM, err);
	else
		vl_doctor_row(p->d, "attach", VL_DOCTOR_OK, NULL,
			      p->g->known ? "known from before: nothing was paused" :
					    "made now, for the first time: nothing was paused");
	return err;
}

/* Its state, if that is unusual. */
static void check_state(struct patient *p, const struct vl_error *why)
{
	bool stopped = vl_target_is_stopped(p->g->raw.target);
	struct vl_fate fate = { false, false };
	struct vl_table inside;
	struct vl_state state;

	vl_table_init(&inside, vl_scan_inside.columns);
	if (!why && !vl_discard(vl_guest_scan(p->g, &vl_scan_inside, &inside))) {
		fate.captures = vl_table_cell(&inside, 0, VL_INSIDE_CAPTURES)->u;
		fate.crashed = vl_table_cell(&inside, 0, VL_INSIDE_CRASHED)->u;
	}
	vl_table_deinit(&inside);
	vl_state_of(&p->info, &fate, why, &state);
	if (state.means[0])
		vl_doctor_row(p->d, "state", VL_DOCTOR_WARNING,
			      stopped ? "kill -CONT lets it run; what is shown is as it stands" :
			      why     ? NULL :
					"what is shown is of the kernel that is there",
			      "%s: %s", state.word, state.means);
}

static void check_programs(struct patient *p, bool work)
{
	if (work)
		vl_doctor_row(p->d, "programs", VL_DOCTOR_OK, NULL,
			      "vps, vlsof, vcat, vexec and all other mirrored programs work");
	else
		vl_doctor_row(p->d, "programs", VL_DOCTOR_PROBLEM, "see the problems above",
			      "no mirrored program, vcat or vexec works");
}

static const char *text_of(const struct vl_table *t, size_t row, size_t column, int *len_ret)
{
	const struct vl_cell *c = vl_table_cell(t, row, column);

	*len_ret = c->kind == VL_CELL_TEXT ? (int)c->text.len : 0;
	return c->kind == VL_CELL_TEXT ? vl_table_bytes(t, c) : "";
}

/* Take over a row of the worker's. */
static void take_row(struct patient *p, const struct vl_table *t, size_t row)
{
	static const char *const states[] = {
		[VL_DOCTOR_OK] = "ok",
		[VL_DOCTOR_WARNING] = "warning",
		[VL_DOCTOR_PROBLEM] = "problem",
	};
	int check_len, state_len, text_len, advice_len;
	const char *check = text_of(t, row, VL_DOCTOR_CHECK, &check_len);
	const char *state = text_of(t, row, VL_DOCTOR_STATE, &state_len);
	const char *text = text_of(t, row, VL_DOCTOR_FINDING, &text_len);
	const char *advice = text_of(t, row, VL_DOCTOR_ADVICE, &advice_len);
	enum vl_doctor_state is = VL_DOCTOR_PROBLEM;
	char check_text[64], advice_text[256];

	for (int i = VL_DOCTOR_OK; i <= VL_DOCTOR_PROBLEM; i++)
		if ((size_t)state_len == strlen(states[i]) &&
		    !memcmp(state, states[i], (size_t)state_len))
			is = (enum vl_doctor_state)i;
	snprintf(check_text, sizeof(check_text), "%.*s", check_len, check);
	snprintf(advice_text, sizeof(advice_text), "%.*s", advice_len, advice);
	vl_doctor_row(p->d, check_text, is, advice_len ? advice_text : NULL, "%.*s", text_len,
		      text);
}

static bool is_check(const struct vl_table *t, size_t row, const char *name)
{
	int len;
	const char *check = text_of(t, row, VL_DOCTOR_CHECK, &len);

	return (size_t)len == strlen(name) && !memcmp(check, name, (size_t)len);
}

static bool says(const struct vl_table *t, size_t row, const char *word)
{
	int len;
	const char *text = text_of(t, row, VL_DOCTOR_FINDING, &len);

	return memmem(text, (size_t)len, word, strlen(word));
}

/* The checks that read its memory; Unicorn is checked here, as the worker has no files. */
static struct vl_error *check_inside(struct patient *p)
{
	struct vl_error *no_emulator = vl_emulator_load(), *err;
	struct vl_table t;
	bool work = true;

	vl_table_init(&t, vl_doctor_columns);
	err = vl_guest_scan(p->g, &vl_scan_checkup, &t);
	for (size_t i = 0; i < t.nr_rows; i++)
		if (no_emulator && is_check(&t, i, VL_CHECKUP_VMST) &&
		    says(&t, i, "vmst/unicorn")) {
			vl_doctor_error(p->d, VL_CHECKUP_VMST, VL_DOCTOR_PROBLEM, no_emulator);
			work = false;
		} else if (is_check(&t, i, VL_CHECKUP_PROGRAMS)) {
			check_programs(p, work);
		} else {
			take_row(p, &t, i);
		}
	if (err)
		vl_doctor_error(p->d, "memory", VL_DOCTOR_PROBLEM, err);
	vl_error_destroy(no_emulator);
	vl_table_deinit(&t);
	return err;
}

struct vl_error *vl_doctor_guest(struct vl_doctor *d, const char *spec,
				 const struct vl_target_options *opts)
{
	const struct vl_guest_options o = {
		.target = *opts,
		.uses = VL_GUEST_READ,
		.explain = true,
	};
	struct patient p = { .d = d };
	struct vl_error *err;

	d->area = spec;
	err = vl_guest_open(spec, &o, &p.g);
	if (err) {
		vl_doctor_error(d, "reached", VL_DOCTOR_PROBLEM, err);
		return err;
	}
	check_kind(&p);
	check_ram(&p);
	check_hold(&p);
	err = check_attach(&p);
	check_state(&p, err);
	if (err)
		check_programs(&p, false);
	else
		err = check_inside(&p);
	vl_guest_close(p.g);
	return err;
}
