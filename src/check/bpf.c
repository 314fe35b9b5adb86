/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loaded BPF programs, and which of them can change what a process of the guest sees. */
#include <linux/bpf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "check.h"

/* BPF_COMPLEXITY_LIMIT_INSNS, include/linux/bpf.h. */
#define INSNS_MAX 1000000
/* Instructions of all programs that are looked at; a guest can have any number. */
#define INSNS_ALL (16UL << 20)

/* Helpers that write to a process, or make a kernel function return another value. */
static const struct {
	const char *helper, *says;
} meddlers[] = {
	{ "bpf_probe_write_user", "calls bpf_probe_write_user()" },
	{ "bpf_override_return", "calls bpf_override_return()" },
};

struct ksym {
	uint64_t start, end;
	char name[VL_MODULE_NAME];
};

/* Add the memory of all compiled BPF: programs, trampolines, dispatchers. */
static struct vl_error *add_compiled(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = vl_symbol(c->k, "bpf_kallsyms"),
		.node = vl_offset(c->l, VL_F_BPF_KSYM_NODE),
		.stride = sizeof(struct ksym),
	};
	const struct ksym *s;
	struct vl_error *err;
	size_t nr;

	if (!w.head || !vl_has(c->l, VL_F_BPF_KSYM_NODE))
		return NULL;
	vl_fields_add(&fs, VL_F_BPF_KSYM_START, offsetof(struct ksym, start), 8);
	vl_fields_add(&fs, VL_F_BPF_KSYM_END, offsetof(struct ksym, end), 8);
	vl_fields_add(&fs, VL_F_BPF_KSYM_NAME, offsetof(struct ksym, name), VL_MODULE_NAME - 1);
	err = vl_collect(c->g, &w, &fs, "what BPF has compiled", &nr);
	s = w.records;
	for (size_t i = 0; i < nr; i++)
		if (s[i].end > s[i].start)
			vl_places_add(&c->places, s[i].start, s[i].end - s[i].start, VL_PLACE_BPF,
				      s[i].name);
	vl_places_sort(&c->places);
	free(w.records);
	return err;
}

struct program {
	uint64_t at, aux;
	uint32_t len, id, type;
	char name[VL_MODULE_NAME];
};

/*
 * What program @p does that is a finding, or NULL: a meddling helper that it calls, or that its
 * code cannot be read. Calls hold the offset to __bpf_call_base. @left: how many instructions may
 * still be read.
 */
static const char *meddles(struct vl_checker *c, const struct program *p, uint64_t *left)
{
	uint64_t base = vl_symbol(c->k, "__bpf_call_base");
	_cleanup_free_ struct bpf_insn *code = NULL;

	if (!base || !vl_has(c->l, VL_F_BPF_INSNS))
		return NULL;
	if (!p->len || p->len > INSNS_MAX || p->len > *left)
		return "has too many instructions, or none";
	*left -= p->len;
	code = calloc(p->len, sizeof(*code));
	if (!code || vl_read(c->g->reader, &c->g->space, p->at + vl_offset(c->l, VL_F_BPF_INSNS),
			     code, p->len * sizeof(*code)))
		return "has instructions that cannot be read";
	for (uint32_t i = 0; i < p->len; i++) {
		if (code[i].code != (BPF_JMP | BPF_CALL) || code[i].src_reg)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(meddlers); k++) {
			uint64_t to = vl_symbol(c->k, meddlers[k].helper);

			if (to && base + (uint64_t)(int64_t)code[i].imm == to)
				return meddlers[k].says;
		}
	}
	return NULL;
}

/* The name of a type (enum bpf_prog_type, include/uapi/linux/bpf.h); NULL: a newer type. */
static const char *type_word(uint32_t type)
{
	static const char *const words[] = {
		"unspec",
		"socket_filter",
		"kprobe",
		"sched_cls",
		"sched_act",
		"tracepoint",
		"xdp",
		"perf_event",
		"cgroup_skb",
		"cgroup_sock",
		"lwt_in",
		"lwt_out",
		"lwt_xmit",
		"sock_ops",
		"sk_skb",
		"cgroup_device",
		"sk_msg",
		"raw_tracepoint",
		"sock_addr",
		"lwt_seg6local",
		"lirc_mode2",
		"sk_reuseport",
		"flow_dissector",
		"cgroup_sysctl",
		"raw_tp_writable",
		"cgroup_sockopt",
		"tracing",
		"struct_ops",
		"ext",
		"lsm",
		"sk_lookup",
		"syscall",
		"netfilter",
	};

	return type < ARRAY_SIZE(words) ? words[type] : NULL;
}

static void show_program(struct vl_checker *c, const struct program *p, uint64_t *left)
{
	const char *odd = meddles(c, p, left);
	char what[VL_CHECK_TEXT], found[VL_CHECK_TEXT];

	snprintf(what, sizeof(what), "program %" PRIu32 "%s%.*s", p->id, p->name[0] ? " " : "",
		 VL_MODULE_NAME, p->name);
	if (odd)
		snprintf(found, sizeof(found), "%s", odd);
	else if (type_word(p->type))
		snprintf(found, sizeof(found), "%s", type_word(p->type));
	else
		snprintf(found, sizeof(found), "type %" PRIu32, p->type);
	vl_check_show(c,
		      &(struct vl_check_row){
			      .class = odd ? VL_CHECK_FINDING : VL_CHECK_ATTACHED,
			      .check = "BPF",
			      .likely = true,
			      .at = p->at,
			      .what = what,
			      .expected = odd ? "no program that changes what processes see" : NULL,
			      .found = found,
		      });
}

struct vl_error *vl_check_bpf(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_XARRAY,
		.head = vl_symbol(c->k, "prog_idr"),
		.xa_shift = vl_offset(c->l, VL_F_XA_SHIFT),
		.xa_slots = vl_offset(c->l, VL_F_XA_SLOTS),
		.xa_nr_slots =
			(vl_offset(c->l, VL_F_XA_MARKS) - vl_offset(c->l, VL_F_XA_SLOTS)) / 8,
		.stride = sizeof(struct program),
	};
	uint64_t left = INSNS_ALL;
	const struct program *p;
	struct vl_error *err = add_compiled(c);
	size_t nr;

	if (err || !w.head || !vl_has(c->l, VL_F_IDR_HEAD) || !vl_has(c->l, VL_F_XA_MARKS))
		return err;
	w.head += vl_offset(c->l, VL_F_IDR_HEAD);
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct program, at));
	vl_fields_add(&fs, VL_F_BPF_LEN, offsetof(struct program, len), 4);
	vl_fields_add(&fs, VL_F_BPF_TYPE, offsetof(struct program, type), 4);
	vl_fields_add(&fs, VL_F_BPF_AUX, offsetof(struct program, aux), 8);
	vl_fields_add_through(&fs, VL_F_BPF_AUX, VL_F_BPF_AUX_ID, offsetof(struct program, id), 4);
	/* BPF_OBJ_NAME_LEN */
	vl_fields_add_through(&fs, VL_F_BPF_AUX, VL_F_BPF_AUX_NAME, offsetof(struct program, name),
			      16);
	err = vl_collect(c->g, &w, &fs, "the BPF programs", &nr);
	p = w.records;
	for (size_t i = 0; i < nr; i++)
		show_program(c, &p[i], &left);
	free(w.records);
	return err;
}
