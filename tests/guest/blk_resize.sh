#!/bin/bash
# SPDX-License-Identifier: MIT
# A disk that grows while the guest uses it: the guest is told, and can use the new end.
. "$(dirname "$0")/lib/harness.bash"
harness "$1"

host_grow() {
	truncate -s "$1" "$work/a.raw"
	kill -HUP "${child[server]}"
}

truncate -s 64M "$work/a.raw"
server_start --socket "$work/a" --disk "file:$work/a.raw"
guest_run "$(disk_args a 1)" <<'SCRIPT' || fail "the guest's script failed"
size() {
	cat /sys/block/vda/size
}
expect_eq "sectors at first" 131072 "$(size)"
host grow 96M
wait_for 10 "the new size" eval '[ "$(size)" = 196608 ]'
head -c 1048576 /dev/urandom >/tmp/data
dd if=/tmp/data of=/dev/vda bs=1M seek=95 oflag=direct 2>/dev/null || fail "cannot write the new end"
dd if=/dev/vda of=/tmp/back bs=1M skip=95 iflag=direct 2>/dev/null
cmp /tmp/data /tmp/back
expect_clean_dmesg
SCRIPT
[ "$(stat -c %s "$work/a.raw")" = 100663296 ] || fail "the image has another size"
server_stop
