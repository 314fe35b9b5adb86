/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "images.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

uint64_t flat_size(const struct vl_target *t)
{
	struct vl_placement p;

	return vl_target_placement(t, 1, &p) ? p.extents[0].size : 0;
}

char dir[] = "/tmp/vlens-dump-XXXXXX";
char path[64];

void put32(unsigned char *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

void put64(unsigned char *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

size_t add_note(struct image *im, const char *name, uint32_t type, const void *desc, uint32_t size)
{
	Elf64_Nhdr nh = { .n_namesz = (uint32_t)strlen(name) + 1,
			  .n_descsz = size,
			  .n_type = type };
	size_t at = im->len;

	memcpy(im->b + im->len, &nh, sizeof(nh));
	im->len += sizeof(nh);
	memcpy(im->b + im->len, name, nh.n_namesz);
	im->len += (nh.n_namesz + 3) & ~3U;
	memcpy(im->b + im->len, desc, size);
	im->len += (size + 3) & ~3U;
	return im->len - at;
}

void qemu_note(unsigned char *n, unsigned int cpu, uint32_t size)
{
	memset(n, 0, NOTE_NEW);
	put32(n + O_VERSION, 1);
	put32(n + O_SIZE, size);
	put64(n + O_RSP, 0xffffc00000001000 + cpu);
	put64(n + O_RIP, 0xffffffff81000000 + cpu);
	put64(n + O_RFLAGS, 0x246);
	put32(n + O_CS, 0x10);
	put32(n + O_SS, 0x18);
	put64(n + O_GS + O_BASE, 0xffff888000000000 + cpu);
	put32(n + O_TR, 0x40);
	put32(n + O_TR + O_LIMIT, 0x4087);
	put64(n + O_TR + O_BASE, 0xfffffe0000003000);
	put32(n + O_GDT + O_LIMIT, 0x7f);
	put64(n + O_GDT + O_BASE, 0xfffffe0000001000);
	put32(n + O_IDT + O_LIMIT, 0xfff);
	put64(n + O_IDT + O_BASE, 0xfffffe0000000000);
	put64(n + O_CR, 0x80050033);
	put64(n + O_CR + 24, 0x15010000);
	put64(n + O_CR + 32, 0x6f0);
	if (size > O_KERNEL_GS)
		put64(n + O_KERNEL_GS, 0x7f0000000000 + cpu);
}

void make(struct image *im, uint32_t note_size, unsigned int cpus)
{
	static const struct {
		uint64_t gpa, size;
	} seg[] = { { 0, 0x2000 }, { 0x100000, 0x1000 }, { 0x100001000, 0x1000 } };
	Elf64_Ehdr eh = { .e_ident = ELFMAG,
			  .e_type = ET_CORE,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = sizeof(eh),
			  .e_ehsize = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 4 };
	Elf64_Phdr ph[4] = { { .p_type = PT_NOTE } };
	unsigned char note[NOTE_NEW], status[336] = { 0 };

	memset(im, 0, sizeof(*im));
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	im->len = sizeof(eh) + sizeof(ph);
	ph[0].p_offset = im->len;
	for (unsigned int i = 0; i < cpus; i++)
		add_note(im, "CORE", NT_PRSTATUS, status, sizeof(status));
	for (unsigned int i = 0; i < cpus; i++) {
		qemu_note(note, i, note_size);
		add_note(im, "QEMU", 0, note, note_size < NOTE_NEW ? NOTE_OLD : NOTE_NEW);
	}
	ph[0].p_filesz = im->len - ph[0].p_offset;
	im->len += 4; /* so that nothing is aligned */
	for (int i = 0; i < 3; i++) {
		ph[i + 1] = (Elf64_Phdr){ .p_type = PT_LOAD,
					  .p_offset = im->len,
					  .p_paddr = seg[i].gpa,
					  .p_filesz = seg[i].size,
					  .p_memsz = seg[i].size };
		for (size_t k = 0; k < seg[i].size; k += 8)
			put64(im->b + im->len + k, seg[i].gpa + k);
		im->len += seg[i].size;
	}
	memcpy(im->b, &eh, sizeof(eh));
	memcpy(im->b + sizeof(eh), ph, sizeof(ph));
}

void save(const void *b, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(b, 1, len, f) != len || fclose(f) != 0)
		exit(99);
}

void refused(const char *what, const char *message)
{
	struct vl_target *t = NULL;
	struct vl_error *err = vl_target_open(path, NULL, &t);

	ok(err && err->code == VL_ERR_TARGET && strstr(err->message, message) && err->hint,
	   "%s: %s", what, err ? err->message : "opened");
	vl_error_destroy(err);
	if (!err)
		vl_target_close(t);
}

void bare(const char *what)
{
	struct vl_vcpu *v = NULL;
	struct vl_target *t;
	struct vl_error *err = vl_target_open(path, NULL, &t);
	size_t nr = 1;

	if (!ok(!err, "%s: %s", what, err ? err->message : "opens")) {
		vl_error_destroy(err);
		return;
	}
	err = vl_target_vcpus(t, &v, &nr);
	ok(!vl_target_has_vcpus(t) && err && err->code == VL_ERR_TARGET && !nr, "%s: no registers",
	   what);
	vl_error_destroy(err);
	vl_target_close(t);
}

void images_begin(void)
{
	if (!mkdtemp(dir))
		exit(99);
	snprintf(path, sizeof(path), "%s/dump", dir);
}

int images_end(void)
{
	unlink(path);
	rmdir(dir);
	return tap_end();
}
