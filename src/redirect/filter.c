/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The BPF program, from the policy table. libseccomp writes it; we install it
 * ourselves, because libseccomp 2.5 cannot ask for the flag that keeps signals
 * from interrupting a call that is being answered.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

static int add_rules(scmp_filter_ctx ctx)
{
	for (size_t i = 0; i < vl_policy_nr; i++) {
		const struct vl_policy *p = &vl_policy[i];
		uint32_t action = p->decision == TRACE ? SCMP_ACT_TRACE(0) : SCMP_ACT_NOTIFY;
		int err = seccomp_rule_add_array(ctx, action, p->nr, p->nr_cmp, p->cmp);

		/* Two rows of one call may say the same twice. */
		if (err && err != -EEXIST)
			return err;
	}
	return 0;
}

/*
 * Build the filter: what the table lists goes to the supervisor, all else is
 * allowed; calls of another architecture (int 0x80, x32), which the table does
 * not cover, do not exist.
 */
struct vl_error *vl_redirect_filter_create(struct vl_redirect_filter **ret)
{
	struct vl_redirect_filter *f = calloc(1, sizeof(*f));
	scmp_filter_ctx ctx;
	off_t size;
	int err = -ENOMEM, fd = -1;

	if (!f)
		return vl_error_nomem();
	ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (!ctx) {
		free(f);
		return vl_error_nomem();
	}
	err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (!err)
		err = add_rules(ctx);
	if (err)
		goto out;
	fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	err = seccomp_export_bpf(ctx, fd);
	if (err)
		goto out;
	size = lseek(fd, 0, SEEK_END);
	f->insns = size > 0 ? malloc(size) : NULL;
	f->nr = size / sizeof(*f->insns);
	if (!f->insns)
		err = -ENOMEM;
	else if (pread(fd, f->insns, size, 0) != size)
		err = -EIO;
out:
	if (fd >= 0)
		close(fd);
	seccomp_release(ctx);
	if (err) {
		vl_redirect_filter_destroy(f);
		return vl_error_os(-err, "cannot build the system call filter");
	}
	*ret = f;
	return NULL;
}

void vl_redirect_filter_destroy(struct vl_redirect_filter *f)
{
	if (!f)
		return;
	free(f->insns);
	free(f);
}
