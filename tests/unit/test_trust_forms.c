/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Legal forms that no kernel of the tests has: kCFI and FineIBT, returns as clang makes them, the
 * counting of calls, switches, and static calls while they are changed. The image has the tables
 * of a kernel, and code as clang and the kernel make it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tap.h"
#include "trust/internal.h"

#define VA 0xffffffff81000000UL
#define TEXT_LEN 0x1000UL
#define LEN 0x4000UL
#define SEED 0x5eed1234U
#define HASH 0x1814f49cU

/* Places in the image. */
enum {
	F_CFI = 0x100,
	F = 0x110,
	CALLER = 0x140,
	CALL = 0x14e,
	RETURN = 0x180,
	H_CFI = 0x200,
	H = 0x210,
	THUNK = 0x800,
	RETURN_THUNK = 0x840,
	LABEL = 0x900,
	OTHER_LABEL = 0x920,
	DIRECT = 0xa00,
	G = 0xb10,
	K = 0xc10,
	TRAMPOLINE = 0xd00,
	STATIC_CALL = 0xd20,
	STATIC_JUMP = 0xd40,
	RETURN_0 = 0xd60,
	CFI_SITES = 0x2000,
	RETPOLINES = 0x2010,
	RETURNS = 0x2020,
	CALLS = 0x2030,
	LABELS = 0x2040,
	SEALED = 0x2060,
	STATIC_CALLS = 0x2080,
	PREAMBLE = 0x3000,
	CALLER_CODE = 0x3040,
	PARANOID = 0x3080,
	COUNTER = 0x3200,
	SEED_AT = 0x3800,
	POINT = 0x3900,
	OTHER_KEY = 0x3980,
	MUTEX = 0x3a00,
};

/* In ascending order. */
static const struct {
	uint64_t at;
	const char *name;
} names[] = {
	{ F_CFI, "__cfi_f" },
	{ F, "f" },
	{ H_CFI, "__cfi_h" },
	{ H, "h" },
	{ THUNK, "__x86_indirect_thunk_r11" },
	{ RETURN_THUNK, "__x86_return_thunk" },
	{ G, "g" },
	{ K, "k" },
	{ TRAMPOLINE, "__SCT__key" },
	{ RETURN_0, "__static_call_return0" },
	{ LABELS, "__start___jump_table" },
	{ LABELS + 32, "__stop___jump_table" },
	{ STATIC_CALLS, "__start_static_call_sites" },
	{ STATIC_CALLS + 16, "__stop_static_call_sites" },
	{ PREAMBLE, "fineibt_preamble_start" },
	{ PREAMBLE + 16, "fineibt_preamble_end" },
	{ CALLER_CODE, "fineibt_caller_start" },
	{ CALLER_CODE + 14, "fineibt_caller_end" },
	{ PARANOID, "fineibt_paranoid_start" },
	{ PARANOID + 20, "fineibt_paranoid_end" },
	{ COUNTER, "skl_call_thunk_template" },
	{ COUNTER + 10, "skl_call_thunk_tail" },
	{ SEED_AT, "cfi_seed" },
	{ POINT, "__tracepoint_sched_switch" },
	{ OTHER_KEY, "some_key" },
	{ MUTEX, "static_call_mutex" },
};

/* arch/x86/kernel/alternative.c of 6.12, but for the last one (6.15) */
static const unsigned char preamble[] = "\xf3\x0f\x1e\xfa"	       /* endbr64 */
					"\x41\x81\xea\x78\x56\x34\x12" /* subl $HASH,%r10d */
					"\x74\x03\x0f\x0b\x90";	       /* je .+5; ud2; nop */
static const unsigned char caller[] = "\x41\xba\x78\x56\x34\x12"       /* movl $HASH,%r10d */
				      "\x49\x83\xeb\x10"	       /* sub $16,%r11 */
				      "\x0f\x1f\x40\x00";
static const unsigned char paranoid[] = "\x41\xba\x78\x56\x34\x12"  /* movl $HASH,%r10d */
					"\x45\x3b\x53\xf7"	    /* cmpl -9(%r11),%r10d */
					"\x4d\x8d\x5b\xf0"	    /* lea -16(%r11),%r11 */
					"\x75\xfd\x41\xff\xd3\x90"; /* jne; call *%r11; nop */
