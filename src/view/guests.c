/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests of this host: who they are, and what is known of each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../vmst/contact.h"
#include "collect.h"
#include "state.h"

#define MIB (1UL << 20)

struct names {
	char **names;
	size_t nr;
	bool full;
};

static void take_name(void *ctx, const char *name)
{
	struct names *n = ctx;
	char **more = reallocarray(n->names, n->nr + 1, sizeof(*more));

	if (more)
		n->names = more;
	if (more)
		more[n->nr] = strdup(name);
	if (more && more[n->nr])
		n->nr++;
	else
		n->full = true;
}

static void take_pid(void *ctx, pid_t pid)
{
	char name[32];

	snprintf(name, sizeof(name), "qemu:%d", (int)pid);
	take_name(ctx, name);
}

static void take_kvm_pid(void *ctx, pid_t pid)
{
	char name[32];

	snprintf(name, sizeof(name), "kvm:%d", (int)pid);
	take_name(ctx, name);
}

struct vl_error *vl_host_guests(const char *uri, char ***ret, size_t *nr_ret)
{
	struct names n = { .names = NULL };
	struct vl_error *err = vl_target_list(uri, take_name, &n);

	/* A host without libvirt has guests, too; one that was named has to be there. */
	if (!err || !uri) {
		vl_error_destroy(err);
		err = NULL;
		vl_target_list_bare(take_pid, &n);
		vl_target_list_kvm(take_kvm_pid, &n);
	}
	if (!err && n.full)
		err = vl_error_nomem();
	if (err) {
		vl_host_guests_free(n.names, n.nr);
		return err;
	}
	*ret = n.names;
	*nr_ret = n.nr;
	return NULL;
}

void vl_host_guests_free(char **names, size_t nr)
{
	for (size_t i = 0; names && i < nr; i++)
		free(names[i]);
	free(names);
}

enum {
	LIST_NAME,
	LIST_ID,
	LIST_STATE,
	LIST_RELEASE,
	LIST_VCPUS,
	LIST_RAM,
	LIST_UPTIME,
	LIST_NOTE,
	LIST_GUEST,
	LIST_PID,
	LIST_NODE,
	LIST_BUILD,
};

const struct vl_column vl_list_columns[] = {
	[LIST_NAME] = { "NAME", VL_CELL_TEXT, true, "name of the guest" },
	[LIST_ID] = { "ID", VL_CELL_TEXT, true, "a short name that vlens takes for it" },
	[LIST_STATE] = { "STATE", VL_CELL_TEXT, true, "running, paused, ...; dump" },
	[LIST_RELEASE] = { "RELEASE", VL_CELL_TEXT, true, "release of its kernel" },
	[LIST_VCPUS] = { "VCPUS", VL_CELL_UINT, true, "number of virtual CPUs" },
	[LIST_RAM] = { "RAM", VL_CELL_UINT, true, "memory, in MiB" },
	[LIST_UPTIME] = { "UPTIME", VL_CELL_SECONDS, true, "since it booted, in seconds" },
	[LIST_NOTE] = { "NOTE", VL_CELL_TEXT, true, "why something is not known" },
	[LIST_GUEST] = { "SPEC", VL_CELL_TEXT, false, "the name it was found by" },
	[LIST_PID] = { "PID", VL_CELL_INT, false, "process id of its hypervisor" },
	[LIST_NODE] = { "HOSTNAME", VL_CELL_TEXT, false, "its own host name" },
	[LIST_BUILD] = { "BUILDID", VL_CELL_TEXT, false, "build id of its kernel" },
	{ 0 },
};

static void read_name(struct vl_subject *s, struct vl_table *t, size_t column, enum vl_field f)
{
	const struct vl_kernel *k = s->contact->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t uts = vl_symbol(k, "init_uts_ns");
	char text[65]; /* __NEW_UTS_LEN and a NUL, include/uapi/linux/utsname.h */

	if (uts && vl_has(l, f) &&
	    !vl_read_string(s->reader, &s->space, uts + vl_offset(l, f), text, sizeof(text)))
		vl_table_str(t, column, text);
}

/*
 * The boot-time clock as of the last tick, which an idle guest stops: the
 * monotonic one (see vmst/time.c) and what it slept.
 */
