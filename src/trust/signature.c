/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "signature.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../base/append.h"

/* --- DER (X.690), as far as PKCS #7 needs it --- */

enum {
	DER_INTEGER = 0x02,
	DER_OID = 0x06,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
	DER_EXPLICIT_0 = 0xa0, /* a tagged part: the content, or certificates */
	DER_KEY_ID = 0x80,
};

struct der {
	const unsigned char *at;
	size_t left;
};

/* Take the next value from @d; false: there is none. */
static bool next(struct der *d, unsigned *tag_ret, struct der *ret)
{
	size_t len, head = 2, more;

	if (d->left < 2)
		return false;
	*tag_ret = d->at[0];
	len = d->at[1];
	if (len & 0x80) {
		more = len & 0x7f;
		if (!more || more > 4 || more > d->left - 2)
			return false;
		len = 0;
		for (size_t i = 0; i < more; i++)
			len = len << 8 | d->at[2 + i];
		head += more;
	}
	if (len > d->left - head)
		return false;
	*ret = (struct der){ d->at + head, len };
	d->at += head + len;
	d->left -= head + len;
	return true;
}

/* Take the next value, which must be of @tag. */
static bool take(struct der *d, unsigned tag, struct der *ret)
{
	unsigned is;

	return next(d, &is, ret) && is == tag;
}

/* The common name (2.5.4.3) in a Name, with '?' for what is not plain. */
static bool common_name(struct der name, char *ret, size_t size)
{
	static const unsigned char id[] = { 0x55, 0x04, 0x03 };
	struct der set, pair, oid, text;
	unsigned tag;

	while (take(&name, DER_SET, &set)) {
		if (!take(&set, DER_SEQUENCE, &pair) || !take(&pair, DER_OID, &oid) ||
		    !next(&pair, &tag, &text))
			return false;
		if (oid.left != sizeof(id) || memcmp(oid.at, id, sizeof(id)) != 0)
			continue;
		snprintf(ret, size, "%.*s", (int)text.left, (const char *)text.at);
		for (char *c = ret; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		return *ret;
	}
	return false;
}

/* The first signer of a PKCS #7 message (RFC 2315). */
static void pkcs7_signer(struct der d, char *ret, size_t size)
{
	struct der info, oid, content, data, part, signers = { NULL, 0 }, signer, who, issuer,
						   number;
	char name[64], serial[48] = "";
	unsigned tag;

	if (!take(&d, DER_SEQUENCE, &info) || !take(&info, DER_OID, &oid) ||
	    !take(&info, DER_EXPLICIT_0, &content) || !take(&content, DER_SEQUENCE, &data))
		return;
	/* The signers are the last set. */
	while (next(&data, &tag, &part))
		if (tag == DER_SET)
			signers = part;
	if (!take(&signers, DER_SEQUENCE, &signer) || !take(&signer, DER_INTEGER, &part) ||
	    !next(&signer, &tag, &who))
		return;
	if (tag == DER_KEY_ID) {
		vl_append_hex(serial, sizeof(serial), who.at, who.left);
		snprintf(ret, size, "key %s", serial);
	} else if (tag == DER_SEQUENCE && take(&who, DER_SEQUENCE, &issuer) &&
		   take(&who, DER_INTEGER, &number) && common_name(issuer, name, sizeof(name))) {
		vl_append_hex(serial, sizeof(serial), number.at, number.left);
		snprintf(ret, size, "%s, %s", name, serial);
	}
}

/* --- where the signature is --- */

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* struct module_signature, and the text behind it (include/linux/module_signature.h). */
static bool module_signature(const unsigned char *file, size_t len, struct der *ret)
{
	static const char end[] = "~Module signature appended~\n";
	size_t n = sizeof(end) - 1, size;
	const unsigned char *p;

	if (len < n + 12 || memcmp(file + len - n, end, n) != 0)
		return false;
	p = file + len - n - 4;
	size = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	len -= n + 12;
	if (size > len)
		return false;
	*ret = (struct der){ file + len - size, size };
	return true;
}

/* The first entry of the certificate table of a PE32+ file (Microsoft's PE format). */
static bool pe_signature(const unsigned char *file, size_t len, struct der *ret)
{
	enum { PE_AT = 0x3c, OPTIONAL = 24, CERTIFICATES = 144, ENTRY = 8 };
	size_t pe, at, size;

	if (len < 0x40 || memcmp(file, "MZ", 2) != 0)
		return false;
	pe = get32(file + PE_AT);
	if (pe > len || len - pe < OPTIONAL + CERTIFICATES + 8 ||
	    memcmp(file + pe, "PE\0\0", 4) != 0 || file[pe + OPTIONAL] != 0x0b ||
	    file[pe + OPTIONAL + 1] != 0x02)
		return false;
	at = get32(file + pe + OPTIONAL + CERTIFICATES);
	size = get32(file + pe + OPTIONAL + CERTIFICATES + 4);
	if (size < ENTRY || at > len || size > len - at)
		return false;
	*ret = (struct der){ file + at + ENTRY, size - ENTRY };
	return true;
}

void vl_signer(const unsigned char *file, size_t len, char *ret, size_t size)
{
	struct der d;

	*ret = '\0';
	if (module_signature(file, len, &d) || pe_signature(file, len, &d))
		pkcs7_signer(d, ret, size);
}