/* sarq $5,%gs:NUMBER */
static const unsigned char counter[] = "\x65\x48\xc1\x3c\x25\x10\x20\x03\x00\x05";
/* As clang 19 makes it. */
static const unsigned char kcfi_caller[] = "\x41\xba\x00\x00\x00\x00" /* movl $-HASH,%r10d */
					   "\x45\x03\x53\xf1"	      /* addl -15(%r11),%r10d */
					   "\x74\x02\x0f\x0b";	      /* je .+4; ud2 */

static unsigned char image[LEN], guest[LEN], out[TEXT_LEN];
static struct vl_trust_section sections[] = {
	{ ".text", { 0, TEXT_LEN }, true },
	{ ".cfi_sites", { CFI_SITES, 8 }, false },
	{ ".retpoline_sites", { RETPOLINES, 4 }, false },
	{ ".return_sites", { RETURNS, 4 }, false },
	{ ".call_sites", { CALLS, 4 }, false },
	{ ".ibt_endbr_seal", { SEALED, 4 }, false },
};
static struct vl_trust trust = {
	.link = VA,
	.va = VA,
	.bytes = image,
	.len = LEN,
	.sections = sections,
	.nr_sections = ARRAY_SIZE(sections),
	.text = { 0, TEXT_LEN },
	.placed = true,
};

static void put32(unsigned char *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
}

/* A word at @at that leads to @to. */
static void lead(size_t at, size_t to)
{
	put32(image + at, (uint32_t)(to - at));
}

static void branch(unsigned char *bytes, size_t at, unsigned char opcode, size_t to)
{
	bytes[at] = opcode;
	put32(bytes + at + 1, (uint32_t)(to - (at + 5)));
}

static void put_preamble(unsigned char *at, uint32_t hash)
{
	memset(at, 0x90, 16);
	at[0] = 0xb8;
	put32(at + 1, hash);
}

static void make_label(size_t entry, size_t at, size_t key)
{
	uint64_t word = key - (entry + 8);

	memcpy(image + at, "\x0f\x1f\x44\x00\x00", 5);
	lead(entry, at);
	lead(entry + 4, at + 16);
	memcpy(image + entry + 8, &word, sizeof(word));
}

static void make_image(void)
{
	static char text[1024];
	static uint64_t addresses[ARRAY_SIZE(names)];
	static uint32_t name_at[ARRAY_SIZE(names)];
	size_t len = 0;

	memset(image, 0x50, TEXT_LEN); /* push %rax */
	put_preamble(image + F_CFI, HASH);
	memcpy(image + F, "\xf3\x0f\x1e\xfa", 4);
	put_preamble(image + H_CFI, HASH);
	memcpy(image + H, "\xf3\x0f\x1e\xfa", 4);
	memcpy(image + CALLER, kcfi_caller, 14);
	put32(image + CALLER + 2, -HASH);
	image[CALL] = 0x2e;
	branch(image, CALL + 1, 0xe8, THUNK);
	image[RETURN] = 0x2e;
	branch(image, RETURN + 1, 0xe9, RETURN_THUNK);
	branch(image, DIRECT, 0xe8, G);
	memset(image + G - 16, 0x90, 16);
	memcpy(image + G, "\xf3\x0f\x1e\xfa", 4);
	memset(image + K - 16, 0x90, 16);
	memcpy(image + K, "\xf3\x0f\x1e\xfa", 4);
	lead(CFI_SITES, F_CFI);
	lead(CFI_SITES + 4, H_CFI);
	lead(RETPOLINES, CALL);
	lead(RETURNS, RETURN);
	lead(CALLS, DIRECT);
	lead(SEALED, G);
	branch(image, TRAMPOLINE, 0xe9, F);
	memcpy(image + TRAMPOLINE + 5, "\x0f\xb9\xcc", 3);
	branch(image, STATIC_CALL, 0xe8, TRAMPOLINE);
	branch(image, STATIC_JUMP, 0xe9, TRAMPOLINE);
	lead(STATIC_CALLS, STATIC_CALL);
	lead(STATIC_CALLS + 8, STATIC_JUMP);
	make_label(LABELS, LABEL, POINT + 8);
	make_label(LABELS + 16, OTHER_LABEL, OTHER_KEY);
	memcpy(image + PREAMBLE, preamble, 16);
	memcpy(image + CALLER_CODE, caller, 14);
	memcpy(image + PARANOID, paranoid, 20);
	memcpy(image + COUNTER, counter, 10);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		addresses[i] = VA + names[i].at;
		name_at[i] = (uint32_t)len;
		strcpy(text + len, names[i].name);
		len += strlen(names[i].name) + 1;
	}
	trust.symbols = (struct vl_symbols){ .nr = ARRAY_SIZE(names),
					     .base = VA,
					     .addresses = addresses,
					     .name_at = name_at,
					     .text = text,
					     .text_len = len };
	vl_error_destroy(vl_trust_index(&trust));
}

