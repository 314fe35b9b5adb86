/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forms.h"

#include "../base/array.h"
#include "insn.h"
#include "internal.h"

/* The code that a guest has at a site. */
struct code {
	const unsigned char *bytes;
	size_t len;
	uint64_t va;
};

/* Decode the instruction at offset @at of @c. */
static bool insn(const struct code *c, size_t at, struct vl_insn *ret)
{
	return at < c->len && vl_insn(c->bytes + at, c->len - at, c->va + at, ret);
}

/*
 * The length of what does nothing at offset @at of @c: a no operation, in place of many of them a
 * jump over int3 ("x86/alternatives: Optimize optimize_nops()", 6.9), or, with @breaks, an int3.
 */
static size_t nothing(const struct code *c, size_t at, bool breaks)
{
	struct vl_insn i;
	size_t end;

	if (!insn(c, at, &i))
		return 0;
	if (i.kind == VL_INSN_NOP || (breaks && i.kind == VL_INSN_BREAK))
		return i.len;
	end = i.target - c->va;
	if (i.kind != VL_INSN_JUMP || end <= at || end > c->len)
		return 0;
	for (size_t k = at + i.len; k < end; k++)
		if (c->bytes[k] != 0xcc)
			return 0;
	return end - at;
}

/* Does @c have nothing but no operations from offset @at on, or also int3 (@breaks)? */
static bool rest_is_nop(const struct code *c, size_t at, bool breaks)
{
	size_t n;

	while (at < c->len && (n = nothing(c, at, breaks)))
		at += n;
	return at >= c->len;
}

static struct code image_code(const struct vl_trust *t, size_t at, size_t len)
{
	return (struct code){ t->bytes + at, len, t->va + at };
}

static bool starts_with(const struct code *c, const void *bytes, size_t len)
{
	return len <= c->len && !memcmp(c->bytes, bytes, len);
}

/* Is the first instruction a call or jump of @kind to an entry of the image? Then nops follow. */
static bool leads_to_entry(const struct vl_trust *t, const struct code *c, enum vl_insn_kind kind)
{
	struct vl_insn i;

	return insn(c, 0, &i) && i.kind == kind && vl_trust_is_entry(t, i.target) &&
	       rest_is_nop(c, i.len, kind == VL_INSN_JUMP);
}

/* --- code that moved --- */

/* A piece of code as it may be found at a site, with its instructions' original addresses. */
struct piece {
	struct code from;
	uint64_t to; /* the address that it has at the site */
};

/* Is @b at the site the same instruction as @a of @p? */
static bool same_insn(const struct piece *p, const unsigned char *at_a, const struct vl_insn *a,
		      const unsigned char *at_b, const struct vl_insn *b)
{
	uint64_t target = a->target;

	if (a->kind != b->kind || a->condition != b->condition)
		return false;
	if (a->kind == VL_INSN_CALL || a->kind == VL_INSN_JUMP || a->kind == VL_INSN_BRANCH) {
		/* A jump within the piece moves with it. */
		if (target - p->from.va <= p->from.len)
			target += p->to - p->from.va;
		return b->target == target;
	}
	if (a->len != b->len)
		return false;
	if (!a->relative)
		return !memcmp(at_a, at_b, a->len);
	return b->relative == a->relative && a->refers_to == b->refers_to &&
	       !memcmp(at_a, at_b, a->relative) &&
	       !memcmp(at_a + a->relative + 4, at_b + a->relative + 4, a->len - a->relative - 4U);
}

/* The site of another class than alternatives that begins at @va, and fits into @room bytes. */
static const struct vl_trust_site *site_at(const struct vl_trust *t, uint64_t va, size_t room)
{
	size_t at = va - t->va;

	for (size_t i = vl_trust_site_from(t, at); i < t->nr_sites && t->sites[i].at == at; i++)
		if (t->sites[i].class != VL_TRUST_ALTERNATIVE && t->sites[i].len <= room)
			return &t->sites[i];
	return NULL;
}

