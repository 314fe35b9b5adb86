/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of a trace, and fields that witnesses tell: of code made by hand. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernel/derive.h"
#include "tap.h"

#define BASE 0xffffffff81000000UL
#define CURRENT 0x1fb80

/* A function of the sample; its label is the symbol. */
#define FUNCTION(name, code) \
	__asm__(".pushsection .rodata\n" #name ": " code "\nint3\n.popsection"); \
	extern const unsigned char name[];

__asm__(".pushsection .rodata\n.balign 16\nsample_begin:\n.popsection");
extern const unsigned char sample_begin[];

FUNCTION(get_ids, "mov %gs:0x1fb80, %rax; mov 0x7bc(%rax), %edx; mov 0x7b8(%rax), %eax;"
		  "shl $32, %rdx; or %rdx, %rax; ret")
FUNCTION(use_stack, "push %rbx; mov %rdi, %rbx; sub $16, %rsp; mov %rsi, 8(%rsp); call callee;"
		    "mov 8(%rsp), %rcx; lea 24(%rbx), %rdi; mov %rcx, %rsi; call callee;"
		    "add $16, %rsp; pop %rbx; ret")
FUNCTION(lend_stack, "sub $16, %rsp; mov %rdi, 8(%rsp); lea 8(%rsp), %rdi; call callee;"
		     "mov 8(%rsp), %rax; ret")
FUNCTION(callee, "ret")
FUNCTION(branches, "test %rdi, %rdi; je 1f; mov 8(%rdi), %rax; ret; 1: mov 16(%rsi), %rax; ret")
FUNCTION(flags, "testb $0x20, 46(%rdi); je 1f; 1: ret")
FUNCTION(endless, "1: mov (%rdi), %rdi; jmp 1b")
FUNCTION(nested, ".rept 300; mov (%rdi), %rdi; .endr; ret")
FUNCTION(outside, "mov 8(%rdi), %rax; jmp *(%rax)")
FUNCTION(variable, "mov (%rdi), %rax; mov wanted(%rip), %rcx; mov 4(%rcx), %eax; ret")
FUNCTION(start_secondary, "ret")
FUNCTION(wanted, ".quad 0")
FUNCTION(sample_end, "")

static const struct {
	const unsigned char *at;
	const char *name;
} symbols[] = {
	{ get_ids, "get_ids" },
	{ use_stack, "use_stack" },
	{ lend_stack, "lend_stack" },
	{ callee, "callee" },
	{ branches, "branches" },
	{ flags, "flags" },
	{ endless, "endless" },
	{ nested, "nested" },
	{ outside, "outside" },
	{ variable, "variable" },
	{ start_secondary, "start_secondary" },
	{ wanted, "wanted" },
	{ sample_end, "_etext" },
};

#define NR (ARRAY_SIZE(symbols) + 1)

/* @up: a kernel for one CPU, whose current is a plain variable, "wanted". */
static struct vl_kernel *make(bool up)
{
	struct vl_symbols from = { .nr = NR, .base = BASE };
	uint64_t addresses[NR] = { up ? BASE + (uint64_t)(wanted - sample_begin) : CURRENT };
	uint32_t name_at[NR] = { 0 };
	char text[1024] = "current_task";
	struct vl_kernel *k = NULL;
	struct vl_layout none;
	struct vl_error *err;

	from.text_len = strlen(text) + 1;
	for (size_t i = 1; i < NR; i++) {
		addresses[i] = BASE + (uint64_t)(symbols[i - 1].at - sample_begin);
		name_at[i] = (uint32_t)from.text_len;
		strcpy(text + from.text_len, symbols[i - 1].name);
		from.text_len += strlen(symbols[i - 1].name) + 1;
		if (up && symbols[i - 1].at == start_secondary)
			text[name_at[i]] = 'S';
	}
	from.addresses = addresses;
	from.name_at = name_at;
	from.text = text;
	memset(&none, 0xff, sizeof(none));
	err = vl_kernel_create(&from, &none, &k);
	if (err)
		printf("# %s\n", err->message);
	vl_error_destroy(err);
	return k;
}

static struct vl_text text(void)
{
	return (struct vl_text){ sample_begin, (size_t)(sample_end - sample_begin) + 1, BASE };
}

/* --- lines --- */

struct lines {
	char all[65536];
	size_t len;
	unsigned nr;
};

static void take(void *ctx, const char *line)
{
	struct lines *l = ctx;

	l->nr++;
	l->len += (size_t)snprintf(l->all + l->len, sizeof(l->all) - l->len, "%s\n", line);
	if (l->len >= sizeof(l->all))
		l->len = sizeof(l->all) - 1;
}

static struct lines lines;

static bool trace(const struct vl_kernel *k, const char *function)
{
	const struct vl_text t = text();

	lines = (struct lines){ .nr = 0 };
	return vl_trace(k, &t, VL_NO_FIELD, false, vl_symbol(k, function), take, &lines);
}

/* Does @function give exactly the lines @want? */
static bool gives(const struct vl_kernel *k, const char *function, const char *want)
{
	if (trace(k, function) && !strcmp(lines.all, want))
		return true;
	printf("# %s\n", lines.all);
	return false;
}

static void test_lines(const struct vl_kernel *k)
{
	ok(gives(k, "get_ids",
		 "L4[cur+1980]\nL4[cur+1976]\nret (L4[cur+1976]|(L4[cur+1980]<<32))\n"),
	   "loads from current, and what a function returns");
	ok(gives(k, "use_stack",
		 "call callee(a0,a1,a2,a3,a4,a5)\ncall callee(a0+24,a1,?,a1,?,?)\nret callee()\n"),
	   "a register that a callee keeps, a value on the stack, and what a callee changes");
	ok(gives(k, "lend_stack", "call callee(stack-8,a1,a2,a3,a4,a5)\nret ?\n"),
	   "what a callee may have changed on the stack is not known");
	ok(gives(k, "branches", "test a0,a0\nL8[a0+8]\nret L8[a0+8]\nL8[a1+16]\nret L8[a1+16]\n"),
	   "both ways of a branch");
	ok(gives(k, "flags", "test L4[a0+44],2097152\nL1[a0+46]\ntest L1[a0+46],32\nret ?\n"),
	   "a test of one byte is also one of the word around it");
	ok(gives(k, "endless", "L8[a0]\n"), "a loop is followed once");
	ok(trace(k, "nested") && lines.nr == 301 && strstr(lines.all, "[?]"),
	   "values within values have an end");
	ok(gives(k, "outside", "L8[a0+8]\nL8[L8[a0+8]]\ncall L8[L8[a0+8]](a0,a1,a2,a3,a4,a5)\n"),
	   "a call of a pointer ends the way");
	ok(gives(k, "variable", "L8[a0]\nL8[&wanted]\nL4[L8[&wanted]+4]\nret L4[L8[&wanted]+4]\n"),
	   "a variable of the image");
	ok(!trace(k, "_etext"), "no symbol follows the last one: it has no end");
}

/* Code that is cut or changed at random ends, and gives whole lines. */
static void test_hostile(const struct vl_kernel *k)
{
	const struct vl_text whole = text();
	_Alignas(16) static unsigned char bytes[4096];
	struct vl_text t = { bytes, whole.len, BASE };
	unsigned seed = 1, bad = 0;

	for (unsigned round = 0; round < 3000; round++) {
		memcpy(bytes, whole.bytes, whole.len);
		for (unsigned i = 0; i < 8; i++)
			bytes[(size_t)rand_r(&seed) % whole.len] = (unsigned char)rand_r(&seed);
		for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
			lines = (struct lines){ .nr = 0 };
			vl_trace(k, &t, VL_NO_FIELD, false, vl_symbol(k, symbols[i].name), take,
				 &lines);
			bad += lines.nr > 4 * VL_TRACE_STEPS;
		}
	}
	ok(!bad, "changed code ends");
	t.len = 20;
	ok(!vl_trace(k, &t, VL_NO_FIELD, false, vl_symbol(k, "use_stack"), take, &lines),
	   "code beyond the text is refused");
}

