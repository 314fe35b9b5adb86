/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parsers of QEMU's human monitor, over texts as QEMU 7.2 prints them. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tap.h"
#include "host/hmp.h"

static const char q35[] =
	"FlatView #0\n"
	" AS \"cpu-smm-0\", root: memory\n"
	" Root memory region: memory\n"
	"  0000000000000000-000000000009ffff (prio 0, ram): pc.ram\n"
	"  00000000000a0000-000000000fffffff (prio 0, ram): wrong-view\n"
	"\n"
	"FlatView #1\n"
	" AS \"I/O\", root: io\n"
	" Root memory region: io\n"
	"  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\n"
	"\n"
	"FlatView #2\n"
	" AS \"memory\", root: system\n"
	" AS \"cpu-memory-0\", root: system\n"
	" Root memory region: system\n"
	"  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM\n"
	"  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\n"
	"  00000000000c0000-00000000000cafff (prio 0, rom): pc.ram @00000000000c0000 KVM\n"
	"  00000000000cb000-00000000000cdfff (prio 0, ram): pc.ram @00000000000cb000 KVM\n"
	"  00000000000ce000-00000000000effff (prio 0, rom): pc.ram @00000000000ce000 KVM\n"
	"  00000000000f0000-00000000000fffff (prio 0, rom): pc.ram @00000000000f0000 KVM\n"
	"  0000000000100000-00000000bfffffff (prio 0, ram): pc.ram @0000000000100000 KVM\n"
	"  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram KVM\n"
	"  00000000fe000000-00000000fe003fff (prio 1, ramd): 0000:01:00.0 BAR 0 mmaps[0]\n"
	"  00000000feb00000-00000000feb00fff (prio 1, i/o): virtio-pci-common-virtio-net\n"
	"  00000000fed45000-00000000fed453ff (prio 0, ram): tpm-ppi\n"
	"  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios KVM\n"
	"  0000000100000000-000000017fffffff (prio 0, ram): pc.ram @00000000c0000000 KVM\n"
	"  0000000180000000-00000001bfffffff (prio 0, nv-ram): nv dimm @0000000000001000\n"
	"\n"
	"FlatView #3\n"
	" AS \"mch\", root: bus master container\n"
	"  0000000000000000-ffffffffffffffff (prio 0, ram): not-this-one\n";

static bool range_is(const struct vl_hmp_range *r, const char *name, uint64_t gpa, uint64_t size,
		     uint64_t offset)
{
	return !strcmp(r->name, name) && r->gpa == gpa && r->size == size && r->offset == offset;
}

static char *with_crlf(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *p = out;

	for (; *text; text++) {
		if (*text == '\n')
			*p++ = '\r';
		*p++ = *text;
	}
	*p = '\0';
	return out;
}

static void check_mtree(const char *text, const char *what)
{
	struct vl_hmp_range *r = NULL;
	struct vl_error *err;
	size_t nr = 0;

	err = vl_hmp_mtree(text, &r, &nr);
	ok(!err && nr == 4, "%s: four ranges (%zu)", what, nr);
	if (err || nr != 4)
		return;
	ok(range_is(&r[0], "pc.ram", 0, 0xa0000, 0), "%s: below the VGA hole", what);
	ok(range_is(&r[1], "pc.ram", 0xc0000, 0xbff40000, 0xc0000),
	   "%s: shadowed ROM and RAM are one range", what);
	ok(range_is(&r[2], "pc.ram", 0x100000000, 0x80000000, 0xc0000000), "%s: above 4 GiB", what);
	ok(range_is(&r[3], "nv dimm", 0x180000000, 0x40000000, 0x1000),
	   "%s: an NVDIMM with a blank in its name", what);
	free(r);
}

static void test_mtree(void)
{
	static const char *const bad[] = {
		"",
		"\n\n",
		"unknown command: 'info mtree'\r\n",
		"FlatView #0\n AS \"memory\",",
		"FlatView #0\n AS \"memory\", root: system\n  zzz-1 (prio 0, ram): x\n"
		"  0000000000001000-0000000000000fff (prio 0, ram): backwards\n"
		"  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n",
	};
	char *crlf = with_crlf(q35);
	size_t refused = 0, answered = 0;

	check_mtree(q35, "LF");
	check_mtree(crlf, "CRLF");
	free(crlf);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vl_hmp_range *r = NULL;
		size_t nr;
		struct vl_error *err = vl_hmp_mtree(bad[i], &r, &nr);

		ok(err && err->code == VL_ERR_TARGET && err->hint, "mtree text %zu is refused", i);
		vl_error_destroy(err);
	}
	/* Cut off anywhere, it is an answer or an error, never a crash. */
	for (size_t n = 0; n < sizeof(q35); n++) {
		struct vl_hmp_range *r = NULL;
		char *cut = strndup(q35, n);
		struct vl_error *err;
		size_t nr;

		err = vl_hmp_mtree(cut, &r, &nr);
		refused += err && !r;
		answered += !err && nr;
		vl_error_destroy(err);
		free(r);
		free(cut);
	}
	ok(refused && answered && refused + answered == sizeof(q35),
	   "mtree text cut off anywhere: %zu refused, %zu answered", refused, answered);
}