/*
 * Is the guest's code at offset @*at of @c a legal form of the site from which @p has its
 * instruction at offset @off? Then step over it in both.
 */
static bool same_site(const struct vl_trust_look *l, const struct piece *p, size_t *off,
		      const struct code *c, size_t *at)
{
	const struct vl_trust_site *s = site_at(l->t, p->from.va + *off, p->from.len - *off);

	if (!s || s->len > c->len - *at ||
	    vl_trust_form(l, s, c->bytes + *at, c->va + *at) != VL_TRUST_LEGAL)
		return false;
	*off += s->len;
	*at += s->len;
	return true;
}

/*
 * Does the guest have at a site the instructions of @pieces (@nr of them), one after the other,
 * with any no operations in between? The kernel puts such ones behind a shorter replacement, joins
 * them, and shortens jumps.
 */
static bool same_code(const struct vl_trust_look *l, const struct piece *pieces, size_t nr,
		      const struct code *c)
{
	bool leaves = false;
	size_t at = 0;

	for (size_t k = 0; k < nr; k++) {
		const struct piece *p = &pieces[k];
		size_t off = 0;

		while (off < p->from.len) {
			struct vl_insn a, b;
			size_t n;

			if (!insn(&p->from, off, &a))
				return false;
			if (a.kind == VL_INSN_NOP || (leaves && a.kind == VL_INSN_BREAK)) {
				off += a.len;
				continue;
			}
			while (!(insn(c, at, &b) &&
				 same_insn(p, p->from.bytes + off, &a, c->bytes + at, &b)) &&
			       (n = nothing(c, at, leaves)))
				at += n;
			if (at >= c->len)
				return false;
			leaves = a.kind == VL_INSN_JUMP || a.kind == VL_INSN_RETURN;
			if (insn(c, at, &b) &&
			    same_insn(p, p->from.bytes + off, &a, c->bytes + at, &b)) {
				off += a.len;
				at += b.len;
			} else if (!same_site(l, p, &off, c, &at)) {
				return false;
			}
		}
	}
	return rest_is_nop(c, at, leaves);
}

/* --- each class --- */

/*
 * "x86/paravirt: Switch functions with custom code to ALTERNATIVE" (6.8): the original calls
 * through a pointer, and the replacement is that function, called directly.
 */
#define ALT_FLAG_DIRECT_CALL (2u << 16)

static bool direct_call(const struct vl_trust_look *l, const struct vl_trust_alternative *a,
			const struct code *c)
{
	return a->feature & ALT_FLAG_DIRECT_CALL &&
	       (leads_to_entry(l->t, c, VL_INSN_CALL) || rest_is_nop(c, 0, false));
}

/* One of a chain of alternatives: its replacement, and the original's bytes behind it. */
static bool replaced(const struct vl_trust_look *l, const struct vl_trust_site *s, size_t whole,
		     const struct code *c)
{
	struct vl_trust_alternative a;
	struct piece pieces[2];

	vl_trust_alternative(l->t, s, &a);
	pieces[0] = (struct piece){ image_code(l->t, a.replacement, a.replacement_len), c->va };
	pieces[1] = (struct piece){ image_code(l->t, s->at + a.len, whole - a.len), c->va + a.len };
	return same_code(l, pieces, 2, c) || direct_call(l, &a, c);
}

static enum vl_trust_form alternative(const struct vl_trust_look *l, const struct vl_trust_site *s,
				      const struct code *c)
{
	const struct piece original = { image_code(l->t, s->at, s->len), c->va };
	const struct vl_trust_site *end = l->t->sites + l->t->nr_sites;

	if (same_code(l, &original, 1, c))
		return VL_TRUST_LEGAL;
	for (const struct vl_trust_site *one = s; one < end && one->at == s->at; one++)
		if (one->class == VL_TRUST_ALTERNATIVE && one->len <= s->len &&
		    replaced(l, one, s->len, c))
			return VL_TRUST_LEGAL;
	return VL_TRUST_ILLEGAL;
}