/* --- the guest --- */

struct found {
	size_t nr, switched;
	struct vl_trust_finding last;
};

static void found(void *ctx, const struct vl_trust_finding *f)
{
	struct found *n = ctx;

	if (f->kind == VL_TRUST_SWITCHED) {
		n->switched++;
		return;
	}
	n->nr++;
	n->last = *f;
}

/* Changes byte @at of the guest when the mutex is read; 0: none. */
static size_t changes_at;

static bool read_guest(void *ctx, uint64_t va, void *buf, size_t len)
{
	(void)ctx;
	if (va - VA >= LEN || len > LEN - (va - VA))
		return false;
	memcpy(buf, guest + (va - VA), len);
	if (va == VA + MUTEX && changes_at)
		guest[changes_at] ^= 0x10;
	return true;
}

static struct found check(void)
{
	const struct vl_trust_memory memory = { read_guest, NULL };
	struct found f = { .nr = 0 };

	vl_error_destroy(vl_trust_check(&trust, &memory, VA, guest, TEXT_LEN, out, found, &f));
	return f;
}

static bool is_clean(void)
{
	const struct found f = check();

	if (f.nr)
		printf("# %s at +0x%lx\n", vl_trust_class_name(f.last.class),
		       (unsigned long)(f.last.va - VA));
	return !f.nr && !memcmp(out, guest, TEXT_LEN);
}

/* Is the only finding one of @class at @at? */
static bool is_found(enum vl_trust_class class, size_t at)
{
	const struct found f = check();

	if (f.nr != 1 || f.last.class != class || f.last.va != VA + at)
		printf("# %zu, %s at +0x%lx\n", f.nr, vl_trust_class_name(f.last.class),
		       (unsigned long)(f.last.va - VA));
	return f.nr == 1 && f.last.class == class && f.last.va == VA + at;
}

/* A guest with kCFI, whose hashes are by the seed; 0: as the image has them. */
static void start(uint32_t seed)
{
	memcpy(guest, image, LEN);
	put32(guest + SEED_AT, seed);
	put32(guest + F_CFI + 1, HASH ^ seed);
	put32(guest + H_CFI + 1, HASH ^ seed);
	put32(guest + CALLER + 2, -(HASH ^ seed));
}

static void put_fineibt(size_t at, uint32_t hash)
{
	memcpy(guest + at, preamble, 16);
	put32(guest + at + 7, hash);
	memcpy(guest + at + 16, "\x66\x0f\x1f\x00", 4);
}

static void start_fineibt(void)
{
	start(SEED);
	put_fineibt(F_CFI, HASH ^ SEED);
	put_fineibt(H_CFI, HASH ^ SEED);
	memcpy(guest + CALLER, caller, 14);
	put32(guest + CALLER + 2, HASH ^ SEED);
	memcpy(guest + CALL, "\x41\xff\xd3\x0f\x1f\x00", 6);
}

static void test_kcfi(void)
{
	start(0);
	ok(is_clean(), "kCFI as the compiler made it is legal");
	start(SEED);
	ok(is_clean(), "kCFI with hashes by the kernel's seed is legal");
	guest[F_CFI + 1] ^= 1;
	ok(is_found(VL_TRUST_CFI, F_CFI), "the hash of another type is found");
	start(SEED);
	guest[CALLER + 3] ^= 1;
	ok(is_found(VL_TRUST_CFI_CALL, CALLER), "a comparison with another hash is found");
	start(SEED);
	memcpy(guest + CALLER + 12, "\x90\x90", 2);
	ok(is_found(VL_TRUST_CFI_CALL, CALLER), "a comparison without a trap is found");
	ok(!memcmp(out + CALLER + 10, image + CALLER + 10, 4), "and the image's code is given");
	start(SEED);
	guest[CALLER + 10] = 0xeb;
	ok(is_found(VL_TRUST_CFI_CALL, CALLER), "a comparison without a result is found");
	start(SEED);
	put32(guest + H_CFI + 1, 0);
	memcpy(guest + H, "\x66\x0f\x1f\x00", 4);
	ok(is_clean(), "a function that is only called directly has no hash");
	start(0);
	memcpy(guest + CALLER, "\xeb\x0c", 2);
	ok(is_clean(), "without kCFI the comparisons are skipped");
	guest[CALLER + 1] = 0x0b;
	ok(is_found(VL_TRUST_CFI_CALL, CALLER), "and not a byte less");
	start(SEED);
	memcpy(guest + F_CFI + 6, counter, 10);
	ok(is_clean(), "calls can be counted between the hash and the function");
	guest[F_CFI + 5] = 0xcc;
	ok(is_found(VL_TRUST_CFI, F_CFI), "other code there is found");
}