/* --- fields --- */

static void test_match(void)
{
	struct vl_layout known;
	int64_t n = -1;

	memset(&known, 0xff, sizeof(known));
	ok(vl_derive_match(&known, "L4[cur#]", "L4[cur+1256]", &n) && n == 1256, "an offset");
	ok(vl_derive_match(&known, "L4[cur#]", "L4[cur]", &n) && n == 0, "that of 0");
	ok(vl_derive_match(&known, "L4[cur#]", "L4[cur-8]", &n) && n == -8, "one below 0");
	ok(!vl_derive_match(&known, "L4[cur#]", "L4[cur+8]+4", &n) &&
		   !vl_derive_match(&known, "L4[cur#]", "L8[cur+8]", &n),
	   "a pattern is of the whole line");
	ok(vl_derive_match(&known, "call f(*,a0#,*)", "call f(1,L8[a1],a0+16,3)", &n) && n == 16,
	   "any text");
	ok(!vl_derive_match(&known, "L8[a0<TASK_PID>]", "L8[a0]", &n), "a field that is not known");
	known.offset[VL_F_TASK_PID] = 40;
	ok(vl_derive_match(&known, "L8[L8[a0<TASK_PID>]#]", "L8[L8[a0+40]+7]", &n) && n == 7 &&
		   !vl_derive_match(&known, "L8[a0<TASK_PID>]", "L8[a0+4]", &n),
	   "one that is known");
	ok(vl_derive_match(&known, "L4[cur#]", "L4[cur+99999999999999999999999]", &n) &&
		   n > 1 << 20,
	   "a number that is too large");
	ok(vl_derive_match(&known, "cmp a0,&@", "cmp a0,&0xffffffff82001000", &n) &&
		   (uint64_t)n == 0xffffffff82001000 &&
		   vl_derive_match(&known, "L8[&@{TASK_PID}]", "L8[&0x1028]", &n) && n == 0x1000,
	   "an address, and one less a field's offset");
	ok(!vl_derive_match(&known, "L8[&@{TASK_MM}]", "L8[&0x1028]", &n) &&
		   !vl_derive_match(&known, "L8[&@]", "L8[&init_task]", &n),
	   "one less a field that is not known, and a name");
}