/* What a hardware's own function is, where it is short enough to stand at the site. */
static const struct {
	uint8_t len;
	unsigned char code[4];
} natives[] = {
	{ 1, "\xfa" },	       /* cli */
	{ 1, "\xfb" },	       /* sti */
	{ 2, "\x9c\x58" },     /* pushf; pop %rax */
	{ 2, "\x57\x9d" },     /* push %rdi; popf */
	{ 3, "\x0f\x20\xd0" }, /* mov %cr2,%rax */
	{ 3, "\x0f\x20\xd8" }, /* mov %cr3,%rax */
	{ 3, "\x0f\x22\xdf" }, /* mov %rdi,%cr3 */
	{ 2, "\x0f\x09" },     /* wbinvd */
	{ 3, "\x0f\x01\xf8" }, /* swapgs */
	{ 3, "\x48\x89\xf8" }, /* mov %rdi,%rax */
	{ 2, "\x89\xf8" },     /* mov %edi,%eax */
	{ 3, "\xc6\x07\x00" }, /* movb $0,(%rdi) */
	{ 2, "\x31\xc0" },     /* xor %eax,%eax */
	{ 3, "\x48\x0f\x07" }, /* sysretq */
	{ 2, "\x48\xcf" },     /* iretq */
};

static enum vl_trust_form paravirt(const struct vl_trust_look *l, const struct vl_trust_site *s,
				   const struct code *c)
{
	(void)s;
	for (size_t i = 0; i < ARRAY_SIZE(natives); i++)
		if (starts_with(c, natives[i].code, natives[i].len) &&
		    rest_is_nop(c, natives[i].len, false))
			return VL_TRUST_LEGAL;
	return leads_to_entry(l->t, c, VL_INSN_CALL) || leads_to_entry(l->t, c, VL_INSN_JUMP) ||
			       rest_is_nop(c, 0, false) ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

static enum vl_trust_form lock(const struct vl_trust_look *l, const struct vl_trust_site *s,
			       const struct code *c)
{
	(void)l, (void)s;
	/* lock, or ds, which does nothing */
	return c->bytes[0] == 0xf0 || c->bytes[0] == 0x3e ? VL_TRUST_LEGAL : VL_TRUST_ILLEGAL;
}

static enum vl_trust_form jump_label(const struct vl_trust_look *l, const struct vl_trust_site *s,
				     const struct code *c)
{
	size_t word = s->entry + 4;
	uint64_t target = l->t->va + word + (uint64_t)(int64_t)vl_trust_i32(l->t->bytes + word);
	struct vl_insn i;

	if (rest_is_nop(c, 0, false))
		return VL_TRUST_LEGAL;
	return insn(c, 0, &i) && i.kind == VL_INSN_JUMP && i.target == target &&
			       rest_is_nop(c, i.len, false) ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

/* xor %rax,%rax in five bytes: the call of a function that returns 0. */
static bool is_zero(const struct code *c)
{
	return starts_with(c, "\x2e\x2e\x2e\x31\xc0", 5) ||
	       starts_with(c, "\x66\x66\x48\x31\xc0", 5);
}

/* A return, and what may stand behind it. */
static bool is_return(const struct code *c)
{
	return c->bytes[0] == 0xc3 && rest_is_nop(c, 1, true);
}

/* Where the guest's trampoline at @va jumps; 0: it does not jump, or cannot be read. */
static uint64_t trampoline_target(const struct vl_trust_look *l, uint64_t va)
{
	unsigned char buf[5];
	const struct code c = { buf, sizeof(buf), va };
	struct vl_insn i;

	return l->memory->read(l->memory->ctx, va, buf, sizeof(buf)) && insn(&c, 0, &i) &&
			       i.kind == VL_INSN_JUMP ?
		       i.target :
		       0;
}

static bool in_image(const struct vl_trust *t, uint64_t va)
{
	return va - t->va < t->len;
}

/* A call site, or (@s a trampoline's) the trampoline itself. */
static enum vl_trust_form static_call(const struct vl_trust_look *l, const struct vl_trust_site *s,
				      const struct code *c)
{
	const struct code own = image_code(l->t, s->at, s->len);
	bool tail = s->class == VL_TRUST_TRAMPOLINE;
	struct vl_insn was, is;

	if (!insn(&own, 0, &was) || !insn(c, 0, &is))
		return VL_TRUST_ILLEGAL;
	tail |= was.kind == VL_INSN_JUMP;
	if (tail ? is_return(c) : rest_is_nop(c, 0, false) || is_zero(c))
		return VL_TRUST_LEGAL;
	if (is.kind != (tail ? VL_INSN_JUMP : was.kind) || is.condition != was.condition)
		return VL_TRUST_ILLEGAL;
	if (!in_image(l->t, is.target))
		return VL_TRUST_ATTACHMENT;
	if (!vl_trust_is_entry(l->t, is.target))
		return VL_TRUST_ILLEGAL;
	/* All calls of a key, and its trampoline, lead to the same function. */
	if (s->class != VL_TRUST_TRAMPOLINE && is.target != was.target) {
		uint64_t offset;
		const char *name = vl_trust_symbol_at(l->t, is.target, &offset);
		bool thunk = name && strstr(name, "return_thunk");

		if (!thunk && trampoline_target(l, was.target) != is.target)
			return VL_TRUST_ILLEGAL;
	}
	return VL_TRUST_LEGAL;
}

static enum vl_trust_form trace(const struct vl_trust_look *l, const struct vl_trust_site *s,
				const struct code *c)
{
	uint64_t offset;
	const char *name;
	struct vl_insn i;

	if (rest_is_nop(c, 0, false))
		return VL_TRUST_LEGAL;
	if (!insn(c, 0, &i) || i.len != c->len)
		return VL_TRUST_ILLEGAL;
	if (i.kind == VL_INSN_CALL)
		return i.target == vl_trust_symbol(l->t, "__fentry__") ? VL_TRUST_LEGAL :
									 VL_TRUST_ATTACHMENT;
	/* A BPF dispatcher, whose whole body a jump replaces. */
	name = vl_trust_symbol_at(l->t, l->t->va + s->at, &offset);
	return i.kind == VL_INSN_JUMP && name && !strncmp(name, "bpf_dispatcher_", 15) ?
		       VL_TRUST_ATTACHMENT :
		       VL_TRUST_ILLEGAL;
}

static enum vl_trust_form tracer(const struct vl_trust_look *l, const struct vl_trust_site *s,
				 const struct code *c)
{
	struct vl_insn i;

	(void)s;
	if (rest_is_nop(c, 0, false))
		return VL_TRUST_LEGAL;
	if (!insn(c, 0, &i) || i.len != c->len ||
	    (i.kind != VL_INSN_CALL && i.kind != VL_INSN_JUMP))
		return VL_TRUST_ILLEGAL;
	return vl_trust_is_entry(l->t, i.target) || !in_image(l->t, i.target) ?
		       VL_TRUST_ATTACHMENT :
		       VL_TRUST_ILLEGAL;
}

/* The number of the register that the thunk at @va jumps through; -1: it is none. */
static int thunk_register(const struct vl_trust *t, uint64_t va)
{
	static const char *const names[] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"
	};
	uint64_t offset;
	const char *name = vl_trust_symbol_at(t, va, &offset), *of;

	if (!name || offset || strncmp(name, "__x86_indirect_", 15) != 0 || !strstr(name, "thunk_"))
		return -1;
	of = strrchr(name, '_') + 1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], of))
			return (int)i;
	return -1;
}

