/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of attack-host share. */
#ifndef VLENS_TEST_ATTACK_H
#define VLENS_TEST_ATTACK_H

#include <sys/types.h>

extern int tried;

/* One thing was tried, and it went @bad. */
void row(const char *name, int bad);

/* Succeeds only where it must not. */
#define NEVER(call) row(#call, (call) >= 0)
#define CALL(n, ...) row(#n, syscall(__NR_##n, ##__VA_ARGS__) >= 0)
/* Numbers that the headers of this machine may lack. */
#define NUMBER(name, nr, ...) row(name, syscall(nr, ##__VA_ARGS__) >= 0)

/* attack-races.c */
void race(const char *from_path, const char *to_path, const char *ino);
void race_exec(const char *from_path, const char *to_path);
void race_swap(const char *file, int flags, int number, int rounds);
void race_lock(const char *file);
void race_map(void);
void race_option(void);
void race_jobs(pid_t job);

#endif
