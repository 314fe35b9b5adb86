// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * imee.ko against a tiny machine whose state is known (vm.h): what it shows is right,
 * follows the machine's process, and cannot be written; what is wrongly asked for is
 * refused as imee.h says. Needs root, /dev/kvm and /dev/imee; prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "../../kmod/imee.h"
#include "../unit/tap.h"
#include "client.h"
#include "imee-test.h"
#include "vm.h"

/* --- Asked for wrongly --------------------------------------------------------- */

/* Every command, well formed. */
static const unsigned long commands[] = {
	IMEE_GET_SLOTS, IMEE_GET_REGS, IMEE_WATCH_CR3, IMEE_READ_CR3, IMEE_GET_STATS,
};

static bool all_fail(int fd, int error)
{
	bool good = true;
	char arg[1024];

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		memset(arg, 0, sizeof(arg));
		if (error == ESRCH && commands[i] == IMEE_GET_STATS)
			continue;
		good &= fails(ioctl(fd, commands[i], arg), error);
	}
	return good;
}

static void test_unattached(const struct vm *vm)
{
	struct imee_attach a = { 0 };
	int fd = device(), other;
	char byte;

	ok(ioctl(fd, IMEE_GET_VERSION, 0) == IMEE_VERSION, "the version is that of the header");
	ok(all_fail(fd, ENOTCONN), "nothing goes before a guest is attached to");
	ok(fails(pread(fd, &byte, 1, 0), ENOTCONN) &&
		   map_fails(fd, 0, PAGE, PROT_READ, MAP_SHARED, ENOTCONN),
	   "nor pread() or mmap()");

	a.vm_fd = 999;
	ok(fails(ioctl(fd, IMEE_ATTACH, &a), EBADF), "a descriptor that is not open");
	a.vm_fd = other = open("/dev/null", O_RDWR | O_CLOEXEC);
	ok(fails(ioctl(fd, IMEE_ATTACH, &a), EINVAL), "a descriptor of a file");
	close(other);
	a.vm_fd = other = vm_fd(vm, vm->vcpu);
	ok(fails(ioctl(fd, IMEE_ATTACH, &a), EINVAL), "a descriptor of a vCPU");
	close(other);
	a.vm_fd = fd;
	ok(fails(ioctl(fd, IMEE_ATTACH, &a), EINVAL), "a descriptor of the device itself");
	a.vm_fd = other = vm_fd(vm, vm->vm);
	a.flags = 1u << 31;
	ok(fails(ioctl(fd, IMEE_ATTACH, &a), EINVAL), "an unknown flag");
	a.flags = 0;
	a.reserved[1] = 1;
	ok(fails(ioctl(fd, IMEE_ATTACH, &a), EINVAL), "a reserved field");
	ok(fails(ioctl(fd, IMEE_ATTACH, (void *)8), EFAULT), "a bad pointer");
	ok(fails(ioctl(fd, _IO(IMEE_IOC, 0x7f), &a), ENOTTY), "an unknown command");
	ok(fails(ioctl(fd, _IO('K', 1), &a), ENOTTY), "a command of another device");
	ok(fails(ioctl(fd, _IOWR(IMEE_IOC, 1, uint64_t), &a), EINVAL), "another size");
	close(other);
	close(fd);
}

static void test_attach(const struct vm *vm)
{
	struct imee_attach a = { .vm_fd = vm_fd(vm, vm->vm) };
	int fd = device(), status;
	pid_t pid = fork();

	/* Another user, that was handed both descriptors. */
	if (!pid)
		_exit(setresuid(65534, 65534, 65534) || ioctl(fd, IMEE_ATTACH, &a) != -1 ? 0 :
											   errno);
	waitpid(pid, &status, 0);
	ok(WEXITSTATUS(status) == EPERM, "another user's guest: %s", strerror(WEXITSTATUS(status)));

	ok(ioctl(fd, IMEE_ATTACH, &a) == 0, "attached");
	ok(a.pid == vm->pid && a.vcpus == 3, "it is process %d with %u vCPUs", a.pid, a.vcpus);
	ok(fails(ioctl(fd, IMEE_ATTACH, &a), EBUSY), "once only");
	close(a.vm_fd);
	ok(fails(ioctl(fd, IMEE_GET_SLOTS, (void *)8), EFAULT) &&
		   fails(ioctl(fd, IMEE_GET_REGS, (void *)8), EFAULT) &&
		   fails(ioctl(fd, IMEE_WATCH_CR3, (void *)8), EFAULT) &&
		   fails(ioctl(fd, IMEE_READ_CR3, (void *)8), EFAULT) &&
		   fails(ioctl(fd, IMEE_GET_STATS, (void *)8), EFAULT),
	   "bad pointers");
	close(fd);
}