/* Is the guest's code at @va, which is outside of the image, a jump through register @number? */
static bool is_own_thunk(const struct vl_trust_look *l, uint64_t va, int number)
{
	unsigned char buf[4];
	const struct code c = { buf, sizeof(buf), va };
	struct vl_insn i;

	return !in_image(l->t, va) && l->memory->read(l->memory->ctx, va, buf, sizeof(buf)) &&
	       insn(&c, 0, &i) && i.kind == VL_INSN_JUMP_REGISTER && i.number == number;
}

/* Does @i, of the guest, call or jump through register @number, as @kind does? */
static bool goes_through(const struct vl_trust_look *l, const struct vl_insn *i,
			 enum vl_insn_kind kind, int number)
{
	enum vl_insn_kind by = kind == VL_INSN_CALL ? VL_INSN_CALL_REGISTER : VL_INSN_JUMP_REGISTER;

	if (i->kind == by)
		return i->number == number;
	return i->kind == kind &&
	       (thunk_register(l->t, i->target) == number || is_own_thunk(l, i->target, number));
}

static enum vl_trust_form retpoline(const struct vl_trust_look *l, const struct vl_trust_site *s,
				    const struct code *c)
{
	const struct code own = image_code(l->t, s->at, s->len);
	enum vl_insn_kind kind;
	struct vl_insn was, is;
	size_t at = 0;
	int number;

	if (!insn(&own, 0, &was))
		return VL_TRUST_ILLEGAL;
	number = thunk_register(l->t, was.target);
	kind = was.kind;
	if (number < 0 || !insn(c, 0, &is))
		return VL_TRUST_ILLEGAL;
	if (kind == VL_INSN_BRANCH) {
		if (is.kind == VL_INSN_BRANCH && is.condition == was.condition &&
		    goes_through(l, &(struct vl_insn){ .kind = VL_INSN_JUMP, .target = is.target },
				 VL_INSN_JUMP, number))
			return VL_TRUST_LEGAL;
		/* The other condition, over a jump through the register. */
		if (is.kind != VL_INSN_BRANCH || is.condition != (was.condition ^ 1) ||
		    is.target - c->va > was.len)
			return VL_TRUST_ILLEGAL;
		kind = VL_INSN_JUMP;
		at = is.len;
	}
	if (insn(c, at, &is) && is.kind == VL_INSN_FENCE)
		at += is.len;
	return insn(c, at, &is) && goes_through(l, &is, kind, number) &&
			       rest_is_nop(c, at + is.len, kind == VL_INSN_JUMP) ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

static enum vl_trust_form returns(const struct vl_trust_look *l, const struct vl_trust_site *s,
				  const struct code *c)
{
	uint64_t offset;
	const char *name;
	struct vl_insn i;

	(void)s;
	if (is_return(c))
		return VL_TRUST_LEGAL;
	if (!insn(c, 0, &i) || i.kind != VL_INSN_JUMP || i.len != c->len)
		return VL_TRUST_ILLEGAL;
	name = vl_trust_symbol_at(l->t, i.target, &offset);
	return name && !offset && strstr(name, "return_thunk") ? VL_TRUST_LEGAL : VL_TRUST_ILLEGAL;
}

/* Only the image's own call: the one that counts is not understood. */
static enum vl_trust_form call(const struct vl_trust_look *l, const struct vl_trust_site *s,
			       const struct code *c)
{
	return memcmp(c->bytes, l->t->bytes + s->at, c->len) ? VL_TRUST_ILLEGAL : VL_TRUST_LEGAL;
}

/* endbr64, and what stands in its place where no indirect call may lead. */
static enum vl_trust_form endbr(const struct vl_trust_look *l, const struct vl_trust_site *s,
				const struct code *c)
{
	(void)l, (void)s;
	return starts_with(c, "\xf3\x0f\x1e\xfa", 4) || rest_is_nop(c, 0, false) ? VL_TRUST_LEGAL :
										   VL_TRUST_ILLEGAL;
}

/* Any number, but the same one at all sites of a constant: at its first site in the text. */
static enum vl_trust_form constant(const struct vl_trust_look *l, const struct vl_trust_site *s,
				   const struct code *c)
{
	const struct vl_trust *t = l->t;
	unsigned char first[8];

	for (size_t i = 0; i < t->nr_sections; i++) {
		const struct vl_trust_part *p = &t->sections[i].part;

		if (s->entry - p->at >= p->len)
			continue;
		for (size_t at = p->at; at + 4 <= p->at + p->len; at += 4) {
			size_t place = at + (size_t)(int64_t)vl_trust_i32(t->bytes + at);

			if (place - t->text.at >= t->text.len)
				continue;
			return l->memory->read(l->memory->ctx, t->va + place, first, s->len) &&
					       !memcmp(first, c->bytes, s->len) ?
				       VL_TRUST_LEGAL :
				       VL_TRUST_ILLEGAL;
		}
	}
	return VL_TRUST_ILLEGAL;
}

static const struct {
	enum vl_trust_form (*judge)(const struct vl_trust_look *l, const struct vl_trust_site *s,
				    const struct code *c);
	bool pokes; /* the kernel changes it while it runs, with int3 in between */
	const char *name, *expects;
} classes[VL_TRUST_CLASSES] = {
	[VL_TRUST_TEXT] = { NULL, false, "text", "the image's bytes" },
	[VL_TRUST_ALTERNATIVE] = { alternative, false, "alternative",
				   "the original or one of its replacements" },
	[VL_TRUST_PARAVIRT] = { paravirt, false, "paravirt",
				"a call of a function of the kernel, or the processor's own form" },
	[VL_TRUST_LOCK] = { lock, false, "lock", "the prefix lock or ds" },
	[VL_TRUST_JUMP_LABEL] = { jump_label, true, "jump-label",
				  "a nop, or a jump to its target" },
	[VL_TRUST_STATIC_CALL] = { static_call, true, "static-call",
				   "a call of the function that its trampoline leads to" },
	[VL_TRUST_TRAMPOLINE] = { static_call, true, "trampoline",
				  "a jump to a function of the kernel, or a return" },
	[VL_TRUST_TRACE] = { trace, true, "trace", "a nop, or a call of __fentry__" },
	[VL_TRUST_TRACER] = { tracer, true, "tracer", "a call of ftrace's own" },
	[VL_TRUST_RETPOLINE] = { retpoline, false, "retpoline",
				 "a call or jump by its register or its thunk" },
	[VL_TRUST_RETURN] = { returns, false, "return", "a return, or a jump to a return thunk" },
	[VL_TRUST_CALL] = { call, false, "call", "the image's call" },
	[VL_TRUST_ENDBR] = { endbr, false, "endbr", "endbr64 or a nop" },
	[VL_TRUST_CONSTANT] = { constant, false, "constant",
				"the constant that its other sites have" },
};

enum vl_trust_form vl_trust_form(const struct vl_trust_look *l, const struct vl_trust_site *site,
				 const unsigned char *code, uint64_t va)
{
	const struct code c = { code, site->len, va };
	enum vl_trust_form form;

	if (!memcmp(code, l->t->bytes + site->at, site->len) && va == l->t->va + site->at)
		return VL_TRUST_LEGAL;
	form = classes[site->class].judge(l, site, &c);
	if (form == VL_TRUST_ILLEGAL && classes[site->class].pokes && code[0] == 0xcc)
		return VL_TRUST_BREAK;
	return form;
}

const char *vl_trust_class_name(enum vl_trust_class class)
{
	return classes[class].name;
}

const char *vl_trust_class_expects(enum vl_trust_class class)
{
	return classes[class].expects;
}
