#!/bin/bash
# SPDX-License-Identifier: MIT
# What a guest discards or zeroes gives its space back on the host, and zeroes read as zeroes.
. "$(dirname "$0")/lib/harness.bash"
harness "$1"

host_allocated_mib() { # at-least|at-most MIB
	sync "$work/a.raw"
	local mib=$(($(stat -c %b "$work/a.raw") / 2048))
	note "allocated: $mib MiB, expected $1 $2"
	case $1 in
	at-least) [ "$mib" -ge "$2" ] ;;
	at-most) [ "$mib" -le "$2" ] ;;
	esac
}

truncate -s 64M "$work/a.raw"
server_start --socket "$work/a" --disk "file:$work/a.raw"
guest_run "$(disk_args a 1)" <<'SCRIPT' || fail "the guest's script failed"
[ "$(cat /sys/block/vda/queue/discard_max_bytes)" -gt 0 ] || fail "no discard"
[ "$(cat /sys/block/vda/queue/write_zeroes_max_bytes)" -gt 0 ] || fail "no write zeroes"
zero=$(head -c 16777216 /dev/zero | md5sum)

head -c 33554432 /dev/urandom >/dev/vda
sync
host allocated_mib at-least 32 || fail "writes took no space"
blkdiscard -o 0 -l 16777216 /dev/vda
host allocated_mib at-most 17 || fail "a discard gave nothing back"
/usr/sbin/blkdiscard -z -o 16777216 -l 16777216 /dev/vda
expect_eq "zeroed range" "$zero" "$(dd if=/dev/vda bs=1M skip=16 count=16 iflag=direct 2>/dev/null | md5sum)"

modprobe ext4
mkfs.ext4 -q /dev/vda
mount /dev/vda /mnt
head -c 25165824 /dev/urandom >/mnt/big
sync
host allocated_mib at-least 24 || fail "the file took no space"
rm /mnt/big
sync
fstrim /mnt
host allocated_mib at-most 12 || fail "fstrim gave nothing back"
umount /mnt
expect_clean_dmesg
SCRIPT
server_stop