bool vl_subject_uptime(struct vl_subject *s, uint64_t *ret)
{
	const enum vl_field need[] = { VL_F_TK_MONO, VL_F_TKR_BASE, VL_F_TKR_XTIME_NSEC,
				       VL_F_TKR_SHIFT, VL_F_TK_OFFS_BOOT };
	const struct vl_layout *l = vl_kernel_layout(s->contact->kernel);
	uint64_t tk = vl_kernel_timekeeper(s->contact->kernel), mono, base, nsec, asleep;
	uint32_t shift;

	if (!tk || vl_discard(vl_need_fields(s, need, sizeof(need) / sizeof(need[0]), "its clock")))
		return false;
	mono = tk + vl_offset(l, VL_F_TK_MONO);
	if (vl_read_u64(s->reader, &s->space, mono + vl_offset(l, VL_F_TKR_BASE), &base) ||
	    vl_read_u64(s->reader, &s->space, mono + vl_offset(l, VL_F_TKR_XTIME_NSEC), &nsec) ||
	    vl_read_u32(s->reader, &s->space, mono + vl_offset(l, VL_F_TKR_SHIFT), &shift) ||
	    vl_read_u64(s->reader, &s->space, tk + vl_offset(l, VL_F_TK_OFFS_BOOT), &asleep) ||
	    shift > 63)
		return false;
	*ret = base + (nsec >> shift) + asleep;
	return true;
}

/* What of it is inside. */
static void list_kernel(struct vl_subject *s, const char *engine, struct vl_table *t)
{
	struct vl_reader_options o = { .engine = engine };
	struct vl_error *err = vl_contact_make(s->target, false, &s->contact);
	uint64_t uptime;

	if (!err)
		err = vl_reader_open(s->target, s->contact, &o, &s->reader);
	if (err)
		vl_table_str(t, LIST_NOTE, err->message);
	s->why = err;
	if (!s->reader)
		return;
	s->space = vl_reader_kernel(s->reader);
	read_name(s, t, LIST_RELEASE, VL_F_UTS_RELEASE);
	read_name(s, t, LIST_NODE, VL_F_UTS_NODENAME);
	if (vl_subject_uptime(s, &uptime))
		vl_table_uint(t, LIST_UPTIME, uptime);
	vl_table_str(t, LIST_BUILD, s->contact->build_id);
}

static void list_target(struct vl_target *target, const char *spec, struct vl_table *t,
			struct vl_target_info *info)
{
	const struct vl_ram *ram;
	uint64_t bytes = 0;
	size_t nr;

	vl_target_info(target, info);
	if (info->name[0])
		vl_table_str(t, LIST_NAME, info->name);
	vl_table_str(t, LIST_ID, info->id[0] ? info->id : spec);
	if (info->vcpus)
		vl_table_uint(t, LIST_VCPUS, info->vcpus);
	if (vl_target_pid(target))
		vl_table_int(t, LIST_PID, vl_target_pid(target));
	ram = vl_target_ram(target, &nr);
	for (size_t i = 0; i < nr; i++)
		bytes += ram[i].size;
	vl_table_uint(t, LIST_RAM, bytes / MIB);
}

/* What it is at, with what that means where no reason stands yet. */
static void list_state(const struct vl_subject *s, const struct vl_target_info *info,
		       struct vl_table *t)
{
	struct vl_state state;

	vl_state_of(info, s->contact, s->why, &state);
	if (state.word[0])
		vl_table_str(t, LIST_STATE, state.word);
	if (state.means[0] && !s->why)
		vl_table_str(t, LIST_NOTE, state.means);
}

struct vl_error *vl_list_guest(const char *spec, const struct vl_scan_options *opts,
			       struct vl_table *t, struct vl_subject **ret)
{
	struct vl_subject *s = calloc(1, sizeof(*s));
	uint64_t begin = vl_view_now();
	struct vl_error *err, *wrong;
	struct vl_target_info info;

	if (ret)
		*ret = NULL;
	if (!s)
		return vl_error_nomem();
	err = vl_target_open(spec, &opts->target, &s->target);
	vl_table_row(t);
	vl_table_str(t, LIST_NAME, spec);
	vl_table_str(t, LIST_GUEST, spec);
	if (err) {
		vl_table_str(t, LIST_NOTE, err->message);
	} else {
		list_target(s->target, spec, t, &info);
		list_kernel(s, opts->engine, t);
		list_state(s, &info, t);
		wrong = vl_plausible_table(s, t);
		if (wrong)
			vl_table_str(t, LIST_NOTE, wrong->message);
		vl_error_destroy(wrong);
		s->attach_ns = vl_view_now() - begin;
		err = vl_table_end(t);
	}
	if (ret && !err)
		*ret = s;
	else
		vl_subject_close(s);
	return err;
}
