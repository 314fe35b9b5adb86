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
#include "../view/objects.h"
#include "bpf-image.h"
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

/*
 * Show stub @s, which is not what its list says. A trampoline can outlive its program for a while.
 */
static void show_claim(struct vl_checker *c, const struct vl_stub *s)
{
	static const char *const says[] = {
		[VL_STUB_FTRACE] = "a trampoline that is not ftrace's",
		[VL_STUB_PROGRAM] = "compiled code of no program",
		[VL_STUB_BPF] = "a trampoline that calls no program",
	};

	vl_check_show(c, &(struct vl_check_row){
				 .class = s->kind == VL_STUB_BPF ? VL_CHECK_NOTE : VL_CHECK_FINDING,
				 .check = s->kind == VL_STUB_FTRACE ? "ftrace" : "BPF",
				 .at = s->start,
				 .what = s->name,
				 .found = says[s->kind],
				 .expected = s->kind == VL_STUB_FTRACE ?
						     "a copy of ftrace_caller()" :
					     s->kind == VL_STUB_PROGRAM ?
						     "a program in the kernel's table of programs" :
						     NULL,
			 });
}

/*
 * Bytes of compiled BPF that one pass decodes: some 100 ms. Healthy guests have less than 1 MiB, a
 * hostile one can map the same page again and again.
 */
#define CODE_MAX (16UL << 20)

/* Add the memory of ftrace's trampolines, and of all compiled BPF. */
struct vl_error *vl_check_stubs(struct vl_checker *c)
{
	struct vl_error *err = vl_stubs_collect(c->g, &c->stubs);

	c->code_left = CODE_MAX;
	for (size_t i = 0; i < c->stubs.nr; i++) {
		const struct vl_stub *s = &c->stubs.v[i];

		vl_places_add(&c->places, s->start, s->end - s->start,
			      !s->right			? VL_PLACE_CLAIMED :
			      s->kind == VL_STUB_FTRACE ? VL_PLACE_FTRACE :
							  VL_PLACE_BPF,
			      s->name);
		if (!s->right)
			show_claim(c, s);
	}
	vl_places_sort(&c->places);
	return err;
}

struct program {
	uint64_t at, aux;
	uint64_t back; /* aux->prog, which is the program itself */
	uint64_t func, parts;
	uint32_t len, id, type, jited_len, nr_parts;
	char name[VL_MODULE_NAME];
	char owner[96]; /* the first process that holds it; "": none is known */
};

/* ---- the processes that hold programs ---- */

