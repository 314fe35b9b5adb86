// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Uses BPF as healthy programs do, until it is killed: programs with all kinds of instructions,
 * with a map, a call of their own and one that another program continues, and classic BPF for a
 * socket and for seccomp. Prints "ready" when all of it is in use.
 */
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int bpf(int what, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, what, attr, sizeof(*attr));
}

static int map(uint32_t type, uint32_t value)
{
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.map_type = type;
	a.key_size = 4;
	a.value_size = value;
	a.max_entries = 4;
	fd = bpf(BPF_MAP_CREATE, &a);
	if (fd < 0)
		die("BPF_MAP_CREATE");
	return fd;
}

static int load(const struct bpf_insn *code, size_t len)
{
	static char log[1 << 16];
	union bpf_attr a;
	int fd, sk[2];

	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	a.insns = (uintptr_t)code;
	a.insn_cnt = (uint32_t)len;
	a.license = (uintptr_t) "GPL";
	a.log_buf = (uintptr_t)log;
	a.log_size = sizeof(log);
	a.log_level = 1;
	fd = bpf(BPF_PROG_LOAD, &a);
	if (fd < 0) {
		fputs(log, stdout);
		die("BPF_PROG_LOAD");
	}
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sk) ||
	    setsockopt(sk[0], SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof(fd)))
		die("SO_ATTACH_BPF");
	return fd;
}

#define INSN(c, d, s, o, i) \
	{ \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}
#define MOV(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define COPY(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define CALL(f) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define MAP(d, fd) INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)

/* Arithmetic of both widths by constants and registers, jumps of all kinds, and memory. */
static void arithmetic(void)
{
	static const uint8_t ops[] = { BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,  BPF_AND,
				       BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR, BPF_ARSH };
	static const uint8_t jumps[] = { BPF_JEQ,  BPF_JGT, BPF_JGE, BPF_JNE,  BPF_JSGT, BPF_JSET,
					 BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE };
	static const uint8_t sizes[] = { BPF_B, BPF_H, BPF_W, BPF_DW };
	struct bpf_insn code[400];
	size_t n = 0;

#define ADD(...) code[n++] = (struct bpf_insn)INSN(__VA_ARGS__)
	ADD(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
	ADD(BPF_LDX | BPF_MEM | BPF_W, 7, 6, 0, 0);
	ADD(BPF_ALU64 | BPF_MOV | BPF_K, 8, 0, 0, 77777);
	ADD(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 5);
	for (size_t i = 0; i < LENGTH(ops); i++)
		for (uint8_t reg = 0; reg < 9; reg += reg ? 1 : 7) {
			int32_t imm = ops[i] == BPF_LSH || ops[i] == BPF_RSH || ops[i] == BPF_ARSH ?
					      3 :
					      1000;

			ADD((uint8_t)(BPF_ALU64 | ops[i] | BPF_K), reg, 0, 0, imm);
			ADD((uint8_t)(BPF_ALU | ops[i] | BPF_K), reg, 0, 0, imm);
			if (imm == 1000) {
				ADD((uint8_t)(BPF_ALU64 | ops[i] | BPF_X), reg, 8, 0, 0);
				ADD((uint8_t)(BPF_ALU | ops[i] | BPF_X), reg, 7, 0, 0);
			}
		}
	ADD(BPF_ALU64 | BPF_NEG, 7, 0, 0, 0);
	ADD(BPF_ALU | BPF_END | BPF_TO_BE, 7, 0, 0, 16);
	ADD(BPF_ALU | BPF_END | BPF_TO_BE, 7, 0, 0, 32);
	ADD(BPF_ALU | BPF_END | BPF_TO_BE, 7, 0, 0, 64);
	ADD(BPF_ALU | BPF_END | BPF_TO_LE, 7, 0, 0, 16);
	for (size_t i = 0; i < LENGTH(jumps); i++) {
		ADD((uint8_t)(BPF_JMP | jumps[i] | BPF_K), 7, 0, 1, 100);
		ADD(BPF_ALU64 | BPF_ADD | BPF_K, 8, 0, 0, 1);
		ADD((uint8_t)(BPF_JMP32 | jumps[i] | BPF_X), 7, 8, 1, 0);
		ADD(BPF_ALU64 | BPF_ADD | BPF_K, 8, 0, 0, 1);
	}
	for (size_t i = 0; i < LENGTH(sizes); i++) {
		ADD((uint8_t)(BPF_ST | BPF_MEM | sizes[i]), 10, 0, -8, 1);
		ADD((uint8_t)(BPF_STX | BPF_MEM | sizes[i]), 10, 7, -8, 0);
		ADD((uint8_t)(BPF_LDX | BPF_MEM | sizes[i]), 8, 10, -8, 0);
	}
	ADD(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 1);
	ADD(BPF_STX | BPF_XADD | BPF_DW, 10, 7, -8, 0);
	ADD(BPF_STX | BPF_XADD | BPF_W, 10, 7, -8, 0);
	/* They read the packet, by functions of the kernel. */
	ADD(BPF_LD | BPF_ABS | BPF_B, 0, 0, 0, 0);
	ADD(BPF_LD | BPF_ABS | BPF_W, 0, 0, 0, 0);
	ADD(BPF_LD | BPF_IND | BPF_H, 0, 8, 0, 0);
	ADD(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
#undef ADD
	load(code, n);
}

static void calls(void)
{
	int values = map(BPF_MAP_TYPE_HASH, 8), programs = map(BPF_MAP_TYPE_PROG_ARRAY, 4), fd;
	const struct bpf_insn code[] = {
		COPY(6, 1),
		CALL(BPF_FUNC_ktime_get_ns),
		INSN(BPF_STX | BPF_MEM | BPF_DW, 10, 0, -8, 0),
		INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -12, 0),
		MAP(1, values),
		COPY(2, 10),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -12),
		CALL(BPF_FUNC_map_lookup_elem),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1, 0),
		INSN(BPF_ST | BPF_MEM | BPF_DW, 0, 0, 0, 1),
		CALL(BPF_FUNC_get_smp_processor_id),
		CALL(BPF_FUNC_get_prandom_u32),
		COPY(1, 6),
		MAP(2, programs),
		MOV(3, 0),
		CALL(BPF_FUNC_tail_call),
		MOV(0, 0),
		EXIT(),
	};
	const struct bpf_insn own[] = {
		INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 2),
		MOV(0, 0),
		EXIT(),
		/* The function that the program calls. */
		CALL(BPF_FUNC_ktime_get_ns),
		EXIT(),
	};
	union bpf_attr a;
	uint32_t key = 0;

	fd = load(code, LENGTH(code));
	load(own, LENGTH(own));
	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)programs;
	a.key = (uintptr_t)&key;
	a.value = (uintptr_t)&fd;
	if (bpf(BPF_MAP_UPDATE_ELEM, &a))
		die("BPF_MAP_UPDATE_ELEM");
}

static void classic(void)
{
	struct sock_filter packet[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0800, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_CPU)),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_NLATTR)),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
	};
	struct sock_filter calls[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_reboot, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog of_packet = { LENGTH(packet), packet },
			  of_calls = { LENGTH(calls), calls };
	int sk = socket(AF_INET, SOCK_DGRAM, 0);

	if (setsockopt(sk, SOL_SOCKET, SO_ATTACH_FILTER, &of_packet, sizeof(of_packet)))
		die("SO_ATTACH_FILTER");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &of_calls))
		die("PR_SET_SECCOMP");
}

int main(void)
{
	arithmetic();
	calls();
	classic();
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
