/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C, the checksum of the frames of snappy (RFC 3720, 12.1; B.4 has values to test with). */
#ifndef VLENS_BASE_CRC32C_H
#define VLENS_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t vl_crc32c(const void *bytes, size_t len);

#endif
