/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front: a small program of the same sources, behind the names of mirrored programs. It can run
 * a program under a keeper. For all else it becomes the whole program. To load and to end the whole
 * one takes longer than most programs run.
 */
#ifndef VLENS_BIN_FRONT_H
#define VLENS_BIN_FRONT_H

struct request;

#ifdef VL_FRONT

/* Call it first: @argv is what the whole program would get. */
void front_begin(char **argv);
/* The path of the whole program, or NULL: it cannot be found. */
const char *front_whole(void);
/* The program was run: the front must not become the whole program any more. */
void front_end(void);
/* Become the whole program. */
void __attribute__((noreturn)) front_go_on(void);
/* The same, for a view. */
int front_view(struct request *r);

#else

static inline void front_begin(char **argv)
{
	(void)argv;
}

static inline void front_end(void)
{
}

static inline void front_go_on(void)
{
}

static inline const char *front_whole(void)
{
	return 0;
}

#endif

#endif
