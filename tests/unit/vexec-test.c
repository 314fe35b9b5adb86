/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vexec over the host's own kernel: vexec-test [OPTIONS] COMMAND [ARG…]. With -k N the command
 * runs N times, as under a keeper: what it prints is of all runs, the counts are of the last one.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostsys.h"
#include "redirect/memfds.h"
#include "redirect/redirect.h"

static void print_calls(const char *key, const struct vl_redirect_calls *c)
{
	for (size_t i = 0; i < c->nr; i++) {
		char *name = vl_redirect_number_name(c->call[i].nr);

		fprintf(stderr, "%s: %s %u\n", key, name, c->call[i].count);
		free(name);
	}
}

static void print_stats(const struct vl_redirect_stats *s)
{
	fprintf(stderr,
		"traps %lu calls %lu whole files %lu epochs %lu retries %lu gave up %lu "
		"open %.1f ms\n",
		s->traps, s->guest_calls, s->whole_files, s->epochs, s->retries, s->gave_up,
		s->open_ns / 1e6);
	fprintf(stderr, "on disk %lu (%s) unanswered %lu (%s) %s\n", s->lost.on_disk,
		s->lost.on_disk_first, s->lost.unanswered, s->lost.why,
		s->lost.main ? "main" : "child");
	if (s->lost.names)
		fputs("names are numbers\n", stderr);
	print_calls("denied", &s->denied);
	print_calls("not allowed", &s->not_allowed);
	fprintf(stderr, "confined: %x\n", s->confined);
}

/* What a keeper does between two programs. */
static void between(struct vl_redirect_kept *kept)
{
	if (kept->mounts >= 0)
		close(kept->mounts);
	kept->mounts = -1;
	vl_redirect_make_ipc(kept);
	while (vl_memfds_prepare(kept))
		;
}

int main(int argc, char **argv)
{
	struct vl_redirect_stats stats = { 0 };
	struct vl_redirect_options o = { 0 };
	struct hostsys_options h = { 0 };
	const char *guest_paths[2] = { NULL, NULL };
	struct vl_error *err;
	struct vl_sys *sys;
	struct vl_redirect_kept kept = { .network = -1, .ipc = -1, .mounts = -1 };
	int c, status, verbose = 0, runs = 1;

	while ((c = getopt(argc, argv, "+r:f:p:g:u:i:sG:a:bnt:l:L:F:k:")) != -1)
		switch (c) {
		case 'r':
			h.root = optarg;
			break;
		case 'f':
			h.fail_every = atoi(optarg);
			break;
		case 'p':
			h.fail_path = optarg;
			break;
		case 'g':
			h.gone_after = atoi(optarg);
			break;
		case 'u':
			h.call_us = atoi(optarg);
			break;
		case 'i':
			h.pid = atoi(optarg);
			break;
		case 't':
			h.clock_offset = atol(optarg);
			break;
		case 'l':
			h.lie_of = optarg;
			break;
		case 'L':
			h.lie = strtoll(optarg, NULL, 0);
			break;
		case 's':
			verbose = 1;
			break;
		case 'G':
			guest_paths[0] = optarg;
			o.guest_paths = guest_paths;
			break;
		case 'F':
			o.host_files = optarg;
			break;
		case 'a':
			o.arg0 = optarg;
			break;
		case 'b':
			h.brief = true;
			break;
		case 'n':
			o.no_pin = true;
			break;
		case 'k':
			o.kept = &kept;
			runs = atoi(optarg);
			break;
		default:
			return 2;
		}
	o.argv = argv + optind;
	sys = hostsys_create(&h);
	if (!sys)
		return 3;
	while (runs--) {
		stats = (struct vl_redirect_stats){ 0 };
		err = vl_redirect_run(sys, &o, &status, &stats);
		if (err) {
			fprintf(stderr, "vexec-test: %s%s%s\n", err->message, err->hint ? "; " : "",
				err->hint ? err->hint : "");
			vl_error_destroy(err);
		}
		if (o.kept)
			between(&kept);
	}
	if (verbose)
		print_stats(&stats);
	hostsys_destroy(sys);
	vl_memfds_destroy(kept.memfds);
	vl_redirect_locales_deinit(&kept.locales);
	if (kept.network >= 0)
		close(kept.network);
	if (kept.ipc >= 0)
		close(kept.ipc);
	return status;
}
