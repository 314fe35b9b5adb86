/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers of monitors, and texts of /proc. */
#include "fuzzers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/hmp.h"
#include "host/proc.h"
#include "host/qmp.h"

static char *text_of(const unsigned char *data, size_t len)
{
	char *text = malloc(len + 1);

	if (!text)
		abort();
	memcpy(text, data, len);
	text[len] = '\0';
	return text;
}

/* An answer of the human monitor, to each of the commands. */
void fuzz_hmp(const unsigned char *data, size_t len)
{
	_cleanup_free_ char *text = text_of(data, len);
	struct vl_hmp_range *ranges = NULL;
	struct vl_vcpu *vcpus = NULL;
	uint64_t hva;
	size_t nr;

	if (!vl_discard(vl_hmp_mtree(text, &ranges, &nr)))
		free(ranges);
	if (!vl_discard(vl_hmp_registers(text, &vcpus, &nr)))
		free(vcpus);
	vl_error_destroy(vl_hmp_gpa2hva(text, &hva));
}

/* All that a monitor sends: its greeting, then answers to two commands. */
void fuzz_qmp(const unsigned char *data, size_t len)
{
	const uint64_t deadline = vl_now_ns() + VL_NSEC_PER_SEC;
	_cleanup_free_ char *answer = NULL;
	json_object *result = NULL;
	struct vl_qmp *q = NULL;
	bool greeted = false;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv))
		abort();
	/* What does not fit is not sent: the end of an answer is missing. */
	if (write(sv[1], data, len) < 0)
		abort();
	shutdown(sv[1], SHUT_WR);
	if (vl_discard(vl_qmp_attach(sv[0], &q)))
		abort();
	if (!vl_discard(vl_qmp_greet(q, deadline, &greeted)) && greeted) {
		vl_qmp_set_deadline(q, deadline);
		if (!vl_discard(vl_qmp_execute(q, "query-status", NULL, -1, &result)))
			json_object_put(result);
		vl_error_destroy(vl_qmp_hmp(q, "info registers -a", &answer));
	}
	vl_qmp_close(q);
	close(sv[1]);
}

/* The text of /proc/PID/maps, or of /proc/PID/stat. */
void fuzz_maps(const unsigned char *data, size_t len)
{
	_cleanup_free_ char *text = text_of(data, len);
	struct vl_vma *maps = NULL;
	uint64_t start;
	size_t nr;
	char state;

	if (!vl_discard(vl_parse_maps(text, &maps, &nr)))
		free(maps);
	vl_parse_stat(text, &state, &start);
}