static void test_gpa2hva(void)
{
	static const char *const bad[] = {
		"",
		"No memory is mapped at address 0xb0000\r\n",
		"Memory at address 0xfec00000is not RAM\r\n",
		"unknown command: 'gpa2hva'\r\n",
		"Host virtual address for 0x0 (pc.ram) is nonsense\r\n",
		"Host virtual address for 0x0 (pc.ram) is 0x0\r\n",
	};
	uint64_t hva = 0;

	ok(!vl_hmp_gpa2hva("Host virtual address for 0x0 (pc.ram) is 0x7f38e7e00000\r\n", &hva) &&
		   hva == 0x7f38e7e00000,
	   "gpa2hva");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vl_error *err = vl_hmp_gpa2hva(bad[i], &hva);

		ok(err && err->code == VL_ERR_TARGET && !strpbrk(err->message, "\r\n"),
		   "gpa2hva text %zu is refused in one line", i);
		vl_error_destroy(err);
	}
}

/* CPU 0 in the kernel, CPU 1 in 32-bit user code: QEMU cuts segment bases there. */
static const char registers[] =
	"\nCPU#0\n"
	"RAX=000000000001ad40 RBX=0000000000000000 RCX=0000000000000000 RDX=4000000000000000\n"
	"RSI=0000000000000000 RDI=0000000000001064 RBP=ffffffffac21aa40 RSP=ffffffffac203e98\n"
	"R8 =ffffffffffc31fcd R9 =00000000314e03ca R10=00000000fffffffb R11=0000000000000000\n"
	"R12=0000000000000000 R13=0000000000000000 R14=0000000000000000 R15=0000000000014790\n"
	"RIP=ffffffffab2592eb RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\n"
	"ES =0000 0000000000000000 00000000 00000000\n"
	"CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\n"
	"SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\n"
	"DS =0000 0000000000000000 00000000 00000000\n"
	"FS =0000 0000000000000000 00000000 00000000\n"
	"GS =0000 ffff8d979f400000 00000000 00000000\n"
	"LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT\n"
	"TR =0040 fffffe0000003000 00004087 00008900 DPL=0 TSS64-avl\n"
	"GDT=     fffffe0000001000 0000007f\n"
	"IDT=     fffffe0000000000 00000fff\n"
	"CR0=80050033 CR2=ffff8d9796a01000 CR3=0000000015010000 CR4=000006f0\n"
	"DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000 \n"
	"DR6=00000000ffff0ff0 DR7=0000000000000400\n"
	"EFER=0000000000000d01\n"
	"FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80\n"
	"XMM00=0000000000000000 0000000000000000 XMM01=0000000000000000 0000000000000000\n"
	"\nCPU#1\n"
	"EAX=000000f0 EBX=00000000 ECX=00000000 EDX=00000000\n"
	"ESI=00000000 EDI=00000000 EBP=ffab0010 ESP=ffab0000\n"
	"EIP=08048000 EFL=00000246 [---Z-P-] CPL=3 II=0 A20=1 SMM=0 HLT=0\n"
	"ES =002b 00000000 ffffffff 00cff300 DPL=3 DS   [-WA]\n"
	"CS =0023 00000000 ffffffff 00cffb00 DPL=3 CS32 [-RA]\n"
	"SS =002b 00000000 ffffffff 00cff300 DPL=3 DS   [-WA]\n"
	"DS =002b 00000000 ffffffff 00cff300 DPL=3 DS   [-WA]\n"
	"FS =0000 00000000 00000000 00000000\n"
	"GS =0063 f7c01000 ffffffff 00d0f300 DPL=3 DS   [-WA]\n"
	"LDT=0000 00000000 00000000 00008200 DPL=0 LDT\n"
	"TR =0040 0003e000 00004087 00008900 DPL=0 TSS64-avl\n"
	"GDT=     fffffe000003c000 0000007f\n"
	"IDT=     fffffe0000000000 00000fff\n"
	"CR0=80050033 CR2=0000000000000000 CR3=0000000015010000 CR4=000006e0\n"
	"EFER=0000000000000d01\n";

