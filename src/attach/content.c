/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "content.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../mem/paging.h"

#define CHUNK (1UL << 20)
/* Bytes that are looked at again with the next ones, as a name may cross two chunks. */
#define KEPT 1024
#define NAME_SIZE 64
#define ONLY "only x86-64 Linux guests are understood"

/*
 * The names, the best first: the pages of a Linux can hold files with the names of other systems.
 */
enum rank {
	UTS,   /* struct new_utsname of a Linux */
	ARM64, /* the header of an arm64 kernel */
	WINDOWS,
	OTHER,	/* another system's mark of the source */
	BANNER, /* the banner of a Linux */
	NOTHING,
};

/* A file of more pages has a hole below 4 GiB that it does not show: host/place.c. */
#define LOW_PAGES (2UL << 30 >> 12)

struct scan {
	enum rank rank;
	char system[NAME_SIZE], release[NAME_SIZE], machine[NAME_SIZE];
	size_t looked, zero, even; /* pages: all that were looked at, of zeros, encrypted ones */
	struct vl_error *unread;   /* of the first that could not be read */
};

/* Copy the word at @p: letters, digits, and the other characters of releases. */
static void take_word(const char *p, const char *end, char *ret)
{
	size_t n = 0;

	while (p < end && n < NAME_SIZE - 1 && *p &&
	       (isalnum((unsigned char)*p) || strchr("._+~-", *p)))
		ret[n++] = *p++;
	ret[n] = '\0';
}

/* The members of struct new_utsname (include/uapi/linux/utsname.h) have this size. */
#define UTS_MEMBER 65
enum { UTS_SYSNAME, UTS_NODENAME, UTS_RELEASE, UTS_VERSION, UTS_MACHINE, UTS_DOMAIN, UTS_END };

static bool take_uts(struct scan *l, const char *p, const char *end)
{
	const char *release = p + UTS_RELEASE * UTS_MEMBER;
	const char *machine = p + UTS_MACHINE * UTS_MEMBER;

	if ((size_t)(end - p) < UTS_END * UTS_MEMBER || !isdigit((unsigned char)*release) ||
	    !isalnum((unsigned char)*machine) || p[UTS_MEMBER - 1] || release[UTS_MEMBER - 1] ||
	    machine[UTS_MEMBER - 1] || p[UTS_VERSION * UTS_MEMBER] != '#')
		return false;
	take_word(release, release + UTS_MEMBER, l->release);
	take_word(machine, machine + UTS_MEMBER, l->machine);
	return true;
}

/* The name of a debug file in a kernel's image: "RSDS", a GUID, an age, and the name. */
static bool is_windows(const char *p, const char *end)
{
	static const char *const names[] = { "ntkrnlmp.pdb", "ntoskrnl.pdb", "ntkrpamp.pdb",
					     "ntkrnlpa.pdb" };

	p += 24;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (end - p > (ptrdiff_t)strlen(names[i]) && !strcmp(p, names[i]))
			return true;
	return false;
}

/* The mark that a kernel's build puts into its source: "@(#)", the system, its release. */
static bool take_mark(struct scan *l, const char *p, const char *end)
{
	static const char *const names[] = { "FreeBSD ", "OpenBSD ", "NetBSD ", "DragonFly v",
					     "Darwin Kernel Version " };

	p += 4;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(names[i]);

		if ((size_t)(end - p) < n + NAME_SIZE || strncmp(p, names[i], n) != 0 ||
		    !isdigit((unsigned char)p[n]))
			continue;
		take_word(names[i], names[i] + n, l->system);
		take_word(p + n, p + n + NAME_SIZE, l->release);
		return true;
	}
	return false;
}

static bool take_banner(struct scan *l, const char *p, const char *end)
{
	p += strlen("Linux version ");
	if (end - p < NAME_SIZE || !isdigit((unsigned char)*p))
		return false;
	take_word(p, p + NAME_SIZE, l->release);
	return true;
}

static bool take_windows(struct scan *l, const char *p, const char *end)
{
	l->release[0] = '\0';
	return is_windows(p, end);
}

/* Look for a better name in @len bytes at @buf, which are terminated by a NUL. */
static void find_names(struct scan *l, const char *buf, size_t len)
{
	static const struct {
		enum rank rank;
		const char *text;
		size_t len;
		bool (*take)(struct scan *l, const char *p, const char *end);
	} ways[] = {
		{ UTS, "Linux\0\0\0", 8, take_uts },
		{ WINDOWS, "RSDS", 4, take_windows },
		{ OTHER, "@(#)", 4, take_mark },
		{ BANNER, "Linux version ", 14, take_banner },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const char *p = buf, *end = buf + len;

		if (ways[i].rank >= l->rank)
			continue;
		while ((p = memmem(p, (size_t)(end - p), ways[i].text, ways[i].len))) {
			if (ways[i].take(l, p, end)) {
				l->rank = ways[i].rank;
				break;
			}
			p++;
		}
	}
}

/* Documentation/arch/arm64/booting.rst: the magic at offset 56 of the image. */
static bool is_arm64(const char *page)
{
	return !memcmp(page + 56, "ARM\x64", 4);
}

/*
 * Of 4096 random bytes each of the 256 values is there 16 times, and the sum of the squares of
 * these numbers is 69,632 with a deviation of 360. Of code it is 200,000, of texts more.
 */
#define EVEN 72000

