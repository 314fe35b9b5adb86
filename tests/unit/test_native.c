/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rewritten code does what the code does: instructions are run as they are and rewritten, on the
 * same registers and memory, and all of both is compared. They come from a table of what kernels
 * have and compilers do not emit, and, decoded from any byte on, from the text of the C library.
 *
 * VLENS_NATIVE_RUNS: so many of the latter (20000). VLENS_NATIVE_SEED: others, a number that is not
 * 0.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "native-run.h"
#include "tap.h"

/* --- what kernels have and compilers do not emit --- */

/* clang-format off */
#define INSN(text) \
	__asm__(".pushsection insns, \"a\"\n.byte 2f-1f\n1:" text "\n2:\n.popsection");
INSN("lock cmpxchg16b (%rdi)") INSN("lock xadd %rax, (%rsi)") INSN("lock btsq %rdx, (%rdi)")
INSN("lock decl 4(%rbx)") INSN("xchg %al, (%rcx)") INSN("lock cmpxchg %r8d, 16(%rdi)")
INSN("lock orl $4, (%rdi,%rcx)") INSN("lock addq $-1, -8(%r12)") INSN("lock btrq $3, (%r13)")
INSN("rep movsb") INSN("rep movsq") INSN("rep stosb") INSN("rep stosq") INSN("rep stosl")
INSN("repe cmpsb") INSN("repne scasb") INSN("repe scasl") INSN("lodsb") INSN("lodsq") INSN("rep lodsb")
INSN("movsb") INSN("movsl") INSN("stosw") INSN("cmpsq") INSN("scasw")
INSN("pushf") INSN("popf") INSN("cld") INSN("std")
INSN("push %rsp") INSN("pop %rsp; mov $0x20002000, %esp")
INSN("push (%rdi)") INSN("pop 8(%rsi)") INSN("push 8(%rsp)") INSN("pop 16(%rsp)") INSN("push $-3")
INSN("pushw %ax") INSN("popw %cx") INSN("leave; mov $0x20002000, %esp")
INSN("mov 0x1008(%rip), %rax") INSN("mov %r15d, 0x1010(%rip)") INSN("lea 0x1000(%rip), %r9")
INSN("lea 0x1000(%rip), %r9d") INSN("incl 0x1000(%rip)") INSN("addq $0x12345678, 0x1000(%rip)")
INSN("cmpb $7, 0x1001(%rip)") INSN("imul $77, 0x1000(%rip), %rdx") INSN("movzbl 0x1003(%rip), %r11d")
INSN("vmovdqu 0x1000(%rip), %ymm9") INSN("movups %xmm11, 0x1010(%rip)") INSN("movabs %al, 0x30000123")
INSN("movabs 0x30000777, %rax") INSN("cs movl %eax, (%rsi)") INSN("ds addl %eax, (%rsi)")
INSN("xlat %ds:(%rbx)") INSN("crc32q (%rdi), %rax") INSN("movbe (%rsi), %rdx") INSN("movnti %rax, (%rdi)")
INSN("shldq %cl, %rax, (%rdi)") INSN("shrdq $9, %rbx, (%rsi)") INSN("rclq $3, (%rdi)") INSN("bswap %r10")
INSN("adcq %rax, (%rdi)") INSN("sbbq (%rsi), %rbx") INSN("cmovaq (%rdi), %rcx") INSN("setg (%rsi)")
INSN("popcnt (%rdi), %rax") INSN("bsf (%rdi), %rcx") INSN("bsr %rax, %rdx") INSN("btcq %rax, (%rdi)")
INSN("mulq (%rdi)") INSN("imulq (%rsi)") INSN("divq (%rdi)") INSN("idivl 4(%rsi)") INSN("cqto; idivq (%rdi)")
INSN("lahf; sahf") INSN("cwtl") INSN("clflush (%rdi)") INSN("prefetchnta (%rsi)") INSN("lfence; mfence; sfence")
INSN("fxsave64 (%rdi)") INSN("emms") INSN("fninit; fnstcw (%rdi)") INSN("stmxcsr (%rsi)")
INSN("jmp 3f; .byte 0xe8, 1, 2, 3, 4; 3: inc %rax") INSN("call 3f; 3: pop %rcx; mov $1, %ecx")
INSN("jz 3f; inc %rbx; 3: dec %rdx") INSN("jrcxz 3f; inc %rbx; 3: nop") INSN("mov $5, %ecx; 3: inc %rax; loop 3b")
INSN("mov $5, %ecx; 3: dec %rax; loopne 3b") INSN("call 4f; jmp 5f; 4: inc %r8; ret; 5: inc %r9")
INSN("call 4f; jmp 5f; 4: sub $8, %rsp; ret $8; 5: inc %r9; mov $0x20002000, %esp")
INSN("sub $64, %rsp; mov %rax, 8(%rsp); lea 8(%rsp), %rdi; mov (%rdi), %rbx; add $64, %rsp")
INSN("push %rax; mov %rsp, %rdi; movq $7, (%rdi); pop %rbx") INSN("sgdt (%rdi)") INSN("mov %ds, (%rdi)")
INSN("endbr64; nopl 8(%rax,%rax,1); cs nopw 0(%rax)") INSN("mov %rax, (%rsp)")
	/* clang-format on */
	extern const unsigned char __start_insns[],
	__stop_insns[];