static void test_own(void)
{
	struct imee_attach a = { 0 };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), fd = device();

	a.vm_fd = ioctl(kvm, KVM_CREATE_VM, 0);
	ok(fails(ioctl(fd, IMEE_ATTACH, &a), EDEADLK), "a guest of one's own");
	close(a.vm_fd);
	close(kvm);
	close(fd);
}

/* --- Slots and memory ---------------------------------------------------------- */

static void test_slots(int fd, const struct vm *vm)
{
	static const struct imee_slot expected[VM_SLOTS] = {
		{ .gpa = VM_LOW, .size = VM_LOW_SIZE, .id = 0 },
		{ .gpa = VM_FILE, .size = VM_FILE_SIZE, .id = 1 },
		{ .gpa = VM_ROM, .size = VM_ROM_SIZE, .id = 2, .flags = IMEE_SLOT_READONLY },
		{ .gpa = VM_PLAY, .size = VM_PLAY_SIZE, .id = 3 },
		{ .gpa = VM_HUGE, .size = VM_HUGE_SIZE, .id = 4 },
		{ .gpa = VM_EDGE, .size = MIB, .id = 5 },
		{ .gpa = VM_EDGE + MIB, .size = MIB, .id = 6 },
	};
	struct imee_slot list[16];
	struct imee_slots s = { .slots = (uintptr_t)list, .capacity = 16 };
	unsigned found = 0;

	memset(list, 0xff, sizeof(list));
	found = ioctl(fd, IMEE_GET_SLOTS, &s) == 0;
	ok(found && s.count >= VM_SLOTS && s.count <= 16, "%u slots", s.count);
	found = 0;
	for (unsigned i = 0; i < s.count && i < 16; i++)
		for (unsigned j = 0; j < VM_SLOTS; j++)
			found += list[i].as_id == 0 && list[i].gpa == expected[j].gpa &&
				 list[i].size == expected[j].size && list[i].id == expected[j].id &&
				 list[i].flags == expected[j].flags;
	ok(found == VM_SLOTS, "all of ours are among them, as they are");
	for (unsigned i = 0; i < s.count && i < 16; i++)
		if (list[i].gpa == VM_PLAY)
			ok(list[i].hva == vm->play, "the address is that in the process");
	memset(list, 0, sizeof(list));
	s.capacity = 1;
	ok(ioctl(fd, IMEE_GET_SLOTS, &s) == 0 && s.count >= VM_SLOTS && list[0].size &&
		   !list[1].size,
	   "room for one: one, and the number of all");
	s.slots = 8;
	ok(fails(ioctl(fd, IMEE_GET_SLOTS, &s), EFAULT), "a bad array");
	s.reserved = 1;
	ok(fails(ioctl(fd, IMEE_GET_SLOTS, &s), EINVAL), "a reserved field");
}

static void test_mapping(int fd)
{
	char *file = map(fd, VM_FILE, VM_FILE_SIZE, PROT_READ, MAP_SHARED);
	char *rom = map(fd, VM_ROM, VM_ROM_SIZE, PROT_READ, MAP_SHARED);
	volatile struct vm_data *data = (void *)map(fd, VM_DATA, PAGE, PROT_READ, MAP_SHARED);
	uint64_t count, until = now_us() + 2000000;
	char *p;

	ok(file != MAP_FAILED && all_tagged(file, VM_FILE, VM_FILE_SIZE),
	   "a file's pages are right");
	ok(rom != MAP_FAILED && all_tagged(rom, VM_ROM, VM_ROM_SIZE), "anonymous pages are right");
	count = data->count;
	while (data->count == count && now_us() < until)
		;
	ok(data->count != count, "the guest's writes show at once");
	p = map(fd, VM_LOW, VM_LOW_SIZE + VM_FILE_SIZE, PROT_READ, MAP_SHARED);
	ok(p != MAP_FAILED && shows(p + VM_FILE, tag(VM_FILE)), "slots that touch, in one mapping");
	munmap(p, VM_LOW_SIZE + VM_FILE_SIZE);

	ok(map_fails(fd, VM_PLAY, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, EPERM),
	   "not to be mapped for writing");
	ok(map_fails(fd, VM_PLAY, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, EPERM) &&
		   map_fails(fd, VM_PLAY, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, EPERM),
	   "nor for executing");
	ok(fails(mprotect(rom, PAGE, PROT_READ | PROT_WRITE), EACCES), "nor made so afterwards");
	ok(map_fails(fd, VM_PLAY + VM_PLAY_SIZE - PAGE, 2 * PAGE, PROT_READ, MAP_SHARED, EINVAL) &&
		   map_fails(fd, VM_PLAY - PAGE, 2 * PAGE, PROT_READ, MAP_SHARED, EINVAL) &&
		   map_fails(fd, VM_FILE, VM_ROM, PROT_READ, MAP_PRIVATE, EINVAL) &&
		   map_fails(fd, 1UL << 52, PAGE, PROT_READ, MAP_SHARED, EINVAL) &&
		   map_fails(fd, 1UL << 62 | PAGE, PAGE, PROT_READ, MAP_SHARED, EINVAL) &&
		   map_fails(fd, (1UL << 63) - PAGE, PAGE, PROT_READ, MAP_SHARED, EINVAL),
	   "beyond slots");
	munmap(file, VM_FILE_SIZE);
	munmap(rom, VM_ROM_SIZE);
	munmap((void *)data, PAGE);
}

