/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Find a domain at libvirt, and its process. */
#include "libvirt.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "../base/number.h"
#include "internal.h"
#include "proc.h"
#include "qemu_args.h"

static bool is_denied(virErrorPtr e)
{
	switch (e ? e->code : VIR_ERR_OK) {
	case VIR_ERR_AUTH_FAILED:
	case VIR_ERR_AUTH_CANCELLED:
	case VIR_ERR_AUTH_UNAVAILABLE:
	case VIR_ERR_ACCESS_DENIED:
		return true;
	case VIR_ERR_SYSTEM_ERROR:
		/* For this code, int1 is errno. */
		return e->int1 == EACCES || e->int1 == EPERM;
	default:
		return false;
	}
}

struct vl_error *vl_domain_error(const struct vl_domain *d, const char *what)
{
	struct vl_error *err;
	virErrorPtr e = d->vir.GetLastError();
	const char *text = e && e->message ? e->message : "unknown error";

	err = vl_error_new(VL_ERR_TARGET, "%s: %.*s", what, (int)strcspn(text, "\n"), text);
	return is_denied(d->vir.GetLastError()) ? vl_target_denied(err) : err;
}

struct vl_error *vl_domain_hinted(struct vl_error *err)
{
	return vl_error_hint(err, "see whether virsh can: virsh list --all");
}

/* The hint when the connection fails. */
static const char *connect_hint(const struct vl_domain *d)
{
	virErrorPtr e = d->vir.GetLastError();

	switch (e ? e->code : VIR_ERR_OK) {
	case VIR_ERR_NO_CONNECT:
	case VIR_ERR_INVALID_ARG:
	case VIR_ERR_CONFIG_UNSUPPORTED:
		return "a URI is qemu:///system or qemu:///session, as in: -c qemu:///system";
	case VIR_ERR_AUTH_FAILED:
	case VIR_ERR_AUTH_CANCELLED:
	case VIR_ERR_AUTH_UNAVAILABLE:
		return "run as root; guests of your own session are on -c qemu:///session";
	case VIR_ERR_SYSTEM_ERROR:
		/* For this code, int1 is errno. */
		if (e->int1 == EACCES || e->int1 == EPERM)
			return "run as root; guests of your own session are on "
			       "-c qemu:///session";
		/* fall through */
	default:
		if (geteuid())
			return "run as root; guests of your own session are on "
			       "-c qemu:///session; or is libvirtd not running?";
		return "is libvirtd running (systemctl start libvirtd)? Name another with "
		       "-c, as qemu:///system; a guest without libvirt is qemu:PID or qmp:SOCKET";
	}
}

struct vl_error *vl_domain_connect(struct vl_domain *d)
{
	struct vl_error *err;

	if (d->conn)
		return NULL;
	err = vl_libvirt_load(&d->vir);
	if (err)
		return err;
	d->conn = d->vir.ConnectOpen(d->uri);
	if (d->conn)
		return NULL;
	return vl_error_hint(vl_domain_error(d, "cannot connect to libvirt"), "%s",
			     connect_hint(d));
}

/* In virsh's order: id, UUID, name. A name may be a number. */
virDomainPtr vl_domain_lookup(const struct vl_domain *d, const char *spec)
{
	virDomainPtr dom = NULL;
	long id;

	if (isdigit((unsigned char)*spec) && vl_number(spec, 0, INT_MAX, &id))
		dom = d->vir.DomainLookupByID(d->conn, (int)id);
	if (!dom && strlen(spec) >= VIR_UUID_STRING_BUFLEN - 5)
		dom = d->vir.DomainLookupByUUIDString(d->conn, spec);
	if (!dom)
		dom = d->vir.DomainLookupByName(d->conn, spec);
	return dom;
}

static struct vl_error *no_such_domain(const struct vl_domain *d, bool *no_such_ret)
{
	virErrorPtr e = d->vir.GetLastError();
	_cleanup_free_ char *uri = NULL;
	struct vl_error *err;

	if (e && e->code != VIR_ERR_NO_DOMAIN)
		return vl_error_hint(vl_domain_error(d, "libvirt cannot look the domain up"),
				     "see: virsh list --all");
	*no_such_ret = true;
	uri = d->vir.ConnectGetURI(d->conn);
	err = vl_error_new(VL_ERR_TARGET, "no such domain on %s", uri ? uri : "this libvirt");
	if (uri && strstr(uri, "/session"))
		vl_error_hint(err, "see: vlist, virsh list --all; for the system's domains add "
				   "-c qemu:///system");
	else
		vl_error_hint(err, "see: vlist, virsh list --all; a process is qemu:PID");
	return err;
}