static void check_registers(const char *text, const char *what)
{
	struct vl_vcpu *v = NULL;
	struct vl_error *err;
	size_t nr = 0;

	err = vl_hmp_registers(text, &v, &nr);
	if (!ok(!err && nr == 2, "%s: two vCPUs (%zu)", what, nr))
		return;
	ok(v[0].rip == 0xffffffffab2592eb && v[0].rsp == 0xffffffffac203e98 && v[0].rflags == 0x246,
	   "%s: RIP, RSP, RFLAGS", what);
	ok(v[0].cr0 == 0x80050033 && v[0].cr3 == 0x15010000 && v[0].cr4 == 0x6f0 &&
		   v[0].efer == 0xd01,
	   "%s: control registers", what);
	ok(v[0].cs == 0x10 && v[0].ss == 0x18 && v[0].tr == 0x40 &&
		   v[0].gs_base == 0xffff8d979f400000,
	   "%s: segments", what);
	ok(v[0].gdt_base == 0xfffffe0000001000 && v[0].gdt_limit == 0x7f &&
		   v[0].idt_base == 0xfffffe0000000000 && v[0].idt_limit == 0xfff &&
		   v[0].tr_base == 0xfffffe0000003000 && v[0].tr_limit == 0x4087,
	   "%s: tables", what);
	ok(!v[0].has_kernel_gs_base, "%s: no kernel_gs_base here", what);
	ok(v[1].rip == 0x8048000 && v[1].cs == 0x23 && v[1].gs_base == 0xf7c01000,
	   "%s: a vCPU in 32-bit code", what);
	ok(v[1].tr_base == 0xfffffe000003e000, "%s: its TR base is completed", what);
	free(v);
}

static void test_registers(void)
{
	struct vl_vcpu *v = NULL;
	char *crlf = with_crlf(registers);
	size_t nr, refused = 0, answered = 0;

	check_registers(registers, "LF");
	check_registers(crlf, "CRLF");
	free(crlf);
	for (size_t n = 0; n < sizeof(registers) - 40; n++) {
		char *cut = strndup(registers, n);
		struct vl_error *err = vl_hmp_registers(cut, &v, &nr);

		/* Cut between two CPUs it is a whole answer of one. */
		if (!err && nr != 1 && n < strlen(registers) - 60)
			ok(false, "cut at %zu: %zu vCPUs", n, nr);
		if (!err)
			free(v);
		refused += !!err;
		answered += !err;
		vl_error_destroy(err);
		free(cut);
	}
	ok(refused && answered, "registers cut off anywhere: %zu refused, %zu answered", refused,
	   answered);
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223; /* Numerical Recipes' generator */
	return *seed >> 8;
}

/*
 * What QEMU says is as hostile as its guest: bytes are changed at places that a fixed seed
 * picks, and what is understood all the same must make sense.
 */
static void test_mutations(const char *mtree, const char *regs)
{
	uint32_t seed = 20240607;
	unsigned int understood = 0, wrong = 0;
	char text[8192];

	for (int round = 0; round < 20000; round++) {
		const char *from = round % 2 ? mtree : regs;
		size_t len = strlen(from), nr = 0;
		struct vl_hmp_range *ranges = NULL;
		struct vl_vcpu *vcpus = NULL;
		uint64_t hva;

		memcpy(text, from, len + 1);
		for (uint32_t n = 1 + next(&seed) % 8; n; n--) {
			size_t at = next(&seed) % len;

			if (next(&seed) % 3)
				text[at] = "0f-:@() \n,xKVM="[next(&seed) % 15];
			else
				memset(text + at, 'f', len - at < 17 ? len - at : 17);
		}
		vl_error_destroy(vl_hmp_mtree(text, &ranges, &nr));
		for (size_t i = 0; ranges && i < nr; i++)
			wrong += !ranges[i].size || ranges[i].gpa % 4096 || ranges[i].size % 4096 ||
				 ranges[i].gpa + ranges[i].size - 1 < ranges[i].gpa;
		understood += ranges != NULL;
		free(ranges);
		vl_error_destroy(vl_hmp_registers(text, &vcpus, &nr));
		understood += vcpus != NULL;
		free(vcpus);
		vl_error_destroy(vl_hmp_gpa2hva(text, &hva));
	}
	ok(understood > 1000 && !wrong, "20000 mutations: %u understood, %u of them wrong",
	   understood, wrong);
}

int main(void)
{
	test_mtree();
	test_gpa2hva();
	test_registers();
	test_mutations(q35, registers);
	return tap_end();
}