static void test_following(int fd, struct vm *vm)
{
	char *p = map(fd, VM_PLAY, VM_PLAY_SIZE, PROT_READ, MAP_SHARED);
	char *file = map(fd, VM_FILE, VM_FILE_SIZE, PROT_READ, MAP_SHARED);
	uint64_t here = tag(VM_PLAY + 5 * PAGE);
	const char *page = p + 5 * PAGE;

	ok(all_tagged(p, VM_PLAY, VM_PLAY_SIZE), "all pages are mapped");
	vm_do(vm, VM_WRITE, 5, 1);
	ok(shows(page, here ^ 1), "written: it shows");
	vm_do(vm, VM_DISCARD, 5, 0);
	ok(shows(page, 0), "discarded: zeros, as the process would read");
	vm_do(vm, VM_WRITE, 5, 2);
	ok(shows(page, here ^ 2), "written anew: the new page shows");
	vm_do(vm, VM_MOVE, 5, 3);
	ok(shows(page, here ^ 3), "another page moved there: it shows");
	vm_do(vm, VM_UNMAP, 5, 0);
	ok(raises(page, SIGBUS), "unmapped: SIGBUS");
	ok(shows(p + 6 * PAGE, tag(VM_PLAY + 6 * PAGE)), "the next page is there still");
	vm_do(vm, VM_MAP, 5, 4);
	ok(shows(page, here ^ 4), "mapped anew: it shows");
	ok(shows(file + 3 * PAGE, tag(VM_FILE + 3 * PAGE)), "a page of a file");
	vm_do(vm, VM_PUNCH, 3, 0);
	ok(shows(file + 3 * PAGE, 0), "a hole punched into the file: zeros");
	vm_do(vm, VM_WRITE, 5, 0);
	munmap(p, VM_PLAY_SIZE);
	munmap(file, VM_FILE_SIZE);
}

