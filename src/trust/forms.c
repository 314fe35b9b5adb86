/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forms.h"

#include "../base/array.h"
#include "cfi.h"
#include "internal.h"

/* --- names of the image --- */

/* The number of the register that the thunk at @va jumps through; -1: no thunk is there. */
static int thunk_register(const struct vl_trust *t, uint64_t va)
{
	static const char *const registers[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
						 "rsi", "rdi", "r8",  "r9",  "r10", "r11",
						 "r12", "r13", "r14", "r15" };
	const char *name;

	for (uint32_t n = 0; (name = vl_trust_symbol_here(t, va, n)); n++) {
		if (strncmp(name, "__x86_indirect_", 15) != 0 || !strstr(name, "thunk_"))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
			if (!strcmp(registers[i], strrchr(name, '_') + 1))
				return (int)i;
	}
	return -1;
}

/* Is a return thunk at @va? */
static bool is_return_thunk(const struct vl_trust *t, uint64_t va)
{
	const char *name;

	for (uint32_t n = 0; (name = vl_trust_symbol_here(t, va, n)); n++)
		if (strstr(name, "return_thunk"))
			return true;
	return false;
}

/* Is function @name at @va? */
static bool is_function(const struct vl_trust *t, uint64_t va, const char *name)
{
	const char *here;

	for (uint32_t n = 0; (here = vl_trust_symbol_here(t, va, n)); n++)
		if (!strcmp(here, name))
			return true;
	return false;
}

/* --- each class --- */

/* Code of paravirtual functions on real hardware that is short enough to replace the call. */
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

