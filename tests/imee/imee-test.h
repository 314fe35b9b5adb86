/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_TESTS_IMEE_TEST_H
#define VLENS_TESTS_IMEE_TEST_H

/* imee-vcpus.c. @fd is attached to the machine of vm.h. */
void test_running(int fd);
void test_still(int fd); /* vCPUs that execute nothing */
void test_watch(int fd);

#endif