static bool is_for_up(const char *pattern, const char *expected)
{
	char got[VL_TRACE_LINE];

	return vl_derive_for_up(pattern, got) && !strcmp(got, expected);
}

static void test_up(const struct vl_kernel *smp)
{
	struct vl_kernel *k = make(true);
	char longest[VL_TRACE_LINE + 1] = "", got[VL_TRACE_LINE];

	if (!ok(k && vl_kernel_is_up(k) && !vl_kernel_is_up(smp), "a kernel for one CPU"))
		return;
	ok(gives(k, "variable", "L8[a0]\nL4[cur+4]\nret L4[cur+4]\n"),
	   "its current is a plain variable");
	vl_kernel_destroy(k);
	ok(is_for_up("L4[%a#]+%b", "L4[&a#]+&b") && is_for_up("L8[%a]%b", "L8[&a]&b"),
	   "so are its other per-CPU variables");
	ok(is_for_up("S8[L8[%*]+%a#]=f()", "S8[&a#]=f()") &&
		   is_for_up("call f(a0,L8[(L4[a0*]*8)+&*]+%@,?)", "call f(a0,&@,?)"),
	   "and nothing leads to them");
	ok(is_for_up("]+%a", "]+&a") && is_for_up("+%", "+&") && is_for_up("Lx]+%", "Lx]+&"),
	   "a text that is no load");
	memset(longest, '*', VL_TRACE_LINE - 1);
	ok(is_for_up(longest, longest), "the longest pattern");
	memset(longest, '*', VL_TRACE_LINE);
	ok(!vl_derive_for_up(longest, got), "a longer one");
}