static enum vl_trust_form paravirt(const struct vl_trust_context *l, const struct vl_trust_site *s,
				   const struct vl_code *c)
{
	(void)s;
	for (size_t i = 0; i < ARRAY_SIZE(natives); i++)
		if (vl_code_starts(c, natives[i].code, natives[i].len) &&
		    vl_code_is_nop(c, natives[i].len, false))
			return VL_TRUST_LEGAL;
	return vl_code_leads_to_entry(l->t, c, VL_INSN_CALL) ||
			       vl_code_leads_to_entry(l->t, c, VL_INSN_JUMP) ||
			       vl_code_is_nop(c, 0, false) ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

static enum vl_trust_form lock(const struct vl_trust_context *l, const struct vl_trust_site *s,
			       const struct vl_code *c)
{
	(void)l, (void)s;
	/* lock, or ds, which has no effect */
	return c->bytes[0] == 0xf0 || c->bytes[0] == 0x3e ? VL_TRUST_LEGAL : VL_TRUST_ILLEGAL;
}

static enum vl_trust_form jump_label(const struct vl_trust_context *l,
				     const struct vl_trust_site *s, const struct vl_code *c)
{
	size_t word = s->entry + 4;
	uint64_t target = l->t->va + word + (uint64_t)(int64_t)vl_trust_i32(l->t->bytes + word);
	struct vl_insn i;

	if (vl_code_is_nop(c, 0, false))
		return VL_TRUST_LEGAL;
	return vl_code_insn(c, 0, &i) && i.kind == VL_INSN_JUMP && i.target == target &&
			       vl_code_is_nop(c, i.len, false) ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

/* Code that replaces a call of these functions. */
static const struct {
	const char *function;
	unsigned char code[6];
} inlined[] = {
	/* xor %rax,%rax */
	{ "__static_call_return0", "\x2e\x2e\x2e\x31\xc0" },
	{ "__static_call_return0", "\x66\x66\x48\x31\xc0" },
	/* ud1 (%edx),%rdi */
	{ "__WARN_trap", "\x67\x48\x0f\xb9\x3a" },
	/* ds ds movb $0,(%rdi) */
	{ "__raw_callee_save___native_queued_spin_unlock", "\x3e\x3e\xc6\x07\x00" },
};

/* Is @c a return, followed by no operations or int3? */
static bool is_return(const struct vl_code *c)
{
	return c->bytes[0] == 0xc3 && vl_code_is_nop(c, 1, true);
}

/* The target of the guest's trampoline at @va; 0: it is not a jump, or cannot be read. */
static uint64_t trampoline_target(const struct vl_trust_context *l, uint64_t va)
{
	unsigned char buf[5];
	const struct vl_code c = { buf, sizeof(buf), va };
	struct vl_insn i;

	return l->memory->read(l->memory->ctx, va, buf, sizeof(buf)) && vl_code_insn(&c, 0, &i) &&
			       i.kind == VL_INSN_JUMP ?
		       i.target :
		       0;
}

static bool in_image(const struct vl_trust *t, uint64_t va)
{
	return vl_trust_owner(t, va) != NULL;
}

/* The function whose call the kernel replaces by the code @c; NULL: there is none. */
static const char *inlined_function(const struct vl_code *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(inlined); i++)
		if (vl_code_starts(c, inlined[i].code, 5))
			return inlined[i].function;
	return NULL;
}

/*
 * The bytes of a mutex in which it differs while it is held: owner, locks, the list of waiters.
 * With PREEMPT_RT they are the same number in another order.
 */
#define MUTEX_LEN 32
/* The longest instruction at a call site, in bytes: a conditional jump. */
#define CALL_MAX 6

/*
 * Is the guest's kernel changing static calls? Only then does a call lead elsewhere than its
 * trampoline: __static_call_update() changes the trampoline, then one call after the other, which
 * takes seconds for some hundred calls on a slow machine. It holds a lock for that time.
 */
static bool is_updating(const struct vl_trust_context *l)
{
	const struct vl_trust *k = vl_trust_kernel(l->t);
	uint64_t va = vl_trust_symbol(k, "static_call_mutex");
	unsigned char unlocked[MUTEX_LEN], now[MUTEX_LEN];

	return va && vl_trust_copy(k, va, unlocked, sizeof(unlocked)) &&
	       l->memory->read(l->memory->ctx, va, now, sizeof(now)) &&
	       memcmp(now, unlocked, sizeof(now)) != 0;
}

/*
 * Judge @c, a call of a function that its trampoline does not lead to. While nobody holds the lock,
 * it is wrong unless it has just been changed. So it is read again after the lock.
 */
static enum vl_trust_form stray_call(const struct vl_trust_context *l, const struct vl_code *c)
{
	unsigned char now[CALL_MAX];

	if (is_updating(l))
		return VL_TRUST_UPDATING;
	return c->len <= sizeof(now) && l->memory->read(l->memory->ctx, c->va, now, c->len) &&
			       memcmp(now, c->bytes, c->len) != 0 ?
		       VL_TRUST_BREAK :
		       VL_TRUST_ILLEGAL;
}

/* Judge @s, a call site or the trampoline itself. */
static enum vl_trust_form static_call(const struct vl_trust_context *l,
				      const struct vl_trust_site *s, const struct vl_code *c)
{
	unsigned char buf[VL_TRUST_PIECE_MAX];
	const struct vl_code own = vl_code_of_image(l, s->at, s->len, buf);
	bool tail = s->class == VL_TRUST_TRAMPOLINE;
	const char *function = inlined_function(c);
	struct vl_insn was, is;

	if (!vl_code_insn(&own, 0, &was) || !vl_code_insn(c, 0, &is))
		return VL_TRUST_ILLEGAL;
	tail |= was.kind == VL_INSN_JUMP;
	if (tail ? is_return(c) : vl_code_is_nop(c, 0, false))
		return VL_TRUST_LEGAL;
	if (!tail && function)
		return is_function(l->t, trampoline_target(l, was.target), function) ?
			       VL_TRUST_LEGAL :
			       stray_call(l, c);
	if (is.kind != (tail ? VL_INSN_JUMP : was.kind) || is.condition != was.condition)
		return VL_TRUST_ILLEGAL;
	is.target = vl_code_called(l->t, is.target);
	if (!in_image(l->t, is.target))
		return VL_TRUST_ATTACHMENT;
	if (!vl_trust_is_entry(l->t, is.target))
		return VL_TRUST_ILLEGAL;
	/* Without a function, a conditional jump leads to a return (__static_call_transform()). */
	if (was.kind == VL_INSN_BRANCH && is_function(l->t, is.target, "__static_call_return") &&
	    !trampoline_target(l, was.target))
		return VL_TRUST_LEGAL;
	/* All calls of a key lead to the same function as its trampoline. */
	if (s->class != VL_TRUST_TRAMPOLINE && is.target != was.target &&
	    !is_return_thunk(l->t, is.target) && trampoline_target(l, was.target) != is.target)
		return stray_call(l, c);
	return VL_TRUST_LEGAL;
}

static enum vl_trust_form trace(const struct vl_trust_context *l, const struct vl_trust_site *s,
				const struct vl_code *c)
{
	uint64_t offset;
	const char *name;
	struct vl_insn i;

	if (vl_code_is_nop(c, 0, false))
		return VL_TRUST_LEGAL;
	if (!vl_code_insn(c, 0, &i) || i.len != c->len)
		return VL_TRUST_ILLEGAL;
	if (i.kind == VL_INSN_CALL)
		return i.target == vl_trust_symbol(vl_trust_kernel(l->t), "__fentry__") ?
			       VL_TRUST_LEGAL :
			       VL_TRUST_ATTACHMENT;
	/*
	 * A jump replaces the whole body of a BPF dispatcher. It leads to a trampoline of BPF since
	 * "x86/ftrace: Implement DYNAMIC_FTRACE_WITH_JMP" (6.19).
	 */
	name = vl_trust_symbol_at(l->t, l->t->va + s->at, &offset);
	return i.kind == VL_INSN_JUMP && (!in_image(l->t, i.target) ||
					  (name && !strncmp(name, "bpf_dispatcher_", 15))) ?
		       VL_TRUST_ATTACHMENT :
		       VL_TRUST_ILLEGAL;
}

static enum vl_trust_form tracer(const struct vl_trust_context *l, const struct vl_trust_site *s,
				 const struct vl_code *c)
{
	struct vl_insn i;

	(void)s;
	if (vl_code_is_nop(c, 0, false))
		return VL_TRUST_LEGAL;
	if (!vl_code_insn(c, 0, &i) || i.len != c->len ||
	    (i.kind != VL_INSN_CALL && i.kind != VL_INSN_JUMP))
		return VL_TRUST_ILLEGAL;
	return vl_trust_is_entry(l->t, i.target) || !in_image(l->t, i.target) ?
		       VL_TRUST_ATTACHMENT :
		       VL_TRUST_ILLEGAL;
}

/* Is @va outside of the image, and is the guest's code there a jump through register @number? */
static bool is_own_thunk(const struct vl_trust_context *l, uint64_t va, int number)
{
	unsigned char buf[4];
	const struct vl_code c = { buf, sizeof(buf), va };
	struct vl_insn i;

	return !in_image(l->t, va) && l->memory->read(l->memory->ctx, va, buf, sizeof(buf)) &&
	       vl_code_insn(&c, 0, &i) && i.kind == VL_INSN_JUMP_REGISTER && i.number == number;
}

/* Is the guest's instruction @i a call or jump (@kind) through register @number or its thunk? */
static bool goes_through(const struct vl_trust_context *l, const struct vl_insn *i,
			 enum vl_insn_kind kind, int number)
{
	enum vl_insn_kind by = kind == VL_INSN_CALL ? VL_INSN_CALL_REGISTER : VL_INSN_JUMP_REGISTER;

	if (i->kind == by)
		return i->number == number;
	return i->kind == kind &&
	       (thunk_register(l->t, i->target) == number || is_own_thunk(l, i->target, number));
}

static enum vl_trust_form retpoline(const struct vl_trust_context *l, const struct vl_trust_site *s,
				    const struct vl_code *c)
{
	unsigned char buf[VL_TRUST_PIECE_MAX];
	const struct vl_code own = vl_code_of_image(l, s->at, s->len, buf);
	enum vl_insn_kind kind;
	struct vl_insn was, is;
	size_t at = 0;
	int number;

	if (!vl_code_insn(&own, 0, &was))
		return VL_TRUST_ILLEGAL;
	if (vl_trust_cfi_call(l, s, c))
		return VL_TRUST_LEGAL;
	number = thunk_register(l->t, was.target);
	kind = was.kind;
	if (number < 0 || !vl_code_insn(c, 0, &is))
		return VL_TRUST_ILLEGAL;
	if (kind == VL_INSN_BRANCH) {
		if (is.kind == VL_INSN_BRANCH && is.condition == was.condition &&
		    goes_through(l, &(struct vl_insn){ .kind = VL_INSN_JUMP, .target = is.target },
				 VL_INSN_JUMP, number))
			return VL_TRUST_LEGAL;
		/*
		 * The other form: a branch with the opposite condition over a jump through the
		 * register.
		 */
		if (is.kind != VL_INSN_BRANCH || is.condition != (was.condition ^ 1) ||
		    is.target - c->va > was.len)
			return VL_TRUST_ILLEGAL;
		kind = VL_INSN_JUMP;
		at = is.len;
	}
	if (vl_code_insn(c, at, &is) && is.kind == VL_INSN_FENCE)
		at += is.len;
	return vl_code_insn(c, at, &is) && goes_through(l, &is, kind, number) &&
			       vl_code_is_nop(c, at + is.len, kind == VL_INSN_JUMP) ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

static enum vl_trust_form returns(const struct vl_trust_context *l, const struct vl_trust_site *s,
				  const struct vl_code *c)
{
	struct vl_insn i;

	(void)s;
	if (is_return(c))
		return VL_TRUST_LEGAL;
	return vl_code_insn(c, 0, &i) && i.kind == VL_INSN_JUMP &&
			       is_return_thunk(l->t, i.target) && vl_code_is_nop(c, i.len, true) ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

/* The image's call, or a call of the counting code in front of the same function. */
static enum vl_trust_form call(const struct vl_trust_context *l, const struct vl_trust_site *s,
			       const struct vl_code *c)
{
	unsigned char buf[VL_TRUST_PIECE_MAX];
	const struct vl_code own = vl_code_of_image(l, s->at, s->len, buf);
	struct vl_insn was, is;

	return vl_code_insn(&own, 0, &was) && vl_code_insn(c, 0, &is) && is.len == c->len &&
			       was.kind == VL_INSN_CALL && is.kind == VL_INSN_CALL &&
			       vl_code_called(l->t, is.target) == was.target ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

/* Are there only no operations in @c, perhaps with the code that counts a call at the end? */
static bool is_padding(const struct vl_trust_context *l, const struct vl_code *c)
{
	const struct vl_trust_context kernel = { .t = vl_trust_kernel(l->t), .memory = l->memory };
	size_t free = c->len - l->t->counter.len;
	const struct vl_code front = { c->bytes, free, c->va };
	const struct vl_code code = { c->bytes + free, l->t->counter.len, c->va + free };

	return vl_code_is_nop(&front, 0, false) &&
	       (vl_code_is_nop(&code, 0, false) ||
		vl_trust_same_code(&kernel, kernel.t->counter.at, code.len, &code));
}

/* Padding, or padding in which a hash of 0 has replaced no operations or the code that counts. */
static enum vl_trust_form padding(const struct vl_trust_context *l, const struct vl_trust_site *s,
				  const struct vl_code *c)
{
	const struct vl_trust *k = vl_trust_kernel(l->t);
	unsigned char before[VL_TRUST_CFI_MAX];
	const struct vl_code was = { before, c->len, c->va };
	size_t at, free = c->len - l->t->counter.len;

	if (is_padding(l, c))
		return VL_TRUST_LEGAL;
	if (!vl_trust_cfi_sealed(l, s, c, &at))
		return VL_TRUST_ILLEGAL;
	memcpy(before, c->bytes, c->len);
	memset(before + at, 0x90, VL_TRUST_HASH_LEN);
	if (is_padding(l, &was))
		return VL_TRUST_LEGAL;
	for (size_t i = at < free ? free : at; i < at + VL_TRUST_HASH_LEN; i++)
		before[i] = k->bytes[k->counter.at + i - free];
	return is_padding(l, &was) ? VL_TRUST_LEGAL : VL_TRUST_ILLEGAL;
}

/* endbr64, or the no operation that replaces it where indirect calls are not allowed. */
static enum vl_trust_form endbr(const struct vl_trust_context *l, const struct vl_trust_site *s,
				const struct vl_code *c)
{
	(void)l, (void)s;
	return vl_code_starts(c, "\xf3\x0f\x1e\xfa", 4) || vl_code_is_nop(c, 0, false) ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

/* Any number is legal if the first site of the same constant in the text has it, too. */
static enum vl_trust_form constant(const struct vl_trust_context *l, const struct vl_trust_site *s,
				   const struct vl_code *c)
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

/* The number at @now less the one at @was, both of @len bytes. */
static uint64_t distance(const unsigned char *now, const unsigned char *was, size_t len)
{
	uint64_t a = 0, b = 0;

	memcpy(&a, now, len);
	memcpy(&b, was, len);
	return len == 4 ? (uint32_t)(a - b) : a - b;
}

/*
 * A reference to a section that the guest has freed. Its address is not known, but all references
 * to it must agree. Such code can only run while the module is loaded.
 */
static enum vl_trust_form freed(const struct vl_trust_context *l, const struct vl_trust_site *s,
				const struct vl_code *c)
{
	const struct vl_trust *t = l->t;
	unsigned char first[8];

	for (size_t i = 0; i < t->nr_sites; i++) {
		const struct vl_trust_site *one = &t->sites[i];

		if (one->class != VL_TRUST_FREED || one->entry != s->entry || one->len != s->len)
			continue;
		return l->memory->read(l->memory->ctx, t->va + one->at, first, s->len) &&
				       distance(first, t->bytes + one->at, s->len) ==
					       distance(c->bytes, t->bytes + s->at, s->len) ?
			       VL_TRUST_LEGAL :
			       VL_TRUST_ILLEGAL;
	}
	return VL_TRUST_ILLEGAL;
}

static const struct {
	enum vl_trust_form (*judge)(const struct vl_trust_context *l, const struct vl_trust_site *s,
				    const struct vl_code *c);
	bool pokes; /* the running kernel changes it, with int3 during the change */
	const char *name, *expects;
} classes[VL_TRUST_CLASSES] = {
	[VL_TRUST_TEXT] = { NULL, false, "text", "the image's bytes" },
	[VL_TRUST_ALTERNATIVE] = { vl_trust_chain, false, "alternative",
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
	[VL_TRUST_CALL] = { call, false, "call", "the image's call, counted or not" },
	[VL_TRUST_PADDING] = { padding, false, "padding", "nops, or the code that counts a call" },
	[VL_TRUST_ENDBR] = { endbr, false, "endbr", "endbr64 or a nop" },
	[VL_TRUST_CFI] = { vl_trust_cfi_function, false, "cfi",
			   "the hash of the function's type, by the kernel's seed" },
	[VL_TRUST_CFI_CALL] = { vl_trust_cfi_caller, false, "cfi-call",
				"a comparison with the same hash, by the kernel's seed" },
	[VL_TRUST_CONSTANT] = { constant, false, "constant",
				"the constant that its other sites have" },
	[VL_TRUST_FREED] = { freed, false, "freed",
			     "the place of the init part that the other references have" },
	[VL_TRUST_DATA] = { NULL, false, "constants", "the image's bytes" },
	[VL_TRUST_PROBE] = { NULL, false, "probe", "the image's bytes, or a kprobe" },
};

enum vl_trust_form vl_trust_form(const struct vl_trust_context *l, const struct vl_trust_site *site,
				 const unsigned char *code, uint64_t va)
{
	const struct vl_code c = { code, site->len, va };
	unsigned char buf[VL_TRUST_PIECE_MAX];
	const unsigned char *own = vl_trust_image_at(l, site->at, site->len, buf);
	enum vl_trust_form form;

	if (own && va == l->t->va + site->at && !memcmp(code, own, site->len))
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