static void test_fineibt(void)
{
	start_fineibt();
	ok(is_clean(), "FineIBT is legal");
	guest[F_CFI + 7] ^= 1;
	ok(is_found(VL_TRUST_CFI, F_CFI), "the hash of another type is found");
	start_fineibt();
	memcpy(guest + F_CFI + 13, "\x90\x90", 2);
	ok(is_found(VL_TRUST_CFI, F_CFI), "a function's check without a trap is found");
	start_fineibt();
	guest[F_CFI + 12] = 0;
	ok(is_found(VL_TRUST_CFI, F_CFI), "a jump of it to another place is found");
	start_fineibt();
	put32(guest + H_CFI + 7, 0);
	memcpy(guest + H_CFI, "\x66\x0f\x1f\x00", 4);
	ok(is_clean(), "a function that is only called directly is sealed");
	put32(guest + H_CFI + 7, 1);
	ok(is_found(VL_TRUST_CFI, H_CFI), "with a hash of 0 only");
	start_fineibt();
	guest[CALLER + 9] = 0x0f;
	ok(is_found(VL_TRUST_CFI_CALL, CALLER), "a call that skips the check is found");
	start_fineibt();
	put32(guest + CALLER + 2, -(HASH ^ SEED));
	ok(is_found(VL_TRUST_CFI_CALL, CALLER), "a call with another hash is found");
	start_fineibt();
	memcpy(guest + CALLER, paranoid, 20);
	put32(guest + CALLER + 2, HASH ^ SEED);
	ok(is_clean(), "a call that also compares the hash is legal");
	guest[CALL + 4] = 0xd0;
	ok(is_found(VL_TRUST_RETPOLINE, CALL), "and not through another register");
	start_fineibt();
	memcpy(guest + F, "\x0f\x1f\x44\x00", 4);
	ok(check().nr == 1, "half an instruction in place of endbr64 is found");
}

/* A hash of 0 in front of functions in assembly, which have none. */
static void test_sealed(void)
{
	start(0);
	put32(guest + K - 15, 0);
	ok(is_found(VL_TRUST_PADDING, K - 16), "zeros in front of a function are found");
	start(0);
	put32(guest + G - 15, 0);
	ok(is_clean(), "not of one that is only called directly, with kCFI");
	start(0);
	put32(guest + G - 9, 0);
	ok(is_clean(), "nor with FineIBT");
	guest[G - 8] = 1;
	ok(is_found(VL_TRUST_PADDING, G - 16), "other numbers are found");
	start(0);
	put32(guest + G - 13, 0);
	ok(is_found(VL_TRUST_PADDING, G - 16), "and zeros at another place");
	start(0);
	memcpy(guest + G - 10, counter, 10);
	put32(guest + G - 9, 0);
	ok(is_clean(), "zeros in the code that counts its calls are legal");
	guest[G - 10] = 0x64;
	ok(is_found(VL_TRUST_PADDING, G - 16), "and not with other code in front of them");
	guest[G - 10] = 0x65;
	guest[G - 1] ^= 1;
	ok(is_found(VL_TRUST_PADDING, G - 16), "nor behind them");
	start(0);
	memcpy(guest + K - 10, counter, 10);
	put32(guest + K - 9, 0);
	ok(is_found(VL_TRUST_PADDING, K - 16), "nor of a function that is called by pointers");
}

static bool is_kind(enum vl_trust_kind kind, size_t at)
{
	const struct found f = check();

	return f.nr == 1 && f.last.kind == kind && f.last.class == VL_TRUST_STATIC_CALL &&
	       f.last.va == VA + at && !memcmp(out + at, image + at, 5);
}

