/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The paths of control groups: their containers and units, and names made to look so. */
#include "view/container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tap.h"

#define ID "3f2a0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"
#define OTHER "ffff0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"
#define POD "5d4f37a1-0c11-4d2e-9a53-6f0f1c0e7b21"
#define POD_UNIT "5d4f37a1_0c11_4d2e_9a53_6f0f1c0e7b21"
#define HASH "0123456789abcdef0123456789abcdef"

/* An empty text stands for none. */
static const struct row {
	const char *path, *label, *unit, *pod;
} rows[] = {
	/* Docker: with systemd, with cgroupfs, in a hierarchy of version 1 below a parent. */
	{ "/system.slice/docker-" ID ".scope", "docker/3f2a01234567", "docker-" ID ".scope", "" },
	{ "/docker/" ID, "docker/3f2a01234567", "", "" },
	{ "/docker/" ID "/init.scope", "docker/3f2a01234567", "", "" },
	{ "/system.slice/docker.service/docker/" ID, "docker/3f2a01234567", "docker.service", "" },
	{ "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-" ID ".scope",
	  "docker/3f2a01234567", "user@1000.service", "" },
	/* Podman: with systemd, with cgroupfs; its monitor is not in the container. */
	{ "/machine.slice/libpod-" ID ".scope/container", "podman/3f2a01234567",
	  "libpod-" ID ".scope", "" },
	{ "/libpod_parent/libpod-" ID "/ctr", "podman/3f2a01234567", "", "" },
	{ "/libpod_parent/" ID, "podman/3f2a01234567", "", "" },
	{ "/machine.slice/libpod-conmon-" ID ".scope", "", "libpod-conmon-" ID ".scope", "" },
	/* containerd and CRI-O, in Kubernetes with systemd and with cgroupfs, and without it. */
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_UNIT
	  ".slice/cri-containerd-" ID ".scope",
	  "containerd/3f2a01234567", "cri-containerd-" ID ".scope", POD },
	{ "/kubepods.slice/kubepods-pod" POD_UNIT ".slice/crio-" ID ".scope", "crio/3f2a01234567",
	  "crio-" ID ".scope", POD },
	{ "/kubepods.slice/kubepods-pod" POD_UNIT ".slice/crio-conmon-" ID ".scope", "",
	  "crio-conmon-" ID ".scope", POD },
	{ "/kubepods/besteffort/pod" POD "/" ID, "kubernetes/3f2a01234567", "", POD },
	{ "/kubepods/pod" HASH "/" ID, "kubernetes/3f2a01234567", "", HASH },
	{ "/kubepods/besteffort/pod" POD "/crio-" ID, "crio/3f2a01234567", "", POD },
	{ "/kubepods/besteffort/pod12-ab/" ID, "", "", "" },
	{ "/k8s.io/" ID, "containerd/3f2a01234567", "", "" },
	{ "/system.slice/nerdctl-" ID ".scope", "containerd/3f2a01234567", "nerdctl-" ID ".scope",
	  "" },
	/* LXC of several ages, and its monitor. */
	{ "/lxc.payload.web", "lxc/web", "", "" },
	{ "/lxc.payload/web/system.slice/cron.service", "lxc/web", "", "" },
	{ "/lxc/101/ns/init.scope", "lxc/101", "", "" },
	{ "/lxc.monitor.web", "", "", "" },
	{ "/lxc.payload.", "", "", "" },
	/* systemd-nspawn and systemd-machined; a virtual machine is no container. */
	{ "/machine.slice/systemd-nspawn@web.service/payload/init.scope", "nspawn/web",
	  "systemd-nspawn@web.service", "" },
	{ "/machine.slice/systemd-nspawn@a\\x2db.service", "nspawn/a-b",
	  "systemd-nspawn@a\\x2db.service", "" },
	{ "/machine.slice/machine-web.scope/payload", "nspawn/web", "machine-web.scope", "" },
	{ "/machine.slice/machine-lxc\\x2d7\\x2dweb.scope", "libvirt/7-web",
	  "machine-lxc\\x2d7\\x2dweb.scope", "" },
	{ "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator", "",
	  "machine-qemu\\x2d1\\x2dweb.scope", "" },
	/* Of containers in containers the outermost. */
	{ "/lxc.payload.web/docker/" ID, "lxc/web", "", "" },
	{ "/docker/" ID "/docker/" OTHER, "docker/3f2a01234567", "", "" },
	/* Units, as ps -o unit has them: the first group below the slices. */
	{ "/system.slice/nginx.service", "", "nginx.service", "" },
	{ "/init.scope", "", "init.scope", "" },
	{ "/system.slice/system-getty.slice/getty@tty1.service", "", "getty@tty1.service", "" },
	{ "/user.slice/user-0.slice/session-1.scope", "", "session-1.scope", "" },
	{ "/foo/nginx.service", "", "", "" },
	{ "/system.slice", "", "", "" },
	{ "/system.slice/.service", "", "", "" },
	/* Names made to look so. */
	{ "/system.slice/docker.service", "", "docker.service", "" },
	{ "/system.slice/docker-.scope", "", "docker-.scope", "" },
	{ "/system.slice/docker-" ID "0.scope", "", "docker-" ID "0.scope", "" },
	{ "/docker/3F2A0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789AB", "", "", "" },
	{ "/dockers/" ID, "", "", "" },
	{ "/docker/short", "", "", "" },
	{ "/machine.slice/machine-a\\x2fb.scope", "", "machine-a\\x2fb.scope", "" },
	{ "/machine.slice/machine-a\\x00b.scope", "", "machine-a\\x00b.scope", "" },
	{ "/machine.slice/machine-a\\x2.scope", "nspawn/a\\x2", "machine-a\\x2.scope", "" },
	{ "/system.slice/a b.service", "", "", "" },
	{ "/system.slice/\033[2J.service", "", "", "" },
	{ "//docker///" ID "//", "docker/3f2a01234567", "", "" },
	{ "/", "", "", "" },
	{ "", "", "", "" },
};