static int by_address(const void *a, const void *b)
{
	const struct program *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* Process @task holds the program at @prog, if there is one, by @what. */
static void holds(struct program *p, size_t nr, uint64_t prog, const struct vl_file_task *task,
		  const char *what)
{
	const struct program key = { .at = prog };
	struct program *found = bsearch(&key, p, nr, sizeof(*p), by_address);

	if (found && !*found->owner)
		snprintf(found->owner, sizeof(found->owner), "process %" PRId32 " (%.16s), %s",
			 task->pid, task->comm, what);
}

/*
 * Find the processes that hold the @nr programs @p, sorted by address: a descriptor of the program,
 * or of a link that has it attached. A program that the kernel attached otherwise (to a cgroup, a
 * device) or that is pinned in a file has no process. Best effort: the guest opens and closes
 * files.
 */
static void find_owners(struct vl_checker *c, struct program *p, size_t nr)
{
	uint64_t of_prog = vl_symbol(c->k, "bpf_prog_fops"), ops, prog;
	uint64_t of_link = vl_symbol(c->k, "bpf_link_fops");
	/* Newer kernels have a second table of functions, for links that can be polled. */
	uint64_t of_poll = vl_symbol(c->k, "bpf_link_fops_poll");
	struct vl_opened o;

	if (!of_prog || !vl_has(c->l, VL_F_FILE_OPS))
		return;
	vl_error_destroy(vl_opened_collect(c->g, false, &o));
	for (size_t i = 0; i < o.nr; i++) {
		const struct vl_used_file *f = &o.files[i];
		const struct vl_file_task *task = &o.tasks[f->task];

		if (!f->at || !f->private ||
		    vl_read_u64(c->g->reader, &c->g->space, f->at + vl_offset(c->l, VL_F_FILE_OPS),
				&ops))
			continue;
		if (ops == of_prog)
			holds(p, nr, f->private, task, "a descriptor");
		else if ((ops == of_link || (of_poll && ops == of_poll)) &&
			 vl_has(c->l, VL_F_BPF_LINK_PROG) &&
			 !vl_read_u64(c->g->reader, &c->g->space,
				      f->private + vl_offset(c->l, VL_F_BPF_LINK_PROG), &prog))
			holds(p, nr, prog, task, "a link");
	}
	vl_opened_deinit(&o);
}

/*
 * The finding about program @p, or NULL: it calls a helper that changes processes, or its
 * instructions cannot be read. Calls hold the offset to __bpf_call_base. *@code_ret: the
 * instructions, for the caller to free; NULL: they are not known. @left: how many may still be
 * read.
 */
static const char *meddles(struct vl_checker *c, const struct program *p, uint64_t *left,
			   struct bpf_insn **code_ret)
{
	uint64_t base = vl_symbol(c->k, "__bpf_call_base");
	_cleanup_free_ struct bpf_insn *code = NULL;
	const char *says = NULL;

	if (!base || !vl_has(c->l, VL_F_BPF_INSNS))
		return NULL;
	if (!p->len || p->len > INSNS_MAX || p->len > *left)
		return "has too many instructions, or none";
	*left -= p->len;
	code = calloc(p->len, sizeof(*code));
	if (!code || vl_read(c->g->reader, &c->g->space, p->at + vl_offset(c->l, VL_F_BPF_INSNS),
			     code, p->len * sizeof(*code)))
		return "has instructions that cannot be read";
	for (uint32_t i = 0; i < p->len && !says; i++) {
		if (code[i].code != (BPF_JMP | BPF_CALL) || code[i].src_reg)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(meddlers); k++) {
			uint64_t to = vl_symbol(c->k, meddlers[k].helper);

			if (to && base + (uint64_t)(int64_t)code[i].imm == to)
				says = meddlers[k].says;
		}
	}
	*code_ret = code;
	code = NULL;
	return says;
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

static void name_program(const struct program *p, char what[VL_CHECK_TEXT])
{
	snprintf(what, VL_CHECK_TEXT, "program %" PRIu32 "%s%.*s", p->id, p->name[0] ? " " : "",
		 VL_MODULE_NAME, p->name);
}

/* ---- compiled code ---- */

#define INT3 0xcc
#define PAGE 4096
/* Bytes behind one function. */
#define REST_MAX (64UL << 10)
/* Functions of one program: BPF_MAX_SUBPROGS (256), and some. */
#define PARTS_MAX 1024

static void show_code(struct vl_checker *c, const struct program *p, uint64_t at, bool unsure,
		      const char *says)
{
	char what[VL_CHECK_TEXT], found[VL_CHECK_TEXT + 64];

	name_program(p, what);
	snprintf(found, sizeof(found), "%s%s", unsure ? "not verified: its code " : "its code ",
		 says);
	vl_check_show(c, &(struct vl_check_row){
				 .class = unsure ? VL_CHECK_NOTE : VL_CHECK_FINDING,
				 .unsure = unsure,
				 .check = "BPF",
				 .at = at,
				 .what = what,
				 .expected = unsure ? NULL :
						      "what the compiler makes of its instructions",
				 .found = found,
			 });
}

/*
 * Are there bytes other than padding behind the code that ends at @end, up to the end of its
 * memory?
 */
static bool has_rest(struct vl_checker *c, uint64_t start, uint64_t end)
{
	const struct vl_stub *stub = vl_stub_at(&c->stubs, start);
	uint64_t size = stub && stub->end > end ? stub->end - end : 0;
	_cleanup_free_ unsigned char *rest = size && size <= REST_MAX ? malloc(size) : NULL;

	if (!rest || vl_read(c->g->reader, &c->g->space, end, rest, size))
		return size > REST_MAX;
	for (uint64_t i = 0; i < size; i++)
		if (rest[i] != INT3 && rest[i])
			return true;
	return false;
}

static void check_function(struct vl_checker *c, const struct program *p,
			   const struct vl_bpf_calls *calls, uint64_t func, uint32_t len)
{
	char found[VL_CHECK_TEXT];
	enum vl_bpf_verdict verdict;

	/* The kernel's own code interprets the program, or the form of its code is not known. */
	if (!func || vl_place_of(&c->places, func).kind == VL_PLACE_TEXT)
		return;
	if (!len || len > c->code_left) {
		show_code(c, p, func, true, "is too long");
		return;
	}
	c->code_left -= len;
	verdict = vl_bpf_image(c, func, len, len, calls, found);
	if (verdict != VL_BPF_RIGHT)
		show_code(c, p, func, verdict == VL_BPF_UNSURE, found);
	if (has_rest(c, func, func + len))
		show_code(c, p, func + len, false, "has code after its end");
}

/* Check what is compiled of program @p, whose instructions are @code. */
static void check_code(struct vl_checker *c, const struct program *p, const struct bpf_insn *code)
{
	struct vl_bpf_calls calls;
	uint64_t part[PARTS_MAX];

	if (!vl_has(c->l, VL_F_BPF_JITED_LEN) || !vl_has(c->l, VL_F_BPF_AUX_PROG))
		return;
	/* bpf_prog_alloc_no_stats() takes whole pages. */
	if (p->at % PAGE || p->back != p->at) {
		show_code(c, p, p->at, false,
			  "belongs to an entry of the table that is not a program");
		return;
	}
	if (!code || !vl_bpf_calls_init(c, code, p->len, &calls))
		return;
	if (!p->parts || !p->nr_parts) {
		check_function(c, p, &calls, p->func, p->jited_len);
	} else if (p->nr_parts > PARTS_MAX ||
		   vl_read(c->g->reader, &c->g->space, p->parts, part, 8UL * p->nr_parts)) {
		show_code(c, p, p->at, true, "has parts that cannot be read");
	} else {
		for (uint32_t i = 0; i < p->nr_parts; i++) {
			uint64_t func = 0;
			uint32_t len = 0;
			const struct vl_part parts[] = { VL_PART(BPF_FUNC, func),
							 VL_PART(BPF_JITED_LEN, len) };

			vl_object(c->g, part[i], parts, ARRAY_SIZE(parts));
			check_function(c, p, &calls, func, len);
		}
	}
	vl_bpf_calls_deinit(&calls);
}

static void show_program(struct vl_checker *c, const struct program *p, uint64_t *left)
{
	struct bpf_insn *code = NULL;
	const char *odd = meddles(c, p, left, &code);
	char what[VL_CHECK_TEXT], found[VL_CHECK_TEXT];

	name_program(p, what);
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
			      .owner = *p->owner ? p->owner : NULL,
		      });
	check_code(c, p, code);
	free(code);
}