/* --- a comparison --- */

static bool same_vectors(const struct state *a, const struct state *b)
{
	return !memcmp(a->vectors + X87_REGS, b->vectors + X87_REGS, FXSAVE_SIZE - X87_REGS) &&
	       !memcmp(a->vectors + 24, b->vectors + 24, 4) &&
	       !memcmp(a->vectors + YMM_AT, b->vectors + YMM_AT, YMM_SIZE);
}

/* Return addresses on the stack are the emitted code's, and so is what is below it. */
static bool same_stack(const struct state *a, const struct state *b)
{
	for (size_t i = 0; i < STACK_SIZE; i += 8) {
		uint64_t x, y;

		memcpy(&x, a->stack + i, 8);
		memcpy(&y, b->stack + i, 8);
		if (x != y &&
		    !(x - RAW < VL_PAGE_SIZE && y - VL_NATIVE_CODE < VL_NATIVE_CODE_SIZE) &&
		    i + STACK >= a->gpr[VL_RSP] && a->gpr[VL_RSP] >= STACK)
			return false;
	}
	return true;
}

static const char *differs(const struct fuzz *f)
{
	const struct state *a = &f->raw, *b = &f->rewritten;

	for (int i = 0; i < VL_NR_GPR; i++)
		/* An address of the code's, or its lower half. */
		if (a->gpr[i] != b->gpr[i] && b->gpr[i] - a->gpr[i] != CODE - RAW &&
		    (uint32_t)(b->gpr[i] - a->gpr[i]) != (uint32_t)(CODE - RAW))
			return "a register";
	if (a->rflags != b->rflags)
		return "flags";
	if (memcmp(a->data, b->data, DATA_SIZE))
		return "memory";
	if (memcmp(a->near, b->near, VL_PAGE_SIZE))
		return "memory by rip";
	if (!same_stack(a, b))
		return "the stack";
	return same_vectors(a, b) ? NULL : "vector registers";
}

static void tell(const struct fuzz *f, const unsigned char *in, size_t len, const char *what)
{
	printf("# %s differs:", what);
	for (size_t i = 0; i < len; i++)
		printf(" %02x", in[i]);
	putchar('\n');
	for (int i = 0; i < VL_NR_GPR; i++)
		if (f->raw.gpr[i] != f->rewritten.gpr[i])
			printf("# register %d: %#lx, was %#lx, rewritten %#lx\n", i,
			       (unsigned long)f->raw.gpr[i], (unsigned long)f->start.gpr[i],
			       (unsigned long)f->rewritten.gpr[i]);
	printf("# flags %#lx, were %#lx, rewritten %#lx\n", (unsigned long)f->raw.rflags,
	       (unsigned long)f->start.rflags, (unsigned long)f->rewritten.rflags);
}

