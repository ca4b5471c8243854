#!/bin/bash
# SPDX-License-Identifier: MIT
# tools/looks-random takes random data, with holes or without, and finds plain text whether it is told what or not.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

expect() { # STATUS FILE STRING...
	local status=0
	tools/looks-random "${@:2}" >"$work/said" 2>&1 || status=$?
	[ $status = "$1" ] || { echo "expected status $1, got $status for ${2##*/}: $(cat "$work/said")"; exit 1; }
}

head -c 2M /dev/urandom >"$work/random"
expect 0 "$work/random" 'lost+found'

truncate -s 16M "$work/holes"
dd if="$work/random" of="$work/holes" bs=1M seek=7 conv=notrunc status=none
expect 0 "$work/holes"

printf 'lost+found' | dd of="$work/random" bs=1 seek=777777 conv=notrunc status=none
expect 1 "$work/random" 'lost+found'
grep -q 'lost+found' "$work/said" || { echo "the text found is not named"; exit 1; }

# A single sector in thousands would be lost in the noise; a hundredth of all is not.
head -c 2M /dev/urandom >"$work/mixed"
head -c 40K "$0" >"$work/text"
for i in {1..8}; do cat "$work/text"; done | dd of="$work/mixed" bs=1M seek=1 conv=notrunc status=none
expect 1 "$work/mixed"

head -c 64K /dev/urandom >"$work/small"
expect 1 "$work/small"
