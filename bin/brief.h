/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shortens a report of checks: attachments of one kind by one owner become one row. */
#ifndef VLENS_BIN_BRIEF_H
#define VLENS_BIN_BRIEF_H

#include "view/table.h"

/*
 * Make each group of more than BRIEF_MOST rows of the class "attached" that have the same CHECK and
 * OWNER one row, at the place of the first: WHAT has their number and the first one, FOUND what is
 * different among them, ADDRESS is empty. A table without these columns stays as it is, and so
 * does any table without memory.
 */
#define BRIEF_MOST 1
void brief_attachments(struct vl_table *t);

#endif