/* Both ways from f->start. */
static bool compare(struct fuzz *f, const unsigned char *in, size_t len)
{
	static const unsigned char out[] = { 0xff, 0x24, 0x25 };
	uint32_t leave = VL_NATIVE_CTL + CTL_LEAVE;
	uint64_t code, raw_kind, raw_va;
	const char *what;

	memset(f->code, 0xf4, VL_PAGE_SIZE);
	memcpy(f->code, in, len);
	memcpy(f->code + len, out, sizeof(out));
	memcpy(f->code + len + sizeof(out), &leave, 4);
	run(f, &f->raw, RAW);
	raw_kind = VL_CTL->kind;
	raw_va = VL_CTL->va;
	memset(f->code + len, 0xf4, 16);
	vl_native_reset(f->e);
	code = vl_native_code(f->e, CODE);
	run(f, &f->rewritten, code);
	f->done++;
	if (VL_CTL->kind == VL_NATIVE_REFUSED && !VL_CTL->why) {
		f->refused++;
		return true;
	}
	/* As it is, a fault is one of an address that no code was emitted for. */
	if (raw_kind != VL_NATIVE_RETURNED || VL_CTL->kind != VL_NATIVE_HLT) {
		if (raw_kind != VL_NATIVE_RETURNED && VL_CTL->kind == VL_NATIVE_EXCEPTION) {
			f->faults++;
			what = VL_CTL->va - CODE != raw_va - RAW ? "where it faulted" : differs(f);
			if (what)
				tell(f, in, len, what);
			return !what;
		}
		printf("# as it is %lu, rewritten %lu\n", (unsigned long)raw_kind,
		       (unsigned long)VL_CTL->kind);
		tell(f, in, len, "the end");
		return false;
	}
	what = differs(f);
	if (what)
		tell(f, in, len, what);
	return !what;
}

/* --- instructions of the C library --- */

static uint64_t *gpr(struct fuzz *f, ZydisRegister r)
{
	return ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_GPR64 ?
		       &f->start.gpr[ZydisRegisterGetId(r)] :
		       NULL;
}

/* Have the operand's address be in our data. False: this one cannot. */
static bool aim(struct fuzz *f, const ZydisDecodedOperand *o)
{
	uint64_t *base = gpr(f, o->mem.base), *index = gpr(f, o->mem.index);
	/* Sometimes over the end. */
	uint64_t at = draw(f) & 15 ? DATA + DATA_SIZE / 4 + (draw(f) & 0x1fc0) :
				     DATA + DATA_SIZE - (draw(f) & 31);

	if (o->mem.segment == ZYDIS_REGISTER_FS || o->mem.segment == ZYDIS_REGISTER_GS ||
	    o->mem.type == ZYDIS_MEMOP_TYPE_VSIB || !base || base == index)
		return false;
	if (index == &f->start.gpr[VL_RSP])
		return false;
	if (index)
		*index = draw(f) & 15;
	if (base == &f->start.gpr[VL_RSP])
		return o->mem.disp.value < 0x1000 && o->mem.disp.value > -0x1000;
	*base = at - (index ? *index * o->mem.scale : 0) - (uint64_t)o->mem.disp.value;
	return true;
}

/* What a process may do, to no other end than to compute. */
static bool suits(const ZydisDecodedInstruction *d)
{
	switch (d->meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
	case ZYDIS_CATEGORY_RDRAND:
	case ZYDIS_CATEGORY_RDSEED:
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_PKU:
	case ZYDIS_CATEGORY_X87_ALU: /* pointers of instructions and data are kept in its state */
	case ZYDIS_CATEGORY_FLAGOP:
		return false;
	default:
		return !(d->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) &&
		       d->mnemonic != ZYDIS_MNEMONIC_ENTER && d->mnemonic != ZYDIS_MNEMONIC_LEAVE &&
		       d->mnemonic != ZYDIS_MNEMONIC_FLDENV &&
		       d->mnemonic != ZYDIS_MNEMONIC_FRSTOR &&
		       d->mnemonic != ZYDIS_MNEMONIC_LDMXCSR;
	}
}