struct vl_error *vl_check_bpf(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = vl_walk_idr(c->g, "prog_idr", sizeof(struct program));
	uint64_t left = INSNS_ALL;
	struct program *p;
	struct vl_error *err;
	size_t nr;

	if (!w.head)
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct program, at));
	vl_fields_add(&fs, VL_F_BPF_LEN, offsetof(struct program, len), 4);
	vl_fields_add(&fs, VL_F_BPF_TYPE, offsetof(struct program, type), 4);
	vl_fields_add(&fs, VL_F_BPF_AUX, offsetof(struct program, aux), 8);
	vl_fields_add(&fs, VL_F_BPF_FUNC, offsetof(struct program, func), 8);
	vl_fields_add(&fs, VL_F_BPF_JITED_LEN, offsetof(struct program, jited_len), 4);
	vl_fields_add_through(&fs, VL_F_BPF_AUX, VL_F_BPF_AUX_PROG, offsetof(struct program, back),
			      8);
	vl_fields_add_through(&fs, VL_F_BPF_AUX, VL_F_BPF_AUX_PARTS,
			      offsetof(struct program, parts), 8);
	vl_fields_add_through(&fs, VL_F_BPF_AUX, VL_F_BPF_AUX_NR_PARTS,
			      offsetof(struct program, nr_parts), 4);
	vl_fields_add_through(&fs, VL_F_BPF_AUX, VL_F_BPF_AUX_ID, offsetof(struct program, id), 4);
	/* BPF_OBJ_NAME_LEN */
	vl_fields_add_through(&fs, VL_F_BPF_AUX, VL_F_BPF_AUX_NAME, offsetof(struct program, name),
			      16);
	err = vl_collect(c->g, &w, &fs, "the BPF programs", &nr);
	p = w.records;
	if (nr && !err) {
		qsort(p, nr, sizeof(*p), by_address);
		find_owners(c, p, nr);
	}
	for (size_t i = 0; i < nr; i++)
		show_program(c, &p[i], &left);
	free(w.records);
	return err;
}
