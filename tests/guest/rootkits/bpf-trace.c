// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf-trace WHAT [KIND]: attaches a BPF program until it is killed. Prints "ready" when it is
 * attached.
 *
 *	fentry	an empty one to the entry of kernel function WHAT, by a trampoline (the default)
 *	fmod	to function WHAT (security_...), whose result for process 1 is -EPERM then
 *	lsm	the same, to WHAT: bpf_lsm_... and the name of a hook of the security modules
 *	raw	an empty one to tracepoint WHAT
 *	iter	writes a line for each task (WHAT: bpf_iter_task) to /sys/fs/bpf/iter
 *	sysctl	forbids processes of the cgroup WHAT, a directory, all files of /proc/sys
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Bytes of what follows struct btf_type. */
static size_t rest(const struct btf_type *t)
{
	uint32_t n = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case 17: /* BTF_KIND_DECL_TAG */
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return n * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return n * sizeof(struct btf_enum);
	case 19: /* BTF_KIND_ENUM64 */
		return n * 12UL;
	case BTF_KIND_FUNC_PROTO:
		return n * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return n * sizeof(struct btf_var_secinfo);
	default:
		return 0;
	}
}

/* The number of function @name in the kernel's types. */
static uint32_t find(const char *name)
{
	size_t room = 64 << 20, len = 0;
	char *btf = malloc(room);
	const struct btf_header *h = (void *)btf;
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);
	uint32_t id = 0;
	ssize_t n;

	if (!btf || fd < 0)
		die("/sys/kernel/btf/vmlinux");
	while ((n = read(fd, btf + len, room - len)) > 0)
		len += (size_t)n;
	for (size_t at = 0; at < h->type_len;) {
		const struct btf_type *t = (void *)(btf + h->hdr_len + h->type_off + at);

		id++;
		if (BTF_INFO_KIND(t->info) == BTF_KIND_FUNC &&
		    !strcmp(btf + h->hdr_len + h->str_off + t->name_off, name))
			return id;
		at += sizeof(*t) + rest(t);
	}
	die(name);
	return 0;
}

static int bpf(int what, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, what, attr, sizeof(*attr));
}

#define INSN(c, d, s, o, i) \
	{ \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}
#define MOV(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* Some instructions, which the laboratory overwrites. */
static const struct bpf_insn nothing[] = {
	MOV(0, 0),
	INSN(BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 1000),
	INSN(BPF_ALU64 | BPF_XOR | BPF_K, 0, 0, 0, 1000),
	INSN(BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 1000),
	MOV(0, 0),
	EXIT(),
};

/* Returns -EPERM to process 1, and 0 to others. */
static const struct bpf_insn denies[] = {
	INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_pid_tgid),
	INSN(BPF_ALU64 | BPF_RSH | BPF_K, 0, 0, 0, 32),
	INSN(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 2, 1),
	MOV(0, -1),
	EXIT(),
	MOV(0, 0),
	EXIT(),
};

/* Writes a line for each item. */
static const struct bpf_insn shows[] = {
	INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 1, 0, 0), /* bpf_iter__task.meta */
	INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 1, 0, 0), /* bpf_iter_meta.seq */
	INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -8, 0x0a667062),
	INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0),
	INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -8),
	MOV(3, 4),
	INSN(BPF_JMP | BPF_CALL, 0, 0, 0, 127), /* bpf_seq_write */
	MOV(0, 0),
	EXIT(),
};

/* Forbids everything. */
static const struct bpf_insn forbids[] = { MOV(0, 0), EXIT() };

#define CODE(c) c, sizeof(c) / sizeof(*(c))

/* Numbers that older headers lack: enum bpf_prog_type and enum bpf_attach_type of Linux. */
static const struct kind {
	const char *name;
	const struct bpf_insn *code;
	size_t len;
	uint32_t type, attach;
	bool typed; /* it is attached by the type of a function */
} kinds[] = {
	{ "fentry", CODE(nothing), 26, 24, true }, { "fmod", CODE(denies), 26, 26, true },
	{ "lsm", CODE(denies), 29, 27, true },	   { "iter", CODE(shows), 26, 28, true },
	{ "raw", CODE(nothing), 17, 0, false },	   { "sysctl", CODE(forbids), 23, 18, false },
};

static void attach(const struct kind *k, int program, const char *to)
{
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	if (!strcmp(k->name, "iter")) {
		a.link_create.prog_fd = (uint32_t)program;
		a.link_create.attach_type = k->attach;
		fd = bpf(28, &a); /* BPF_LINK_CREATE */
		if (fd < 0)
			die("BPF_LINK_CREATE");
		memset(&a, 0, sizeof(a));
		a.pathname = (uintptr_t) "/sys/fs/bpf/iter";
		a.bpf_fd = (uint32_t)fd;
		unlink("/sys/fs/bpf/iter");
		if (bpf(BPF_OBJ_PIN, &a))
			die("BPF_OBJ_PIN");
		return;
	}
	if (!strcmp(k->name, "sysctl")) {
		a.link_create.target_fd = (uint32_t)open(to, O_RDONLY | O_DIRECTORY);
		a.link_create.prog_fd = (uint32_t)program;
		a.link_create.attach_type = k->attach;
		if (bpf(28, &a) < 0)
			die("BPF_LINK_CREATE");
		return;
	}
	a.raw_tracepoint.prog_fd = (uint32_t)program;
	if (!k->typed)
		a.raw_tracepoint.name = (uintptr_t)to;
	if (bpf(BPF_RAW_TRACEPOINT_OPEN, &a) < 0)
		die("BPF_RAW_TRACEPOINT_OPEN");
}

int main(int argc, char **argv)
{
	const char *name = argc > 2 ? argv[2] : "fentry";
	static char log[1 << 16];
	union bpf_attr load;
	size_t i = 0;
	int program;

	while (i < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[i].name, name) != 0)
		i++;
	if (argc < 2 || i == sizeof(kinds) / sizeof(*kinds))
		return 2;
	memset(&load, 0, sizeof(load));
	load.prog_type = kinds[i].type;
	load.expected_attach_type = kinds[i].attach;
	load.attach_btf_id = kinds[i].typed ? find(argv[1]) : 0;
	load.insns = (uintptr_t)kinds[i].code;
	load.insn_cnt = (uint32_t)kinds[i].len;
	load.license = (uintptr_t) "GPL";
	load.log_buf = (uintptr_t)log;
	load.log_size = sizeof(log);
	load.log_level = 1;
	program = bpf(BPF_PROG_LOAD, &load);
	if (program < 0) {
		fputs(log, stdout);
		die("BPF_PROG_LOAD");
	}
	attach(&kinds[i], program, argv[1]);
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