static void weigh(struct scan *l, const char *page)
{
	unsigned count[256] = { 0 };
	unsigned long sum = 0;

	for (size_t i = 0; i < VL_PAGE_SIZE; i++)
		count[(unsigned char)page[i]]++;
	for (size_t i = 0; i < ARRAY_SIZE(count); i++)
		sum += (unsigned long)count[i] * count[i];
	l->looked++;
	l->even += sum < EVEN;
	l->zero += count[0] == VL_PAGE_SIZE;
}

/* Pages of a chunk that are weighed. */
#define WEIGHED 4

static void look_at(struct scan *l, const char *chunk, size_t n)
{
	for (size_t at = 0; at + VL_PAGE_SIZE <= n && l->rank > ARM64; at += VL_PAGE_SIZE)
		if (is_arm64(chunk + at))
			l->rank = ARM64;
	for (size_t i = 0; i < WEIGHED; i++) {
		size_t at = (n / WEIGHED * i) & VL_PAGE_MASK;

		if (at + VL_PAGE_SIZE <= n)
			weigh(l, chunk + at);
	}
}

static void look_through(struct scan *l, struct vl_target *t, char *buf,
			 struct vl_deadline deadline)
{
	size_t nr;
	const struct vl_ram *r = vl_target_ram(t, &nr);

	for (size_t i = 0; i < nr; i++) {
		size_t kept = 0;

		for (uint64_t off = vl_ram_next_data(t, &r[i], 0);
		     off < r[i].size && l->rank != UTS && !vl_late(deadline);) {
			size_t n = r[i].size - off < CHUNK ? r[i].size - off : CHUNK;
			uint64_t next = off + n;
			struct vl_error *err;

			err = vl_target_read(t, r[i].gpa + off, buf + kept, n);
			if (err)
				memset(buf + kept, 0, n);
			if (err && !l->unread)
				l->unread = err;
			else
				vl_error_destroy(err);
			buf[kept + n] = '\0';
			look_at(l, buf + kept, n);
			find_names(l, buf, kept + n);
			off = vl_ram_next_data(t, &r[i], next);
			memmove(buf, buf + kept + n - (n < KEPT ? n : KEPT), n < KEPT ? n : KEPT);
			kept = off == next ? (n < KEPT ? n : KEPT) : 0;
		}
	}
}

/* @places: how many pages the memory has room for. */
static struct vl_error *named(const struct scan *l, uint64_t places)
{
	bool narrow = l->machine[0] == 'i' && !strcmp(l->machine + 2, "86");

	switch (l->rank) {
	case UTS:
		if (!strcmp(l->machine, "x86_64"))
			return vl_error_hint(
				vl_error_new(VL_ERR_KERNEL,
					     "the memory has a Linux %s, but its kernel cannot be "
					     "found by its page tables",
					     l->release),
				places > LOW_PAGES ?
					"is the image complete? A file of more than 2 GiB without "
					"addresses must be a hypervisor's RAM; ELF and LiME have "
					"addresses" :
					"is the image complete, or still being written?");
		return vl_error_hint(vl_error_new(VL_ERR_KERNEL,
						  "the memory is that of a %sLinux (%s, %s)",
						  narrow ? "32-bit " : "", l->release, l->machine),
				     ONLY);
	case ARM64:
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL, "the memory is that of an arm64 Linux"), ONLY);
	case WINDOWS:
		return vl_error_hint(vl_error_new(VL_ERR_KERNEL, "the memory is that of Windows"),
				     ONLY);
	case OTHER:
		return vl_error_hint(vl_error_new(VL_ERR_KERNEL, "the memory is that of %s (%s)",
						  l->system, l->release),
				     ONLY);
	case BANNER:
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL,
				     "the memory has the banner of a Linux %s, but no kernel that "
				     "has booted",
				     l->release),
			"is it an image of a machine's RAM, and complete?");
	case NOTHING:
		break;
	}
	return NULL;
}

static uint64_t pages_of(const struct vl_target *t)
{
	uint64_t pages = 0;
	size_t nr;
	const struct vl_ram *r = vl_target_ram(t, &nr);

	for (size_t i = 0; i < nr; i++)
		pages += r[i].size / VL_PAGE_SIZE;
	return pages;
}

/* The error that names what was found. Takes @err, of a page that could not be read. */
static struct vl_error *of_scan(struct scan *l, const struct vl_target *t)
{
	if (l->rank != NOTHING)
		return named(l, pages_of(t));
	if (l->zero == l->looked && l->unread) {
		struct vl_error *err = vl_error_prefix(
			vl_taken(l->unread), "nothing but zeros can be read of the memory");

		err->code = VL_ERR_KERNEL;
		return vl_error_hint(err, "make the image again");
	}
	if (l->zero == l->looked)
		return vl_error_hint(vl_error_new(VL_ERR_KERNEL, "the memory is nothing but zeros"),
				     "make the image again");
	/* An encrypted file may have a header that is not. */
	if (l->looked - l->even <= l->looked / 64)
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL, "the memory looks encrypted or compressed"),
			"decrypt or uncompress the file first; the memory of a guest with SEV or "
			"TDX cannot be read");
	return NULL;
}

struct vl_error *vl_content_error(struct vl_target *t)
{
	_cleanup_free_ char *buf = malloc(KEPT + CHUNK + 1);
	struct scan l = { .rank = NOTHING };
	struct vl_error *err;

	if (!buf)
		return vl_error_nomem();
	look_through(&l, t, buf, vl_deadline_in(VL_CONTENT_NS));
	err = of_scan(&l, t);
	vl_error_destroy(l.unread);
	return err;
}
