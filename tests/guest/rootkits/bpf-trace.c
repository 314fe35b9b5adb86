// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf-trace FUNCTION: attaches an empty BPF program to the entry of a kernel function (fentry), by
 * a trampoline, until it is killed. Prints "ready" when it is attached. It does nothing bad.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
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

int main(int argc, char **argv)
{
	const struct bpf_insn code[] = {
		/* Some instructions, which the laboratory overwrites. */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .imm = 1000 },
		{ .code = BPF_ALU64 | BPF_XOR | BPF_K, .imm = 1000 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .imm = 1000 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load, attach;
	int program;

	if (argc != 2)
		return 2;
	memset(&load, 0, sizeof(load));
	load.prog_type = BPF_PROG_TYPE_TRACING;
	load.expected_attach_type = BPF_TRACE_FENTRY;
	load.attach_btf_id = find(argv[1]);
	load.insns = (uintptr_t)code;
	load.insn_cnt = sizeof(code) / sizeof(*code);
	load.license = (uintptr_t) "GPL";
	program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	if (program < 0)
		die("BPF_PROG_LOAD");
	memset(&attach, 0, sizeof(attach));
	attach.raw_tracepoint.prog_fd = (uint32_t)program;
	if (syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &attach, sizeof(attach)) < 0)
		die("BPF_RAW_TRACEPOINT_OPEN");
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