struct vl_error *vl_domain_need(struct vl_domain *d, bool *no_such_ret)
{
	struct vl_error *err;

	if (d->dom)
		return NULL;
	err = vl_domain_connect(d);
	if (err) {
		*no_such_ret = true;
		return err;
	}
	d->dom = vl_domain_lookup(d, d->spec);
	return d->dom ? NULL : no_such_domain(d, no_such_ret);
}

/* Does the connection lead to another machine? */
static struct vl_error *check_local(const struct vl_domain *d)
{
	_cleanup_free_ char *uri = d->vir.ConnectGetURI(d->conn);
	const char *host = uri ? strstr(uri, "://") : NULL;
	int len;

	host = host ? host + 3 : "";
	len = (int)strcspn(host, "/?");
	if (!len || (len == 9 && !strncmp(host, "localhost", 9)))
		return NULL;
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET, "the domain runs on another host, %.*s", len, host),
		"run vlens there");
}

struct vl_error *vl_domain_check(const struct vl_domain *d)
{
	const char *type = d->vir.ConnectGetType(d->conn);
	const char *name = d->vir.DomainGetName(d->dom);
	int state = 0, reason = 0;

	if (!type || strcmp(type, "QEMU") != 0)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET,
				     "no QEMU is behind a domain of libvirt's %s driver",
				     type ? type : "unknown"),
			"only domains of qemu:///system and qemu:///session can be read");
	if (d->vir.DomainGetState(d->dom, &state, &reason, 0) < 0)
		return vl_domain_hinted(vl_domain_error(d, "cannot get the domain's state"));
	switch (state) {
	case VIR_DOMAIN_SHUTOFF:
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the domain is shut off"),
				     "start it: virsh start %s", name);
	case VIR_DOMAIN_CRASHED:
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the domain has crashed"),
				     "start it again: virsh start %s", name);
	default:
		return check_local(d);
	}
}

/* Encrypted memory reads as noise: fail instead. */
struct vl_error *vl_domain_encrypted(const struct vl_domain *d)
{
	_cleanup_free_ char *xml = d->vir.DomainGetXMLDesc(d->dom, 0);

	return xml && strstr(xml, "<launchSecurity") ? vl_target_encrypted() : NULL;
}

/* Is process @pid the QEMU of the domain with this UUID? */
bool vl_domain_runs(pid_t pid, const char *uuid)
{
	_cleanup_free_ char *args = NULL;
	struct vl_qemu_args qa;
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	if (vl_read_file(AT_FDCWD, path, 4 << 20, &args, &len) < 0)
		return false;
	vl_qemu_args_parse(args, len, &qa);
	return qa.is_qemu && !strcasecmp(qa.uuid, uuid);
}

/* The pid in libvirt's pid file in @dir; 0: no file, or not the domain's process. */
static pid_t pid_from_file(const char *dir, const char *sub, const char *name, const char *uuid)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	pid_t pid;

	if (!dir || asprintf(&path, "%s/%s/%s.pid", dir, sub, name) < 0) {
		path = NULL;
		return 0;
	}
	if (vl_read_file(AT_FDCWD, path, 64, &text, NULL) < 0)
		return 0;
	pid = (pid_t)vl_front_u64(text, 10);
	return pid > 0 && vl_domain_runs(pid, uuid) ? pid : 0;
}

struct vl_error *vl_domain_pid(const struct vl_domain *d, pid_t *ret)
{
	const char *name = d->vir.DomainGetName(d->dom);
	char uuid[VIR_UUID_STRING_BUFLEN];
	_cleanup_free_ pid_t *pids = NULL;
	size_t nr;
	pid_t pid;

	if (d->vir.DomainGetUUIDString(d->dom, uuid) < 0)
		return vl_domain_hinted(vl_domain_error(d, "cannot get the domain's UUID"));
	/* The pid files of libvirt's daemons: of the system, of a session. */
	pid = pid_from_file("/run/libvirt", "qemu", name, uuid);
	if (!pid)
		pid = pid_from_file(getenv("XDG_RUNTIME_DIR"), "libvirt/qemu/run", name, uuid);
	nr = pid ? 0 : vl_proc_pids(&pids);
	for (size_t i = 0; i < nr && !pid; i++)
		if (vl_domain_runs(pids[i], uuid))
			pid = pids[i];
	*ret = pid;
	if (pid)
		return NULL;
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "cannot find the domain's QEMU process"),
			     "run vlens as root, on the host and in the PID namespace of libvirtd");
}
