/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_BASE_ARRAY_H
#define VLENS_BASE_ARRAY_H

/* How many elements the array @a has; gcc's -Wsizeof-pointer-div refuses a pointer. */
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
