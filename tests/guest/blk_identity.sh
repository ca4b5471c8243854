#!/bin/bash
# SPDX-License-Identifier: MIT
# The guest sees the serial number it was given, and can't write to a disk that is read-only.
. "$(dirname "$0")/lib/harness.bash"
harness "$1"
head -c 16777216 /dev/urandom >"$work/a.raw"
before=$(sha256sum <"$work/a.raw")
server_start --socket "$work/a" --disk "file:$work/a.raw" --read-only --serial ABC-0123456789
guest_run "$(disk_args a 1)" <<SCRIPT || fail "the guest's script failed"
expect_eq serial ABC-0123456789 "\$(cat /sys/block/vda/serial)"
expect_eq "read-only flag" 1 "\$(cat /sys/block/vda/ro)"
expect_eq content "$before" "\$(sha256sum </dev/vda)"
! dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct 2>/dev/null || fail "a read-only disk took a write"
SCRIPT
server_stop
[ "$(sha256sum <"$work/a.raw")" = "$before" ] || fail "the image was changed"
