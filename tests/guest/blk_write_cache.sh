#!/bin/bash
# SPDX-License-Identifier: MIT
# The guest turns the disk's write cache off and on again (CONFIG_WCE) while it uses it.
. "$(dirname "$0")/lib/harness.bash"
harness "$1"
truncate -s 64M "$work/a.raw"
server_start --socket "$work/a" --disk "file:$work/a.raw"
guest_run "$(disk_args a 1)" <<'SCRIPT' || fail "the guest's script failed"
cache=/sys/block/vda/cache_type
head -c 1048576 /dev/urandom >/tmp/data

write_and_compare() { # MIB
	dd if=/tmp/data of=/dev/vda bs=64k seek=$(($1 * 16)) oflag=direct conv=fsync 2>/dev/null
	dd if=/dev/vda of=/tmp/back bs=1M skip="$1" count=1 iflag=direct 2>/dev/null
	cmp /tmp/data /tmp/back || fail "another content at $1 MiB"
}

expect_eq "cache at first" "write back" "$(cat $cache)"
write_and_compare 1
echo "write through" >$cache
expect_eq "cache turned off" "write through" "$(cat $cache)"
write_and_compare 2
echo "write back" >$cache
expect_eq "cache turned on" "write back" "$(cat $cache)"
write_and_compare 3
expect_clean_dmesg
SCRIPT
server_stop
