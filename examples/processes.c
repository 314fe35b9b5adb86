/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists the processes of a guest, or of a dump, as they are in its memory:
 *
 *	cc -o processes processes.c $(pkg-config --cflags --libs vlens)
 *	./processes web1
 */
#include <ctype.h>
#include <stdio.h>
#include <vlens/vlens.h>

int main(int argc, char **argv)
{
	const struct vl_column *columns = vl_scan_pslist.columns;
	int pid = vl_column_find(columns, "PID", 3), name = vl_column_find(columns, "COMM", 4);
	struct vl_guest_options options = { .uses = VL_GUEST_READ };
	struct vl_guest *guest = NULL;
	struct vl_error *err;
	struct vl_table table;

	vl_table_init(&table, columns);
	err = vl_guest_open(argc > 1 ? argv[1] : "", &options, &guest);
	if (!err)
		err = vl_guest_attach(guest, true);
	if (!err)
		err = vl_guest_scan(guest, &vl_scan_pslist, &table);
	for (size_t row = 0; !err && row < table.nr_rows; row++) {
		const struct vl_cell *cell = vl_table_cell(&table, row, (size_t)name);
		const char *text = vl_table_bytes(&table, cell);

		printf("%7lld ", (long long)vl_table_cell(&table, row, (size_t)pid)->i);
		/* What comes out of a guest may be anything. */
		for (size_t i = 0; cell->kind == VL_CELL_TEXT && i < cell->text.len; i++)
			putchar(isprint((unsigned char)text[i]) ? text[i] : '?');
		putchar('\n');
	}
	if (err)
		fprintf(stderr, "%s; %s\n", err->message, err->hint ? err->hint : "");
	vl_guest_close(guest);
	vl_table_deinit(&table);
	vl_error_destroy(err);
	return err ? 1 : 0;
}
