/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists the processes of a guest, or of a dump, as they are in its memory:
 *
 *	cc -o processes processes.c $(pkg-config --cflags --libs vlens)
 *	./processes web1
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <vlens/vlens.h>

/* What comes out of a guest may be anything. */
static void print(struct vl_item_text text)
{
	for (size_t i = 0; i < text.len; i++)
		putchar(isprint((unsigned char)text.text[i]) ? text.text[i] : '?');
}

int main(int argc, char **argv)
{
	struct vl_guest_options options = { .uses = VL_GUEST_READ };
	const struct vl_process_info *p;
	struct vl_guest *guest = NULL;
	struct vl_items *items = NULL;
	struct vl_error *err;

	err = vl_guest_open(argc > 1 ? argv[1] : "", &options, &guest);
	if (!err)
		err = vl_guest_attach(guest, true);
	if (!err)
		err = vl_guest_items(guest, VL_ITEM_PROCESS, &items);
	for (size_t i = 0; (p = vl_items_process(items, i)); i++) {
		printf("%7d %8" PRIu64 " KiB ", p->pid, p->rss / 1024);
		/* A thread of the kernel has no command line. */
		print(vl_process_has(p, VL_PROCESS_INFO_ARGS) ? p->args : p->comm);
		putchar('\n');
	}
	if (err)
		fprintf(stderr, "%s; %s\n", err->message, err->hint ? err->hint : "");
	vl_items_close(items);
	vl_guest_close(guest);
	vl_error_destroy(err);
	return err ? 1 : 0;
}
