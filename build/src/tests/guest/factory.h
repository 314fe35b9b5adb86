/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_TESTS_FACTORY_H
#define VLENS_TESTS_FACTORY_H

/* Prints what and errno, ends the process with status 1. */
void die(const char *what);

/* Serves commands on a serial port, for ever. */
int run_agent(const char *tty);

#endif