static void test_rows(void)
{
	char label[VL_CONTAINER_LABEL_MAX];
	struct vl_container c;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		bool is = vl_container_parse(r->path, strlen(r->path), &c);

		vl_container_label(&c, '/', label);
		if (!ok(is == (*r->label || *r->unit) && !strcmp(label, r->label) &&
				!strcmp(c.unit, r->unit) && !strcmp(c.pod, r->pod),
			"group %zu: %.60s", i, *r->path == '/' ? r->path + 1 : "none"))
			printf("# container '%s', unit '%s', pod '%s'\n", label, c.unit, c.pod);
	}
}

static void test_ids(void)
{
	char label[VL_CONTAINER_LABEL_MAX];
	struct vl_container c;

	vl_container_parse("/docker/" ID, strlen("/docker/" ID), &c);
	ok(!strcmp(c.id, ID) && !c.named, "the id is whole");
	vl_container_label(&c, ':', label);
	ok(!strcmp(label, "docker:3f2a01234567"), "and its label has another separator");
	vl_container_parse("/lxc/a", 6, &c);
	ok(!strcmp(c.id, "a") && c.named, "a name is no id");
}

/* Paths of any bytes and any length, without a NUL behind them: for the sanitizers. */
static void test_any(void)
{
	static const char *const parts[] = {
		"/",   "docker-",  ID,	   ".scope", "lxc.payload.", "machine-", "\\x",
		"2d",  "kubepods", "-pod", POD_UNIT, ".slice",	     ".service", "systemd-nspawn@",
		"pod", "\n"
	};
	bool good = true;

	srandom(1);
	for (int round = 0; round < 20000; round++) {
		size_t want = (size_t)random() % 600, len = 0;
		char *path = malloc(want + 1);
		struct vl_container c;

		while (path && len < want) {
			const char *part = parts[(size_t)random() % ARRAY_SIZE(parts)];
			size_t n = strlen(part) < want - len ? strlen(part) : want - len;

			memcpy(path + len, part, n);
			len += n;
			if (len < want && random() % 8 == 0)
				path[len++] = (char)random();
		}
		if (!path)
			continue;
		path = realloc(path, len + !len);
		vl_container_parse(path, len, &c);
		good = good && memchr(c.id, '\0', sizeof(c.id)) &&
		       memchr(c.unit, '\0', sizeof(c.unit)) && !c.runtime == !c.id[0] &&
		       !strpbrk(c.unit, "/\n\033 ") && !strchr(c.id, '/');
		free(path);
	}
	ok(good, "of any path the texts end, and have no slash");
}

int main(void)
{
	test_rows();
	test_ids();
	test_any();
	return tap_end();
}
