#!/bin/sh
# SPDX-License-Identifier: MIT
# The tree keeps to lib/FLOORS, and tools/check-floors sees it when it does not.
set -eu
tools/check-floors

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
refuses() { # refuses FILE LINE WHAT
	rm -rf "$tmp/tree"
	mkdir "$tmp/tree"
	cp -r lib include "$tmp/tree"
	echo "$2" >>"$tmp/tree/$1"
	if tools/check-floors "$tmp/tree" >"$tmp/out"; then
		echo "not seen: $3"
		exit 1
	fi
	grep -q "^$tmp/tree/$1:" "$tmp/out" || { echo "$3: the message does not name $1:"; cat "$tmp/out"; exit 1; }
}
refuses lib/base/base.h '#include "mem/mem.h"' "an include upward"
refuses lib/ring/vring.h '#include "queue/queue.h"' "an include of a room not listed"
refuses lib/base/error.c '#include "base.h"' "an include without its room"
refuses lib/base/error.c '#include "types.h"' "the list of types outside backend/"
refuses include/virtio-offload/base.h '#include "base/base.h"' "a public header that needs lib/"
refuses lib/FLOORS 'attic: cellar' "a floor on top of one that does not exist"