/* One instruction of @text. False where it is none for us. */
static bool pick(struct fuzz *f, const unsigned char *text, size_t *len_ret)
{
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction d;
	bool bits;

	if (ZYAN_FAILED(ZydisDecoderDecodeFull(&f->decoder, text, INSN_MAX, &d, o)) || !suits(&d))
		return false;
	bits = d.mnemonic == ZYDIS_MNEMONIC_BT || d.mnemonic == ZYDIS_MNEMONIC_BTS ||
	       d.mnemonic == ZYDIS_MNEMONIC_BTR || d.mnemonic == ZYDIS_MNEMONIC_BTC;
	if (d.meta.category == ZYDIS_CATEGORY_STRINGOP)
		f->start.gpr[VL_RCX] = draw(f) & 63;
	for (unsigned i = 0; i < d.operand_count; i++) {
		if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER && bits && gpr(f, o[i].reg.value))
			*gpr(f, o[i].reg.value) &= 0xfff;
		/* rsp must lead to the stack in the end, and hold for both. */
		if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    o[i].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
		    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o[i].reg.value) ==
			    ZYDIS_REGISTER_RSP)
			return false;
	}
	/* What the text does not name is the stack, where strings are, or xlat's and its kin. */
	for (unsigned i = 0; i < d.operand_count; i++)
		if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    o[i].mem.type != ZYDIS_MEMOP_TYPE_AGEN &&
		    (o[i].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT ||
		     (o[i].mem.base != ZYDIS_REGISTER_RSP &&
		      d.meta.category != ZYDIS_CATEGORY_STRINGOP)) &&
		    !aim(f, &o[i]))
			return false;
	*len_ret = d.length;
	return true;
}

/* --- the tests --- */

static int find_text(struct dl_phdr_info *info, size_t size, void *ret)
{
	const unsigned char **text = ret;

	(void)size;
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
			text[0] =
				(const unsigned char *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
			text[1] = text[0] + info->dlpi_phdr[i].p_memsz;
		}
	return 1;
}

static void test_table(struct fuzz *f)
{
	unsigned long nr = 0, wrong = 0;

	f->refused = 0;
	for (const unsigned char *p = __start_insns; p < __stop_insns; p += 1 + *p, nr++)
		for (int i = 0; i < 40; i++) {
			randomize(f);
			f->start.gpr[VL_RCX] &= 63;
			f->start.gpr[VL_RBX] = f->start.gpr[VL_RSI] & ~63UL;
			f->start.gpr[VL_R12] = f->start.gpr[VL_R13] = f->start.gpr[VL_RDI] & ~15UL;
			f->start.gpr[VL_RDI] &= ~15UL;
			f->start.gpr[VL_RAX] &= 0xfff;
			f->start.gpr[VL_RDX] &= 0xfff;
			if (!compare(f, p + 1, *p)) {
				wrong++;
				break;
			}
		}
	ok(nr > 90 && !wrong, "%lu sequences that kernels have: %lu differ", nr, wrong);
	ok(f->refused == 80, "of them two are refused (%lu)", f->refused / 40);
}

/* The interrupt flag is a virtual one. */
static void test_interrupts(struct fuzz *f)
{
	static const unsigned char code[] = {
		0xfa, 0x9c, 0x58,	/* cli; pushf; pop %rax */
		0xfb, 0x9c, 0x59,	/* sti; pushf; pop %rcx */
		0x50, 0x9d, 0x9c, 0x5a, /* push %rax; popf; pushf; pop %rdx */
		0xf4,
	};
	const uint64_t *gpr = f->rewritten.gpr, flag = 0x200;

	randomize(f);
	memcpy(f->code, code, sizeof(code));
	vl_native_reset(f->e);
	run(f, &f->rewritten, vl_native_code(f->e, CODE));
	ok(!(gpr[VL_RAX] & flag) && gpr[VL_RCX] & flag && !(gpr[VL_RDX] & flag) &&
		   !VL_CTL->interrupts,
	   "cli, sti and popf show in the interrupt flag");
	ok(((gpr[VL_RAX] ^ f->start.rflags) & FLAGS) == 0, "and the others are as they were");
}

/* A function of ftrace's reads its return address, and finds the probed function by it. */
static void test_return_address(struct fuzz *f)
{
	static const unsigned char code[] = {
		0xe8, 0x3b, 0x00, 0x00, 0x00, /* call USE_RETURN */
		0xff, 0xc3, 0xf4,	      /* inc %ebx; hlt */
	};
	static const unsigned char function[] = { 0x48, 0x8b, 0x04, 0x24,
						  0xc3 }; /* mov (%rsp),%rax; ret */

	randomize(f);
	memcpy(f->code, code, sizeof(code));
	memcpy(f->code + (USE_RETURN - CODE), function, sizeof(function));
	vl_native_reset(f->e);
	run(f, &f->rewritten, vl_native_code(f->e, CODE));
	ok(f->rewritten.gpr[VL_RAX] == CODE + 5 &&
		   f->rewritten.gpr[VL_RBX] == (uint32_t)(f->start.gpr[VL_RBX] + 1),
	   "ftrace's functions see the guest's return address, and return to it");
}

