/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of a guest's kernel: types, symbols, and the file that both are kept in. */
#include "fuzzers.h"

#include <bpf/btf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel/btf.h"
#include "kernel/image.h"
#include "kernel/kernel.h"

#define VA 0xffffffff81000000UL
#define WAIT_NS 20000000L

/* Ask a kernel all that it can be asked. */
static void ask(const struct vl_kernel *k)
{
	uint64_t at = 0, offset, address = 0;
	const char *name;

	for (size_t i = 0; (name = vl_symbol_name(k, i)) && i < 64; i++) {
		vl_symbol(k, name);
		vl_symbol_is(k, name);
		vl_symbol_nth(k, name, 1);
	}
	for (size_t i = 0; (name = vl_symbol_placed(k, i, &address)) && i < 64; i++) {
		vl_symbol_at(k, address, &offset);
		at = vl_symbol_after(k, address);
	}
	vl_symbol_at(k, at, &offset);
	vl_symbol_percpu(k, 64, &offset);
	vl_kernel_is_up(k);
	vl_kernel_timekeeper(k);
	vl_kernel_layout(k);
}

void fuzz_btf(const unsigned char *data, size_t len)
{
	static const char *const members[] = { "pid", "tasks", "" };
	struct vl_layout layout;
	struct btf *btf = NULL;

	vl_error_destroy(vl_layout_from_btf(data, len, vl_deadline_in(WAIT_NS), &layout));
	if (vl_discard(vl_btf_open(data, len, &btf)))
		return;
	for (uint32_t id = 0; id < 256; id++) {
		const struct btf_type *type = vl_btf_resolve(btf, id, NULL);
		struct vl_btf_member m;

		for (size_t i = 0; i < 3; i++)
			vl_btf_find_member(btf, type, members[i], strlen(members[i]), &m);
	}
	btf__free(btf);
}

/* The text of a layout, changed: at each offset (2 bytes) there is another byte. */
void fuzz_offsets(const unsigned char *data, size_t len)
{
	struct vl_layout layout = { .derived = 0 };
	_cleanup_free_ char *text = NULL, *again = NULL;
	size_t text_len, again_len;

	if (vl_discard(vl_layout_print(&layout, &text, &text_len)))
		return;
	for (size_t i = 0; i + 3 <= len; i += 3)
		text[(data[i] | (size_t)data[i + 1] << 8) % text_len] = (char)data[i + 2];
	if (!vl_discard(vl_layout_parse(text, text_len, &layout)))
		vl_error_destroy(vl_layout_print(&layout, &again, &again_len));
}

/* Tables of symbols: form, number, lengths of names and tokens; names, tokens, offsets. */
void fuzz_symbols(const unsigned char *data, size_t len)
{
	struct vl_kallsyms_tables tables = { .nr = 0 };
	struct vl_layout layout = { .derived = 1 };
	struct vl_kernel *k = NULL;
	struct vl_symbols s;
	uint16_t head[4];

	if (len < sizeof(head))
		return;
	memcpy(head, data, sizeof(head));
	data += sizeof(head);
	len -= sizeof(head);
	if (head[2] > len || head[3] > len - head[2])
		return;
	tables.form = head[0] % 3;
	tables.nr = head[1];
	tables.names = (struct vl_kallsyms_bytes){ data, head[2] };
	tables.tokens = (struct vl_kallsyms_bytes){ data + head[2], head[3] };
	tables.offsets =
		(struct vl_kallsyms_bytes){ data + head[2] + head[3], len - head[2] - head[3] };
	if (!vl_kallsyms_decode(&tables, VA, &s))
		return;
	if (!vl_discard(vl_kernel_create(&s, &layout, &k))) {
		ask(k);
		vl_kernel_destroy(k);
	}
	vl_symbols_move(&s, tables.form, 0x1000000);
	vl_symbols_deinit(&s);
}

/* The image of a kernel, in which tables are looked for. */
void fuzz_image(const unsigned char *data, size_t len)
{
	static const char *const names[] = { "init_task", "_text", "x" };
	struct vl_kallsyms found;
	uint64_t addresses[3];
	size_t btf_len;

	vl_image_search_btf(data, len, &btf_len);
	if (!vl_kallsyms_find(data, len, VA, 0, vl_deadline_in(WAIT_NS), &found))
		return;
	vl_kallsyms_addresses(data, &found, names, 3, addresses);
}

/* The file in which a process without rights hands over a kernel. */
void fuzz_kept(const unsigned char *data, size_t len)
{
	struct vl_kernel *k = NULL;

	vl_kernel_map(fuzz_file(data, len, 0), len, VA, &k);
	if (!k)
		return;
	ask(k);
	vl_kernel_destroy(k);
}
