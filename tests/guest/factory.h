/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_TESTS_FACTORY_H
#define VLENS_TESTS_FACTORY_H

#include <stdbool.h>

/* Prints what and errno, ends the process with status 1. */
void die(const char *what);

/* Serves commands on a serial port, for ever. */
int run_agent(const char *tty);

/* Makes the events for vwatch that @argv asks for (events.c); false: it asks for none. */
bool run_event(int argc, char **argv);

#endif
