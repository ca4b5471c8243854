#!/bin/sh
# SPDX-License-Identifier: MIT
# Names in headers, names in the symbol map and exported symbols are the same.
set -eu
if grep -q '^CMAKE_C_FLAGS:[A-Z]*=.*-fsanitize' "$1/CMakeCache.txt"; then
	exec tools/check-api # a sanitizer exports names of its own
fi
exec tools/check-api "$1/libvirtio-offload.so"
