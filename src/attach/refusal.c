/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "refusal.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/dirs.h"
#include "../host/kept.h"
#include "system.h"

/* Another release of vlens may understand the kernel. */
#define FORMAT "vlens-refusal-1 " VLENS_VERSION

/* The mark (vl_system_mark()) of all vCPUs. False: they run different kernels, or none. */
static bool mark_of(struct vl_target *t, uint64_t *ret)
{
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	bool found = false, same = true;
	uint64_t mark;
	size_t nr;

	if (vl_discard(vl_target_vcpus(t, &vcpus, &nr)))
		return false;
	for (size_t i = 0; i < nr; i++) {
		if (!vl_system_mark(vl_system_read, t, &vcpus[i], &mark))
			continue;
		same = same && (!found || mark == *ret);
		*ret = mark;
		found = true;
	}
	return found && same;
}

void vl_refusal_keep(struct vl_target *t, const struct vl_error *err)
{
	_cleanup_free_ char *text = NULL;
	uint64_t mark;
	int n;

	if (!mark_of(t, &mark))
		return;
	n = asprintf(&text, FORMAT " %016" PRIx64 "\n%s\n%s\n", mark, err->message,
		     err->hint ? err->hint : "");
	if (n < 0)
		text = NULL;
	else
		vl_error_destroy(vl_kept_store(t, VL_KEPT_REFUSAL, NULL, text, (size_t)n));
}

struct vl_error *vl_refusal_find(struct vl_target *t)
{
	_cleanup_free_ char *text = NULL;
	char *message, *hint, *end;
	uint64_t kept, now;
	size_t len;
	int at = 0;

	if (vl_discard(vl_kept_load(t, VL_KEPT_REFUSAL, NULL, &text, &len)))
		return NULL;
	if (sscanf(text, FORMAT " %16" SCNx64 "%n", &kept, &at) != 1 || text[at] != '\n')
		return NULL;
	message = text + at + 1;
	hint = strchr(message, '\n');
	end = hint ? strchr(hint + 1, '\n') : NULL;
	if (!end || !mark_of(t, &now) || now != kept)
		return NULL;
	*hint++ = *end = '\0';
	return vl_error_hint(vl_error_new(VL_ERR_KERNEL, "%s", message), "%s", hint);
}

void vl_refusal_forget_all(void)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;

	if (vl_discard(vl_run_dir(&path)))
		return;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		const char *end = strrchr(e->d_name, '.');

		if (end && !strcmp(end, ".refusal"))
			unlinkat(dirfd(dir), e->d_name, 0);
	}
}