static void test_private(int fd, struct vm *vm)
{
	char *p = map(fd, VM_PLAY, VM_PLAY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *shared = map(fd, VM_PLAY, VM_PLAY_SIZE, PROT_READ, MAP_SHARED);
	uint64_t tag7 = tag(VM_PLAY + 7 * PAGE), value;

	ok(p != MAP_FAILED && shows(p + 7 * PAGE, tag7), "a private mapping shows the page");
	*(uint64_t *)(p + 7 * PAGE + 8) = 77;
	ok(shows(p + 7 * PAGE + 8, 77) && shows(p + 7 * PAGE, tag7),
	   "written: a copy, and the rest of it");
	ok(shows(shared + 7 * PAGE + 8, 0), "the guest's page is as it was");
	*(uint64_t *)(p + 8 * PAGE + 8) = 88;
	ok(shows(p + 8 * PAGE + 8, 88) && shows(p + 8 * PAGE, tag(VM_PLAY + 8 * PAGE)) &&
		   shows(shared + 8 * PAGE + 8, 0),
	   "the same where the first touch is the write");
	vm_do(vm, VM_WRITE, 7, 1);
	vm_do(vm, VM_WRITE, 9, 1);
	ok(shows(p + 7 * PAGE, tag7) && shows(p + 9 * PAGE, tag(VM_PLAY + 9 * PAGE) ^ 1),
	   "the guest's later writes show in what was not written here");
	vm_do(vm, VM_DISCARD, 7, 0);
	vm_do(vm, VM_MOVE, 9, 2);
	ok(shows(p + 7 * PAGE + 8, 77) && shows(p + 9 * PAGE, tag(VM_PLAY + 9 * PAGE) ^ 2),
	   "copies stay when pages are given up, others follow");
	ok(pread(fd, &value, 8, VM_PLAY + 7 * PAGE) == 8 && value == 0,
	   "and pread() is of the guest");
	munmap(p, VM_PLAY_SIZE);
	munmap(shared, VM_PLAY_SIZE);
	for (int i = 7; i < 10; i++)
		vm_do(vm, VM_MAP, i, 0);
}

static void test_zeros(struct vm *vm)
{
	int fd = device();
	volatile struct imee_status *status;
	uint64_t holes;
	char *p;

	ok(attach(fd, vm, IMEE_ATTACH_ZERO) == 0, "attached, to read zeros where there is nothing");
	status = (void *)map(fd, IMEE_STATUS_OFFSET, PAGE, PROT_READ, MAP_SHARED);
	ok(status != MAP_FAILED && status->version == IMEE_VERSION && !status->dead &&
		   status->generation == generation(fd),
	   "the status page");
	ok(map_fails(fd, IMEE_STATUS_OFFSET, 2 * PAGE, PROT_READ, MAP_SHARED, EINVAL) &&
		   map_fails(fd, IMEE_STATUS_OFFSET, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			     EPERM),
	   "is one page, and read only");
	p = map(fd, VM_PLAY, VM_PLAY_SIZE, PROT_READ, MAP_SHARED);
	vm_do(vm, VM_UNMAP, 11, 0);
	holes = status->holes;
	ok(shows(p + 12 * PAGE, tag(VM_PLAY + 12 * PAGE)) && status->holes == holes &&
		   !status->zeros,
	   "a page that is there is not counted");
	ok(shows(p + 11 * PAGE, 0) && status->holes == holes + 1 && status->zeros,
	   "one that is not reads as zeros, and is counted");
	vm_do(vm, VM_MAP, 11, 1);
	generation(fd);
	ok(!status->zeros && shows(p + 11 * PAGE, tag(VM_PLAY + 11 * PAGE) ^ 1),
	   "when it is there again, a look at the slots brings it");
	vm_do(vm, VM_WRITE, 11, 0);
	munmap(p, VM_PLAY_SIZE);
	munmap((void *)status, PAGE);
	close(fd);
}

static void test_pread(int fd, struct vm *vm)
{
	static char buf[VM_PLAY_SIZE];
	void *volatile nowhere = (void *)8;
	uint64_t value;
	bool good;

	good = pread(fd, buf, sizeof(buf), VM_PLAY) == (ssize_t)sizeof(buf);
	for (size_t at = 0; at < sizeof(buf) && good; at += PAGE)
		good = *(uint64_t *)(buf + at) == tag(VM_PLAY + at);
	ok(good, "pread() of a whole slot");
	ok(pread(fd, buf, 100, VM_FILE + 2 * PAGE - 50) == 100 &&
		   !memcmp(buf + 50, &(uint64_t){ tag(VM_FILE + 2 * PAGE) }, 8),
	   "across a page's end");
	ok(pread(fd, buf, PAGE, VM_PLAY + VM_PLAY_SIZE - 8) == 8,
	   "at the end of a slot it is short");
	ok(pread(fd, buf, 2 * PAGE, VM_FILE - PAGE) == 2 * PAGE, "slots that touch are one");
	vm_do(vm, VM_UNMAP, 20, 0);
	ok(pread(fd, buf, 3 * PAGE, VM_PLAY + 19 * PAGE) == PAGE &&
		   fails(pread(fd, buf, 8, VM_PLAY + 20 * PAGE), EFAULT),
	   "as it is where nothing is mapped");
	vm_do(vm, VM_MAP, 20, 0);
	ok(fails(pread(fd, buf, 8, VM_FILE + VM_FILE_SIZE), EFAULT), "no slot");
	ok(fails(pread(fd, buf, 8, 1L << 52), EINVAL), "no address");
	ok(fails(pread(fd, nowhere, 8, VM_PLAY), EFAULT), "no buffer");
	ok(pread(fd, &value, 0, VM_PLAY) == 0, "nothing asked for");
	ok(fails(pwrite(fd, &value, 8, VM_PLAY), EINVAL), "not to be written");
}

static void test_slot_change(int fd, struct vm *vm)
{
	volatile struct imee_status *status =
		(void *)map(fd, IMEE_STATUS_OFFSET, PAGE, PROT_READ, MAP_SHARED);
	char *p = map(fd, VM_ROM, VM_ROM_SIZE, PROT_READ, MAP_SHARED);
	uint64_t before = generation(fd), value;

	ok(shows(p, tag(VM_ROM)), "a slot");
	vm_do(vm, VM_RESLOT, 0, 0x5107);
	ok(generation(fd) != before && status->generation != before,
	   "it moves: another generation");
	ok(shows(p, 0x5107) && shows(p + PAGE, 0x5107), "its mapping shows the new memory");
	before = generation(fd);
	vm_do(vm, VM_RESLOT, 0, 0x5108);
	ok(shows(p + 2 * PAGE, 0x5108) && shows(p, 0x5108) && status->generation != before,
	   "a page fault notices, too");
	vm_do(vm, VM_NOSLOT, 0, 0);
	generation(fd);
	ok(raises(p, SIGBUS) && fails(pread(fd, &value, 8, VM_ROM), EFAULT), "it goes: SIGBUS");
	munmap(p, VM_ROM_SIZE);
	munmap((void *)status, PAGE);
}

/* --- The end -------------------------------------------------------------------- */

/* It is told that it is gone before its last page is taken out. */
static bool goes(const char *p)
{
	uint64_t until = now_us() + 1000000;
	bool gone;

	while (!(gone = raises(p, SIGBUS)) && now_us() < until)
		usleep(1000);
	return gone;
}

static bool dies(int fd, volatile struct imee_status *status)
{
	uint64_t until = now_us() + 10000000;

	while (!status->dead && now_us() < until)
		usleep(1000);
	return status->dead && all_fail(fd, ESRCH);
}

static void test_death(struct vm *vm, bool only_closed)
{
	int fd = device(), late = vm_fd(vm, vm->vm);
	struct imee_attach a = { .vm_fd = late };
	volatile struct imee_status *status;
	struct imee_stats stats = { 0 }, before;
	uint64_t value;
	char *p;

	attach(fd, vm, 0);
	status = (void *)map(fd, IMEE_STATUS_OFFSET, PAGE, PROT_READ, MAP_SHARED);
	p = map(fd, VM_PLAY, VM_PLAY_SIZE, PROT_READ, MAP_SHARED);
	ok(shows(p, tag(VM_PLAY)) && !status->dead && !ioctl(fd, IMEE_GET_STATS, &before),
	   "a guest");
	if (only_closed) {
		close(late);
		vm_do(vm, VM_CLOSE, 0, 0);
	} else {
		vm_kill(vm);
	}
	ok(dies(fd, status),
	   only_closed ? "its process closes it: it is gone" : "its process is killed: it is gone");
	ok(goes(p) && fails(pread(fd, &value, 8, VM_PLAY), ESRCH) &&
		   map_fails(fd, VM_PLAY, PAGE, PROT_READ, MAP_SHARED, ESRCH),
	   "and so is its memory");
	/* Others may have their own, and give them back. */
	for (int i = 0; i < 1000; i++) {
		ioctl(fd, IMEE_GET_STATS, &stats);
		if (stats.vm_files < before.vm_files && stats.mms < before.mms)
			break;
		usleep(1000);
	}
	ok(stats.dead && stats.vm_files < before.vm_files && stats.mms < before.mms,
	   "nothing of it is held, though the device is open");
	if (!only_closed) {
		int other = device();

		ok(fails(ioctl(other, IMEE_ATTACH, &a), ESRCH), "not to be attached to any more");
		close(other);
		close(late);
	} else {
		vm_kill(vm);
	}
	munmap(p, VM_PLAY_SIZE);
	munmap((void *)status, PAGE);
	close(fd);
}

int main(void)
{
	struct vm vm;
	int fd;

	if (access(IMEE_DEVICE, F_OK) || access("/dev/kvm", R_OK | W_OK)) {
		printf("1..0 # SKIP there is no %s, or no /dev/kvm\n", IMEE_DEVICE);
		return 0;
	}
	catch_faults();
	vm_start(&vm);
	test_unattached(&vm);
	test_attach(&vm);
	test_own();
	fd = device();
	ok(attach(fd, &vm, 0) == 0, "attached again");
	test_slots(fd, &vm);
	test_mapping(fd);
	test_following(fd, &vm);
	test_private(fd, &vm);
	test_zeros(&vm);
	test_pread(fd, &vm);
	test_running(fd);
	test_still(fd);
	test_watch(fd);
	test_slot_change(fd, &vm);
	close(fd);
	test_death(&vm, false);
	vm_start(&vm);
	test_death(&vm, true);
	return tap_end();
}