/* All calls of a key lead where its trampoline leads, but while they are being changed. */
static void test_static_calls(void)
{
	start(0);
	branch(guest, STATIC_CALL, 0xe8, F);
	branch(guest, STATIC_JUMP, 0xe9, F);
	ok(is_clean(), "direct calls of the trampoline's function are legal");
	branch(guest, TRAMPOLINE, 0xe9, H);
	ok(check().nr == 2, "and not if it leads elsewhere");
	branch(guest, STATIC_CALL, 0xe8, H);
	ok(is_kind(VL_TRUST_CHANGED, STATIC_JUMP), "nor if one of them does not");
	guest[MUTEX] = 1;
	ok(is_kind(VL_TRUST_UPDATE, STATIC_JUMP), "the guest's kernel is changing the calls");
	memcpy(guest + TRAMPOLINE, "\xc3\xcc\xcc\xcc\xcc", 5);
	memcpy(guest + STATIC_JUMP, "\xc3\xcc\xcc\xcc\xcc", 5);
	ok(is_kind(VL_TRUST_UPDATE, STATIC_CALL), "to no function");
	memcpy(guest + STATIC_CALL, "\x2e\x2e\x2e\x31\xc0", 5);
	ok(is_kind(VL_TRUST_UPDATE, STATIC_CALL), "and from one that returns 0");
	branch(guest, TRAMPOLINE, 0xe9, RETURN_0);
	ok(is_clean(), "this one");
	branch(guest, STATIC_CALL, 0xe8, H + 1);
	ok(is_kind(VL_TRUST_CHANGED, STATIC_CALL), "it does not lead into a function");
	start(0);
	branch(guest, STATIC_CALL, 0xe8, H);
	guest[MUTEX + 16] ^= 1;
	ok(is_kind(VL_TRUST_UPDATE, STATIC_CALL), "somebody waits for the lock");
	guest[MUTEX + 16] ^= 1;
	ok(is_kind(VL_TRUST_CHANGED, STATIC_CALL), "nobody holds it");
	changes_at = STATIC_CALL + 1;
	ok(check().last.kind == VL_TRUST_POKE, "the call was changed since it was read");
	changes_at = 0;
}

static void test_others(void)
{
	start(0);
	memcpy(guest + RETURN, "\xc3\xcc\xcc\xcc\xcc\xcc", 6);
	ok(is_clean(), "a return in place of a jump with a prefix is legal, to its end");
	guest[RETURN + 5] = 0x50;
	ok(check().nr == 1, "and not with code behind it");
	start(0);
	branch(guest, RETURN, 0xe9, RETURN_THUNK);
	guest[RETURN + 5] = 0xcc;
	ok(is_clean(), "so is a shorter jump to the thunk");
	start(0);
	branch(guest, DIRECT, 0xe8, G - 10);
	memcpy(guest + G - 10, counter, 10);
	ok(is_clean(), "a call that is counted is legal");
	guest[G - 1] ^= 1;
	ok(is_found(VL_TRUST_PADDING, G - 16), "and not with other code in front of the function");
	start(0);
	branch(guest, DIRECT, 0xe8, G - 9);
	ok(is_found(VL_TRUST_CALL, DIRECT), "nor by another way into it");
	start(0);
	branch(guest, LABEL, 0xe9, LABEL + 16);
	branch(guest, OTHER_LABEL, 0xe9, OTHER_LABEL + 16);
	ok(check().nr == 0 && check().switched == 1, "a tracepoint is switched on");
	ok(!memcmp(out + LABEL, image + LABEL, 5), "it is off in the trusted bytes");
	ok(!memcmp(out + OTHER_LABEL, guest + OTHER_LABEL, 5),
	   "another key is as the guest has it");
	ok(!strcmp(vl_trust_switch_at(&trust, VA + LABEL), "__tracepoint_sched_switch") &&
		   !vl_trust_switch_at(&trust, VA + OTHER_LABEL) &&
		   !vl_trust_switch_at(&trust, VA + LABEL + 1),
	   "the switch of a site is known");
	branch(guest, LABEL, 0xe9, LABEL + 17);
	ok(is_found(VL_TRUST_JUMP_LABEL, LABEL), "it does not lead elsewhere");
}

int main(void)
{
	make_image();
	ok(!vl_trust_tables(&trust), "the tables of the image are read");
	test_kcfi();
	test_fineibt();
	test_static_calls();
	test_others();
	test_sealed();
	free(trust.by_name);
	free(trust.sites);
	free(trust.clusters);
	return tap_end();
}