/* Numbers without a sign, and what stands in braces behind a hole. */
static void test_numbers(void)
{
	struct vl_layout known;
	int64_t n = -1;

	memset(&known, 0xff, sizeof(known));
	known.offset[VL_F_TASK_PID] = 40;
	ok(vl_derive_match(&known, "call f(*,$,*)", "call f(a0,23,a2)", &n) && n == 23,
	   "a plain number");
	ok(!vl_derive_match(&known, "call f(*,$,*)", "call f(a0,a1,a2)", &n) &&
		   !vl_derive_match(&known, "L8[a0$]", "L8[a0+8]", &n) &&
		   !vl_derive_match(&known, "L8[a0$]", "L8[a0]", &n),
	   "none, and one with a sign");
	ok(!vl_derive_match(&known, "cmp a0,$", "cmp a0,99999999999999999999999", &n),
	   "a plain number that is too large");
	ok(vl_derive_match(&known, "L8[(a0<<~)]", "L8[(a0<<6)]", &n) && n == 64, "a shift");
	ok(!vl_derive_match(&known, "L8[(a0<<~)]", "L8[(a0<<21)]", &n), "one that is too large");
	ok(vl_derive_match(&known, "L8[a0#{+TASK_PID}]", "L8[a0-8]", &n) && n == 32,
	   "a field is added");
	ok(vl_derive_match(&known, "L8[a0#{-TASK_PID}]", "L8[a0-8]", &n) && n == 48,
	   "the number is subtracted from a field");
	ok(vl_derive_match(&known, "ret a0#{-}", "ret a0-128", &n) && n == 128, "another sign");
	ok(vl_derive_match(&known, "call f(a0,${*},a2,*)", "call f(a0,3,a2,a3)", &n) && n == 6,
	   "one doubled");
	ok(vl_derive_match(&known, "L8[&x#{/}]", "L8[&x+152]", &n) && n == 19 &&
		   !vl_derive_match(&known, "L8[&x#{/}]", "L8[&x+153]", &n),
	   "a division that leaves nothing");
	ok(vl_derive_match(&known, "L4[cur#{!TASK_PID}]", "L4[cur+44]", &n) && n == 44 &&
		   !vl_derive_match(&known, "L4[cur#{!TASK_PID}]", "L4[cur+40]", &n),
	   "an offset that is another field's");
	ok(!vl_derive_match(&known, "L4[cur#{!TASK_MM}]", "L4[cur+44]", &n) &&
		   !vl_derive_match(&known, "L4[cur#{+TASK_MM}]", "L4[cur+44]", &n) &&
		   !vl_derive_match(&known, "L4[cur#{-TASK_MM}]", "L4[cur+44]", &n),
	   "a field in braces that is not known");
}

static void test_fields(const struct vl_kernel *k)
{
	static const struct vl_witness list[] = {
		{ VL_F_TASK_TGID, "get_ids", "ret (L4[cur*]|(L4[cur#]<<32))" },
		{ VL_F_TASK_PID, "get_ids", "ret (L4[cur#]|*)" },
		/* by the one above, in a later round */
		{ VL_F_TASK_COMM, "branches", "ret L8[a0#]" },
		/* two that contradict each other, and two lines that do */
		{ VL_F_TASK_MM, "branches", "ret L8[a0#]" },
		{ VL_F_TASK_MM, "branches", "ret L8[a1#]" },
		{ VL_F_TASK_CRED, "get_ids", "L4[cur#]" },
		{ VL_F_TASK_FS, "no_such_function", "L4[cur#]" },
		{ VL_F_TASK_FLAGS, "flags", "L8[a0#]" },
	};
	static const struct vl_witnesses table = VL_WITNESSES(list);
	const struct vl_text t = text();
	struct vl_layout l;
	struct vl_error *err = vl_derive_by(k, &t, &table, 1, vl_deadline_in(60000000000UL), &l);

	ok(!err && l.offset[VL_F_TASK_TGID] == 1980 && l.offset[VL_F_TASK_PID] == 1976 &&
		   l.offset[VL_F_TASK_COMM] == 8,
	   "fields that have a witness");
	ok(!vl_has(&l, VL_F_TASK_MM) && !vl_has(&l, VL_F_TASK_CRED),
	   "witnesses that contradict each other give none");
	ok(!vl_has(&l, VL_F_TASK_FS) && !vl_has(&l, VL_F_TASK_FLAGS) &&
		   !vl_has(&l, VL_F_TASK_STACK),
	   "nor does a field without one");
	vl_error_destroy(err);
	err = vl_derive_by(k, &t, &table, 1, vl_deadline_in(0), &l);
	ok(err && err->code == VL_ERR_FAULT, "there is a deadline");
	vl_error_destroy(err);
}

int main(void)
{
	struct vl_kernel *k = make(false);

	if (!ok(k, "a kernel"))
		return tap_end();
	test_lines(k);
	test_hostile(k);
	test_match();
	test_numbers();
	test_fields(k);
	test_up(k);
	vl_kernel_destroy(k);
	return tap_end();
}