static unsigned long number(const char *variable, unsigned long otherwise)
{
	const char *env = getenv(variable);
	unsigned long value = env ? strtoul(env, NULL, 10) : 0;

	return value ? value : otherwise;
}

static void test_text(struct fuzz *f)
{
	unsigned long runs = number("VLENS_NATIVE_RUNS", 20000), wrong = 0;
	const unsigned char *text[2] = { NULL, NULL };

	dl_iterate_phdr(find_text, text);
	f->done = f->faults = f->refused = 0;
	while (text[0] && f->done < runs && wrong < 20) {
		const unsigned char *at =
			text[0] + draw(f) % (size_t)(text[1] - text[0] - 2 * INSN_MAX);
		size_t len;

		if (f->done % 64 == 0 || draw(f) % 8 == 0)
			randomize(f);
		if (pick(f, at, &len))
			wrong += !compare(f, at, len);
	}
	ok(f->done >= runs && !wrong, "%lu instructions of the C library: %lu differ", f->done,
	   wrong);
	printf("# %lu faulted both ways, %lu are refused\n", f->faults, f->refused);
	ok(f->refused < f->done / 100, "few are refused");
}

int main(void)
{
	struct vl_vcpu_state st = {
		.cr0 = 0x80050033,
		.cr3 = OWN_GPA,
		.cr4 = 0x6a0,
		.efer = 0xd01,
		.stack_va = STACK,
		.stack_gpa = OWN_GPA + 32 * VL_PAGE_SIZE,
		.stack_size = STACK_SIZE,
		.return_va = CODE,
		.use_return = { USE_RETURN },
	};
	struct vl_vcpu_region region = { OWN_GPA, OWN_SIZE, NULL };
	struct fuzz *f;
	struct vl_error *err;
	struct guest g;

	if (vl_native_unfit(&st)) {
		skip("rewritten code", "%s", vl_native_unfit(&st));
		return tap_end();
	}
	f = aligned_alloc(64, sizeof(*f)); /* XSAVE wants that */
	if (f)
		memset(f, 0, sizeof(*f));
	if (!f || !guest_make(&g)) {
		printf("Bail out! no guest\n");
		return 1;
	}
	region.host = g.own;
	for (unsigned i = 0; i < NR_STACK; i++)
		guest_map(&g, STACK + i * VL_PAGE_SIZE, OWN_GPA + (32 + i) * VL_PAGE_SIZE);
	for (unsigned i = 0; i < NR_DATA; i++)
		guest_map(&g, DATA + i * VL_PAGE_SIZE, OWN_GPA + (48 + i) * VL_PAGE_SIZE);
	for (unsigned i = 0; i < 2; i++)
		guest_map(&g, CODE + i * VL_PAGE_SIZE, OWN_GPA + (40 + i) * VL_PAGE_SIZE);
	f->guest = &g;
	f->code = guest_page(&g, 40);
	f->near = guest_page(&g, 41);
	f->stack = guest_page(&g, 32);
	f->data = guest_page(&g, 48);
	f->seed = number("VLENS_NATIVE_SEED", 0x123456789abcdefUL);
	ZydisDecoderInit(&f->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	err = vl_executor_native.create(&st, g.view, &region, &f->e);
	if (!ok(!err, "an engine is made%s%s", err ? ": " : "", err ? err->message : ""))
		return tap_end();
	if (mremap(f->data, 0, DATA_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)DATA) ==
		    MAP_FAILED ||
	    mremap(f->code, 0, 2 * VL_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)RAW) ==
		    MAP_FAILED ||
	    mprotect((void *)RAW, 2 * VL_PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC)) {
		printf("Bail out! no memory\n");
		return 1;
	}
	/* As vector registers are in a process that has all kinds of them. */
	__asm__ volatile("xsave64 %0" : "+m"(f->start.vectors) : "a"(-1), "d"(-1) : "memory");
	*(uint64_t *)(f->start.vectors + 512) |= 7;
	test_table(f);
	test_interrupts(f);
	test_return_address(f);
	test_kept(f);
	test_text(f);
	vl_executor_native.destroy(f->e);
	guest_unmake(&g);
	free(f);
	return tap_end();
}
