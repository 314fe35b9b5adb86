#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Usage: ./autogen.sh
#
# Makes ./configure and what it needs, after a checkout.
set -eu
cd "$(dirname "$0")"
for tool in autoreconf automake libtoolize pkg-config; do
	if ! command -v $tool >/dev/null; then
		echo "autogen.sh: $tool is missing; on Debian:" \
			"apt install autoconf automake libtool pkg-config" >&2
		exit 1
	fi
done
exec autoreconf --install --force
