/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "webconfig.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/library.h"

/* The most bytes of the file, and of a certificate or key. */
#define FILE_MAX 262144

struct api {
	int (*init)(yaml_parser_t *);
	void (*deinit)(yaml_parser_t *);
	void (*set_input)(yaml_parser_t *, const unsigned char *, size_t);
	int (*load)(yaml_parser_t *, yaml_document_t *);
	void (*free_document)(yaml_document_t *);
	yaml_node_t *(*root)(yaml_document_t *);
	yaml_node_t *(*node)(yaml_document_t *, int);
};

static const char *const functions[] = {
	"yaml_parser_initialize", "yaml_parser_delete",	  "yaml_parser_set_input_string",
	"yaml_parser_load",	  "yaml_document_delete", "yaml_document_get_root_node",
	"yaml_document_get_node",
};
_Static_assert(sizeof(struct api) == sizeof(functions), "one pointer for each name");

struct reading {
	struct api api;
	yaml_document_t doc;
	const char *path;
	struct web_config *ret;
};

static struct vl_error *read_file(const char *path, char **ret, size_t *len_ret)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *text = malloc(FILE_MAX + 1);
	size_t len;

	if (!text)
		return vl_error_nomem();
	len = f ? fread(text, 1, FILE_MAX + 1, f) : 0;
	if (!f || ferror(f))
		return vl_error_new(VL_ERR_OS, "cannot read %s: %s", path, strerror(errno));
	if (len > FILE_MAX || memchr(text, '\0', len))
		return vl_error_new(VL_ERR_ARG, "%s is not such a file", path);
	text[len] = '\0';
	*len_ret = len;
	*ret = vl_taken(text);
	return NULL;
}

static const char *text_of(const yaml_node_t *n)
{
	return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static struct vl_error *unknown(const struct reading *r, const char *key)
{
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "%s: '%s' is not known here", r->path,
					  key ? key : "a key that is not a text"),
			     "tls_server_config has cert_file and key_file, basic_auth_users has "
			     "names and hashes of bcrypt");
}

/* Call @fn for each pair of the mapping @n. */
static struct vl_error *each(struct reading *r, const yaml_node_t *n,
			     struct vl_error *(*fn)(struct reading *r, const char *key,
						    const yaml_node_t *value))
{
	struct vl_error *err = NULL;

	if (!n || n->type != YAML_MAPPING_NODE)
		return vl_error_new(VL_ERR_ARG, "%s: a mapping is missing", r->path);
	for (const yaml_node_pair_t *p = n->data.mapping.pairs.start;
	     !err && p < n->data.mapping.pairs.top; p++) {
		const char *key = text_of(r->api.node(&r->doc, p->key));

		err = key ? fn(r, key, r->api.node(&r->doc, p->value)) : unknown(r, NULL);
	}
	return err;
}

/* A file that is named relatively is in the folder of the configuration. */
static struct vl_error *read_named(const struct reading *r, const char *name, char **ret)
{
	_cleanup_free_ char *folder = strdup(r->path), *path = NULL;
	size_t len;

	if (!folder || asprintf(&path, "%s%s%s", *name == '/' ? "" : dirname(folder),
				*name == '/' ? "" : "/", name) < 0) {
		path = NULL;
		return vl_error_nomem();
	}
	free(vl_taken(*ret));
	return read_file(path, ret, &len);
}

static struct vl_error *take_tls(struct reading *r, const char *key, const yaml_node_t *value)
{
	const char *name = text_of(value);

	if (!name || !*name)
		return unknown(r, key);
	if (!strcmp(key, "cert_file"))
		return read_named(r, name, &r->ret->cert);
	if (!strcmp(key, "key_file"))
		return read_named(r, name, &r->ret->key);
	return unknown(r, key);
}

static struct vl_error *take_user(struct reading *r, const char *key, const yaml_node_t *value)
{
	const char *hash = text_of(value);
	struct web_user *more = reallocarray(r->ret->users, r->ret->nr_users + 1, sizeof(*more)),
			*u;

	if (!more)
		return vl_error_nomem();
	r->ret->users = more;
	/* $2a$, $2b$, $2y$ and a cost, in 60 bytes. */
	if (!hash || strncmp(hash, "$2", 2) != 0 || strlen(hash) != 60)
		return vl_error_hint(vl_error_new(VL_ERR_ARG,
						  "%s: the password of '%s' is not a hash "
						  "of bcrypt",
						  r->path, key),
				     "htpasswd -nBC 10 '' prints one");
	u = &more[r->ret->nr_users++];
	u->name = strdup(key);
	u->hash = strdup(hash);
	return u->name && u->hash ? NULL : vl_error_nomem();
}

static struct vl_error *take_part(struct reading *r, const char *key, const yaml_node_t *value)
{
	if (!strcmp(key, "tls_server_config"))
		return each(r, value, take_tls);
	if (!strcmp(key, "basic_auth_users"))
		return each(r, value, take_user);
	return unknown(r, key);
}

static struct vl_error *parse(struct reading *r, const char *text, size_t len)
{
	struct vl_error *err = NULL;
	yaml_parser_t parser;

	if (!r->api.init(&parser))
		return vl_error_nomem();
	r->api.set_input(&parser, (const unsigned char *)text, len);
	if (!r->api.load(&parser, &r->doc)) {
		err = vl_error_new(VL_ERR_ARG, "%s is not YAML: line %zu: %s", r->path,
				   parser.problem_mark.line + 1,
				   parser.problem ? parser.problem : "it cannot be read");
	} else {
		/* An empty file asks for nothing. */
		if (r->api.root(&r->doc))
			err = each(r, r->api.root(&r->doc), take_part);
		r->api.free_document(&r->doc);
	}
	r->api.deinit(&parser);
	return err;
}

struct vl_error *web_config_read(const char *path, struct web_config *ret)
{
	static const struct vl_library lib = {
		.file = "libyaml-0.so.2",
		.name = "libyaml, which reads the file of --web-config",
		.hint = "install it (on Debian: apt install libyaml-0-2)",
	};
	struct reading r = { .path = path, .ret = ret };
	_cleanup_free_ char *text = NULL;
	struct vl_error *err;
	size_t len = 0;

	*ret = (struct web_config){ .cert = NULL };
	err = vl_library_load(&lib, functions, ARRAY_SIZE(functions), &r.api);
	if (!err)
		err = read_file(path, &text, &len);
	if (!err)
		err = parse(&r, text, len);
	if (!err && !ret->cert != !ret->key)
		err = vl_error_new(VL_ERR_ARG, "%s: a certificate and its key go together", path);
	if (err)
		web_config_free(ret);
	return err;
}

void web_config_free(struct web_config *c)
{
	free(c->cert);
	free(c->key);
	for (size_t i = 0; i < c->nr_users; i++) {
		free(c->users[i].name);
		free(c->users[i].hash);
	}
	free(c->users);
	*c = (struct web_config){ .cert = NULL };
}
