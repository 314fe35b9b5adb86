/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which host a command line is about. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/append.h"
#include "host/drivers.h"
#include "remote.h"

bool remote_is_guest(const char *word)
{
	struct stat st;

	return vl_spec_host(word) && (stat(word, &st) || !S_ISREG(st.st_mode));
}

bool remote_is_host(const char *name)
{
	/* "u@" before the name, ":g" behind it. */
	char spec[sizeof(((struct remote_host *)0)->name) + 4];

	/* As in a spec; a name that is a prefix of specs, like "qemu", can be a host's here. */
	if (strlen(name) + 4 >= sizeof(spec))
		return false;
	if (!strchr(name, '@'))
		snprintf(spec, sizeof(spec), "u@%s:g", name);
	else
		snprintf(spec, sizeof(spec), "%s:g", name);
	return vl_spec_host(spec) == strlen(spec) - 2;
}

/* Take the value of @name from "name=value" with @len bytes into @buf. */
static bool take(const char *at, size_t len, const char *name, char *buf, size_t size)
{
	const size_t skip = strlen(name);

	if (len <= skip || strncmp(at, name, skip) != 0 || at[skip] != '=')
		return false;
	snprintf(buf, size, "%.*s", (int)(len - skip - 1), at + skip + 1);
	return len - skip - 1 < size;
}

/* The part of the URI behind "?": ret->wrong is set where it asks for what ssh does not get. */
static void read_query(const char *query, struct remote_way *ret)
{
	bool passed = false;
	char value[16];

	for (const char *at = query; *at;) {
		size_t len = strcspn(at, "&");

		if (take(at, len, "no_tty", value, sizeof(value)))
			ret->host.is_batch = strcmp(value, "0") != 0;
		else if (len > 7 && !strncmp(at, "socket=", 7))
			passed = vl_append(ret->uri, sizeof(ret->uri), "%s%.*s", passed ? "&" : "?",
					   (int)len, at);
		else if (!take(at, len, "keyfile", ret->host.key, sizeof(ret->host.key)))
			ret->wrong =
				"of the part of the URI behind '?' vlens knows keyfile, no_tty "
				"and socket: the rest belongs in ~/.ssh/config";
		at += len + (at[len] == '&');
	}
}

bool remote_read_uri(const char *uri, struct remote_way *ret)
{
	const size_t driver = strcspn(uri, "+:");
	const char *at = uri + driver, *host, *port, *query;
	size_t len;

	*ret = (struct remote_way){ .wrong = NULL };
	/* libvirt reaches a host by ssh with any of these. */
	if (strncmp(at, "+ssh://", 7) && strncmp(at, "+libssh://", 10) &&
	    strncmp(at, "+libssh2://", 11))
		return false;
	host = strstr(at, "://") + 3;
	len = strcspn(host, "/?");
	at = host + len;
	port = memchr(host, ':', len);
	if (memchr(host, ']', len))
		port = memchr(memchr(host, ']', len), ':',
			      (size_t)(at - (char *)memchr(host, ']', len)));
	if (port && !memchr(port, '@', (size_t)(at - port))) {
		snprintf(ret->host.port, sizeof(ret->host.port), "%.*s", (int)(at - port - 1),
			 port + 1);
		len = (size_t)(port - host);
		if (!*ret->host.port || at - port > 6 ||
		    ret->host.port[strspn(ret->host.port, "0123456789")])
			ret->wrong = "its port is no number";
	}
	snprintf(ret->host.name, sizeof(ret->host.name), "%.*s", (int)len, host);
	if (len >= sizeof(ret->host.name) || !remote_is_host(ret->host.name))
		ret->wrong = "its host is no name that ssh can be given";
	query = strchr(at, '?');
	if (!vl_append(ret->uri, sizeof(ret->uri), "%.*s://%.*s", (int)driver, uri,
		       (int)(query ? query - at : (ssize_t)strlen(at)), at))
		ret->wrong = "it is too long";
	if (query)
		read_query(query + 1, ret);
	return true;
}
